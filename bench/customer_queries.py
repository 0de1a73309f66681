"""A customer's database that the hub hosts: the published query, what it takes, and whom its readers do not slow."""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from urllib.parse import urlsplit

import asyncpg

from bench.hub import Hub, running_hub
from bench.past_data import psql_program
from bench.processes import BenchError, Child
from bench.readings import DEVICES, Normaliser, Source, bench_site
from bench.rows import Row, measured, required
from bench.scenarios import PACED_CONNECTIONS, Bench, Scenario, percentile, under_load, wait_received
from matrixhub.databases import hosting
from matrixhub.databases.examples import examples
from matrixhub.databases.hosted import Created, HostedDatabases
from matrixhub.databases.partitions import WEEK, make_week, week_of
from matrixhub.databases.rows import READING_COLUMNS, reading_row
from matrixhub.engines import read_running, read_secrets
from matrixhub.model.database import HostedNames, Limits
from matrixhub.model.ids import BuildingId
from matrixhub.model.site import Building
from matrixhub.store import open_database
from matrixhub.store.sealing import Sealer

QUERY_MS_MAX = 50.0
KEPT_MIN = 0.9
"""A customer's runaway queries may take so much of deliveries' speed that this remains."""

BUILDINGS = 5
EVERY_S = 300
"""Each of the 1,000 slots is read so often: 10,000,000 readings are those of 35 days."""

FIRST = datetime(2024, 3, 4, tzinfo=UTC)
TURNS = 4
ASKED = 30
RUNAWAYS = 4
ROUNDS = 3
RATE = 1_000

BUSY = "select count(*) from generate_series(1, 1000000) a, generate_series(1, 1000000) b;\n"
GREEDY = "select count(*) from (select md5(i::text) m, i from generate_series(1, 3000000) i order by 1) x;\n"


def customer_queries(bench: Bench) -> Sequence[Row]:
    """The published people count for one building and day out of `--past-readings`, as the customer's reader."""
    with running_hub(bench.directory, bench.receiver_url, bench.ca_pem) as hub:
        return asyncio.run(_queries(hub, bench))


