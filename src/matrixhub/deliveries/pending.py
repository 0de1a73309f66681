"""How many readings wait for a subscription, counted from the stream itself."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from matrixhub.bus.subjects import filter_matcher, filter_patterns
from matrixhub.deliveries.plan import open_message
from matrixhub.model.subscription import Position, Subscription
from matrixhub.ports import Bus, Message

READ_MESSAGES = 500
READ_BYTES = 4 * 1024 * 1024


async def count_pending(bus: Bus, subscription: Subscription, position: Position) -> int:
    """The readings of the subscription from the position on. Raises BusError.

    Without zones the headers of the messages say it; zones are inside the messages, so each is looked into, and a long
    backlog takes a while.
    """
    return await count_between(bus, subscription, position, None)


async def count_between(bus: Bus, subscription: Subscription, start: Position, end: Position | None) -> int:
    """The readings of the subscription from one position to before the other. Raises BusError."""
    if end is not None and start >= end:
        return 0
    count = _count_by_reading if subscription.filter.zones else _count_by_header
    total = await count(bus, subscription, start, end.seq if end else None)
    if end is not None and end.item:
        total += await _count_within(bus, subscription, start, end)
    return total


async def _count_by_header(bus: Bus, subscription: Subscription, start: Position, to_seq: int | None) -> int:
    patterns = filter_patterns(subscription.property_id, subscription.filter)
    total = sum([await bus.count_items(pattern, start.seq, to_seq) for pattern in patterns])
    if start.item and (to_seq is None or start.seq < to_seq):
        # What lies before the position in its message, if that is one of them.
        total -= await _count_within(bus, subscription, Position(seq=start.seq), start)
    return total


async def _count_by_reading(bus: Bus, subscription: Subscription, start: Position, to_seq: int | None) -> int:
    matches = filter_matcher(subscription.property_id, subscription.filter)
    total = 0
    for pattern in filter_patterns(subscription.property_id, subscription.filter):
        seq = start.seq
        while to_seq is None or seq < to_seq:
            page = await bus.read(pattern, seq, messages_max=READ_MESSAGES, bytes_max=READ_BYTES)
            for message in page.messages:
                if matches(message.subject) and (to_seq is None or message.seq < to_seq):
                    total += len(_numbers(message, start, subscription))
            if not page.messages or page.pending == 0:
                break
            seq = page.messages[-1].seq + 1
    return total


async def _count_within(bus: Bus, subscription: Subscription, start: Position, end: Position) -> int:
    """The readings of the message that a position lies in, before it, from the start on."""
    matches = filter_matcher(subscription.property_id, subscription.filter)
    for pattern in filter_patterns(subscription.property_id, subscription.filter):
        page = await bus.read(pattern, end.seq, messages_max=1, bytes_max=1)
        for message in page.messages:
            if message.seq == end.seq and matches(message.subject):
                return sum(1 for number in _numbers(message, start, subscription) if number < end.item)
    return 0


def _numbers(message: Message, start: Position, subscription: Subscription) -> Sequence[int]:
    """The places of the wanted readings of a message; all where they cannot be read, as all are parked then."""
    try:
        return open_message(message, start, subscription.filter.zones).numbers
    except (UnicodeDecodeError, msgspec.DecodeError):
        return range(start.item if start.seq == message.seq else 0, message.items)
