"""`/hub/v1/incidents`: what is wrong somewhere, who has it, and what becomes of it."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, delete, get, patch, post, put
from litestar.params import PathParameter, QueryParameter

from matrixhub.api.auth import PropertyScope, caller, require_also
from matrixhub.api.bodies import MERGE_PATCH_TYPES, ApiRequest, parse_as, read_body
from matrixhub.api.etags import IfMatch, etag
from matrixhub.api.idempotency import IdempotencyKey, Make, answer, make_once
from matrixhub.api.paging import LIMIT, CursorQuery, LimitQuery
from matrixhub.api.rest import work_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.parameters import SinceQuery, UntilQuery, in_utc
from matrixhub.api.rest.work_orders import (
    ACT,
    REFUSED,
    BuildingQuery,
    SeatQuery,
    ZoneQuery,
    answered,
    platform_in,
    said_of,
    work_page,
)
from matrixhub.api.rest.work_views import (
    assignee_of,
    comment_view,
    escalations_view,
    items_of,
    timeline_view,
    work_view,
)
from matrixhub.model.ids import BuildingId, SeatId, TaskId, ZoneId
from matrixhub.model.work_order import IncidentDraft, Status
from matrixhub.modules.workforce import comments, escalation, incidents, work_orders
from matrixhub.modules.workforce.incidents import IncidentChange
from matrixhub.modules.workforce.work_orders import Said
from matrixhub.store import Database
from matrixhub.store.idempotency import Answer
from matrixhub.store.work_orders import Wanted

IncidentPath = Annotated[str, PathParameter(pattern=r"^[\w-]{1,64}$", description="Id of the incident.")]
CommentPath = Annotated[str, PathParameter(pattern=r"^[\w-]{1,64}$", description="Id of the comment.")]
StatusQuery = Annotated[Status | None, QueryParameter(description="Only those in this state.")]

INCIDENT = Said(type="INCIDENT")


@get(
    "/incidents",
    operation_id="listIncidents",
    summary="List incidents",
    tags=["incidents"],
    opt={"permission": "scteams.getTasksForIDPaginated", "problems": (400, 404)},
)
async def list_(
    hub: Hub,
    property_id: PropertyScope,
    building: BuildingQuery = None,
    zone: ZoneQuery = None,
    seat: SeatQuery = None,
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
        type="INCIDENT",
        statuses=(status,) if status else None,
        since=in_utc(since),
        until=in_utc(until),
    )
    return await work_page(hub, property_id, wanted, "INCIDENT", cursor=cursor, limit=limit)


@post(
    "/incidents",
    operation_id="createIncident",
    summary="Report an incident",
    tags=["incidents"],
    status_code=201,
    opt={
        "takes": doc.NewIncident,
        "answers": {201: doc.WorkOrderView},
        "headers": ("ETag", "Location"),
        "permission": "scteams.createIncidentWithoutAssignee",
    },
)
async def create(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """It is open, its assignee's at once, or with `auto_assigned` whose turn it is. Subscribers to events are told."""
    body = await read_body(request)
    asked, actor = parse_as(doc.NewIncident, body), caller(request).actor
    if asked.assignee is not None:
        await require_also(request, "scteams.createIncident")
    draft = IncidentDraft(
        zone_id=ZoneId(asked.zone),
        name=asked.name,
        raised_by=asked.raised_by,
        tasks=items_of(asked.tasks),
        priority=asked.priority,
        starts_at=in_utc(asked.starts_at),
        ends_at=in_utc(asked.ends_at),
        event_source=asked.event_source,
        subject=asked.subject,
        description=asked.description,
        attachments=tuple(asked.attachments),
        auto_assigned=asked.auto_assigned,
        assignee=assignee_of(asked.assignee) if asked.assignee else None,
    )

    async def prepare() -> Make:
        async def make(database: Database) -> Answer:
            made = await incidents.create_incident(
                platform_in(hub, database), property_id, BuildingId(asked.building), draft, actor=actor
            )
            headers = {"Location": f"/hub/v1/incidents/{made.id}", "ETag": etag(made.version)}
            return answer(201, work_view(made), headers)

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


