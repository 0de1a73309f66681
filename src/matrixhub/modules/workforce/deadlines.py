"""What happens to a work order by time alone, and when the next of it does.

A work order has one timer, set to the first of its deadlines. Source: docs/contract/incidents.md §5, §6
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from matrixhub.model.escalation import LEVEL_MAX, EscalationPolicy, EscalationType
from matrixhub.model.work_order import ACTIVE, WAITING, Act, Status, WorkOrder

WATCHED: Mapping[EscalationType, frozenset[Status]] = {
    "unassigned": frozenset({"NOT_ASSIGNED"}),
    "startTime": WAITING,
    "dueTime": ACTIVE,
}
"""In which states an escalation of that type goes on; an act that leads out of them stops it."""

_STARTED: frozenset[Status] = frozenset({"STARTED", "PAUSED"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Deadline:
    """An act that is due at an instant; `kind` and `level` are those of an escalation."""

    at: datetime
    act: Act
    kind: EscalationType | None = None
    level: int = 0


def next_deadline(order: WorkOrder, policy: EscalationPolicy | None) -> Deadline | None:
    """The first thing that will happen by itself, None where nothing will.

    Of those of one instant escalations come first, in the order of the clocks they belong to, and the end comes last.
    """
    return min(deadlines(order, policy), key=lambda deadline: deadline.at, default=None)


def deadlines(order: WorkOrder, policy: EscalationPolicy | None) -> Iterator[Deadline]:
    """All that will happen by itself, if nobody acts."""
    if policy is not None and order.type == "INCIDENT":
        for kind, states in WATCHED.items():
            if order.status in states:
                yield from _escalations(order, policy, kind)
    if order.status in WAITING and not order.delayed:
        yield Deadline(at=delayed_at(order, policy), act="delay")
    if order.status in ACTIVE:
        yield Deadline(at=incomplete_at(order), act="expire")


def delayed_at(order: WorkOrder, policy: EscalationPolicy | None) -> datetime:
    """When a work order that nobody began counts as delayed: its target of the policy, else its end."""
    target = policy.targets.get(order.priority) if policy else None
    return order.starts_at + timedelta(seconds=target.start_threshold_s) if target else order.ends_at


def incomplete_at(order: WorkOrder) -> datetime:
    """When it becomes incomplete: its time-out after its end; once it was begun, twice that."""
    return order.ends_at + timedelta(seconds=order.timeout_s * (2 if order.status in _STARTED else 1))


def base_at(order: WorkOrder, policy: EscalationPolicy, kind: EscalationType) -> datetime:
    """From when an escalation of that type counts."""
    if kind == "unassigned":
        return order.opened_at
    return order.ends_at if kind == "dueTime" else begin_by(order, policy)


def begin_by(order: WorkOrder, policy: EscalationPolicy) -> datetime:
    """When work is to have begun: the target after the start; without a target, the start."""
    target = policy.targets.get(order.priority)
    return order.starts_at + timedelta(seconds=target.start_threshold_s if target else 0)


def _escalations(order: WorkOrder, policy: EscalationPolicy, kind: EscalationType) -> Iterator[Deadline]:
    reached, base = order.escalated.get(kind, -1), base_at(order, policy, kind)
    for level in range(reached + 1, LEVEL_MAX + 1):
        if policy.step(kind, level):
            yield Deadline(
                at=base + timedelta(seconds=policy.offset_s(kind, level)), act="escalate", kind=kind, level=level
            )
