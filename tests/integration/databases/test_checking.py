"""What a check of a customer's database finds, each of it made to happen on a real server."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
import trustme
from tests.customer_server import PASSWORD, CustomerServer, open_customer_server

from matrixhub.databases.applying import LOCK
from matrixhub.databases.failure import judge_failure
from matrixhub.databases.schema import VERSION, statements
from matrixhub.databases.verdict import Checked, Grade, Verdict
from matrixhub.deliveries.database_desk import DatabaseDesk
from matrixhub.deliveries.destinations.reaching import Reaching
from matrixhub.lifecycle import SystemClock
from matrixhub.model.database import STEPS, CustomerDatabase, Limits, Server, Step
from matrixhub.model.egress import Allowance
from matrixhub.model.errors import ApplyNotAllowed, Conflict, DatabaseFault, DatabaseNotReady
from matrixhub.model.ids import DatabaseId, PropertyId
from matrixhub.model.secret import Secret
from matrixhub.testing.fakes import FakeClock

pytestmark = pytest.mark.asyncio(loop_scope="session")

ALLOWED = frozenset({"localhost", "127.0.0.0/8"})


def record_of(server: Server, *, may_create: bool = True, egress_allow: frozenset[str] = ALLOWED) -> CustomerDatabase:
    return CustomerDatabase(
        id=DatabaseId("db_7"),
        property_id=PropertyId("prop"),
        name="theirs",
        hosting="customer",
        server=server,
        may_create=may_create,
        limits=Limits(),
        reader="",
        version=1,
        created_at=datetime(2024, 3, 10, tzinfo=UTC),
        egress_allow=egress_allow,
    )


def desk() -> DatabaseDesk:
    """A desk without records, which are not asked for here."""
    return DatabaseDesk(None, Reaching("", Allowance()), SystemClock())  # type: ignore[arg-type]


async def checked(server: Server, **changed: Any) -> Checked:
    found = await desk().check(record_of(server, **changed))
    assert PASSWORD not in repr(found)
    return found


def grades(found: Checked) -> dict[Step, Grade]:
    """The worst of each step, which stands first."""
    return {step: next(one.grade for one in found.verdicts if one.step == step) for step in STEPS}


def only_wrong(found: Checked) -> Verdict:
    assert len(found.wrong) == 1, found.wrong
    return found.wrong[0]


def warnings(found: Checked) -> Sequence[Verdict]:
    return [verdict for verdict in found.verdicts if verdict.grade == "warning"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def one_database(customer_server: CustomerServer) -> Server:
    """A database of a customer, for all tests of this module."""
    return await customer_server.new_database()


@pytest_asyncio.fixture(loop_scope="session")
async def admin(customer_server: CustomerServer, one_database: Server) -> AsyncIterator[Any]:
    """The customer's administrator, in that database."""
    async with customer_server.connection(one_database.database) as connection:
        yield connection


@pytest_asyncio.fixture(loop_scope="session")
async def bare(one_database: Server, admin: Any) -> Server:
    """The database with nothing in it, as its user reaches it, who owns it."""
    name = one_database.user
    await admin.execute(
        f"alter role {name} login nosuperuser connection limit -1; alter role {name} reset all;"
        f"alter role {name} in database {name} reset all; alter database {name} owner to {name};"
        f"grant connect on database {name} to public; revoke all on database {name} from {name};"
        f"grant all on database {name} to {name};"
        "drop schema if exists matrix cascade; drop schema public cascade; create schema public"
    )
    return one_database


@pytest_asyncio.fixture(loop_scope="session")
async def theirs(bare: Server, admin: Any) -> Server:
    """The database with the schema, of which the user is the owner."""
    made = "; ".join(statements().values())
    await admin.execute(
        f"set role {bare.user}; {made}; insert into matrix.schema_version (version) values ({VERSION}); reset role"
    )
    return bare


@pytest_asyncio.fixture(loop_scope="session")
async def not_owned(bare: Server, admin: Any) -> Server:
    """The database with nothing in it, in which the user may make nothing."""
    await admin.execute(f"alter database {bare.database} owner to admin")
    return bare


# --- all is well ---