@get(
    "/incidents/{incident_id:str}",
    operation_id="showIncident",
    summary="Show an incident",
    tags=["incidents"],
    opt={"headers": ("ETag",), "permission": "scteams.getUnassignedIncidentByID", "problems": (400,)},
)
async def show(hub: Hub, property_id: PropertyScope, incident_id: IncidentPath) -> Response[doc.WorkOrderView]:
    """One incident as it is now."""
    return answered(await work_orders.read_work(hub.platform, property_id, TaskId(incident_id), INCIDENT))


@patch(
    "/incidents/{incident_id:str}",
    operation_id="changeIncident",
    summary="Change an incident",
    tags=["incidents"],
    opt={
        "takes": doc.ChangedIncident,
        "types": MERGE_PATCH_TYPES,
        "permission": "scteams.adminUpdateIncidentBulk",
        **ACT,
    },
)
async def change(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, incident_id: IncidentPath, if_match: IfMatch = None
) -> Response[doc.WorkOrderView]:
    """Its name, description or priority, while it is not closed; start and end stay."""
    asked = parse_as(doc.ChangedIncident, await read_body(request, MERGE_PATCH_TYPES))
    found = TaskId(incident_id)
    done = await incidents.update_incident(
        hub.platform,
        property_id,
        found,
        IncidentChange(name=asked.name, description=asked.description, priority=asked.priority),
        actor=caller(request).actor,
        said=await said_of(hub, property_id, found, "INCIDENT", if_match),
    )
    return answered(done)


@delete(
    "/incidents/{incident_id:str}",
    operation_id="deleteIncident",
    summary="Delete an incident",
    tags=["incidents"],
    opt={"permission": "scteams.adminDeleteIncident", "problems": REFUSED},
)
async def remove(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, incident_id: IncidentPath, if_match: IfMatch = None
) -> None:
    """Only what nobody has begun, where the settings of the building allow it. Its timeline stays."""
    found = TaskId(incident_id)
    said = await said_of(hub, property_id, found, "INCIDENT", if_match)
    await incidents.delete_incident(hub.platform, property_id, found, actor=caller(request).actor, said=said)


@post(
    "/incidents/{incident_id:str}/assign",
    operation_id="assignIncident",
    summary="Assign an incident",
    tags=["incidents"],
    status_code=200,
    opt={"takes": doc.Assignment, "permission": "scteams.assignIncident", **ACT},
)
async def assign(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, incident_id: IncidentPath, if_match: IfMatch = None
) -> Response[doc.WorkOrderView]:
    """Give an open incident to a shift, or to a seat itself."""
    asked = parse_as(doc.Assignment, await read_body(request))
    found = TaskId(incident_id)
    said = await said_of(hub, property_id, found, "INCIDENT", if_match)
    done = await incidents.assign_incident(
        hub.platform, property_id, found, assignee_of(asked), actor=caller(request).actor, said=said
    )
    return answered(done)


@post(
    "/incidents/{incident_id:str}/start",
    operation_id="startIncident",
    summary="Start an incident",
    tags=["incidents"],
    status_code=200,
    opt={"takes": doc.Start, "permission": "scteams.startUnassignedIncident", **ACT},
)
async def start(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, incident_id: IncidentPath, if_match: IfMatch = None
) -> Response[doc.WorkOrderView]:
    """Begin, or go on after a pause. With a seat, that seat takes an open incident and begins it."""
    asked = parse_as(doc.Start, await read_body(request))
    if asked.seat is None:
        await require_also(request, "scteams.taskStart")
    found, actor = TaskId(incident_id), caller(request).actor
    said = await said_of(hub, property_id, found, "INCIDENT", if_match)
    if asked.seat is None:
        return answered(await work_orders.start_work(hub.platform, property_id, found, actor=actor, said=said))
    done = await incidents.start_open_incident(
        hub.platform, property_id, found, SeatId(asked.seat), actor=actor, said=said
    )
    return answered(done)


@post(
    "/incidents/{incident_id:str}/pause",
    operation_id="pauseIncident",
    summary="Pause an incident",
    tags=["incidents"],
    status_code=200,
    opt={"permission": "scteams.pauseTaskGroup", **ACT},
)
async def pause(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, incident_id: IncidentPath, if_match: IfMatch = None
) -> Response[doc.WorkOrderView]:
    """Interrupt work; a start goes on."""
    found = TaskId(incident_id)
    said = await said_of(hub, property_id, found, "INCIDENT", if_match)
    done = await work_orders.pause_work(hub.platform, property_id, found, actor=caller(request).actor, said=said)
    return answered(done)


