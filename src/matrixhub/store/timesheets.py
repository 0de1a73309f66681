"""Timesheets: at most one for a shift."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from matrixhub.model.errors import NotFound, QueryTooLong
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, ShiftId
from matrixhub.model.timesheet import Timesheet, TimesheetStatus
from matrixhub.store.sql import load_statements

TIMESHEETS_MAX = 5_000
"""Timesheets that one query may return."""

_SQL = load_statements("timesheets.sql")


async def find_timesheet(connection: Any, property_id: PropertyId, shift_id: ShiftId) -> Timesheet | None:
    """The timesheet of a shift, or None. Whoever acts on it locks the shift before."""
    row = await connection.fetchrow(_SQL["read"], property_id, shift_id)
    return None if row is None else _timesheet(row)


async def require_timesheet(connection: Any, property_id: PropertyId, shift_id: ShiftId) -> Timesheet:
    """The timesheet of a shift. Raises NotFound."""
    found = await find_timesheet(connection, property_id, shift_id)
    if found is None:
        raise NotFound(f"shift {shift_id[:80]} has no timesheet")
    return found


async def save_timesheet(connection: Any, timesheet: Timesheet) -> Timesheet:
    """Keep a timesheet as it is now; its shift was locked before."""
    row = await connection.fetchrow(
        _SQL["save"],
        timesheet.shift_id,
        timesheet.property_id,
        timesheet.seat_id,
        timesheet.kind,
        timesheet.status,
        timesheet.worked_from,
        timesheet.worked_until,
        timesheet.comment,
        timesheet.requested_by,
        timesheet.requested_at,
        timesheet.decided_by,
        timesheet.decided_at,
    )
    return _timesheet(row)


async def timesheets_in_range(
    connection: Any,
    property_id: PropertyId,
    start: datetime,
    end: datetime,
    *,
    by: Literal["request", "shift"],
    seat_id: SeatId | None = None,
    building_id: BuildingId | None = None,
) -> Sequence[Timesheet]:
    """The timesheets that were requested, or whose shift begins, in a range, its end excluded. Raises QueryTooLong."""
    statement = _SQL["requested" if by == "request" else "of_shifts"]
    rows = await connection.fetch(statement, property_id, seat_id, start, end, TIMESHEETS_MAX + 1, building_id)
    if len(rows) > TIMESHEETS_MAX:
        raise QueryTooLong(f"there are more than {TIMESHEETS_MAX} timesheets of that time; ask for less of it")
    return [_timesheet(row) for row in rows]


async def page_timesheets(
    connection: Any,
    property_id: PropertyId,
    *,
    seat_id: SeatId | None = None,
    status: TimesheetStatus | None = None,
    after: tuple[datetime, ShiftId] | None = None,
    limit: int,
) -> Sequence[Timesheet]:
    """At most so many timesheets by when they were requested, behind the one named by `after`."""
    rows = await connection.fetch(_SQL["page"], property_id, seat_id, status, *(after or (None, None)), limit)
    return [_timesheet(row) for row in rows]


def _timesheet(row: Any) -> Timesheet:
    return Timesheet(**dict(row))
