"""A customer's database: how soon what is in the stream is visible there, and how fast against a bare COPY."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from bench.hub import Hub, running_hub
from bench.processes import BenchError
from bench.readings import STAMP, Normaliser, Source, bench_site
from bench.rows import Row, measured, required
from bench.scenarios import Bench, Scenario, percentile
from matrixhub.bus import StreamSettings, open_bus
from matrixhub.bus.subjects import sensor_subject
from matrixhub.databases.rows import COLUMNS, reading_row
from matrixhub.databases.schema import statements
from matrixhub.engines import read_running, read_secrets
from matrixhub.model.database import CustomerDatabase, Limits, Server
from matrixhub.model.destination import Destination
from matrixhub.model.ids import DatabaseId, SubscriptionId
from matrixhub.model.policy import DATABASE_LIMITS
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import Filter, Position, Subscription
from matrixhub.observe import ignore
from matrixhub.ports import Bus, Outgoing
from matrixhub.store import Database, open_database
from matrixhub.store.databases import Databases
from matrixhub.store.sealing import Sealer
from matrixhub.store.subscriptions import Codec, create_subscription, set_state

P99_S_MAX = 2.0
RATE = 10_000
PER_MESSAGE = 100
LOOK_S = 0.01
STALLED_S = 15.0
FLOOD = 100_000
"""Readings that wait when the database is switched on."""

USER, NAME, PASSWORD = "bench_writer", "bench_customer", "bench-passw0rd"


@dataclass(slots=True)
class World:
    """A hub, its stream, and a database of its property that it hosts."""

    database: Database
    bus: Bus
    codec: Codec
    made: Subscription
    customer: Any
    source: Source
    normaliser: Normaliser
    numbers: Iterator[int]

    async def set_state(self, state: Any) -> None:
        await set_state(self.database, self.made.property_id, self.made.id, state)

    def messages(self, readings: int) -> list[Outgoing]:
        """Messages as ingest writes them; where readings have their stamp, these have a number."""
        by_subject: dict[str, list[int]] = defaultdict(list)
        for number, slot in enumerate(self.source.site.slots):
            by_subject[sensor_subject(self.source.site.property.id, slot.building_id, slot.devtype)].append(number)
        groups = itertools.cycle(by_subject.items())
        made = []
        for at in range(0, readings, PER_MESSAGE):
            subject, devices = next(groups)
            turn = itertools.cycle(devices)
            bodies = [self.source.reading(next(turn), next(self.numbers)) for _ in range(PER_MESSAGE)]
            lines = self.normaliser.lines(b"[" + b",".join(bodies) + b"]")
            made.append(Outgoing(subject, b"\n".join(lines), len(lines), f"bench-{time.time_ns()}-{at}", ORIGIN))
        return made


ORIGIN = {"Matrix-Origin": "ing_bench"}


def customer_database(bench: Bench) -> Sequence[Row]:
    """10,000 readings a second from the stream into a customer's database, and as many as it takes."""
    with running_hub(bench.directory, bench.receiver_url, bench.ca_pem) as hub:
        return asyncio.run(_measure(bench, hub))


async def _measure(bench: Bench, hub: Hub) -> Sequence[Row]:
    async with _world(hub) as world:
        paced = await _paced(bench, world)
        flood = await _flood(bench, world, len(paced))
        bare = await _bare(world)
    p50, p99 = percentile(paced, 0.50), percentile(paced, 0.99)
    size = f"push ≤ {DATABASE_LIMITS.items:,} readings, ≤ {DATABASE_LIMITS.size_bytes // 1024:,} KiB"
    return [
        required(
            "customer_database_p99",
            p99,
            "s",
            P99_S_MAX,
            better="less",
            notes=f"stream → visible in the database, {len(paced):,} readings at {RATE:,}/s, p50 {p50:.3f} s, "
            f"max {paced[-1]:.3f} s; {size}",
        ),
        measured(
            "customer_database_full_speed",
            flood,
            "readings/s",
            f"{FLOOD:,} that waited in the stream, from the switch to the last one visible; {size}",
        ),
        Row(
            name="customer_database_per_copy",
            value=flood / bare,
            unit="×",
            ratio=flood / bare,
            against="bare COPY",
            notes=f"bare COPY of as many rows into the same table, "
            f"{DATABASE_LIMITS.items:,} a transaction: {bare:,.0f} rows/s; "
            "the hub reads, cuts, parses, commits its place and stores besides",
        ),
    ]


async def _paced(bench: Bench, world: World) -> list[float]:
    """Seconds from the publication of each reading until it is visible, ascending."""
    total = int(RATE * bench.seconds)
    messages = world.messages(total)
    published: list[float] = []
    delays: list[float] = []

    async def publish() -> None:
        began = time.perf_counter()
        for number, message in enumerate(messages):
            due = began + number * PER_MESSAGE / RATE
            if due > time.perf_counter():
                await asyncio.sleep(due - time.perf_counter())
            published.append(time.perf_counter())
            if (await world.bus.publish([message]))[0] is not None:
                raise BenchError("the stream did not take a message")

    async with asyncio.TaskGroup() as group:
        group.create_task(publish())
        await _until(
            world.customer,
            messages,
            total,
            lambda number, at: delays.extend([at - published[number]] * PER_MESSAGE),
        )
    return sorted(delays)


