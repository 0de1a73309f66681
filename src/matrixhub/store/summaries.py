"""Numbers of readings in buckets of time, from rollups where they serve and from the readings where not.

Both give the same numbers: sums are exact, and what is rolled up and what is not are seen at one moment.
Source: docs/decisions/0025-rollups.md
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from matrixhub.model.buckets import Length, Plan, cell_minutes, plan_buckets
from matrixhub.model.ids import BuildingId, SlotId, ZoneId
from matrixhub.model.past import Summary
from matrixhub.model.time import zone
from matrixhub.store.past_readings import Sources
from matrixhub.store.sql import load_statements

By = Literal["slot", "zone", "building"]
"""Of what a summary is."""

_SQL = load_statements("summaries.sql")


@dataclass(frozen=True, slots=True)
class _Whole:
    """Whatever the numbers of are put together; an id is '' where it is put together with others."""

    building_id: BuildingId
    zone_id: ZoneId
    slot_id: SlotId


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What is to be summarised: attributes with a device type, '' for any, from `start` on and before `end`.

    `time_zone` is where days and steps begin, '' for that of each building.
    """

    start: datetime
    end: datetime
    metrics: Sequence[tuple[str, str]]
    length: Length
    time_zone: str = ""
    by: By = "slot"


async def summarise(connection: Any, sources: Sources, asked: Asked, *, limit: int) -> Sequence[Summary]:
    """Numbers by bucket of time. `metric` of a summary counts from 0; at most `limit` come.

    The statements are to be of one snapshot, as `Database.long_query` has it. Raises StoreError.
    """
    if not sources.series:
        return []
    marked = await connection.fetchval(_SQL["all_is_marked"])
    found: list[Summary] = []
    for (time_zone, minutes, own), origins in _alike(sources.origins, asked.time_zone).items():
        tz = zone(time_zone)
        plan = plan_buckets(asked.length, tz, asked.start, asked.end, minutes=minutes, own_days=own)
        found += await _summarise_alike(
            connection,
            origins,
            asked,
            plan,
            rolled=plan.rolled and marked,
            time_zone=time_zone,
            limit=limit - len(found),
        )
        if len(found) >= limit:
            break
    return found


def first_whole(sources: Sources, asked: Asked) -> datetime | None:
    """Before when some of the numbers are gone with their readings, None if there are all.

    Where readings are no longer kept, only buckets are answered that are made of rollups alone.
    """
    found = None
    for (time_zone, minutes, own), origins in _alike(sources.origins, asked.time_zone).items():
        since = max(origin["raw_since"] for origin in origins.values())
        if since <= asked.start:
            continue
        plan = plan_buckets(asked.length, zone(time_zone), asked.start, asked.end, minutes=minutes, own_days=own)
        if not plan.rolled or any(hour < since for hour in plan.torn):
            found = since if found is None else max(found, since)
    return found


def _alike(origins: Mapping[int, Any], time_zone: str) -> Mapping[tuple[str, int, bool], Mapping[int, Any]]:
    """Origins whose buckets are made in the same way: by time zone, minutes of a cell, and if days are of that zone."""
    found: dict[tuple[str, int, bool], dict[int, Any]] = defaultdict(dict)
    for number, origin in origins.items():
        key = (
            time_zone or origin["time_zone"],
            origin["cell_minutes"] or cell_minutes(origin["time_zone"]),
            time_zone in ("", origin["time_zone"]),
        )
        found[key][number] = origin
    return found


async def _summarise_alike(
    connection: Any,
    origins: Mapping[int, Any],
    asked: Asked,
    plan: Plan,
    *,
    rolled: bool,
    time_zone: str,
    limit: int,
) -> Sequence[Summary]:
    wholes: dict[_Whole, int] = {}
    together = [wholes.setdefault(_whole(origin, asked.by), len(wholes)) for origin in origins.values()]
    attributes, devtypes = [a for a, _ in asked.metrics], [d for _, d in asked.metrics]
    numbers = list(origins)
    if rolled:
        rows = await connection.fetch(
            _SQL["from_rollups"],
            asked.start,
            asked.end,
            plan.edges,
            plan.torn,
            numbers,
            together,
            attributes,
            devtypes,
            [since for since, _ in plan.days],
            [until for _, until in plan.days],
            [since for since, _ in plan.spans],
            [until for _, until in plan.spans],
            limit,
        )
    else:
        series = sorted({origin["series"] for origin in origins.values()})
        rows = await connection.fetch(
            _SQL["from_readings"],
            series,
            asked.start,
            asked.end,
            plan.edges,
            attributes,
            devtypes,
            numbers,
            together,
            limit,
        )
    named = list(wholes)
    return [_summary(row, named[row["together"]], plan.edges[row["bucket"] - 1], time_zone) for row in rows]


def _whole(origin: Any, by: By) -> _Whole:
    return _Whole(
        BuildingId(origin["building_id"]),
        ZoneId(origin["zone_id"] if by != "building" else ""),
        SlotId(origin["slot_id"] if by == "slot" else ""),
    )


def _summary(row: Any, whole: _Whole, bucket: datetime, time_zone: str) -> Summary:
    return Summary(
        metric=row["metric"] - 1,
        building_id=whole.building_id,
        zone_id=whole.zone_id,
        slot_id=whole.slot_id,
        time_zone=time_zone,
        bucket=bucket,
        count=row["n"],
        sum=row["sum"],
        least=row["least"],
        greatest=row["greatest"],
    )
