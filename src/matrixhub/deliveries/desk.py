"""The desk: what operators ask of deliveries, over REST or by a command; both faces call the same functions.

Source: docs/contract/data-push.md §5
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from matrixhub.bus.subjects import SUBJECTS, urgent_filter
from matrixhub.deliveries.egress import check_url
from matrixhub.deliveries.formats import make_body
from matrixhub.deliveries.plan import Batch, Piece, content_of, request_id
from matrixhub.deliveries.span import Seen, count_span, ignore_seen, read_span
from matrixhub.model.database import database_of
from matrixhub.model.delivery import ANSWER_SHOWN_MAX, Attempt, time_ordered_id
from matrixhub.model.destination import ClientCredentials, Destination, RefreshToken
from matrixhub.model.devices import Json
from matrixhub.model.egress import Allowance
from matrixhub.model.errors import DeliveryError, DestinationRefused, Gone, InvalidValue, NotFound
from matrixhub.model.event import Event, envelope
from matrixhub.model.ids import PropertyId, SubscriptionId, stable_uuid
from matrixhub.model.subscription import Notify, Position, Source, Subscription
from matrixhub.model.time import calendar, zone
from matrixhub.ports import Bus, Clock, Push, Sender
from matrixhub.store import Database
from matrixhub.store.attempts import RecordedAttempt, list_attempts, show_attempt
from matrixhub.store.databases import require_database
from matrixhub.store.egress import list_egress
from matrixhub.store.parked import parked_of_request
from matrixhub.store.replays import shown_position
from matrixhub.store.subscriptions import Overview, find_property, leads_to_database

TEST_DEVICE = "matrixhub-test"
TEST_DEVTYPE = "SMARTCLEAN#UM"
TEST_DISPLAY = "Test by Matrix Hub, not a reading of a device"

TEST_EVENT = "TEST"
TEST_MODULE = "matrixhub"
TEST_DESCRIPTION = "Test by Matrix Hub, nothing has happened"

_POSITION = re.compile(r"([1-9][0-9]{0,17})(?:\.([0-9]{1,9}))?", re.ASCII)
_INSTANT_MS_MAX = 253_402_300_799_999


# --- where to begin ---


@dataclass(frozen=True, slots=True)
class Since:
    """Begin with what was stored at or after an instant, in epoch milliseconds."""

    instant_ms: int


@dataclass(frozen=True, slots=True)
class FromPlace:
    """Begin at a position of the stream."""

    position: Position


@dataclass(frozen=True, slots=True)
class FromAttempt:
    """Begin where an attempt did, named by its own id or by that of its request."""

    id: UUID


ReplayStart = Since | FromPlace | FromAttempt


def parse_start(text: str) -> ReplayStart:
    """Where to begin as people write it: `beginning`, an ISO 8601 time, a position `seq` or `seq.item`, or an id.

    A time without offset is local to this machine. Raises: InvalidValue if it is none of these.

    >>> parse_start("7.3"), parse_start("1970-01-01T00:00:01Z")
    (FromPlace(position=Position(seq=7, item=3)), Since(instant_ms=1000))
    """
    text = text.strip()
    if text == "beginning":
        return Since(0)
    place = _POSITION.fullmatch(text)
    if place is not None:
        return FromPlace(Position(seq=int(place[1]), item=int(place[2] or 0)))
    try:
        return FromAttempt(UUID(text))
    except ValueError:
        pass  # then it may be a time
    try:
        instant_ms = int(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        instant_ms = -1
    if not 0 <= instant_ms <= _INSTANT_MS_MAX:
        raise InvalidValue(
            "a place to begin is `beginning`, an ISO 8601 time, a position such as 1200 or 1200.7, or the id of an"
            " attempt or request"
        )
    return Since(instant_ms)


async def first_position(bus: Bus, text: str) -> Position:
    """Where a new subscription begins: `now`, or as `parse_start` reads it, but for ids.

    Raises: InvalidValue, BusError.
    """
    bounds = await bus.bounds()
    if text.strip() in ("", "now"):
        return Position(seq=bounds.last_seq + 1)
    start = parse_start(text)
    match start:
        case Since(instant_ms):
            return Position(seq=await bus.first_seq_since(instant_ms))
        case FromPlace(position):
            if position.seq < 1 or position > Position(seq=bounds.last_seq + 1):
                raise InvalidValue(f"the stream ends before {bounds.last_seq + 1}; a new subscription begins within it")
            return position
        case FromAttempt():
            raise InvalidValue("a new subscription begins now, at the beginning, at a time or at a position")


# --- replays ---


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedReplay:
    """What a replay would do: begin at `position` and bring `items` readings again, up to `until`.

    `note` says where it is less than was asked for.
    """

    position: Position
    until: Position
    items: int
    note: str = ""


async def plan_replay(
    database: Database, bus: Bus, overview: Overview, start: ReplayStart, seen: Seen = ignore_seen
) -> PlannedReplay:
    """What a replay from there would bring again, counted exactly; nothing is changed.

    A time before all that is stored means all that is stored, and `note` says so.
    Raises: InvalidValue unless it lies before the subscription's position, Gone if retention has taken the place,
    NotFound for an unknown id, BusError, StoreError.
    """
    subscription, until = overview.subscription, overview.progress.position
    bounds = await bus.bounds()
    note = ""
    match start:
        case Since(instant_ms):
            position = Position(seq=await bus.first_seq_since(instant_ms))
            if position.seq == bounds.first_seq > 1:
                subjects = SUBJECTS[subscription.filter.source]
                note = await _note_of_retention(bus, subjects, bounds.first_seq, instant_ms)
        case FromPlace(position):
            pass
        case FromAttempt(named):
            position = await _start_of(database, subscription, named)
    if position.seq < 1 or position.item < 0:
        raise InvalidValue("positions begin with 1")
    if not position < until:
        raise InvalidValue(
            f"{shown_position(position)} is not before {shown_position(until)}, where the subscription is:"
            " there is nothing to replay"
        )
    if position.seq < bounds.first_seq:
        raise Gone(f"position {shown_position(position)} is no longer kept; the first that is: {bounds.first_seq}")
    return PlannedReplay(
        position=position, until=until, items=await count_span(bus, subscription, position, until, seen), note=note
    )


async def _note_of_retention(bus: Bus, subjects: str, first_seq: int, instant_ms: int) -> str:
    page = await bus.read(subjects, first_seq, messages_max=1, bytes_max=1)
    if not page.messages or page.messages[0].stored_ms <= instant_ms:
        return ""
    stored_at = datetime.fromtimestamp(page.messages[0].stored_ms / 1000, UTC)
    return f"what was stored before {stored_at.isoformat(timespec='seconds')} is no longer kept"


async def _start_of(database: Database, subscription: Subscription, named: UUID) -> Position:
    """Where an attempt began, by its id or by that of its request."""
    property_id = subscription.property_id
    try:
        found: Sequence[RecordedAttempt] = [await show_attempt(database, property_id, named)]
    except NotFound:
        found = await list_attempts(
            database, property_id, subscription_id=subscription.id, request_id=str(named), limit=1
        )
    if not found or found[0].subscription_id != subscription.id:
        raise NotFound(f"{subscription.id} has no attempt or request {named}, or it is no longer kept")
    if found[0].attempt.start is None:
        raise InvalidValue(f"{named} is of a {found[0].attempt.kind}, which has no place in the stream")
    return found[0].attempt.start


# --- bodies ---


@dataclass(frozen=True, kw_only=True, slots=True)
class RemadeBody:
    """The readings of an attempt as a body, not compressed; `whole` is False where these are not just those sent."""

    body: bytes
    items: int
    whole: bool
    content_type: str


async def remake_body(database: Database, bus: Bus, overview: Overview, attempt: Attempt) -> RemadeBody:
    """The body of an attempt, made again from the stream, or of parked readings from what is kept of them.

    Bodies are not kept. It is made by the filter and in the format of now, and holds what lies between the start and
    the end of the attempt; where that is not as many readings as were sent, `whole` is False.
    Raises: Gone if retention has taken the readings, BusError, StoreError.
    """
    subscription = overview.subscription
    strings = await _strings_of(database, bus, overview, attempt)
    if not strings:
        raise Gone(f"the readings of attempt {attempt.id} are no longer kept")
    body = make_body(replace(subscription, format=replace(subscription.format, gzip=False)), strings)
    return RemadeBody(
        body=body.data, items=len(strings), whole=len(strings) == attempt.items, content_type=body.content_type
    )


async def _strings_of(database: Database, bus: Bus, overview: Overview, attempt: Attempt) -> list[bytes]:
    subscription = overview.subscription
    if attempt.kind == "test":
        return [_string(_SAMPLES[subscription.filter.source](subscription.property_id, _instant_ms(attempt.at)))]
    if attempt.start is not None and attempt.end is not None:
        strings = await _strings_between(bus, overview, attempt, attempt.start, attempt.end)
        if strings:
            return strings
    rows = await parked_of_request(
        database, subscription.property_id, subscription.id, attempt.request_id, limit=attempt.items
    )
    return [_string(row.line) for row in rows]


async def _strings_between(
    bus: Bus, overview: Overview, attempt: Attempt, start: Position, end: Position
) -> list[bytes]:
    """All that was wanted of the stretch, or what of it is urgent, or the rest, if that is what was sent."""
    subscription = overview.subscription
    pieces = [piece async for piece in read_span(bus, subscription, start, end)]
    urgent = urgent_filter(subscription.filter)
    if urgent is not None and _count(pieces) != attempt.items:
        asked = replace(subscription, filter=urgent)
        overtook = {piece.seq async for piece in read_span(bus, asked, start, end)}
        lanes = [[piece for piece in pieces if (piece.seq in overtook) is first] for first in (False, True)]
        fitting = [lane for lane in lanes if _count(lane) == attempt.items]
        if fitting:
            whole, content = Batch((), (), start, end), content_of(subscription)
            epochs = range(overview.progress.epoch + 1)
            of_rest = attempt.request_id in {request_id(subscription.id, whole, epoch, content) for epoch in epochs}
            pieces = fitting[0] if of_rest else fitting[-1]
    return [string for piece in pieces for string in piece.strings]


def _count(pieces: Sequence[Piece]) -> int:
    return sum(len(piece.strings) for piece in pieces)


def _instant_ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _string(line: str) -> bytes:
    return msgspec.json.encode(line)[1:-1]


# --- tests ---


@dataclass(frozen=True, kw_only=True, slots=True)
class TestResult:
    """What came of a test; `attempt` is what to record of it, and says all there is to say."""

    __test__ = False

    taken: bool
    attempt: Attempt


async def send_test(sender: Sender, subscription: Subscription, clock: Clock) -> TestResult:
    """Send one sample on the very way of all pushes, and tell what came of it; a refusal is no error here.

    It is a reading or an event, by the source. Nothing of the subscription changes, and it may be paused.
    """
    now_ms = clock.now_ms()
    body = make_body(subscription, [_string(_SAMPLES[subscription.filter.source](subscription.property_id, now_ms))])
    test_id = time_ordered_id(now_ms)
    status, code, error_text, answer = 0, "", "", ""
    started = time.perf_counter()
    try:
        sent = await sender.send(
            Push(
                subscription=subscription,
                request_id=str(test_id),
                body=body.data,
                items=1,
                content_type=body.content_type,
                content_encoding=body.content_encoding,
                kind="test",
            )
        )
        status, answer = sent.http_status, sent.answer
        if sent.failed:
            code, error_text = (
                DestinationRefused.code,
                f"taken, but not what was in it: {next(iter(sent.failed.values()))}",
            )
    except DeliveryError as error:
        code, error_text = error.code, error.message
        if isinstance(error, DestinationRefused):
            status, answer = error.http_status, error.answer
    attempt = Attempt(
        id=test_id,
        at=datetime.fromtimestamp(now_ms / 1000, UTC),
        kind="test",
        request_id=str(test_id),
        attempt=1,
        items=1,
        size_bytes=len(body.data),
        http_status=status,
        seconds=time.perf_counter() - started,
        code=code,
        error=_storable(error_text),
        answer=_storable(answer[:ANSWER_SHOWN_MAX]),
    )
    return TestResult(taken=not code, attempt=attempt)


def _storable(text: str) -> str:
    """The text as PostgreSQL takes it: without NUL and without halves of characters."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")


