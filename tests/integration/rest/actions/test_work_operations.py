"""Operations on incidents, task groups, settings and policies: each with its example and with what it refuses.

Source: docs/contract/incidents.md, docs/contract/workforce.md §5, docs/contract/web-services.md §4, §5
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.rest.actions.desk import Desk, furnish
from tests.integration.rest.rig import Rig

from matrixhub.api.actions import escalation, incidents, tasks, workforce_settings
from matrixhub.api.actions.operation import Operation
from matrixhub.api.actions.shape import Shape
from matrixhub.model.ids import TaskId
from matrixhub.modules.workforce.work_orders import complete_work, read_work

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROWS = {
    row.name.removeprefix("scteams."): row
    for module in (incidents, tasks, workforce_settings, escalation)
    for row in module.OPERATIONS
}

_NAMES = """
createIncidentWithoutAssignee createIncident assignIncident startUnassignedIncident endUnassignedIncident
getUnassignedIncidentByID getUnAssignedIncidentsInTRangeForGivenID getPaginatedListOfUnAssignedIncidents
getUnassignedIncidentsForProperty getUnassignedIncidentsForZone getTasksForUnassignedIncident
updateUnassignedIncidentAttachments escalateUnassignedIncident escalateIncidentStatusForType getIncidentEscalations
getIncidentTimeline listIncidentComments updateIncidentComment adminDeleteIncidentComment adminDeleteIncident
adminReassignIncident adminUpdateIncidentZone adminUpdateIncidentBulk getAvailabilityForIncident
findAvailabilityForIncident-v2
addTaskgroupToShift removeTaskgroupFromShift taskStart taskEnd pauseTaskGroup getTaskDetailsById startAdhocTask
endAdhocTask updateAttachments getLastNTasks getTaskGroupInTRangeForID getTaskGroupInTRangeForSeatID
tasksInTRangeByZoneId getTasksForIDPaginated getTasksForPropertyByStatus getTasksForShiftById getTaskGroupMetricsForID
getTaskGrouptMetricsForSeatID
getIncidentsSettings getSettings updateIncidentsSettings updateSettings getSystemIncidentSettings
getSystemScheduleSettings getNewSystemSettings addNewSystemSettings
createEscalationPolicy getEscalationPolicy getAllEscalationPolicies updateEscalationPolicyDetails
updateEscalationPolicySettings updateEscalationPolicyTargetDurations
"""
PUBLISHED = _NAMES.split()

READS = [name for name in PUBLISHED if name.startswith(("get", "list", "find", "tasks")) and name != "taskStart"]


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


every_operation = pytest.mark.parametrize("name", PUBLISHED)


@pytest_asyncio.fixture(loop_scope="session")
async def desk(rig: Rig) -> Desk:
    """A property of its own."""
    return await furnish(rig)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def still(rig: Rig) -> Desk:
    """A property that no test may change."""
    return await furnish(rig)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def foreign(rig: Rig) -> Desk:
    """Another one."""
    return await furnish(rig)


async def test_every_published_operation_is_there_under_its_very_name() -> None:
    assert sorted(ROWS) == sorted(PUBLISHED)
    assert all(row.needs_property for row in ROWS.values())


async def prepared(desk: Desk, name: str) -> Any:
    """The example of an operation, on work that is in a state for it."""
    ids: dict[str, str] = {}
    if name in ("adminReassignIncident", "escalateIncidentStatusForType"):
        ids["incident"] = await desk.report_to_seat()
    if name in ("taskEnd", "pauseTaskGroup", "endAdhocTask"):
        ids["task"] = await desk.plan(started=True)
    example = desk.example(name, **ids)
    if name == "createEscalationPolicy":
        example["EscalationPolicy"]["IsDefault"] = False
    if name == "startAdhocTask":
        example["EndTime"] = int(time.time()) + 600
    return example


@every_operation
async def test_an_operation_does_what_its_example_asks(rig: Rig, still: Desk, name: str) -> None:
    desk = still if name in READS else await furnish(rig)
    before = await desk.rows()
    body = await prepared(desk, name)
    await desk.call(name, body)
    if name in READS:
        assert await desk.rows() == before


def paths(shape: Shape, *, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The ways to all fields that must be there, through objects that must be there."""
    for field in shape.fields:
        if field.required:
            yield (*at, field.name)
            if field.shape.kind == "object":
                yield from paths(field.shape, at=(*at, field.name))


