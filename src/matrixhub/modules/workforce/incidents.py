"""Incidents: reported, assigned, reassigned, moved, changed, deleted. What both kinds share is in `work_orders.py`.

Source: docs/contract/incidents.md §2
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from matrixhub.model.errors import LimitViolated, MissingParameters, WrongParameters, WrongState
from matrixhub.model.escalation import PRIORITY_CODES, EscalationPolicy, PriorityCode, choose_policy
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, TaskId, ZoneId
from matrixhub.model.time import check_year
from matrixhub.model.work_order import (
    TIMEOUT_SETTINGS,
    Assignee,
    IncidentDraft,
    Status,
    WorkOrder,
    assigned,
    check_times,
    escalation_begin,
    outcome,
    reassigned,
    started,
    step,
    task_id,
)
from matrixhub.model.workforce_settings import WorkforceSettings
from matrixhub.modules.work import Platform, Work
from matrixhub.modules.workforce.assignment import check_assignees, find_asked, find_assignees, to_seat
from matrixhub.modules.workforce.escalation import notices_of, notices_to
from matrixhub.modules.workforce.work_orders import (
    NAME_MAX,
    NOTHING,
    TEXT_MAX,
    Said,
    check_attachments,
    check_tasks,
    events_of,
    lines,
    locked,
    note,
    plan,
    settle,
)
from matrixhub.store import work_orders as store
from matrixhub.store.escalation import add_notices, current_policies
from matrixhub.store.workforce_settings import read_settings

BATCH_MAX = 1_000
"""How many incidents one call creates or changes."""

REASSIGNMENT: Mapping[Status, tuple[str, str | None]] = {
    "PUBLISHED": ("ALLOW_INCIDENT_REASSIGNMENT", None),
    "COMPLETED": ("ALLOW_REASSIGNMENT_RESOLVED", "REASSIGNMENT_RESOLVED_MAX"),
    "INCOMPLETE": ("ALLOW_REASSIGNMENT_UNRESOLVED", "REASSIGNMENT_UNRESOLVED_MAX"),
}
"""By state: the setting that allows a reassignment, and the one that says for how long after it was closed."""

DELETION: Mapping[Status, str] = {
    "NOT_ASSIGNED": "ALLOW_DELETION_OPEN_INCIDENTS",
    "PUBLISHED": "ALLOW_DELETION_PUBLISHED_INCIDENTS",
}
"""By state: the setting that allows a deletion."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IncidentChange:
    """What is to be different; None stays as it is."""

    name: str | None = None
    description: str | None = None
    priority: PriorityCode | None = None
    zone_id: ZoneId | None = None


async def create_incidents(
    platform: Platform,
    property_id: PropertyId,
    building_id: BuildingId,
    drafts: Sequence[IncidentDraft],
    *,
    actor: str,
) -> list[WorkOrder]:
    """Report incidents, all of them or none, in one transaction.

    Raises: NotFound for an unknown building, zone, seat or shift; MissingParameters, WrongParameters, LimitViolated
    for a draft that does not fit; WrongState where somebody who was named cannot have it.
    """
    async with platform.work(property_id, actor) as work:
        return await add_incidents(work, building_id, drafts)


async def create_incident(
    platform: Platform, property_id: PropertyId, building_id: BuildingId, draft: IncidentDraft, *, actor: str
) -> WorkOrder:
    """Report an incident. Raises as `create_incidents`."""
    return (await create_incidents(platform, property_id, building_id, [draft], actor=actor))[0]