@post(
    "/incidents/{incident_id:str}/complete",
    operation_id="completeIncident",
    summary="Complete an incident",
    tags=["incidents"],
    status_code=200,
    opt={"takes": doc.Completion, "permission": "scteams.endUnassignedIncident", **ACT},
)
async def complete(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, incident_id: IncidentPath, if_match: IfMatch = None
) -> Response[doc.WorkOrderView]:
    """In any state that is not closed, also an open one."""
    asked = parse_as(doc.Completion, await read_body(request))
    found = TaskId(incident_id)
    done = await work_orders.complete_work(
        hub.platform,
        property_id,
        found,
        actor=caller(request).actor,
        said=await said_of(hub, property_id, found, "INCIDENT", if_match),
        tasks=None if asked.tasks is None else items_of(asked.tasks),
    )
    return answered(done)


@post(
    "/incidents/{incident_id:str}/reassign",
    operation_id="reassignIncident",
    summary="Reassign an incident",
    tags=["incidents"],
    status_code=200,
    opt={"takes": doc.Reassignment, "permission": "scteams.adminReassignIncident", **ACT},
)
async def reassign(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, incident_id: IncidentPath, if_match: IfMatch = None
) -> Response[doc.WorkOrderView]:
    """Give an assigned or closed incident to somebody else, or to nobody: then it is open again."""
    asked = parse_as(doc.Reassignment, await read_body(request))
    found = TaskId(incident_id)
    done = await incidents.reassign_incident(
        hub.platform,
        property_id,
        found,
        assignee_of(asked.assignee) if asked.assignee else None,
        starts_at=in_utc(asked.starts_at),
        ends_at=in_utc(asked.ends_at),
        actor=caller(request).actor,
        said=await said_of(hub, property_id, found, "INCIDENT", if_match),
    )
    return answered(done)


@post(
    "/incidents/{incident_id:str}/move",
    operation_id="moveIncident",
    summary="Move an incident",
    tags=["incidents"],
    status_code=200,
    opt={"takes": doc.Move, "permission": "scteams.adminUpdateIncidentZone", **ACT},
)
async def move(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, incident_id: IncidentPath, if_match: IfMatch = None
) -> Response[doc.WorkOrderView]:
    """Put it into another zone of its building."""
    asked = parse_as(doc.Move, await read_body(request))
    found = TaskId(incident_id)
    said = await said_of(hub, property_id, found, "INCIDENT", if_match)
    done = await incidents.move_incident(
        hub.platform, property_id, found, ZoneId(asked.zone), actor=caller(request).actor, said=said
    )
    return answered(done)


@put(
    "/incidents/{incident_id:str}/attachments",
    operation_id="setIncidentAttachments",
    summary="Set the attachments of an incident",
    tags=["incidents"],
    opt={"takes": doc.AttachmentsSet, "permission": "scteams.updateUnassignedIncidentAttachments", **ACT},
)
async def attach(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, incident_id: IncidentPath, if_match: IfMatch = None
) -> Response[doc.WorkOrderView]:
    """All that there are to be, as names or URIs; closed incidents take them, too."""
    asked = parse_as(doc.AttachmentsSet, await read_body(request))
    found = TaskId(incident_id)
    said = await said_of(hub, property_id, found, "INCIDENT", if_match)
    done = await work_orders.update_attachments(
        hub.platform, property_id, found, asked.attachments, actor=caller(request).actor, said=said
    )
    return answered(done)


@get(
    "/incidents/{incident_id:str}/comments",
    operation_id="listIncidentComments",
    summary="List the comments on an incident",
    tags=["incidents"],
    opt={"permission": "scteams.listIncidentComments", "problems": (400,)},
)
async def list_comments(hub: Hub, property_id: PropertyScope, incident_id: IncidentPath) -> doc.CommentList:
    """All of them, oldest first."""
    found = await comments.list_comments(hub.platform, property_id, TaskId(incident_id), INCIDENT)
    return doc.CommentList(items=[comment_view(comment) for comment in found])


