"""Readings and events as rows of a customer's database: pure.

Source: docs/contract/dedicated-db.md §3
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from matrixhub.model.errors import UnstorableReading
from matrixhub.model.subscription import Source

Row = tuple[Any, ...]

READING_COLUMNS = (
    *("time", "unixt", "t", "pid", "propid", "insid", "devid", "devtype", "devsubtype", "dassoc", "display", "region"),
    *("dow", "month", "dom", "hour", "minute", "utc", "expire_at", "v", "stats"),
)
EVENT_COLUMNS = (
    *("time", "unixtimeint", "principal", "ptype", "entity", "etype", "id", "attr", "description", "event", "module"),
    *("status", "routingkey", "meta"),
)
TABLES: Mapping[Source, str] = {"sensors": "sensor_data", "events": "events"}
COLUMNS: Mapping[Source, Sequence[str]] = {"sensors": READING_COLUMNS, "events": EVENT_COLUMNS}
KEYS: Mapping[Source, Sequence[str]] = {"sensors": ("devid", "devtype", "time"), "events": ("attr", "time")}
"""What a row is known by."""

KINDS: Mapping[str, str] = {
    **dict.fromkeys(READING_COLUMNS + EVENT_COLUMNS, "S"),
    **dict.fromkeys(("unixt", "utc", "expire_at", "unixtimeint"), "N"),
    **dict.fromkeys(("v", "stats", "meta"), "U"),
    "time": "D",
}
"""What kind of type each column has, as `pg_type.typcategory` has it: text, number, JSON, or instant."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOTHING = msgspec.Raw()
_NUMBER_MAX = 2**63 - 1
_EXACT_MAX = 2.0**53
"""Integral numbers above this may be others than were meant, as floats are."""


class _Reading(msgspec.Struct):
    """A reading in the general format; what may be missing has a default."""

    DEVID: str
    DevType: str
    PID: str
    InsID: str
    Region: str
    unixT: int  # noqa: N815 - the spelling of the wire
    t: str
    dow: str
    month: str
    dom: str
    hour: str
    minute: str
    v: msgspec.Raw
    PropId: str | None = None
    DevSubType: str | None = None
    DASSOC: str | None = None
    Display: str | None = None
    utc: int | None = None
    expire_at: int | None = None
    stats: msgspec.Raw = _NOTHING


class _Event(msgspec.Struct):
    """An event of the bus."""

    ATTR: str
    Event: str
    Principal: str
    Module: str
    Status: str
    RoutingKey: str
    UnixTimeInt: int
    PType: str | None = None
    Entity: str | None = None
    EType: str | None = None
    ID: str | None = None
    Description: str | None = None
    Meta: msgspec.Raw = _NOTHING


_read_reading = msgspec.json.Decoder(_Reading).decode
_read_event = msgspec.json.Decoder(_Event).decode
_read_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def reading_row(line: str | bytes) -> Row:
    """A reading as a row of `matrix.sensor_data`, its values in the order of READING_COLUMNS.

    Raises: UnstorableReading if it is no reading in the general format, or PostgreSQL cannot have a text of it.
    """
    try:
        read = _read_reading(line)
        time = _EPOCH + timedelta(milliseconds=read.unixT)
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError) as error:
        raise UnstorableReading(f"not a reading in the general format: {error}") from error
    row = (
        time,
        read.unixT,
        read.t,
        read.PID,
        read.PropId,
        read.InsID,
        read.DEVID,
        read.DevType,
        read.DevSubType,
        read.DASSOC,
        read.Display,
        read.Region,
        read.dow,
        read.month,
        read.dom,
        read.hour,
        read.minute,
        read.utc,
        read.expire_at,
        json_text(bytes(read.v)),
        None if read.stats is _NOTHING else json_text(bytes(read.stats)),
    )
    return _checked(row)


def event_row(line: str | bytes) -> Row:
    """An event as a row of `matrix.events`, its values in the order of EVENT_COLUMNS.

    Raises: UnstorableReading if it is no event of the bus, or PostgreSQL cannot have a text of it.
    """
    try:
        read = _read_event(line)
        time = _EPOCH + timedelta(seconds=read.UnixTimeInt)
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError) as error:
        raise UnstorableReading(f"not an event of the bus: {error}") from error
    row = (
        time,
        read.UnixTimeInt,
        read.Principal,
        read.PType,
        read.Entity,
        read.EType,
        read.ID,
        read.ATTR,
        read.Description,
        read.Event,
        read.Module,
        read.Status,
        read.RoutingKey,
        None if read.Meta is _NOTHING else json_text(bytes(read.Meta)),
    )
    return _checked(row)


ROW_OF: Mapping[Source, Callable[[str | bytes], Row]] = {"sensors": reading_row, "events": event_row}


def json_text(raw: bytes) -> str:
    """JSON as it is written to the database: numbers that are integral are written without a fraction, so that
    `cast(v->>'count' as integer)` of the published queries takes them. What is too large or too deep for that stays.

    >>> json_text(b'{"count":2.0,"p":1.50,"name":"2.0"}'), json_text(b'{"count":2}')
    ('{"count":2,"p":1.5,"name":"2.0"}', '{"count":2}')
    """
    if b".0" not in raw and b"e" not in raw and b"E" not in raw:
        return raw.decode()
    try:
        found = _read_any(raw)
        whole = _whole(found)
    except (msgspec.DecodeError, RecursionError):
        return raw.decode()
    return raw.decode() if whole is found else _encode(whole).decode()


def _whole(value: Any) -> Any:
    """The value with integral floats as integers; the same object where there is none."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _EXACT_MAX else value
    if isinstance(value, dict):
        made = {name: _whole(part) for name, part in value.items()}
        return made if any(made[name] is not part for name, part in value.items()) else value
    if isinstance(value, list):
        parts = [_whole(part) for part in value]
        return parts if any(new is not old for new, old in zip(parts, value, strict=True)) else value
    return value


def _checked(row: Row) -> Row:
    for value in row:
        if isinstance(value, str) and ("\x00" in value or "\\u0000" in value):
            raise UnstorableReading("a text has the character NUL, which PostgreSQL does not keep")
        if isinstance(value, int) and value > _NUMBER_MAX:
            raise UnstorableReading(f"{value} is a larger number than PostgreSQL keeps")
    return row
