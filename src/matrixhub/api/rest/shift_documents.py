"""What the REST face takes and gives about seats, shifts, availability, timesheets, usual shifts and attendance."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from matrixhub.api.rest.documents import Given, Instant, Next, Taken
from matrixhub.model.attendance import USERS_MAX, AttendanceEvent
from matrixhub.model.availability import DAY_S, SLOTS_MAX
from matrixhub.model.escalation import PriorityCode
from matrixhub.model.shift import ShiftStatus
from matrixhub.model.shift_definition import DEFINITIONS_MAX
from matrixhub.model.timesheet import TimesheetKind, TimesheetStatus
from matrixhub.modules.workforce.steps import BREAKS_MAX
from matrixhub.modules.workforce.tasks import GROUPS_MAX
from matrixhub.modules.workforce.work_orders import NAME_MAX, TASKS_MAX

_NO_NUL = r"^[^\x00]*$"

Id = Annotated[str, Meta(min_length=1, max_length=200, pattern=_NO_NUL)]
Text = Annotated[str, Meta(max_length=500, pattern=_NO_NUL)]
Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=_NO_NUL)]
Day = Annotated[int, Meta(ge=0, le=6, description="Day of the week; 0 is Sunday.")]
Second = Annotated[int, Meta(ge=0, le=DAY_S, description="Seconds since local midnight.")]
People = Annotated[int, Meta(ge=0, le=100_000, description="A number of people.")]
Version = Annotated[int, Meta(ge=1, description="Counts the changes; it is the ETag.")]
TimeZone = Annotated[str, Meta(description="An IANA name, such as Asia/Singapore.", max_length=100, pattern=_NO_NUL)]
Zones = Annotated[dict[str, str], Meta(description="Id of a zone: its name. None are all.")]
ZoneIds = Annotated[list[Id], Meta(max_length=1_000, description="Ids of zones; none are all.")]


class Place(Given, frozen=True, kw_only=True):
    """A place on earth, in degrees."""

    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]


# --- seats ---


class SeatView(Given, frozen=True, kw_only=True):
    """A position in the workforce of a property, filled by one person."""

    id: str
    name: str
    email: str
    team: str
    active: Annotated[bool, Meta(description="One that is not takes no new shifts and is not available.")]
    confined: Annotated[bool, Meta(description="Whether it works in some zones only.")]
    created_at: Instant
    version: Version


class SeatList(Given, frozen=True, kw_only=True):
    """All seats of the property, by number."""

    items: list[SeatView]


class NewSeat(Taken, frozen=True, kw_only=True):
    """A seat to be made; its id is given."""

    name: Name
    email: Text = ""
    team: Text = ""


class SeatChange(Taken, frozen=True, kw_only=True):
    """A change; what is left out or null stays."""

    name: Name | None = None
    email: Text | None = None
    team: Text | None = None
    active: bool | None = None


class SeatZones(Given, frozen=True, kw_only=True):
    """The zones a seat is confined to: id of a building, id of a zone, its name."""

    zones: dict[str, dict[str, str]]


class NewSeatZones(Taken, frozen=True, kw_only=True):
    """The zones a seat is to be confined to, of any building of the property."""

    zones: Annotated[list[Id], Meta(min_length=1, max_length=1_000)]


# --- shifts ---


class BreakView(Given, frozen=True, kw_only=True):
    """A break of a shift, planned or taken."""

    id: str
    kind: str
    duration_s: int
    planned: bool
    notes: str
    started_at: Instant | None
    ended_at: Instant | None


class CostView(Given, frozen=True, kw_only=True):
    """What a shift costs."""

    unit: Text = ""
    value: Annotated[float, Meta(ge=-1e12, le=1e12)] = 0.0


class ShiftView(Given, frozen=True, kw_only=True):
    """A planned or ad-hoc working period of a seat."""

    id: str
    building: str
    seat: str
    starts_at: Instant
    ends_at: Instant
    started_at: Annotated[Instant | None, Meta(description="When its seat came.")]
    ended_at: Annotated[Instant | None, Meta(description="When its seat went.")]
    time_zone: TimeZone
    status: ShiftStatus
    delayed: Annotated[bool, Meta(description="Whether it is or was late.")]
    on_break: bool
    zones: Zones
    breaks: list[BreakView]
    cost: CostView
    description: str
    clock_in: Place | None
    clock_out: Place | None
    created_by: str
    created_at: Instant
    updated_by: str
    updated_at: Instant
    version: Version


class ShiftPage(Given, frozen=True, kw_only=True):
    """Shifts by their begin."""

    items: list[ShiftView]
    next: Next


class NewBreak(Taken, frozen=True, kw_only=True):
    """A break to be planned."""

    kind: Text = ""
    duration_s: Annotated[int, Meta(ge=0, le=2 * DAY_S)] = 0
    notes: Text = ""


class NewTaskGroup(Taken, frozen=True, kw_only=True):
    """A task group to be planned with a shift."""

    name: Annotated[str, Meta(min_length=1, max_length=NAME_MAX, pattern=_NO_NUL)]
    zone: Id
    starts_at: Instant
    ends_at: Instant
    tasks: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=NAME_MAX, pattern=_NO_NUL)]],
        Meta(min_length=1, max_length=TASKS_MAX, description="What is to be done."),
    ]
    priority: PriorityCode = "N"


class NewShift(Taken, frozen=True, kw_only=True):
    """A shift to be planned, with its task groups."""

    building: Id
    seat: Id
    starts_at: Instant
    ends_at: Instant
    time_zone: Annotated[TimeZone | None, Meta(description="Without it that of the building.")] = None
    zones: ZoneIds = field(default_factory=list)
    breaks: Annotated[list[NewBreak], Meta(max_length=BREAKS_MAX)] = field(default_factory=list)
    cost: CostView | None = None
    description: Text = ""
    task_groups: Annotated[list[NewTaskGroup], Meta(max_length=GROUPS_MAX)] = field(default_factory=list)
    publish: bool = False


class ShiftChange(Taken, frozen=True, kw_only=True):
    """A change of a shift that was not started; what is left out or null stays."""

    starts_at: Instant | None = None
    ends_at: Instant | None = None
    time_zone: TimeZone | None = None
    zones: ZoneIds | None = None
    breaks: Annotated[list[NewBreak], Meta(max_length=BREAKS_MAX)] | None = None
    cost: CostView | None = None
    description: Text | None = None


class Clocking(Taken, frozen=True, kw_only=True):
    """Where the seat is that comes or goes."""

    place: Place | None = None


class BreakStart(Taken, frozen=True, kw_only=True):
    """Which break begins: a planned one by its id, or one that nobody planned."""

    id: Text = ""
    kind: Text = ""
    notes: Text = ""


class BreakEnd(Taken, frozen=True, kw_only=True):
    """What is to be noted of the break that ends."""

    notes: Text = ""


# --- timesheets ---


class TimesheetView(Given, frozen=True, kw_only=True):
    """What a seat claims to have worked in a shift."""

    shift: str
    seat: str
    kind: TimesheetKind
    status: TimesheetStatus
    worked_from: Instant
    worked_until: Instant
    comment: str
    requested_by: str
    requested_at: Instant
    decided_by: str
    decided_at: Instant | None
    version: Version


class TimesheetPage(Given, frozen=True, kw_only=True):
    """Timesheets by when they were requested."""

    items: list[TimesheetView]
    next: Next


class NewTimesheet(Taken, frozen=True, kw_only=True):
    """A claim; without times it is for those that were recorded."""

    shift: Id
    kind: TimesheetKind = "TIMESHEET"
    worked_from: Instant | None = None
    worked_until: Instant | None = None
    comment: Text = ""


class TimesheetChange(Taken, frozen=True, kw_only=True):
    """A change of a claim that was not decided on; what is left out or null stays."""

    worked_from: Instant | None = None
    worked_until: Instant | None = None
    comment: Text | None = None


class Rejection(Taken, frozen=True, kw_only=True):
    """Why a claim is refused."""

    comment: Text = ""


# --- availability ---


class SlotView(Given, frozen=True, kw_only=True):
    """A time of a day."""

    start_s: Second
    end_s: Second
    name: str
    next_day: Annotated[bool, Meta(description="Whether it ends on the day after.")]


class AvailabilityView(Given, frozen=True, kw_only=True):
    """When a seat is available on a day of the week, by the clocks of the building."""

    seat: str
    day_of_week: Day
    slots: list[SlotView]


class AvailabilityList(Given, frozen=True, kw_only=True):
    """Availability of active seats."""

    items: list[AvailabilityView]


class NewSlot(Taken, frozen=True, kw_only=True):
    """A time of a day; one that ends before it starts ends on the day after."""

    start_s: Second
    end_s: Second
    name: Text = ""


class NewAvailability(Taken, frozen=True, kw_only=True):
    """When a seat is to be available on a day."""

    slots: Annotated[list[NewSlot], Meta(min_length=1, max_length=SLOTS_MAX)]


# --- usual shifts ---


class DefinitionView(Given, frozen=True, kw_only=True):
    """A shift that a property usually has."""

    name: str
    start_s: Second
    end_s: Second
    colour: str
    expected: People | None
    expected_by_team: dict[str, int]


class DayDefinitions(Given, frozen=True, kw_only=True):
    """The shifts of a day of the week."""

    day_of_week: Day
    shifts: list[DefinitionView]


class DefinitionList(Given, frozen=True, kw_only=True):
    """The shifts of all days that have some."""

    items: list[DayDefinitions]


class NewDefinition(Taken, frozen=True, kw_only=True):
    """A shift that a property usually has; one that ends before it starts ends on the day after."""

    name: Annotated[str, Meta(min_length=1, max_length=100, pattern=_NO_NUL)]
    start_s: Second
    end_s: Second
    colour: Annotated[str, Meta(pattern=r"^(#[0-9A-Fa-f]{6})?$", description="Such as #1F7A4D.")] = ""
    expected: People | None = None
    expected_by_team: Annotated[dict[Name, People], Meta(max_length=100)] = field(default_factory=dict)


class NewDefinitions(Taken, frozen=True, kw_only=True):
    """The shifts a day is to have."""

    shifts: Annotated[list[NewDefinition], Meta(min_length=1, max_length=DEFINITIONS_MAX)]


# --- attendance ---

Users = Annotated[
    dict[Name, Id], Meta(max_length=USERS_MAX, description="Id of a person in the source: id of the seat it fills.")
]


class IntegrationView(Given, frozen=True, kw_only=True):
    """A system that tells when people come and go."""

    id: str
    name: str
    building: str | None
    users: dict[str, str]
    created_at: Instant
    updated_at: Instant
    version: Version


class IntegrationList(Given, frozen=True, kw_only=True):
    """The integrations of the property, oldest first."""

    items: list[IntegrationView]


class NewIntegration(Taken, frozen=True, kw_only=True):
    """An integration to be made; its id is given."""

    name: Name
    building: Id | None = None
    users: Users = field(default_factory=dict)


class IntegrationChange(Taken, frozen=True, kw_only=True):
    """A change; what is left out stays. Of the users only those that are named change; null takes one away."""

    name: Name | None = None
    building: Id | None = None
    users: Annotated[dict[Name, Id | None], Meta(max_length=USERS_MAX)] | None = None


class NewAttendance(Taken, frozen=True, kw_only=True):
    """Somebody has come or gone."""

    event: AttendanceEvent
    user: Annotated[Name, Meta(description="Id of the person, as the source has it.")]
    at: Annotated[Instant | None, Meta(description="When; without it now.")] = None


ShiftStatusFilter = Literal["UNPUBLISHED", "PUBLISHED", "STARTED", "COMPLETED", "ABSENT", "ON_LEAVE", "DELAYED"]
