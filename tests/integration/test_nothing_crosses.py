"""Two customers on one server of the hub's: whatever the one tries, of the other's data he gets 0 rows.

The shared server of the tests is that of a hub: its own database is there too, with keys and readings in it. What a
reader may not do in his own database is in test_hosting.py; here he looks for what is another's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio
from tests.engines import Dsns, SharedEngines
from tests.hosting import SEALER, Hosted, hosted
from tests.readings import Writer

from matrixhub.databases.rows import reading_row
from matrixhub.databases.writing import write_rows
from matrixhub.model.database import Limits
from matrixhub.observe import ignore
from matrixhub.sources.sites import make_site
from matrixhub.store import open_database
from matrixhub.store.databases import Databases
from matrixhub.store.duty import UPKEEP_DUTY, PostgresDuty
from matrixhub.store.pool import listen
from matrixhub.store.sites import SITE_CHANNEL, apply_site

pytestmark = pytest.mark.asyncio(loop_scope="module")

OURS, THEIRS = make_site(1, seed=1), make_site(1, seed=2)
WORD = "kumquat"
"""Stands in every text of the other customer's data, and nowhere else on the server but where he asked for it."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dsns(shared_engines: SharedEngines) -> Dsns:
    return await shared_engines.new_database()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(dsns: Dsns) -> AsyncIterator[tuple[Hosted, Hosted]]:
    """The database of the one who tries, and that of the other, in which there is a reading."""
    async with open_database(dsns.socket, connections_max=2) as database:
        for site in (OURS, THEIRS):
            await apply_site(database, site, remove=False)
    async with (
        hosted(dsns, OURS.property.id, "mine", Limits(connections_max=5)) as mine,
        hosted(dsns, THEIRS.property.id, f"{WORD} reports") as other,
    ):
        line = Writer().line(THEIRS.slots[0], 1_710_029_109_417, {"count": 1, "note": WORD})
        async with other.writer() as writer:
            assert await write_rows(writer, "sensors", [reading_row(line)]) == 1
        async with other.reader() as reader:  # what he asked for is there to be seen, where sessions are
            assert await reader.fetchval(f"select count(*) from matrix.sensor_data where v->>'note' = '{WORD}'") == 1
            yield mine, other


Roles = ("reader", "writer")


def way(one: Hosted, role: str, **changed: Any) -> Any:
    return getattr(one, role)(**changed)


SESSIONS = ("pg_stat_activity", "pg_stat_statements", "pg_locks", "pg_prepared_xacts", "pg_prepared_statements")


async def everything(connection: asyncpg.Connection) -> str:
    """All rows of all relations that a role may read, as one text; and how it went with the others."""
    names = await connection.fetch(
        "select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n"
        " on n.oid = c.relnamespace where c.relkind in ('r', 'v', 'm', 'p', 'f') and"
        " has_table_privilege(c.oid, 'select')"
    )
    assert len(names) > 100
    seen = []
    for row in names:
        with suppress(asyncpg.PostgresError):
            seen += [
                found["row"] or "" for found in await connection.fetch(f"select x::text as row from {row['name']} x")
            ]
    return "\n".join(seen)


@pytest.mark.parametrize("role", Roles)
async def test_no_relation_that_can_be_read_shows_anything_of_another(both: tuple[Hosted, Hosted], role: str) -> None:
    """Every catalogue, statistic and view of the system: other databases have names, and nothing else."""
    mine, other = both
    async with way(mine, role) as connection:
        seen = await everything(connection)
    assert mine.names.database in seen
    for secret in (WORD, THEIRS.property.id, THEIRS.slots[0].id, other.password.reveal(), "SCRAM-SHA-256$"):
        assert secret not in seen


@pytest.mark.parametrize("role", Roles)
async def test_sessions_of_others_are_not_shown_with_what_they_ask(both: tuple[Hosted, Hosted], role: str) -> None:
    mine, _ = both
    async with way(mine, role) as connection:
        for view in SESSIONS:
            with suppress(asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedTableError):
                assert WORD not in str(await connection.fetch(f"select * from {view}"))


@pytest.mark.parametrize("role", Roles)
async def test_guessed_names_of_databases_lead_nowhere(both: tuple[Hosted, Hosted], dsns: Dsns, role: str) -> None:
    """Names can be read from pg_database, so they need not even be guessed."""
    mine, other = both
    async with way(mine, role) as connection:
        names = {row["datname"] for row in await connection.fetch("select datname from pg_database")}
        hub = urlsplit(dsns.socket).path[1:]
        assert {other.names.database, hub, "postgres", "template0", "template1"} <= names
        for name in names - {mine.names.database}:
            if name != "template0":  # which lets nobody in, whatever the privileges
                assert not await connection.fetchval("select has_database_privilege($1, 'connect')", name), name
            with pytest.raises(asyncpg.PostgresError):
                await connection.fetch(f'select * from "{name}".matrix.sensor_data')
    for name in (other.names.database, hub, "postgres", "template0", "template1"):
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.ObjectNotInPrerequisiteStateError)):
            async with way(mine, role, database=name):
                pass


