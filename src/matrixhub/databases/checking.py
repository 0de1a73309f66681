"""Whether the hub can write to a customer's database, and what to do where it cannot.

`judge_state` is pure; `check` makes a connection and looks. Source: docs/contract/dedicated-db.md §5
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from matrixhub.databases.connecting import Connection, where
from matrixhub.databases.failure import judge_failure, judge_tls
from matrixhub.databases.repairs import Repair, repairs
from matrixhub.databases.rows import TABLES, Row
from matrixhub.databases.shape import ColumnShape, shapes
from matrixhub.databases.state import ColumnState, DatabaseState, IndexState, look
from matrixhub.databases.verdict import Checked, Grade, Verdict, in_order, quoted
from matrixhub.model.database import CustomerDatabase
from matrixhub.model.errors import DatabaseFault, EgressRefused
from matrixhub.model.subscription import Source
from matrixhub.ports import Clock

OLDEST_MAJOR = 13
"""PostgreSQL of this version and later has all that is used."""

TRIED_MAJOR = 15
"""With this version and later it is tried."""

CLOCK_S = 5.0
"""A server's clock that is further off is told."""

_KINDS = {"v": "a view", "m": "a materialised view", "f": "a foreign table"}
_TAKEN: Mapping[str, re.Pattern[str]] = {
    # What takes the same values: types by the one that the schema has, without its length.
    "text": re.compile(r"text|character varying"),
    "character": re.compile(r"text|character varying|character(?: varying)?\((?:1[4-9]|[2-9]\d|\d{3,})\)"),
    "bigint": re.compile(r"bigint|numeric"),
    "jsonb": re.compile(r"jsonb?"),
    "timestamp": re.compile(r"timestamp(?:\([3-6]\))? with time zone"),
}

Reach = Callable[[CustomerDatabase], AbstractAsyncContextManager[Connection]]
"""What opens a connection to a database. Raises: DatabaseFault, EgressRefused."""


async def check(reach: Reach, record: CustomerDatabase, clock: Clock, rows: Mapping[Source, Row]) -> Checked:
    """What is right and what is missing for the hub to write what the rows are of. Each is written, and taken back."""
    try:
        async with reach(record) as connection:
            state = await look(connection, clock, rows)
    except (DatabaseFault, EgressRefused) as failure:
        return judge_failure(record, failure)
    return judge_state(record, state, list(rows))


def judge_state(record: CustomerDatabase, state: DatabaseState, sources: Sequence[Source]) -> Checked:
    """What is right and what is not for the hub to write these."""
    verdicts = [
        *_judge_server(record, state),
        judge_tls(record.server, state.spoken),
        *_judge_rights(record, state, sources),
        *_judge_missing(record, state, sources),
    ]
    for source in sources:
        verdicts += _judge_table(state, source)
    if state.encoding != "UTF8":
        verdicts.append(_encoding(record, state))
    if state.timescale:
        verdicts.append(_timescale(state))
    if not any(verdict.grade == "wrong" for verdict in verdicts):
        verdicts += _judge_trials(state, sources)
    if not any(
        verdict.grade == "wrong" or (verdict.step, verdict.grade) == ("schema", "warning") for verdict in verdicts
    ):
        tables = " and ".join(f"matrix.{TABLES[source]}" for source in sources)
        found = f"version {state.schema_version}; {tables} took a row, which was taken back"
        verdicts.append(Verdict(step="schema", grade="ok", found=found))
    return in_order(verdicts)


