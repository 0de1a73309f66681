"""Everything the hub can report, as one list of facts; logs and metrics are made from it.

Code states what happened: `observe(DeliveryFailed(…))`. Here, and only here, is decided what becomes a log line, a
metric or both. Tests look at the facts, not at the text of the log.
"""

from __future__ import annotations

import logging
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, TypeVar

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from matrixhub.model.subscription import SOURCES

disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each counter that nobody asked for

_LEVELS = ("debug", "info", "warning", "error")

Level = Literal["debug", "info", "warning", "error", ""]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """Something that happened. `level` is that of its log line; facts without one are only counted."""

    level: ClassVar[Level] = "info"


@dataclass(frozen=True, kw_only=True, slots=True)
class HubStarted(Fact):
    """The hub is ready to work."""

    version: str
    roles: str
    url: str
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class HubStopping(Fact):
    """The hub was asked to end."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StopCutShort(Fact):
    """Not everything under way ended within the grace; it comes back at the next start."""

    level: ClassVar[Level] = "warning"
    grace_s: float
    stages: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CloseCutShort(Fact):
    """A resource did not close in time, and was left to itself; nothing is lost by it."""

    level: ClassVar[Level] = "warning"
    resource: str
    where: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StopHangs(Fact):
    """The hub does not come to its end; in a moment it ends all the same, and its engines with it."""

    level: ClassVar[Level] = "error"
    tasks: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StageStopped(Fact):
    """A stage of the hub ended with an error; the hub ends with it."""

    level: ClassVar[Level] = "error"
    stage: str
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineStarted(Fact):
    """An embedded engine answers."""

    engine: str
    port: int
    pid: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineDied(Fact):
    """An embedded engine ended by itself; it is started again."""

    level: ClassVar[Level] = "error"
    engine: str
    exit_code: int
    restart_in_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineStuck(Fact):
    """An embedded engine runs but has stopped working for good; it is ended, to be started again."""

    level: ClassVar[Level] = "error"
    engine: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineStartFailed(Fact):
    """An embedded engine that had died could not be started again yet."""

    level: ClassVar[Level] = "error"
    engine: str
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineStopped(Fact):
    """An embedded engine was stopped."""

    engine: str
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CertificateRenewed(Fact):
    """An embedded engine has another certificate, for connections from now on."""

    engine: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CertificateNotRenewed(Fact):
    """The certificate of an embedded engine ends soon and could not be renewed; it is tried again in an hour."""

    level: ClassVar[Level] = "error"
    engine: str
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineLeftover(Fact):
    """An engine that a killed hub had left behind was ended before the start."""

    level: ClassVar[Level] = "warning"
    engine: str
    pid: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MigrationsApplied(Fact):
    """The database has the schema of this version."""

    names: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BusDisconnected(Fact):
    """The connection to NATS broke; it is made again."""

    level: ClassVar[Level] = "warning"


@dataclass(frozen=True, kw_only=True, slots=True)
class BusReconnected(Fact):
    """The connection to NATS is back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishRepeated(Fact):
    """The stream did not answer in time; the same messages are sent again under the same ids."""

    level: ClassVar[Level] = "warning"
    messages: int
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotsLoaded(Fact):
    """Ingest knows the device slots as they are now."""

    level: ClassVar[Level] = "debug"
    slots: int
    keys: int


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowRebuilt(Fact):
    """The deduplication window was read back from the stream."""

    readings: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestIngested(Fact):
    """A request with readings was answered."""

    level: ClassVar[Level] = ""
    status: int
    accepted: int
    repeated: int
    refused: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestServed(Fact):
    """A request to the REST face was answered; `route` is its pattern, empty for a path that is none."""

    level: ClassVar[Level] = "debug"
    method: str
    route: str
    status: int
    request_id: str
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionServed(Fact):
    """An operation of Matrix Web Services was answered; `operation` is empty for one that is none."""

    level: ClassVar[Level] = "debug"
    operation: str
    status: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderKeysRead(Fact):
    """The keys of an identity provider were read."""

    application: str
    keys: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderKeysFailed(Fact):
    """The keys of an identity provider could not be read; `stale` is 1 where those of before are used on."""

    level: ClassVar[Level] = "warning"
    application: str
    error: str
    stale: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestFailed(Fact):
    """A request could not be answered for a fault of ours; `at` is where in the code."""

    level: ClassVar[Level] = "error"
    route: str
    request_id: str
    error: str
    at: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingRefused(Fact):
    """A reading was refused."""

    level: ClassVar[Level] = "debug"
    code: str
    devid: str
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MessagesStored(Fact):
    """A round of messages is on disk in the stream."""

    level: ClassVar[Level] = ""
    messages: int
    items: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseTaken(Fact):
    """This worker delivers the subscription from now on."""

    subscription: str
    fence: int
    position_seq: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseEnded(Fact):
    """This worker no longer delivers the subscription."""

    subscription: str
    fence: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerCut(Fact):
    """The worker could not renew its leases in time and stopped delivering."""

    level: ClassVar[Level] = "error"
    worker: str
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered(Fact):
    """A push was taken by its destination."""

    level: ClassVar[Level] = "debug"
    subscription: str
    request_id: str
    items: int
    size_bytes: int
    http_status: int
    attempt: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryFailed(Fact):
    """A push was not taken; it is kept and sent again."""

    level: ClassVar[Level] = "warning"
    subscription: str
    request_id: str
    items: int
    attempt: int
    code: str
    error: str
    retry_in_s: float
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Parked(Fact):
    """Readings were set aside: refused by their destination, or given up after a long time."""

    level: ClassVar[Level] = "warning"
    subscription: str
    items: int
    code: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SubscriptionSuspended(Fact):
    """The policy paused a subscription; everything is kept."""

    level: ClassVar[Level] = "error"
    subscription: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayBegun(Fact):
    """A subscription went back and delivers readings again."""

    subscription: str
    replay: str
    position_seq: int
    items: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageUnreadable(Fact):
    """A stored message is not what the hub writes; its content is parked."""

    level: ClassVar[Level] = "error"
    subject: str
    seq: int
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PositionsSaved(Fact):
    """A group of positions was committed."""

    level: ClassVar[Level] = ""
    subscriptions: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class NoticeSent(Fact):
    """A notice about a subscription was taken by its channel."""

    notice: str
    subscription: str
    kind: str
    http_status: int
    attempt: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class NoticeFailed(Fact):
    """A notice about a subscription was not taken by its channel; it is sent again."""

    level: ClassVar[Level] = "warning"
    notice: str
    subscription: str
    kind: str
    attempt: int
    code: str
    error: str
    retry_in_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class NoticeGivenUp(Fact):
    """A notice about a subscription could not be sent and is not tried again."""

    level: ClassVar[Level] = "error"
    notice: str
    subscription: str
    kind: str
    attempt: int
    code: str
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreFailed(Fact):
    """PostgreSQL did not answer; the step is tried again."""

    level: ClassVar[Level] = "warning"
    step: str
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SubscriptionsOwned(Fact):
    """How many subscriptions this worker delivers, and how many stream messages wait in front of them."""

    level: ClassVar[Level] = ""
    owned: int
    behind: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BalanceMeasured(Fact):
    """The balance of a subscription, or of all to the same stream (''), as the auditor has just taken it."""

    level: ClassVar[Level] = ""
    source: str = "sensors"
    subscription: str
    accepted: int
    delivered: int
    pending: int
    parked: int
    expired: int
    skipped: int
    difference: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BalanceBroken(Fact):
    """So many readings were accepted for a subscription of which nothing is known, or, below 0, the other way round."""

    level: ClassVar[Level] = "error"
    subscription: str
    difference: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BalanceRestored(Fact):
    """The balance of a subscription holds again."""

    subscription: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BalancesForgotten(Fact):
    """The subscription is no more, or ('') another process keeps the books of the stream now."""

    level: ClassVar[Level] = "debug"
    subscription: str = ""
    source: str = "sensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingsExpired(Fact):
    """Readings went the way of the written policy: they were too old, and nobody had taken them."""

    level: ClassVar[Level] = "warning"
    subscription: str
    items: int
    where: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamPurged(Fact):
    """Messages that are too old, and that nobody waits for any more, were removed from a stream."""

    messages: int
    first_seq: int
    source: str = "sensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class PartitionsKept(Fact):
    """Partitions were made ahead, or dropped because all in them is too old."""

    made: str
    dropped: str
    rows_moved: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ReaderStopped(Fact):
    """A query or session of a customer's reader took longer than it may, or more memory, and was ended."""

    level: ClassVar[Level] = "warning"
    database: str
    how: str
    state: str
    seconds: float
    memory_mib: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadersUnrestrained(Fact):
    """Queries of customers share processor and memory with the hub as equals, for they cannot be held back."""

    level: ClassVar[Level] = "warning"
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseKept(Fact):
    """Partitions of a customer's database were made or dropped, or rows that are too old deleted."""

    database: str
    made: str
    dropped: str
    deleted: int
    waiting: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EventsRelayed(Fact):
    """Events were passed on to the stream."""

    level: ClassVar[Level] = ""
    events: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RelayWaits(Fact):
    """Events cannot be passed on for now; they wait in the database, and nothing is lost."""

    level: ClassVar[Level] = "warning"
    code: str
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RelayStuck(Fact):
    """Events are not passed on, because database and stream contradict each other; a person has to look."""

    level: ClassVar[Level] = "error"
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RelayGoesOn(Fact):
    """Events are passed on again."""

    number: int
    seq: int