@post(
    "/incidents/{incident_id:str}/comments",
    operation_id="addIncidentComment",
    summary="Comment on an incident",
    tags=["incidents"],
    status_code=201,
    opt={
        "takes": doc.CommentText,
        "answers": {201: doc.CommentView},
        "headers": ("Location",),
        "permission": "scteams.updateIncidentComment",
    },
)
async def add_comment(
    hub: Hub,
    property_id: PropertyScope,
    request: ApiRequest,
    incident_id: IncidentPath,
    idempotency_key: IdempotencyKey = None,
) -> Response[bytes]:
    """At most 200 are kept of an incident."""
    body = await read_body(request)
    asked, actor = parse_as(doc.CommentText, body), caller(request).actor

    async def prepare() -> Make:
        async def make(database: Database) -> Answer:
            made = await comments.add_comment(
                platform_in(hub, database),
                property_id,
                TaskId(incident_id),
                asked.comment,
                asked.user_name,
                actor=actor,
                said=INCIDENT,
            )
            where = f"/hub/v1/incidents/{incident_id}/comments/{made.id}"
            return answer(201, comment_view(made), {"Location": where})

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


@put(
    "/incidents/{incident_id:str}/comments/{comment_id:str}",
    operation_id="changeIncidentComment",
    summary="Write a comment anew",
    tags=["incidents"],
    opt={"takes": doc.CommentText, "permission": "scteams.updateIncidentComment", "problems": REFUSED},
)
async def change_comment(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, incident_id: IncidentPath, comment_id: CommentPath
) -> doc.CommentView:
    """What is said, and by whom."""
    asked = parse_as(doc.CommentText, await read_body(request))
    changed = await comments.update_comment(
        hub.platform,
        property_id,
        TaskId(incident_id),
        comment_id,
        asked.comment,
        asked.user_name,
        actor=caller(request).actor,
        said=INCIDENT,
    )
    return comment_view(changed)


@delete(
    "/incidents/{incident_id:str}/comments/{comment_id:str}",
    operation_id="deleteIncidentComment",
    summary="Delete a comment",
    tags=["incidents"],
    opt={"permission": "scteams.adminDeleteIncidentComment", "problems": REFUSED},
)
async def remove_comment(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, incident_id: IncidentPath, comment_id: CommentPath
) -> None:
    """That there was one stays in the timeline."""
    await comments.delete_comment(
        hub.platform, property_id, TaskId(incident_id), comment_id, actor=caller(request).actor, said=INCIDENT
    )


@get(
    "/incidents/{incident_id:str}/timeline",
    operation_id="showIncidentTimeline",
    summary="Show what happened to an incident",
    tags=["incidents"],
    opt={"permission": "scteams.getIncidentTimeline", "problems": (400,)},
)
async def show_timeline(hub: Hub, property_id: PropertyScope, incident_id: IncidentPath) -> doc.Timeline:
    """Every act, by whom and when; also of an incident that was deleted."""
    return timeline_view(await work_orders.timeline(hub.platform, property_id, TaskId(incident_id), INCIDENT))


@get(
    "/incidents/{incident_id:str}/escalations",
    operation_id="listIncidentEscalations",
    summary="List the escalations of an incident",
    tags=["incidents"],
    opt={"permission": "scteams.getIncidentEscalations", "problems": (400,)},
)
async def list_escalations(hub: Hub, property_id: PropertyScope, incident_id: IncidentPath) -> doc.EscalationList:
    """All of them, by time and by hand."""
    return escalations_view(await escalation.escalations(hub.platform, property_id, TaskId(incident_id), INCIDENT))


@post(
    "/incidents/{incident_id:str}/escalations",
    operation_id="escalateIncident",
    summary="Escalate an incident",
    tags=["incidents"],
    status_code=200,
    opt={"takes": doc.Escalation, "permission": "scteams.escalateIncidentStatusForType", **ACT},
)
async def escalate(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, incident_id: IncidentPath, if_match: IfMatch = None
) -> Response[doc.WorkOrderView]:
    """Raise it by one level, at most to the third."""
    asked = parse_as(doc.Escalation, await read_body(request))
    found = TaskId(incident_id)
    said = await said_of(hub, property_id, found, "INCIDENT", if_match)
    done = await escalation.escalate_incident(
        hub.platform, property_id, found, asked.type, actor=caller(request).actor, said=said
    )
    return answered(done)


handlers = [
    list_,
    create,
    show,
    change,
    remove,
    assign,
    start,
    pause,
    complete,
    reassign,
    move,
    attach,
    list_comments,
    add_comment,
    change_comment,
    remove_comment,
    show_timeline,
    list_escalations,
    escalate,
]
