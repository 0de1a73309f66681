"""Work orders: incidents and tasks, their states, and what each act makes of them.

An incident is open until it is assigned. A task belongs to a shift from the beginning.
Source: docs/contract/incidents.md §2, §3
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from matrixhub.model.errors import WrongParameters, WrongState
from matrixhub.model.escalation import EscalationType, PriorityCode
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, ShiftId, SlotId, TaskId, ZoneId
from matrixhub.model.time import check_year

WorkType = Literal["INCIDENT", "TASK"]
WORK_TYPES: tuple[WorkType, ...] = ("INCIDENT", "TASK")
Status = Literal["UNPUBLISHED", "NOT_ASSIGNED", "PUBLISHED", "STARTED", "PAUSED", "COMPLETED", "INCOMPLETE"]
"""As records spell it; events say `ASSIGNED` for `PUBLISHED`, see META_STATUS."""

Act = Literal[
    "create",
    "publish",
    "assign",
    "start",
    "pause",
    "resume",
    "complete",
    "expire",
    "delay",
    "escalate",
    "reassign",
    "reopen",
    "move",
    "edit",
    "attach",
    "comment",
    "delete",
]

STATUSES: tuple[Status, ...] = (
    "UNPUBLISHED",
    "NOT_ASSIGNED",
    "PUBLISHED",
    "STARTED",
    "PAUSED",
    "COMPLETED",
    "INCOMPLETE",
)

STATUSES_OF: Mapping[WorkType, tuple[Status, ...]] = {
    "INCIDENT": tuple(status for status in STATUSES if status != "UNPUBLISHED"),
    "TASK": tuple(status for status in STATUSES if status != "NOT_ASSIGNED"),
}
"""The states that incidents and tasks can be in."""

META_STATUS: Mapping[Status, str] = {
    "UNPUBLISHED": "UNPUBLISHED",
    "NOT_ASSIGNED": "NOT_ASSIGNED",
    "PUBLISHED": "ASSIGNED",
    "STARTED": "STARTED",
    "PAUSED": "PAUSED",
    "COMPLETED": "COMPLETED",
    "INCOMPLETE": "INCOMPLETE",
}
"""What `Meta.Status` of an event says. The one home of that choice. Source: docs/contract/event-bus.md §5.3"""

ACTIVE: frozenset[Status] = frozenset({"NOT_ASSIGNED", "PUBLISHED", "STARTED", "PAUSED"})
WAITING: frozenset[Status] = frozenset({"NOT_ASSIGNED", "PUBLISHED"})

GONE: Literal["GONE"] = "GONE"
"""What is left of a work order that was deleted."""

_KEPT: tuple[Act, ...] = ("attach", "comment")
"""What changes no state, and may be done in every one."""

TRANSITIONS: Mapping[WorkType, Mapping[tuple[Status, Act], Status | Literal["GONE"]]] = {
    "INCIDENT": {
        ("NOT_ASSIGNED", "assign"): "PUBLISHED",
        ("NOT_ASSIGNED", "complete"): "COMPLETED",
        ("NOT_ASSIGNED", "delete"): GONE,
        ("PUBLISHED", "start"): "STARTED",
        ("PUBLISHED", "complete"): "COMPLETED",
        ("PUBLISHED", "reassign"): "PUBLISHED",
        ("PUBLISHED", "reopen"): "NOT_ASSIGNED",
        ("PUBLISHED", "delete"): GONE,
        ("STARTED", "pause"): "PAUSED",
        ("STARTED", "complete"): "COMPLETED",
        ("PAUSED", "resume"): "STARTED",
        ("PAUSED", "complete"): "COMPLETED",
        ("COMPLETED", "reassign"): "PUBLISHED",
        ("COMPLETED", "reopen"): "NOT_ASSIGNED",
        ("INCOMPLETE", "reassign"): "PUBLISHED",
        ("INCOMPLETE", "reopen"): "NOT_ASSIGNED",
        **{(status, "expire"): "INCOMPLETE" for status in ACTIVE},
        **{(status, "delay"): status for status in WAITING},
        **{(status, act): status for status in ACTIVE for act in ("escalate", "move", "edit")},
        **{(status, act): status for status in STATUSES for act in _KEPT if status in STATUSES_OF["INCIDENT"]},
    },
    "TASK": {
        ("UNPUBLISHED", "publish"): "PUBLISHED",
        ("UNPUBLISHED", "edit"): "UNPUBLISHED",
        ("UNPUBLISHED", "delete"): GONE,
        ("PUBLISHED", "edit"): "PUBLISHED",
        ("PUBLISHED", "start"): "STARTED",
        ("PUBLISHED", "delay"): "PUBLISHED",
        ("PUBLISHED", "expire"): "INCOMPLETE",
        ("PUBLISHED", "delete"): GONE,
        ("STARTED", "pause"): "PAUSED",
        ("STARTED", "complete"): "COMPLETED",
        ("STARTED", "expire"): "INCOMPLETE",
        ("PAUSED", "resume"): "STARTED",
        ("PAUSED", "complete"): "COMPLETED",
        ("PAUSED", "expire"): "INCOMPLETE",
        **{(status, act): status for status in STATUSES for act in _KEPT if status in STATUSES_OF["TASK"]},
    },
}
"""What each act makes of each state; what is not here is refused."""

EVENTS: Mapping[tuple[WorkType, Act], str] = {
    ("INCIDENT", "start"): "INCIDENT_STARTED",
    ("INCIDENT", "complete"): "INCIDENT_COMPLETED",
    ("INCIDENT", "expire"): "INCIDENT_INCOMPLETE",
    ("INCIDENT", "escalate"): "INCIDENT_ESCALATED",
    ("TASK", "start"): "TASK_STARTED",
    ("TASK", "complete"): "TASK_COMPLETED",
    ("TASK", "expire"): "TASK_INCOMPLETE",
}
"""The event of an act, besides the two of creation and first assignment. Source: docs/contract/event-bus.md §4"""

CREATED, CREATED_OPEN = "INCIDENT_CREATED", "INCIDENT_CREATED_OPEN"


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskItem:
    """One thing to do of a work order. `t` is kept for the clients that send it; it means nothing here."""

    name: str
    done: bool = False
    t: int = 0
    comments: str = ""
    attachments: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignee:
    """Who a work order is assigned to. The shift is the seat once more where it is the seat's, whatever its shift."""

    seat_id: SeatId
    shift_id: ShiftId