@dataclass(frozen=True, kw_only=True, slots=True)
class EventStreamLost(Fact):
    """The stream of events has lost messages; `action` says how the relay goes on."""

    level: ClassVar[Level] = "error"
    number: int
    seq: int
    action: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EventsWaiting(Fact):
    """How many events wait for the relay, and how long the oldest has."""

    level: ClassVar[Level] = ""
    events: int
    oldest_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TimerFired(Fact):
    """A timer did what it is for, so long after it was due."""

    level: ClassVar[Level] = ""
    kind: str
    lag_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TimerFailed(Fact):
    """What a timer is for failed; nothing of it has happened, and it is tried again."""

    level: ClassVar[Level] = "warning"
    kind: str
    entity: str
    failures: int
    error: str
    retry_in_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TimerForgotten(Fact):
    """A timer was taken away, as what it is for is gone."""

    kind: str
    entity: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CredentialsWrong(Fact):
    """Credentials were wrong."""

    level: ClassVar[Level] = "debug"
    scheme: str
    address: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CredentialsSlowed(Fact):
    """There were too many wrong credentials: for a while, none are looked at from the address, or for the key."""

    level: ClassVar[Level] = "warning"
    address: str
    key: str
    wait_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RateLimited(Fact):
    """Somebody asked more often than it may."""

    level: ClassVar[Level] = "debug"
    who: str


