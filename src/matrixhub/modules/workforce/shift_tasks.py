"""Task groups of shifts as a part of planning shifts: planned with them, repeated, copied, changed, taken out.

Source: docs/contract/workforce.md §3.3, docs/contract/incidents.md §3
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from matrixhub.model.errors import LimitViolated, NotFound
from matrixhub.model.escalation import PriorityCode
from matrixhub.model.ids import ShiftId, TaskId, ZoneId
from matrixhub.model.shift import Shift, repeated_span
from matrixhub.model.work_order import TIMEOUT_SETTINGS, TaskItem, WorkOrder, outcome, step
from matrixhub.modules.work import Work
from matrixhub.modules.workforce.incidents import remove
from matrixhub.modules.workforce.tasks import ADHOC_SOURCE, TaskDraft, check_draft, plan_tasks
from matrixhub.modules.workforce.work_orders import locked, settle
from matrixhub.store import work_orders as store
from matrixhub.store.workforce_settings import read_settings

PLANNED_MAX = 1_000
"""How many task groups one call plans, changes and takes out."""

_TOO_MANY = f"at most {PLANNED_MAX} task groups are planned by one call"


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskChange:
    """What is to be different of a task group; what is None stays."""

    id: TaskId
    name: str | None = None
    zone_id: ZoneId | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    priority: PriorityCode | None = None
    tasks: tuple[TaskItem, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskChanges:
    """What becomes of the task groups of a shift: some are changed, some taken out, some new."""

    change: tuple[TaskChange, ...] = ()
    delete: tuple[TaskId, ...] = ()
    add: tuple[TaskDraft, ...] = ()


async def plan_for_shifts(work: Work, planned: Sequence[tuple[Shift, Sequence[TaskDraft]]]) -> None:
    """Plan task groups in shifts that the same act has made. Raises as `plan_tasks`."""
    if sum(len(drafts) for _, drafts in planned) > PLANNED_MAX:
        raise LimitViolated(_TOO_MANY)
    for shift, drafts in planned:
        if drafts:
            await plan_tasks(work, shift.seat_id, shift.id, drafts)


def moved_tasks(
    tasks: Sequence[TaskDraft], starts_at: datetime, onto: datetime, local: ZoneInfo
) -> tuple[TaskDraft, ...]:
    """Task groups of a shift as they are for one that begins on another day: at the same local times."""
    days = onto.astimezone(local).date() - starts_at.astimezone(local).date()
    if not days:
        return tuple(tasks)
    made = []
    for task in tasks:
        on = task.starts_at.astimezone(local).date() + days
        start, end = repeated_span(task.starts_at, task.ends_at, local, on)
        made.append(replace(task, starts_at=start, ends_at=end))
    return tuple(made)


async def tasks_to_copy(work: Work, shift_id: ShiftId) -> tuple[TaskDraft, ...]:
    """The task groups that were planned in a shift, as if nothing had been done; what came ad hoc stays behind."""
    orders = await store.list_work_orders(
        work.connection,
        work.property_id,
        store.Wanted(shift_id=shift_id, type="TASK"),
        limit=PLANNED_MAX + 1,
    )
    return tuple(
        TaskDraft(
            zone_id=order.zone_id,
            name=order.name,
            starts_at=order.starts_at,
            ends_at=order.ends_at,
            tasks=tuple(TaskItem(name=item.name, t=item.t) for item in order.tasks),
            priority=order.priority,
        )
        for order in orders
        if order.event_source != ADHOC_SOURCE
    )


async def change_tasks(work: Work, shift: Shift, changes: TaskChanges) -> None:
    """Change the task groups of a shift that is locked, as a part of an act.

    Raises: NotFound for one that is not of the shift, WrongState for one that was begun, MissingParameters,
            WrongParameters, LimitViolated
    """
    if len(changes.change) + len(changes.delete) + len(changes.add) > PLANNED_MAX:
        raise LimitViolated(_TOO_MANY)
    going = []
    for task_id in sorted(set(changes.delete)):
        order = await _of_shift(work, shift, task_id)
        outcome("TASK", order.status, "delete")
        going.append(order)
    await remove(work, going)
    for change in sorted(changes.change, key=lambda one: one.id):
        await _change(work, await _of_shift(work, shift, change.id), change)
    if changes.add:
        await plan_tasks(work, shift.seat_id, shift.id, changes.add)


async def _of_shift(work: Work, shift: Shift, task_id: TaskId) -> WorkOrder:
    order = await locked(work, task_id, kind="TASK")
    if order.assignee is None or order.assignee.shift_id != shift.id:
        raise NotFound(f"shift {shift.id} has no task group {task_id[:80]}")
    return order


async def _change(work: Work, order: WorkOrder, change: TaskChange) -> None:
    draft = TaskDraft(
        zone_id=order.zone_id if change.zone_id is None else change.zone_id,
        name=order.name if change.name is None else change.name,
        starts_at=change.starts_at or order.starts_at,
        ends_at=change.ends_at or order.ends_at,
        tasks=order.tasks if change.tasks is None else change.tasks,
        priority=change.priority or order.priority,
    )
    check_draft(draft)
    zones = await store.read_zones(work.connection, work.property_id, order.building_id, {draft.zone_id})
    settings = await read_settings(work.connection, work.property_id, order.building_id)
    zone = zones[draft.zone_id]
    changed = replace(
        step(order, "edit"),
        name=draft.name,
        zone_id=zone.id,
        zone_name=zone.name,
        zone_category=zone.category,
        starts_at=draft.starts_at,
        ends_at=draft.ends_at,
        tasks=draft.tasks,
        priority=draft.priority,
        timeout_s=settings.number(TIMEOUT_SETTINGS[draft.priority]),
        delayed=order.delayed and draft.ends_at == order.ends_at,
    )
    await settle(work, order, changed, "edit")
