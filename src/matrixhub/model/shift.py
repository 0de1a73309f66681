"""Shifts: what state they are in, what may be done to them then, and how they show on the wire.

Source: docs/contract/workforce.md §3
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from matrixhub.model.address import Coordinates
from matrixhub.model.devices import Json
from matrixhub.model.errors import WrongParameters, WrongState
from matrixhub.model.event import Event, platform_event
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, ShiftId, TaskId, ZoneId
from matrixhub.model.time import calendar

ShiftStatus = Literal["UNPUBLISHED", "PUBLISHED", "STARTED", "COMPLETED", "ABSENT", "ON_LEAVE"]
SHIFT_STATUSES: tuple[ShiftStatus, ...] = ("UNPUBLISHED", "PUBLISHED", "STARTED", "COMPLETED", "ABSENT", "ON_LEAVE")

ShiftAct = Literal[
    "publish",
    "update",
    "start",
    "start_admin",
    "end",
    "end_admin",
    "end_late",
    "start_break",
    "end_break",
    "mark_delayed",
    "mark_absent",
    "mark_on_leave",
    "delete",
    "expire",
]

TRANSITIONS: Mapping[ShiftAct, Mapping[ShiftStatus, ShiftStatus | Literal[""]]] = {
    "publish": {"UNPUBLISHED": "PUBLISHED"},
    "update": {"UNPUBLISHED": "UNPUBLISHED", "PUBLISHED": "PUBLISHED"},
    "start": {"PUBLISHED": "STARTED"},
    "start_admin": {"PUBLISHED": "STARTED", "ABSENT": "STARTED"},
    "end": {"STARTED": "COMPLETED"},
    "end_admin": {"STARTED": "COMPLETED"},
    "end_late": {"STARTED": "COMPLETED"},
    "start_break": {"STARTED": "STARTED"},
    "end_break": {"STARTED": "STARTED"},
    "mark_delayed": {"PUBLISHED": "PUBLISHED"},
    "mark_absent": {"PUBLISHED": "ABSENT"},
    "mark_on_leave": {"PUBLISHED": "ON_LEAVE", "ABSENT": "ON_LEAVE"},
    "delete": {"UNPUBLISHED": "", "PUBLISHED": "", "ABSENT": "", "ON_LEAVE": ""},
    "expire": {"UNPUBLISHED": ""},
}
"""What an act makes of a shift in a state; '' where it is removed. What is not here cannot be done."""

OCCUPYING: frozenset[ShiftStatus] = frozenset({"UNPUBLISHED", "PUBLISHED", "STARTED", "ON_LEAVE"})
"""States in which a shift keeps its seat from having another at the same time."""

DRAFT_KEPT = timedelta(days=3)
RECORD_KEPT = timedelta(days=365)
"""`Expiry` of a shift, from its start: that of one never published, when it is removed, and that of the others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Break:
    """A break of a shift: planned with it, or taken."""

    id: str
    kind: str = ""
    duration_s: int = 0
    planned: bool = False
    notes: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a shift costs: a value `V` and its unit `U`. Raises WrongParameters for a value that is no number."""

    unit: str = ""
    value: float = 0.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise WrongParameters("Cost has a finite value")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shift:
    """A planned or ad-hoc working period of a seat.

    `zones` is id → name; without any the shift is for all zones. `started_at` and `ended_at` are what was recorded.
    `delayed` stays once it was set, until the start is moved.
    """

    id: ShiftId
    property_id: PropertyId
    building_id: BuildingId
    seat_id: SeatId
    starts_at: datetime
    ends_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    time_zone: str
    status: ShiftStatus = "UNPUBLISHED"
    delayed: bool = False
    on_break: bool = False
    zones: Mapping[ZoneId, str] = field(default_factory=dict)
    breaks: tuple[Break, ...] = ()
    cost: Cost = field(default_factory=Cost)
    description: str = ""
    clock_in: Coordinates | None = None
    clock_out: Coordinates | None = None
    created_by: str = ""
    created_at: datetime
    updated_by: str = ""
    updated_at: datetime
    version: int = 1


def next_status(shift: Shift, act: ShiftAct) -> ShiftStatus | Literal[""]:
    """The state an act leads to, '' where it removes the shift.

    Raises: WrongState if it cannot be done now.
    """
    after = TRANSITIONS[act].get(shift.status)
    if after is None:
        raise WrongState(f"{_words(act)}: shift {shift.id} is {shift.status}")
    if act == "mark_delayed" and shift.delayed:
        raise WrongState(f"{_words(act)}: shift {shift.id} is marked as delayed already")
    if act in ("start_break", "end_break") and shift.on_break == (act == "start_break"):
        raise WrongState(f"{_words(act)}: shift {shift.id} is {'' if shift.on_break else 'not '}on a break")
    return after


def acted(shift: Shift, act: ShiftAct) -> Shift:
    """The shift in the state an act leads to. Raises WrongState; KeyError for an act that removes it."""
    after = next_status(shift, act)
    if not after:
        raise KeyError(act)
    return replace(shift, status=after)


def started(shift: Shift, act: ShiftAct, at: datetime, clock_in: Coordinates | None) -> Shift:
    """The shift with its seat clocked in. Raises WrongState, also once it is over."""
    after = acted(shift, act)
    if at >= shift.ends_at:
        raise WrongState(f"{_words(act)}: shift {shift.id} is over")
    return replace(after, started_at=at, clock_in=clock_in)


def ended(shift: Shift, act: ShiftAct, at: datetime, clock_out: Coordinates | None, *, early_allowed: bool) -> Shift:
    """The shift with its seat clocked out; a break under way ends with it. Raises WrongState."""
    after = acted(shift, act)
    if act == "end" and at < shift.ends_at and not early_allowed:
        raise WrongState(f"{_words(act)}: shift {shift.id} may not end before its time")
    breaks = tuple(_break_ended(b, at) for b in shift.breaks)
    return replace(after, ended_at=at, clock_out=clock_out, on_break=False, breaks=breaks)


def break_started(shift: Shift, at: datetime, break_id: str, *, kind: str = "", notes: str = "") -> Shift:
    """The shift on a break: a planned one that was not taken yet, by its id, or else one that nobody planned.

    Raises: WrongState
    """
    after = acted(shift, "start_break")
    breaks = list(shift.breaks)
    for number, planned in enumerate(breaks):
        if planned.id == break_id:
            if planned.started_at is not None:
                raise WrongState(f"break {break_id[:80]} of shift {shift.id} was taken already")
            breaks[number] = replace(planned, started_at=at, kind=kind or planned.kind, notes=notes or planned.notes)
            break
    else:
        breaks.append(Break(id=break_id, kind=kind, notes=notes, started_at=at))
    return replace(after, on_break=True, breaks=tuple(breaks))


def break_ended(shift: Shift, at: datetime, *, notes: str = "") -> Shift:
    """The shift after its break. Raises WrongState."""
    after = acted(shift, "end_break")
    breaks = tuple(_break_ended(b, at, notes) for b in shift.breaks)
    return replace(after, on_break=False, breaks=breaks)


def _break_ended(taken: Break, at: datetime, notes: str = "") -> Break:
    under_way = taken.started_at is not None and taken.ended_at is None
    return replace(taken, ended_at=at, notes=notes or taken.notes) if under_way else taken


def repeated_span(starts_at: datetime, ends_at: datetime, zone: ZoneInfo, on: date) -> tuple[datetime, datetime]:
    """When a shift is that begins and ends at the same local times, but begins on another date.

    An hour that occurs twice is its first occurrence, one that is skipped is as if the clock had not moved. Where the
    clock moves within the shift, it is longer or shorter by as much; where nothing would be left, it keeps its length.

    >>> london = ZoneInfo("Europe/London")
    >>> night = datetime(2024, 3, 1, 22, tzinfo=UTC), datetime(2024, 3, 2, 6, tzinfo=UTC)
    >>> [str(at) for at in repeated_span(*night, london, date(2024, 3, 30))]
    ['2024-03-30 22:00:00+00:00', '2024-03-31 05:00:00+00:00']
    """
    local_start, local_end = starts_at.astimezone(zone), ends_at.astimezone(zone)
    days = on - local_start.date()
    start, end = (
        (local.replace(tzinfo=None, fold=0) + days).replace(tzinfo=zone).astimezone(UTC)
        for local in (local_start, local_end)
    )
    return start, end if end > start else start + (ends_at - starts_at)


def shift_record(shift: Shift, organisation_id: str, task_ids: Sequence[TaskId] = ()) -> dict[str, Json]:
    """The shift as Matrix Web Services show it. Source: docs/contract/workforce.md §3.2"""
    length = _seconds(shift.ends_at) - _seconds(shift.starts_at)
    kept = DRAFT_KEPT if shift.status == "UNPUBLISHED" else RECORD_KEPT
    worked = 0
    if shift.started_at is not None and shift.ended_at is not None:
        worked = _seconds(shift.ended_at) - _seconds(shift.started_at)
    return {
        "ID": shift.building_id,
        "ATTR": f"attr#{shift.building_id}#{shift.seat_id}#{shift.id}",
        "ShiftId": shift.id,
        "SeatId": shift.seat_id,
        "PropID": shift.property_id,
        "Start": _seconds(shift.starts_at),
        "End": _seconds(shift.ends_at),
        "AStart": _seconds(shift.started_at),
        "AEnd": _seconds(shift.ended_at),
        "ActualDurationInSeconds": worked,
        "ShiftDurationInSeconds": length,
        "Duration": iso_duration(length),
        "LocalTime": calendar(_seconds(shift.starts_at) * 1000, ZoneInfo(shift.time_zone)).t,
        "TimeZone": shift.time_zone,
        "Status": shift.status,
        "Delayed": int(shift.delayed),
        "Breaks": [_break_record(b) for b in shift.breaks],
        "Coordinates": {
            "ClockIn": _coordinates_record(shift.clock_in),
            "ClockOut": _coordinates_record(shift.clock_out),
        },
        "Cost": {"U": shift.cost.unit, "V": shift.cost.value},
        "TaskGroups": list(task_ids),
        "TaskGroupsCount": len(task_ids),
        "Zones": {str(zone): name for zone, name in shift.zones.items()},
        "CreatedBy": shift.created_by,
        "CreatedOn": _seconds(shift.created_at),
        "ModifiedBy": shift.updated_by,
        "ModifiedOn": _seconds(shift.updated_at),
        "Expiry": _seconds(shift.starts_at + kept),
        "jobId": "tbp",
        "NS": "SHIFT_TS",
        "SRN": f"srn:scteams:{organisation_id}:::{shift.property_id}/{shift.building_id}:SHIFT_TS:SHIFT/{shift.id}",
    }


def shift_meta(shift: Shift) -> dict[str, Json]:
    """`Meta` of the events of a shift. Source: docs/contract/event-bus.md §6"""
    return {
        "ShiftId": shift.id,
        "SeatId": shift.seat_id,
        "Start": _seconds(shift.starts_at),
        "End": _seconds(shift.ends_at),
        "AStart": _seconds(shift.started_at),
        "AEnd": _seconds(shift.ended_at),
        "Status": "DELAYED" if shift.delayed and shift.status == "PUBLISHED" else shift.status,
        "Zones": {str(zone): name for zone, name in shift.zones.items()},
        "TimeZone": shift.time_zone,
    }


_DESCRIPTIONS = {
    "SHIFT_STARTED": "has started a shift",
    "SHIFT_DELAYED": "has not started a shift in time",
    "SHIFT_ABSENT": "is absent from a shift",
    "SHIFT_COMPLETED": "has completed a shift",
}


def shift_event(event: str, shift: Shift, seat_name: str, happened_at: int) -> Event:
    """That something happened to a shift. Units: epoch seconds."""
    return platform_event(
        event,
        shift.property_id,
        shift.building_id,
        happened_at=happened_at,
        description=f"{seat_name or shift.seat_id} {_DESCRIPTIONS[event]}",
        meta=shift_meta(shift),
    )


def published_event(shifts: Sequence[Shift], happened_at: int) -> Event:
    """That shifts of a building were published, by one call. Units: epoch seconds."""
    many = len(shifts) != 1
    return platform_event(
        "SHIFTS_PUBLISHED",
        shifts[0].property_id,
        shifts[0].building_id,
        happened_at=happened_at,
        description=f"{len(shifts)} shift{'s were' if many else ' was'} published",
        meta={
            "Shifts": [
                {"ShiftId": s.id, "SeatId": s.seat_id, "Start": _seconds(s.starts_at), "End": _seconds(s.ends_at)}
                for s in shifts
            ]
        },
    )


def iso_duration(seconds: int) -> str:
    """A length as ISO 8601 writes it, without days.

    >>> [iso_duration(s) for s in (10_800, 5_400, 61, 0, 90_000)]
    ['PT3H', 'PT1H30M', 'PT1M1S', 'PT0S', 'PT25H']
    """
    hours, rest = divmod(seconds, 3600)
    parts = zip((hours, *divmod(rest, 60)), "HMS", strict=True)
    return "PT" + ("".join(f"{number}{unit}" for number, unit in parts if number) or "0S")


def _break_record(taken: Break) -> dict[str, Json]:
    return {
        "ID": taken.id,
        "Type": taken.kind,
        "DurationInSeconds": taken.duration_s,
        "IsPlannedBreak": taken.planned,
        "Notes": taken.notes,
        "Start": _seconds(taken.started_at),
        "End": _seconds(taken.ended_at),
    }


def _coordinates_record(place: Coordinates | None) -> dict[str, Json]:
    if place is None:
        return {"Latitude": -1, "Longitude": -1}
    return {"Latitude": place.latitude, "Longitude": place.longitude}


def _seconds(at: datetime | None) -> int:
    return 0 if at is None else int(at.timestamp())


def _words(act: ShiftAct) -> str:
    return act.replace("_", " ")
