"""Events: incidents a second through the module function, until a subscriber has them, and one to a thousand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from bench.hub import Hub, running_hub
from bench.many import BATCH, ENDPOINTS, FAN_OUT_S_MAX, wait_arrivals, wait_owned
from bench.processes import BenchError, Child
from bench.rows import Row, measured, required
from bench.scenarios import Bench, Scenario, percentile
from matrixhub.bus import StreamSettings, open_bus
from matrixhub.bus.subjects import EVENTS_STREAM, EVENTS_SUBJECTS
from matrixhub.engines import read_running, read_secrets
from matrixhub.lifecycle import SystemClock
from matrixhub.model.destination import Destination
from matrixhub.model.site import Site
from matrixhub.model.subscription import Filter, Position
from matrixhub.model.work_order import IncidentDraft, TaskItem
from matrixhub.modules.work import Platform
from matrixhub.modules.workforce.incidents import create_incidents
from matrixhub.observe import ignore
from matrixhub.sources.sites import make_site
from matrixhub.store import Database, open_database
from matrixhub.store.sealing import Sealer
from matrixhub.store.sites import apply_site
from matrixhub.store.subscriptions import Codec, create_subscription

CREATED_PER_S_MIN = 2_000
VISIBLE_P50_MS_MAX, VISIBLE_P99_MS_MAX = 20.0, 100.0
PACED_RATE = 100
PER_COMMIT = 100
TABLES = ("work_orders", "work_order_history", "timers", "events")
"""What the creation of an incident writes rows to."""


def created(bench: Bench) -> Sequence[Row]:
    """Incidents created a second, a hundred a commit, beside a plain INSERT of the same rows."""
    with running_hub(bench.directory, bench.receiver_url, bench.ca_pem) as hub:
        return asyncio.run(_created(hub, bench.seconds))


async def _created(hub: Hub, seconds: float) -> Sequence[Row]:
    site = make_site(100, 4, name="Events")
    async with open_database(read_running(hub.data)["postgres_dsn"], connections_max=4) as database:
        await apply_site(database, site, remove=False)
        platform = Platform(database=database, clock=SystemClock())
        await _create(platform, site, PER_COMMIT)  # every statement prepared once
        before = await _counts(database)
        began = time.perf_counter()
        incidents = 0
        while time.perf_counter() - began < seconds:
            incidents += await _create(platform, site, PER_COMMIT)
        took_s = time.perf_counter() - began
        grown = {table: count - before[table] for table, count in (await _counts(database)).items()}
        single_began, single = time.perf_counter(), 0
        while time.perf_counter() - single_began < seconds / 3:
            single += await _create(platform, site, 1)
        single_per_s = single / (time.perf_counter() - single_began)
        plain_s = await _insert_plainly(database, incidents)
    problems = [] if grown["events"] == incidents == grown["work_orders"] else [f"rows do not add up: {grown}"]
    rows = ", ".join(f"{table} {count:,}" for table, count in grown.items() if count)
    return [
        required(
            "incidents_created",
            incidents / took_s,
            "incidents/s",
            CREATED_PER_S_MIN,
            better="more",
            problems=problems,
            notes=f"{incidents:,} through the module function, {PER_COMMIT} a commit, one after the other, the hub up "
            f"and publishing meanwhile; rows: {rows}",
        ),
        measured("incidents_created_single", single_per_s, "incidents/s", "one a commit, one after the other"),
        measured(
            "incidents_inserted_plainly",
            incidents / plain_s,
            "incidents/s",
            f"the same rows, columns and indexes, {PER_COMMIT} incidents a commit, by nothing but INSERT",
        ),
        measured("incidents_per_plain_insert", plain_s / took_s, "×", "incidents_created / incidents_inserted_plainly"),
    ]


async def _create(platform: Platform, site: Site, count: int) -> int:
    building = site.buildings[0]
    zones = [zone for zone in site.zones if zone.building_id == building.id]
    drafts = [
        IncidentDraft(
            name="Tap drips",
            raised_by="Guard desk",
            zone_id=zones[number % len(zones)].id,
            tasks=(TaskItem(name="Close valve"),),
        )
        for number in range(count)
    ]
    made = await create_incidents(platform, site.property.id, building.id, drafts, actor="bench")
    return len(made)


async def _counts(database: Database) -> dict[str, int]:
    async with database.connection() as connection:
        return {table: await connection.fetchval(f"select count(*) from {table}") for table in TABLES}


async def _insert_plainly(database: Database, incidents: int) -> float:
    """Seconds to insert the rows of so many incidents again, into tables made like those they are in."""
    async with database.connection() as connection:
        kept: dict[str, list[Any]] = {}
        columns: dict[str, str] = {}
        for table in TABLES:
            await connection.execute(f"create table plain_{table} (like {table} including all)")
            names = await connection.fetch(
                "select column_name from information_schema.columns where table_schema = 'public' and table_name = $1"
                " and is_generated = 'NEVER' and identity_generation is null order by ordinal_position",
                table,
            )
            columns[table] = ", ".join(row["column_name"] for row in names)
            order = {"events": "number desc"}.get(table, "ctid desc")
            kept[table] = await connection.fetch(f"select {columns[table]} from {table} order by {order}")
        per_incident = {table: len(rows) / len(kept["work_orders"]) for table, rows in kept.items()}
        statements = {
            table: f"insert into plain_{table} ({columns[table]}) values"
            f" ({', '.join(f'${n + 1}' for n in range(columns[table].count(',') + 1))})"
            for table in TABLES
        }
        began = time.perf_counter()
        for start in range(0, incidents, PER_COMMIT):
            async with connection.transaction():
                for table in TABLES:
                    first = round(start * per_incident[table])
                    last = round((start + PER_COMMIT) * per_incident[table])
                    part = [tuple(row) for row in kept[table][first:last]]
                    if part:
                        await connection.executemany(statements[table], part)
        return time.perf_counter() - began


def visible(bench: Bench) -> Sequence[Row]:
    """100 incidents a second, one a commit: from the call to the arrival of the event at a subscriber."""
    with (
        running_hub(bench.directory, bench.receiver_url, bench.ca_pem) as hub,
        Child("bench.crowd", bench.directory) as crowd,
    ):
        where = crowd.ask("listen")
        latencies = sorted(asyncio.run(_visible(hub, crowd, where["url"], where["ca_pem"], bench.seconds)))
    p50, p99 = percentile(latencies, 0.5), percentile(latencies, 0.99)
    notes = f"{len(latencies):,} incidents at {PACED_RATE}/s, one a commit: call of the module function → received"
    return [
        required("event_visible_p50", p50, "ms", VISIBLE_P50_MS_MAX, better="less", notes=notes),
        required(
            "event_visible_p99", p99, "ms", VISIBLE_P99_MS_MAX, better="less", notes=f"highest {latencies[-1]:.1f} ms"
        ),
    ]


async def _visible(hub: Hub, crowd: Child, url: str, ca_pem: str, seconds: float) -> list[float]:
    site = make_site(100, 4, name="Events")
    running = read_running(hub.data)
    async with open_database(running["postgres_dsn"], connections_max=8) as database:
        await apply_site(database, site, remove=False)
        await _subscribe(hub, database, site, url, ca_pem, 1)
        wait_owned(hub, 2)
        platform = Platform(database=database, clock=SystemClock())
        for _ in range(20):
            await _stamped(platform, site)  # connections made, statements prepared
        count = round(PACED_RATE * seconds)
        await asyncio.to_thread(wait_arrivals, crowd, 20)
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for turn in range(count):
                await asyncio.sleep(max(0.0, began + turn / PACED_RATE - time.monotonic()))
                group.create_task(_stamped(platform, site))
        arrivals = await asyncio.to_thread(wait_arrivals, crowd, count)
    if len({stamp for _, stamp, _ in arrivals}) != count:
        raise BenchError(f"{len(arrivals)} events arrived for {count} incidents")
    return [(at - stamp) / 1e6 for _, stamp, at in arrivals]


def fan_out(bench: Bench) -> Sequence[Row]:
    """One event to 1,000 subscriptions: until the last has it."""
    with (
        running_hub(bench.directory, bench.receiver_url, bench.ca_pem) as hub,
        Child("bench.crowd", bench.directory) as crowd,
    ):
        where = crowd.ask("listen")
        cold, warm = asyncio.run(_fan_out(hub, crowd, where["url"], where["ca_pem"]))
    return [
        required(
            "event_fan_out_1000",
            percentile(warm, 0.5),
            "s",
            FAN_OUT_S_MAX,
            better="less",
            notes=f"incident created → received by all of {ENDPOINTS:,} endpoints, median of {len(warm)}: "
            f"{warm[0]:.2f} to {warm[-1]:.2f} s; the first, with {ENDPOINTS:,} TLS handshakes, {cold:.2f} s",
        )
    ]


async def _fan_out(hub: Hub, crowd: Child, url: str, ca_pem: str) -> tuple[float, list[float]]:
    site = make_site(100, 4, name="Events")
    running = read_running(hub.data)
    async with open_database(running["postgres_dsn"], connections_max=4) as database:
        await apply_site(database, site, remove=False)
        await _subscribe(hub, database, site, url, ca_pem, ENDPOINTS)
        wait_owned(hub, ENDPOINTS + 1)
        platform = Platform(database=database, clock=SystemClock())
        times = [await _one(platform, site, crowd) for _ in range(11)]
    return times[0], sorted(times[1:])


async def _one(platform: Platform, site: Site, crowd: Child) -> float:
    stamp = await _stamped(platform, site)
    arrivals = await asyncio.to_thread(wait_arrivals, crowd, ENDPOINTS)
    if {number for number, _, _ in arrivals} != set(range(ENDPOINTS)):
        raise BenchError("some endpoints did not get the event")
    return float(max(at for _, _, at in arrivals) - stamp) / 1e9


async def _stamped(platform: Platform, site: Site) -> int:
    """Create an incident whose name is the moment of the call."""
    stamp, building = time.monotonic_ns(), site.buildings[0]
    zone = next(zone for zone in site.zones if zone.building_id == building.id)
    draft = IncidentDraft(
        name=str(stamp), raised_by="Guard desk", zone_id=zone.id, tasks=(TaskItem(name="Close valve"),)
    )
    await create_incidents(platform, site.property.id, building.id, [draft], actor="bench")
    return stamp


async def _subscribe(hub: Hub, database: Database, site: Site, url: str, ca_pem: str, count: int) -> None:
    """Subscriptions to incidents of the property, one for each endpoint."""
    codec = Codec(sealer=Sealer(read_secrets(hub.data).master_key))
    async with open_bus(
        read_running(hub.data)["nats_url"],
        StreamSettings(),
        ignore,
        stream=EVENTS_STREAM,
        subjects=EVENTS_SUBJECTS,
        create=False,
    ) as bus:
        position = Position(seq=(await bus.bounds()).last_seq + 1)
    for number in range(count):
        await create_subscription(
            database,
            codec,
            site.property.id,
            name=f"events {number}",
            wanted=Filter(source="events", patterns=frozenset({"matrix.*.scworkforcemanagement.#"})),
            destination=Destination(url=f"{url}/{number}", ca_pem=ca_pem),
            limits=BATCH,
            position=position,
        )


SCENARIOS: Mapping[str, Scenario] = {
    "incidents_created": created,
    "event_visible": visible,
    "event_fan_out_1000": fan_out,
}
