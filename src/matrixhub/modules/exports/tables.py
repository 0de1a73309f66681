"""Readings and events as rows of a table, with the columns of a customer's database. Nothing is left out: what a line
lacks, or has in another shape, is an empty cell, and `v` is the text that was pushed.

Source: docs/contract/dedicated-db.md §3
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from matrixhub.model.export import Attribute, Column

Row = Sequence[Any]
RowOf = Callable[[bytes], Row]

READING_COLUMNS = (
    Column("time", "instant"),
    Column("unixt", "integer"),
    Column("t", "text"),
    Column("pid", "label"),
    Column("propid", "label"),
    Column("insid", "label"),
    Column("devid", "label"),
    Column("devtype", "label"),
    Column("devsubtype", "label"),
    Column("dassoc", "label"),
    Column("display", "label"),
    Column("region", "label"),
    Column("dow", "label"),
    Column("month", "label"),
    Column("dom", "label"),
    Column("hour", "label"),
    Column("minute", "label"),
    Column("utc", "integer"),
    Column("expire_at", "integer"),
    Column("v", "text"),
    Column("stats", "text"),
)
_NAMES = ("PID", "PropId", "InsID", "DEVID", "DevType", "DevSubType", "DASSOC", "Display", "Region", "unixT")
_WIRE = {name.lower(): name for name in _NAMES}
"""Which field of the line a column is, where it is not of the same name. `time` of a line is local, that of a table is
the instant.
"""

_EVENT_TEXTS = (
    *("principal", "ptype", "entity", "etype", "id", "attr", "description", "event", "module", "status"),
    *("routingkey", "meta"),
)
EVENT_COLUMNS = (
    Column("time", "instant"),
    Column("unixtimeint", "integer"),
    *(Column(name, "text") for name in _EVENT_TEXTS),
)

_INT64 = 1 << 63
Int64 = Annotated[int, msgspec.Meta(ge=-_INT64, le=_INT64 - 1)]
_NUMBER = re.compile(r"-?[0-9]{1,30}([.][0-9]{1,30})?([eE][+-]?[0-9]{1,2})?")
_NOTHING = msgspec.Raw()


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of a table, and what makes the row of a line, in their order."""

    columns: Sequence[Column]
    row_of: RowOf


def readings_table(attributes: Sequence[Attribute] = ()) -> Table:
    """The table of readings, with a column at its end for each attribute.

    >>> table = readings_table([Attribute("count")])
    >>> row = table.row_of(b'{"unixT":1710029109417,"t":"20240310080509","DEVID":"d1","v":{"count":3}}')
    >>> cells = dict(zip([column.name for column in table.columns], row))
    >>> [cells[name] for name in ("time", "devid", "v", "v_count", "display")]
    [1710029109417, 'd1', '{"count":3}', 3.0, None]
    """
    if not attributes:
        return Table(READING_COLUMNS, _reading_row)

    def row_of(line: bytes) -> Row:
        row = _reading_row(line)
        return (*row, *attribute_cells(row[_V], attributes))

    return Table((*READING_COLUMNS, *(one.column for one in attributes)), row_of)


_V = [column.name for column in READING_COLUMNS].index("v")


class _Reading(msgspec.Struct):
    """A reading as nearly every one is."""

    unixT: int = 0  # noqa: N815 - the spelling of the wire
    t: str | None = None
    PID: str | None = None
    PropId: str | None = None
    InsID: str | None = None
    DEVID: str | None = None
    DevType: str | None = None
    DevSubType: str | None = None
    DASSOC: str | None = None
    Display: str | None = None
    Region: str | None = None
    dow: str | None = None
    month: str | None = None
    dom: str | None = None
    hour: str | None = None
    minute: str | None = None
    utc: Int64 | None = None
    expire_at: Int64 | None = None
    v: msgspec.Raw = _NOTHING
    stats: msgspec.Raw = _NOTHING


_read_quickly = msgspec.json.Decoder(_Reading).decode
_read_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_read_any = msgspec.json.Decoder().decode


def _reading_row(line: bytes) -> Row:
    try:
        read = _read_quickly(line)
    except (msgspec.DecodeError, ValueError):
        return _odd_row(line)
    return (
        read.unixT,
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
        _text(read.v),
        _text(read.stats),
    )


def _odd_row(line: bytes) -> Row:
    """The row of a line that was kept whole because something in it is not as in others."""
    parts = _read_parts(line)
    cells = {}
    for column in READING_COLUMNS:
        raw = parts.get(_WIRE.get(column.name, column.name), _NOTHING)
        if column.name in ("v", "stats"):
            cells[column.name] = _text(raw)
        else:
            cells[column.name] = _cell(None if raw is _NOTHING else _read_any(raw), column.kind)
    return [cells["unixt"], *list(cells.values())[1:]]


def _text(raw: msgspec.Raw) -> str | None:
    return None if raw is _NOTHING else bytes(raw).decode()


def _cell(value: Any, kind: str) -> Any:
    """A value as a column of the kind can have it; None where it cannot.

    >>> _cell("7.5", "number"), _cell(True, "number"), _cell(2.0, "integer"), _cell([1], "text")
    (7.5, None, 2, '[1]')
    """
    if value is None:
        return None
    if kind in ("text", "label"):
        return value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = int(value) if value.lstrip("-").isdigit() else float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if kind == "number":
        return float(value)
    return int(value) if value == int(value) and -_INT64 <= value < _INT64 else None


def attribute_cells(values: str | None, attributes: Sequence[Attribute]) -> Sequence[Any]:
    """The cells of attributes. A number is one where it is a number, or a text that holds one, as in metrics.

    >>> attribute_cells('{"count":3,"b":"81","mac":"00:1b"}', [Attribute("b", "integer"), Attribute("mac", "text")])
    [81, '00:1b']
    """
    try:
        found = _read_any(values or "null")
    except (msgspec.DecodeError, ValueError, RecursionError):
        found = None  # it cannot be looked into; it stands in `v` as it was pushed
    if not isinstance(found, dict):
        return [None] * len(attributes)
    return [_cell(found.get(one.name), one.kind) for one in attributes]


def events_table() -> Table:
    """The table of events."""
    return Table(EVENT_COLUMNS, _event_row)


def _event_row(line: bytes) -> Row:
    """The row of an event; columns are named as its fields are, in lower case."""
    event: Mapping[str, Any] = {name.lower(): value for name, value in _read_any(line).items()}
    rest = [_cell(event.get(column.name), column.kind) for column in EVENT_COLUMNS[1:]]
    return [None if rest[0] is None else rest[0] * 1000, *rest]