async def add_incidents(work: Work, building_id: BuildingId, drafts: Sequence[IncidentDraft]) -> list[WorkOrder]:
    """Report incidents as a part of an act. The number of statements does not grow with the number of incidents.

    An act that reports in several buildings goes through them in the order of their ids: those who find assignees in a
    building wait for each other until the commit.
    Raises as `create_incidents`.
    """
    if not drafts:
        return []
    if len(drafts) > BATCH_MAX:
        raise LimitViolated(f"at most {BATCH_MAX} incidents are created at once")
    for draft in drafts:
        check_draft(draft)
    connection, property_id = work.connection, work.property_id
    zone_ids = {draft.zone_id for draft in drafts}
    around = await store.read_surroundings(connection, property_id, building_id, zone_ids, count=len(drafts))
    assignees = await find_assignees(work, building_id, drafts, around.settings)
    asked = await find_asked(work, building_id, drafts, around.settings)
    made = []
    for draft, assignee, number in zip(drafts, assignees, around.numbers, strict=True):
        policy = choose_policy(around.policies, draft.raised_by)
        order = new_incident(
            work, around.place, around.zones[draft.zone_id], draft, assignee, number, around.settings, policy
        )
        made.append((order, policy))
    orders = [order for order, _ in made]
    await store.insert_work_orders(connection, orders, lines(work, orders, "create"))
    notices = [
        notice
        for order, policy in made
        if not order.assignee
        for notice in notices_of(work, order, policy, "unassigned", 0)
    ]
    notices += [notice for order, seats in zip(orders, asked, strict=True) for notice in notices_to(work, order, seats)]
    await add_notices(connection, notices)
    for order, policy in made:
        plan(work, order, policy)
        work.publish(*events_of(None, order, "create", work.now_s))
    return orders


def new_incident(
    work: Work,
    place: store.Place,
    zone: store.ZoneName,
    draft: IncidentDraft,
    assignee: Assignee | None,
    number: int,
    settings: WorkforceSettings,
    policy: EscalationPolicy | None,
) -> WorkOrder:
    """The incident a draft becomes. Raises: WrongParameters for an end that is not after its start."""
    starts_at = draft.starts_at or work.now
    check_year(starts_at)
    ends_at = draft.ends_at or starts_at + timedelta(seconds=due_s(draft.priority, settings, policy))
    check_times(starts_at, ends_at)
    kind, level, reached = escalation_begin(open_=assignee is None)
    return WorkOrder(
        id=task_id(work.now, number),
        property_id=work.property_id,
        building_id=place.building_id,
        organisation_id=place.organisation_id,
        time_zone=place.time_zone,
        type="INCIDENT",
        status="PUBLISHED" if assignee else "NOT_ASSIGNED",
        name=draft.name,
        description=draft.description or f"{draft.name} in {zone.name}",
        priority=draft.priority,
        raised_by=draft.raised_by,
        event_source=draft.event_source,
        subject=draft.subject,
        source_slots=draft.source_slots,
        zone_id=zone.id,
        zone_name=zone.name,
        zone_category=zone.category,
        starts_at=starts_at,
        ends_at=ends_at,
        timeout_s=settings.number(TIMEOUT_SETTINGS[draft.priority]),
        auto_assigned=draft.auto_assigned,
        opened_at=work.now,
        tasks=draft.tasks,
        created_by=work.actor,
        created_at=work.now,
        updated_by=work.actor,
        updated_at=work.now,
        assignee=assignee,
        assigned_at=work.now if assignee else None,
        announced=assignee is not None,
        policy_id=policy.id if policy else "",
        policy_version=policy.version if policy else 0,
        escalation_type=kind,
        escalation_level=level,
        escalated=reached,
        attachments=draft.attachments,
    )


async def assign_incident(
    platform: Platform,
    property_id: PropertyId,
    task: TaskId,
    assignee: Assignee,
    *,
    actor: str,
    said: Said = NOTHING,
) -> WorkOrder:
    """Give an open incident to a shift, or to a seat itself.

    Raises: NotFound, WrongParameters, WrongState if it is not open, or they cannot have it.
    """
    async with platform.work(property_id, actor) as work:
        order = await locked(work, task, said, kind="INCIDENT")
        after = assigned(order, assignee, work.now)
        await check_assignees(work, order.building_id, [assignee])
        return await settle(work, order, after, "assign")


async def start_open_incident(
    platform: Platform, property_id: PropertyId, task: TaskId, seat_id: SeatId, *, actor: str, said: Said = NOTHING
) -> WorkOrder:
    """Have a seat take an open incident and begin it: an assignment to the seat, and a start.

    Raises: NotFound, WrongParameters, WrongState.
    """
    async with platform.work(property_id, actor) as work:
        order = await locked(work, task, said, kind="INCIDENT")
        given = assigned(order, to_seat(seat_id), work.now)
        await check_assignees(work, order.building_id, [to_seat(seat_id)])
        given = await settle(work, order, given, "assign")
        return await settle(work, given, started(given, work.now), "start")


