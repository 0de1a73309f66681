"""An event loop whose time passes only when nothing is left to be done, then at once; and ports of one process on it.

A process can be killed (nothing more of it happens) and stopped as by SIGSTOP (nothing of it happens until it goes on,
while time passes).
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from typing import Any

from matrixhub.model.delivery import ParkedItem
from matrixhub.model.errors import StoreError
from matrixhub.model.ids import SubscriptionId, WorkerId
from matrixhub.model.subscription import Lease
from matrixhub.ports import Advance, Bounds, Bus, Leases, Message, Outgoing, Page, Push, Sender, Sent

START_MS = 1_710_029_109_417


class _Selector(selectors.DefaultSelector):
    """Waits for nothing: lets the time of its loop pass instead."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise AssertionError("everything waits for something that will not come")
        self.loop.elapsed_s += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a time of its own."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self.elapsed_s


class Process:
    """What its ports ask before and after everything they do."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.dead = False
        self._runs = asyncio.Event()
        self._runs.set()

    def stop(self) -> None:
        self._runs.clear()

    def go_on(self) -> None:
        self._runs.set()

    async def step(self, latency_s: float = 0.0) -> None:
        if latency_s:
            await asyncio.sleep(self.rng.random() * latency_s)
        while not self._runs.is_set():
            await self._runs.wait()
        if self.dead:
            raise asyncio.CancelledError


class ProcessClock:
    """The port `Clock` of a process on a virtual loop."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._loop = asyncio.get_running_loop()

    def now_ms(self) -> int:
        return START_MS + round(self._loop.time() * 1000)

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._process.step()

    async def wait(self, event: asyncio.Event, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        except TimeoutError:
            pass
        await self._process.step()
        return event.is_set()


class ProcessBus:
    """The port `Bus` of a process."""

    def __init__(self, bus: Bus, process: Process) -> None:
        self._bus = bus
        self._process = process

    async def publish(self, messages: Sequence[Outgoing]) -> Sequence[BaseException | None]:
        return await self._bus.publish(messages)

    async def read(self, subject: str, from_seq: int, *, messages_max: int, bytes_max: int) -> Page:
        await self._process.step(0.01)
        page = await self._bus.read(subject, from_seq, messages_max=messages_max, bytes_max=bytes_max)
        await self._process.step(0.01)
        return page

    async def follow(self, from_seq: int) -> AsyncIterator[Sequence[Message]]:
        async for messages in self._bus.follow(from_seq):
            await self._process.step(0.01)
            yield messages

    async def bounds(self) -> Bounds:
        await self._process.step(0.01)
        return await self._bus.bounds()

    async def first_seq_since(self, instant_ms: int) -> int:
        return await self._bus.first_seq_since(instant_ms)

    async def count_items(self, subject: str, from_seq: int, to_seq: int | None = None) -> int:
        await self._process.step(0.01)
        return await self._bus.count_items(subject, from_seq, to_seq)

    def headers(self, subject: str, from_seq: int, to_seq: int) -> AsyncGenerator[Sequence[Message], None]:
        return self._bus.headers(subject, from_seq, to_seq)

    async def purge(self, before_seq: int) -> None:
        await self._bus.purge(before_seq)


class ProcessLeases:
    """The port `Leases` of a process: now and then a step is saved and its answer lost."""

    def __init__(self, leases: Leases, process: Process) -> None:
        self._leases = leases
        self._process = process
        self.lost_answers = 0.02

    async def heartbeat(self, worker: WorkerId, lease_s: float) -> None:
        await self._process.step(0.01)
        await self._leases.heartbeat(worker, lease_s)
        await self._process.step(0.01)

    async def claim(self, worker: WorkerId, owned: int) -> Sequence[Lease]:
        await self._process.step(0.01)
        taken = await self._leases.claim(worker, owned)
        await self._process.step(0.01)
        return taken

    async def owned(self, worker: WorkerId, among: Collection[SubscriptionId] | None = None) -> Sequence[Lease]:
        await self._process.step(0.01)
        found = await self._leases.owned(worker, among)
        await self._process.step(0.01)
        return found

    async def fair_share(self) -> int:
        await self._process.step(0.01)
        return await self._leases.fair_share()

    async def release(self, worker: WorkerId, subscriptions: Sequence[SubscriptionId]) -> None:
        await self._process.step(0.01)
        await self._leases.release(worker, subscriptions)
        await self._process.step(0.01)

    async def retire(self, worker: WorkerId) -> None:
        await self._process.step(0.01)
        await self._leases.retire(worker)

    async def advance(self, steps: Sequence[Advance]) -> frozenset[SubscriptionId]:
        await self._process.step(0.01)
        held = await self._leases.advance(steps)
        await self._process.step(0.01)
        if self._process.rng.random() < self.lost_answers:
            raise StoreError("the answer was lost")
        return held

    async def to_redrive(self, subscription: SubscriptionId, items_max: int) -> Sequence[ParkedItem]:
        await self._process.step(0.01)
        return await self._leases.to_redrive(subscription, items_max)


class ProcessSender:
    """The port `Sender` of a process."""

    def __init__(self, sender: Sender, process: Process) -> None:
        self._sender = sender
        self._process = process

    async def send(self, push: Push) -> Sent:
        await self._process.step(0.01)
        try:
            sent = await self._sender.send(push)
        except Exception:
            await self._process.step()
            raise
        await self._process.step()
        return sent
