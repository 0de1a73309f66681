"""Helpers for stages: a stage is a class whose `run(stop)` returns after `stop` is set, or raises."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable


@contextlib.asynccontextmanager
async def rung_by(stop: asyncio.Event, bell: asyncio.Event) -> AsyncIterator[None]:
    """Within the block, `stop` also rings the bell, so that a loop needs to wait for the bell only."""

    async def ring() -> None:
        await stop.wait()
        bell.set()

    ringing = asyncio.create_task(ring(), name="ring-on-stop")
    try:
        yield
    finally:
        ringing.cancel()


async def until_stopped(work: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    """Do work that never ends by itself, until stop."""
    working = asyncio.ensure_future(work())
    stopping = asyncio.create_task(stop.wait(), name="until-stopped")
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
    finally:
        working.cancel()
        stopping.cancel()


async def cancelled(task: asyncio.Task[None]) -> None:
    """Cancel a task until it has ended.

    Once may not do: `asyncio.wait_for` of Python 3.11 swallows a cancellation that comes as what it waits for does.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.1)


class SystemClock:
    """The port `Clock` on the machine's own clocks."""

    def now_ms(self) -> int:
        """The instant, in epoch milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds on a clock that never steps."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def wait(self, event: asyncio.Event, timeout_s: float) -> bool:
        """Wait for the event for at most so long; whether it is set."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await event.wait()
        return event.is_set()