def without(document: Any, path: tuple[str, ...]) -> Any:
    changed = copy.deepcopy(document)
    place = changed
    for name in path[:-1]:
        place = place[name]
    del place[path[-1]]
    return changed


@every_operation
async def test_what_an_operation_lacks_is_named(still: Desk, name: str) -> None:
    before = await still.rows()
    example = still.example(name)
    for path in paths(ROWS[name].request):
        code, said = await still.refusal(name, without(example, path))
        assert (code, ".".join(path) in said) == ("MISSING_PARAMETERS", True), path
    assert (await still.refusal(name, example, propid=""))[1] == "propid: missing in the query"
    assert await still.rows() == before


def with_ids(row: Operation) -> list[str]:
    text = str(row.example)
    return [name for name in ("zone", "seat", "shift", "incident", "task", "comment") if f"{{{name}}}" in text]


@pytest.mark.parametrize("name", [name for name in PUBLISHED if with_ids(ROWS[name])])
async def test_ids_of_another_property_or_of_none_are_refused_and_nothing_changes(
    still: Desk, foreign: Desk, name: str
) -> None:
    before = await still.rows(), await foreign.rows()
    for what in with_ids(ROWS[name]):
        for found in (foreign.ids[what], "there-is-none"):
            body = still.example(name, **{what: found})
            assert await still.refused(name, body) in ("failure", "WRONG_PARAMETERS"), (what, found)
    assert await still.refused(name, foreign.example(name)) in ("failure", "WRONG_PARAMETERS")
    assert (await still.rows(), await foreign.rows()) == before


@pytest.mark.parametrize("name", [name for name in PUBLISHED if ROWS[name].needs_building])
async def test_a_building_of_another_property_or_without_that_work_is_refused(
    still: Desk, foreign: Desk, name: str
) -> None:
    before = await still.rows(), await foreign.rows()
    body = still.example(name)
    assert await still.refused(name, body, pid=foreign.building_id) in ("failure", "WRONG_PARAMETERS")
    assert await still.refused(name, body, pid="scnoop") == "MISSING_PARAMETERS"
    if with_ids(ROWS[name]) not in ([], ["seat"]):
        assert await still.refused(name, body, pid=still.other_building) in ("failure", "WRONG_PARAMETERS")
    assert (await still.rows(), await foreign.rows()) == before


# --- incidents ---


async def test_the_answer_to_a_report_is_the_record_of_the_contract(desk: Desk) -> None:
    began = int(time.time())
    answer = await desk.call(
        "createIncidentWithoutAssignee",
        {
            "Incident": {
                "Start": 1710029109,
                "Name": "Tap drips",
                "Priority": "L",
                "Tasks": [{"Name": "Close valve"}],
                "Zone": desk.matrix.zone_id,
                "By": "Guard desk",
                "Subject": "Desk report",
                "AutoAssigned": False,
            }
        },
    )
    made = answer["data"]
    zone = desk.matrix.site.zones[0]
    place = f"{desk.property_id}/{desk.building_id}"
    assert answer == {
        "code": "SUCCESS",
        "message": "Incident created",
        "data": {
            "ID": desk.building_id,
            "ATTR": f"attr#{desk.building_id}#{zone.id}#{made['TaskId']}",
            "AutoAssigned": 0,
            "By": "Guard desk",
            "Delayed": 0,
            "Start": 1710029109,
            "End": 1710032709,
            "AStart": 0,
            "AEnd": 0,
            "EscalationLevel": "L0",
            "EscalationPolicy": "default",
            "EscalationType": "unassigned",
            "EventSource": "API",
            "Expiry": 1741565109,
            "Name": "Tap drips",
            "NS": "TS",
            "Org": desk.matrix.site.organisation.id,
            "Priority": "L",
            "PropID": desk.property_id,
            "SeatId": "tbp",
            "ShiftId": "tbp",
            "SRN": f"srn:sctasks:{desk.matrix.site.organisation.id}:::{place}:TS:INCIDENT/{made['TaskId']}",
            "Status": "NOT_ASSIGNED",
            "Subject": "Desk report",
            "taskCount": 1,
            "TaskId": made["TaskId"],
            "Tasks": [{"Done": 0, "Name": "Close valve", "T": 0}],
            "Type": "INCIDENT",
            "Zone": zone.id,
            "ZoneCatId": zone.category,
            "ZoneName": zone.name,
        },
    }
    assert len(made["TaskId"]) == 19
    assert began * 1000 <= int(made["TaskId"][:13]) <= int(time.time() + 1) * 1000


