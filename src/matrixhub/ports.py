"""All that the core asks of the outside world.

Each interface has one real adapter (`bus`, `store`, `deliveries.destinations`) and, for unit tests, a double in
`matrixhub.testing`. A contract suite in `tests/contract` runs on both.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from matrixhub.model.balance import Account
from matrixhub.model.database import CustomerDatabase
from matrixhub.model.delivery import Attempt, AttemptKind, ParkedItem
from matrixhub.model.ids import DatabaseId, PropertyId, SubscriptionId, WorkerId
from matrixhub.model.reading_line import KeptReading
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import Express, Filter, Lease, Position, Source, Subscription


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
    """A stored message. `items` is the number of its lines, `stored_ms` when it was stored, in epoch milliseconds."""

    seq: int
    subject: str
    data: bytes
    items: int
    origin: str = ""
    stored_ms: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Messages in stream order, and how many more match behind them; 0 is certain, another number may be too small."""

    messages: Sequence[Message]
    pending: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """The first sequence still stored and the last one; an empty stream has first = last + 1.

    `stream` tells the stream from another one of the same name, '' where that is not known.
    """

    first_seq: int
    last_seq: int
    stream: str = ""


class Bus(Protocol):
    """A durable stream: that of readings, or that of events. The lines of its messages are its items."""

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

    async def count_items(self, subject: str, from_seq: int, to_seq: int | None = None) -> int:
        """How many items the messages with from_seq ≤ sequence < to_seq hold whose subject matches. Raises BusError."""
        ...

    def headers(self, subject: str, from_seq: int, to_seq: int) -> AsyncGenerator[Sequence[Message], None]:
        """The messages with from_seq ≤ sequence < to_seq whose subject matches, in order and without their data.

        Raises BusError.
        """
        ...

    async def purge(self, before_seq: int) -> None:
        """Remove the messages with sequence < before_seq for good. Raises BusError."""
        ...


Buses = Mapping[Source, Bus]
"""The bus of each stream."""


@dataclass(frozen=True, slots=True)
class EventMessage:
    """An event on its way to the stream: its number in the outbox, its subject and its line."""

    number: int
    subject: str
    line: bytes


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """The last sequence of the stream of events, and the number of the event there; None if it is no longer kept."""

    seq: int
    number: int | None


AppendFault = Literal["", "refused", "unsure", "full"]


@dataclass(frozen=True, slots=True)
class Appended:
    """How many of some events are on disk for certain, from the first on, and what became of the next one.

    After `refused` or `unsure` only the end of the stream tells how far it goes.
    """

    stored: int
    fault: AppendFault = ""
    error: str = ""


class EventStream(Protocol):
    """The stream of events as the relay sees it, which alone writes it."""

    async def end(self) -> StreamEnd:
        """How far the stream goes. Raises BusError, or ForeignMessage if the last message has no number."""
        ...

    async def append(self, events: Sequence[EventMessage], after_seq: int) -> Appended:
        """Store the events in order as the messages next to `after_seq`, each only if the one before it is the last.

        So whatever is written late, twice, or by somebody else as well, no event can come to lie elsewhere. Nothing is
        repeated here. Raises BusError where even less is known than after `unsure`.
        """
        ...


