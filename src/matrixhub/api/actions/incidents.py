"""Operations on incidents: reported, assigned, worked on, asked for, commented, escalated, administered.

Source: docs/contract/incidents.md §1, §2, §4
"""

from __future__ import annotations

from matrixhub.api.actions.operation import Call, Operation, Reply
from matrixhub.api.actions.shape import ANY, BIT, FLAG, SECONDS, TEXT, Shape, list_of, map_of, may, needs, of
from matrixhub.api.actions.work_shapes import (
    DELETED,
    INCIDENT,
    PAGE_KEY,
    RANGE,
    SERVICE,
    TASK_DRAFT,
    TASK_ITEM,
    Fields,
    incident_id,
    maybe,
    named,
    row,
)
from matrixhub.model.devices import Json
from matrixhub.model.errors import MissingParameters, WrongParameters
from matrixhub.model.ids import SeatId, ZoneId
from matrixhub.model.work_order import WorkOrder
from matrixhub.modules.workforce import comments, escalation, incidents, work_orders, work_queries
from matrixhub.modules.workforce.drafts import parse_assigned_incident, parse_assignee, parse_flag, parse_incident
from matrixhub.modules.workforce.incidents import IncidentChange
from matrixhub.modules.workforce.records import (
    availability_record,
    comment_record,
    escalations_record,
    history_record,
    incident_record,
)
from matrixhub.modules.workforce.work_inputs import (
    parse_change,
    parse_escalation_type,
    parse_next_assignee,
    parse_range,
    parse_said,
    parse_task_id,
    parse_wanted,
    parse_zone_ids,
)
from matrixhub.store.work_orders import Wanted

__all__ = ["OPERATIONS", "SERVICE"]

_DRAFT = (
    may("By", note="who or what raised it"),
    may("Priority", note="H, M, N (without one) or L"),
    may("Start", SECONDS, "without one, now"),
    may("End", SECONDS, "without one, after the due time of the priority"),
    may("ZoneName"),
    may("ZoneCatId"),
    may("EventSource"),
    may("Subject"),
)
_INCIDENT_DRAFT = of(
    needs("Name"),
    needs("Zone", also=("zoneId", "ZoneId")),
    needs("By", note="who or what raised it"),
    needs("Tasks", list_of(TASK_DRAFT)),
    *_DRAFT[1:],
    may("AutoAssigned", Shape("any", 'true, 1 or "true": let the hub assign it')),
)
_ASSIGNED_DRAFT = of(
    named("SeatId"),
    named("ShiftId", note="the seat once more: to the seat itself"),
    needs("Zone", also=("zoneId", "ZoneId")),
    needs("Tasks", list_of(TASK_DRAFT)),
    may("Name", note="without one, that of the first task"),
    may("PropID", also=("PropId",)),
    *_DRAFT,
)


async def _create_open(call: Call, asked: Fields) -> Reply:
    draft = parse_incident(asked["Incident"])
    made = await incidents.create_incident(call.platform, call.property_id, call.building_id, draft, actor=call.actor)
    return _record("Incident created", made)


async def _create(call: Call, asked: Fields) -> Reply:
    fields = asked["Taskgroup"]
    if fields.get("PropID", call.property_id) != call.property_id:
        raise WrongParameters("Taskgroup.PropID is another property")
    draft = parse_assigned_incident(fields, by=call.actor)
    made = await incidents.create_incident(call.platform, call.property_id, call.building_id, draft, actor=call.actor)
    return _record(f"Incident created for seat {fields['SeatId']}", made)


async def _assign(call: Call, asked: Fields) -> Reply:
    assignee = parse_assignee(asked)
    said = parse_said({"zoneId": asked["zoneId"]}, call.building_id)
    done = await incidents.assign_incident(
        call.platform, call.property_id, parse_task_id(asked), assignee, actor=call.actor, said=said
    )
    return _record(f"Incident assigned to seat {assignee.seat_id}", done)


async def _start(call: Call, asked: Fields) -> Reply:
    said = parse_said({"zoneId": asked["zoneId"]}, call.building_id)
    done = await incidents.start_open_incident(
        call.platform, call.property_id, parse_task_id(asked), SeatId(asked["SeatId"]), actor=call.actor, said=said
    )
    return _record(f"Incident started by seat {asked['SeatId']}", done)


async def _end(call: Call, asked: Fields) -> Reply:
    said = parse_said(asked, call.building_id, "INCIDENT")
    done = await work_orders.complete_work(
        call.platform, call.property_id, parse_task_id(asked), actor=call.actor, said=said
    )
    return _record("Incident ended", done)


