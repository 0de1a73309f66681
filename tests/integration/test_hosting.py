"""Databases that the hub hosts, on a real PostgreSQL: made, closed, limited, rotated, dropped; and crashes between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio
from tests.engines import Dsns, SharedEngines
from tests.hosting import SEALER, Hosted, desk_of, hosted

from matrixhub.databases import hosting
from matrixhub.databases.hosted import HostedDatabases
from matrixhub.model.database import HostedNames, Limits
from matrixhub.model.destination import Destination
from matrixhub.model.errors import (
    Conflict,
    DatabaseBusy,
    HostingRefused,
    InvalidValue,
    NameTaken,
    NotFound,
)
from matrixhub.model.ids import PropertyId
from matrixhub.model.policy import BatchLimits, Policy
from matrixhub.model.subscription import Filter, Position
from matrixhub.observe import ignore
from matrixhub.sources.sites import make_site
from matrixhub.store import Database, open_database
from matrixhub.store.databases import Databases
from matrixhub.store.pool import migrate
from matrixhub.store.sites import apply_site
from matrixhub.store.subscriptions import Codec, create_subscription

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMITS = Limits(connections_max=3, statement_timeout_s=2, work_mem_mib=8, temp_mib_max=16)
ENDED = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What a session may say that was ended."""

INSERT = (
    "insert into matrix.events (time, unixtimeint, principal, attr, event, module, status, routingkey)"
    " values (now(), 1, 'p', 'a', 'E', 'm', 's', 'r')"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dsns(shared_engines: SharedEngines) -> Dsns:
    return await shared_engines.new_database()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(dsns: Dsns) -> AsyncIterator[Database]:
    async with open_database(dsns.socket, connections_max=6) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def properties(database: Database) -> tuple[PropertyId, PropertyId]:
    """Two properties of two customers."""
    found = []
    for seed in (1, 2):
        site = make_site(3, seed=seed)
        await apply_site(database, site, remove=False)
        found.append(site.property.id)
    return found[0], found[1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ours(dsns: Dsns, properties: tuple[PropertyId, PropertyId]) -> AsyncIterator[Hosted]:
    async with hosted(dsns, properties[0], "shared", LIMITS) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def changed(dsns: Dsns, properties: tuple[PropertyId, PropertyId]) -> AsyncIterator[Hosted]:
    async with hosted(dsns, properties[0], "changed", LIMITS) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def mine(changed: Hosted, database: Database) -> Hosted:
    """One that the test may change, and that is as it was made."""
    kept = Databases(database, SEALER)
    before = await kept.show(changed.record.id)
    record = await kept.save(replace(changed.record, version=before.version))
    async with database.transaction() as connection:
        await hosting.limit_reader(connection, changed.names, LIMITS)
        await hosting.let_in(connection, changed.names.reader, changed.password)
        await hosting.let_in(connection, changed.names.writer, record.server.password)
    return replace(changed, record=record)


@pytest_asyncio.fixture(loop_scope="module")
async def doomed(dsns: Dsns, properties: tuple[PropertyId, PropertyId]) -> AsyncIterator[Hosted]:
    """One that the test may drop."""
    async with hosted(dsns, properties[0], "doomed", LIMITS) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def desk(database: Database) -> HostedDatabases:
    return desk_of(database)


# --- rights ---


async def test_the_writer_writes_and_the_reader_reads_it(ours: Hosted) -> None:
    async with ours.writer() as writer, ours.reader() as reader:
        async with writer.transaction():
            await writer.execute("create temporary table staged on commit drop as select * from matrix.events limit 0")
        await writer.execute(INSERT)
        assert await reader.fetchval("select count(*) from matrix.events") == 1
        assert await reader.fetchval("select max(version) from schema_version") == 1


async def test_tables_and_views_that_come_later_can_be_read_too(ours: Hosted) -> None:
    async with hosting.connected(ours.dsns.socket, database=ours.names.database) as hub:
        await hub.execute(f"set role {ours.names.owner}")
        await hub.execute("create table matrix.later (a int); create view matrix.seen as select a from matrix.later")
    async with ours.reader() as reader, ours.writer() as writer:
        assert await writer.execute("insert into matrix.later values (7)") == "INSERT 0 1"
        assert await reader.fetchval("select a from matrix.seen") == 7


FORBIDDEN = (
    INSERT,
    "update matrix.events set event = 'x'",
    "delete from matrix.events",
    "truncate matrix.events",
    "drop table matrix.events",
    "alter table matrix.events add column x int",
    "create table matrix.x (a int)",
    "create table public.x (a int)",
    "create temporary table x (a int)",
    "create schema x",
    "create database x",
    "create role x",
    "create extension pg_trgm schema matrix",
    "create language plperl",
    "create function matrix.f() returns int language sql as 'select 1'",
    "do $$ begin end $$",
    "select lo_create(0)",
    "select lo_from_bytea(0, 'x')",
    "select lo_import('/etc/passwd')",
    "select lo_get(1)",
    "select pg_read_file('/etc/passwd')",
    "select pg_read_binary_file('/etc/passwd')",
    "select pg_ls_dir('.')",
    "select pg_stat_file('PG_VERSION')",
    "copy matrix.events to '/tmp/x'",
    "copy (select 1) to program 'id'",
    "copy matrix.events from '/etc/passwd'",
    "select pg_advisory_lock(1)",
    "select pg_try_advisory_xact_lock(1)",
    "select pg_notify('site', '')",
    "select * from pg_stat_activity",
    "select * from pg_stat_database",
    "select * from pg_locks",
    "select * from pg_authid",
    "select * from pg_shadow",
    "select pg_database_size('postgres')",
    "select pg_reload_conf()",
    "alter role current_user connection limit -1",
    "alter role current_user nosuperuser",
    "alter system set work_mem = '1GB'",
    "set temp_file_limit = -1",
    "set role matrixhub",
    "set session authorization matrixhub",
    "set session_replication_role = replica",
    "load 'auto_explain'",
    "checkpoint",
)


@pytest.mark.parametrize("statement", FORBIDDEN)
async def test_a_reader_may_not(ours: Hosted, statement: str) -> None:
    async with ours.reader() as reader:
        # What a user can set back himself must not be what holds him.
        await reader.execute("set default_transaction_read_only = off; set statement_timeout = 0")
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.FeatureNotSupportedError)) as refused:
            await reader.execute(statement)
        # An extension that is not there is looked for before the right to make one.
        assert isinstance(refused.value, asyncpg.InsufficientPrivilegeError) or "not available" in str(refused.value)


