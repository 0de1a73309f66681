"""A connection to a customer's database, and which step it failed at.

Where it may lead is judged before: what is dialled are addresses, and TLS still asks for the certificate of the name.
Source: docs/contract/dedicated-db.md §2, docs/decisions/0007-egress-guard.md, docs/decisions/0021-databases.md
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from matrixhub.model.database import Server, Step
from matrixhub.model.errors import DatabaseFault

CONNECT_S = 5.0
COMMAND_S = 15.0
APPLICATION = "matrixhub"
SAID_MAX = 300

Connection = Any
"""asyncpg has no type stubs."""

# What the customer sets for the role or database must not change what is written.
_SETTINGS = {"application_name": APPLICATION, "timezone": "UTC", "search_path": "matrix"}


class _NamedContext(ssl.SSLContext):
    """A context that asks for the certificate of a name, whatever address is dialled."""

    name: str | None = None

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """See `ssl.SSLContext.wrap_bio`."""
        return super().wrap_bio(*args, **{**kwargs, "server_hostname": self.name})


def tls_context(server: Server) -> ssl.SSLContext | None:
    """How TLS is spoken with a server, None for not at all. Raises: DatabaseFault if `ca_pem` cannot be read."""
    if server.tls == "disable":
        return None
    context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.name = server.host
    context.check_hostname = server.tls == "verify-full"
    if server.tls == "require":
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        context.load_verify_locations(cadata=server.ca_pem) if server.ca_pem else context.load_default_certs()
    except (ssl.SSLError, ValueError) as error:
        raise DatabaseFault(f"the certificates to trust (ca_pem) cannot be read: {error}", step="tls") from error
    return context


@contextlib.asynccontextmanager
async def connected(
    server: Server, addresses: Sequence[str], *, connect_s: float = CONNECT_S, command_s: float = COMMAND_S
) -> AsyncIterator[Connection]:
    """A connection to a server at one of these addresses. Raises: DatabaseFault, also for faults of the block."""
    connection = await connect(server, addresses, connect_s=connect_s, command_s=command_s)
    async with closing(connection):
        with faults(server):
            yield connection


async def connect(
    server: Server, addresses: Sequence[str], *, connect_s: float = CONNECT_S, command_s: float = COMMAND_S
) -> Connection:
    """A connection to a server at one of these addresses, the first that answers. Raises: DatabaseFault."""
    with faults(server):
        async with asyncio.timeout(connect_s):
            return await asyncpg.connect(
                host=list(addresses),
                port=server.port,
                database=server.database,
                user=server.user,
                password=server.password.reveal(),
                # Without a context asyncpg would look for certificates in the home directory and try TLS all the same.
                ssl=tls_context(server) or False,
                timeout=connect_s,
                command_timeout=command_s,
                server_settings=_SETTINGS,
            )


async def connect_beside(
    dsn: str, server: Server, *, connect_s: float = CONNECT_S, command_s: float = COMMAND_S
) -> Connection:
    """A connection to a database on the server of a DSN, as another user: that of databases which the hub hosts.

    Way and TLS are those of the DSN. Raises: DatabaseFault.
    """
    with faults(server):
        async with asyncio.timeout(connect_s):
            return await asyncpg.connect(
                dsn,
                database=server.database,
                user=server.user,
                password=server.password.reveal(),
                timeout=connect_s,
                command_timeout=command_s,
                server_settings=_SETTINGS,
            )


async def close(connection: Connection) -> None:
    """Close a connection, in a second or two, whatever became of it."""
    with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        await connection.close(timeout=2)


def cut_off(connection: Connection, error: BaseException) -> bool:
    """Whether a fault is that the connection is no longer there."""
    return isinstance(error, Exception) and (connection.is_closed() or isinstance(error, _CUT_OFF))


@contextlib.asynccontextmanager
async def closing(connection: Connection) -> AsyncIterator[Connection]:
    """The connection, closed at the end of the block."""
    try:
        yield connection
    finally:
        await close(connection)


# --- faults ---


@contextlib.contextmanager
def faults(server: Server) -> Iterator[None]:
    """Turn faults of the driver into DatabaseFault, with the step that is not right."""
    try:
        yield
    except (
        OSError,
        TimeoutError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
    ) as error:
        trouble = trouble_of(error)
        said = said_by(error).replace(server.password.reveal() or "\0", "…")
        raise DatabaseFault(f"{trouble.words} {where(server)}: {said}", step=trouble.step) from error


def where(server: Server) -> str:
    """The server as people are told of it; of a database that the hub hosts it is the hub's own."""
    return f"{server.host}:{server.port}" if server.host else f"the hub's own server (database {server.database})"


