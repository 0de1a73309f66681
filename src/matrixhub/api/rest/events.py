"""`/hub/v1/events`: what happened, and what applications say has."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from litestar import Response, get, post
from litestar.params import QueryParameter
from litestar.response import Stream

from matrixhub.api.auth import Caller, PropertyScope
from matrixhub.api.bodies import ApiRequest, parse_as, read_body
from matrixhub.api.idempotency import IdempotencyKey, Make, answer, make_once
from matrixhub.api.paging import LIMIT, CursorQuery, LimitQuery
from matrixhub.api.rest import documents as doc
from matrixhub.api.rest.exporting import HeaderQuery, SpreadsheetQuery, export_answer, format_of
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.parameters import SinceQuery, UntilQuery, in_utc
from matrixhub.api.rest.views import event_view
from matrixhub.model.errors import Forbidden, InvalidValue
from matrixhub.model.export import FORMATS, LINE_FORMATS
from matrixhub.model.ids import ApplicationId
from matrixhub.modules.events import export_events, publish_events
from matrixhub.modules.exports.formats import make_writer
from matrixhub.modules.exports.tables import events_table
from matrixhub.modules.work import Platform
from matrixhub.store import Database
from matrixhub.store.events import list_events
from matrixhub.store.idempotency import Answer

WORD = r"^[^\x00]{1,128}$"

PrincipalQuery = Annotated[
    str | None, QueryParameter(pattern=WORD, description="Only those of this building or property.")
]
ModuleQuery = Annotated[
    str | None, QueryParameter(pattern=WORD, description="Only those of this module or application.")
]


PatternQuery = Annotated[
    list[str] | None,
    QueryParameter(max_items=100, description="Only those whose routing key matches; given again, or another one."),
]


class _Asked(doc.Taken, frozen=True, kw_only=True):
    """As `NewEvents`, but for what is wrong with a single event: that rejects no other."""

    events: list[Any]
    application: str | None = None


@get("/events", operation_id="listEvents", summary="List events, oldest first", tags=["events"])
async def list_(
    hub: Hub,
    property_id: PropertyScope,
    principal: PrincipalQuery = None,
    module: ModuleQuery = None,
    since: SinceQuery = None,
    until: UntilQuery = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = LIMIT,
) -> doc.EventPage:
    """The event log of the property: every event from its commit on, for as long as the settings say."""
    async with hub.database.connection() as connection:
        page = await list_events(
            connection,
            property_id,
            principal=principal or "",
            module=module or "",
            start_at=in_utc(since),
            end_at=in_utc(until),
            after=cursor or "",
            limit=limit,
        )
    return doc.EventPage(items=[event_view(event) for event in page.events], next=page.last_key or None)


@get(
    "/events/export",
    operation_id="exportEvents",
    summary="Export events as NDJSON, JSON or CSV",
    tags=["events"],
    opt={
        "gives_bytes": [FORMATS[name].media_type for name in LINE_FORMATS],
        "problems": (406,),
        "permission": "hub.listEvents",
    },
)
async def export(
    hub: Hub,
    property_id: PropertyScope,
    request: ApiRequest,
    principal: PrincipalQuery = None,
    module: ModuleQuery = None,
    pattern: PatternQuery = None,
    since: SinceQuery = None,
    until: UntilQuery = None,
    format: Annotated[  # noqa: A002 - the name of the parameter
        Literal["ndjson", "json", "csv"] | None,
        QueryParameter(description="The format; without one, that of the header Accept."),
    ] = None,
    header: HeaderQuery = True,
    spreadsheet: SpreadsheetQuery = False,
) -> Stream:
    """The event log of the property, oldest first, however much; without a time, all that is kept. An export that
    fails midway ends without its last chunk.
    """
    chosen = format_of(request, format, LINE_FORMATS)
    pages = export_events(
        hub.platform,
        property_id,
        principal=principal or "",
        module=module or "",
        patterns=pattern or (),
        start_at=in_utc(since),
        end_at=in_utc(until),
    )
    writer = make_writer(chosen.name, events_table(), header=header, spreadsheet=spreadsheet)
    return await export_answer(hub, request, property_id, pages, chosen, writer)


@post(
    "/events",
    operation_id="publishEvents",
    summary="Publish events of an application",
    tags=["events"],
    status_code=200,
    opt={"takes": doc.NewEvents, "answers": {200: doc.PublishedView}},
)
async def publish(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """With a key of the application, or one that may manage. What is wrong with an event rejects that event; a quota
    that does not do for the others rejects them all.
    """
    body = await read_body(request)
    asked = parse_as(_Asked, body)
    caller: Caller = request.scope["caller"]  # type: ignore[typeddict-item]
    application_id = _speaker(caller, asked.application)

    async def prepare() -> Make:
        async def make(database: Database) -> Answer:
            platform = Platform(database=database, clock=hub.clock)
            done = await publish_events(platform, property_id, application_id, asked.events)
            rejected = [
                doc.RejectedEvent(index=one.index, code=one.error.code, message=one.error.message)
                for one in done.rejected
            ]
            return answer(200, doc.PublishedView(accepted=len(done.accepted), rejected=rejected))

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


def _speaker(caller: Caller, asked: str | None) -> ApplicationId:
    """In whose name the events are. Raises: Forbidden if that is not the caller's, InvalidValue if nobody's."""
    if caller.application_id is None:
        if not asked:
            raise InvalidValue("name the application whose events they are", fields=(("application", "is missing"),))
        return ApplicationId(asked)
    if asked is not None and asked != caller.application_id:
        raise Forbidden(f"the key is for events of {caller.application_id}")
    return caller.application_id


handlers = [list_, export, publish]
