"""`/hub/v1/roles`, `/hub/v1/user-groups`, `/hub/v1/explanations`: who may do what, and why."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated, TypeVar
from urllib.parse import quote

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.params import PathParameter

from matrixhub.api.actions.registry import known_building
from matrixhub.api.auth import PropertyScope, caller
from matrixhub.api.bodies import MERGE_PATCH_TYPES, ApiRequest, parse_as, parse_json, read_body
from matrixhub.api.etags import IfMatch, check_match, etag
from matrixhub.api.idempotency import IdempotencyKey, Make, answer, make_once
from matrixhub.api.rest import access_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.model.access import ROLE_NAME, RoleId
from matrixhub.model.iam import GroupDocument, Role, RoleDocument, explanation_document
from matrixhub.model.ids import KeyId
from matrixhub.model.request import merge_patch
from matrixhub.modules.access import explaining, roles
from matrixhub.modules.access.explaining import explain_access
from matrixhub.modules.work import Platform
from matrixhub.store import Database
from matrixhub.store.iam import Group, KeptRole
from matrixhub.store.idempotency import Answer

RolePath = Annotated[str, PathParameter(pattern=f"^{ROLE_NAME}$", description="Name of the role; `#` goes as `%23`.")]
GroupPath = Annotated[str, PathParameter(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="Name of the group.")]

T = TypeVar("T")


@get("/roles", operation_id="listRoles", summary="List roles", tags=["access"])
async def list_roles(hub: Hub, property_id: PropertyScope) -> doc.RoleList:
    """Those that can be given in the property: its own by name, then those of the system."""
    now = hub.platform.now()
    return doc.RoleList(items=[role_view(one, now) for one in await roles.list_roles(hub.database, property_id)])


@post(
    "/roles",
    operation_id="createRole",
    summary="Make a role",
    tags=["access"],
    status_code=201,
    opt={"takes": RoleDocument, "answers": {201: doc.RoleView}, "headers": ("ETag", "Location")},
)
async def create_role(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """What it allows and denies, and whom it trusts. It is given to keys, groups of users and applications by name."""
    body = await read_body(request)
    asked = parse_as(RoleDocument, body)
    actor = caller(request).actor

    async def prepare() -> Make:
        async def make(database: Database) -> Answer:
            platform = Platform(database=database, clock=hub.clock)
            made = await roles.create_role(platform, property_id, asked, actor=actor)
            headers = {"Location": f"/hub/v1/roles/{quote(made.role.id)}", "ETag": etag(made.version)}
            return answer(201, role_view(made, platform.now()), headers)

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


@get("/roles/{role:str}", operation_id="showRole", summary="Show a role", tags=["access"], opt={"headers": ("ETag",)})
async def show_role(hub: Hub, property_id: PropertyScope, role: RolePath) -> Response[doc.RoleView]:
    """One role, of the property or of the system."""
    view = role_view(await roles.show_role(hub.database, property_id, RoleId(role)), hub.platform.now())
    return Response(view, headers={"ETag": etag(view.version)})


@patch(
    "/roles/{role:str}",
    operation_id="changeRole",
    summary="Change a role",
    tags=["access"],
    opt={"takes": doc.RoleChange, "types": MERGE_PATCH_TYPES, "headers": ("ETag",)},
)
async def change_role(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, role: RolePath, if_match: IfMatch = None
) -> Response[doc.RoleView]:
    """A merge patch, for everybody who has the role, from the next request on."""
    body = await read_body(request, MERGE_PATCH_TYPES)
    document = parse_json(body)
    parse_as(doc.RoleChange, body)
    changed = await roles.change_role(
        hub.platform,
        property_id,
        RoleId(role),
        lambda before: _patched(before, document),
        actor=caller(request).actor,
        check=partial(check_match, if_match),
    )
    view = role_view(changed, hub.platform.now())
    return Response(view, headers={"ETag": etag(view.version)})


@delete("/roles/{role:str}", operation_id="removeRole", summary="Remove a role", tags=["access"])
async def remove_role(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, role: RolePath, if_match: IfMatch = None
) -> None:
    """Not one that a group of users, a key or an identity application has; set that to DEPRECATED to end it at once."""
    check = partial(check_match, if_match)
    await roles.remove_role(hub.platform, property_id, RoleId(role), actor=caller(request).actor, check=check)


@get("/roles/{role:str}/changes", operation_id="listRoleChanges", summary="List changes of a role", tags=["access"])
async def list_role_changes(hub: Hub, property_id: PropertyScope, role: RolePath) -> doc.RoleChangeList:
    """Who did what to it, newest first; also to one that is gone."""
    found = await roles.list_role_changes(hub.database, property_id, RoleId(role))
    items = [
        doc.RoleChangeView(
            number=one.number,
            act=one.act,
            version=one.version,
            actor=one.actor,
            at=one.at,
            document=dict(one.document),
        )
        for one in found
    ]
    return doc.RoleChangeList(items=items)


@get("/user-groups", operation_id="listUserGroups", summary="List groups of users", tags=["access"])
async def list_groups(hub: Hub, property_id: PropertyScope) -> doc.GroupList:
    """Those of the property, with their members."""
    return doc.GroupList(items=[group_view(one) for one in await roles.list_groups(hub.database, property_id)])


@post(
    "/user-groups",
    operation_id="createUserGroup",
    summary="Make a group of users",
    tags=["access"],
    status_code=201,
    opt={"takes": GroupDocument, "answers": {201: doc.GroupView}, "headers": ("ETag", "Location")},
)
async def create_group(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """Its members, which are seats, users and keys, have its role. Nobody is in two groups."""
    body = await read_body(request)
    asked = parse_as(GroupDocument, body)
    actor = caller(request).actor

    async def prepare() -> Make:
        async def make(database: Database) -> Answer:
            platform = Platform(database=database, clock=hub.clock)
            made = await roles.create_group(platform, property_id, asked, actor=actor)
            headers = {"Location": f"/hub/v1/user-groups/{made.name}", "ETag": etag(made.version)}
            return answer(201, group_view(made), headers)

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


@get(
    "/user-groups/{group:str}",
    operation_id="showUserGroup",
    summary="Show a group of users",
    tags=["access"],
    opt={"headers": ("ETag",)},
)
async def show_group(hub: Hub, property_id: PropertyScope, group: GroupPath) -> Response[doc.GroupView]:
    """One group, with its members."""
    found = await roles.show_group(hub.database, property_id, group)
    return Response(group_view(found), headers={"ETag": etag(found.version)})


@patch(
    "/user-groups/{group:str}",
    operation_id="changeUserGroup",
    summary="Change a group of users",
    tags=["access"],
    opt={"takes": doc.GroupChange, "types": MERGE_PATCH_TYPES, "headers": ("ETag",)},
)
async def change_group(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, group: GroupPath, if_match: IfMatch = None
) -> Response[doc.GroupView]:
    """A merge patch: its role, or who is in it, from the next request on."""
    body = await read_body(request, MERGE_PATCH_TYPES)
    document = parse_json(body)
    parse_as(doc.GroupChange, body)
    changed = await roles.change_group(
        hub.platform,
        property_id,
        group,
        lambda before: _patched(before, document),
        actor=caller(request).actor,
        check=partial(check_match, if_match),
    )
    return Response(group_view(changed), headers={"ETag": etag(changed.version)})


@delete("/user-groups/{group:str}", operation_id="removeUserGroup", summary="Remove a group of users", tags=["access"])
async def remove_group(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, group: GroupPath, if_match: IfMatch = None
) -> None:
    """Its members have no role by it any more."""
    check = partial(check_match, if_match)
    await roles.remove_group(hub.platform, property_id, group, actor=caller(request).actor, check=check)


@post(
    "/explanations",
    operation_id="explainAccess",
    summary="Explain a decision",
    tags=["access"],
    status_code=200,
    opt={"takes": doc.Question, "answers": {200: doc.ExplanationView}},
)
async def explain(hub: Hub, property_id: PropertyScope, request: ApiRequest) -> doc.ExplanationView:
    """Whether a key, or whoever has a role, may do something: which statement decides, and what came of everything
    that was looked at. Nothing is done.
    """
    asked = parse_as(doc.Question, await read_body(request))
    question = explaining.Question(
        operation=asked.operation,
        key_id=None if asked.key is None else KeyId(asked.key),
        role_id=None if asked.role is None else RoleId(asked.role),
        principal=asked.principal,
        boundary_id=None if asked.boundary is None else RoleId(asked.boundary),
        building_id=known_building(asked.operation, asked.building),
        address=asked.address,
        at=asked.at,
    )
    found = await explain_access(hub.platform, property_id, question)
    return msgspec.convert(explanation_document(found), doc.ExplanationView)


def _patched(before: T, patch_: object) -> T:
    """The document with a merge patch. Raises: InvalidValue naming the field."""
    merged = merge_patch(msgspec.to_builtins(before), patch_)
    return parse_as(type(before), msgspec.json.encode(merged))


def role_view(shown: roles.Shown, now: datetime) -> doc.RoleView:
    """A role as it is shown."""
    kept = shown if isinstance(shown, KeptRole) else None
    role = shown if isinstance(shown, Role) else shown.role
    document = role.document
    return doc.RoleView(
        name=document.name,
        description=document.description,
        system=kept is None,
        status=role.status_at(now),
        pending_since=role.pending_since,
        policy_sets=list(document.policy_sets),
        trust=list(document.trust),
        version=kept.version if kept is not None else 0,
        created_by=kept.created_by if kept is not None else "",
        created_at=kept.created_at if kept is not None else None,
        updated_by=kept.updated_by if kept is not None else "",
        updated_at=kept.updated_at if kept is not None else None,
    )


def group_view(group: Group) -> doc.GroupView:
    """A group of users as it is shown."""
    return doc.GroupView(
        name=group.name,
        role=group.role_id,
        members=group.members,
        version=group.version,
        created_by=group.created_by,
        created_at=group.created_at,
        updated_by=group.updated_by,
        updated_at=group.updated_at,
    )


handlers = [
    *(list_roles, create_role, show_role, change_role, remove_role, list_role_changes),
    *(list_groups, create_group, show_group, change_group, remove_group),
    explain,
]
