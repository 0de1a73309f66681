"""What the schema's statements make, so that a database can be compared with them: read from the statements themselves.

Source: docs/contract/dedicated-db.md §3
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from matrixhub.databases.schema import statements

Kind = Literal["schema", "table", "index", "view", "other"]

SCHEMA = "matrix"
_KINDS: Sequence[tuple[Kind, re.Pattern[str]]] = (
    ("schema", re.compile(r"create schema if not exists (?P<name>\w+)")),
    ("table", re.compile(r"create table if not exists matrix\.(?P<name>\w+)")),
    ("index", re.compile(r"create (?:unique )?index if not exists (?P<name>\w+)\s+on matrix\.(?P<table>\w+)")),
    ("view", re.compile(r"create (?:or replace )?view matrix\.(?P<name>\w+)")),
)
_BODY = re.compile(r"\((?P<lines>.*?)\n\)", re.DOTALL)
_COLUMN = re.compile(
    r"(?P<name>[a-z_]\w*) (?P<type>.+?)(?P<not_null> not null)?"
    r"(?P<rest> (?:default|primary key|compression|storage).*)?"
)
_KEY = re.compile(r"primary key \((?P<names>[\w, ]+)\)")
_CONSTRAINTS = ("primary key (", "unique (", "constraint ", "check (", "exclude ", "foreign key")
_LONG_NAMES = (
    (re.compile(r"timestamptz(\(\d\))?"), r"timestamp\1 with time zone"),
    (re.compile(r"char(\(\d+\))"), r"character\1"),
    (re.compile(r"varchar(\(\d+\))?"), r"character varying\1"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnShape:
    """A column: its type as PostgreSQL writes it (`format_type`), and whether it always has a value."""

    type: str
    not_null: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class TableShape:
    """A table: its columns by name, and those it is keyed by."""

    columns: Mapping[str, ColumnShape]
    key: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """A statement of the schema, what it makes, and of which table where it is an index."""

    kind: Kind
    name: str
    sql: str
    table: str = ""


@cache
def schema_statements() -> Sequence[Statement]:
    """The statements of the schema in order.

    >>> [(one.kind, one.name, one.table) for one in schema_statements()][:2]
    [('schema', 'matrix', ''), ('table', 'schema_version', '')]
    """
    return tuple(_statement(name, sql) for name, sql in statements().items())


@cache
def shapes() -> Mapping[str, TableShape]:
    """The tables of the schema by name.

    >>> shapes()["events"].key, shapes()["events"].columns["meta"].type
    (('attr', 'time'), 'jsonb')
    """
    return {one.name: table_shape(one.sql) for one in schema_statements() if one.kind == "table"}


def table_shape(sql: str) -> TableShape:
    """The table that a statement makes, which has one column to a line. Raises: ValueError if it cannot be read.

    >>> made = table_shape("create table if not exists matrix.t (\\n  a char(14) not null, -- text\\n  b jsonb\\n)")
    >>> made.columns["a"], made.columns["b"].not_null
    (ColumnShape(type='character(14)', not_null=True), False)
    """
    body = _BODY.search(sql)
    if body is None:
        raise ValueError(f"no table can be read from {sql!r}")
    columns: dict[str, ColumnShape] = {}
    key: tuple[str, ...] = ()
    for line in body["lines"].splitlines():
        text = line.partition("--")[0].strip().rstrip(",").lower()
        found = _KEY.match(text)
        if found is not None:
            key = tuple(name.strip() for name in found["names"].split(","))
        if not text or text.startswith(_CONSTRAINTS):
            continue
        column = _COLUMN.fullmatch(text)
        if column is None:
            raise ValueError(f"no column can be read from {line!r}")
        if "primary key" in (column["rest"] or ""):
            key = (column["name"],)
        columns[column["name"]] = ColumnShape(type=_long(column["type"]), not_null=column["not_null"] is not None)
    return TableShape(columns=columns, key=key)


def _statement(name: str, sql: str) -> Statement:
    for kind, pattern in _KINDS:
        found = pattern.match(sql)
        if found is not None:
            table = found["table"] if kind == "index" else ""
            return Statement(kind=kind, name=found["name"], sql=sql, table=table)
    return Statement(kind="other", name=name, sql=sql)


def _long(name: str) -> str:
    """The type as PostgreSQL writes it."""
    for pattern, written in _LONG_NAMES:
        if pattern.fullmatch(name):
            return pattern.sub(written, name)
    return name
