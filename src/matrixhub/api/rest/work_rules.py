"""`/hub/v1/workforce-settings`, `/hub/v1/escalation-policies`, `/hub/v1/custom-tasks`, `/hub/v1/task-groups`: what work
goes by.
"""

from __future__ import annotations

from typing import Annotated

from litestar import Response, delete, get, patch, post
from litestar.params import PathParameter

from matrixhub.api.auth import PropertyScope, caller, require_also
from matrixhub.api.bodies import MERGE_PATCH_TYPES, ApiRequest, parse_as, read_body
from matrixhub.api.etags import IfMatch, check_match, etag
from matrixhub.api.idempotency import IdempotencyKey, Make, answer, make_once
from matrixhub.api.rest import work_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.work_orders import BuildingPath, platform_in
from matrixhub.api.rest.work_views import (
    custom_task_view,
    policy_document,
    policy_view,
    settings_view,
    task_group_view,
)
from matrixhub.model.escalation import EscalationPolicy
from matrixhub.model.ids import BuildingId
from matrixhub.model.task_catalogue import CustomTask, TaskGroup
from matrixhub.modules.workforce import escalation, settings, task_catalogue
from matrixhub.store import Database
from matrixhub.store.idempotency import Answer

ID = r"^[^\x00]{1,128}$"

PolicyPath = Annotated[str, PathParameter(pattern=ID, description="Id of the policy.")]
CatalogueTaskPath = Annotated[str, PathParameter(pattern=ID, description="Id of the custom task.")]
GroupPath = Annotated[str, PathParameter(pattern=ID, description="Id of the task group.")]


@get(
    "/workforce-settings/{building_id:str}",
    operation_id="showWorkforceSettings",
    summary="Show the settings of a building",
    tags=["workforce settings"],
    opt={"permission": "scteams.getSettings"},
)
async def show_settings(hub: Hub, property_id: PropertyScope, building_id: BuildingPath) -> doc.SettingsView:
    """Those of incidents and of schedules, with their defaults."""
    found = await settings.read_workforce_settings(hub.platform, property_id, BuildingId(building_id))
    return settings_view(building_id, found)


@patch(
    "/workforce-settings/{building_id:str}",
    operation_id="changeWorkforceSettings",
    summary="Change the settings of a building",
    tags=["workforce settings"],
    opt={"takes": doc.ChangedSettings, "types": MERGE_PATCH_TYPES, "permission": "scteams.updateSettings"},
)
async def change_settings(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, building_id: BuildingPath
) -> doc.SettingsView:
    """All that are given, or none; those that are not named stay."""
    asked = parse_as(doc.ChangedSettings, await read_body(request, MERGE_PATCH_TYPES))
    if "incident" in settings.groups_of(asked.settings):
        await require_also(request, "scteams.updateIncidentsSettings")
    changed = await settings.change_workforce_settings(
        hub.platform, property_id, BuildingId(building_id), asked.settings, actor=caller(request).actor
    )
    return settings_view(building_id, changed)


@get(
    "/escalation-policies/{building_id:str}",
    operation_id="listEscalationPolicies",
    summary="List the escalation policies of a building",
    tags=["escalation policies"],
    opt={"permission": "scteams.getAllEscalationPolicies"},
)
async def list_policies(hub: Hub, property_id: PropertyScope, building_id: BuildingPath) -> doc.PolicyList:
    """All of them, by id."""
    found = await escalation.list_policies(hub.platform, property_id, BuildingId(building_id))
    return doc.PolicyList(items=[policy_view(policy) for policy in found])


@post(
    "/escalation-policies/{building_id:str}",
    operation_id="createEscalationPolicy",
    summary="Make an escalation policy",
    tags=["escalation policies"],
    status_code=201,
    opt={
        "takes": doc.NewPolicy,
        "answers": {201: doc.PolicyView},
        "headers": ("ETag", "Location"),
        "permission": "scteams.createEscalationPolicy",
    },
)
async def create_policy(
    hub: Hub,
    property_id: PropertyScope,
    request: ApiRequest,
    building_id: BuildingPath,
    idempotency_key: IdempotencyKey = None,
) -> Response[bytes]:
    """It goes for incidents that are reported from now on. A building has at most 50."""
    body = await read_body(request)
    asked, actor = parse_as(doc.NewPolicy, body), caller(request).actor
    document = {**policy_document(asked), "PolicyId": asked.id, "IsDefault": False}

    async def prepare() -> Make:
        async def make(database: Database) -> Answer:
            made = await escalation.create_policy(
                platform_in(hub, database), property_id, BuildingId(building_id), document, actor=actor
            )
            where = f"/hub/v1/escalation-policies/{building_id}/{made.id}"
            return answer(201, policy_view(made), {"Location": where, "ETag": etag(made.version)})

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


@get(
    "/escalation-policies/{building_id:str}/{policy_id:str}",
    operation_id="showEscalationPolicy",
    summary="Show an escalation policy",
    tags=["escalation policies"],
    opt={"headers": ("ETag",), "permission": "scteams.getEscalationPolicy"},
)
async def show_policy(
    hub: Hub, property_id: PropertyScope, building_id: BuildingPath, policy_id: PolicyPath
) -> Response[doc.PolicyView]:
    """As it is now; incidents go by the version that was in force when they were reported."""
    return _policy(await escalation.read_policy(hub.platform, property_id, BuildingId(building_id), policy_id))


