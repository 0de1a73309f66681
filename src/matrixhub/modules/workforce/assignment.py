"""Who gets an incident: found in turn among those on duty, or checked where somebody was named.

Source: docs/contract/incidents.md §2.2
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

from matrixhub.model.errors import NotFound, WrongParameters, WrongState
from matrixhub.model.ids import BuildingId, SeatId, ShiftId, ZoneId
from matrixhub.model.work_order import Assignee, IncidentDraft
from matrixhub.model.workforce_settings import WorkforceSettings
from matrixhub.modules.work import Work
from matrixhub.store.availability import zones_available
from matrixhub.store.work_orders import (
    Candidate,
    candidates_of_seats,
    candidates_on_duty,
    lock_assignment,
    read_seats,
    share_shifts,
)

ASSIGNABLE = frozenset({"PUBLISHED", "STARTED"})
"""States of a shift in which it may be given incidents."""

BY_AVAILABILITY = "1"
"""The value of the setting BUILDING_AVAILBILITY that has sensors' incidents assigned by availability."""

_NEVER = datetime(1, 1, 1, tzinfo=UTC)


def choose(
    candidates: Sequence[Candidate],
    on_hand: Mapping[SeatId, int],
    last_assigned_at: Mapping[SeatId, datetime | None],
) -> Candidate | None:
    """Whose turn it is: who has the fewest incidents on hand, then who was given one longest ago, then by id."""
    return min(
        candidates,
        key=lambda one: (on_hand[one.seat_id], last_assigned_at[one.seat_id] or _NEVER, one.seat_id, one.shift_id),
        default=None,
    )


def share_out(choices: Sequence[Sequence[Candidate]], now: datetime) -> list[Candidate | None]:
    """Whose turn it is for each of several incidents of one moment, in their order, given who could take each."""
    everybody = [one for candidates in choices for one in candidates]
    on_hand = {one.seat_id: one.on_hand for one in everybody}
    last_assigned_at = {one.seat_id: one.last_assigned_at for one in everybody}
    chosen: list[Candidate | None] = []
    for candidates in choices:
        one = choose(candidates, on_hand, last_assigned_at)
        chosen.append(one)
        if one is not None:
            on_hand[one.seat_id] += 1
            last_assigned_at[one.seat_id] = now
    return chosen


async def find_assignees(
    work: Work, building_id: BuildingId, drafts: Sequence[IncidentDraft], settings: WorkforceSettings
) -> list[Assignee | None]:
    """Who gets each of the incidents: who was named, else who is found where that was asked for, else nobody.

    Those who find assignees in a building do so one after the other, so that the shares stay fair.
    Raises: NotFound, WrongParameters, WrongState if somebody who was named cannot have it.
    """
    await check_assignees(work, building_id, [draft.assignee for draft in drafts if draft.assignee])
    found: list[Assignee | None] = [draft.assignee for draft in drafts]
    asking = [number for number, draft in enumerate(drafts) if _asks(draft)]
    if not asking or not settings.flag("AUTO_ASSIGN_INCIDENTS"):
        return found
    await lock_assignment(work.connection, building_id)
    by_availability = settings.text("BUILDING_AVAILBILITY") == BY_AVAILABILITY
    choices: dict[int, Sequence[Candidate]] = {}
    for finder, numbers in (
        (_candidates_available, [n for n in asking if by_availability and drafts[n].from_sensor]),
        (_candidates_on_duty, [n for n in asking if not (by_availability and drafts[n].from_sensor)]),
    ):
        if numbers:
            candidates = await finder(work, building_id, frozenset(drafts[number].zone_id for number in numbers))
            choices.update((n, [one for one in candidates if one.covers(drafts[n].zone_id)]) for n in numbers)
    turns = share_out([choices[number] for number in asking], work.now)
    for number, one in zip(asking, turns, strict=True):
        found[number] = Assignee(seat_id=one.seat_id, shift_id=one.shift_id) if one else None
    return found


async def find_asked(
    work: Work, building_id: BuildingId, drafts: Sequence[IncidentDraft], settings: WorkforceSettings
) -> list[Sequence[SeatId]]:
    """Whom to ask for each of the incidents, where nobody is to be assigned by the hub: all on duty for its zone.

    The first of them who takes or begins it has it.
    """
    asking = [draft for draft in drafts if _asks(draft)]
    if not asking or settings.flag("AUTO_ASSIGN_INCIDENTS"):
        return [() for _ in drafts]
    candidates = await _candidates_on_duty(work, building_id, frozenset(draft.zone_id for draft in asking))
    return [
        [one.seat_id for one in candidates if one.covers(draft.zone_id)] if _asks(draft) else () for draft in drafts
    ]


async def check_assignees(work: Work, building_id: BuildingId, assignees: Sequence[Assignee]) -> None:
    """Refuse who cannot be given an incident of the building.

    Raises: NotFound for a seat or shift the property does not have, WrongParameters for a shift of another seat or
    building, WrongState for a seat that is not active or a shift that is not published, or over.
    """
    if not assignees:
        return
    seats = await read_seats(work.connection, work.property_id, {one.seat_id for one in assignees})
    by_shift = [one for one in assignees if str(one.shift_id) != str(one.seat_id)]
    shifts = await share_shifts(work.connection, work.property_id, {one.shift_id for one in by_shift})
    for one in assignees:
        if one.seat_id not in seats:
            raise NotFound(f"property {work.property_id} has no seat {one.seat_id}")
        if not seats[one.seat_id]:
            raise WrongState(f"seat {one.seat_id} is not active")
    for one in by_shift:
        shift = shifts.get(one.shift_id)
        if shift is None:
            raise NotFound(f"property {work.property_id} has no shift {one.shift_id}")
        if (shift.seat_id, shift.building_id) != (one.seat_id, building_id):
            raise WrongParameters(f"shift {one.shift_id} is not one of seat {one.seat_id} in building {building_id}")
        if shift.status not in ASSIGNABLE:
            raise WrongState(f"shift {one.shift_id} is {shift.status}")


def to_seat(seat_id: SeatId) -> Assignee:
    """A seat itself as assignee, whatever its shift."""
    return Assignee(seat_id=seat_id, shift_id=ShiftId(seat_id))


def _asks(draft: IncidentDraft) -> bool:
    return draft.auto_assigned and draft.assignee is None


async def _candidates_on_duty(work: Work, building_id: BuildingId, zone_ids: Collection[ZoneId]) -> Sequence[Candidate]:
    return await candidates_on_duty(work.connection, work.property_id, building_id, zone_ids, work.now)


async def _candidates_available(
    work: Work, building_id: BuildingId, zone_ids: Collection[ZoneId]
) -> Sequence[Candidate]:
    """Who is inside a period of availability for one of the zones, clocked in or not."""
    seats = await zones_available(work.connection, work.property_id, building_id, zone_ids, work.now)
    return await candidates_of_seats(work.connection, work.property_id, seats)
