"""What the tail of a worker brought last, so that the auditor need not read it from the stream a second time.

Subjects and counts only, as the headers of the messages say them; nothing of what delivers is used.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from itertools import islice

from matrixhub.bus.subjects import SUBJECTS, subject_matches
from matrixhub.ports import Bounds, Bus, Clock, Message, Outgoing, Page

_WHOLE_STREAMS = frozenset(SUBJECTS.values())

MESSAGES_MAX = 50_000
PAGE_MESSAGES = 500

TAIL_LAG_S = 1.0
"""How long is waited for the tail to bring what the stream has."""


class Recent:
    """The newest messages of a stream, without their data, from some sequence on and without a gap."""

    def __init__(self, messages_max: int = MESSAGES_MAX) -> None:
        self._messages_max = messages_max
        self._entries: deque[tuple[int, str, int]] = deque()
        self._from_seq = self._to_seq = 0
        self._heard = asyncio.Event()

    def begin(self, seq: int) -> None:
        """Say that every message from this sequence on will be heard."""
        self._entries.clear()
        self._from_seq = self._to_seq = seq

    def hear(self, messages: Sequence[Message]) -> None:
        """Take the next messages of the stream; of too many, the oldest are forgotten."""
        entries = self._entries
        for message in messages:
            entries.append((message.seq, message.subject, message.items))
        self._to_seq = messages[-1].seq + 1
        while len(entries) > self._messages_max:
            self._from_seq = entries.popleft()[0] + 1
        self._heard.set()

    async def wait_heard(self, from_seq: int, to_seq: int, clock: Clock) -> bool:
        """Whether all messages with from_seq ≤ sequence < to_seq are known, after a short wait for the newest."""
        if not 0 < self._from_seq <= from_seq:
            return False
        until = clock.monotonic() + TAIL_LAG_S
        while self._to_seq < to_seq and (left := until - clock.monotonic()) > 0:
            self._heard.clear()
            await clock.wait(self._heard, left)
        return self._from_seq <= from_seq and to_seq <= self._to_seq

    def between(self, from_seq: int, to_seq: int) -> list[Message]:
        """The messages with from_seq ≤ sequence < to_seq, without their data, as far as they are known."""
        entries = self._entries
        if not entries:
            return []
        # Sequences follow each other, save where some were removed: then there are fewer entries than that.
        first = min(max(0, from_seq - entries[0][0]), len(entries))
        while first > 0 and entries[first - 1][0] >= from_seq:
            first -= 1
        found: list[Message] = []
        for seq, subject, items in islice(entries, first, None):
            if seq >= to_seq:
                break
            if seq >= from_seq:
                found.append(Message(seq, subject, b"", items))
        return found


class HeardBus:
    """The port `Bus` for the auditor: headers that the tail has brought are not read again."""

    def __init__(self, bus: Bus, recent: Recent, clock: Clock) -> None:
        self._bus = bus
        self._recent = recent
        self._clock = clock

    async def headers(self, subject: str, from_seq: int, to_seq: int) -> AsyncGenerator[Sequence[Message], None]:
        """The messages without their data. See `Bus.headers`."""
        if not await self._recent.wait_heard(from_seq, to_seq, self._clock):
            async for page in self._bus.headers(subject, from_seq, to_seq):
                yield page
            return
        messages = self._recent.between(from_seq, to_seq)
        for start in range(0, len(messages), PAGE_MESSAGES):
            page = messages[start : start + PAGE_MESSAGES]
            yield page if subject in _WHOLE_STREAMS else [m for m in page if subject_matches(subject, m.subject)]
            await asyncio.sleep(0)  # let others have a turn

    async def publish(self, messages: Sequence[Outgoing]) -> Sequence[BaseException | None]:
        """See `Bus.publish`."""
        return await self._bus.publish(messages)

    async def read(self, subject: str, from_seq: int, *, messages_max: int, bytes_max: int) -> Page:
        """See `Bus.read`."""
        return await self._bus.read(subject, from_seq, messages_max=messages_max, bytes_max=bytes_max)

    def follow(self, from_seq: int) -> AsyncIterator[Sequence[Message]]:
        """See `Bus.follow`."""
        return self._bus.follow(from_seq)

    async def bounds(self) -> Bounds:
        """See `Bus.bounds`."""
        return await self._bus.bounds()

    async def first_seq_since(self, instant_ms: int) -> int:
        """See `Bus.first_seq_since`."""
        return await self._bus.first_seq_since(instant_ms)

    async def count_items(self, subject: str, from_seq: int, to_seq: int | None = None) -> int:
        """See `Bus.count_items`."""
        return await self._bus.count_items(subject, from_seq, to_seq)

    async def purge(self, before_seq: int) -> None:
        """See `Bus.purge`."""
        await self._bus.purge(before_seq)
