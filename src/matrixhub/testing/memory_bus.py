"""The port `Bus` in memory, for unit tests: same answers, no disk, and faults on demand.

`tests/contract/test_bus.py` runs on it and on NATS alike.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence

from matrixhub.bus.nats import ORIGIN_HEADER
from matrixhub.bus.subjects import subject_matches
from matrixhub.model.errors import BusError, StreamFull
from matrixhub.ports import Bounds, Message, Outgoing, Page


class MemoryBus:
    """A stream in a list. Set `down` to make it unreachable, `bytes_max` to let it run full."""

    def __init__(self, *, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self.messages: list[Message] = []
        self.down = False
        self.bytes_max: int | None = None
        self.reads = 0
        self._now_ms = now_ms
        self._stored_at: list[int] = []
        self._ids: set[str] = set()
        self._changed = asyncio.Condition()

    async def publish(self, messages: Sequence[Outgoing]) -> Sequence[BaseException | None]:
        """Store the messages in order; while `down`, wait. See `Bus.publish`."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self.down)
            results = [self._store(message) for message in messages]
            self._changed.notify_all()
        return results

    def _store(self, message: Outgoing) -> BaseException | None:
        if message.id in self._ids:
            return None
        size = sum(len(stored.data) for stored in self.messages) + len(message.data)
        if self.bytes_max is not None and size > self.bytes_max:
            return StreamFull()
        self._ids.add(message.id)
        self.messages.append(
            Message(
                len(self.messages) + 1,
                message.subject,
                message.data,
                message.items,
                message.headers.get(ORIGIN_HEADER, ""),
            )
        )
        self._stored_at.append(self._now_ms())
        return None

    async def come_back(self) -> None:
        """End an outage."""
        async with self._changed:
            self.down = False
            self._changed.notify_all()

    async def read(self, subject: str, from_seq: int, *, messages_max: int, bytes_max: int) -> Page:
        """The next matching messages. See `Bus.read`."""
        self._require_up()
        self.reads += 1
        await asyncio.sleep(0)
        matching = [m for m in self.messages[max(0, from_seq - 1) :] if subject_matches(subject, m.subject)]
        given: list[Message] = []
        size = 0
        for message in matching[:messages_max]:
            if given and size >= bytes_max:
                break
            given.append(message)
            size += len(message.data)
        return Page(given, len(matching) - len(given))

    async def follow(self, from_seq: int) -> AsyncIterator[Sequence[Message]]:
        """Every message from the sequence on, without end. See `Bus.follow`."""
        next_seq = max(1, from_seq)
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda seq=next_seq: not self.down and len(self.messages) >= seq)  # type: ignore[misc]
                fresh = self.messages[next_seq - 1 :]
            next_seq = fresh[-1].seq + 1
            yield fresh

    async def bounds(self) -> Bounds:
        """The sequences stored. See `Bus.bounds`."""
        self._require_up()
        return Bounds(first_seq=1, last_seq=len(self.messages))

    async def first_seq_since(self, instant_ms: int) -> int:
        """The first sequence stored since the instant. See `Bus.first_seq_since`."""
        self._require_up()
        later = (seq for seq, at in enumerate(self._stored_at, 1) if at >= instant_ms)
        return next(later, len(self.messages) + 1)

    async def count_items(self, subject: str, from_seq: int) -> int:
        """How many items wait from the sequence on. See `Bus.count_items`."""
        self._require_up()
        return sum(m.items for m in self.messages if m.seq >= from_seq and subject_matches(subject, m.subject))

    def _require_up(self) -> None:
        if self.down:
            raise BusError
