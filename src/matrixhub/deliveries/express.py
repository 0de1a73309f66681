"""The express lane: what is urgent, sent ahead of everything else that one subscription waits for.

It reads the urgent messages by a filter of their own, so that a backlog of anything else is not searched for them, and
remembers which of them are settled: those of one stretch ahead of the position, which the carrier passes over when it
comes there. Each event is one message of one line, so whole messages are settled.
Source: docs/decisions/0012-express-lane.md
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from matrixhub.bus.subjects import is_urgent
from matrixhub.deliveries.feed import Feed
from matrixhub.deliveries.memory import Memory
from matrixhub.deliveries.plan import Batch, Piece, cut_batch, open_message
from matrixhub.model.policy import BatchLimits
from matrixhub.model.subscription import Express, Position
from matrixhub.observe import MessageUnreadable, Observe
from matrixhub.ports import Bus, Message

PART = "urgent"
"""What pushes of this lane are named, as they hold only a part of their stretch."""


class ExpressLane:
    """What is urgent of one subscription: what of it is settled, and what is to be sent.

    `state` is saved with every step of the subscription, and `ahead`, how many readings were settled ahead of the
    position, with every step that moves it. Without a feed nothing new is sent.
    """

    __slots__ = (
        "_feed",
        "_frame_bytes",
        "_from",
        "_held",
        "_memory",
        "_met",
        "_observe",
        "_pieces",
        "_skipped",
        "_unreadable",
        "ahead",
        "state",
        "takes_new",
    )

    def __init__(
        self,
        state: Express | None,
        ahead: int,
        feed: Feed | None,
        memory: Memory,
        observe: Observe,
        frame_bytes: int,
        *,
        takes_new: bool,
    ) -> None:
        self.state = state
        self.ahead = ahead if state is not None else 0
        self.takes_new = takes_new and feed is not None
        self._feed = feed
        self._memory = memory
        self._observe = observe
        self._frame_bytes = frame_bytes
        self._pieces: deque[Piece] = deque()
        self._unreadable: list[tuple[Message, int]] = []
        self._skipped: deque[tuple[int, int]] = deque()
        self._met: dict[int, int] = {}
        self._held = 0
        self._from = 0
        if state is not None:
            self._read_from(state.to_seq)

    # what is settled

    @property
    def planned(self) -> bool:
        """Whether a push of this lane was planned and is not settled."""
        return self.state is not None and self.state.sending_to is not None

    def passes_over(self, message: Message) -> bool:
        """Whether the carrier, which comes to this message now, passes over it, because it was settled ahead."""
        if not is_urgent(message.subject):
            return False
        state = self.state
        settled = state is not None and state.from_seq <= message.seq < state.to_seq
        if settled:
            self._skipped.append((message.seq, message.items))
        else:
            self._met[message.seq] = message.items
        return settled

    def met(self, before_seq: int) -> bool:
        """Whether the carrier has an urgent message before the sequence that is not settled."""
        return any(seq < before_seq for seq in self._met)

    def leave_out(self, stretch: Batch) -> frozenset[int]:
        """The messages the carrier has met already that were settled with the stretch: it passes over them now."""
        settled = frozenset(seq for seq in self._met if stretch.start.seq <= seq < stretch.end.seq)
        self._skipped += [(seq, self._met.pop(seq)) for seq in sorted(settled)]
        return settled

    def forget_rest(self) -> None:
        """Forget what the carrier has come to, as it reads that again."""
        self._skipped.clear()
        self._met.clear()

    def end(self, position: Position) -> Position | None:
        """Where a push from the position on must end: at the end of what is settled ahead, if that lies before it."""
        state = self.state
        return Position(seq=state.to_seq) if state is not None and position.seq < state.to_seq else None

    def move(self, position: Position) -> None:
        """Have everything before the position settled."""
        while self._skipped and self._skipped[0][0] < position.seq:
            self.ahead -= self._skipped.popleft()[1]
        self._met = {seq: items for seq, items in self._met.items() if seq >= position.seq}
        if self.state is not None and not self.planned and self.state.to_seq <= position.seq:
            self.state, self.ahead = None, 0

    def plan(self, stretch: Batch) -> None:
        """Let the stretch be on its way."""
        before = self.state or Express(from_seq=stretch.start.seq, to_seq=stretch.start.seq)
        self.state = replace(before, sending_to=stretch.end.seq)

    def settle(self, items: int) -> None:
        """Have the stretch that is on its way settled, with so many readings."""
        assert self.state is not None
        assert self.state.sending_to is not None
        self.state = replace(self.state, to_seq=self.state.sending_to, sending_to=None)
        self.ahead += items
        if not self.takes_new:
            self.forget()

    def reset(self) -> None:
        """Have nothing settled ahead."""
        self.forget()
        self.state, self.ahead = None, 0
        self.forget_rest()

    # reading

    @property
    def live(self) -> bool:
        """Whether all that is urgent is there or will be offered by the tail."""
        return self._feed is None or self._feed.live

    @property
    def wants_more(self) -> bool:
        """Whether to read on from the stream: nothing is there, and there may be something."""
        return self._feed is not None and not self._feed.live and not self._pieces and not self._feed.waiting()

    async def fill(self, bus: Bus) -> None:
        """Read on from the stream. Raises BusError."""
        if self._feed is not None:
            await self._feed.fill(bus)

    def look(self, start: int) -> bool:
        """Whether something urgent lies there from the sequence on. What lies before it is forgotten."""
        if start < self._from:
            self._read_from(start)
        self._from = start
        while self._pieces and self._pieces[0].seq < start:
            self._release(self._pieces.popleft().strings)
        self._unreadable = [entry for entry in self._unreadable if entry[0].seq >= start]
        return bool(self._pieces) or self._open()

    def cut(self, start: int, limits: BatchLimits) -> Batch:
        """The next stretch from the sequence on, as far as the limits allow; that which is on its way, exactly."""
        self.look(start)
        until = Position(seq=self.state.sending_to) if self.state is not None and self.state.sending_to else None
        if until is None:
            size = sum(piece.ends[-1] for piece in self._pieces if piece.ends)
            while len(self._pieces) < limits.items and size < limits.size_bytes and self._open():
                size += self._pieces[-1].ends[-1] if self._pieces[-1].ends else 0
        batch = cut_batch(self._pieces, Position(seq=start), limits, until)
        while self._pieces and self._pieces[0].seq < batch.end.seq:
            self._pieces.popleft()
        return batch if until is None else replace(batch, end=until)

    def reaches(self, seq: int) -> bool:
        """Whether all before the sequence is there, or will not come."""
        while (not self._pieces or self._pieces[-1].seq < seq - 1) and self._open():
            pass
        return self.live or bool(self._pieces and self._pieces[-1].seq >= seq - 1)

    def take_unreadable(self, before_seq: int) -> list[tuple[Message, int]]:
        """The messages before the sequence that could not be read, and their first line."""
        found = [entry for entry in self._unreadable if entry[0].seq < before_seq]
        self._unreadable = [entry for entry in self._unreadable if entry[0].seq >= before_seq]
        return found

    def let_go(self, batch: Batch) -> None:
        """Give back the memory of what was cut."""
        self._release(batch.strings)

    def forget(self) -> None:
        """Give all memory back; what was planned is read anew."""
        self._read_from(self.state.to_seq if self.state is not None else self._from)

    def _read_from(self, seq: int) -> None:
        self._pieces.clear()
        self._unreadable.clear()
        self._memory.take(-self._held)
        self._held = 0
        self._from = seq
        if self._feed is not None:
            self._feed.rewind(Position(seq=seq))

    def _open(self) -> bool:
        """Make a piece of the next message that is buffered; False if there is none."""
        message = self._next()
        if message is None:
            return False
        try:
            piece = open_message(message, Position(seq=message.seq), frozenset(), self._frame_bytes)
        except (UnicodeDecodeError, msgspec.DecodeError) as error:
            self._observe(MessageUnreadable(subject=message.subject, seq=message.seq, error=str(error)))
            self._unreadable.append((message, 0))
            piece = Piece(message.seq, (), (), ())
        self._pieces.append(piece)
        size = sum(map(len, piece.strings))
        self._held += size
        self._memory.take(size)
        return True

    def _next(self) -> Message | None:
        while self._feed is not None and self._feed.waiting():
            message = self._feed.take()
            if message.seq >= self._from:
                return message
        return None

    def _release(self, strings: Sequence[bytes]) -> None:
        size = min(self._held, sum(map(len, strings)))
        self._held -= size
        self._memory.take(-size)
