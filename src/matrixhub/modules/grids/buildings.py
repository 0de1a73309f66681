"""Buildings of a property."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from matrixhub.model.errors import LimitViolated, QueryTooLong
from matrixhub.model.ids import BuildingId, PropertyId, new_hex_id
from matrixhub.model.place import BUILDINGS_MAX, PAGE, Building, PlaceMetrics, check_version, status_of
from matrixhub.model.place_draft import BuildingChange, BuildingDraft
from matrixhub.modules.work import Platform
from matrixhub.store import grids as store


async def list_buildings(platform: Platform, property_id: PropertyId) -> Sequence[Building]:
    """The buildings of a property, by name. Raises NotFound."""
    async with platform.database.transaction() as connection:
        await store.read_property(connection, property_id)
        return await store.list_buildings(connection, property_id)


async def read_building(platform: Platform, property_id: PropertyId, building_id: BuildingId) -> Building:
    """A building. Raises NotFound."""
    async with platform.database.connection() as connection:
        return await store.read_building(connection, property_id, building_id)


async def read_buildings(
    platform: Platform, property_id: PropertyId, building_ids: Sequence[BuildingId]
) -> Sequence[Building]:
    """Those of the buildings that the property has, by name. Raises QueryTooLong."""
    if len(building_ids) > PAGE:
        raise QueryTooLong(f"at most {PAGE} buildings can be asked for at once")
    async with platform.database.connection() as connection:
        return await store.find_buildings(connection, property_id, building_ids)


async def create_building(
    platform: Platform,
    property_id: PropertyId,
    draft: BuildingDraft,
    *,
    actor: str,
    buildings_max: int = BUILDINGS_MAX,
) -> Building:
    """Make a building, a draft until its status is set. Raises: NotFound, NameTaken, LimitViolated, StoreError."""
    async with platform.work(property_id, actor) as work:
        await store.share_places(work.connection, property_id)
        # The property is locked so that two at once do not both take its last place.
        owner = await store.lock_property(work.connection, property_id)
        if await store.count_buildings(work.connection, property_id) >= buildings_max:
            raise LimitViolated(f"a property has at most {buildings_max} buildings")
        made = Building(
            id=BuildingId(new_hex_id()),
            property_id=property_id,
            name=draft.name,
            time_zone=draft.time_zone or owner.time_zone or "UTC",
            operating_hours=draft.operating_hours,
            own_address=draft.address,
            property_address=owner.address,
            is_property_address=draft.is_property_address,
            email=draft.email,
            levels_count=draft.levels_count,
            is_beacon_enabled=draft.is_beacon_enabled,
            area=draft.area,
            status="draft",
            country=draft.country,
            country_locale=draft.country_locale,
            created_by=actor,
            created_at=work.now,
            updated_by=actor,
            updated_at=work.now,
        )
        await store.insert_building(work.connection, made)
    return made


async def update_building(
    platform: Platform,
    property_id: PropertyId,
    building_id: BuildingId,
    change: BuildingChange,
    *,
    actor: str,
    version: int | None = None,
) -> Building:
    """Change a building. Raises: NotFound, NameTaken, WrongParameters, VersionMismatch, StoreError."""
    async with platform.work(property_id, actor) as work:
        await store.share_places(work.connection, property_id)
        before = await store.lock_building(work.connection, property_id, building_id)
        check_version(before.version, version)
        after = changed_building(before, change)
        if after == before:
            return before
        after = replace(after, updated_by=actor, updated_at=work.now, version=before.version + 1)
        await store.save_building(work.connection, after)
    return after


def changed_building(before: Building, change: BuildingChange) -> Building:
    """The building with what changes. Raises WrongParameters for a status it cannot have."""
    return replace(
        before,
        name=before.name if change.name is None else change.name,
        status=before.status if change.status is None else status_of("building", change.status),
        operating_hours=before.operating_hours if change.operating_hours is None else change.operating_hours,
    )


async def building_metrics(platform: Platform, property_id: PropertyId, building_id: BuildingId) -> PlaceMetrics:
    """How much there is in a building. Raises NotFound."""
    async with platform.database.transaction() as connection:
        await store.read_building(connection, property_id, building_id)
        return await store.count_places(connection, property_id, building_id)
