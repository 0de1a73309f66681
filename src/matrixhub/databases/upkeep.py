"""The stage that keeps up the databases that the hub hosts.

Source: docs/decisions/0029-schema.md
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import asyncpg

from matrixhub.databases import hosting
from matrixhub.databases.partitions import Kept, keep_up
from matrixhub.model.database import CustomerDatabase, HostedNames
from matrixhub.model.errors import MatrixHubError, StoreError
from matrixhub.observe import DatabaseKept, Observe, StoreFailed
from matrixhub.ports import Clock, Duty

ROUND_S = 3600.0
DUTY_S = 20.0


class Upkeep:
    """The stage that keeps up the databases that the hub hosts."""

    name = "upkeep of databases"

    def __init__(
        self,
        dsn: str,
        databases: Callable[[], Awaitable[Sequence[CustomerDatabase]]],
        duty: Duty,
        clock: Clock,
        observe: Observe,
    ) -> None:
        """`dsn` leads to the server of the hub; `databases` tells which ones it hosts there."""
        self._dsn = dsn
        self._databases = databases
        self._duty = duty
        self._clock = clock
        self._observe = observe

    async def run(self, stop: asyncio.Event) -> None:
        """Do its round every hour until stop, while no other process does."""
        due_s = float("-inf")
        try:
            while not stop.is_set():
                try:
                    if await self._duty.held() and self._clock.monotonic() >= due_s:
                        due_s = self._clock.monotonic() + ROUND_S
                        await self.round()
                except StoreError as error:
                    self._observe(StoreFailed(step="upkeep of databases", error=error.message))
                await self._clock.wait(stop, DUTY_S)
        finally:
            await self._duty.close()

    async def round(self) -> None:
        """Each database once; what fails in one holds up no other. Raises: StoreError if they cannot be listed."""
        for record in await self._databases():
            names = HostedNames.of(record.id)
            try:
                async with hosting.connected(self._dsn, database=names.database) as connection:
                    await connection.execute(f"set role {names.owner}")
                    kept = await keep_up(connection, self._clock, record.limits.retention_days)
            except (MatrixHubError, asyncpg.PostgresError) as error:
                self._observe(StoreFailed(step=f"upkeep of {record.id}", error=str(error)))
                continue
            if kept != Kept():
                self._observe(
                    DatabaseKept(
                        database=record.id,
                        made=" ".join(kept.made),
                        dropped=" ".join(kept.dropped),
                        deleted=kept.deleted,
                        waiting=" ".join(kept.waiting),
                    )
                )