async def test_a_reader_ends_no_session_but_its_own(ours: Hosted) -> None:
    async with ours.reader() as reader, ours.writer() as writer:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.execute(f"select pg_terminate_backend({writer.get_server_pid()})")
        assert await writer.fetchval("select 1") == 1


WRITER_FORBIDDEN = (
    "update matrix.events set event = 'x'",
    "delete from matrix.events",
    "drop table matrix.events",
    "create table matrix.x (a int)",
    "create schema x",
    "select lo_create(0)",
    "select pg_read_file('/etc/passwd')",
    "copy (select 1) to program 'id'",
    "set role matrixhub",
    "do $$ begin end $$",
)


@pytest.mark.parametrize("statement", WRITER_FORBIDDEN)
async def test_a_writer_may_not(ours: Hosted, statement: str) -> None:
    async with ours.writer() as writer:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await writer.execute(statement)


async def test_no_other_database_lets_them_in(ours: Hosted, mine: Hosted) -> None:
    for other in (mine.names.database, "matrixhub", "postgres", "template1"):
        for way in (ours.reader, ours.writer):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for database"):
                async with way(database=other):
                    pass
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        async with ours.reader(database="db_00"):
            pass


async def test_the_owner_cannot_log_in(ours: Hosted) -> None:
    with pytest.raises(asyncpg.PostgresError, match=r"not permitted to log in|authentication failed"):
        await asyncpg.connect(
            ours.dsns.tcp, user=ours.names.owner, password=ours.password.reveal(), database=ours.names.database
        )


async def test_limits_are_those_of_the_record(ours: Hosted) -> None:
    async with ours.reader() as reader:
        shown = {
            name: await reader.fetchval(f"show {name}")
            for name in ("statement_timeout", "work_mem", "temp_file_limit", "max_parallel_workers_per_gather")
        }
        assert shown == {
            "statement_timeout": "2s",
            "work_mem": "8MB",
            "temp_file_limit": "16MB",
            "max_parallel_workers_per_gather": "0",
        }
        assert await reader.fetchval("show default_transaction_read_only") == "on"
        with pytest.raises(asyncpg.PostgresError, match="temp_file_limit"):
            await reader.execute("select count(*) from (select i from generate_series(1, 2000000) i order by -i) x")


