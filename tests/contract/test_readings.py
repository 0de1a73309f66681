"""What every `ReadingStore` keeps, in memory and on PostgreSQL: each reading once, and position and rows together."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from tests.readings import Writer

from matrixhub.config import load_settings
from matrixhub.engines import DataDirectory, open_engines
from matrixhub.model.errors import StoreError, UnstorableReading
from matrixhub.model.ids import PropertyId, SlotId
from matrixhub.model.reading_line import KeptReading, Origin, Splitter, render_line
from matrixhub.model.site import Slot
from matrixhub.observe import ignore
from matrixhub.ports import ReadingStore, RefusedLine
from matrixhub.sources.sites import make_site
from matrixhub.store import Database, open_database
from matrixhub.store.pool import migrate
from matrixhub.store.readings import FEW, PostgresReadingPartitions, PostgresReadings
from matrixhub.testing.memory_readings import MemoryReadings

pytestmark = pytest.mark.asyncio(loop_scope="module")

AT_MS = 1_710_029_109_417
DAY_MS = 86_400_000
SLOTS = make_site(20, seed=7).slots
SLOT = next(slot for slot in SLOTS if slot.devtype == "SMARTCLEAN#PPLCTR")
WRITER = Writer()


def kept(instant_ms: int = AT_MS, *, slot: Slot = SLOT, count: int = 1) -> KeptReading:
    return Splitter().split(WRITER.line(slot, instant_ms, {"count": count, "out_count": 0}))


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """A data directory that the engines' user can reach, which pytest's own is not."""
    top = Path(tempfile.mkdtemp(prefix="mh-readings-"))
    top.chmod(0o755)
    yield top / "data"
    shutil.rmtree(top)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(data: Path) -> AsyncIterator[Database]:
    with DataDirectory.open(data) as directory:
        async with (
            open_engines(directory, load_settings(None, {}).engines, ignore) as engines,
            open_database(engines.endpoints.postgres_dsn, connections_max=4) as found,
        ):
            await migrate(found, ignore)
            yield found


@dataclass(frozen=True, slots=True)
class Subject:
    """A store, and how to look into it."""

    store: ReadingStore
    database: Database | None

    async def lines(self) -> list[bytes]:
        """What is stored, as lines, in time order."""
        if isinstance(self.store, MemoryReadings):
            found = list(self.store.kept.values())
        else:
            assert self.database is not None
            async with self.database.connection() as connection:
                rows = await connection.fetch(
                    "select s.property_id, s.slot_id, s.devtype, o.*, r.v::text as v, r.stats::text as stats, r.line,"
                    " (extract(epoch from r.at) * 1000)::bigint as ms from readings r"
                    " join reading_series s on s.id = r.series join reading_origins o on o.id = r.origin"
                )
            found = [
                KeptReading(
                    Origin(
                        row["property_id"],
                        row["building_id"],
                        row["zone_id"],
                        row["slot_id"],
                        row["devtype"],
                        row["time_zone"],
                        row["aggregates"],
                        row["fixed"],
                    ),
                    row["ms"],
                    row["v"],
                    row["stats"],
                    row["line"],
                )
                for row in rows
            ]
        return [render_line(one) for one in sorted(found, key=lambda one: (one.instant_ms, one.origin.slot_id))]

    async def refused(self) -> list[tuple[int, int]]:
        """The lines that were set aside."""
        if isinstance(self.store, MemoryReadings):
            return sorted((one.seq, one.item) for one in self.store.refused)
        assert self.database is not None
        async with self.database.connection() as connection:
            return [(r["seq"], r["item"]) for r in await connection.fetch("select * from telemetry_refused order by 1")]


@pytest_asyncio.fixture(loop_scope="module", params=["memory", "postgres"])
async def subject(request: pytest.FixtureRequest, database: Database) -> Subject:
    if request.param == "memory":
        return Subject(MemoryReadings(), None)
    async with database.connection() as connection:
        await connection.execute(
            "truncate readings, reading_series, reading_origins, telemetry_progress, telemetry_refused"
        )
    return Subject(PostgresReadings(database), database)


async def test_a_store_that_never_began_begins_where_it_is_told_and_goes_on_where_it_was(subject: Subject) -> None:
    assert await subject.store.begin(4) == 4
    assert await subject.store.store([kept()], [], after_seq=4, to_seq=6) == 1
    assert await subject.store.begin(0) == 6
    await subject.store.go_back(2)
    assert await subject.store.begin(0) == 2


async def test_a_reading_comes_back_to_the_byte(subject: Subject) -> None:
    await subject.store.begin(0)
    lines = [
        WRITER.line(SLOT, AT_MS, {"count": 1, "out_count": 0}),
        WRITER.line(SLOT, AT_MS + 1, {"count": 2, "out_count": 0, "é": '"}'}, DASSOC="ü", DevSubType="9"),
        WRITER.line(SLOT, AT_MS + 2, {"count": 3, "out_count": 0})[:-1] + b',"stats":{"x":{"HEALTH_VALUE":1}}}',
        b'{"DEVID":"d","DevType":"X#Y","PID":"b","PropId":"p","InsID":"z","Region":"UTC","unixT":%d,"v":{"a":[1]}}'
        % (AT_MS + 3),
        b'{"v": {"a": "\\u0000"}, "DEVID":"d","DevType":"X#Y","PID":"b","PropId":"p","InsID":"z","Region":"UTC",'
        b'"unixT":%d}' % (AT_MS + 4),
    ]
    splitter = Splitter()
    assert await subject.store.store([splitter.split(line) for line in lines], [], after_seq=0, to_seq=1) == 5
    assert await subject.lines() == lines


@pytest.mark.parametrize("many", [3, FEW + 50])
async def test_a_repeat_of_slot_type_and_instant_is_stored_once(subject: Subject, many: int) -> None:
    await subject.store.begin(0)
    readings = [kept(AT_MS + n) for n in range(many)]
    assert await subject.store.store(readings, [], after_seq=0, to_seq=1) == many
    again = [kept(AT_MS + n, count=9) for n in range(-2, many)]
    assert await subject.store.store([*again, *again], [], after_seq=1, to_seq=2) == 2
    assert len(await subject.lines()) == many + 2


async def test_nothing_is_stored_behind_another_position(subject: Subject) -> None:
    await subject.store.begin(0)
    assert await subject.store.store([kept()], [], after_seq=0, to_seq=5) == 1
    assert await subject.store.store([kept(AT_MS + 1)], [], after_seq=0, to_seq=7) is None
    assert await subject.store.begin(0) == 5
    assert len(await subject.lines()) == 1


async def test_what_is_refused_is_set_aside_with_the_rest(subject: Subject) -> None:
    await subject.store.begin(0)
    refused = [RefusedLine(seq=1, item=n, subject="sensors.p.b.t", line=b"\x00\xff", reason="a\x00b") for n in (0, 1)]
    assert await subject.store.store([kept()], refused, after_seq=0, to_seq=1) == 1
    assert await subject.refused() == [(1, 0), (1, 1)]


async def test_a_value_that_the_database_does_not_take_stores_nothing_and_is_told(subject: Subject) -> None:
    await subject.store.begin(0)
    poisoned = msgspec.structs.replace(kept(AT_MS + 1), values='{"count":}')
    if isinstance(subject.store, MemoryReadings):
        subject.store.poison = '"count":}'
    for many in (1, FEW + 1):
        good = [kept(AT_MS + n) for n in range(2, many + 2)]
        with pytest.raises(UnstorableReading):
            await subject.store.store([*good, poisoned], [], after_seq=0, to_seq=1)
    assert await subject.lines() == []
    assert await subject.store.begin(9) == 0
    assert await subject.store.takes(kept()) == ""
    assert await subject.store.takes(poisoned)
    assert await subject.lines() == []


async def test_readings_of_one_slot_keep_where_they_were_taken_when_it_is_moved(subject: Subject) -> None:
    await subject.store.begin(0)
    moved = replace(SLOT, zone_id=SLOTS[-1].zone_id, name="Moved")
    lines = [WRITER.line(slot, AT_MS + n, {"count": 1, "out_count": 0}) for n, slot in enumerate([SLOT, moved])]
    await subject.store.store([Splitter().split(line) for line in lines], [], after_seq=0, to_seq=1)
    assert await subject.lines() == lines


async def test_an_id_that_is_too_long_for_an_index_is_told(database: Database) -> None:
    store = PostgresReadings(database)
    long = kept()
    slot_id = SlotId(random.Random(1).randbytes(20_000).hex())
    long = msgspec.structs.replace(long, origin=replace(long.origin, slot_id=slot_id))
    assert await store.takes(long)
    assert await store.takes(kept()) == ""


# partitions, of PostgreSQL alone


async def partition_rows(database: Database) -> dict[str, int]:
    async with database.connection() as connection:
        rows = await connection.fetch("select tableoid::regclass::text as name, count(*) from readings group by 1")
    return {row["name"]: row["count"] for row in rows}


async def test_a_reading_without_a_partition_is_stored_and_moves_once_there_is_one(database: Database) -> None:
    store, partitions = PostgresReadings(database), PostgresReadingPartitions(database)
    async with database.connection() as connection:
        await connection.execute("truncate readings, telemetry_progress")
    await store.begin(0)
    await store.store([kept(AT_MS), kept(AT_MS + DAY_MS)], [], after_seq=0, to_seq=1)
    assert await partition_rows(database) == {"readings_default": 2}
    at = datetime.fromtimestamp(AT_MS / 1000, UTC)
    assert await partitions.make([at, at]) == {"readings_20240310": 1}
    assert await partitions.make([at]) == {}
    await store.store([kept(AT_MS), kept(AT_MS + 1)], [], after_seq=1, to_seq=2)
    assert await partition_rows(database) == {"readings_20240310": 2, "readings_default": 1}


async def test_what_is_older_is_dropped_by_days_and_deleted_where_it_has_none(database: Database) -> None:
    store, partitions = PostgresReadings(database), PostgresReadingPartitions(database)
    async with database.connection() as connection:
        await connection.execute("truncate readings, telemetry_progress")
    at = datetime.fromtimestamp(AT_MS / 1000, UTC)
    await store.begin(0)
    await partitions.make([at, at + timedelta(days=1)])
    await store.store([kept(AT_MS + n * DAY_MS) for n in (-400, 0, 1)], [], after_seq=0, to_seq=1)
    before = at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    assert await partitions.drop(before) == ["readings_20240310"]
    assert await partition_rows(database) == {"readings_20240311": 1}


async def test_what_a_property_keeps_for_less_is_deleted_in_steps_and_nothing_else(database: Database) -> None:
    store, partitions = PostgresReadings(database), PostgresReadingPartitions(database)
    async with database.connection() as connection:
        await connection.execute("truncate readings, telemetry_progress")
    at = datetime.fromtimestamp(AT_MS / 1000, UTC)
    await store.begin(0)
    await partitions.make([at, at + timedelta(days=1)])
    hour_ms = AT_MS // 3_600_000 * 3_600_000 + 7_200_000  # whole hours are deleted, as those are rolled up before
    foreign = kept(hour_ms + 9)
    other = PropertyId("other")
    foreign = msgspec.structs.replace(foreign, origin=replace(foreign.origin, property_id=other))
    mine = [kept(hour_ms + n) for n in range(-3, 4)] + [kept(hour_ms + DAY_MS + n) for n in range(2)]
    await store.store([*mine, foreign, kept(hour_ms - 400 * DAY_MS)], [], after_seq=0, to_seq=1)
    assert {SLOT.property_id, other} <= set(await partitions.properties())
    steps = [count async for count in partitions.delete_old(SLOT.property_id, at + timedelta(hours=2), rows_max=2)]
    assert sorted(steps) == [1, 1, 2]
    assert await partition_rows(database) == {"readings_20240310": 5, "readings_20240311": 2}
    assert [n async for n in partitions.delete_old(other, at + timedelta(days=1), rows_max=2)] == [1]


async def test_the_time_that_is_trusted_is_remembered(database: Database) -> None:
    store, partitions = PostgresReadings(database), PostgresReadingPartitions(database)
    async with database.connection() as connection:
        await connection.execute("truncate telemetry_progress")
    await store.begin(0, "first")
    assert await partitions.trusted() is None
    at = datetime.fromtimestamp(AT_MS // 1000, UTC)
    await partitions.save_trusted(at, 3)
    assert await partitions.trusted() == (at, 3)


async def test_the_position_is_that_of_one_stream(subject: Subject) -> None:
    assert await subject.store.begin(4) == 4
    assert await subject.store.stream() == ""
    await subject.store.begin(0, "first")  # one from before streams were told apart is that of the first one seen
    await subject.store.begin(0, "second")
    assert (await subject.store.begin(0), await subject.store.stream()) == (4, "first")
    await subject.store.go_back(0, "second")
    assert (await subject.store.begin(9), await subject.store.stream()) == (0, "second")


async def test_a_repeat_is_expected_for_a_while_after_one_and_then_no_more(database: Database) -> None:
    store = PostgresReadings(database)
    async with database.connection() as connection:
        await connection.execute("truncate readings, telemetry_progress")
    await store.begin(0)
    many = [kept(AT_MS + n) for n in range(FEW + 1)]
    found = []
    for seq, offset in enumerate((0, 0, 500, 1000, 1000)):
        batch = [kept(AT_MS + offset + n) for n in range(FEW + 1)]
        found.append(await store.store(batch, [], after_seq=seq, to_seq=seq + 1))
    assert found == [len(many), 0, len(many), len(many), 0]


# Partitions and queries that hold locks.


async def test_a_query_that_takes_long_neither_waits_for_a_partition_nor_keeps_the_store_waiting(
    database: Database,
) -> None:
    store, partitions = PostgresReadings(database), PostgresReadingPartitions(database)
    async with database.connection() as connection:
        await connection.execute("truncate readings, telemetry_progress")
    await store.begin(0)
    at = datetime.fromtimestamp(AT_MS / 1000, UTC)
    await partitions.make([at])
    await store.store([kept(AT_MS)], [], after_seq=0, to_seq=1)
    later = AT_MS + 40 * DAY_MS
    async with database.transaction() as reader:  # a query of an hour, as far as locks go
        assert await reader.fetchval("select count(*) from readings") == 1
        with pytest.raises(StoreError):  # within half a second: whoever comes behind it waits no longer than that
            await partitions.make([at + timedelta(days=40)])
        assert await store.store([kept(later)], [], after_seq=1, to_seq=2) == 1
        assert await reader.fetchval("select count(*) from readings") == 2
        with pytest.raises(StoreError):
            await partitions.drop(at + timedelta(days=2))
        assert await store.store([kept(later + 1)], [], after_seq=2, to_seq=3) == 1
    assert (await partition_rows(database))["readings_default"] == 2
    assert sum((await partitions.make([at + timedelta(days=40)])).values()) == 2
    assert "readings_default" not in await partition_rows(database)


async def test_a_disk_that_is_full_is_told_and_all_is_stored_once_there_is_room(database: Database) -> None:
    store = PostgresReadings(database)
    async with database.connection() as connection:
        await connection.execute("truncate readings, telemetry_progress")
        # What PostgreSQL says when a file cannot grow, said where a row is written.
        await connection.execute(
            "create or replace function full_disk() returns trigger language plpgsql as $$ begin"
            " raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$;"
            "create trigger full_disk before insert on readings for each row execute function full_disk()"
        )
    await store.begin(0)
    for many in (1, FEW + 1):
        with pytest.raises(StoreError, match="No space left on device"):
            await store.store([kept(AT_MS + n) for n in range(many)], [], after_seq=0, to_seq=1)
    async with database.connection() as connection:
        await connection.execute("drop trigger full_disk on readings; drop function full_disk")
    assert await store.begin(9) == 0
    assert await store.store([kept(AT_MS + n) for n in range(FEW + 1)], [], after_seq=0, to_seq=1) == FEW + 1