async def test_a_database_that_is_ready_is_said_to_be_at_each_step(theirs: Server) -> None:
    found = await checked(theirs)
    assert found.ready
    assert [(verdict.step, verdict.grade) for verdict in found.verdicts] == [
        (step, "ok") for step in ("reach", "tls", "login", "rights", "schema")
    ]
    said = {verdict.step: verdict.found for verdict in found.verdicts}
    assert "PostgreSQL 15." in said["login"]
    assert "TLSv1." in said["tls"]
    assert "version 1" in said["schema"]


async def test_a_check_leaves_nothing_behind(theirs: Server, admin: Any) -> None:
    await checked(theirs)
    assert await admin.fetchval("select count(*) from matrix.sensor_data") == 0
    assert await admin.fetchval("select count(*) from matrix.events") == 0


async def test_a_server_without_tls_that_is_meant_is_warned_of(customer_server: CustomerServer, theirs: Server) -> None:
    async with customer_server.set_to(ssl="off"):
        found = await checked(replace(theirs, tls="disable", ca_pem=""))
    assert found.ready
    assert grades(found)["tls"] == "warning"


# --- reach ---


async def test_a_name_that_leads_nowhere_is_told(customer_server: CustomerServer) -> None:
    found = await checked(customer_server.server(host="no-such-host.invalid"))
    wrong = only_wrong(found)
    assert (wrong.step, "no-such-host.invalid leads nowhere" in wrong.found) == ("reach", True)
    assert list(grades(found).values()) == ["wrong", "unknown", "unknown", "unknown", "unknown"]


