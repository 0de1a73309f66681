"""What the REST face takes and gives of incidents, tasks, their settings, policies and catalogue, as types."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, field

from matrixhub.api.rest.documents import Given, Id, Instant, Next, Taken
from matrixhub.model.escalation import EscalationType, PriorityCode
from matrixhub.model.work_order import Act, Status, WorkType
from matrixhub.model.workforce_settings import SettingGroup

Priority = Annotated[PriorityCode, Meta(description="High, medium, normal or low.")]
Name = Annotated[str, Meta(max_length=256)]
Text = Annotated[str, Meta(max_length=4_000)]
Attachments = Annotated[list[str], Meta(max_length=20, description="Names or URIs.")]
SettingValue = bool | int | str
MaybeInstant = Annotated[Instant | None, Meta(description="Null where it has not come to that.")]
OfSeat = Annotated[Name | None, Meta(description="A shift of the seat; null is the seat itself, whatever its shift.")]


# --- incidents and tasks ---


class TaskItemView(Given, frozen=True, kw_only=True):
    """One thing to do."""

    name: str
    done: bool
    comments: str
    attachments: list[str]


class TaskItem(Taken, frozen=True, kw_only=True):
    """One thing to do."""

    name: Name
    done: bool = False
    comments: Text = ""
    attachments: Attachments = field(default_factory=list)


Items = Annotated[list[TaskItem], Meta(min_length=1, max_length=20)]


class AssigneeView(Given, frozen=True, kw_only=True):
    """Who it is assigned to."""

    seat: str
    shift: Annotated[str | None, Meta(description="Null where it is assigned to the seat itself.")]


class WorkOrderView(Given, frozen=True, kw_only=True):
    """An incident or a task. See the contract of incidents, sections 2 and 3."""

    id: str
    property: str
    building: str
    zone: str
    zone_name: str
    zone_category: str
    type: WorkType
    status: Status
    name: str
    description: str
    priority: Priority
    raised_by: str
    event_source: str
    subject: str
    source_slots: Annotated[list[str], Meta(description="The slots that raised it.")]
    starts_at: Instant
    ends_at: Instant
    started_at: MaybeInstant
    closed_at: MaybeInstant
    delayed: bool
    auto_assigned: bool
    assignee: Annotated[AssigneeView | None, Meta(description="Null while it is open.")]
    reassigned: Annotated[int, Meta(ge=0, description="How often it was reassigned.")]
    escalation_type: EscalationType
    escalation_level: Annotated[int, Meta(ge=0, le=3)]
    policy: Annotated[str | None, Meta(description="The escalation policy that it goes by.")]
    policy_version: Annotated[int, Meta(ge=0)]
    tasks: list[TaskItemView]
    attachments: list[str]
    created_by: str
    created_at: Instant
    updated_by: str
    updated_at: Instant
    version: Annotated[int, Meta(ge=1, description="Grows with every act; also the `ETag`.")]


class WorkOrderPage(Given, frozen=True, kw_only=True):
    """Incidents or tasks, by their start."""

    items: list[WorkOrderView]
    next: Next


class Assignment(Taken, frozen=True, kw_only=True):
    """Who is to have it."""

    seat: Name
    shift: OfSeat = None


class NewIncident(Taken, frozen=True, kw_only=True):
    """An incident to report."""

    building: Name
    zone: Name
    name: Name
    raised_by: Annotated[Name, Meta(description="Who or what raised it.")]
    tasks: Items
    priority: Priority = "N"
    starts_at: Annotated[Instant | None, Meta(description="Null is now.")] = None
    ends_at: Annotated[Instant | None, Meta(description="Null is after the due time of the priority.")] = None
    event_source: Name = "API"
    subject: Name = ""
    description: Text = ""
    attachments: Attachments = field(default_factory=list)
    auto_assigned: Annotated[bool, Meta(description="Let the hub assign it.")] = False
    assignee: Assignment | None = None


class ChangedIncident(Taken, frozen=True, kw_only=True):
    """A change; what is left out or null stays."""

    name: Name | None = None
    description: Text | None = None
    priority: Priority | None = None


class Start(Taken, frozen=True, kw_only=True):
    """A start; `seat` takes an open incident."""

    seat: Name | None = None


class Completion(Taken, frozen=True, kw_only=True):
    """What was done; without tasks all of them."""

    tasks: Items | None = None


class Reassignment(Taken, frozen=True, kw_only=True):
    """Who has it next; without an assignee it becomes open. Times that are left out stay, or begin anew."""

    assignee: Assignment | None = None
    starts_at: Instant | None = None
    ends_at: Instant | None = None


class Move(Taken, frozen=True, kw_only=True):
    """Another zone of the building."""

    zone: Name


class AttachmentsSet(Taken, frozen=True, kw_only=True):
    """All attachments there are to be."""

    attachments: Attachments


class Escalation(Taken, frozen=True, kw_only=True):
    """Which type of escalation."""

    type: EscalationType


class CommentView(Given, frozen=True, kw_only=True):
    """A comment."""

    id: str
    comment: str
    user_name: str
    created_by: str
    created_at: Instant
    updated_at: Instant


class CommentList(Given, frozen=True, kw_only=True):
    """The comments on an incident, oldest first."""

    items: list[CommentView]


class CommentText(Taken, frozen=True, kw_only=True):
    """What somebody says."""

    comment: Text
    user_name: Name


class TimelineEntry(Given, frozen=True, kw_only=True):
    """An act, and the state after it."""

    at: Instant
    by: str
    act: Act
    status: Status
    detail: dict[str, Any]


class Timeline(Given, frozen=True, kw_only=True):
    """Every act, oldest first."""

    items: list[TimelineEntry]


class EscalationView(Given, frozen=True, kw_only=True):
    """An escalation."""

    at: Instant
    by: str
    type: EscalationType
    level: Annotated[str, Meta(pattern=r"^L[0-3]$")]
    policy: Annotated[str | None, Meta(description="The policy it went by.")]
    by_hand: bool


class EscalationList(Given, frozen=True, kw_only=True):
    """Every escalation of an incident, oldest first."""

    items: list[EscalationView]


class NewTask(Taken, frozen=True, kw_only=True):
    """A task group to plan in a shift."""

    seat: Name
    shift: Name
    zone: Name
    name: Name
    starts_at: Instant
    ends_at: Instant
    tasks: Items
    priority: Priority = "N"


class NewAdHocTask(Taken, frozen=True, kw_only=True):
    """Work that begins now, in a shift that has started."""

    shift: Name
    zone: Name
    ends_at: Instant
    raised_by: Name = ""


# --- settings ---


class SettingView(Given, frozen=True, kw_only=True):
    """A setting."""

    group: SettingGroup
    value: SettingValue
    default: SettingValue
    description: str
    unit: str


class SettingsView(Given, frozen=True, kw_only=True):
    """The settings of a building, by key."""

    building: str
    settings: dict[str, SettingView]


class ChangedSettings(Taken, frozen=True, kw_only=True):
    """Settings to be changed, by key; all of them or none. Null is the default."""

    settings: Annotated[dict[str, SettingValue | None], Meta(min_length=1, max_length=100)]


# --- escalation policies ---

WaitSeconds = Annotated[int, Meta(ge=0, le=2_592_000, description="Seconds.")]


class PolicyTarget(Taken, frozen=True, kw_only=True):
    """How soon work of a priority is to begin after its start, and to be done."""

    start_threshold_s: WaitSeconds
    due_time_s: Annotated[int, Meta(ge=1, le=2_592_000, description="Seconds.")]


class PolicyRecipient(Taken, frozen=True, kw_only=True):
    """Who is told, and how."""

    entity: Annotated[str, Meta(max_length=320, description="A seat, an address, or `$assignee`.")]
    medium: Annotated[
        str, Meta(description="MATRIX_APP_NOTIFICATION, MATRIX_MOBILE_APP, EMAIL, SMS or WEBHOOK.", max_length=64)
    ]
    details: dict[str, Any] = field(default_factory=dict)
    incident_types: Annotated[list[str], Meta(max_length=100, description="None is all.")] = field(default_factory=list)


class PolicyLevel(Taken, frozen=True, kw_only=True):
    """A level: so long after the one before it these are told. The wait of level 0 counts for nothing."""

    level: Annotated[int, Meta(ge=0, le=3)]
    wait_s: WaitSeconds = 0
    recipients: Annotated[list[PolicyRecipient], Meta(max_length=50)] = field(default_factory=list)


Levels = Annotated[list[PolicyLevel], Meta(max_length=4)]
Targets = dict[PriorityCode, PolicyTarget]
Types = Annotated[list[str], Meta(min_length=1, max_length=100, description="What raised it; `*` is everything.")]


class PolicyView(Given, frozen=True, kw_only=True):
    """An escalation policy: who is told when an incident is not assigned, not begun or not done in time."""

    id: str
    building: str
    name: str
    description: str
    incident_types: list[str]
    targets: Targets
    levels: dict[EscalationType, list[PolicyLevel]]
    version: Annotated[int, Meta(ge=1, description="Grows with every change; also the `ETag`.")]


class PolicyList(Given, frozen=True, kw_only=True):
    """The policies of a building, by id."""

    items: list[PolicyView]


class NewPolicy(Taken, frozen=True, kw_only=True):
    """A policy to make; without an id it gets one."""

    id: Annotated[Id | None, Meta(description="`default` goes for what no other is for.")] = None
    name: Name
    description: Annotated[str, Meta(max_length=320)] = ""
    incident_types: Types = field(default_factory=lambda: ["*"])
    targets: Targets = field(default_factory=dict)
    levels: dict[EscalationType, Levels] = field(default_factory=dict)


class ChangedPolicy(Taken, frozen=True, kw_only=True):
    """A change; what is left out or null stays, so do priorities and types of escalation that are not named."""

    name: Name | None = None
    description: Annotated[str, Meta(max_length=320)] | None = None
    incident_types: Types | None = None
    targets: Targets = field(default_factory=dict)
    levels: dict[EscalationType, Levels] = field(default_factory=dict)


# --- the catalogue ---

Minutes = Annotated[int, Meta(ge=0, le=1_440)]


class CustomTaskView(Given, frozen=True, kw_only=True):
    """A task that a property has added to those everybody has."""

    id: str
    name: str
    asset: str
    category: str
    measure: str
    measure_name: str
    skills: list[str]
    minutes: int


class CustomTaskList(Given, frozen=True, kw_only=True):
    """The custom tasks of the property, by name."""

    items: list[CustomTaskView]


class NewCustomTask(Taken, frozen=True, kw_only=True):
    """A custom task to add."""

    name: Name
    asset: Name = ""
    category: Name = ""
    measure: Name = ""
    measure_name: Name = ""
    skills: Annotated[list[Name], Meta(max_length=20)] = field(default_factory=list)
    minutes: Minutes = 0


class TaskGroupView(Given, frozen=True, kw_only=True):
    """Tasks that are done together; no categories are all."""

    id: str
    name: str
    tasks: list[str]
    zone_categories: list[str]


class TaskGroupList(Given, frozen=True, kw_only=True):
    """The task groups of the property, by name."""

    items: list[TaskGroupView]


class NewTaskGroup(Taken, frozen=True, kw_only=True):
    """A task group to add."""

    name: Name
    tasks: Annotated[list[Name], Meta(min_length=1)]
    zone_categories: Annotated[list[Name], Meta(description="At most 5; none are all.")] = field(default_factory=list)
