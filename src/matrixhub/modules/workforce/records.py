"""Work orders as the wire has them: records of the web services, and what events carry of them.

Source: docs/contract/incidents.md §4, docs/contract/event-bus.md §5
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from matrixhub.model.devices import Json
from matrixhub.model.escalation import DEFAULT_POLICY, level_name
from matrixhub.model.ids import TaskId, ZoneId
from matrixhub.model.time import zone
from matrixhub.model.work_order import (
    META_STATUS,
    SPAN_MAX,
    STATUSES_OF,
    WORK_TYPES,
    Comment,
    HistoryEntry,
    Status,
    TaskItem,
    WorkOrder,
    WorkType,
)
from matrixhub.store.work_orders import Candidate

UNASSIGNED = "tbp"
"""What stands for the seat and the shift while there are none (published)."""


def work_order_meta(order: WorkOrder) -> dict[str, Json]:
    """`Meta` of the events of incidents and tasks: 14 keys, and who it is assigned to once it is."""
    done = order.closed_at if order.status == "COMPLETED" else None
    meta: dict[str, Json] = {
        "AEnd": _seconds(done),
        "AStart": _seconds(order.started_at),
        "By": order.raised_by,
        "End": _seconds(order.ends_at),
        "EscalationLevel": level_name(order.escalation_level),
        "Name": order.name,
        "Priority": order.priority,
        "SourceDeviceIdentifier": list(order.source_slots),
        "Start": _seconds(order.starts_at),
        "Status": META_STATUS[order.status],
        "TaskId": order.id,
        "Type": order.type,
        "Zone": order.zone_id,
        "ZoneName": order.zone_name,
    }
    if order.assignee:
        meta.update(SeatId=order.assignee.seat_id, ShiftId=order.assignee.shift_id)
    return meta


def incident_record(order: WorkOrder) -> dict[str, Json]:
    """The record of an incident, with exactly the published keys."""
    seat, shift = (order.assignee.seat_id, order.assignee.shift_id) if order.assignee else (UNASSIGNED, UNASSIGNED)
    place = f"{seat}#{shift}" if order.assignee else order.zone_id
    done = order.closed_at if order.status == "COMPLETED" else None
    return {
        "ID": order.building_id,
        "ATTR": f"attr#{order.building_id}#{place}#{order.id}",
        "AutoAssigned": int(order.auto_assigned),
        "By": order.raised_by,
        "Delayed": int(order.delayed),
        "Start": _seconds(order.starts_at),
        "End": _seconds(order.ends_at),
        "AStart": _seconds(order.started_at),
        "AEnd": _seconds(done),
        "EscalationLevel": level_name(order.escalation_level),
        "EscalationPolicy": order.policy_id or DEFAULT_POLICY,
        "EscalationType": order.escalation_type,
        "EventSource": order.event_source,
        "Expiry": _seconds(order.starts_at + SPAN_MAX),
        "Name": order.name,
        "NS": "TS",
        "Org": order.organisation_id,
        "Priority": order.priority,
        "PropID": order.property_id,
        "SeatId": seat,
        "ShiftId": shift,
        "SRN": (
            f"srn:sctasks:{order.organisation_id}:::{order.property_id}/{order.building_id}:TS:{order.type}/{order.id}"
        ),
        "Status": order.status,
        "Subject": order.subject,
        "taskCount": len(order.tasks),
        "TaskId": order.id,
        "Tasks": _task_records(order),
        "Type": order.type,
        "Zone": order.zone_id,
        "ZoneCatId": order.zone_category,
        "ZoneName": order.zone_name,
    }


def task_record(order: WorkOrder) -> dict[str, Json]:
    """The record of a task: that of an incident, and its start in local time."""
    local = order.starts_at.astimezone(zone(order.time_zone)).strftime("%Y%m%d%H%M%S")
    return {**incident_record(order), "LocalTime": local, "TimeZone": order.time_zone}


def record(order: WorkOrder) -> dict[str, Json]:
    """The record of either."""
    return incident_record(order) if order.type == "INCIDENT" else task_record(order)


def task_item_record(task: TaskItem) -> dict[str, Json]:
    """One thing to do; comments and attachments only where there are any."""
    made: dict[str, Json] = {"Name": task.name, "Done": int(task.done), "T": task.t}
    if task.comments:
        made["Comments"] = task.comments
    if task.attachments:
        made["Attachments"] = list(task.attachments)
    return made


def availability_record(
    found: Sequence[tuple[Candidate, Sequence[WorkOrder]]], zone_ids: Collection[ZoneId]
) -> dict[str, Json]:
    """Who could take an incident, by seat: what each is working on, or one entry of nulls."""
    return {
        one.seat_id: [
            {
                "ShiftID": one.shift_id,
                "ZoneName": order.zone_name,
                "SameZone": order.zone_id in zone_ids,
                "Status": order.status,
                "StartTime": _seconds(order.started_at),
                "ZoneID": order.zone_id,
            }
            for order in orders
        ]
        or [{"ShiftID": one.shift_id, **dict.fromkeys(("ZoneName", "SameZone", "Status", "StartTime", "ZoneID"))}]
        for one, orders in found
    }


def _task_records(order: WorkOrder) -> list[Json]:
    """What is to do; what is attached to the whole is shown with the first, as the record has no other place for it."""
    first, *others = order.tasks
    attachments = tuple(dict.fromkeys((*first.attachments, *order.attachments)))
    return [task_item_record(task) for task in (replace(first, attachments=attachments), *others)]


def metrics_record(counts: Mapping[tuple[WorkType, Status], int]) -> dict[str, Json]:
    """How many work orders there are in each state, by type, and in all. Its keys are ours."""
    record: dict[str, Json] = {"Total": sum(counts.values())}
    for kind in WORK_TYPES:
        record[kind] = {status: counts.get((kind, status), 0) for status in STATUSES_OF[kind]}
    return record


def escalations_record(task_id: TaskId, entries: Sequence[HistoryEntry]) -> dict[str, Json]:
    """The escalations of an incident, oldest first. Its keys are ours, but for those the record of an incident has."""
    return {
        "TaskId": task_id,
        "Escalations": [
            {
                "Time": _seconds(entry.at),
                "By": entry.actor,
                "Status": entry.status,
                "EscalationType": entry.detail["type"],
                "EscalationLevel": entry.detail["level"],
                "EscalationPolicy": entry.detail["policy"] or DEFAULT_POLICY,
                "ByHand": int(entry.detail["by_hand"]),
            }
            for entry in entries
        ],
    }


def comment_record(comment: Comment) -> dict[str, Json]:
    """A comment. Its keys beyond the three of the request are ours."""
    return {
        "CommentId": comment.id,
        "Comment": comment.comment,
        "UserName": comment.user_name,
        "CreatedOn": _seconds(comment.created_at),
        "UpdatedOn": _seconds(comment.updated_at),
    }


def history_record(entry: HistoryEntry) -> dict[str, Json]:
    """An entry of the timeline. All its keys are ours."""
    detail: Mapping[str, Any] = entry.detail
    return {
        "Time": _seconds(entry.at),
        "By": entry.actor,
        "Act": entry.act,
        "Status": entry.status,
        "Detail": dict(detail),
    }


def _seconds(at: datetime | None) -> int:
    return int(at.timestamp()) if at else 0