async def test_more_connections_than_allowed_are_refused(ours: Hosted) -> None:
    async with ours.reader(), ours.reader(), ours.reader():
        with pytest.raises(asyncpg.TooManyConnectionsError):
            async with ours.reader():
                pass


# --- rotate, revoke, grant, resize ---


async def test_a_rotated_reader_needs_the_new_password_and_its_sessions_end(mine: Hosted) -> None:
    async with mine.reader() as before:
        new = await mine.desk.rotate(mine.record.id, mine.record.property_id, "reader")
        with pytest.raises(ENDED):
            await before.execute("select 1")
    with pytest.raises(asyncpg.InvalidPasswordError):
        async with mine.reader():
            pass
    async with mine.reader(password=new) as again:
        assert await again.fetchval("select 1") == 1


async def test_a_rotated_writer_goes_on_and_the_record_has_its_new_password(mine: Hosted, database: Database) -> None:
    async with mine.writer() as before:
        new = await mine.desk.rotate(mine.record.id, mine.record.property_id, "writer")
        assert await before.execute(INSERT) == "INSERT 0 1"
    kept = await Databases(database, SEALER).show(mine.record.id)
    assert kept.server.password == new != mine.record.server.password
    assert kept.version == mine.record.version + 1
    async with mine.writer(password=new) as again:
        assert await again.execute(INSERT) == "INSERT 0 1"
    with pytest.raises(asyncpg.InvalidPasswordError):
        async with mine.writer():
            pass


async def test_a_revoked_reader_is_out_until_it_is_granted_again(mine: Hosted) -> None:
    desk, ids = mine.desk, (mine.record.id, mine.record.property_id)
    async with mine.reader() as before:
        assert (await desk.inspect(mine.record)).sessions == 1
        assert await desk.revoke(*ids) == 1
        with pytest.raises(ENDED):
            await before.execute("select 1")
    assert not (await desk.inspect(mine.record)).reader_may_log_in
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match="not permitted to log in"):
        async with mine.reader():
            pass
    new = await desk.rotate(*ids, "reader")
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):  # another password lets nobody in
        async with mine.reader(password=new):
            pass
    await desk.grant(*ids)
    async with mine.reader(password=new) as again:
        assert await again.fetchval("select 1") == 1


async def test_resized_limits_hold_for_sessions_from_then_on(mine: Hosted) -> None:
    changed = await mine.desk.resize(
        mine.record.id, mine.record.property_id, Limits(connections_max=1, statement_timeout_s=5)
    )
    assert (changed.limits.connections_max, changed.version) == (1, mine.record.version + 1)
    async with mine.reader() as reader:
        assert await reader.fetchval("show statement_timeout") == "5s"
        with pytest.raises(asyncpg.TooManyConnectionsError):
            async with mine.reader():
                pass
    with pytest.raises(InvalidValue):
        await mine.desk.resize(mine.record.id, mine.record.property_id, Limits(connections_max=0))
    async with mine.reader() as reader:
        assert await reader.fetchval("show statement_timeout") == "5s"


# --- drop ---


async def test_a_dropped_database_is_gone_with_its_roles_and_sessions(doomed: Hosted, database: Database) -> None:
    async with doomed.reader() as reader, doomed.writer() as writer:
        await doomed.desk.drop(doomed.record.id, doomed.record.property_id)
        for session in (reader, writer):
            with pytest.raises(ENDED):
                await session.execute("select 1")
    assert await left_of(database, doomed.names) == (False, [])
    with pytest.raises(NotFound):
        await doomed.desk.drop(doomed.record.id, doomed.record.property_id)


async def test_a_database_that_a_subscription_leads_to_is_kept(doomed: Hosted, database: Database) -> None:
    await lead_to(database, doomed)
    with pytest.raises(Conflict, match="sub_"):
        await doomed.desk.drop(doomed.record.id, doomed.record.property_id)
    async with doomed.reader() as reader:
        assert await reader.fetchval("select 1") == 1
    await doomed.desk.drop(doomed.record.id, doomed.record.property_id, subscriptions=True)
    assert await left_of(database, doomed.names) == (False, [])
    async with database.connection() as connection:
        assert await connection.fetchval("select count(*) from subscriptions") == 0


