"""Readings and events as rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from matrixhub.databases.rows import COLUMNS, EVENT_COLUMNS, READING_COLUMNS, ROW_OF, event_row, json_text, reading_row
from matrixhub.databases.schema import statements
from matrixhub.model.errors import UnstorableReading

READING: dict[str, Any] = {
    "t": "20240310080509",
    "time": "2024-03-10T08:05:09+0800",
    "dow": "0",
    "month": "03",
    "dom": "10",
    "hour": "08",
    "minute": "05",
    "utc": 1710029109,
    "unix": 1710029109,
    "expire_at": 1725581109,
    "unixT": 1710029109417,
    "Region": "Asia/Singapore",
    "DEVID": "d",
    "DevType": "SMARTCLEAN#PPLCTR",
    "PID": "b",
    "PropId": "p",
    "InsID": "z",
    "Display": "Door",
    "DASSOC": "",
    "DevSubType": "1",
    "Type": "",
    "v": {"count": 3},
}
EVENT: dict[str, Any] = {
    "ID": "b",
    "ATTR": "E#p#b#1",
    "Description": "Spill",
    "Event": "E",
    "Principal": "b",
    "PType": "building",
    "Entity": "p",
    "EType": "property",
    "RoutingKey": "matrix.b.m.E.HIGH",
    "RoutingKeyS": ["matrix"],
    "Status": "HIGH",
    "Time": "m#1710036063",
    "UnixTime": "1710036063",
    "UnixTimeInt": 1710036063,
    "Module": "m",
    "Meta": {"AEnd": 0},
}


def reading(**changed: object) -> bytes:
    return msgspec.json.encode({name: value for name, value in (READING | changed).items() if value is not ...})


@pytest.mark.parametrize("text", [b'{"x":1e200000}', b'{"x":%b1.0%b}' % (b"[" * 3000, b"]" * 3000)])
def test_what_is_too_large_or_too_deep_to_look_into_is_left_to_postgresql(text: bytes) -> None:
    assert json_text(text) == text.decode()


def test_a_number_that_a_float_cannot_tell_from_its_neighbours_is_not_made_another() -> None:
    assert json_text(b'{"x":1e22,"y":4.0}') == '{"x":1e22,"y":4}'


@pytest.mark.parametrize("name", ["utc", "expire_at"])
def test_a_number_too_large_for_its_column_is_refused(name: str) -> None:
    with pytest.raises(UnstorableReading, match="larger number"):
        reading_row(reading(**{name: 2**63}))


def row_of(line: bytes) -> dict[str, Any]:
    return dict(zip(READING_COLUMNS, reading_row(line), strict=True))


def test_a_reading_has_the_columns_of_its_keys() -> None:
    row = row_of(reading())
    assert row["time"] == datetime(2024, 3, 10, 0, 5, 9, 417_000, tzinfo=UTC)
    assert row["v"] == '{"count":3}'
    assert row["stats"] is None
    for name, value in row.items():
        known = {key.lower(): key for key in READING}
        if name not in ("time", "v", "stats"):
            assert value == READING[known[name]], name


def test_an_event_has_the_columns_of_its_keys() -> None:
    row = dict(zip(EVENT_COLUMNS, event_row(msgspec.json.encode(EVENT)), strict=True))
    assert row["time"] == datetime(2024, 3, 10, 2, 1, 3, tzinfo=UTC)
    assert row["meta"] == '{"AEnd":0}'
    known = {key.lower(): key for key in EVENT}
    for name, value in row.items():
        if name not in ("time", "meta"):
            assert value == EVENT[known[name]], name


@pytest.mark.parametrize("left_out", ["PropId", "DevSubType", "DASSOC", "Display", "utc", "expire_at", "stats", "Type"])
def test_what_not_every_reading_has_may_be_missing(left_out: str) -> None:
    row_of(reading(**{left_out: ...}))


@pytest.mark.parametrize("left_out", ["DEVID", "DevType", "PID", "InsID", "Region", "unixT", "t", "month", "v"])
def test_what_every_reading_has_may_not(left_out: str) -> None:
    with pytest.raises(UnstorableReading, match=left_out):
        reading_row(reading(**{left_out: ...}))


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ({"count": 2.0}, '{"count":2}'),
        ({"a": [1.0, 1.5], "b": {"c": -3.0}}, '{"a":[1,1.5],"b":{"c":-3}}'),
        ({"text": "2.0"}, '{"text":"2.0"}'),
        ({"big": 12345678901234567890}, '{"big":12345678901234567890}'),
    ],
)
def test_integral_numbers_are_stored_without_a_fraction(written: object, stored: str) -> None:
    assert row_of(reading(v=written))["v"] == stored


@pytest.mark.parametrize("changed", [{"Display": "a\x00b"}, {"v": {"a": "\x00"}}, {"unixT": 10**17}, {"unixT": "1"}])
def test_what_postgresql_does_not_take_is_told(changed: dict[str, object]) -> None:
    with pytest.raises(UnstorableReading):
        reading_row(reading(**changed))


@pytest.mark.parametrize("line", [b"", b"null", b"[]", b"{", b"\xff", b"[" * 5000])
@pytest.mark.parametrize("source", list(ROW_OF))
def test_what_is_no_reading_and_no_event_is_told(source: Any, line: bytes) -> None:
    with pytest.raises(UnstorableReading):
        ROW_OF[source](line)


@pytest.mark.parametrize(("source", "table"), [("sensors", "sensor_data"), ("events", "events")])
def test_the_columns_are_those_of_the_schema(source: Any, table: str) -> None:
    made = statements()[table]
    named = [line.split()[0] for line in made.splitlines()[1:-1] if line.startswith("  ") and "primary" not in line]
    assert tuple(named) == tuple(COLUMNS[source])
