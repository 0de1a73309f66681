"""What Matrix Web Services ask of shifts, availability and timesheets, read into what the acts take.

A field has the spellings that are published for it; numbers may be texts that hold one. Fields that no table has are
passed over. Raises: MissingParameters for a mandatory field that is missing or null, WrongParameters for one that
cannot be. Source: docs/contract/workforce.md §3.6
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from matrixhub.model.address import Coordinates
from matrixhub.model.availability import TimeSlot, checked_days
from matrixhub.model.errors import MissingParameters, WrongParameters
from matrixhub.model.escalation import PRIORITY_CODES
from matrixhub.model.ids import BuildingId, SeatId, ShiftId, TaskId, ZoneId
from matrixhub.model.shift import Break, Cost
from matrixhub.model.shift_definition import ShiftDefinition
from matrixhub.modules.workforce.drafts import parse_flag, parse_task_group, parse_tasks
from matrixhub.modules.workforce.planning import ShiftChanges
from matrixhub.modules.workforce.shift_tasks import TaskChange, TaskChanges
from matrixhub.modules.workforce.steps import ShiftDraft

Fields = Mapping[str, Any]

SEAT = ("SeatId", "SeatID")
SHIFT = ("ShiftId", "ShiftID")
START, END = ("Start", "StartTime"), ("End", "EndTime")
TASK_GROUPS = ("taskGroup", "TaskGroup", "taskgroup", "Taskgroup", "TaskGroups")
TIMESHEETS = ("TimeSheets", "Timesheets", "TimeSheet")

_NOT_GIVEN = -1.0
"""What stands for a latitude and a longitude that are not known (published)."""

_SECONDS_MAX = 253_402_300_799 - 366 * 86_400
_DATE = re.compile(r"[0-9]{8}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShiftPlan:
    """createShift: shifts of a seat, each on its own date and on all the others."""

    seat_id: SeatId
    drafts: tuple[ShiftDraft, ...]
    repeat_on: tuple[date, ...]
    publish: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class CopyPlan:
    """copyShift: a shift that is copied, and for whom, when and with what."""

    seat_id: SeatId
    source: tuple[SeatId, ShiftId]
    copy_on: tuple[date, ...]
    include_zones: bool
    include_breaks: bool
    include_tasks: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class BreakMeant:
    """startBreak and endBreak: the break that is meant; '' where nothing is said."""

    id: str = ""
    kind: str = ""
    notes: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A timesheet as it is requested or changed; what is None is not said."""

    seat_id: SeatId
    shift_id: ShiftId
    worked_from: datetime | None
    worked_until: datetime | None
    comment: str | None


def shift_plan(body: Fields) -> ShiftPlan:
    """createShift."""
    return ShiftPlan(
        seat_id=seat_of(body),
        drafts=tuple(_draft(entry) for entry in entries(body, "Schedule")),
        repeat_on=_repeat_dates(body),
        publish=parse_flag(body.get("Publish"), "Publish"),
    )


def copy_plan(body: Fields) -> CopyPlan:
    """copyShift; zones and breaks go with it unless it says otherwise, task groups only where it says so."""
    source = shift_of(body)
    return CopyPlan(
        seat_id=SeatId(text(body, *SEAT)) if pick(body, *SEAT) is not None else source[0],
        source=source,
        copy_on=_repeat_dates(body),
        include_zones=parse_flag(body.get("IncludeZones", True), "IncludeZones"),
        include_breaks=parse_flag(body.get("IncludeBreaks", True), "IncludeBreaks"),
        include_tasks=parse_flag(body.get("IncludeTaskGroups"), "IncludeTaskGroups"),
    )


def shift_changes(body: Fields) -> ShiftChanges:
    """updateShift, what is to be different of the shift itself."""
    shift = section(body, "Shift", "shift")
    return ShiftChanges(
        starts_at=instant(shift, *START),
        ends_at=instant(shift, *END),
        time_zone=text(shift, "TimeZone", default="") or None,
        zones=None if shift.get("Zones") is None else zone_ids(shift),
        breaks=None if shift.get("Breaks") is None else _breaks(shift),
        cost=None if shift.get("Cost") is None else _cost(shift),
        description=None if shift.get("Description") is None else text(shift, "Description"),
    )


