"""What a subscription has in front of it: fed by the worker's shared tail while it keeps up, else read from its place.

A feed is *live* when every wanted message from `next_seq` on has been or will be offered by the tail. It becomes live
by gathering what the tail offers, then reading up to the end of the stream: what is stored before that read is in it,
what is stored after it comes through the tail. Source: docs/decisions/0004-reading-the-stream.md
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from matrixhub.bus.subjects import filter_matcher, filter_pattern
from matrixhub.model.subscription import Position, Subscription
from matrixhub.ports import Bus, Message

READ_MESSAGES = 500


class Feed:
    """The messages of one subscription, in stream order, in bounded memory."""

    def __init__(self, subscription: Subscription, position: Position, *, buffer_bytes: int, read_bytes: int) -> None:
        self.matches: Callable[[str], bool] = filter_matcher(subscription.property_id, subscription.filter)
        self._pattern = filter_pattern(subscription.property_id, subscription.filter)
        self._buffer_bytes = buffer_bytes
        self._read_bytes = read_bytes
        self._next_seq = position.seq
        self._messages: deque[Message] = deque()
        self._gathered: deque[Message] | None = None
        self._size = 0
        self.live = False
        self.bell = asyncio.Event()

    def offer(self, message: Message) -> None:
        """Take a message from the tail, unless there is no room: then it is read later."""
        into = self._messages if self.live else self._gathered
        if into is None or message.seq < self._next_seq:
            return
        if self._size + len(message.data) > self._buffer_bytes and self._size:
            # Fall behind: what is buffered stays valid, the rest is read from the stream when there is room again.
            self.live = False
            self._gathered = None
            self._recount()
            return
        into.append(message)
        self._size += len(message.data)
        if self.live:
            self._next_seq = message.seq + 1
            self.bell.set()

    @property
    def wants_more(self) -> bool:
        """Whether to read on now, so that there is always a page in hand while another is on its way."""
        return not self.live and self._size < self._read_bytes

    def waiting(self) -> bool:
        """Whether messages are buffered."""
        return bool(self._messages)

    def take(self) -> Message:
        """The next buffered message."""
        message = self._messages.popleft()
        self._size -= len(message.data)
        return message

    async def fill(self, bus: Bus) -> None:
        """Read on from the stream, behind what is buffered; at its end, become live. Raises BusError."""
        gathered = self._gathered = deque[Message]()
        page = await bus.read(self._pattern, self._next_seq, messages_max=READ_MESSAGES, bytes_max=self._read_bytes)
        if page.messages:
            self._next_seq = page.messages[-1].seq + 1
        self._messages.extend(self._wanted(page.messages))
        if page.pending == 0 and self._gathered is gathered:
            fresh = [message for message in gathered if message.seq >= self._next_seq]
            self._messages.extend(fresh)
            if fresh:
                self._next_seq = fresh[-1].seq + 1
            self.live = True
        self._gathered = None
        self._recount()

    def _wanted(self, messages: Sequence[Message]) -> list[Message]:
        return [message for message in messages if self.matches(message.subject)]

    def _recount(self) -> None:
        self._size = sum(len(message.data) for message in self._messages)
