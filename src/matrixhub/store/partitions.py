"""Partitions by time, made ahead and dropped when all in them is too old.

No transaction here holds the row of a subscription, and each takes its strongest lock first and waits for it only
briefly: carriers hold rows while they insert, and must not be kept waiting, or wait for us while we wait for them.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from matrixhub.store.pool import Database
from matrixhub.store.sql import load_statements

AHEAD = timedelta(days=7)
LOCK_WAIT = "500ms"
PARTITIONS_LOCK = 0x6D78_6875_6205

_SQL = load_statements("partitions.sql")
_EPOCH = datetime(2001, 1, 1, tzinfo=UTC)  # a Monday


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table that is partitioned by time."""

    name: str
    column: str
    days: int


ATTEMPTS = Table(name="attempts", column="at", days=1)
PARKED = Table(name="parked", column="parked_at", days=7)
EVENTS = Table(name="events", column="at", days=7)
READINGS = Table(name="readings", column="at", days=1)
TABLES = (ATTEMPTS, PARKED, EVENTS)


def partition_start(table: Table, instant: datetime) -> datetime:
    """When the partition of an instant begins.

    >>> partition_start(PARKED, datetime(2024, 3, 10, 5, tzinfo=UTC)).isoformat()
    '2024-03-04T00:00:00+00:00'
    """
    return _EPOCH + (instant - _EPOCH) // timedelta(days=table.days) * timedelta(days=table.days)


def partition_name(table: Table, start: datetime) -> str:
    """
    >>> partition_name(ATTEMPTS, datetime(2024, 3, 10, tzinfo=UTC))
    'attempts_20240310'
    """
    return f"{table.name}_{start:%Y%m%d}"


def is_over(table: Table, name: str, before: datetime) -> bool:
    """Whether all that a partition may hold is from before the instant; never for the default one.

    >>> is_over(ATTEMPTS, "attempts_20240310", datetime(2024, 3, 11, tzinfo=UTC))
    True
    """
    day = name.removeprefix(f"{table.name}_")
    if not day.isdigit():
        return False
    start = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
    return start + timedelta(days=table.days) <= before


def begins_before(table: Table, name: str, instant: datetime) -> bool:
    """Whether a partition may hold what is from before the instant; always for the default one.

    >>> [begins_before(ATTEMPTS, name, datetime(2024, 3, 10, tzinfo=UTC)) for name in
    ...  ("attempts_20240309", "attempts_20240310", "attempts_default")]
    [True, False, True]
    """
    day = name.removeprefix(f"{table.name}_")
    return not day.isdigit() or datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC) < instant


class PostgresPartitions:
    """The port `Partitions`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def make(self, now: datetime) -> Mapping[str, int]:
        """Make those of the next days. See `Partitions.make`."""
        made: dict[str, int] = {}
        for table in TABLES:
            known = await self.names(table)
            start = partition_start(table, now)
            while start <= now + AHEAD:
                if partition_name(table, start) not in known:
                    made |= await self.make_one(table, start)
                start += timedelta(days=table.days)
        return made

    async def drop(
        self, *, attempts_before: datetime, parked_before: datetime, events_before: datetime
    ) -> Sequence[str]:
        """Drop those that are over. See `Partitions.drop`."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["delete_attempts"], attempts_before)
            await connection.execute(_SQL["delete_events"], events_before)
        dropped: list[str] = []
        for table, before in ((ATTEMPTS, attempts_before), (PARKED, parked_before), (EVENTS, events_before)):
            over = [name for name in await self.names(table) if is_over(table, name, before)]
            dropped += [name for name in over if await self.drop_one(table, name)]
        return dropped

    async def make_one(self, table: Table, start: datetime) -> Mapping[str, int]:
        """Make the partition that begins then, unless it is there; how many rows it took over. Raises StoreError."""
        name, until = partition_name(table, start), start + timedelta(days=table.days)
        default, column = f"{table.name}_default", table.column
        async with self._change() as connection:
            await connection.execute(f"lock table {default} in access exclusive mode")
            if await connection.fetchval("select to_regclass($1)", name) is not None:
                return {}
            await connection.execute(f"create table {name} (like {table.name} including all)")
            # Names and bounds cannot be arguments of such statements; they are made here, from constants and dates.
            rows = await connection.fetchval(
                f"with moved as (delete from {default} where {column} >= $1 and {column} < $2 returning *), "
                f"kept as (insert into {name} select * from moved returning 1) select count(*) from kept",
                start,
                until,
            )
            await connection.execute(
                f"alter table {table.name} attach partition {name} "
                f"for values from ('{start.isoformat()}') to ('{until.isoformat()}')"
            )
        return {name: rows}

    async def drop_one(self, table: Table, name: str) -> bool:
        """Drop a partition, if all in it may go; whether that was done. Raises StoreError."""
        async with self._change() as connection:
            await connection.execute(f"lock table {table.name} in access exclusive mode")
            if await connection.fetchval("select to_regclass($1)", name) is None:
                return False
            # Each parked reading counts, so it must have expired before; each event must have been passed on.
            if table is PARKED and await connection.fetchval(f"select exists (select from {name})"):
                return False
            if table is EVENTS and await connection.fetchval(
                f"select exists (select from {name} where number > (select number from relay_progress))"
            ):
                return False
            await connection.execute(f"drop table {name}")
        return True

    @contextlib.asynccontextmanager
    async def _change(self) -> AsyncIterator[Any]:
        async with self._database.transaction() as connection:
            await connection.execute(_SQL["lock"], PARTITIONS_LOCK)
            await connection.execute(f"set local lock_timeout = '{LOCK_WAIT}'")
            yield connection

    async def names(self, table: Table) -> Sequence[str]:
        """The partitions that there are. Raises StoreError."""
        async with self._database.connection() as connection:
            return [row["name"] for row in await connection.fetch(_SQL["list"], table.name)]