async def test_nobody_touches_the_database_of_another_property(
    ours: Hosted, properties: tuple[PropertyId, PropertyId]
) -> None:
    foreign = (ours.record.id, properties[1])
    with pytest.raises(NotFound):
        await ours.desk.rotate(*foreign, "reader")
    with pytest.raises(NotFound):
        await ours.desk.revoke(*foreign)
    with pytest.raises(NotFound):
        await ours.desk.grant(*foreign)
    with pytest.raises(NotFound):
        await ours.desk.resize(*foreign, Limits())
    with pytest.raises(NotFound):
        await ours.desk.drop(*foreign, subscriptions=True)
    async with ours.reader() as reader:
        assert await reader.fetchval("select 1") == 1


# --- create: names, two at once, crashes ---


async def test_a_name_is_taken_once_in_a_property(ours: Hosted, properties: tuple[PropertyId, PropertyId]) -> None:
    with pytest.raises(NameTaken, match=ours.record.id):
        await ours.desk.create(properties[0], "shared", Limits())
    async with hosted(ours.dsns, properties[1], "shared") as others:
        assert others.record.id != ours.record.id
    with pytest.raises(NotFound):
        await ours.desk.create(PropertyId("nobody"), "x", Limits())
    with pytest.raises(InvalidValue):
        await ours.desk.create(properties[0], " x", Limits())


async def test_of_two_creates_at_once_one_makes_it(
    desk: HostedDatabases, database: Database, properties: tuple[PropertyId, PropertyId]
) -> None:
    done = await asyncio.gather(
        *(desk.create(properties[1], "twice", Limits()) for _ in range(2)), return_exceptions=True
    )
    made = [one for one in done if not isinstance(one, BaseException)]
    failed = [one for one in done if isinstance(one, BaseException)]
    assert (len(made), len(failed)) == (1, 1)
    assert isinstance(failed[0], NameTaken | DatabaseBusy)
    kept = await Databases(database, SEALER).list(properties[1])
    assert [(record.name, record.state) for record in kept] == [("twice", "ready")]
    await desk.drop(made[0].record.id, properties[1])


