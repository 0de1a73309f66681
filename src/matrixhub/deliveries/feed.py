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
from matrixhub.deliveries.memory import Memory
from matrixhub.model.subscription import Position, Subscription
from matrixhub.ports import Bus, Message

READ_MESSAGES = 500


class Feed:
    """The messages of one subscription, in stream order, in bounded memory."""

    __slots__ = (
        "_backlog_to",
        "_buffer_bytes",
        "_gathered",
        "_gathered_size",
        "_memory",
        "_messages",
        "_next_seq",
        "_pattern",
        "_read_bytes",
        "_size",
        "bell",
        "live",
        "matches",
    )

    def __init__(
        self,
        subscription: Subscription,
        position: Position,
        memory: Memory,
        *,
        buffer_bytes: int,
        read_bytes: int,
        bell: asyncio.Event | None = None,
    ) -> None:
        """`bell` is rung when a message comes: one of its own, or that of another feed of the subscription."""
        self.matches: Callable[[str], bool] = filter_matcher(subscription.property_id, subscription.filter)
        self._pattern = filter_pattern(subscription.property_id, subscription.filter)
        self._memory = memory
        self._buffer_bytes = buffer_bytes
        self._read_bytes = read_bytes
        self._next_seq = position.seq
        self._backlog_to = position.seq
        self._messages: deque[Message] | None = None  # most subscriptions are idle, and an empty deque is not small
        self._gathered: list[Message] | None = None
        self._gathered_size = 0
        self._size = 0
        self.live = False
        self.bell = bell or asyncio.Event()

    def offer(self, message: Message) -> None:
        """Take a message from the tail, unless there is no room: then it is read later."""
        if message.seq < self._next_seq:
            return
        size = len(message.data)
        if not self.live:
            if self._gathered is not None:
                # Only as much as may be held; what is left out is read with the next page.
                self._gathered_size += size
                if self._size + self._gathered_size > self._buffer_bytes:
                    self._gathered = None
                else:
                    self._gathered.append(message)
            return
        if self._size and (self._size + size > self._buffer_bytes or not self._memory.has_room(size)):
            # Fall behind: what is buffered stays valid, the rest is read from the stream when there is room again.
            self.live = False
            return
        if self._messages is None:
            self._messages = deque()
        self._messages.append(message)
        self._next_seq = message.seq + 1
        self._resize(size)
        self.bell.set()

    @property
    def wants_more(self) -> bool:
        """Whether to read on now, so that there is always a page in hand while another is on its way."""
        return not self.live and self._size < self._memory.read_bytes(self._read_bytes)

    def behind(self, position: Position) -> bool:
        """Whether a backlog is worked off: what was read from the stream rather than offered by the tail."""
        return not self.live or position.seq < self._backlog_to

    def waiting(self) -> bool:
        """Whether messages are buffered."""
        return bool(self._messages)

    def take(self) -> Message:
        """The next buffered message; there must be one."""
        assert self._messages is not None
        message = self._messages.popleft()
        self._resize(-len(message.data))
        if not self._messages:
            self._messages = None
        return message

    def rewind(self, position: Position) -> None:
        """Forget what is buffered and read from the position."""
        self._messages = self._gathered = None
        self._resize(-self._size)
        self._next_seq = position.seq
        self.live = False

    async def fill(self, bus: Bus) -> None:
        """Read on from the stream, behind what is buffered; at its end, become live. Raises BusError."""
        async with self._memory.turns:
            gathered = self._gathered = list[Message]()
            self._gathered_size = 0
            bytes_max = self._memory.read_bytes(self._read_bytes)
            try:
                page = await bus.read(self._pattern, self._next_seq, messages_max=READ_MESSAGES, bytes_max=bytes_max)
            finally:
                complete = self._gathered is gathered
                self._gathered = None
        if page.messages:
            self._next_seq = page.messages[-1].seq + 1
        self._extend(self._wanted(page.messages))
        if page.pending == 0 and complete:
            fresh = [message for message in gathered if message.seq >= self._next_seq]
            self._extend(fresh)
            if fresh:
                self._next_seq = fresh[-1].seq + 1
            self._backlog_to = self._next_seq
            self.live = True

    def _wanted(self, messages: Sequence[Message]) -> list[Message]:
        return [message for message in messages if self.matches(message.subject)]

    def _extend(self, messages: Sequence[Message]) -> None:
        if messages:
            if self._messages is None:
                self._messages = deque()
            self._messages.extend(messages)
            self._resize(sum(len(message.data) for message in messages))

    def _resize(self, size: int) -> None:
        self._size += size
        self._memory.take(size)