@patch(
    "/escalation-policies/{building_id:str}/{policy_id:str}",
    operation_id="changeEscalationPolicy",
    summary="Change an escalation policy",
    tags=["escalation policies"],
    opt={
        "takes": doc.ChangedPolicy,
        "types": MERGE_PATCH_TYPES,
        "headers": ("ETag",),
        "permission": "scteams.updateEscalationPolicySettings",
    },
)
async def change_policy(
    hub: Hub,
    property_id: PropertyScope,
    request: ApiRequest,
    building_id: BuildingPath,
    policy_id: PolicyPath,
    if_match: IfMatch = None,
) -> Response[doc.PolicyView]:
    """A next version of it. What is not named stays."""
    asked = parse_as(doc.ChangedPolicy, await read_body(request, MERGE_PATCH_TYPES))
    if (asked.name, asked.description, asked.incident_types) != (None, None, None):
        await require_also(request, "scteams.updateEscalationPolicyDetails")
    if asked.targets:
        await require_also(request, "scteams.updateEscalationPolicyTargetDurations")
    building, version = BuildingId(building_id), None
    if if_match is not None and if_match.strip() != "*":
        version = (await escalation.read_policy(hub.platform, property_id, building, policy_id)).version
        check_match(if_match, version)
    changed = await escalation.update_policy(
        hub.platform,
        property_id,
        building,
        {**policy_document(asked), "PolicyId": policy_id},
        actor=caller(request).actor,
        version=version,
    )
    return _policy(changed)


def _policy(policy: EscalationPolicy) -> Response[doc.PolicyView]:
    return Response(policy_view(policy), headers={"ETag": etag(policy.version)})


@get(
    "/custom-tasks",
    operation_id="listCustomTasks",
    summary="List custom tasks",
    tags=["task catalogue"],
)
async def list_custom_tasks(hub: Hub, property_id: PropertyScope) -> doc.CustomTaskList:
    """Those of the property, by name."""
    found = await task_catalogue.list_custom_tasks(hub.platform, property_id)
    return doc.CustomTaskList(items=[custom_task_view(task) for task in found])


@post(
    "/custom-tasks",
    operation_id="addCustomTask",
    summary="Add a custom task",
    tags=["task catalogue"],
    status_code=201,
    opt={
        "takes": doc.NewCustomTask,
        "answers": {201: doc.CustomTaskView},
        "headers": ("Location",),
        "permission": "sctasks.addCustomTaskBuilding",
    },
)
async def add_custom_task(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """At most 100 are kept of a property."""
    body = await read_body(request)
    asked, actor = parse_as(doc.NewCustomTask, body), caller(request).actor
    task = CustomTask(
        name=asked.name,
        asset=asked.asset,
        category=asked.category,
        measure=asked.measure,
        measure_name=asked.measure_name,
        skills=tuple(asked.skills),
        minutes=asked.minutes,
    )

    async def prepare() -> Make:
        async def make(database: Database) -> Answer:
            made = await task_catalogue.add_custom_task(platform_in(hub, database), property_id, task, actor=actor)
            return answer(201, custom_task_view(made), {"Location": f"/hub/v1/custom-tasks/{made.id}"})

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


@delete(
    "/custom-tasks/{custom_task_id:str}",
    operation_id="removeCustomTask",
    summary="Remove a custom task",
    tags=["task catalogue"],
)
async def remove_custom_task(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, custom_task_id: CatalogueTaskPath
) -> None:
    """What was planned with it stays."""
    await task_catalogue.remove_custom_task(hub.platform, property_id, custom_task_id, actor=caller(request).actor)


@get(
    "/task-groups",
    operation_id="listTaskGroups",
    summary="List task groups",
    tags=["task catalogue"],
)
async def list_task_groups(hub: Hub, property_id: PropertyScope) -> doc.TaskGroupList:
    """Those of the property, by name."""
    found = await task_catalogue.list_task_groups(hub.platform, property_id)
    return doc.TaskGroupList(items=[task_group_view(group) for group in found])


@post(
    "/task-groups",
    operation_id="addTaskGroup",
    summary="Add a task group",
    tags=["task catalogue"],
    status_code=201,
    opt={"takes": doc.NewTaskGroup, "answers": {201: doc.TaskGroupView}, "headers": ("Location",)},
)
async def add_task_group(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """At most 20 tasks, for 5 zone categories or for all; 100 groups of a property, 20 of a category."""
    body = await read_body(request)
    asked, actor = parse_as(doc.NewTaskGroup, body), caller(request).actor
    group = TaskGroup(name=asked.name, tasks=tuple(asked.tasks), zone_categories=tuple(asked.zone_categories))

    async def prepare() -> Make:
        async def make(database: Database) -> Answer:
            made = await task_catalogue.add_task_group(platform_in(hub, database), property_id, group, actor=actor)
            return answer(201, task_group_view(made), {"Location": f"/hub/v1/task-groups/{made.id}"})

        return make

    return await make_once(hub.database, hub.codec.sealer, request, property_id, idempotency_key, body, prepare)


@delete(
    "/task-groups/{group_id:str}",
    operation_id="removeTaskGroup",
    summary="Remove a task group",
    tags=["task catalogue"],
)
async def remove_task_group(hub: Hub, property_id: PropertyScope, request: ApiRequest, group_id: GroupPath) -> None:
    """What was planned with it stays."""
    await task_catalogue.remove_task_group(hub.platform, property_id, group_id, actor=caller(request).actor)


handlers = [
    show_settings,
    change_settings,
    list_policies,
    create_policy,
    show_policy,
    change_policy,
    list_custom_tasks,
    add_custom_task,
    remove_custom_task,
    list_task_groups,
    add_task_group,
    remove_task_group,
]