async def reassign_incident(
    platform: Platform,
    property_id: PropertyId,
    task: TaskId,
    assignee: Assignee | None,
    *,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    actor: str,
    said: Said = NOTHING,
) -> WorkOrder:
    """Give an incident that is assigned or closed to somebody else; to nobody makes it open again.

    Raises: NotFound, WrongParameters, WrongState where the settings of the building do not allow it or it is too long
    ago, LimitViolated where it was reassigned too often.
    """
    async with platform.work(property_id, actor) as work:
        order = await locked(work, task, said, kind="INCIDENT")
        outcome("INCIDENT", order.status, "reassign" if assignee else "reopen")
        settings = await read_settings(work.connection, property_id, order.building_id)
        check_reassignment(order, settings, work.now)
        if assignee:
            await check_assignees(work, order.building_id, [assignee])
        policies = await current_policies(work.connection, property_id, order.building_id)
        policy = choose_policy(policies, order.raised_by)
        after = reassigned(
            replace(order, policy_id=policy.id if policy else "", policy_version=policy.version if policy else 0),
            assignee,
            work.now,
            starts_at=starts_at,
            ends_at=ends_at,
            due_s=due_s(order.priority, settings, policy),
        )
        after = await settle(work, order, after, "reassign" if assignee else "reopen", policy=policy)
        if assignee is None:
            await add_notices(work.connection, notices_of(work, after, policy, "unassigned", 0))
        return after


def check_reassignment(order: WorkOrder, settings: WorkforceSettings, now: datetime) -> None:
    """Refuse a reassignment that the settings do not allow. Raises: WrongState, LimitViolated."""
    allowed, age_max = REASSIGNMENT[order.status]
    if not settings.flag(allowed):
        raise WrongState(f"{allowed} does not allow it")
    if age_max and order.closed_at and now - order.closed_at > timedelta(seconds=settings.number(age_max)):
        raise WrongState(f"{age_max} has passed since it was {order.status}")
    if order.reassigned >= settings.number("MAX_INCIDENT_REASSIGN_COUNT"):
        raise LimitViolated("it was reassigned as often as MAX_INCIDENT_REASSIGN_COUNT allows")


async def move_incident(
    platform: Platform, property_id: PropertyId, task: TaskId, zone_id: ZoneId, *, actor: str, said: Said = NOTHING
) -> WorkOrder:
    """Put an incident that is not closed into another zone of its building. Raises as `update_incidents`."""
    return await update_incident(platform, property_id, task, IncidentChange(zone_id=zone_id), actor=actor, said=said)


async def update_incident(
    platform: Platform,
    property_id: PropertyId,
    task: TaskId,
    change: IncidentChange,
    *,
    actor: str,
    said: Said = NOTHING,
) -> WorkOrder:
    """Change an incident that is not closed. Raises as `update_incidents`."""
    return (await update_incidents(platform, property_id, [task], change, actor=actor, said=said))[0]


async def update_incidents(
    platform: Platform,
    property_id: PropertyId,
    tasks: Sequence[TaskId],
    change: IncidentChange,
    *,
    actor: str,
    said: Said = NOTHING,
) -> list[WorkOrder]:
    """Change incidents that are not closed, all or none. Start and end stay; the time-out follows the priority.

    Raises: NotFound, WrongState, MissingParameters if nothing is to change, WrongParameters, LimitViolated.
    """
    if change == IncidentChange():
        raise MissingParameters("say what is to change")
    if len(tasks) > BATCH_MAX:
        raise LimitViolated(f"at most {BATCH_MAX} incidents are changed at once")
    if change.name is not None:
        _check_text(change.name, "Name", NAME_MAX)
    _check_text(change.description or " ", "Description", TEXT_MAX, empty=True)
    if change.priority is not None and change.priority not in PRIORITY_CODES:
        raise WrongParameters(f"Priority is one of {', '.join(PRIORITY_CODES)}")
    async with platform.work(property_id, actor) as work:
        return [await _change(work, task, change, said) for task in sorted(set(tasks))]


