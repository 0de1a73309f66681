"""`/hub/v1/applications`: who may publish events, and how many."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from litestar import Response, delete, get, patch, post
from litestar.params import PathParameter

from matrixhub.api.auth import PropertyScope
from matrixhub.api.bodies import MERGE_PATCH_TYPES, ApiRequest, parse_as, read_body
from matrixhub.api.idempotency import IdempotencyKey, Make, answer, make_once
from matrixhub.api.rest import documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.views import application_view
from matrixhub.model.ids import ApplicationId
from matrixhub.modules.events import change_application, register_application, revoke
from matrixhub.modules.work import Platform
from matrixhub.store import Database
from matrixhub.store.applications import list_applications, show_application
from matrixhub.store.idempotency import Answer

ApplicationPath = Annotated[str, PathParameter(pattern=r"^[a-z0-9_-]{3,64}$", description="Id of the application.")]


@get("/applications", operation_id="listApplications", summary="List applications", tags=["events"])
async def list_(hub: Hub, property_id: PropertyScope) -> doc.ApplicationList:
    """Those of the property, oldest first; revoked ones too, for their ids stay taken."""
    async with hub.database.connection() as connection:
        found = await list_applications(connection, property_id)
    return doc.ApplicationList(items=[application_view(one) for one in found])


@post(
    "/applications",
    operation_id="createApplication",
    summary="Register an application",
    tags=["events"],
    status_code=201,
    opt={"takes": doc.NewApplication, "answers": {201: doc.ApplicationView}, "headers": ("Location",)},
)
async def create(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """Its id is the module of its events, so it is its own for ever. Its keys are made by
    `matrixhub key create --application`.
    """
    body = await read_body(request)
    asked = parse_as(doc.NewApplication, body)
    given = {"per_minute": asked.per_minute, "burst": asked.burst, "per_day": asked.per_day}
    quota = replace(hub.quota, **{name: number for name, number in given.items() if number is not None})

    async def prepare() -> Make:
        async def make(database: Database) -> Answer:
            platform = Platform(database=database, clock=hub.clock)
            made = await register_application(platform, property_id, asked.id, name=asked.name, quota=quota)
            return answer(201, application_view(made), {"Location": f"/hub/v1/applications/{made.id}"})

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


@get(
    "/applications/{application_id:str}",
    operation_id="showApplication",
    summary="Show an application",
    tags=["events"],
)
async def show(hub: Hub, property_id: PropertyScope, application_id: ApplicationPath) -> doc.ApplicationView:
    """One application, with its quotas."""
    async with hub.database.connection() as connection:
        return application_view(await show_application(connection, property_id, ApplicationId(application_id)))


@patch(
    "/applications/{application_id:str}",
    operation_id="changeApplication",
    summary="Change an application",
    tags=["events"],
    opt={"takes": doc.ChangedApplication, "types": MERGE_PATCH_TYPES},
)
async def change(
    hub: Hub, property_id: PropertyScope, application_id: ApplicationPath, request: ApiRequest
) -> doc.ApplicationView:
    """Its name or its quotas, from the next event on."""
    asked = parse_as(doc.ChangedApplication, await read_body(request, MERGE_PATCH_TYPES))
    changed = await change_application(
        Platform(database=hub.database, clock=hub.clock),
        property_id,
        ApplicationId(application_id),
        name=asked.name,
        per_minute=asked.per_minute,
        burst=asked.burst,
        per_day=asked.per_day,
    )
    return application_view(changed)


@delete(
    "/applications/{application_id:str}",
    operation_id="revokeApplication",
    summary="Revoke an application",
    tags=["events"],
)
async def remove(hub: Hub, property_id: PropertyScope, application_id: ApplicationPath) -> None:
    """It publishes nothing any more, and its keys are dead. It stays listed, and its id taken."""
    await revoke(Platform(database=hub.database, clock=hub.clock), property_id, ApplicationId(application_id))


handlers = [list_, create, show, change, remove]
