"""What requests bring about shifts, read leniently where clients differ and refused where they are wrong."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrixhub.model.address import Coordinates
from matrixhub.model.attendance import AttendanceIntegration, IntegrationId, checked_integration, happened_at
from matrixhub.model.errors import MissingParameters, RequestError, WrongParameters
from matrixhub.model.ids import PropertyId, SeatId
from matrixhub.modules.workforce import shift_inputs as inputs

PAIR = {"SeatId": "p_001", "ShiftId": "s1"}
READERS: tuple[Callable[[Any], object], ...] = (
    inputs.shift_plan,
    inputs.copy_plan,
    inputs.shift_changes,
    inputs.task_changes,
    inputs.scheduled_pairs,
    inputs.pairs_to_delete,
    inputs.break_meant,
    inputs.time_range,
    inputs.day_slots,
    inputs.days_of_week,
    inputs.availabilities,
    inputs.seat_zones,
    inputs.zone_ids,
    inputs.claim,
    inputs.timesheet_pairs,
    inputs.definitions,
    inputs.shift_hours,
    lambda body: inputs.coordinates(body, "ClockIn"),
)
NAMES = (
    *(
        "Shift",
        "shift",
        "Schedule",
        "taskGroup",
        "SeatId",
        "ShiftID",
        "Start",
        "End",
        "Zones",
        "Breaks",
        "Cost",
        "U",
        "V",
    ),
    *("Repeat", "RepeatDates", "Publish", "TaskGroups", "TaskId", "Priority", "Tasks", "DeleteTaskGroupIds", "Name"),
    *("AddTaskGroups", "ShiftBulkDelete", "SeatShiftPairs", "Coordinates", "ClockIn", "Latitude", "Longitude"),
    *("TimeSheet", "TimeSheets", "Availabilities", "DayOfWeek", "DaysOfWeek", "TimeSlots", "StartTime", "EndTime"),
    *("ShiftSettings", "ExpectedPresent", "ExpectedPresentByTeam", "ShiftHours", "ShiftName", "IncludeZones", "Zone"),
)
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from(["20240310"])
JSON = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=20,
)


@given(body=st.dictionaries(st.sampled_from(NAMES), JSON, max_size=8))
def test_whatever_comes_is_read_or_refused(body: dict[str, Any]) -> None:
    for read in READERS:
        with contextlib.suppress(RequestError):
            read(body)


def test_a_pair_has_both_spellings() -> None:
    assert inputs.pair_of({"SeatID": "p_001", "ShiftID": "s1"}) == ("p_001", "s1")
    with pytest.raises(MissingParameters, match="ShiftId"):
        inputs.pair_of({"SeatId": "p_001"})
    with pytest.raises(MissingParameters):
        inputs.pair_of({"SeatId": "", "ShiftId": "s1"})
    with pytest.raises(WrongParameters):
        inputs.pair_of({"SeatId": "p\x00", "ShiftId": "s1"})


@pytest.mark.parametrize("value", ["soon", True, [], 1e300, -1, "nan", "inf", 10**400])
def test_what_is_no_instant_is_refused(value: object) -> None:
    with pytest.raises(WrongParameters):
        inputs.instant({"Start": value}, "Start")


def test_where_somebody_is_stands_in_the_shift_or_beside_it_and_minus_one_is_nowhere() -> None:
    place = {"ClockIn": {"Latitude": "1.5", "Longitude": 103}}
    assert inputs.coordinates({"Shift": {**PAIR, "Coordinates": place}}, "ClockIn") == Coordinates(1.5, 103.0)
    assert inputs.coordinates({"Shift": PAIR, "Coordinates": place}, "ClockIn") == Coordinates(1.5, 103.0)
    assert inputs.coordinates({"Shift": PAIR, "Coordinates": place}, "ClockOut") is None
    nowhere = {"ClockIn": {"Latitude": -1, "Longitude": -1}}
    assert inputs.coordinates({"Coordinates": nowhere}, "ClockIn") is None
    with pytest.raises(MissingParameters):
        inputs.coordinates({"Coordinates": {"ClockIn": {"Latitude": 1}}}, "ClockIn")


def test_a_copy_takes_zones_and_breaks_unless_it_says_otherwise() -> None:
    plan = inputs.copy_plan({"Shift": PAIR, "Repeat": {"RepeatDates": ["20240310"]}})
    assert (plan.seat_id, plan.copy_on) == ("p_001", (date(2024, 3, 10),))
    assert (plan.include_zones, plan.include_breaks, plan.include_tasks) == (True, True, False)


def test_a_change_of_a_task_group_keeps_what_it_does_not_name() -> None:
    [change] = inputs.task_changes({"TaskGroups": [{"TaskId": "1", "Priority": "H"}]}).change
    assert (change.id, change.priority, change.name, change.tasks, change.starts_at) == ("1", "H", None, None, None)
    for wrong in ({"Priority": "X"}, {"Tasks": "t"}, {"Start": "soon"}):
        with pytest.raises(WrongParameters):
            inputs.task_changes({"TaskGroups": [{"TaskId": "1", **wrong}]})


def test_a_day_is_named_once_and_is_one_of_seven() -> None:
    slot = {"TimeSlots": [{"StartTime": 0, "EndTime": 60}]}
    assert set(inputs.availabilities({"Availabilities": [{"DaysOfWeek": [1, "2"], **slot}]})) == {1, 2}
    with pytest.raises(WrongParameters, match="twice"):
        inputs.availabilities({"Availabilities": [{"DayOfWeek": 1, **slot}, {"DayOfWeek": 1, **slot}]})
    with pytest.raises(WrongParameters):
        inputs.days_of_week({"DayOfWeek": 1.5})
    with pytest.raises(WrongParameters):
        inputs.days_of_week({"DayOfWeek": 7})


NOW = datetime(2024, 3, 10, 8, tzinfo=UTC)


def test_an_integration_knows_its_people_and_no_others() -> None:
    found = AttendanceIntegration(
        id=IntegrationId("att_1"),
        property_id=PropertyId("p"),
        name="Gate",
        users={"badge 17": SeatId("p_001")},
        created_at=NOW,
        updated_at=NOW,
    )
    assert found.seat_of("badge 17") == "p_001"
    with pytest.raises(WrongParameters):
        found.seat_of("badge 18")


@pytest.mark.parametrize(
    "name, users, error",
    [
        (" ", {}, MissingParameters),
        ("a\x00b", {}, WrongParameters),
        ("n", {"": SeatId("s")}, WrongParameters),
        ("n", {str(n): SeatId("s") for n in range(5_001)}, WrongParameters),
    ],
)
def test_what_no_integration_can_be_is_refused(name: str, users: dict[str, SeatId], error: type[Exception]) -> None:
    with pytest.raises(error):
        checked_integration(name, users)


@pytest.mark.parametrize("hours", [-25, 0.1])
def test_what_happened_too_far_from_now_is_refused(hours: float) -> None:
    with pytest.raises(WrongParameters):
        happened_at(datetime.fromtimestamp(NOW.timestamp() + hours * 3600, UTC), NOW)
