"""`/hub/v1/databases/{database_id}/backfills`: past data into a customer's database."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.params import PathParameter

from matrixhub.api.auth import PropertyScope
from matrixhub.api.bodies import ApiRequest, parse_as, read_body
from matrixhub.api.idempotency import IdempotencyKey, Make, answer, make_once
from matrixhub.api.paging import LIMIT, CursorQuery, LimitQuery, cut_page, make_cursor, read_cursor
from matrixhub.api.rest import backfill_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.parameters import in_utc, subscription_id_of
from matrixhub.model.backfill import Backfill, plan_view, public_view
from matrixhub.model.ids import BackfillId, DatabaseId
from matrixhub.modules.telemetry.backfills import Wish, plan_backfill
from matrixhub.store import Database
from matrixhub.store.backfills import Backfills
from matrixhub.store.idempotency import Answer

DatabasePath = Annotated[str, PathParameter(pattern=r"^[\w-]{1,128}$", description="Id of the database, db_….")]
BackfillPath = Annotated[str, PathParameter(pattern=r"^[\w-]{1,128}$", description="Id of the backfill, bfl_….")]

_PATH = "/databases/{database_id:str}/backfills"
_ONE = f"{_PATH}/{{backfill_id:str}}"


@get(_PATH, operation_id="listBackfills", summary="List backfills, newest first", tags=["databases"])
async def list_(
    hub: Hub,
    property_id: PropertyScope,
    database_id: DatabasePath,
    cursor: CursorQuery = None,
    limit: LimitQuery = LIMIT,
) -> doc.BackfillPage:
    """Those of the database, also those that are over."""
    found = await Backfills(hub.database).list_of(
        property_id, DatabaseId(database_id), before=read_cursor("backfill", cursor, str), limit=limit + 1
    )
    page, following = cut_page(found, limit, _cursor)
    return doc.BackfillPage(items=[_view(one) for one in page], next=following)


@post(
    _PATH,
    operation_id="createBackfill",
    summary="Copy past data into a database",
    tags=["databases"],
    status_code=201,
    opt={
        "takes": doc.NewBackfill,
        "answers": {200: doc.BackfillPlanView, 201: doc.BackfillView},
        "headers": ("Location",),
    },
)
async def create(
    hub: Hub,
    property_id: PropertyScope,
    database_id: DatabasePath,
    request: ApiRequest,
    idempotency_key: IdempotencyKey = None,
) -> Response[bytes]:
    """What a subscription to the database brings begins when it was made; this brings what was before, throttled and
    behind all else. What both bring is there once. With `dry_run` nothing is done, and the answer (200) tells how much
    it is about.
    """
    body = await read_body(request)
    asked = parse_as(doc.NewBackfill, body)
    wish = Wish(
        property_id=property_id,
        database_id=DatabaseId(database_id),
        source=asked.source,
        since=in_utc(asked.since),
        until=in_utc(asked.until),
        rate=asked.rate,
        subscription_id=subscription_id_of(asked.subscription),
    )

    async def prepare() -> Make:
        planned = await plan_backfill(hub.database, wish)

        async def make(database: Database) -> Answer:
            if asked.dry_run:
                return answer(200, msgspec.convert(plan_view(planned), doc.BackfillPlanView))
            made = await Backfills(database).add(planned)
            return answer(201, _view(made), {"Location": f"/hub/v1/databases/{database_id}/backfills/{made.id}"})

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


@get(_ONE, operation_id="showBackfill", summary="Show a backfill", tags=["databases"])
async def show(
    hub: Hub, property_id: PropertyScope, database_id: DatabasePath, backfill_id: BackfillPath
) -> doc.BackfillView:
    """One backfill as it stands."""
    return _view(await _find(hub, property_id, database_id, backfill_id))


@post(
    f"{_ONE}/pause",
    operation_id="pauseBackfill",
    summary="Pause a backfill",
    tags=["databases"],
    status_code=200,
    opt={"problems": (409,)},
)
async def pause(
    hub: Hub, property_id: PropertyScope, database_id: DatabasePath, backfill_id: BackfillPath
) -> doc.BackfillView:
    """It rests where it is, behind the chunk that is under way."""
    found = await _find(hub, property_id, database_id, backfill_id)
    return _view(await Backfills(hub.database).pause(property_id, found.id))


@post(
    f"{_ONE}/resume",
    operation_id="resumeBackfill",
    summary="Resume a backfill",
    tags=["databases"],
    status_code=200,
    opt={"problems": (409,)},
)
async def resume(
    hub: Hub, property_id: PropertyScope, database_id: DatabasePath, backfill_id: BackfillPath
) -> doc.BackfillView:
    """It goes on where it was; one that waits to try again tries now."""
    found = await _find(hub, property_id, database_id, backfill_id)
    return _view(await Backfills(hub.database).resume(property_id, found.id))


@post(
    f"{_ONE}/cancel",
    operation_id="cancelBackfill",
    summary="Cancel a backfill",
    tags=["databases"],
    status_code=200,
    opt={"problems": (409,)},
)
async def cancel(
    hub: Hub, property_id: PropertyScope, database_id: DatabasePath, backfill_id: BackfillPath
) -> doc.BackfillView:
    """It ends; what was written stays."""
    found = await _find(hub, property_id, database_id, backfill_id)
    return _view(await Backfills(hub.database).cancel(property_id, found.id))


async def _find(hub: Hub, property_id: PropertyScope, database_id: str, backfill_id: str) -> Backfill:
    return await Backfills(hub.database).show(property_id, BackfillId(backfill_id), DatabaseId(database_id))


def _view(backfill: Backfill) -> doc.BackfillView:
    return msgspec.convert(public_view(backfill), doc.BackfillView)


def _cursor(backfill: Backfill) -> str:
    return make_cursor("backfill", backfill.created_at, backfill.id)


handlers = [list_, create, show, pause, resume, cancel]
