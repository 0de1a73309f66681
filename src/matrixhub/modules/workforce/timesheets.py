"""Acts on timesheets. Source: docs/contract/workforce.md §4.2"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from matrixhub.model.errors import LimitViolated, MissingParameters, VersionMismatch, WrongParameters, WrongState
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, ShiftId
from matrixhub.model.shift import Shift
from matrixhub.model.timesheet import CLAIMABLE, Timesheet, TimesheetAct, TimesheetKind, TimesheetStatus, next_status
from matrixhub.modules.work import Platform, Work
from matrixhub.modules.workforce.roster import check_range, require_scope
from matrixhub.modules.workforce.steps import lock_of_seat, require_seat_of
from matrixhub.store import timesheets as store
from matrixhub.store.shifts import lock_shifts

WORKED_MAX = timedelta(hours=48)
DECIDED_MAX = 500
"""Timesheets that one call may decide on."""


async def request_timesheet(
    platform: Platform,
    property_id: PropertyId,
    seat_id: SeatId,
    shift_id: ShiftId,
    *,
    kind: TimesheetKind = "TIMESHEET",
    worked_from: datetime | None = None,
    worked_until: datetime | None = None,
    comment: str = "",
    actor: str,
) -> Timesheet:
    """A timesheet of a shift, to be decided on; its times are those recorded where none are given.

    Raises: NotFound, MissingParameters, WrongParameters, WrongState of the shift or its timesheet, StoreError
    """
    async with platform.work(property_id, actor) as work:
        shift = await lock_of_seat(work, seat_id, shift_id)
        status = next_status(await store.find_timesheet(work.connection, property_id, shift_id), "request")
        if shift.status not in CLAIMABLE[kind]:
            raise WrongState(f"{kind}: shift {shift_id} is {shift.status}")
        start, end = _worked(worked_from or shift.started_at, worked_until or shift.ended_at)
        return await store.save_timesheet(
            work.connection,
            Timesheet(
                shift_id=shift_id,
                property_id=property_id,
                seat_id=seat_id,
                kind=kind,
                status=status,
                worked_from=start,
                worked_until=end,
                comment=comment,
                requested_by=actor,
                requested_at=work.now,
            ),
        )


async def edit_timesheet(
    platform: Platform,
    property_id: PropertyId,
    seat_id: SeatId,
    shift_id: ShiftId,
    *,
    worked_from: datetime | None = None,
    worked_until: datetime | None = None,
    comment: str | None = None,
    version: int | None = None,
    actor: str,
) -> Timesheet:
    """The timesheet, not decided on yet, with what is given changed.

    Raises: NotFound, WrongParameters, WrongState, VersionMismatch where it is not of the version, StoreError
    """
    async with platform.work(property_id, actor) as work:
        await lock_of_seat(work, seat_id, shift_id)
        before = await store.require_timesheet(work.connection, property_id, shift_id)
        if version is not None and version != before.version:
            raise VersionMismatch(f"the timesheet of shift {shift_id} is of version {before.version}")
        start, end = _worked(worked_from or before.worked_from, worked_until or before.worked_until)
        changed = replace(
            before,
            status=next_status(before, "edit"),
            worked_from=start,
            worked_until=end,
            comment=before.comment if comment is None else comment,
        )
        return await store.save_timesheet(work.connection, changed)


async def approve_timesheets(
    platform: Platform, property_id: PropertyId, pairs: Sequence[tuple[SeatId, ShiftId]], *, actor: str
) -> Sequence[Timesheet]:
    """The timesheets of shifts, each named with its seat, agreed to: all of them, or none. Raises as `reject_…`."""
    return await _decide(platform, property_id, pairs, "approve", "", actor)


async def reject_timesheet(
    platform: Platform, property_id: PropertyId, seat_id: SeatId, shift_id: ShiftId, *, comment: str = "", actor: str
) -> Timesheet:
    """The timesheet, refused; it may be requested anew. Raises NotFound, MissingParameters, WrongState, StoreError."""
    [rejected] = await _decide(platform, property_id, [(seat_id, shift_id)], "reject", comment, actor)
    return rejected


async def list_timesheets(
    platform: Platform,
    property_id: PropertyId,
    start: datetime,
    end: datetime,
    *,
    by: Literal["request", "shift"] = "request",
    seat_id: SeatId | None = None,
    building_id: BuildingId | None = None,
) -> Sequence[Timesheet]:
    """The timesheets that were requested, or whose shift begins, in a range. Raises WrongParameters, QueryTooLong, …"""
    check_range(start, end)
    async with platform.database.connection() as connection:
        await require_scope(connection, property_id, building_id, seat_id)
        return await store.timesheets_in_range(
            connection, property_id, start, end, by=by, seat_id=seat_id, building_id=building_id
        )


async def page_timesheets(
    platform: Platform,
    property_id: PropertyId,
    *,
    seat_id: SeatId | None = None,
    status: TimesheetStatus | None = None,
    after: tuple[datetime, ShiftId] | None = None,
    limit: int,
) -> Sequence[Timesheet]:
    """At most so many timesheets by when they were requested, behind the place that `after` names.

    Raises: NotFound for a seat that the property has not, StoreError
    """
    async with platform.database.connection() as connection:
        await require_scope(connection, property_id, None, seat_id)
        return await store.page_timesheets(
            connection, property_id, seat_id=seat_id, status=status, after=after, limit=limit
        )


async def read_timesheet(platform: Platform, property_id: PropertyId, shift_id: ShiftId) -> Timesheet:
    """The timesheet of a shift. Raises NotFound, StoreError."""
    async with platform.database.connection() as connection:
        return await store.require_timesheet(connection, property_id, shift_id)


async def _decide(
    platform: Platform,
    property_id: PropertyId,
    pairs: Sequence[tuple[SeatId, ShiftId]],
    act: TimesheetAct,
    comment: str,
    actor: str,
) -> list[Timesheet]:
    if not pairs:
        raise MissingParameters("say which timesheets are meant")
    if len(pairs) > DECIDED_MAX:
        raise LimitViolated(f"at most {DECIDED_MAX} timesheets are decided on by one call")
    seats = {shift_id: seat_id for seat_id, shift_id in pairs}
    async with platform.work(property_id, actor) as work:
        shifts = await lock_shifts(work.connection, property_id, seats.keys())
        return [await _decided(work, shift, seats[shift.id], act, comment) for shift in shifts]


async def _decided(work: Work, shift: Shift, seat_id: SeatId, act: TimesheetAct, comment: str) -> Timesheet:
    require_seat_of(shift, seat_id)
    before = await store.require_timesheet(work.connection, work.property_id, shift.id)
    decided = replace(
        before,
        status=next_status(before, act),
        comment=comment or before.comment,
        decided_by=work.actor,
        decided_at=work.now,
    )
    return await store.save_timesheet(work.connection, decided)


def _worked(start: datetime | None, end: datetime | None) -> tuple[datetime, datetime]:
    if start is None or end is None:
        raise MissingParameters("say from when until when was worked; nothing was recorded")
    if not timedelta() < end - start <= WORKED_MAX:
        raise WrongParameters(f"the time worked ends after its start, and at most {WORKED_MAX} later")
    return start, end
