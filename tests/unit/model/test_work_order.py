"""The states of incidents and tasks: every state and every act."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from matrixhub.model.errors import WrongParameters, WrongState
from matrixhub.model.event import CATALOGUE
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, ShiftId, TaskId, ZoneId
from matrixhub.model.work_order import (
    EVENTS,
    GONE,
    META_STATUS,
    STATUSES,
    TRANSITIONS,
    Act,
    Assignee,
    Status,
    TaskItem,
    WorkOrder,
    WorkType,
    completed,
    expired,
    outcome,
    reassigned,
    started,
    step,
)

NOW = datetime(2024, 3, 10, 0, 5, 9, tzinfo=UTC)
ANN = Assignee(seat_id=SeatId("p_001"), shift_id=ShiftId("s1"))
BOB = Assignee(seat_id=SeatId("p_002"), shift_id=ShiftId("s2"))


def order(**changes: Any) -> WorkOrder:
    return WorkOrder(
        **{
            "id": TaskId("1710029109417000214"),
            "property_id": PropertyId("p"),
            "building_id": BuildingId("b"),
            "organisation_id": "ORCHARD",
            "time_zone": "Asia/Singapore",
            "type": "INCIDENT",
            "status": "NOT_ASSIGNED",
            "name": "Tap drips",
            "description": "Tap drips in Lobby",
            "priority": "N",
            "raised_by": "Guard desk",
            "event_source": "API",
            "subject": "",
            "source_slots": (),
            "zone_id": ZoneId("z"),
            "zone_name": "Lobby",
            "zone_category": "",
            "starts_at": NOW,
            "ends_at": NOW + timedelta(seconds=1800),
            "timeout_s": 1800,
            "auto_assigned": False,
            "opened_at": NOW,
            "tasks": (TaskItem(name="Close valve"),),
            "created_by": "x",
            "created_at": NOW,
            "updated_by": "x",
            "updated_at": NOW,
            "escalated": {"unassigned": 0},
            **changes,
        }
    )


# The whole table once more, as a person reads it: for each act the states it is taken in, and what comes of them.
OPEN, ASSIGNED, STARTED, PAUSED = "NOT_ASSIGNED", "PUBLISHED", "STARTED", "PAUSED"
DONE, LATE, DRAFT = "COMPLETED", "INCOMPLETE", "UNPUBLISHED"
_SAME_OF_INCIDENTS = {state: state for state in (OPEN, ASSIGNED, STARTED, PAUSED)}
INCIDENT: dict[str, dict[str, str]] = {
    "assign": {OPEN: ASSIGNED},
    "start": {ASSIGNED: STARTED},
    "pause": {STARTED: PAUSED},
    "resume": {PAUSED: STARTED},
    "complete": {OPEN: DONE, ASSIGNED: DONE, STARTED: DONE, PAUSED: DONE},
    "expire": {OPEN: LATE, ASSIGNED: LATE, STARTED: LATE, PAUSED: LATE},
    "delay": {OPEN: OPEN, ASSIGNED: ASSIGNED},
    "escalate": _SAME_OF_INCIDENTS,
    "move": _SAME_OF_INCIDENTS,
    "edit": _SAME_OF_INCIDENTS,
    "reassign": {ASSIGNED: ASSIGNED, DONE: ASSIGNED, LATE: ASSIGNED},
    "reopen": {ASSIGNED: OPEN, DONE: OPEN, LATE: OPEN},
    "delete": {OPEN: GONE, ASSIGNED: GONE},
    "attach": {**_SAME_OF_INCIDENTS, DONE: DONE, LATE: LATE},
    "comment": {**_SAME_OF_INCIDENTS, DONE: DONE, LATE: LATE},
}
_ANY_TASK = {state: state for state in (DRAFT, ASSIGNED, STARTED, PAUSED, DONE, LATE)}
TASK: dict[str, dict[str, str]] = {
    "publish": {DRAFT: ASSIGNED},
    "start": {ASSIGNED: STARTED},
    "pause": {STARTED: PAUSED},
    "resume": {PAUSED: STARTED},
    "complete": {STARTED: DONE, PAUSED: DONE},
    "expire": {ASSIGNED: LATE, STARTED: LATE, PAUSED: LATE},
    "delay": {ASSIGNED: ASSIGNED},
    "edit": {DRAFT: DRAFT, ASSIGNED: ASSIGNED},
    "delete": {DRAFT: GONE, ASSIGNED: GONE},
    "attach": _ANY_TASK,
    "comment": _ANY_TASK,
}


@pytest.mark.parametrize("act", get_args(Act))
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("kind, table", [("INCIDENT", INCIDENT), ("TASK", TASK)])
def test_every_act_leads_from_every_state_where_the_table_says_or_is_refused(
    kind: WorkType, table: dict[str, dict[str, str]], status: Status, act: Act
) -> None:
    expected = table.get(act, {}).get(status)
    if expected is None:
        with pytest.raises(WrongState, match=status):
            outcome(kind, status, act)
    else:
        assert outcome(kind, status, act) == expected


def test_the_tables_hold_nothing_else() -> None:
    for kind, table in (("INCIDENT", INCIDENT), ("TASK", TASK)):
        assert {(status, act) for act, states in table.items() for status in states} == set(
            TRANSITIONS[kind]  # type: ignore[index]
        )


def test_every_event_of_an_act_is_in_the_catalogue_of_its_family() -> None:
    for (kind, _), event in EVENTS.items():
        assert CATALOGUE[event].family == kind.lower()


def test_every_state_has_a_word_in_events() -> None:
    assert set(META_STATUS) == set(STATUSES) == set(get_args(Status))


def test_an_incident_that_is_completed_cannot_be_started_or_expire() -> None:
    done = completed(order(), NOW)
    for act in (started, expired):
        with pytest.raises(WrongState):
            act(done, NOW)


def test_what_ends_a_work_order_is_no_step() -> None:
    with pytest.raises(WrongState):
        step(order(), "delete")


def test_work_that_goes_on_keeps_the_instant_it_began() -> None:
    later = NOW + timedelta(seconds=5)
    assert started(order(status="PAUSED", started_at=NOW), later).started_at == NOW
    assert started(order(status="PUBLISHED"), later).started_at == later


def test_a_reassignment_of_what_is_assigned_keeps_its_clocks() -> None:
    given = order(status="PUBLISHED", assignee=ANN, announced=True, delayed=True, escalation_level=2)
    again = reassigned(given, BOB, NOW + timedelta(seconds=60), due_s=100)
    assert again == replace(given, assignee=BOB, assigned_at=NOW + timedelta(seconds=60), reassigned=1)


def test_a_reassignment_to_nobody_or_to_other_times_begins_the_clocks_anew() -> None:
    given = order(status="PUBLISHED", assignee=ANN, announced=True, delayed=True, escalation_level=2)
    later = NOW + timedelta(seconds=60)
    opened = reassigned(given, None, later, due_s=100)
    assert (opened.status, opened.assignee, opened.assigned_at, opened.opened_at) == ("NOT_ASSIGNED", None, None, later)
    assert (opened.delayed, opened.escalation_level, opened.escalated) == (False, 0, {"unassigned": 0})
    moved = reassigned(given, BOB, later, starts_at=later, due_s=100)
    assert (moved.ends_at - later, moved.delayed, moved.escalated) == (timedelta(seconds=100), False, {})
    with pytest.raises(WrongParameters):
        reassigned(given, BOB, later, starts_at=later, ends_at=later, due_s=100)
