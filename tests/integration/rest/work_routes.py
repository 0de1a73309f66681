"""A good request to each route of incidents, tasks, settings, policies and the catalogue, on work in a state for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.integration.rest.actions.desk import Desk
from tests.integration.rest.rig import SEEDS

from matrixhub.model.task_catalogue import CustomTask, TaskGroup
from matrixhub.modules.workforce.task_catalogue import add_custom_task, add_task_group


@dataclass(frozen=True, slots=True)
class WorkRoute:
    """Path and body, made with what they are about. `shown` where anyone gets an answer, with what is his own in it."""

    prepare: Callable[[Desk], Awaitable[str]]
    body: Callable[[Desk], Mapping[str, object] | None] = lambda _: None
    shown: bool = False


def fixed(path: str, body: Mapping[str, object] | None = None) -> WorkRoute:
    async def prepare(_: Desk) -> str:
        return path

    return WorkRoute(prepare, lambda _: body, shown=True)


def of_incident(rest: str = "", body: Mapping[str, object] | None = None) -> WorkRoute:
    async def prepare(desk: Desk) -> str:
        return f"/incidents/{desk.incident}{rest}".replace("{comment}", desk.comment)

    return WorkRoute(prepare, lambda _: body)


def of_assigned(rest: str, body: Mapping[str, object] | None = None) -> WorkRoute:
    async def prepare(desk: Desk) -> str:
        return f"/incidents/{await desk.report_to_seat()}{rest}"

    return WorkRoute(prepare, lambda _: body)


def of_task(rest: str = "", body: Mapping[str, object] | None = None, *, started: bool = False) -> WorkRoute:
    async def prepare(desk: Desk) -> str:
        return f"/tasks/{await desk.plan(started=True) if started else desk.task}{rest}"

    return WorkRoute(prepare, lambda _: body)


def of_building(path: str, rest: str = "", body: Mapping[str, object] | None = None) -> WorkRoute:
    async def prepare(desk: Desk) -> str:
        return f"{path}/{desk.building_id}{rest}"

    return WorkRoute(prepare, lambda _: body)


async def _start_assigned(desk: Desk) -> str:
    incident = await desk.report_to_seat()
    done = await desk.matrix.client.post(f"/incidents/{incident}/start", {})
    assert done.status == 200, done.content
    return f"/incidents/{incident}/pause"


async def _custom_task(desk: Desk) -> str:
    made = await add_custom_task(desk.platform, desk.property_id, CustomTask(name="Polish"), actor="ann")
    return f"/custom-tasks/{made.id}"


async def _task_group(desk: Desk) -> str:
    made = await add_task_group(desk.platform, desk.property_id, TaskGroup(name="Floor", tasks=("Mop",)), actor="ann")
    return f"/task-groups/{made.id}"


async def _incidents(_: Desk) -> str:
    return "/incidents"


async def _tasks(_: Desk) -> str:
    return "/tasks"


async def _ad_hoc(_: Desk) -> str:
    return "/tasks/ad-hoc"


def _soon(hours: int) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


COMMENT = {"comment": "Valve is stuck", "user_name": "Ann Lee"}

WORK_ROUTES: dict[str, WorkRoute] = {
    "listIncidents": fixed("/incidents"),
    "createIncident": WorkRoute(
        _incidents,
        lambda desk: {
            "building": desk.building_id,
            "zone": desk.matrix.zone_id,
            "name": "Tap drips",
            "raised_by": "Guard desk",
            "tasks": [{"name": "Close valve"}],
        },
    ),
    "showIncident": of_incident(),
    "changeIncident": of_incident("", {"name": "changed"}),
    "deleteIncident": of_incident(),
    "assignIncident": WorkRoute(
        of_incident("/assign").prepare, lambda desk: {"seat": desk.matrix.seat_id, "shift": desk.shift_id}
    ),
    "startIncident": WorkRoute(of_incident("/start").prepare, lambda desk: {"seat": desk.matrix.seat_id}),
    "pauseIncident": WorkRoute(_start_assigned),
    "completeIncident": of_incident("/complete", {}),
    "reassignIncident": of_assigned("/reassign", {}),
    "moveIncident": WorkRoute(of_incident("/move").prepare, lambda desk: {"zone": desk.matrix.site.zones[1].id}),
    "setIncidentAttachments": of_incident("/attachments", {"attachments": ["tap.jpg"]}),
    "listIncidentComments": of_incident("/comments"),
    "addIncidentComment": of_incident("/comments", COMMENT),
    "changeIncidentComment": of_incident("/comments/{comment}", COMMENT),
    "deleteIncidentComment": of_incident("/comments/{comment}"),
    "showIncidentTimeline": of_incident("/timeline"),
    "listIncidentEscalations": of_incident("/escalations"),
    "escalateIncident": of_incident("/escalations", {"type": "unassigned"}),
    "listTasks": fixed("/tasks"),
    "createTask": WorkRoute(
        _tasks,
        lambda desk: {
            "seat": desk.matrix.seat_id,
            "shift": desk.shift_id,
            "zone": desk.matrix.zone_id,
            "name": "Evening clean",
            "starts_at": _soon(1),
            "ends_at": _soon(2),
            "tasks": [{"name": "Mop"}],
        },
    ),
    "startAdHocTask": WorkRoute(
        _ad_hoc, lambda desk: {"shift": desk.shift_id, "zone": desk.matrix.zone_id, "ends_at": _soon(1)}
    ),
    "showTask": of_task(),
    "deleteTask": of_task(),
    "startTask": of_task("/start"),
    "pauseTask": of_task("/pause", started=True),
    "completeTask": of_task("/complete", {}, started=True),
    "setTaskAttachments": of_task("/attachments", {"attachments": ["floor.jpg"]}),
    "showTaskTimeline": of_task("/timeline"),
    "showWorkforceSettings": of_building("/workforce-settings"),
    "changeWorkforceSettings": of_building(
        "/workforce-settings", "", {"settings": {"INCIDENT_HIGH_TIMEOUT": 600, "AUTO_CLOCKOUT": None}}
    ),
    "listEscalationPolicies": of_building("/escalation-policies"),
    "createEscalationPolicy": of_building("/escalation-policies", "", {"name": "Strict"}),
    "showEscalationPolicy": of_building("/escalation-policies", "/default"),
    "changeEscalationPolicy": of_building("/escalation-policies", "/default", {"name": "Strict"}),
    "listCustomTasks": fixed("/custom-tasks"),
    "addCustomTask": fixed("/custom-tasks", {"name": f"Polish {next(SEEDS)}"}),
    "removeCustomTask": WorkRoute(_custom_task),
    "listTaskGroups": fixed("/task-groups"),
    "addTaskGroup": fixed("/task-groups", {"name": f"Floor {next(SEEDS)}", "tasks": ["Mop"]}),
    "removeTaskGroup": WorkRoute(_task_group),
}
"""By operation id."""
