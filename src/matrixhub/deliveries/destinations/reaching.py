"""The way to a customer's database: a record in, an open connection out.

What the hub hosts is on its own server and needs no leave. What a customer hosts is resolved and judged by the egress
guard for each connection, and only the judged addresses are dialled.
Source: docs/decisions/0007-egress-guard.md, docs/decisions/0021-databases.md
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import aiohttp
from aiohttp.abc import AbstractResolver

from matrixhub.databases.connecting import (
    COMMAND_S,
    CONNECT_S,
    Connection,
    closing,
    connect,
    connect_beside,
    faults,
)
from matrixhub.deliveries.egress import GuardedResolver, check_literal, judged_dial
from matrixhub.model.database import CustomerDatabase
from matrixhub.model.egress import Allowance
from matrixhub.model.errors import DatabaseFault


class Reaching:
    """Makes connections. `dsn` leads to the hub's own server, `allowed_to_all` is where every property may go.

    The resolver is the system's unless another is given.
    """

    def __init__(self, dsn: str, allowed_to_all: Allowance, resolver: AbstractResolver | None = None) -> None:
        self._dsn = dsn
        self._allowed_to_all = allowed_to_all
        self._resolver = resolver

    async def connect(
        self, record: CustomerDatabase, *, connect_s: float = CONNECT_S, command_s: float = COMMAND_S
    ) -> Connection:
        """A new connection, which is the caller's to close.

        Units:  seconds for the whole way to the login, and for each statement.
        Raises: DatabaseFault with the step that is not right, EgressRefused.
        """
        if record.hosting == "hub":
            return await connect_beside(self._dsn, record.server, connect_s=connect_s, command_s=command_s)
        began = asyncio.get_running_loop().time()
        addresses = await self._judged(record, connect_s)
        left_s = max(0.1, connect_s - (asyncio.get_running_loop().time() - began))
        return await connect(record.server, addresses, connect_s=left_s, command_s=command_s)

    @contextlib.asynccontextmanager
    async def connected(
        self, record: CustomerDatabase, *, connect_s: float = CONNECT_S, command_s: float = COMMAND_S
    ) -> AsyncIterator[Connection]:
        """A connection for the block. Raises: DatabaseFault, also for faults of the block, and EgressRefused."""
        async with closing(await self.connect(record, connect_s=connect_s, command_s=command_s)) as connection:
            with faults(record.server):
                yield connection

    async def close(self) -> None:
        """Close the resolver."""
        if self._resolver is not None:
            await self._resolver.close()

    async def _judged(self, record: CustomerDatabase, limit_s: float) -> list[str]:
        """The addresses to dial. Raises: EgressRefused if one of them is forbidden, DatabaseFault if there is none."""
        host, port = record.server.host, record.server.port
        allowance = self._allowed_to_all | Allowance.of(record.egress_allow)
        literal = check_literal(host, allowance, record.property_id)
        if literal is not None:
            return [str(literal)]
        if self._resolver is None:
            self._resolver = aiohttp.ThreadedResolver()
        try:
            with judged_dial(host, allowance, record.property_id):
                async with asyncio.timeout(limit_s):
                    found = await GuardedResolver(self._resolver, allowance).resolve(host, port, socket.AF_UNSPEC)
        except (OSError, TimeoutError) as error:
            said = str(error) or "no answer in time"
            raise DatabaseFault(f"the name {host} leads nowhere: {said}", step="reach") from error
        return [entry["host"] for entry in found]
