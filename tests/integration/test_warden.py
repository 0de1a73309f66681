"""Runaway queries of a customer's reader, who takes every limit away that PostgreSQL lets him take away."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from tests.engines import Dsns, SharedEngines
from tests.hosting import Hosted, hosted

from matrixhub.databases import warden
from matrixhub.databases.warden import Warden, memory_max_mib
from matrixhub.model.database import CustomerDatabase, Limits
from matrixhub.model.errors import StoreError
from matrixhub.observe import Fact, ReaderStopped, ReadersUnrestrained, StoreFailed
from matrixhub.sources.sites import make_site
from matrixhub.store import Database, open_database
from matrixhub.store.sites import apply_site
from matrixhub.testing.fakes import FakeClock

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMITS = Limits(connections_max=4, work_mem_mib=8)
linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are held back on Linux")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dsns(shared_engines: SharedEngines) -> Dsns:
    return await shared_engines.new_database()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(dsns: Dsns) -> AsyncIterator[Database]:
    async with open_database(dsns.socket, connections_max=2) as database:
        await apply_site(database, make_site(1), remove=False)
        yield database


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(database: Database, dsns: Dsns) -> AsyncIterator[Hosted]:
    async with hosted(dsns, make_site(1).property.id, limits=LIMITS) as it:
        yield it


def warden_of(database: Database, record: CustomerDatabase, facts: list[Fact]) -> Warden:
    async def records() -> list[CustomerDatabase]:
        return [record]

    return Warden(database.connection, records, FakeClock(), facts.append)


async def look(database: Database, record: CustomerDatabase) -> list[Fact]:
    """One round of a warden; what it reported."""
    facts: list[Fact] = []
    one = warden_of(database, record, facts)
    await one.learn()
    await one.round()
    return facts


def impatient(made: Hosted) -> CustomerDatabase:
    return replace(made.record, limits=replace(LIMITS, statement_timeout_s=0.0))


async def test_a_query_whose_timeout_was_taken_away_is_cancelled(
    made: Hosted, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warden, "GRACE_S", 0.0)
    async with made.reader() as reader:
        await reader.execute("set statement_timeout = 0")
        query = asyncio.create_task(reader.fetchval("select pg_sleep(60)"))
        facts: list[Fact] = []
        async with asyncio.timeout(10):
            while not facts:
                await asyncio.sleep(0.01)
                assert not query.done()
                facts = await look(database, impatient(made))
            with pytest.raises(asyncpg.QueryCanceledError):
                await query
        stopped = [fact for fact in facts if isinstance(fact, ReaderStopped)]
        assert [(fact.database, fact.how) for fact in stopped] == [(made.record.id, "cancelled")]
        assert await reader.fetchval("select 1") == 1  # the session goes on


async def test_a_query_within_its_time_is_left_alone(made: Hosted, database: Database) -> None:
    async with made.reader() as reader:
        query = asyncio.create_task(reader.fetchval("select 7 from pg_sleep(0.2)"))
        await asyncio.sleep(0.05)
        assert not [fact for fact in await look(database, made.record) if isinstance(fact, ReaderStopped)]
        assert await query == 7


async def test_who_stays_in_a_transaction_and_does_nothing_is_ended(
    made: Hosted, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warden, "IDLE_IN_TRANSACTION_S", 0.0)
    async with made.reader() as reader:
        await reader.execute("set idle_in_transaction_session_timeout = 0; begin; select 1")
        facts = await look(database, made.record)
        assert [fact.how for fact in facts if isinstance(fact, ReaderStopped)] == ["terminated"]
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)):
            await reader.fetchval("select 1")


@linux
async def test_processes_of_readers_get_what_time_is_left_over_and_those_of_the_hub_theirs(
    made: Hosted, database: Database
) -> None:
    async with made.reader() as reader, made.writer() as writer:
        ours, theirs = [await one.fetchval("select pg_backend_pid()") for one in (writer, reader)]
        assert not [fact for fact in await look(database, made.record) if isinstance(fact, ReadersUnrestrained)]
        assert os.getpriority(os.PRIO_PROCESS, theirs) == 19
        assert os.getpriority(os.PRIO_PROCESS, ours) == os.getpriority(os.PRIO_PROCESS, 0)
        assert nice_of_group(theirs) in (19, None)


def nice_of_group(pid: int) -> int | None:
    """How nice the session of a process is, None where Linux does not share time out among sessions."""
    group = Path(f"/proc/{pid}/autogroup")
    return int(group.read_text().split()[-1]) if group.exists() else None


@linux
async def test_that_readers_share_as_equals_is_said_once(
    made: Hosted, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_which: int, _who: int, _nice: int) -> None:
        raise PermissionError("not allowed")

    monkeypatch.setattr("matrixhub.databases.warden.os.setpriority", refused)
    facts: list[Fact] = []
    async with made.reader():
        one = warden_of(database, made.record, facts)
        await one.learn()
        for _ in range(3):
            await one.round()
    assert [fact.reason.rpartition(": ")[2] for fact in facts if isinstance(fact, ReadersUnrestrained)] == [
        "not allowed"
    ]


@linux
async def test_helpers_of_a_reader_s_query_are_held_back_too(made: Hosted, database: Database) -> None:
    async with made.reader() as reader:
        await reader.execute(
            "set max_parallel_workers_per_gather = 2; set debug_parallel_query = on; set statement_timeout = 0"
        )
        query = asyncio.create_task(reader.fetch("select count(*) from pg_class where pg_sleep(0.02) is not null"))
        async with asyncio.timeout(10):
            helpers: list[int] = []
            while not helpers or [os.getpriority(os.PRIO_PROCESS, pid) for pid in helpers] != [19] * len(helpers):
                await asyncio.sleep(0.01)
                assert not query.done(), "no helper was held back"
                async with database.connection() as hub:
                    found = await hub.fetch("select pid from pg_stat_activity where leader_pid is not null")
                    helpers = [row["pid"] for row in found]
                await look(database, made.record)
            query.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await query


@linux
async def test_a_query_that_holds_too_much_memory_is_cancelled_whatever_work_mem_says(
    made: Hosted, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warden, "OWN_MIB", 8)
    small = replace(LIMITS, work_mem_mib=1)
    record = replace(made.record, limits=small)
    greedy = "select length(string_agg(repeat('x', 1000), '')), pg_sleep(60) from generate_series(1, $1::int) g"
    async with made.reader() as reader:
        await reader.execute("set work_mem = '4GB'")
        query = asyncio.create_task(reader.fetchval(greedy, (memory_max_mib(small) + 20) * 1000))
        stopped: list[ReaderStopped] = []
        async with asyncio.timeout(20):
            while not stopped:
                await asyncio.sleep(0.02)
                assert not query.done()
                stopped = [fact for fact in await look(database, record) if isinstance(fact, ReaderStopped)]
            with pytest.raises(asyncpg.QueryCanceledError):
                await query
        assert stopped[0].memory_mib > memory_max_mib(small)
        assert await reader.fetchval("select 1") == 1


async def test_the_stage_looks_again_after_the_store_was_away_and_ends_when_it_is_asked_to(database: Database) -> None:
    facts: list[Fact] = []
    stop, clock, asked = asyncio.Event(), FakeClock(), asyncio.Event()
    times = 0

    async def records() -> list[CustomerDatabase]:
        nonlocal times
        times += 1
        if times == 1:
            raise StoreError("away")
        asked.set()
        return []

    stage = asyncio.create_task(Warden(database.connection, records, clock, facts.append).run(stop))
    async with asyncio.timeout(5):
        while not asked.is_set():
            await asyncio.sleep(0)
            await clock.advance(1)
        stop.set()
        await stage
    assert [type(fact) for fact in facts] == [StoreFailed]
