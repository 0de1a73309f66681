"""`/hub/v1/seats`: positions in the workforce, and where they work."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from litestar import Response, delete, get, patch, post, put

from matrixhub.api.auth import PropertyScope, require_also
from matrixhub.api.bodies import MERGE_PATCH_TYPES, ApiRequest, parse_as, read_body
from matrixhub.api.etags import IfMatch, etag, version_of
from matrixhub.api.idempotency import IdempotencyKey, Make, answer, make_once
from matrixhub.api.parts import Parts
from matrixhub.api.rest import shift_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.shift_views import SeatPath, actor_of, seat_view
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, ZoneId
from matrixhub.model.seat import Seat
from matrixhub.modules.access.roles import address_decides
from matrixhub.modules.work import Platform
from matrixhub.modules.workforce import availability, seats
from matrixhub.store import Database
from matrixhub.store.idempotency import Answer


@get(
    "/seats",
    operation_id="listSeats",
    summary="List seats",
    tags=["workforce"],
    opt={"permission": "scpropteams.getUserDetailsForSeatId"},
)
async def list_(hub: Hub, property_id: PropertyScope) -> doc.SeatList:
    """All of the property, by number; there are at most 999."""
    return doc.SeatList(items=[seat_view(seat) for seat in await seats.list_seats(hub.platform, property_id)])


@post(
    "/seats",
    operation_id="createSeat",
    summary="Make a seat",
    tags=["workforce"],
    status_code=201,
    opt={"takes": doc.NewSeat, "answers": {201: doc.SeatView}, "headers": ("ETag", "Location")},
)
async def create(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """It gets the next number."""
    body = await read_body(request)
    asked, actor = parse_as(doc.NewSeat, body), actor_of(request)
    await _require_group(hub, property_id, request, asked.email)

    async def prepare() -> Make:
        async def make(database: Database) -> Answer:
            platform = Platform(database=database, clock=hub.clock)
            made = await seats.create_seat(
                platform, property_id, name=asked.name, email=asked.email, team=asked.team, actor=actor
            )
            headers = {"Location": f"/hub/v1/seats/{quote(made.id)}", "ETag": etag(made.version)}
            return answer(201, seat_view(made), headers)

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


async def _require_group(
    hub: Parts, property_id: PropertyId, request: ApiRequest, email: str, seat_id: SeatId | None = None
) -> None:
    """The address of a seat in a group of users says who has the group's role. Raises AccessDenied, StoreError."""
    if await address_decides(hub.database, property_id, email, seat_id):
        await require_also(request, "hub.changeUserGroup")


@get(
    "/seats/{seat_id:str}",
    operation_id="showSeat",
    summary="Show a seat",
    tags=["workforce"],
    opt={"permission": "scpropteams.getUserDetailsForSeatId", "headers": ("ETag",)},
)
async def show(hub: Hub, property_id: PropertyScope, seat_id: SeatPath) -> Response[doc.SeatView]:
    """One seat."""
    return _shown(await seats.read_seat(hub.platform, property_id, SeatId(seat_id)))


@patch(
    "/seats/{seat_id:str}",
    operation_id="changeSeat",
    summary="Change a seat",
    tags=["workforce"],
    opt={"takes": doc.SeatChange, "types": MERGE_PATCH_TYPES, "headers": ("ETag",)},
)
async def change(
    hub: Hub, property_id: PropertyScope, seat_id: SeatPath, request: ApiRequest, if_match: IfMatch = None
) -> Response[doc.SeatView]:
    """One that is made inactive keeps the shifts it has, and takes no new ones."""
    asked = parse_as(doc.SeatChange, await read_body(request, MERGE_PATCH_TYPES))
    found = SeatId(seat_id)
    before = await seats.read_seat(hub.platform, property_id, found)
    email = before.email if asked.email is None else asked.email
    active = before.active if asked.active is None else asked.active
    if (email, active) != (before.email, before.active):
        await _require_group(hub, property_id, request, email, found)
    version = version_of(if_match, before.version)
    changed = await seats.update_seat(
        hub.platform,
        property_id,
        found,
        name=asked.name,
        email=asked.email,
        team=asked.team,
        active=asked.active,
        version=version,
        actor=actor_of(request),
    )
    return _shown(changed)


@get(
    "/seats/{seat_id:str}/zones",
    operation_id="showSeatZones",
    summary="Show where a seat works",
    tags=["workforce"],
    opt={"permission": "scteams.getAvailabilityZones"},
)
async def show_zones(hub: Hub, property_id: PropertyScope, seat_id: SeatPath) -> doc.SeatZones:
    """The zones it is confined to; one that is not works everywhere, and has none."""
    return _zones(await availability.read_availability_zones(hub.platform, property_id, SeatId(seat_id)))


@put(
    "/seats/{seat_id:str}/zones",
    operation_id="setSeatZones",
    summary="Say where a seat works",
    tags=["workforce"],
    opt={"permission": "scteams.updateAvailabilityZones", "takes": doc.NewSeatZones},
)
async def set_zones(hub: Hub, property_id: PropertyScope, seat_id: SeatPath, request: ApiRequest) -> doc.SeatZones:
    """In these zones only, in the place of those before."""
    asked = parse_as(doc.NewSeatZones, await read_body(request))
    zones = [ZoneId(zone) for zone in asked.zones]
    return _zones(
        await availability.set_availability_zones(
            hub.platform, property_id, SeatId(seat_id), zones, actor=actor_of(request)
        )
    )


@delete(
    "/seats/{seat_id:str}/zones",
    operation_id="clearSeatZones",
    summary="Let a seat work everywhere",
    tags=["workforce"],
    opt={"permission": "scteams.deleteAvailabilityZones"},
)
async def clear_zones(hub: Hub, property_id: PropertyScope, seat_id: SeatPath, request: ApiRequest) -> None:
    """In all zones of the property."""
    await availability.delete_availability_zones(hub.platform, property_id, SeatId(seat_id), actor=actor_of(request))


def _shown(seat: Seat) -> Response[doc.SeatView]:
    return Response(seat_view(seat), headers={"ETag": etag(seat.version)})


def _zones(found: Mapping[BuildingId, Mapping[ZoneId, str]]) -> doc.SeatZones:
    return doc.SeatZones(
        zones={str(building): {str(zone): name for zone, name in zones.items()} for building, zones in found.items()}
    )


handlers = [list_, create, show, change, show_zones, set_zones, clear_zones]
