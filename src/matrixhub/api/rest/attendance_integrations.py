"""`/hub/v1/attendance-integrations`: systems that tell when people come and go."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, delete, get, patch, post
from litestar.params import PathParameter

from matrixhub.api.auth import PropertyScope
from matrixhub.api.bodies import MERGE_PATCH_TYPES, ApiRequest, parse_as, read_body
from matrixhub.api.etags import IfMatch, etag, version_of
from matrixhub.api.idempotency import IdempotencyKey, Make, answer, make_once
from matrixhub.api.rest import shift_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.parameters import in_utc
from matrixhub.api.rest.shift_views import actor_of, integration_view, shift_view
from matrixhub.model.attendance import AttendanceIntegration, IntegrationId
from matrixhub.model.ids import BuildingId, SeatId
from matrixhub.modules.work import Platform
from matrixhub.modules.workforce import integrations
from matrixhub.store import Database
from matrixhub.store.idempotency import Answer

IntegrationPath = Annotated[str, PathParameter(pattern=r"^[\w-]{1,128}$", description="Id of the integration, att_….")]


@get(
    "/attendance-integrations",
    operation_id="listAttendanceIntegrations",
    summary="List attendance integrations",
    tags=["workforce"],
    opt={"permission": "scattendance.readIntegration"},
)
async def list_(hub: Hub, property_id: PropertyScope) -> doc.IntegrationList:
    """Those of the property, oldest first; there are at most a hundred."""
    found = await integrations.list_integrations(hub.platform, property_id)
    return doc.IntegrationList(items=[integration_view(one) for one in found])


@post(
    "/attendance-integrations",
    operation_id="createAttendanceIntegration",
    summary="Make an attendance integration",
    tags=["workforce"],
    status_code=201,
    opt={"takes": doc.NewIntegration, "answers": {201: doc.IntegrationView}, "headers": ("ETag", "Location")},
)
async def create(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """It says which seat each person of a source fills."""
    body = await read_body(request)
    asked, actor = parse_as(doc.NewIntegration, body), actor_of(request)

    async def prepare() -> Make:
        async def make(database: Database) -> Answer:
            made = await integrations.create_integration(
                Platform(database=database, clock=hub.clock),
                property_id,
                name=asked.name,
                users={user: SeatId(seat) for user, seat in asked.users.items()},
                building_id=None if asked.building is None else BuildingId(asked.building),
                actor=actor,
            )
            headers = {"Location": f"/hub/v1/attendance-integrations/{made.id}", "ETag": etag(made.version)}
            return answer(201, integration_view(made), headers)

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


@get(
    "/attendance-integrations/{integration_id:str}",
    operation_id="showAttendanceIntegration",
    summary="Show an attendance integration",
    tags=["workforce"],
    opt={"permission": "scattendance.readIntegration", "headers": ("ETag",)},
)
async def show(hub: Hub, property_id: PropertyScope, integration_id: IntegrationPath) -> Response[doc.IntegrationView]:
    """With the seat of each of its people."""
    found, _ = await integrations.read_integration(hub.platform, property_id, IntegrationId(integration_id))
    return _shown(found)


@patch(
    "/attendance-integrations/{integration_id:str}",
    operation_id="changeAttendanceIntegration",
    summary="Change an attendance integration",
    tags=["workforce"],
    opt={"takes": doc.IntegrationChange, "types": MERGE_PATCH_TYPES, "headers": ("ETag",)},
)
async def change(
    hub: Hub,
    property_id: PropertyScope,
    integration_id: IntegrationPath,
    request: ApiRequest,
    if_match: IfMatch = None,
) -> Response[doc.IntegrationView]:
    """Of its users only those that are named; null takes one away."""
    asked = parse_as(doc.IntegrationChange, await read_body(request, MERGE_PATCH_TYPES))
    before, _ = await integrations.read_integration(hub.platform, property_id, IntegrationId(integration_id))
    users = (asked.users or {}).items()
    changed = await integrations.update_integration(
        hub.platform,
        property_id,
        before.id,
        name=asked.name,
        users={user: None if seat is None else SeatId(seat) for user, seat in users},
        building_id=None if asked.building is None else BuildingId(asked.building),
        version=version_of(if_match, before.version),
        actor=actor_of(request),
    )
    return _shown(changed)


@delete(
    "/attendance-integrations/{integration_id:str}",
    operation_id="deleteAttendanceIntegration",
    summary="Delete an attendance integration",
    tags=["workforce"],
)
async def remove(hub: Hub, property_id: PropertyScope, integration_id: IntegrationPath, request: ApiRequest) -> None:
    """What it told stays."""
    found = IntegrationId(integration_id)
    await integrations.delete_integration(hub.platform, property_id, found, actor=actor_of(request))


@post(
    "/attendance-integrations/{integration_id:str}/events",
    operation_id="tellAttendance",
    summary="Tell that somebody has come or gone",
    tags=["workforce"],
    status_code=200,
    opt={"permission": "scattendance.attendanceEvent", "takes": doc.NewAttendance, "problems": (409,)},
)
async def tell(
    hub: Hub, property_id: PropertyScope, integration_id: IntegrationPath, request: ApiRequest
) -> doc.ShiftView:
    """That starts or ends the shift of the seat, which is the answer."""
    asked = parse_as(doc.NewAttendance, await read_body(request))
    found = IntegrationId(integration_id)
    told = await integrations.tell_attendance(
        hub.platform, property_id, found, asked.event, asked.user, at=in_utc(asked.at)
    )
    return shift_view(told.shift)


def _shown(found: AttendanceIntegration) -> Response[doc.IntegrationView]:
    return Response(integration_view(found), headers={"ETag": etag(found.version)})


handlers = [list_, create, show, change, remove, tell]
