"""What a customer's database is given, on a real PostgreSQL: rows once, those refused named, and faults that hold."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from tests.databases import PROPERTY, MemoryRecords, Theirs, customer_database
from tests.engines import SharedEngines
from tests.readings import Writer

from matrixhub.databases.writing import FEW
from matrixhub.deliveries.desk import sample_event, send_test
from matrixhub.deliveries.destinations.postgres import IDLE_S, LOOK_S, PostgresSender, open_postgres_sender
from matrixhub.deliveries.destinations.reaching import Reaching
from matrixhub.deliveries.formats import make_body
from matrixhub.deliveries.plan import verdict_of
from matrixhub.model.destination import Destination
from matrixhub.model.egress import Allowance
from matrixhub.model.errors import DatabaseFault, DatabaseUnknown, RowsRefused
from matrixhub.model.policy import Policy
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import Filter, Source
from matrixhub.ports import Push
from matrixhub.sources.sites import make_site
from matrixhub.testing.fakes import FakeClock
from matrixhub.testing.samples import sample_subscription

pytestmark = pytest.mark.asyncio(loop_scope="module")

AT_MS = 1_710_029_109_417
SLOT = next(slot for slot in make_site(20, seed=7).slots if slot.devtype == "SMARTCLEAN#PPLCTR")
WRITER = Writer()
MANY = FEW + 10


def lines(number: int, *, start: int = 0, **more: Any) -> list[str]:
    """Readings a second apart."""
    return [
        WRITER.line(SLOT, AT_MS + 1000 * (start + n), {"count": n, "out_count": 0}, **more).decode()
        for n in range(number)
    ]


def changed(line: str, **fields: Any) -> str:
    return json.dumps(json.loads(line) | fields, separators=(",", ":"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(shared_engines: SharedEngines) -> AsyncIterator[Theirs]:
    async with customer_database(shared_engines) as found:
        yield found


@dataclass(slots=True)
class World:
    """A database of the customer's, and a sender that writes to it."""

    theirs: Theirs
    records: MemoryRecords
    clock: FakeClock
    sender: PostgresSender

    def push(self, items: Sequence[str], source: Source = "sensors", **changes: Any) -> Push:
        subscription = sample_subscription(
            property_id=PROPERTY,
            destination=Destination(url=self.theirs.record.url, kind="postgres"),
            filter=Filter(source=source),
            policy=changes.pop("policy", Policy(connect_timeout_s=2, total_timeout_s=5)),
        )
        body = make_body(subscription, [json.dumps(item)[1:-1].encode() for item in items])
        return Push(subscription=subscription, request_id="request-1", body=body.data, items=len(items), **changes)

    async def send(self, items: Sequence[str], source: Source = "sensors", **changes: Any) -> Any:
        return await self.sender.send(self.push(items, source, **changes))

    async def sessions(self) -> int:
        rows = await self.theirs.run(
            "select pid from pg_stat_activity where usename = $1", self.theirs.record.server.user
        )
        return len(rows)

    async def wait_sessions(self, number: int) -> None:
        async with asyncio.timeout(5):
            while True:
                if await self.sessions() == number:
                    return
                await asyncio.sleep(0.01)

    async def cut(self) -> None:
        """End all sessions of the hub's."""
        await self.theirs.run(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = $1",
            self.theirs.record.server.user,
        )


@pytest_asyncio.fixture(loop_scope="module")
async def world(shared: Theirs, shared_engines: SharedEngines) -> AsyncIterator[World]:
    await shared.empty()
    async with opened(shared, shared_engines) as found:
        yield found


@contextlib.asynccontextmanager
async def opened(theirs: Theirs, engines: SharedEngines) -> AsyncIterator[World]:
    records, clock = MemoryRecords(theirs.record), FakeClock()
    reaching = Reaching(engines.postgres.socket, Allowance())
    async with open_postgres_sender(records, reaching, clock) as sender:
        yield World(theirs, records, clock, sender)


# --- what is written ---


@pytest.mark.parametrize("number", [1, FEW, MANY])
async def test_readings_are_rows_once_however_often_they_come(world: World, number: int) -> None:
    sent = await world.send(lines(number))
    assert (sent.http_status, sent.failed) == (0, {})
    assert sent.answer == f"{number} row{'' if number == 1 else 's'} written"
    again = await world.send(lines(number + 1))
    assert again.answer == f"1 row written, {number} {'was' if number == 1 else 'were'} there"
    assert await world.theirs.count() == number + 1
    rows = await world.theirs.run("select *, v::text as said from matrix.sensor_data order by time limit 1")
    first = json.loads(lines(1)[0])
    assert {name: rows[0][name] for name in ("devid", "t", "unixt", "dow")} == {
        "devid": first["DEVID"],
        "t": first["t"],
        "unixt": first["unixT"],
        "dow": first["dow"],
    }
    assert json.loads(rows[0]["said"]) == first["v"]


