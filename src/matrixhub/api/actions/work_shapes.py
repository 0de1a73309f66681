"""What operations on incidents and tasks have in common: their records, their ids in all spellings, their rows.

Source: docs/contract/incidents.md §4
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from matrixhub.api.actions.operation import Call, Certainty, Operation, Reply
from matrixhub.api.actions.shape import (
    BIT,
    NOTHING,
    NUMBER,
    SECONDS,
    TEXT,
    Field,
    Shape,
    list_of,
    may,
    needs,
    of,
)
from matrixhub.api.actions.spelling import spelled

SERVICE = "scworkforcemanagement"

Fields = Mapping[str, Any]
Act = Callable[[Call, Fields], Awaitable[Reply]]
"""What an operation does, with its body under the names of the request's shape."""

_SPELLINGS = (
    ("IncidentId", "IncidentID", "TaskId"),
    ("SeatId", "SeatID"),
    ("ShiftId", "ShiftID"),
    ("zoneId", "ZoneId", "Zone"),
    ("NewSeatId", "NewSeatID"),
    ("NewShiftId", "NewShiftID"),
    ("Taskgroup", "TaskGroup"),
)

_TASK_ID = Shape("any", "id of an incident or task, a text or a number")


def named(name: str, shape: Shape = TEXT, note: str = "") -> Field:
    """A field that must be there, taken in each of its published spellings."""
    return needs(name, shape, note, also=_others(name))


def maybe(name: str, shape: Shape = TEXT, note: str = "") -> Field:
    """A field that may be left out, taken in each of its published spellings."""
    return may(name, shape, note, also=_others(name))


def incident_id(name: str = "IncidentId") -> Field:
    """The id of an incident or a task."""
    return named(name, _TASK_ID)


def _others(name: str) -> tuple[str, ...]:
    return tuple(other for family in _SPELLINGS if name in family for other in family if other != name)


TASK_DRAFT = of(
    needs("Name"),
    may("Comments"),
    may("Attachments", list_of(TEXT)),
    may("Done", Shape("any", "0, 1, true or false")),
    may("T", NUMBER),
)

TASK_ITEM = of(
    needs("Name"), needs("Done", BIT), needs("T", NUMBER), may("Comments"), may("Attachments", list_of(TEXT))
)

_RECORD = (
    *(needs(name) for name in ("ID", "ATTR", "SRN", "NS", "Org", "PropID", "TaskId", "Type", "Status", "Name")),
    *(needs(name) for name in ("Priority", "By", "EventSource", "Subject", "Zone", "ZoneName", "ZoneCatId")),
    *(needs(name) for name in ("SeatId", "ShiftId", "EscalationLevel", "EscalationPolicy", "EscalationType")),
    *(needs(name, SECONDS) for name in ("Start", "End", "AStart", "AEnd", "Expiry")),
    *(needs(name, BIT) for name in ("AutoAssigned", "Delayed")),
    needs("taskCount", NUMBER),
    needs("Tasks", list_of(TASK_ITEM)),
)
_LOCAL = ("LocalTime", "TimeZone")

INCIDENT = of(*_RECORD)
"""The record of an incident; its keys are always the same."""

TASK = of(*_RECORD, *(needs(name) for name in _LOCAL))
"""The record of a task."""

WORK = of(*_RECORD, *(may(name, note="of tasks") for name in _LOCAL))
"""The record of an incident or a task."""

DELETED = of(needs("TaskId"))

RANGE = (needs("StartTime", SECONDS), needs("EndTime", SECONDS, "31 days after StartTime at most"))
MAY_RANGE = (may("StartTime", SECONDS), may("EndTime", SECONDS))
PAGE_KEY = may("LastEvaluatedKey", note="that of the page before; left out for the first page")


def row(
    name: str,
    summary: str,
    act: Act,
    *,
    request: Shape = NOTHING,
    response: Shape,
    example: Mapping[str, Any] | None = None,
    certainty: Certainty = "published",
    needs_building: bool = True,
) -> Operation:
    """A row of the service of the workforce; `name` is without its prefix."""

    async def called(call: Call) -> Reply:
        return await act(call, spelled(request, call.body))

    return Operation(
        name=f"scteams.{name}",
        service=SERVICE,
        summary=summary,
        call=called,
        request=request,
        response=response,
        envelope="workforce",
        needs_building=needs_building,
        needs_property=True,
        certainty=certainty,
        example=example,
    )
