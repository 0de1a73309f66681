"""A database of a customer's own on a server of the hub's: made, opened, limited, closed, dropped.

Steps that PostgreSQL can do in a transaction are functions that are given a connection, so that the record of the
database changes with them or not at all; `create database` and `drop database` cannot, and may be repeated.
Source: docs/decisions/0023-hosted-databases.md
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from matrixhub.databases import partitions, schema
from matrixhub.model.database import CUSTOMERS, HostedNames, Limits
from matrixhub.model.errors import DatabaseBusy, HostingRefused
from matrixhub.model.ids import DatabaseId
from matrixhub.model.secret import Secret
from matrixhub.store.pool import store_errors
from matrixhub.store.sql import load_statements

WRITER_CONNECTIONS_MAX = 20
CONNECT_S = 10.0
STEP_S = 60.0
"""Making a database copies its template, dropping one waits for a checkpoint."""

SCRAM_ITERATIONS = 4096
"""As PostgreSQL itself has it; passwords are 192 random bits, which more rounds would not make safer."""

_SQL = load_statements("hosting.sql", "matrixhub.databases")
_CLOSED_FUNCTIONS = (
    "^(lo_.*|loread|lowrite|pg_(try_)?advisory_.*|pg_notify|pg_lock_status|pg_prepared_xact"
    "|pg_logical_emit_message|pg_export_snapshot|pg_tablespace_size"
    "|pg_stat_get_(activity|backend|db|progress|wal|replication|subscription|slru|io|checkpointer|bgwriter|archiver).*"
    "|pg_get_replication_slots|pg_show_replication_origin_status|pg_notification_queue_usage)$"
)

Connection = Any
"""asyncpg has no type stubs."""


# --- what the server allows ---


@dataclass(frozen=True, kw_only=True, slots=True)
class Rights:
    """What the hub's role may do on a server, and which of its databases everybody may connect to."""

    role: str
    super: bool
    createdb: bool
    createrole: bool
    temp_file_limit: bool
    version: int
    open_databases: Sequence[str]


def missing_rights(rights: Rights) -> list[str]:
    """What has to be done on the server before it can hold databases of customers, as SQL where there is some.

    >>> missing_rights(Rights(role="hub", super=False, createdb=True, createrole=False, temp_file_limit=True,
    ...                       version=15, open_databases=["postgres"]))
    ['alter role "hub" createrole', 'revoke connect, temporary on database "postgres" from public']
    """
    if rights.version < 15:
        return [f"PostgreSQL 15 or newer: it is version {rights.version}"]
    needed = {
        f"alter role {quoted(rights.role)} createdb": rights.createdb or rights.super,
        f"alter role {quoted(rights.role)} createrole": rights.createrole or rights.super,
        f"grant set on parameter temp_file_limit to {quoted(rights.role)}": rights.temp_file_limit,
    }
    return [
        *(statement for statement, there in needed.items() if not there),
        *(f"revoke connect, temporary on database {quoted(name)} from public" for name in rights.open_databases),
    ]


def weaknesses(rights: Rights) -> list[str]:
    """What a server whose administrator the hub is not leaves open; it does not touch the data of others.

    >>> weaknesses(Rights(role="hub", super=True, createdb=True, createrole=True, temp_file_limit=True, version=18,
    ...                   open_databases=[]))
    []
    """
    if rights.super:
        return []
    kept = "they can store large objects, take advisory locks and see how busy other databases are"
    return [f"the hub's role {rights.role} is no superuser there, so functions cannot be closed to readers: {kept}"]


async def read_rights(connection: Connection) -> Rights:
    """What the hub's role may do on the server of a connection."""
    return Rights(**await connection.fetchrow(_SQL["rights"]))


