"""Operations on shifts: planned, worked, asked about.

Source: docs/contract/workforce.md §3
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from matrixhub.api.actions.operation import Call, Operation, Reply
from matrixhub.api.actions.shape import BIT, FLAG, NUMBER, SECONDS, TEXT, Shape, list_of, may, needs, of
from matrixhub.api.actions.workforce_shapes import (
    DAYS,
    LENGTH,
    NAMED_SHIFT,
    PAIR,
    PLACE,
    RANGE,
    SEAT,
    SEAT_ID,
    SHIFT,
    SHIFT_ID,
    TASK_GROUP,
    TASK_GROUP_DRAFT,
    TIMESHEET,
    ZONES,
    team_row,
)
from matrixhub.model.ids import BuildingId
from matrixhub.model.seat import seat_record
from matrixhub.model.shift import SHIFT_STATUSES, Shift
from matrixhub.modules.workforce import attendance, planning, roster
from matrixhub.modules.workforce import shift_inputs as inputs

LATENESS_RANGE = timedelta(days=1)
"""What is looked at where nothing is said."""


# --- planned ---


async def _create_shift(call: Call) -> Reply:
    plan = inputs.shift_plan(call.body)
    made = await planning.create_shifts(
        call.platform,
        call.property_id,
        call.building_id,
        plan.seat_id,
        plan.drafts,
        repeat_on=plan.repeat_on,
        publish=plan.publish,
        actor=call.actor,
    )
    return await _shown(call, made, "Shifts created")


async def _update_shift(call: Call) -> Reply:
    seat_id, shift_id = inputs.shift_of(call.body)
    changed = await planning.update_shift(
        call.platform,
        call.property_id,
        seat_id,
        shift_id,
        inputs.shift_changes(call.body),
        tasks=inputs.task_changes(call.body),
        actor=call.actor,
    )
    return await _shown_one(call, changed, "Shift updated")


async def _copy_shift(call: Call) -> Reply:
    plan = inputs.copy_plan(call.body)
    made = await planning.copy_shift(
        call.platform,
        call.property_id,
        plan.seat_id,
        plan.source[1],
        copy_on=plan.copy_on,
        source_seat_id=plan.source[0],
        include_zones=plan.include_zones,
        include_breaks=plan.include_breaks,
        include_tasks=plan.include_tasks,
        actor=call.actor,
    )
    return await _shown(call, made, "Shift copied")


async def _publish_shifts(call: Call) -> Reply:
    seats = {shift_id: seat_id for seat_id, shift_id in inputs.scheduled_pairs(call.body)}
    published = await planning.publish_shifts(
        call.platform, call.property_id, call.building_id, list(seats), seats=seats, actor=call.actor
    )
    return await _shown(call, published, "Shifts published")


async def _publish_in_range(call: Call) -> Reply:
    start, end = inputs.time_range(call.body)
    published = await planning.publish_shifts_in_range(
        call.platform, call.property_id, call.building_id, start, end, actor=call.actor
    )
    return await _shown(call, published, "Shifts published")


async def _delete_shift(call: Call) -> Reply:
    pair = inputs.shift_of(call.body)
    await planning.delete_shifts(call.platform, call.property_id, [pair], actor=call.actor)
    return Reply(message="Shift deleted", data={"SeatId": pair[0], "ShiftId": pair[1]})


async def _bulk_delete_shift(call: Call) -> Reply:
    pairs = inputs.pairs_to_delete(call.body)
    await planning.delete_shifts(call.platform, call.property_id, pairs, actor=call.actor)
    deleted = [{"SeatId": seat_id, "ShiftId": shift_id} for seat_id, shift_id in pairs]
    return Reply(message="Shifts deleted", data=deleted)


# --- worked ---


async def _create_adhoc_shift(call: Call) -> Reply:
    inputs.days_of_week(call.body)  # they have to be days, but mean nothing
    made = await attendance.create_ad_hoc_shift(
        call.platform,
        call.property_id,
        call.building_id,
        inputs.seat_of(call.body),
        time_zone=inputs.text(call.body, "TimeZone", default=""),
        zones=inputs.zone_ids(call.body),
        clock_in=inputs.coordinates(call.body, "ClockIn"),
        actor=call.actor,
    )
    return await _shown_one(call, made, "Shift started")


async def _start(call: Call, *, admin: bool) -> Reply:
    seat_id, shift_id = inputs.shift_of(call.body)
    clock_in = inputs.coordinates(call.body, "ClockIn")
    shift = await attendance.start_shift(
        call.platform, call.property_id, seat_id, shift_id, clock_in=clock_in, admin=admin, actor=call.actor
    )
    return await _shown_one(call, shift, "Shift started")


async def _end(call: Call, *, admin: bool) -> Reply:
    seat_id, shift_id = inputs.shift_of(call.body)
    clock_out = inputs.coordinates(call.body, "ClockOut")
    shift = await attendance.end_shift(
        call.platform, call.property_id, seat_id, shift_id, clock_out=clock_out, admin=admin, actor=call.actor
    )
    return await _shown_one(call, shift, "Shift ended")


async def _shift_start(call: Call) -> Reply:
    return await _start(call, admin=False)


async def _shift_start_admin(call: Call) -> Reply:
    return await _start(call, admin=True)


async def _shift_end(call: Call) -> Reply:
    return await _end(call, admin=False)


async def _shift_end_admin(call: Call) -> Reply:
    return await _end(call, admin=True)


async def _start_break(call: Call) -> Reply:
    seat_id, shift_id = inputs.shift_of(call.body)
    meant = inputs.break_meant(call.body)
    shift = await attendance.start_break(
        call.platform,
        call.property_id,
        seat_id,
        shift_id,
        break_id=meant.id,
        kind=meant.kind,
        notes=meant.notes,
        actor=call.actor,
    )
    return await _shown_one(call, shift, "Break started")


async def _end_break(call: Call) -> Reply:
    seat_id, shift_id = inputs.shift_of(call.body)
    meant = inputs.break_meant(call.body)
    shift = await attendance.end_break(
        call.platform, call.property_id, seat_id, shift_id, break_id=meant.id, notes=meant.notes, actor=call.actor
    )
    return await _shown_one(call, shift, "Break ended")


async def _mark_delayed(call: Call) -> Reply:
    shift = await attendance.mark_delayed(
        call.platform, call.property_id, *inputs.shift_of(call.body), actor=call.actor
    )
    return await _shown_one(call, shift, "Shift marked as delayed")


async def _mark_absent(call: Call) -> Reply:
    shift = await attendance.mark_absent(call.platform, call.property_id, *inputs.shift_of(call.body), actor=call.actor)
    return await _shown_one(call, shift, "Shift marked as absent")


async def _mark_on_leave(call: Call) -> Reply:
    shift = await attendance.mark_on_leave(
        call.platform, call.property_id, *inputs.shift_of(call.body), actor=call.actor
    )
    return await _shown_one(call, shift, "Shift marked as on leave")


# --- asked about ---


async def _shifts_of_building(call: Call) -> Reply:
    start, end = inputs.time_range(call.body)
    found = await roster.list_shifts(call.platform, call.property_id, start, end, building_id=call.building_id)
    return await _shown(call, found)


async def _shifts_of_property(call: Call) -> Reply:
    found = await roster.list_shifts(call.platform, call.property_id, *inputs.time_range(call.body))
    return await _shown(call, found)


async def _shifts_of_seat(call: Call) -> Reply:
    start, end = inputs.time_range(call.body)
    found = await roster.list_shifts(
        call.platform,
        call.property_id,
        start,
        end,
        seat_id=inputs.seat_of(call.body),
        building_id=_named_building(call),
    )
    return await _shown(call, found)


async def _shifts_on_status(call: Call) -> Reply:
    wanted = inputs.section(call.body, "Shift", "shift")
    start, end = inputs.time_range(wanted)
    status = inputs.text(wanted, "Status")
    found = await roster.list_shifts(
        call.platform, call.property_id, start, end, building_id=call.building_id, status=status
    )
    return await _shown(call, found)


async def _shift_details(call: Call) -> Reply:
    seat_id, shift_id = inputs.shift_of(call.body)
    return Reply(data=await roster.details_record(call.platform, call.property_id, seat_id, shift_id))


async def _shift_status(call: Call) -> Reply:
    details = await roster.shift_details(call.platform, call.property_id, *inputs.shift_of(call.body))
    shift = details.shift
    data = {"SeatId": shift.seat_id, "ShiftId": shift.id, "Status": shift.status, "Delayed": int(shift.delayed)}
    return Reply(data=data)


async def _metrics_of_building(call: Call) -> Reply:
    start, end = inputs.time_range(call.body)
    return Reply(
        data=await roster.count_shifts(call.platform, call.property_id, start, end, building_id=call.building_id)
    )


async def _metrics_of_seat(call: Call) -> Reply:
    start, end = inputs.time_range(call.body)
    counts = await roster.count_shifts(
        call.platform,
        call.property_id,
        start,
        end,
        seat_id=inputs.seat_of(call.body),
        building_id=_named_building(call),
    )
    return Reply(data=counts)


async def _lateness(call: Call) -> Reply:
    end = inputs.instant(call.body, "EndTime", "End") or call.platform.now()
    start = inputs.instant(call.body, "StartTime", "Start") or end - LATENESS_RANGE
    found = await roster.list_shifts(call.platform, call.property_id, start, end, building_id=call.building_id)
    return Reply(data=roster.lateness_record(roster.lateness(found)))


async def _current_shift(call: Call) -> Reply:
    at = inputs.instant(call.body, "StartTime", "Start")
    found = await roster.current_shift(call.platform, call.property_id, inputs.seat_of(call.body), at)
    if found is None:
        return Reply(message="No current shift")
    return await _shown_one(call, found)


async def _next_shifts(call: Call) -> Reply:
    at = inputs.instant(call.body, "StartTime", "Start") or call.platform.now()
    found = await roster.next_shifts(call.platform, call.property_id, inputs.seat_of(call.body), at)
    return await _shown(call, found)


async def _availability_for_leave(call: Call) -> Reply:
    start, end = inputs.time_range(call.body)
    free = await roster.free_seats(call.platform, call.property_id, inputs.seat_of(call.body), start, end)
    return Reply(data=[seat_record(seat) for seat in free])


def _named_building(call: Call) -> BuildingId | None:
    """The building that `ID` of the body names; without it all of the property are meant."""
    named = inputs.text(call.body, "ID", default="")
    return BuildingId(named) if named else None


async def _shown(call: Call, shifts: Sequence[Shift], message: str = "") -> Reply:
    return Reply(message=message, data=await roster.shift_records(call.platform, call.property_id, shifts))


async def _shown_one(call: Call, shift: Shift, message: str = "") -> Reply:
    [record] = await roster.shift_records(call.platform, call.property_id, [shift])
    return Reply(message=message, data=record)


_COST = of(may("U", note="unit, such as a currency"), may("V", NUMBER))
_PLANNED_BREAK = of(may("Type"), may("DurationInSeconds", LENGTH), may("IsPlannedBreak", FLAG), may("Notes"))
_SHIFT_DRAFT = of(
    needs("Start", SECONDS, also=("StartTime",)),
    needs("End", SECONDS, also=("EndTime",)),
    may("TimeZone", note="without it that of the building"),
    may("Zones", ZONES, "none are all"),
    may("Breaks", list_of(_PLANNED_BREAK)),
    may("Cost", _COST),
    may("Description"),
)
_REPEAT = of(may("RepeatDates", list_of(TEXT), "dates such as 20240310"))
_TASK_GROUP_CHANGE = of(
    needs("TaskId", also=("TaskID",)),
    may("Name"),
    may("Zone"),
    may("Start", SECONDS),
    may("End", SECONDS),
    may("Tasks", TASK_GROUP_DRAFT.fields[4].shape),
    may("Priority"),
)
_BREAKS = may("Breaks", list_of(of(may("ID"), may("Type"), may("Notes"))), "one break")


def _clocked(name: str) -> Shape:
    """A shift, and where its seat is."""
    where = may("Coordinates", of(may(name, PLACE)))
    return of(needs("Shift", of(SEAT_ID, SHIFT_ID, where), also=("shift",)), where)


_ON_BREAK = of(needs("Shift", of(SEAT_ID, SHIFT_ID, _BREAKS), also=("shift",)), _BREAKS)
_COUNTS = of(*(needs(status, NUMBER) for status in SHIFT_STATUSES), needs("Delayed", NUMBER))

_THIS_SHIFT = {"Shift": {"SeatId": "{seat}", "ShiftId": "{shift}"}}
_WEEK = {"StartTime": 1710028800, "EndTime": 1710633600}
_OF_SEAT = {"SeatId": "{seat}", **_WEEK}
_MOP = {"Name": "Mopping", "Zone": "{zone}", "Start": 1710032400, "End": 1710034200, "Tasks": [{"Name": "Mop floor"}]}

PLANNING: tuple[Operation, ...] = (
    team_row(
        "createShift",
        "Plan shifts of a seat with their task groups, on their own date and on others.",
        _create_shift,
        of(
            SEAT_ID,
            needs(
                "Schedule",
                list_of(
                    of(
                        needs("shift", _SHIFT_DRAFT, also=("Shift",)),
                        may("taskGroup", list_of(TASK_GROUP_DRAFT), also=inputs.TASK_GROUPS[1:]),
                    )
                ),
            ),
            may("Repeat", _REPEAT),
            may("Publish", FLAG),
        ),
        list_of(SHIFT),
        {
            "SeatId": "{seat}",
            "Repeat": {"RepeatDates": ["20240311"]},
            "Schedule": [
                {
                    "shift": {
                        "Start": 1710028800,
                        "End": 1710057600,
                        "TimeZone": "Asia/Singapore",
                        "Zones": {"{zone}": "Washroom L2 Male"},
                        "Breaks": [{"DurationInSeconds": 1800, "IsPlannedBreak": True, "Type": "MEAL"}],
                        "Cost": {"U": "SGD", "V": 12.5},
                        "Description": "Morning",
                    },
                    "taskGroup": [_MOP],
                }
            ],
            "Publish": True,
        },
        needs_building=True,
    ),
    team_row(
        "updateShift",
        "Change a shift that was not started, together with its task groups; what is not given stays.",
        _update_shift,
        of(
            needs(
                "Shift",
                of(
                    SEAT_ID,
                    SHIFT_ID,
                    may("TimeZone"),
                    may("Start", SECONDS, also=("StartTime",)),
                    may("End", SECONDS, also=("EndTime",)),
                    *_SHIFT_DRAFT.fields[3:],
                ),
                also=("shift",),
            ),
            may("TaskGroups", list_of(_TASK_GROUP_CHANGE), "task groups that are to be different"),
            may("DeleteTaskGroupIds", list_of(TEXT)),
            may("AddTaskGroups", list_of(TASK_GROUP_DRAFT)),
        ),
        SHIFT,
        {
            "Shift": {"SeatId": "{seat}", "ShiftId": "{shift}", "TimeZone": "Asia/Singapore"},
            "TaskGroups": [],
            "DeleteTaskGroupIds": [],
            "AddTaskGroups": [_MOP],
        },
    ),
    team_row(
        "copyShift",
        "Copy a shift for a seat onto dates; the copies are not published.",
        _copy_shift,
        of(
            may("SeatId", note="for whom; without it the seat of the shift", also=("SeatID",)),
            NAMED_SHIFT,
            needs("Repeat", of(needs("RepeatDates", list_of(TEXT), "dates such as 20240310"))),
            may("IncludeZones", FLAG, "true without it"),
            may("IncludeBreaks", FLAG, "true without it"),
            may("IncludeTaskGroups", FLAG, "false without it"),
        ),
        list_of(SHIFT),
        {
            "SeatId": "{seat}",
            **_THIS_SHIFT,
            "Repeat": {"RepeatDates": ["20240312"]},
            "IncludeZones": True,
            "IncludeBreaks": True,
            "IncludeTaskGroups": True,
        },
    ),
    team_row(
        "publishShifts",
        "Publish shifts of a building with their task groups: all of them, or none.",
        _publish_shifts,
        of(needs("Schedule", list_of(of(needs("shift", PAIR, also=("Shift",)))))),
        list_of(SHIFT),
        {"Schedule": [{"shift": {"SeatId": "{seat}", "ShiftId": "{shift}"}}]},
        needs_building=True,
    ),
    team_row(
        "publishShiftsForProjectInTRange",
        "Publish the unpublished shifts of a building that begin in a time range.",
        _publish_in_range,
        of(*RANGE),
        list_of(SHIFT),
        _WEEK,
        needs_building=True,
    ),
    team_row(
        "deleteShift",
        "Delete a shift that was neither started nor completed.",
        _delete_shift,
        of(NAMED_SHIFT),
        PAIR,
        _THIS_SHIFT,
    ),
    team_row(
        "bulkDeleteShift",
        "Delete shifts that were neither started nor completed: all of them, or none.",
        _bulk_delete_shift,
        of(needs("ShiftBulkDelete", of(needs("SeatShiftPairs", list_of(PAIR))))),
        list_of(PAIR),
        {"ShiftBulkDelete": {"SeatShiftPairs": [{"SeatId": "{seat}", "ShiftId": "{shift}"}]}},
    ),
)

ATTENDANCE: tuple[Operation, ...] = (
    team_row(
        "createAdhocShift",
        "Start a shift nobody planned; it begins now.",
        _create_adhoc_shift,
        of(
            SEAT_ID,
            may("TimeZone", note="without it that of the building"),
            may("DaysOfWeek", DAYS, "taken, and means nothing: the shift is now"),
            may("Zones", ZONES, "none are all"),
            may("Coordinates", of(may("ClockIn", PLACE))),
        ),
        SHIFT,
        {"SeatId": "{seat}", "TimeZone": "Asia/Singapore", "DaysOfWeek": [], "Zones": {}},
        needs_building=True,
    ),
    team_row(
        "shiftStart",
        "Clock a seat in; near enough to the building, where that says where it is.",
        _shift_start,
        _clocked("ClockIn"),
        SHIFT,
        {**_THIS_SHIFT, "Coordinates": {"ClockIn": {"Latitude": 1.2966, "Longitude": 103.7764}}},
    ),
    team_row(
        "shiftStartAdmin",
        "Clock a seat in on its behalf, wherever it is, also where it was absent.",
        _shift_start_admin,
        _clocked("ClockIn"),
        SHIFT,
        _THIS_SHIFT,
    ),
    team_row(
        "shiftEnd",
        "Clock a seat out.",
        _shift_end,
        _clocked("ClockOut"),
        SHIFT,
        {**_THIS_SHIFT, "Coordinates": {"ClockOut": {"Latitude": 1.2966, "Longitude": 103.7764}}},
    ),
    team_row(
        "shiftEndAdmin",
        "Clock a seat out on its behalf, also before its time.",
        _shift_end_admin,
        _clocked("ClockOut"),
        SHIFT,
        _THIS_SHIFT,
    ),
    team_row(
        "startBreak",
        "Begin a break: a planned one by its ID, or one that nobody planned.",
        _start_break,
        _ON_BREAK,
        SHIFT,
        {**_THIS_SHIFT, "Breaks": [{"ID": "tea", "Notes": "", "Type": "TEA"}]},
    ),
    team_row(
        "endBreak",
        "End the break that a shift is on.",
        _end_break,
        _ON_BREAK,
        SHIFT,
        {**_THIS_SHIFT, "Breaks": [{"ID": "tea", "Notes": "Back early", "Type": "TEA"}]},
    ),
    team_row("markShiftDelayed", "Mark a shift as late.", _mark_delayed, of(NAMED_SHIFT), SHIFT, _THIS_SHIFT),
    team_row("markShiftAbsent", "Mark a shift as missed.", _mark_absent, of(NAMED_SHIFT), SHIFT, _THIS_SHIFT),
    team_row("markOnLeave", "Put the seat of a shift on leave.", _mark_on_leave, of(NAMED_SHIFT), SHIFT, _THIS_SHIFT),
)

QUESTIONS: tuple[Operation, ...] = (
    team_row(
        "getShiftsForProjectInTRange",
        "The shifts of a building that begin in a time range.",
        _shifts_of_building,
        of(*RANGE),
        list_of(SHIFT),
        _WEEK,
        needs_building=True,
    ),
    team_row(
        "getShiftForPropertyInTRange",
        "The shifts of a property that begin in a time range.",
        _shifts_of_property,
        of(*RANGE),
        list_of(SHIFT),
        _WEEK,
    ),
    team_row(
        "getShiftsForSeatInTRange",
        "The shifts of a seat that begin in a time range.",
        _shifts_of_seat,
        of(SEAT_ID, *RANGE, may("ID", note="only those in this building")),
        list_of(SHIFT),
        _OF_SEAT,
    ),
    team_row(
        "getShiftsInTRangeForIDonStatus",
        "The shifts of a building that begin in a time range and are in a state, DELAYED among them.",
        _shifts_on_status,
        of(
            needs(
                "Shift",
                of(
                    needs("Start", SECONDS, also=("StartTime",)),
                    needs("End", SECONDS, also=("EndTime",)),
                    needs("Status"),
                ),
                also=("shift",),
            )
        ),
        list_of(SHIFT),
        {"Shift": {"Start": 1710028800, "End": 1710633600, "Status": "PUBLISHED"}},
        needs_building=True,
    ),
    team_row(
        "getShiftDetailsByID",
        "A shift with its task groups and its timesheet; it answers 202.",
        _shift_details,
        of(NAMED_SHIFT),
        of(
            needs("shift", SHIFT),
            needs("taskgroup", list_of(TASK_GROUP)),
            may("timesheet", TIMESHEET, "null where there is none"),
            needs("startDate", SECONDS),
            needs("endDate", SECONDS),
        ),
        _THIS_SHIFT,
        status=202,
    ),
    team_row(
        "shiftStatus",
        "The state a shift is in.",
        _shift_status,
        of(NAMED_SHIFT),
        of(needs("SeatId"), needs("ShiftId"), needs("Status"), needs("Delayed", BIT)),
        _THIS_SHIFT,
    ),
    team_row(
        "getShiftMetricsForID",
        "How many shifts of a building begin in a time range, by state; under Delayed those that are or were late.",
        _metrics_of_building,
        of(*RANGE),
        _COUNTS,
        _WEEK,
        needs_building=True,
    ),
    team_row(
        "getShiftMetricsForSeatID",
        "How many shifts of a seat begin in a time range, by state; under Delayed those that are or were late.",
        _metrics_of_seat,
        of(SEAT_ID, *RANGE, may("ID", note="only those in this building")),
        _COUNTS,
        _OF_SEAT,
    ),
    team_row(
        "getShiftLatenessMetricsForBuilding",
        "How punctual the shifts of a building were that began in a time range, without one in the last 24 hours.",
        _lateness,
        of(may("StartTime", SECONDS, also=("Start",)), may("EndTime", SECONDS, also=("End",))),
        of(*(needs(name, NUMBER) for name in ("InTime", "Late", "Absent")), needs("MeanLatenessInSeconds", LENGTH)),
        _WEEK,
        needs_building=True,
        certainty="name published",
    ),
    team_row(
        "getCurrentShiftForSeat",
        "The shift a seat works in, or the published one whose time it is; null where there is none.",
        _current_shift,
        of(SEAT_ID, may("StartTime", SECONDS, "when; without it now", also=("Start",))),
        SHIFT,
        {"SeatId": "{seat}"},
    ),
    team_row(
        "getNextShifts",
        "The next ten published shifts of a seat.",
        _next_shifts,
        of(SEAT_ID, may("StartTime", SECONDS, "from when; without it now", also=("Start",))),
        list_of(SHIFT),
        {"SeatId": "{seat}", "StartTime": 1710028800},
    ),
    team_row(
        "findAvailabilityForLeave",
        "The seats that could stand in for one on leave: active, and without any shift in that time.",
        _availability_for_leave,
        of(SEAT_ID, *RANGE),
        list_of(SEAT),
        _OF_SEAT,
    ),
)

OPERATIONS: tuple[Operation, ...] = (*PLANNING, *ATTENDANCE, *QUESTIONS)
