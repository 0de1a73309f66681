"""`/hub/v1/keys`: what clients and devices authenticate with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from litestar import Response, delete, get, patch, post
from litestar.params import PathParameter

from matrixhub.api.auth import PropertyScope
from matrixhub.api.bodies import MERGE_PATCH_TYPES, ApiRequest, parse_as, read_body
from matrixhub.api.idempotency import IdempotencyKey, Make, answer, make_once
from matrixhub.api.paging import LIMIT, CursorQuery, LimitQuery, cut_page, make_cursor, read_cursor
from matrixhub.api.parts import Parts
from matrixhub.api.rest import key_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.model.access import PROPERTY_ADMINS, check_rate, check_role
from matrixhub.model.errors import InvalidValue
from matrixhub.model.ids import ApplicationId, KeyId, PropertyId
from matrixhub.model.key import Key, KeyKind
from matrixhub.model.secret import Secret
from matrixhub.modules.access.keys import (
    AccessKeyDraft,
    alter_key,
    check_draft,
    drop_key,
    make_access_key,
    make_bearer_key,
    rotate_key,
)
from matrixhub.modules.work import Platform
from matrixhub.store import Database
from matrixhub.store.access_keys import page_keys, show_key
from matrixhub.store.idempotency import Answer

_NOT_OF_KIND: Mapping[KeyKind, tuple[str, ...]] = {
    "access": ("application",),
    "bearer": ("access_key", "secret", "replay_protected", "expires_at"),
}

KeyPath = Annotated[str, PathParameter(pattern=r"^[\w-]{1,128}$", description="Id of the key.")]


@get("/keys", operation_id="listKeys", summary="List keys", tags=["keys"])
async def list_(
    hub: Hub, property_id: PropertyScope, cursor: CursorQuery = None, limit: LimitQuery = LIMIT
) -> doc.KeyPage:
    """Those of the property, oldest first and without their secrets; revoked ones too."""
    after = read_cursor("key", cursor, KeyId)
    found = await page_keys(hub.database, property_id, after=after, limit=limit + 1)
    page, following = cut_page(found, limit, lambda key: make_cursor("key", key.created_at, key.id))
    return doc.KeyPage(items=[key_view(key) for key in page], next=following)


@post(
    "/keys",
    operation_id="createKey",
    summary="Make a key",
    tags=["keys"],
    status_code=201,
    opt={"takes": doc.NewKey, "answers": {201: doc.NewKeyView}, "headers": ("Location",)},
)
async def create(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """Its secret is in this answer and in no other one."""
    body = await read_body(request)
    asked = parse_as(doc.NewKey, body)

    async def prepare() -> Make:
        draft = _draft(asked)
        check_draft(draft, hub.platform.now())

        async def make(database: Database) -> Answer:
            key, secret = await _made(hub, database, property_id, asked, draft)
            return answer(201, _new_view(key, secret), {"Location": f"/hub/v1/keys/{key.id}"})

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


@get("/keys/{key_id:str}", operation_id="showKey", summary="Show a key", tags=["keys"])
async def show(hub: Hub, property_id: PropertyScope, key_id: KeyPath) -> doc.KeyView:
    """One key, without its secret."""
    return key_view(await show_key(hub.database, property_id, KeyId(key_id)))


@patch(
    "/keys/{key_id:str}",
    operation_id="changeKey",
    summary="Change a key",
    tags=["keys"],
    opt={"takes": doc.KeyChange, "types": MERGE_PATCH_TYPES},
)
async def change(hub: Hub, property_id: PropertyScope, key_id: KeyPath, request: ApiRequest) -> doc.KeyView:
    """Its name, role, rate or protection, from the next request on."""
    asked = parse_as(doc.KeyChange, await read_body(request, MERGE_PATCH_TYPES))
    changed = await alter_key(
        hub.platform,
        property_id,
        KeyId(key_id),
        name=asked.name,
        role_id=check_role(asked.role) if asked.role is not None else None,
        rate=check_rate(asked.rate_per_s, asked.burst),
        replay_protected=asked.replay_protected,
    )
    return key_view(changed)


@post(
    "/keys/{key_id:str}/rotate",
    operation_id="rotateKey",
    summary="Rotate a key",
    tags=["keys"],
    status_code=200,
    opt={"takes": doc.Rotation, "answers": {200: doc.NewKeyView}},
)
async def rotate(
    hub: Hub,
    property_id: PropertyScope,
    key_id: KeyPath,
    request: ApiRequest,
    idempotency_key: IdempotencyKey = None,
) -> Response[bytes]:
    """A pair gets another secret, which is in this answer and in no other one. That of before stays good for the
    overlap. Of a bearer key, make another one and revoke this one later.
    """
    body = await read_body(request)
    asked = parse_as(doc.Rotation, body)

    async def prepare() -> Make:
        async def make(database: Database) -> Answer:
            platform = Platform(database=database, clock=hub.clock)
            key, secret = await rotate_key(
                platform, hub.codec.sealer, property_id, KeyId(key_id), overlap_s=asked.overlap_s
            )
            return answer(200, _new_view(key, secret))

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


@delete("/keys/{key_id:str}", operation_id="revokeKey", summary="Revoke a key", tags=["keys"])
async def remove(hub: Hub, property_id: PropertyScope, key_id: KeyPath) -> None:
    """It is refused from now on, by every process. It stays listed."""
    await drop_key(hub.platform, property_id, KeyId(key_id))


def _draft(asked: doc.NewKey) -> AccessKeyDraft:
    """What is asked for. Raises: InvalidValue naming what does not go with the kind of key."""
    forbidden = (
        ("application",) if asked.kind == "access" else ("access_key", "secret", "replay_protected", "expires_at")
    )
    wrong = [(name, f"does not go with a key of the kind {asked.kind}") for name in forbidden if getattr(asked, name)]
    if wrong:
        raise InvalidValue("a field does not go with the kind of the key", fields=wrong)
    return AccessKeyDraft(
        name=asked.name,
        role_id=check_role(asked.role) if asked.role is not None else PROPERTY_ADMINS,
        replay_protected=asked.replay_protected,
        rate=check_rate(asked.rate_per_s, asked.burst),
        expires_at=asked.expires_at,
        access_key=asked.access_key,
        secret=Secret(asked.secret) if asked.secret is not None else None,
    )


async def _made(
    hub: Parts, database: Database, property_id: PropertyId, asked: doc.NewKey, draft: AccessKeyDraft
) -> tuple[Key, Secret]:
    platform = Platform(database=database, clock=hub.clock)
    if asked.kind == "access":
        return await make_access_key(platform, hub.codec.sealer, property_id, draft)
    return await make_bearer_key(
        platform,
        property_id,
        name=asked.name,
        application_id=ApplicationId(asked.application) if asked.application is not None else None,
        role_id=draft.role_id if asked.role is not None else None,
        rate=draft.rate,
    )


def key_view(key: Key) -> doc.KeyView:
    """A key without its secret."""
    return doc.KeyView(
        id=key.id,
        property=key.property_id,
        kind=key.kind,
        name=key.name,
        role=key.role_id,
        access_key=key.access_key,
        application=key.application_id,
        replay_protected=key.replay_protected,
        rate_per_s=key.rate.per_s if key.rate is not None else None,
        burst=key.rate.burst if key.rate is not None else None,
        created_at=key.created_at,
        rotated_at=key.rotated_at,
        previous_until=key.previous_until,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
    )


def _new_view(key: Key, secret: Secret) -> doc.NewKeyView:
    shown = key_view(key)
    return doc.NewKeyView(**{name: getattr(shown, name) for name in shown.__struct_fields__}, secret=secret.reveal())


handlers = [list_, create, show, change, rotate, remove]
