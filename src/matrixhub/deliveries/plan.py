"""What a push holds, what its answer means and when the next attempt is due: pure decisions.

Source: docs/contract/data-push.md §1, §5
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

import msgspec

from matrixhub.model.errors import DeliveryError, DestinationRefused, ReauthorisationNeeded, RowsRefused
from matrixhub.model.ids import SubscriptionId, ZoneId, stable_uuid
from matrixhub.model.policy import BatchLimits
from matrixhub.model.subscription import Filter, Position, Source, Subscription
from matrixhub.ports import Message

_encode = msgspec.json.Encoder().encode

FRAME_BYTES = 3
"""What a body holds for each reading besides its text: two quotes and a comma or bracket."""

RETRY_AFTER_MAX_S = 86_400.0
"""A destination may put off the next attempt by this much."""

_POISONED = frozenset({400, 413, 422})
"""Answers that blame the content. Source: docs/contract/data-push.md §5"""


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
    stored_ms: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """Lines of one message, by their places in it."""

    seq: int
    numbers: Sequence[int]
    stored_ms: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """The readings of one push and the stretch of the stream they come from.

    `part` names them among the readings of the stretch, where these are sent in several pushes.
    """

    strings: Sequence[bytes]
    spans: Sequence[Span]
    start: Position
    end: Position
    part: str = ""

    @property
    def items(self) -> int:
        """How many readings."""
        return len(self.strings)

    def places(self) -> list[Position]:
        """Where each reading lies."""
        return [Position(seq=span.seq, item=number) for span in self.spans for number in span.numbers]


@dataclass(frozen=True, slots=True)
class Condemned:
    """A reading that its destination refuses for its content."""

    batch: Batch
    reason: str
    http_status: int = 0


def open_message(message: Message, start: Position, zones: frozenset[ZoneId], frame_bytes: int = FRAME_BYTES) -> Piece:
    """The message ready to be cut, without the lines before the position and those of unwanted zones.

    Units:  frame_bytes is what a reading adds to a body besides its text, see `formats.frame_bytes`.
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
    ends = list(accumulate(len(s) + frame_bytes for s in strings))
    return Piece(message.seq, numbers, strings, ends, message.stored_ms)


def _escaped_lines(message: Message) -> list[bytes]:
    """The lines, escaped to stand between the quotes of a JSON string.

    Lines that ingest wrote are compact JSON, where only quotes and backslashes need an escape; others may hold
    anything, so they are encoded one by one.
    """
    text = message.data.decode()
    if message.origin:
        return message.data.replace(b"\\", b"\\\\").replace(b'"', b'\\"').split(b"\n")
    return [_encode(line)[1:-1] for line in text.split("\n")]


def cut_batch(
    pieces: Sequence[Piece],
    start: Position,
    limits: BatchLimits,
    until: Position | None = None,
    cap: Position | None = None,
) -> Batch:
    """The next push from the pieces: as much as the limits allow, but at least one reading.

    With `until`, the push ends exactly there, as one does that was planned before a crash; with `cap`, there at the
    latest. A batch without items says that nothing of the pieces is wanted; its end is still the place to go on from.
    """
    strings: list[bytes] = []
    spans: list[Span] = []
    size = 1
    end = start
    last = until or cap
    full = False
    for piece in pieces:
        if last is not None and piece.seq > last.seq:
            break
        wanted = take = len(piece.strings) if last is None else _take_until(piece, last)
        if until is None:
            take = min(wanted, _take_within(piece, len(strings), size, limits))
        full = take < wanted
        if take:
            spans.append(Span(piece.seq, piece.numbers[:take], piece.stored_ms))
        strings += piece.strings[:take]
        size += piece.ends[take - 1] if take else 0
        if take < len(piece.strings):
            end = Position(seq=piece.seq, item=piece.numbers[take]) if take or strings else end
            break
        end = Position(seq=piece.seq + 1)
    if last is not None and not full and pieces and pieces[-1].seq >= last.seq - (0 if last.item else 1):
        end = last
    return Batch(strings, spans, start, end)


