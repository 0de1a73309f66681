"""The example that infers from events alone when a zone was last cleaned."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[2] / "examples" / "last_clean.py"


def event(name: str, task: str, zone: str, *, began: int = 0, ended: int = 0) -> dict[str, Any]:
    meta = {"AStart": began, "AEnd": ended, "TaskId": task, "Zone": zone, "ZoneName": f"Room {zone}", "Type": "TASK"}
    return {"Event": name, "Meta": meta}


def test_the_last_completion_counts_whatever_the_order_and_however_often_it_is_told() -> None:
    bodies = [
        [event("TASK_COMPLETED", "2", "a", began=300, ended=400), event("TASK_STARTED", "2", "a", began=300)],
        [event("TASK_STARTED", "1", "a", began=100), event("TASK_COMPLETED", "1", "a", began=100, ended=200)],
        [event("TASK_COMPLETED", "2", "a", began=300, ended=400)],
        [event("TASK_STARTED", "3", "b", began=500), event("INCIDENT_COMPLETED", "4", "c", began=1, ended=2)],
        [event("TASK_STARTED", "5", "d", began=600), event("TASK_INCOMPLETE", "5", "d", began=600)],
    ]
    told = subprocess.run(
        [sys.executable, str(FILE)],
        input="\n".join(json.dumps(body) for body in bodies),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert told.stdout.splitlines() == [
        "Room a (a): last cleaned 1970-01-01T00:06:40+00:00",
        "Room b (b): last cleaned unknown, being cleaned since 1970-01-01T00:08:20+00:00",
        "Room d (d): last cleaned unknown",
    ]