def task_changes(body: Fields) -> TaskChanges:
    """updateShift, what becomes of the task groups of the shift."""
    return TaskChanges(
        change=tuple(_task_change(entry) for entry in entries(body, "TaskGroups", required=False)),
        delete=tuple(TaskId(found) for found in texts(body, "DeleteTaskGroupIds")),
        add=tuple(parse_task_group(entry) for entry in entries(body, "AddTaskGroups", required=False)),
    )


def scheduled_pairs(body: Fields) -> list[tuple[SeatId, ShiftId]]:
    """publishShifts: the shifts that are meant, each with its seat."""
    return [shift_of(entry) for entry in entries(body, "Schedule")]


def pairs_to_delete(body: Fields) -> list[tuple[SeatId, ShiftId]]:
    """bulkDeleteShift: the shifts that are meant, each with its seat."""
    return [pair_of(entry) for entry in entries(section(body, "ShiftBulkDelete"), "SeatShiftPairs")]


def shift_of(body: Fields) -> tuple[SeatId, ShiftId]:
    """The shift that `Shift` names, with its seat."""
    return pair_of(section(body, "Shift", "shift"))


def pair_of(fields: Fields) -> tuple[SeatId, ShiftId]:
    """The seat and the shift that are named side by side.

    >>> pair_of({"SeatId": "p_004", "ShiftID": "1f0e6a52"})
    ('p_004', '1f0e6a52')
    """
    return seat_of(fields), ShiftId(text(fields, *SHIFT))


def seat_of(fields: Fields) -> SeatId:
    """The seat that is named."""
    return SeatId(text(fields, *SEAT))


def coordinates(body: Fields, name: str) -> Coordinates | None:
    """Where the seat says it is: `Coordinates.ClockIn` or `ClockOut`, of the shift or beside it."""
    shift = pick(body, "Shift", "shift")
    given = (pick(shift, "Coordinates") if isinstance(shift, Mapping) else None) or body.get("Coordinates") or {}
    place = pick(_object(given, "Coordinates"), name)
    if place is None:
        return None
    place = _object(place, f"Coordinates.{name}")
    latitude, longitude = number(place, "Latitude"), number(place, "Longitude")
    if (latitude, longitude) == (_NOT_GIVEN, _NOT_GIVEN):
        return None
    return Coordinates(latitude, longitude)


def break_meant(body: Fields) -> BreakMeant:
    """The one break of `Breaks`, of the shift or beside it."""
    shift = section(body, "Shift", "shift")
    where = shift if shift.get("Breaks") is not None else body
    found = entries(where, "Breaks", required=False)
    if len(found) > 1:
        raise WrongParameters("Breaks names one break at a time")
    if not found:
        return BreakMeant()
    return BreakMeant(
        id=text(found[0], "ID", "Id", default=""),
        kind=text(found[0], "Type", default=""),
        notes=text(found[0], "Notes", default=""),
    )


def time_range(fields: Fields) -> tuple[datetime, datetime]:
    """`StartTime` and `EndTime`, also spelled `Start` and `End`."""
    start, end = instant(fields, *reversed(START)), instant(fields, *reversed(END))
    if start is None or end is None:
        raise MissingParameters("StartTime and EndTime are needed")
    return start, end


def days_of_week(fields: Fields) -> list[int]:
    """`DaysOfWeek`, or the one `DayOfWeek`; none where neither is there."""
    given = pick(fields, "DaysOfWeek", "DayOfWeek")
    if given is None:
        return []
    days = [_whole(entry, "DaysOfWeek") for entry in (given if isinstance(given, list) else [given])]
    return list(checked_days(days)) if days else []


def day_slots(fields: Fields) -> list[TimeSlot]:
    """`TimeSlots` of a day."""
    return [
        TimeSlot(
            start_s=whole(entry, "StartTime", "Start"),
            end_s=whole(entry, "EndTime", "End"),
            name=text(entry, "Name", default=""),
        )
        for entry in entries(fields, "TimeSlots")
    ]


