"""The role `store`: from the stream to the commit, next to a bare `COPY` of the same rows; and the whole way."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import rmtree

import uvloop

from bench.hub import Hub
from bench.processes import BenchError, Usage
from bench.readings import DEVICES, Normaliser, Source
from bench.rows import Row, measured, required
from bench.scenarios import (
    BATCHED_CONNECTIONS,
    PER_REQUEST,
    POLL_S,
    STALLED_S,
    WARM_UP,
    Bench,
    Scenario,
    patience_s,
    problems_of,
    rounded,
    under_load,
    wait_received,
)
from matrixhub.bus import NatsBus, StreamSettings, open_bus
from matrixhub.config import load_settings
from matrixhub.engines import DataDirectory, open_engines
from matrixhub.lifecycle import SystemClock
from matrixhub.model.ids import SlotId
from matrixhub.model.reading_line import KeptReading, Splitter
from matrixhub.observe import Fact, ReadingsStored, ignore
from matrixhub.ports import Outgoing
from matrixhub.store import Database, open_database
from matrixhub.store.copying import COLUMNS, encode_copy
from matrixhub.store.duty import STORE_DUTY, PostgresDuty
from matrixhub.store.pool import migrate
from matrixhub.store.readings import PostgresReadingPartitions, PostgresReadings
from matrixhub.telemetry import Keeper, KeeperSettings

RATIO_MIN = 0.6
PER_S_MIN = 50_000
WHOLE_WAY_MIN = 40_000
ROUNDS = 4
"""So often both are measured, in turns, each with readings of its own."""

BATCH = 10_000
LIMIT_S = 120.0
RETENTION_S = 180 * 86_400.0


@dataclass(frozen=True, slots=True)
class Round:
    """Readings a second of both, in the same seconds."""

    store_per_s: float
    copy_per_s: float

    @property
    def ratio(self) -> float:
        """What the store reaches of the bare `COPY`."""
        return self.store_per_s / self.copy_per_s


def store(bench: Bench) -> Sequence[Row]:
    """The role `store` from NATS to the commit, against a `COPY` of the same rows, ready made, into an equal table."""
    readings = round(PER_S_MIN * bench.seconds / ROUNDS / BATCH) * BATCH or BATCH
    top = Path(tempfile.mkdtemp(prefix="matrixhub-bench-store-"))
    try:
        top.chmod(0o755)  # the engines run as a user who must be able to enter it
        rounds, bytes_each = uvloop.run(_measure(top / "data", readings))
    finally:
        rmtree(top, ignore_errors=True)
    ratio = statistics.median(one.ratio for one in rounds)
    per_s = statistics.median(one.store_per_s for one in rounds)
    copy_per_s = statistics.median(one.copy_per_s for one in rounds)
    told = (
        f"medians of {ROUNDS} rounds in turns, {readings:,} readings each of {DEVICES:,} devices; COPY: binary, ready "
        f"made, {BATCH:,} rows a transaction, partitions and primary key as those of the store"
    )
    return [
        required("store_vs_copy", ratio, "×", RATIO_MIN, better="more", notes=told),
        required(
            "store_readings_per_s",
            per_s,
            "readings/s",
            PER_S_MIN,
            better="more",
            notes="from the stream, through lines taken apart, to the commit; one process, the engines beside it",
        ),
        measured("copy_readings_per_s", copy_per_s, "readings/s", "the bare COPY"),
        measured("store_bytes", bytes_each, "bytes/reading", "partitions of the store, with their index"),
    ]


async def _measure(data: Path, readings: int) -> tuple[list[Round], float]:
    async with AsyncExitStack() as resources:
        directory = resources.enter_context(DataDirectory.open(data))
        settings = load_settings(None, {})
        engines = await resources.enter_async_context(open_engines(directory, settings.engines, ignore))
        found = engines.endpoints
        database = await resources.enter_async_context(open_database(found.postgres_dsn, connections_max=3))
        bus = await resources.enter_async_context(open_bus(found.nats_url, StreamSettings(), ignore))
        await migrate(database, ignore)
        await PostgresReadingPartitions(database).make(_days())
        await _make_peer(database)
        source = Source()
        normaliser = Normaliser(source.site)
        stored, kept = Stored(), KeeperSettings(batch_items=BATCH, batch_bytes=8 << 20, retention_s=RETENTION_S)
        keeper = Keeper(
            bus,
            PostgresReadings(database),
            PostgresReadingPartitions(database),
            PostgresDuty(found.postgres_dsn, STORE_DUTY),
            SystemClock(),
            stored,
            kept,
        )
        warm_up = _messages(source, normaliser, BATCH, -1)
        await _store(keeper, stored, bus, warm_up)
        await _copy(database, warm_up)
        rounds = []
        for turn in range(ROUNDS):
            messages = _messages(source, normaliser, readings, turn)
            copy_first = bool(turn % 2)
            copied = await _copy(database, messages) if copy_first else 0.0
            took_s = await _store(keeper, stored, bus, messages)
            if not copy_first:
                copied = await _copy(database, messages)
            rounds.append(Round(readings / took_s, readings / copied))
        async with database.connection() as connection:
            count, size = await connection.fetchrow(
                "select (select count(*) from readings), (select sum(pg_total_relation_size(inhrelid))"
                " from pg_inherits where inhparent = 'readings'::regclass)"
            )
            peers = await connection.fetchval("select count(*) from copied")
        if not count == peers == readings * ROUNDS + BATCH:
            raise BenchError(f"{count:,} readings in the store, {peers:,} copied")
        return rounds, float(size) / count


def _days() -> list[datetime]:
    now = datetime.now(UTC)
    return [now + timedelta(days=day) for day in range(-1, 2)]


async def _make_peer(database: Database) -> None:
    """A table like that of readings, for the bare `COPY`."""
    async with database.connection() as connection:
        await connection.execute("create table copied (like readings including all) partition by range (at)")
        for day in _days():
            start = day.replace(hour=0, minute=0, second=0, microsecond=0)
            await connection.execute(
                f"create table copied_{start:%Y%m%d} partition of copied"
                f" for values from ('{start.isoformat()}') to ('{(start + timedelta(days=1)).isoformat()}')"
            )


def _messages(source: Source, normaliser: Normaliser, readings: int, turn: int) -> list[Outgoing]:
    """Readings as ingest publishes those of requests: in each, those of one subject together."""
    made: list[Outgoing] = []
    for number, body in enumerate(source.bodies(range(DEVICES), readings, PER_REQUEST)):
        by_subject: dict[str, list[bytes]] = defaultdict(list)
        for line in normaliser.lines(body):
            start = line.index(b'"DEVID":"') + 9
            slot = SlotId(line[start : line.index(b'"', start)].decode())
            by_subject[normaliser.subject(slot)].append(line)
        made += [
            Outgoing(subject, b"\n".join(lines), len(lines), f"{turn}-{number}-{subject}")
            for subject, lines in by_subject.items()
        ]
    return made


@dataclass(slots=True)
class Stored:
    """What the stage says it has stored."""

    readings: int = 0
    wanted: int = 0
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, fact: Fact) -> None:
        """Hear a fact."""
        if isinstance(fact, ReadingsStored):
            self.readings += fact.readings
            if self.readings >= self.wanted:
                self.reached.set()


async def _store(keeper: Keeper, stored: Stored, bus: NatsBus, messages: Sequence[Outgoing]) -> float:
    """Seconds of the stage `store`, from its start to the commit of the last of these messages."""
    for number in range(0, len(messages), 500):
        if any(await bus.publish(messages[number : number + 500])):
            raise BenchError("a message was not taken")
    stored.wanted = stored.readings + sum(message.items for message in messages)
    stored.reached.clear()
    stop = asyncio.Event()
    began = time.perf_counter()
    keeping = asyncio.create_task(keeper.run(stop), name="keep")
    async with asyncio.timeout(LIMIT_S):
        await stored.reached.wait()
    took_s = time.perf_counter() - began
    stop.set()
    await keeping
    return took_s


async def _copy(database: Database, messages: Sequence[Outgoing]) -> float:
    """Seconds of `COPY` of the same rows, which are made ready before."""
    splitter = Splitter()
    kept = [splitter.split(line) for message in messages for line in message.data.split(b"\n")]
    numbers: dict[int, tuple[int, int]] = {}
    known: dict[object, tuple[int, int]] = {}
    for one in kept:
        numbers[id(one.origin)] = known.setdefault(one.origin, (len(known) + 1, len(known) + 1))
    pieces = [b"".join(encode_copy(part, numbers)) for part in _cut(kept)]
    async with database.connection() as connection:
        began = time.perf_counter()
        for piece in pieces:
            await connection.copy_to_table("copied", source=_once(piece), columns=COLUMNS, format="binary")
        return time.perf_counter() - began


def _cut(kept: Sequence[KeptReading]) -> list[Sequence[KeptReading]]:
    return [kept[start : start + BATCH] for start in range(0, len(kept), BATCH)]


async def _once(piece: bytes) -> AsyncIterator[bytes]:
    yield piece


def whole_way(bench: Bench) -> Sequence[Row]:
    """Ingest, push and store together: until the last reading is received, and stored."""
    total = rounded(WHOLE_WAY_MIN * bench.seconds)
    with under_load(bench, BATCHED_CONNECTIONS) as (hub, generator):
        _wait_stored(hub, WARM_UP)
        generator.ask("prepare", readings=total, per_request=PER_REQUEST)
        usage = Usage(hub=hub.pid, receiver=bench.receiver.pid, generator=generator.pid)
        sent = generator.ask("send", timeout_s=patience_s(bench))
        got = wait_received(bench, total + WARM_UP)
        stored_ns = _wait_stored(hub, total + WARM_UP)
        used = usage.told()
    pushed_s, stored_s = ((end_ns - sent["began_ns"]) / 1e9 for end_ns in (got["last_ns"], stored_ns))
    return [
        required(
            "whole_way",
            total / max(pushed_s, stored_s),
            "readings/s",
            WHOLE_WAY_MIN,
            better="more",
            problems=problems_of(sent, got, total),
            notes=f"{total:,} readings: all received after {pushed_s:.1f} s, all stored after {stored_s:.1f} s; {used}",
        )
    ]


def _wait_stored(hub: Hub, readings: int) -> int:
    """When so many readings were stored, on CLOCK_MONOTONIC. Raises: BenchError if nothing more is."""
    seen, changed = -1.0, time.monotonic()
    while True:
        stored = hub.spent().get("matrixhub_readings_stored_total", 0.0)
        if stored >= readings:
            return time.monotonic_ns()
        if stored != seen:
            seen, changed = stored, time.monotonic()
        if time.monotonic() - changed > STALLED_S:
            raise BenchError(f"{stored:,.0f} of {readings:,} readings stored, and no more")
        time.sleep(POLL_S)


SCENARIOS: Mapping[str, Scenario] = {"store": store, "whole_way": whole_way}