def split(batch: Batch) -> tuple[Batch, Batch]:
    """The two halves of a batch of at least two readings.

    Of a stretch that is sent in one push, each half is a stretch of its own.
    """
    return _cut_at(batch, batch.items // 2)


def set_apart(batch: Batch, failed: Mapping[int, str]) -> list[Batch | Condemned]:
    """The batch in its order, with the readings named as wrong apart from those between them.

    >>> batch = Batch([b"a", b"b", b"c"], [Span(1, range(3))], Position(seq=1), Position(seq=2))
    >>> [part.reason if isinstance(part, Condemned) else list(part.strings) for part in set_apart(batch, {1: "bad"})]
    [[b'a'], 'bad', [b'c']]
    """
    found: list[Batch | Condemned] = []
    rest: Batch | None = batch
    taken = 0
    for index in sorted(index for index in failed if 0 <= index < batch.items):
        if rest is not None and index > taken:
            before, rest = _cut_at(rest, index - taken)
            found.append(before)
        assert rest is not None
        one, rest = _cut_at(rest, 1) if rest.items > 1 else (rest, None)
        found.append(Condemned(one, failed[index]))
        taken = index + 1
    return [*found, rest] if rest is not None else found


def stored_before(batch: Batch, instant_ms: int) -> tuple[Batch | None, Batch | None]:
    """The readings at the beginning of the batch that were stored before the instant, and the rest."""
    count = 0
    for span in batch.spans:
        if span.stored_ms >= instant_ms:
            break
        count += len(span.numbers)
    if count in (0, batch.items):
        return (batch, None) if count else (None, batch)
    return _cut_at(batch, count)


def _cut_at(batch: Batch, count: int) -> tuple[Batch, Batch]:
    heads: list[Span] = []
    tails: list[Span] = []
    left = count
    for span in batch.spans:
        here = min(left, len(span.numbers))
        left -= here
        if here:
            heads.append(replace(span, numbers=span.numbers[:here]))
        if here < len(span.numbers):
            tails.append(replace(span, numbers=span.numbers[here:]))
    if batch.part:
        names, middle = (f"{batch.part}.{count}-", f"{batch.part}.{count}+"), None
    else:
        names, middle = ("", ""), Position(seq=tails[0].seq, item=tails[0].numbers[0])
    return (
        Batch(batch.strings[:count], heads, batch.start, middle or batch.end, names[0]),
        Batch(batch.strings[count:], tails, middle or batch.start, batch.end, names[1]),
    )


def _take_within(piece: Piece, items: int, size: int, limits: BatchLimits) -> int:
    """How many readings of the piece still fit."""
    take = min(len(piece.strings), limits.items - items, bisect_right(piece.ends, limits.size_bytes - size))
    return 1 if take == 0 and items == 0 and piece.strings else max(0, take)


def _take_until(piece: Piece, until: Position) -> int:
    """How many readings of the piece lie before the position."""
    if piece.seq < until.seq:
        return len(piece.strings)
    return sum(1 for number in piece.numbers if number < until.item)


def request_id(subscription: SubscriptionId, batch: Batch, epoch: int = 0, content: str = "") -> str:
    """The identity of a push: the same for the same bytes, in every attempt and after a crash.

    A replay raises the epoch, so that what comes again on purpose is not taken for a repeat; `content` says what is
    made of a stretch, see `content_of`.
    """
    span = f"{batch.start.seq}.{batch.start.item}-{batch.end.seq}.{batch.end.item}"
    return stable_uuid(subscription, f"{span}/{batch.part}" if batch.part else span, str(epoch or ""), content)


def content_of(subscription: Subscription) -> str:
    """What decides, beside the stream, on the bytes made of a stretch: what is wanted of it, and how it is written."""
    wanted, form = subscription.filter, subscription.format
    sets = _CONTENT_OF_FILTER[wanted.source](wanted)
    return stable_uuid(repr(sets), form.body, str(form.gzip), subscription.destination.framing)


_CONTENT_OF_FILTER: Mapping[Source, Callable[[Filter], tuple[object, ...]]] = {
    "sensors": lambda wanted: (sorted(wanted.buildings), sorted(wanted.zones), sorted(wanted.devtypes)),
    "events": lambda wanted: (wanted.source, sorted(wanted.patterns)),
}


Verdict = Literal["poisoned", "stop", "retry"]


def verdict_of(error: DeliveryError) -> Verdict:
    """What a failed attempt means: the content is to blame, nothing will ever be taken, or to try again.

    >>> verdict_of(DestinationRefused(http_status=422)), verdict_of(DestinationRefused(http_status=410))
    ('poisoned', 'stop')
    """
    if isinstance(error, RowsRefused):
        return "poisoned"
    if isinstance(error, DestinationRefused):
        return "poisoned" if error.http_status in _POISONED else "stop" if error.http_status == 410 else "retry"
    return "stop" if isinstance(error, ReauthorisationNeeded) else "retry"


def next_wait_s(
    tries: int, schedule_s: Sequence[float], *, spread: float, retry_after_s: float | None
) -> tuple[float, int]:
    """How long to wait after a failure, and the tries that count from then on.

    A longer wait that the destination asked for is obeyed, up to a day, and does not move the schedule on.

    >>> next_wait_s(0, [0.0, 1.0], spread=0.0, retry_after_s=None)
    (0.0, 1)
    >>> next_wait_s(1, [0.0, 1.0], spread=0.0, retry_after_s=30)
    (30, 1)
    """
    planned = retry_delay_s(tries + 1, schedule_s, spread=spread)
    if retry_after_s is not None and retry_after_s > planned:
        return min(retry_after_s, RETRY_AFTER_MAX_S), tries
    return planned, tries + 1


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
