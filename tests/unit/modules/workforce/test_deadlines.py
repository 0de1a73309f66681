"""What happens to work orders by time: which deadline comes next, in every state."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.model.test_work_order import ANN, NOW, order

from matrixhub.model.escalation import EscalationPolicy, parse_policy
from matrixhub.model.ids import BuildingId
from matrixhub.model.work_order import STATUSES, WorkOrder, escalated
from matrixhub.modules.workforce.deadlines import Deadline, deadlines, next_deadline


def policy(**settings: dict[str, int]) -> EscalationPolicy:
    """Levels with their waits, by type; work of priority N is to begin after 900 s."""
    steps = {
        key: {name: {"Recipients": [], "TimeAfter": wait_s} for name, wait_s in levels.items()}
        for key, levels in settings.items()
    }
    targets = {"N": {"StartThreshold": 900, "DueTime": 1800}}
    return parse_policy(
        {"Name": "n", "TargetDurations": targets, **steps}, policy_id="default", building_id=BuildingId("b"), version=1
    )


def happening(made: WorkOrder, by: EscalationPolicy | None) -> list[tuple[int, str, str, int]]:
    """All that will happen to it, by seconds after its start."""
    found = sorted(deadlines(made, by), key=lambda deadline: deadline.at)
    return [(round((due.at - NOW).total_seconds()), due.act, due.kind or "", due.level) for due in found]


EVERY = policy(
    UnassignedSettings={"L0": 99, "L1": 240, "L3": 60},
    StartThresholdSettings={"L0": 0, "L1": 100},
    DueTimeThresholdSettings={"L1": 300, "L2": 300},
)


@pytest.mark.parametrize(
    "status, expected",
    [
        (
            "NOT_ASSIGNED",
            [
                (240, "escalate", "unassigned", 1),
                (300, "escalate", "unassigned", 3),
                (900, "escalate", "startTime", 0),
                (900, "delay", "", 0),
                (1000, "escalate", "startTime", 1),
                (2100, "escalate", "dueTime", 1),
                (2400, "escalate", "dueTime", 2),
                (3600, "expire", "", 0),
            ],
        ),
        (
            "PUBLISHED",
            [
                (900, "escalate", "startTime", 0),
                (900, "delay", "", 0),
                (1000, "escalate", "startTime", 1),
                (2100, "escalate", "dueTime", 1),
                (2400, "escalate", "dueTime", 2),
                (3600, "expire", "", 0),
            ],
        ),
        ("STARTED", [(2100, "escalate", "dueTime", 1), (2400, "escalate", "dueTime", 2), (5400, "expire", "", 0)]),
        ("PAUSED", [(2100, "escalate", "dueTime", 1), (2400, "escalate", "dueTime", 2), (5400, "expire", "", 0)]),
        ("COMPLETED", []),
        ("INCOMPLETE", []),
    ],
)
def test_an_incident_under_a_policy(status: Any, expected: list[tuple[int, str, str, int]]) -> None:
    assert happening(order(status=status), EVERY) == expected


@pytest.mark.parametrize("status", STATUSES)
def test_an_incident_without_a_policy_is_only_delayed_and_incomplete(status: Any) -> None:
    expected = {
        "NOT_ASSIGNED": [(1800, "delay", "", 0), (3600, "expire", "", 0)],
        "PUBLISHED": [(1800, "delay", "", 0), (3600, "expire", "", 0)],
        "STARTED": [(5400, "expire", "", 0)],
        "PAUSED": [(5400, "expire", "", 0)],
    }
    assert happening(order(status=status), None) == expected.get(status, [])


def test_a_task_has_no_escalation_and_a_draft_of_one_no_deadline() -> None:
    assert [act for _, act, _, _ in happening(order(type="TASK", status="PUBLISHED"), EVERY)] == ["delay", "expire"]
    assert happening(order(type="TASK", status="UNPUBLISHED"), EVERY) == []


def test_each_level_is_reached_once_and_only_upwards() -> None:
    made = escalated(order(), "unassigned", 2)
    assert [level for _, act, kind, level in happening(made, EVERY) if kind == "unassigned"] == [3]
    top = escalated(made, "unassigned", 3)
    assert [kind for _, _, kind, _ in happening(top, EVERY) if kind == "unassigned"] == []


def test_a_delayed_incident_is_not_delayed_again() -> None:
    assert "delay" not in [act for _, act, _, _ in happening(order(delayed=True), None)]


def test_unassigned_counts_from_when_the_incident_was_opened_again() -> None:
    made = order(opened_at=NOW + timedelta(seconds=5000))
    assert next(deadlines(made, EVERY)) == Deadline(
        at=NOW + timedelta(seconds=5240), act="escalate", kind="unassigned", level=1
    )


def test_without_a_target_work_is_to_begin_at_the_start() -> None:
    made = replace(order(status="PUBLISHED", assignee=ANN), priority="L")
    assert happening(made, EVERY)[:2] == [(0, "escalate", "startTime", 0), (100, "escalate", "startTime", 1)]


def test_of_deadlines_at_one_instant_the_end_comes_last() -> None:
    made = order(timeout_s=0, delayed=True)
    by = policy(DueTimeThresholdSettings={"L0": 0})
    due = next_deadline(made, by)
    assert due is not None
    assert (due.at, due.act) == (made.ends_at, "escalate")
