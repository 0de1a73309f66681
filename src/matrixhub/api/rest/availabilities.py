"""`/hub/v1/availabilities`: when seats can be called on without a shift."""

from __future__ import annotations

from typing import Annotated

from litestar import delete, get, put
from litestar.params import QueryParameter

from matrixhub.api.auth import PropertyScope
from matrixhub.api.bodies import ApiRequest, parse_as, read_body
from matrixhub.api.rest import shift_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.shift_views import DayPath, SeatPath, SeatQuery, actor_of, availability_view
from matrixhub.model.availability import TimeSlot
from matrixhub.model.ids import SeatId
from matrixhub.modules.workforce import availability

DayQuery = Annotated[int | None, QueryParameter(ge=0, le=6, description="Only those of this day; 0 is Sunday.")]


@get(
    "/availabilities",
    operation_id="listAvailabilities",
    summary="List availability",
    tags=["workforce"],
    opt={"permission": "scteams.getAvailabilityByProperty", "problems": (404,)},
)
async def list_(
    hub: Hub, property_id: PropertyScope, seat: SeatQuery = None, day_of_week: DayQuery = None
) -> doc.AvailabilityList:
    """Of active seats, by day of the week."""
    found = await availability.list_availabilities(
        hub.platform, property_id, seat_id=None if seat is None else SeatId(seat), day_of_week=day_of_week
    )
    return doc.AvailabilityList(items=[availability_view(one) for one in found])


@put(
    "/availabilities/{seat_id:str}/{day:int}",
    operation_id="setAvailability",
    summary="Say when a seat is available",
    tags=["workforce"],
    opt={"permission": "scteams.updateSeatAvailability", "takes": doc.NewAvailability},
)
async def set_(
    hub: Hub, property_id: PropertyScope, seat_id: SeatPath, day: DayPath, request: ApiRequest
) -> doc.AvailabilityList:
    """On a day of the week, in the place of what was said before; all its days are answered."""
    asked = parse_as(doc.NewAvailability, await read_body(request))
    slots = [TimeSlot(start_s=slot.start_s, end_s=slot.end_s, name=slot.name) for slot in asked.slots]
    found = await availability.update_availability(
        hub.platform, property_id, SeatId(seat_id), {day: slots}, actor=actor_of(request)
    )
    return doc.AvailabilityList(items=[availability_view(one) for one in found])


@delete(
    "/availabilities/{seat_id:str}",
    operation_id="deleteAvailability",
    summary="Let a seat be available at no time",
    tags=["workforce"],
    opt={"permission": "scteams.deleteSeatAvailability"},
)
async def remove(hub: Hub, property_id: PropertyScope, seat_id: SeatPath, request: ApiRequest) -> None:
    """On no day of the week."""
    await availability.delete_availability(hub.platform, property_id, SeatId(seat_id), actor=actor_of(request))


handlers = [list_, set_, remove]