@dataclass(frozen=True, slots=True)
class RelayProgress:
    """The event passed on last: its number, when it was recorded, and its sequence in the stream."""

    number: int
    at: datetime
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxEvent:
    """An event as it was recorded. `words` are those of its routing key."""

    number: int
    at: datetime
    property_id: PropertyId
    words: tuple[str, ...]
    line: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many events wait for the relay, and since when the oldest does."""

    events: int
    oldest_at: datetime | None


class Outbox(Protocol):
    """The events in the order of their commits, numbered without a gap, and how far the relay has come."""

    async def progress(self) -> RelayProgress:
        """What was saved last. Raises StoreError."""
        ...

    async def newest(self) -> int:
        """The number of the newest event that is committed. Raises StoreError."""
        ...

    async def unpublished(self, number: int, at: datetime, limit: int) -> Sequence[OutboxEvent]:
        """The next events behind the one of this number, recorded at `at` or later. Raises StoreError."""
        ...

    async def recorded_at(self, number: int, before: datetime) -> datetime | None:
        """When an event of that time or earlier was recorded; None if the log does not have it. Raises StoreError."""
        ...

    async def save(self, progress: RelayProgress) -> None:
        """Keep how far the relay has come; what lies before an earlier one is left out. Raises StoreError."""
        ...

    async def backlog(self, number: int, at: datetime) -> Backlog:
        """What waits behind the event of this number, recorded at `at`. Raises StoreError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """A step of a subscription that its owner wants saved; all of it is saved, once, or nothing.

    `step` is one more than that of the step before. `position` None keeps the position; `sending_to` is the end of the
    request about to be sent, `lanes_done` which parts of it are settled, `express` what is settled ahead of its turn.
    `ahead` says how many readings behind the new position are counted already; while the position stays, that follows
    from the counts. `failures`, `failing_since` and `retry_at` are as they are from now on, the other counts are added.
    `redriven` are parked readings that were delivered now, `kept`
    parked readings that were refused again, with their new reason; `redrive_done` is the wish to send parked readings
    that is fulfilled now. `replay` is the replay that begins with this step, `replayed_from` where the subscription was
    before. `pause` is why the policy pauses the subscription.
    """

    subscription: SubscriptionId
    worker: WorkerId
    fence: int
    step: int
    position: Position | None = None
    sending_to: Position | None = None
    lanes_done: int = 0
    express: Express | None = None
    ahead: int = 0
    delivered: int = 0
    skipped: int = 0
    replayed: int = 0
    attempts_failed: int = 0
    failures: int = 0
    failing_since: datetime | None = None
    retry_at: datetime | None = None
    last_error: str = ""
    attempts: tuple[Attempt, ...] = ()
    parked: tuple[ParkedItem, ...] = ()
    redriven: tuple[UUID, ...] = ()
    kept: tuple[tuple[UUID, str], ...] = ()
    redrive_done: int = 0
    replay: str = ""
    replayed_from: Position | None = None
    pause: str = ""


class Leases(Protocol):
    """Who delivers what, kept in PostgreSQL."""

    async def heartbeat(self, worker: WorkerId, lease_s: float) -> None:
        """Say that the worker lives for another lease. Raises StoreError."""
        ...

    async def claim(self, worker: WorkerId, owned: int) -> Sequence[Lease]:
        """Take over a fair share of the active subscriptions that nobody alive owns. Raises StoreError."""
        ...

    async def owned(self, worker: WorkerId, among: Collection[SubscriptionId] | None = None) -> Sequence[Lease]:
        """The active subscriptions the worker owns, all or among these, as configured now. Raises StoreError."""
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

    async def to_redrive(self, subscription: SubscriptionId, items_max: int) -> Sequence[ParkedItem]:
        """The parked readings that are to be sent again, in the order they were parked. Raises StoreError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Readings found in the stream that a subscription wants, by the filter it had, before message `to_seq`."""

    subscription: SubscriptionId
    filter: Filter
    start: Position
    to_seq: int
    items: int


class Books(Protocol):
    """What is known of every subscription's readings, kept in PostgreSQL."""

    async def fingerprint(self) -> Sequence[int]:
        """Numbers that are the same as long as nothing in the books has changed. Raises StoreError."""
        ...

    async def accounts(self, source: Source, subscription: SubscriptionId | None = None) -> Sequence[Account]:
        """The accounts of all subscriptions to a stream at one moment, or that of one, if there is one.

        Raises StoreError.
        """
        ...

    async def add_accepted(self, counts: Sequence[Counted]) -> frozenset[SubscriptionId]:
        """Add to what is accepted where the count begins at `accepted_to`; for whom that was done. Raises StoreError.

        Others were counted up by somebody else, changed their filter, or were just being written: look again.
        """
        ...

    async def raise_floor(self, source: Source, seq: int) -> None:
        """From now on nobody may begin, or go back to, before the sequence of the stream. Raises StoreError."""
        ...

    async def seize(self, subscription: SubscriptionId) -> None:
        """Take a subscription from its worker, without telling the others that it is free. Raises StoreError."""
        ...

    async def expire(
        self, account: Account, end: Position, items: int, *, express: Express | None = None, ahead: int = 0
    ) -> bool:
        """Put a subscription at `end` with so many more expired; False if its account has changed. Raises StoreError.

        `express` and `ahead` are what of it remains settled behind the end. Its worker loses it, and hears of it.
        """
        ...

    async def expire_parked(self, before: datetime) -> Mapping[SubscriptionId, int]:
        """Remove readings parked before the instant, and count them as expired. Raises StoreError."""
        ...


