"""Timesheets: what a seat says it worked in a shift, and whether that is agreed to.

Source: docs/contract/workforce.md §4.2
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from matrixhub.model.devices import Json
from matrixhub.model.errors import WrongState
from matrixhub.model.ids import PropertyId, SeatId, ShiftId
from matrixhub.model.shift import ShiftStatus

TimesheetKind = Literal["TIMESHEET", "REGULARIZATION"]
TimesheetStatus = Literal["REQUESTED", "APPROVED", "REJECTED"]
TIMESHEET_STATUSES: tuple[TimesheetStatus, ...] = ("REQUESTED", "APPROVED", "REJECTED")

TimesheetAct = Literal["request", "edit", "approve", "reject"]

TRANSITIONS: Mapping[TimesheetAct, Mapping[TimesheetStatus | Literal[""], TimesheetStatus]] = {
    "request": {"": "REQUESTED", "REJECTED": "REQUESTED"},
    "edit": {"REQUESTED": "REQUESTED"},
    "approve": {"REQUESTED": "APPROVED"},
    "reject": {"REQUESTED": "REJECTED"},
}
"""What an act makes of a timesheet in a state; '' is that of a shift without one."""

CLAIMABLE: Mapping[TimesheetKind, frozenset[ShiftStatus]] = {
    "TIMESHEET": frozenset({"COMPLETED"}),
    "REGULARIZATION": frozenset({"COMPLETED", "ABSENT"}),
}
"""Of shifts in which state a timesheet may be requested: what was recorded, or what should have been."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timesheet:
    """The time a seat claims to have worked in a shift. What was recorded of the shift stays as it is."""

    shift_id: ShiftId
    property_id: PropertyId
    seat_id: SeatId
    kind: TimesheetKind
    status: TimesheetStatus
    worked_from: datetime
    worked_until: datetime
    comment: str = ""
    requested_by: str
    requested_at: datetime
    decided_by: str = ""
    decided_at: datetime | None = None
    version: int = 1


def next_status(before: Timesheet | None, act: TimesheetAct) -> TimesheetStatus:
    """The state an act leads to. Raises WrongState."""
    status: TimesheetStatus | Literal[""] = "" if before is None else before.status
    after = TRANSITIONS[act].get(status)
    if after is None:
        raise WrongState(f"{act}: the timesheet is {status or 'not requested yet'}")
    return after


def timesheet_record(timesheet: Timesheet) -> dict[str, Json]:
    """The timesheet as Matrix Web Services show it; their record of it is not published."""
    return {
        "ShiftId": timesheet.shift_id,
        "SeatId": timesheet.seat_id,
        "PropID": timesheet.property_id,
        "Type": timesheet.kind,
        "Status": timesheet.status,
        "Start": int(timesheet.worked_from.timestamp()),
        "End": int(timesheet.worked_until.timestamp()),
        "Comment": timesheet.comment,
        "RequestedBy": timesheet.requested_by,
        "RequestedOn": int(timesheet.requested_at.timestamp()),
        "DecidedBy": timesheet.decided_by,
        "DecidedOn": 0 if timesheet.decided_at is None else int(timesheet.decided_at.timestamp()),
    }