def _judge_server(record: CustomerDatabase, state: DatabaseState) -> Sequence[Verdict]:
    server, major = record.server, state.version_num // 10_000
    found = [Verdict(step="reach", grade="ok", found=f"{where(server)} answers")]
    who = f"PostgreSQL {state.version}, database {server.database}, user {server.user}"
    if major < OLDEST_MAJOR:
        found.append(
            Verdict(
                step="login",
                grade="wrong",
                found=f"{who}: versions before {OLDEST_MAJOR} are not written to",
                to_do=f"upgrade the server to {TRIED_MAJOR} or later",
            )
        )
    elif major < TRIED_MAJOR:
        found.append(
            Verdict(
                step="login",
                grade="warning",
                found=f"{who}: it is tried with {TRIED_MAJOR} and later; before 14 there is no date_bin for queries",
                to_do=f"upgrade the server to {TRIED_MAJOR} or later",
            )
        )
    else:
        found.append(Verdict(step="login", grade="ok", found=who))
    if abs(state.ahead_s) > CLOCK_S:
        way = "ahead of" if state.ahead_s > 0 else "behind"
        found.append(
            Verdict(
                step="login",
                grade="warning",
                found=f"the clock of the server is {abs(state.ahead_s):.0f} s {way} the hub's",
                to_do="set both by NTP: queries that say now() are off by as much; what is written is not",
            )
        )
    return found


def _judge_rights(record: CustomerDatabase, state: DatabaseState, sources: Sequence[Source]) -> Sequence[Verdict]:
    user, database = quoted(record.server.user), quoted(record.server.database)
    found: list[Verdict] = []
    if state.in_recovery:
        found.append(
            _not_allowed("the server is a read-only standby (pg_is_in_recovery)", "name the primary as host", ())
        )
    elif state.read_only:
        found.append(
            _not_allowed(
                "transactions are read-only (default_transaction_read_only)",
                "have that end for the user and for the database, whichever has it",
                (
                    f"alter role {user} in database {database} reset default_transaction_read_only;",
                    f"alter role {user} reset default_transaction_read_only;",
                    f"alter database {database} reset default_transaction_read_only;",
                ),
            )
        )
    if state.superuser:
        found.append(
            Verdict(
                step="rights",
                grade="warning",
                found=f"user {record.server.user} is a superuser, who may do anything",
                to_do="give the hub a user who may connect to this database and write to schema matrix only",
            )
        )
    if state.has_schema and not state.may_use:
        found.append(
            _not_allowed(
                f"user {record.server.user} may not use schema matrix",
                "grant it, as its owner",
                (f"grant usage on schema matrix to {user};",),
            )
        )
    for source in sources:
        found += _judge_grants(user, record, state, TABLES[source])
    if not any(verdict.grade == "wrong" for verdict in found):
        found.append(Verdict(step="rights", grade="ok", found="the server takes writes, and the user may connect"))
    return found


def _judge_grants(user: str, record: CustomerDatabase, state: DatabaseState, table: str) -> Sequence[Verdict]:
    relation = state.relations.get(table)
    if relation is None or not relation.is_table:
        return ()
    known = [column for name, column in relation.columns.items() if name in shapes()[table].columns]
    lacking = [
        right
        for right, whole in (
            ("select", all(column.may_select for column in known)),
            ("insert", all(column.may_insert for column in known)),
        )
        if not whole
    ]
    if not lacking:
        return ()
    return (
        _not_allowed(
            f"user {record.server.user} may not {' nor '.join(lacking)} in matrix.{table}",
            "grant it, as the owner of the table; select tells the hub what is there already",
            (f"grant {', '.join(lacking)} on matrix.{table} to {user};",),
        ),
    )


def _not_allowed(found: str, to_do: str, run: tuple[str, ...]) -> Verdict:
    return Verdict(step="rights", grade="wrong", found=found, to_do=to_do, run=run)


