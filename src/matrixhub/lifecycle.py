"""Helpers for stages: a stage is a class whose `run(stop)` returns after `stop` is set, or raises."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import AsyncGeneratorType
from typing import Any, TypeVar

T = TypeVar("T")

CLOSE_S = 5.0
"""So long a resource may take to close when the process ends."""


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

    Once may not do: `asyncio.wait_for` of Python 3.11, which libraries use, swallows a cancellation that comes as what
    it waits for does.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.1)


@contextlib.asynccontextmanager
async def closed_within(
    resource: AbstractAsyncContextManager[T], gave_up: Callable[[str], None], limit_s: float = CLOSE_S
) -> AsyncIterator[T]:
    """The resource; its end is not waited for any longer than the limit, and `gave_up` is told where it hangs.

    For ends that wait for somebody else, a peer that should close its side, so that nobody can keep a process alive
    that was told to stop.
    """
    value = await resource.__aenter__()
    try:
        yield value
    finally:
        await end_within(partial(_leave, resource), gave_up, limit_s)


async def end_within(
    end: Callable[[], Coroutine[Any, Any, None]], gave_up: Callable[[str], None], limit_s: float = CLOSE_S
) -> None:
    """Wait for an end for at most so long, and leave it to itself then; what it raises is raised."""
    task = asyncio.create_task(end())
    await asyncio.wait({task}, timeout=limit_s)
    if task.done():
        await task
    else:
        gave_up(where(task))
        task.cancel()


async def _leave(resource: AbstractAsyncContextManager[Any]) -> None:
    await resource.__aexit__(None, None, None)


def where(task: asyncio.Task[Any]) -> str:
    """Where a task waits: its calls, the innermost last."""
    calls: list[str] = []
    step: Any = task.get_coro()
    while step is not None:
        frame = getattr(step, "cr_frame", None) or getattr(step, "ag_frame", None)
        if frame is not None:
            calls.append(f"{frame.f_code.co_qualname}:{frame.f_lineno}")
            step = getattr(step, "cr_await", None) or getattr(step, "ag_await", None)
        else:  # the step of an asynchronous generator shows it to the garbage collector only
            step = next((found for found in gc.get_referents(step) if isinstance(found, AsyncGeneratorType)), None)
    return " > ".join(calls)


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
