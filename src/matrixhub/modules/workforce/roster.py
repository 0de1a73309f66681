"""What is asked about shifts. Source: docs/contract/workforce.md §3.4"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from matrixhub.model.devices import Json
from matrixhub.model.errors import QueryTooLong, WrongParameters
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, ShiftId, TaskId
from matrixhub.model.paging import check_page
from matrixhub.model.seat import Seat
from matrixhub.model.shift import SHIFT_STATUSES, Shift, shift_record
from matrixhub.model.timesheet import Timesheet, timesheet_record
from matrixhub.modules.work import Platform
from matrixhub.modules.workforce.records import task_record
from matrixhub.modules.workforce.steps import require_seat_of
from matrixhub.store import shifts as store
from matrixhub.store.grids import read_building
from matrixhub.store.seats import list_seats, require_seat
from matrixhub.store.timesheets import find_timesheet
from matrixhub.store.work_orders import Wanted, list_work_orders

RANGE_MAX = timedelta(days=93)
"""The longest time that one query looks at."""

NEXT_MAX = 100
TASKS_MAX = 1_000
"""Task groups that the details of a shift show."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShiftDetails:
    """A shift with what was claimed for it."""

    shift: Shift
    timesheet: Timesheet | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lateness:
    """How punctual shifts were: those begun in time, begun late, never begun, and by how much the late ones were."""

    in_time: int
    late: int
    absent: int
    late_mean_s: int


async def list_shifts(
    platform: Platform,
    property_id: PropertyId,
    start: datetime,
    end: datetime,
    *,
    building_id: BuildingId | None = None,
    seat_id: SeatId | None = None,
    status: str | None = None,
) -> Sequence[Shift]:
    """The shifts that begin in a range, its end excluded: of the property, a building, a seat, in a state.

    The status `DELAYED` finds the published ones that are late.
    Raises: NotFound for a building or seat that the property has not, WrongParameters, QueryTooLong for too long a
            time or too many shifts, StoreError
    """
    check_range(start, end)
    if status not in (None, "DELAYED", *SHIFT_STATUSES):
        raise WrongParameters(f"Status is one of {', '.join(SHIFT_STATUSES)}, DELAYED")
    async with platform.database.connection() as connection:
        await require_scope(connection, property_id, building_id, seat_id)
        return await store.shifts_in_range(
            connection, property_id, start, end, building_id=building_id, seat_id=seat_id, status=status
        )


async def page_shifts(
    platform: Platform,
    property_id: PropertyId,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    building_id: BuildingId | None = None,
    seat_id: SeatId | None = None,
    status: str | None = None,
    after: tuple[datetime, ShiftId] | None = None,
    limit: int,
) -> Sequence[Shift]:
    """At most so many shifts that begin in a time, by their begin, behind the place that `after` names.

    Raises: NotFound for a building or seat that the property has not, StoreError
    """
    async with platform.database.connection() as connection:
        await require_scope(connection, property_id, building_id, seat_id)
        return await store.page_shifts(
            connection,
            property_id,
            start=start,
            end=end,
            building_id=building_id,
            seat_id=seat_id,
            status=status,
            after=after,
            limit=limit,
        )


async def read_shift(platform: Platform, property_id: PropertyId, shift_id: ShiftId) -> Shift:
    """A shift of the property. Raises NotFound, StoreError."""
    async with platform.database.connection() as connection:
        return await store.read_shift(connection, property_id, shift_id)


async def shift_details(
    platform: Platform, property_id: PropertyId, seat_id: SeatId, shift_id: ShiftId
) -> ShiftDetails:
    """A shift of the seat with its timesheet, if there is one. Raises NotFound, StoreError."""
    async with platform.database.connection() as connection:
        shift = await store.read_shift(connection, property_id, shift_id)
        require_seat_of(shift, seat_id)
        return ShiftDetails(shift=shift, timesheet=await find_timesheet(connection, property_id, shift_id))


async def current_shift(
    platform: Platform, property_id: PropertyId, seat_id: SeatId, at: datetime | None = None
) -> Shift | None:
    """The shift the seat is working in, or else the published one whose time it is then, or now. Raises NotFound, …"""
    async with platform.database.connection() as connection:
        await require_seat(connection, property_id, seat_id)
        return await store.current_shift(connection, property_id, seat_id, at or platform.now())


async def next_shifts(
    platform: Platform, property_id: PropertyId, seat_id: SeatId, at: datetime, *, limit: int = 10
) -> Sequence[Shift]:
    """The next published shifts of the seat that begin at that instant or later. Raises NotFound, QueryTooLong, …"""
    check_page(limit, NEXT_MAX)
    async with platform.database.connection() as connection:
        await require_seat(connection, property_id, seat_id)
        return await store.next_shifts(connection, property_id, seat_id, at, limit)