@pytest.mark.parametrize("role", Roles)
async def test_a_password_opens_no_role_but_its_own(both: tuple[Hosted, Hosted], role: str) -> None:
    mine, other = both
    password = mine.password if role == "reader" else mine.record.server.password
    for name in (*other.names.roles, mine.names.owner, "matrixhub", "postgres"):
        with pytest.raises((asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError)):
            await asyncpg.connect(mine.dsns.tcp, user=name, password=password.reveal(), database=other.names.database)


REACHING = (
    "create extension dblink",
    "create extension postgres_fdw",
    "create extension file_fdw",
    "create extension adminpack",
    "create foreign data wrapper w",
    "create server s foreign data wrapper postgres_fdw",
    "create subscription s connection 'dbname=postgres' publication p",
    "create publication p for all tables",
    "create language plpython3u",
    "create function pg_temp.f() returns text language plpython3u as 'return 1'",
    "create function pg_temp.f() returns text language c as '$libdir/dblink', 'dblink_connect'",
    "create function matrix.f() returns text language sql security definer as 'select 1::text'",
    "create or replace view matrix.people as select 1",
    "create trigger t after insert on matrix.events execute function f()",
    "create event trigger t on ddl_command_end execute function f()",
    "create rule r as on insert to matrix.events do also select 1",
    "create policy p on matrix.events",
    "create tablespace t location '/tmp'",
    "create operator matrix.=== (leftarg = text, rightarg = text, function = texteq)",
    "create cast (text as integer) with inout as implicit",
    "alter database postgres set search_path = x",
    "alter role matrixhub password 'x'",
    "alter table matrix.sensor_data owner to current_user",
    "alter table matrix.sensor_data attach partition matrix.events default",
    "alter system set archive_command = 'id'",
    "grant {other_owner} to current_user",
    "set role {other_owner}",
    "set role {other_reader}",
    "set role {owner}",
    "set session authorization {other_reader}",
    "reassign owned by {other_owner} to current_user",
    "drop owned by {other_owner}",
    "drop database {other_database}",
    "alter database {other_database} owner to current_user",
    "create database x template {other_database}",
    "create database x template template1",
    "comment on database {other_database} is 'x'",
    "copy (select 1) to '/tmp/matrixhub-crossed'",
    "copy matrix.events from program 'cat /etc/passwd'",
    "copy matrix.events from '/etc/passwd'",
    "select lo_import('/etc/passwd')",
    "select lo_export(1, '/tmp/matrixhub-crossed')",
    "select lo_put(1, 0, 'x')",
    "select pg_read_file('postgresql.auto.conf')",
    "select pg_read_binary_file('global/pg_control')",
    "select pg_ls_dir('base')",
    "select pg_ls_logdir()",
    "select pg_ls_waldir()",
    "select pg_ls_tmpdir()",
    "select pg_stat_file('PG_VERSION')",
    "select pg_hba_file_rules()",
    "select pg_show_all_file_settings()",
    "select pg_logical_emit_message(true, 'x', 'y')",
    "select pg_export_snapshot()",
    "select pg_create_logical_replication_slot('s', 'test_decoding')",
    "select pg_create_physical_replication_slot('s')",
    "select pg_switch_wal()",
    "select pg_log_backend_memory_contexts(1)",
    "select pg_cancel_backend({hub_pid})",
    "select pg_terminate_backend({hub_pid})",
    "select pg_advisory_lock(1)",
    "select pg_notify('site', 'x')",
    "select query_to_xml('select * from pg_authid', true, false, '')",
    "select table_to_xml('pg_authid', true, false, '')",
    "select pg_relation_filenode('pg_authid'), pg_read_file('base/1/1259')",
    "begin; prepare transaction 'x'",
    "lock table pg_database",
    "lock table matrix.sensor_data in access exclusive mode",
    "reindex system {other_database}",
    "refresh materialized view matrix.people",
    "select * from pg_authid",
    "select * from pg_statistic",
    "select * from pg_user_mapping",
    "select * from pg_largeobject",
    "select * from pg_subscription",
    "update pg_database set datacl = null",
    "insert into pg_auth_members select 10, 10, 10, true",
    "set session_preload_libraries = 'x'",
    "set local_preload_libraries = 'x'; load 'x'",
    "set session_replication_role = replica",
    "set allow_system_table_mods = on",
    "set log_statement = 'all'",
    "load '/tmp/x.so'",
)


NOT_REFUSED = (
    asyncpg.PostgresSyntaxError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.ActiveSQLTransactionError,
    asyncpg.QueryCanceledError,
)
"""Errors that would prove nothing: a mistake of the test, or a limit that the reader takes away."""


