"""`/hub/v1/replays`: have readings delivered again."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, delete, get, post
from litestar.params import PathParameter

from matrixhub.api.auth import PropertyScope
from matrixhub.api.bodies import ApiRequest, parse_as, read_body
from matrixhub.api.idempotency import IdempotencyKey, Make, answer, make_once
from matrixhub.api.paging import LIMIT, CursorQuery, LimitQuery, cut_page, make_cursor, read_cursor
from matrixhub.api.parts import Parts
from matrixhub.api.rest import documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.parameters import SubscriptionQuery, subscription_id_of, uuids
from matrixhub.api.rest.views import position_view, replay_view
from matrixhub.deliveries.desk import FromAttempt, FromPlace, PlannedReplay, ReplayStart, Since, plan_replay
from matrixhub.model.errors import InvalidValue
from matrixhub.model.ids import PropertyId, SubscriptionId
from matrixhub.model.subscription import Position
from matrixhub.store import Database
from matrixhub.store.idempotency import Answer
from matrixhub.store.replays import ReplayRecord, ask_replay, list_replays, show_replay, withdraw_replay
from matrixhub.store.subscriptions import show_subscription

ReplayPath = Annotated[str, PathParameter(pattern=r"^[\w-]{1,128}$", description="Id of the replay, rpl_….")]


@get("/replays", operation_id="listReplays", summary="List replays, newest first", tags=["replays"])
async def list_(
    hub: Hub,
    property_id: PropertyScope,
    subscription: SubscriptionQuery = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = LIMIT,
) -> doc.ReplayPage:
    """Replays with their states: `waiting` until the subscription has gone back, then `running`, then `done`."""
    found = await list_replays(
        hub.database,
        property_id,
        subscription_id=subscription_id_of(subscription),
        before=read_cursor("replay", cursor, str),
        limit=limit + 1,
    )
    page, following = cut_page(found, limit, _cursor)
    return doc.ReplayPage(items=[replay_view(replay) for replay in page], next=following)


@post(
    "/replays",
    operation_id="createReplay",
    summary="Deliver readings again",
    tags=["replays"],
    status_code=201,
    opt={"takes": doc.NewReplay, "answers": {200: doc.ReplayPlanView, 201: doc.ReplayView}, "headers": ("Location",)},
)
async def create(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """The subscription goes back to a time, a place or a push. With `dry_run` nothing is done, and the answer (200)
    tells exactly how many readings would come again.
    """
    body = await read_body(request)
    asked = parse_as(doc.NewReplay, body)

    async def prepare() -> Make:
        plan = await _plan(hub, property_id, asked)

        async def make(database: Database) -> Answer:
            if asked.dry_run:
                planned = doc.ReplayPlanView(
                    subscription=asked.subscription,
                    position=position_view(plan.position),
                    readings=plan.items,
                    note=plan.note,
                )
                return answer(200, planned)
            made = await ask_replay(database, property_id, SubscriptionId(asked.subscription), plan.position)
            return answer(201, replay_view(made), {"Location": f"/hub/v1/replays/{made.id}"})

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


@get("/replays/{replay_id:str}", operation_id="showReplay", summary="Show a replay", tags=["replays"])
async def show(hub: Hub, property_id: PropertyScope, replay_id: ReplayPath) -> doc.ReplayView:
    """One replay as it stands."""
    return replay_view(await show_replay(hub.database, property_id, replay_id))


@delete("/replays/{replay_id:str}", operation_id="withdrawReplay", summary="Withdraw a replay", tags=["replays"])
async def withdraw(hub: Hub, property_id: PropertyScope, replay_id: ReplayPath) -> None:
    """Only while it waits; 409 once it has begun."""
    replay = await show_replay(hub.database, property_id, replay_id)
    await withdraw_replay(hub.database, property_id, replay.subscription_id, replay_id)


async def _plan(hub: Parts, property_id: PropertyId, asked: doc.NewReplay) -> PlannedReplay:
    start = _start(asked)
    overview = await show_subscription(hub.database, hub.codec, property_id, SubscriptionId(asked.subscription))
    return await plan_replay(hub.database, hub.buses[overview.subscription.filter.source], overview, start)


def _start(asked: doc.NewReplay) -> ReplayStart:
    """Raises: InvalidValue unless exactly one place is named."""
    named: list[ReplayStart] = []
    if asked.since is not None:
        named.append(Since(max(0, int(asked.since.timestamp() * 1000))))
    if asked.position is not None:
        named.append(FromPlace(Position(seq=asked.position.seq, item=asked.position.item)))
    if asked.attempt is not None:
        named += map(FromAttempt, uuids([asked.attempt], "attempt"))
    if len(named) != 1:
        what = "one of since, position and attempt says where to begin"
        raise InvalidValue(what, fields=(("", what),))
    return named[0]


def _cursor(replay: ReplayRecord) -> str:
    return make_cursor("replay", replay.requested_at, replay.id)


handlers = [list_, create, show, withdraw]
