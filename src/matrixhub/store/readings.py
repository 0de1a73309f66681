"""Readings: how the stream gets into the table, each of them once.

Source: docs/decisions/0017-telemetry.md
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from matrixhub.model.buckets import hour_start
from matrixhub.model.errors import UnstorableReading
from matrixhub.model.reading_line import KeptReading, Origin
from matrixhub.ports import RefusedLine
from matrixhub.store.partitions import READINGS, PostgresPartitions, is_over, partition_name, partition_start
from matrixhub.store.pool import Database
from matrixhub.store.rollups import Marks, PostgresRollups, hours_of, mark, mark_all
from matrixhub.store.sql import load_statements

FEW = 100
"""So many readings are inserted straight away; more are copied into a table of their own first."""

ORIGINS_MAX = 100_000
LINE_BYTES_MAX = 65_536
"""Of a line that cannot be stored, so much is kept."""

_SQL = load_statements("readings.sql")
_COLUMNS = ("at", "series", "origin", "v", "stats", "line")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = tuple[datetime, int, int, str | None, str | None, str | None]

_REFUSED = (asyncpg.DataError, asyncpg.exceptions.ProgramLimitExceededError, UnicodeEncodeError)
"""What says that a value is one that PostgreSQL does not take."""


class PostgresReadings:
    """The port `ReadingStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._numbers: dict[Origin, tuple[int, int]] = {}
        self._marks = Marks()

    async def begin(self, seq: int) -> int:
        """The last message stored. See `ReadingStore.begin`."""
        async with self._database.transaction() as connection:
            await connection.execute(_SQL["begin_progress"], seq)
            found = await connection.fetchrow(_SQL["lock_progress"])
            if found["marked_seq"] != found["seq"]:  # a hub of before rollups has stored
                await mark_all(connection, found["generation"])
                await connection.execute(_SQL["save_progress"], found["seq"])
            return int(found["seq"])

    async def position(self) -> int | None:
        """The last message stored, None where nothing ever was. Raises StoreError."""
        async with self._database.connection() as connection:
            found: int | None = await connection.fetchval(_SQL["progress"])
        return found

    async def go_back(self, seq: int) -> None:
        """Count only messages up to there. See `ReadingStore.go_back`."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["save_progress"], seq)

    async def store(
        self, readings: Sequence[KeptReading], refused: Sequence[RefusedLine], *, after_seq: int, to_seq: int
    ) -> int | None:
        """Store readings, and up to where. See `ReadingStore.store`."""
        await self._number({reading.origin for reading in readings})
        rows = [self._row(reading) for reading in readings]
        async with self._database.transaction() as connection:
            found = await connection.fetchrow(_SQL["lock_progress"])
            if found is None or found["seq"] != after_seq:
                return None
            stored = await _insert(connection, rows)
            fresh = self._marks.missing(found["generation"], hours_of(readings, rows))
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
            await self._number({reading.origin})
            async with self._database.connection() as connection:
                transaction = connection.transaction()
                await transaction.start()
                try:
                    await _insert(connection, [self._row(reading)])
                finally:
                    await transaction.rollback()
        except UnstorableReading as error:
            return error.message
        return ""

    def _row(self, reading: KeptReading) -> Row:
        series, origin = self._numbers[reading.origin]
        at = _EPOCH + timedelta(milliseconds=reading.instant_ms)
        return at, series, origin, reading.values, reading.stats, reading.line

    async def _number(self, origins: Collection[Origin]) -> None:
        """Know the numbers of the origins; those that are new get one, which stays whatever becomes of the readings."""
        missing = [origin for origin in origins if origin not in self._numbers]
        if not missing:
            return
        if len(self._numbers) + len(missing) > ORIGINS_MAX:
            self._numbers.clear()
            missing = list(origins)
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
        self._numbers |= {missing[row["place"] - 1]: (row["series"], row["origin"]) for row in found}


async def _insert(connection: Any, rows: Sequence[Row]) -> int:
    """Insert rows, save those that are there; how many were not. Raises: UnstorableReading."""
    try:
        if len(rows) <= FEW:
            columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in _COLUMNS]
            done = await connection.execute(_SQL["store_few"], *columns)
        else:
            await connection.execute(_SQL["stage"])
            await connection.copy_records_to_table("staged_readings", records=rows, columns=_COLUMNS)
            done = await connection.execute(_SQL["store_staged"])
    except _REFUSED as error:
        raise UnstorableReading(f"PostgreSQL does not take it: {error}") from error
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
