"""How readings or events become the body of a push: the contract's array, entries of an Event Hub, or CloudEvents.

Both come as `plan.Piece` holds them: as JSON text, escaped to stand between the quotes of a JSON string. The same
items give the same bytes every time. Source: docs/contract/data-push.md §1, §1.1, §3.4, docs/contract/event-bus.md §7
"""

from __future__ import annotations

import functools
import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import msgspec

from matrixhub.model.subscription import Subscription
from matrixhub.model.time import instant_from_number

JSON_TYPE = "application/json; charset=utf-8"
EVENT_HUB_EVENT_TYPE = "application/atom+xml;type=entry;charset=utf-8"
EVENT_HUB_EVENTS_TYPE = "application/vnd.microsoft.servicebus.json"
CLOUDEVENTS_TYPE = "application/cloudevents-batch+json; charset=utf-8"

EVENT_TYPE = "sg.smartclean.reading"
"""The type of an event, before the device type. Raw metrics of the platform have the same prefix."""

EVENT_BUS_TYPE = "sg.smartclean.event"
"""The type of an event of the bus, before the word of its routing key."""

ATTRIBUTE_BYTES_MAX = 128
"""A building, device type or slot that is longer, as an event writes it, is left to the data."""

LONG_ATTRIBUTE_BYTES_MAX = 256
"""The same for what names an event of the bus, its `ATTR` and its routing key: they are made of ids."""

_GZIP_LEVEL = 1
"""Readings repeat so much that higher levels cost more than twice the time for a tenth of the size."""

_ARRAY_FRAME_BYTES = 3
_EVENT_HUB_FRAME_BYTES = len(b'{"Body":""},')
_EVENT = b'{"specversion":"1.0","id":"%b","source":"%b","type":"%b"%b%b,"datacontenttype":"%b","data":%b}'
_JSON_DATA = b"application/json"
_TEXT_DATA = b"text/plain; charset=utf-8"
_ID_BYTES = 32
_TIME_BYTES = len(b',"time":"2024-03-10T00:05:09.417Z"')

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_encode = msgspec.json.Encoder().encode
_text_of = msgspec.json.Decoder(str).decode


class _Reading(msgspec.Struct, gc=False):
    """What an event says of its reading. Readings that ingest did not write may lack any of it."""

    DEVID: Any = None
    DevType: Any = None
    PID: Any = None
    unixT: Any = None  # noqa: N815 - the spelling of the wire


_reading_of = msgspec.json.Decoder(_Reading).decode
_NOTHING_KNOWN = _Reading()


class _Event(msgspec.Struct, gc=False):
    """What a CloudEvent says of an event of the bus, any of which may be lacking in what the relay did not write."""

    ATTR: Any = None
    Event: Any = None
    ID: Any = None
    PType: Any = None
    RoutingKey: Any = None
    UnixTimeInt: Any = None


