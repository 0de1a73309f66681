"""Seats, shifts and what belongs to them as documents."""

from __future__ import annotations

from typing import Annotated

from litestar.params import PathParameter, QueryParameter

from matrixhub.api.auth import Caller
from matrixhub.api.bodies import ApiRequest
from matrixhub.api.rest import shift_documents as doc
from matrixhub.model.address import Coordinates
from matrixhub.model.attendance import AttendanceIntegration
from matrixhub.model.availability import Availability
from matrixhub.model.seat import Seat
from matrixhub.model.shift import Break, Cost, Shift
from matrixhub.model.shift_definition import ShiftDefinition
from matrixhub.model.timesheet import Timesheet
from matrixhub.modules.workforce.definitions import Definitions

_ID = r"^[^\x00-\x1f\x7f]{1,200}$"

SeatPath = Annotated[str, PathParameter(pattern=_ID, description="Id of the seat.")]
ShiftPath = Annotated[str, PathParameter(pattern=r"^[\w-]{1,128}$", description="Id of the shift.")]
DayPath = Annotated[int, PathParameter(ge=0, le=6, description="Day of the week; 0 is Sunday.")]
BuildingQuery = Annotated[str | None, QueryParameter(pattern=_ID, description="Only those of this building.")]
SeatQuery = Annotated[str | None, QueryParameter(pattern=_ID, description="Only those of this seat.")]


def actor_of(request: ApiRequest) -> str:
    """Who records say did it."""
    caller: Caller = request.scope["caller"]  # type: ignore[typeddict-item]
    return caller.actor


def seat_view(seat: Seat) -> doc.SeatView:
    """A seat."""
    return doc.SeatView(
        id=seat.id,
        name=seat.name,
        email=seat.email,
        team=seat.team,
        active=seat.active,
        confined=seat.confined,
        created_at=seat.created_at,
        version=seat.version,
    )


def shift_view(shift: Shift) -> doc.ShiftView:
    """A shift."""
    return doc.ShiftView(
        id=shift.id,
        building=shift.building_id,
        seat=shift.seat_id,
        starts_at=shift.starts_at,
        ends_at=shift.ends_at,
        started_at=shift.started_at,
        ended_at=shift.ended_at,
        time_zone=shift.time_zone,
        status=shift.status,
        delayed=shift.delayed,
        on_break=shift.on_break,
        zones={str(zone): name for zone, name in shift.zones.items()},
        breaks=[break_view(one) for one in shift.breaks],
        cost=doc.CostView(unit=shift.cost.unit, value=shift.cost.value),
        description=shift.description,
        clock_in=place_view(shift.clock_in),
        clock_out=place_view(shift.clock_out),
        created_by=shift.created_by,
        created_at=shift.created_at,
        updated_by=shift.updated_by,
        updated_at=shift.updated_at,
        version=shift.version,
    )


def break_view(one: Break) -> doc.BreakView:
    """A break."""
    return doc.BreakView(
        id=one.id,
        kind=one.kind,
        duration_s=one.duration_s,
        planned=one.planned,
        notes=one.notes,
        started_at=one.started_at,
        ended_at=one.ended_at,
    )


def place_view(place: Coordinates | None) -> doc.Place | None:
    """A place, where one is known."""
    return None if place is None else doc.Place(latitude=place.latitude, longitude=place.longitude)


def read_place(place: doc.Place | None) -> Coordinates | None:
    """The place of a document."""
    return None if place is None else Coordinates(place.latitude, place.longitude)


def read_cost(cost: doc.CostView) -> Cost:
    """The cost of a document."""
    return Cost(unit=cost.unit, value=cost.value)


def read_breaks(breaks: list[doc.NewBreak]) -> tuple[Break, ...]:
    """The breaks of a document, to be planned."""
    return tuple(
        Break(id="", kind=one.kind, duration_s=one.duration_s, planned=True, notes=one.notes) for one in breaks
    )


def timesheet_view(timesheet: Timesheet) -> doc.TimesheetView:
    """A timesheet."""
    return doc.TimesheetView(
        shift=timesheet.shift_id,
        seat=timesheet.seat_id,
        kind=timesheet.kind,
        status=timesheet.status,
        worked_from=timesheet.worked_from,
        worked_until=timesheet.worked_until,
        comment=timesheet.comment,
        requested_by=timesheet.requested_by,
        requested_at=timesheet.requested_at,
        decided_by=timesheet.decided_by,
        decided_at=timesheet.decided_at,
        version=timesheet.version,
    )


def availability_view(found: Availability) -> doc.AvailabilityView:
    """When a seat is available on a day."""
    slots = [
        doc.SlotView(start_s=slot.start_s, end_s=slot.end_s, name=slot.name, next_day=slot.next_day)
        for slot in found.slots
    ]
    return doc.AvailabilityView(seat=found.seat_id, day_of_week=found.day_of_week, slots=slots)


def definitions_view(found: Definitions) -> doc.DefinitionList:
    """Usual shifts by day."""
    return doc.DefinitionList(
        items=[
            doc.DayDefinitions(day_of_week=day, shifts=[definition_view(one) for one in found[day]])
            for day in sorted(found)
        ]
    )


def definition_view(one: ShiftDefinition) -> doc.DefinitionView:
    """A usual shift."""
    return doc.DefinitionView(
        name=one.name,
        start_s=one.start_s,
        end_s=one.end_s,
        colour=one.colour,
        expected=one.expected,
        expected_by_team=dict(one.expected_by_team),
    )


def integration_view(found: AttendanceIntegration) -> doc.IntegrationView:
    """An attendance integration."""
    return doc.IntegrationView(
        id=found.id,
        name=found.name,
        building=found.building_id,
        users={user: str(seat) for user, seat in found.users.items()},
        created_at=found.created_at,
        updated_at=found.updated_at,
        version=found.version,
    )
