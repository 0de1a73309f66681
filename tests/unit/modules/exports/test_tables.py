"""Lines as rows of a table."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from matrixhub.databases import rows
from matrixhub.model.errors import InvalidValue
from matrixhub.model.export import ATTRIBUTES_MAX, Attribute, read_attributes
from matrixhub.modules.exports.tables import EVENT_COLUMNS, READING_COLUMNS, events_table, readings_table

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
    "v": {"count": 3},
}
EVENT = {
    "ATTR": "a",
    "Event": "E",
    "Principal": "b",
    "Module": "m",
    "Status": "HIGH",
    "RoutingKey": "matrix.b.m.E.HIGH",
    "UnixTimeInt": 1710036063,
    "PType": "building",
    "Entity": "p",
    "EType": "property",
    "ID": "b",
    "Description": "Spill",
    "Meta": {"AEnd": 0},
}


def line(**changes: Any) -> bytes:
    return json.dumps({**READING, **changes}, separators=(",", ":")).encode()


def cells(raw: bytes, *attributes: Attribute) -> dict[str, Any]:
    table = readings_table(attributes)
    return dict(zip([column.name for column in table.columns], table.row_of(raw), strict=True))


def test_the_columns_are_those_of_a_customers_database() -> None:
    assert tuple(column.name for column in READING_COLUMNS) == rows.READING_COLUMNS
    assert tuple(column.name for column in EVENT_COLUMNS) == rows.EVENT_COLUMNS


def test_a_reading_has_the_cells_that_it_has_in_a_customers_database() -> None:
    theirs = dict(zip(rows.READING_COLUMNS, rows.reading_row(line()), strict=True))
    ours = cells(line())
    assert theirs.pop("time") == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ours.pop("time"))
    assert ours == theirs


def test_an_event_has_the_cells_that_it_has_in_a_customers_database() -> None:
    raw = json.dumps(EVENT, separators=(",", ":")).encode()
    theirs = dict(zip(rows.EVENT_COLUMNS, rows.event_row(raw), strict=True))
    table = events_table()
    ours = dict(zip([column.name for column in table.columns], table.row_of(raw), strict=True))
    assert theirs.pop("time") == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ours.pop("time"))
    assert ours == theirs


@pytest.mark.parametrize(
    ("raw", "name", "cell"),
    [
        (line(Display=["a"]), "display", '["a"]'),
        (line(Display=7), "display", "7"),
        (line(Display=None), "display", None),
        (line(utc="soon"), "utc", None),
        (line(utc="1710029109"), "utc", 1710029109),
        (line(utc=1 << 70), "utc", None),
        (line(v=[1]), "v", "[1]"),
        (line().replace(b'"Door"', b'"\\u0000"'), "display", "\x00"),
        (line().replace(b'{"count":3}', b'{"a":"\\u0000"}'), "v", '{"a":"\\u0000"}'),
        (line().replace(b'{"count":3}', b'{"count":2.0}'), "v", '{"count":2.0}'),
    ],
)
def test_what_is_odd_in_a_reading_loses_none_of_the_rest(raw: bytes, name: str, cell: Any) -> None:
    found = cells(raw)
    assert found[name] == cell
    assert (found["time"], found["devid"], found["region"]) == (1710029109417, "d", "Asia/Singapore")


@pytest.mark.parametrize(
    ("kind", "value", "cell"),
    [
        ("number", 3, 3.0),
        ("number", "3.5", 3.5),
        ("number", True, None),
        ("number", "-", None),
        ("number", None, None),
        ("number", {"a": 1}, None),
        ("integer", 3.0, 3),
        ("integer", 3.5, None),
        ("integer", 1 << 63, None),
        ("integer", -(1 << 63), -(1 << 63)),
        ("integer", "9007199254740993", 9007199254740993),
        ("text", "x", "x"),
        ("text", 3, "3"),
        ("text", {"a": [1]}, '{"a":[1]}'),
        ("text", False, "false"),
    ],
)
def test_an_attribute_is_of_its_kind_or_empty(kind: Any, value: Any, cell: Any) -> None:
    found = cells(line(v={"x": value}), Attribute("x", kind))["v_x"]
    assert found == cell
    assert type(found) is type(cell)


@pytest.mark.parametrize("values", [b"[1]", b'"count"', b"null", b"7"])
def test_values_that_cannot_be_looked_into_have_no_attributes(values: bytes) -> None:
    found = cells(line().replace(b'{"count":3}', values), Attribute("count"))
    assert (found["v_count"], found["v"]) == (None, values.decode())


@pytest.mark.parametrize(
    "text",
    ["a,", ",", "a:b", "a,a", "a:text,a", "x" * 65, "a\x00", ",".join(f"a{n}" for n in range(ATTRIBUTES_MAX + 1))],
)
def test_a_wrong_list_of_attributes_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        read_attributes(text)
    assert [path for path, _ in refused.value.fields] == ["attributes"]
