"""What makes the schema of a customer's database whole, from what it is like: pure.

Source: docs/contract/dedicated-db.md §5
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from matrixhub.databases.rows import TABLES
from matrixhub.databases.schema import VERSION
from matrixhub.databases.shape import Kind, Statement, schema_statements, shapes
from matrixhub.databases.state import DatabaseState, IndexState, RelationState
from matrixhub.databases.verdict import quoted
from matrixhub.model.database import Server

VERSION_TABLE = "schema_version"


@dataclass(frozen=True, kw_only=True, slots=True)
class Repair:
    """A statement that makes what is missing. `allowed` says whether the user may run it."""

    kind: Kind | Literal["column", "key", "version"]
    missing: str
    sql: str
    allowed: bool
    table: str = ""


def repairs(state: DatabaseState) -> Sequence[Repair]:
    """What makes the schema whole, in the order in which it is run; nothing where it is whole.

    What the customer has added or changed is left alone. A key comes last: it cannot be made where rows are twice.
    """
    made = [repair for one in schema_statements() for repair in _of_statement(state, one)]
    renewed = state.schema_version < VERSION or any(one.kind in ("table", "column") for one in made)
    if renewed:
        made += [
            _repair(state, one, f"{one.name.replace('_', ' ')}, as they are in version {VERSION}")
            for one in schema_statements()
            if one.kind == "other"
        ]
    keys = [
        _keyed(name, shape.key, found)
        for name, shape in shapes().items()
        if (found := state.relations.get(name)) is not None and found.is_table and not has_key(found, shape.key)
    ]
    return [*made, *keys, *([_version(state)] if state.schema_version < VERSION else [])]


def grants(server: Server) -> Sequence[str]:
    """What lets the hub's user write to a schema that someone else has made."""
    user, tables = quoted(server.user), ", ".join(f"matrix.{table}" for table in TABLES.values())
    return (
        f"grant usage on schema matrix to {user}",
        f"grant select, insert on {tables} to {user}",
        f"grant select on matrix.{VERSION_TABLE} to {user}",
    )


def has_key(found: RelationState, key: Sequence[str]) -> bool:
    """Whether rows that agree in the key are one row, by an index of any name."""
    return not key or any(_is_key(index, key) for index in found.indexes.values())


def _is_key(index: IndexState, key: Sequence[str]) -> bool:
    whole = index.is_unique and index.valid and index.immediate and not index.partial
    return whole and len(index.columns) == len(key) and set(index.columns) == set(key)


def _of_statement(state: DatabaseState, one: Statement) -> Sequence[Repair]:
    """The repairs for what a statement makes: itself where that is missing, else the columns that are."""
    if one.kind == "schema":
        return [] if state.has_schema else [_repair(state, one, "schema matrix")]
    if one.kind == "index":
        table = state.relations.get(one.table)
        missing = table is None or (table.is_table and one.name not in table.indexes)
        return [_repair(state, one, f"index {one.name}")] if missing else []
    if one.kind not in ("table", "view"):
        return []
    found = state.relations.get(one.name)
    if found is None:
        return [_repair(state, one, f"{one.kind} matrix.{one.name}")]
    if one.kind == "view" or not found.is_table:
        return []
    columns = shapes()[one.name].columns
    return [_column(one.name, name, columns[name].type, found) for name in columns if name not in found.columns]


def _repair(state: DatabaseState, one: Statement, missing: str) -> Repair:
    table = one.table or (one.name if one.kind == "table" else "")
    return Repair(kind=one.kind, missing=missing, sql=one.sql, allowed=_allowed(state, one), table=table)


def _allowed(state: DatabaseState, one: Statement) -> bool:
    if not state.has_schema:
        return state.may_create
    if one.kind == "other":
        return all(table.owned for name, table in state.relations.items() if name in shapes())
    table = state.relations.get(one.table)
    return table.owned if table is not None else state.may_create_in and state.may_use


def _column(table: str, name: str, type_: str, found: RelationState) -> Repair:
    """A column that may be empty, for rows that are there have none."""
    return Repair(
        kind="column",
        missing=f"column {name} of matrix.{table}",
        sql=f"alter table matrix.{table} add column if not exists {name} {type_}",
        allowed=found.owned,
        table=table,
    )


def _keyed(table: str, key: Sequence[str], found: RelationState) -> Repair:
    return Repair(
        kind="key",
        missing=f"key ({', '.join(key)}) of matrix.{table}",
        sql=f"create unique index if not exists {table}_key on matrix.{table} ({', '.join(key)})",
        allowed=found.owned,
        table=table,
    )


def _version(state: DatabaseState) -> Repair:
    found = state.relations.get(VERSION_TABLE)
    made = found is None or found.owned
    return Repair(
        kind="version",
        missing=f"version {VERSION} in matrix.{VERSION_TABLE}",
        sql=f"insert into matrix.{VERSION_TABLE} (version) values ({VERSION}) on conflict do nothing",
        allowed=made or (found is not None and all(column.may_insert for column in found.columns.values())),
    )
