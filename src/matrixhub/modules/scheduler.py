"""The scheduler: what is to happen at a time happens then, once, however many copies of it run.

A timer is set with what it belongs to, and is gone with what it does. So nothing that was due is lost by a crash, and
nothing is done twice by two copies: the second finds the timer gone when it has the lock of the thing.
Source: design decision 3, docs/decisions/0011-events.md
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from matrixhub.lifecycle import rung_by
from matrixhub.model.errors import MatrixHubError, NotFound, StoreError
from matrixhub.modules.work import Platform, Work
from matrixhub.observe import Observe, StoreFailed, TimerFailed, TimerFired, TimerForgotten
from matrixhub.ports import Duty
from matrixhub.store.timers import Timer, next_due_at, next_timer, put_off_timer

Fire = Callable[[Work, str], Awaitable[None]]
"""What a timer does for the thing of that id: it locks the thing, returns unless `work.take_timer(…)`, and then acts.

It raises NotFound where the thing is gone: then the timer goes too. Whatever else it raises, it is called again later.
"""

LOOK_S = 5.0
"""The longest time between two looks at the timers and at the duty, so that a clock that jumps does no harm."""

SPACING_S = 0.02
"""The shortest, so that thousands of timers that are set at once do not wake it as often."""

RETRY_S = 1.0
"""The wait when PostgreSQL does not answer."""

ROUND_MAX = 500
"""Timers that fire between two looks at the duty."""

FAILED_WAIT_S, FAILED_WAIT_MAX_S = 30.0, 3600.0

SILENT_MAX_S = 60.0
"""A scheduler that has not looked for so long is not healthy."""

ERROR_LENGTH = 500


def failed_wait_s(failures: int) -> float:
    """How long a timer waits that failed so many times in a row.

    Units: seconds.

    >>> [failed_wait_s(n) for n in (1, 2, 3, 8, 1000)]
    [30.0, 60.0, 120.0, 3600.0, 3600.0]
    """
    return min(FAILED_WAIT_MAX_S, FAILED_WAIT_S * 2.0 ** min(failures - 1, 10))


class Scheduler:
    """The stage that lets timers do what they are for. `changed` is to be called when some were set."""

    def __init__(self, platform: Platform, handlers: Mapping[str, Fire], duty: Duty, observe: Observe) -> None:
        """`handlers` says what a timer does, by kind; timers of other kinds are left to those who know them."""
        self._platform = platform
        self._handlers = handlers
        self._duty = duty
        self._observe = observe
        self._clock = platform.clock
        self._kinds = sorted(handlers)
        self._bell = asyncio.Event()
        self._looked_s = self._clock.monotonic()

    @property
    def name(self) -> str:
        """The name of this stage."""
        return "scheduler"

    def changed(self, _heard: str = "") -> None:
        """Timers were set: look when the next one is due."""
        self._bell.set()

    def healthy(self) -> bool:
        """Whether it has looked at the timers, or at whether that is another's duty, within the last minute."""
        return self._clock.monotonic() - self._looked_s <= SILENT_MAX_S

    async def run(self, stop: asyncio.Event) -> None:
        """Fire timers as they become due until stop, while no other process does."""
        try:
            async with rung_by(stop, self._bell):
                while not stop.is_set():
                    self._bell.clear()
                    try:
                        wait_s = await self._look(stop)
                    except StoreError as error:
                        self._observe(StoreFailed(step="scheduler", error=error.message))
                        wait_s = RETRY_S
                    if wait_s > 0:
                        await self._clock.wait(stop, SPACING_S)
                        await self._clock.wait(self._bell, wait_s)
        finally:
            await self._duty.close()

    async def fire_due(self) -> int:
        """Fire all that are due, also those set meanwhile; how many were dealt with. Raises StoreError.

        They fire in the order in which they are due, each in a transaction of its own.
        """
        fired = 0
        while await self._fire_next():
            fired += 1
        return fired

    async def _look(self, stop: asyncio.Event) -> float:
        """Fire what is due if that is this process's duty; how long there is nothing to do. Raises StoreError."""
        if not await self._duty.held():
            self._looked_s = self._clock.monotonic()
            return LOOK_S
        for _ in range(ROUND_MAX):
            if stop.is_set() or not await self._fire_next():
                break
        else:
            return 0.0
        async with self._platform.database.connection() as connection:
            due_at = await next_due_at(connection, self._kinds)
        if due_at is None:
            return LOOK_S
        return min(LOOK_S, max(SPACING_S, (due_at - self._platform.now()).total_seconds()))

    async def _fire_next(self) -> bool:
        """Fire the timer that is due for the longest time; False if none is. Raises StoreError."""
        async with self._platform.database.connection() as connection:
            timer = await next_timer(connection, self._kinds, self._platform.now())
        self._looked_s = self._clock.monotonic()
        if timer is None:
            return False
        try:
            await self._fire(timer)
        except NotFound as error:
            await self._forget(timer, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not keep other timers from firing
            await self._put_off(timer, error)
        return True

    async def _fire(self, timer: Timer) -> None:
        async with self._platform.work(timer.property_id) as work:
            await self._handlers[timer.key.kind](work, timer.key.entity_id)
            # A handler that had nothing to do may have left it; it must not come again and again.
            await work.take_timer(timer.key.kind, timer.key.entity_id)
        lag = self._platform.now() - timer.due_at
        self._observe(TimerFired(kind=timer.key.kind, lag_s=max(0.0, lag.total_seconds())))

    async def _forget(self, timer: Timer, error: NotFound) -> None:
        async with self._platform.work(timer.property_id) as work:
            await work.take_timer(timer.key.kind, timer.key.entity_id)
        self._observe(TimerForgotten(kind=timer.key.kind, entity=timer.key.entity_id, reason=error.message))

    async def _put_off(self, timer: Timer, error: Exception) -> None:
        wait_s = failed_wait_s(timer.failures + 1)
        text = error.message if isinstance(error, MatrixHubError) else f"{type(error).__name__}: {error}"
        until = self._platform.now() + timedelta(seconds=wait_s)
        async with self._platform.database.connection() as connection:
            await put_off_timer(connection, timer, until, text[:ERROR_LENGTH])
        self._observe(
            TimerFailed(
                kind=timer.key.kind,
                entity=timer.key.entity_id,
                failures=timer.failures + 1,
                error=text[:ERROR_LENGTH],
                retry_in_s=wait_s,
            )
        )