async def test_an_incident_created_by_a_client_is_an_event_for_subscribers(desk: Desk) -> None:
    made = await desk.data("createIncidentWithoutAssignee", desk.example("createIncidentWithoutAssignee"))
    log = (await desk.matrix.client.get(f"/events?principal={desk.building_id}&module=scworkforcemanagement")).json()
    event = log["items"][-1]
    assert event["RoutingKey"] == f"matrix.{desk.building_id}.scworkforcemanagement.INCIDENT_CREATED_OPEN.HIGH"
    assert event["Meta"] == {
        "AEnd": 0,
        "AStart": 0,
        "By": "Guard desk",
        "End": made["End"],
        "EscalationLevel": "L0",
        "Name": "Tap drips",
        "Priority": "L",
        "SourceDeviceIdentifier": [],
        "Start": made["Start"],
        "Status": "NOT_ASSIGNED",
        "TaskId": made["TaskId"],
        "Type": "INCIDENT",
        "Zone": desk.matrix.zone_id,
        "ZoneName": made["ZoneName"],
    }


@pytest.mark.parametrize("asked", [True, 1, "true"])
async def test_an_incident_that_asks_for_it_is_assigned_to_who_is_on_duty(desk: Desk, asked: object) -> None:
    example = desk.example("createIncidentWithoutAssignee")
    example["Incident"]["AutoAssigned"] = asked
    made = await desk.data("createIncidentWithoutAssignee", example)
    assert (made["Status"], made["SeatId"], made["ShiftId"]) == ("PUBLISHED", desk.matrix.seat_id, desk.shift_id)
    assert made["AutoAssigned"] == 1


async def test_fields_are_taken_in_all_published_spellings_and_numbers_as_text(desk: Desk) -> None:
    seat, zone = desk.matrix.seat_id, desk.matrix.zone_id
    made = await desk.data(
        "createIncident",
        {
            "TaskGroup": {
                "SeatID": seat,
                "ShiftID": seat,
                "zoneId": zone,
                "Tasks": [{"Name": "Mop"}],
                "Start": "1710029109",
                "PropID": desk.property_id,
            }
        },
    )
    assert (made["Name"], made["Start"]) == ("Mop", 1710029109)
    assert made["ATTR"] == f"attr#{desk.building_id}#{seat}#{seat}#{made['TaskId']}"
    shown = await desk.data(
        "getTaskDetailsById", {"TaskGroup": {"SeatId": seat, "ShiftID": seat, "TaskId": int(made["TaskId"])}}
    )
    assert shown == made
    open_one = await desk.report()
    answer = await desk.call("assignIncident", {"SeatId": seat, "ShiftId": seat, "Zone": zone, "IncidentId": open_one})
    assert seat in answer["message"]
    assert answer["data"]["Status"] == "PUBLISHED"


async def test_an_incident_of_another_property_id_in_its_body_is_refused(still: Desk, foreign: Desk) -> None:
    body = still.example("createIncident")
    body["Taskgroup"]["PropID"] = foreign.property_id
    assert await still.refused("createIncident", body) == "WRONG_PARAMETERS"


async def test_an_open_incident_is_taken_worked_on_and_ended(desk: Desk) -> None:
    started = await desk.data("startUnassignedIncident", desk.example("startUnassignedIncident"))
    assert (started["Status"], started["SeatId"]) == ("STARTED", desk.matrix.seat_id)
    assert await desk.refused("startUnassignedIncident", desk.example("startUnassignedIncident")) == "WRONG_PARAMETERS"
    meant = {"Taskgroup": {"SeatId": desk.matrix.seat_id, "ShiftId": started["ShiftId"], "TaskId": desk.incident}}
    assert (await desk.data("pauseTaskGroup", meant))["Status"] == "PAUSED"
    assert (await desk.data("taskStart", meant))["Status"] == "STARTED"
    ended = await desk.data("endUnassignedIncident", desk.example("endUnassignedIncident"))
    assert (ended["Status"], ended["Tasks"][0]["Done"]) == ("COMPLETED", 1)
    timeline = await desk.data("getIncidentTimeline", desk.example("getIncidentTimeline"))
    acts = [entry["Act"] for entry in timeline]
    assert acts == ["create", "comment", "assign", "start", "pause", "resume", "complete"]


