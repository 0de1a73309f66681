"""`matrixhub demo`: the whole way of a reading in one command."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.hub import run_command


def check_summary(summary: dict[str, Any]) -> None:
    assert summary["right"] is True
    assert summary["stored"] == summary["accepted"] > 0
    assert summary["accepted"] > 100
    assert summary["accepted"] == summary["delivered"] + summary["parked"] + summary["expired"]
    assert (summary["pending"], summary["parked"], summary["expired"], summary["refused"]) == (0, 0, 0, 0)
    assert summary["received"] == summary["accepted"]
    assert summary["out_of_order"] == 0
    assert 0 < summary["p50_ms"] <= summary["p99_ms"]
    assert summary["first_delivery_s"] > 0
    check_events(summary)


def check_events(summary: dict[str, Any]) -> None:
    """Incidents, tasks and shifts flowed beside the readings, and each act has its event."""
    events, by_event = summary["events"], summary["events"]["by_event"]
    assert events["recorded"] == events["accepted"] == events["delivered"] == events["received"]
    assert by_event["INCIDENT_CREATED"] == summary["incidents"] > 0
    assert by_event.get("TASK_COMPLETED", 0) == summary["tasks"]
    assert by_event["INCIDENT_COMPLETED"] + summary["tasks"] == summary["work_completed"]
    assert by_event["SHIFT_STARTED"] == by_event["SHIFT_COMPLETED"] > 0
    assert by_event["ZONE_CREATED"] > 0
    assert sum(by_event.values()) == events["recorded"]


def test_the_demo_ends_by_itself_with_every_reading_accounted_for_and_leaves_nothing_behind() -> None:
    with tempfile.TemporaryDirectory(prefix="matrixhub-acceptance-") as place:
        Path(place).chmod(0o755)
        summary = run_command("demo", "--seconds", "5", "--json", settings={"TMPDIR": place}).json()
        assert os.listdir(place) == []
    check_summary(summary)
    assert (summary["duplicates"], summary["attempts_failed"]) == (0, 0)


@pytest.mark.long
def test_the_demo_with_faults_loses_nothing_and_keeps_the_order() -> None:
    summary = run_command("demo", "--seconds", "7", "--faults", "--json").json()
    check_summary(summary)
    assert summary["attempts_failed"] > 0


def test_the_demo_tells_people_the_balance() -> None:
    done = run_command("demo", "--seconds", "1")
    assert done.code == 0, done.err
    assert "every reading and every event is accounted for, in order" in done.said
