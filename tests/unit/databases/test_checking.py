"""What is said of findings that a test cannot make on a server: old versions, odd answers; and what is read of the
schema.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from matrixhub.databases.applying import apply, script
from matrixhub.databases.checking import judge_state
from matrixhub.databases.connecting import trouble_of
from matrixhub.databases.failure import judge_failure
from matrixhub.databases.repairs import repairs
from matrixhub.databases.rows import COLUMNS, TABLES
from matrixhub.databases.schema import VERSION
from matrixhub.databases.shape import schema_statements, shapes
from matrixhub.databases.state import ColumnState, DatabaseState, IndexState, RelationState, Trial
from matrixhub.databases.verdict import Checked, Verdict
from matrixhub.model.database import STEPS, CustomerDatabase, Limits, Server
from matrixhub.model.errors import ApplyNotAllowed, DatabaseFault, EgressRefused
from matrixhub.model.ids import DatabaseId, PropertyId
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import SOURCES
from matrixhub.testing.fakes import FakeClock

PASSWORD = "hush-hush"
SERVER = Server(host="db.example.org", database="building", user="hub", password=Secret(PASSWORD))
RECORD = CustomerDatabase(
    id=DatabaseId("db_7"),
    property_id=PropertyId("a property"),
    name="theirs",
    hosting="customer",
    server=SERVER,
    may_create=True,
    limits=Limits(),
    reader="",
    version=1,
    created_at=datetime(2024, 3, 10, tzinfo=UTC),
)


def whole(table: str) -> RelationState:
    """The table as the schema makes it."""
    shape = shapes()[table]
    indexes = [
        IndexState(name=one.name, is_unique=False, columns=("x",)) for one in schema_statements() if one.table == table
    ]
    key = IndexState(name="key", is_unique=True, columns=shape.key)
    return RelationState(
        kind="r",
        owned=True,
        columns={
            name: ColumnState(name=name, type=column.type, not_null=column.not_null)
            for name, column in shape.columns.items()
        },
        indexes={index.name: index for index in [key, *indexes]},
    )


STATE = DatabaseState(
    version_num=150_014,
    version="15.14",
    in_recovery=False,
    read_only=False,
    encoding="UTF8",
    spoken="TLSv1.3, TLS_AES_256_GCM_SHA384",
    superuser=False,
    may_create=True,
    has_schema=True,
    may_use=True,
    may_create_in=True,
    timescale="",
    schema_version=VERSION,
    relations={table: whole(table) for table in shapes()},
    trials=dict.fromkeys(SOURCES, Trial(kept=True)),
)


def judged(**changed: Any) -> Checked:
    return judge_state(RECORD, replace(STATE, **changed), SOURCES)


def failed(cause: BaseException, **server: Any) -> Verdict:
    """What is wrong where a connection fails by the cause."""
    fault = DatabaseFault(f"no: {cause}", step=trouble_of(cause).step)
    fault.__cause__ = cause
    record = replace(RECORD, server=replace(SERVER, **server))
    (wrong,) = judge_failure(record, fault).wrong
    assert PASSWORD not in repr(wrong)
    return wrong


def test_what_is_whole_is_ready_and_lacks_nothing() -> None:
    assert {verdict.grade for verdict in judged().verdicts} == {"ok"}
    assert [verdict.step for verdict in judged().verdicts] == list(STEPS)
    assert repairs(STATE) == []


@pytest.mark.parametrize(
    ("version", "grade"), [(120_022, "wrong"), (130_000, "warning"), (140_010, "warning"), (180_000, "ok")]
)
def test_a_server_that_is_too_old_is_told(version: int, grade: str) -> None:
    assert next(one.grade for one in judged(version_num=version).verdicts if one.step == "login") == grade


def test_a_standby_is_told_and_not_asked_for_more() -> None:
    (wrong,) = judged(in_recovery=True, read_only=True, relations={}, trials={}).wrong
    assert (wrong.step, "standby" in wrong.found) == ("rights", True)


def test_timescaledb_is_mentioned_and_no_hindrance() -> None:
    checked = judged(timescale="2.14.2")
    assert checked.ready
    assert any(
        "TimescaleDB 2.14.2" in verdict.found and "create_hypertable" in verdict.run[0] for verdict in checked.verdicts
    )


def test_a_schema_of_before_is_brought_up_to_date_and_no_hindrance() -> None:
    older = replace(STATE, schema_version=0)
    assert judge_state(RECORD, older, SOURCES).ready
    assert repairs(older)[-1].kind == "version"
    assert repairs(replace(STATE, schema_version=VERSION + 1)) == [], "a newer hub's is left alone"


def test_a_table_of_others_is_made_whole_by_its_owner() -> None:
    of_others = replace(
        whole("events"), owned=False, columns={n: c for n, c in whole("events").columns.items() if n != "meta"}
    )
    (wrong,) = judged(relations={**STATE.relations, "events": of_others}).wrong
    assert wrong.run[:-1] == ('alter table matrix.events owner to "hub";',)


def test_a_source_that_is_not_asked_about_does_not_count() -> None:
    lacking = replace(STATE, relations={name: one for name, one in STATE.relations.items() if name != "events"})
    assert judge_state(RECORD, lacking, ["sensors"]).ready
    assert not judge_state(RECORD, lacking, ["events"]).ready


@pytest.mark.parametrize(
    ("index", "counts"),
    [
        (IndexState(name="k", is_unique=True, columns=("time", "attr")), True),
        (IndexState(name="k", is_unique=False, columns=("attr", "time")), False),
        (IndexState(name="k", is_unique=True, columns=("attr", "time"), valid=False), False),
        (IndexState(name="k", is_unique=True, columns=("attr", "time"), immediate=False), False),
        (IndexState(name="k", is_unique=True, columns=("attr", "time"), partial=True), False),
        (IndexState(name="k", is_unique=True, columns=("attr", None)), False),
        (IndexState(name="k", is_unique=True, columns=("attr", "time", "event")), False),
    ],
)
def test_a_key_is_one_that_makes_two_rows_one(index: IndexState, counts: bool) -> None:
    indexes = {name: one for name, one in whole("events").indexes.items() if name != "key"}
    events = replace(whole("events"), indexes={**indexes, "k": index})
    missing = [one.kind for one in repairs(replace(STATE, relations={**STATE.relations, "events": events}))]
    assert missing == ([] if counts else ["key"])


@pytest.mark.parametrize(
    ("cause", "step", "said"),
    [
        (socket.gaierror(-2, "Name or service not known"), "reach", "leads nowhere"),
        (ConnectionRefusedError(111, "refused"), "reach", "nothing listens"),
        (TimeoutError(), "reach", "no answer"),
        (OSError(101, "Network is unreachable"), "reach", "no way"),
        (ConnectionResetError(104, "reset"), "reach", "cut it off"),
        (asyncpg.CannotConnectNowError("the database system is starting up"), "reach", "no connections now"),
        (asyncpg.InterfaceError("unexpected message"), "reach", "no PostgreSQL server"),
        (ConnectionError("PostgreSQL server at x rejected SSL upgrade"), "tls", "does not speak TLS"),
        (ssl.SSLError(1, "wrong version number"), "tls", "TLS with db.example.org:5432 fails"),
        (asyncpg.TooManyConnectionsError("sorry, too many clients already"), "login", "too many connections"),
        (asyncpg.InvalidAuthorizationSpecificationError("peer?"), "login", "no login"),
        (asyncpg.InsufficientPrivilegeError("permission denied for table x"), "rights", "no: permission denied"),
        (asyncpg.DiskFullError("could not extend file"), "reach", "no: could not extend"),
    ],
)
def test_what_a_connection_fails_by_is_told_with_what_to_do(cause: BaseException, step: str, said: str) -> None:
    wrong = failed(cause)
    assert (wrong.step, said in wrong.found) == (step, True), wrong
    assert wrong.to_do


@pytest.mark.parametrize(("tls", "kind"), [("verify-full", "hostssl"), ("disable", "host")])
def test_who_is_not_let_in_gets_the_line_for_pg_hba_conf(tls: Any, kind: str) -> None:
    encrypted = "no encryption" if tls == "disable" else "SSL encryption"
    said = f'no pg_hba.conf entry for host "192.0.2.7", user "hub", database "building", {encrypted}'
    cause = asyncpg.InvalidAuthorizationSpecificationError(said)
    assert trouble_of(cause).step == ("tls" if tls == "disable" else "login")
    wrong = failed(cause, tls=tls)
    assert wrong.step == "login"
    assert wrong.run[0] == f'{kind} "building" "hub" ADDRESS/32 scram-sha-256'


def test_a_password_that_a_server_says_is_not_shown() -> None:
    wrong = failed(asyncpg.InvalidAuthorizationSpecificationError(f"not with {PASSWORD}"))
    assert "not with …" in wrong.found


def test_what_is_not_allowed_is_told_with_the_command_quoted() -> None:
    refused = EgressRefused(
        host="db.example.org", address="10.1.2.3", reason="private, RFC 1918", property_id="a property"
    )
    (wrong,) = judge_failure(RECORD, refused).wrong
    assert wrong.run == ("matrixhub egress allow --property 'a property' 10.1.2.3",)


def test_the_shape_of_the_tables_is_that_of_the_rows() -> None:
    for source, table in TABLES.items():
        assert set(shapes()[table].columns) == set(COLUMNS[source])
        assert shapes()[table].key


async def test_a_database_that_cannot_be_looked_at_gets_the_whole_script() -> None:
    def nowhere(record: CustomerDatabase) -> Any:
        raise DatabaseFault("not there", step="reach")

    made = await script(nowhere, RECORD, FakeClock())
    positions = [made.index(one.sql) for one in schema_statements()]
    assert positions == sorted(positions)
    assert f"values ({VERSION}) on conflict do nothing;" in made
    assert 'grant select, insert on matrix.sensor_data, matrix.events to "hub";' in made


async def test_nothing_is_made_where_that_was_not_allowed_or_the_hub_hosts_it() -> None:
    def reach(record: CustomerDatabase) -> Any:
        raise AssertionError("it was asked")

    for record in (replace(RECORD, may_create=False), replace(RECORD, hosting="hub")):
        with pytest.raises(ApplyNotAllowed):
            await apply(reach, record, FakeClock(), {})
