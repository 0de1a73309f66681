"""Incidents and tasks as requests bring them, parsed into drafts.

Source: docs/contract/incidents.md §1
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from matrixhub.model.errors import MissingParameters, WrongParameters
from matrixhub.model.escalation import PRIORITY_CODES, PriorityCode
from matrixhub.model.ids import SeatId, ShiftId, ZoneId
from matrixhub.model.work_order import Assignee, IncidentDraft, TaskItem
from matrixhub.modules.workforce.records import UNASSIGNED
from matrixhub.modules.workforce.tasks import TaskDraft

_INSTANT_MAX_S = 253_402_300_799 - 366 * 86_400

Fields = Mapping[str, Any]


def parse_incident(fields: Fields) -> IncidentDraft:
    """The draft of `createIncidentWithoutAssignee`, from the object under `Incident`.

    Raises: MissingParameters, WrongParameters.
    """
    for name in ("Name", "Zone", "By", "Tasks"):
        if not fields.get(name):
            raise MissingParameters(f"an incident needs {name}")
    return IncidentDraft(
        zone_id=ZoneId(_text(fields, "Zone")),
        name=_text(fields, "Name"),
        raised_by=_text(fields, "By"),
        tasks=parse_tasks(fields["Tasks"]),
        priority=_priority(fields),
        starts_at=_instant(fields, "Start"),
        ends_at=_instant(fields, "End"),
        event_source=_text(fields, "EventSource", "API"),
        subject=_text(fields, "Subject", ""),
        auto_assigned=parse_flag(fields.get("AutoAssigned"), "AutoAssigned"),
    )


def parse_assigned_incident(fields: Fields, *, by: str) -> IncidentDraft:
    """The draft of `createIncident`, from the object under `Taskgroup`: it is its seat's and shift's at once.

    Its name is that of its first task, it was raised by whoever asks, where nothing else is said.
    Raises: MissingParameters, WrongParameters.
    """
    tasks = parse_tasks(fields.get("Tasks") or [])
    if not tasks:
        raise MissingParameters("an incident needs Tasks")
    draft = parse_incident({"Name": tasks[0].name, "By": by, **fields})
    return replace(draft, assignee=parse_assignee(fields))


def parse_assignee(fields: Fields) -> Assignee:
    """Who is meant by `SeatId` and `ShiftId` (also spelled `ShiftID`). Raises: MissingParameters, WrongParameters."""
    seat = _text(fields, "SeatId", "")
    shift = _text(fields, "ShiftId", "") or _text(fields, "ShiftID", "")
    if not seat or not shift or UNASSIGNED in (seat, shift):
        raise MissingParameters("SeatId and ShiftId are needed")
    return Assignee(seat_id=SeatId(seat), shift_id=ShiftId(shift))


def parse_task_group(fields: Fields) -> TaskDraft:
    """The draft of a task group. Raises: MissingParameters, WrongParameters."""
    for name in ("Name", "Zone", "Tasks", "Start", "End"):
        if not fields.get(name):
            raise MissingParameters(f"a task group needs {name}")
    starts_at, ends_at = _instant(fields, "Start"), _instant(fields, "End")
    if starts_at is None or ends_at is None:
        raise MissingParameters("a task group needs Start and End")
    return TaskDraft(
        zone_id=ZoneId(_text(fields, "Zone")),
        name=_text(fields, "Name"),
        starts_at=starts_at,
        ends_at=ends_at,
        tasks=parse_tasks(fields["Tasks"]),
        priority=_priority(fields),
    )


def parse_tasks(given: object) -> tuple[TaskItem, ...]:
    """What is to do, from a list of objects with `Name`. Raises: MissingParameters, WrongParameters."""
    if not isinstance(given, list) or not all(isinstance(entry, Mapping) for entry in given):
        raise WrongParameters("Tasks is a list of objects")
    return tuple(map(_task, given))


def parse_flag(value: object, name: str) -> bool:
    """Yes or no, however clients spell it. Raises: WrongParameters.

    >>> [parse_flag(value, "AutoAssigned") for value in (True, 1, "true", "FALSE", None)]
    [True, True, True, False, False]
    """
    spelled = {"true": True, "1": True, "false": False, "0": False, "none": False, "": False}.get(str(value).lower())
    if spelled is None:
        raise WrongParameters(f"{name} is true or false")
    return spelled


def parse_number(value: object, name: str) -> int | float:
    """A number, also one that is sent as text. Raises: WrongParameters.

    >>> parse_number("1710029109", "Start"), parse_number(2.5, "Start")
    (1710029109, 2.5)
    """
    if isinstance(value, str):
        try:
            value = float(value) if not value.strip().isdecimal() else int(value)
        except ValueError:
            value = None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < math.inf:
        raise WrongParameters(f"{name} is a number")
    return value


def parse_instant(fields: Fields, name: str) -> datetime | None:
    """The instant of epoch seconds, None where there are none. Raises: WrongParameters."""
    if fields.get(name) is None:
        return None
    seconds = parse_number(fields[name], name)
    if not 0 <= seconds <= _INSTANT_MAX_S:
        raise WrongParameters(f"{name} is a number of epoch seconds")
    return datetime.fromtimestamp(int(seconds), UTC)


def _task(entry: Fields) -> TaskItem:
    if not entry.get("Name"):
        raise MissingParameters("a task needs Name")
    attachments = entry.get("Attachments") or []
    if not isinstance(attachments, list) or not all(isinstance(name, str) for name in attachments):
        raise WrongParameters("Attachments is a list of texts")
    t = parse_number(entry.get("T") or 0, "T")
    if t != int(t) or abs(t) > 2**53:
        raise WrongParameters("T is a whole number")
    return TaskItem(
        name=_text(entry, "Name"),
        done=parse_flag(entry.get("Done"), "Done"),
        t=int(t),
        comments=_text(entry, "Comments", ""),
        attachments=tuple(attachments),
    )


def _priority(fields: Fields) -> PriorityCode:
    given = fields.get("Priority") or "N"
    found = next((code for code in PRIORITY_CODES if code == given), None)
    if found is None:
        raise WrongParameters(f"Priority is one of {', '.join(PRIORITY_CODES)}")
    return found


def _text(fields: Fields, name: str, default: str | None = None) -> str:
    value = fields.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or "\x00" in value:
        raise WrongParameters(f"{name} is a text")
    return value


def _instant(fields: Fields, name: str) -> datetime | None:
    """The instant of epoch seconds; nothing and 0 are none. Raises: WrongParameters."""
    return parse_instant(fields, name) if parse_number(fields.get(name) or 0, name) else None
