"""What applications may publish, and how many."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matrixhub.model.application import (
    META_BYTES_MAX,
    META_DEPTH_MAX,
    Application,
    Quota,
    Usage,
    application_event,
    check_application_id,
    check_name,
    check_quota,
    fresh_usage,
    refill,
    used,
)
from matrixhub.model.errors import (
    InvalidValue,
    LimitViolated,
    MissingParameters,
    RateExceeded,
    RequestError,
    WrongParameters,
)
from matrixhub.model.event import CATALOGUE, check_envelope, envelope
from matrixhub.model.ids import ApplicationId, BuildingId, PropertyId

NOON = datetime(2024, 3, 10, 12, tzinfo=UTC)
QUOTA = Quota()
BUILDINGS = frozenset({BuildingId("b1"), BuildingId("Block 7.1")})
APPLICATION = Application(
    id=ApplicationId("lift-monitor"),
    property_id=PropertyId("p1"),
    name="Lifts",
    quota=QUOTA,
    usage=fresh_usage(QUOTA, NOON),
    created_at=NOON,
)
GOOD: dict[str, Any] = {"Event": "LIFT_STUCK", "Priority": "HIGH", "Description": "Lift 2", "Meta": {"Lift": 2}}


def made(**changes: Any) -> Any:
    item = {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}
    return envelope(application_event(APPLICATION, item, BUILDINGS, 1_710_000_000))


@pytest.mark.parametrize("text", ["abc", "lift-monitor", "a" * 64, "0_x", "-s-c"])
def test_an_id_fits_the_routing_key(text: str) -> None:
    assert check_application_id(text) == text


@pytest.mark.parametrize(
    "text", ["", "ab", "a" * 65, "scgrids", "sc-mine", "Lift", "a.b", "a*b", "a b", "a#b", "é" * 3, "abc\n"]
)
def test_an_id_of_another_form_or_of_the_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        check_application_id(text)


@pytest.mark.parametrize("change", [{"per_minute": 0}, {"burst": -1}, {"per_day": 0}, {"per_day": 10**9}])
def test_a_quota_is_more_than_nothing_and_has_an_end(change: dict[str, int]) -> None:
    check_quota(QUOTA)
    with pytest.raises(InvalidValue):
        check_quota(replace(QUOTA, **change))


@pytest.mark.parametrize("name", ["x" * 201, "a\x00b", "a\nb"])
def test_a_name_that_cannot_be_shown_is_refused(name: str) -> None:
    with pytest.raises(InvalidValue):
        check_name(name)


def test_an_event_of_an_application_is_in_its_name_and_of_its_property() -> None:
    found = made()
    check_envelope(found)
    assert found["RoutingKey"] == "matrix.p1.lift-monitor.LIFT_STUCK.HIGH"
    assert (found["ID"], found["Entity"], found["PType"]) == ("p1", "p1", "property")
    assert found["Meta"] == {"Lift": 2}


def test_an_event_may_belong_to_a_building_of_the_property() -> None:
    found = made(Principal="Block 7.1")
    check_envelope(found)
    assert (found["Principal"], found["PType"], found["ID"]) == ("Block_7_1", "building", "Block 7.1")


def nested(depth: int) -> Any:
    """Objects and lists in turn, the outermost an object."""
    document: Any = {}
    for level in range(depth - 1, 0, -1):
        document = {"a": document} if level % 2 else [document]
    return document


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        *(({name: ...}, MissingParameters) for name in ("Event", "Priority", "Description", "Meta")),
        *(({"Event": event}, WrongParameters) for event in ("lift", "AB", "A" * 65, "A.B", "A*B", "1AB", "", 5, None)),
        *(({"Event": event}, WrongParameters) for event in CATALOGUE),
        *(({"Priority": priority}, WrongParameters) for priority in ("high", "URGENT", "", None, 1)),
        ({"Priority": []}, WrongParameters),
        ({"Principal": "p2"}, WrongParameters),
        ({"Principal": "*"}, WrongParameters),
        ({"Principal": ["b1"]}, WrongParameters),
        ({"Principal": {}}, WrongParameters),
        ({"Description": "x" * 1_001}, LimitViolated),
        ({"Description": "two\nlines"}, WrongParameters),
        ({"Description": "bell\x07"}, WrongParameters),
        ({"Description": "half \ud83d"}, WrongParameters),
        ({"Description": 5}, WrongParameters),
        ({"Meta": []}, WrongParameters),
        ({"Meta": None}, WrongParameters),
        ({"Meta": {"a": "half \ud83d"}}, WrongParameters),
        ({"Meta": {"a": "x" * META_BYTES_MAX}}, LimitViolated),
        ({"Meta": {"a": "é" * (META_BYTES_MAX // 2)}}, LimitViolated),
        ({"Meta": nested(META_DEPTH_MAX + 1)}, LimitViolated),
        ({"Meta": nested(5_001)}, LimitViolated),
        ({"Module": "scgrids"}, WrongParameters),
        ({"RoutingKey": "matrix.p2.scgrids.ZONE_REMOVED.HIGH"}, WrongParameters),
        ({"Entity": "p2"}, WrongParameters),
    ],
)
def test_an_event_that_breaks_a_rule_is_refused(changes: dict[str, Any], error: type[RequestError]) -> None:
    with pytest.raises(error):
        made(**changes)


@pytest.mark.parametrize("item", [None, 5, "x", [], [GOOD]])
def test_what_is_no_object_is_refused(item: object) -> None:
    with pytest.raises(WrongParameters):
        application_event(APPLICATION, item, BUILDINGS, 0)


def test_what_just_fits_is_taken() -> None:
    made(Description="x" * 1_000, Meta={"a": "x" * (META_BYTES_MAX - 8)})
    made(Meta=nested(META_DEPTH_MAX))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda v: st.lists(v) | st.dictionaries(st.text(), v),
)


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(["Event", "Priority", "Description", "Meta", "Principal", "Time"]), json_values))
def test_whatever_is_asked_gives_an_event_that_holds_to_the_contract_or_a_named_error(item: dict[str, Any]) -> None:
    try:
        found = envelope(application_event(APPLICATION, item, BUILDINGS, 1_710_000_000))
    except (WrongParameters, MissingParameters, LimitViolated):
        return
    check_envelope(found)
    assert (found["Module"], found["Entity"]) == ("lift-monitor", "p1")


def test_a_burst_is_taken_at_once_and_then_one_a_second() -> None:
    empty = used(QUOTA, fresh_usage(QUOTA, NOON), 100, NOON)
    with pytest.raises(RateExceeded) as caught:
        used(QUOTA, empty, 5, NOON)
    assert caught.value.retry_after_s == pytest.approx(5.0)
    later = NOON + timedelta(seconds=5)
    assert used(QUOTA, empty, 5, later).tokens == pytest.approx(0.0)


def test_what_is_more_than_a_burst_never_can_be_taken() -> None:
    with pytest.raises(LimitViolated) as caught:
        used(QUOTA, fresh_usage(QUOTA, NOON), 101, NOON)
    assert not isinstance(caught.value, RateExceeded)


def test_a_day_has_an_end_and_begins_anew_at_midnight_utc() -> None:
    quota = Quota(per_minute=6_000, burst=100, per_day=150)
    usage = used(quota, fresh_usage(quota, NOON), 100, NOON)
    later = NOON + timedelta(hours=1)
    with pytest.raises(RateExceeded) as caught:
        used(quota, usage, 51, later)
    assert caught.value.retry_after_s == pytest.approx(11 * 3600)
    assert used(quota, usage, 50, later).day_events == 150
    assert used(quota, usage, 51, NOON + timedelta(hours=12)).day_events == 51


def test_a_clock_that_goes_back_takes_nothing_away_and_gives_nothing() -> None:
    usage = used(QUOTA, fresh_usage(QUOTA, NOON), 60, NOON)
    back = NOON - timedelta(minutes=10)
    assert refill(QUOTA, usage, back) == usage
    again = used(QUOTA, usage, 40, back)
    with pytest.raises(RateExceeded) as caught:
        used(QUOTA, again, 1, back)
    assert caught.value.retry_after_s == pytest.approx(601.0)


def test_a_clock_that_was_years_ahead_does_not_block_an_application_for_years() -> None:
    usage = Usage(tokens=0.0, at=NOON + timedelta(days=900), day=date(2026, 8, 27), day_events=7)
    found = refill(QUOTA, usage, NOON)
    assert (found.tokens, found.at, found.day, found.day_events) == (0.0, NOON, NOON.date(), 7)
    assert used(QUOTA, found, 1, NOON + timedelta(seconds=1)).day_events == 8


def test_a_smaller_burst_holds_at_once() -> None:
    usage = fresh_usage(QUOTA, NOON)
    assert refill(replace(QUOTA, burst=3), usage, NOON).tokens == 3.0


steps = st.lists(st.tuples(st.floats(0, 90), st.integers(1, 40)), min_size=1, max_size=40)


@given(steps, st.integers(1, 600), st.integers(1, 120))
def test_in_no_stretch_of_time_more_is_taken_than_a_burst_and_what_fills_up(
    requests: list[tuple[float, int]], per_minute: int, burst: int
) -> None:
    quota = Quota(per_minute=per_minute, burst=burst, per_day=10_000_000)
    usage, now = fresh_usage(quota, NOON), NOON
    taken: list[tuple[datetime, int]] = []
    for wait_s, count in requests:
        now += timedelta(seconds=wait_s)
        try:
            usage = used(quota, usage, count, now)
        except LimitViolated:
            continue
        taken.append((now, count))
    for start, (since, _) in enumerate(taken):
        total = 0
        for until, count in taken[start:]:
            total += count
            assert total <= burst + per_minute / 60 * (until - since).total_seconds() + 0.001


@given(steps)
def test_after_the_time_that_is_told_the_same_is_taken(requests: list[tuple[float, int]]) -> None:
    usage, now = fresh_usage(QUOTA, NOON), NOON
    for wait_s, count in requests:
        now += timedelta(seconds=wait_s / 10)
        try:
            usage = used(QUOTA, usage, count, now)
        except RateExceeded as error:
            now += timedelta(seconds=error.retry_after_s)
            usage = used(QUOTA, usage, count, now)


@given(steps, st.integers(10, 200))
def test_in_no_day_more_is_taken_than_its_quota(requests: list[tuple[float, int]], per_day: int) -> None:
    quota = Quota(per_minute=10_000, burst=10_000, per_day=per_day)
    usage, now = fresh_usage(quota, NOON), NOON
    days: dict[date, int] = {}
    for wait_s, count in requests:
        now += timedelta(minutes=wait_s)
        try:
            usage = used(quota, usage, count, now)
        except LimitViolated:
            continue
        days[now.date()] = days.get(now.date(), 0) + count
    assert all(total <= per_day for total in days.values())
