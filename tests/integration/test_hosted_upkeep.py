"""Partitions of a hosted database: made ahead, filled with what came before, dropped by its own retention."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from tests.engines import SharedEngines
from tests.hosting import Hosted, hosted
from tests.readings import Writer

from matrixhub.databases import hosting
from matrixhub.databases.partitions import LATE_MAX, WEEK, keep_up, partition_name, week_of
from matrixhub.databases.rows import reading_row
from matrixhub.databases.upkeep import Upkeep
from matrixhub.databases.writing import write_rows
from matrixhub.model.database import CustomerDatabase, Limits
from matrixhub.model.errors import StoreError
from matrixhub.model.ids import DatabaseId
from matrixhub.observe import DatabaseKept, Fact, StoreFailed
from matrixhub.sources.sites import make_site
from matrixhub.store import open_database
from matrixhub.store.sites import apply_site
from matrixhub.testing.fakes import FakeClock

pytestmark = pytest.mark.asyncio(loop_scope="module")

SITE = make_site(1)
NOW = datetime.now(UTC)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(shared_engines: SharedEngines) -> AsyncIterator[Hosted]:
    dsns = await shared_engines.new_database()
    async with open_database(dsns.socket, connections_max=2) as database:
        await apply_site(database, SITE, remove=False)
    async with hosted(dsns, SITE.property.id, limits=Limits(retention_days=30)) as it:
        yield it


@pytest_asyncio.fixture(loop_scope="module")
async def owner(made: Hosted) -> AsyncIterator[asyncpg.Connection]:
    """The hub's connection, as the owner of the tables; what a test does is taken back."""
    async with hosting.connected(made.dsns.socket, database=made.names.database) as connection:
        await connection.execute(f"set role {made.names.owner}")
        transaction = connection.transaction()
        await transaction.start()
        try:
            yield connection
        finally:
            await transaction.rollback()


def clock(at: datetime = NOW) -> FakeClock:
    return FakeClock(int(at.timestamp() * 1000))


async def store(connection: Any, *instants: datetime) -> None:
    writer = Writer()
    lines = [writer.line(SITE.slots[0], int(at.timestamp() * 1000), {"count": 1}) for at in instants]
    assert await write_rows(connection, "sensors", [reading_row(line) for line in lines]) == len(lines)


async def where(connection: Any) -> dict[str, int]:
    rows = await connection.fetch(
        "select tableoid::regclass::text as name, count(*) from matrix.sensor_data group by 1 order by 1"
    )
    return {row["name"].removeprefix("matrix."): row["count"] for row in rows}


async def test_a_new_database_has_the_partitions_of_the_next_weeks(owner: asyncpg.Connection) -> None:
    await store(owner, NOW, NOW + WEEK, NOW + 2 * WEEK)
    assert await where(owner) == {partition_name(week_of(NOW + WEEK * n)): 1 for n in range(3)}


async def test_a_round_that_has_nothing_to_do_does_nothing(owner: asyncpg.Connection) -> None:
    kept = await keep_up(owner, clock(), 30)
    assert (kept.made, kept.dropped, kept.deleted, kept.waiting) == ([], [], 0, [])


async def test_readings_that_came_before_their_partition_are_moved_into_it(owner: asyncpg.Connection) -> None:
    late, early = NOW - 2 * WEEK, NOW + 9 * WEEK
    await store(owner, late, early)
    assert await where(owner) == {"sensor_data_default": 2}
    kept = await keep_up(owner, clock(), 30)
    assert set(kept.made) == {partition_name(week_of(late)), partition_name(week_of(early))}
    assert await where(owner) == dict.fromkeys(sorted(kept.made), 1)


async def test_what_is_too_old_is_dropped_whole_and_what_is_not_is_kept(owner: asyncpg.Connection) -> None:
    old, edge = NOW - timedelta(days=45), NOW - timedelta(days=29)
    await store(owner, old, edge, NOW)
    await keep_up(owner, clock(), 100)
    assert len(await where(owner)) == 3
    kept = await keep_up(owner, clock(), 30)
    assert kept.dropped == [partition_name(week_of(old))]
    assert await where(owner) == {partition_name(week_of(at)): 1 for at in (edge, NOW)}