class Duty(Protocol):
    """Work that one process of all should do at a time. Nothing may depend on it but effort."""

    async def held(self) -> bool:
        """Whether it is this process's now; takes it if it is free. Call it every few seconds. Raises StoreError."""
        ...

    async def close(self) -> None:
        """Give it back."""
        ...


class Partitions(Protocol):
    """The partitions by time of what is kept of deliveries, and of events."""

    async def make(self, now: datetime) -> Mapping[str, int]:
        """Make those of the next days that are missing; how many rows each took over. Raises StoreError."""
        ...

    async def drop(
        self, *, attempts_before: datetime, parked_before: datetime, events_before: datetime
    ) -> Sequence[str]:
        """Drop those whose attempts are all too old, and those whose parked readings all expired; of events, those that
        are too old and were passed on. Raises StoreError.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedLine:
    """A line of the stream that is no reading the store can keep: the message, which of its lines, and why."""

    seq: int
    item: int
    subject: str
    line: bytes
    reason: str


class ReadingStore(Protocol):
    """Every reading of the stream, and up to which message of it."""

    async def begin(self, seq: int, stream: str = "") -> int:
        """The last message that is stored; where nothing ever was, everything up to `seq` of `stream` counts as stored.

        Raises StoreError.
        """
        ...

    async def stream(self) -> str:
        """Which stream the last message is of, as `Bounds` has it; '' where that is not known. Raises StoreError."""
        ...

    async def go_back(self, seq: int, stream: str = "") -> None:
        """From now on count only messages up to `seq` of `stream` as stored; what is there is not stored twice.

        Raises StoreError.
        """
        ...

    async def store(
        self, readings: Sequence[KeptReading], refused: Sequence[RefusedLine], *, after_seq: int, to_seq: int
    ) -> int | None:
        """Store what the messages behind `after_seq`, up to `to_seq`, hold; how many readings are new.

        Rows and position commit together. None, and nothing is stored, if another message than `after_seq` is the last
        one by now. Raises StoreError, or UnstorableReading if the database takes one of them not.
        """
        ...

    async def takes(self, reading: KeptReading) -> str:
        """Why the database does not take a reading, '' if it does; nothing is stored. Raises StoreError."""
        ...


class ReadingPartitions(Protocol):
    """The partitions of readings, one a day, and how long properties keep what is in them."""

    async def make(self, days: Collection[datetime]) -> Mapping[str, int]:
        """Make those of the days that are missing; how many rows each took over. Raises StoreError."""
        ...

    async def drop(self, before: datetime) -> Sequence[str]:
        """Drop those whose readings are all older, and delete what lies elsewhere and is. Raises StoreError."""
        ...

    async def retentions(self) -> Mapping[PropertyId, float]:
        """For how many seconds readings are kept, of the properties that say so themselves. Raises StoreError."""
        ...

    async def properties(self) -> Collection[PropertyId]:
        """The properties that may have readings. Raises StoreError."""
        ...

    def delete_old(self, property_id: PropertyId, before: datetime, *, rows_max: int) -> AsyncGenerator[int]:
        """Delete the readings of a property that are older, at most so many with each step; how many it were.

        Raises StoreError.
        """
        ...

    async def trusted(self) -> tuple[datetime, int] | None:
        """The time that was trusted last, and how many rounds the clock was doubted since. Raises StoreError."""
        ...

    async def save_trusted(self, at: datetime, doubts: int) -> None:
        """Remember them. Raises StoreError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RollupRound:
    """A round of rolling up: hours from `first` on and before `before` that were marked before its generation began."""

    generation: int
    first: datetime
    before: datetime