@dataclass(frozen=True, kw_only=True, slots=True)
class UnsignedAllowed(Fact):
    """Whoever asks from this machine may do everything, and proves nothing: for development only."""

    level: ClassVar[Level] = "warning"
    setting: str = "http.dangerously_allow_unsigned"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingsStored(Fact):
    """Readings of the stream are in the table of past data; `repeated` were there already, and `expired` are older than
    their property keeps readings, so they are not stored."""

    level: ClassVar[Level] = ""
    messages: int
    readings: int
    repeated: int
    seconds: float
    expired: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingsDeleted(Fact):
    """Readings were deleted because they are older than their properties keep them."""

    properties: int
    readings: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockDoubted(Fact):
    """The clock is far ahead of the time it showed before; no reading is dropped by it unless it stays there."""

    level: ClassVar[Level] = "warning"
    now: str
    trusted: str
    rounds_left: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingsUnstorable(Fact):
    """Lines of a message are no readings that the store can keep; they are set aside, and the rest is stored."""

    level: ClassVar[Level] = "error"
    seq: int
    subject: str
    readings: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreWaits(Fact):
    """Readings cannot be stored for past data for now; they wait in the stream, and nothing is lost."""

    level: ClassVar[Level] = "warning"
    code: str
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreGoesOn(Fact):
    """Readings are stored for past data again."""

    seq: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreComesHome(Fact):
    """The process beside that kept past data has ended; the hub does it itself from now on, and stores as before."""

    level: ClassVar[Level] = "warning"


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreMissed(Fact):
    """The stream has lost messages that were not stored, or is another one; `action` says how the store goes on."""

    level: ClassVar[Level] = "error"
    seq: int
    first_seq: int
    last_seq: int
    action: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreMeasured(Fact):
    """How many messages the store is behind the stream, and since when the last one it stored was in it."""

    level: ClassVar[Level] = ""
    behind: int
    lag_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillBegun(Fact):
    """Past data is copied into a customer's database from now on, some `items` of it."""

    backfill: str
    database: str
    source: str
    items: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillCopied(Fact):
    """Some past data is in a customer's database; `present` was there already, `refused` cannot be there."""

    level: ClassVar[Level] = ""
    backfill: str
    written: int
    present: int
    refused: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class HoursRolledUp(Fact):
    """Hours of readings, one for each origin, were rolled up."""

    level: ClassVar[Level] = "debug"
    hours: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillRefused(Fact):
    """Some past data is nothing that PostgreSQL can keep; it is left out of the customer's database."""

    level: ClassVar[Level] = "warning"
    backfill: str
    items: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillWaits(Fact):
    """A customer's database does not take past data for now; it is tried again, and nothing is lost."""

    level: ClassVar[Level] = "warning"
    backfill: str
    code: str
    error: str
    retry_in_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillDone(Fact):
    """All past data that was asked for is in the customer's database."""

    backfill: str
    written: int
    present: int
    refused: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillFailed(Fact):
    """Past data is copied no more, because trying again cannot help."""

    level: ClassVar[Level] = "error"
    backfill: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RollupsDropped(Fact):
    """Rollups were dropped because all in them is too old."""

    partitions: str


