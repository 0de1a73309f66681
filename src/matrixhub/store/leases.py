"""Who delivers which subscription: the port `Leases` on PostgreSQL.

A worker says every few seconds that it lives; a subscription whose owner was not heard of in time is free. Every
claim raises the subscription's fence, and a step under an older fence changes no row. Source: design decision 5.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import Any

from matrixhub.model.delivery import ParkedItem
from matrixhub.model.ids import SubscriptionId, WorkerId
from matrixhub.model.subscription import Lease, Position
from matrixhub.observe import Observe, PositionsSaved
from matrixhub.ports import Advance
from matrixhub.store.dedicated import DedicatedConnection
from matrixhub.store.parked import parked_from_row
from matrixhub.store.pool import Database, store_errors
from matrixhub.store.subscriptions import SQL, SUBSCRIPTION_CHANNEL, Codec, overview_from_row

RELEASED = "released"
"""Notified in place of an id: no subscription is configured otherwise, but some are free."""

CLAIM_MAX = 5_000
"""Most subscriptions taken over in one transaction."""


class PostgresLeases:
    """The port `Leases`."""

    def __init__(self, database: Database, codec: Codec, observe: Observe) -> None:
        self._database = database
        self._codec = codec
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
            taken = await connection.fetch(SQL["claim"], worker, min(share - owned, CLAIM_MAX))
            rows = await connection.fetch(SQL["show_all"], [row["subscription_id"] for row in taken]) if taken else []
        return [self._lease(row) for row in rows]

    async def owned(self, worker: WorkerId, among: Collection[SubscriptionId] | None = None) -> Sequence[Lease]:
        """What the worker owns. See `Leases.owned`."""
        async with self._database.connection() as connection:
            if among is None:
                rows = await connection.fetch(SQL["owned"], worker)
            else:
                rows = await connection.fetch(SQL["owned_among"], worker, list(among))
        return [self._lease(row) for row in rows]

    async def fair_share(self) -> int:
        """What a worker should own at most. See `Leases.fair_share`."""
        async with self._database.connection() as connection:
            return int(await connection.fetchval(SQL["fair_share"]))

    async def release(self, worker: WorkerId, subscriptions: Sequence[SubscriptionId]) -> None:
        """Give subscriptions back. See `Leases.release`."""
        async with self._database.transaction() as connection:
            await connection.execute(SQL["release"], worker, list(subscriptions))
            await connection.execute("select pg_notify($1, $2)", SUBSCRIPTION_CHANNEL, RELEASED)

    async def retire(self, worker: WorkerId) -> None:
        """Give everything back. See `Leases.retire`."""
        async with self._database.transaction() as connection:
            await connection.execute(SQL["release_all"], worker)
            await connection.execute(SQL["forget_worker"], worker)
            await connection.execute("select pg_notify($1, $2)", SUBSCRIPTION_CHANNEL, RELEASED)

    async def advance(self, steps: Sequence[Advance]) -> frozenset[SubscriptionId]:
        """Save steps in one transaction, on disk when it returns. See `Leases.advance`."""
        started = time.perf_counter()
        columns = [*_step_columns(steps), *_attempt_columns(steps)]
        rare = [s for s in steps if s.parked or s.redriven or s.kept or s.replay or s.pause]
        if rare:
            async with self._positions.transaction() as connection:
                rows = list(await connection.fetch(SQL["advance"], *columns))
                fresh = {row["subscription_id"] for row in rows if row["fresh"]}
                for step in rare:
                    if step.subscription in fresh:
                        await _save_rare(connection, step)
        else:
            rows = await self._positions.fetch(SQL["advance"], columns)
        self._observe(PositionsSaved(subscriptions=len(rows), seconds=time.perf_counter() - started))
        return frozenset(SubscriptionId(row["subscription_id"]) for row in rows)

    async def to_redrive(self, subscription: SubscriptionId, items_max: int) -> Sequence[ParkedItem]:
        """Parked readings to be sent again. See `Leases.to_redrive`."""
        async with self._database.connection() as connection:
            return [parked_from_row(row) for row in await connection.fetch(SQL["to_redrive"], subscription, items_max)]

    def _lease(self, row: Any) -> Lease:
        view = overview_from_row(row, self._codec)
        return Lease(
            subscription=view.subscription,
            progress=view.progress,
            worker=row["owner"],
            fence=row["fence"],
            replay=view.replay,
            redrive=view.redrive,
        )


def _step_columns(steps: Sequence[Advance]) -> list[list[Any]]:
    """The first arguments of the statement `advance`, in its order."""
    return [
        [s.subscription for s in steps],
        [s.worker for s in steps],
        [s.fence for s in steps],
        [s.step for s in steps],
        [s.position.seq if s.position else None for s in steps],
        [s.position.item if s.position else None for s in steps],
        [s.sending_to.seq if s.sending_to else None for s in steps],
        [s.sending_to.item if s.sending_to else None for s in steps],
        [s.lanes_done for s in steps],
        [s.delivered for s in steps],
        [s.skipped for s in steps],
        [s.replayed for s in steps],
        [s.attempts_failed for s in steps],
        [s.failures for s in steps],
        [s.failing_since for s in steps],
        [s.retry_at for s in steps],
        [s.last_error for s in steps],
        [bool(s.replay) for s in steps],
        [s.redrive_done for s in steps],
        [s.ahead for s in steps],
        [s.express.from_seq if s.express else None for s in steps],
        [s.express.to_seq if s.express else None for s in steps],
        [s.express.sending_to if s.express else None for s in steps],
    ]


def _attempt_columns(steps: Sequence[Advance]) -> list[list[Any]]:
    """The last arguments of the statement `advance`, in its order."""
    made = [(s.subscription, attempt) for s in steps for attempt in s.attempts]
    attempts = [attempt for _, attempt in made]
    return [
        [subscription for subscription, _ in made],
        [a.at for a in attempts],
        [a.id for a in attempts],
        [a.kind for a in attempts],
        [a.request_id for a in attempts],
        [a.attempt for a in attempts],
        [a.items for a in attempts],
        [a.size_bytes for a in attempts],
        [a.start.seq if a.start else None for a in attempts],
        [a.start.item if a.start else None for a in attempts],
        [a.end.seq if a.end else None for a in attempts],
        [a.end.item if a.end else None for a in attempts],
        [a.http_status for a in attempts],
        [a.seconds for a in attempts],
        [a.code for a in attempts],
        [a.error for a in attempts],
        [a.answer for a in attempts],
    ]


async def _save_rare(connection: Any, step: Advance) -> None:
    """What few steps bring along."""
    if step.parked:
        await connection.execute(
            SQL["park"],
            [step.subscription] * len(step.parked),
            [item.parked_at for item in step.parked],
            [item.id for item in step.parked],
            [item.place.seq for item in step.parked],
            [item.place.item for item in step.parked],
            [item.line for item in step.parked],
            [item.code for item in step.parked],
            [item.reason for item in step.parked],
            [item.http_status for item in step.parked],
            [item.request_id for item in step.parked],
            step.position is None,
        )
    if step.redriven:
        await connection.execute(SQL["unpark"], step.subscription, list(step.redriven))
    if step.kept:
        await connection.execute(
            SQL["keep_parked"], step.subscription, [i for i, _ in step.kept], [reason for _, reason in step.kept]
        )
    if step.replay:
        before = step.replayed_from or step.position
        await connection.execute(SQL["begin_replay"], step.subscription, step.replay, *_place(before), step.replayed)
        # Another may wait behind it.
        await connection.execute("select pg_notify($1, $2)", SUBSCRIPTION_CHANNEL, step.subscription)
    if step.pause:
        await connection.execute(SQL["pause_by_policy"], step.subscription, step.pause)
        await connection.execute("select pg_notify($1, $2)", SUBSCRIPTION_CHANNEL, step.subscription)


def _place(position: Position | None) -> tuple[int | None, int | None]:
    return (position.seq, position.item) if position else (None, None)
