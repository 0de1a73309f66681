"""Good requests to the routes of seats, shifts and what belongs to them, and the things they are about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from tests.integration.rest.rig import Rig, Things

from matrixhub.model.attendance import IntegrationId
from matrixhub.model.availability import TimeSlot
from matrixhub.model.ids import (
    ApplicationId,
    BuildingId,
    DatabaseId,
    IdentityApplicationId,
    KeyId,
    PropertyId,
    SeatId,
    ShiftId,
    SubscriptionId,
    ZoneId,
)
from matrixhub.modules.work import Platform
from matrixhub.modules.workforce import attendance, availability, integrations, planning, seats, timesheets
from matrixhub.modules.workforce.steps import ShiftDraft

State = Literal["planned", "published", "started", "on break", "completed", "claimed"]

STATES: Mapping[str, State] = {
    "publishShift": "planned",
    "endShift": "started",
    "endShiftAdmin": "started",
    "startBreak": "started",
    "endBreak": "on break",
    "requestTimesheet": "completed",
    "listTimesheets": "claimed",
    "showTimesheet": "claimed",
    "changeTimesheet": "claimed",
    "approveTimesheet": "claimed",
    "rejectTimesheet": "claimed",
}
"""The state of the shift that a route is about, where it is not a published one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShiftThings:
    """A seat with a shift that has begun an hour ago, and an integration that knows the seat."""

    building: BuildingId
    zone: ZoneId
    seat: SeatId
    shift: ShiftId
    integration: IntegrationId
    starts_at: str
    ends_at: str


async def with_shift_things(rig: Rig, property_id: PropertyId, state: State) -> Things:
    """A property that has the things, and nothing else."""
    return Things(
        property_id=property_id,
        subscription=SubscriptionId("sub_none"),
        signing_key="whk_none",
        attempt=UUID(int=0),
        parked=UUID(int=0),
        replay="rpl_none",
        application=ApplicationId("app-none"),
        key=KeyId("key_none"),
        identity_application=IdentityApplicationId("idp_none"),
        role="NONE#None",
        group="grp_none",
        database=DatabaseId("db_none"),
        shifts=await make_shift_things(rig, property_id, state),
    )


async def make_shift_things(rig: Rig, property_id: PropertyId, state: State = "published") -> ShiftThings:
    """The things, with the shift in a state."""
    platform = rig.parts.platform
    async with rig.database.connection() as connection:
        row = await connection.fetchrow(
            "select z.id, z.building_id from zones z join buildings b on b.id = z.building_id"
            " where b.property_id = $1 order by z.id limit 1",
            property_id,
        )
    building, zone = BuildingId(row["building_id"]), ZoneId(row["id"])
    seat = (await seats.create_seat(platform, property_id, name="Ann Lee", actor="ann")).id
    begin = platform.now().replace(microsecond=0) - timedelta(hours=1)
    draft = ShiftDraft(starts_at=begin, ends_at=begin + timedelta(hours=4), time_zone="Asia/Singapore")
    [shift] = await planning.create_shifts(
        platform, property_id, building, seat, [draft], publish=state != "planned", actor="ann"
    )
    await _bring(platform, property_id, seat, shift.id, state)
    slots = [TimeSlot(start_s=28_800, end_s=61_200)]
    await availability.create_availability(platform, property_id, seat, [1], slots, actor="ann")
    await availability.set_availability_zones(platform, property_id, seat, [zone], actor="ann")
    users = {"badge 17": seat}
    integration = await integrations.create_integration(platform, property_id, name="Gate", users=users, actor="ann")
    free = begin + timedelta(days=2)
    return ShiftThings(
        building=building,
        zone=zone,
        seat=seat,
        shift=shift.id,
        integration=integration.id,
        starts_at=free.isoformat(),
        ends_at=(free + timedelta(hours=4)).isoformat(),
    )


async def _bring(platform: Platform, property_id: PropertyId, seat: SeatId, shift: ShiftId, state: State) -> None:
    given = (platform, property_id, seat, shift)
    if state in ("started", "on break", "completed", "claimed"):
        at = platform.now() - timedelta(minutes=30)
        await attendance.start_shift(*given, at=at, actor="ann")
    if state == "on break":
        await attendance.start_break(*given, actor="ann")
    if state in ("completed", "claimed"):
        await attendance.end_shift(*given, actor="ann")
    if state == "claimed":
        await timesheets.request_timesheet(*given, actor="ann")


def of_things(things: Things) -> ShiftThings:
    """Those of the workforce, which are there."""
    assert things.shifts is not None
    return things.shifts


