"""Acts on incidents and tasks alike, and what every act has in common.

An act locks the work order, asks the table of its states, saves what comes of it, notes it in the timeline, states its
event and sets the timer anew: all in one transaction. Source: docs/contract/incidents.md §2, §3
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from matrixhub.model.errors import LimitViolated, NotFound, VersionMismatch, WrongParameters
from matrixhub.model.escalation import EscalationPolicy
from matrixhub.model.event import Event, platform_event
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, ShiftId, TaskId, ZoneId
from matrixhub.model.work_order import (
    CREATED,
    CREATED_OPEN,
    EVENTS,
    Act,
    HistoryEntry,
    TaskItem,
    WorkOrder,
    WorkType,
    completed,
    started,
    step,
)
from matrixhub.modules.work import Platform, Work
from matrixhub.modules.workforce.deadlines import next_deadline
from matrixhub.modules.workforce.records import work_order_meta
from matrixhub.store import work_orders as store
from matrixhub.store.escalation import policy_version

TIMER = "work_order"
"""The kind of the one timer a work order has."""

TASKS_MAX = 20
"""How many tasks a work order holds (published as the quota of a task group)."""

NAME_MAX = 256
TEXT_MAX = 4_000
ATTACHMENTS_MAX = 20
_ATTACHMENT_LENGTH_MAX = 512

_DESCRIPTIONS: Mapping[str, str] = {
    "INCIDENT_STARTED": "Work on {name} in {zone} has begun",
    "INCIDENT_COMPLETED": "{name} in {zone} is done",
    "INCIDENT_INCOMPLETE": "{name} in {zone} was not done in time",
    "INCIDENT_ESCALATED": "{name} in {zone} was escalated to L{level}",
    "TASK_STARTED": "{name} in {zone} was started",
    "TASK_COMPLETED": "{name} in {zone} was completed",
    "TASK_INCOMPLETE": "{name} in {zone} was not completed in time",
}
"""What an event says to people; an incident that is created or assigned has its own description."""

Detail = Mapping[str, str | int | bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What a request says of the work order it names, and what must be so; None says nothing."""

    type: WorkType | None = None
    building_id: BuildingId | None = None
    zone_id: ZoneId | None = None
    seat_id: SeatId | None = None
    shift_id: ShiftId | None = None
    version: int | None = None


NOTHING = Said()


async def start_work(
    platform: Platform, property_id: PropertyId, task_id: TaskId, *, actor: str, said: Said = NOTHING
) -> WorkOrder:
    """Begin work on a task or an assigned incident, or go on where it was paused.

    Raises: NotFound, WrongState, WrongParameters where `said` is not so.
    """
    async with platform.work(property_id, actor) as work:
        order = await locked(work, task_id, said)
        act: Act = "resume" if order.status == "PAUSED" else "start"
        return await settle(work, order, started(order, work.now), act)


async def pause_work(
    platform: Platform, property_id: PropertyId, task_id: TaskId, *, actor: str, said: Said = NOTHING
) -> WorkOrder:
    """Interrupt work. Raises: NotFound, WrongState, WrongParameters."""
    async with platform.work(property_id, actor) as work:
        order = await locked(work, task_id, said)
        return await settle(work, order, step(order, "pause"), "pause")


async def complete_work(
    platform: Platform,
    property_id: PropertyId,
    task_id: TaskId,
    *,
    actor: str,
    said: Said = NOTHING,
    tasks: Sequence[TaskItem] | None = None,
) -> WorkOrder:
    """End work: on a task that was begun, or on an incident in any state that is not closed, also an open one.

    Without `tasks` all that was to do counts as done. Raises: NotFound, WrongState, WrongParameters, LimitViolated.
    """
    if tasks is not None:
        check_tasks(tasks)
    async with platform.work(property_id, actor) as work:
        order = await locked(work, task_id, said)
        done = completed(order, work.now, None if tasks is None else tuple(tasks))
        return await settle(work, order, done, "complete")


async def update_attachments(
    platform: Platform,
    property_id: PropertyId,
    task_id: TaskId,
    names: Sequence[str],
    *,
    actor: str,
    said: Said = NOTHING,
) -> WorkOrder:
    """Set the list of attachments, names or URIs. Raises: NotFound, WrongParameters, LimitViolated."""
    check_attachments(names)
    async with platform.work(property_id, actor) as work:
        order = await locked(work, task_id, said)
        changed = replace(step(order, "attach"), attachments=tuple(names))
        return await settle(work, order, changed, "attach", {"attachments": len(names)})


async def read_work(platform: Platform, property_id: PropertyId, task_id: TaskId, said: Said = NOTHING) -> WorkOrder:
    """One incident or task. Raises: NotFound, WrongParameters where `said` is not so."""
    async with platform.database.connection() as connection:
        return fitting(await store.read_work_order(connection, property_id, task_id), said)


async def timeline(
    platform: Platform, property_id: PropertyId, task_id: TaskId, said: Said = NOTHING
) -> list[HistoryEntry]:
    """Every act on it, oldest first; also of one that was deleted, of which nothing else is known.

    Raises: NotFound if there never was one, WrongParameters where `said` is not so.
    """
    async with platform.database.connection() as connection:
        entries = await store.read_history(connection, property_id, task_id)
        if not entries or entries[-1].act != "delete":
            fitting(await store.read_work_order(connection, property_id, task_id), said)
        return entries


async def locked(work: Work, task_id: TaskId, said: Said = NOTHING, *, kind: WorkType | None = None) -> WorkOrder:
    """The work order, which nobody else changes until the commit.

    Raises: NotFound, WrongParameters if it is not of the kind, or what is `said` of it is not so; VersionMismatch.
    """
    order = await store.lock_work_order(work.connection, work.property_id, task_id)
    if kind is not None:
        fitting(order, Said(type=kind))
    return fitting(order, said)