class Rollups(Protocol):
    """Numbers of readings by hour and day, made from the hours that are marked because readings came."""

    async def begin(self, before: datetime) -> RollupRound | None:
        """Begin a round for the hours before then: what comes from now on is marked anew. None where none is marked.

        Raises StoreError.
        """
        ...

    async def roll(self, found: RollupRound, hours_max: int) -> int:
        """Roll up the oldest hours of a round, and take their marks away; how many, 0 if none is left.

        Raises StoreError.
        """
        ...

    async def position(self) -> int:
        """The last message of the stream that is stored. Raises StoreError."""
        ...

    async def make_partitions(self, since: datetime, until: datetime) -> Sequence[str]:
        """Make the partitions of rollups of a time that are missing; their names. Raises StoreError."""
        ...

    async def drop(self, before: datetime) -> Sequence[str]:
        """Drop rollups of which all is older; what was dropped. Raises StoreError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A request ready to be sent; every attempt sends these very bytes and this id.

    A notice holds no readings: it goes the same way, but is no attempt of a subscription.
    """

    subscription: Subscription
    request_id: str
    body: bytes
    items: int
    content_type: str = "application/json; charset=utf-8"
    content_encoding: str = ""
    kind: AttemptKind | Literal["notice"] = "push"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A push the destination has taken, save the items it named as `failed`, by index, with its reasons.

    `answer` is the beginning of what it said, secrets hidden; `http_status` is 0 where it speaks no HTTP.
    """

    http_status: int
    seconds: float
    answer: str = ""
    failed: Mapping[int, str] = field(default_factory=dict)


class Sender(Protocol):
    """Carries a push to its destination."""

    async def send(self, push: Push) -> Sent:
        """One attempt. Raises DestinationUnreachable, DestinationRefused, EgressRefused, DatabaseUnknown or TokenFault.

        A TokenFault says that the destination was not asked, or answered 401 to a token that cannot be renewed now: it
        is not to be charged with it. ReauthorisationNeeded is one that only a person can mend.
        """
        ...


class DatabaseRecords(Protocol):
    """What is known of customers' databases."""

    async def show(self, database_id: DatabaseId, property_id: PropertyId) -> CustomerDatabase:
        """The database, if it is one of the property. Raises: NotFound, StoreError."""
        ...

    async def version(self, database_id: DatabaseId) -> int | None:
        """Which version a database is in, None where there is none. Raises: StoreError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token. `expires_at_ms` is when it is renewed, margin taken off already; epoch milliseconds.

    `refresh_token` is the one to renew it with. `version` grows with every renewal.
    """

    access_token: Secret
    expires_at_ms: int
    version: int
    refresh_token: Secret | None = None


class TokenStore(Protocol):
    """The access tokens of subscriptions, shared by all workers and kept in PostgreSQL, sealed.

    A token belongs to the authentication as it was configured when it was granted: once that is configured anew, there
    is none, and a worker that still has the configuration before it may neither renew nor save.
    """

    async def current(self, subscription: Subscription) -> Token | None:
        """The token in force, however old. Raises StoreError."""
        ...

    def renewing(self, subscription: Subscription, seen_version: int) -> AbstractAsyncContextManager[Renewal]:
        """The right to renew the token of the version seen (0: none), held by one caller among all workers.

        Whoever does not get it waits until another has renewed, which is told with `mine` False, or until the right is
        free, because its holder has given it back or has not been heard of for as long as a renewal may take.
        Raises StoreError, or LeaseLost if the authentication was configured anew or the subscription is gone.
        """
        ...


class Renewal(Protocol):
    """The right to renew one token, or what another has made of it."""

    token: Token | None
    """The token as it is now."""

    mine: bool
    """Whether the right is held; else `token` is newer than the one seen."""

    lapsed: bool
    """Whether the right was taken from a holder who did not give it back, and who may have renewed without saving."""

    async def save(self, access_token: Secret, expires_at_ms: int, refresh_token: Secret | None) -> Token:
        """Keep a new token, before it is used; the right is given back with it.

        It may be saved even after the right has lapsed, as long as nobody else has saved one: what a token server has
        granted must not be lost. Raises StoreError, or LeaseLost if another has saved one.
        """
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
