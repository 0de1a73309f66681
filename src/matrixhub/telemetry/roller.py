"""The stage that rolls up: it makes numbers by hour and day of the hours that are over, and of those in which late
readings came.

It gives way: while the store has much to do it waits, and between two steps it rests for as long as the step took. What
is not rolled up yet is read from the readings, so nothing waits for it, and nothing is wrong without it.
Source: docs/decisions/0025-rollups.md
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from matrixhub.lifecycle import cancelled, rung_by
from matrixhub.model.buckets import HOUR
from matrixhub.model.errors import BusError, StoreError
from matrixhub.observe import HoursRolledUp, Observe, RollupsDropped, StoreFailed
from matrixhub.ports import Bus, Clock, Duty, RollupRound, Rollups

DUTY_S = 1.0
ROUND_S = 30.0
DROP_S = 3600.0
QUIET = timedelta(minutes=5)
"""So long after its end an hour is rolled up: what comes till then is of it, and would have it rolled up again."""

BEHIND_MAX = 1_000
"""With more messages in front of the store, nothing is rolled up: the store comes first."""

STEP_S = 0.1
"""How long a step is to take: in it, late readings of the hours it is about wait to be stored."""

HOURS_MAX = 2_000
AHEAD = timedelta(days=7)


def next_hours(hours: int, took_s: float) -> int:
    """How many hours the next step is about, after one of so many took so long.

    >>> next_hours(100, 0.01), next_hours(100, 0.1), next_hours(100, 5.0), next_hours(1, 9.0), next_hours(2000, 0.01)
    (200, 100, 50, 1, 2000)
    """
    if took_s > 2 * STEP_S:
        return max(1, hours // 2)
    return min(HOURS_MAX, hours * 2) if took_s < STEP_S / 2 else hours


@dataclass(frozen=True, slots=True)
class RollerSettings:
    """For how long rollups are kept."""

    retention_s: float


class Roller:
    """The stage `rollups`."""

    name = "rollups"

    def __init__(
        self, bus: Bus, rollups: Rollups, duty: Duty, clock: Clock, observe: Observe, settings: RollerSettings
    ) -> None:
        self._bus = bus
        self._rollups = rollups
        self._duty = duty
        self._clock = clock
        self._observe = observe
        self._settings = settings
        self._hours = 50
        self._drop_at = float("-inf")

    async def run(self, stop: asyncio.Event) -> None:
        """Roll up until stop, while no other process does."""
        try:
            while not stop.is_set():
                try:
                    if await self._duty.held():
                        await self._on_duty(stop)
                except (BusError, StoreError) as error:
                    self._observe(StoreFailed(step="roll up readings", error=error.message))
                await self._clock.wait(stop, ROUND_S)
        finally:
            await self._duty.close()

    async def _on_duty(self, stop: asyncio.Event) -> None:
        """Make rounds for as long as the duty is held. Raises BusError, StoreError."""
        bell = asyncio.Event()
        rolling = asyncio.create_task(self._rounds(stop), name="roll up readings")
        rolling.add_done_callback(lambda _task: bell.set())
        try:
            async with rung_by(stop, bell):
                while not bell.is_set() and await self._duty.held():
                    await self._clock.wait(bell, DUTY_S)
            if rolling.done():
                await rolling
        finally:
            await cancelled(rolling)  # a step that was under way comes again, its marks are still there

    async def _rounds(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.round(stop)
            await self._clock.wait(stop, ROUND_S)

    async def round(self, stop: asyncio.Event) -> None:
        """Roll up what is marked and over, oldest first, and drop what is too old. Raises BusError, StoreError."""
        now = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)
        oldest = now - timedelta(seconds=self._settings.retention_s)
        await self._drop(oldest)
        if await self._store_is_behind():
            return
        found = await self._rollups.begin(now - HOUR - QUIET)
        if found is None:
            return
        await self._rollups.make_partitions(max(found.first, oldest), now + AHEAD)
        began, done = self._clock.monotonic(), 0
        while not stop.is_set() and (hours := await self._step(found, stop)):
            done += hours
            if await self._store_is_behind():
                break
        if done:
            self._observe(HoursRolledUp(hours=done, seconds=self._clock.monotonic() - began))

    async def _step(self, found: RollupRound, stop: asyncio.Event) -> int:
        began = time.perf_counter()
        try:
            hours = await self._rollups.roll(found, self._hours)
        except StoreError:
            self._hours = max(1, self._hours // 2)  # it may have been too much at once
            raise
        took_s = time.perf_counter() - began
        self._hours = next_hours(self._hours, took_s)
        await self._clock.wait(stop, took_s)
        return hours

    async def _store_is_behind(self) -> bool:
        return (await self._bus.bounds()).last_seq - await self._rollups.position() > BEHIND_MAX

    async def _drop(self, before: datetime) -> None:
        if self._clock.monotonic() < self._drop_at:
            return
        dropped = await self._rollups.drop(before)
        self._drop_at = self._clock.monotonic() + DROP_S
        if dropped:
            self._observe(RollupsDropped(partitions=", ".join(dropped)))
