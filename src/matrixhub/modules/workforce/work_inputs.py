"""What Matrix Web Services ask about incidents and tasks, besides new ones: documents of the wire, read into values.

Fields go by the names that the operations' shapes have. Every function raises MissingParameters for what is missing
and WrongParameters for what cannot be. Source: docs/contract/incidents.md §4, docs/contract/web-services.md §2
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from matrixhub.model.errors import MissingParameters, WrongParameters
from matrixhub.model.escalation import SETTINGS_KEYS, EscalationType, PriorityCode
from matrixhub.model.ids import BuildingId, SeatId, ShiftId, TaskId, ZoneId
from matrixhub.model.work_order import META_STATUS, STATUSES, WORK_TYPES, Assignee, Status, WorkType
from matrixhub.modules.workforce.drafts import parse_assignee, parse_instant, parse_number
from matrixhub.modules.workforce.incidents import IncidentChange
from matrixhub.modules.workforce.records import UNASSIGNED
from matrixhub.modules.workforce.work_orders import Said
from matrixhub.store.work_orders import Wanted

Fields = Mapping[str, Any]

_TASK_NAMES = ("TaskId", "IncidentId", "IncidentID")
_ZONE_NAMES = ("zoneId", "Zone")
_SHIFT_NAMES = ("ShiftId", "ShiftID")
_OTHER_GROUP_NAMES = ("IncidentsSettings",)


@dataclass(frozen=True, kw_only=True, slots=True)
class LastTasks:
    """The question for the last tasks: of a building, zone or seat, or of the whole property; how many."""

    building_id: BuildingId | None = None
    zone_id: ZoneId | None = None
    seat_id: SeatId | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 1


def parse_task_id(fields: Fields) -> TaskId:
    """The id of the incident or task that is meant: a text or, as one client sends it, a number.

    >>> parse_task_id({"TaskId": 1710029109417000214})
    '1710029109417000214'
    """
    name, value = next(((name, fields[name]) for name in _TASK_NAMES if fields.get(name)), (_TASK_NAMES[0], None))
    if value is None:
        raise MissingParameters(f"{name}: missing")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise WrongParameters(f"{name} is the id of an incident or a task")
    return TaskId(str(value))


def parse_said(fields: Fields, building_id: BuildingId, kind: WorkType | None = None) -> Said:
    """What is said of a work order besides its id; `tbp`, which stands for nobody, says nothing."""
    zone, seat, shift = _name(fields, *_ZONE_NAMES), _name(fields, "SeatId"), _name(fields, *_SHIFT_NAMES)
    return Said(
        type=kind,
        building_id=building_id,
        zone_id=ZoneId(zone) if zone else None,
        seat_id=SeatId(seat) if seat else None,
        shift_id=ShiftId(shift) if shift else None,
    )


def parse_next_assignee(fields: Fields) -> Assignee | None:
    """Who gets an incident anew, None where nobody is named."""
    seat, shift = _name(fields, "NewSeatId"), _name(fields, "NewShiftId")
    return parse_assignee({"SeatId": seat, "ShiftId": shift}) if seat or shift else None


def parse_range(fields: Fields) -> tuple[datetime | None, datetime | None]:
    """From when and until when, each None where it is not given."""
    return parse_instant(fields, "StartTime"), parse_instant(fields, "EndTime")


def parse_wanted(fields: Fields, building_id: BuildingId | None, *statuses: Status, kind: str | None = None) -> Wanted:
    """Which work orders are asked for."""
    since, until = parse_range(fields)
    zone, seat = _name(fields, *_ZONE_NAMES), _name(fields, "SeatId")
    asked_kind = kind or fields.get("Type") or None
    return Wanted(
        building_id=building_id,
        zone_id=ZoneId(zone) if zone else None,
        seat_id=SeatId(seat) if seat else None,
        type=parse_type(asked_kind) if asked_kind else None,
        statuses=statuses or None,
        since=since,
        until=until,
    )


def parse_type(value: object) -> WorkType:
    """INCIDENT or TASK."""
    for kind in WORK_TYPES:
        if value == kind:
            return kind
    raise WrongParameters(f"Type is one of {', '.join(WORK_TYPES)}")


def parse_status(value: object) -> Status:
    """A state, as records or as events spell it.

    >>> parse_status("ASSIGNED")
    'PUBLISHED'
    """
    for status in STATUSES:
        if value in (status, META_STATUS[status]):
            return status
    raise WrongParameters(f"Status is one of {', '.join(STATUSES)}")


def parse_escalation_type(value: object) -> EscalationType:
    """A type of escalation."""
    for kind in SETTINGS_KEYS:
        if value == kind:
            return kind
    raise WrongParameters(f"EscalationType is one of {', '.join(SETTINGS_KEYS)}")


def parse_last_tasks(fields: Fields, building_id: BuildingId) -> LastTasks:
    """The question for the last tasks. Without `TasksFor` they are those of the zone or seat that is named, else of the
    building; without `Limit`, or with 0, it is one task, and the sign counts for nothing.

    >>> parse_last_tasks({"TasksFor": "ZONE", "zoneId": "0a6f", "Limit": -10}, BuildingId("c40d")).limit
    10
    """
    zone, seat = _name(fields, *_ZONE_NAMES), _name(fields, "SeatId")
    tasks_for = fields.get("TasksFor") or ("ZONE" if zone else "SEAT" if seat else "ID")
    since, until = parse_range(fields)
    limit = abs(int(parse_number(fields.get("Limit") or 0, "Limit"))) or 1
    match tasks_for:
        case "ID":
            return LastTasks(building_id=building_id, since=since, until=until, limit=limit)
        case "PROP":
            return LastTasks(since=since, until=until, limit=limit)
        case "ZONE":
            if not zone:
                raise MissingParameters("zoneId: missing")
            return LastTasks(building_id=building_id, zone_id=ZoneId(zone), since=since, until=until, limit=limit)
        case "SEAT":
            if not seat:
                raise MissingParameters("SeatId: missing")
            return LastTasks(seat_id=SeatId(seat), since=since, until=until, limit=limit)
    raise WrongParameters("TasksFor is one of ID, PROP, ZONE, SEAT")


def parse_change(update: Fields) -> IncidentChange:
    """What is to be different, from `{Details{Name, Description, Priority}, Zones{NewZoneId}}`.

    The priority is checked by the act.
    """
    details, zones = update.get("Details") or {}, update.get("Zones") or {}
    zone = _name(zones, "NewZoneId")
    return IncidentChange(
        name=details.get("Name"),
        description=details.get("Description"),
        priority=cast("PriorityCode | None", details.get("Priority")),
        zone_id=ZoneId(zone) if zone else None,
    )


def parse_zone_ids(value: object) -> list[ZoneId]:
    """Ids of zones, from a list or from one alone."""
    entries = [value] if isinstance(value, str) else value
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, str) for entry in entries):
        raise WrongParameters("ZoneID is a list of ids of zones")
    return [ZoneId(entry) for entry in entries]


def parse_keys(fields: Fields, *groups: str) -> Sequence[str]:
    """The keys of settings that are selected: those of an object, or a list, also in an object of the same name.

    >>> parse_keys({"IncidentSettings": {"IncidentSettings": ["A", "B"]}}, "IncidentSettings")
    ['A', 'B']
    >>> parse_keys({}, "IncidentSettings")
    []
    """
    keys: list[str] = []
    for name in groups:
        given = fields.get(name) or []
        for inner in (name, *_OTHER_GROUP_NAMES):
            if isinstance(given, Mapping) and isinstance(given.get(inner), Mapping | list):
                given = given[inner]
                break
        if not isinstance(given, Mapping | list) or not all(isinstance(key, str) for key in given):
            raise WrongParameters(f"{name} selects settings by their keys")
        keys.extend(given)
    return keys


def parse_setting_changes(fields: Fields, group: str) -> Fields:
    """The settings to be changed, by key: they stand under the name of their group, once or twice.

    >>> parse_setting_changes({"ScheduleSettings": {"ScheduleSettings": {"AUTO_CLOCKOUT": 0}}}, "ScheduleSettings")
    {'AUTO_CLOCKOUT': 0}
    """
    given = fields.get(group)
    for name in (group, *_OTHER_GROUP_NAMES):
        if isinstance(given, Mapping) and given.get(name) is not None:
            given = given[name]
            break
    if not isinstance(given, Mapping):
        raise WrongParameters(f"{group} is an object of settings by their keys")
    return given


def _name(fields: Fields, *names: str) -> str:
    """The id of a field under one of its names, '' where there is none."""
    value = next((fields[name] for name in names if fields.get(name)), "")
    if not isinstance(value, str):
        raise WrongParameters(f"{names[0]} is an id")
    return "" if value == UNASSIGNED else value
