"""Readings: how the stream gets into the table, each of them once.

Source: docs/decisions/0017-telemetry.md
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from matrixhub.model.buckets import hour_start
from matrixhub.model.errors import UnstorableReading
from matrixhub.model.ids import PropertyId
from matrixhub.model.reading_line import KeptReading, Origin
from matrixhub.ports import RefusedLine
from matrixhub.store.copying import COLUMNS, encode_copy
from matrixhub.store.partitions import (
    READINGS,
    PostgresPartitions,
    begins_before,
    is_over,
    partition_name,
    partition_start,
)
from matrixhub.store.pool import Database
from matrixhub.store.rollups import Marks, PostgresRollups, hours_of, mark, mark_all
from matrixhub.store.sql import load_statements

FEW = 100
"""So many readings are inserted straight away; more are copied."""

WARY_MAX = 64
"""After a repeat, at most so many batches go by a table in between, before a `COPY` straight to the place is tried."""

ORIGINS_MAX = 100_000
LINE_BYTES_MAX = 65_536
"""Of a line that cannot be stored, so much is kept."""

_SQL = load_statements("readings.sql")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_REFUSED = (asyncpg.DataError, asyncpg.exceptions.ProgramLimitExceededError, UnicodeEncodeError)
"""What says that a value is one that PostgreSQL does not take."""


class PostgresReadings:
    """The port `ReadingStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._numbers: dict[Origin, tuple[int, int]] = {}
        self._marks = Marks()
        self._wary = _Wary()

    async def begin(self, seq: int, stream: str = "") -> int:
        """The last message stored. See `ReadingStore.begin`."""
        async with self._database.transaction() as connection:
            await connection.execute(_SQL["begin_progress"], seq, stream)
            found = await connection.fetchrow(_SQL["lock_progress"])
            if found["marked_seq"] != found["seq"]:  # a hub of before rollups has stored
                await mark_all(connection, found["generation"])
                await connection.execute(_SQL["save_progress"], found["seq"])
            return int(found["seq"])

    async def stream(self) -> str:
        """Which stream it is of. See `ReadingStore.stream`."""
        async with self._database.connection() as connection:
            return str(await connection.fetchval(_SQL["stream"]))

    async def position(self) -> int | None:
        """The last message stored, None where nothing ever was. Raises StoreError."""
        async with self._database.connection() as connection:
            found: int | None = await connection.fetchval(_SQL["progress"])
        return found

    async def go_back(self, seq: int, stream: str = "") -> None:
        """Count only messages up to there. See `ReadingStore.go_back`."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["go_back"], seq, stream)

    async def store(
        self, readings: Sequence[KeptReading], refused: Sequence[RefusedLine], *, after_seq: int, to_seq: int
    ) -> int | None:
        """Store readings, and up to where. See `ReadingStore.store`."""
        numbers = await self._number({id(reading.origin): reading.origin for reading in readings})
        async with self._database.transaction() as connection:
            found = await connection.fetchrow(_SQL["lock_progress"])
            if found is None or found["seq"] != after_seq:
                return None
            stored = await _insert(connection, readings, numbers, self._wary)
            hours = hours_of((numbers[id(one.origin)][1], one.instant_ms) for one in readings)
            fresh = self._marks.missing(found["generation"], hours)
            await mark(connection, found["generation"], fresh)
            if refused:
                await connection.executemany(
                    _SQL["refuse"],
                    [(one.seq, one.item, one.subject, _said(one.reason), one.line[:LINE_BYTES_MAX]) for one in refused],
                )
            await connection.execute(_SQL["save_progress"], to_seq)
        self._marks.made(found["generation"], fresh)
        return stored

    async def takes(self, reading: KeptReading) -> str:
        """Whether PostgreSQL takes a reading. See `ReadingStore.takes`."""
        try:
            numbers = await self._number({id(reading.origin): reading.origin})
            async with self._database.connection() as connection:
                transaction = connection.transaction()
                await transaction.start()
                try:
                    await _insert(connection, [reading], numbers, self._wary)
                finally:
                    await transaction.rollback()
        except UnstorableReading as error:
            return error.message
        return ""

    async def _number(self, origins: Mapping[int, Origin]) -> Mapping[int, tuple[int, int]]:
        """The numbers of series and origin by the key of each origin; those that are new get one, which stays whatever
        becomes of the readings.
        """
        known = self._numbers
        missing = list({origin for origin in origins.values() if origin not in known})
        if missing:
            if len(known) + len(missing) > ORIGINS_MAX:
                known.clear()
                missing = list(set(origins.values()))
            known |= await self._make_numbers(missing)
        return {key: known[origin] for key, origin in origins.items()}

    async def _make_numbers(self, missing: Sequence[Origin]) -> Mapping[Origin, tuple[int, int]]:
        columns: list[list[Any]] = [
            [origin.property_id for origin in missing],
            [origin.slot_id for origin in missing],
            [origin.devtype for origin in missing],
            [origin.building_id for origin in missing],
            [origin.zone_id for origin in missing],
            [origin.time_zone for origin in missing],
            [origin.aggregates for origin in missing],
            [origin.fixed for origin in missing],
        ]
        async with self._database.transaction() as connection:
            try:
                await connection.execute(_SQL["add_series"], *columns[:3])
                await connection.execute(_SQL["add_origins"], *columns)
                found = await connection.fetch(_SQL["find_origins"], *columns)
            except _REFUSED as error:
                raise UnstorableReading(f"PostgreSQL does not take what a slot says: {error}") from error
        return {missing[row["place"] - 1]: (row["series"], row["origin"]) for row in found}


@dataclass(slots=True)
class _Wary:
    """How many batches are yet expected to hold a repeat: a `COPY` that meets one was in vain.

    >>> wary, found = _Wary(), []
    >>> for repeated in (True, True, False):
    ...     wary.learn(repeated)
    ...     found.append(wary.left)
    >>> found
    [1, 2, 0]
    """

    left: int = 0
    _next: int = 1

    def learn(self, repeated: bool) -> None:
        """A `COPY` straight to the place met a repeat, or none."""
        self.left = self._next if repeated else 0
        self._next = min(WARY_MAX, self._next * 2) if repeated else 1


async def _insert(
    connection: Any, readings: Sequence[KeptReading], numbers: Mapping[int, tuple[int, int]], wary: _Wary
) -> int:
    """Insert readings, save those that are there; how many were not. Raises: UnstorableReading.

    Repeats are rare, and without them a `COPY` straight to the place takes half the time; with one it is taken back.
    """
    try:
        if len(readings) <= FEW:
            return await _insert_few(connection, readings, numbers)
        if wary.left:
            wary.left -= 1
        else:
            try:
                async with connection.transaction():
                    await _copy(connection, "readings", readings, numbers)
            except asyncpg.UniqueViolationError:
                wary.learn(repeated=True)
            else:
                wary.learn(repeated=False)
                return len(readings)
        await connection.execute(_SQL["stage"])
        await _copy(connection, "staged_readings", readings, numbers)
        return _count(await connection.execute(_SQL["store_staged"]))
    except _REFUSED as error:
        raise UnstorableReading(f"PostgreSQL does not take it: {error}") from error


async def _insert_few(connection: Any, readings: Sequence[KeptReading], numbers: Mapping[int, tuple[int, int]]) -> int:
    rows = [
        (_EPOCH + timedelta(milliseconds=one.instant_ms), *numbers[id(one.origin)], one.values, one.stats, one.line)
        for one in readings
    ]
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in COLUMNS]
    return _count(await connection.execute(_SQL["store_few"], *columns))


async def _copy(
    connection: Any, table: str, readings: Sequence[KeptReading], numbers: Mapping[int, tuple[int, int]]
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in encode_copy(readings, numbers):
            yield piece

    await connection.copy_to_table(table, source=pieces(), columns=COLUMNS, format="binary")


def _count(done: str) -> int:
    """How many rows a statement says it has made."""
    return int(done.rpartition(" ")[2])


def _said(reason: str) -> str:
    """A reason as PostgreSQL can keep it."""
    return reason.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:500]


class PostgresReadingPartitions:
    """The port `ReadingPartitions`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._partitions = PostgresPartitions(database)

    async def make(self, days: Collection[datetime]) -> Mapping[str, int]:
        """Make those of the days. See `ReadingPartitions.make`."""
        known = await self._partitions.names(READINGS)
        made: dict[str, int] = {}
        for start in sorted({partition_start(READINGS, day) for day in days}):
            if partition_name(READINGS, start) not in known:
                made |= await self._partitions.make_one(READINGS, start)
        return made

    async def drop(self, before: datetime) -> Sequence[str]:
        """Drop those that are over. See `ReadingPartitions.drop`."""
        before = hour_start(before)  # a rollup is about a whole hour
        over = [name for name in await self._partitions.names(READINGS) if is_over(READINGS, name, before)]
        async with self._database.connection() as connection:
            await connection.execute(_SQL["delete_old_refused"], before)
            if not over and not await connection.fetchval(_SQL["has_old"], before):
                return []
        await PostgresRollups(self._database).settle(before)
        async with self._database.connection() as connection:
            await connection.execute(_SQL["delete_old"], before)
        return [name for name in over if await self._partitions.drop_one(READINGS, name)]

    async def retentions(self) -> Mapping[PropertyId, float]:
        """Of those that say so themselves. See `ReadingPartitions.retentions`."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["retentions"])
        return {PropertyId(row["property_id"]): float(row["seconds"]) for row in rows}

    async def properties(self) -> Collection[PropertyId]:
        """Those that may have readings. See `ReadingPartitions.properties`."""
        async with self._database.connection() as connection:
            return [PropertyId(row["property_id"]) for row in await connection.fetch(_SQL["properties"])]

    async def delete_old(self, property_id: PropertyId, before: datetime, *, rows_max: int) -> AsyncGenerator[int]:
        """Delete a few with each step. See `ReadingPartitions.delete_old`."""
        before = hour_start(before)
        await PostgresRollups(self._database).settle(before, property_id)
        async with self._database.connection() as connection:
            series = await connection.fetchval(_SQL["series_of_property"], property_id)
        for name in await self._partitions.names(READINGS):
            if begins_before(READINGS, name, before):
                while count := await self._delete_some(name, series, before, rows_max):
                    yield count

    async def _delete_some(self, name: str, series: Sequence[int], before: datetime, rows_max: int) -> int:
        # The name cannot be an argument; it is that of a partition. Rows are found by the primary key, and deleted by
        # their place: a join could be planned as a walk through all of them.
        statement = (
            f"delete from {name} where ctid = any(array("
            f"select ctid from {name} where series = any($1) and at < $2 limit $3))"
        )
        async with self._database.connection() as connection:
            try:
                return _count(await connection.execute(statement, series, before, rows_max))
            except asyncpg.UndefinedTableError:  # dropped meanwhile, by who has the duty now
                return 0

    async def trusted(self) -> tuple[datetime, int] | None:
        """The time trusted. See `ReadingPartitions.trusted`."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SQL["trusted"])
        return None if row is None else (row["trusted_at"], row["clock_doubts"])

    async def save_trusted(self, at: datetime, doubts: int) -> None:
        """Remember it. See `ReadingPartitions.save_trusted`."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["save_trusted"], at, doubts)