async def test_a_state_that_does_not_take_an_act_is_said_as_wrong_parameters(desk: Desk) -> None:
    await complete_work(desk.platform, desk.property_id, desk.incident, actor="desk")
    for name in (
        "assignIncident",
        "endUnassignedIncident",
        "escalateUnassignedIncident",
        "adminDeleteIncident",
        "adminUpdateIncidentZone",
        "adminUpdateIncidentBulk",
    ):
        assert await desk.refused(name, desk.example(name)) == "WRONG_PARAMETERS", name
    for name in ("taskEnd", "pauseTaskGroup"):
        assert await desk.refused(name, desk.example(name)) == "WRONG_PARAMETERS", name


async def test_a_comment_is_written_changed_listed_and_removed(desk: Desk) -> None:
    written = await desk.call("updateIncidentComment", desk.example("updateIncidentComment"))
    comment_id = written["data"]["CommentId"]
    assert written["message"] == "Comment added"
    body = desk.example("updateIncidentComment")
    body["IncidentComment"] |= {"CommentId": comment_id, "Comment": "Done"}
    assert (await desk.call("updateIncidentComment", body))["message"] == "Comment updated"
    listed = await desk.data("listIncidentComments", {"IncidentID": desk.incident})
    assert [one["Comment"] for one in listed] == ["Valve is stuck", "Done"]
    removal = {"IncidentID": desk.incident, "IncidentComment": {"CommentId": comment_id}}
    assert await desk.data("adminDeleteIncidentComment", removal) == {"CommentId": comment_id}
    assert await desk.refused("adminDeleteIncidentComment", removal) == "failure"
    assert len(await desk.data("listIncidentComments", {"IncidentId": desk.incident})) == 1


async def test_attachments_are_shown_with_the_first_task(desk: Desk) -> None:
    await desk.data("updateUnassignedIncidentAttachments", desk.example("updateUnassignedIncidentAttachments"))
    tasks_of = await desk.data("getTasksForUnassignedIncident", desk.example("getTasksForUnassignedIncident"))
    assert tasks_of == [{"Name": "Close valve", "Done": 0, "T": 0, "Attachments": ["tap.jpg"]}]
    many = {**desk.example("updateAttachments"), "Attachments": [f"{n}.jpg" for n in range(21)]}
    assert await desk.refused("updateAttachments", many) == "LIMIT_VIOLATED"


async def test_an_incident_is_escalated_up_to_the_third_level_and_its_escalations_are_told(desk: Desk) -> None:
    body = desk.example("escalateUnassignedIncident")
    for level in ("L1", "L2", "L3"):
        answer = await desk.call("escalateUnassignedIncident", body)
        assert (answer["data"]["EscalationLevel"], level in answer["message"]) == (level, True)
    assert await desk.refused("escalateUnassignedIncident", body) == "WRONG_PARAMETERS"
    wrong = {**desk.example("escalateIncidentStatusForType"), "EscalationType": "never"}
    assert await desk.refused("escalateIncidentStatusForType", wrong) == "WRONG_PARAMETERS"
    other = await desk.report()
    asked = {"TaskGroups": [{"TaskId": other}, {"TaskId": desk.incident, "Zone": desk.matrix.zone_id}]}
    none, told = await desk.data("getIncidentEscalations", asked)
    assert none == {"TaskId": other, "Escalations": []}
    assert [entry["EscalationLevel"] for entry in told["Escalations"]] == ["L1", "L2", "L3"]
    assert {entry["ByHand"] for entry in told["Escalations"]} == {1}
    too_many = {"TaskGroups": [{"TaskId": f"{n}"} for n in range(101)]}
    assert await desk.refused("getIncidentEscalations", too_many) == "QUERY_LENGTH_EXCEEDED"


