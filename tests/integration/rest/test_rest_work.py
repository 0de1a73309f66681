"""Incidents, tasks, settings, policies and the catalogue on the REST face: what they do beyond answering.

Source: docs/contract/incidents.md, docs/contract/workforce.md §5
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.rest.actions.desk import Desk, furnish
from tests.integration.rest.rig import Reply, Rig
from tests.integration.rest.work_routes import WORK_ROUTES

from matrixhub.api.rest import incidents, tasks, work_rules

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def desk(rig: Rig) -> Desk:
    return await furnish(rig)


async def ask(desk: Desk, method: str, path: str, body: object = None, **headers: str) -> Reply:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await desk.matrix.client.ask(method, path, body, headers=sent)


async def made(desk: Desk, method: str, path: str, body: object = None, **headers: str) -> Any:
    """The document of a request that works."""
    reply = await ask(desk, method, path, body, **headers)
    assert reply.status < 300, reply.content
    return reply.json()


def report(desk: Desk, **fields: object) -> dict[str, object]:
    body = WORK_ROUTES["createIncident"].body(desk)
    assert body is not None
    return {**body, **fields}


async def test_an_incident_is_reported_once_under_its_key_and_is_an_event(desk: Desk) -> None:
    first = await ask(desk, "POST", "/incidents", report(desk), Idempotency_Key="one")
    again = await ask(desk, "POST", "/incidents", report(desk), Idempotency_Key="one")
    assert (first.status, first.content) == (201, again.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    shown = await ask(desk, "GET", first.headers["Location"].removeprefix("/hub/v1"))
    assert (shown.json(), shown.headers["ETag"]) == (first.json(), '"1"')
    assert (first.json()["status"], first.json()["assignee"], first.json()["priority"]) == ("NOT_ASSIGNED", None, "N")
    log = await made(desk, "GET", f"/events?principal={desk.building_id}&module=scworkforcemanagement")
    told = [event["Event"] for event in log["items"] if event["Meta"].get("TaskId") == first.json()["id"]]
    assert told == ["INCIDENT_CREATED_OPEN"]


async def test_an_incident_goes_from_hand_to_hand(desk: Desk) -> None:
    seat, at = desk.matrix.seat_id, f"/incidents/{desk.incident}"
    given = await made(desk, "POST", f"{at}/assign", {"seat": seat, "shift": desk.shift_id})
    assert (given["status"], given["assignee"]) == ("PUBLISHED", {"seat": seat, "shift": desk.shift_id})
    to_seat = await made(desk, "POST", f"{at}/reassign", {"assignee": {"seat": seat}})
    assert (to_seat["assignee"], to_seat["reassigned"]) == ({"seat": seat, "shift": None}, 1)
    assert (await made(desk, "POST", f"{at}/start", {}))["status"] == "STARTED"
    assert (await made(desk, "POST", f"{at}/pause"))["status"] == "PAUSED"
    done = await made(desk, "POST", f"{at}/complete", {"tasks": [{"name": "Close valve", "comments": "no use"}]})
    assert (done["status"], done["tasks"][0]["done"], done["tasks"][0]["comments"]) == ("COMPLETED", False, "no use")
    assert (await ask(desk, "POST", f"{at}/start", {"seat": seat})).code == "MH-R022"
    acts = [entry["act"] for entry in (await made(desk, "GET", f"{at}/timeline"))["items"]]
    assert acts == ["create", "comment", "assign", "reassign", "start", "pause", "complete"]


async def test_an_act_on_a_version_that_was_read_before_another_act_is_refused(desk: Desk) -> None:
    at = f"/incidents/{desk.incident}"
    read = (await ask(desk, "GET", at)).headers["ETag"]
    changed = await ask(desk, "PATCH", at, {"name": "Tap broken", "priority": "H"}, If_Match=read)
    assert (changed.status, changed.json()["name"], changed.json()["version"]) == (200, "Tap broken", 2)
    assert changed.headers["ETag"] == '"2"'
    for method, path, body in (
        ("PATCH", at, {"name": "Other"}),
        ("POST", f"{at}/assign", {"seat": desk.matrix.seat_id}),
        ("POST", f"{at}/complete", {}),
        ("PUT", f"{at}/attachments", {"attachments": []}),
        ("DELETE", at, None),
    ):
        assert (await ask(desk, method, path, body, If_Match=read)).code == "MH-R012", path
    assert (await ask(desk, "DELETE", at, If_Match="*")).status == 204
    assert (await ask(desk, "GET", at)).code == "MH-R008"
    assert (await made(desk, "GET", f"{at}/timeline"))["items"][-1]["act"] == "delete"


async def test_incidents_are_listed_by_what_is_asked_for_page_by_page(desk: Desk) -> None:
    start = datetime(2024, 3, 10, tzinfo=UTC)
    ids = [await desk.report(starts_at=start + timedelta(seconds=n)) for n in range(5)]
    await made(desk, "POST", f"/incidents/{ids[4]}/complete", {})
    where = f"/incidents?zone={desk.matrix.zone_id}&building={desk.building_id}&limit=2&status=NOT_ASSIGNED"
    within = f"{where}&since=2024-03-10T00:00:01Z&until=2024-03-11T00:00:00Z"
    first = await made(desk, "GET", within)
    second = await made(desk, "GET", f"{within}&cursor={first['next']}")
    assert [one["id"] for one in (*first["items"], *second["items"])] == ids[1:4]
    assert second["next"] is None
    tasks_page = await made(desk, "GET", f"/tasks?seat={desk.matrix.seat_id}&shift={desk.shift_id}")
    assert [(one["id"], one["type"]) for one in tasks_page["items"]] == [(desk.task, "TASK")]
    assert (await ask(desk, "GET", f"/tasks?cursor={first['next']}")).wrong == ["cursor"]
    for name in ("building", "zone", "seat"):
        assert (await ask(desk, "GET", f"/incidents?{name}=there-is-none")).code == "MH-R008", name
    assert (await ask(desk, "GET", "/incidents?status=LOST")).status == 422


async def test_an_incident_is_no_task_and_a_task_no_incident(desk: Desk) -> None:
    for path in (f"/incidents/{desk.task}", f"/tasks/{desk.incident}", f"/tasks/{desk.incident}/timeline"):
        assert (await ask(desk, "GET", path)).code == "MH-R020", path
    assert (await ask(desk, "POST", f"/tasks/{desk.incident}/start")).code == "MH-R020"


async def test_comments_and_escalations_of_an_incident_are_kept(desk: Desk) -> None:
    at = f"/incidents/{desk.incident}"
    written = await ask(desk, "POST", f"{at}/comments", {"comment": "Seen", "user_name": "Raj"})
    path = written.headers["Location"].removeprefix("/hub/v1")
    await made(desk, "PUT", path, {"comment": "Fixed", "user_name": "Raj"})
    said = [one["comment"] for one in (await made(desk, "GET", f"{at}/comments"))["items"]]
    assert said == ["Valve is stuck", "Fixed"]
    assert (await ask(desk, "DELETE", path)).status == 204
    assert (await ask(desk, "DELETE", path)).code == "MH-R008"
    raised = await made(desk, "POST", f"{at}/escalations", {"type": "unassigned"})
    assert (raised["escalation_level"], raised["policy"]) == (1, "default")
    (entry,) = (await made(desk, "GET", f"{at}/escalations"))["items"]
    assert (entry["level"], entry["by_hand"], entry["policy"]) == ("L1", True, "default")


async def test_settings_are_changed_together_and_null_is_the_default(desk: Desk) -> None:
    at = f"/workforce-settings/{desk.building_id}"
    changed = await made(desk, "PATCH", at, {"settings": {"INCIDENT_HIGH_TIMEOUT": 600, "AUTO_CLOCKOUT": False}})
    assert changed["settings"]["INCIDENT_HIGH_TIMEOUT"]["value"] == 600
    assert changed["settings"]["AUTO_CLOCKOUT"]["value"] is False
    for wrong in ({"INCIDENT_HIGH_TIMEOUT": -1, "AUTO_CLOCKOUT": True}, {"NO_SUCH": 1}):
        assert (await ask(desk, "PATCH", at, {"settings": wrong})).code == "MH-R020"
    assert await made(desk, "GET", at) == changed
    back = await made(desk, "PATCH", at, {"settings": {"INCIDENT_HIGH_TIMEOUT": None}})
    assert back["settings"]["INCIDENT_HIGH_TIMEOUT"]["value"] == 900
    assert back["settings"]["AUTO_CLOCKOUT"]["value"] is False


async def test_a_policy_is_made_and_changed_as_a_whole_with_its_version(desk: Desk) -> None:
    at = f"/escalation-policies/{desk.building_id}"
    level = {"level": 1, "wait_s": 300, "recipients": [{"entity": "$assignee", "medium": "EMAIL"}]}
    body = {
        "name": "Leaks",
        "incident_types": ["WD"],
        "targets": {"H": {"start_threshold_s": 60, "due_time_s": 600}},
        "levels": {"dueTime": [level]},
    }
    written = await ask(desk, "POST", at, body)
    policy = written.json()
    assert written.headers["Location"] == f"/hub/v1{at}/{policy['id']}"
    whole = {**level, "recipients": [{"entity": "$assignee", "medium": "EMAIL", "details": {}, "incident_types": []}]}
    assert policy["levels"] == {"dueTime": [whole]}
    path = f"{at}/{policy['id']}"
    change = {"incident_types": ["WD", "FD"], "targets": {"L": {"start_threshold_s": 0, "due_time_s": 60}}}
    changed = await ask(desk, "PATCH", path, change, If_Match='"1"')
    assert (changed.json()["version"], changed.headers["ETag"]) == (2, '"2"')
    assert (changed.json()["name"], changed.json()["incident_types"]) == ("Leaks", ["WD", "FD"])
    assert set(changed.json()["targets"]) == {"H", "L"}
    assert (await ask(desk, "PATCH", path, change, If_Match='"1"')).code == "MH-R012"
    wrong = {"levels": {"dueTime": [level, level]}}
    assert (await ask(desk, "PATCH", path, wrong)).code == "MH-R020"
    assert (await made(desk, "GET", path))["version"] == 2
    assert (await ask(desk, "POST", at, {**body, "id": policy["id"]})).code == "MH-R023"


async def test_the_catalogue_keeps_names_apart_and_its_quotas(desk: Desk) -> None:
    task = await made(desk, "POST", "/custom-tasks", {"name": "Polish", "skills": ["brass"], "minutes": 10})
    assert (await made(desk, "GET", "/custom-tasks"))["items"] == [task]
    assert (await ask(desk, "POST", "/custom-tasks", {"name": "Polish"})).code == "MH-R023"
    many = {"name": "Floor", "tasks": [f"Task {n}" for n in range(21)]}
    assert (await ask(desk, "POST", "/task-groups", many)).code == "MH-R017"
    group = await made(desk, "POST", "/task-groups", {**many, "tasks": ["Mop"], "zone_categories": ["LABS"]})
    assert (await made(desk, "GET", "/task-groups"))["items"] == [group]
    assert (await ask(desk, "DELETE", f"/task-groups/{group['id']}")).status == 204
    assert (await ask(desk, "DELETE", f"/custom-tasks/{task['id']}")).status == 204
    assert (await made(desk, "GET", "/custom-tasks"))["items"] == []


async def test_what_has_an_operation_of_matrix_web_services_needs_the_same_permission() -> None:
    silent = {
        handler.operation_id
        for module in (incidents, tasks, work_rules)
        for handler in module.handlers
        if not handler.opt.get("permission")
    }
    assert silent == {"listCustomTasks", "removeCustomTask", "listTaskGroups", "addTaskGroup", "removeTaskGroup"}
