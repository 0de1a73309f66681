"""`/hub/v1/tasks`: planned work of shifts, and work that nobody had planned."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, delete, get, post, put
from litestar.params import PathParameter

from matrixhub.api.auth import PropertyScope, caller
from matrixhub.api.bodies import ApiRequest, parse_as, read_body
from matrixhub.api.etags import IfMatch, etag
from matrixhub.api.idempotency import IdempotencyKey, Make, answer, make_once
from matrixhub.api.paging import LIMIT, CursorQuery, LimitQuery
from matrixhub.api.rest import work_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.incidents import StatusQuery
from matrixhub.api.rest.parameters import SinceQuery, UntilQuery, in_utc
from matrixhub.api.rest.work_orders import (
    ACT,
    REFUSED,
    BuildingQuery,
    SeatQuery,
    ShiftQuery,
    ZoneQuery,
    answered,
    platform_in,
    said_of,
    work_page,
)
from matrixhub.api.rest.work_views import items_of, timeline_view, work_view
from matrixhub.model.ids import BuildingId, SeatId, ShiftId, TaskId, ZoneId
from matrixhub.modules.workforce import tasks, work_orders
from matrixhub.modules.workforce.tasks import TaskDraft
from matrixhub.modules.workforce.work_orders import Said
from matrixhub.store import Database
from matrixhub.store.idempotency import Answer
from matrixhub.store.work_orders import Wanted

TaskPath = Annotated[str, PathParameter(pattern=r"^[\w-]{1,64}$", description="Id of the task.")]

TASK = Said(type="TASK")


@get(
    "/tasks",
    operation_id="listTasks",
    summary="List tasks",
    tags=["tasks"],
    opt={"permission": "scteams.getTasksForIDPaginated", "problems": (400, 404)},
)
async def list_(
    hub: Hub,
    property_id: PropertyScope,
    building: BuildingQuery = None,
    zone: ZoneQuery = None,
    seat: SeatQuery = None,
    shift: ShiftQuery = None,
    status: StatusQuery = None,
    since: SinceQuery = None,
    until: UntilQuery = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = LIMIT,
) -> doc.WorkOrderPage:
    """Those of the property, by their start; `since` and `until` are about the start."""
    wanted = Wanted(
        building_id=BuildingId(building) if building else None,
        zone_id=ZoneId(zone) if zone else None,
        seat_id=SeatId(seat) if seat else None,
        shift_id=ShiftId(shift) if shift else None,
        type="TASK",
        statuses=(status,) if status else None,
        since=in_utc(since),
        until=in_utc(until),
    )
    return await work_page(hub, property_id, wanted, "TASK", cursor=cursor, limit=limit)


@post(
    "/tasks",
    operation_id="createTask",
    summary="Plan a task",
    tags=["tasks"],
    status_code=201,
    opt={
        "takes": doc.NewTask,
        "answers": {201: doc.WorkOrderView},
        "headers": ("ETag", "Location"),
        "permission": "scteams.addTaskgroupToShift",
    },
)
async def create(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """In a shift that is not over; it is published with its shift."""
    body = await read_body(request)
    asked, actor = parse_as(doc.NewTask, body), caller(request).actor
    draft = TaskDraft(
        zone_id=ZoneId(asked.zone),
        name=asked.name,
        starts_at=in_utc(asked.starts_at) or asked.starts_at,
        ends_at=in_utc(asked.ends_at) or asked.ends_at,
        tasks=items_of(asked.tasks),
        priority=asked.priority,
    )

    async def prepare() -> Make:
        async def make(database: Database) -> Answer:
            (made,) = await tasks.add_tasks(
                platform_in(hub, database),
                property_id,
                SeatId(asked.seat),
                ShiftId(asked.shift),
                [draft],
                actor=actor,
            )
            headers = {"Location": f"/hub/v1/tasks/{made.id}", "ETag": etag(made.version)}
            return answer(201, work_view(made), headers)

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


@post(
    "/tasks/ad-hoc",
    operation_id="startAdHocTask",
    summary="Start an ad-hoc task",
    tags=["tasks"],
    status_code=201,
    opt={
        "takes": doc.NewAdHocTask,
        "answers": {201: doc.WorkOrderView},
        "headers": ("ETag", "Location"),
        "permission": "scteams.startAdhocTask",
    },
)
async def start_ad_hoc(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """Work that nobody had planned, in a shift that has started; it begins now."""
    body = await read_body(request)
    asked, actor = parse_as(doc.NewAdHocTask, body), caller(request).actor

    async def prepare() -> Make:
        async def make(database: Database) -> Answer:
            made = await tasks.start_adhoc_task(
                platform_in(hub, database),
                property_id,
                ShiftId(asked.shift),
                ZoneId(asked.zone),
                in_utc(asked.ends_at) or asked.ends_at,
                actor=actor,
                by=asked.raised_by,
            )
            headers = {"Location": f"/hub/v1/tasks/{made.id}", "ETag": etag(made.version)}
            return answer(201, work_view(made), headers)

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


@get(
    "/tasks/{task_id:str}",
    operation_id="showTask",
    summary="Show a task",
    tags=["tasks"],
    opt={"headers": ("ETag",), "permission": "scteams.getTaskDetailsById", "problems": (400,)},
)
async def show(hub: Hub, property_id: PropertyScope, task_id: TaskPath) -> Response[doc.WorkOrderView]:
    """One task as it is now."""
    return answered(await work_orders.read_work(hub.platform, property_id, TaskId(task_id), TASK))


@delete(
    "/tasks/{task_id:str}",
    operation_id="deleteTask",
    summary="Delete a task",
    tags=["tasks"],
    opt={"permission": "scteams.removeTaskgroupFromShift", "problems": REFUSED},
)
async def remove(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, task_id: TaskPath, if_match: IfMatch = None
) -> None:
    """Only what nobody has begun. Its timeline stays."""
    found = TaskId(task_id)
    said = await said_of(hub, property_id, found, "TASK", if_match)
    await tasks.remove_task(hub.platform, property_id, found, actor=caller(request).actor, said=said)


@post(
    "/tasks/{task_id:str}/start",
    operation_id="startTask",
    summary="Start a task",
    tags=["tasks"],
    status_code=200,
    opt={"permission": "scteams.taskStart", **ACT},
)
async def start(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, task_id: TaskPath, if_match: IfMatch = None
) -> Response[doc.WorkOrderView]:
    """Begin, or go on after a pause."""
    found = TaskId(task_id)
    said = await said_of(hub, property_id, found, "TASK", if_match)
    done = await work_orders.start_work(hub.platform, property_id, found, actor=caller(request).actor, said=said)
    return answered(done)


@post(
    "/tasks/{task_id:str}/pause",
    operation_id="pauseTask",
    summary="Pause a task",
    tags=["tasks"],
    status_code=200,
    opt={"permission": "scteams.pauseTaskGroup", **ACT},
)
async def pause(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, task_id: TaskPath, if_match: IfMatch = None
) -> Response[doc.WorkOrderView]:
    """Interrupt work; a start goes on."""
    found = TaskId(task_id)
    said = await said_of(hub, property_id, found, "TASK", if_match)
    done = await work_orders.pause_work(hub.platform, property_id, found, actor=caller(request).actor, said=said)
    return answered(done)


@post(
    "/tasks/{task_id:str}/complete",
    operation_id="completeTask",
    summary="Complete a task",
    tags=["tasks"],
    status_code=200,
    opt={"takes": doc.Completion, "permission": "scteams.taskEnd", **ACT},
)
async def complete(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, task_id: TaskPath, if_match: IfMatch = None
) -> Response[doc.WorkOrderView]:
    """One that was begun."""
    asked = parse_as(doc.Completion, await read_body(request))
    found = TaskId(task_id)
    done = await work_orders.complete_work(
        hub.platform,
        property_id,
        found,
        actor=caller(request).actor,
        said=await said_of(hub, property_id, found, "TASK", if_match),
        tasks=None if asked.tasks is None else items_of(asked.tasks),
    )
    return answered(done)


@put(
    "/tasks/{task_id:str}/attachments",
    operation_id="setTaskAttachments",
    summary="Set the attachments of a task",
    tags=["tasks"],
    opt={"takes": doc.AttachmentsSet, "permission": "scteams.updateAttachments", **ACT},
)
async def attach(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, task_id: TaskPath, if_match: IfMatch = None
) -> Response[doc.WorkOrderView]:
    """All that there are to be, as names or URIs; closed tasks take them, too."""
    asked = parse_as(doc.AttachmentsSet, await read_body(request))
    found = TaskId(task_id)
    said = await said_of(hub, property_id, found, "TASK", if_match)
    done = await work_orders.update_attachments(
        hub.platform, property_id, found, asked.attachments, actor=caller(request).actor, said=said
    )
    return answered(done)


@get(
    "/tasks/{task_id:str}/timeline",
    operation_id="showTaskTimeline",
    summary="Show what happened to a task",
    tags=["tasks"],
    opt={"permission": "scteams.getIncidentTimeline", "problems": (400,)},
)
async def show_timeline(hub: Hub, property_id: PropertyScope, task_id: TaskPath) -> doc.Timeline:
    """Every act, by whom and when; also of a task that was deleted."""
    return timeline_view(await work_orders.timeline(hub.platform, property_id, TaskId(task_id), TASK))


handlers = [list_, create, start_ad_hoc, show, remove, start, pause, complete, attach, show_timeline]
