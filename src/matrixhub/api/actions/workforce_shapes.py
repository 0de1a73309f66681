"""Shapes that operations on shifts, availability and timesheets have in common.

Source: docs/contract/workforce.md §3.2, §3.6, §4
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from matrixhub.api.actions.operation import Answer, Call, Operation
from matrixhub.api.actions.shape import (
    ANY,
    BIT,
    FLAG,
    NUMBER,
    SECONDS,
    TEXT,
    Field,
    Shape,
    list_of,
    map_of,
    may,
    needs,
    of,
)

SERVICE = "scworkforcemanagement"

LENGTH = Shape("number", "seconds")
SECOND_OF_DAY = Shape("number", "seconds since local midnight")
DAY = Shape("number", "day of the week, 0 is Sunday")

SEAT_ID = needs("SeatId", also=("SeatID",))
SHIFT_ID = needs("ShiftId", also=("ShiftID",))
RANGE = (needs("StartTime", SECONDS, also=("Start",)), needs("EndTime", SECONDS, also=("End",)))
DAYS = list_of(DAY)
ZONES = map_of(ANY, "id of a zone: its name, which is looked up")

PAIR = of(SEAT_ID, SHIFT_ID)
"""A seat and a shift of it."""

NAMED_SHIFT = needs("Shift", PAIR, also=("shift",))

PLACE = of(needs("Latitude", NUMBER), needs("Longitude", NUMBER))
"""Degrees; -1 and -1 where it is not known."""


def seconds_of_record(*names: str) -> tuple[Field, ...]:
    """Fields that are always there and hold epoch seconds."""
    return tuple(needs(name, SECONDS) for name in names)


def texts_of_record(*names: str) -> tuple[Field, ...]:
    """Fields that are always there and hold texts."""
    return tuple(needs(name) for name in names)


BREAK = of(
    *texts_of_record("ID", "Type", "Notes"),
    needs("DurationInSeconds", LENGTH),
    needs("IsPlannedBreak", FLAG),
    *seconds_of_record("Start", "End"),
)

SHIFT = of(
    *texts_of_record("ID", "ATTR", "ShiftId", "SeatId", "PropID"),
    *seconds_of_record("Start", "End", "AStart", "AEnd"),
    needs("ActualDurationInSeconds", LENGTH),
    needs("ShiftDurationInSeconds", LENGTH),
    *texts_of_record("Duration", "LocalTime", "TimeZone", "Status"),
    needs("Delayed", BIT),
    needs("Breaks", list_of(BREAK)),
    needs("Coordinates", of(needs("ClockIn", PLACE), needs("ClockOut", PLACE))),
    needs("Cost", of(needs("U"), needs("V", NUMBER))),
    needs("TaskGroups", list_of(TEXT)),
    needs("TaskGroupsCount", NUMBER),
    needs("Zones", map_of(TEXT)),
    needs("CreatedBy"),
    needs("CreatedOn", SECONDS),
    needs("ModifiedBy"),
    *seconds_of_record("ModifiedOn", "Expiry"),
    *texts_of_record("jobId", "NS", "SRN"),
)

_ITEM = of(needs("Name"), needs("Done", BIT), needs("T", NUMBER), may("Comments"), may("Attachments", list_of(TEXT)))

TASK_GROUP = of(
    *texts_of_record("ID", "ATTR", "By", "EscalationLevel", "EscalationPolicy", "EscalationType", "EventSource"),
    *texts_of_record("Name", "NS", "Org", "Priority", "PropID", "SeatId", "ShiftId", "SRN", "Status", "Subject"),
    *texts_of_record("TaskId", "Type", "Zone", "ZoneCatId", "ZoneName", "LocalTime", "TimeZone"),
    *seconds_of_record("Start", "End", "AStart", "AEnd", "Expiry"),
    needs("AutoAssigned", BIT),
    needs("Delayed", BIT),
    needs("taskCount", NUMBER),
    needs("Tasks", list_of(_ITEM)),
)

TIMESHEET = of(
    *texts_of_record("ShiftId", "SeatId", "PropID", "Type", "Status"),
    *seconds_of_record("Start", "End"),
    *texts_of_record("Comment", "RequestedBy"),
    needs("RequestedOn", SECONDS),
    needs("DecidedBy"),
    needs("DecidedOn", SECONDS),
)

SEAT = of(
    *texts_of_record("SeatId", "PropId", "Name", "Email", "Team", "Status"),
    needs("CreatedOn", SECONDS),
)

TASK_GROUP_DRAFT = of(
    needs("Name"),
    needs("Zone"),
    needs("Start", SECONDS),
    needs("End", SECONDS),
    needs("Tasks", list_of(of(needs("Name"), may("Comments"), may("Attachments", list_of(TEXT))))),
    may("Priority", note="H, M, N (without one) or L"),
    may("ZoneName"),
    may("ZoneCatId"),
)

Run = Callable[[Call], Awaitable[Answer]]


def team_row(
    name: str, summary: str, call: Run, request: Shape, response: Shape, example: Mapping[str, Any] | None, **more: Any
) -> Operation:
    """A row of the workforce: its name without the prefix `scteams.`, and `propid` is needed."""
    return Operation(
        name=f"scteams.{name}",
        service=SERVICE,
        summary=summary,
        call=call,
        request=request,
        response=response,
        envelope="workforce",
        needs_property=True,
        example=example,
        **more,
    )
