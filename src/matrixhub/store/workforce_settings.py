"""Settings of incidents and shifts, a row for each building that has any of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matrixhub.model.errors import NotFound
from matrixhub.model.ids import BuildingId, PropertyId
from matrixhub.model.workforce_settings import SettingValue, WorkforceSettings
from matrixhub.store.sql import load_statements

_SQL = load_statements("workforce_settings.sql")


async def read_settings(connection: Any, property_id: PropertyId, building_id: BuildingId) -> WorkforceSettings:
    """The settings of a building. Raises NotFound if the property has no such building."""
    row = await connection.fetchrow(_SQL["read"], property_id, building_id)
    return _settings(row, property_id, building_id)


async def lock_settings(connection: Any, property_id: PropertyId, building_id: BuildingId) -> WorkforceSettings:
    """The settings of a building, which nobody else changes until the commit. Raises NotFound."""
    await connection.execute(_SQL["prepare"], property_id, building_id)
    return _settings(await connection.fetchrow(_SQL["lock"], property_id, building_id), property_id, building_id)


async def update_settings(
    connection: Any,
    property_id: PropertyId,
    building_id: BuildingId,
    *,
    incident: Mapping[str, SettingValue],
    schedule: Mapping[str, SettingValue],
) -> WorkforceSettings:
    """Set some settings, checked before; the others stay. Raises NotFound."""
    row = await connection.fetchrow(_SQL["update"], property_id, building_id, dict(incident), dict(schedule))
    return _settings(row, property_id, building_id)


def _settings(row: Any, property_id: PropertyId, building_id: BuildingId) -> WorkforceSettings:
    if row is None:
        raise NotFound(f"property {property_id} has no building {building_id}")
    return WorkforceSettings({**(row["incident"] or {}), **(row["schedule"] or {})})