async def test_a_port_at_which_nothing_listens_is_told(customer_server: CustomerServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        wrong = only_wrong(await checked(customer_server.server(port=taken.getsockname()[1])))
    assert (wrong.step, "refused" in wrong.found) == ("reach", True)
    assert "alter system set listen_addresses = '*';" in wrong.run


async def test_a_server_that_does_not_answer_is_told(customer_server: CustomerServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        way = Reaching("", Allowance())
        record = record_of(customer_server.server(port=silent.getsockname()[1]))
        with pytest.raises(DatabaseFault) as caught:
            await way.connect(record, connect_s=0.2)
        wrong = only_wrong(judge_failure(record, caught.value))
    assert (wrong.step, "no answer" in wrong.found) == ("reach", True)


async def test_a_network_that_is_not_allowed_is_told_with_the_command_that_allows_it(
    customer_server: CustomerServer,
) -> None:
    wrong = only_wrong(await checked(customer_server.server(host="127.0.0.1"), egress_allow=frozenset()))
    assert wrong.step == "reach"
    assert wrong.run == ("matrixhub egress allow --property prop 127.0.0.1",)


# --- TLS ---


async def test_a_server_that_does_not_speak_tls_is_told(customer_server: CustomerServer) -> None:
    async with customer_server.set_to(ssl="off"):
        wrong = only_wrong(await checked(customer_server.server()))
    assert (wrong.step, "does not speak TLS" in wrong.found) == ("tls", True)
    assert "alter system set ssl = on;" in wrong.run


async def test_a_server_that_takes_only_tls_is_told(customer_server: CustomerServer) -> None:
    wrong = only_wrong(await checked(customer_server.server(tls="disable", ca_pem="")))
    assert "--tls verify-full" in wrong.to_do


async def test_an_authority_that_is_not_trusted_is_told(customer_server: CustomerServer) -> None:
    other = trustme.CA().cert_pem.bytes().decode()
    wrong = only_wrong(await checked(customer_server.server(ca_pem=other)))
    assert (wrong.step, "no authority that is trusted" in wrong.found) == ("tls", True)
    assert wrong.run == ("matrixhub database update db_7 --ca FILE",)
    public = only_wrong(await checked(customer_server.server(ca_pem="")))
    assert "public" in public.found


async def test_an_expired_certificate_is_told(customer_server: CustomerServer) -> None:
    async with customer_server.certified(expired=True):
        wrong = only_wrong(await checked(customer_server.server()))
    assert (wrong.step, "has expired" in wrong.found) == ("tls", True)


async def test_a_certificate_of_another_name_is_told_and_passes_where_no_name_is_asked_for(
    customer_server: CustomerServer, theirs: Server
) -> None:
    async with customer_server.certified("db.example.org"):
        wrong = only_wrong(await checked(theirs))
        lenient = await checked(replace(theirs, tls="verify-ca"))
    assert (wrong.step, "not good for localhost" in wrong.found) == ("tls", True)
    assert grades(lenient)["tls"] == "warning"


async def test_an_unchecked_certificate_is_warned_of(theirs: Server) -> None:
    found = await checked(replace(theirs, tls="require", ca_pem=""))
    assert found.ready
    assert grades(found)["tls"] == "warning"


# --- login ---


async def test_a_wrong_password_is_told_and_not_shown(bare: Server) -> None:
    found = await checked(replace(bare, password=Secret("wrong-and-secret")))
    wrong = only_wrong(found)
    assert wrong.step == "login"
    assert f'alter role "{bare.user}" password' in wrong.run[1]
    assert "wrong-and-secret" not in repr(found)
    assert grades(found)["tls"] == "ok"


async def test_a_user_there_is_not_is_told_as_a_wrong_password_is(customer_server: CustomerServer) -> None:
    assert only_wrong(await checked(customer_server.server(user="nobody_here"))).step == "login"


async def test_a_user_who_may_not_log_in_is_told(customer_server: CustomerServer, theirs: Server, admin: Any) -> None:
    await admin.execute(f"alter role {theirs.user} nologin")
    wrong = only_wrong(await checked(theirs))
    assert wrong.run == (f'alter role "{theirs.user}" login;',)
    await admin.execute(wrong.run[0])
    assert (await checked(theirs)).ready


async def test_a_database_there_is_not_is_told(customer_server: CustomerServer) -> None:
    wrong = only_wrong(await checked(customer_server.server(database="no such", user="admin")))
    assert (wrong.step, wrong.run) == ("login", ('create database "no such" owner "admin";',))


async def test_too_many_connections_are_told(customer_server: CustomerServer, theirs: Server, admin: Any) -> None:
    await admin.execute(f"alter role {theirs.user} connection limit 0")
    wrong = only_wrong(await checked(theirs))
    assert (wrong.step, f'alter role "{theirs.user}" connection limit -1;' in wrong.run) == ("login", True)


# --- rights ---


async def run_all(admin: Any, verdict: Verdict) -> None:
    """Do what the verdict says, as the administrator."""
    for statement in verdict.run:
        if not statement.startswith("matrixhub "):
            await admin.execute(statement)


async def test_no_right_to_connect_is_told(theirs: Server, admin: Any) -> None:
    await admin.execute(f"alter database {theirs.database} owner to admin")
    await admin.execute(f"revoke connect on database {theirs.database} from public")
    found = await checked(theirs)
    wrong = only_wrong(found)
    assert wrong.run == (f'grant connect on database "{theirs.database}" to "{theirs.user}";',)
    assert (wrong.step, grades(found)["login"]) == ("rights", "ok")
    await run_all(admin, wrong)
    assert (await checked(theirs)).ready


async def test_a_user_who_may_not_make_the_schema_is_told_and_may_after_what_is_told(
    not_owned: Server, admin: Any
) -> None:
    wrong = only_wrong(await checked(not_owned))
    assert wrong.step == "rights"
    assert wrong.run[0] == f'grant create on database "{not_owned.database}" to "{not_owned.user}";'
    await run_all(admin, wrong)
    assert (await desk().apply(record_of(not_owned))).checked.ready


async def test_what_the_hub_is_not_allowed_to_make_is_told_and_printed_and_can_be_run_by_hand(
    not_owned: Server, admin: Any
) -> None:
    record = record_of(not_owned, may_create=False)
    wrong = only_wrong(await desk().check(record))
    assert wrong.run[0] == "matrixhub database apply db_7 --print"
    with pytest.raises(ApplyNotAllowed):
        await desk().apply(record)
    await admin.execute(await desk().script(record))
    assert (await desk().check(record)).ready


@pytest.mark.parametrize("right", ["insert", "select"])
async def test_a_missing_right_to_a_table_is_told(theirs: Server, admin: Any, right: str) -> None:
    await admin.execute("alter table matrix.sensor_data owner to admin")
    await admin.execute(f"grant select, insert on matrix.sensor_data to {theirs.user}")
    await admin.execute(f"revoke {right} on matrix.sensor_data from {theirs.user}")
    wrong = only_wrong(await checked(theirs))
    assert wrong.run == (f'grant {right} on matrix.sensor_data to "{theirs.user}";',)
    await run_all(admin, wrong)
    assert (await checked(theirs)).ready


async def test_no_right_to_use_the_schema_is_told(theirs: Server, admin: Any) -> None:
    await admin.execute("alter schema matrix owner to admin")
    await admin.execute(f"revoke all on schema matrix from {theirs.user}")
    wrong = only_wrong(await checked(theirs))
    assert wrong.run == (f'grant usage on schema matrix to "{theirs.user}";',)
    await run_all(admin, wrong)
    assert (await checked(theirs)).ready


async def test_transactions_that_are_read_only_are_told(theirs: Server, admin: Any) -> None:
    await admin.execute(f"alter role {theirs.user} set default_transaction_read_only = on")
    wrong = only_wrong(await checked(theirs))
    assert (wrong.step, "read-only" in wrong.found) == ("rights", True)
    await run_all(admin, wrong)
    assert (await checked(theirs)).ready


@pytest.mark.long
async def test_a_standby_is_told() -> None:
    async with open_customer_server(standby=True) as standby:
        found = await checked(standby.server())
    wrong = only_wrong(found)
    assert (wrong.step, "standby" in wrong.found) == ("rights", True)


async def test_a_superuser_is_warned_of(theirs: Server, admin: Any) -> None:
    await admin.execute(f"alter role {theirs.user} superuser")
    found = await checked(theirs)
    assert (found.ready, grades(found)["rights"]) == (True, "warning")


# --- schema: drift ---


DRIFT_THAT_IS_REPAIRED = [
    ("drop table matrix.sensor_data", "table matrix.sensor_data"),
    ("drop table matrix.events", "table matrix.events"),
    ("alter table matrix.sensor_data drop column display", "column display of matrix.sensor_data"),
    ("alter table matrix.sensor_data drop column insid", "column insid of matrix.sensor_data"),
    ("alter table matrix.events drop column meta", "column meta of matrix.events"),
    ("drop schema matrix cascade", "schema matrix"),
]


@pytest.mark.parametrize(("drift", "missing"), DRIFT_THAT_IS_REPAIRED)
async def test_what_was_dropped_is_told_and_made_again(theirs: Server, admin: Any, drift: str, missing: str) -> None:
    await admin.execute(drift)
    found = await checked(theirs)
    wrong = only_wrong(found)
    assert (wrong.step, missing in wrong.found) == ("schema", True)
    assert wrong.run == ("matrixhub database apply db_7",)
    applied = await desk().apply(record_of(theirs))
    assert missing in [one.missing for one in applied.ran]
    assert grades(applied.checked)["schema"] == "ok"
    assert (await desk().apply(record_of(theirs))).ran == ()


async def test_a_dropped_index_is_no_hindrance_and_is_made_again(theirs: Server, admin: Any) -> None:
    index = await admin.fetchval(
        "select indexname from pg_indexes where schemaname = 'matrix' and tablename = 'sensor_data'"
        " and indexname not like '%_pkey' order by 1 limit 1"
    )
    await admin.execute(f"drop index matrix.{index}")
    found = await checked(theirs)
    assert (found.ready, grades(found)["schema"]) == (True, "warning")
    applied = await desk().apply(record_of(theirs))
    assert [one.missing for one in applied.ran] == [f"index {index}"]


async def test_a_dropped_key_is_told_and_made_again(theirs: Server, admin: Any) -> None:
    await admin.execute("alter table matrix.sensor_data drop constraint sensor_data_pkey")
    assert grades(await checked(theirs))["schema"] in ("warning", "wrong")
    applied = await desk().apply(record_of(theirs))
    assert [one.missing for one in applied.ran] == ["key (devid, devtype, time) of matrix.sensor_data"]
    assert grades(applied.checked)["schema"] == "ok"


async def test_a_key_cannot_be_made_where_rows_are_twice_and_that_is_told(theirs: Server, admin: Any) -> None:
    await admin.execute("alter table matrix.events drop constraint events_pkey")
    await admin.execute(
        "insert into matrix.events (time, unixtimeint, principal, attr, event, module, status, routingkey)"
        " select '2024-03-10', 0, 'p', 'a', 'e', 'm', 's', 'r' from generate_series(1, 2)"
    )
    applied = await desk().apply(record_of(theirs))
    assert applied.failed is not None
    assert "could not create unique index" in applied.failed.said


@pytest.mark.parametrize(
    "addition",
    [
        "alter table matrix.sensor_data add column floor_name text",
        "alter table matrix.sensor_data add column \"Seen By\" text not null default 'nobody'",
        "alter table matrix.sensor_data add column number bigint generated always as identity",
        "alter table matrix.sensor_data add column day text generated always as (month || dom) stored",
        "create index on matrix.sensor_data (display)",
        "create view matrix.busy as select * from matrix.sensor_data",
        "alter table matrix.sensor_data alter column display type varchar, alter column v type json",
    ],
)
async def test_what_the_customer_adds_is_left_alone(theirs: Server, admin: Any, addition: str) -> None:
    await admin.execute(addition)
    assert (await checked(theirs)).ready
    assert (await desk().apply(record_of(theirs))).ran == ()


async def test_a_trigger_that_the_customer_adds_is_left_alone(theirs: Server, admin: Any) -> None:
    await admin.execute(
        "create table seen (devid text); create function see() returns trigger language plpgsql security definer as"
        " $$ begin insert into seen values (new.devid); return new; end $$;"
        " create trigger see after insert on matrix.sensor_data for each row execute function see()"
    )
    assert grades(await checked(theirs))["schema"] == "ok"
    assert await admin.fetchval("select count(*) from seen") == 0


DRIFT_FOR_A_PERSON = [
    (
        "alter table matrix.sensor_data add column building_name text not null",
        'alter table matrix.sensor_data alter column "building_name" drop not null;',
    ),
    (
        "alter table matrix.sensor_data alter column unixt type integer using 0",
        "alter table matrix.sensor_data alter column unixt type bigint using unixt::bigint;",
    ),
    (
        "alter table matrix.sensor_data alter column display type varchar(10)",
        "alter table matrix.sensor_data alter column display type text using display::text;",
    ),
    (
        "alter table matrix.sensor_data drop column display, add column display text generated always as ('x') stored",
        "alter table matrix.sensor_data alter column display drop expression;",
    ),
    (
        "alter table matrix.events rename to mine; create view matrix.events as select * from matrix.mine",
        "alter view matrix.events rename to events_before;",
    ),
]


@pytest.mark.parametrize(("drift", "statement"), DRIFT_FOR_A_PERSON)
async def test_what_only_a_person_can_mend_is_told_with_the_statement(
    theirs: Server, admin: Any, drift: str, statement: str
) -> None:
    await admin.execute(drift)
    wrong = only_wrong(await checked(theirs))
    assert (wrong.step, wrong.run) == ("schema", (statement,))
    await run_all(admin, wrong)
    assert (await desk().apply(record_of(theirs))).checked.ready


@pytest.mark.parametrize(
    ("drift", "said"),
    [
        ("create unique index one_a_day on matrix.sensor_data (devid, dom)", "index one_a_day"),
        ("alter table matrix.sensor_data set unlogged", "unlogged"),
        ("alter table matrix.events alter column entity set not null", "matrix.events.entity must have a value"),
    ],
)
async def test_what_is_a_risk_is_warned_of(theirs: Server, admin: Any, drift: str, said: str) -> None:
    await admin.execute(drift)
    found = await checked(theirs)
    assert found.ready
    warning = next(verdict for verdict in warnings(found) if said in verdict.found)
    await run_all(admin, warning)
    assert warnings(await checked(theirs)) == []


TRIGGER = (
    "create function no() returns trigger language plpgsql as $$ begin raise 'not here'; end $$;"
    " create trigger no before insert on matrix.sensor_data for each row execute function no()"
)


@pytest.mark.parametrize("drift", ["alter table matrix.sensor_data add check (pid = 'only this')", TRIGGER])
async def test_a_rule_of_the_customers_own_that_takes_no_row_is_told(theirs: Server, admin: Any, drift: str) -> None:
    await admin.execute(drift)
    wrong = only_wrong(await checked(theirs))
    assert (wrong.step, "does not take a row" in wrong.found) == ("schema", True)


async def test_a_table_that_somebody_holds_is_told_and_not_waited_for(
    customer_server: CustomerServer, theirs: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matrixhub.databases.state.LOCK_S", 0.05)
    async with customer_server.connection(theirs.database) as other, other.transaction():
        await other.execute("lock table matrix.sensor_data in exclusive mode")
        wrong = only_wrong(await checked(theirs))
    assert "lock timeout" in wrong.found


async def test_row_level_security_that_lets_no_row_in_is_told(theirs: Server, admin: Any) -> None:
    await admin.execute("alter table matrix.sensor_data enable row level security, force row level security")
    assert "row-level security" in only_wrong(await checked(theirs)).found


async def test_a_trigger_that_keeps_no_row_is_warned_of(theirs: Server, admin: Any) -> None:
    await admin.execute(
        "create function away() returns trigger language plpgsql as $$ begin return null; end $$;"
        " create trigger away before insert on matrix.sensor_data for each row execute function away()"
    )
    found = await checked(theirs)
    assert found.ready
    assert "does not keep it" in warnings(found)[0].found


async def test_a_database_in_another_encoding_is_warned_of(customer_server: CustomerServer) -> None:
    async with customer_server.connection() as admin:
        await admin.execute("create database latin encoding 'LATIN1' template template0")
    server = customer_server.server(database="latin")
    assert (await desk().apply(record_of(server))).failed is None
    assert any("LATIN1" in warning.found for warning in warnings(await checked(server)))


async def test_a_clock_that_is_off_is_warned_of(theirs: Server) -> None:
    behind = DatabaseDesk(None, Reaching("", Allowance()), FakeClock())  # type: ignore[arg-type]
    found = await behind.check(record_of(theirs))
    assert any("clock" in warning.found for warning in warnings(found))


# --- before something leads to it ---


async def test_nothing_is_led_to_a_database_that_cannot_be_written_to(theirs: Server, admin: Any) -> None:
    assert await desk().require_ready(record_of(theirs), "sensors") == []
    await admin.execute("drop table matrix.sensor_data")
    with pytest.raises(DatabaseNotReady, match=r"table matrix\.sensor_data.*matrixhub database check db_7"):
        await desk().require_ready(record_of(theirs), "sensors")
    assert {verdict.step for verdict in await desk().require_ready(record_of(theirs), "events")} == {"schema"}


async def test_two_who_make_the_schema_do_not_meet(bare: Server, admin: Any) -> None:
    await admin.fetchval("select pg_advisory_lock($1)", LOCK)
    with pytest.raises(Conflict):
        await desk().apply(record_of(bare))


async def test_the_schema_is_made_and_each_statement_of_it_told(bare: Server) -> None:
    applied = await desk().apply(record_of(bare))
    assert applied.ran[0].missing == "schema matrix"
    assert "table matrix.sensor_data" in [one.missing for one in applied.ran]
    assert (applied.failed, grades(applied.checked)["schema"]) == (None, "ok")
    assert (await desk().apply(record_of(bare))).ran == ()


async def test_a_table_that_is_in_use_is_not_waited_for_for_long_and_left_as_it_is(
    customer_server: CustomerServer, theirs: Server, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matrixhub.databases.applying.LOCK_S", 0.05)
    await admin.execute("alter table matrix.sensor_data drop column display")
    async with customer_server.connection(theirs.database) as reader, reader.transaction():
        await reader.fetch("select * from matrix.sensor_data")
        applied = await desk().apply(record_of(theirs))
    assert applied.failed is not None
    assert "lock timeout" in applied.failed.said
    assert (await desk().apply(record_of(theirs))).failed is None
