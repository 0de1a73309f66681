from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from matrixhub.model.errors import WrongState
from matrixhub.model.ids import PropertyId, SeatId, ShiftId
from matrixhub.model.timesheet import (
    TIMESHEET_STATUSES,
    TRANSITIONS,
    Timesheet,
    TimesheetAct,
    TimesheetStatus,
    next_status,
    timesheet_record,
)

AT = datetime(2024, 3, 10, tzinfo=UTC)
ACTS: tuple[TimesheetAct, ...] = get_args(TimesheetAct)
EXPECTED = {
    ("", "request"): "REQUESTED",
    ("REJECTED", "request"): "REQUESTED",
    ("REQUESTED", "edit"): "REQUESTED",
    ("REQUESTED", "approve"): "APPROVED",
    ("REQUESTED", "reject"): "REJECTED",
}


def sheet(status: TimesheetStatus) -> Timesheet:
    return Timesheet(
        shift_id=ShiftId("s"),
        property_id=PropertyId("p"),
        seat_id=SeatId("p_001"),
        kind="TIMESHEET",
        status=status,
        worked_from=AT,
        worked_until=AT + timedelta(hours=8),
        requested_by="ann",
        requested_at=AT + timedelta(hours=9),
    )


@pytest.mark.parametrize("status", ["", *TIMESHEET_STATUSES])
@pytest.mark.parametrize("act", ACTS)
def test_every_act_leads_every_state_to_its_next_or_is_refused(status: TimesheetStatus, act: TimesheetAct) -> None:
    before = sheet(status) if status else None
    expected = EXPECTED.get((status, act))
    if expected:
        assert next_status(before, act) == expected
    else:
        with pytest.raises(WrongState):
            next_status(before, act)


def test_the_table_names_every_act() -> None:
    assert set(TRANSITIONS) == set(ACTS)


def test_the_record_of_a_timesheet_is_in_seconds() -> None:
    assert timesheet_record(sheet("REQUESTED")) == {
        "ShiftId": "s",
        "SeatId": "p_001",
        "PropID": "p",
        "Type": "TIMESHEET",
        "Status": "REQUESTED",
        "Start": 1710028800,
        "End": 1710057600,
        "Comment": "",
        "RequestedBy": "ann",
        "RequestedOn": 1710061200,
        "DecidedBy": "",
        "DecidedOn": 0,
    }