async def prepare_server(connection: Connection, *, ours: bool) -> Rights:
    """Close the databases of the server to those who were not given one.

    `ours` says that the server is the hub's alone; else only the hub's own is closed, and what every server has.
    Raises: HostingRefused with what is missing.
    """
    await connection.execute(_SQL["lock"])
    for row in await connection.fetch(_SQL["owned_databases"], ours):
        with contextlib.suppress(asyncpg.InvalidCatalogNameError):  # dropped meanwhile
            async with connection.transaction():
                await connection.execute(_SQL["close_database"].format(name=row["datname"].replace('"', '""')))
    rights = await read_rights(connection)
    missing = missing_rights(rights)
    if missing:
        raise HostingRefused(
            f"this server cannot hold databases of customers yet; an administrator of it must: {'; '.join(missing)}",
            missing=missing,
        )
    return rights


# --- making one ---


async def make_roles(connection: Connection, names: HostedNames, limits: Limits, rights: Rights) -> None:
    """The three roles, none of which can log in yet; those that are there are left, and get their limits."""
    there = await roles_there(connection, names)
    for role in names.roles:
        if role not in there:
            await connection.execute(_SQL["create_role"].format(role=role))
        if not rights.super:
            await connection.execute(_SQL["join"].format(role=role))
    if rights.super:
        await connection.execute(_SQL["customers"].format(customers=CUSTOMERS))
        await connection.execute(_SQL["join_customers"].format(customers=CUSTOMERS, role=names.reader))
    await limit_reader(connection, names, limits)
    await connection.execute(_SQL["writer_settings"].format(role=names.writer, connections=WRITER_CONNECTIONS_MAX))


async def roles_there(connection: Connection, names: HostedNames) -> Sequence[str]:
    """Those of the roles that are there."""
    return [row["rolname"] for row in await connection.fetch(_SQL["roles_there"], names.roles)]


async def limit_reader(connection: Connection, names: HostedNames, limits: Limits) -> None:
    """What readers may take from their next session on."""
    await connection.execute(
        _SQL["reader_settings"].format(
            role=names.reader,
            connections=limits.connections_max,
            statement_ms=round(limits.statement_timeout_s * 1000),
            idle_ms=round(limits.statement_timeout_s * 1000),
            work_mem=limits.work_mem_mib,
            temp_kib=limits.temp_mib_max * 1024,
        )
    )


async def make_database(dsn: str, names: HostedNames) -> None:
    """An empty database that only its reader and writer may connect to; one that was left unfinished goes first.

    Raises: StoreError.
    """
    async with connected(dsn) as connection:
        await connection.execute(_SQL["drop_database"].format(database=names.database))
        await connection.execute(_SQL["create_database"].format(database=names.database, owner=names.owner))
        async with connection.transaction():
            await connection.execute(_SQL["lock"])
            await connection.execute(
                _SQL["database_rights"].format(database=names.database, reader=names.reader, writer=names.writer)
            )


async def furnish(dsn: str, names: HostedNames, rights: Rights) -> None:
    """The published schema in it, its rights, and what everybody may elsewhere closed. Raises: StoreError."""
    async with connected(dsn, database=names.database) as connection, connection.transaction():
        await connection.execute(f"set local role {names.owner}")
        for statement in schema.statements(hosted=True).values():
            await connection.execute(statement)
        await connection.execute(
            "insert into matrix.schema_version (version) values ($1) on conflict do nothing", schema.VERSION
        )
        await connection.execute(_SQL["schema_rights"].format(reader=names.reader, writer=names.writer))
        await partitions.make_ahead(connection)
        await connection.execute("reset role")
        if rights.super:
            await _close_functions(connection, names)


async def _close_functions(connection: Connection, names: HostedNames) -> None:
    found = await connection.fetch(_SQL["public_functions"].format(pattern=_CLOSED_FUNCTIONS))
    closing = [_SQL["close_function"].format(function=row["function"]) for row in found]
    await connection.execute(";\n".join(closing))
    await connection.execute(_SQL["close_language"].format(owner=names.owner))
    await connection.execute(_SQL["writer_functions"].format(writer=names.writer))


# --- who may log in ---


def new_password() -> Secret:
    """192 random bits, of characters that need no escape in a URL."""
    return Secret(secrets.token_urlsafe(24))


