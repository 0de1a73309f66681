"""What is set aside, because its destination refuses it, it has failed for too long, or it cannot be read."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from matrixhub.deliveries.carriage.identity import Identity
from matrixhub.deliveries.carriage.outcome import Settled
from matrixhub.deliveries.carriage.schedule import instant
from matrixhub.deliveries.plan import Batch, Condemned, Span
from matrixhub.model.delivery import ParkedItem, time_ordered_id
from matrixhub.model.ids import SubscriptionId
from matrixhub.model.subscription import Position
from matrixhub.observe import Observe, Parked
from matrixhub.ports import Clock, Message

_ERROR_KEPT_MAX = 500


class Aside:
    """Makes parked readings of a subscription, and says so; they are saved with the step that passes them."""

    __slots__ = ("_clock", "_identity", "_observe", "_subscription")

    def __init__(self, subscription: SubscriptionId, identity: Identity, clock: Clock, observe: Observe) -> None:
        self._subscription = subscription
        self._identity = identity
        self._clock = clock
        self._observe = observe

    def condemn(self, condemned: Condemned, *, again: bool = False) -> Settled:
        """The reading that was refused; `again` where it was set aside before."""
        return self._park(condemned.batch, "refused", condemned.reason, condemned.http_status, again=again)

    def give_up(self, batch: Batch, last_error: str) -> Settled:
        """The readings that have failed for too long."""
        return self._park(batch, "given_up", f"given up: {last_error}")

    def unreadable(self, found: Sequence[tuple[Message, int]]) -> tuple[ParkedItem, ...]:
        """The messages, from a line on, that could not be read."""
        parked: tuple[ParkedItem, ...] = ()
        for message, first in found:
            string = escaped(message.data.decode("utf-8", "replace"))
            span = Span(message.seq, range(first, message.items))
            start, end = Position(seq=message.seq, item=first), Position(seq=message.seq + 1)
            batch = Batch([string] * len(span.numbers), [span], start, end)
            parked += self._park(batch, "unreadable", "the stored message is not what the hub writes").parked
        return parked

    def _park(self, batch: Batch, code: str, reason: str, http_status: int = 0, *, again: bool = False) -> Settled:
        at = instant(self._clock)
        parked = tuple(
            ParkedItem(
                id=time_ordered_id(self._clock.now_ms()),
                subscription_id=self._subscription,
                parked_at=at,
                place=place,
                line=unescaped(string).replace("\x00", "\ufffd"),
                code=code,
                reason=storable(reason),
                http_status=http_status,
                request_id=self._identity.of(batch),
            )
            for string, place in zip(batch.strings, batch.places(), strict=True)
        )
        if not again:
            self._observe(
                Parked(subscription=self._subscription, items=len(parked), code=code, reason=storable(reason))
            )
        return Settled(parked=parked)


def escaped(line: str) -> bytes:
    """A text as it stands between the quotes of a JSON string."""
    return msgspec.json.encode(line)[1:-1]


def unescaped(string: bytes) -> str:
    """The text of what stands between the quotes of a JSON string."""
    return msgspec.json.decode(b'"' + string + b'"', type=str)


def storable(text: str) -> str:
    """What a peer said, as far as it is kept: PostgreSQL takes no NUL, and nothing that is not Unicode.

    >>> storable("a\\x00b\\ud800")
    'a\ufffdb?'
    """
    return text[:_ERROR_KEPT_MAX].replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
