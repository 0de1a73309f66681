"""`/hub/v1/subscriptions`: what is pushed where, and how far it has come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated

from litestar import Response, delete, get, patch, post
from litestar.params import QueryParameter

from matrixhub.api.auth import PropertyScope
from matrixhub.api.bodies import MERGE_PATCH_TYPES, ApiRequest, parse_json, read_body
from matrixhub.api.etags import IfMatch, check_match, etag
from matrixhub.api.idempotency import IdempotencyKey, Make, answer, make_once
from matrixhub.api.paging import LIMIT, CursorQuery, LimitQuery, cut_page, make_cursor, read_cursor
from matrixhub.api.parts import Parts
from matrixhub.api.rest import documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.parameters import SubscriptionPath
from matrixhub.api.rest.views import attempt_view, subscription_view
from matrixhub.deliveries.database_desk import open_database_desk
from matrixhub.deliveries.desk import check_reach, first_position, send_test
from matrixhub.model.errors import InvalidValue, VersionMismatch
from matrixhub.model.ids import PropertyId, SubscriptionId
from matrixhub.model.request import parse_request, patched
from matrixhub.model.subscription import State, Subscription
from matrixhub.store import Database
from matrixhub.store.attempts import RecordedAttempt, record_attempt
from matrixhub.store.idempotency import Answer
from matrixhub.store.subscriptions import (
    Overview,
    create_subscription,
    delete_subscription,
    page_subscriptions,
    set_state,
    show_subscription,
    update_subscription,
)

UncheckedQuery = Annotated[
    bool, QueryParameter(description="Also to a database that cannot be written to yet; everything waits until then.")
]
TRIES = 3
"""How often a change without If-Match is made anew when another one comes in between."""


@get("/subscriptions", operation_id="listSubscriptions", summary="List subscriptions", tags=["subscriptions"])
async def list_(
    hub: Hub, property_id: PropertyScope, cursor: CursorQuery = None, limit: LimitQuery = LIMIT
) -> doc.SubscriptionPage:
    """The subscriptions of the property, oldest first."""
    after = read_cursor("subscription", cursor, SubscriptionId)
    found = await page_subscriptions(hub.database, hub.codec, property_id, after=after, limit=limit + 1)
    page, following = cut_page(found, limit, _cursor)
    return doc.SubscriptionPage(items=[subscription_view(overview, _now(hub)) for overview in page], next=following)


@post(
    "/subscriptions",
    operation_id="createSubscription",
    summary="Create a subscription",
    tags=["subscriptions"],
    opt={"takes": doc.NewSubscription, "answers": {201: doc.SubscriptionView}, "headers": ("ETag", "Location")},
)
async def create(
    hub: Hub,
    property_id: PropertyScope,
    request: ApiRequest,
    idempotency_key: IdempotencyKey = None,
    unchecked: UncheckedQuery = False,
) -> Response[bytes]:
    """It is active at once. Secrets go in here and never come out again. A database that it is to lead to is checked
    first, as `checkDatabase` does.
    """
    body = await read_body(request)
    asked = parse_request(parse_json(body), limits=hub.limits, policy=hub.codec.policy)
    if asked.property_id not in ("", property_id):
        raise InvalidValue("property is not that of the request", fields=(("property", "is not that of the request"),))

    async def prepare() -> Make:
        await check_reach(hub.database, property_id, asked.destination, asked.notify, allowed_to_all=hub.allowed_to_all)
        if not unchecked:
            async with open_database_desk(hub.database, hub.codec.sealer, hub.allowed_to_all, hub.clock) as desk:
                await desk.check_destination(property_id, asked.destination, asked.filter.source)
        position = await first_position(hub.buses[asked.filter.source], asked.start)

        async def make(database: Database) -> Answer:
            made = await create_subscription(
                database,
                hub.codec,
                property_id,
                name=asked.name,
                wanted=asked.filter,
                destination=asked.destination,
                limits=asked.limits,
                position=position,
                policy=asked.policy,
                form=asked.format,
                notify=asked.notify,
            )
            overview = await show_subscription(database, hub.codec, property_id, made.id)
            headers = {"Location": f"/hub/v1/subscriptions/{made.id}", "ETag": etag(made.version)}
            return answer(201, subscription_view(overview, _now(hub)), headers)

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


@get(
    "/subscriptions/{subscription_id:str}",
    operation_id="showSubscription",
    summary="Show a subscription",
    tags=["subscriptions"],
    opt={"headers": ("ETag",)},
)
async def show(
    hub: Hub, property_id: PropertyScope, subscription_id: SubscriptionPath
) -> Response[doc.SubscriptionView]:
    """Its configuration without secrets, its health and its progress."""
    return await _shown(hub, property_id, SubscriptionId(subscription_id))


@patch(
    "/subscriptions/{subscription_id:str}",
    operation_id="changeSubscription",
    summary="Change a subscription",
    tags=["subscriptions"],
    opt={"takes": doc.SubscriptionChange, "types": MERGE_PATCH_TYPES, "headers": ("ETag",)},
)
async def change(
    hub: Hub,
    property_id: PropertyScope,
    request: ApiRequest,
    subscription_id: SubscriptionPath,
    if_match: IfMatch = None,
) -> Response[doc.SubscriptionView]:
    """A merge patch: what is not named stays as it is, secrets too. Deliveries go on with the change at once."""
    document = parse_json(await read_body(request, MERGE_PATCH_TYPES))

    async def altered(subscription: Subscription) -> Subscription:
        after = patched(subscription, document, limits=hub.limits, policy=hub.codec.policy)
        await check_reach(
            hub.database,
            property_id,
            after.destination,
            after.notify,
            allowed_to_all=hub.allowed_to_all,
            own_id=subscription.id,
        )
        return after

    await update_with(hub, property_id, SubscriptionId(subscription_id), if_match, altered)
    return await _shown(hub, property_id, SubscriptionId(subscription_id))


@delete(
    "/subscriptions/{subscription_id:str}",
    operation_id="deleteSubscription",
    summary="Delete a subscription",
    tags=["subscriptions"],
)
async def remove(
    hub: Hub, property_id: PropertyScope, subscription_id: SubscriptionPath, if_match: IfMatch = None
) -> None:
    """With all that was kept of it: its attempts, parked readings and replays. To keep everything, pause it."""
    found = SubscriptionId(subscription_id)
    version = None
    if if_match is not None:
        overview = await show_subscription(hub.database, hub.codec, property_id, found)
        version = overview.subscription.version
        check_match(if_match, version)
    await delete_subscription(hub.database, property_id, found, version=version)


@post(
    "/subscriptions/{subscription_id:str}/pause",
    operation_id="pauseSubscription",
    summary="Pause a subscription",
    tags=["subscriptions"],
    status_code=200,
    opt={"headers": ("ETag",)},
)
async def pause(
    hub: Hub, property_id: PropertyScope, subscription_id: SubscriptionPath
) -> Response[doc.SubscriptionView]:
    """Nothing is lost: readings and events wait in the stream until it is resumed."""
    return await _set_state(hub, property_id, SubscriptionId(subscription_id), "paused")


@post(
    "/subscriptions/{subscription_id:str}/resume",
    operation_id="resumeSubscription",
    summary="Resume a subscription",
    tags=["subscriptions"],
    status_code=200,
    opt={"headers": ("ETag",)},
)
async def resume(
    hub: Hub, property_id: PropertyScope, subscription_id: SubscriptionPath
) -> Response[doc.SubscriptionView]:
    """It goes on with the first reading or event that was not delivered, at once."""
    return await _set_state(hub, property_id, SubscriptionId(subscription_id), "active")


@post(
    "/subscriptions/{subscription_id:str}/test",
    operation_id="testSubscription",
    summary="Send a test",
    tags=["subscriptions"],
    status_code=200,
)
async def test(hub: Hub, property_id: PropertyScope, subscription_id: SubscriptionPath) -> doc.AttemptView:
    """One made-up reading or event on the very way of all pushes. A destination that does not take it is no error
    here: the answer is the attempt, which tells what came of it. Nothing of the subscription changes, and it may be
    paused.
    """
    found = SubscriptionId(subscription_id)
    overview = await show_subscription(hub.database, hub.codec, property_id, found)
    attempt = (await send_test(hub.sender, overview.subscription, hub.clock)).attempt
    await record_attempt(hub.database, property_id, found, attempt)
    return attempt_view(RecordedAttempt(subscription_id=found, attempt=attempt))


Altered = Callable[[Subscription], Awaitable[Subscription]]


async def update_with(
    hub: Parts, property_id: PropertyId, subscription_id: SubscriptionId, if_match: str | None, altered: Altered
) -> Subscription:
    """Read, alter and keep a subscription, anew if someone else changes it in between and no version was asked for.

    Raises: NotFound, VersionMismatch, InvalidValue, StoreError.
    """
    for tries_left in range(TRIES - 1, -1, -1):
        overview = await show_subscription(hub.database, hub.codec, property_id, subscription_id)
        check_match(if_match, overview.subscription.version)
        after = await altered(overview.subscription)
        try:
            return await update_subscription(hub.database, hub.codec, after)
        except VersionMismatch:
            if if_match is not None or not tries_left:
                raise
    raise AssertionError("unreachable")


async def _set_state(
    hub: Parts, property_id: PropertyId, subscription_id: SubscriptionId, state: State
) -> Response[doc.SubscriptionView]:
    await set_state(hub.database, property_id, subscription_id, state)
    return await _shown(hub, property_id, subscription_id)


async def _shown(
    hub: Parts, property_id: PropertyId, subscription_id: SubscriptionId
) -> Response[doc.SubscriptionView]:
    overview = await show_subscription(hub.database, hub.codec, property_id, subscription_id)
    return Response(subscription_view(overview, _now(hub)), headers={"ETag": etag(overview.subscription.version)})


def _now(hub: Parts) -> datetime:
    return datetime.fromtimestamp(hub.clock.now_ms() / 1000, UTC)


def _cursor(overview: Overview) -> str:
    return make_cursor("subscription", overview.subscription.created_at, overview.subscription.id)


handlers = [list_, create, show, change, remove, pause, resume, test]
