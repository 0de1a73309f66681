"""Zone categories and zone units: the lists that zones are described by.

Those of an organisation are for all its buildings; a building may have some of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from matrixhub.model.ids import BuildingId, PropertyId
from matrixhub.model.place import ZoneCategory, ZoneUnit, check_catalogue
from matrixhub.modules.work import Platform
from matrixhub.store import grids as store


async def list_zone_categories(
    platform: Platform, organisation_id: str, *, property_type_id: str | None = None
) -> Sequence[ZoneCategory]:
    """The zone categories of an organisation, by name; all of them, or those of a property type."""
    async with platform.database.connection() as connection:
        return await store.list_zone_categories(connection, organisation_id, property_type_id)


async def create_zone_category(platform: Platform, organisation_id: str, made: ZoneCategory) -> ZoneCategory:
    """Make a zone category of an organisation.

    Raises: NotFound, NameTaken if its id is there, LimitViolated, StoreError.
    """
    async with platform.database.transaction() as connection:
        await _add_category(connection, organisation_id, made)
    return made


async def list_zone_categories_of_building(
    platform: Platform, property_id: PropertyId, building_id: BuildingId
) -> Sequence[ZoneCategory]:
    """The zone categories of the type of a building's property, and its own. Raises NotFound."""
    async with platform.database.transaction() as connection:
        await store.read_building(connection, property_id, building_id)
        return await store.list_zone_categories_of_building(connection, property_id, building_id)


async def create_zone_category_of_building(
    platform: Platform, property_id: PropertyId, made: ZoneCategory
) -> ZoneCategory:
    """Make a zone category of the building it names.

    Raises: NotFound, NameTaken if its id is there, LimitViolated, StoreError.
    """
    async with platform.database.transaction() as connection:
        owner = await _owner_of(connection, property_id, made.building_id)
        await _add_category(connection, owner, made)
    return made


async def list_zone_units(
    platform: Platform, organisation_id: str, category_id: str | None = None
) -> Sequence[ZoneUnit]:
    """The units of an organisation, by name; all of them, or those of a zone category."""
    async with platform.database.connection() as connection:
        return await store.list_zone_units(connection, organisation_id, category_id)


async def create_zone_unit(platform: Platform, organisation_id: str, made: ZoneUnit) -> ZoneUnit:
    """Make a zone unit of an organisation.

    Raises: NotFound, NameTaken if its id is there, LimitViolated, StoreError.
    """
    async with platform.database.transaction() as connection:
        await _add_unit(connection, organisation_id, made)
    return made


async def list_zone_units_of_building(
    platform: Platform, property_id: PropertyId, building_id: BuildingId, category_id: str | None = None
) -> Sequence[ZoneUnit]:
    """The units that a building may have, the organisation's and its own; all, or those of a zone category.

    Raises: NotFound.
    """
    async with platform.database.transaction() as connection:
        await store.read_building(connection, property_id, building_id)
        return await store.list_zone_units_of_building(connection, property_id, building_id, category_id)


async def create_zone_unit_of_building(platform: Platform, property_id: PropertyId, made: ZoneUnit) -> ZoneUnit:
    """Make a zone unit of the building it names.

    Raises: NotFound, NameTaken if its id is there, LimitViolated, StoreError.
    """
    async with platform.database.transaction() as connection:
        owner = await _owner_of(connection, property_id, made.building_id)
        await _add_unit(connection, owner, made)
    return made


async def _add_category(connection: object, organisation_id: str, made: ZoneCategory) -> None:
    await store.lock_organisation(connection, organisation_id)
    check_catalogue(await store.count_zone_categories(connection, organisation_id, made.building_id))
    await store.insert_zone_category(connection, organisation_id, made)


async def _add_unit(connection: object, organisation_id: str, made: ZoneUnit) -> None:
    await store.lock_organisation(connection, organisation_id)
    check_catalogue(await store.count_zone_units(connection, organisation_id, made.building_id))
    await store.insert_zone_unit(connection, organisation_id, made)


async def _owner_of(connection: object, property_id: PropertyId, building_id: BuildingId | None) -> str:
    """The organisation of a building. Raises NotFound."""
    await store.read_building(connection, property_id, building_id or BuildingId(""))
    return (await store.read_property(connection, property_id)).organisation_id
