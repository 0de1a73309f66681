"""Definitions of the shifts of a property, and their hours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from matrixhub.model.errors import NotFound
from matrixhub.model.ids import PropertyId
from matrixhub.model.shift_definition import ShiftDefinition
from matrixhub.store.sql import load_statements

_SQL = load_statements("shift_definitions.sql")

_Definitions = tuple[ShiftDefinition, ...]


async def add_definitions(
    connection: Any, property_id: PropertyId, days: Sequence[int], definitions: Sequence[ShiftDefinition]
) -> Sequence[int]:
    """Define the shifts of days that have none; which days that were. Raises NotFound."""
    await _require_property(connection, property_id)
    return [row["day_of_week"] for row in await connection.fetch(_SQL["add"], property_id, list(days), definitions)]


async def change_definitions(
    connection: Any, property_id: PropertyId, days: Sequence[int], definitions: Sequence[ShiftDefinition]
) -> Sequence[int]:
    """Define the shifts of days that have some anew; which days that were."""
    return [row["day_of_week"] for row in await connection.fetch(_SQL["change"], property_id, list(days), definitions)]


async def delete_definitions(connection: Any, property_id: PropertyId, days: Sequence[int]) -> None:
    """Let days have no defined shifts."""
    await connection.execute(_SQL["delete"], property_id, list(days))


async def read_definitions(connection: Any, property_id: PropertyId) -> Mapping[int, Sequence[ShiftDefinition]]:
    """The shifts that are defined, by day of the week."""
    rows = await connection.fetch(_SQL["read"], property_id)
    return {row["day_of_week"]: msgspec.convert(row["shifts"], _Definitions) for row in rows}


async def save_hours(connection: Any, property_id: PropertyId, hours: Sequence[ShiftDefinition]) -> None:
    """Keep the hours of shifts by name, in the place of those before. Raises NotFound."""
    await _require_property(connection, property_id)
    await connection.execute(_SQL["save_hours"], property_id, hours)


async def delete_hours(connection: Any, property_id: PropertyId) -> None:
    """Forget the hours of shifts."""
    await connection.execute(_SQL["delete_hours"], property_id)


async def read_hours(connection: Any, property_id: PropertyId) -> Sequence[ShiftDefinition]:
    """The hours of shifts, in the order of their start."""
    return msgspec.convert(await connection.fetchval(_SQL["hours"], property_id) or [], _Definitions)


async def _require_property(connection: Any, property_id: PropertyId) -> None:
    if not await connection.fetchval(_SQL["lock_property"], property_id):
        raise NotFound(f"there is no property {property_id}")
