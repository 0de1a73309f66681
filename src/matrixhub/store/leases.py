"""Who delivers which subscription: the port `Leases` on PostgreSQL.

A worker says every few seconds that it lives; a subscription whose owner was not heard of in time is free. Every
claim raises the subscription's fence, and a step under an older fence changes no row. Source: design decision 5.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from matrixhub.model.ids import SubscriptionId, WorkerId
from matrixhub.model.subscription import Lease
from matrixhub.observe import Observe, PositionsSaved
from matrixhub.ports import Advance
from matrixhub.store.dedicated import DedicatedConnection
from matrixhub.store.pool import Database, store_errors
from matrixhub.store.sealing import Sealer
from matrixhub.store.subscriptions import SQL, SUBSCRIPTION_CHANNEL, overview_from_row

CLAIM_MAX = 5_000
"""Most subscriptions taken over in one transaction."""


class PostgresLeases:
    """The port `Leases`."""

    def __init__(self, database: Database, sealer: Sealer, observe: Observe) -> None:
        self._database = database
        self._sealer = sealer
        self._observe = observe
        self._positions = DedicatedConnection(database.dsn)

    async def close(self) -> None:
        """Close the connection of its own."""
        await self._positions.close()

    async def heartbeat(self, worker: WorkerId, lease_s: float) -> None:
        """Say that the worker lives. See `Leases.heartbeat`."""
        with store_errors():
            # An answer that takes longer than this would come too late to go by.
            async with asyncio.timeout(lease_s / 2), self._database.connection() as connection:
                await connection.execute(SQL["heartbeat"], worker, lease_s)

    async def claim(self, worker: WorkerId, owned: int) -> Sequence[Lease]:
        """Take over free subscriptions up to the fair share. See `Leases.claim`."""
        async with self._database.transaction() as connection:
            await connection.execute(SQL["forget_dead_workers"])
            share = await connection.fetchval(SQL["fair_share"])
            if share <= owned:
                return []
            rows = await connection.fetch(SQL["claim"], worker, min(share - owned, CLAIM_MAX))
        return [self._lease(row) for row in rows]

    async def owned(self, worker: WorkerId) -> Sequence[Lease]:
        """What the worker owns. See `Leases.owned`."""
        async with self._database.connection() as connection:
            return [self._lease(row) for row in await connection.fetch(SQL["owned"], worker)]

    async def fair_share(self) -> int:
        """What a worker should own at most. See `Leases.fair_share`."""
        async with self._database.connection() as connection:
            return int(await connection.fetchval(SQL["fair_share"]))

    async def release(self, worker: WorkerId, subscriptions: Sequence[SubscriptionId]) -> None:
        """Give subscriptions back. See `Leases.release`."""
        async with self._database.transaction() as connection:
            await connection.execute(SQL["release"], worker, list(subscriptions))
            await connection.execute("select pg_notify($1, '')", SUBSCRIPTION_CHANNEL)

    async def retire(self, worker: WorkerId) -> None:
        """Give everything back. See `Leases.retire`."""
        async with self._database.transaction() as connection:
            await connection.execute(SQL["release_all"], worker)
            await connection.execute(SQL["forget_worker"], worker)
            await connection.execute("select pg_notify($1, '')", SUBSCRIPTION_CHANNEL)

    async def advance(self, steps: Sequence[Advance]) -> frozenset[SubscriptionId]:
        """Save steps in one transaction, on disk when it returns. See `Leases.advance`."""
        started = time.perf_counter()
        columns = [
            [s.subscription for s in steps],
            [s.worker for s in steps],
            [s.fence for s in steps],
            [s.position.seq if s.position else None for s in steps],
            [s.position.item if s.position else None for s in steps],
            [s.sending_to.seq if s.sending_to else None for s in steps],
            [s.sending_to.item if s.sending_to else None for s in steps],
            [s.delivered for s in steps],
            [s.attempts_failed for s in steps],
            [s.last_error for s in steps],
        ]
        rows = await self._positions.fetch(SQL["advance"], columns)
        self._observe(PositionsSaved(subscriptions=len(rows), seconds=time.perf_counter() - started))
        return frozenset(SubscriptionId(row["subscription_id"]) for row in rows)

    def _lease(self, row: Any) -> Lease:
        view = overview_from_row(row, self._sealer)
        return Lease(subscription=view.subscription, progress=view.progress, worker=row["owner"], fence=row["fence"])
