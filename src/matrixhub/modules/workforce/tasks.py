"""Tasks: planned work of a shift ("task groups" on the wire), and ad-hoc tasks.

What they share with incidents is in `work_orders.py`. Source: docs/contract/incidents.md §3
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from matrixhub.model.errors import LimitViolated, MissingParameters, NotFound, WrongParameters, WrongState
from matrixhub.model.escalation import PRIORITY_CODES, PriorityCode
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, ShiftId, TaskId, ZoneId
from matrixhub.model.work_order import (
    GONE,
    TIMEOUT_SETTINGS,
    TRANSITIONS,
    Assignee,
    Status,
    TaskItem,
    WorkOrder,
    check_times,
    outcome,
    step,
    task_id,
)
from matrixhub.modules.work import Platform, Work
from matrixhub.modules.workforce.incidents import remove
from matrixhub.modules.workforce.work_orders import (
    NAME_MAX,
    NOTHING,
    Said,
    check_tasks,
    events_of,
    lines,
    locked,
    plan,
    settle,
)
from matrixhub.store import work_orders as store

PLANNABLE: Mapping[str, Status] = {"UNPUBLISHED": "UNPUBLISHED", "PUBLISHED": "PUBLISHED", "STARTED": "PUBLISHED"}
"""By the state of its shift, the one a new task has; no other shift takes tasks."""

GROUPS_MAX = 200
"""How many task groups one call adds."""

ADHOC_NAME = "Ad-hoc task"
ADHOC_SOURCE = "ADHOC"
SHIFT_SOURCE = "SHIFT"


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskDraft:
    """A task group as it is planned."""

    zone_id: ZoneId
    name: str
    starts_at: datetime
    ends_at: datetime
    tasks: tuple[TaskItem, ...]
    priority: PriorityCode = "N"


async def add_tasks(
    platform: Platform,
    property_id: PropertyId,
    seat_id: SeatId,
    shift_id: ShiftId,
    drafts: Sequence[TaskDraft],
    *,
    actor: str,
    building_id: BuildingId | None = None,
) -> list[WorkOrder]:
    """Plan task groups in a shift, of that building where one is named, all or none.

    Raises: NotFound, WrongState if the shift is over, MissingParameters, WrongParameters, LimitViolated.
    """
    async with platform.work(property_id, actor) as work:
        return await plan_tasks(work, seat_id, shift_id, drafts, building_id)


async def plan_tasks(
    work: Work,
    seat_id: SeatId,
    shift_id: ShiftId,
    drafts: Sequence[TaskDraft],
    building_id: BuildingId | None = None,
) -> list[WorkOrder]:
    """Plan task groups in a shift as a part of an act. Raises as `add_tasks`."""
    if len(drafts) > GROUPS_MAX:
        raise LimitViolated(f"at most {GROUPS_MAX} task groups are added at once")
    for draft in drafts:
        check_draft(draft)
    shift = await _shift(work, seat_id, shift_id, building_id)
    if shift.status not in PLANNABLE:
        raise WrongState(f"shift {shift_id} is {shift.status}")
    return await _add(work, shift, drafts, PLANNABLE[shift.status], by=work.actor, source=SHIFT_SOURCE)


async def publish_tasks(work: Work, shift_ids: Collection[ShiftId]) -> list[WorkOrder]:
    """Publish the tasks of shifts that are published by the same act."""
    orders = await store.lock_tasks_of_shifts(work.connection, work.property_id, shift_ids)
    return [
        await settle(work, order, step(order, "publish"), "publish")
        for order in orders
        if order.status == "UNPUBLISHED"
    ]


async def remove_tasks(work: Work, shift_ids: Collection[ShiftId]) -> list[WorkOrder]:
    """Remove the tasks, not yet begun, of shifts that are deleted by the same act."""
    orders = await store.lock_tasks_of_shifts(work.connection, work.property_id, shift_ids)
    going = [order for order in orders if TRANSITIONS["TASK"].get((order.status, "delete")) == GONE]
    await remove(work, going)
    return going


async def remove_task(
    platform: Platform, property_id: PropertyId, task: TaskId, *, actor: str, said: Said = NOTHING
) -> None:
    """Take a task that was not begun out of its shift. Raises: NotFound, WrongState, WrongParameters."""
    async with platform.work(property_id, actor) as work:
        order = await locked(work, task, said, kind="TASK")
        outcome("TASK", order.status, "delete")
        await remove(work, [order])


async def start_adhoc_task(
    platform: Platform,
    property_id: PropertyId,
    shift_id: ShiftId,
    zone_id: ZoneId,
    ends_at: datetime,
    *,
    actor: str,
    by: str = "",
    building_id: BuildingId | None = None,
) -> WorkOrder:
    """Begin, within a shift that has started, what nobody had planned; it ends by `complete_work`.

    Raises: NotFound, WrongState, WrongParameters if the end is not ahead.
    """
    async with platform.work(property_id, actor) as work:
        shift = await _shift(work, None, shift_id, building_id)
        if shift.status != "STARTED":
            raise WrongState(f"shift {shift_id} is {shift.status}")
        draft = TaskDraft(
            zone_id=zone_id, name=ADHOC_NAME, starts_at=work.now, ends_at=ends_at, tasks=(TaskItem(name=ADHOC_NAME),)
        )
        check_draft(draft)
        return (await _add(work, shift, [draft], "STARTED", by=by or actor, source=ADHOC_SOURCE))[0]


async def _shift(
    work: Work, seat_id: SeatId | None, shift_id: ShiftId, building_id: BuildingId | None
) -> store.ShiftPart:
    """A shift that nobody changes until the commit. Raises: NotFound, WrongParameters."""
    shift = (await store.share_shifts(work.connection, work.property_id, [shift_id])).get(shift_id)
    if shift is None or (building_id is not None and shift.building_id != building_id):
        raise NotFound(f"{building_id or work.property_id} has no shift {shift_id}")
    if seat_id is not None and shift.seat_id != seat_id:
        raise WrongParameters(f"shift {shift_id} is not one of seat {seat_id}")
    return shift


async def _add(
    work: Work, shift: store.ShiftPart, drafts: Sequence[TaskDraft], status: Status, *, by: str, source: str
) -> list[WorkOrder]:
    connection, property_id = work.connection, work.property_id
    zone_ids = {draft.zone_id for draft in drafts}
    around = await store.read_surroundings(connection, property_id, shift.building_id, zone_ids, count=len(drafts))
    place, zones = around.place, around.zones
    orders = [
        WorkOrder(
            id=task_id(work.now, number),
            property_id=property_id,
            building_id=place.building_id,
            organisation_id=place.organisation_id,
            time_zone=place.time_zone,
            type="TASK",
            status=status,
            name=draft.name,
            description="",
            priority=draft.priority,
            raised_by=by,
            event_source=source,
            subject="",
            source_slots=(),
            zone_id=draft.zone_id,
            zone_name=zones[draft.zone_id].name,
            zone_category=zones[draft.zone_id].category,
            starts_at=draft.starts_at,
            ends_at=draft.ends_at,
            timeout_s=around.settings.number(TIMEOUT_SETTINGS[draft.priority]),
            auto_assigned=False,
            opened_at=work.now,
            tasks=draft.tasks,
            created_by=work.actor,
            created_at=work.now,
            updated_by=work.actor,
            updated_at=work.now,
            assignee=Assignee(seat_id=shift.seat_id, shift_id=shift.id),
            assigned_at=work.now,
            announced=True,
            started_at=work.now if status == "STARTED" else None,
        )
        for draft, number in zip(drafts, around.numbers, strict=True)
    ]
    await store.insert_work_orders(connection, orders, lines(work, orders, "create"))
    for order in orders:
        plan(work, order, None)
        if status == "STARTED":
            work.publish(*events_of(None, order, "start", work.now_s))
    return orders


def check_draft(draft: TaskDraft) -> None:
    """Refuse a draft. Raises: MissingParameters, WrongParameters, LimitViolated."""
    for value, name in ((draft.name, "Name"), (draft.zone_id, "Zone"), (draft.tasks, "Tasks")):
        if not value:
            raise MissingParameters(f"a task group needs {name}")
    if len(draft.name) > NAME_MAX:
        raise WrongParameters(f"Name is a text of at most {NAME_MAX} characters")
    if draft.priority not in PRIORITY_CODES:
        raise WrongParameters(f"Priority is one of {', '.join(PRIORITY_CODES)}")
    check_times(draft.starts_at, draft.ends_at)
    check_tasks(draft.tasks)