def availabilities(body: Fields) -> dict[int, list[TimeSlot]]:
    """updateSeatAvailability: slots by day; each entry names one day or several."""
    found: dict[int, list[TimeSlot]] = {}
    for entry in entries(body, "Availabilities"):
        days = days_of_week(entry)
        if not days:
            raise MissingParameters("each of Availabilities needs DayOfWeek or DaysOfWeek")
        slots = day_slots(entry)
        for day in days:
            if day in found:
                raise WrongParameters(f"Availabilities has day {day} twice")
            found[day] = slots
    return found


def seat_zones(fields: Fields) -> dict[ZoneId, BuildingId]:
    """`Zones{building: {zone: name}}`: where each zone is. Names are looked up, not taken."""
    found: dict[ZoneId, BuildingId] = {}
    for building, zones in _object(fields.get("Zones") or {}, "Zones").items():
        for zone in _object(zones or {}, f"Zones.{building[:80]}"):
            found[ZoneId(zone)] = BuildingId(building)
    return found


def zone_ids(fields: Fields) -> tuple[ZoneId, ...]:
    """`Zones{zone: name}`; names are looked up, not taken."""
    return tuple(ZoneId(zone) for zone in _object(fields.get("Zones") or {}, "Zones"))


def claim(body: Fields) -> Claim:
    """A timesheet: the shift, and when was worked."""
    sheet = section(body, "TimeSheet", "Timesheet")
    seat_id, shift_id = pair_of(sheet)
    return Claim(
        seat_id=seat_id,
        shift_id=shift_id,
        worked_from=instant(sheet, *START),
        worked_until=instant(sheet, *END),
        comment=None if sheet.get("Comment") is None else text(sheet, "Comment"),
    )


def timesheet_pairs(body: Fields) -> list[tuple[SeatId, ShiftId]]:
    """The shifts whose timesheets are meant, each with its seat."""
    return [pair_of(entry) for entry in entries(body, *TIMESHEETS)]


def definitions(fields: Fields) -> list[ShiftDefinition]:
    """`ShiftSettings` of a day."""
    return [
        ShiftDefinition(
            name=text(entry, "Name"),
            start_s=whole(entry, "Start"),
            end_s=whole(entry, "End"),
            colour=text(entry, "ColorCode", default=""),
            expected=None if entry.get("ExpectedPresent") is None else whole(entry, "ExpectedPresent"),
            expected_by_team={
                team: _whole(value, "ExpectedPresentByTeam")
                for team, value in _object(entry.get("ExpectedPresentByTeam") or {}, "ExpectedPresentByTeam").items()
            },
        )
        for entry in entries(fields, "ShiftSettings")
    ]


def shift_hours(body: Fields) -> list[ShiftDefinition]:
    """`ShiftHours`."""
    return [
        ShiftDefinition(
            name=text(entry, "ShiftName"),
            start_s=whole(entry, "Start"),
            end_s=whole(entry, "End"),
            colour=text(entry, "ColorCode", default=""),
        )
        for entry in entries(body, "ShiftHours")
    ]


def section(body: Fields, *names: str) -> Fields:
    """The object under a field, by whichever of its spellings."""
    found = pick(body, *names)
    if found is None:
        raise MissingParameters(f"{names[0]} is missing")
    return _object(found, names[0])


def entries(body: Fields, *names: str, required: bool = True) -> Sequence[Fields]:
    """The objects of a list, by whichever of its spellings; none where there is none and there need not be."""
    found = pick(body, *names)
    if found is None:
        if required:
            raise MissingParameters(f"{names[0]} is missing")
        return []
    if not isinstance(found, list) or not all(isinstance(entry, Mapping) for entry in found):
        raise WrongParameters(f"{names[0]} is a list of objects")
    return found


def instant(fields: Fields, *names: str) -> datetime | None:
    """The instant of epoch seconds, None where nothing is said.

    >>> str(instant({"StartTime": "1710029109"}, "StartTime"))
    '2024-03-10 00:05:09+00:00'
    """
    if pick(fields, *names) is None:
        return None
    seconds = number(fields, *names)
    if not 0 <= seconds <= _SECONDS_MAX:
        raise WrongParameters(f"{names[0]} is a number of epoch seconds")
    return datetime.fromtimestamp(int(seconds), UTC)


def whole(fields: Fields, *names: str) -> int:
    """A whole number."""
    return _whole(_needed(fields, names), names[0])


def number(fields: Fields, *names: str) -> float:
    """A number, or a text that holds one."""
    return _number(_needed(fields, names), names[0])