async def test_an_administrator_reassigns_opens_moves_changes_and_deletes(desk: Desk) -> None:
    seat, given = desk.matrix.seat_id, await desk.report_to_seat()
    body = {"IncidentID": given, "SeatId": seat, "ShiftID": seat}
    to_shift = await desk.call("adminReassignIncident", {**body, "NewSeatId": seat, "NewShiftId": desk.shift_id})
    assert (to_shift["data"]["ShiftId"], seat in to_shift["message"]) == (desk.shift_id, True)
    assert await desk.refused("adminReassignIncident", body) == "WRONG_PARAMETERS", "it is another shift's now"
    half = {**body, "ShiftID": desk.shift_id, "NewSeatId": seat}
    assert await desk.refused("adminReassignIncident", half) == "MISSING_PARAMETERS"
    times = {"StartTime": 1710029109, "EndTime": 1710030000}
    reopened = await desk.data("adminReassignIncident", {**body, "ShiftID": desk.shift_id, **times})
    assert (reopened["Status"], reopened["Start"], reopened["End"]) == ("NOT_ASSIGNED", 1710029109, 1710030000)
    zone = desk.matrix.site.zones[1]
    assert zone.building_id == desk.building_id
    move = {"Incident": {"TaskId": given, "Zone": desk.matrix.zone_id}, "zoneId": zone.id}
    assert (await desk.data("adminUpdateIncidentZone", move))["ZoneName"] == zone.name
    assert await desk.refused("adminUpdateIncidentZone", move) == "WRONG_PARAMETERS", "it is no longer in that zone"
    change = {"Details": {"Name": "Flood", "Priority": "H"}, "Zones": {"NewZoneId": desk.matrix.zone_id}}
    changed = await desk.data(
        "adminUpdateIncidentBulk", {"zoneId": zone.id, "IncidentId": given, "UpdateIncident": change}
    )
    assert (changed["Name"], changed["Priority"], changed["Zone"]) == ("Flood", "H", desk.matrix.zone_id)
    nothing = {"IncidentId": given, "UpdateIncident": {"Details": {}}}
    assert await desk.refused("adminUpdateIncidentBulk", nothing) == "MISSING_PARAMETERS"
    deletion = {"IncidentID": given, "SeatId": "tbp", "ShiftID": "tbp"}
    assert await desk.data("adminDeleteIncident", deletion) == {"TaskId": given}
    assert await desk.refused("adminDeleteIncident", deletion) == "failure"
    timeline = await desk.data("getIncidentTimeline", {"zoneId": zone.id, "IncidentID": given})
    assert timeline[-1]["Act"] == "delete"


async def test_open_incidents_are_listed_by_building_property_and_zone_and_in_pages(desk: Desk) -> None:
    start = {"StartTime": 1710028800, "EndTime": 1710115200}
    made = [await desk.report(starts_at=at(1710029109 + n)) for n in range(101)]
    await desk.data("assignIncident", {**desk.example("assignIncident"), "IncidentID": made[0]})
    wanted = made[1:]
    for name, more in (
        ("getUnAssignedIncidentsInTRangeForGivenID", {}),
        ("getUnassignedIncidentsForProperty", {}),
        ("getUnassignedIncidentsForZone", {"zoneId": desk.matrix.zone_id}),
    ):
        assert [one["TaskId"] for one in await desk.data(name, {**start, **more})] == wanted, name
    assert await desk.data("getUnassignedIncidentsForZone", {**start, "zoneId": desk.matrix.site.zones[1].id}) == []
    await desk.report(starts_at=at(1710115199))
    for name, paged in (
        ("getPaginatedListOfUnAssignedIncidents", {}),
        ("getUnassignedIncidentsForProperty", {"GetPaginated": "true"}),
    ):
        first = await desk.call(name, {**start, **paged})
        assert (len(first["data"]), bool(first["LastEvaluatedKey"])) == (100, True)
        second = await desk.call(name, {**start, **paged, "LastEvaluatedKey": first["LastEvaluatedKey"]})
        assert (len(second["data"]), second["LastEvaluatedKey"]) == (1, "")
        assert await desk.refused(name, {**start, **paged, "LastEvaluatedKey": "x"}) == "WRONG_PARAMETERS"


@pytest.mark.parametrize(
    "name",
    [
        "getUnAssignedIncidentsInTRangeForGivenID",
        "getUnassignedIncidentsForProperty",
        "getUnassignedIncidentsForZone",
        "getTaskGroupInTRangeForID",
        "getTaskGroupInTRangeForSeatID",
        "tasksInTRangeByZoneId",
    ],
)
async def test_a_range_has_31_days_and_an_end_behind_its_start(still: Desk, name: str) -> None:
    body = {"seat": still.matrix.seat_id, **still.example(name), "GetPaginated": False, "StartTime": 0}
    assert await still.refused(name, {**body, "EndTime": 31 * 86_400 + 1}) == "QUERY_LENGTH_EXCEEDED"
    assert await still.refused(name, {**body, "StartTime": 10, "EndTime": 9}) == "WRONG_PARAMETERS"
    for wrong in (-1, 1e300, 10**400, "1e999", "nan", "soon"):
        assert await still.refused(name, {**body, "EndTime": wrong}) == "WRONG_PARAMETERS", wrong
    assert await still.data(name, {**body, "StartTime": "0", "EndTime": 31 * 86_400}) == []