async def _read(call: Call, asked: Fields) -> Reply:
    return _record("Incident fetched", await _found(call, asked["Incident"]))


async def _list_of_building(call: Call, asked: Fields) -> Reply:
    return await _listed(call, parse_wanted(asked, call.building_id, "NOT_ASSIGNED", kind="INCIDENT"))


async def _page_of_building(call: Call, asked: Fields) -> Reply:
    return await _page(call, parse_wanted(asked, call.building_id, "NOT_ASSIGNED", kind="INCIDENT"), asked)


async def _list_of_property(call: Call, asked: Fields) -> Reply:
    wanted = parse_wanted(asked, None, "NOT_ASSIGNED", kind="INCIDENT")
    if parse_flag(asked.get("GetPaginated"), "GetPaginated"):
        return await _page(call, wanted, asked)
    return await _listed(call, wanted)


async def _tasks(call: Call, asked: Fields) -> Reply:
    found = await _found(call, asked)
    return Reply(message="Tasks fetched", data=incident_record(found)["Tasks"])


async def _attach(call: Call, asked: Fields) -> Reply:
    said = parse_said(asked, call.building_id, "INCIDENT")
    done = await work_orders.update_attachments(
        call.platform, call.property_id, parse_task_id(asked), asked["Attachments"], actor=call.actor, said=said
    )
    return _record("Attachments updated", done)


async def _escalate_open(call: Call, asked: Fields) -> Reply:
    return await _escalated(call, asked, "unassigned")


async def _escalate(call: Call, asked: Fields) -> Reply:
    return await _escalated(call, asked, asked["EscalationType"])


async def _escalated(call: Call, asked: Fields, kind: str) -> Reply:
    done = await escalation.escalate_incident(
        call.platform,
        call.property_id,
        parse_task_id(asked),
        parse_escalation_type(kind),
        actor=call.actor,
        said=parse_said(asked, call.building_id),
    )
    record = incident_record(done)
    return Reply(message=f"Incident escalated to {record['EscalationLevel']}", data=record)


async def _escalations(call: Call, asked: Fields) -> Reply:
    named_ones = {parse_task_id(one): parse_said(one, call.building_id, "INCIDENT") for one in asked["TaskGroups"]}
    found = await escalation.escalations_of(call.platform, call.property_id, named_ones)
    return Reply(
        message="Escalations fetched", data=[escalations_record(task_id, entries) for task_id, entries in found.items()]
    )


async def _timeline(call: Call, asked: Fields) -> Reply:
    said = parse_said(asked, call.building_id, "INCIDENT")
    entries = await work_orders.timeline(call.platform, call.property_id, parse_task_id(asked), said)
    return Reply(message="Timeline fetched", data=[history_record(entry) for entry in entries])


async def _list_comments(call: Call, asked: Fields) -> Reply:
    said = parse_said(asked, call.building_id)
    found = await comments.list_comments(call.platform, call.property_id, parse_task_id(asked), said)
    return Reply(message="Comments fetched", data=[comment_record(comment) for comment in found])


async def _comment(call: Call, asked: Fields) -> Reply:
    given, task_id, said = asked["IncidentComment"], parse_task_id(asked), parse_said(asked, call.building_id)
    if given.get("CommentId"):
        made = await comments.update_comment(
            call.platform,
            call.property_id,
            task_id,
            given["CommentId"],
            given["Comment"],
            given["UserName"],
            actor=call.actor,
            said=said,
        )
    else:
        made = await comments.add_comment(
            call.platform,
            call.property_id,
            task_id,
            given["Comment"],
            given["UserName"],
            actor=call.actor,
            said=said,
        )
    return Reply(message="Comment updated" if given.get("CommentId") else "Comment added", data=comment_record(made))


async def _delete_comment(call: Call, asked: Fields) -> Reply:
    comment_id = asked["IncidentComment"]["CommentId"]
    said = parse_said(asked, call.building_id)
    await comments.delete_comment(
        call.platform, call.property_id, parse_task_id(asked), comment_id, actor=call.actor, said=said
    )
    return Reply(message="Comment deleted", data={"CommentId": comment_id})


async def _delete(call: Call, asked: Fields) -> Reply:
    task_id = parse_task_id(asked)
    said = parse_said(asked, call.building_id)
    await incidents.delete_incident(call.platform, call.property_id, task_id, actor=call.actor, said=said)
    return Reply(message="Incident deleted", data={"TaskId": task_id})


