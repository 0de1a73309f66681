"""The port `Bus` in memory, for unit tests: same answers, no disk, and faults on demand.

`tests/contract/test_bus.py` runs on it and on NATS alike.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import replace

from matrixhub.bus.nats import ORIGIN_HEADER
from matrixhub.bus.subjects import subject_matches
from matrixhub.model.errors import BusError, ForeignMessage, StreamFull
from matrixhub.ports import Appended, AppendFault, Bounds, EventMessage, Message, Outgoing, Page, StreamEnd


class MemoryBus:
    """A stream in a list. Set `down` to make it unreachable, `bytes_max` to let it run full."""

    def __init__(self, *, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self.messages: list[Message] = []
        self.down = False
        self.bytes_max: int | None = None
        self.stream = ""
        self.reads = 0
        self._now_ms = now_ms
        self.first_seq = 1
        self.numbers: dict[int, int] = {}
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
        if message.id and message.id in self._ids:
            return None
        if self._is_full_for(message.data):
            return StreamFull()
        self._ids.add(message.id)
        self.messages.append(
            Message(
                self.first_seq + len(self.messages),
                message.subject,
                message.data,
                message.items,
                message.headers.get(ORIGIN_HEADER, ""),
                self._now_ms(),
            )
        )
        return None

    async def append(self, events: Sequence[EventMessage], after_seq: int) -> Appended:
        """Store events next to a sequence. See `EventStream.append`."""
        self._require_up()
        first = Appended(len(events))
        async with self._changed:
            for index, event in enumerate(events):  # one that is refused does not keep the next from its place
                fault = self._append(event, after_seq + index)
                if fault is not None and not first.fault:
                    first = Appended(index, *fault)
            self._changed.notify_all()
        return first

    def _append(self, event: EventMessage, last_seq: int) -> tuple[AppendFault, str] | None:
        if self._last_seq != last_seq:
            return "refused", f"last sequence: {self._last_seq}"
        if self._store(Outgoing(event.subject, event.line, 1, "")) is not None:
            return "full", "maximum bytes exceeded"
        self.numbers[self._last_seq] = event.number
        return None

    async def end(self) -> StreamEnd:
        """How far the stream of events goes. See `EventStream.end`."""
        self._require_up()
        last = self._last_seq
        if not self.messages:
            return StreamEnd(last, None)
        if last not in self.numbers:
            raise ForeignMessage(f"message {last} of the stream of events is not the hub's")
        return StreamEnd(last, self.numbers[last])

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
        matching = [m for m in self._from(from_seq) if subject_matches(subject, m.subject)]
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
                await self._changed.wait_for(lambda seq=next_seq: not self.down and self._last_seq >= seq)  # type: ignore[misc]
                fresh = self._from(next_seq)
            next_seq = self._last_seq + 1
            if fresh:
                yield fresh

    async def bounds(self) -> Bounds:
        """The sequences stored. See `Bus.bounds`."""
        self._require_up()
        return Bounds(self.first_seq, self._last_seq, self.stream)

    async def first_seq_since(self, instant_ms: int) -> int:
        """The first sequence stored since the instant. See `Bus.first_seq_since`."""
        self._require_up()
        return next((m.seq for m in self.messages if m.stored_ms >= instant_ms), self._last_seq + 1)

    async def count_items(self, subject: str, from_seq: int, to_seq: int | None = None) -> int:
        """How many items lie between the sequences. See `Bus.count_items`."""
        self._require_up()
        end = self._last_seq + 1 if to_seq is None else to_seq
        return sum(m.items for m in self._from(from_seq) if m.seq < end and subject_matches(subject, m.subject))

    async def headers(self, subject: str, from_seq: int, to_seq: int) -> AsyncGenerator[Sequence[Message], None]:
        """The messages between the sequences, without their data. See `Bus.headers`."""
        self._require_up()
        await asyncio.sleep(0)
        found = [m for m in self._from(from_seq) if m.seq < to_seq and subject_matches(subject, m.subject)]
        if found:
            yield [replace(message, data=b"") for message in found]

    async def purge(self, before_seq: int) -> None:
        """Remove what lies before the sequence. See `Bus.purge`."""
        self._require_up()
        before_seq = min(before_seq, self._last_seq + 1)
        self.messages = self._from(before_seq)
        self.first_seq = max(self.first_seq, before_seq)

    @property
    def _last_seq(self) -> int:
        return self.first_seq + len(self.messages) - 1

    def _from(self, seq: int) -> list[Message]:
        return self.messages[max(0, seq - self.first_seq) :]

    def _is_full_for(self, data: bytes) -> bool:
        if self.bytes_max is None:  # then nothing is added up, which takes its time on a long stream
            return False
        return sum(len(stored.data) for stored in self.messages) + len(data) > self.bytes_max

    def _require_up(self) -> None:
        if self.down:
            raise BusError