async def test_who_could_take_an_incident_is_told_with_what_they_do(desk: Desk) -> None:
    body = desk.example("findAvailabilityForIncident-v2")
    nulls = dict.fromkeys(("ZoneName", "SameZone", "Status", "StartTime", "ZoneID"))
    idle = {desk.matrix.seat_id: [{"ShiftID": desk.shift_id, **nulls}]}
    assert await desk.data("findAvailabilityForIncident-v2", body) == idle
    assert await desk.data("getAvailabilityForIncident", desk.example("getAvailabilityForIncident")) == idle
    await desk.plan(started=True)
    ((entry,),) = (await desk.data("findAvailabilityForIncident-v2", body)).values()
    assert (entry["SameZone"], entry["Status"], entry["ZoneID"]) == (True, "STARTED", desk.matrix.zone_id)
    for wrong in ([], 7, [7]):
        assert await desk.refused("findAvailabilityForIncident-v2", {"ZoneID": wrong}) == "WRONG_PARAMETERS"


# --- task groups ---


async def test_a_task_group_goes_its_way_and_is_counted(desk: Desk) -> None:
    body = desk.example("addTaskgroupToShift")
    made = await desk.data("addTaskgroupToShift", body)
    assert (made["Type"], made["Status"], made["LocalTime"]) == ("TASK", "PUBLISHED", "20240310080500")
    seat = desk.matrix.seat_id
    meant = {"Taskgroup": {"SeatId": seat, "ShiftId": desk.shift_id, "TaskId": made["TaskId"]}}
    assert (await desk.data("taskStart", meant))["Status"] == "STARTED"
    left = {"Taskgroup": {**meant["Taskgroup"], "Tasks": [{"Name": "Mopping", "Done": 0, "Comments": "wet"}]}}
    ended = await desk.data("taskEnd", left)
    assert ended["Tasks"] == [{"Name": "Mopping", "Done": 0, "T": 0, "Comments": "wet"}]
    assert await desk.refused("removeTaskgroupFromShift", meant) == "WRONG_PARAMETERS"
    counts = await desk.data("getTaskGroupMetricsForID", {"StartTime": 1710028800})
    assert (counts["Total"], counts["TASK"]["COMPLETED"], counts["INCIDENT"]["NOT_ASSIGNED"]) == (3, 1, 1)
    counts = await desk.data("getTaskGrouptMetricsForSeatID", {"EndTime": 1710115200, "SeatId": seat})
    assert (counts["Total"], counts["TASK"]["COMPLETED"]) == (1, 1)
    done = await desk.data("getTasksForPropertyByStatus", {"Status": "COMPLETED"})
    assert [one["TaskId"] for one in done] == [made["TaskId"]]
    assert [one["TaskId"] for one in await desk.data("getTasksForPropertyByStatus", {"Status": "ASSIGNED"})] == [
        desk.task
    ]
    assert await desk.refused("getTasksForPropertyByStatus", {"Status": "LOST"}) == "WRONG_PARAMETERS"


async def test_a_task_group_with_21_tasks_violates_the_limit(still: Desk) -> None:
    body = still.example("addTaskgroupToShift")
    body["Taskgroup"]["Tasks"] = [{"Name": f"Task {n}"} for n in range(21)]
    assert await still.refused("addTaskgroupToShift", body) == "LIMIT_VIOLATED"


async def test_an_ad_hoc_task_is_ended_by_its_id_as_a_number(desk: Desk) -> None:
    body = {**desk.example("startAdhocTask"), "EndTime": int(time.time()) + 600}
    made = await desk.data("startAdhocTask", body)
    assert (made["Status"], made["By"]) == ("STARTED", "Ann Lee")
    end = desk.example("endAdhocTask", task=made["TaskId"])
    assert (await desk.data("endAdhocTask", {**end, "TaskId": int(made["TaskId"])}))["Status"] == "COMPLETED"


