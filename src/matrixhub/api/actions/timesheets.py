"""Operations on timesheets: what seats claim to have worked, and what becomes of that.

Source: docs/contract/workforce.md §4.2
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from matrixhub.api.actions.operation import Call, Operation, Reply
from matrixhub.api.actions.shape import SECONDS, list_of, may, needs, of
from matrixhub.api.actions.workforce_shapes import PAIR, RANGE, SEAT_ID, SHIFT_ID, TIMESHEET, team_row
from matrixhub.model.ids import SeatId
from matrixhub.model.timesheet import Timesheet, TimesheetKind, timesheet_record
from matrixhub.modules.workforce import shift_inputs as inputs
from matrixhub.modules.workforce import timesheets


async def _request(call: Call, kind: TimesheetKind) -> Reply:
    claim = inputs.claim(call.body)
    made = await timesheets.request_timesheet(
        call.platform,
        call.property_id,
        claim.seat_id,
        claim.shift_id,
        kind=kind,
        worked_from=claim.worked_from,
        worked_until=claim.worked_until,
        comment=claim.comment or "",
        actor=call.actor,
    )
    return Reply(message="Timesheet requested", data=timesheet_record(made))


async def _request_timesheet(call: Call) -> Reply:
    return await _request(call, "TIMESHEET")


async def _request_regularization(call: Call) -> Reply:
    return await _request(call, "REGULARIZATION")


async def _edit(call: Call) -> Reply:
    claim = inputs.claim(call.body)
    changed = await timesheets.edit_timesheet(
        call.platform,
        call.property_id,
        claim.seat_id,
        claim.shift_id,
        worked_from=claim.worked_from,
        worked_until=claim.worked_until,
        comment=claim.comment,
        actor=call.actor,
    )
    return Reply(message="Timesheet changed", data=timesheet_record(changed))


async def _approve(call: Call) -> Reply:
    claim = inputs.claim(call.body)
    pairs = [(claim.seat_id, claim.shift_id)]
    [approved] = await timesheets.approve_timesheets(call.platform, call.property_id, pairs, actor=call.actor)
    return Reply(message="Timesheet approved", data=timesheet_record(approved))


async def _reject(call: Call) -> Reply:
    claim = inputs.claim(call.body)
    rejected = await timesheets.reject_timesheet(
        call.platform,
        call.property_id,
        claim.seat_id,
        claim.shift_id,
        comment=claim.comment or "",
        actor=call.actor,
    )
    return Reply(message="Timesheet rejected", data=timesheet_record(rejected))


async def _approve_many(call: Call) -> Reply:
    pairs = inputs.timesheet_pairs(call.body)
    approved = await timesheets.approve_timesheets(call.platform, call.property_id, pairs, actor=call.actor)
    return _shown(approved, "Timesheets approved")


async def _list(call: Call) -> Reply:
    return await _found(call, "request")


async def _of_seat(call: Call) -> Reply:
    return await _found(call, "request", inputs.seat_of(call.body))


async def _by_start(call: Call) -> Reply:
    return await _found(call, "shift")


async def _of_seat_by_start(call: Call) -> Reply:
    return await _found(call, "shift", inputs.seat_of(call.body))


async def _found(call: Call, by: Literal["request", "shift"], seat_id: SeatId | None = None) -> Reply:
    start, end = inputs.time_range(call.body)
    found = await timesheets.list_timesheets(
        call.platform, call.property_id, start, end, by=by, seat_id=seat_id, building_id=call.any_building
    )
    return _shown(found)


def _shown(found: Sequence[Timesheet], message: str = "") -> Reply:
    return Reply(message=message, data=[timesheet_record(one) for one in found])


_CLAIM = of(
    needs(
        "TimeSheet",
        of(
            SEAT_ID,
            SHIFT_ID,
            may("Start", SECONDS, "from when was worked; without it as recorded", also=("StartTime",)),
            may("End", SECONDS, "until when was worked; without it as recorded", also=("EndTime",)),
            may("Comment"),
        ),
        also=("Timesheet",),
    )
)
_DECISION = of(needs("TimeSheet", of(SEAT_ID, SHIFT_ID, may("Comment")), also=("Timesheet",)))
_MANY = of(needs("TimeSheets", list_of(PAIR), also=inputs.TIMESHEETS[1:]))
_ALL = list_of(TIMESHEET)

_PAIR = {"SeatId": "{seat}", "ShiftId": "{shift}"}
_ONE = {"TimeSheet": _PAIR}
_WORKED = {"TimeSheet": {**_PAIR, "Start": 1710028800, "End": 1710057600, "Comment": "Forgot to clock in"}}
_WEEK = {"StartTime": 1710028800, "EndTime": 1710633600}

OPERATIONS: tuple[Operation, ...] = (
    team_row(
        "requestTimeSheet",
        "Claim what was worked in a completed shift.",
        _request_timesheet,
        _CLAIM,
        TIMESHEET,
        {"TimeSheet": {**_PAIR, "Comment": "As recorded"}},
    ),
    team_row(
        "requestRegularization",
        "Claim what was worked in a completed shift, or in one that counts as missed.",
        _request_regularization,
        _CLAIM,
        TIMESHEET,
        _WORKED,
    ),
    team_row("editTimeSheet", "Change a timesheet that was not decided on yet.", _edit, _CLAIM, TIMESHEET, _WORKED),
    team_row("approveRequest", "Agree to a timesheet.", _approve, _DECISION, TIMESHEET, _ONE),
    team_row(
        "rejectTimesheet",
        "Refuse a timesheet; it may be requested anew.",
        _reject,
        _DECISION,
        TIMESHEET,
        {"TimeSheet": {**_PAIR, "Comment": "Not on site"}},
    ),
    team_row(
        "approveMultipleTimesheetRequests",
        "Agree to timesheets: all of them, or none.",
        _approve_many,
        _MANY,
        _ALL,
        {"TimeSheets": [_PAIR]},
        certainty="name published",
    ),
    team_row(
        "approveMultipleTimeSheetsForProperty",
        "Agree to timesheets of any building of a property: all of them, or none.",
        _approve_many,
        _MANY,
        _ALL,
        {"TimeSheets": [_PAIR]},
        certainty="name published",
    ),
    team_row(
        "listTimesheets",
        "The timesheets that were requested in a time range, of the building that `pid` names or of all.",
        _list,
        of(*RANGE),
        _ALL,
        _WEEK,
    ),
    team_row(
        "getTimeSheetForSeatIdInTRange",
        "The timesheets of a seat that were requested in a time range.",
        _of_seat,
        of(SEAT_ID, *RANGE),
        _ALL,
        {"SeatId": "{seat}", **_WEEK},
    ),
    team_row(
        "getTimeSheetInTRangeByStartDate",
        "The timesheets of shifts that begin in a time range, of the building that `pid` names or of all.",
        _by_start,
        of(*RANGE),
        _ALL,
        _WEEK,
    ),
    team_row(
        "getTimeSheetForSeatIdInTRangeByStartDate",
        "The timesheets of the shifts of a seat that begin in a time range.",
        _of_seat_by_start,
        of(SEAT_ID, *RANGE),
        _ALL,
        {"SeatId": "{seat}", **_WEEK},
    ),
)