Given = tuple[Callable[[Things], str], Callable[[Things], object], bool]


def _shift(rest: str = "", body: object = None) -> Given:
    return lambda t: f"/shifts/{of_things(t).shift}{rest}", lambda _: body, False


def _seat(rest: str = "", body: Callable[[ShiftThings], object] = lambda _: None) -> Given:
    return lambda t: f"/seats/{of_things(t).seat}{rest}", lambda t: body(of_things(t)), False


def _timesheet(rest: str = "", body: object = None) -> Given:
    return lambda t: f"/timesheets/{of_things(t).shift}{rest}", lambda _: body, False


def _available(rest: str = "", body: object = None) -> Given:
    return lambda t: f"/availabilities/{of_things(t).seat}{rest}", lambda _: body, False


def _integration(rest: str = "", body: object = None) -> Given:
    return lambda t: f"/attendance-integrations/{of_things(t).integration}{rest}", lambda _: body, False


def _fixed(path: str, body: object = None) -> Given:
    return lambda _: path, lambda _: body, True


def _new_shift(things: Things) -> dict[str, Any]:
    found = of_things(things)
    group = {"name": "Mopping", "zone": found.zone, "starts_at": found.starts_at, "ends_at": found.ends_at}
    return {
        "building": found.building,
        "seat": found.seat,
        "starts_at": found.starts_at,
        "ends_at": found.ends_at,
        "task_groups": [{**group, "tasks": ["Mop floor"]}],
        "publish": True,
    }


_SLOTS = {"slots": [{"start_s": 28_800, "end_s": 61_200}]}

SHIFT_ROUTES: Mapping[str, Given] = {
    "listSeats": _fixed("/seats"),
    "createSeat": _fixed("/seats", {"name": "Bob Tan"}),
    "showSeat": _seat(),
    "changeSeat": _seat("", lambda _: {"team": "Night"}),
    "showSeatZones": _seat("/zones"),
    "setSeatZones": _seat("/zones", lambda found: {"zones": [found.zone]}),
    "clearSeatZones": _seat("/zones"),
    "listShifts": _fixed("/shifts"),
    "createShift": (lambda _: "/shifts", _new_shift, False),
    "showShift": _shift(),
    "changeShift": _shift("", {"description": "changed"}),
    "deleteShift": _shift(),
    "publishShift": _shift("/publish"),
    "startShift": _shift("/start", {}),
    "startShiftAdmin": _shift("/start-admin", {}),
    "endShift": _shift("/end", {}),
    "endShiftAdmin": _shift("/end-admin", {}),
    "startBreak": _shift("/breaks", {}),
    "endBreak": _shift("/breaks/end", {}),
    "markShiftDelayed": _shift("/delayed"),
    "markShiftAbsent": _shift("/absent"),
    "markShiftOnLeave": _shift("/leave"),
    "listAvailabilities": _fixed("/availabilities"),
    "setAvailability": _available("/2", _SLOTS),
    "deleteAvailability": _available(),
    "listTimesheets": _fixed("/timesheets"),
    "requestTimesheet": (lambda _: "/timesheets", lambda t: {"shift": of_things(t).shift}, False),
    "showTimesheet": _timesheet(),
    "changeTimesheet": _timesheet("", {"comment": "changed"}),
    "approveTimesheet": _timesheet("/approve"),
    "rejectTimesheet": _timesheet("/reject", {}),
    "listShiftDefinitions": _fixed("/shift-definitions"),
    "setShiftDefinitions": _fixed(
        "/shift-definitions/1", {"shifts": [{"name": "Morning", "start_s": 25_200, "end_s": 54_000}]}
    ),
    "deleteShiftDefinitions": _fixed("/shift-definitions/1"),
    "listAttendanceIntegrations": _fixed("/attendance-integrations"),
    "createAttendanceIntegration": _fixed("/attendance-integrations", {"name": "Gate 2"}),
    "showAttendanceIntegration": _integration(),
    "changeAttendanceIntegration": _integration("", {"name": "Gate 3"}),
    "deleteAttendanceIntegration": _integration(),
    "tellAttendance": _integration("/events", {"event": "CLOCK_IN", "user": "badge 17"}),
}
"""By operation: path, body, and whether anyone gets an answer, with what is his own in it."""

SHIFT_STATEMENTS = tuple(
    f"select * from {table} where property_id = $1 order by 1, 2"
    for table in (
        *("seats", "shifts", "work_orders", "availabilities", "timesheets", "shift_definitions"),
        "attendance_integrations",
    )
)
"""All that is kept of the things."""
