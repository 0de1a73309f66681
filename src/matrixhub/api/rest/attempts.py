"""`/hub/v1/attempts`: what was sent, when, and what came of it."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from litestar import Response, get
from litestar.params import PathParameter, QueryParameter

from matrixhub.api.auth import PropertyScope
from matrixhub.api.paging import LIMIT, CursorQuery, LimitQuery, cut_page, make_cursor, read_cursor
from matrixhub.api.rest import documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.parameters import SinceQuery, SubscriptionQuery, UntilQuery, in_utc, subscription_id_of
from matrixhub.api.rest.views import attempt_view
from matrixhub.deliveries.desk import remake_body
from matrixhub.store.attempts import Outcome, RecordedAttempt, list_attempts, show_attempt
from matrixhub.store.subscriptions import show_subscription

RequestIdQuery = Annotated[str, QueryParameter(pattern=r"^[\x20-\x7e]{0,128}$", description="Only those of this push.")]
AttemptPath = Annotated[UUID, PathParameter(description="Id of the attempt.")]


@get("/attempts", operation_id="listAttempts", summary="List attempts, newest first", tags=["attempts"])
async def list_(
    hub: Hub,
    property_id: PropertyScope,
    subscription: SubscriptionQuery = None,
    outcome: Annotated[Outcome, QueryParameter(description="Only those that were taken, or that failed.")] = "any",
    since: SinceQuery = None,
    until: UntilQuery = None,
    request_id: RequestIdQuery = "",
    cursor: CursorQuery = None,
    limit: LimitQuery = LIMIT,
) -> doc.AttemptPage:
    """Every try to send a push is recorded and kept for a while."""
    found = await list_attempts(
        hub.database,
        property_id,
        subscription_id=subscription_id_of(subscription),
        outcome=outcome,
        since=in_utc(since),
        until=in_utc(until),
        request_id=request_id,
        before=read_cursor("attempt", cursor, UUID),
        limit=limit + 1,
    )
    page, following = cut_page(found, limit, _cursor)
    return doc.AttemptPage(items=[attempt_view(recorded) for recorded in page], next=following)


@get("/attempts/{attempt_id:uuid}", operation_id="showAttempt", summary="Show one attempt", tags=["attempts"])
async def show(hub: Hub, property_id: PropertyScope, attempt_id: AttemptPath) -> doc.AttemptView:
    """When it was, what it sent and what the destination said."""
    return attempt_view(await show_attempt(hub.database, property_id, attempt_id))


@get(
    "/attempts/{attempt_id:uuid}/body",
    operation_id="showAttemptBody",
    summary="Show the readings of an attempt",
    tags=["attempts"],
    opt={"answers": {200: list[str]}, "headers": ("X-Body-Whole",)},
)
async def body(hub: Hub, property_id: PropertyScope, attempt_id: AttemptPath) -> Response[bytes]:
    """Its body as the contract has it, made again from the stream by the filter as it is now: bodies are not kept.
    `X-Body-Whole: false` tells that some of its readings were not to be found; 410 that none was.
    """
    recorded = await show_attempt(hub.database, property_id, attempt_id)
    overview = await show_subscription(hub.database, hub.codec, property_id, recorded.subscription_id)
    remade = await remake_body(hub.database, hub.buses[overview.subscription.filter.source], overview, recorded.attempt)
    headers = {"X-Body-Whole": "true" if remade.whole else "false"}
    return Response(remade.body, headers=headers, media_type="application/json")


def _cursor(recorded: RecordedAttempt) -> str:
    return make_cursor("attempt", recorded.attempt.at, recorded.attempt.id)


handlers = [list_, show, body]