def text(fields: Fields, *names: str, default: str | None = None) -> str:
    """A text; where there is no default, one that is not empty."""
    found = pick(fields, *names)
    if found is None and default is not None:
        return default
    if not isinstance(found, str | None) or (found and "\x00" in found):
        raise WrongParameters(f"{names[0]} is a text")
    if not found and default is None:
        raise MissingParameters(f"{names[0]} is missing")
    return found or ""


def texts(fields: Fields, name: str) -> list[str]:
    """The texts of a list, none where there is none."""
    found = fields.get(name) or []
    if not isinstance(found, list) or not all(isinstance(entry, str) for entry in found):
        raise WrongParameters(f"{name} is a list of texts")
    return found


def pick(fields: Fields, *names: str) -> Any:
    """The value of a field under the first of its spellings that is there, None where it is missing."""
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def _draft(entry: Fields) -> ShiftDraft:
    shift = section(entry, "shift", "Shift")
    starts_at, ends_at = instant(shift, *START), instant(shift, *END)
    if starts_at is None or ends_at is None:
        raise MissingParameters("a shift needs Start and End")
    return ShiftDraft(
        starts_at=starts_at,
        ends_at=ends_at,
        time_zone=text(shift, "TimeZone", default=""),
        zones=zone_ids(shift),
        breaks=_breaks(shift),
        cost=_cost(shift),
        description=text(shift, "Description", default=""),
        tasks=tuple(parse_task_group(task) for task in entries(entry, *TASK_GROUPS, required=False)),
    )


def _breaks(shift: Fields) -> tuple[Break, ...]:
    return tuple(
        Break(
            id="",
            kind=text(entry, "Type", default=""),
            duration_s=0 if entry.get("DurationInSeconds") is None else whole(entry, "DurationInSeconds"),
            planned=True,
            notes=text(entry, "Notes", default=""),
        )
        for entry in entries(shift, "Breaks", required=False)
    )


def _cost(shift: Fields) -> Cost:
    given = _object(shift.get("Cost") or {}, "Cost")
    return Cost(
        unit=text(given, "U", default=""),
        value=0.0 if given.get("V") is None else number(given, "V"),
    )


def _task_change(entry: Fields) -> TaskChange:
    priority = entry.get("Priority")
    code = next((code for code in PRIORITY_CODES if code == priority), None)
    if priority is not None and code is None:
        raise WrongParameters(f"Priority is one of {', '.join(PRIORITY_CODES)}")
    return TaskChange(
        id=TaskId(text(entry, "TaskId", "TaskID")),
        name=None if entry.get("Name") is None else text(entry, "Name"),
        zone_id=None if entry.get("Zone") is None else ZoneId(text(entry, "Zone")),
        starts_at=instant(entry, *START),
        ends_at=instant(entry, *END),
        priority=code,
        tasks=None if entry.get("Tasks") is None else parse_tasks(entry["Tasks"]),
    )


def _repeat_dates(body: Fields) -> tuple[date, ...]:
    repeat = _object(body.get("Repeat") or {}, "Repeat")
    return tuple(_date(found) for found in texts(repeat, "RepeatDates"))


def _date(found: str) -> date:
    try:
        if _DATE.fullmatch(found):
            return date(int(found[:4]), int(found[4:6]), int(found[6:]))
    except ValueError:
        pass  # told below, like what has not even the form
    raise WrongParameters("RepeatDates are dates such as 20240310")


def _object(found: object, name: str) -> Fields:
    if not isinstance(found, Mapping):
        raise WrongParameters(f"{name} is an object")
    return found


def _needed(fields: Fields, names: Sequence[str]) -> object:
    found = pick(fields, *names)
    if found is None:
        raise MissingParameters(f"{names[0]} is missing")
    return found


def _whole(value: object, name: str) -> int:
    found = _number(value, name)
    if found != int(found) or abs(found) > 2**53:
        raise WrongParameters(f"{name} is a whole number")
    return int(found)


def _number(value: object, name: str) -> float:
    try:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            found = float(value)
            if math.isfinite(found):
                return found
    except (ValueError, OverflowError):
        pass  # told below, like what is no number at all
    raise WrongParameters(f"{name} is a number")
