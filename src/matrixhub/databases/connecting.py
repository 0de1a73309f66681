"""A connection to a customer's database, and which step it failed at.

Where it may lead is judged before: what is dialled are addresses, and TLS still asks for the certificate of the name.
Source: docs/contract/dedicated-db.md §2, docs/decisions/0007-egress-guard.md, docs/decisions/0021-databases.md
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import asyncpg

from matrixhub.model.database import Server
from matrixhub.model.errors import DatabaseFault

CONNECT_S = 5.0
COMMAND_S = 15.0
APPLICATION = "matrixhub"

Connection = Any
"""asyncpg has no type stubs."""


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
    try:
        with faults(server):
            yield connection
    finally:
        with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await connection.close(timeout=2)


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
                # What the customer sets for the role or database must not change what is written.
                server_settings={"application_name": APPLICATION, "timezone": "UTC", "search_path": "matrix"},
            )


@contextlib.contextmanager
def faults(server: Server) -> Iterator[None]:
    """Turn faults of the driver into DatabaseFault, with the step that is not right."""
    try:
        yield
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        step = step_of(error)
        said = str(error) or type(error).__name__
        hidden = said.replace(server.password.reveal(), "…")
        raise DatabaseFault(f"{_WORDS[step]} {server.host}:{server.port}: {hidden}", step=step) from error


_WORDS = {
    "reach": "cannot reach PostgreSQL at",
    "tls": "no TLS with",
    "login": "no login at",
    "rights": "not allowed at",
    "schema": "the schema is not as it should be at",
}


def step_of(error: BaseException) -> str:
    """At which step a fault happened.

    >>> step_of(asyncpg.InvalidPasswordError("x")), step_of(asyncpg.UndefinedTableError("x"))
    ('login', 'schema')
    >>> step_of(ConnectionRefusedError()), step_of(ssl.SSLCertVerificationError("x"))
    ('reach', 'tls')
    """
    if isinstance(error, ssl.SSLError) or "SSL" in str(error) or "ssl" in type(error).__name__.lower():
        return "tls"
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError | asyncpg.InvalidCatalogNameError):
        return "login"
    if isinstance(error, asyncpg.InsufficientPrivilegeError | asyncpg.ReadOnlySQLTransactionError):
        return "rights"
    if isinstance(error, asyncpg.SyntaxOrAccessError | asyncpg.IntegrityConstraintViolationError):
        return "schema"
    return "reach"
