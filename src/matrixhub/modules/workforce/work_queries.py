"""What is asked of incidents and tasks: lists, pages, counts, and who could take more.

Source: docs/contract/incidents.md §4
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from matrixhub.model.errors import QueryTooLong, WrongParameters
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, ShiftId, TaskId, ZoneId
from matrixhub.model.paging import check_page
from matrixhub.model.time import check_year
from matrixhub.model.work_order import Status, WorkOrder, WorkType
from matrixhub.modules.work import Platform
from matrixhub.store import work_orders as store
from matrixhub.store.work_orders import Candidate, Wanted

PAGE = 100
"""Work orders of a page."""

RANGE_MAX = timedelta(days=31)
"""How long a range may be that is asked for as a whole."""

FOUND_MAX = 1_000
"""How many work orders are given that are asked for as a whole."""

LAST_MAX = 100
LAST_RANGE = timedelta(days=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Some work orders, and the key of the next page, '' behind the last."""

    items: list[WorkOrder]
    last_key: str


async def list_work(platform: Platform, property_id: PropertyId, wanted: Wanted) -> list[WorkOrder]:
    """All that is wanted of a range, by start.

    Raises: WrongParameters without a range, QueryTooLong for one of more than 31 days or with more than 1000 results,
    NotFound where what is named is not there.
    """
    if wanted.since is None or wanted.until is None or wanted.until < wanted.since:
        raise WrongParameters("StartTime and EndTime are needed, in this order")
    if wanted.until - wanted.since > RANGE_MAX:
        raise QueryTooLong(f"a range has at most {RANGE_MAX.days} days")
    return await _all_of(platform, property_id, wanted)


async def work_of_shift(
    platform: Platform, property_id: PropertyId, building_id: BuildingId, shift_id: ShiftId
) -> list[WorkOrder]:
    """All tasks and incidents of a shift, by start. Raises: NotFound, QueryTooLong for more than 1000."""
    return await _all_of(platform, property_id, Wanted(building_id=building_id, shift_id=shift_id))


async def _all_of(platform: Platform, property_id: PropertyId, wanted: Wanted) -> list[WorkOrder]:
    async with platform.database.connection() as connection:
        await store.require_known(connection, property_id, wanted)
        found = await store.list_work_orders(connection, property_id, wanted, limit=FOUND_MAX + 1)
    if len(found) > FOUND_MAX:
        raise QueryTooLong(f"there are more than {FOUND_MAX}: ask for pages, or a shorter range")
    return found


async def page_work(
    platform: Platform,
    property_id: PropertyId,
    wanted: Wanted,
    *,
    key: str = "",
    after: tuple[datetime, TaskId] | None = None,
    size: int = PAGE,
) -> Page:
    """A page of what is wanted, by start, behind the place that `key` tells, or else `after`.

    Raises: WrongParameters for a key that no page gave, or a page of nothing; QueryTooLong for one of more than 1000;
    NotFound where what is named is not there.
    """
    check_page(size, FOUND_MAX)
    after = read_key(key) if key else after
    async with platform.database.connection() as connection:
        await store.require_known(connection, property_id, wanted)
        found = await store.list_work_orders(connection, property_id, wanted, after=after, limit=size + 1)
    more = len(found) > size
    return Page(items=found[:size], last_key=make_key(found[size - 1]) if more else "")


async def last_tasks(
    platform: Platform,
    property_id: PropertyId,
    *,
    building_id: BuildingId | None = None,
    zone_id: ZoneId | None = None,
    seat_id: SeatId | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 1,
) -> list[WorkOrder]:
    """The last tasks, newest first; without a range those of the last 24 hours. The sign of `limit` counts for nothing.

    Raises: QueryTooLong for more than 100, WrongParameters for an end that nothing lies before, NotFound where what is
    named is not there.
    """
    if abs(limit) > LAST_MAX:
        raise QueryTooLong(f"at most {LAST_MAX} tasks are given")
    until = until or platform.now() + timedelta(seconds=1)
    check_year(until)
    named = Wanted(building_id=building_id, zone_id=zone_id, seat_id=seat_id)
    async with platform.database.connection() as connection:
        await store.require_known(connection, property_id, named)
        return await store.latest_tasks(
            connection,
            property_id,
            building_id=building_id,
            zone_id=zone_id,
            seat_id=seat_id,
            since=since or until - LAST_RANGE,
            until=until,
            limit=abs(limit) or 1,
        )


async def count_work(
    platform: Platform,
    property_id: PropertyId,
    *,
    building_id: BuildingId | None = None,
    seat_id: SeatId | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Mapping[tuple[WorkType, Status], int]:
    """How many incidents and tasks that start in the range are in each state.

    Raises NotFound where what is named is not there.
    """
    async with platform.database.connection() as connection:
        await store.require_known(connection, property_id, Wanted(building_id=building_id, seat_id=seat_id))
        return await store.count_work_orders(
            connection, property_id, building_id=building_id, seat_id=seat_id, since=since, until=until
        )


async def on_duty(
    platform: Platform, property_id: PropertyId, building_id: BuildingId, zone_ids: Collection[ZoneId]
) -> list[tuple[Candidate, list[WorkOrder]]]:
    """Who is on duty for one of the zones, with what they are working on just now.

    Raises NotFound for a zone that the building has not.
    """
    async with platform.database.connection() as connection:
        await store.read_zones(connection, property_id, building_id, zone_ids)
        candidates = await store.candidates_on_duty(connection, property_id, building_id, zone_ids, platform.now())
        running = Wanted(building_id=building_id, statuses=("STARTED",))
        orders = await store.list_work_orders(connection, property_id, running, limit=FOUND_MAX)
    return [
        (one, [order for order in orders if order.assignee and order.assignee.seat_id == one.seat_id])
        for one in candidates
    ]


def make_key(order: WorkOrder) -> str:
    """The key of the page behind a work order: opaque to clients."""
    place = {"Start": order.starts_at.isoformat(), "TaskId": order.id}
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def read_key(key: str) -> tuple[datetime, TaskId]:
    """The place a key tells. Raises: WrongParameters."""
    try:
        place = msgspec.json.decode(base64.urlsafe_b64decode(key.encode()), type=dict[str, str])
        return datetime.fromisoformat(place["Start"]).astimezone(UTC), TaskId(place["TaskId"])
    except (binascii.Error, msgspec.MsgspecError, KeyError, ValueError, OverflowError) as error:
        raise WrongParameters("LastEvaluatedKey is one that a page gave") from error
