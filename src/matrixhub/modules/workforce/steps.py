"""Steps that acts on shifts have in common. Seats are locked before shifts, and shifts before their timers."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from matrixhub.model.errors import NotFound, WrongParameters, WrongState
from matrixhub.model.ids import BuildingId, SeatId, ShiftId, ZoneId
from matrixhub.model.seat import Seat
from matrixhub.model.shift import DRAFT_KEPT, Break, Cost, Shift
from matrixhub.model.time import zone
from matrixhub.model.workforce_settings import WorkforceSettings
from matrixhub.modules.work import Work
from matrixhub.modules.workforce.tasks import TaskDraft
from matrixhub.store import shifts as store
from matrixhub.store.seats import lock_seat

DELAYED, ABSENT, END, EXPIRY = "shift_delayed", "shift_absent", "shift_end", "shift_expiry"
TIMERS = (DELAYED, ABSENT, END, EXPIRY)
"""What is to happen to a shift at a time. The settings that were in force when a timer was set hold for it."""

BREAKS_MAX = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ShiftDraft:
    """A shift as it is planned, with its task groups. Of the breaks, kind and length count.

    Without a time zone it has that of its building.
    """

    starts_at: datetime
    ends_at: datetime
    time_zone: str = ""
    zones: tuple[ZoneId, ...] = ()
    breaks: tuple[Break, ...] = ()
    cost: Cost = field(default_factory=Cost)
    description: str = ""
    tasks: tuple[TaskDraft, ...] = ()


def set_begin(work: Work, shift: Shift, settings: WorkforceSettings) -> None:
    """Set what happens to a shift if nobody publishes it, or else starts it."""
    if shift.status == "UNPUBLISHED":
        work.set_timer(EXPIRY, shift.id, shift.starts_at + DRAFT_KEPT)
    else:
        late = timedelta(seconds=settings.number("DELAYED_SHIFT_THRESHOLD"))
        work.set_timer(DELAYED, shift.id, shift.starts_at + late)


def cancel_timers(work: Work, shift_id: ShiftId) -> None:
    """Let nothing happen to a shift by itself."""
    for kind in TIMERS:
        work.cancel_timer(kind, shift_id)


async def save(work: Work, shift: Shift) -> Shift:
    """Keep a shift that was locked, with who changed it and when. Raises NotFound."""
    saved = replace(shift, updated_by=work.actor, updated_at=work.now, version=shift.version + 1)
    await store.save_shift(work.connection, saved)
    return saved


async def lock_active_seat(work: Work, seat_id: SeatId) -> Seat:
    """The seat, whose shifts nobody else plans or starts meanwhile. Seats are locked before shifts."""
    seat = await lock_seat(work.connection, work.property_id, seat_id)
    if not seat.active:
        raise WrongState(f"seat {seat_id} is not active")
    return seat


async def lock_of_seat(work: Work, seat_id: SeatId, shift_id: ShiftId) -> Shift:
    """A shift of the seat, locked. Raises NotFound."""
    shift = await store.lock_shift(work.connection, work.property_id, shift_id)
    require_seat_of(shift, seat_id)
    return shift


def require_seat_of(shift: Shift, seat_id: SeatId) -> None:
    """Raises NotFound where the shift is not of the seat."""
    if shift.seat_id != seat_id:
        raise NotFound(f"seat {seat_id[:80]} has no shift {shift.id}")


async def refuse_overlaps(
    work: Work, seat_id: SeatId, spans: Sequence[tuple[datetime, datetime]], *, but: ShiftId | None = None
) -> None:
    """Raises WrongState where the seat, which is locked, has a shift in that time."""
    other = await store.overlapping_shift(work.connection, work.property_id, seat_id, spans, but=but)
    if other is not None:
        raise WrongState(f"seat {seat_id} has shift {other} at that time")


def drafted_shift(
    work: Work,
    building_id: BuildingId,
    seat_id: SeatId,
    draft: ShiftDraft,
    span: tuple[datetime, datetime],
    zones: Mapping[ZoneId, str],
) -> Shift:
    """An unpublished shift, for one of the times of a draft. Zones are id → name."""
    return Shift(
        id=ShiftId(str(uuid.uuid4())),
        property_id=work.property_id,
        building_id=building_id,
        seat_id=seat_id,
        starts_at=span[0],
        ends_at=span[1],
        time_zone=draft.time_zone,
        zones=zones,
        breaks=planned_breaks(draft.breaks),
        cost=draft.cost,
        description=draft.description,
        created_by=work.actor,
        created_at=work.now,
        updated_by=work.actor,
        updated_at=work.now,
    )


def planned_breaks(breaks: Sequence[Break]) -> tuple[Break, ...]:
    """Breaks of a plan, each with an id. Raises WrongParameters."""
    if len(breaks) > BREAKS_MAX or any(b.duration_s < 0 for b in breaks):
        raise WrongParameters(f"a shift has at most {BREAKS_MAX} breaks, none shorter than nothing")
    return tuple(
        Break(id=str(uuid.uuid4()), kind=b.kind, duration_s=b.duration_s, planned=True, notes=b.notes) for b in breaks
    )


def known_zone(time_zone: str) -> ZoneInfo:
    """The time zone of that name. Raises WrongParameters."""
    try:
        return zone(time_zone)
    except ValueError as error:
        raise WrongParameters(str(error)) from error
