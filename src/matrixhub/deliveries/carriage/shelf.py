"""What of the stream is open and waits to be cut, in memory that is counted."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from matrixhub.deliveries.express import ExpressLane
from matrixhub.deliveries.feed import Feed
from matrixhub.deliveries.memory import Memory
from matrixhub.deliveries.plan import Batch, Piece, open_message
from matrixhub.model.policy import BatchLimits
from matrixhub.model.subscription import Position, Subscription
from matrixhub.observe import MessageUnreadable, Observe
from matrixhub.ports import Message


class Shelf:
    """The pieces in hand of one subscription, and the messages among them that could not be read.

    What is held of the memory are the pieces and what was cut from them, until that is released.
    """

    __slots__ = ("_feed", "_frame_bytes", "_held", "_lane", "_memory", "_observe", "_zones", "pieces", "unreadable")

    def __init__(
        self,
        subscription: Subscription,
        feed: Feed,
        lane: ExpressLane | None,
        memory: Memory,
        observe: Observe,
        frame_bytes: int,
    ) -> None:
        self.pieces: list[Piece] = []
        self.unreadable: list[tuple[Message, int]] = []
        self._zones = subscription.filter.zones
        self._feed = feed
        self._lane = lane
        self._memory = memory
        self._observe = observe
        self._frame_bytes = frame_bytes
        self._held = 0

    def open_buffered(self, position: Position, limits: BatchLimits | None) -> None:
        """Make pieces of what is buffered from the position on, only as far ahead as the next push needs.

        Without limits, of all that is buffered.
        """
        items = sum(len(piece.strings) for piece in self.pieces)
        size = sum(piece.ends[-1] for piece in self.pieces if piece.ends)
        while self._feed.waiting() and (limits is None or (items < limits.items and size < limits.size_bytes)):
            message = self._feed.take()
            if self._lane is not None and self._lane.passes_over(message):
                self.pieces.append(Piece(message.seq, (), (), ()))
                continue
            try:
                piece = open_message(message, position, self._zones, self._frame_bytes)
            except (UnicodeDecodeError, msgspec.DecodeError) as error:
                self._observe(MessageUnreadable(subject=message.subject, seq=message.seq, error=str(error)))
                self.unreadable.append((message, position.item if position.seq == message.seq else 0))
                piece = Piece(message.seq, (), (), ())
            self.pieces.append(piece)
            items += len(piece.strings)
            size += piece.ends[-1] if piece.ends else 0
            self._hold(sum(map(len, piece.strings)))

    def drop_taken(self, batch: Batch) -> None:
        """Keep of the pieces what lies behind the batch."""
        gone = 0
        for piece in self.pieces:
            if piece.seq >= batch.end.seq:
                break
            gone += 1
        del self.pieces[:gone]
        if self.pieces and self.pieces[0].seq == batch.end.seq and batch.end.item:
            self.pieces[0] = _rest_of(self.pieces[0], batch.end)

    def leave_out(self, settled: Collection[int]) -> None:
        """Have nothing to send in these messages."""
        self.unreadable = [entry for entry in self.unreadable if entry[0].seq not in settled]
        for number, piece in enumerate(self.pieces):
            if piece.seq in settled:
                self._hold(-sum(map(len, piece.strings)))
                self.pieces[number] = Piece(piece.seq, (), (), ())

    def take_unreadable(self, before_seq: int) -> list[tuple[Message, int]]:
        """The messages before the sequence that could not be read, and their first line."""
        found = [entry for entry in self.unreadable if entry[0].seq < before_seq]
        self.unreadable = [entry for entry in self.unreadable if entry[0].seq >= before_seq]
        return found

    def release(self, batch: Batch) -> None:
        """Give back the memory of what was cut."""
        self._hold(-min(self._held, sum(map(len, batch.strings))))

    def release_all_cut(self) -> None:
        """Give back the memory of all that was cut."""
        self._hold(sum(len(string) for piece in self.pieces for string in piece.strings) - self._held)

    def clear(self) -> None:
        """Have nothing in hand, and hold no memory."""
        self.pieces.clear()
        self.unreadable.clear()
        self._hold(-self._held)

    def _hold(self, size: int) -> None:
        self._held += size
        self._memory.take(size)


def _rest_of(piece: Piece, end: Position) -> Piece:
    """The piece without the lines before the position."""
    taken = sum(1 for number in piece.numbers if number < end.item)
    base = piece.ends[taken - 1] if taken else 0
    return Piece(
        piece.seq,
        piece.numbers[taken:],
        piece.strings[taken:],
        [e - base for e in piece.ends[taken:]],
        piece.stored_ms,
    )
