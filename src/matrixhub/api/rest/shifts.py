"""`/hub/v1/shifts`: planned, worked, asked about."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from litestar import Response, delete, get, patch, post
from litestar.params import QueryParameter

from matrixhub.api.auth import PropertyScope
from matrixhub.api.bodies import MERGE_PATCH_TYPES, ApiRequest, parse_as, read_body
from matrixhub.api.etags import IfMatch, etag, version_of
from matrixhub.api.idempotency import IdempotencyKey, Make, answer, make_once
from matrixhub.api.paging import LIMIT, CursorQuery, LimitQuery, cut_page, make_cursor, read_cursor
from matrixhub.api.parts import Parts
from matrixhub.api.rest import shift_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.parameters import SinceQuery, UntilQuery, in_utc
from matrixhub.api.rest.shift_views import (
    BuildingQuery,
    SeatQuery,
    ShiftPath,
    actor_of,
    read_breaks,
    read_cost,
    read_place,
    shift_view,
)
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, ShiftId, ZoneId
from matrixhub.model.shift import Cost, Shift
from matrixhub.model.work_order import TaskItem
from matrixhub.modules.work import Platform
from matrixhub.modules.workforce import attendance, planning, roster
from matrixhub.modules.workforce.planning import ShiftChanges
from matrixhub.modules.workforce.steps import ShiftDraft
from matrixhub.modules.workforce.tasks import TaskDraft
from matrixhub.store import Database
from matrixhub.store.idempotency import Answer

StatusQuery = Annotated[
    doc.ShiftStatusFilter | None,
    QueryParameter(description="Only those in this state; DELAYED are published and late."),
]

_ACT = {"headers": ("ETag",), "problems": (409,)}


@get(
    "/shifts",
    operation_id="listShifts",
    summary="List shifts",
    tags=["workforce"],
    opt={"permission": "scteams.getShiftForPropertyInTRange", "problems": (404,)},
)
async def list_(
    hub: Hub,
    property_id: PropertyScope,
    building: BuildingQuery = None,
    seat: SeatQuery = None,
    status: StatusQuery = None,
    since: SinceQuery = None,
    until: UntilQuery = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = LIMIT,
) -> doc.ShiftPage:
    """Those that begin in a time, by their begin."""
    found = await roster.page_shifts(
        hub.platform,
        property_id,
        start=in_utc(since),
        end=in_utc(until),
        building_id=None if building is None else BuildingId(building),
        seat_id=None if seat is None else SeatId(seat),
        status=status,
        after=read_cursor("shift", cursor, ShiftId),
        limit=limit + 1,
    )
    page, following = cut_page(found, limit, lambda shift: make_cursor("shift", shift.starts_at, shift.id))
    return doc.ShiftPage(items=[shift_view(shift) for shift in page], next=following)


@post(
    "/shifts",
    operation_id="createShift",
    summary="Plan a shift",
    tags=["workforce"],
    status_code=201,
    opt={
        "permission": "scteams.createShift",
        "takes": doc.NewShift,
        "answers": {201: doc.ShiftView},
        "headers": ("ETag", "Location"),
    },
)
async def create(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """With its task groups; published at once where that is asked for."""
    body = await read_body(request)
    asked, actor = parse_as(doc.NewShift, body), actor_of(request)

    async def prepare() -> Make:
        async def make(database: Database) -> Answer:
            platform = Platform(database=database, clock=hub.clock)
            [made] = await planning.create_shifts(
                platform,
                property_id,
                BuildingId(asked.building),
                SeatId(asked.seat),
                [_draft(asked)],
                publish=asked.publish,
                actor=actor,
            )
            headers = {"Location": f"/hub/v1/shifts/{made.id}", "ETag": etag(made.version)}
            return answer(201, shift_view(made), headers)

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


@get(
    "/shifts/{shift_id:str}",
    operation_id="showShift",
    summary="Show a shift",
    tags=["workforce"],
    opt={"permission": "scteams.getShiftDetailsByID", "headers": ("ETag",)},
)
async def show(hub: Hub, property_id: PropertyScope, shift_id: ShiftPath) -> Response[doc.ShiftView]:
    """One shift."""
    return _shown(await roster.read_shift(hub.platform, property_id, ShiftId(shift_id)))


@patch(
    "/shifts/{shift_id:str}",
    operation_id="changeShift",
    summary="Change a shift",
    tags=["workforce"],
    opt={
        "permission": "scteams.updateShift",
        "takes": doc.ShiftChange,
        "types": MERGE_PATCH_TYPES,
        "headers": ("ETag",),
        "problems": (409,),
    },
)
async def change(
    hub: Hub, property_id: PropertyScope, shift_id: ShiftPath, request: ApiRequest, if_match: IfMatch = None
) -> Response[doc.ShiftView]:
    """One that was not started."""
    asked = parse_as(doc.ShiftChange, await read_body(request, MERGE_PATCH_TYPES))
    before = await roster.read_shift(hub.platform, property_id, ShiftId(shift_id))
    changed = await planning.update_shift(
        hub.platform,
        property_id,
        before.seat_id,
        before.id,
        _changes(asked),
        version=version_of(if_match, before.version),
        actor=actor_of(request),
    )
    return _shown(changed)


@delete(
    "/shifts/{shift_id:str}",
    operation_id="deleteShift",
    summary="Delete a shift",
    tags=["workforce"],
    opt={"permission": "scteams.deleteShift", "problems": (409,)},
)
async def remove(
    hub: Hub, property_id: PropertyScope, shift_id: ShiftPath, request: ApiRequest, if_match: IfMatch = None
) -> None:
    """One that was neither started nor completed, with its task groups."""
    before = await roster.read_shift(hub.platform, property_id, ShiftId(shift_id))
    version = version_of(if_match, before.version)
    pair = before.seat_id, before.id
    await planning.delete_shifts(hub.platform, property_id, [pair], version=version, actor=actor_of(request))


@post(
    "/shifts/{shift_id:str}/publish",
    operation_id="publishShift",
    summary="Publish a shift",
    tags=["workforce"],
    status_code=200,
    opt={"permission": "scteams.publishShifts", **_ACT},
)
async def publish(
    hub: Hub, property_id: PropertyScope, shift_id: ShiftPath, request: ApiRequest
) -> Response[doc.ShiftView]:
    """With its task groups."""
    before = await roster.read_shift(hub.platform, property_id, ShiftId(shift_id))
    [published] = await planning.publish_shifts(
        hub.platform, property_id, before.building_id, [before.id], actor=actor_of(request)
    )
    return _shown(published)


@post(
    "/shifts/{shift_id:str}/start",
    operation_id="startShift",
    summary="Start a shift",
    tags=["workforce"],
    status_code=200,
    opt={"permission": "scteams.shiftStart", "takes": doc.Clocking, **_ACT},
)
async def start(
    hub: Hub, property_id: PropertyScope, shift_id: ShiftPath, request: ApiRequest
) -> Response[doc.ShiftView]:
    """Its seat comes; near enough to the building, where that says where it is."""
    asked = parse_as(doc.Clocking, await read_body(request))
    given = {"clock_in": read_place(asked.place), "admin": False}
    return await _acted(hub, property_id, shift_id, request, attendance.start_shift, **given)


@post(
    "/shifts/{shift_id:str}/start-admin",
    operation_id="startShiftAdmin",
    summary="Start a shift on behalf of its seat",
    tags=["workforce"],
    status_code=200,
    opt={"permission": "scteams.shiftStartAdmin", "takes": doc.Clocking, **_ACT},
)
async def start_admin(
    hub: Hub, property_id: PropertyScope, shift_id: ShiftPath, request: ApiRequest
) -> Response[doc.ShiftView]:
    """Wherever that is, also where it was absent."""
    asked = parse_as(doc.Clocking, await read_body(request))
    given = {"clock_in": read_place(asked.place), "admin": True}
    return await _acted(hub, property_id, shift_id, request, attendance.start_shift, **given)


@post(
    "/shifts/{shift_id:str}/end",
    operation_id="endShift",
    summary="End a shift",
    tags=["workforce"],
    status_code=200,
    opt={"permission": "scteams.shiftEnd", "takes": doc.Clocking, **_ACT},
)
async def end(
    hub: Hub, property_id: PropertyScope, shift_id: ShiftPath, request: ApiRequest
) -> Response[doc.ShiftView]:
    """Its seat goes; a break under way ends with it."""
    asked = parse_as(doc.Clocking, await read_body(request))
    given = {"clock_out": read_place(asked.place), "admin": False}
    return await _acted(hub, property_id, shift_id, request, attendance.end_shift, **given)


@post(
    "/shifts/{shift_id:str}/end-admin",
    operation_id="endShiftAdmin",
    summary="End a shift on behalf of its seat",
    tags=["workforce"],
    status_code=200,
    opt={"permission": "scteams.shiftEndAdmin", "takes": doc.Clocking, **_ACT},
)
async def end_admin(
    hub: Hub, property_id: PropertyScope, shift_id: ShiftPath, request: ApiRequest
) -> Response[doc.ShiftView]:
    """Also before its time."""
    asked = parse_as(doc.Clocking, await read_body(request))
    given = {"clock_out": read_place(asked.place), "admin": True}
    return await _acted(hub, property_id, shift_id, request, attendance.end_shift, **given)


@post(
    "/shifts/{shift_id:str}/breaks",
    operation_id="startBreak",
    summary="Start a break",
    tags=["workforce"],
    status_code=200,
    opt={"permission": "scteams.startBreak", "takes": doc.BreakStart, **_ACT},
)
async def start_break(
    hub: Hub, property_id: PropertyScope, shift_id: ShiftPath, request: ApiRequest
) -> Response[doc.ShiftView]:
    """A planned one by its id, or one that nobody planned."""
    asked = parse_as(doc.BreakStart, await read_body(request))
    given = {"break_id": asked.id, "kind": asked.kind, "notes": asked.notes}
    return await _acted(hub, property_id, shift_id, request, attendance.start_break, **given)


@post(
    "/shifts/{shift_id:str}/breaks/end",
    operation_id="endBreak",
    summary="End a break",
    tags=["workforce"],
    status_code=200,
    opt={"permission": "scteams.endBreak", "takes": doc.BreakEnd, **_ACT},
)
async def end_break(
    hub: Hub, property_id: PropertyScope, shift_id: ShiftPath, request: ApiRequest
) -> Response[doc.ShiftView]:
    """The one that is under way."""
    asked = parse_as(doc.BreakEnd, await read_body(request))
    return await _acted(hub, property_id, shift_id, request, attendance.end_break, notes=asked.notes)


@post(
    "/shifts/{shift_id:str}/delayed",
    operation_id="markShiftDelayed",
    summary="Mark a shift as late",
    tags=["workforce"],
    status_code=200,
    opt={"permission": "scteams.markShiftDelayed", **_ACT},
)
async def mark_delayed(
    hub: Hub, property_id: PropertyScope, shift_id: ShiftPath, request: ApiRequest
) -> Response[doc.ShiftView]:
    """Before its time tells."""
    return await _acted(hub, property_id, shift_id, request, attendance.mark_delayed)


@post(
    "/shifts/{shift_id:str}/absent",
    operation_id="markShiftAbsent",
    summary="Mark a shift as missed",
    tags=["workforce"],
    status_code=200,
    opt={"permission": "scteams.markShiftAbsent", **_ACT},
)
async def mark_absent(
    hub: Hub, property_id: PropertyScope, shift_id: ShiftPath, request: ApiRequest
) -> Response[doc.ShiftView]:
    """Nobody came to it."""
    return await _acted(hub, property_id, shift_id, request, attendance.mark_absent)


@post(
    "/shifts/{shift_id:str}/leave",
    operation_id="markShiftOnLeave",
    summary="Put the seat of a shift on leave",
    tags=["workforce"],
    status_code=200,
    opt={"permission": "scteams.markOnLeave", **_ACT},
)
async def mark_on_leave(
    hub: Hub, property_id: PropertyScope, shift_id: ShiftPath, request: ApiRequest
) -> Response[doc.ShiftView]:
    """The seat stays occupied in that time."""
    return await _acted(hub, property_id, shift_id, request, attendance.mark_on_leave)


async def _acted(
    hub: Parts,
    property_id: PropertyId,
    shift_id: str,
    request: ApiRequest,
    act: Callable[..., Awaitable[Shift]],
    **given: Any,
) -> Response[doc.ShiftView]:
    before = await roster.read_shift(hub.platform, property_id, ShiftId(shift_id))
    return _shown(await act(hub.platform, property_id, before.seat_id, before.id, actor=actor_of(request), **given))


def _draft(asked: doc.NewShift) -> ShiftDraft:
    return ShiftDraft(
        starts_at=in_utc(asked.starts_at),
        ends_at=in_utc(asked.ends_at),
        time_zone=asked.time_zone or "",
        zones=tuple(ZoneId(zone) for zone in asked.zones),
        breaks=read_breaks(asked.breaks),
        cost=Cost() if asked.cost is None else read_cost(asked.cost),
        description=asked.description,
        tasks=tuple(
            TaskDraft(
                zone_id=ZoneId(group.zone),
                name=group.name,
                starts_at=in_utc(group.starts_at),
                ends_at=in_utc(group.ends_at),
                tasks=tuple(TaskItem(name=task) for task in group.tasks),
                priority=group.priority,
            )
            for group in asked.task_groups
        ),
    )


def _changes(asked: doc.ShiftChange) -> ShiftChanges:
    return ShiftChanges(
        starts_at=in_utc(asked.starts_at),
        ends_at=in_utc(asked.ends_at),
        time_zone=asked.time_zone,
        zones=None if asked.zones is None else tuple(ZoneId(zone) for zone in asked.zones),
        breaks=None if asked.breaks is None else read_breaks(asked.breaks),
        cost=None if asked.cost is None else read_cost(asked.cost),
        description=asked.description,
    )


def _shown(shift: Shift) -> Response[doc.ShiftView]:
    return Response(shift_view(shift), headers={"ETag": etag(shift.version)})


handlers = [
    *(list_, create, show, change, remove, publish, start, start_admin, end, end_admin),
    *(start_break, end_break, mark_delayed, mark_absent, mark_on_leave),
]