class Crashed(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize(
    ("step", "after", "finish"),
    [
        ("make_roles", True, ""),
        ("make_database", False, "create"),
        ("make_database", True, "drop"),
        ("furnish", True, "create"),
        ("let_in", True, "create"),
    ],
)
async def test_a_create_that_was_interrupted_is_finished_or_removed(
    desk: HostedDatabases,
    database: Database,
    dsns: Dsns,
    properties: tuple[PropertyId, PropertyId],
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    after: bool,
    finish: str,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(hosting, step, crash(getattr(hosting, step), after=after))
        with pytest.raises(Crashed):
            await desk.create(properties[1], "crashed", Limits())
    left = await Databases(database, SEALER).list(properties[1])
    if step == "make_roles":
        assert left == []  # all of that step is one transaction
        return
    (record,) = left
    assert record.state == "making"
    with pytest.raises(DatabaseBusy, match="never finished"):
        await desk.rotate(record.id, properties[1], "reader")
    names = HostedNames.of(record.id)
    if finish == "create":
        made = await desk.create(properties[1], "crashed", Limits())
        assert made.record.id == record.id
        found = Hosted(desk=desk, record=made.record, password=made.password, dsns=dsns)
        async with found.reader() as reader:
            assert await reader.fetchval("select count(*) from matrix.sensor_data") == 0
    await desk.drop(record.id, properties[1])
    assert await left_of(database, names) == (False, [])


@pytest.mark.parametrize(("step", "after"), [("drop_database", True), ("drop_roles", False)])
async def test_a_drop_that_was_interrupted_is_finished_by_another(
    doomed: Hosted, database: Database, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(hosting, step, crash(getattr(hosting, step), after=after))
        with pytest.raises(Crashed):
            await doomed.desk.drop(doomed.record.id, doomed.record.property_id)
    assert (await Databases(database, SEALER).show(doomed.record.id)).state == "dropping"
    with pytest.raises((asyncpg.PostgresError, OSError)):
        async with doomed.reader():
            pass
    with pytest.raises(DatabaseBusy, match="being dropped"):
        await doomed.desk.create(doomed.record.property_id, "doomed", LIMITS)
    await doomed.desk.drop(doomed.record.id, doomed.record.property_id)
    assert await left_of(database, doomed.names) == (False, [])


async def test_a_create_that_somebody_else_went_on_with_does_not_finish(
    desk: HostedDatabases, database: Database, properties: tuple[PropertyId, PropertyId]
) -> None:
    slow = await desk.prepare(properties[1], "overtaken", Limits())
    made = await desk.create(properties[1], "overtaken", Limits())
    async with database.joined() as joined:
        with pytest.raises(DatabaseBusy):
            await desk.finish(joined, slow)
    await desk.drop(made.record.id, properties[1])


async def test_who_is_at_work_on_a_database_keeps_others_away(mine: Hosted) -> None:
    async with hosting.alone_with(mine.dsns.socket, mine.record.id):
        with pytest.raises(DatabaseBusy):
            await mine.desk.drop(mine.record.id, mine.record.property_id)


# --- servers of others ---


async def test_a_server_of_others_says_what_an_administrator_must_do_and_then_does_it(
    shared_engines: SharedEngines,
) -> None:
    dsns = await shared_engines.new_database(migrated=False)
    name = urlsplit(dsns.socket).path[1:]
    role = f"hub_of_{name}"
    async with hosting.connected(dsns.socket) as admin:
        await admin.execute(f"create role {role} login password 'secret'; alter database {name} owner to {role}")
        parts = urlsplit(dsns.socket)
        dsn = parts._replace(netloc=f"{role}:secret@{parts.netloc.partition('@')[2]}").geturl()
        async with open_database(dsn, connections_max=4) as database:
            await migrate(database, ignore)
            site = make_site(3, seed=3)
            await apply_site(database, site, remove=False)
            desk = HostedDatabases(database, SEALER, ours=False)
            with pytest.raises(HostingRefused) as refused:
                await desk.create(site.property.id, "elsewhere", LIMITS)
            missing = refused.value.missing
            assert missing[:3] == (
                f'alter role "{role}" createdb',
                f'alter role "{role}" createrole',
                f'grant set on parameter temp_file_limit to "{role}"',
            )
            assert not any(f'"{name}"' in statement for statement in missing[3:])  # its own it closes itself
            assert await Databases(database, SEALER).list(site.property.id) == []
            for statement in missing:
                await admin.execute(statement)
            made = await desk.create(site.property.id, "elsewhere", LIMITS)
            assert "no superuser" in made.weaknesses[0]
            found = Hosted(desk=desk, record=made.record, password=made.password, dsns=dsns)
            async with found.writer() as writer, found.reader() as reader:
                await writer.execute(INSERT)
                assert await reader.fetchval("select count(*) from matrix.events") == 1
                assert await reader.fetchval("show temp_file_limit") == "16MB"
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await reader.execute("select pg_read_file('/etc/passwd')")
                assert await desk.revoke(made.record.id, site.property.id) == 1
            await desk.drop(made.record.id, site.property.id)
            assert await left_of(database, found.names) == (False, [])


# --- helpers ---


def crash(step: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
    """The step with a crash before or after it."""

    async def crashing(*args: Any, **kwargs: Any) -> None:
        if after:
            await step(*args, **kwargs)
        raise Crashed

    return crashing


async def left_of(database: Database, names: HostedNames) -> tuple[bool, list[str]]:
    """Whether the database is there, and which of its roles are."""
    async with database.connection() as connection:
        found = await hosting.inspect(connection, names)
        return found.is_there, list(await hosting.roles_there(connection, names))


async def lead_to(database: Database, found: Hosted) -> None:
    """A subscription that leads to it, as no more than a row."""
    codec = Codec(sealer=SEALER, policy=Policy())
    made = await create_subscription(
        database,
        codec,
        found.record.property_id,
        name="to the database",
        wanted=Filter(source="events"),
        destination=Destination(url="https://example.org/in"),
        limits=BatchLimits(),
        position=Position(seq=1),
    )
    async with database.connection() as connection:
        await connection.execute(
            "update subscriptions set url = $1, kind = 'postgres' where id = $2", found.record.url, made.id
        )
