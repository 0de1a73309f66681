"""A part of the hub in a process of its own beside it: what takes much time does not take that of requests and pushes.

Source: docs/decisions/0020-store-beside.md
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

import msgspec
import uvloop

from matrixhub.observe import Fact, Observe, StageStopped

Work = Callable[[bytes, asyncio.Event, Observe], Awaitable[None]]
"""What the process does: given how to begin, until stop, telling facts."""

LINE_BYTES_MAX = 1 << 20

_FACTS = {kind.__name__: kind for kind in Fact.__subclasses__()}


@dataclass(frozen=True, slots=True)
class Beside:
    """A process that waits to be told how to begin, and ends when nobody holds the other end any more.

    Resources: made once, before there is an event loop; `run` to its end, or `close`.
    """

    pid: int
    _orders: int
    _facts: int

    @classmethod
    def forked(cls, work: Work, *, niceness: int) -> Beside:
        """Fork the process, which shares what was imported until now. There must not be threads, nor a loop.

        Units: niceness is that of `nice`: 0 is as important as the hub itself, 19 takes what the others leave.
        """
        orders_out, orders_in = os.pipe()
        facts_out, facts_in = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(orders_in)
            os.close(facts_out)
            _live(work, orders_out, facts_in, niceness)
        os.close(orders_out)
        os.close(facts_in)
        return cls(pid, orders_in, facts_out)

    async def run(self, order: bytes, stop: asyncio.Event, observe: Observe, grace_s: float) -> None:
        """Let it begin, and tell what it tells, until stop or its end; then it is gone."""
        lines = asyncio.StreamReader(limit=LINE_BYTES_MAX)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(self._facts, "rb", buffering=0)
        )
        telling = asyncio.create_task(_tell(lines, observe), name="beside")
        stopping = asyncio.create_task(stop.wait(), name="beside-stop")
        try:
            with contextlib.suppress(BrokenPipeError):  # it has ended already, which `telling` sees
                os.write(self._orders, order + b"\n")
            await asyncio.wait({telling, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            os.close(self._orders)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await telling
            stopping.cancel()
            transport.close()
            await self._bury()

    def close(self) -> None:
        """End it where it never began."""
        os.close(self._orders)
        os.close(self._facts)
        os.waitpid(self.pid, 0)

    async def _bury(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)  # it has said all it had to say, or took too long
        await asyncio.to_thread(os.waitpid, self.pid, 0)


async def _tell(lines: asyncio.StreamReader, observe: Observe) -> None:
    async for line in lines:
        name, fields = msgspec.json.decode(line, type=tuple[str, dict[str, Any]])
        observe(_FACTS[name](**fields))


def _live(work: Work, orders: int, facts: int, niceness: int) -> NoReturn:
    """The life of the process. It never comes back to what forked it."""
    status = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # they are sent to the whole group; the hub stops it in order
        os.nice(niceness)
        uvloop.run(_work(work, orders, facts))
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)


async def _work(work: Work, orders: int, facts: int) -> None:
    def observe(fact: Fact) -> None:
        with contextlib.suppress(BrokenPipeError):  # the hub is gone, and this process about to go
            os.write(facts, msgspec.json.encode((type(fact).__name__, asdict(fact))) + b"\n")

    lines = asyncio.StreamReader(limit=LINE_BYTES_MAX)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(orders, "rb", buffering=0))
    order = await lines.readline()
    if not order:
        return
    stop = asyncio.Event()

    async def until_alone() -> None:
        await lines.read()
        stop.set()

    watching = asyncio.create_task(until_alone(), name="until alone")
    try:
        await work(order, stop, observe)
    except Exception as error:  # noqa: BLE001 - the hub is told, and goes on by itself
        observe(StageStopped(stage="beside", error=f"{type(error).__name__}: {error}"))
    finally:
        watching.cancel()