async def let_in(connection: Connection, role: str, password: Secret) -> None:
    """Let a role log in with this password and no other. The server, and so its log, never sees the password."""
    await set_password(connection, role, password)
    await log_in_again(connection, role)


async def set_password(connection: Connection, role: str, password: Secret) -> None:
    """Give a role another password; whether it may log in stays, and sessions that it has. See `let_in`."""
    verifier = scram_verifier(password, salt=secrets.token_bytes(16))
    await connection.execute(_SQL["set_password"].format(role=role, verifier=verifier))


async def log_in_again(connection: Connection, role: str) -> None:
    """Let a role log in with the password it had."""
    await connection.execute(_SQL["log_in_again"].format(role=role))


async def shut_out(connection: Connection, *roles: str) -> None:
    """Let roles log in no more; see `end_sessions`."""
    for role in roles:
        await connection.execute(_SQL["shut_out"].format(role=role))


async def end_sessions(connection: Connection, *roles: str) -> int:
    """End the sessions of roles; how many there were."""
    ended: int = await connection.fetchval(_SQL["end_sessions"], roles)
    return ended


def scram_verifier(password: Secret, *, salt: bytes, iterations: int = SCRAM_ITERATIONS) -> str:
    """What PostgreSQL keeps of a password, from which it cannot be had again.

    Source: RFC 5803, RFC 7677 §3 (its example is a test)
    """
    salted = hashlib.pbkdf2_hmac("sha256", password.reveal().encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    parts = (stored, hmac.digest(salted, b"Server Key", "sha256"))
    keys = ":".join(base64.b64encode(part).decode() for part in parts)
    return f"SCRAM-SHA-256${iterations}:{base64.b64encode(salt).decode()}${keys}"


# --- looking at one, and its end ---


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspected:
    """How a database fares on its server. `sessions` are those of readers."""

    is_there: bool
    reader_may_log_in: bool
    sessions: int
    size_bytes: int


async def inspect(connection: Connection, names: HostedNames) -> Inspected:
    """How a database fares on its server."""
    return Inspected(**await connection.fetchrow(_SQL["inspect"], names.database, names.reader))


async def drop_database(dsn: str, names: HostedNames) -> None:
    """The database gone with all that is in it, and every session in it ended; may be repeated. Raises: StoreError."""
    async with connected(dsn) as connection:
        await connection.execute(_SQL["drop_database"].format(database=names.database))


async def drop_roles(connection: Connection, names: HostedNames) -> None:
    """The roles gone; the database must be gone before."""
    for role in names.roles:
        await connection.execute(_SQL["drop_role"].format(role=role))


# --- connections ---


@contextlib.asynccontextmanager
async def connected(dsn: str, *, database: str | None = None) -> AsyncIterator[Connection]:
    """A connection as the hub's role, to its own database or another of the server. Raises: StoreError."""
    with faults():
        connection = await asyncpg.connect(
            dsn,
            **({} if database is None else {"database": database}),
            timeout=CONNECT_S,
            command_timeout=STEP_S,
            server_settings={"application_name": "matrixhub hosting", "timezone": "UTC"},
        )
        try:
            yield connection
        finally:
            await connection.close(timeout=2)


@contextlib.asynccontextmanager
async def alone_with(dsn: str, database_id: DatabaseId) -> AsyncIterator[None]:
    """Nobody else makes, changes or drops this database within the block, in whichever process.

    Raises: DatabaseBusy if somebody does, StoreError.
    """
    async with connected(dsn) as connection:
        if not await connection.fetchval(_SQL["lock_database"], database_id):
            raise DatabaseBusy(f"database {database_id} is being made, changed or dropped just now; try again")
        yield


@contextlib.contextmanager
def faults() -> Iterator[None]:
    """Turn faults of the driver into ours."""
    with store_errors():
        try:
            yield
        except asyncpg.InsufficientPrivilegeError as error:
            said = str(error.message)
            raise HostingRefused(f"the server does not let the hub do it: {said}", missing=[said]) from error


def quoted(name: str) -> str:
    """A name as SQL writes it.

    >>> quoted('a"b')
    '"a""b"'
    """
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
