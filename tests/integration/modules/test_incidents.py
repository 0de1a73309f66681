"""Incidents and tasks on a real PostgreSQL: acts, what time brings about, events, races."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from tests.integration.modules.floor import (
    BUILDING,
    LOBBY,
    OTHER_BUILDING,
    OTHER_PROPERTY,
    OTHER_ZONE,
    PROPERTY,
    ZONE,
    Floor,
    at,
    draft,
)
from tests.integration.waiting import wait_someone_waits

from matrixhub.model.errors import (
    LimitViolated,
    MissingParameters,
    NameTaken,
    NotFound,
    QueryTooLong,
    VersionMismatch,
    WrongParameters,
    WrongState,
)
from matrixhub.model.event import check_envelope
from matrixhub.model.ids import SeatId, ShiftId, SlotId, TaskId, ZoneId
from matrixhub.model.site import Slot, Zone
from matrixhub.model.task_catalogue import CustomTask, TaskGroup
from matrixhub.model.work_order import Assignee, TaskItem, WorkOrder
from matrixhub.modules.workforce import (
    comments,
    escalation,
    incidents,
    planning,
    task_catalogue,
    tasks,
    work_orders,
    work_queries,
)
from matrixhub.modules.workforce.assignment import to_seat
from matrixhub.modules.workforce.drafts import parse_incident
from matrixhub.modules.workforce.incidents import IncidentChange
from matrixhub.modules.workforce.overdue import HANDLERS
from matrixhub.modules.workforce.records import availability_record, incident_record, task_record
from matrixhub.modules.workforce.sensors import draft_for_sensor
from matrixhub.modules.workforce.work_orders import Said
from matrixhub.store import Database
from matrixhub.store.escalation import unsent_notices
from matrixhub.store.work_orders import Wanted
from matrixhub.testing.fakes import FakeClock

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def floor(modules_database: Database) -> Floor:
    made = Floor(modules_database)
    await made.reset()
    return made


async def report(floor: Floor, **changes: Any) -> WorkOrder:
    return await incidents.create_incident(floor.platform, PROPERTY, BUILDING, draft(**changes), actor="guard")


async def act(floor: Floor, name: str, order: WorkOrder, **fields: Any) -> WorkOrder:
    """An act of `work_orders` by its name."""
    made: WorkOrder = await getattr(work_orders, f"{name}_work")(
        floor.platform, PROPERTY, order.id, actor="ann", **fields
    )
    return made


async def begun(floor: Floor, **changes: Any) -> WorkOrder:
    return await act(floor, "start", await report(floor, assignee=await floor.worker(), **changes))


# --- creation ---


async def test_a_spill_reading_makes_the_event_of_the_contract_field_by_field(floor: Floor) -> None:
    floor.clock = FakeClock(1_710_036_063_011)
    async with floor.database.connection() as connection:
        await connection.execute("alter sequence work_order_numbers restart with 417")
    slot = Slot(
        id=SlotId("26f591c3a0e8954d71b3c4656f708192"),
        property_id=PROPERTY,
        building_id=BUILDING,
        zone_id=ZONE,
        devtype="SMARTCLEAN#WD",
        name="Spill L2",
        time_zone="Asia/Singapore",
    )
    zone = Zone(id=ZONE, building_id=BUILDING, level_id=slot.id, name="Washroom L2 Male")  # type: ignore[arg-type]
    spill = draft_for_sensor("SMARTCLEAN#WD", slot, zone, at(1_710_036_063))
    await incidents.create_incident(floor.platform, PROPERTY, BUILDING, spill, actor="system")
    (event,) = await floor.events()
    check_envelope(event)
    published = contract_example()
    stem, _, suffix = event.pop("ATTR").rpartition("#")
    assert (stem, len(suffix)) == (published["ATTR"].rpartition("#")[0], 36)
    assert event == {key: value for key, value in published.items() if key != "ATTR"}


def contract_example() -> dict[str, Any]:
    page = (Path(__file__).parents[3] / "docs" / "contract" / "event-bus.md").read_text(encoding="utf-8")
    line = next(line for line in page.splitlines() if line.startswith('[{"ID"'))
    (example,) = msgspec.json.decode(line)
    found: dict[str, Any] = example
    return found


async def test_an_incident_gets_the_published_defaults_and_its_record_exactly_the_published_keys(floor: Floor) -> None:
    fields = {"Name": "Tap drips", "Priority": "L", "Tasks": [{"Name": "Close valve"}], "Zone": ZONE}
    parsed = parse_incident({**fields, "By": "Guard desk", "Subject": "Desk report"})
    made = await incidents.create_incident(floor.platform, PROPERTY, BUILDING, parsed, actor="guard")
    record = incident_record(made)
    assert record.pop("AStart") == record.pop("AEnd") == 0
    assert record == {
        "ID": BUILDING,
        "ATTR": f"attr#{BUILDING}#{ZONE}#{made.id}",
        "AutoAssigned": 0,
        "By": "Guard desk",
        "Delayed": 0,
        "End": 1710032709,
        "EscalationLevel": "L0",
        "EscalationPolicy": "default",
        "EscalationType": "unassigned",
        "EventSource": "API",
        "Expiry": 1741565109,
        "Name": "Tap drips",
        "NS": "TS",
        "Org": "ORCHARD",
        "Priority": "L",
        "PropID": PROPERTY,
        "SeatId": "tbp",
        "ShiftId": "tbp",
        "SRN": f"srn:sctasks:ORCHARD:::{PROPERTY}/{BUILDING}:TS:INCIDENT/{made.id}",
        "Start": 1710029109,
        "Status": "NOT_ASSIGNED",
        "Subject": "Desk report",
        "taskCount": 1,
        "TaskId": made.id,
        "Tasks": [{"Done": 0, "Name": "Close valve", "T": 0}],
        "Type": "INCIDENT",
        "Zone": ZONE,
        "ZoneCatId": "WASHROOMS",
        "ZoneName": "Washroom L2 Male",
    }
    assert await work_orders.read_work(floor.platform, PROPERTY, made.id) == made


@pytest.mark.parametrize("priority, seconds", [("H", 900), ("M", 1200), ("N", 1800), ("L", 3600)])
async def test_the_due_time_is_that_of_the_priority(floor: Floor, priority: str, seconds: int) -> None:
    made = await report(floor, priority=priority)
    assert (made.ends_at - made.starts_at, made.timeout_s) == (timedelta(seconds=seconds), seconds)


async def test_a_batch_is_created_as_a_whole_with_an_event_each_and_different_ids(floor: Floor) -> None:
    drafts = [draft(name=f"n{number}") for number in range(120)]
    made = await incidents.create_incidents(floor.platform, PROPERTY, BUILDING, drafts, actor="guard")
    assert len({order.id for order in made}) == 120
    assert [event["Meta"]["TaskId"] for event in await floor.events()] == [order.id for order in made]
    assert len(await floor.timers()) == 120


@pytest.mark.parametrize(
    "changes, error",
    [
        ({"zone_id": ZoneId("nowhere")}, NotFound),
        ({"zone_id": OTHER_ZONE}, NotFound),
        ({"name": ""}, MissingParameters),
        ({"raised_by": ""}, MissingParameters),
        ({"tasks": ()}, MissingParameters),
        ({"tasks": (TaskItem(name="t"),) * 21}, LimitViolated),
        ({"priority": "X"}, WrongParameters),
        ({"starts_at": at(2000), "ends_at": at(2000)}, WrongParameters),
        ({"assignee": to_seat(SeatId("nobody"))}, NotFound),
    ],
)
async def test_a_draft_that_does_not_fit_is_refused_with_its_whole_batch(
    floor: Floor, changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await incidents.create_incidents(floor.platform, PROPERTY, BUILDING, [draft(), draft(**changes)], actor="guard")
    assert [await floor.count(table) for table in ("work_orders", "events", "timers", "work_order_history")] == [0] * 4


async def test_another_property_reaches_nothing(floor: Floor) -> None:
    made = await report(floor)
    with pytest.raises(NotFound):
        await incidents.create_incident(floor.platform, OTHER_PROPERTY, BUILDING, draft(), actor="x")
    with pytest.raises(NotFound):
        await work_orders.complete_work(floor.platform, OTHER_PROPERTY, made.id, actor="x")
    with pytest.raises(NotFound):
        await incidents.delete_incident(floor.platform, OTHER_PROPERTY, made.id, actor="x")
    with pytest.raises(NotFound):
        await comments.add_comment(floor.platform, OTHER_PROPERTY, made.id, "hello", "x", actor="x")
    for call in (work_orders.read_work, work_orders.timeline, escalation.escalations, comments.list_comments):
        with pytest.raises(NotFound):
            await call(floor.platform, OTHER_PROPERTY, made.id)
    assert await floor.event_names() == ["INCIDENT_CREATED_OPEN"]


async def test_what_is_rolled_back_leaves_nothing(floor: Floor) -> None:
    async def broken() -> None:
        async with floor.platform.work(PROPERTY, "guard") as work:
            await incidents.add_incidents(work, BUILDING, [draft()])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await broken()
    assert [await floor.count(table) for table in ("work_orders", "events", "timers", "work_order_history")] == [0] * 4


# --- assignment ---


async def test_an_incident_that_nobody_can_take_stays_open(floor: Floor) -> None:
    made = await report(floor, auto_assigned=True)
    assert (made.status, made.assignee) == ("NOT_ASSIGNED", None)
    assert await floor.event_names() == ["INCIDENT_CREATED_OPEN"]


@pytest.mark.parametrize(
    "shift", [{"on_break": True}, {"status": "PUBLISHED"}, {"status": "COMPLETED"}, {"zones": [LOBBY]}]
)
async def test_who_is_not_on_duty_for_the_zone_is_given_nothing(floor: Floor, shift: dict[str, Any]) -> None:
    await floor.worker(**shift)
    assert (await report(floor, auto_assigned=True)).assignee is None


async def test_incidents_are_not_assigned_by_themselves_where_the_building_wants_all_asked(floor: Floor) -> None:
    people = [await floor.worker(), await floor.worker(zones=[ZONE])]
    await floor.worker(zones=[LOBBY])
    await floor.settings(AUTO_ASSIGN_INCIDENTS=False)
    made = await report(floor, auto_assigned=True)
    await report(floor)
    assert made.assignee is None
    told = await unsent_notices(floor.database.pool, PROPERTY, 100)
    assert {(notice.work_order_id, notice.entity) for notice in told} == {(made.id, one.seat_id) for one in people}


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "a\x00b"},
        {"description": "half of a character: \ud83d"},
        {"tasks": (TaskItem(name="a\x00b"),)},
        {"zone_id": ZoneId("\x00")},
        {"starts_at": datetime(9999, 12, 31, tzinfo=UTC)},
        {"starts_at": datetime(1, 1, 1, tzinfo=UTC)},
    ],
)
async def test_what_cannot_be_kept_of_an_incident_is_refused(floor: Floor, changes: dict[str, Any]) -> None:
    with pytest.raises(WrongParameters):
        await report(floor, **changes)
    assert await floor.count("work_orders") == 0


async def test_an_incident_of_a_building_that_is_being_removed_is_not_made(floor: Floor) -> None:
    wanted = draft(zone_id=OTHER_ZONE)
    async with floor.database.transaction() as removing:
        await removing.execute("delete from buildings where id = $1", OTHER_BUILDING)
        making = asyncio.create_task(
            incidents.create_incident(floor.platform, OTHER_PROPERTY, OTHER_BUILDING, wanted, actor="guard")
        )
        await wait_someone_waits(removing)
    with pytest.raises(NotFound):
        await making
    assert await floor.event_names() == []


async def test_incidents_are_shared_out_evenly_within_a_batch_and_between_those_at_once(floor: Floor) -> None:
    people = [await floor.worker(zones=zones) for zones in ([], [ZONE], [ZONE, LOBBY])]
    drafts = [draft(auto_assigned=True)] * 10
    made = await asyncio.gather(
        *(incidents.create_incidents(floor.platform, PROPERTY, BUILDING, drafts, actor="g") for _ in range(6))
    )
    shares = Counter(order.assignee for batch in made for order in batch)
    assert shares == Counter(dict.fromkeys(people, 20))
    assert await floor.event_names() == ["INCIDENT_CREATED"] * 60
    assert {event["Meta"]["Status"] for event in await floor.events()} == {"ASSIGNED"}


async def test_who_has_less_on_hand_comes_first_and_then_who_was_given_one_longest_ago(floor: Floor) -> None:
    first, second = [await floor.worker() for _ in range(2)]
    one = await report(floor, auto_assigned=True)
    await floor.clock.advance(1)
    two = await report(floor, auto_assigned=True)
    assert (one.assignee, two.assignee) == (first, second)
    for order in (one, two):
        await act(floor, "complete", order)
    await floor.clock.advance(1)
    assert (await report(floor, auto_assigned=True)).assignee == first
    await act(floor, "complete", await report(floor, auto_assigned=True))
    await floor.clock.advance(1)
    assert (await report(floor, auto_assigned=True)).assignee == second


async def test_an_open_incident_gets_its_first_assignee_with_event_1_and_no_second_one(floor: Floor) -> None:
    made, worker, other = await report(floor), await floor.worker(), await floor.worker()
    given = await incidents.assign_incident(floor.platform, PROPERTY, made.id, worker, actor="boss")
    assert given.status == "PUBLISHED"
    record = incident_record(given)
    assert record["ATTR"] == f"attr#{BUILDING}#{worker.seat_id}#{worker.shift_id}#{made.id}"
    with pytest.raises(WrongState):
        await incidents.assign_incident(floor.platform, PROPERTY, made.id, other, actor="boss")
    await incidents.reassign_incident(floor.platform, PROPERTY, made.id, None, actor="boss")
    await incidents.assign_incident(floor.platform, PROPERTY, made.id, other, actor="boss")
    events = await floor.events()
    assert [event["Event"] for event in events] == ["INCIDENT_CREATED_OPEN", "INCIDENT_CREATED"]
    assert "SeatId" not in events[0]["Meta"]
    assert events[1]["Meta"]["SeatId"] == worker.seat_id
    assert events[1]["Meta"]["Status"] == "ASSIGNED"


async def test_a_shift_that_is_no_choice_is_refused(floor: Floor) -> None:
    made, worker = await report(floor), await floor.worker()
    over = await floor.shift(worker.seat_id, status="COMPLETED")
    idle = await floor.seat(active=False)
    stranger = await floor.seat(property_id=OTHER_PROPERTY)
    cases: list[tuple[Assignee, type[Exception]]] = [
        (replace(worker, shift_id=over), WrongState),
        (replace(worker, shift_id=ShiftId("none")), NotFound),
        (replace(worker, seat_id=await floor.seat()), WrongParameters),
        (to_seat(idle), WrongState),
        (to_seat(stranger), NotFound),
    ]
    for assignee, error in cases:
        with pytest.raises(error):
            await incidents.assign_incident(floor.platform, PROPERTY, made.id, assignee, actor="boss")
    assert await floor.event_names() == ["INCIDENT_CREATED_OPEN"]


async def test_who_starts_an_open_incident_has_it(floor: Floor) -> None:
    made, seat = await report(floor), await floor.seat()
    going = await incidents.start_open_incident(floor.platform, PROPERTY, made.id, seat, actor="ann")
    assert (going.status, going.assignee) == ("STARTED", to_seat(seat))
    assert await floor.event_names() == ["INCIDENT_CREATED_OPEN", "INCIDENT_CREATED", "INCIDENT_STARTED"]


async def test_an_incident_that_is_reassigned_after_completion_starts_its_life_anew(floor: Floor) -> None:
    await floor.settings(ALLOW_REASSIGNMENT_RESOLVED=True)
    made, other = await act(floor, "complete", await begun(floor)), await floor.worker()
    await floor.clock.advance(100)
    again = await incidents.reassign_incident(floor.platform, PROPERTY, made.id, other, actor="boss")
    assert (again.status, again.assignee, again.started_at, again.reassigned) == ("PUBLISHED", other, None, 1)
    assert (again.starts_at, again.ends_at) == (floor.now, floor.now + timedelta(seconds=1800))
    assert not again.tasks[0].done
    assert (await floor.timers())[made.id] == again.ends_at  # delayed there


async def test_reassignment_is_bound_by_the_settings(floor: Floor) -> None:
    async def again(order: WorkOrder) -> WorkOrder:
        return await incidents.reassign_incident(floor.platform, PROPERTY, order.id, await floor.worker(), actor="b")

    done = await act(floor, "complete", await begun(floor))
    with pytest.raises(WrongState, match="ALLOW_REASSIGNMENT_RESOLVED"):
        await again(done)
    await floor.settings(ALLOW_REASSIGNMENT_RESOLVED=True)
    await floor.clock.advance(86_401)
    with pytest.raises(WrongState, match="REASSIGNMENT_RESOLVED_MAX"):
        await again(done)
    with pytest.raises(WrongState):
        await again(await begun(floor))
    assigned = await report(floor, assignee=await floor.worker())
    await floor.settings(MAX_INCIDENT_REASSIGN_COUNT=2)
    for _ in range(2):
        await again(assigned)
    with pytest.raises(LimitViolated):
        await again(assigned)
    await floor.settings(ALLOW_INCIDENT_REASSIGNMENT=False)
    with pytest.raises(WrongState, match="ALLOW_INCIDENT_REASSIGNMENT"):
        await again(await report(floor, assignee=await floor.worker()))


# --- acts ---


async def test_an_incident_goes_its_way_from_assignment_to_completion(floor: Floor) -> None:
    made = await begun(floor)
    await floor.clock.advance(60)
    assert (await act(floor, "pause", made)).status == "PAUSED"
    assert (await act(floor, "start", made)).started_at == made.started_at
    await floor.clock.advance(60)
    done = await act(floor, "complete", made)
    assert (done.status, done.tasks[0].done) == ("COMPLETED", True)
    events = await floor.events()
    assert [event["Event"] for event in events] == ["INCIDENT_CREATED", "INCIDENT_STARTED", "INCIDENT_COMPLETED"]
    assert (events[2]["Meta"]["AStart"], events[2]["Meta"]["AEnd"]) == (1710029109, 1710029229)
    entries = await work_orders.timeline(floor.platform, PROPERTY, made.id)
    assert [(entry.act, entry.status) for entry in entries] == [
        ("create", "PUBLISHED"),
        ("start", "STARTED"),
        ("pause", "PAUSED"),
        ("resume", "STARTED"),
        ("complete", "COMPLETED"),
    ]
    assert {entry.actor for entry in entries} == {"guard", "ann"}
    assert await floor.timers() == {}


async def test_an_act_for_another_seat_is_refused(floor: Floor) -> None:
    made = await report(floor, assignee=await floor.worker())
    with pytest.raises(WrongParameters):
        await act(floor, "start", made, said=Said(seat_id=await floor.seat()))
    assert made.assignee
    assert (await act(floor, "start", made, said=Said(seat_id=made.assignee.seat_id))).status == "STARTED"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (Said(building_id=OTHER_BUILDING), NotFound),
        (Said(zone_id=LOBBY), WrongParameters),
        (Said(seat_id=SeatId("s")), WrongParameters),
        (Said(shift_id=ShiftId("s")), WrongParameters),
        (Said(version=7), VersionMismatch),
    ],
)
async def test_what_is_said_of_a_work_order_must_be_so(floor: Floor, said: Said, error: type[Exception]) -> None:
    worker = await floor.worker()
    made = await report(floor, assignee=worker)
    with pytest.raises(error):
        await act(floor, "start", made, said=said)
    for ask in (work_orders.read_work, work_orders.timeline, comments.list_comments, escalation.escalations):
        with pytest.raises(error):
            await ask(floor.platform, PROPERTY, made.id, said)
    assert await work_orders.read_work(floor.platform, PROPERTY, made.id) == made
    so = Said(building_id=BUILDING, zone_id=ZONE, seat_id=worker.seat_id, shift_id=worker.shift_id, version=1)
    assert (await act(floor, "start", made, said=so)).status == "STARTED"


async def test_an_incident_is_reported_with_few_statements(floor: Floor) -> None:
    asked: list[str] = []
    async with floor.platform.work(PROPERTY, "ann") as work:
        with work.connection.query_logger(lambda record: asked.append(record.query)):
            await incidents.add_incidents(work, BUILDING, [draft()])
            await work.settle()
    assert len(asked) == 4, asked  # what there is, what becomes of it, its timer, its event


async def test_two_starts_at_once_have_one_winner(floor: Floor) -> None:
    made = await report(floor, assignee=await floor.worker())
    outcomes = await asyncio.gather(*(act(floor, "start", made) for _ in range(4)), return_exceptions=True)
    assert Counter(type(outcome) for outcome in outcomes) == {WorkOrder: 1, WrongState: 3}
    assert await floor.event_names() == ["INCIDENT_CREATED", "INCIDENT_STARTED"]


async def test_changes_at_once_lose_nothing(floor: Floor) -> None:
    made = await report(floor)
    await asyncio.gather(
        incidents.update_incident(floor.platform, PROPERTY, made.id, IncidentChange(name="Pipe"), actor="a"),
        incidents.update_incident(floor.platform, PROPERTY, made.id, IncidentChange(priority="H"), actor="b"),
        incidents.move_incident(floor.platform, PROPERTY, made.id, LOBBY, actor="c"),
        incidents.assign_incident(floor.platform, PROPERTY, made.id, await floor.worker(), actor="d"),
        work_orders.update_attachments(floor.platform, PROPERTY, made.id, ["a.jpg"], actor="e"),
        comments.add_comment(floor.platform, PROPERTY, made.id, "hello", "f", actor="f"),
    )
    found = await work_orders.read_work(floor.platform, PROPERTY, made.id)
    assert (found.name, found.priority, found.timeout_s, found.zone_name) == ("Pipe", "H", 900, "Lobby")
    assert (found.status, found.attachments, found.version) == ("PUBLISHED", ("a.jpg",), 6)
    assert found.description == "Pipe in Lobby"


async def test_incidents_are_changed_together_or_not_at_all(floor: Floor) -> None:
    one, two = await report(floor), await act(floor, "complete", await report(floor))
    with pytest.raises(WrongState):
        await incidents.update_incidents(
            floor.platform, PROPERTY, [two.id, one.id], IncidentChange(name="x"), actor="a"
        )
    assert (await work_orders.read_work(floor.platform, PROPERTY, one.id)).name == "Tap drips"
    with pytest.raises(MissingParameters):
        await incidents.update_incidents(floor.platform, PROPERTY, [one.id], IncidentChange(), actor="a")


async def test_only_what_nobody_began_is_deleted_and_its_timeline_stays(floor: Floor) -> None:
    made = await report(floor)
    await incidents.delete_incident(floor.platform, PROPERTY, made.id, actor="boss")
    entries = await work_orders.timeline(floor.platform, PROPERTY, made.id)
    assert [entry.act for entry in entries] == ["create", "delete"]
    assert await floor.timers() == {}
    with pytest.raises(NotFound):
        await work_orders.read_work(floor.platform, PROPERTY, made.id)
    with pytest.raises(WrongState):
        await incidents.delete_incident(floor.platform, PROPERTY, (await begun(floor)).id, actor="boss")
    await floor.settings(ALLOW_DELETION_OPEN_INCIDENTS=False)
    with pytest.raises(WrongState, match="ALLOW_DELETION_OPEN_INCIDENTS"):
        await incidents.delete_incident(floor.platform, PROPERTY, (await report(floor)).id, actor="boss")


async def test_comments_are_added_changed_listed_and_deleted(floor: Floor) -> None:
    made = await report(floor)
    first = await comments.add_comment(floor.platform, PROPERTY, made.id, "wet", "Ann", actor="ann")
    second = await comments.add_comment(floor.platform, PROPERTY, made.id, "dry", "Bob", actor="bob")
    await comments.update_comment(floor.platform, PROPERTY, made.id, first.id, "very wet", "Ann", actor="ann")
    await comments.delete_comment(floor.platform, PROPERTY, made.id, second.id, actor="bob")
    (left,) = await comments.list_comments(floor.platform, PROPERTY, made.id)
    assert (left.comment, left.id) == ("very wet", first.id)
    with pytest.raises(NotFound):
        await comments.delete_comment(floor.platform, PROPERTY, made.id, second.id, actor="bob")
    with pytest.raises(MissingParameters):
        await comments.add_comment(floor.platform, PROPERTY, made.id, " ", "Ann", actor="ann")
    entries = await work_orders.timeline(floor.platform, PROPERTY, made.id)
    assert [entry.detail.get("comment") for entry in entries[1:]] == ["added", "added", "changed", "deleted"]


# --- time ---


async def test_an_incident_nobody_begins_is_delayed_and_then_incomplete(floor: Floor) -> None:
    made = await report(floor, priority="H")
    await floor.pass_time(899)
    assert not (await work_orders.read_work(floor.platform, PROPERTY, made.id)).delayed
    await floor.pass_time(1)
    late = await work_orders.read_work(floor.platform, PROPERTY, made.id)
    assert (late.delayed, late.status) == (True, "NOT_ASSIGNED")
    await floor.pass_time(899)
    assert await floor.event_names() == ["INCIDENT_CREATED_OPEN"]
    await floor.pass_time(1)
    gone = await work_orders.read_work(floor.platform, PROPERTY, made.id)
    assert gone.status == "INCOMPLETE"
    assert incident_record(gone)["AEnd"] == 0
    assert await floor.event_names() == ["INCIDENT_CREATED_OPEN", "INCIDENT_INCOMPLETE"]
    assert await floor.timers() == {}


async def test_an_incident_that_was_begun_has_one_more_time_out(floor: Floor) -> None:
    made = await begun(floor, priority="H")
    await floor.pass_time(900 + 900 + 899)
    assert (await work_orders.read_work(floor.platform, PROPERTY, made.id)).status == "STARTED"
    await floor.pass_time(1)
    assert (await work_orders.read_work(floor.platform, PROPERTY, made.id)).status == "INCOMPLETE"


async def test_after_an_outage_everything_overdue_happens_at_once_in_order(floor: Floor) -> None:
    await escalation.create_policy(floor.platform, PROPERTY, BUILDING, POLICY, actor="boss")
    made = await report(floor, priority="H")
    await floor.clock.advance(86_400)
    assert await floor.fire_due() == 1
    assert await floor.fire_due() == 0
    acts = [entry.act for entry in await work_orders.timeline(floor.platform, PROPERTY, made.id)]
    assert acts == ["create", "escalate", "escalate", "delay", "escalate", "escalate", "expire"]


async def test_two_schedulers_at_once_fire_a_timer_once(floor: Floor) -> None:
    made = await report(floor, priority="H")
    await floor.clock.advance(1800)

    async def fire() -> None:
        async with floor.platform.work(PROPERTY) as work:
            await HANDLERS["work_order"](work, made.id)

    await asyncio.gather(*(fire() for _ in range(4)))
    assert await floor.event_names() == ["INCIDENT_CREATED_OPEN", "INCIDENT_INCOMPLETE"]


async def test_a_timer_whose_incident_is_gone_goes_too(floor: Floor) -> None:
    async with floor.platform.work(PROPERTY) as work:
        work.set_timer("work_order", "nothing", floor.now)
    assert await floor.fire_due() == 1
    assert await floor.timers() == {}


# --- escalation ---

ASSIGNEE = {"Entity": "$assignee", "EntityMedium": "MATRIX_APP_NOTIFICATION", "MediumDetails": {}}
MAIL = {"Entity": "duty@orchard.example", "EntityMedium": "EMAIL", "MediumDetails": {}}
POLICY: dict[str, Any] = {
    "Name": "Washrooms",
    "Description": "Standard",
    "IncidentTypes": ["*"],
    "TargetDurations": [{"Priority": "H", "StartThreshold": 300, "DueTime": 900}],
    "UnassignedSettings": [
        {"Level": "L0", "Action": "NOTIFY", "Recipients": [ASSIGNEE, MAIL], "TimeAfter": 0},
        {"Level": "L1", "Action": "NOTIFY", "Recipients": [MAIL], "TimeAfter": 240},
    ],
    "StartThresholdSettings": [
        {"Level": "L0", "Action": "NOTIFY", "Recipients": [ASSIGNEE], "TimeAfter": 0},
        {"Level": "L2", "Action": "NOTIFY", "Recipients": [{**MAIL, "NotifyForIncidents": ["WD"]}], "TimeAfter": 700},
    ],
    "DueTimeThresholdSettings": [{"Level": "L1", "Action": "NOTIFY", "Recipients": [ASSIGNEE, MAIL], "TimeAfter": 300}],
}


async def test_levels_are_reached_in_time_told_to_whom_it_concerns_and_stop(floor: Floor) -> None:
    await escalation.create_policy(floor.platform, PROPERTY, BUILDING, POLICY, actor="boss")
    made, worker = await report(floor, priority="H", raised_by="FD"), await floor.worker()
    await floor.pass_time(239)
    assert await floor.event_names() == ["INCIDENT_CREATED_OPEN"]
    await floor.pass_time(1)
    await incidents.assign_incident(floor.platform, PROPERTY, made.id, worker, actor="boss")
    await floor.pass_time(60)
    await act(floor, "start", made)
    await floor.pass_time(900)  # due at 900, L1 at 1200
    await act(floor, "complete", made)
    await floor.pass_time(86_400)
    events = [event for event in await floor.events() if event["Event"] == "INCIDENT_ESCALATED"]
    assert [event["Meta"]["EscalationLevel"] for event in events] == ["L1", "L0", "L1"]
    assert [event["UnixTimeInt"] - 1710029109 for event in events] == [240, 300, 1200]
    told = [
        (notice.type, notice.level, notice.entity, notice.medium)
        for notice in await unsent_notices(floor.database.pool, PROPERTY, 100)
    ]
    assert sorted(told) == [
        ("dueTime", 1, worker.seat_id, "MATRIX_APP_NOTIFICATION"),
        ("dueTime", 1, "duty@orchard.example", "EMAIL"),
        ("startTime", 0, worker.seat_id, "MATRIX_APP_NOTIFICATION"),
        ("unassigned", 0, "duty@orchard.example", "EMAIL"),
        ("unassigned", 1, "duty@orchard.example", "EMAIL"),
    ]
    entries = await escalation.escalations(floor.platform, PROPERTY, made.id)
    assert [(entry.detail["type"], entry.detail["level"]) for entry in entries] == [
        ("unassigned", "L1"),
        ("startTime", "L0"),
        ("dueTime", "L1"),
    ]


async def test_an_incident_goes_by_the_policy_it_was_created_under(floor: Floor) -> None:
    await escalation.create_policy(floor.platform, PROPERTY, BUILDING, POLICY, actor="boss")
    made = await report(floor, priority="H")
    sooner = {"UnassignedSettings": [{"Level": "L1", "Recipients": [], "TimeAfter": 10}]}
    changed = await escalation.update_policy_settings(floor.platform, PROPERTY, BUILDING, sooner, actor="boss")
    assert changed.version == 2
    await floor.pass_time(100)
    assert await escalation.escalations(floor.platform, PROPERTY, made.id) == []
    other = await report(floor, priority="H")
    await floor.pass_time(10)
    assert len(await escalation.escalations(floor.platform, PROPERTY, other.id)) == 1


async def test_a_level_is_raised_by_hand_up_to_the_third(floor: Floor) -> None:
    made = await report(floor)
    for level in (1, 2, 3):
        raised = await escalation.escalate_incident(floor.platform, PROPERTY, made.id, "unassigned", actor="boss")
        assert raised.escalation_level == level
    with pytest.raises(WrongState):
        await escalation.escalate_incident(floor.platform, PROPERTY, made.id, "unassigned", actor="boss")
    with pytest.raises(WrongParameters):
        await escalation.escalate_incident(floor.platform, PROPERTY, made.id, "never", actor="b")  # type: ignore[arg-type]
    assigned = await report(floor, assignee=await floor.worker())
    with pytest.raises(WrongState):
        await escalation.escalate_incident(floor.platform, PROPERTY, assigned.id, "unassigned", actor="boss")
    assert (await floor.event_names()).count("INCIDENT_ESCALATED") == 3


async def test_a_level_reached_by_hand_is_not_reached_again_by_time(floor: Floor) -> None:
    await escalation.create_policy(floor.platform, PROPERTY, BUILDING, POLICY, actor="boss")
    made = await report(floor, priority="H")
    await escalation.escalate_incident(floor.platform, PROPERTY, made.id, "unassigned", actor="boss")
    await floor.pass_time(299)
    assert len(await escalation.escalations(floor.platform, PROPERTY, made.id)) == 1


async def test_policies_are_created_read_and_changed_without_losing_changes(floor: Floor) -> None:
    made = await escalation.create_policy(floor.platform, PROPERTY, BUILDING, POLICY, actor="boss")
    assert made.id == "default"
    assert await escalation.read_policy(floor.platform, PROPERTY, BUILDING) == made
    own = {**POLICY, "IsDefault": False, "IncidentTypes": ["WD"]}
    second = await escalation.create_policy(floor.platform, PROPERTY, BUILDING, own, actor="boss")
    details = {"PolicyId": second.id, "Name": "Spills", "IncidentTypes": ["FD"]}
    targets = {"PolicyId": second.id, "TargetDurations": {"L": {"StartThreshold": 1, "DueTime": 2}}}
    await asyncio.gather(
        escalation.update_policy_details(floor.platform, PROPERTY, BUILDING, details, actor="boss"),
        escalation.update_policy_targets(floor.platform, PROPERTY, BUILDING, targets, actor="boss"),
    )
    found = await escalation.read_policy(floor.platform, PROPERTY, BUILDING, second.id)
    assert (found.version, found.name, found.incident_types, sorted(found.targets)) == (
        3,
        "Spills",
        ("WD", "FD"),
        ["H", "L"],
    )
    assert len(await escalation.list_policies(floor.platform, PROPERTY, BUILDING)) == 2
    with pytest.raises(NotFound):
        await escalation.read_policy(floor.platform, OTHER_PROPERTY, BUILDING)


# --- tasks ---


def planned(floor: Floor, **changes: Any) -> tasks.TaskDraft:
    return tasks.TaskDraft(
        **{
            "zone_id": ZONE,
            "name": "Mopping",
            "starts_at": floor.now,
            "ends_at": floor.now + timedelta(hours=1),
            "tasks": (TaskItem(name="Mop"), TaskItem(name="Dry")),
            **changes,
        }
    )


async def test_a_task_is_published_with_its_shift_and_done(floor: Floor) -> None:
    seat = await floor.seat()
    shift = await floor.shift(seat, status="UNPUBLISHED")
    (made,) = await tasks.add_tasks(floor.platform, PROPERTY, seat, shift, [planned(floor)], actor="boss")
    assert (made.status, await floor.timers()) == ("UNPUBLISHED", {})
    with pytest.raises(WrongState):
        await act(floor, "start", made)
    async with floor.platform.work(PROPERTY, "boss") as work:
        (published,) = await tasks.publish_tasks(work, [shift])
    assert published.status == "PUBLISHED"
    await act(floor, "start", made)
    await floor.clock.advance(60)
    done = await act(floor, "complete", made, tasks=[TaskItem(name="Mop", done=True), TaskItem(name="Dry")])
    assert [task.done for task in done.tasks] == [True, False]
    events = await floor.events()
    assert [event["Event"] for event in events] == ["TASK_STARTED", "TASK_COMPLETED"]
    assert events[1]["Meta"]["Type"] == "TASK"
    assert events[1]["Meta"]["SourceDeviceIdentifier"] == []
    assert (events[1]["Meta"]["SeatId"], events[1]["Meta"]["ShiftId"]) == (seat, shift)
    record = task_record(done)
    assert (record["LocalTime"], record["TimeZone"], record["Type"]) == ("20240310080509", "Asia/Singapore", "TASK")


async def test_a_task_that_is_not_done_in_time_becomes_incomplete(floor: Floor) -> None:
    worker = await floor.worker()
    (made,) = await tasks.add_tasks(
        floor.platform, PROPERTY, worker.seat_id, worker.shift_id, [planned(floor)], actor="boss"
    )
    await floor.pass_time(3600 + 1800)
    found = await work_orders.read_work(floor.platform, PROPERTY, made.id)
    assert (found.status, found.delayed) == ("INCOMPLETE", True)
    assert await floor.event_names() == ["TASK_INCOMPLETE"]


async def test_task_groups_are_refused_or_removed(floor: Floor) -> None:
    worker = await floor.worker()
    over = await floor.shift(worker.seat_id, status="COMPLETED")

    async def add(shift: ShiftId, *drafts: tasks.TaskDraft) -> list[WorkOrder]:
        return await tasks.add_tasks(floor.platform, PROPERTY, worker.seat_id, shift, drafts, actor="boss")

    cases: list[tuple[ShiftId, tasks.TaskDraft, type[Exception]]] = [
        (over, planned(floor), WrongState),
        (ShiftId("none"), planned(floor), NotFound),
        (worker.shift_id, planned(floor, zone_id=OTHER_ZONE), NotFound),
        (worker.shift_id, planned(floor, tasks=(TaskItem(name="t"),) * 21), LimitViolated),
        (worker.shift_id, planned(floor, tasks=()), MissingParameters),
        (worker.shift_id, planned(floor, ends_at=floor.now), WrongParameters),
    ]
    for shift, wanted, error in cases:
        with pytest.raises(error):
            await add(shift, planned(floor), wanted)
    assert await floor.count("work_orders") == 0
    one, two = await add(worker.shift_id, planned(floor), planned(floor))
    await tasks.remove_task(floor.platform, PROPERTY, one.id, said=Said(seat_id=worker.seat_id), actor="boss")
    await act(floor, "start", two)
    with pytest.raises(WrongState):
        await tasks.remove_task(floor.platform, PROPERTY, two.id, actor="boss")
    async with floor.platform.work(PROPERTY, "boss") as work:
        assert await tasks.remove_tasks(work, [worker.shift_id]) == []
    assert await floor.count("work_orders") == 1


async def test_an_adhoc_task_begins_at_once_and_needs_a_shift_that_has_started(floor: Floor) -> None:
    worker = await floor.worker()
    ends_at = floor.now + timedelta(minutes=5)
    made = await tasks.start_adhoc_task(floor.platform, PROPERTY, worker.shift_id, ZONE, ends_at, by="Ann", actor="ann")
    assert (made.status, made.started_at, made.raised_by) == ("STARTED", floor.now, "Ann")
    await act(floor, "complete", made)
    assert await floor.event_names() == ["TASK_STARTED", "TASK_COMPLETED"]
    await floor.set_shift(worker.shift_id, status="COMPLETED")
    with pytest.raises(WrongState):
        await tasks.start_adhoc_task(floor.platform, PROPERTY, worker.shift_id, ZONE, ends_at, actor="ann")


# --- questions ---


async def test_work_is_found_by_place_state_and_time_in_pages(floor: Floor) -> None:
    worker = await floor.worker()
    made = [await report(floor, starts_at=at(1710029109 + number)) for number in range(5)]
    await tasks.add_tasks(floor.platform, PROPERTY, worker.seat_id, worker.shift_id, [planned(floor)], actor="boss")
    await act(floor, "complete", made[4])
    ids: list[TaskId] = []
    wanted, key = Wanted(building_id=BUILDING, type="INCIDENT", statuses=("NOT_ASSIGNED",)), ""
    while True:
        page = await work_queries.page_work(floor.platform, PROPERTY, wanted, key=key, size=3)
        ids += [order.id for order in page.items]
        if not (key := page.last_key):
            break
    assert ids == [order.id for order in made[:4]]
    in_range = Wanted(zone_id=ZONE, since=at(1710029110), until=at(1710029112))
    assert [o.id for o in await work_queries.list_work(floor.platform, PROPERTY, in_range)] == [
        order.id for order in made[1:3]
    ]
    (last,) = await work_queries.last_tasks(floor.platform, PROPERTY, seat_id=worker.seat_id)
    assert last.type == "TASK"
    assert await work_queries.count_work(floor.platform, PROPERTY, building_id=BUILDING) == {
        ("INCIDENT", "NOT_ASSIGNED"): 4,
        ("INCIDENT", "COMPLETED"): 1,
        ("TASK", "PUBLISHED"): 1,
    }
    with pytest.raises(NotFound):
        await work_queries.page_work(floor.platform, OTHER_PROPERTY, wanted)
    ((candidate, working),) = await work_queries.on_duty(floor.platform, PROPERTY, BUILDING, [ZONE])
    assert (candidate.seat_id, working) == (worker.seat_id, [])
    nulls = dict.fromkeys(("ZoneName", "SameZone", "Status", "StartTime", "ZoneID"))
    assert availability_record([(candidate, working)], [ZONE]) == {
        worker.seat_id: [{"ShiftID": worker.shift_id, **nulls}]
    }
    busy = await act(floor, "start", await report(floor, assignee=worker))
    found = await work_queries.on_duty(floor.platform, PROPERTY, BUILDING, [ZONE])
    assert availability_record(found, [LOBBY]) == {
        worker.seat_id: [
            {
                "ShiftID": worker.shift_id,
                "ZoneName": "Washroom L2 Male",
                "SameZone": False,
                "Status": "STARTED",
                "StartTime": 1710029109,
                "ZoneID": busy.zone_id,
            }
        ]
    }


async def test_a_question_that_is_too_large_or_no_question_is_refused(floor: Floor) -> None:
    cases: list[tuple[Wanted, type[Exception]]] = [
        (Wanted(), WrongParameters),
        (Wanted(since=at(0), until=at(0) + timedelta(days=32)), QueryTooLong),
    ]
    for wanted, error in cases:
        with pytest.raises(error):
            await work_queries.list_work(floor.platform, PROPERTY, wanted)
    for key in ("nonsense", "e30=", "äö"):
        with pytest.raises(WrongParameters):
            await work_queries.page_work(floor.platform, PROPERTY, Wanted(), key=key)
    with pytest.raises(QueryTooLong):
        await work_queries.last_tasks(floor.platform, PROPERTY, limit=101)
    with pytest.raises(WrongParameters):
        await work_queries.last_tasks(floor.platform, PROPERTY, until=datetime(1, 1, 1, tzinfo=UTC))


async def test_tasks_are_published_and_removed_with_their_shift(floor: Floor) -> None:
    seat = await floor.seat()
    kept, gone = [await floor.shift(seat, status="UNPUBLISHED") for _ in range(2)]
    for shift in (kept, gone):
        await tasks.add_tasks(floor.platform, PROPERTY, seat, shift, [planned(floor)], actor="boss")
    await planning.publish_shifts(floor.platform, PROPERTY, BUILDING, [kept], actor="boss")
    await planning.delete_shifts(floor.platform, PROPERTY, [(seat, gone)], actor="boss")
    ((found,), (timer,)) = (
        await work_queries.list_work(
            floor.platform, PROPERTY, Wanted(since=floor.now, until=floor.now + timedelta(days=1))
        ),
        [name for name in await floor.timers() if name not in (kept, gone)],
    )
    assert (found.status, found.id) == ("PUBLISHED", timer)


async def test_sensors_incidents_go_to_who_is_available_where_the_building_wants_that(floor: Floor) -> None:
    on_duty, available = await floor.worker(), await floor.seat()
    async with floor.database.connection() as connection:
        await connection.execute(
            "insert into workforce_settings (building_id, property_id, schedule) values ($1, $2, $3)",
            BUILDING,
            PROPERTY,
            {"BUILDING_AVAILBILITY": "1"},
        )
        # 08:05 of a Sunday in Singapore
        await connection.execute(
            "insert into availabilities (property_id, seat_id, day_of_week, slots) values ($1, $2, 0, $3)",
            PROPERTY,
            available,
            [{"start_s": 8 * 3600, "end_s": 17 * 3600, "name": "day"}],
        )
    spill = await report(floor, auto_assigned=True, source_slots=(SlotId("s"),), raised_by="WD")
    person = await report(floor, auto_assigned=True)
    assert (spill.assignee, person.assignee) == (to_seat(available), on_duty)
    both = [
        draft(auto_assigned=True, source_slots=(SlotId("s"),) if number % 2 else (), raised_by="x")
        for number in range(6)
    ]
    made = await incidents.create_incidents(floor.platform, PROPERTY, BUILDING, both, actor="system")
    assert [order.assignee for order in made] == [on_duty, to_seat(available)] * 3
    await floor.clock.advance(9 * 3600)
    late = await report(floor, auto_assigned=True, event_source="Sensors")
    assert late.assignee is None


async def test_a_subscriber_infers_from_events_alone_when_a_zone_was_last_cleaned(floor: Floor) -> None:
    worker = await floor.worker()
    wanted = [planned(floor), planned(floor), planned(floor, zone_id=LOBBY)]
    made = await tasks.add_tasks(floor.platform, PROPERTY, worker.seat_id, worker.shift_id, wanted, actor="boss")
    for order in made:
        await act(floor, "start", order)
        await floor.clock.advance(60)
        if order.zone_id == ZONE:
            await act(floor, "complete", order)
    await report(floor)
    example = Path(__file__).parents[3] / "examples" / "last_clean.py"
    spec = importlib.util.spec_from_file_location("last_clean", example)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    found = module.last_clean_times(await floor.events())
    assert {zone: (known.last_clean_at, known.under_way_since) for zone, known in found.items()} == {
        ZONE: (1710029109 + 120, None),
        LOBBY: (None, 1710029109 + 120),
    }


# --- the catalogue ---


async def test_the_catalogue_keeps_its_quotas_also_when_asked_at_once(floor: Floor) -> None:
    async def add(number: int, *categories: str) -> TaskGroup:
        group = TaskGroup(name=f"g{number}", tasks=("Mop",), zone_categories=categories)
        return await task_catalogue.add_task_group(floor.platform, PROPERTY, group, actor="boss")

    first = await add(0)
    outcomes = await asyncio.gather(*(add(number, "LABS") for number in range(1, 24)), return_exceptions=True)
    assert Counter(map(type, outcomes)) == {TaskGroup: 19, LimitViolated: 4}
    with pytest.raises(NameTaken):
        await add(0, "ROOMS")
    assert len(await task_catalogue.list_task_groups(floor.platform, PROPERTY, "LABS")) == 20
    assert await task_catalogue.list_task_groups(floor.platform, PROPERTY, "ROOMS") == [first]
    await task_catalogue.remove_task_group(floor.platform, PROPERTY, first.id, actor="boss")
    await add(30, "LABS")
    with pytest.raises(NotFound):
        await task_catalogue.remove_task_group(floor.platform, PROPERTY, first.id, actor="boss")

    mop = CustomTask(name="Mop twice", skills=("mopping",), minutes=10)
    made = await task_catalogue.add_custom_task(floor.platform, PROPERTY, mop, actor="boss")
    assert await task_catalogue.list_custom_tasks(floor.platform, PROPERTY) == [made]
    with pytest.raises(NameTaken):
        await task_catalogue.add_custom_task(floor.platform, PROPERTY, mop, actor="boss")
    with pytest.raises(NotFound):
        await task_catalogue.remove_custom_task(floor.platform, OTHER_PROPERTY, made.id, actor="boss")
    await task_catalogue.remove_custom_task(floor.platform, PROPERTY, made.id, actor="boss")
    assert await task_catalogue.list_custom_tasks(floor.platform, PROPERTY) == []