def sample_line(property_id: PropertyId, instant_ms: int) -> str:
    """A reading in the general format that says of itself that it is a test: nobody came, nowhere.

    Source: docs/contract/sensor-data.md §1, §4.2
    """
    at = calendar(instant_ms, zone("UTC"))
    reading: dict[str, Json] = {
        "t": at.t,
        "time": at.time,
        "dow": at.dow,
        "month": at.month,
        "dom": at.dom,
        "hour": at.hour,
        "minute": at.minute,
        "utc": at.utc,
        "unix": at.utc,
        "expire_at": at.expire_at,
        "AGG": at.t,
        "unixT": instant_ms,
        "Region": "UTC",
        "DEVID": TEST_DEVICE,
        "DevType": TEST_DEVTYPE,
        "PID": TEST_DEVICE,
        "PropId": property_id,
        "InsID": TEST_DEVICE,
        "Display": TEST_DISPLAY,
        "Type": "",
        "ID": TEST_DEVICE,
        "DASSOC": "",
        "DevSubType": "",
        "v": {"count": 0},
    }
    return msgspec.json.encode(reading).decode()


def sample_event(property_id: PropertyId, instant_ms: int) -> str:
    """An event that says of itself that it is a test: nothing happened. The same for the same instant.

    Source: docs/contract/event-bus.md §3
    """
    made = Event(
        property_id=property_id,
        building_id="",
        event=TEST_EVENT,
        module=TEST_MODULE,
        priority="LOW",
        description=TEST_DESCRIPTION,
        happened_at=instant_ms // 1000,
        meta={},
        principal=property_id,
        principal_type="property",
        id=UUID(stable_uuid("test", property_id, str(instant_ms))),
    )
    return msgspec.json.encode(envelope(made)).decode()