@dataclass(frozen=True, kw_only=True, slots=True)
class IncidentDraft:
    """An incident as it is reported.

    Without `starts_at` it begins now, without `ends_at` it is due after the time of its priority. `assignee` gets
    it at once; `auto_assigned` asks the hub to find somebody. `source_slots` are the slots that raised it.
    """

    zone_id: ZoneId
    name: str
    raised_by: str
    tasks: tuple[TaskItem, ...]
    priority: PriorityCode = "N"
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    event_source: str = "API"
    subject: str = ""
    description: str = ""
    auto_assigned: bool = False
    assignee: Assignee | None = None
    source_slots: tuple[SlotId, ...] = ()
    attachments: tuple[str, ...] = ()

    @property
    def from_sensor(self) -> bool:
        """Whether the hub made it, not a person."""
        return bool(self.source_slots) or self.event_source == "Sensors" or self.event_source.endswith("#sensor")


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkOrder:
    """An incident or task.

    `timeout_s` after its end it becomes incomplete. `announced` says that it has had an assignee. `opened_at` is from
    when it counts as unassigned. `escalated` holds the highest level reached of each type, `escalation_type` and
    `escalation_level` the last one. `organisation_id` and `time_zone` are those of its property and building.
    """

    id: TaskId
    property_id: PropertyId
    building_id: BuildingId
    organisation_id: str
    time_zone: str
    type: WorkType
    status: Status
    name: str
    description: str
    priority: PriorityCode
    raised_by: str
    event_source: str
    subject: str
    source_slots: tuple[SlotId, ...]
    zone_id: ZoneId
    zone_name: str
    zone_category: str
    starts_at: datetime
    ends_at: datetime
    timeout_s: int
    auto_assigned: bool
    opened_at: datetime
    tasks: tuple[TaskItem, ...]
    created_by: str
    created_at: datetime
    updated_by: str
    updated_at: datetime
    assignee: Assignee | None = None
    assigned_at: datetime | None = None
    announced: bool = False
    reassigned: int = 0
    started_at: datetime | None = None
    closed_at: datetime | None = None
    delayed: bool = False
    policy_id: str = ""
    policy_version: int = 0
    escalation_type: EscalationType = "unassigned"
    escalation_level: int = 0
    escalated: Mapping[EscalationType, int] = field(default_factory=dict)
    attachments: tuple[str, ...] = ()
    version: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryEntry:
    """An act on a work order: when, by whom, and the state after it."""

    at: datetime
    actor: str
    act: Act
    status: str
    detail: Mapping[str, str | int | bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comment:
    """What somebody wrote about a work order."""

    id: str
    work_order_id: TaskId
    user_name: str
    comment: str
    created_by: str
    created_at: datetime
    updated_at: datetime


def outcome(kind: WorkType, status: Status, act: Act) -> Status | Literal["GONE"]:
    """The state after an act. Raises: WrongState if it cannot be done in this one.

    >>> outcome("INCIDENT", "NOT_ASSIGNED", "assign")
    'PUBLISHED'
    """
    found = TRANSITIONS[kind].get((status, act))
    if found is None:
        raise WrongState(f"{kind.lower()}s that are {status} do not take the act {act}")
    return found


def step(order: WorkOrder, act: Act) -> WorkOrder:
    """The work order in the state after an act that does not end it. Raises WrongState."""
    status = outcome(order.type, order.status, act)
    if status == GONE:
        raise WrongState(f"{act} leaves no {order.type.lower()}")
    return replace(order, status=status)


def assigned(order: WorkOrder, assignee: Assignee, now: datetime) -> WorkOrder:
    """An open incident with its assignee. Raises WrongState."""
    return replace(step(order, "assign"), assignee=assignee, assigned_at=now, announced=True)


def started(order: WorkOrder, now: datetime) -> WorkOrder:
    """A work order whose work has begun; what was paused goes on. Raises WrongState."""
    if order.status == "PAUSED":
        return step(order, "resume")
    return replace(step(order, "start"), started_at=now)


def completed(order: WorkOrder, now: datetime, tasks: tuple[TaskItem, ...] | None = None) -> WorkOrder:
    """A work order that is done, with its tasks as they were left, else all done. Raises WrongState."""
    done = tuple(replace(task, done=True) for task in order.tasks) if tasks is None else tasks
    return replace(step(order, "complete"), closed_at=now, tasks=done)


def expired(order: WorkOrder, now: datetime) -> WorkOrder:
    """A work order that was not done in time. Raises WrongState."""
    return replace(step(order, "expire"), closed_at=now)


def escalated(order: WorkOrder, kind: EscalationType, level: int) -> WorkOrder:
    """An incident at a level. Raises WrongState."""
    reached = {**order.escalated, kind: level}
    return replace(step(order, "escalate"), escalation_type=kind, escalation_level=level, escalated=reached)


def reassigned(
    order: WorkOrder,
    assignee: Assignee | None,
    now: datetime,
    *,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    due_s: int,
) -> WorkOrder:
    """An incident that goes to another assignee, or becomes open again where there is none.

    Its clocks begin anew where it had been closed, becomes open or gets other times; what had been closed starts now
    unless a time is given. Units: due_s is the time of its priority.
    Raises: WrongState, WrongParameters if the end is not after the start.
    """
    closed = order.status in ("COMPLETED", "INCOMPLETE")
    begins = starts_at or (now if closed else order.starts_at)
    check_year(begins)
    if ends_at is None:
        ends_at = begins + timedelta(seconds=due_s) if closed or starts_at else order.ends_at
    check_times(begins, ends_at)
    again = replace(
        step(order, "reassign" if assignee else "reopen"),
        assignee=assignee,
        assigned_at=now if assignee else None,
        announced=order.announced or assignee is not None,
        reassigned=order.reassigned + 1,
        starts_at=begins,
        ends_at=ends_at,
        started_at=None,
        closed_at=None,
    )
    if closed:
        again = replace(again, tasks=tuple(replace(task, done=False) for task in order.tasks))
    if assignee and not closed and (begins, ends_at) == (order.starts_at, order.ends_at):
        return again
    kind, level, reached = escalation_begin(open_=assignee is None)
    return replace(again, delayed=False, opened_at=now, escalation_type=kind, escalation_level=level, escalated=reached)


def escalation_begin(*, open_: bool) -> tuple[EscalationType, int, Mapping[EscalationType, int]]:
    """Type, level and levels reached of an incident of which nothing was escalated.

    L0 of `unassigned` is part of being open.
    """
    return ("unassigned", 0, {"unassigned": 0}) if open_ else ("startTime", 0, {})


SPAN_MAX = timedelta(days=365)
"""How long a work order may last: as long as its record is kept."""


def check_times(starts_at: datetime, ends_at: datetime) -> None:
    """Refuse an end that is not after the start, or too long after it. Raises: WrongParameters."""
    check_year(starts_at)
    check_year(ends_at)
    if not timedelta(0) < ends_at - starts_at <= SPAN_MAX:
        raise WrongParameters("End lies after Start, by at most a year")


TIMEOUT_SETTINGS: Mapping[PriorityCode, str] = {
    "H": "INCIDENT_HIGH_TIMEOUT",
    "M": "INCIDENT_MEDIUM_TIMEOUT",
    "N": "INCIDENT_NORMAL_TIMEOUT",
    "L": "INCIDENT_LOW_TIMEOUT",
}
"""The setting that says how long an incident of that priority may take."""


def task_id(now: datetime, number: int) -> TaskId:
    """A fresh id: 13 digits of epoch milliseconds and 6 of a number that counts up.

    >>> from datetime import UTC
    >>> task_id(datetime(2024, 3, 10, 0, 5, 9, 417000, tzinfo=UTC), 214)
    '1710029109417000214'
    """
    return TaskId(f"{round(now.timestamp() * 1000):013d}{number % 1_000_000:06d}")