_event_of = msgspec.json.Decoder(_Event).decode


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent, and the headers that say how to read it; content_encoding is '' or 'gzip'."""

    data: bytes
    content_type: str
    content_encoding: str = ""


def make_body(subscription: Subscription, strings: Sequence[bytes]) -> Body:
    """The body of a push with these items, in the format of the subscription."""
    data, content_type = _framed(subscription, strings)
    if subscription.format.gzip:
        packed = gzip.compress(data, compresslevel=_GZIP_LEVEL, mtime=0)
        if len(packed) < len(data):
            return Body(packed, content_type, "gzip")
    return Body(data, content_type)


def contract_array(strings: Sequence[bytes]) -> bytes:
    """A JSON array of JSON strings. Source: docs/contract/data-push.md §1 (certain)

    >>> contract_array([b"a", b"b"])
    b'["a","b"]'
    """
    return _joined(b'["', strings, b'","', b'"]')


def event_array(strings: Sequence[bytes]) -> bytes:
    r"""A JSON array of the events themselves; what is no JSON stands in it as a string.

    Source: docs/contract/event-bus.md §1 (certain)

    >>> event_array([rb'{\"a\":1}', rb'{\"b\":2}'])
    b'[{"a":1},{"b":2}]'
    """
    return _joined(b"[", [_value_of(string)[0] for string in strings], b",", b"]")


def _value_of(string: bytes) -> tuple[bytes, bytes]:
    """The text as a JSON value, and its media type: itself where it is JSON, else a string."""
    text = _text_of(b'"%b"' % string).encode()
    return (text, _JSON_DATA) if _is_json(text) else (b'"%b"' % string, _TEXT_DATA)


def frame_bytes(subscription: Subscription) -> int:
    """What an item adds to a body besides its escaped text, at most; the body is one byte more than the sum.

    For events and for CloudEvents it is a bound: texts lose their escapes there, and ids are shorter than they may be.
    """
    if subscription.destination.framing == "per_item":
        return _EVENT_HUB_FRAME_BYTES
    if subscription.format.body == "contract":
        return _ARRAY_FRAME_BYTES
    events = subscription.filter.source == "events"
    name_bytes = LONG_ATTRIBUTE_BYTES_MAX if events else ATTRIBUTE_BYTES_MAX
    longest = _EVENT % (
        b"0" * (LONG_ATTRIBUTE_BYTES_MAX if events else _ID_BYTES),
        _source(subscription.property_id, "") + b"/buildings/" + b"0" * ATTRIBUTE_BYTES_MAX,
        EVENT_TYPE.encode() + b"." + b"0" * ATTRIBUTE_BYTES_MAX,
        b',"subject":"%b"' % (b"0" * name_bytes),
        b"0" * _TIME_BYTES,
        _TEXT_DATA,
        b'""',
    )
    return len(longest) + len(b",")


def _framed(subscription: Subscription, strings: Sequence[bytes]) -> tuple[bytes, str]:
    destination = subscription.destination
    if destination.framing == "per_item":
        return _joined(b'[{"Body":"', strings, b'"},{"Body":"', b'"}]'), EVENT_HUB_EVENTS_TYPE
    events = subscription.filter.source == "events"
    if subscription.format.body == "cloudevents":
        property_id = subscription.property_id
        made = cloud_event_of_bus if events else cloud_event
        data = _joined(b"[", [made(string, property_id) for string in strings], b",", b"]")
        content_type = CLOUDEVENTS_TYPE
    elif events:
        data, content_type = event_array(strings), JSON_TYPE
    else:
        data, content_type = contract_array(strings), JSON_TYPE
    return data, EVENT_HUB_EVENT_TYPE if destination.kind == "azure_event_hub" else content_type


def _joined(first: bytes, parts: Sequence[bytes], between: bytes, last: bytes) -> bytes:
    return first + between.join(parts) + last if parts else b"[]"


def cloud_event(string: bytes, property_id: str) -> bytes:
    """The reading as one CloudEvent in JSON.

    Its id follows from slot, device type and instant, which tell readings apart (contract §5), so that an event
    keeps its id in every attempt, replay and subscription. A text that is no JSON object is passed on as what it is.
    """
    line = _text_of(b'"%b"' % string)
    text = line.encode()
    data, data_type = text, _JSON_DATA
    try:
        reading = _reading_of(text)
    except (msgspec.DecodeError, RecursionError):
        reading = _NOTHING_KNOWN
        if not _is_json(text):
            data, data_type = b'"%b"' % string, _TEXT_DATA
    slot, devtype, instant = reading.DEVID, reading.DevType, reading.unixT
    known = isinstance(slot, str) and isinstance(devtype, str) and type(instant) is int
    return _EVENT % (
        _digest(f"{slot}\x1f{devtype}\x1f{instant}".encode(), b"reading") if known else _digest(text, b"text"),
        _source(property_id, reading.PID if isinstance(reading.PID, str) else ""),
        _type(devtype if isinstance(devtype, str) else ""),
        _subject(slot if isinstance(slot, str) else ""),
        _time(instant),
        data_type,
        data,
    )


def cloud_event_of_bus(string: bytes, property_id: str) -> bytes:
    """An event of the bus as one CloudEvent in JSON.

    Its id is its `ATTR`, by which a repeat is known, so it is the same in every attempt, replay and subscription.
    """
    data, data_type = _value_of(string)
    try:
        event = _event_of(data)
    except (msgspec.DecodeError, RecursionError):
        event = _Event()
    name = event.Event if isinstance(event.Event, str) else ""
    building = event.ID if isinstance(event.ID, str) and event.PType == "building" else ""
    key = _attribute(event.RoutingKey, LONG_ATTRIBUTE_BYTES_MAX) if isinstance(event.RoutingKey, str) else b""
    attr = event.ATTR if isinstance(event.ATTR, str) and event.ATTR else ""
    return _EVENT % (
        _attribute(attr, LONG_ATTRIBUTE_BYTES_MAX) or _digest(attr.encode() or data, b"event"),
        _source(property_id, building),
        _typed(EVENT_BUS_TYPE, name),
        b',"subject":"%b"' % key if key else b"",
        _time(event.UnixTimeInt),
        data_type,
        data,
    )


def _digest(identity: bytes, kind: bytes) -> bytes:
    return hashlib.blake2b(identity, digest_size=_ID_BYTES // 2, person=kind).hexdigest().encode()


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


@functools.lru_cache(maxsize=4096)
def _source(property_id: str, building_id: str) -> bytes:
    """Where the event happened: a URI reference. Source: RFC 3986"""
    source = f"/properties/{quote(property_id, safe='')}".encode()
    building = quote(building_id, safe="").encode()
    return source + b"/buildings/" + building if 0 < len(building) <= ATTRIBUTE_BYTES_MAX else source


@functools.lru_cache(maxsize=1024)
def _type(devtype: str) -> bytes:
    return _typed(EVENT_TYPE, devtype)


def _typed(prefix: str, name: str) -> bytes:
    written = _attribute(name)
    return prefix.encode() + b"." + written if written else prefix.encode()


@functools.lru_cache(maxsize=65_536)
def _subject(slot: str) -> bytes:
    """The member `subject`, which must not be empty, so it is left out rather than that."""
    written = _attribute(slot)
    return b',"subject":"%b"' % written if written else b""


def _attribute(text: str, bytes_max: int = ATTRIBUTE_BYTES_MAX) -> bytes:
    """The text as it stands in an attribute; nothing where it may not stand there.

    Source: CloudEvents 1.0.2, "Type System": no control characters, surrogates and noncharacters
    """
    written = _encode(text)[1:-1] if text.isprintable() else b""
    return written if len(written) <= bytes_max else b""


def _time(instant: object) -> bytes:
    """The member `time` of an instant as `unixT` has it; nothing where that is no instant."""
    if type(instant) is not int and type(instant) is not float:
        return b""
    try:
        second, millisecond = divmod(instant_from_number(instant), 1000)
    except ValueError:
        return b""
    return b',"time":"%b.%03dZ"' % (_second(second), millisecond)


@functools.lru_cache(maxsize=4096)
def _second(second: int) -> bytes:
    """An RFC 3339 time without its fraction and zone. Readings of a push cluster in the same few seconds."""
    moment = _EPOCH + timedelta(seconds=second)
    return moment.replace(tzinfo=None).isoformat(timespec="seconds").encode()
