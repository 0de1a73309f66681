"""Incidents, tasks, settings, policies and the catalogue as documents, and as what is read from documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from matrixhub.api.rest import work_documents as doc
from matrixhub.model.devices import Json
from matrixhub.model.escalation import ACTION, SETTINGS_KEYS, EscalationPolicy, level_name
from matrixhub.model.ids import SeatId, ShiftId
from matrixhub.model.task_catalogue import CustomTask, TaskGroup
from matrixhub.model.work_order import Assignee, Comment, HistoryEntry, TaskItem, WorkOrder
from matrixhub.model.workforce_settings import SETTINGS, WorkforceSettings


def work_view(order: WorkOrder) -> doc.WorkOrderView:
    """An incident or a task."""
    assignee = order.assignee
    return doc.WorkOrderView(
        id=order.id,
        property=order.property_id,
        building=order.building_id,
        zone=order.zone_id,
        zone_name=order.zone_name,
        zone_category=order.zone_category,
        type=order.type,
        status=order.status,
        name=order.name,
        description=order.description,
        priority=order.priority,
        raised_by=order.raised_by,
        event_source=order.event_source,
        subject=order.subject,
        source_slots=list(order.source_slots),
        starts_at=order.starts_at,
        ends_at=order.ends_at,
        started_at=order.started_at,
        closed_at=order.closed_at,
        delayed=order.delayed,
        auto_assigned=order.auto_assigned,
        assignee=doc.AssigneeView(seat=assignee.seat_id, shift=_own_shift(assignee)) if assignee else None,
        reassigned=order.reassigned,
        escalation_type=order.escalation_type,
        escalation_level=order.escalation_level,
        policy=order.policy_id or None,
        policy_version=order.policy_version,
        tasks=[
            doc.TaskItemView(name=task.name, done=task.done, comments=task.comments, attachments=list(task.attachments))
            for task in order.tasks
        ],
        attachments=list(order.attachments),
        created_by=order.created_by,
        created_at=order.created_at,
        updated_by=order.updated_by,
        updated_at=order.updated_at,
        version=order.version,
    )


def _own_shift(assignee: Assignee) -> str | None:
    return None if str(assignee.shift_id) == str(assignee.seat_id) else assignee.shift_id


def assignee_of(asked: doc.Assignment) -> Assignee:
    """Who is meant; without a shift the seat itself."""
    return Assignee(seat_id=SeatId(asked.seat), shift_id=ShiftId(asked.shift or asked.seat))


def items_of(asked: Sequence[doc.TaskItem]) -> tuple[TaskItem, ...]:
    """What is to do."""
    return tuple(
        TaskItem(name=one.name, done=one.done, comments=one.comments, attachments=tuple(one.attachments))
        for one in asked
    )


def comment_view(comment: Comment) -> doc.CommentView:
    """A comment."""
    return doc.CommentView(
        id=comment.id,
        comment=comment.comment,
        user_name=comment.user_name,
        created_by=comment.created_by,
        created_at=comment.created_at,
        updated_at=comment.updated_at,
    )


def timeline_view(entries: Sequence[HistoryEntry]) -> doc.Timeline:
    """Every act."""
    shown = [
        {"at": one.at, "by": one.actor, "act": one.act, "status": one.status, "detail": dict(one.detail)}
        for one in entries
    ]
    return msgspec.convert({"items": shown}, doc.Timeline)


def escalations_view(entries: Sequence[HistoryEntry]) -> doc.EscalationList:
    """Every escalation."""
    shown = [
        {
            "at": one.at,
            "by": one.actor,
            "type": one.detail["type"],
            "level": one.detail["level"],
            "policy": one.detail["policy"] or None,
            "by_hand": one.detail["by_hand"],
        }
        for one in entries
    ]
    return msgspec.convert({"items": shown}, doc.EscalationList)


def settings_view(building_id: str, settings: WorkforceSettings) -> doc.SettingsView:
    """The settings of a building."""
    return doc.SettingsView(
        building=building_id,
        settings={
            key: doc.SettingView(
                group=kind.group,
                value=settings.own.get(key, kind.default),
                default=kind.default,
                description=kind.description,
                unit=kind.unit,
            )
            for key, kind in SETTINGS.items()
        },
    )


def policy_view(policy: EscalationPolicy) -> doc.PolicyView:
    """A policy."""
    return doc.PolicyView(
        id=policy.id,
        building=policy.building_id,
        name=policy.name,
        description=policy.description,
        incident_types=list(policy.incident_types),
        targets={
            code: doc.PolicyTarget(start_threshold_s=target.start_threshold_s, due_time_s=target.due_time_s)
            for code, target in policy.targets.items()
        },
        levels={
            kind: [
                doc.PolicyLevel(
                    level=step.level,
                    wait_s=step.wait_s,
                    recipients=[
                        doc.PolicyRecipient(
                            entity=one.entity,
                            medium=one.medium,
                            details=dict(one.details),
                            incident_types=list(one.incident_types),
                        )
                        for one in step.recipients
                    ],
                )
                for step in steps
            ]
            for kind, steps in policy.steps.items()
        },
        version=policy.version,
    )


def policy_document(asked: doc.NewPolicy | doc.ChangedPolicy) -> dict[str, Json]:
    """The record of a policy, as the acts on policies take it; what is null is left out."""
    targets: dict[str, Json] = {
        code: {"StartThreshold": target.start_threshold_s, "DueTime": target.due_time_s}
        for code, target in asked.targets.items()
    }
    document: dict[str, Any] = {
        "Name": asked.name,
        "Description": asked.description,
        "IncidentTypes": asked.incident_types,
        "TargetDurations": targets,
        **{SETTINGS_KEYS[kind]: [_level_document(level) for level in levels] for kind, levels in asked.levels.items()},
    }
    return {name: value for name, value in document.items() if value is not None}


def _level_document(level: doc.PolicyLevel) -> Mapping[str, Json]:
    return {
        "Level": level_name(level.level),
        "Action": ACTION,
        "TimeAfter": level.wait_s,
        "Recipients": [
            {
                "Entity": one.entity,
                "EntityMedium": one.medium,
                "MediumDetails": one.details,
                "NotifyForIncidents": list(one.incident_types),
            }
            for one in level.recipients
        ],
    }


def custom_task_view(task: CustomTask) -> doc.CustomTaskView:
    """A custom task."""
    return doc.CustomTaskView(
        id=task.id,
        name=task.name,
        asset=task.asset,
        category=task.category,
        measure=task.measure,
        measure_name=task.measure_name,
        skills=list(task.skills),
        minutes=task.minutes,
    )


def task_group_view(group: TaskGroup) -> doc.TaskGroupView:
    """A task group."""
    return doc.TaskGroupView(
        id=group.id, name=group.name, tasks=list(group.tasks), zone_categories=list(group.zone_categories)
    )
