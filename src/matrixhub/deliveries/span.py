"""What a subscription wants between two positions, looked up in the stream itself.

Positions lie inside messages, so the first and the last message of a span may count in part.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace

import msgspec

from matrixhub.bus.subjects import filter_matcher, filter_pattern, filter_patterns
from matrixhub.deliveries.plan import Piece, open_message
from matrixhub.model.subscription import Position, Subscription
from matrixhub.ports import Bus, Message

READ_MESSAGES = 500
READ_BYTES = 4 * 1024 * 1024

Seen = Callable[[int], None]
"""Told the sequence up to which the stream was looked at."""


def ignore_seen(_seq: int) -> None:
    """Tells nobody."""


async def count_span(
    bus: Bus, subscription: Subscription, start: Position, end: Position, seen: Seen = ignore_seen
) -> int:
    """How many readings of the subscription lie from start up to, but without, end. Raises BusError.

    Without zones the headers of the messages say it; zones are inside the messages, so each is looked into, and a long
    span takes a while, during which `seen` is called.
    """
    if not start < end:
        return 0
    if subscription.filter.zones:
        return sum([count async for count in _count_zones(bus, subscription, start, end, seen)])
    whole = await _count_messages(bus, subscription, start.seq, end.seq)
    return whole - await _lines_before(bus, subscription, start) + await _lines_before(bus, subscription, end)


async def _count_messages(bus: Bus, subscription: Subscription, from_seq: int, to_seq: int) -> int:
    """All items of the messages whose subject is wanted, with from_seq ≤ sequence < to_seq."""
    property_id, wanted = subscription.property_id, subscription.filter
    if wanted.source == "sensors":
        patterns = filter_patterns(property_id, wanted)
        return sum([await bus.count_items(pattern, from_seq, to_seq) for pattern in patterns])
    # The patterns of events may overlap: what matches two of them would be counted twice.
    matches = filter_matcher(property_id, wanted)
    total = 0
    async with aclosing(bus.headers(filter_pattern(property_id, wanted), from_seq, to_seq)) as pages:
        async for page in pages:
            total += sum(message.items for message in page if matches(message.subject))
    return total


async def _count_zones(
    bus: Bus, subscription: Subscription, start: Position, end: Position, seen: Seen
) -> AsyncIterator[int]:
    """The wanted readings of each message; all of one that cannot be read, as they are parked."""
    async for message in _messages(bus, subscription, start.seq, end.seq + (1 if end.item else 0), seen):
        try:
            yield len(_before(open_message(message, start, subscription.filter.zones), end).strings)
        except (UnicodeDecodeError, msgspec.DecodeError):
            first = start.item if message.seq == start.seq else 0
            last = min(end.item, message.items) if message.seq == end.seq else message.items
            yield max(0, last - first)


async def read_span(
    bus: Bus, subscription: Subscription, start: Position, end: Position, seen: Seen = ignore_seen
) -> AsyncIterator[Piece]:
    """The wanted readings from start up to, but without, end, a message at a time in stream order. Raises BusError.

    A message that cannot be read was parked and never sent, so it is passed over.
    """
    async for message in _messages(bus, subscription, start.seq, end.seq + (1 if end.item else 0), seen):
        try:
            piece = open_message(message, start, subscription.filter.zones)
        except (UnicodeDecodeError, msgspec.DecodeError):
            continue
        yield _before(piece, end)


async def _messages(
    bus: Bus, subscription: Subscription, from_seq: int, to_seq: int, seen: Seen
) -> AsyncIterator[Message]:
    """The messages whose subject is wanted, with from_seq ≤ sequence < to_seq."""
    pattern = filter_pattern(subscription.property_id, subscription.filter)
    matches = filter_matcher(subscription.property_id, subscription.filter)
    seq = from_seq
    while seq < to_seq:
        page = await bus.read(pattern, seq, messages_max=READ_MESSAGES, bytes_max=READ_BYTES)
        for message in page.messages:
            if message.seq < to_seq and matches(message.subject):
                yield message
        if not page.messages or page.pending == 0:
            break
        seq = page.messages[-1].seq + 1
        seen(min(seq, to_seq))
    seen(to_seq)


async def _lines_before(bus: Bus, subscription: Subscription, position: Position) -> int:
    """How many lines of the very message of a position lie before it."""
    if not position.item:
        return 0
    matches = filter_matcher(subscription.property_id, subscription.filter)
    pattern = filter_pattern(subscription.property_id, subscription.filter)
    page = await bus.read(pattern, position.seq, messages_max=1, bytes_max=1)
    found = [m for m in page.messages[:1] if m.seq == position.seq and matches(m.subject)]
    return min(position.item, found[0].items) if found else 0


def _before(piece: Piece, end: Position) -> Piece:
    """The piece without what lies at or behind the position."""
    if piece.seq < end.seq:
        return piece
    take = sum(1 for number in piece.numbers if number < end.item)
    return replace(piece, numbers=piece.numbers[:take], strings=piece.strings[:take], ends=piece.ends[:take])
