"""The store on real engines: killed at any moment, or twice at work, its rows equal the stream."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from tests.integration.killing import preload, proxied, run_until
from tests.readings import Writer

from matrixhub.bus import NatsBus, StreamSettings, open_bus
from matrixhub.config import load_settings
from matrixhub.engines import DataDirectory, open_engines
from matrixhub.lifecycle import SystemClock
from matrixhub.model.errors import StoreError
from matrixhub.observe import Observe, ReadingsStored, StoreWaits, ignore
from matrixhub.sources.sites import make_site
from matrixhub.store import Database, open_database
from matrixhub.store.duty import STORE_DUTY, PostgresDuty
from matrixhub.store.pool import migrate
from matrixhub.store.readings import PostgresReadingPartitions, PostgresReadings
from matrixhub.telemetry import Keeper, KeeperSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOTS = make_site(30, seed=5).slots
NOW_MS = SystemClock().now_ms()
DAY_MS = 86_400_000
KILLS = 10
CRASHES = 3
WAIT_S = 60.0
KEPT = KeeperSettings(batch_items=150, batch_bytes=1 << 20, retention_s=30 * 86_400.0)


@dataclass(frozen=True, slots=True)
class Engines:
    postgres_dsn: str
    nats_url: str
    database: Database
    bus: NatsBus

    async def stored(self) -> list[tuple[str, int]]:
        """Slot and instant of every row."""
        async with self.database.connection() as connection:
            rows = await connection.fetch(
                "select s.slot_id, (extract(epoch from r.at) * 1000)::bigint as ms"
                " from readings r join reading_series s on s.id = r.series order by 1, 2"
            )
        return [(row["slot_id"], row["ms"]) for row in rows]


@pytest.fixture(scope="module", autouse=True)
def ready() -> None:
    """Processes start fast."""
    preload(__name__)


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """A data directory that the engines' user can reach, which pytest's own is not."""
    top = Path(tempfile.mkdtemp(prefix="mh-telemetry-"))
    top.chmod(0o755)
    yield top / "data"
    shutil.rmtree(top)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engines(data: Path) -> AsyncIterator[Engines]:
    with DataDirectory.open(data) as directory:
        async with (
            open_engines(directory, load_settings(None, {}).engines, ignore) as running,
            open_database(running.endpoints.postgres_dsn, connections_max=2) as database,
            open_bus(running.endpoints.nats_url, StreamSettings(), ignore) as bus,
        ):
            await migrate(database, ignore)
            yield Engines(running.endpoints.postgres_tcp_dsn, running.endpoints.nats_url, database, bus)


async def send(bus: NatsBus, rng: random.Random, messages: int) -> set[tuple[str, int]]:
    """Messages of readings of today and of days before, with repeats among them; slot and instant of each reading."""
    writer = Writer()
    sent: set[tuple[str, int]] = set()
    for _ in range(messages):
        slot = rng.choice(SLOTS)
        instants = [
            NOW_MS - rng.choice([0, 0, 0, 3, 20]) * DAY_MS + rng.randrange(2_000) for _ in range(rng.choice([1, 90]))
        ]
        sent |= {(slot.id, instant) for instant in instants}
        message = writer.message(slot, [(instant, {"p": 1, "count": rng.randrange(9)}) for instant in instants])
        assert await bus.publish([message]) == [None]
    return sent


def keep(dsn: str, nats_url: str) -> None:
    """Store until all is stored; run in a process of its own."""
    asyncio.run(_keep(dsn, nats_url))


async def _keep(dsn: str, nats_url: str, observe: Observe = ignore) -> None:
    async with at_work(dsn, nats_url, observe) as (readings, bus):
        last = (await bus.bounds()).last_seq
        async with asyncio.timeout(WAIT_S):
            while True:
                if await readings.begin(0) >= last:
                    break
                await asyncio.sleep(0.02)


@asynccontextmanager
async def at_work(
    dsn: str, nats_url: str, observe: Observe = ignore
) -> AsyncIterator[tuple[PostgresReadings, NatsBus]]:
    """A store at work, with what it stores into, and from where."""
    async with AsyncExitStack() as resources:
        database = await resources.enter_async_context(open_database(dsn, connections_max=2))
        bus = await resources.enter_async_context(open_bus(nats_url, StreamSettings(), ignore, create=False))
        readings, partitions = PostgresReadings(database), PostgresReadingPartitions(database)
        duty = PostgresDuty(dsn, STORE_DUTY)
        keeper = Keeper(bus, readings, partitions, duty, SystemClock(), observe, KEPT)
        stop = asyncio.Event()
        keeping = asyncio.create_task(keeper.run(stop))
        try:
            yield readings, bus
        finally:
            stop.set()
            await keeping


async def test_a_store_that_is_killed_at_any_step_leaves_rows_equal_to_the_stream(engines: Engines) -> None:
    rng = random.Random(20240310)
    sent: set[tuple[str, int]] = set()
    ended = 0
    found: list[int] = []
    async with proxied(engines.postgres_dsn) as proxy:
        for turn in range(KILLS):
            sent |= await send(engines.bus, rng, 12)
            step = rng.randrange(20, 500)
            ended += await run_until(proxy, step, keep, engines.nats_url)
            stored = await engines.stored()
            found.append(len(stored))
            assert len(stored) == len(set(stored))
            assert set(stored) <= sent, f"turn {turn}, step {step}"
        assert ended < KILLS  # it was killed at least once
        assert len(set(found)) > 3  # and had stored some by then
        assert await run_until(proxy, 10**9, keep, engines.nats_url)
    assert set(await engines.stored()) == sent
    async with engines.database.connection() as connection:
        assert await connection.fetchval("select count(*) from telemetry_refused") == 0
        lines = await connection.fetch("select v::text as v from readings limit 5")
    assert all(msgspec.json.decode(row["v"])["p"] == 1 for row in lines)


async def test_of_two_stores_one_works_and_the_other_takes_over(engines: Engines) -> None:
    before = set(await engines.stored())
    sent = await send(engines.bus, random.Random(7), 60)
    facts: list[object] = []
    stores = [asyncio.create_task(_keep(engines.postgres_dsn, engines.nats_url, facts.append)) for _ in range(2)]
    await asyncio.gather(*stores)
    assert set(await engines.stored()) == before | sent
    assert sum(fact.readings for fact in facts if isinstance(fact, ReadingsStored)) == len(sent - before)


async def test_a_database_that_crashes_while_it_writes_leaves_rows_equal_to_the_stream(engines: Engines) -> None:
    rng = random.Random(3)
    expected, facts = set(await engines.stored()), list[object]()
    async with at_work(engines.postgres_dsn, engines.nats_url, facts.append):
        for _ in range(CRASHES):
            expected |= await send(engines.bus, rng, 30)
            await asyncio.sleep(rng.random() * 0.1)
            # Where one of its processes is killed, PostgreSQL ends all others, and recovers from its log.
            os.kill(await a_backend(engines), signal.SIGKILL)
        async with asyncio.timeout(WAIT_S):
            while True:
                if await has(engines, expected):
                    break
                await asyncio.sleep(0.1)
    assert len(await engines.stored()) == len(expected)
    assert any(isinstance(fact, StoreWaits) for fact in facts)


async def a_backend(engines: Engines) -> int:
    """The process of PostgreSQL that serves the store now."""
    async with asyncio.timeout(WAIT_S):
        while True:
            with contextlib.suppress(StoreError):
                async with engines.database.connection() as connection:
                    found: int | None = await connection.fetchval(
                        "select pid from pg_stat_activity"
                        " where application_name = 'matrixhub' and pid <> pg_backend_pid()"
                        " and query ilike any(array['copy%', 'insert%', 'update telemetry%', 'commit%']) limit 1"
                    )
                    if found is not None:
                        return found
            await asyncio.sleep(0.02)


async def has(engines: Engines, expected: set[tuple[str, int]]) -> bool:
    """Whether all is stored; not yet where PostgreSQL does not answer."""
    try:
        return set(await engines.stored()) >= expected
    except StoreError:
        return False
