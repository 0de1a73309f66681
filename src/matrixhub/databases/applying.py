"""The schema made, and made whole again, in a customer's database.

Each statement may be repeated and is committed for itself, so whatever breaks off in between goes on the next time.
Source: docs/contract/dedicated-db.md §5
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from matrixhub.databases.checking import Reach, judge_state
from matrixhub.databases.connecting import Connection, said_by
from matrixhub.databases.repairs import Repair, grants, repairs
from matrixhub.databases.rows import Row
from matrixhub.databases.schema import VERSION
from matrixhub.databases.shape import schema_statements
from matrixhub.databases.state import look
from matrixhub.databases.verdict import Checked
from matrixhub.model.database import CustomerDatabase, Server
from matrixhub.model.errors import ApplyNotAllowed, Conflict, DatabaseFault, EgressRefused
from matrixhub.model.subscription import Source
from matrixhub.ports import Clock

STATEMENT_S = 600.0
"""How long one statement may take: an index of a large table."""

LOCK_S = 5
"""How long it waits for whoever uses the table; others would wait behind it."""

LOCK = 0x6D61_7472_6978
"""Held by whoever applies, in that database."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """A statement that was run, and what was said where it failed."""

    missing: str
    sql: str
    said: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    """What was run, in order; the last of it may have failed. `checked` is how the database is now."""

    ran: tuple[Ran, ...]
    checked: Checked

    @property
    def failed(self) -> Ran | None:
        """The statement that failed."""
        return self.ran[-1] if self.ran and self.ran[-1].said else None


async def apply(reach: Reach, record: CustomerDatabase, clock: Clock, rows: Mapping[Source, Row]) -> Applied:
    """Make what is missing of the schema, and check it as `check` does.

    Raises: ApplyNotAllowed if the hub was not allowed to, Conflict if it is being done already, DatabaseFault,
    EgressRefused.
    """
    if record.hosting != "customer" or not record.may_create:
        raise ApplyNotAllowed(
            f"the hub was not allowed to make anything in database {record.id}: allow it "
            f"(matrixhub database update {record.id} --may-create), or run by hand what "
            f"`matrixhub database apply {record.id} --print` prints"
        )
    async with reach(record) as connection:
        if not await connection.fetchval("select pg_try_advisory_lock($1)", LOCK):
            raise Conflict(f"the schema of database {record.id} is being made already; try again when that is done")
        before = await look(connection, clock, {})
        ran = await _run(connection, repairs(before))
        after = await look(connection, clock, rows)
    return Applied(ran=tuple(ran), checked=judge_state(record, after, list(rows)))


async def script(reach: Reach, record: CustomerDatabase, clock: Clock) -> str:
    """What someone who may make the schema can run by hand, with psql: what is missing, and the rights of the hub.

    Where the database cannot be looked at it is the whole schema; all of it may be repeated.
    """
    try:
        async with reach(record) as connection:
            state = await look(connection, clock, {})
    except (DatabaseFault, EgressRefused):
        return _whole_script(record.server)
    missing = repairs(state)
    lacking = not state.superuser and not (state.has_schema and all(one.allowed for one in missing))
    head = f"-- What is missing in database {record.server.database}; all of it may be repeated."
    if not missing:
        head = f"-- Nothing is missing in database {record.server.database}."
    return _written(head, [one.sql for one in missing], grants(record.server) if lacking else ())


def _whole_script(server: Server) -> str:
    version = f"insert into matrix.schema_version (version) values ({VERSION}) on conflict do nothing"
    head = f"-- The schema for database {server.database}, which could not be looked at; all of it may be repeated."
    return _written(head, [*(one.sql for one in schema_statements()), version], grants(server))


def _written(head: str, statements: Sequence[str], rights: Sequence[str]) -> str:
    return "\n\n".join([head, *(f"{sql};" for sql in statements), *(f"{sql};" for sql in rights)]) + "\n"


async def _run(connection: Connection, missing: Sequence[Repair]) -> Sequence[Ran]:
    ran: list[Ran] = []
    for repair in missing:
        said = await _run_one(connection, repair.sql)
        ran.append(Ran(missing=repair.missing, sql=repair.sql, said=said))
        if said:
            break
    return ran


async def _run_one(connection: Connection, sql: str) -> str:
    """What was said where it failed. A connection that is lost is a fault of its own."""
    try:
        async with connection.transaction():
            await connection.execute(
                f"set local lock_timeout = '{LOCK_S}s'; set local statement_timeout = '{STATEMENT_S:.0f}s'"
            )
            await connection.execute(sql, timeout=STATEMENT_S)
    except asyncpg.PostgresError as error:
        if connection.is_closed():
            raise
        return said_by(error)
    return ""
