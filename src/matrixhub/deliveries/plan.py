"""What a push holds and when the next attempt is due: pure decisions.

Body: a JSON array of JSON strings. Source: docs/contract/data-push.md §1 (certain)
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import msgspec

from matrixhub.model.ids import SubscriptionId, ZoneId, stable_uuid
from matrixhub.model.policy import BatchLimits
from matrixhub.model.subscription import Position
from matrixhub.ports import Message

_encode = msgspec.json.Encoder().encode

_FRAME_BYTES = 3
"""What a body holds for each reading besides its text: two quotes and a comma or bracket."""


class _Zone(msgspec.Struct, gc=False):
    InsID: str


_zone_of = msgspec.json.Decoder(_Zone).decode


@dataclass(frozen=True, slots=True)
class Piece:
    """The wanted lines of one message from a position on, each escaped to be a JSON string, without its quotes.

    `numbers` are the places of the lines in the message, `ends` the running sum of what each adds to a body.
    """

    seq: int
    numbers: Sequence[int]
    strings: Sequence[bytes]
    ends: Sequence[int]


@dataclass(frozen=True, slots=True)
class Batch:
    """One push: its body, how many readings, and the stretch of the stream it covers."""

    body: bytes
    items: int
    start: Position
    end: Position


def open_message(message: Message, start: Position, zones: frozenset[ZoneId], frame_bytes: int = _FRAME_BYTES) -> Piece:
    """The message ready to be cut, without the lines before the position and those of unwanted zones.

    `frame_bytes` is what a body holds for each reading besides its text, see `formats.frame_bytes`.
    Raises: ValueError if the data is not what the hub writes.
    """
    first = start.item if start.seq == message.seq else 0
    strings = _escaped_lines(message)
    numbers: Sequence[int] = range(first, len(strings))
    if zones:
        lines = message.data.split(b"\n")
        numbers = [n for n in numbers if _zone_of(lines[n]).InsID in zones]
        strings = [strings[n] for n in numbers]
    elif first:
        strings = strings[first:]
    return Piece(message.seq, numbers, strings, list(accumulate(len(s) + frame_bytes for s in strings)))


def _escaped_lines(message: Message) -> list[bytes]:
    """The lines, escaped to stand between the quotes of a JSON string.

    Lines that ingest wrote are compact JSON, where only quotes and backslashes need an escape; others may hold
    anything, so they are encoded one by one.
    """
    text = message.data.decode()
    if message.origin:
        return message.data.replace(b"\\", b"\\\\").replace(b'"', b'\\"').split(b"\n")
    return [_encode(line)[1:-1] for line in text.split("\n")]


def cut_batch(pieces: Sequence[Piece], start: Position, limits: BatchLimits, until: Position | None = None) -> Batch:
    """The next push from the pieces: as much as the limits allow, but at least one reading.

    With `until`, the push ends exactly there, as one does that was planned before a crash. A batch without items says
    that nothing of the pieces is wanted; its end is still the place to go on from.
    """
    strings: list[bytes] = []
    size = 1
    end = start
    for piece in pieces:
        if until is not None and piece.seq > until.seq:
            break
        take = _take_until(piece, until) if until is not None else _take_within(piece, len(strings), size, limits)
        strings += piece.strings[:take]
        size += piece.ends[take - 1] if take else 0
        if take < len(piece.strings):
            end = Position(seq=piece.seq, item=piece.numbers[take]) if take or strings else end
            break
        end = Position(seq=piece.seq + 1)
    if until is not None and pieces and pieces[-1].seq >= until.seq - (0 if until.item else 1):
        end = until
    body = b'["' + b'","'.join(strings) + b'"]' if strings else b"[]"
    return Batch(body, len(strings), start, end)


def _take_within(piece: Piece, items: int, size: int, limits: BatchLimits) -> int:
    """How many readings of the piece still fit."""
    take = min(len(piece.strings), limits.items - items, bisect_right(piece.ends, limits.size_bytes - size))
    return 1 if take == 0 and items == 0 and piece.strings else max(0, take)


def _take_until(piece: Piece, until: Position) -> int:
    """How many readings of the piece lie before the position."""
    if piece.seq < until.seq:
        return len(piece.strings)
    return sum(1 for number in piece.numbers if number < until.item)


def request_id(subscription: SubscriptionId, batch: Batch) -> str:
    """The identity of a push: the same for the same stretch of the stream, in every attempt and after a crash."""
    span = f"{batch.start.seq}.{batch.start.item}-{batch.end.seq}.{batch.end.item}"
    return stable_uuid(subscription, span)


def retry_delay_s(attempt: int, schedule_s: Sequence[float], *, spread: float) -> float:
    """How long to wait before retry `attempt`; past the end of the schedule its last wait repeats.

    Units:  seconds in and out; spread is a fraction the caller draws, e.g. 0.1 for +10 %.
    Raises: ValueError if attempt is below 1.

    >>> retry_delay_s(1, [1.0, 5.0], spread=0.0), retry_delay_s(9, [1.0, 5.0], spread=0.1)
    (1.0, 5.5)
    """
    if attempt < 1:
        raise ValueError("the first retry is attempt 1")
    return schedule_s[min(attempt, len(schedule_s)) - 1] * (1 + spread)
