"""What is urgent of a filter is found by a filter of its own: the same events, no others."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.bus.test_event_subjects import KEY, PATTERN, PROPERTY, events

from matrixhub.bus.subjects import event_subject, filter_matcher, is_urgent, sensor_subject, urgent_filter
from matrixhub.model.ids import BuildingId, PropertyId
from matrixhub.model.subscription import Filter


@settings(derandomize=True, max_examples=300, deadline=None)
@given(patterns=st.sets(PATTERN, max_size=4), key=KEY, owner=PROPERTY, data=st.data())
def test_the_urgent_filter_wants_what_the_filter_wants_if_it_is_urgent(
    patterns: set[str], key: tuple[str, ...], owner: PropertyId, data: st.DataObject
) -> None:
    words = (*key[:4], data.draw(st.sampled_from(["HIGH", "NORMAL", key[4]])))
    if data.draw(st.booleans()):  # else hardly any pattern would match
        patterns = {*patterns, ".".join([*words[:2], "#", *data.draw(st.sampled_from([(), words[4:], ("*",)]))])}
    wanted, subject = Filter(source="events", patterns=frozenset(patterns)), event_subject(owner, words)
    urgent = urgent_filter(wanted)
    found = urgent is not None and filter_matcher(owner, urgent)(subject)
    assert found == (filter_matcher(owner, wanted)(subject) and is_urgent(subject))


@pytest.mark.parametrize("wanted", [Filter(), events("matrix.b1.*.*.NORMAL"), events("matrix.#.LOW")])
def test_a_filter_that_no_urgent_event_passes_has_no_urgent_part(wanted: Filter) -> None:
    assert urgent_filter(wanted) is None


def test_readings_are_never_urgent() -> None:
    assert not is_urgent(sensor_subject(PropertyId("p"), BuildingId("b"), "HIGH"))
