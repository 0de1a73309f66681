"""What a database that the hub hosts needs from time to time: partitions ahead, and an end of what is too old.

Nothing here waits for a lock for long, or takes one that a customer could hold on purpose for ever: what cannot be done
now is done by the next round, and rows lie in the default partition until then.
Source: docs/decisions/0029-schema.md
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from matrixhub.ports import Clock
from matrixhub.store.sql import load_statements

AHEAD = timedelta(days=14)
WEEK = timedelta(days=7)
LATE_MAX = 26
"""So many weeks at most are given a partition in one round because rows of theirs lie in the default one."""

SILENT = timedelta(days=30)
"""A clock may be so far ahead of the newest reading; what it says beyond is not believed when old data is dropped."""

LOCK_WAIT = "500ms"
DELETED = 2_000
PAUSE_S = 0.05
PREFIX = "sensor_data_"

_SQL = load_statements("partitions.sql", "matrixhub.databases")
_EPOCH = datetime(2001, 1, 1, tzinfo=UTC)  # a Monday


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What a round did: partitions made and dropped, rows deleted, and what waits because somebody held a lock."""

    made: Sequence[str] = ()
    dropped: Sequence[str] = ()
    deleted: int = 0
    waiting: Sequence[str] = ()


def week_of(instant: datetime) -> datetime:
    """When the partition of an instant begins: a Monday, 00:00 UTC.

    >>> week_of(datetime(2024, 3, 10, 5, tzinfo=UTC)).isoformat()
    '2024-03-04T00:00:00+00:00'
    """
    return _EPOCH + (instant - _EPOCH) // WEEK * WEEK


def partition_name(week: datetime) -> str:
    """
    >>> partition_name(datetime(2024, 3, 4, tzinfo=UTC))
    'sensor_data_20240304'
    """
    return f"{PREFIX}{week:%Y%m%d}"


def partition_week(name: str) -> datetime | None:
    """When a partition begins, None for the default one and for what is none of ours.

    >>> partition_week("sensor_data_20240304"), partition_week("sensor_data_default")
    (datetime.datetime(2024, 3, 4, 0, 0, tzinfo=datetime.timezone.utc), None)
    """
    day = name.removeprefix(PREFIX)
    if len(day) != 8 or not day.isdigit():
        return None
    return datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)


def cutoff(now: datetime, newest: datetime | None, retention_days: int) -> datetime:
    """Readings from before are too old, unless it is the clock that is wrong: then none is that the newest speaks for.

    Shape:  newest is an instant no reading is later than, None if there is no reading.

    >>> cutoff(datetime(2024, 3, 10, tzinfo=UTC), None, 10).isoformat()
    '2024-02-29T00:00:00+00:00'
    >>> cutoff(datetime(2044, 3, 10, tzinfo=UTC), datetime(2024, 3, 11, tzinfo=UTC), 30).isoformat()
    '2024-03-11T00:00:00+00:00'
    """
    believed = now if newest is None else min(now, newest + SILENT)
    return believed - timedelta(days=retention_days)


def weeks_to_make(now: datetime, known: Iterable[str], late: Iterable[datetime], before: datetime) -> list[datetime]:
    """The partitions to make: of the next weeks, and of weeks whose rows lie in the default one and are to be kept.

    >>> now = datetime(2024, 3, 10, tzinfo=UTC)
    >>> [f"{w:%m-%d}" for w in weeks_to_make(now, ["sensor_data_20240311"], [now - 9 * WEEK], now - 3 * WEEK)]
    ['03-04', '03-18']
    """
    there = set(known)
    ahead = [week_of(now) + WEEK * weeks for weeks in range(AHEAD // WEEK + 1)]
    wanted = {*ahead, *(week_of(one) for one in late)}
    missing = sorted(week for week in wanted if week + WEEK > before and partition_name(week) not in there)
    return [week for week in missing if week in ahead] + [week for week in missing if week not in ahead][:LATE_MAX]


async def make_ahead(connection: Any) -> None:
    """Make the partitions of the next weeks in a new database, as the owner of its tables."""
    for week in weeks_to_make(await connection.fetchval("select now()"), (), (), _EPOCH):
        await make_week(connection, week)


async def keep_up(connection: Any, clock: Clock, retention_days: int) -> Kept:
    """Make partitions ahead and end what is too old, in a database that the hub hosts, as the owner of its tables.

    Faults of the driver come as they are, but for locks that are not to be had: those wait for the next round.
    """
    now = datetime.fromtimestamp(clock.now_ms() / 1000, UTC)
    names = [row["name"] for row in await connection.fetch(_SQL["partitions"])]
    before = cutoff(now, await _newest(connection, names), retention_days)
    late = [row["week"] for row in await connection.fetch(_SQL["weeks_in_default"], WEEK, _EPOCH, LATE_MAX)]
    made: list[str] = []
    dropped: list[str] = []
    waiting: list[str] = []
    for week in weeks_to_make(now, names, late, before):
        (made if await make_week(connection, week) else waiting).append(partition_name(week))
    for name in names:
        start = partition_week(name)
        if start is not None and start + WEEK <= before:
            (dropped if await _drop(connection, name) else waiting).append(name)
    deleted = await _delete(connection, clock, "delete_late", before)
    deleted += await _delete(connection, clock, "delete_events", before)
    return Kept(made=made, dropped=dropped, deleted=deleted, waiting=waiting)


async def _newest(connection: Any, names: Iterable[str]) -> datetime | None:
    """The end of the newest partition with a row in it."""
    for name in sorted(names, reverse=True):
        start = partition_week(name)
        if start is not None and await connection.fetchval(f"select exists (select from matrix.{name})"):
            return start + WEEK
    return None


async def make_week(connection: Any, week: datetime) -> bool:
    """Make the partition of a week that has none; whether that could be done now."""
    name, until = partition_name(week), week + WEEK
    try:
        async with connection.transaction():
            await connection.execute(f"set local lock_timeout = '{LOCK_WAIT}'")
            await connection.execute("lock table matrix.sensor_data_default in access exclusive mode")
            # Names and bounds cannot be arguments of such statements; they are made here, from dates.
            await connection.execute(f"create table matrix.{name} (like matrix.sensor_data including all)")
            await connection.execute(
                f"with moved as (delete from matrix.sensor_data_default where time >= $1 and time < $2 returning *) "
                f"insert into matrix.{name} select * from moved",
                week,
                until,
            )
            await connection.execute(
                f"alter table matrix.sensor_data attach partition matrix.{name} "
                f"for values from ('{week.isoformat()}') to ('{until.isoformat()}')"
            )
    except asyncpg.LockNotAvailableError:
        return False
    return True


async def _drop(connection: Any, name: str) -> bool:
    try:
        async with connection.transaction():
            await connection.execute(f"set local lock_timeout = '{LOCK_WAIT}'")
            await connection.execute(f"drop table matrix.{name}")
    except asyncpg.LockNotAvailableError:
        return False
    return True


async def _delete(connection: Any, clock: Clock, statement: str, before: datetime) -> int:
    """Delete rows from before, a few at a time."""
    deleted = 0
    while True:
        some = int((await connection.execute(_SQL[statement], before, DELETED)).rpartition(" ")[2])
        deleted += some
        if some < DELETED:
            return deleted
        await clock.sleep(PAUSE_S)