async def _queries(hub: Hub, bench: Bench) -> Sequence[Row]:
    made = await _create(hub, Limits())
    names = HostedNames.of(made.record.id)
    turns = max(288, bench.past_readings // DEVICES // TURNS * TURNS)
    dsn = read_running(hub.data)["postgres_dsn"]
    base = await _base(dsn, names, turns)
    began = time.perf_counter()
    steps = turns // TURNS
    await asyncio.gather(
        _load(dsn, names, base, range(steps // 2), bench), _load(dsn, names, base, range(steps // 2, steps), bench)
    )
    took_s = time.perf_counter() - began
    async with hosting.connected(dsn, database=names.database) as connection:
        parts = {row["part"]: row["bytes"] / (turns * DEVICES) for row in await connection.fetch(_SIZES)}
        await connection.execute("vacuum (analyze) matrix.sensor_data", timeout=1200)
    rows = await _ask(hub, made, turns)
    told = ", ".join(f"{part} {size:.0f}" for part, size in sorted(parts.items(), key=lambda one: -one[1]))
    return [
        *rows,
        measured("customer_bytes", sum(parts.values()), "bytes/reading", f"{told}; as they came, slot by slot in turn"),
        measured("customer_copy", turns * DEVICES / took_s, "readings/s", "insert … select on two connections"),
    ]


_SIZES = """
select case c.relkind when 'r' then 'table' else regexp_replace(c.relname, '^sensor_data_\\d+_', '') end as part,
  sum(pg_relation_size(c.oid))::float8 as bytes
from pg_class c
where c.relnamespace = 'matrix'::regnamespace and c.relname ~ '^sensor_data_\\d' and c.relkind in ('r', 'i')
group by 1
"""


async def _ask(hub: Hub, made: Created, turns: int) -> list[Row]:
    """How long the examples take, on a connection of the customer's, day after day and building after building."""
    names, address = HostedNames.of(made.record.id), urlsplit(read_running(hub.data)["postgres_tcp_dsn"])
    days = max(1, turns * EVERY_S // 86_400 - 1)
    took: dict[str, list[float]] = {}
    reader = await asyncpg.connect(
        host=address.hostname,
        port=address.port,
        user=names.reader,
        password=made.password.reveal(),
        database=names.database,
    )
    try:
        for turn in range(-3, ASKED):
            for one in examples(_building(turn % BUILDINGS), _day(turn % days)):
                if one.source != "sensors":
                    continue
                began = time.perf_counter()
                rows = await reader.fetch(one.sql)
                if one.name == "people_by_zone" and not rows:
                    raise BenchError("nobody was counted")
                if turn >= 0:
                    took.setdefault(one.name, []).append((time.perf_counter() - began) * 1000)
        day = _published_day(_building(0), _day(0))
        whole = []
        for turn in range(-3, ASKED):
            began = time.perf_counter()
            if not await reader.fetch(_published_day(_building(turn % BUILDINGS), _day(turn % days))):
                raise BenchError("nobody was counted")
            if turn >= 0:
                whole.append((time.perf_counter() - began) * 1000)
        plan = [row[0] for row in await reader.fetch(f"explain (analyze, costs off, buffers off) {day}")]
    finally:
        await reader.close()
    others = ", ".join(f"{name} {statistics.median(times):.1f}" for name, times in took.items())
    told = f"{turns * DEVICES:,} readings of {BUILDINGS} buildings; highest {max(whole):.1f} ms; {plan[-1].strip()}"
    return [
        required("people_count_day", statistics.median(whole), "ms", QUERY_MS_MAX, better="less", notes=told),
        measured(
            "people_count_hour", statistics.median(took["people_by_zone"]), "ms", f"other examples (ms): {others}"
        ),
    ]


def _published_day(building: Building, day: date) -> str:
    """The published query, over the whole day."""
    people, rating = examples(building, day)[:2]
    hour, whole = (one.sql[one.sql.index("  and time") :] for one in (people, rating))
    return people.sql.replace(hour, whole)


@cache
def _building(number: int) -> Building:
    site = bench_site()
    return Building(
        id=BuildingId(f"{number:032x}"),
        property_id=site.property.id,
        name=f"Tower {number}",
        time_zone="Asia/Singapore",
    )


def _day(number: int) -> date:
    return (FIRST + timedelta(days=1 + number)).date()


async def _create(hub: Hub, limits: Limits) -> Created:
    async with open_database(read_running(hub.data)["postgres_dsn"], connections_max=4) as database:
        desk = HostedDatabases(database, Sealer(read_secrets(hub.data).master_key), ours=True)
        return await desk.create(bench_site().property.id, "bench", limits)


async def _base(dsn: str, names: HostedNames, turns: int) -> str:
    """A table with the readings of the first turns, of which all others are made; and the partitions they lie in."""
    source = Source()
    normaliser = Normaliser(source.site)
    rows = []
    for turn in range(TURNS):
        for device in range(DEVICES):
            source._instants[device] = int(FIRST.timestamp() * 1000) + turn * EVERY_S * 1000 + device * 7 - 1
            row = dict(zip(READING_COLUMNS, reading_row(normaliser.lines(source.reading(device))[0]), strict=True))
            rows.append(tuple((row | {"pid": _building(device % BUILDINGS).id}).values()))
    async with hosting.connected(dsn, database=names.database) as connection:
        await connection.execute(f"set role {names.owner}")
        week = week_of(FIRST)
        while week < FIRST + timedelta(seconds=turns * EVERY_S):
            await make_week(connection, week)
            week += WEEK
        await connection.execute("create unlogged table matrix.bench_base as select * from matrix.sensor_data limit 0")
        await connection.copy_records_to_table(
            "bench_base", schema_name="matrix", records=rows, columns=list(READING_COLUMNS)
        )
    return "matrix.bench_base"


async def _load(dsn: str, names: HostedNames, base: str, steps: range, bench: Bench) -> None:
    """The readings of these steps as they would come: all slots take turns."""
    columns = ", ".join(READING_COLUMNS)
    later = f"time + $1 * interval '{TURNS * EVERY_S} s'"
    made = {
        "time": later,
        "unixt": f"unixt + $1 * {TURNS * EVERY_S * 1000}::bigint",
        "month": f"to_char(({later}) at time zone region, 'MM')",
        "dom": f"to_char(({later}) at time zone region, 'DD')",
        "hour": f"to_char(({later}) at time zone region, 'HH24')",
        "minute": f"to_char(({later}) at time zone region, 'MI')",
    }
    values = ", ".join(made.get(column, column) for column in READING_COLUMNS)
    async with hosting.connected(dsn, database=names.database) as connection:
        await connection.execute("set synchronous_commit = off")
        for step in steps:
            await connection.execute(
                f"insert into matrix.sensor_data ({columns}) select {values} from {base} order by time", step
            )
            if step % 50 == 0:
                bench.say(f"readings of {step * TURNS * EVERY_S // 86_400} days loaded")


# --- runaways ---


def runaway_readers(bench: Bench) -> Sequence[Row]:
    """Deliveries beside four queries of a customer that never end, against deliveries beside none, in turns."""
    with under_load(bench, PACED_CONNECTIONS) as (hub, generator):
        made = asyncio.run(_create(hub, Limits()))
        rates: dict[bool, list[float]] = {False: [], True: []}
        waits: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(ROUNDS):
            for runaways in (False, True):
                with _runaways(hub, made) if runaways else contextlib.nullcontext():
                    rates[runaways].append(_rate(bench, generator))
                    waits[runaways] += _waits(bench, generator)
    alone, beside = (statistics.median(rates[one]) for one in (False, True))
    quick, slow = (sorted(waits[one]) for one in (False, True))
    p99 = {True: percentile(slow, 0.99), False: percentile(quick, 0.99)}
    told = ", ".join(f"{a:,.0f} and {b:,.0f}" for a, b in zip(rates[False], rates[True], strict=True))
    return [
        required(
            "runaway_deliveries",
            beside / alone,
            "×",
            KEPT_MIN,
            better="more",
            notes=f"{beside:,.0f} readings/s delivered beside {RUNAWAYS} runaway queries, {alone:,.0f} without; "
            f"medians of {ROUNDS} rounds: {told}",
        ),
        measured("runaway_p99", p99[True], "ms", f"sent → received at {RATE:,}/s; {p99[False]:.1f} ms without them"),
        measured("runaway_p50", percentile(slow, 0.5), "ms", f"{percentile(quick, 0.5):.1f} ms without them"),
    ]


def _rate(bench: Bench, generator: Child) -> float:
    """Readings a second, from the first request to the last reading received."""
    total = max(1, round(20_000 * bench.seconds / 4_000)) * 4_000
    bench.receiver.ask("open_books")
    generator.ask("prepare", readings=total, per_request=500)
    sent = generator.ask("send", timeout_s=60 + 6 * bench.seconds)
    got = wait_received(bench, total)
    return float(total / ((got["last_ns"] - sent["began_ns"]) / 1e9))


def _waits(bench: Bench, generator: Child) -> list[float]:
    """How long each reading took from sent to received, in milliseconds, at an even rate."""
    seconds = max(1.0, bench.seconds / 4)
    bench.receiver.ask("open_books", stamps=True)
    sent = generator.ask("pace", rate=RATE, seconds=seconds, timeout_s=60 + 6 * bench.seconds)
    wait_received(bench, round(RATE * seconds))
    arrived = {int(stamp): int(at) for stamp, at in bench.receiver.ask("stamps")["stamps"]}
    return [(arrived[int(stamp)] - int(stamp)) / 1e6 for stamp, _ in sent["stamps"] if int(stamp) in arrived]


@contextlib.contextmanager
def _runaways(hub: Hub, made: Created) -> Iterator[None]:
    """Queries of a reader that took his time limit away, for as long as the block; two sort on disk besides."""
    names, address = HostedNames.of(made.record.id), urlsplit(read_running(hub.data)["postgres_tcp_dsn"])
    login = {
        "PGHOST": str(address.hostname),
        "PGPORT": str(address.port),
        "PGUSER": names.reader,
        "PGPASSWORD": made.password.reveal(),
        "PGDATABASE": names.database,
    }
    with contextlib.ExitStack() as stack:
        for number in range(RUNAWAYS):
            process = stack.enter_context(
                subprocess.Popen(
                    [psql_program(), "-X", "-q"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={**os.environ, **login},
                )
            )
            stack.callback(process.kill)
            assert process.stdin is not None
            process.stdin.write(("set statement_timeout = 0;\n" + (BUSY, GREEDY)[number % 2] * 500).encode())
            process.stdin.flush()
        try:
            asyncio.run(_wait_held_back(hub, names))
            yield
        finally:
            asyncio.run(_end(hub, names))


async def _wait_held_back(hub: Hub, names: HostedNames) -> None:
    """Until all are there, and the hub has seen them."""
    async with hosting.connected(read_running(hub.data)["postgres_dsn"]) as connection:
        for _ in range(300):
            pids = [
                row["pid"]
                for row in await connection.fetch("select pid from pg_stat_activity where usename = $1", names.reader)
            ]
            if len(pids) == RUNAWAYS and all(os.getpriority(os.PRIO_PROCESS, pid) == 19 for pid in pids):
                return
            await asyncio.sleep(0.1)
    raise BenchError("the hub does not hold the runaways back")


async def _end(hub: Hub, names: HostedNames) -> None:
    async with hosting.connected(read_running(hub.data)["postgres_dsn"]) as connection:
        await hosting.end_sessions(connection, names.reader)


SCENARIOS: Mapping[str, Scenario] = {"customer_queries": customer_queries, "runaway_readers": runaway_readers}
