"""All that the core asks of the outside world.

Each interface has one real adapter (`bus`, `store`, `deliveries.destinations`) and, for unit tests, a double in
`matrixhub.testing`. A contract suite in `tests/contract` runs on both.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from matrixhub.model.ids import SubscriptionId, WorkerId
from matrixhub.model.subscription import HttpsDestination, Lease, Position


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish: NDJSON lines of one subject. The same `id` within the duplicate window is stored once."""

    subject: str
    data: bytes
    items: int
    id: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Message:
    """A stored message. `items` is the number of its lines."""

    seq: int
    subject: str
    data: bytes
    items: int
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Messages in stream order, and how many more match behind them; 0 is certain, another number may be too small."""

    messages: Sequence[Message]
    pending: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """The first sequence still stored and the last one; an empty stream has first = last + 1."""

    first_seq: int
    last_seq: int


class Bus(Protocol):
    """The durable stream of readings."""

    async def publish(self, messages: Sequence[Outgoing]) -> Sequence[BaseException | None]:
        """Store the messages in this order; one answer each: None when on disk, else why not.

        An answer that does not come is asked for again with the same id until the bus's write limit has passed.
        """
        ...

    async def read(self, subject: str, from_seq: int, *, messages_max: int, bytes_max: int) -> Page:
        """The next messages with sequence ≥ from_seq whose subject matches the pattern (`*`, `>`).

        At least one message is returned if there is one, however large. Raises BusError.
        """
        ...

    def follow(self, from_seq: int) -> AsyncIterator[Sequence[Message]]:
        """Every message of the stream with sequence ≥ from_seq, in order, without a gap, as they come; never ends.

        An engine that goes away is waited for; the iterator goes on behind the last message it gave.
        """
        ...

    async def bounds(self) -> Bounds:
        """Which sequences are stored now. Raises BusError."""
        ...

    async def first_seq_since(self, instant_ms: int) -> int:
        """The sequence of the first message stored at or after the instant, or last + 1. Raises BusError."""
        ...

    async def count_items(self, subject: str, from_seq: int) -> int:
        """How many items the messages with sequence ≥ from_seq hold whose subject matches. Raises BusError."""
        ...


@dataclass(frozen=True, slots=True)
class Advance:
    """A step of a subscription that its owner wants saved.

    `position` None keeps the position (a plan only); `sending_to` is the end of the request about to be sent.
    """

    subscription: SubscriptionId
    worker: WorkerId
    fence: int
    position: Position | None
    sending_to: Position | None
    delivered: int = 0
    attempts_failed: int = 0
    last_error: str = ""


class Leases(Protocol):
    """Who delivers what, kept in PostgreSQL."""

    async def heartbeat(self, worker: WorkerId, lease_s: float) -> None:
        """Say that the worker lives for another lease. Raises StoreError."""
        ...

    async def claim(self, worker: WorkerId, owned: int) -> Sequence[Lease]:
        """Take over a fair share of the active subscriptions that nobody alive owns. Raises StoreError."""
        ...

    async def owned(self, worker: WorkerId) -> Sequence[Lease]:
        """The active subscriptions the worker owns, as they are configured now. Raises StoreError."""
        ...

    async def fair_share(self) -> int:
        """How many subscriptions a worker should own at most, given those alive. Raises StoreError."""
        ...

    async def release(self, worker: WorkerId, subscriptions: Sequence[SubscriptionId]) -> None:
        """Give subscriptions back, so that another worker may claim them at once. Raises StoreError."""
        ...

    async def retire(self, worker: WorkerId) -> None:
        """Give everything back and be forgotten. Raises StoreError."""
        ...

    async def advance(self, steps: Sequence[Advance]) -> frozenset[SubscriptionId]:
        """Save the steps in one transaction; the subscriptions whose fence still held. Raises StoreError.

        A subscription has at most one step in it. Saving a step again, because its answer was lost, counts it once.
        """
        ...


@dataclass(frozen=True, slots=True)
class Push:
    """A request ready to be sent; every attempt sends these very bytes and this id.

    `property_id` is whose it is, for the advice in an error.
    """

    destination: HttpsDestination
    request_id: str
    body: bytes
    property_id: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """A push the destination has taken."""

    http_status: int
    seconds: float


class Sender(Protocol):
    """Carries a push to its destination."""

    async def send(self, push: Push) -> Sent:
        """One attempt. Raises DestinationUnreachable, DestinationRefused or EgressRefused."""
        ...


class Clock(Protocol):
    """Time, so that tests can own it."""

    def now_ms(self) -> int:
        """The instant, in epoch milliseconds."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never steps."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    async def wait(self, event: asyncio.Event, timeout_s: float) -> bool:
        """Wait for the event for at most so long; whether it is set."""
        ...