async def test_the_last_tasks_are_lenient_about_how_many(desk: Desk) -> None:
    day = {"StartTime": 1710028800, "EndTime": 1710115200}
    old = [await desk.plan(starts_at=at(1710029100 + n), ends_at=at(1710032700)) for n in range(3)]
    newest_first = list(reversed(old))

    async def last(**body: object) -> list[str]:
        return [one["TaskId"] for one in await desk.data("getLastNTasks", body)]

    zone, seat = desk.matrix.zone_id, desk.matrix.seat_id
    assert await last() == [desk.task]
    assert await last(**day) == newest_first[:1]
    for limit in (2, -2, "2", 2.0):
        assert await last(**day, Limit=limit) == newest_first[:2], limit
    assert await last(**day, Limit=0) == newest_first[:1]
    for tasks_for in (
        {"TasksFor": "ID"},
        {"TasksFor": "PROP"},
        {"TasksFor": "ZONE", "zoneId": zone},
        {"TasksFor": "SEAT", "SeatId": seat},
        {"Zone": zone},
    ):
        assert await last(**day, Limit=10, **tasks_for) == newest_first, tasks_for
    assert await last(**day, Limit=10, TasksFor="ZONE", zoneId=desk.matrix.site.zones[1].id) == []
    assert await desk.refused("getLastNTasks", {**day, "Limit": 101}) == "QUERY_LENGTH_EXCEEDED"
    assert await desk.refused("getLastNTasks", {"TasksFor": "ZONE"}) == "MISSING_PARAMETERS"
    assert await desk.refused("getLastNTasks", {"TasksFor": "MOON"}) == "WRONG_PARAMETERS"


async def test_tasks_and_incidents_are_found_by_seat_zone_shift_and_type(desk: Desk) -> None:
    now = int(time.time())
    around = {"StartTime": now - 86_400, "EndTime": now + 86_400}
    given = await desk.report_to_seat()
    seat, zone = desk.matrix.seat_id, desk.matrix.zone_id

    async def found(name: str, **body: object) -> set[str]:
        return {one["TaskId"] for one in await desk.data(name, {**around, **body})}

    assert await found("getTaskGroupInTRangeForID") == {desk.incident, desk.task, given}
    assert await found("getTaskGroupInTRangeForID", Type="TASK") == {desk.task}
    assert await found("getTasksForIDPaginated", Type="INCIDENT") == {desk.incident, given}
    assert await found("getTaskGroupInTRangeForSeatID", SeatId=seat) == {desk.task, given}
    assert await found("tasksInTRangeByZoneId", SeatId=seat, zoneId=zone) == {desk.task, given}
    assert await found("getTasksForShiftById", ShiftID=desk.shift_id) == {desk.task}
    assert await desk.refused("getTaskGroupInTRangeForID", {**around, "Type": "PARTY"}) == "WRONG_PARAMETERS"


async def test_a_body_encoded_twice_is_read(desk: Desk) -> None:
    body = b'"{\\"Status\\":\\"PUBLISHED\\"}"'
    assert [one["TaskId"] for one in await desk.data("getTasksForPropertyByStatus", body)] == [desk.task]


# --- settings ---


async def test_settings_are_changed_read_and_shown_with_their_attr(desk: Desk) -> None:
    shown = await desk.data("getIncidentsSettings")
    assert (shown["ATTR"], shown["ID"]) == (f"attr#incidents#{desk.building_id}", desk.building_id)
    assert shown["IncidentSettings"]["INCIDENT_HIGH_TIMEOUT"]["LongValue"] == 900
    changed = await desk.data("updateIncidentsSettings", desk.example("updateIncidentsSettings"))
    assert changed["IncidentSettings"]["INCIDENT_HIGH_TIMEOUT"]["LongValue"] == 600
    other = {
        "IncidentsSettings": {"IncidentsSettings": {"ALLOW_REASSIGNMENT_RESOLVED": {"Type": "Long", "LongValue": 1}}}
    }
    changed = await desk.data("updateIncidentsSettings", other)
    assert changed["IncidentSettings"]["ALLOW_REASSIGNMENT_RESOLVED"]["BooleanValue"] is True
    await desk.data("updateSettings", desk.example("updateSettings"))
    both = await desk.data("getSettings")
    assert both["IncidentSettings"] == changed["IncidentSettings"]
    assert both["ScheduleSettings"]["AUTO_CLOCKOUT"]["BooleanValue"] is False
    made = await desk.data(
        "createIncidentWithoutAssignee",
        {"Incident": {**desk.example("createIncidentWithoutAssignee")["Incident"], "Priority": "H"}},
    )
    assert made["End"] - made["Start"] == 600


@pytest.mark.parametrize(
    "settings",
    [
        {"IncidentSettings": {}},
        {"IncidentSettings": {"IncidentSettings": {"NO_SUCH": {"LongValue": 1}}}},
        {"IncidentSettings": {"IncidentSettings": {"INCIDENT_HIGH_TIMEOUT": {"LongValue": -1}}}},
        {"IncidentSettings": {"IncidentSettings": {"INCIDENT_HIGH_TIMEOUT": {}}}},
        {"IncidentSettings": {"IncidentSettings": {"INCIDENT_LOW_TIMEOUT": 700, "AUTO_ASSIGN_INCIDENTS": "maybe"}}},
        {"IncidentSettings": 7},
    ],
)
async def test_settings_that_cannot_be_leave_all_as_it_is(still: Desk, settings: dict[str, Any]) -> None:
    before = await still.rows()
    assert await still.refused("updateIncidentsSettings", settings) in ("WRONG_PARAMETERS", "MISSING_PARAMETERS")
    assert await still.rows() == before


