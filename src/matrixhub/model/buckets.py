"""Buckets of time: where they begin in a time zone, and what of them can be made from rollups.

A rollup is about a *cell*, an hour of UTC, or half or a quarter of one where local clocks are not whole hours ahead.
Buckets are made from cells that lie in them whole, and from readings where a cell does not. All of it is pure, and the
calendar is that of `zoneinfo` alone.
Source: docs/decisions/0025-rollups.md
"""

from __future__ import annotations

import functools
import itertools
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from matrixhub.model.errors import WrongParameters
from matrixhub.model.time import zone

Length = timedelta | Literal["day", "week", "month"]
"""How long a bucket is: a step, counted from each local midnight, or what the calendar of the zone says."""

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEP = re.compile(r"([1-9][0-9]{0,3})([mh])")
_NAMED: dict[str, Length] = {
    "minute": timedelta(minutes=1),
    "hour": HOUR,
    "day": "day",
    "week": "week",
    "month": "month",
}


def parse_length(text: str) -> Length:
    """The length of buckets from `minute`, `hour`, `day`, `week`, `month`, or a step such as `15m` or `6h`.

    >>> parse_length("day"), parse_length("6h")
    ('day', datetime.timedelta(seconds=21600))

    Raises: WrongParameters.
    """
    if text in _NAMED:
        return _NAMED[text]
    if found := _STEP.fullmatch(text):
        step = int(found[1]) * (HOUR if found[2] == "h" else timedelta(minutes=1))
        if step <= DAY:
            return step
    raise WrongParameters(
        f"a bucket is {', '.join(_NAMED)}, or a step of at most 24h such as 15m or 6h, not {text[:20]!r}"
    )


def bucket_edges(length: Length, tz: ZoneInfo, start: datetime, end: datetime) -> list[datetime]:
    """Where buckets begin, from the one with `start` in it on; the last edge is at or behind `end`.

    Steps begin anew at each local midnight, so the last one of a day ends with it; a week begins on Monday.

    >>> berlin = ZoneInfo("Europe/Berlin")
    >>> start, end = datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 30, tzinfo=UTC)
    >>> [at.isoformat() for at in bucket_edges("day", berlin, start, end)][:2]
    ['2026-03-28T23:00:00+00:00', '2026-03-29T22:00:00+00:00']
    >>> len(bucket_edges(timedelta(hours=6), berlin, start, end))
    6
    """
    found: list[datetime] = []
    for edge in _edges(length, tz, start):
        if edge <= start:
            found = [edge]
            continue
        if edge > found[-1]:  # a day that the zone has skipped is none
            found.append(edge)
        if edge >= end:
            return found
    raise AssertionError("the calendar does not end")


def _edges(length: Length, tz: ZoneInfo, start: datetime) -> Iterator[datetime]:
    """Edges without end, from one before `start` on."""
    day = start.astimezone(tz).date()
    if length == "month":
        first = day.replace(day=1)
        while True:
            yield _midnight(first, tz)
            first = (first + timedelta(days=31)).replace(day=1)
    if length == "week":
        monday = day - timedelta(days=day.weekday())
        while True:
            yield _midnight(monday, tz)
            monday += timedelta(days=7)
    before = day - DAY  # where a midnight comes twice, or a day was left out, the start may lie before its own
    while True:
        midnight, following = _midnight(before, tz), _midnight(before + DAY, tz)
        yield midnight
        if isinstance(length, timedelta):
            at = midnight + length
            while at < following:
                yield at
                at += length
        before += DAY


def _midnight(day: date, tz: ZoneInfo) -> datetime:
    """When a local day begins: the first of two midnights, and the instant of the change where there is none."""
    return datetime.combine(day, time(), tz).astimezone(UTC)


