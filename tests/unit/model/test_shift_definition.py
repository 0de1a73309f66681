from __future__ import annotations

from dataclasses import replace

import pytest

from matrixhub.model.errors import LimitViolated, MissingParameters, WrongParameters
from matrixhub.model.shift_definition import ShiftDefinition, checked_definitions, definition_record, hours_record

EARLY = ShiftDefinition(name="Early", start_s=21_600, end_s=50_400, colour="#1F7A4D")
LATE = ShiftDefinition(name="Late", start_s=50_400, end_s=79_200, expected=3, expected_by_team={"A": 2})


def test_definitions_are_kept_in_the_order_of_their_start() -> None:
    assert checked_definitions([LATE, EARLY]) == (EARLY, LATE)


@pytest.mark.parametrize(
    "definitions, error",
    [
        ([], MissingParameters),
        ([replace(EARLY, name=" ")], MissingParameters),
        ([replace(EARLY, name=f"{n}") for n in range(51)], LimitViolated),
        ([EARLY, replace(LATE, name="Early")], WrongParameters),
        ([replace(EARLY, name="x" * 101)], WrongParameters),
        ([replace(EARLY, end_s=21_600)], WrongParameters),
        ([replace(EARLY, start_s=86_400)], WrongParameters),
        ([replace(EARLY, colour="green")], WrongParameters),
        ([replace(EARLY, expected=-1)], WrongParameters),
        ([replace(LATE, expected_by_team={"A": -1})], WrongParameters),
    ],
)
def test_definitions_that_cannot_be_are_refused(definitions: list[ShiftDefinition], error: type[Exception]) -> None:
    with pytest.raises(error):
        checked_definitions(definitions)


def test_the_records_have_what_was_given() -> None:
    assert definition_record(EARLY) == {"Name": "Early", "ColorCode": "#1F7A4D", "Start": 21_600, "End": 50_400}
    assert definition_record(LATE) == {
        "Name": "Late",
        "ColorCode": "",
        "Start": 50_400,
        "End": 79_200,
        "ExpectedPresent": 3,
        "ExpectedPresentByTeam": {"A": 2},
    }
    assert hours_record(EARLY) == {"ShiftName": "Early", "ColorCode": "#1F7A4D", "Start": 21_600, "End": 50_400}
