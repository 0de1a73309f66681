"""`/hub/v1/timesheets`: what seats claim to have worked; at most one for a shift."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, get, patch, post
from litestar.params import QueryParameter

from matrixhub.api.auth import PropertyScope, require_also
from matrixhub.api.bodies import MERGE_PATCH_TYPES, ApiRequest, parse_as, read_body
from matrixhub.api.etags import IfMatch, etag, version_of
from matrixhub.api.idempotency import IdempotencyKey, Make, answer, make_once
from matrixhub.api.paging import LIMIT, CursorQuery, LimitQuery, cut_page, make_cursor, read_cursor
from matrixhub.api.rest import shift_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.parameters import in_utc
from matrixhub.api.rest.shift_views import SeatQuery, ShiftPath, actor_of, timesheet_view
from matrixhub.model.ids import SeatId, ShiftId
from matrixhub.model.timesheet import Timesheet, TimesheetStatus
from matrixhub.modules.work import Platform
from matrixhub.modules.workforce import roster, timesheets
from matrixhub.store import Database
from matrixhub.store.idempotency import Answer

StatusQuery = Annotated[TimesheetStatus | None, QueryParameter(description="Only those in this state.")]


@get(
    "/timesheets",
    operation_id="listTimesheets",
    summary="List timesheets",
    tags=["workforce"],
    opt={"permission": "scteams.listTimesheets", "problems": (404,)},
)
async def list_(
    hub: Hub,
    property_id: PropertyScope,
    seat: SeatQuery = None,
    status: StatusQuery = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = LIMIT,
) -> doc.TimesheetPage:
    """By when they were requested."""
    found = await timesheets.page_timesheets(
        hub.platform,
        property_id,
        seat_id=None if seat is None else SeatId(seat),
        status=status,
        after=read_cursor("timesheet", cursor, ShiftId),
        limit=limit + 1,
    )
    page, following = cut_page(found, limit, lambda one: make_cursor("timesheet", one.requested_at, one.shift_id))
    return doc.TimesheetPage(items=[timesheet_view(one) for one in page], next=following)


@post(
    "/timesheets",
    operation_id="requestTimesheet",
    summary="Claim what was worked",
    tags=["workforce"],
    status_code=201,
    opt={
        "permission": "scteams.requestTimeSheet",
        "takes": doc.NewTimesheet,
        "answers": {201: doc.TimesheetView},
        "headers": ("ETag", "Location"),
    },
)
async def create(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """In a completed shift; a REGULARIZATION also in one that counts as missed. A rejected claim may be made anew."""
    body = await read_body(request)
    asked, actor = parse_as(doc.NewTimesheet, body), actor_of(request)
    if asked.kind == "REGULARIZATION":
        await require_also(request, "scteams.requestRegularization")

    async def prepare() -> Make:
        async def make(database: Database) -> Answer:
            platform = Platform(database=database, clock=hub.clock)
            shift = await roster.read_shift(platform, property_id, ShiftId(asked.shift))
            made = await timesheets.request_timesheet(
                platform,
                property_id,
                shift.seat_id,
                shift.id,
                kind=asked.kind,
                worked_from=in_utc(asked.worked_from),
                worked_until=in_utc(asked.worked_until),
                comment=asked.comment,
                actor=actor,
            )
            headers = {"Location": f"/hub/v1/timesheets/{made.shift_id}", "ETag": etag(made.version)}
            return answer(201, timesheet_view(made), headers)

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


@get(
    "/timesheets/{shift_id:str}",
    operation_id="showTimesheet",
    summary="Show a timesheet",
    tags=["workforce"],
    opt={"permission": "scteams.listTimesheets", "headers": ("ETag",)},
)
async def show(hub: Hub, property_id: PropertyScope, shift_id: ShiftPath) -> Response[doc.TimesheetView]:
    """That of a shift."""
    return _shown(await timesheets.read_timesheet(hub.platform, property_id, ShiftId(shift_id)))


@patch(
    "/timesheets/{shift_id:str}",
    operation_id="changeTimesheet",
    summary="Change a timesheet",
    tags=["workforce"],
    opt={
        "permission": "scteams.editTimeSheet",
        "takes": doc.TimesheetChange,
        "types": MERGE_PATCH_TYPES,
        "headers": ("ETag",),
        "problems": (409,),
    },
)
async def change(
    hub: Hub, property_id: PropertyScope, shift_id: ShiftPath, request: ApiRequest, if_match: IfMatch = None
) -> Response[doc.TimesheetView]:
    """One that was not decided on yet."""
    asked = parse_as(doc.TimesheetChange, await read_body(request, MERGE_PATCH_TYPES))
    before = await timesheets.read_timesheet(hub.platform, property_id, ShiftId(shift_id))
    changed = await timesheets.edit_timesheet(
        hub.platform,
        property_id,
        before.seat_id,
        before.shift_id,
        worked_from=in_utc(asked.worked_from),
        worked_until=in_utc(asked.worked_until),
        comment=asked.comment,
        version=version_of(if_match, before.version),
        actor=actor_of(request),
    )
    return _shown(changed)


@post(
    "/timesheets/{shift_id:str}/approve",
    operation_id="approveTimesheet",
    summary="Agree to a timesheet",
    tags=["workforce"],
    status_code=200,
    opt={"permission": "scteams.approveRequest", "headers": ("ETag",), "problems": (409,)},
)
async def approve(
    hub: Hub, property_id: PropertyScope, shift_id: ShiftPath, request: ApiRequest
) -> Response[doc.TimesheetView]:
    """Once, for good."""
    before = await timesheets.read_timesheet(hub.platform, property_id, ShiftId(shift_id))
    pairs = [(before.seat_id, before.shift_id)]
    [approved] = await timesheets.approve_timesheets(hub.platform, property_id, pairs, actor=actor_of(request))
    return _shown(approved)


@post(
    "/timesheets/{shift_id:str}/reject",
    operation_id="rejectTimesheet",
    summary="Refuse a timesheet",
    tags=["workforce"],
    status_code=200,
    opt={
        "permission": "scteams.rejectTimesheet",
        "takes": doc.Rejection,
        "headers": ("ETag",),
        "problems": (409,),
    },
)
async def reject(
    hub: Hub, property_id: PropertyScope, shift_id: ShiftPath, request: ApiRequest
) -> Response[doc.TimesheetView]:
    """It may be requested anew."""
    asked = parse_as(doc.Rejection, await read_body(request))
    before = await timesheets.read_timesheet(hub.platform, property_id, ShiftId(shift_id))
    rejected = await timesheets.reject_timesheet(
        hub.platform, property_id, before.seat_id, before.shift_id, comment=asked.comment, actor=actor_of(request)
    )
    return _shown(rejected)


def _shown(timesheet: Timesheet) -> Response[doc.TimesheetView]:
    return Response(timesheet_view(timesheet), headers={"ETag": etag(timesheet.version)})


handlers = [list_, create, show, change, approve, reject]
