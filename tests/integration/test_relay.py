"""Events from commit to stream, on real PostgreSQL and NATS: in the order of the commits, each once."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from signal import Signals

import pytest
import pytest_asyncio

from matrixhub.bus import NatsBus, StreamSettings, open_bus
from matrixhub.bus.relay import Relay
from matrixhub.bus.subjects import EVENTS_STREAM, EVENTS_SUBJECTS
from matrixhub.config import load_settings
from matrixhub.engines import DataDirectory, open_engines
from matrixhub.lifecycle import SystemClock
from matrixhub.model.errors import BusError
from matrixhub.model.event import Event, platform_event
from matrixhub.model.ids import BuildingId, PropertyId
from matrixhub.observe import EngineStarted, Fact, ignore
from matrixhub.ports import RelayProgress
from matrixhub.store import Database, open_database
from matrixhub.store.duty import RELAY_DUTY, PostgresDuty
from matrixhub.store.events import EVENT_CHANNEL, PostgresOutbox, record_events
from matrixhub.store.pool import listen, migrate

pytestmark = pytest.mark.asyncio(loop_scope="module")

P1 = PropertyId("p1")
WAIT_S = 60.0
"""No wait takes so long; it only keeps a broken test from hanging."""

SETTINGS = StreamSettings(duplicate_window_s=0.1)
"""Every outage here is longer than the window in which the stream knows a repeat by its id."""


@dataclass
class Engines:
    postgres_dsn: str
    nats_url: str
    facts: list[Fact] = field(default_factory=list)

    def kill_nats(self) -> None:
        """It is started again by those who watch it."""
        pid = [fact.pid for fact in self.facts if isinstance(fact, EngineStarted) and fact.engine == "nats"][-1]
        os.kill(pid, Signals.SIGKILL)


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """A data directory that the engines' user can reach, which pytest's own is not."""
    top = Path(tempfile.mkdtemp(prefix="mh-relay-"))
    top.chmod(0o755)
    yield top / "data"
    shutil.rmtree(top)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engines(data: Path) -> AsyncIterator[Engines]:
    facts: list[Fact] = []
    with DataDirectory.open(data) as directory:
        async with open_engines(directory, load_settings(None, {}).engines, facts.append) as running:
            endpoints = running.endpoints
            async with open_database(endpoints.postgres_dsn, connections_max=2) as database:
                await migrate(database, ignore)
            stop = asyncio.Event()
            watch = asyncio.create_task(running.run(stop))
            yield Engines(endpoints.postgres_dsn, endpoints.nats_url, facts)
            stop.set()
            await watch


@pytest_asyncio.fixture(loop_scope="module")
async def database(engines: Engines) -> AsyncIterator[Database]:
    async with open_database(engines.postgres_dsn, connections_max=10) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def bus(engines: Engines) -> AsyncIterator[NatsBus]:
    async with open_bus(engines.nats_url, SETTINGS, ignore, stream=EVENTS_STREAM, subjects=EVENTS_SUBJECTS) as found:
        yield found


def made(text: str) -> Event:
    return platform_event(
        "ZONE_CREATED", P1, BuildingId("b1"), happened_at=1_710_029_109, description=text, meta={"Name": text}
    )


async def record(database: Database, *texts: str) -> None:
    async with database.transaction() as connection:
        await record_events(connection, [made(text) for text in texts])


async def newest(database: Database) -> int:
    return await PostgresOutbox(database).newest()


async def log_lines(database: Database, after: int) -> list[str]:
    async with database.connection() as connection:
        rows = await connection.fetch("select number, line from events where number > $1 order by number", after)
    assert [row["number"] for row in rows] == list(range(after + 1, after + 1 + len(rows)))
    return [row["line"] for row in rows]


async def stream_lines(bus: NatsBus) -> list[str]:
    found: list[str] = []
    seq = (await bus.bounds()).first_seq
    while page := (await bus.read(EVENTS_SUBJECTS, seq, messages_max=500, bytes_max=10_000_000)).messages:
        assert [m.seq for m in page] == list(range(seq, seq + len(page)))
        found += [m.data.decode() for m in page]
        seq = page[-1].seq + 1
    return found


def make_relay(database: Database, bus: NatsBus) -> Relay:
    return Relay(PostgresOutbox(database), bus, PostgresDuty(database.dsn, RELAY_DUTY), SystemClock(), ignore)


class _Everybody:
    """A duty that all take for theirs: what keeps the order must not be the duty."""

    async def held(self) -> bool:
        return True

    async def close(self) -> None:
        pass


async def run_and_kill(database: Database, bus: NatsBus, draw: random.Random, done: asyncio.Event) -> int:
    """One relay after the other, each killed at an arbitrary step; how many there were."""
    count = 0
    while not done.is_set():
        relay = Relay(PostgresOutbox(database), bus, _Everybody(), SystemClock(), ignore)
        task = asyncio.create_task(relay.run(done))
        for _ in range(draw.randrange(1, 400)):
            relay.changed()
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        count += 1
    return count


async def wait_until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT_S):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.005)


async def wait_relayed(bus: NatsBus, number: int) -> None:
    """Until the stream ends with the event of the number."""

    async def ends_with() -> bool:
        with suppress(BusError):  # NATS may be away for a while
            return (await bus.end()).number == number
        return False

    await wait_until(ends_with)


async def test_events_are_in_the_stream_a_moment_after_their_commit(database: Database, bus: NatsBus) -> None:
    stop, relay = asyncio.Event(), make_relay(database, bus)
    async with asyncio.TaskGroup() as stages:
        stages.create_task(relay.run(stop))
        stages.create_task(listen(database, EVENT_CHANNEL, relay.changed, stop, ignore))
        await record(database, "one", "two")
        await record(database, "three")
        await wait_relayed(bus, await newest(database))
        stop.set()
    assert await stream_lines(bus) == await log_lines(database, 0)


async def test_relays_that_are_killed_at_every_step_pass_every_event_on_once_and_in_order(
    engines: Engines, database: Database, bus: NatsBus
) -> None:
    done = asyncio.Event()
    async with open_bus(engines.nats_url, SETTINGS, ignore, stream=EVENTS_STREAM, subjects=EVENTS_SUBJECTS) as other:
        killing = [
            asyncio.create_task(run_and_kill(database, one, random.Random(seed), done))
            for seed, one in enumerate((bus, other))
        ]
        for start in range(0, 2_000, 10):
            await record(database, *(f"event {n}" for n in range(start, start + 10)))
            if start == 1_000:
                engines.kill_nats()
        stop = asyncio.Event()
        last = asyncio.create_task(make_relay(database, bus).run(stop))
        await wait_relayed(bus, await newest(database))
        done.set()
        stop.set()
        counts = await asyncio.gather(*killing)
        await last
    assert min(counts) > 0
    assert sum(counts) > 20
    assert await stream_lines(bus) == await log_lines(database, 0)
    assert len(set(await stream_lines(bus))) == await newest(database)


CHILD = """
import asyncio, sys
from matrixhub.bus import StreamSettings, open_bus
from matrixhub.bus.relay import Relay
from matrixhub.bus.subjects import EVENTS_STREAM, EVENTS_SUBJECTS
from matrixhub.lifecycle import SystemClock
from matrixhub.observe import ignore
from matrixhub.store import open_database
from matrixhub.store.duty import RELAY_DUTY, PostgresDuty
from matrixhub.store.events import PostgresOutbox

