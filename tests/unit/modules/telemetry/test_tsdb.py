"""Queries of the time series database: read, or refused with what is wrong; values put together as they should be."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrixhub.model.errors import MissingParameters, QueryTooLong, WrongParameters
from matrixhub.model.ids import BuildingId, SlotId, ZoneId
from matrixhub.model.past import Summary, epoch_ms
from matrixhub.modules.telemetry.metrics import METRICS, metric_of
from matrixhub.modules.telemetry.named import (
    DAYS,
    READINGS,
    SERIES,
    DaysAsked,
    ReadingsAsked,
    named_query,
    tsdb_query,
)
from matrixhub.modules.telemetry.tsdb import AGGREGATIONS, INTERVALS, Query, answer, parse_query

NOW = datetime(2024, 3, 10, 8, 5, 9, tzinfo=UTC)
GOOD: dict[str, Any] = {
    "time": {"start": "2024-03-10T00:00:00Z", "end": "2024-03-10T01:00:00Z"},
    "metrics": ["count"],
    "aggregations": ["sum"],
    "aggregationInterval": "30T",
}


def parsed(**changes: Any) -> Query:
    return parse_query({**GOOD, **changes}, now=NOW)


def test_a_published_query_is_read() -> None:
    query = parsed(
        filter=[{"tagk": "l2class", "tagv": "d1"}, {"tagk": "L2CLASS", "tagv": ["d2"]}],
        filters=[{"tagk": "l1class", "tagv": "z"}],
    )
    assert (query.start, query.end) == (datetime(2024, 3, 10, tzinfo=UTC), datetime(2024, 3, 10, 1, tzinfo=UTC))
    assert (query.wanted.slots, query.wanted.zones, query.wanted.buildings) == (["d1", "d2"], ["z"], None)


@pytest.mark.parametrize(("start", "length"), [("-1h", 3600), ("-90m", 5400), ("-30s", 30)])
def test_a_relative_start_reaches_up_to_now(start: str, length: int) -> None:
    query = parsed(time={"start": start})
    assert (query.end, query.end - query.start) == (NOW, timedelta(seconds=length))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        *[({name: None}, MissingParameters) for name in GOOD],
        ({"time": {"end": "2024-03-10T01:00:00Z"}}, MissingParameters),
        ({"time": {"start": "2024-03-10T01:00:00Z"}}, MissingParameters),
        ({"time": {"start": "-1h", "end": "2024-03-10T01:00:00Z"}}, WrongParameters),
        ({"time": {"start": "-1d"}}, WrongParameters),
        ({"time": {"start": "-800h"}}, QueryTooLong),
        ({"time": {"start": "2024-03-10T01:00:00Z", "end": "2024-03-10T00:00:00Z"}}, WrongParameters),
        ({"time": {"start": "2024-03-10T00:00:00+08:00", "end": "2024-03-11T00:00:00Z"}}, WrongParameters),
        ({"time": {"start": "2024-02-30T00:00:00Z", "end": "2024-03-11T00:00:00Z"}}, WrongParameters),
        ({"time": {"start": "0000-02-03T00:00:00Z", "end": "2024-03-11T00:00:00Z"}}, WrongParameters),
        ({"time": {"start": "2024-01-01T00:00:00Z", "end": "2024-03-11T00:00:00Z"}}, QueryTooLong),
        ({"time": "-1h"}, WrongParameters),
        ({"metrics": []}, WrongParameters),
        ({"metrics": ["nonsense"]}, WrongParameters),
        ({"metrics": ["sg.smartclean.pplctr.raw.rating"]}, WrongParameters),
        ({"metrics": "count"}, WrongParameters),
        ({"metrics": ["count"] * 21}, WrongParameters),
        ({"aggregations": []}, WrongParameters),
        ({"aggregations": ["median"]}, WrongParameters),
        ({"aggregationInterval": "2T"}, WrongParameters),
        ({"aggregationInterval": 30}, WrongParameters),
        ({"filter": {"tagk": "l2class"}}, WrongParameters),
        ({"filter": [{"tagk": "l3class", "tagv": "x"}]}, WrongParameters),
        ({"filter": [{"tagk": "l2class"}]}, WrongParameters),
        ({"filter": [{"tagk": "l2class", "tagv": ["x"] * 1001}]}, QueryTooLong),
        ({"postQueryOps": [{"op": "sort"}]}, WrongParameters),
        ({"postQueryOps": [{"op": "aggregation", "type": "avg"}]}, WrongParameters),
        ({"postQueryOps": [{"op": "group by", "args": []}]}, WrongParameters),
        ({"postQueryOps": [{"op": "group by", "args": [{"key": "by", "value": ["nonsense"]}]}]}, WrongParameters),
        ({"resamplingParams": {"duration": "45T", "fn": "sum"}}, WrongParameters),
        ({"resamplingParams": {"duration": "2D", "fn": "sum"}}, WrongParameters),
        ({"resamplingParams": {"duration": "1H"}}, WrongParameters),
        ({"resamplingParams": {"duration": "0T", "fn": "sum"}}, WrongParameters),
    ],
)
def test_what_is_wrong_with_a_query_is_said(change: Mapping[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        parsed(**change)


@pytest.mark.parametrize(("hours", "interval"), [(1, "1T"), (3, "1T"), (12, "5T"), (24, "15T"), (100, "30T")])
def test_the_interval_follows_from_the_time_that_is_asked_about(hours: int, interval: str) -> None:
    body = {**GOOD, "time": {"start": f"-{hours}h"}, "aggregationInterval": None}
    assert parse_query(body, now=NOW, auto=True).interval == interval


def test_a_building_of_the_query_string_narrows_and_contradicts() -> None:
    one, other = BuildingId("b1"), [{"tagk": "l0class", "tagv": "b2"}]
    assert parse_query(GOOD, now=NOW, building=one).wanted.buildings == ["b1"]
    assert parse_query({**GOOD, "filter": other}, now=NOW, building=one).wanted.buildings == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (*GOOD, "filter", "filters", "postQueryOps", "resamplingParams", "id", "params", "LastEvaluatedKey")
NAMES = st.sampled_from([*SERIES, *DAYS, *READINGS])
PARAMS = st.lists(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from(["$start", "$end", "$devid", "devtype", "$zone", "$limit", "$metric", "$interval"]),
            "value": JSON | st.sampled_from([0, 3600, "1710000000", "30T", "ppl_in"]),
        }
    ),
    max_size=6,
)


@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4), st.booleans(), PARAMS, NAMES)
def test_any_body_is_read_or_refused(body: dict[str, Any], whole: bool, params: Any, name: str) -> None:
    given_body = {**GOOD, **body} if whole else body
    named = {"id": name, "params": params, **({} if whole else body)}
    for read in (
        lambda: parse_query(given_body, now=NOW),
        lambda: parse_query(given_body, now=NOW, auto=True),
        lambda: tsdb_query(named, now=NOW, building=None),
        lambda: named_query(named, None),
    ):
        try:
            assert isinstance(read(), Query | ReadingsAsked | DaysAsked)
        except (MissingParameters, WrongParameters, QueryTooLong) as error:
            assert error.message  # noqa: PT017 - either is fine


def test_every_attribute_of_every_type_has_a_metric() -> None:
    assert metric_of("sg.smartclean.odrdtr.raw.alc").devtype == "SMARTCLEAN#ODRDTR"
    assert {metric_of(name) for name in METRICS} == set(METRICS.values())


def summary(slot: str, minutes: int, *numbers: int, zone: str = "z", metric: int = 0) -> Summary:
    return Summary(
        metric=metric,
        building_id=BuildingId("b"),
        zone_id=ZoneId(zone),
        slot_id=SlotId(slot),
        time_zone="Asia/Singapore",
        bucket=datetime(2024, 3, 10, tzinfo=UTC) + timedelta(minutes=minutes),
        count=len(numbers),
        sum=Decimal(sum(numbers)),
        least=Decimal(min(numbers)),
        greatest=Decimal(max(numbers)),
    )


def told(query: Query, *found: Summary, series: int = 0) -> list[tuple[str, ...]]:
    made: Any = answer(query, found)
    return [tuple(row.values()) for row in made["series"][series]["values"]]


def test_each_aggregation_has_a_row() -> None:
    rows = told(parsed(aggregations=list(AGGREGATIONS)), summary("d", 0, 1, 2, 4))
    assert {row[3]: row[5] for row in rows} == {"avg": "2.333333", "min": "1", "max": "4", "sum": "7", "count": "3"}


def test_metrics_have_a_series_each_in_their_order() -> None:
    query = parsed(metrics=["ppl_out", "ppl_in"])
    found = summary("d", 0, 1, metric=1), summary("d", 0, 2, metric=0)
    assert [told(query, *found, series=n)[0][-1] for n in (0, 1)] == ["2", "1"]


def test_buckets_are_put_together_to_longer_ones() -> None:
    query = parsed(resamplingParams={"duration": "1H", "fn": "max"})
    rows = told(query, summary("d", 0, 1, 2), summary("d", 30, 4), summary("d", 60, 1), summary("e", 0, 1))
    assert [(row[2], row[4], row[5]) for row in rows] == [
        ("d", "2024-03-10T00:00:00Z", "4"),
        ("e", "2024-03-10T00:00:00Z", "1"),
        ("d", "2024-03-10T01:00:00Z", "1"),
    ]


def test_days_begin_at_midnight_where_the_building_is() -> None:
    query = parsed(resamplingParams={"duration": "1D", "fn": "sum"})
    rows = told(query, summary("d", 0, 1), summary("d", 959, 2), summary("d", 960, 4))
    assert [(row[4], row[5]) for row in rows] == [("2024-03-09T16:00:00Z", "3"), ("2024-03-10T16:00:00Z", "4")]


def test_an_aggregation_without_groups_sums_up_all_slots() -> None:
    query = parsed(postQueryOps=[{"op": "aggregation", "type": "sum"}])
    assert told(query, summary("d", 0, 1), summary("e", 0, 2), summary("e", 30, 4)) == [
        ("sum", "2024-03-10T00:00:00Z", "3"),
        ("sum", "2024-03-10T00:30:00Z", "4"),
    ]


@pytest.mark.parametrize("name", sorted(SERIES))
def test_every_named_series_is_a_good_query(name: str) -> None:
    params = [{"key": "$start", "value": 1710029000}, {"key": "end", "value": "1710030000"}]
    query = tsdb_query({"id": name, "params": params}, now=NOW, building=None)
    assert epoch_ms(query.end) - epoch_ms(query.start) == 1_000_000
    assert query.interval in INTERVALS
