"""Acts of who works a shift: clock-in, breaks, clock-out; who is late, absent or on leave.

Source: docs/contract/workforce.md §3
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from matrixhub.model.address import Coordinates
from matrixhub.model.distance import distance_m
from matrixhub.model.errors import MissingParameters, WrongParameters, WrongState
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, ShiftId, ZoneId
from matrixhub.model.shift import Shift, ShiftAct, acted, break_ended, break_started, ended, shift_event, started
from matrixhub.model.workforce_settings import WorkforceSettings
from matrixhub.modules.scheduler import Fire
from matrixhub.modules.work import Platform, Work
from matrixhub.modules.workforce.steps import (
    ABSENT,
    DELAYED,
    END,
    ShiftDraft,
    cancel_timers,
    drafted_shift,
    known_zone,
    lock_active_seat,
    lock_of_seat,
    refuse_overlaps,
    save,
)
from matrixhub.store import shifts as store
from matrixhub.store.grids import read_building
from matrixhub.store.seats import require_seat
from matrixhub.store.workforce_settings import read_settings


async def start_shift(
    platform: Platform,
    property_id: PropertyId,
    seat_id: SeatId,
    shift_id: ShiftId,
    *,
    clock_in: Coordinates | None = None,
    at: datetime | None = None,
    admin: bool = False,
    actor: str,
) -> Shift:
    """The shift, with its seat clocked in now, or at an instant before.

    Where the building says where it is, the seat must be within DISTANCE_THRESHOLD_CHECKIN; an administrator need not,
    and may start an absent shift, too.
    Raises: NotFound, MissingParameters, WrongParameters, WrongState also where the seat works in another, StoreError
    """
    async with platform.work(property_id, actor) as work:
        seat = await lock_active_seat(work, seat_id)
        shift = started(
            await lock_of_seat(work, seat_id, shift_id), "start_admin" if admin else "start", at or work.now, clock_in
        )
        await _refuse_other_work(work, seat_id, but=shift_id)
        settings = await read_settings(work.connection, property_id, shift.building_id)
        if not admin:
            place = await store.building_place(work.connection, property_id, shift.building_id)
            check_distance(place, clock_in, settings.number("DISTANCE_THRESHOLD_CHECKIN"))
        cancel_timers(work, shift_id)
        _set_end(work, shift, settings)
        work.publish(shift_event("SHIFT_STARTED", shift, seat.name, work.now_s))
        return await save(work, shift)


async def end_shift(
    platform: Platform,
    property_id: PropertyId,
    seat_id: SeatId,
    shift_id: ShiftId,
    *,
    clock_out: Coordinates | None = None,
    at: datetime | None = None,
    admin: bool = False,
    actor: str,
) -> Shift:
    """The shift, with its seat clocked out now, or at an instant before.

    Raises: NotFound, WrongState also where it is too early, WrongParameters for an instant before it began, StoreError
    """
    async with platform.work(property_id, actor) as work:
        before = await lock_of_seat(work, seat_id, shift_id)
        settings = await read_settings(work.connection, property_id, before.building_id)
        act: ShiftAct = "end_admin" if admin else "end"
        early = settings.flag("ALLOW_EARLY_CHECKOUT")
        ends_at = at or work.now
        if before.started_at is not None and ends_at < before.started_at:
            raise WrongParameters(f"shift {shift_id} had not begun at {ends_at.isoformat()}")
        return await _complete(work, ended(before, act, ends_at, clock_out, early_allowed=early))


async def create_ad_hoc_shift(
    platform: Platform,
    property_id: PropertyId,
    building_id: BuildingId,
    seat_id: SeatId,
    *,
    time_zone: str = "",
    zones: Sequence[ZoneId] = (),
    clock_in: Coordinates | None = None,
    actor: str,
) -> Shift:
    """A shift nobody planned, started at once and TIME_FOR_UNSCHEDULED_SHIFT long; by the clocks of its building.

    Raises: NotFound, WrongParameters, WrongState where the seat is not active or has a shift in that time, StoreError
    """
    async with platform.work(property_id, actor) as work:
        seat = await lock_active_seat(work, seat_id)
        settings = await read_settings(work.connection, property_id, building_id)
        time_zone = time_zone or (await read_building(work.connection, property_id, building_id)).time_zone
        known_zone(time_zone)
        span = work.now, work.now + timedelta(seconds=settings.number("TIME_FOR_UNSCHEDULED_SHIFT"))
        await refuse_overlaps(work, seat_id, [span])
        await _refuse_other_work(work, seat_id)
        draft = ShiftDraft(starts_at=span[0], ends_at=span[1], time_zone=time_zone)
        names = await store.zone_names(work.connection, property_id, building_id, zones)
        planned = drafted_shift(work, building_id, seat_id, draft, span, names)
        shift = started(replace(planned, status="PUBLISHED"), "start", work.now, clock_in)
        await store.create_shifts(work.connection, [shift])
        _set_end(work, shift, settings)
        work.publish(shift_event("SHIFT_STARTED", shift, seat.name, work.now_s))
        return shift


async def start_break(
    platform: Platform,
    property_id: PropertyId,
    seat_id: SeatId,
    shift_id: ShiftId,
    *,
    break_id: str = "",
    kind: str = "",
    notes: str = "",
    actor: str,
) -> Shift:
    """The shift on a break: a planned one by its id, or one that nobody planned. Raises NotFound, WrongState, …"""
    async with platform.work(property_id, actor) as work:
        shift = await lock_of_seat(work, seat_id, shift_id)
        return await save(work, break_started(shift, work.now, break_id or str(uuid.uuid4()), kind=kind, notes=notes))


async def end_break(
    platform: Platform,
    property_id: PropertyId,
    seat_id: SeatId,
    shift_id: ShiftId,
    *,
    break_id: str = "",
    notes: str = "",
    actor: str,
) -> Shift:
    """The shift after its break, the one of that id where one is given. Raises NotFound, WrongState, StoreError."""
    async with platform.work(property_id, actor) as work:
        before = await lock_of_seat(work, seat_id, shift_id)
        after = break_ended(before, work.now, notes=notes)
        under_way = {b.id for b in before.breaks if b.started_at is not None and b.ended_at is None}
        if break_id and break_id not in under_way:
            raise WrongState(f"shift {shift_id} is not on break {break_id[:80]}")
        return await save(work, after)


async def mark_delayed(
    platform: Platform, property_id: PropertyId, seat_id: SeatId, shift_id: ShiftId, *, actor: str
) -> Shift:
    """The shift, known to be late before its time tells. Raises NotFound, WrongState, StoreError."""
    async with platform.work(property_id, actor) as work:
        return await _delay(work, await lock_of_seat(work, seat_id, shift_id))


async def mark_absent(
    platform: Platform, property_id: PropertyId, seat_id: SeatId, shift_id: ShiftId, *, actor: str
) -> Shift:
    """The shift, to which nobody came. Raises NotFound, WrongState, StoreError."""
    async with platform.work(property_id, actor) as work:
        return await _miss(work, await lock_of_seat(work, seat_id, shift_id))


async def mark_on_leave(
    platform: Platform, property_id: PropertyId, seat_id: SeatId, shift_id: ShiftId, *, actor: str
) -> Shift:
    """The shift, whose seat is on leave. There is no event for it. Raises NotFound, WrongState, StoreError."""
    async with platform.work(property_id, actor) as work:
        shift = acted(await lock_of_seat(work, seat_id, shift_id), "mark_on_leave")
        cancel_timers(work, shift_id)
        return await save(work, shift)


def check_distance(building: Coordinates | None, clock_in: Coordinates | None, metres_max: int) -> None:
    """Refuse to clock in too far away; where the building does not say where it is, anywhere is near enough.

    Raises: MissingParameters if the seat does not say where it is, WrongParameters
    """
    if building is None:
        return
    if clock_in is None:
        raise MissingParameters("Coordinates.ClockIn is needed where the building has coordinates")
    metres = distance_m(building, clock_in)
    if metres > metres_max:
        raise WrongParameters(f"{metres:.0f} m from the building; at most {metres_max} m are near enough to clock in")


async def _fire_delayed(work: Work, entity_id: str) -> None:
    shift = await store.lock_shift(work.connection, work.property_id, ShiftId(entity_id))
    if await work.take_timer(DELAYED, entity_id):
        await _delay(work, shift)


async def _fire_absent(work: Work, entity_id: str) -> None:
    shift = await store.lock_shift(work.connection, work.property_id, ShiftId(entity_id))
    if await work.take_timer(ABSENT, entity_id):
        await _miss(work, shift)


async def _fire_end(work: Work, entity_id: str) -> None:
    shift = await store.lock_shift(work.connection, work.property_id, ShiftId(entity_id))
    if await work.take_timer(END, entity_id):
        settings = await read_settings(work.connection, work.property_id, shift.building_id)
        # It ended when its time was over, however late that is found out.
        due_at = _end_due_at(shift, settings)
        await _complete(work, ended(shift, "end_late", min(work.now, due_at), None, early_allowed=True))


HANDLERS: Mapping[str, Fire] = {DELAYED: _fire_delayed, ABSENT: _fire_absent, END: _fire_end}
"""What the timers do that are set here and where shifts are published, for the scheduler."""


async def _refuse_other_work(work: Work, seat_id: SeatId, *, but: ShiftId | None = None) -> None:
    """Raises WrongState where the seat, which is locked, works in another shift, be its time over or not."""
    other = await store.other_started_shift(work.connection, work.property_id, seat_id, but)
    if other is not None:
        raise WrongState(f"seat {seat_id} works in shift {other}")


async def _delay(work: Work, shift: Shift) -> Shift:
    late = replace(acted(shift, "mark_delayed"), delayed=True)
    settings = await read_settings(work.connection, work.property_id, shift.building_id)
    seconds = settings.number("DELAYED_SHIFT_THRESHOLD") + settings.number("ABSENT_SHIFT_THRESHOLD")
    work.cancel_timer(DELAYED, shift.id)
    work.set_timer(ABSENT, shift.id, shift.starts_at + timedelta(seconds=seconds))
    return await _tell(work, "SHIFT_DELAYED", late)


async def _miss(work: Work, shift: Shift) -> Shift:
    absent = acted(shift, "mark_absent")
    cancel_timers(work, shift.id)
    return await _tell(work, "SHIFT_ABSENT", absent)


async def _complete(work: Work, shift: Shift) -> Shift:
    cancel_timers(work, shift.id)
    return await _tell(work, "SHIFT_COMPLETED", shift)


async def _tell(work: Work, event: str, shift: Shift) -> Shift:
    """Keep the shift and say what happened to it."""
    seat = await require_seat(work.connection, work.property_id, shift.seat_id)
    work.publish(shift_event(event, shift, seat.name, work.now_s))
    return await save(work, shift)


def _set_end(work: Work, shift: Shift, settings: WorkforceSettings) -> None:
    if settings.flag("AUTO_CLOCKOUT"):
        work.set_timer(END, shift.id, _end_due_at(shift, settings))


def _end_due_at(shift: Shift, settings: WorkforceSettings) -> datetime:
    return shift.ends_at + timedelta(seconds=settings.number("END_SHIFT_OVERSHOOT"))