async def _flood(bench: Bench, world: World, first: int) -> float:
    """Readings a second, from the moment the database is switched on."""
    await world.set_state("paused")
    messages = world.messages(FLOOD)
    for message in messages:
        if (await world.bus.publish([message]))[0] is not None:
            raise BenchError("the stream did not take a message")
    began = last = time.perf_counter()
    await world.set_state("active")

    def note(number: int, at: float) -> None:
        nonlocal last
        last = at
        bench.say(f"{(number + 1) * PER_MESSAGE:,} of {FLOOD:,} visible")

    await _until(world.customer, messages, first + FLOOD, note)
    await world.set_state("paused")
    return FLOOD / (last - began)


async def _bare(world: World) -> float:
    """Rows a second of a COPY of as many rows into the same table, emptied."""
    rows = [reading_row(line) for message in world.messages(FLOOD) for line in message.data.split(b"\n")]
    await world.customer.execute("truncate matrix.sensor_data")
    began = time.perf_counter()
    for at in range(0, len(rows), DATABASE_LIMITS.items):
        await world.customer.copy_records_to_table(
            "sensor_data",
            schema_name="matrix",
            records=rows[at : at + DATABASE_LIMITS.items],
            columns=list(COLUMNS["sensors"]),
        )
    return len(rows) / (time.perf_counter() - began)


async def _until(connection: Any, messages: Sequence[Outgoing], rows: int, note: Callable[[int, float], None]) -> None:
    """Tell of each message by its place when all of it is visible; then so many rows must be there, all different.

    They are written in order, so a message is visible with its last reading, which the primary key finds.
    Raises: BenchError.
    """
    lasts = [reading_row(message.data.rpartition(b"\n")[2]) for message in messages]
    keys = [(row[_DEVID], row[_DEVTYPE], row[_TIME]) for row in lasts]
    place, changed = 0, time.perf_counter()
    while place < len(keys):
        found = await connection.fetchval(_VISIBLE, *map(list, zip(*keys[place : place + AHEAD], strict=True)))
        at = time.perf_counter()
        for number in range(place, place + found):
            note(number, at)
        if found:
            place, changed = place + found, at
        elif at - changed > STALLED_S:
            raise BenchError(f"{len(keys) - place:,} messages did not become visible")
        await asyncio.sleep(LOOK_S)
    counts = await connection.fetchrow(f"select count(*), count(distinct v->>'{STAMP}') from matrix.sensor_data")
    if tuple(counts) != (rows, rows):
        raise BenchError(f"{counts[0]:,} rows and {counts[1]:,} readings where there should be {rows:,}")


AHEAD = 50
_DEVID, _DEVTYPE, _TIME = (COLUMNS["sensors"].index(name) for name in ("devid", "devtype", "time"))
_VISIBLE = """
select count(*) from unnest($1::text[], $2::text[], $3::timestamptz[]) wanted (devid, devtype, time)
where exists (
  select from matrix.sensor_data s
  where s.devid = wanted.devid and s.devtype = wanted.devtype and s.time = wanted.time)
"""


@contextlib.asynccontextmanager
async def _world(hub: Hub) -> AsyncIterator[World]:
    running, site = read_running(hub.data), bench_site()
    codec = Codec(sealer=Sealer(read_secrets(hub.data).master_key))
    dsn = running["postgres_dsn"]
    async with (
        open_database(dsn, connections_max=2) as database,
        open_bus(running["nats_url"], StreamSettings(), ignore, create=False) as bus,
    ):
        await set_state(database, site.property.id, SubscriptionId(hub.subscription["id"]), "paused")
        customer = await _make_database(database, dsn)
        try:
            record = await Databases(database, codec.sealer).add(_record(site.property.id))
            made = await create_subscription(
                database,
                codec,
                site.property.id,
                name="bench",
                wanted=Filter(),
                destination=Destination(url=record.url, kind="postgres"),
                limits=DATABASE_LIMITS,
                position=Position(seq=(await bus.bounds()).last_seq + 1),
            )
            source = Source()
            yield World(database, bus, codec, made, customer, source, Normaliser(source.site), itertools.count())
        finally:
            await customer.close()


async def _make_database(database: Database, dsn: str) -> Any:
    """A connection to a new database, as its owner."""
    async with database.connection() as connection:
        await connection.execute(f"create role {USER} login password '{PASSWORD}'")
        await connection.execute(f"create database {NAME}")
    customer = await asyncpg.connect(urlsplit(dsn)._replace(path=f"/{NAME}").geturl())
    for statement in statements().values():
        await customer.execute(statement)
    await customer.execute(f"grant usage on schema matrix to {USER}")
    await customer.execute(f"grant select, insert on all tables in schema matrix to {USER}")
    return customer


def _record(property_id: Any) -> CustomerDatabase:
    return CustomerDatabase(
        id=DatabaseId("db_be1c"),
        property_id=property_id,
        name="bench",
        hosting="hub",
        server=Server(host="", database=NAME, user=USER, password=Secret(PASSWORD), tls="disable"),
        may_create=False,
        limits=Limits(),
        reader="",
        version=1,
        created_at=datetime.now(UTC),
    )


SCENARIOS: Mapping[str, Scenario] = {"customer_database": customer_database}