async def test_after_a_repeat_rows_are_inserted_until_a_push_is_all_new_again(world: World) -> None:
    for start in (0, MANY - 1, MANY, 2 * MANY, 3 * MANY):
        await world.send(lines(MANY, start=start))
    assert await world.theirs.count() == 4 * MANY


async def test_the_same_reading_twice_in_a_push_is_one_row(world: World) -> None:
    assert (await world.send(lines(MANY) + lines(1))).answer == f"{MANY} rows written, 1 was there"
    assert await world.theirs.count() == MANY


async def test_events_are_rows_of_their_own_table(world: World) -> None:
    events = [sample_event(PROPERTY, AT_MS + 1000 * n) for n in range(3)]
    assert (await world.send(events, "events")).answer == "3 rows written"
    assert (await world.send(events, "events")).answer == "0 rows written, 3 were there"
    rows = await world.theirs.run("select attr, event, meta::text from matrix.events order by time")
    assert [tuple(row) for row in rows] == [(json.loads(e)["ATTR"], "TEST", "{}") for e in events]
    assert await world.theirs.count() == 0


async def test_a_test_tells_how_it_would_go_and_writes_nothing(world: World) -> None:
    for source in ("sensors", "events"):
        result = await send_test(world.sender, world.push([], source).subscription, world.clock)
        assert result.taken
        assert result.attempt.answer.startswith("nothing written")
        assert result.attempt.http_status == 0
    assert await world.theirs.count() == await world.theirs.count("events") == 0


async def test_a_notice_is_not_for_a_database(world: World) -> None:
    with pytest.raises(DatabaseFault, match="takes no notices"):
        await world.send(lines(1), kind="notice")


# --- rows that are refused ---

NOT_ROWS = {
    "no reading": ('{"t":1}', "not a reading"),
    "a JSON number too large": (None, "overflows numeric"),
    "too long for its column": (None, "too long"),
    "NUL": (None, "NUL"),
    "a number too large": (None, "larger number"),
}


def broken(what: str, line: str) -> str:
    match what:
        case "a JSON number too large":
            return line.replace('"v":{', '"v":{"x":1e200000,')
        case "too long for its column":
            return changed(line, t="20240310080509x")
        case "NUL":
            return changed(line, Display="a\x00b")
        case "a number too large":
            return changed(line, utc=2**63)
        case _:
            return NOT_ROWS[what][0] or ""


