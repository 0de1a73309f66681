"""Work orders as a state machine: acts and time in any order, and a model beside the rows and events of PostgreSQL."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from tests.integration.modules.floor import BUILDING, PROPERTY, ZONE, Floor, draft

from matrixhub.model.errors import WrongParameters, WrongState
from matrixhub.model.event import check_envelope
from matrixhub.model.ids import SeatId, TaskId
from matrixhub.model.work_order import Assignee, TaskItem, WorkOrder
from matrixhub.modules.workforce import escalation, incidents, work_orders
from matrixhub.modules.workforce.assignment import to_seat
from matrixhub.modules.workforce.incidents import IncidentChange
from matrixhub.modules.workforce.tasks import TaskDraft, add_tasks, remove_task
from matrixhub.store import open_database

ACTS = (
    "assign",
    "start",
    "start",
    "start_open",
    "pause",
    "complete",
    "reassign",
    "reopen",
    "escalate",
    "change",
    "delete",
)
PRIORITIES = st.sampled_from("HMNL")
TIMEOUT_S = {"H": 900, "M": 1200, "N": 1800, "L": 3600}
TASK_ACTS = (work_orders.complete_work, remove_task)
LEVELS_AFTER_S = {1: 240, 2: 240 + 600}
"""When the policy for spills raises an incident that nobody has, after its creation."""

POLICY = {
    "Name": "Spills",
    "PolicyId": "spills",
    "IncidentTypes": ["WD"],
    "UnassignedSettings": [
        {"Level": "L1", "Recipients": [], "TimeAfter": 240},
        {"Level": "L2", "Recipients": [], "TimeAfter": 600},
    ],
}


@dataclass
class Expected:
    """What an incident or task should be by now, by plain rules of its own."""

    kind: str
    status: str
    starts_at: datetime
    ends_at: datetime
    timeout_s: int
    priority: str
    spill: bool
    opened_at: datetime
    assignee: Assignee | None
    was_assigned: bool
    delayed: bool = False
    level: int = 0
    unassigned_level: int = 0
    reassigned: int = 0
    told: list[tuple[str, str, str]] = field(default_factory=list)

    def tell(self, event: str, status: str = "") -> None:
        self.told.append((event, status or {"PUBLISHED": "ASSIGNED"}.get(self.status, self.status), f"L{self.level}"))

    def pass_until(self, now: datetime) -> None:
        """Do what is due by now, in the order it is due."""
        while (due := min(self.due(), default=None)) and due[0] <= now:
            if due[1] == 0:
                self.level = self.unassigned_level = due[2]
                self.tell("INCIDENT_ESCALATED")
            elif due[1] == 1:
                self.delayed = True
            else:
                self.status = "INCOMPLETE"
                self.tell(f"{self.kind}_INCOMPLETE")

    def due(self) -> Iterator[tuple[datetime, int, int]]:
        if self.spill and self.status == "NOT_ASSIGNED":
            for level, after_s in LEVELS_AFTER_S.items():
                if level > self.unassigned_level:
                    yield self.opened_at + timedelta(seconds=after_s), 0, level
        if self.status in ("NOT_ASSIGNED", "PUBLISHED"):
            if not self.delayed:
                yield self.ends_at, 1, 0
            yield self.ends_at + timedelta(seconds=self.timeout_s), 2, 0
        if self.status in ("STARTED", "PAUSED"):
            yield self.ends_at + 2 * timedelta(seconds=self.timeout_s), 2, 0


class WorkOrders(RuleBasedStateMachine):
    """Every act on every incident and task, in any state, with time passing in between."""

    dsn: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.opened = open_database(self.dsn, connections_max=2)
        self.floor = Floor(self.run(self.opened.__aenter__()))
        self.expected: dict[TaskId, Expected] = {}
        self.deleted: dict[TaskId, Expected] = {}
        self.people: list[Assignee] = []
        self.seat = SeatId("")

    def run(self, doing: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(doing)

    def teardown(self) -> None:
        self.run(self.opened.__aexit__(None, None, None))
        self.runner.close()

    @initialize()
    def begin(self) -> None:
        async def people() -> None:
            await self.floor.reset()
            self.people = [await self.floor.worker() for _ in range(2)]
            self.seat = await self.floor.seat()
            await self.floor.settings(ALLOW_REASSIGNMENT_RESOLVED=True)
            await escalation.create_policy(self.floor.platform, PROPERTY, BUILDING, POLICY, actor="boss")

        self.run(people())
        for auto in (False, True):
            self.create("N", spill=not auto, auto=auto, direct=False)

    @property
    def now(self) -> datetime:
        return self.floor.now

    @rule(priority=PRIORITIES, spill=st.booleans(), auto=st.booleans(), direct=st.booleans())
    def create(self, priority: str, spill: bool, auto: bool, direct: bool) -> None:
        assignee = to_seat(self.seat) if direct else None
        wanted = draft(
            priority=priority, raised_by="WD" if spill else "Guard desk", auto_assigned=auto, assignee=assignee
        )
        made: WorkOrder = self.run(
            incidents.create_incident(self.floor.platform, PROPERTY, BUILDING, wanted, actor="guard")
        )
        assert (made.assignee is not None) == (auto or direct)
        if auto and not direct:
            assert made.assignee in self.people
        timeout_s = TIMEOUT_S[priority]
        expected = self.expected[made.id] = Expected(
            kind="INCIDENT",
            status="PUBLISHED" if made.assignee else "NOT_ASSIGNED",
            starts_at=self.now,
            ends_at=self.now + timedelta(seconds=timeout_s),
            timeout_s=timeout_s,
            priority=priority,
            spill=spill,
            opened_at=self.now,
            assignee=made.assignee,
            was_assigned=made.assignee is not None,
        )
        expected.tell("INCIDENT_CREATED" if made.assignee else "INCIDENT_CREATED_OPEN")

    @rule()
    def plan_task(self) -> None:
        worker = self.people[0]
        wanted = TaskDraft(
            zone_id=ZONE,
            name="Mopping",
            starts_at=self.now,
            ends_at=self.now + timedelta(seconds=600),
            tasks=(TaskItem(name="Mop"),),
        )
        (made,) = self.run(
            add_tasks(self.floor.platform, PROPERTY, worker.seat_id, worker.shift_id, [wanted], actor="boss")
        )
        self.expected[made.id] = Expected(
            kind="TASK",
            status="PUBLISHED",
            starts_at=wanted.starts_at,
            ends_at=wanted.ends_at,
            timeout_s=TIMEOUT_S["N"],
            priority="N",
            spill=False,
            opened_at=self.now,
            assignee=worker,
            was_assigned=True,
        )

    @rule(acts=st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 3), st.integers(0, 1)), min_size=3, max_size=8))
    def act(self, acts: list[tuple[str, int, int]]) -> None:
        """Some acts on some incidents, in whatever state they are."""
        for act, which, person in acts:
            if not self.expected:
                return
            task = list(self.expected)[which % len(self.expected)]
            details = {"assign": (person,), "reassign": (person,), "change": ("HL"[person],)}.get(act, ())
            getattr(self, act)(task, *details)

    def attempt(
        self, task: TaskId, allowed: tuple[str, ...], act: Callable[..., Coroutine[Any, Any, Any]], *args: Any
    ) -> Expected | None:
        """Try an act; what is expected of the incident where it may be done, None where it was refused."""
        expected = self.expected.get(task)
        assert expected is not None
        if expected.kind == "TASK" and act not in (work_orders.start_work, work_orders.pause_work, *TASK_ACTS):
            with pytest.raises(WrongParameters):
                self.run(act(self.floor.platform, PROPERTY, task, *args, actor="ann"))
            return None
        if expected.status in allowed:
            self.run(act(self.floor.platform, PROPERTY, task, *args, actor="ann"))
            return expected
        with pytest.raises(WrongState):
            self.run(act(self.floor.platform, PROPERTY, task, *args, actor="ann"))
        return None

    def assign(self, task: TaskId, person: int) -> None:
        if one := self.attempt(task, ("NOT_ASSIGNED",), incidents.assign_incident, self.people[person]):
            one.status, one.assignee = "PUBLISHED", self.people[person]
            self.first_assignment(one)

    def first_assignment(self, one: Expected) -> None:
        if not one.was_assigned:
            one.was_assigned = True
            one.tell("INCIDENT_CREATED", "ASSIGNED")

    def start(self, task: TaskId) -> None:
        expected = self.expected.get(task)
        resumed = expected is not None and expected.status == "PAUSED"
        if one := self.attempt(task, ("PUBLISHED", "PAUSED"), work_orders.start_work):
            one.status = "STARTED"
            if not resumed:
                one.tell(f"{one.kind}_STARTED")

    def start_open(self, task: TaskId) -> None:
        if one := self.attempt(task, ("NOT_ASSIGNED",), incidents.start_open_incident, self.seat):
            one.status, one.assignee = "STARTED", to_seat(self.seat)
            self.first_assignment(one)
            one.tell("INCIDENT_STARTED")

    def pause(self, task: TaskId) -> None:
        if one := self.attempt(task, ("STARTED",), work_orders.pause_work):
            one.status = "PAUSED"

    def complete(self, task: TaskId) -> None:
        begun = ("STARTED", "PAUSED")
        allowed = begun if self.expected[task].kind == "TASK" else ("NOT_ASSIGNED", "PUBLISHED", *begun)
        if one := self.attempt(task, allowed, work_orders.complete_work):
            one.status = "COMPLETED"
            one.tell(f"{one.kind}_COMPLETED")

    def reopen(self, task: TaskId) -> None:
        self.reassign(task, None)

    def reassign(self, task: TaskId, person: int | None) -> None:
        expected = self.expected.get(task)
        if expected is None or expected.reassigned >= 8:
            return
        closed = expected.status in ("COMPLETED", "INCOMPLETE")
        to = None if person is None else self.people[person]
        if one := self.attempt(task, ("PUBLISHED", "COMPLETED", "INCOMPLETE"), incidents.reassign_incident, to):
            one.status, one.assignee = ("PUBLISHED" if to else "NOT_ASSIGNED"), to
            one.reassigned += 1
            if closed:
                one.starts_at, one.ends_at = self.now, self.now + timedelta(seconds=TIMEOUT_S[one.priority])
            if closed or not to:
                one.delayed, one.level, one.opened_at = False, 0, self.now
                one.unassigned_level = 0
            if to:
                self.first_assignment(one)

    def escalate(self, task: TaskId) -> None:
        expected = self.expected.get(task)
        below = ("NOT_ASSIGNED",) if expected and expected.level < 3 else ()
        if one := self.attempt(task, below, escalation.escalate_incident, "unassigned"):
            one.level += 1
            one.unassigned_level = one.level
            one.tell("INCIDENT_ESCALATED")

    def change(self, task: TaskId, priority: Any) -> None:
        allowed = ("NOT_ASSIGNED", "PUBLISHED", "STARTED", "PAUSED")
        if one := self.attempt(task, allowed, incidents.update_incident, IncidentChange(priority=priority)):
            one.priority, one.timeout_s = priority, TIMEOUT_S[priority]
            one.pass_until(self.now)  # what the new time-out makes overdue; the timer is due at once
            self.run(self.floor.fire_due())

    def delete(self, task: TaskId) -> None:
        delete = remove_task if self.expected[task].kind == "TASK" else incidents.delete_incident
        if self.attempt(task, ("NOT_ASSIGNED", "PUBLISHED"), delete):
            self.deleted[task] = self.expected.pop(task)

    @rule(seconds=st.sampled_from([1, 60, 240, 899, 900, 1800, 7200]))
    def time_passes(self, seconds: int) -> None:
        self.run(self.floor.pass_time(seconds))
        self.all_pass_time()

    @rule(seconds=st.sampled_from([240, 900, 3600, 14_400]))
    def nobody_watches_the_clock(self, seconds: int) -> None:
        self.run(self.floor.clock.advance(seconds))
        self.run(self.floor.fire_due())
        self.all_pass_time()

    def all_pass_time(self) -> None:
        for expected in self.expected.values():
            expected.pass_until(self.now)

    @invariant()
    def rows_are_as_expected(self) -> None:
        async def rows() -> dict[str, Any]:
            async with self.floor.database.connection() as connection:
                return {row["id"]: row for row in await connection.fetch("select * from work_orders")}

        found = self.run(rows())
        assert set(found) == set(self.expected)
        for task, expected in self.expected.items():
            row = found[task]
            assert row["status"] == expected.status
            assert row["seat_id"] == (expected.assignee.seat_id if expected.assignee else None)
            assert (row["starts_at"], row["ends_at"]) == (expected.starts_at, expected.ends_at)
            assert (row["delayed"], row["escalation_level"]) == (expected.delayed, expected.level)
            assert row["reassigned"] == expected.reassigned
        timers = self.run(self.floor.timers())
        assert timers == {
            task: min(expected.due())[0] for task, expected in self.expected.items() if any(expected.due())
        }

    @invariant()
    def nothing_happened_without_its_event_and_no_event_without_it(self) -> None:
        told: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
        for event in self.run(self.floor.events()):
            check_envelope(event)
            meta = event["Meta"]
            told[meta["TaskId"]].append((event["Event"], meta["Status"], meta["EscalationLevel"]))
            assert ("SeatId" in meta) == (meta["Status"] != "NOT_ASSIGNED") or meta["Status"] in (
                "COMPLETED",
                "INCOMPLETE",
            )
        assert told == {task: one.told for task, one in {**self.expected, **self.deleted}.items() if one.told}


def test_acts_and_time_in_any_order_leave_what_the_rules_say(modules_dsn: str) -> None:
    WorkOrders.dsn = modules_dsn
    run_state_machine_as_test(
        WorkOrders,
        # A failure is shown as it was found: making it shorter would take minutes.
        settings=settings(max_examples=15, stateful_step_count=15, phases=[Phase.generate]),
    )
