"""Acts on the catalogue of a property: custom tasks and task groups, within the published quotas.

Source: docs/contract/incidents.md §3.3
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from matrixhub.model.devices import Json
from matrixhub.model.ids import PropertyId, new_id
from matrixhub.model.task_catalogue import CustomTask, TaskGroup, check_custom_task, check_task_group
from matrixhub.modules.work import Platform
from matrixhub.store import task_catalogue as store


async def add_custom_task(platform: Platform, property_id: PropertyId, task: CustomTask, *, actor: str) -> CustomTask:
    """A custom task with its id. Raises: MissingParameters, WrongParameters, LimitViolated, NameTaken, NotFound."""
    async with platform.work(property_id, actor) as work:
        await store.lock_catalogue(work.connection, property_id)
        check_custom_task(task, len(await store.list_custom_tasks(work.connection, property_id)))
        made = replace(task, id=new_id("tsk"))
        await store.add_custom_task(work.connection, property_id, made)
    return made


async def list_custom_tasks(platform: Platform, property_id: PropertyId) -> list[CustomTask]:
    """The custom tasks of a property by name."""
    async with platform.database.connection() as connection:
        return await store.list_custom_tasks(connection, property_id)


async def remove_custom_task(platform: Platform, property_id: PropertyId, task_id: str, *, actor: str) -> None:
    """Forget a custom task. What was planned with it stays. Raises NotFound."""
    async with platform.work(property_id, actor) as work:
        await store.remove_custom_task(work.connection, property_id, task_id)


async def add_task_group(platform: Platform, property_id: PropertyId, group: TaskGroup, *, actor: str) -> TaskGroup:
    """A task group with its id. Raises: MissingParameters, WrongParameters, LimitViolated, NameTaken, NotFound."""
    async with platform.work(property_id, actor) as work:
        await store.lock_catalogue(work.connection, property_id)
        check_task_group(group, await store.list_task_groups(work.connection, property_id))
        made = replace(group, id=new_id("tgr"))
        await store.add_task_group(work.connection, property_id, made)
    return made


async def list_task_groups(
    platform: Platform, property_id: PropertyId, zone_category: str | None = None
) -> list[TaskGroup]:
    """The task groups of a property by name, all or those for a zone category."""
    async with platform.database.connection() as connection:
        return await store.list_task_groups(connection, property_id, zone_category)


async def remove_task_group(platform: Platform, property_id: PropertyId, group_id: str, *, actor: str) -> None:
    """Forget a task group. What was planned with it stays. Raises NotFound."""
    async with platform.work(property_id, actor) as work:
        await store.remove_task_group(work.connection, property_id, group_id)


def custom_task_record(task: CustomTask) -> dict[str, Json]:
    """A custom task with the published keys, and its id."""
    return {
        "id": task.id,
        "task": task.name,
        "asset": task.asset,
        "category": task.category,
        "measure": task.measure,
        "measureName": task.measure_name,
        "skills": list(task.skills),
        "timeInMinutes": task.minutes,
    }


def categories(tasks: Sequence[CustomTask]) -> list[dict[str, Json]]:
    """Custom tasks by category, those without one under ''; the record is ours.

    >>> [entry["category"] for entry in categories([CustomTask(name="t", category="Lobby"), CustomTask(name="u")])]
    ['', 'Lobby']
    """
    return [
        {"category": name, "tasks": [custom_task_record(task) for task in tasks if task.category == name]}
        for name in sorted({task.category for task in tasks})
    ]