@pytest.mark.parametrize("what", list(NOT_ROWS))
@pytest.mark.parametrize("number", [1, 20, MANY])
async def test_exactly_what_postgresql_does_not_take_is_named_and_the_rest_is_written(
    world: World, what: str, number: int
) -> None:
    items = lines(number)
    bad = sorted({0, number // 2})
    for index in bad:
        items[index] = broken(what, items[index])
    sent = await world.send(items)
    assert sorted(sent.failed) == bad
    assert all(NOT_ROWS[what][1] in reason for reason in sent.failed.values()), sent.failed
    assert await world.theirs.count() == number - len(bad)


async def test_a_rule_of_the_customers_own_refuses_rows_and_only_those(world: World) -> None:
    await world.theirs.run("alter table matrix.sensor_data add constraint own check ((v->>'count')::int <> 7)")
    try:
        sent = await world.send(lines(MANY))
        assert list(sent.failed) == [7]
        assert 'violates check constraint "own"' in sent.failed[7]
        assert await world.theirs.count() == MANY - 1
    finally:
        await world.theirs.run("alter table matrix.sensor_data drop constraint own")


async def test_a_clash_with_an_index_of_the_customers_own_is_not_passed_over_in_silence(world: World) -> None:
    await world.theirs.run("create unique index own on matrix.sensor_data ((v->>'count'))")
    try:
        items = lines(MANY)
        items[5] = lines(6, start=MANY)[4]
        sent = await world.send(items)
        assert list(sent.failed) == [5]
        assert await world.theirs.count() == MANY - 1
    finally:
        await world.theirs.run("drop index matrix.own")


async def test_a_push_of_which_too_many_rows_are_refused_is_to_be_cut(world: World) -> None:
    bad = [broken("a JSON number too large", line) for line in lines(40)]
    with pytest.raises(RowsRefused) as refused:
        await world.send([*bad, *lines(40, start=40)])
    assert verdict_of(refused.value) == "poisoned"
    assert await world.theirs.count() == 0
    sent = await world.send(bad[:20])
    assert sorted(sent.failed) == list(range(20))


# --- drift ---


async def test_what_the_customer_adds_or_does_without_is_left_alone(world: World) -> None:
    await world.send(lines(MANY))
    try:
        await world.theirs.run("alter table matrix.sensor_data add column noted timestamptz default now()")
        await world.theirs.run("drop index matrix.sensor_data_insid_time_idx")
        await world.theirs.run("alter table matrix.sensor_data alter column t type varchar(20)")
        await world.theirs.run("create view matrix.mine as select * from matrix.sensor_data")
        assert (await world.send(lines(MANY, start=MANY))).failed == {}
        assert (await world.send(lines(1, start=2 * MANY))).failed == {}
        assert await world.theirs.count() == 2 * MANY + 1
    finally:
        await world.theirs.make_schema()


DRIFTS = {
    "drop table matrix.sensor_data": "does not exist",
    "drop schema matrix cascade": "does not exist",
    "alter table matrix.sensor_data drop column minute": "minute",
    "alter table matrix.sensor_data drop constraint sensor_data_pkey": "no unique or exclusion constraint",
    "alter table matrix.sensor_data add own text default 'x' not null": 'column "own"',
    "alter table matrix.sensor_data alter column minute type int using minute::int": 'column "minute"',
}


@pytest.mark.parametrize("drift", list(DRIFTS))
@pytest.mark.parametrize("number", [1, MANY])
async def test_what_is_missing_is_named_blames_no_row_and_goes_on_when_it_is_back(
    world: World, drift: str, number: int
) -> None:
    await world.send(lines(number))
    try:
        await world.theirs.run(drift)
        if "add own" in drift:
            await world.theirs.run("alter table matrix.sensor_data alter own drop default")
        for _ in range(2):
            with pytest.raises(DatabaseFault) as fault:
                await world.send(lines(number, start=number))
            assert fault.value.step == "schema"
            assert DRIFTS[drift] in fault.value.message
            assert verdict_of(fault.value) == "retry"
    finally:
        await world.theirs.make_schema()
    assert (await world.send(lines(number, start=number))).failed == {}
    assert await world.theirs.count() == number


async def test_row_level_security_which_takes_no_copy_is_met_with_inserts(world: World) -> None:
    try:
        await world.theirs.run("alter table matrix.sensor_data enable row level security")
        await world.theirs.run("create policy everything on matrix.sensor_data using (true) with check (true)")
        assert (await world.send(lines(MANY))).answer == f"{MANY} rows written"
    finally:
        await world.theirs.make_schema()


# --- faults of the server ---


async def test_rights_that_are_missing_hold_the_push(world: World) -> None:
    user = world.theirs.record.server.user
    await world.theirs.run(f"revoke insert on matrix.sensor_data from {user}")
    try:
        with pytest.raises(DatabaseFault) as fault:
            await world.send(lines(MANY))
        assert fault.value.step == "rights"
        result = await send_test(world.sender, world.push([]).subscription, world.clock)
        assert (result.taken, result.attempt.code) == (False, "MH-D010")
    finally:
        await world.theirs.run(f"grant insert on matrix.sensor_data to {user}")
    assert (await world.send(lines(MANY))).failed == {}


async def test_a_database_that_only_reads_holds_the_push(world: World) -> None:
    user = world.theirs.record.server.user
    await world.theirs.run(f"alter role {user} set default_transaction_read_only = on")
    try:
        with pytest.raises(DatabaseFault, match="read-only") as fault:
            await world.send(lines(1))
        assert fault.value.step == "rights"
    finally:
        await world.theirs.run(f"alter role {user} reset default_transaction_read_only")
    assert (await world.send(lines(1))).failed == {}


async def test_a_statement_timeout_of_the_customers_holds_the_push(world: World) -> None:
    await world.send(lines(1))
    user = world.theirs.record.server.user
    await world.theirs.run(f"alter role {user} set statement_timeout = '100ms'")
    await world.cut()
    try:
        connection = await asyncpg.connect(world.theirs.dsns.socket)
        try:
            async with connection.transaction():
                await connection.execute("lock table matrix.sensor_data")
                with pytest.raises(DatabaseFault, match="took too long") as fault:
                    await world.send(lines(1, start=1))
                assert fault.value.step == "reach"
        finally:
            await connection.close()
    finally:
        await world.theirs.run(f"alter role {user} reset statement_timeout")
    assert (await world.send(lines(1, start=1))).answer == "1 row written"


async def test_too_many_connections_hold_the_push(world: World) -> None:
    user = world.theirs.record.server.user
    await world.theirs.run(f"alter role {user} connection limit 0")
    try:
        with pytest.raises(DatabaseFault, match="too many connections") as fault:
            await world.send(lines(1))
        assert fault.value.step == "reach"
    finally:
        await world.theirs.run(f"alter role {user} connection limit -1")
    assert (await world.send(lines(1))).failed == {}


async def test_a_connection_that_the_server_cut_while_idle_is_no_failure(world: World) -> None:
    await world.send(lines(1))
    await world.cut()
    assert (await world.send(lines(1, start=1))).answer == "1 row written"
    assert await world.theirs.count() == 2


async def test_a_crash_of_the_transaction_writes_nothing_and_the_same_push_writes_each_row_once(world: World) -> None:
    await world.theirs.run(
        "create function matrix.cut() returns trigger language plpgsql as $$ begin"
        " if (select count(*) from matrix.sensor_data) > 30 then perform pg_terminate_backend(pg_backend_pid());"
        " end if; return new; end $$; "
    )
    await world.theirs.run(
        "create trigger cut before insert on matrix.sensor_data for each row execute function matrix.cut()"
    )
    try:
        with pytest.raises(DatabaseFault) as fault:
            await world.send(lines(MANY))
        assert fault.value.step == "reach"
        assert await world.theirs.count() == 0
    finally:
        await world.theirs.run("drop function matrix.cut cascade")
    assert (await world.send(lines(MANY))).answer == f"{MANY} rows written"
    assert await world.theirs.count() == MANY


# --- records and connections ---


async def test_a_changed_password_counts_after_a_fault_at_once(world: World) -> None:
    user = world.theirs.record.server.user
    await world.send(lines(1))
    await world.theirs.run(f"alter role {user} password 'another-one'")
    try:
        await world.cut()
        with pytest.raises(DatabaseFault) as fault:
            await world.send(lines(1, start=1))
        assert fault.value.step == "login"
        world.records.save(world.theirs.at(password=Secret("another-one")))
        assert (await world.send(lines(1, start=1))).answer == "1 row written"
    finally:
        await world.theirs.run(f"alter role {user} password 'writer-passw0rd'")


async def test_a_changed_record_counts_soon_and_connections_by_the_old_one_are_closed(
    world: World, shared_engines: SharedEngines
) -> None:
    await world.send(lines(1))
    assert await world.sessions() == 1
    async with customer_database(shared_engines) as other:
        world.records.save(replace(other.record, id=world.theirs.record.id))
        await world.clock.advance(LOOK_S)
        await world.send(lines(1, start=1))
        assert await other.count() == await world.theirs.count() == 1
        await world.wait_sessions(0)
        await world.sender.close()


async def test_a_record_is_looked_at_once_a_second_not_for_each_push(world: World) -> None:
    for start in range(5):
        await world.send(lines(1, start=start))
    assert world.records.looks == 1
    await world.clock.advance(LOOK_S)
    await world.send(lines(1))
    assert world.records.looks == 2


async def test_a_store_that_is_away_charges_nobody_and_a_database_that_is_gone_is_told(world: World) -> None:
    world.records.away = True
    with pytest.raises(DatabaseUnknown, match="cannot be found out now"):
        await world.send(lines(1))
    world.records.away = False
    world.records.kept.clear()
    with pytest.raises(DatabaseFault, match="not known any longer"):
        await world.send(lines(1))


async def test_a_database_of_another_property_is_not_written_to(world: World) -> None:
    await world.send(lines(1))
    push = world.push(lines(1, start=1))
    foreign = replace(push, subscription=replace(push.subscription, property_id="another"))
    with pytest.raises(DatabaseFault, match="not known any longer"):
        await world.sender.send(foreign)
    assert await world.theirs.count() == 1


async def test_a_connection_is_kept_open_and_closed_when_it_is_idle(world: World) -> None:
    for start in range(3):
        await world.send(lines(1, start=start))
    await world.send([sample_event(PROPERTY, AT_MS)], "events")
    assert await world.sessions() == 1
    await world.clock.advance(IDLE_S * 2)
    await world.wait_sessions(0)


async def test_pushes_side_by_side_share_a_few_connections(world: World) -> None:
    await asyncio.gather(*(world.send(lines(3, start=3 * n)) for n in range(20)))
    assert await world.theirs.count() == 60
    assert 1 < await world.sessions() <= 4