def _judge_missing(record: CustomerDatabase, state: DatabaseState, sources: Sequence[Source]) -> Sequence[Verdict]:
    """What is missing, and who makes it: the hub where it may, else the customer."""
    missing = repairs(state)
    if not missing:
        return ()
    if state.in_recovery or state.read_only:
        return ()  # nothing can be made, and what is missing may come with the primary
    needed = [repair for repair in missing if _is_needed(state, repair, sources)]
    grade: Grade = "wrong" if needed else "warning"
    what = _listed([repair.missing for repair in needed or missing])
    if record.hosting == "hub":
        return (
            Verdict(
                step="schema", grade=grade, found=f"there is no {what}", to_do="the hub hosts it: tell its operator"
            ),
        )
    if record.may_create and all(repair.allowed for repair in missing):
        return (
            Verdict(
                step="schema",
                grade=grade,
                found=f"there is no {what}",
                to_do="the hub makes what is missing",
                run=(f"matrixhub database apply {record.id}",),
            ),
        )
    if record.may_create:
        return (
            Verdict(
                step="rights",
                grade=grade,
                found=f"there is no {what}, and user {record.server.user} may not make it",
                to_do="let the user make it, as the owner of what is named, and then the hub; or run by hand what "
                f"`matrixhub database apply {record.id} --print` prints",
                run=(*_rights_to_make(record, state, missing), f"matrixhub database apply {record.id}"),
            ),
        )
    return (
        Verdict(
            step="schema",
            grade=grade,
            found=f"there is no {what}",
            to_do="run by hand what the first command prints; or let the hub make it, with the two others",
            run=(
                f"matrixhub database apply {record.id} --print",
                f"matrixhub database update {record.id} --may-create",
                f"matrixhub database apply {record.id}",
            ),
        ),
    )


def _is_needed(state: DatabaseState, repair: Repair, sources: Sequence[Source]) -> bool:
    """Whether nothing can be written without it. Whether a key is, says the row that was tried."""
    if repair.kind == "schema":
        return True
    trials = [state.trials.get(source) for source in sources if TABLES[source] == repair.table]
    if repair.kind == "key":
        return any(trial is not None and trial.said for trial in trials)
    return repair.kind in ("table", "column") and bool(trials)


def _rights_to_make(record: CustomerDatabase, state: DatabaseState, missing: Sequence[Repair]) -> tuple[str, ...]:
    user = quoted(record.server.user)
    if not state.has_schema:
        return (f"grant create on database {quoted(record.server.database)} to {user};",)
    found = []
    if not (state.may_create_in and state.may_use):
        found.append(f"grant usage, create on schema matrix to {user};")
    found += [
        f"alter table matrix.{name} owner to {user};"
        for name, relation in state.relations.items()
        if name in shapes() and relation.is_table and not relation.owned
    ]
    return tuple(found)


def _judge_table(state: DatabaseState, source: Source) -> Sequence[Verdict]:
    name = TABLES[source]
    relation, shape = state.relations.get(name), shapes()[name]
    if relation is None:
        return ()
    if not relation.is_table:
        return (
            Verdict(
                step="schema",
                grade="wrong",
                found=f"matrix.{name} is {_KINDS[relation.kind]}, not a table",
                to_do="give it another name, and have the table made",
                run=(f"alter {_ALTERED[relation.kind]} matrix.{name} rename to {name}_before;",),
            ),
        )
    columns = relation.columns
    found = [
        verdict
        for column, expected in shape.columns.items()
        if column in columns
        for verdict in _judge_column(name, columns[column], expected)
    ]
    found += [
        _extra(name, column) for column in columns.values() if column.name not in shape.columns and _fails(column)
    ]
    found += [_unique(name, index) for index in relation.indexes.values() if _clashes(index, shape.key)]
    if relation.unlogged:
        found.append(
            Verdict(
                step="schema",
                grade="warning",
                found=f"matrix.{name} is unlogged: a crash of the server empties it",
                to_do="have it logged",
                run=(f"alter table matrix.{name} set logged;",),
            )
        )
    return found


_ALTERED = {"v": "view", "m": "materialized view", "f": "foreign table"}


def _judge_column(table: str, column: ColumnState, expected: ColumnShape) -> Sequence[Verdict]:
    path = f"matrix.{table}.{column.name}"
    altered = f"alter table matrix.{table} alter column {column.name}"
    if column.generated:
        return (
            Verdict(
                step="schema",
                grade="wrong",
                found=f"{path} is generated, so nothing can be written to it",
                to_do="make it a plain column",
                run=(f"{altered} drop expression;",),
            ),
        )
    if not takes(column.type, expected.type):
        return (
            Verdict(
                step="schema",
                grade="wrong",
                found=f"{path} is {column.type}, and should be {expected.type}",
                to_do="change it, as the owner of the table; the table is written anew, and locked as long",
                run=(f"{altered} type {expected.type} using {column.name}::{expected.type};",),
            ),
        )
    if column.not_null and not expected.not_null:
        return (
            Verdict(
                step="schema",
                grade="warning",
                found=f"{path} must have a value, but not all that is written has one: such is refused, and parked",
                to_do="let it be empty",
                run=(f"{altered} drop not null;",),
            ),
        )
    return ()