async def count_shifts(
    platform: Platform,
    property_id: PropertyId,
    start: datetime,
    end: datetime,
    *,
    building_id: BuildingId | None = None,
    seat_id: SeatId | None = None,
) -> Mapping[str, int]:
    """How many shifts begin in a range, by status; under `Delayed` those of them that are or were late."""
    check_range(start, end)
    async with platform.database.connection() as connection:
        await require_scope(connection, property_id, building_id, seat_id)
        found = await store.shift_counts(connection, property_id, start, end, building_id=building_id, seat_id=seat_id)
    return {key: found.get(key, 0) for key in (*SHIFT_STATUSES, "Delayed")}


async def free_seats(
    platform: Platform, property_id: PropertyId, seat_id: SeatId, start: datetime, end: datetime
) -> Sequence[Seat]:
    """Who could stand in for a seat on leave: active seats without any shift in that time. Raises NotFound, …"""
    check_range(start, end)
    async with platform.database.connection() as connection:
        await require_seat(connection, property_id, seat_id)
        free = set(await store.free_seats(connection, property_id, start, end, but=seat_id))
        return [seat for seat in await list_seats(connection, property_id) if seat.id in free]


def lateness(shifts: Sequence[Shift]) -> Lateness:
    """How punctual these shifts were; those that may still begin in time do not count.

    Units: whole seconds.
    """
    lags = [max(timedelta(), shift.started_at - shift.starts_at) for shift in shifts if shift.started_at is not None]
    late = [lag.total_seconds() for lag in lags if lag > timedelta()]
    return Lateness(
        in_time=len(lags) - len(late),
        late=len(late),
        absent=sum(1 for shift in shifts if shift.status == "ABSENT"),
        late_mean_s=round(sum(late) / len(late)) if late else 0,
    )


async def shift_records(platform: Platform, property_id: PropertyId, shifts: Sequence[Shift]) -> list[dict[str, Json]]:
    """Shifts as Matrix Web Services show them, each with the ids of its task groups. Raises StoreError."""
    async with platform.database.connection() as connection:
        organisation = await store.organisation_of(connection, property_id)
        tasks = await store.tasks_of_shifts(connection, property_id, [shift.id for shift in shifts])
    return [shift_record(shift, organisation, tasks.get(shift.id, ())) for shift in shifts]


async def details_record(
    platform: Platform, property_id: PropertyId, seat_id: SeatId, shift_id: ShiftId
) -> dict[str, Json]:
    """A shift with its task groups and its timesheet, as Matrix Web Services show it. Raises NotFound, StoreError."""
    details = await shift_details(platform, property_id, seat_id, shift_id)
    async with platform.database.connection() as connection:
        organisation = await store.organisation_of(connection, property_id)
        wanted = Wanted(shift_id=shift_id, type="TASK")
        orders = await list_work_orders(connection, property_id, wanted, limit=TASKS_MAX)
    tasks: list[Json] = [task_record(order) for order in orders]
    return shift_details_record(details, organisation, [order.id for order in orders], tasks)


def lateness_record(found: Lateness) -> dict[str, Json]:
    """How punctual shifts were, as Matrix Web Services show it; their record of it is not published."""
    return {
        "InTime": found.in_time,
        "Late": found.late,
        "Absent": found.absent,
        "MeanLatenessInSeconds": found.late_mean_s,
    }


def shift_details_record(
    details: ShiftDetails, organisation_id: str, task_ids: Sequence[TaskId] = (), tasks: Sequence[Json] = ()
) -> dict[str, Json]:
    """The details as Matrix Web Services show them; `tasks` are the records of its task groups."""
    record = shift_record(details.shift, organisation_id, task_ids)
    return {
        "shift": record,
        "taskgroup": list(tasks),
        "timesheet": None if details.timesheet is None else timesheet_record(details.timesheet),
        "startDate": record["Start"],
        "endDate": record["End"],
    }


async def require_scope(
    connection: Any, property_id: PropertyId, building_id: BuildingId | None, seat_id: SeatId | None
) -> None:
    """Raises NotFound where the property has no such building, or no such seat."""
    if building_id is not None:
        await read_building(connection, property_id, building_id)
    if seat_id is not None:
        await require_seat(connection, property_id, seat_id)


def check_range(start: datetime, end: datetime) -> None:
    """Refuse what is no range, or too long a one. Raises WrongParameters, QueryTooLong."""
    if end <= start:
        raise WrongParameters("EndTime lies after StartTime")
    if end - start > RANGE_MAX:
        raise QueryTooLong(f"at most {RANGE_MAX.days} days are looked at by one query")
