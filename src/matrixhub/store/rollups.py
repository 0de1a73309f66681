"""Rollups: numbers of readings by hour and day, as exact as the readings, whatever comes late.

Whoever stores marks the hours in which readings lie, in the same transaction. A round of rolling up counts a
generation further under the row that every batch holds: each batch before is committed then, and each one behind marks
anew. So what was marked before can be made from the readings and its mark taken away, and nothing is missed that comes
meanwhile.
Source: docs/decisions/0025-rollups.md
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from matrixhub.model.buckets import DAY, HOUR, cell_minutes, fits_cells, local_days
from matrixhub.model.errors import StoreBusy
from matrixhub.model.ids import PropertyId
from matrixhub.model.time import zone
from matrixhub.ports import RollupRound
from matrixhub.store.partitions import PostgresPartitions, Table, is_over, partition_name, partition_start
from matrixhub.store.pool import Database
from matrixhub.store.sql import load_statements

READING_HOURS = Table(name="reading_hours", column="at", days=28)
READING_DAYS = Table(name="reading_days", column="at", days=364)

HOUR_MS = 3_600_000
MARKS_MAX = 1_000_000
TIMEOUT_S = 120.0
"""So long one step may take, which an hour of very many readings needs alone."""

SETTLE_S = 10.0
SETTLE_HOURS = 100

_SQL = load_statements("rollups.sql")

Hour = tuple[int, int]
"""An origin and an hour of UTC, counted from 1970 on."""


class Marks:
    """What has been marked in the generation that is, so that it costs nothing to find it marked."""

    def __init__(self) -> None:
        self._generation = -1
        self._marked: set[Hour] = set()

    def missing(self, generation: int, hours: Collection[Hour]) -> set[Hour]:
        """Those of the hours that are still to be marked.

        >>> marks = Marks()
        >>> marks.made(1, {(7, 475008)})
        >>> marks.missing(1, {(7, 475008), (7, 475009)}), len(marks.missing(2, {(7, 475008)}))
        ({(7, 475009)}, 1)
        """
        return set(hours) - self._marked if generation == self._generation else set(hours)

    def made(self, generation: int, hours: Collection[Hour]) -> None:
        """These are marked, and committed."""
        if generation != self._generation or len(self._marked) > MARKS_MAX:
            self._generation = generation
            self._marked.clear()
        self._marked.update(hours)


def hours_of(readings: Iterable[tuple[int, int]]) -> set[Hour]:
    """The hours in which readings lie, of which the origins and the instants in milliseconds are given.

    >>> hours_of([(7, 0), (7, 3_599_999), (8, 3_600_000)]) == {(7, 0), (8, 1)}
    True
    """
    return {(origin, instant_ms // HOUR_MS) for origin, instant_ms in readings}


async def mark(connection: Any, generation: int, hours: Collection[Hour]) -> None:
    """Mark hours, in the transaction of their readings. Raises StoreError."""
    if hours:
        origins, numbers = zip(*sorted(hours), strict=True)
        await connection.execute(_SQL["mark"], origins, numbers, generation)


async def mark_all(connection: Any, generation: int) -> None:
    """Mark all that is stored, so that it is rolled up anew. Raises StoreError."""
    await connection.execute(_SQL["mark_all"], generation, timeout=TIMEOUT_S)


@dataclass(frozen=True, slots=True)
class _Marked:
    """Hours whose marks are locked, side by side."""

    origins: list[int]
    hours: list[datetime]


class PostgresRollups:
    """The port `Rollups`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._partitions = PostgresPartitions(database)
        self._known: set[str] = set()

    async def begin(self, before: datetime) -> RollupRound | None:
        """Begin a round. See `Rollups.begin`."""
        async with self._database.connection() as connection:
            first = await connection.fetchval(_SQL["first_marked"], before)
            generation = None if first is None else await connection.fetchval(_SQL["begin_round"])
        return None if generation is None else RollupRound(generation=generation, first=first, before=before)

    async def position(self) -> int:
        """How far the store is. See `Rollups.position`."""
        async with self._database.connection() as connection:
            return int(
                await connection.fetchval("select max(seq) from telemetry_progress where source = 'sensors'") or 0
            )

    async def roll(self, found: RollupRound, hours_max: int) -> int:
        """Roll up the oldest marked hours. See `Rollups.roll`."""
        if expanded := await self._expand(found):
            return expanded
        async with self._database.transaction() as connection:
            await connection.execute(f"set local statement_timeout = {TIMEOUT_S * 1000:.0f}")
            rows = await connection.fetch(_SQL["lock_marks"], found.before, found.generation, hours_max)
            if not rows:
                return 0
            origins = {one["id"]: one for one in await self._origins(connection, rows)}
            # Of an origin that is gone, or where readings may be, there is nothing to be made.
            kept = [
                row
                for row in rows
                if (origin := origins.get(row["origin"])) is not None and row["hour"] >= origin["raw_since"]
            ]
            marked = _Marked([row["origin"] for row in kept], [row["hour"] for row in kept])
            if kept:
                await connection.execute(_SQL["roll_hours"], marked.origins, marked.hours, timeout=TIMEOUT_S)
                await connection.execute(_SQL["roll_days"], *_days(marked, origins), timeout=TIMEOUT_S)
            await connection.execute(
                _SQL["delete_marks"], [row["origin"] for row in rows], [row["hour"] for row in rows]
            )
        return len(rows)

    async def _expand(self, found: RollupRound) -> int:
        """Mark the origins that have readings in the oldest day that is marked for all; how many hours it was."""
        async with self._database.transaction() as connection:
            rows = await connection.fetch(_SQL["lock_all_marks"], found.before, found.generation)
            if not rows:
                return 0
            hours = [row["hour"] for row in rows]
            await connection.execute(f"set local statement_timeout = {TIMEOUT_S * 1000:.0f}")
            await connection.execute(_SQL["expand_all_marks"], hours, min(hours), max(hours) + HOUR, timeout=TIMEOUT_S)
            await connection.execute(_SQL["delete_all_marks"], hours)
        return len(hours)

    async def _origins(self, connection: Any, marks: Sequence[Any]) -> Sequence[Any]:
        """The origins of marks, which have their cells from now on."""
        ids = sorted({row["origin"] for row in marks})
        found: Sequence[Any] = await connection.fetch(_SQL["origins_of_marks"], ids)
        new = [row for row in found if row["cell_minutes"] is None]
        if not new:
            return found
        await connection.execute(
            _SQL["set_cells"], [row["id"] for row in new], [cell_minutes(row["time_zone"]) for row in new]
        )
        again: Sequence[Any] = await connection.fetch(_SQL["origins_of_marks"], ids)
        return again

    async def make_partitions(self, since: datetime, until: datetime) -> Sequence[str]:
        """Make the partitions of a time. See `Rollups.make_partitions`."""
        made: list[str] = []
        for table in (READING_HOURS, READING_DAYS):
            start = partition_start(table, since - DAY)  # where the local day of an hour may begin
            while start <= until:
                name = partition_name(table, start)
                if name not in self._known:
                    made += await self._partitions.make_one(table, start)
                    self._known.add(name)
                start += timedelta(days=table.days)
        return made

    async def drop(self, before: datetime) -> Sequence[str]:
        """Drop rollups that are too old. See `Rollups.drop`."""
        dropped: list[str] = []
        for table in (READING_HOURS, READING_DAYS):
            names = await self._partitions.names(table)
            over = [name for name in names if is_over(table, name, before)]
            dropped += [name for name in over if await self._partitions.drop_one(table, name)]
            async with self._database.connection() as connection:
                await connection.execute(f"delete from {table.name}_default where {table.column} < $1", before)
        self._known.clear()
        return dropped

    async def settle(self, before: datetime, property_id: PropertyId | None = None) -> None:
        """Readings before that hour may go, all or those of a property; rollups of then are not made again.

        What is not rolled up yet is rolled up first. Raises: StoreBusy where that takes too long, StoreError.
        """
        end = time.monotonic() + SETTLE_S
        while time.monotonic() < end:
            found = await self.begin(before)
            while found is not None and time.monotonic() < end and await self.roll(found, SETTLE_HOURS):
                pass
            async with self._database.transaction() as connection:
                await connection.fetch(_SQL["lock_store"])  # so that nothing is marked meanwhile
                if not await connection.fetchval(_SQL["marked_before"], before, property_id):
                    await connection.execute(_SQL["settle_before"], before, property_id)
                    return
        raise StoreBusy("readings that are to go are rolled up first")


def _days(marked: _Marked, origins: dict[int, Any]) -> tuple[list[int], list[datetime], list[datetime]]:
    """The local days that the hours touch, by origin, with their ends; what is not made of whole cells is none."""
    found = {
        (origin, since, until)
        for origin, hour in zip(marked.origins, marked.hours, strict=True)
        for since, until in _touched(origins[origin]["time_zone"], hour)
        if fits_cells(since, until, origins[origin]["cell_minutes"])
    }
    ids, starts, ends = zip(*sorted(found), strict=True) if found else ((), (), ())
    return list(ids), list(starts), list(ends)


def _touched(time_zone: str, hour: datetime) -> list[tuple[datetime, datetime]]:
    """The local days of which an hour of UTC has a part."""
    return local_days(zone(time_zone), hour, hour + HOUR)
