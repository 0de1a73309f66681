"""Requests to create incidents and tasks, parsed or refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from matrixhub.model.errors import MissingParameters, WrongParameters
from matrixhub.model.ids import SeatId, ShiftId
from matrixhub.model.work_order import Assignee, TaskItem
from matrixhub.modules.workforce.drafts import parse_assigned_incident, parse_incident, parse_task_group

FEEDBACK: dict[str, Any] = {
    "Start": 1710029250,
    "End": 1710030150,
    "Name": "User Feedback",
    "Priority": "H",
    "Tasks": [{"Name": "User Feedback", "Comments": "Wet floor, No soap"}],
    "Zone": "0a6f3d9be2784c15b7c04e91d85f62aa",
    "ZoneName": "Washroom L2 Male",
    "ZoneCatId": "WASHROOMS",
    "By": "FD",
    "EventSource": "5b1e0c7a9d2f4e63a8b4c1d09e77f210#sensor",
    "Subject": "Information",
    "AutoAssigned": "true",
}


def test_the_published_example_is_read() -> None:
    made = parse_incident(FEEDBACK)
    assert (made.name, made.priority, made.raised_by, made.subject) == ("User Feedback", "H", "FD", "Information")
    assert made.starts_at == datetime.fromtimestamp(1710029250, UTC)
    assert made.tasks == (TaskItem(name="User Feedback", comments="Wet floor, No soap"),)
    assert made.auto_assigned
    assert made.from_sensor


@pytest.mark.parametrize("name", ["Name", "Zone", "By", "Tasks"])
@pytest.mark.parametrize("empty", [None, "", []])
def test_what_is_needed_is_named_where_it_is_missing(name: str, empty: object) -> None:
    with pytest.raises(MissingParameters, match=name):
        parse_incident({**FEEDBACK, name: empty})


@pytest.mark.parametrize(
    "changes",
    [
        {"Priority": "HIGH"},
        {"Start": "soon"},
        {"Start": True},
        {"Start": -1},
        {"Start": 1e20},
        {"End": float("nan")},
        {"Tasks": {"Name": "x"}},
        {"Tasks": ["x"]},
        {"Tasks": [{"Name": "x", "Attachments": "a.jpg"}]},
        {"Tasks": [{"Name": "x", "T": 0.5}]},
        {"Name": 7},
        {"Name": "a\x00b"},
        {"AutoAssigned": "perhaps"},
    ],
)
def test_a_value_that_does_not_fit_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(WrongParameters):
        parse_incident({**FEEDBACK, **changes})


def test_nothing_and_zero_are_no_times() -> None:
    made = parse_incident({**FEEDBACK, "Start": 0, "End": None})
    assert (made.starts_at, made.ends_at) == (None, None)


def test_an_assigned_incident_is_named_by_its_first_task_and_raised_by_who_asks() -> None:
    fields = {"SeatId": "p_001", "ShiftId": "p_001", "Tasks": [{"Name": "Mop"}], "Zone": "z", "EventSource": "HK"}
    made = parse_assigned_incident(fields, by="boss")
    assert (made.name, made.raised_by) == ("Mop", "boss")
    assert made.assignee == Assignee(seat_id=SeatId("p_001"), shift_id=ShiftId("p_001"))
    for missing in ("SeatId", "ShiftId", "Tasks"):
        with pytest.raises(MissingParameters):
            parse_assigned_incident({**fields, missing: ""}, by="boss")
    with pytest.raises(MissingParameters):
        parse_assigned_incident({**fields, "ShiftId": "tbp"}, by="boss")


def test_a_task_group_needs_its_times() -> None:
    fields = {"Start": 1710029250, "End": 1710030150, "Name": "Mop", "Zone": "z", "Tasks": [{"Name": "Mop"}]}
    assert parse_task_group(fields).name == "Mop"
    for missing in fields:
        with pytest.raises(MissingParameters):
            parse_task_group({**fields, missing: None})