async def _reassign(call: Call, asked: Fields) -> Reply:
    assignee = parse_next_assignee(asked)
    starts_at, ends_at = parse_range(asked)
    done = await incidents.reassign_incident(
        call.platform,
        call.property_id,
        parse_task_id(asked),
        assignee,
        starts_at=starts_at,
        ends_at=ends_at,
        actor=call.actor,
        said=parse_said(asked, call.building_id),
    )
    message = f"Incident reassigned to seat {assignee.seat_id}" if assignee else "Incident is open again"
    return _record(message, done)


async def _move(call: Call, asked: Fields) -> Reply:
    said = parse_said(asked["Incident"], call.building_id)
    done = await incidents.move_incident(
        call.platform,
        call.property_id,
        parse_task_id(asked["Incident"]),
        ZoneId(asked["zoneId"]),
        actor=call.actor,
        said=said,
    )
    return _record(f"Incident moved to {done.zone_name}", done)


async def _update(call: Call, asked: Fields) -> Reply:
    change = parse_change(asked["UpdateIncident"])
    if change == IncidentChange():
        raise MissingParameters("UpdateIncident has nothing of Name, Description, Priority and NewZoneId")
    done = await incidents.update_incident(
        call.platform,
        call.property_id,
        parse_task_id(asked),
        change,
        actor=call.actor,
        said=parse_said(asked, call.building_id),
    )
    return _record("Incident updated", done)


async def _availability(call: Call, asked: Fields) -> Reply:
    return await _available(call, [ZoneId(asked["Incident"]["Zone"])])


async def _availability_v2(call: Call, asked: Fields) -> Reply:
    parse_range(asked)
    return await _available(call, parse_zone_ids(asked["ZoneID"]))


async def _available(call: Call, zone_ids: list[ZoneId]) -> Reply:
    found = await work_queries.on_duty(call.platform, call.property_id, call.building_id, zone_ids)
    return Reply(message="Availability fetched", data=availability_record(found, zone_ids))


async def _found(call: Call, asked: Fields) -> WorkOrder:
    said = parse_said(asked, call.building_id, "INCIDENT")
    return await work_orders.read_work(call.platform, call.property_id, parse_task_id(asked), said)


async def _listed(call: Call, wanted: Wanted) -> Reply:
    found = await work_queries.list_work(call.platform, call.property_id, wanted)
    return Reply(message="Incidents fetched", data=[incident_record(order) for order in found])


async def _page(call: Call, wanted: Wanted, asked: Fields) -> Reply:
    key = asked.get("LastEvaluatedKey", "")
    page = await work_queries.page_work(call.platform, call.property_id, wanted, key=key)
    records: list[Json] = [incident_record(order) for order in page.items]
    return Reply(message="Incidents fetched", data=records, beside={"LastEvaluatedKey": page.last_key})


def _record(message: str, order: WorkOrder) -> Reply:
    return Reply(message=message, data=incident_record(order))


_ID = "{incident}"
_OPEN = {"IncidentId": _ID, "zoneId": "{zone}"}
_COMMENT = of(
    needs("CommentId"), needs("Comment"), needs("UserName"), *(needs(n, SECONDS) for n in ("CreatedOn", "UpdatedOn"))
)
_ENTRY = of(needs("Time", SECONDS), needs("By"), needs("Act"), needs("Status"), needs("Detail", map_of(ANY)))
_ESCALATED = of(
    needs("Time", SECONDS),
    needs("By"),
    needs("Status"),
    needs("EscalationType"),
    needs("EscalationLevel"),
    needs("EscalationPolicy"),
    needs("ByHand", BIT),
)
_FREE = of(
    needs("ShiftID"),
    may("ZoneName", note="null where nothing is under way, as are all behind it"),
    may("SameZone", FLAG),
    may("Status"),
    may("StartTime", SECONDS),
    may("ZoneID"),
)
_AVAILABILITY = map_of(list_of(_FREE), "by seat, what it works on just now, or one entry of nulls")
_WHERE = (maybe("zoneId", note="of an open one"), maybe("SeatId"), maybe("ShiftID", note="of an assigned one"))