def fitting(order: WorkOrder, said: Said) -> WorkOrder:
    """The work order, where all that is said of it is so.

    Raises: NotFound where it is another building's, WrongParameters, VersionMismatch.
    """
    if said.building_id is not None and order.building_id != said.building_id:
        raise NotFound(f"building {said.building_id} has no incident or task {order.id}")
    if said.type is not None and order.type != said.type:
        raise WrongParameters(f"{order.id} is no {said.type.lower()}")
    if said.zone_id is not None and order.zone_id != said.zone_id:
        raise WrongParameters(f"{order.id} is not in zone {said.zone_id[:80]}")
    seat_id, shift_id = (order.assignee.seat_id, order.assignee.shift_id) if order.assignee else (None, None)
    if said.seat_id is not None and seat_id != said.seat_id:
        raise WrongParameters(f"{order.id} is not assigned to seat {said.seat_id[:80]}")
    if said.shift_id is not None and shift_id != said.shift_id:
        raise WrongParameters(f"{order.id} is not in shift {said.shift_id[:80]}")
    if said.version is not None and order.version != said.version:
        raise VersionMismatch(f"{order.id} was changed meanwhile: its version is {order.version}")
    return order


async def settle(
    work: Work,
    before: WorkOrder,
    after: WorkOrder,
    act: Act,
    detail: Detail | None = None,
    *,
    policy: EscalationPolicy | None = None,
) -> WorkOrder:
    """Save what an act made of a work order, with its event, its line in the timeline and its timer."""
    after = replace(after, updated_at=work.now, updated_by=work.actor, version=before.version + 1)
    await store.save_work_orders(work.connection, [after], lines(work, [after], act, detail))
    work.publish(*events_of(before, after, act, work.now_s))
    plan(work, after, policy or await policy_of(work, after))
    return after


async def note(work: Work, orders: Sequence[WorkOrder], act: Act, detail: Detail | None = None) -> None:
    """Add an act that is kept nowhere else to the timeline of each."""
    await store.record_history(work.connection, work.property_id, lines(work, orders, act, detail))


def lines(work: Work, orders: Sequence[WorkOrder], act: Act, detail: Detail | None = None) -> list[store.Entry]:
    """What the timeline of each says of an act."""
    return [
        (
            order.id,
            HistoryEntry(
                at=work.now,
                actor=work.actor,
                act=act,
                status=order.status,
                detail=detail or _assignee_detail(order, act),
            ),
        )
        for order in orders
    ]


def events_of(before: WorkOrder | None, after: WorkOrder, act: Act, now_s: int) -> list[Event]:
    """What an act is told as: at most one event, which for a creation and a first assignment is one of two.

    A reassignment makes none: none of the catalogue means it. Source: docs/contract/incidents.md §2.3
    """
    name = EVENTS.get((after.type, act))
    if after.type == "INCIDENT" and before is None:
        name = CREATED if after.assignee else CREATED_OPEN
    elif after.type == "INCIDENT" and before is not None and after.announced and not before.announced:
        name = CREATED
    if name is None:
        return []
    words = _DESCRIPTIONS.get(name, after.description)
    return [
        platform_event(
            name,
            after.property_id,
            after.building_id,
            happened_at=now_s,
            description=words.format(name=after.name, zone=after.zone_name, level=after.escalation_level)
            if name in _DESCRIPTIONS
            else words,
            meta=work_order_meta(after),
        )
    ]


def plan(work: Work, order: WorkOrder, policy: EscalationPolicy | None) -> None:
    """Set the timer to what will happen first by itself, or take it away where nothing will."""
    due = next_deadline(order, policy)
    if due is None:
        work.cancel_timer(TIMER, order.id)
    else:
        work.set_timer(TIMER, order.id, due.at)


async def policy_of(work: Work, order: WorkOrder) -> EscalationPolicy | None:
    """The version of the policy it goes by."""
    if not order.policy_id:
        return None
    return await policy_version(
        work.connection, work.property_id, order.building_id, order.policy_id, order.policy_version
    )


def check_tasks(tasks: Sequence[TaskItem]) -> None:
    """Refuse a list of things to do that is too long, or has one without a name.

    Raises: WrongParameters, LimitViolated.
    """
    if len(tasks) > TASKS_MAX:
        raise LimitViolated(f"a work order has at most {TASKS_MAX} tasks")
    for task in tasks:
        if not task.name.strip():
            raise WrongParameters("a task needs a Name")
        if len(task.name) > NAME_MAX or len(task.comments) > TEXT_MAX:
            raise WrongParameters(f"Name of a task has at most {NAME_MAX} characters, Comments {TEXT_MAX}")
        check_attachments(task.attachments)


def check_attachments(names: Sequence[str]) -> None:
    """Refuse a list of attachments that is too long. Raises: WrongParameters, LimitViolated."""
    if len(names) > ATTACHMENTS_MAX:
        raise LimitViolated(f"at most {ATTACHMENTS_MAX} attachments are kept")
    if not all(0 < len(name) <= _ATTACHMENT_LENGTH_MAX for name in names):
        raise WrongParameters(f"the name of an attachment has 1 to {_ATTACHMENT_LENGTH_MAX} characters")


def _assignee_detail(order: WorkOrder, act: Act) -> Detail:
    if order.assignee and act in ("create", "assign", "reassign", "start"):
        return {"seat": order.assignee.seat_id, "shift": order.assignee.shift_id}
    return {}