Observe = Callable[[Fact], None]


def ignore(_fact: Fact) -> None:
    """An observer for those who do not want to know."""


_BALANCE_PARTS = {
    "accepted": "What subscriptions want, each time it is asked for: readings or events, by source.",
    "delivered": "Of those, taken by their destination.",
    "pending": "Of those, waiting in the stream.",
    "parked": "Of those, set aside with a reason.",
    "expired": "Of those, gone by the written policy.",
    "skipped": "Of those, passed over for a newer one, where the order says so.",
    "difference": "Of those, not accounted for: 0, or the balance is broken.",
}
"""The balance as the process that keeps the books sees it; 0 in all others, so that a sum over processes is right."""


class Metrics:
    """The Prometheus side: each process has one, given to `Reporter` and rendered at `/metrics`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        seconds = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.015, 0.03, 0.1, 0.3, 1, 3, 10, 30)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"matrixhub_{name}", text, labels, registry=self.registry)

        def histogram(name: str, text: str) -> Histogram:
            return Histogram(f"matrixhub_{name}_seconds", text, buckets=seconds, registry=self.registry)

        self.requests = counter("ingest_requests", "Requests with readings, by answer.", "status")
        self.accepted = counter("readings_accepted", "Readings on disk in the stream.")
        self.repeated = counter("readings_repeated", "Readings that were there already and are stored once.")
        self.refused = counter("readings_refused", "Readings refused, by code.", "code")
        self.ingest_time = histogram("ingest_request", "From request to answer.")
        self.served = counter(
            "rest_requests", "Requests to the REST face, by route and answer.", "method", "route", "status"
        )
        self.serve_time = histogram("rest_request", "From request to the end of its answer.")
        self.actions = counter("actions", "Operations that were called, by name and answer.", "operation", "status")
        self.action_time = histogram("action", "From an operation's request to the end of its answer.")
        self.wrong = counter("credentials_wrong", "Requests with wrong credentials, by scheme.", "scheme")
        self.slowed = counter("credentials_slowed", "Times that no credentials were looked at any more, for a while.")
        self.limited = counter("requests_limited", "Requests that were more than their key may make.")
        self.provider_keys = counter("provider_keys_reads", "Reads of keys of identity providers, by result.", "result")
        self.messages = counter("stream_messages_stored", "Messages stored in the stream.")
        self.store_time = histogram("stream_write", "From write to acknowledgement by the stream.")
        self.delivered = counter("readings_delivered", "Readings and events taken by destinations.")
        self.delivered_bytes = counter("delivered_bytes", "Bytes of bodies taken by destinations.")
        self.attempts = counter("delivery_attempts", "Pushes sent, by result.", "result")
        self.attempt_time = histogram("delivery_attempt", "From the start of an attempt to its end.")
        self.parked = counter("readings_parked", "Readings and events set aside, by code.", "code")
        self.positions = counter("positions_saved", "Positions of subscriptions saved.")
        self.positions_time = histogram("positions_commit", "One group commit of positions.")
        self.engine_deaths = counter("engine_deaths", "Times an embedded engine ended by itself.", "engine")
        self.store_failures = counter("store_failures", "Steps that PostgreSQL did not answer, by step.", "step")
        self.publish_repeats = counter("publish_repeats", "Rounds of messages sent to the stream again.")
        self.disconnects = counter("bus_disconnects", "Times the connection to NATS broke.")
        self.notices = counter("notices", "Attempts to send notices, by result.", "result")
        self.owned = Gauge(
            "matrixhub_subscriptions_owned", "Subscriptions this worker delivers.", registry=self.registry
        )
        self.behind = Gauge(
            "matrixhub_subscriptions_behind", "Of those, how many read a backlog.", registry=self.registry
        )

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"matrixhub_{name}", text, labels, registry=self.registry)

        self.balance = {part: gauge(f"balance_{part}", text, "source") for part, text in _BALANCE_PARTS.items()}
        for source in SOURCES:
            self.set_balance(source, dict.fromkeys(_BALANCE_PARTS, 0))
        self.balances_of: defaultdict[str, set[str]] = defaultdict(set)
        self.subscription_balance = {
            part: gauge(f"subscription_balance_{part}", text, "subscription") for part, text in _BALANCE_PARTS.items()
        }
        self.broken = counter("balances_broken", "Times the balance of a subscription was found off.")
        self.expired = counter("readings_expired", "Readings and events that expired by policy.")
        self.purged = counter("stream_messages_purged", "Messages that retention has removed.")
        self.relayed = counter("events_relayed", "Events passed on to the stream.")
        self.relay_waits = counter("relay_waits", "Times events could not be passed on, by code.", "code")
        self.relay_stuck = counter("relay_stuck", "Times the relay stopped because of a contradiction.")
        self.events_waiting = gauge("events_waiting", "Events that wait for the relay, where it runs.")
        self.events_waiting_s = gauge("events_waiting_seconds", "How long the oldest of them has waited.")
        self.timers = counter("timers", "Timers that were due, by kind and result.", "kind", "result")
        self.kept = counter("readings_stored", "Readings put into the table of past data.")
        self.kept_before = counter("readings_stored_before", "Readings of the stream that were in that table already.")
        self.kept_not = counter("readings_not_stored", "Readings of the stream older than their property keeps them.")
        self.kept_deleted = counter("readings_stored_deleted", "Readings deleted by a retention of their property.")
        self.clock_doubted = counter("store_clock_doubted", "Rounds in which the clock was too far ahead.")
        self.unstorable = counter("readings_unstorable", "Lines of the stream that are no readings to be stored.")
        self.keep_time = histogram("readings_store", "One batch of readings, from the stream to its commit.")
        self.store_waits = counter("store_waits", "Times readings could not be stored, by code.", "code")
        self.store_missed = counter("store_missed", "Times the stream no longer had what was not stored.")
        self.store_behind = gauge("store_behind", "Messages that wait to be stored, where the store runs.")
        self.store_lag = gauge("store_lag_seconds", "How old the stream's oldest message is that waits to be stored.")
        self.backfilled = counter("backfill_items", "Past data for customers' databases, by result.", "result")
        self.backfill_time = histogram("backfill_chunk", "From reading a chunk of past data to the end of its commit.")
        self.backfill_waits = counter("backfill_waits", "Times a database did not take past data, by code.", "code")
        self.backfills_ended = counter("backfills_ended", "Backfills that are over, by result.", "result")
        self.rolled_up = counter("hours_rolled_up", "Hours of readings that were rolled up, one for each origin.")
        self.timer_lag = histogram("timer_lag", "From when a timer was due to the end of what it did.")

    def render(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self.registry)

    def count(self, fact: Fact) -> None:
        """Let the fact show in the metrics it concerns."""
        counted = _COUNTED.get(type(fact))
        if counted is not None:
            counted(self, fact)

    def set_balance(self, source: str, values: Mapping[str, int]) -> None:
        """The balance of a source."""
        for part, value in values.items():
            self.balance[part].labels(source).set(value)

    def forget_balances(self, subscriptions: set[str], source: str) -> None:
        """Show the balances of these subscriptions no more."""
        for subscription in subscriptions & self.balances_of[source]:
            self.balances_of[source].discard(subscription)
            for gauge in self.subscription_balance.values():
                gauge.remove(subscription)


_COUNTED: dict[type[Fact], Callable[[Metrics, Any], None]] = {}
"""What each kind of fact does to the metrics; of the others nothing is counted."""

_F = TypeVar("_F", bound=Fact)


def _counts(kind: type[_F]) -> Callable[[Callable[[Metrics, _F], None]], Callable[[Metrics, _F], None]]:
    def register(counted: Callable[[Metrics, _F], None]) -> Callable[[Metrics, _F], None]:
        _COUNTED[kind] = counted
        return counted

    return register


@_counts(RequestIngested)
def _request_ingested(metrics: Metrics, fact: RequestIngested) -> None:
    metrics.requests.labels(str(fact.status)).inc()
    metrics.accepted.inc(fact.accepted)
    metrics.repeated.inc(fact.repeated)
    metrics.ingest_time.observe(fact.seconds)


@_counts(RequestServed)
def _request_served(metrics: Metrics, fact: RequestServed) -> None:
    metrics.served.labels(fact.method, fact.route, str(fact.status)).inc()
    metrics.serve_time.observe(fact.seconds)


@_counts(ActionServed)
def _action_served(metrics: Metrics, fact: ActionServed) -> None:
    metrics.actions.labels(fact.operation, str(fact.status)).inc()
    metrics.action_time.observe(fact.seconds)


@_counts(CredentialsWrong)
def _credentials_wrong(metrics: Metrics, fact: CredentialsWrong) -> None:
    metrics.wrong.labels(fact.scheme).inc()


@_counts(CredentialsSlowed)
def _credentials_slowed(metrics: Metrics, fact: CredentialsSlowed) -> None:
    metrics.slowed.inc()


@_counts(RateLimited)
def _rate_limited(metrics: Metrics, fact: RateLimited) -> None:
    metrics.limited.inc()


@_counts(ProviderKeysRead)
def _provider_keys_read(metrics: Metrics, fact: ProviderKeysRead) -> None:
    metrics.provider_keys.labels("read").inc()


@_counts(ProviderKeysFailed)
def _provider_keys_failed(metrics: Metrics, fact: ProviderKeysFailed) -> None:
    metrics.provider_keys.labels("failed").inc()


@_counts(ReadingRefused)
def _reading_refused(metrics: Metrics, fact: ReadingRefused) -> None:
    metrics.refused.labels(fact.code).inc()


@_counts(MessagesStored)
def _messages_stored(metrics: Metrics, fact: MessagesStored) -> None:
    metrics.messages.inc(fact.messages)
    metrics.store_time.observe(fact.seconds)


@_counts(Delivered)
def _delivered(metrics: Metrics, fact: Delivered) -> None:
    metrics.delivered.inc(fact.items)
    metrics.delivered_bytes.inc(fact.size_bytes)
    metrics.attempts.labels("delivered").inc()
    metrics.attempt_time.observe(fact.seconds)


@_counts(DeliveryFailed)
def _delivery_failed(metrics: Metrics, fact: DeliveryFailed) -> None:
    metrics.attempts.labels("failed").inc()
    metrics.attempt_time.observe(fact.seconds)


@_counts(Parked)
def _parked(metrics: Metrics, fact: Parked) -> None:
    metrics.parked.labels(fact.code).inc(fact.items)


@_counts(PositionsSaved)
def _positions_saved(metrics: Metrics, fact: PositionsSaved) -> None:
    metrics.positions.inc(fact.subscriptions)
    metrics.positions_time.observe(fact.seconds)


@_counts(NoticeSent)
def _notice_sent(metrics: Metrics, fact: NoticeSent) -> None:
    metrics.notices.labels("sent").inc()


@_counts(NoticeFailed)
def _notice_failed(metrics: Metrics, fact: NoticeFailed) -> None:
    metrics.notices.labels("failed").inc()


@_counts(NoticeGivenUp)
def _notice_given_up(metrics: Metrics, fact: NoticeGivenUp) -> None:
    metrics.notices.labels("given_up").inc()


@_counts(EngineDied)
def _engine_died(metrics: Metrics, fact: EngineDied) -> None:
    metrics.engine_deaths.labels(fact.engine).inc()


@_counts(StoreFailed)
def _store_failed(metrics: Metrics, fact: StoreFailed) -> None:
    metrics.store_failures.labels(fact.step).inc()


@_counts(PublishRepeated)
def _publish_repeated(metrics: Metrics, fact: PublishRepeated) -> None:
    metrics.publish_repeats.inc()


@_counts(BusDisconnected)
def _bus_disconnected(metrics: Metrics, fact: BusDisconnected) -> None:
    metrics.disconnects.inc()


@_counts(SubscriptionsOwned)
def _subscriptions_owned(metrics: Metrics, fact: SubscriptionsOwned) -> None:
    metrics.owned.set(fact.owned)
    metrics.behind.set(fact.behind)


@_counts(BalanceMeasured)
def _balance_measured(metrics: Metrics, fact: BalanceMeasured) -> None:
    values = {part: getattr(fact, part) for part in _BALANCE_PARTS}
    if not fact.subscription:
        metrics.set_balance(fact.source, values)
        return
    metrics.balances_of[fact.source].add(fact.subscription)
    for part, value in values.items():
        metrics.subscription_balance[part].labels(fact.subscription).set(value)


@_counts(BalancesForgotten)
def _balances_forgotten(metrics: Metrics, fact: BalancesForgotten) -> None:
    if fact.subscription:
        metrics.forget_balances({fact.subscription}, fact.source)
    else:
        metrics.forget_balances(set(metrics.balances_of[fact.source]), fact.source)
        metrics.set_balance(fact.source, dict.fromkeys(_BALANCE_PARTS, 0))


@_counts(BalanceBroken)
def _balance_broken(metrics: Metrics, fact: BalanceBroken) -> None:
    metrics.broken.inc()


@_counts(ReadingsExpired)
def _readings_expired(metrics: Metrics, fact: ReadingsExpired) -> None:
    metrics.expired.inc(fact.items)


@_counts(StreamPurged)
def _stream_purged(metrics: Metrics, fact: StreamPurged) -> None:
    metrics.purged.inc(fact.messages)


@_counts(EventsRelayed)
def _events_relayed(metrics: Metrics, fact: EventsRelayed) -> None:
    metrics.relayed.inc(fact.events)


@_counts(RelayWaits)
def _relay_waits(metrics: Metrics, fact: RelayWaits) -> None:
    metrics.relay_waits.labels(fact.code).inc()


@_counts(RelayStuck)
def _relay_stuck(metrics: Metrics, fact: RelayStuck) -> None:
    metrics.relay_stuck.inc()


@_counts(EventsWaiting)
def _events_waiting(metrics: Metrics, fact: EventsWaiting) -> None:
    metrics.events_waiting.set(fact.events)
    metrics.events_waiting_s.set(fact.oldest_s)


@_counts(TimerFired)
def _timer_fired(metrics: Metrics, fact: TimerFired) -> None:
    metrics.timers.labels(fact.kind, "fired").inc()
    metrics.timer_lag.observe(fact.lag_s)


@_counts(TimerFailed)
def _timer_failed(metrics: Metrics, fact: TimerFailed) -> None:
    metrics.timers.labels(fact.kind, "failed").inc()


@_counts(ReadingsStored)
def _readings_stored(metrics: Metrics, fact: ReadingsStored) -> None:
    metrics.kept.inc(fact.readings)
    metrics.kept_before.inc(fact.repeated)
    metrics.kept_not.inc(fact.expired)
    metrics.keep_time.observe(fact.seconds)


@_counts(ReadingsDeleted)
def _readings_deleted(metrics: Metrics, fact: ReadingsDeleted) -> None:
    metrics.kept_deleted.inc(fact.readings)


@_counts(ClockDoubted)
def _clock_doubted(metrics: Metrics, fact: ClockDoubted) -> None:
    metrics.clock_doubted.inc()


@_counts(ReadingsUnstorable)
def _readings_unstorable(metrics: Metrics, fact: ReadingsUnstorable) -> None:
    metrics.unstorable.inc(fact.readings)


@_counts(StoreWaits)
def _store_waits(metrics: Metrics, fact: StoreWaits) -> None:
    metrics.store_waits.labels(fact.code).inc()


@_counts(StoreMissed)
def _store_missed(metrics: Metrics, fact: StoreMissed) -> None:
    metrics.store_missed.inc()


@_counts(StoreMeasured)
def _store_measured(metrics: Metrics, fact: StoreMeasured) -> None:
    metrics.store_behind.set(fact.behind)
    metrics.store_lag.set(fact.lag_s)


@_counts(BackfillCopied)
def _backfill_copied(metrics: Metrics, fact: BackfillCopied) -> None:
    metrics.backfilled.labels("written").inc(fact.written)
    metrics.backfilled.labels("present").inc(fact.present)
    metrics.backfilled.labels("refused").inc(fact.refused)
    metrics.backfill_time.observe(fact.seconds)


@_counts(BackfillWaits)
def _backfill_waits(metrics: Metrics, fact: BackfillWaits) -> None:
    metrics.backfill_waits.labels(fact.code).inc()


@_counts(BackfillDone)
def _backfill_done(metrics: Metrics, fact: BackfillDone) -> None:
    metrics.backfills_ended.labels("done").inc()


@_counts(BackfillFailed)
def _backfill_failed(metrics: Metrics, fact: BackfillFailed) -> None:
    metrics.backfills_ended.labels("failed").inc()


@_counts(HoursRolledUp)
def _hours_rolled_up(metrics: Metrics, fact: HoursRolledUp) -> None:
    metrics.rolled_up.inc(fact.hours)


@_counts(TimerForgotten)
def _timer_forgotten(metrics: Metrics, fact: TimerForgotten) -> None:
    metrics.timers.labels(fact.kind, "forgotten").inc()


class Reporter:
    """An observer that logs and counts."""

    def __init__(self, metrics: Metrics, logger: Any, *, level: str = "debug") -> None:
        """`level` is the lowest that the logger writes: a fact below it costs no log line that nobody would see."""
        self._metrics = metrics
        self._logger = logger
        self._logged = frozenset(_LEVELS[_LEVELS.index(level) :])

    def __call__(self, fact: Fact) -> None:
        self._metrics.count(fact)
        if fact.level in self._logged:
            getattr(self._logger, fact.level)(type(fact).__name__, **asdict(fact))


def make_logger(level: str, form: str) -> Any:
    """A logger that writes to standard error, for people (`console`) or for machines (`json`)."""
    renderer: Any = (
        structlog.processors.JSONRenderer(sort_keys=True)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=18)
    )
    return structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
    )
