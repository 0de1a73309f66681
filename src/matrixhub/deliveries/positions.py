"""Saves the steps of all subscriptions of a worker in group commits: while one is on its way, the next gather."""

from __future__ import annotations

import asyncio

from matrixhub.lifecycle import rung_by
from matrixhub.model.errors import LeaseLost, StoreError
from matrixhub.observe import Observe, StoreFailed
from matrixhub.ports import Advance, Clock, Leases

GROUP_MAX = 2_000
RETRY_S = 0.2


class Positions:
    """The one writer of a worker's positions."""

    def __init__(self, leases: Leases, clock: Clock, observe: Observe) -> None:
        self._leases = leases
        self._clock = clock
        self._observe = observe
        self._waiting: list[tuple[Advance, asyncio.Future[None]]] = []
        self._bell = asyncio.Event()

    async def save(self, step: Advance) -> None:
        """Returns when the step is committed; while PostgreSQL is away it waits. Raises: LeaseLost."""
        saved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((step, saved))
        self._bell.set()
        await saved

    async def run(self, stop: asyncio.Event) -> None:
        """Commit groups until stop, and then what is left."""
        async with rung_by(stop, self._bell):
            while self._waiting or not stop.is_set():
                await self._bell.wait()
                self._bell.clear()
                while self._waiting:
                    group, self._waiting = self._waiting[:GROUP_MAX], self._waiting[GROUP_MAX:]
                    await self._commit([entry for entry in group if not entry[1].done()])

    async def _commit(self, group: list[tuple[Advance, asyncio.Future[None]]]) -> None:
        while group:
            try:
                held = await self._leases.advance([step for step, _ in group])
            except StoreError as error:
                self._observe(StoreFailed(step="save positions", error=error.message))
                await self._clock.sleep(RETRY_S)
                group = [entry for entry in group if not entry[1].done()]
                continue
            for step, saved in group:
                if saved.done():
                    continue
                if step.subscription in held:
                    saved.set_result(None)
                else:
                    saved.set_exception(LeaseLost(f"{step.subscription}: fence {step.fence} no longer holds"))
            return
