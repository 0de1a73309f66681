"""Acts that plan shifts: made, copied, changed, published, deleted. Source: docs/contract/workforce.md §3"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from matrixhub.model.errors import (
    LimitViolated,
    MissingParameters,
    NotFound,
    VersionMismatch,
    WrongParameters,
    WrongState,
)
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, ShiftId, ZoneId
from matrixhub.model.shift import DRAFT_KEPT, Break, Cost, Shift, acted, next_status, published_event, repeated_span
from matrixhub.model.time import check_year
from matrixhub.model.workforce_settings import WorkforceSettings
from matrixhub.modules.scheduler import Fire
from matrixhub.modules.work import Platform, Work
from matrixhub.modules.workforce.shift_tasks import (
    TaskChanges,
    change_tasks,
    moved_tasks,
    plan_for_shifts,
    tasks_to_copy,
)
from matrixhub.modules.workforce.steps import (
    EXPIRY,
    ShiftDraft,
    cancel_timers,
    drafted_shift,
    known_zone,
    lock_active_seat,
    lock_of_seat,
    planned_breaks,
    refuse_overlaps,
    require_seat_of,
    save,
    set_begin,
)
from matrixhub.modules.workforce.tasks import TaskDraft, publish_tasks, remove_tasks
from matrixhub.store import shifts as store
from matrixhub.store.grids import read_building
from matrixhub.store.seats import lock_seat
from matrixhub.store.workforce_settings import read_settings

LENGTH_MAX = timedelta(hours=48)
CALL_MAX = 500
"""Shifts that one call may make or publish, so that the event that tells of them stays small."""

_TOO_MANY = f"at most {CALL_MAX} shifts are made, published or deleted by one call"

NO_TASK_CHANGES = TaskChanges()
NO_SEATS: Mapping[ShiftId, SeatId] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class ShiftChanges:
    """What is to be different of a shift; what is None stays."""

    starts_at: datetime | None = None
    ends_at: datetime | None = None
    time_zone: str | None = None
    zones: tuple[ZoneId, ...] | None = None
    breaks: tuple[Break, ...] | None = None
    cost: Cost | None = None
    description: str | None = None


async def create_shifts(
    platform: Platform,
    property_id: PropertyId,
    building_id: BuildingId,
    seat_id: SeatId,
    drafts: Sequence[ShiftDraft],
    *,
    repeat_on: Sequence[date] = (),
    publish: bool = False,
    actor: str,
) -> Sequence[Shift]:
    """New shifts of a seat with their task groups: each draft on its own date, and on each of the dates at the same
    local times.

    Raises: NotFound, MissingParameters, WrongParameters, LimitViolated, WrongState where the seat is not active or
            has a shift at that time, StoreError. Then none is made.
    """
    dates = _checked_dates(repeat_on)
    if len(drafts) * max(1, len(dates)) > CALL_MAX:
        raise LimitViolated(_TOO_MANY)
    async with platform.work(property_id, actor) as work:
        await lock_active_seat(work, seat_id)
        settings = await read_settings(work.connection, property_id, building_id)
        place = await read_building(work.connection, property_id, building_id)
        planned: list[tuple[Shift, Sequence[TaskDraft]]] = []
        for given in drafts:
            draft = replace(given, time_zone=given.time_zone or place.time_zone)
            local = known_zone(draft.time_zone)
            zones = await store.zone_names(work.connection, property_id, building_id, draft.zones)
            for span in _spans(draft.starts_at, draft.ends_at, local, dates):
                shift = drafted_shift(work, building_id, seat_id, draft, span, zones)
                planned.append((shift, moved_tasks(draft.tasks, draft.starts_at, span[0], local)))
        shifts: Sequence[Shift] = [shift for shift, _ in planned]
        await _add_drafts(work, seat_id, shifts)
        if publish:
            shifts = await _publish(work, shifts, settings)
        await plan_for_shifts(work, planned)
        return shifts


async def copy_shift(
    platform: Platform,
    property_id: PropertyId,
    seat_id: SeatId,
    shift_id: ShiftId,
    *,
    copy_on: Sequence[date],
    source_seat_id: SeatId | None = None,
    include_zones: bool = True,
    include_breaks: bool = True,
    include_tasks: bool = False,
    actor: str,
) -> Sequence[Shift]:
    """Unpublished copies of a shift, of its seat where that is named, for a seat: on each of the dates at the same
    local times.

    Raises: NotFound, MissingParameters, LimitViolated, WrongState as `create_shifts`, StoreError
    """
    dates = _checked_dates(copy_on)
    if len(dates) > CALL_MAX:
        raise LimitViolated(_TOO_MANY)
    async with platform.work(property_id, actor) as work:
        await lock_active_seat(work, seat_id)
        source = await store.read_shift(work.connection, property_id, shift_id)
        if source_seat_id is not None:
            require_seat_of(source, source_seat_id)
        draft = ShiftDraft(
            starts_at=source.starts_at,
            ends_at=source.ends_at,
            time_zone=source.time_zone,
            breaks=tuple(b for b in source.breaks if b.planned) if include_breaks else (),
            cost=source.cost,
            description=source.description,
        )
        local = ZoneInfo(source.time_zone)
        copies = [
            drafted_shift(work, source.building_id, seat_id, draft, span, source.zones if include_zones else {})
            for span in (repeated_span(source.starts_at, source.ends_at, local, on) for on in dates)
        ]
        await _add_drafts(work, seat_id, copies)
        if include_tasks:
            tasks = await tasks_to_copy(work, shift_id)
            moved = [moved_tasks(tasks, source.starts_at, copy.starts_at, local) for copy in copies]
            await plan_for_shifts(work, list(zip(copies, moved, strict=True)))
        return copies


async def update_shift(
    platform: Platform,
    property_id: PropertyId,
    seat_id: SeatId,
    shift_id: ShiftId,
    changes: ShiftChanges,
    *,
    tasks: TaskChanges = NO_TASK_CHANGES,
    version: int | None = None,
    actor: str,
) -> Shift:
    """A shift that was not started, changed with its task groups. One that is moved is no longer delayed.

    Raises: NotFound, MissingParameters, WrongParameters, LimitViolated, WrongState, VersionMismatch where it is not
            of the version, StoreError
    """
    async with platform.work(property_id, actor) as work:
        await lock_seat(work.connection, property_id, seat_id)
        before = await lock_of_seat(work, seat_id, shift_id)
        if version is not None and version != before.version:
            raise VersionMismatch(f"shift {shift_id} is of version {before.version}")
        shift = await _changed(work, acted(before, "update"), changes)
        if (shift.starts_at, shift.ends_at) != (before.starts_at, before.ends_at):
            _check_span(shift.starts_at, shift.ends_at)
            await refuse_overlaps(work, seat_id, [(shift.starts_at, shift.ends_at)], but=shift_id)
        if shift.starts_at != before.starts_at:
            shift = replace(shift, delayed=False)
            cancel_timers(work, shift_id)
            set_begin(work, shift, await read_settings(work.connection, property_id, shift.building_id))
        saved = await save(work, shift)
        await change_tasks(work, saved, tasks)
        return saved


async def publish_shifts(
    platform: Platform,
    property_id: PropertyId,
    building_id: BuildingId,
    shift_ids: Sequence[ShiftId],
    *,
    seats: Mapping[ShiftId, SeatId] = NO_SEATS,
    actor: str,
) -> Sequence[Shift]:
    """Shifts of a building, published: all of them, or none. One event for all. `seats` says whose they are to be.

    Raises: NotFound, MissingParameters, LimitViolated, WrongState, StoreError
    """
    if not shift_ids:
        raise MissingParameters("say which shifts are to be published")
    if len(shift_ids) > CALL_MAX:
        raise LimitViolated(_TOO_MANY)
    async with platform.work(property_id, actor) as work:
        shifts = await store.lock_shifts(work.connection, property_id, set(shift_ids))
        for shift in shifts:
            if shift.building_id != building_id:
                raise NotFound(f"building {building_id} has no shift {shift.id}")
            require_seat_of(shift, seats.get(shift.id, shift.seat_id))
        return await _publish(work, shifts, await read_settings(work.connection, property_id, building_id))


async def publish_shifts_in_range(
    platform: Platform, property_id: PropertyId, building_id: BuildingId, start: datetime, end: datetime, *, actor: str
) -> Sequence[Shift]:
    """The unpublished shifts of a building that begin in a range, published. One event for all, none where none was.

    Raises: NotFound, WrongParameters, LimitViolated where there are too many: then none is published, StoreError
    """
    if end <= start:
        raise WrongParameters("the end of the range lies after its start")
    async with platform.work(property_id, actor) as work:
        settings = await read_settings(work.connection, property_id, building_id)
        shifts = await store.lock_drafts(work.connection, property_id, building_id, start, end, limit=CALL_MAX + 1)
        if len(shifts) > CALL_MAX:
            raise LimitViolated(_TOO_MANY)
        return await _publish(work, shifts, settings)


async def delete_shifts(
    platform: Platform,
    property_id: PropertyId,
    pairs: Sequence[tuple[SeatId, ShiftId]],
    *,
    version: int | None = None,
    actor: str,
) -> None:
    """Remove shifts, each named with its seat, that were neither started nor completed: all of them, or none.

    Raises: NotFound, MissingParameters, LimitViolated, WrongState, VersionMismatch where one is not of the version,
            StoreError
    """
    if not pairs:
        raise MissingParameters("say which shifts are to be deleted")
    if len(pairs) > CALL_MAX:
        raise LimitViolated(_TOO_MANY)
    seats = {shift_id: seat_id for seat_id, shift_id in pairs}
    async with platform.work(property_id, actor) as work:
        for shift in await store.lock_shifts(work.connection, property_id, seats.keys()):
            require_seat_of(shift, seats[shift.id])
            if version is not None and version != shift.version:
                raise VersionMismatch(f"shift {shift.id} is of version {shift.version}")
            next_status(shift, "delete")
            cancel_timers(work, shift.id)
        await remove_tasks(work, seats.keys())
        await store.delete_shifts(work.connection, property_id, seats.keys())


async def _fire_expiry(work: Work, entity_id: str) -> None:
    shift = await store.lock_shift(work.connection, work.property_id, ShiftId(entity_id))
    if await work.take_timer(EXPIRY, entity_id):
        next_status(shift, "expire")
        await remove_tasks(work, [shift.id])
        await store.delete_shifts(work.connection, work.property_id, [shift.id])


HANDLERS: Mapping[str, Fire] = {EXPIRY: _fire_expiry}
"""What a timer does that this module sets, for the scheduler."""


async def _publish(work: Work, shifts: Sequence[Shift], settings: WorkforceSettings) -> Sequence[Shift]:
    published = [acted(shift, "publish") for shift in shifts]
    saved = []
    for shift in published:
        cancel_timers(work, shift.id)
        set_begin(work, shift, settings)
        saved.append(await save(work, shift))
    await publish_tasks(work, [shift.id for shift in saved])
    if saved:
        ordered = sorted(saved, key=lambda shift: (shift.starts_at, shift.id))
        work.publish(published_event(ordered, work.now_s))
    return saved


async def _changed(work: Work, shift: Shift, changes: ShiftChanges) -> Shift:
    if changes.time_zone is not None:
        known_zone(changes.time_zone)
    zones = shift.zones
    if changes.zones is not None:
        zones = await store.zone_names(work.connection, work.property_id, shift.building_id, changes.zones)
    return replace(
        shift,
        starts_at=changes.starts_at or shift.starts_at,
        ends_at=changes.ends_at or shift.ends_at,
        time_zone=changes.time_zone or shift.time_zone,
        zones=zones,
        breaks=shift.breaks if changes.breaks is None else planned_breaks(changes.breaks),
        cost=changes.cost or shift.cost,
        description=shift.description if changes.description is None else changes.description,
    )


async def _add_drafts(work: Work, seat_id: SeatId, shifts: Sequence[Shift]) -> None:
    """Keep shifts nobody knows of yet; they expire if they stay so."""
    if not shifts:
        raise MissingParameters("say when the shifts are to be")
    if len(shifts) > CALL_MAX:
        raise LimitViolated(_TOO_MANY)
    spans = sorted((shift.starts_at, shift.ends_at) for shift in shifts)
    for (_, end), (start, _) in itertools.pairwise(spans):
        if start < end:
            raise WrongState(f"two of these shifts overlap at {start.isoformat()}")
    await refuse_overlaps(work, seat_id, spans)
    await store.create_shifts(work.connection, shifts)
    for shift in shifts:
        work.set_timer(EXPIRY, shift.id, shift.starts_at + DRAFT_KEPT)


def _spans(
    starts_at: datetime, ends_at: datetime, local: ZoneInfo, repeat_on: Sequence[date]
) -> list[tuple[datetime, datetime]]:
    """The times of a shift on its own date, and on the others. Raises WrongParameters."""
    _check_span(starts_at, ends_at)
    own = starts_at.astimezone(local).date()
    return [
        (starts_at.astimezone(UTC), ends_at.astimezone(UTC)),
        *(repeated_span(starts_at, ends_at, local, on) for on in repeat_on if on != own),
    ]


def _checked_dates(dates: Sequence[date]) -> list[date]:
    """The dates in their order, each once. Raises WrongParameters where no shift can be on one."""
    for on in dates:
        check_year(on)
    return sorted(set(dates))


def _check_span(starts_at: datetime, ends_at: datetime) -> None:
    check_year(starts_at)
    check_year(ends_at)
    if not timedelta() < ends_at - starts_at <= LENGTH_MAX:
        raise WrongParameters(f"a shift ends after its start, and at most {LENGTH_MAX} later")
