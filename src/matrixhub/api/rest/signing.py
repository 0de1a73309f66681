"""`/hub/v1/subscriptions/{id}/signing-keys`: the keys that pushes of a subscription are signed with."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

from litestar import Response, delete, post
from litestar.params import PathParameter

from matrixhub.api.auth import PropertyScope
from matrixhub.api.bodies import ApiRequest, parse_as, read_body
from matrixhub.api.etags import etag
from matrixhub.api.idempotency import IdempotencyKey, Make, answer, make_once
from matrixhub.api.rest import documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.parameters import SubscriptionPath
from matrixhub.api.rest.subscriptions import update_with
from matrixhub.deliveries.signing import imported_key, new_signing_key, rotated
from matrixhub.model.errors import NotFound
from matrixhub.model.ids import SubscriptionId
from matrixhub.model.subscription import Subscription
from matrixhub.store import Database
from matrixhub.store.idempotency import Answer
from matrixhub.store.subscriptions import show_subscription, update_subscription

KeyPath = Annotated[str, PathParameter(pattern=r"^[\w-]{1,128}$", description="Id of the signing key.")]


@post(
    "/subscriptions/{subscription_id:str}/signing-keys",
    operation_id="createSigningKey",
    summary="Make a signing key",
    tags=["signing keys"],
    opt={"takes": doc.NewSigningKey, "answers": {201: doc.NewSigningKeyView}, "headers": ("ETag",)},
)
async def create(
    hub: Hub,
    property_id: PropertyScope,
    request: ApiRequest,
    subscription_id: SubscriptionPath,
    idempotency_key: IdempotencyKey = None,
) -> Response[bytes]:
    """It takes over from the keys of its kind, which go on signing beside it for the grace period. Its secret is in
    this answer and in no other one.
    """
    body = await read_body(request)
    asked = parse_as(doc.NewSigningKey, body)
    found = SubscriptionId(subscription_id)

    async def prepare() -> Make:
        now = datetime.fromtimestamp(hub.clock.now_ms() / 1000, UTC)
        key = new_signing_key(asked.kind, now) if asked.secret is None else imported_key(asked.secret, now)

        async def make(database: Database) -> Answer:
            subscription = (await show_subscription(database, hub.codec, property_id, found)).subscription
            signing = rotated(subscription.signing, key, now, asked.grace_s)
            after = await update_subscription(database, hub.codec, replace(subscription, signing=signing))
            made = doc.NewSigningKeyView(
                id=key.id,
                kind=key.kind,
                created_at=key.created_at,
                expires_at=key.expires_at,
                public_key=key.public,
                secret=key.secret.reveal(),
            )
            return answer(201, made, {"ETag": etag(after.version)})

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


@delete(
    "/subscriptions/{subscription_id:str}/signing-keys/{key_id:str}",
    operation_id="deleteSigningKey",
    summary="Take a signing key out of use",
    tags=["signing keys"],
)
async def remove(hub: Hub, property_id: PropertyScope, subscription_id: SubscriptionPath, key_id: KeyPath) -> None:
    """At once, without grace: pushes are no longer signed with it."""

    async def altered(subscription: Subscription) -> Subscription:
        left = tuple(key for key in subscription.signing if key.id != key_id)
        if len(left) == len(subscription.signing):
            raise NotFound(f"{subscription.id} has no signing key {key_id}")
        return replace(subscription, signing=left)

    await update_with(hub, property_id, SubscriptionId(subscription_id), None, altered)


handlers = [create, remove]