def said_by(error: BaseException) -> str:
    """What was said, in one line, without what PostgreSQL adds of rows."""
    text = str(getattr(error, "message", "") or error) or type(error).__name__
    return text.partition("\n")[0][:SAID_MAX]


@dataclass(frozen=True, slots=True)
class Trouble:
    """The step that is not right, and how that is said."""

    step: Step
    words: str


_X = asyncpg.exceptions
_CUT_OFF = (
    ConnectionError,
    _X.PostgresConnectionError,
    _X.AdminShutdownError,
    _X.CrashShutdownError,
    _X.IdleSessionTimeoutError,
)
_TROUBLES: Sequence[tuple[tuple[type[BaseException], ...], Trouble]] = (
    # The first that fits.
    ((ssl.SSLError, ssl.CertificateError), Trouble("tls", "no TLS with")),
    ((_X.InvalidCatalogNameError,), Trouble("login", "there is no such database at")),
    ((_X.InvalidAuthorizationSpecificationError,), Trouble("login", "no login at")),
    ((_X.TooManyConnectionsError,), Trouble("reach", "too many connections are open at")),
    ((_X.DiskFullError,), Trouble("reach", "the disk is full at")),
    ((_X.OperatorInterventionError,), Trouble("reach", "PostgreSQL broke off, stops or starts at")),
    ((_X.TransactionRollbackError, _X.LockNotAvailableError), Trouble("reach", "others were in the way at")),
    ((_X.ReadOnlySQLTransactionError,), Trouble("rights", "it is read-only (a standby?) at")),
    ((_X.InsufficientPrivilegeError,), Trouble("rights", "the rights do not suffice at")),
    (
        (_X.SyntaxOrAccessError, _X.IntegrityConstraintViolationError, _X.InvalidSchemaNameError, _X.DataError),
        Trouble("schema", "the schema is not as it should be at"),
    ),
    ((TimeoutError,), Trouble("reach", "no answer in time from")),
    ((_X.PostgresConnectionError, ConnectionError), Trouble("reach", "no connection, or it was cut off, to")),
    ((OSError,), Trouble("reach", "cannot reach PostgreSQL at")),
)
_OTHER = Trouble("reach", "PostgreSQL did not do it at")


def trouble_of(error: BaseException) -> Trouble:
    """At which step a fault happened, and how that is said.

    >>> trouble_of(asyncpg.InvalidPasswordError("x")).step, trouble_of(asyncpg.UndefinedTableError("x")).step
    ('login', 'schema')
    >>> trouble_of(ConnectionRefusedError()).step, trouble_of(ssl.SSLCertVerificationError("x")).step
    ('reach', 'tls')
    """
    text = str(error)
    if "SSL" in text or ("pg_hba.conf" in text and "no encryption" in text):
        return Trouble("tls", "no TLS with")
    for kinds, trouble in _TROUBLES:
        if isinstance(error, kinds):
            # A statement that was cancelled took longer than somebody allows.
            if isinstance(error, _X.QueryCanceledError):
                return Trouble("reach", "it took too long at")
            return trouble
    return _OTHER


def step_of(error: BaseException) -> Step:
    """At which step a fault happened."""
    return trouble_of(error).step
