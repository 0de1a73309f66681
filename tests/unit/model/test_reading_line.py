"""A line of a reading comes back to the byte, whatever it looks like; what is no reading is said to be none."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.readings import Writer

from matrixhub.model.errors import UnstorableReading
from matrixhub.model.reading_line import (
    Splitter,
    head_renderer,
    render_aggregated,
    render_calendar,
    render_line,
)
from matrixhub.model.time import calendar
from matrixhub.sources.sites import make_site

SLOTS = make_site(60, seed=3).slots
ZONES = st.sampled_from(sorted(available_timezones() - {"localtime"}))
SECONDS = st.integers(978_307_200, 4_133_980_799)
INSTANTS = SECONDS.map(lambda second: second * 1000 + 417)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.dictionaries(
    TEXTS | st.sampled_from(["count", "stats", 'a":{"', "v", "}"]),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | TEXTS
    | st.lists(st.integers(), max_size=2),
    max_size=4,
)
AT_MS = 1_710_029_109_417


@given(ZONES, st.booleans(), st.lists(SECONDS, min_size=1, max_size=5))
def test_the_quick_calendar_is_the_calendar(time_zone: str, aggregates: bool, seconds: list[int]) -> None:
    render = render_aggregated if aggregates else render_calendar
    quick = head_renderer(time_zone, aggregates)
    for second in seconds:
        for near in (second, second - second % 900, second - second % 900 - 1):
            assert quick(near) == render(calendar(near * 1000, ZoneInfo(time_zone)))


@given(st.sampled_from(SLOTS), st.lists(st.tuples(INSTANTS, VALUES), min_size=1, max_size=4), st.data())
def test_every_line_of_ingest_comes_back_to_the_byte(slot: Any, readings: list[tuple[int, Any]], data: Any) -> None:
    writer, splitter = Writer(), Splitter(origins_max=2)
    for instant_ms, values in readings:
        hardware = data.draw(st.none() | TEXTS)
        line = writer.line(slot, instant_ms, values, DASSOC=hardware)
        if data.draw(st.booleans()):
            line = line[:-1] + b',"stats":%b}' % msgspec.json.encode(data.draw(VALUES))
        for carefully in (False, True):
            kept = splitter.split(line, carefully=carefully)
            assert render_line(kept) == line
            assert (kept.instant_ms, kept.origin.slot_id, kept.origin.zone_id) == (instant_ms, slot.id, slot.zone_id)
            assert kept.values is None or msgspec.json.decode(kept.values) == msgspec.json.decode(
                msgspec.json.encode(values)
            )


def test_a_line_of_the_usual_form_is_not_kept_whole() -> None:
    writer, splitter = Writer(), Splitter()
    for slot in SLOTS:
        for number in range(2):
            assert splitter.split(writer.line(slot, AT_MS + number, {"p": 1})).line is None


@pytest.mark.parametrize(
    "tail",
    [
        b'{"a":1},"x":{}}',
        b'{"a":1},"x":2}',
        b'{"a":1},"v":{"a":2}}',
        b'{"a":1} }',
        b'{"a":"}"}}',
        b'{"a":1},"InsID":"other"}',
    ],
)
def test_a_line_that_only_begins_like_those_of_ingest_comes_back_too(tail: bytes) -> None:
    writer, splitter = Writer(), Splitter()
    known = writer.line(SLOTS[0], AT_MS, {"a": 1})
    splitter.split(known)
    line = known.partition(b',"v":')[0] + b',"v":' + tail
    kept = splitter.split(line)
    assert render_line(kept) == line
    read = msgspec.json.decode(line)
    assert (kept.origin.zone_id, msgspec.json.decode(kept.values or "")) == (read["InsID"], read["v"])


@given(st.binary(max_size=60) | VALUES.map(msgspec.json.encode))
def test_what_is_no_reading_is_said_to_be_none(line: bytes) -> None:
    with pytest.raises(UnstorableReading):
        Splitter().split(line)


@given(st.binary(max_size=30), st.integers(0, 600), st.integers(0, 30))
def test_a_damaged_line_comes_back_as_it_is_or_is_none(damage: bytes, start: int, length: int) -> None:
    good = Writer().line(SLOTS[0], AT_MS, {"a": 1, "b": "text"})
    splitter = Splitter()
    splitter.split(good)
    line = good[:start] + damage + good[start + length :]
    for carefully in (False, True):
        try:
            kept = splitter.split(line, carefully=carefully)
        except UnstorableReading:
            continue
        assert render_line(kept) == line