def local_days(tz: ZoneInfo, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """The local days that touch a time, each with its end."""
    edges = bucket_edges("day", tz, start, end)
    return list(itertools.pairwise(edges))


@functools.lru_cache(maxsize=1024)
def cell_minutes(time_zone: str) -> int:
    """How many minutes a cell of the zone has: 60, 30 or 15, so that its hours and days are made of whole ones.

    Asked of the calendar from 2000 on; where another time has other offsets, what no cell fits is made from readings.

    >>> [cell_minutes(name) for name in ("Asia/Singapore", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe")]
    [60, 30, 15, 30]
    """
    tz = zone(time_zone)
    offsets = {
        datetime(year, month, 1, tzinfo=tz).utcoffset() or timedelta()
        for year in range(2000, 2041)
        for month in (1, 4, 7, 10)
    }
    return next(
        (minutes for minutes in (60, 30) if not any(one % timedelta(minutes=minutes) for one in offsets)),
        15,
    )


def hour_start(instant: datetime) -> datetime:
    """The full hour of UTC in which an instant lies."""
    return instant - (instant - _EPOCH) % HOUR


@dataclass(frozen=True, slots=True)
class Plan:
    """How buckets are made: from whole days, from the cells of the spans beside them, and from readings of torn hours.

    Without `rolled`, all is made from readings.
    """

    edges: Sequence[datetime]
    rolled: bool
    days: Sequence[tuple[datetime, datetime]] = ()
    spans: Sequence[tuple[datetime, datetime]] = ()
    torn: Sequence[datetime] = ()


def plan_buckets(length: Length, tz: ZoneInfo, start: datetime, end: datetime, *, minutes: int, own_days: bool) -> Plan:
    """How buckets of a zone are made where cells have so many minutes; `own_days` if days are rolled up in that zone.

    >>> tz, start = ZoneInfo("Asia/Kolkata"), datetime(2024, 3, 1, 12, tzinfo=UTC)
    >>> plan = plan_buckets("day", tz, start, start + 3 * DAY, minutes=30, own_days=True)
    >>> len(plan.days), [str(since)[11:16] + "-" + str(until)[11:16] for since, until in plan.spans], plan.torn
    (2, ['12:00-18:30', '18:30-12:00'], [])
    >>> plan_buckets(timedelta(minutes=5), tz, start, start + DAY, minutes=30, own_days=True).rolled
    False
    """
    edges = bucket_edges(length, tz, start, end)
    cell = timedelta(minutes=minutes)
    torn = sorted({hour_start(at) for at in (start, end, *edges) if (at - _EPOCH) % cell and start - HOUR < at <= end})
    if len(torn) * 2 >= (end - start) / HOUR or (isinstance(length, timedelta) and length < cell):
        return Plan(edges, rolled=False)
    days: list[tuple[datetime, datetime]] = []
    if own_days and not isinstance(length, timedelta):
        days = [
            (since, until)
            for since, until in local_days(tz, start, end)
            if start <= since
            and until <= end
            and fits_cells(since, until, minutes)
            # A torn hour is read whole, so what it reaches into is not taken from its day.
            and hour_start(since) not in torn
            and hour_start(until - _INSTANT) not in torn
        ]
    return Plan(edges, rolled=True, days=days, spans=_beside(days, start, end), torn=torn)


def fits_cells(since: datetime, until: datetime, minutes: int) -> bool:
    """Whether a time is made of whole cells."""
    cell = timedelta(minutes=minutes)
    return not (since - _EPOCH) % cell and not (until - _EPOCH) % cell


def _beside(
    days: Sequence[tuple[datetime, datetime]], start: datetime, end: datetime
) -> list[tuple[datetime, datetime]]:
    """What of a time no day covers."""
    found, at = [], start
    for since, until in days:
        if at < since:
            found.append((at, since))
        at = until
    return [*found, (at, end)] if at < end else found


def bucket_of(edges: Sequence[datetime], instant: datetime) -> datetime:
    """Where the bucket of an instant begins."""
    return edges[bisect_right(edges, instant) - 1]
