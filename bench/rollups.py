"""Rollups: the query of a dashboard, people in a building by day for a month, from rollups and from the readings."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from bench.hub import running_hub
from bench.processes import BenchError
from bench.rows import Row, measured, required
from bench.scenarios import Bench, Scenario
from matrixhub.engines import read_running
from matrixhub.model.ids import BuildingId, PropertyId, SlotId, ZoneId
from matrixhub.model.past import Summary, Wanted
from matrixhub.model.reading_line import KeptReading, Origin
from matrixhub.store import Database, open_database
from matrixhub.store.past_readings import find_sources
from matrixhub.store.readings import PostgresReadingPartitions, PostgresReadings
from matrixhub.store.rollups import PostgresRollups, mark_all
from matrixhub.store.summaries import Asked, summarise

RATIO_MIN = 10.0
COUNTERS = 50
DAYS = 30
EVERY_MINUTES = 5
ASKED, ASKED_RAW = 7, 3
FIRST = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS + 2)
"""Late enough that retention leaves it alone."""

PROPERTY = PropertyId("bench-rollups")
ZONE = "Asia/Singapore"


def rollups(bench: Bench) -> Sequence[Row]:
    """People in, by day, of 50 counters that say something every five minutes of 30 days."""
    with running_hub(bench.directory, bench.receiver_url, bench.ca_pem) as hub:
        return asyncio.run(_compare(read_running(hub.data)["postgres_dsn"], bench.say))


async def _compare(dsn: str, say: Any) -> Sequence[Row]:
    async with open_database(dsn, connections_max=3) as database:
        loaded = await _load(database, say)
        began = time.perf_counter()
        hours = await _roll(database)
        rolled_s = time.perf_counter() - began
        say(f"{hours:,} hours rolled up in {rolled_s:.1f} s")
        ours, expected = await _ask(dsn, ASKED)
        async with database.connection() as connection:  # as if a hub of before rollups had stored
            await connection.execute("update telemetry_progress set marked_seq = null")
        theirs, found = await _ask(dsn, ASKED_RAW)
        if expected != found:
            raise BenchError("rollups and readings say different numbers")
        size = await _size(database)
    return [
        required(
            "rollups_per_raw",
            theirs / ours,
            "×",
            RATIO_MIN,
            better="more",
            notes=f"people by day of {COUNTERS} counters in {DAYS} days, {loaded:,} readings: {ours * 1000:.1f} ms "
            f"from rollups, {theirs * 1000:.1f} ms from readings; medians of {ASKED} and {ASKED_RAW}",
        ),
        measured("rollups_made", loaded / rolled_s, "readings/s", "rolled up without a rest, the hub idle"),
        measured("rollups_bytes", size / loaded, "bytes/reading", "rollups by hour and day, with indexes"),
    ]


async def _load(database: Database, say: Any) -> int:
    readings = PostgresReadings(database)
    origins = [
        Origin(PROPERTY, BuildingId("b"), ZoneId(f"z{n % 10}"), SlotId(f"c{n}"), "SMARTCLEAN#PPLCTR", ZONE, False, "")
        for n in range(COUNTERS)
    ]
    if any([await readings.takes(KeptReading(one, 0, '{"count":1}')) for one in origins]):
        raise BenchError("the database does not take the readings")
    days = [FIRST + timedelta(days=day) for day in range(DAYS)]
    await PostgresReadingPartitions(database).make(days)
    loaded = 0
    async with database.connection() as connection:
        numbers = await connection.fetch(
            "select o.series, o.id from reading_origins o join reading_series s on s.id = o.series"
            " where s.property_id = $1",
            PROPERTY,
        )
        for day in days:
            rows = list(_rows(day, [(row["series"], row["id"]) for row in numbers]))
            await connection.copy_records_to_table("readings", records=rows, columns=("at", "series", "origin", "v"))
            loaded += len(rows)
            say(f"{loaded:,} readings loaded")
        await connection.execute("analyze readings", timeout=600)
    return loaded


def _rows(day: datetime, numbers: Sequence[tuple[int, int]]) -> Iterator[tuple[datetime, int, int, str]]:
    for minute in range(0, 24 * 60, EVERY_MINUTES):
        for number, (series, origin) in enumerate(numbers):
            at = day + timedelta(minutes=minute, milliseconds=number)
            yield at, series, origin, f'{{"count":{(minute * 7 + number) % 11},"out_count":{minute % 5}}}'


async def _roll(database: Database) -> int:
    made = PostgresRollups(database)
    await made.make_partitions(FIRST, FIRST + timedelta(days=DAYS))
    await PostgresReadings(database).begin(0)
    async with database.connection() as connection:
        await mark_all(connection, 0)
    found = await made.begin(FIRST + timedelta(days=DAYS + 1))
    hours = 0
    while found is not None and (done := await made.roll(found, 1_000)):
        hours += done
    async with database.connection() as connection:
        await connection.execute("vacuum analyze reading_hours", timeout=600)
        await connection.execute("vacuum analyze reading_days", timeout=600)
    return hours


async def _ask(dsn: str, times: int) -> tuple[float, Sequence[Summary]]:
    """Seconds of the question, however long it takes, and its answer."""
    asked = Asked(
        start=FIRST,
        end=FIRST + timedelta(days=DAYS),
        metrics=[("count", "SMARTCLEAN#PPLCTR")],
        length="day",
        by="building",
    )
    took: list[float] = []
    found: Sequence[Summary] = []
    connection = await asyncpg.connect(dsn, server_settings={"timezone": "UTC"})
    try:
        for _ in range(times):
            began = time.perf_counter()
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                sources = await find_sources(connection, PROPERTY, Wanted())
                found = await summarise(connection, sources, asked, limit=100_000)
            took.append(time.perf_counter() - began)
    finally:
        await connection.close()
    return statistics.median(took), found


async def _size(database: Database) -> float:
    async with database.connection() as connection:
        return float(
            await connection.fetchval(
                "select sum(pg_total_relation_size(inhrelid)) from pg_inherits"
                " where inhparent in ('reading_hours'::regclass, 'reading_days'::regclass)"
            )
        )


SCENARIOS: Mapping[str, Scenario] = {"rollups": rollups}
