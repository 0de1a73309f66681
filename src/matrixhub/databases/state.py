"""What a customer's database is like: asked of it, and changed in nothing.

Source: docs/contract/dedicated-db.md §5
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from matrixhub.databases.connecting import Connection, said_by
from matrixhub.databases.rows import Row
from matrixhub.databases.writing import write_rows
from matrixhub.model.subscription import Source
from matrixhub.ports import Clock
from matrixhub.store.sql import load_statements

LOCK_S = 3
"""How long a row that is tried waits for someone who holds the table."""

_SQL = load_statements("state.sql", "matrixhub.databases")


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnState:
    """A column as it is. `type` is as `format_type` writes it, of a domain that which it is made of."""

    name: str
    type: str
    not_null: bool
    has_default: bool = False
    generated: bool = False
    may_select: bool = True
    may_insert: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexState:
    """An index as it is. `columns` has None for an expression."""

    name: str
    is_unique: bool
    columns: tuple[str | None, ...]
    valid: bool = True
    immediate: bool = True
    partial: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RelationState:
    """A table, or what stands in its place. `kind` is as in pg_class; `owned` by the user or a role of his."""

    kind: str
    owned: bool
    unlogged: bool = False
    columns: Mapping[str, ColumnState] = field(default_factory=dict)
    indexes: Mapping[str, IndexState] = field(default_factory=dict)

    @property
    def is_table(self) -> bool:
        """Whether it is a table, partitioned or not."""
        return self.kind in ("r", "p")


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of a row that was written and taken back: whether it was kept until then, and what was said else."""

    kept: bool
    said: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseState:
    """All that is judged. `ahead_s` is how far the server's clock is before the hub's; `schema_version` 0 for none."""

    version_num: int
    version: str
    in_recovery: bool
    read_only: bool
    encoding: str
    spoken: str
    superuser: bool
    may_create: bool
    has_schema: bool
    may_use: bool
    may_create_in: bool
    timescale: str
    ahead_s: float = 0.0
    schema_version: int = 0
    relations: Mapping[str, RelationState] = field(default_factory=dict)
    trials: Mapping[Source, Trial] = field(default_factory=dict)


async def look(connection: Connection, clock: Clock, rows: Mapping[Source, Row]) -> DatabaseState:
    """What the database is like. Each of the rows is written, and taken back. Faults of the driver come as they are."""
    before_ms = clock.now_ms()
    server = dict(await connection.fetchrow(_SQL["server"]))
    between_s = (before_ms + clock.now_ms()) / 2000
    ahead_s, has_version = server.pop("now_s") - between_s, server.pop("has_version")
    relations = await _relations(connection)
    return DatabaseState(
        **server,
        ahead_s=ahead_s,
        spoken=await _asked(connection, "spoken") or "",
        schema_version=(await _asked(connection, "version") or 0) if has_version else 0,
        relations=relations,
        trials={source: await _tried(connection, source, row) for source, row in rows.items()},
    )


async def _relations(connection: Connection) -> Mapping[str, RelationState]:
    columns: dict[str, dict[str, ColumnState]] = {}
    indexes: dict[str, dict[str, IndexState]] = {}
    found: dict[str, RelationState] = {}
    for row in await connection.fetch(_SQL["columns"]):
        values = dict(row)
        relation = values.pop("relation")
        columns.setdefault(relation, {})[row["name"]] = ColumnState(**values)
    for row in await connection.fetch(_SQL["indexes"]):
        values = dict(row)
        relation, named = values.pop("relation"), tuple(values.pop("columns"))
        indexes.setdefault(relation, {})[row["name"]] = IndexState(**values, columns=named)
    for row in await connection.fetch(_SQL["relations"]):
        values = dict(row)
        name = values.pop("name")
        found[name] = RelationState(**values, columns=columns.get(name, {}), indexes=indexes.get(name, {}))
    return found


async def _asked(connection: Connection, name: str) -> Any:
    """The value of what not every user may ask; None for one who may not, as for one who gets none."""
    try:
        async with connection.transaction():
            return await connection.fetchval(_SQL[name])
    except (asyncpg.InsufficientPrivilegeError, asyncpg.SyntaxOrAccessError):
        return None


async def _tried(connection: Connection, source: Source, row: Row) -> Trial:
    """Write a row, and take it back."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(f"set local lock_timeout = '{LOCK_S}s'")
        return Trial(kept=await write_rows(connection, source, [row]) > 0)
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        if connection.is_closed():
            raise
        return Trial(kept=False, said=said_by(error))
    finally:
        if not connection.is_closed():
            await transaction.rollback()
