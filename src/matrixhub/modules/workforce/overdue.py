"""What happens to work orders by time: they are delayed, escalated and become incomplete.

Source: docs/contract/incidents.md §5
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from matrixhub.model.escalation import EscalationPolicy
from matrixhub.model.ids import TaskId
from matrixhub.model.work_order import WorkOrder, expired, step
from matrixhub.modules.scheduler import Fire
from matrixhub.modules.work import Work
from matrixhub.modules.workforce.deadlines import Deadline, next_deadline
from matrixhub.modules.workforce.escalation import escalate
from matrixhub.modules.workforce.work_orders import TIMER, locked, plan, policy_of, settle


async def fire(work: Work, entity_id: str) -> None:
    """Do all that is due by now of a work order, in the order it was due, and set its timer to what comes next.

    Raises NotFound where it is gone.
    """
    order = await locked(work, TaskId(entity_id))
    if not await work.take_timer(TIMER, entity_id):
        return
    policy = await policy_of(work, order)
    while (due := next_deadline(order, policy)) and due.at <= work.now:
        order = await _happen(work, order, policy, due)
    plan(work, order, policy)


HANDLERS: Mapping[str, Fire] = {TIMER: fire}
"""What the scheduler calls, by kind of timer."""


async def _happen(work: Work, order: WorkOrder, policy: EscalationPolicy | None, due: Deadline) -> WorkOrder:
    if due.kind is not None:
        return await escalate(work, order, policy, due.kind, due.level)
    after = expired(order, work.now) if due.act == "expire" else replace(step(order, "delay"), delayed=True)
    return await settle(work, order, after, due.act, policy=policy)
