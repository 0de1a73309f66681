"""A connection of its own for one kind of step, kept open between them.

The pool resets a connection after each use, which costs more than the small updates that deliveries make hundreds of
times a second.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg

from matrixhub.store.pool import COMMAND_TIMEOUT_S, Connection, store_errors


class DedicatedConnection:
    """Runs one statement at a time; after a fault the next one connects anew. Use it from one task."""

    def __init__(self, dsn: str, purpose: str = "positions") -> None:
        self._dsn = dsn
        self._purpose = purpose
        self._connection: Connection | None = None

    async def fetch(self, statement: str, arguments: Sequence[Any]) -> list[Any]:
        """The rows. Raises StoreError."""
        async with self._connected() as connection:
            return list(await connection.fetch(statement, *arguments))

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """The connection in a transaction, committed at the end of the block. Raises StoreError."""
        async with self._connected() as connection, connection.transaction():
            yield connection

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        with store_errors():
            try:
                if self._connection is None or self._connection.is_closed():
                    self._connection = await asyncpg.connect(
                        self._dsn,
                        timeout=COMMAND_TIMEOUT_S,
                        command_timeout=COMMAND_TIMEOUT_S,
                        server_settings={"application_name": f"matrixhub {self._purpose}", "timezone": "UTC"},
                    )
                yield self._connection
            except BaseException:
                # What became of the statement is unknown; the connection may still be busy with it.
                self._drop()
                raise

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await self._connection.close(timeout=2)
            self._connection = None