@pytest.mark.parametrize("role", Roles)
@pytest.mark.parametrize("statement", REACHING)
async def test_what_reaches_beyond_a_database_is_refused(
    both: tuple[Hosted, Hosted], reaching: dict[str, Any], role: str, statement: str
) -> None:
    mine, _ = both
    statement = statement.format(**reaching["names"])
    async with asyncio.timeout(10):
        connection = reaching[role]
        await connection.execute("set default_transaction_read_only = off; set statement_timeout = 0")
        try:
            with pytest.raises(asyncpg.PostgresError) as refused:
                await connection.execute(statement)
        finally:
            await connection.execute("rollback")
        assert not isinstance(refused.value, NOT_REFUSED), refused.value
    assert mine.names.database == await connection.fetchval("select current_database()")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reaching(both: tuple[Hosted, Hosted], dsns: Dsns) -> AsyncIterator[dict[str, Any]]:
    """A session of each role, and the names that it tries."""
    mine, other = both
    hub = await asyncpg.connect(dsns.socket)
    try:
        async with mine.reader() as reader, mine.writer() as writer:
            names = {
                "owner": mine.names.owner,
                "other_owner": other.names.owner,
                "other_reader": other.names.reader,
                "other_database": other.names.database,
                "hub_pid": hub.get_server_pid(),
            }
            yield {"reader": reader, "writer": writer, "names": names}
            assert await hub.fetchval("select 1") == 1  # nobody ended it
    finally:
        await hub.close()


async def test_what_a_customer_names_himself_changes_nothing_for_the_hub(both: tuple[Hosted, Hosted]) -> None:
    """The search path of a session is that of its user; the hub names the schema of everything it touches."""
    mine, _ = both
    async with mine.writer() as writer:
        await writer.execute("create temporary table sensor_data (x int); create temporary table events (x int)")
        line = Writer().line(OURS.slots[0], 1_710_029_109_417, {"count": 1})
        assert await write_rows(writer, "sensors", [reading_row(line)]) == 1
        assert await writer.fetchval("select count(*) from pg_temp.sensor_data") == 0


async def test_locks_and_channels_of_the_hub_are_another_database_s(both: tuple[Hosted, Hosted], dsns: Dsns) -> None:
    """A lock or channel of the same name in a customer's database is another one, whoever takes it there.

    Readers and writers may not even do that; here the hub's own role does it, in the customer's database.
    """
    mine, _ = both
    theirs = await asyncpg.connect(dsns.of(mine.names.database).socket)
    duty = PostgresDuty(dsns.socket, UPKEEP_DUTY)
    heard: list[str] = []
    try:
        await theirs.fetchval("select pg_advisory_lock($1)", UPKEEP_DUTY)
        assert await duty.held()
        async with open_database(dsns.socket, connections_max=2) as database:
            stop = asyncio.Event()
            task = asyncio.create_task(listen(database, SITE_CHANNEL, heard.append, stop, ignore))
            try:
                async with asyncio.timeout(10):
                    while "ours" not in heard:  # until it listens
                        await theirs.execute(f"select pg_notify('{SITE_CHANNEL}', 'theirs')")
                        async with database.connection() as connection:
                            await connection.execute(f"select pg_notify('{SITE_CHANNEL}', 'ours')")
                        await asyncio.sleep(0.02)
            finally:
                stop.set()
                await task
        assert "theirs" not in heard
    finally:
        await duty.close()
        await theirs.close()


async def test_the_hub_s_own_tables_know_which_property_a_database_is_of(
    both: tuple[Hosted, Hosted], dsns: Dsns
) -> None:
    mine, other = both
    async with open_database(dsns.socket, connections_max=1) as database:
        kept = Databases(database, SEALER)
        assert [one.id for one in await kept.list(OURS.property.id)] == [mine.record.id]
        assert [one.id for one in await kept.list(THEIRS.property.id)] == [other.record.id]


async def test_a_new_password_of_a_reader_is_his_own_affair(both: tuple[Hosted, Hosted]) -> None:
    """Every PostgreSQL user may change his own password; it opens what it did before, and nothing else."""
    mine, other = both
    async with mine.reader() as reader:
        with suppress(asyncpg.ReadOnlySQLTransactionError):
            await reader.execute("set default_transaction_read_only = off")
        for name in (other.names.reader, mine.names.writer):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await reader.execute(f"alter role {name} password 'x'")


async def test_a_database_is_made_from_one_that_nobody_can_write_to(both: tuple[Hosted, Hosted]) -> None:
    mine, other = both
    async with mine.reader() as reader:
        assert await reader.fetchval("select datallowconn from pg_database where datname = 'template0'") is False
    foreign = "select count(*) from matrix.sensor_data where propid <> $1"
    for one, site in ((mine, OURS), (other, THEIRS)):
        async with one.reader() as reader:
            assert await reader.fetchval(foreign, site.property.id) == 0