def takes(type_: str, expected: str) -> bool:
    """Whether a column of a type takes all values of the one expected.

    >>> takes("character varying", "text"), takes("character varying(9)", "text"), takes("json", "jsonb")
    (True, False, True)
    >>> takes("timestamp(0) with time zone", "timestamp(3) with time zone"), takes("integer", "bigint")
    (False, False)
    """
    if type_ == expected:
        return True
    pattern = _TAKEN.get(re.split(r"[( ]", expected)[0])
    return pattern is not None and pattern.fullmatch(type_) is not None


def _fails(column: ColumnState) -> bool:
    return column.not_null and not column.has_default and not column.generated


def _extra(table: str, column: ColumnState) -> Verdict:
    name = quoted(column.name)
    return Verdict(
        step="schema",
        grade="wrong",
        found=f"column {column.name} of matrix.{table} is not the hub's, must have a value and has no default",
        to_do="let it be empty, or give it a default (set default …)",
        run=(f"alter table matrix.{table} alter column {name} drop not null;",),
    )


def _clashes(index: IndexState, key: Sequence[str]) -> bool:
    """Whether rows that are not the same may agree in a unique index."""
    return index.is_unique and not set(key) <= set(index.columns)


def _unique(table: str, index: IndexState) -> Verdict:
    return Verdict(
        step="schema",
        grade="warning",
        found=f"index {index.name} of matrix.{table} is unique: of rows that agree in it, only the first is taken",
        to_do="make it one that is not unique, or drop it (a constraint: alter table … drop constraint)",
        run=(f"drop index matrix.{quoted(index.name)};",),
    )


def _encoding(record: CustomerDatabase, state: DatabaseState) -> Verdict:
    return Verdict(
        step="schema",
        grade="warning",
        found=f"the database keeps texts in {state.encoding}: those with characters it has not are refused, and parked",
        to_do="make the database in UTF8; it cannot be changed afterwards",
        run=(f"create database {quoted(record.server.database)} encoding 'UTF8' template template0;",),
    )


def _timescale(state: DatabaseState) -> Verdict:
    return Verdict(
        step="schema",
        grade="ok",
        found=f"TimescaleDB {state.timescale} is there; it is not needed, and matrix.sensor_data may be a hypertable",
        to_do="where it is to be one and is not",
        run=("select create_hypertable('matrix.sensor_data', 'time', migrate_data => true);",),
    )


def _judge_trials(state: DatabaseState, sources: Sequence[Source]) -> Sequence[Verdict]:
    """What a row that was written and taken back says, where nothing else is wrong."""
    found = []
    for source in sources:
        table, trial = TABLES[source], state.trials.get(source)
        if trial is None or trial.kept:
            continue
        if trial.said:
            found.append(
                Verdict(
                    step="schema",
                    grade="wrong",
                    found=f"matrix.{table} does not take a row: {trial.said}",
                    to_do="look for triggers, checks, policies and partitions of your own",
                    run=(f"\\d+ matrix.{table}",),
                )
            )
        else:
            found.append(
                Verdict(
                    step="schema",
                    grade="warning",
                    found=f"matrix.{table} takes a row and does not keep it: a trigger or a rule puts it elsewhere",
                    to_do="see that it is kept where it is put; the hub cannot tell",
                    run=(f"\\d+ matrix.{table}",),
                )
            )
    return found


def _listed(names: Sequence[str]) -> str:
    """The names in a line, the first few of many."""
    few = [*names[:4], f"{len(names) - 4} more"] if len(names) > 5 else names
    return ", ".join(few)
