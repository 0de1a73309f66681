"""The catalogue of a property: custom tasks and task groups."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import msgspec

from matrixhub.model.errors import NameTaken, NotFound
from matrixhub.model.ids import PropertyId
from matrixhub.model.task_catalogue import CustomTask, TaskGroup
from matrixhub.store.sql import load_statements

_SQL = load_statements("task_catalogue.sql")


async def lock_catalogue(connection: Any, property_id: PropertyId) -> None:
    """Be the only one who adds to the catalogue, until the commit. Raises NotFound if there is no such property."""
    if await connection.fetchval(_SQL["lock"], property_id) is None:
        raise NotFound(f"there is no property {property_id}")


async def add_custom_task(connection: Any, property_id: PropertyId, task: CustomTask) -> None:
    """Keep a custom task. Raises NameTaken."""
    if not await connection.fetchval(_SQL["add_custom_task"], task.id, property_id, task.name, asdict(task)):
        raise NameTaken(f"property {property_id} has a custom task {task.name!r}")


async def list_custom_tasks(connection: Any, property_id: PropertyId) -> list[CustomTask]:
    """The custom tasks by name."""
    rows = await connection.fetch(_SQL["custom_tasks"], property_id)
    return [msgspec.convert({**row["document"], "id": row["id"]}, CustomTask) for row in rows]


async def remove_custom_task(connection: Any, property_id: PropertyId, task_id: str) -> None:
    """Forget a custom task. Raises NotFound."""
    if not await connection.fetchval(_SQL["remove_custom_task"], property_id, task_id):
        raise NotFound(f"property {property_id} has no custom task {task_id}")


async def add_task_group(connection: Any, property_id: PropertyId, group: TaskGroup) -> None:
    """Keep a task group. Raises NameTaken."""
    columns = (group.id, property_id, group.name, list(group.tasks), list(group.zone_categories))
    if not await connection.fetchval(_SQL["add_task_group"], *columns):
        raise NameTaken(f"property {property_id} has a task group {group.name!r}")


async def list_task_groups(
    connection: Any, property_id: PropertyId, zone_category: str | None = None
) -> list[TaskGroup]:
    """The task groups by name, of all categories or for one."""
    rows = await connection.fetch(_SQL["task_groups"], property_id, zone_category)
    return [
        TaskGroup(
            id=row["id"],
            name=row["name"],
            tasks=tuple(row["tasks"]),
            zone_categories=tuple(row["zone_categories"]),
        )
        for row in rows
    ]


async def remove_task_group(connection: Any, property_id: PropertyId, group_id: str) -> None:
    """Forget a task group. Raises NotFound."""
    if not await connection.fetchval(_SQL["remove_task_group"], property_id, group_id):
        raise NotFound(f"property {property_id} has no task group {group_id}")