OPERATIONS: tuple[Operation, ...] = (
    row(
        "createIncidentWithoutAssignee",
        "Report an incident in a zone; it is open, or assigned at once where AutoAssigned asks for it.",
        _create_open,
        request=of(needs("Incident", _INCIDENT_DRAFT)),
        response=INCIDENT,
        example={
            "Incident": {
                "Name": "Tap drips",
                "Zone": "{zone}",
                "By": "Guard desk",
                "Priority": "L",
                "Tasks": [{"Name": "Close valve"}],
            }
        },
    ),
    row(
        "createIncident",
        "Report an incident that is somebody's at once: a shift's, or a seat's itself where ShiftId is the seat.",
        _create,
        request=of(named("Taskgroup", _ASSIGNED_DRAFT)),
        response=INCIDENT,
        example={
            "Taskgroup": {
                "SeatId": "{seat}",
                "ShiftId": "{seat}",
                "EventSource": "HK",
                "Tasks": [{"Name": "Tap drips"}],
                "Zone": "{zone}",
            }
        },
    ),
    row(
        "assignIncident",
        "Give an open incident to a shift, or to a seat itself where ShiftID is the seat.",
        _assign,
        request=of(named("SeatId"), named("ShiftID"), named("zoneId"), incident_id("IncidentID")),
        response=INCIDENT,
        example={"SeatId": "{seat}", "ShiftID": "{seat}", "zoneId": "{zone}", "IncidentID": _ID},
    ),
    row(
        "startUnassignedIncident",
        "Have a seat take an open incident and begin it.",
        _start,
        request=of(named("SeatId"), incident_id(), named("zoneId")),
        response=INCIDENT,
        example={"SeatId": "{seat}", **_OPEN},
    ),
    row(
        "endUnassignedIncident",
        "End an incident that is open, or was when it was started.",
        _end,
        request=of(incident_id(), named("zoneId")),
        response=INCIDENT,
        example=_OPEN,
    ),
    row(
        "getUnassignedIncidentByID",
        "One incident of a zone, whatever its state is now.",
        _read,
        request=of(needs("Incident", of(incident_id("TaskId"), named("Zone")))),
        response=INCIDENT,
        example={"Incident": {"TaskId": _ID, "Zone": "{zone}"}},
    ),
    row(
        "getUnAssignedIncidentsInTRangeForGivenID",
        "The open incidents of a building that start in a time.",
        _list_of_building,
        request=of(*RANGE),
        response=list_of(INCIDENT),
        example={"StartTime": 1710028800, "EndTime": 1710115200},
    ),
    row(
        "getPaginatedListOfUnAssignedIncidents",
        "The open incidents of a building that start in a time, in pages; LastEvaluatedKey is '' on the last.",
        _page_of_building,
        request=of(RANGE[0], needs("EndTime", SECONDS), PAGE_KEY),
        response=list_of(INCIDENT),
        example={"StartTime": 1710028800, "EndTime": 1710115200},
    ),
    row(
        "getUnassignedIncidentsForProperty",
        "The open incidents of a property that start in a time, as a whole or in pages.",
        _list_of_property,
        request=of(*RANGE, may("GetPaginated", FLAG), PAGE_KEY),
        response=list_of(INCIDENT),
        example={"StartTime": 1710028800, "EndTime": 1710115200, "GetPaginated": True},
        needs_building=False,
    ),
    row(
        "getUnassignedIncidentsForZone",
        "The open incidents of a zone that start in a time.",
        _list_of_building,
        request=of(*RANGE, named("zoneId")),
        response=list_of(INCIDENT),
        example={"StartTime": 1710028800, "EndTime": 1710115200, "zoneId": "{zone}"},
    ),
    row(
        "getTasksForUnassignedIncident",
        "What is to do of an incident.",
        _tasks,
        request=of(incident_id(), named("zoneId")),
        response=list_of(TASK_ITEM),
        example=_OPEN,
    ),
    row(
        "updateUnassignedIncidentAttachments",
        "Set the attachments of an open incident; they are shown with its first task.",
        _attach,
        request=of(incident_id(), named("zoneId"), needs("Attachments", list_of(TEXT), "names or URIs")),
        response=INCIDENT,
        example={**_OPEN, "Attachments": ["tap.jpg"]},
        certainty="name published",
    ),
    row(
        "escalateUnassignedIncident",
        "Raise an open incident by one level.",
        _escalate_open,
        request=of(named("zoneId"), incident_id()),
        response=INCIDENT,
        example=_OPEN,
    ),
    row(
        "escalateIncidentStatusForType",
        "Raise an assigned incident by one level, as startTime, dueTime or unassigned.",
        _escalate,
        request=of(named("ShiftID"), named("SeatId"), incident_id(), needs("EscalationType")),
        response=INCIDENT,
        example={"ShiftID": "{seat}", "SeatId": "{seat}", "IncidentId": _ID, "EscalationType": "startTime"},
    ),
    row(
        "getIncidentEscalations",
        "Every escalation of up to 100 incidents, oldest first.",
        _escalations,
        request=of(needs("TaskGroups", list_of(of(incident_id("TaskId"), maybe("Zone"), maybe("ShiftId"))))),
        response=list_of(of(needs("TaskId"), needs("Escalations", list_of(_ESCALATED)))),
        example={"TaskGroups": [{"TaskId": _ID, "Zone": "{zone}"}]},
    ),
    row(
        "getIncidentTimeline",
        "Every act on an incident, oldest first; also of one that was deleted.",
        _timeline,
        request=of(named("zoneId"), incident_id("IncidentID")),
        response=list_of(_ENTRY),
        example={"zoneId": "{zone}", "IncidentID": _ID},
    ),
    row(
        "listIncidentComments",
        "The comments on an incident or a task, oldest first.",
        _list_comments,
        request=of(incident_id()),
        response=list_of(_COMMENT),
        example={"IncidentId": _ID},
    ),
    row(
        "updateIncidentComment",
        "Write a comment, or with CommentId write it anew.",
        _comment,
        request=of(
            incident_id(),
            *_WHERE,
            needs("IncidentComment", of(may("CommentId"), needs("Comment"), needs("UserName"))),
        ),
        response=_COMMENT,
        example={**_OPEN, "IncidentComment": {"Comment": "Valve is stuck", "UserName": "Ann Lee"}},
    ),
    row(
        "adminDeleteIncidentComment",
        "Remove a comment.",
        _delete_comment,
        request=of(incident_id(), needs("IncidentComment", of(needs("CommentId")))),
        response=of(needs("CommentId")),
        example={"IncidentId": _ID, "IncidentComment": {"CommentId": "{comment}"}},
    ),
    row(
        "adminDeleteIncident",
        "Remove an incident that nobody has begun, where the settings of the building allow it.",
        _delete,
        request=of(incident_id("IncidentID"), *_WHERE),
        response=DELETED,
        example={"IncidentID": _ID, "SeatId": "tbp", "ShiftID": "tbp"},
    ),
    row(
        "adminReassignIncident",
        "Give an assigned or closed incident to somebody else; without NewSeatId and NewShiftId it becomes open.",
        _reassign,
        request=of(
            incident_id("IncidentID"),
            may("StartTime", SECONDS),
            may("EndTime", SECONDS),
            named("ShiftID"),
            named("SeatId"),
            maybe("NewSeatId"),
            maybe("NewShiftId"),
        ),
        response=INCIDENT,
        example={"IncidentID": _ID, "SeatId": "{seat}", "ShiftID": "{seat}"},
    ),
    row(
        "adminUpdateIncidentZone",
        "Put an incident into another zone of its building.",
        _move,
        request=of(
            needs("Incident", of(incident_id("TaskId"), named("Zone"))),
            named("zoneId", note="the other zone"),
            may("ZoneName"),
            may("ZoneCategoryId"),
        ),
        response=INCIDENT,
        example={"Incident": {"TaskId": _ID, "Zone": "{zone}"}, "zoneId": "{zone}"},
    ),
    row(
        "adminUpdateIncidentBulk",
        "Change name, description, priority and zone of an incident with one call.",
        _update,
        request=of(
            incident_id(),
            *_WHERE,
            needs(
                "UpdateIncident",
                of(
                    may("Details", of(may("Name"), may("Description"), may("Priority"))),
                    may("Zones", of(may("NewZoneId"), may("NewZoneName"), may("NewZoneCatId"))),
                ),
            ),
        ),
        response=INCIDENT,
        example={**_OPEN, "UpdateIncident": {"Details": {"Name": "Tap broken", "Priority": "H"}}},
    ),
    row(
        "getAvailabilityForIncident",
        "Who is on duty for the zone of an incident, by seat, with what they work on just now.",
        _availability,
        request=of(
            needs(
                "Incident", of(may("End", SECONDS), may("TimeZone"), needs("Zone", also=("zoneId",)), may("ZoneCatId"))
            )
        ),
        response=_AVAILABILITY,
        example={"Incident": {"End": 1710032709, "TimeZone": "Asia/Singapore", "Zone": "{zone}"}},
    ),
    row(
        "findAvailabilityForIncident-v2",
        "Who is on duty for one of the zones, by seat, with what they work on just now.",
        _availability_v2,
        request=of(
            may("EndTime", SECONDS),
            needs("ZoneID", Shape("any", "list of ids of zones, or one"), also=("ZoneIDs", "zoneId", "ZoneId")),
        ),
        response=_AVAILABILITY,
        example={"EndTime": 1710032709, "ZoneID": ["{zone}"]},
    ),
)
