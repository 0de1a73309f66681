"""How many work orders there were, day by day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from matrixhub.model.ids import BuildingId, PropertyId
from matrixhub.model.time import zone
from matrixhub.store.sql import load_statements

Counting = Literal["incidents_by_type", "incidents_by_status", "incidents_by_priority", "tasks_completed"]

_SQL = load_statements("metrics.sql")

_UTC_SPREAD = timedelta(hours=26)
"""Local days of all time zones lie within so much of those in UTC. Source: the tz database, +14 h to -12 h"""


@dataclass(frozen=True, slots=True)
class Place:
    """The property or one of its buildings, and its time zone."""

    id: str
    time_zone: ZoneInfo
    is_property: bool


@dataclass(frozen=True, slots=True)
class DayCount:
    """How many of a kind there were in a building on a local day, `YYYYMMDD`."""

    building_id: BuildingId
    day: str
    word: str
    found: int


async def list_places(connection: Any, property_id: PropertyId) -> Sequence[Place]:
    """The property and its buildings; none if there is no such property."""
    rows = await connection.fetch(_SQL["places"], property_id)
    return [Place(row["id"], zone(row["time_zone"] or "UTC"), row["is_property"]) for row in rows]


async def count_days(
    connection: Any,
    property_id: PropertyId,
    counting: Counting,
    building_ids: Sequence[BuildingId],
    first: date,
    last: date,
) -> Sequence[DayCount]:
    """What was counted in these buildings from the first to the last local day, both whole."""
    since, until = (datetime.combine(day, time()) for day in (first, last))
    utc = ZoneInfo("UTC")
    rows = await connection.fetch(
        _SQL[counting],
        property_id,
        list(building_ids),
        (since - _UTC_SPREAD).replace(tzinfo=utc),
        (until + timedelta(days=1) + _UTC_SPREAD).replace(tzinfo=utc),
    )
    wanted = f"{first:%Y%m%d}", f"{last:%Y%m%d}"
    found = [DayCount(BuildingId(row["building_id"]), row["day"], row["word"], row["found"]) for row in rows]
    return [count for count in found if wanted[0] <= count.day <= wanted[1]]
