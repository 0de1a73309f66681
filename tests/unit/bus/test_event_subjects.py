"""Subjects of events: a subscription gets what matches its patterns, of its own property, and nothing else."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from matrixhub.bus.subjects import (
    SUBJECTS,
    event_subject,
    filter_matcher,
    filter_pattern,
    filter_patterns,
    property_pattern,
    sensor_subject,
    subject_matches,
)
from matrixhub.model.event import key_part
from matrixhub.model.ids import BuildingId, PropertyId
from matrixhub.model.routing import expanded, matches
from matrixhub.model.subscription import Filter

ODD = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=5).map(key_part)
WORD = st.sampled_from(["matrix", "b1", "b=31", "é", "a_b", "HIGH"]) | ODD
KEY = st.tuples(WORD, WORD, WORD, WORD, WORD)
PATTERN = st.lists(WORD | st.sampled_from(["*", "#"]), min_size=1, max_size=7).map(".".join)
PROPERTY = st.sampled_from(["p", "p1", "p=31", "p.1", "*", "é >"]).map(PropertyId)


def events(*patterns: str) -> Filter:
    return Filter(source="events", patterns=frozenset(patterns))


@settings(derandomize=True, max_examples=400, deadline=None)
@given(patterns=st.sets(PATTERN, max_size=4), key=KEY, owner=PROPERTY, other=PROPERTY, data=st.data())
def test_a_filter_wants_the_subjects_whose_key_matches_a_pattern(
    patterns: set[str], key: tuple[str, ...], owner: PropertyId, other: PropertyId, data: st.DataObject
) -> None:
    if data.draw(st.booleans()):  # else hardly any pattern would match
        made = [word if data.draw(st.booleans()) else "*" for word in key]
        at = data.draw(st.integers(0, 4))
        patterns = {*patterns, ".".join([*made[:at], "#", *made[at + data.draw(st.integers(0, 2)) :]])}
    wanted = Filter(source="events", patterns=frozenset(patterns))
    subject = event_subject(other, key)
    expected = owner == other and (not patterns or any(matches(pattern, ".".join(key)) for pattern in patterns))
    assert filter_matcher(owner, wanted)(subject) is expected
    if not expected:
        return
    assert subject_matches(filter_pattern(owner, wanted), subject)
    assert subject_matches(property_pattern("events", owner), subject)
    assert subject_matches(SUBJECTS["events"], subject)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(patterns=st.sets(PATTERN.filter(expanded), min_size=1, max_size=4), key=KEY, owner=PROPERTY)
def test_the_exact_patterns_say_together_what_the_matcher_says(
    patterns: set[str], key: tuple[str, ...], owner: PropertyId
) -> None:
    wanted, subject = events(*patterns), event_subject(owner, key)
    found = any(subject_matches(pattern, subject) for pattern in filter_patterns(owner, wanted))
    assert found is filter_matcher(owner, wanted)(subject)


def test_a_building_named_like_that_of_another_property_leads_to_nothing() -> None:
    key = ["matrix", "b1", "scgrids", "ZONE_CREATED", "NORMAL"]
    for patterns in ((), ("#",), ("matrix.b1.#",), ("*.*.*.*.*",)):
        wants = filter_matcher(PropertyId("p1"), events(*patterns))
        assert wants(event_subject(PropertyId("p1"), key))
        assert not wants(event_subject(PropertyId("p2"), key))
        assert not wants(event_subject(PropertyId("p1.matrix"), key))


def test_readings_and_events_are_never_taken_for_each_other() -> None:
    reading = sensor_subject(PropertyId("p1"), BuildingId("b1"), "SMARTCLEAN#UM")
    event = event_subject(PropertyId("p1"), ["matrix", "b1", "scgrids", "ZONE_CREATED", "NORMAL"])
    assert not filter_matcher(PropertyId("p1"), events())(reading)
    assert not filter_matcher(PropertyId("p1"), Filter())(event)


def test_a_wildcard_in_a_word_of_a_key_stands_for_itself() -> None:
    wants = filter_matcher(PropertyId("p"), events("matrix.b1.m.E.HIGH"))
    assert not wants(event_subject(PropertyId("p"), ["matrix", "*", "m", "E", "HIGH"]))
    assert filter_matcher(PropertyId("p"), events("matrix.*.m.E.HIGH"))(
        event_subject(PropertyId("p"), ["matrix", "*", "m", "E", "HIGH"])
    )
