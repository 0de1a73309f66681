"""Work that one process of all should do at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import asyncpg

from matrixhub.model.subscription import Source
from matrixhub.store.pool import COMMAND_TIMEOUT_S, Connection, store_errors

AUDIT_DUTIES: Mapping[Source, int] = {"sensors": 0x6D78_6875_6203, "events": 0x6D78_6875_6213}
RETENTION_DUTIES: Mapping[Source, int] = {"sensors": 0x6D78_6875_6204, "events": 0x6D78_6875_6214}
"""Keys of the advisory locks of PostgreSQL that say who has a duty, one for each stream."""

SCHEDULER_DUTY = 0x6D78_6875_6206
RELAY_DUTY = 0x6D78_6875_6207
STORE_DUTY = 0x6D78_6875_6208
ROLLUP_DUTY = 0x6D78_6875_6230
UPKEEP_DUTY = 0x6D78_6875_6220
"""Keys of the duties to fire timers, to pass events on, to store readings, to roll them up, and to keep up databases of
customers.
"""

IDLE_MAX_S = 60.0
"""A process that is silent for so long, because it hangs or is stopped, loses its duties: PostgreSQL cuts it off."""


class PostgresDuty:
    """The port `Duty`: a lock that belongs to a connection, and so ends with it."""

    def __init__(self, dsn: str, key: int, *, idle_max_s: float = IDLE_MAX_S) -> None:
        self._dsn = dsn
        self._key = key
        self._idle_max_s = idle_max_s
        self._connection: Connection | None = None
        self._held = False

    async def held(self) -> bool:
        """Whether the duty is this process's now; takes it if it is free. Raises StoreError."""
        with store_errors():
            try:
                if self._connection is None or self._connection.is_closed():
                    self._held = False
                    self._connection = await asyncpg.connect(
                        self._dsn,
                        timeout=COMMAND_TIMEOUT_S,
                        command_timeout=COMMAND_TIMEOUT_S,
                        server_settings={
                            "application_name": "matrixhub duty",
                            "idle_session_timeout": f"{self._idle_max_s * 1000:.0f}",
                        },
                    )
                if self._held:
                    await self._connection.execute("select 1")
                else:
                    self._held = await self._connection.fetchval("select pg_try_advisory_lock($1)", self._key)
            except BaseException:
                self._drop()
                raise
        return self._held

    def _drop(self) -> None:
        self._held = False
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        """Give the duty back."""
        if self._connection is not None:
            with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await self._connection.close(timeout=2)
            self._drop()