async def delete_incident(
    platform: Platform, property_id: PropertyId, task: TaskId, *, actor: str, said: Said = NOTHING
) -> None:
    """Remove an incident that nobody has begun. Its timeline stays.

    Raises: NotFound, WrongState also where the settings of the building do not allow it.
    """
    async with platform.work(property_id, actor) as work:
        order = await locked(work, task, said, kind="INCIDENT")
        outcome("INCIDENT", order.status, "delete")
        settings = await read_settings(work.connection, property_id, order.building_id)
        if not settings.flag(DELETION[order.status]):
            raise WrongState(f"{DELETION[order.status]} does not allow it")
        await remove(work, [order])


async def remove(work: Work, orders: Sequence[WorkOrder]) -> None:
    """Remove locked work orders with their timers. The table of states was asked before."""
    await note(work, orders, "delete")
    await store.delete_work_orders(work.connection, work.property_id, [order.id for order in orders])
    for order in orders:
        plan(work, replace(order, status="COMPLETED"), None)


def due_s(priority: PriorityCode, settings: WorkforceSettings, policy: EscalationPolicy | None) -> int:
    """How long an incident may take when nobody says: the target of its policy, else the setting of its priority."""
    target = policy.targets.get(priority) if policy else None
    return target.due_time_s if target else settings.number(TIMEOUT_SETTINGS[priority])


def check_draft(draft: IncidentDraft) -> None:
    """Refuse a draft that lacks something or is out of bounds.

    Raises: MissingParameters, WrongParameters, LimitViolated.
    """
    for value, name in ((draft.name, "Name"), (draft.raised_by, "By"), (draft.zone_id, "Zone"), (draft.tasks, "Tasks")):
        if not value:
            raise MissingParameters(f"an incident needs {name}")
    if draft.priority not in PRIORITY_CODES:
        raise WrongParameters(f"Priority is one of {', '.join(PRIORITY_CODES)}")
    _check_text(draft.name, "Name", NAME_MAX)
    _check_text(draft.raised_by, "By", NAME_MAX)
    for text, name in ((draft.subject, "Subject"), (draft.event_source, "EventSource")):
        _check_text(text, name, NAME_MAX, empty=True)
    _check_text(draft.description, "Description", TEXT_MAX, empty=True)
    check_tasks(draft.tasks)
    check_attachments(draft.attachments)


async def _change(work: Work, task: TaskId, change: IncidentChange, said: Said) -> WorkOrder:
    order = await locked(work, task, said, kind="INCIDENT")
    after = step(order, "edit")
    if change.name is not None:
        after = replace(after, name=change.name)
    if change.description is not None:
        after = replace(after, description=change.description)
    if change.priority is not None and change.priority != order.priority:
        settings = await read_settings(work.connection, work.property_id, order.building_id)
        timeout_s = settings.number(TIMEOUT_SETTINGS[change.priority])
        after = replace(after, priority=change.priority, timeout_s=timeout_s)
    if change.zone_id is not None:
        zones = await store.read_zones(work.connection, work.property_id, order.building_id, {change.zone_id})
        zone = zones[change.zone_id]
        after = replace(step(after, "move"), zone_id=zone.id, zone_name=zone.name, zone_category=zone.category)
    if change.description is None:
        after = replace(after, description=_description(order, after))
    changed = {name: str(value) for name, value in asdict(change).items() if value is not None}
    return await settle(work, order, after, "move" if set(changed) == {"zone_id"} else "edit", changed)


def _description(before: WorkOrder, after: WorkOrder) -> str:
    """What events say of a changed incident: the same words of its new name and zone."""
    if before.description == f"{before.name} in {before.zone_name}":
        return f"{after.name} in {after.zone_name}"
    return before.description.replace(before.zone_name, after.zone_name)


def _check_text(text: str, name: str, length_max: int, *, empty: bool = False) -> None:
    if len(text) > length_max or not (empty or text.strip()):
        raise WrongParameters(f"{name} is a text of at most {length_max} characters")