async def test_settings_of_the_system_are_those_a_building_has_not_set(desk: Desk) -> None:
    system = await desk.data("getSystemScheduleSettings")
    assert system["ScheduleSettings"]["DELAYED_SHIFT_THRESHOLD"]["LongValue"] == 1800
    chosen = await desk.data("getSystemIncidentSettings", desk.example("getSystemIncidentSettings"))
    assert list(chosen["IncidentSettings"]) == ["INCIDENT_HIGH_TIMEOUT"]
    await desk.data("updateSettings", desk.example("updateSettings"))
    new = await desk.data("getNewSystemSettings")
    assert "AUTO_CLOCKOUT" not in new["ScheduleSettings"]
    assert "INCIDENT_HIGH_TIMEOUT" in new["IncidentSettings"]
    added = await desk.call("addNewSystemSettings")
    assert added["data"] == new
    assert await desk.data("getNewSystemSettings") == {"IncidentSettings": {}, "ScheduleSettings": {}}
    assert (await desk.data("getSettings"))["ScheduleSettings"]["AUTO_CLOCKOUT"]["BooleanValue"] is False
    wrong = {"ScheduleSettings": ["NO_SUCH"]}
    for name in ("getSystemScheduleSettings", "getNewSystemSettings", "addNewSystemSettings"):
        assert await desk.refused(name, wrong) == "WRONG_PARAMETERS", name


# --- escalation policies ---


async def test_a_policy_is_made_read_in_both_forms_and_changed(desk: Desk) -> None:
    body = desk.example("createEscalationPolicy")
    assert await desk.refused("createEscalationPolicy", body) == "WRONG_PARAMETERS", "there is a default one"
    body["EscalationPolicy"]["IsDefault"] = "false"
    made = await desk.data("createEscalationPolicy", body)
    policy_id = made["PolicyId"]
    assert made["ATTR"] == f"attr#escalationpolicy#{desk.building_id}#{policy_id}"
    assert made["TargetDurations"] == {"H": {"DueTime": 900, "StartThreshold": 300}}
    assert made["EscalationSettings"]["DueTimeThresholdSettings"]["L1"]["TimeAfter"] == 300
    arrays = await desk.data("getEscalationPolicy", {"EscalationPolicyId": policy_id, "MapToArray": True})
    assert arrays["TargetDurations"] == [{"Priority": "H", "DueTime": 900, "StartThreshold": 300}]
    assert arrays["DueTimeThresholdSettings"][0]["Level"] == "L1"
    assert {one["PolicyId"] for one in await desk.data("getAllEscalationPolicies")} == {"default", policy_id}
    details = {"PolicyId": policy_id, "IncidentTypes": ["WD"], "UpdateOverride": False}
    assert (await desk.data("updateEscalationPolicyDetails", {"EscalationPolicy": details}))["IncidentTypes"] == [
        "*",
        "WD",
    ]
    details["UpdateOverride"] = "true"
    assert (await desk.data("updateEscalationPolicyDetails", {"EscalationPolicy": details}))["IncidentTypes"] == ["WD"]
    unknown = {"EscalationPolicy": {**details, "PolicyId": "pol_x"}}
    assert await desk.refused("updateEscalationPolicyDetails", unknown) == "failure"
    for name, wrong in (
        ("updateEscalationPolicySettings", {"PolicyId": policy_id}),
        ("updateEscalationPolicyTargetDurations", {"PolicyId": policy_id, "TargetDurations": []}),
    ):
        assert await desk.refused(name, {"EscalationPolicy": wrong}) == "MISSING_PARAMETERS", name
    levels = {"PolicyId": policy_id, "StartThresholdSettings": [{"Level": "L9", "TimeAfter": 1}]}
    assert await desk.refused("updateEscalationPolicySettings", {"EscalationPolicy": levels}) == "WRONG_PARAMETERS"


async def test_an_incident_is_found_again_by_its_id(still: Desk) -> None:
    shown = await still.data("getUnassignedIncidentByID", still.example("getUnassignedIncidentByID"))
    found = await read_work(still.platform, still.property_id, TaskId(shown["TaskId"]))
    assert found.name == shown["Name"]
