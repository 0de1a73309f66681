"""`/hub/v1/parked`: readings that were set aside; shown, sent again, given up, exported."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.params import PathParameter, QueryParameter
from litestar.response import Stream

from matrixhub.api.auth import PropertyScope
from matrixhub.api.bodies import ApiRequest, parse_as, read_body
from matrixhub.api.paging import LIMIT, CursorQuery, LimitQuery, cut_page, make_cursor, read_cursor
from matrixhub.api.rest import documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.parameters import SinceQuery, SubscriptionQuery, UntilQuery, in_utc, subscription_id_of, uuids
from matrixhub.api.rest.views import parked_view
from matrixhub.model.delivery import ParkedItem
from matrixhub.model.errors import InvalidValue
from matrixhub.model.ids import SubscriptionId
from matrixhub.store.parked import (
    Selection,
    ask_redrive,
    count_parked,
    discard_parked,
    export_parked,
    list_parked,
    show_parked,
)
from matrixhub.store.subscriptions import show_subscription

CodeQuery = Annotated[
    str, QueryParameter(pattern=r"^[A-Z0-9-]{0,20}$", description="Only those parked with this code.")
]

ParkedPath = Annotated[UUID, PathParameter(description="Id of the parked reading.")]

EXPORT_CHUNK_BYTES = 65_536


@get("/parked", operation_id="listParked", summary="List parked readings", tags=["parked"])
async def list_(
    hub: Hub,
    property_id: PropertyScope,
    subscription: SubscriptionQuery = None,
    since: SinceQuery = None,
    until: UntilQuery = None,
    code: CodeQuery = "",
    cursor: CursorQuery = None,
    limit: LimitQuery = LIMIT,
) -> doc.ParkedPage:
    """Readings that their destinations refused for good, oldest first, each with its reason."""
    found = await list_parked(
        hub.database,
        property_id,
        subscription_id_of(subscription),
        selection=_narrowed(since, until, code),
        after=read_cursor("parked", cursor, UUID),
        limit=limit + 1,
    )
    page, following = cut_page(found, limit, _cursor)
    return doc.ParkedPage(items=[parked_view(item) for item in page], next=following)


@get(
    "/parked/export",
    operation_id="exportParked",
    summary="Export parked readings as NDJSON",
    tags=["parked"],
    opt={"answer": ("application/x-ndjson", "One parked reading a line, each like an item of the list.")},
)
async def export(
    hub: Hub,
    property_id: PropertyScope,
    subscription: SubscriptionQuery = None,
    since: SinceQuery = None,
    until: UntilQuery = None,
    code: CodeQuery = "",
) -> Stream:
    """All of them, oldest first, however many. An export that fails midway ends without its last chunk."""
    items = export_parked(
        hub.database, property_id, subscription_id_of(subscription), selection=_narrowed(since, until, code)
    )
    chunks = _chunks(items)
    first = await anext(chunks, b"")  # a fault shows before the answer begins
    return Stream(_followed_by(first, chunks), media_type="application/x-ndjson")


@get("/parked/{parked_id:uuid}", operation_id="showParked", summary="Show a parked reading", tags=["parked"])
async def show(hub: Hub, property_id: PropertyScope, parked_id: ParkedPath) -> doc.ParkedView:
    """One parked reading; it is gone once it was delivered, given up, or has expired."""
    return parked_view(await show_parked(hub.database, property_id, parked_id))


@post(
    "/parked/redrive",
    operation_id="redriveParked",
    summary="Send parked readings again",
    tags=["parked"],
    status_code=200,
    opt={"takes": doc.ParkedSelection},
)
async def redrive(hub: Hub, property_id: PropertyScope, request: ApiRequest) -> doc.CountView:
    """Those that are meant go out as soon as their subscription can; what is refused again stays parked."""
    asked = parse_as(doc.ParkedSelection, await read_body(request))
    return await _done(hub, property_id, asked, redriven=True)


@post(
    "/parked/discard",
    operation_id="discardParked",
    summary="Give parked readings up for good",
    tags=["parked"],
    status_code=200,
    opt={"takes": doc.ParkedSelection},
)
async def discard(hub: Hub, property_id: PropertyScope, request: ApiRequest) -> doc.CountView:
    """They are gone then; the balance counts them as expired."""
    asked = parse_as(doc.ParkedSelection, await read_body(request))
    return await _done(hub, property_id, asked, redriven=False)


async def _done(hub: Hub, property_id: PropertyScope, asked: doc.ParkedSelection, *, redriven: bool) -> doc.CountView:
    subscription_id = SubscriptionId(asked.subscription)
    selection = Selection(
        ids=uuids(asked.ids, "ids"),
        since=in_utc(asked.since),
        until=in_utc(asked.until),
        code=asked.code,
        all=asked.all,
    )
    if selection.named == selection.all:
        what = "names either some of ids, since, until and code, or all"
        raise InvalidValue(f"the selection {what}", fields=(("", what),))
    if asked.dry_run:
        await show_subscription(hub.database, hub.codec, property_id, subscription_id)
        readings = await count_parked(hub.database, property_id, subscription_id, selection=selection)
    else:
        act = ask_redrive if redriven else discard_parked
        readings = await act(hub.database, property_id, subscription_id, selection)
    return doc.CountView(readings=readings, dry_run=asked.dry_run)


def _narrowed(since: SinceQuery, until: UntilQuery, code: str) -> Selection:
    found = Selection(since=in_utc(since), until=in_utc(until), code=code)
    return found if found.named else Selection(all=True)


def _cursor(item: ParkedItem) -> str:
    return make_cursor("parked", item.parked_at, item.id)


async def _chunks(items: AsyncIterator[ParkedItem]) -> AsyncIterator[bytes]:
    encode, chunk = msgspec.json.Encoder().encode, bytearray()
    async for item in items:
        chunk += encode(parked_view(item)) + b"\n"
        if len(chunk) >= EXPORT_CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    if chunk:
        yield bytes(chunk)


async def _followed_by(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for chunk in rest:
        yield chunk


handlers = [list_, export, show, redrive, discard]