_SAMPLES: Mapping[Source, Callable[[PropertyId, int], str]] = {"sensors": sample_line, "events": sample_event}


# --- what a subscription may name ---


async def check_reach(
    database: Database,
    property_id: PropertyId,
    destination: Destination,
    notify: Notify,
    *,
    allowed_to_all: Sequence[str],
    own_id: SubscriptionId | None = None,
) -> None:
    """Refuse early what could never be reached: addresses the egress guard forbids, a database that is not there or is
    of another property, a second channel that is none.

    Shape:  allowed_to_all is the setting deliveries.egress_allow; own_id is the subscription that is changed.
    Raises: InvalidValue, NotFound if there is no such property, StoreError.
    """
    own = [allowed.target for allowed in await list_egress(database, property_id)]
    allowance = Allowance.of([*allowed_to_all, *own])
    urls = []
    if destination.kind == "postgres":
        try:
            await require_database(database, property_id, database_of(destination.url))
        except NotFound as error:
            raise InvalidValue(error.message, fields=(("database", "is no database of this property"),)) from error
    else:
        urls.append(destination.url)
    if isinstance(destination.auth, ClientCredentials | RefreshToken):
        urls.append(destination.auth.token_url)
    if notify.url:
        urls.append(notify.url)
    for url in urls:
        check_url(url, allowance, property_id)
    if not notify.subscription_id:
        return
    other = SubscriptionId(notify.subscription_id)
    if other == own_id:
        raise InvalidValue("notices of a subscription cannot go to that subscription itself")
    try:
        found = await find_property(database, other)
    except NotFound:
        found = None
    if found != property_id:
        raise InvalidValue("notify.subscription is no subscription of this property")
    if await leads_to_database(database, other):
        raise InvalidValue("notify.subscription leads to a database, which takes no notices")
