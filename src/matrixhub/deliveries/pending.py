"""How many readings wait for a subscription, counted from the stream itself."""

from __future__ import annotations

from matrixhub.bus.subjects import filter_matcher, filter_patterns
from matrixhub.deliveries.plan import open_message
from matrixhub.model.subscription import Position, Subscription
from matrixhub.ports import Bus

READ_MESSAGES = 500
READ_BYTES = 4 * 1024 * 1024


async def count_pending(bus: Bus, subscription: Subscription, position: Position) -> int:
    """The readings of the subscription from the position on. Raises BusError.

    Without zones the headers of the messages say it; zones are inside the messages, so each is looked into, and a long
    backlog takes a while.
    """
    if subscription.filter.zones:
        return await _count_by_reading(bus, subscription, position)
    patterns = filter_patterns(subscription.property_id, subscription.filter)
    waiting = sum([await bus.count_items(pattern, position.seq) for pattern in patterns])
    return max(0, waiting - position.item)


async def _count_by_reading(bus: Bus, subscription: Subscription, position: Position) -> int:
    matches = filter_matcher(subscription.property_id, subscription.filter)
    total = 0
    for pattern in filter_patterns(subscription.property_id, subscription.filter):
        seq = position.seq
        while True:
            page = await bus.read(pattern, seq, messages_max=READ_MESSAGES, bytes_max=READ_BYTES)
            for message in page.messages:
                if matches(message.subject):
                    total += len(open_message(message, position, subscription.filter.zones).strings)
            if not page.messages or page.pending == 0:
                break
            seq = page.messages[-1].seq + 1
    return total