async def test_old_readings_in_the_default_partition_and_old_events_are_deleted(owner: asyncpg.Connection) -> None:
    await store(owner, NOW - timedelta(days=200))
    for days in (31, 29):
        await owner.execute(
            "insert into matrix.events (time, unixtimeint, principal, attr, event, module, status, routingkey)"
            " values ($1, 0, 'p', $2, 'E', 'm', 's', 'r')",
            NOW - timedelta(days=days),
            str(days),
        )
    kept = await keep_up(owner, clock(), 30)
    assert (kept.deleted, kept.made) == (2, [])
    assert await owner.fetchval("select array_agg(attr) from matrix.events") == ["29"]
    assert await where(owner) == {}


async def test_a_clock_that_jumped_ahead_drops_nothing(owner: asyncpg.Connection) -> None:
    await store(owner, NOW, NOW - timedelta(days=20))
    await keep_up(owner, clock(), 60)
    kept = await keep_up(owner, clock(NOW + timedelta(days=3650)), 60)
    assert (kept.dropped, kept.deleted) == ([], 0)
    assert sum((await where(owner)).values()) == 2


async def test_many_weeks_of_late_readings_take_several_rounds(owner: asyncpg.Connection) -> None:
    weeks = [NOW - WEEK * n for n in range(1, LATE_MAX + 6)]
    await store(owner, *weeks)
    first = await keep_up(owner, clock(), 3650)
    second = await keep_up(owner, clock(), 3650)
    assert (len(first.made), len(second.made)) == (LATE_MAX, 5)
    assert "sensor_data_default" not in await where(owner)


async def test_what_a_customer_reads_holds_up_no_round_and_no_write(made: Hosted) -> None:
    """A reader in the middle of a transaction: partitions wait for it, and nobody waits for them."""
    facts: list[Fact] = []
    late = NOW - WEEK
    async with made.reader() as reader, made.writer() as writer:
        await store(writer, late)
        async with reader.transaction():
            await reader.fetchval("select count(*) from matrix.sensor_data")
            await upkeep(made, facts).round()
            async with asyncio.timeout(5):
                await store(writer, late + timedelta(seconds=1))
            assert await reader.fetchval("select count(*) from matrix.sensor_data") == 2
        await upkeep(made, facts).round()
        assert await where(writer) == {partition_name(week_of(late)): 2}
        assert await reader.fetchval(f"select count(*) from matrix.{partition_name(week_of(late))}") == 2
    name = partition_name(week_of(late))
    told = [(fact.made, fact.waiting) for fact in facts if isinstance(fact, DatabaseKept)]
    assert told == [("", name), (name, "")]


async def test_a_database_that_is_gone_holds_up_no_other(made: Hosted) -> None:
    facts: list[Fact] = []
    gone = replace(made.record, id=DatabaseId("db_00000000"))
    async with made.writer() as writer:
        await store(writer, NOW + 12 * WEEK)
    await upkeep(made, facts, gone).round()
    assert [type(fact) for fact in facts] == [StoreFailed, DatabaseKept]


async def test_the_stage_ends_when_it_is_asked_to_though_the_store_is_away(made: Hosted) -> None:
    facts: list[Fact] = []
    stop, duty, away = asyncio.Event(), Always(), asyncio.Event()

    async def broken() -> list[Any]:
        away.set()
        raise StoreError("away")

    stage = asyncio.create_task(Upkeep(made.dsns.socket, broken, duty, clock(), facts.append).run(stop))
    async with asyncio.timeout(5):
        await away.wait()
        stop.set()
        await stage
    assert [fact for fact in facts if isinstance(fact, StoreFailed)]
    assert duty.closed


class Always:
    """A duty that is always this process's."""

    closed = False

    async def held(self) -> bool:
        return True

    async def close(self) -> None:
        self.closed = True


def upkeep(made: Hosted, facts: list[Fact], *others: CustomerDatabase) -> Upkeep:
    async def records() -> list[CustomerDatabase]:
        return [*others, made.record]

    return Upkeep(made.dsns.socket, records, Always(), clock(), facts.append)
