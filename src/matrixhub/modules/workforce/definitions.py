"""Acts on the shifts a property usually has. Source: docs/contract/workforce.md §3.5"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matrixhub.model.availability import checked_days
from matrixhub.model.errors import Conflict, NotFound
from matrixhub.model.ids import PropertyId
from matrixhub.model.shift_definition import ShiftDefinition, checked_definitions
from matrixhub.modules.work import Platform
from matrixhub.store import shift_definitions as store

Definitions = Mapping[int, Sequence[ShiftDefinition]]
"""Shifts by day of the week; 0 is Sunday."""


async def create_definitions(
    platform: Platform,
    property_id: PropertyId,
    days: Sequence[int],
    definitions: Sequence[ShiftDefinition],
    *,
    actor: str,
) -> Definitions:
    """The shifts of days that had none; those of all days.

    Raises: NotFound, MissingParameters, WrongParameters, LimitViolated, Conflict for a day that has some, StoreError
    """
    wanted, checked = checked_days(days), checked_definitions(definitions)
    async with platform.work(property_id, actor) as work:
        taken = set(wanted) - set(await store.add_definitions(work.connection, property_id, wanted, checked))
        if taken:
            raise Conflict(f"shifts are defined for day {min(taken)} already")
        return await store.read_definitions(work.connection, property_id)


async def update_definitions(
    platform: Platform,
    property_id: PropertyId,
    days: Sequence[int],
    definitions: Sequence[ShiftDefinition],
    *,
    actor: str,
) -> Definitions:
    """Other shifts of days that had some; those of all days.

    Raises: NotFound for a day that has none, MissingParameters, WrongParameters, LimitViolated, StoreError
    """
    wanted, checked = checked_days(days), checked_definitions(definitions)
    async with platform.work(property_id, actor) as work:
        missing = set(wanted) - set(await store.change_definitions(work.connection, property_id, wanted, checked))
        if missing:
            raise NotFound(f"no shifts are defined for day {min(missing)}")
        return await store.read_definitions(work.connection, property_id)


async def set_definitions(
    platform: Platform, property_id: PropertyId, day: int, definitions: Sequence[ShiftDefinition], *, actor: str
) -> Definitions:
    """The shifts of a day, whether it had some or not; those of all days.

    Raises: NotFound, MissingParameters, WrongParameters, LimitViolated, StoreError
    """
    [wanted], checked = checked_days([day]), checked_definitions(definitions)
    async with platform.work(property_id, actor) as work:
        await store.delete_definitions(work.connection, property_id, [wanted])
        await store.add_definitions(work.connection, property_id, [wanted], checked)
        return await store.read_definitions(work.connection, property_id)


async def delete_definitions(
    platform: Platform, property_id: PropertyId, days: Sequence[int], *, actor: str
) -> Definitions:
    """No shifts for these days; those of all others. Raises MissingParameters, WrongParameters, StoreError."""
    async with platform.work(property_id, actor) as work:
        await store.delete_definitions(work.connection, property_id, checked_days(days))
        return await store.read_definitions(work.connection, property_id)


async def read_definitions(platform: Platform, property_id: PropertyId) -> Definitions:
    """The shifts that are defined, by day of the week. Raises StoreError."""
    async with platform.database.connection() as connection:
        return await store.read_definitions(connection, property_id)


async def update_hours(
    platform: Platform, property_id: PropertyId, hours: Sequence[ShiftDefinition], *, actor: str
) -> Sequence[ShiftDefinition]:
    """The hours of shifts by name, in the place of those before. Raises NotFound, WrongParameters, …"""
    checked = checked_definitions(hours)
    async with platform.work(property_id, actor) as work:
        await store.save_hours(work.connection, property_id, checked)
    return checked


async def delete_hours(platform: Platform, property_id: PropertyId, *, actor: str) -> None:
    """No hours of shifts. Raises StoreError."""
    async with platform.work(property_id, actor) as work:
        await store.delete_hours(work.connection, property_id)


async def read_hours(platform: Platform, property_id: PropertyId) -> Sequence[ShiftDefinition]:
    """The hours of shifts, in the order of their start. Raises StoreError."""
    async with platform.database.connection() as connection:
        return await store.read_hours(connection, property_id)