async def main():
    async with open_database(sys.argv[1], connections_max=2) as database:
        async with open_bus(
            sys.argv[2], StreamSettings(), ignore, stream=EVENTS_STREAM, subjects=EVENTS_SUBJECTS, create=False
        ) as bus:
            duty = PostgresDuty(database.dsn, RELAY_DUTY)
            await Relay(PostgresOutbox(database), bus, duty, SystemClock(), ignore).run(asyncio.Event())

asyncio.run(main())
"""


async def grown(bus: NatsBus, seq: int) -> bool:
    return (await bus.end()).seq > seq


async def test_a_relay_process_that_is_killed_is_followed_by_another_without_gap_or_repeat(
    engines: Engines, database: Database, bus: NatsBus
) -> None:
    for _ in range(3):
        await record(database, *(f"of a process {n}" for n in range(1_000)))
        before = (await bus.end()).seq
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, engines.postgres_dsn, engines.nats_url
        )
        await wait_until(partial(grown, bus, before))
        child.kill()
        await child.wait()
    stop = asyncio.Event()
    last = asyncio.create_task(make_relay(database, bus).run(stop))
    await wait_relayed(bus, await newest(database))
    stop.set()
    await last
    assert await stream_lines(bus) == await log_lines(database, 0)


async def test_numbers_are_the_order_of_the_commits_without_a_gap(database: Database) -> None:
    start, done = await newest(database), asyncio.Event()

    async def commit_or_not(seed: int) -> set[str]:
        draw, committed = random.Random(seed), set[str]()
        for n in range(40):
            texts = [f"{seed}-{n}-{i}" for i in range(draw.randrange(1, 4))]
            with suppress(ArithmeticError):
                async with database.transaction() as connection:
                    await record_events(connection, [made(text) for text in texts])
                    if draw.random() < 0.3:
                        raise ArithmeticError
                committed |= set(texts)
        return committed

    async def watch() -> int:
        looks = 0
        while not done.is_set():
            looks += 1
            await log_lines(database, start)  # what is visible has no gap, at any moment
        return looks

    watching = asyncio.create_task(watch())
    committed = set[str]().union(*await asyncio.gather(*map(commit_or_not, range(6))))
    done.set()
    assert await watching > 5
    lines = await log_lines(database, start)
    assert len(lines) == len(committed)
    assert all(any(f'"Description":"{text}"' in line for line in lines) for text in committed)


@pytest.mark.parametrize("commits", [True, False])
async def test_an_event_that_is_not_committed_yet_keeps_later_ones_back(database: Database, commits: bool) -> None:
    start = await newest(database)
    async with database.connection() as first:
        transaction = first.transaction()
        await transaction.start()
        await record_events(first, [made("first")])
        later = asyncio.create_task(record(database, "later"))
        await wait_until(partial(somebody_waits_for_the_head, database))
        assert await log_lines(database, start) == []
        await (transaction.commit() if commits else transaction.rollback())
        await later
    found = [line.partition('"Description":"')[2].partition('"')[0] for line in await log_lines(database, start)]
    assert found == (["first", "later"] if commits else ["later"])


async def somebody_waits_for_the_head(database: Database) -> bool:
    statement = "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and query like $1)"
    async with database.connection() as connection:
        return bool(await connection.fetchval(statement, "%event_head%"))


async def test_the_outbox_tells_what_waits_and_since_when(database: Database) -> None:
    outbox, before = PostgresOutbox(database), datetime.now(UTC)
    number = await outbox.newest()
    saved = await outbox.progress()
    assert (await outbox.backlog(number, saved.at)).events == 0
    assert (await outbox.backlog(number, saved.at)).oldest_at is None
    await record(database, "a", "b")
    backlog = await outbox.backlog(number, saved.at)
    assert backlog.events == 2
    assert backlog.oldest_at is not None
    assert abs((backlog.oldest_at - before).total_seconds()) < WAIT_S
    [one, two] = await outbox.unpublished(number, saved.at, 10)
    assert (one.number, two.number, one.at) == (number + 1, number + 2, two.at)
    assert one.words == ("matrix", "b1", "scgrids", "ZONE_CREATED", "NORMAL")
    assert await outbox.recorded_at(two.number, two.at) == two.at
    assert await outbox.recorded_at(two.number + 1, two.at) is None


async def test_progress_does_not_go_back(database: Database) -> None:
    outbox = PostgresOutbox(database)
    await record(database, "a")
    [row] = (await outbox.unpublished(await outbox.newest() - 1, datetime(2001, 1, 1, tzinfo=UTC), 10))[-1:]
    await outbox.save(RelayProgress(row.number, row.at, 9_000))
    await outbox.save(RelayProgress(row.number - 1, row.at, 8_999))
    assert await outbox.progress() == RelayProgress(row.number, row.at, 9_000)
