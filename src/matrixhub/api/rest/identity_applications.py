"""`/hub/v1/identity-applications`: whose users a property lets in, and as what."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, delete, get, patch, post
from litestar.params import PathParameter

from matrixhub.api.auth import PropertyScope
from matrixhub.api.bodies import MERGE_PATCH_TYPES, ApiRequest, parse_as, read_body
from matrixhub.api.etags import IfMatch, check_match, etag
from matrixhub.api.idempotency import IdempotencyKey, Make, answer, make_once
from matrixhub.api.rest import identity_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.identity_documents import changes_of, identity_application_view
from matrixhub.deliveries.jwks import check_keys_reach
from matrixhub.model.federation import IdentityApplication
from matrixhub.model.ids import IdentityApplicationId
from matrixhub.modules import federation
from matrixhub.modules.work import Platform
from matrixhub.store import Database
from matrixhub.store.idempotency import Answer
from matrixhub.store.identity_applications import list_identity_applications, show_identity_application

TAG = "access"

QuidPath = Annotated[str, PathParameter(pattern=r"^[\w-]{1,128}$", description="Id of the application, quid_….")]


@get(
    "/identity-applications",
    operation_id="listIdentityApplications",
    summary="List identity applications",
    tags=[TAG],
)
async def list_(hub: Hub, property_id: PropertyScope) -> doc.IdentityApplicationList:
    """Those of the property, oldest first."""
    async with hub.database.connection() as connection:
        found = await list_identity_applications(connection, property_id)
    return doc.IdentityApplicationList(items=[identity_application_view(one) for one in found])


@post(
    "/identity-applications",
    operation_id="createIdentityApplication",
    summary="Register an identity application",
    tags=[TAG],
    status_code=201,
    opt={
        "takes": doc.NewIdentityApplication,
        "answers": {201: doc.IdentityApplicationView},
        "headers": ("Location", "ETag"),
    },
)
async def create(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """Its id is the QUID that goes into `x-sc-auth`, beside a token of the provider in `Authorization`."""
    body = await read_body(request)
    given = parse_as(doc.NewIdentityApplication, body)
    asked = federation.NewIdentityApplication(
        name=given.name,
        provider=given.provider,
        issuer=given.issuer,
        audience=given.audience,
        role_id=given.role,
        boundary_id=given.boundary_role,
        user_claim=given.user_claim,
        jwks_url=given.jwks_url or "",
        token_kind=given.token_kind or "",
        ca_pem=given.ca_pem,
        enabled=given.enabled,
    )

    async def prepare() -> Make:
        async def make(database: Database) -> Answer:
            async with database.joined() as joined:
                platform = Platform(database=joined, clock=hub.clock)
                made = await federation.register_identity_application(platform, property_id, asked)
                await check_keys_reach(joined, made, allowed_to_all=hub.allowed_to_all)
            headers = {"Location": f"/hub/v1/identity-applications/{made.id}", "ETag": etag(made.version)}
            return answer(201, identity_application_view(made), headers)

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


@get(
    "/identity-applications/{quid:str}",
    operation_id="showIdentityApplication",
    summary="Show an identity application",
    tags=[TAG],
    opt={"headers": ("ETag",)},
)
async def show(hub: Hub, property_id: PropertyScope, quid: QuidPath) -> Response[doc.IdentityApplicationView]:
    """One of the property."""
    async with hub.database.connection() as connection:
        found = await show_identity_application(connection, property_id, IdentityApplicationId(quid))
    return _shown(found)


@patch(
    "/identity-applications/{quid:str}",
    operation_id="changeIdentityApplication",
    summary="Change, enable or disable an identity application",
    tags=[TAG],
    opt={"takes": doc.ChangedIdentityApplication, "types": MERGE_PATCH_TYPES, "headers": ("ETag",)},
)
async def change(
    hub: Hub, property_id: PropertyScope, quid: QuidPath, request: ApiRequest, if_match: IfMatch = None
) -> Response[doc.IdentityApplicationView]:
    """It holds from the next request on; the tokens of one that is disabled are good for nothing."""
    asked = parse_as(doc.ChangedIdentityApplication, await read_body(request, MERGE_PATCH_TYPES))
    async with hub.database.joined() as database:
        changed = await federation.change_identity_application(
            Platform(database=database, clock=hub.clock),
            property_id,
            IdentityApplicationId(quid),
            changes_of(asked),
            check=lambda before: check_match(if_match, before.version),
        )
        await check_keys_reach(database, changed, allowed_to_all=hub.allowed_to_all)
    return _shown(changed)


@delete(
    "/identity-applications/{quid:str}",
    operation_id="removeIdentityApplication",
    summary="Remove an identity application",
    tags=[TAG],
)
async def remove(hub: Hub, property_id: PropertyScope, quid: QuidPath) -> None:
    """Its tokens are good for nothing from now on, and its QUID is gone for ever."""
    platform = Platform(database=hub.database, clock=hub.clock)
    await federation.remove(platform, property_id, IdentityApplicationId(quid))


def _shown(found: IdentityApplication) -> Response[doc.IdentityApplicationView]:
    return Response(identity_application_view(found), headers={"ETag": etag(found.version)})


handlers = [list_, create, show, change, remove]
