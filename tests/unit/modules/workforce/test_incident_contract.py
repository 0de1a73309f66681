"""The contract page of incidents says what the tables of the code say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from matrixhub.model.escalation import MEDIA
from matrixhub.model.event import CATALOGUE
from matrixhub.model.work_order import EVENTS, GONE, STATUSES, TRANSITIONS, Act, WorkType
from matrixhub.modules.workforce.sensors import SENSOR_INCIDENTS

PAGE = (Path(__file__).parents[4] / "docs" / "contract" / "incidents.md").read_text(encoding="utf-8")
NUMBERS = {event: str(number) for number, event in enumerate(CATALOGUE, 1)}

LABELS: dict[str, tuple[Act, ...]] = {
    "publish, with its shift": ("publish",),
    "assign": ("assign",),
    "start": ("start", "resume"),
    "pause": ("pause",),
    "complete": ("complete",),
    "reassign": ("reassign",),
    "reassign to nobody": ("reopen",),
    "escalate, by time or by hand": ("escalate",),
    "change, move to another zone": ("edit", "move"),
    "change, with its shift": ("edit",),
    "delete": ("delete",),
    "delete, also with its shift": ("delete",),
    "comment, attach": ("comment", "attach"),
    "delayed, by time (§5)": ("delay",),
    "incomplete, by time (§5)": ("expire",),
}


def section(number: str) -> str:
    return PAGE.split(f"### {number} ", 1)[1].split("\n### ", 1)[0].split("\n## ", 1)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of its first table, without the line below the heads."""
    found = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for number, line in enumerate(found) if number != 1]


def stated(kind: WorkType, number: str) -> dict[tuple[str, Act], str]:
    """What the page says becomes of each state."""
    head, *lines = rows(section(number))
    made: dict[tuple[str, Act], str] = {}
    for line in lines:
        for heads, cell in zip(head[1:-1], line[1:-1], strict=True):
            for status in heads.split(", "):
                for act in LABELS[line[0]] if cell else ():
                    if (act == "resume") == (cell == "resumes"):
                        to = {"same": status, "gone": GONE, "resumes": "STARTED"}.get(cell, cell)
                        made[status, act] = to
                    if len(LABELS[line[0]]) == 2 and "resume" not in LABELS[line[0]]:
                        made[status, act] = status
    return made


@pytest.mark.parametrize("kind, number", [("INCIDENT", "2.1"), ("TASK", "3.1")])
def test_the_page_has_the_table_of_states(kind: WorkType, number: str) -> None:
    assert stated(kind, number) == TRANSITIONS[kind]


@pytest.mark.parametrize("kind, number", [("INCIDENT", "2.1"), ("TASK", "3.1")])
def test_the_page_has_the_event_of_each_act(kind: WorkType, number: str) -> None:
    for line in rows(section(number))[1:]:
        (event,) = {EVENTS.get((kind, act), "") for act in LABELS[line[0]] if act != "resume"}
        told = re.match(r"\d+", line[-1])
        if line[0] not in ("assign", "reassign"):  # which depends on what was told before
            assert (told.group() if told else None) == NUMBERS.get(event), line


def test_every_act_but_creation_is_on_the_page() -> None:
    assert {act for acts in LABELS.values() for act in acts} == set(get_args(Act)) - {"create"}
    assert {status for status in STATUSES if status in PAGE} == set(STATUSES)


def test_every_incident_of_a_sensor_and_every_medium_is_on_the_page() -> None:
    for short, kind in SENSOR_INCIDENTS.items():
        assert f"`{short}`" in section("2.5")
        assert kind.name in section("2.5")
    assert all(f"`{medium}`" in PAGE for medium in MEDIA)
