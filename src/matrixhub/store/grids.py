"""Properties, buildings, levels and zones with all that is kept of them, and the lists they are described by.

Everything is asked of a property, or, for what properties share, of an organisation.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import asyncpg

from matrixhub.model.address import address_document, read_address
from matrixhub.model.errors import NameTaken, NotFound
from matrixhub.model.floor_plan import FloorPlan, PlanPosition
from matrixhub.model.hours import hours_document, read_hours
from matrixhub.model.ids import BuildingId, LevelId, PropertyId, ZoneId
from matrixhub.model.place import (
    Building,
    Level,
    Page,
    PlaceMetrics,
    Property,
    PropertyType,
    Zone,
    ZoneCategory,
    ZoneUnit,
)
from matrixhub.model.units import read_units, units_document
from matrixhub.store.sites import SITE_CHANNEL
from matrixhub.store.sql import load_statements

_SQL = load_statements("grids.sql")


async def share_places(connection: Any, property_id: PropertyId) -> None:
    """Keep site files of the property from being applied until the end of the transaction.

    Acts on single places do not wait for each other here: the rows they lock do that.
    """
    await connection.execute(_SQL["share_places"], property_id)


async def tell_places_changed(connection: Any) -> None:
    """Let those who keep places or slots in memory load them again."""
    await connection.execute("select pg_notify($1, '')", SITE_CHANNEL)


@contextlib.contextmanager
def unique_name(what: str) -> Iterator[None]:
    """Raises: NameTaken where the database has one of that name already; the transaction is lost with it."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise NameTaken(f"{what} is there already") from error


# --- properties ---


async def lock_organisation(connection: Any, organisation_id: str) -> None:
    """Keep others from adding to what is the organisation's until the end of the transaction. Raises NotFound."""
    if not await connection.fetchval(_SQL["lock_organisation"], organisation_id):
        raise NotFound(f"there is no organisation {organisation_id}")


async def count_properties(connection: Any, organisation_id: str) -> int:
    """How many properties an organisation has."""
    return int(await connection.fetchval(_SQL["count_properties"], organisation_id))


async def count_property_types(connection: Any, organisation_id: str) -> int:
    """How many property types an organisation has."""
    return int(await connection.fetchval(_SQL["count_property_types"], organisation_id))


async def count_zone_categories(connection: Any, organisation_id: str, building_id: BuildingId | None) -> int:
    """How many zone categories are in the list of an organisation, or of one of its buildings."""
    return int(await connection.fetchval(_SQL["count_zone_categories"], organisation_id, building_id))


async def count_zone_units(connection: Any, organisation_id: str, building_id: BuildingId | None) -> int:
    """How many zone units are in the list of an organisation, or of one of its buildings."""
    return int(await connection.fetchval(_SQL["count_zone_units"], organisation_id, building_id))


async def list_properties(connection: Any, organisation_id: str, type_id: str | None = None) -> Sequence[Property]:
    """The properties of an organisation, by name; all of them, or those of a type."""
    return [_property(row) for row in await connection.fetch(_SQL["properties"], organisation_id, type_id)]


async def read_property(connection: Any, property_id: PropertyId) -> Property:
    """A property. Raises NotFound."""
    row = await connection.fetchrow(_SQL["property"], property_id)
    if row is None:
        raise NotFound(f"there is no property {property_id}")
    return _property(row)


async def lock_property(connection: Any, property_id: PropertyId) -> Property:
    """A property that nobody else changes until the end of the transaction. Raises NotFound."""
    await connection.execute(_SQL["lock_property"], property_id)
    return await read_property(connection, property_id)


async def insert_property(connection: Any, made: Property) -> None:
    """Keep a new property. Its organisation exists."""
    await connection.execute(
        _SQL["insert_property"],
        made.id,
        made.organisation_id,
        made.name,
        made.type_id,
        address_document(made.address),
        made.status,
        made.time_zone,
        made.country,
        made.country_locale,
        made.plan_type,
        made.created_by,
        made.created_at,
        made.updated_by,
        made.updated_at,
        made.version,
    )


async def save_property(connection: Any, changed: Property) -> None:
    """Keep the name and status of a property that is locked."""
    await connection.execute(
        _SQL["save_property"],
        changed.id,
        changed.name,
        changed.status,
        changed.updated_by,
        changed.updated_at,
        changed.version,
    )


async def list_property_types(connection: Any, organisation_id: str) -> Sequence[PropertyType]:
    """The property types of an organisation, by name."""
    return [PropertyType(**dict(row)) for row in await connection.fetch(_SQL["property_types"], organisation_id)]


async def insert_property_type(connection: Any, organisation_id: str, made: PropertyType) -> None:
    """Keep a new property type. Raises NameTaken if its id is there."""
    with unique_name(f"property type {made.id}"):
        await connection.execute(_SQL["insert_property_type"], organisation_id, made.id, made.name)


async def count_places(connection: Any, property_id: PropertyId, building_id: BuildingId | None) -> PlaceMetrics:
    """How much there is in a property, or in one building of it."""
    return PlaceMetrics(**dict(await connection.fetchrow(_SQL["metrics"], property_id, building_id)))


# --- buildings ---


async def list_buildings(connection: Any, property_id: PropertyId) -> Sequence[Building]:
    """The buildings of a property, by name."""
    return [_building(row) for row in await connection.fetch(_SQL["buildings"], property_id)]


async def find_buildings(
    connection: Any, property_id: PropertyId, building_ids: Collection[BuildingId]
) -> Sequence[Building]:
    """Those of the buildings that the property has, by name."""
    return [_building(row) for row in await connection.fetch(_SQL["buildings_by_id"], property_id, list(building_ids))]


async def read_building(connection: Any, property_id: PropertyId, building_id: BuildingId) -> Building:
    """A building. Raises NotFound."""
    found = await find_buildings(connection, property_id, [building_id])
    if not found:
        raise NotFound(f"property {property_id} has no building {building_id}")
    return found[0]


async def lock_building(connection: Any, property_id: PropertyId, building_id: BuildingId) -> Building:
    """A building that nobody else changes until the end of the transaction. Raises NotFound."""
    await connection.execute(_SQL["lock_building"], property_id, building_id)
    return await read_building(connection, property_id, building_id)


async def count_buildings(connection: Any, property_id: PropertyId) -> int:
    """How many buildings a property has."""
    return int(await connection.fetchval(_SQL["count_buildings"], property_id))


async def insert_building(connection: Any, made: Building) -> None:
    """Keep a new building. Raises NameTaken."""
    with unique_name(f"a building named {made.name}"):
        await connection.execute(
            _SQL["insert_building"],
            made.id,
            made.property_id,
            made.name,
            made.time_zone,
            hours_document(made.operating_hours),
            address_document(made.own_address),
            made.is_property_address,
            made.email,
            made.levels_count,
            made.is_beacon_enabled,
            made.area,
            made.status,
            made.country,
            made.country_locale,
            made.created_by,
            made.created_at,
        )


async def save_building(connection: Any, changed: Building) -> None:
    """Keep name, status and hours of a building that is locked. Raises NameTaken."""
    with unique_name(f"a building named {changed.name}"):
        await connection.execute(
            _SQL["save_building"],
            changed.property_id,
            changed.id,
            changed.name,
            changed.status,
            hours_document(changed.operating_hours),
            changed.updated_by,
            changed.updated_at,
            changed.version,
        )


# --- levels ---


async def list_levels(connection: Any, property_id: PropertyId, building_id: BuildingId) -> Sequence[Level]:
    """The levels of a building, from the lowest up."""
    return [Level(**dict(row)) for row in await connection.fetch(_SQL["levels"], property_id, building_id)]


async def read_level(connection: Any, property_id: PropertyId, building_id: BuildingId, level_id: LevelId) -> Level:
    """A level. Raises NotFound."""
    row = await connection.fetchrow(_SQL["level"], property_id, building_id, level_id)
    if row is None:
        raise NotFound(f"building {building_id} has no level {level_id}")
    return Level(**dict(row))


async def lock_levels(
    connection: Any, property_id: PropertyId, building_id: BuildingId, level_ids: Collection[LevelId]
) -> None:
    """Levels that nobody else changes, or adds zones to, until the end of the transaction. Raises NotFound."""
    rows = await connection.fetch(_SQL["lock_levels"], property_id, building_id, sorted(level_ids))
    missing = set(level_ids).difference(row["id"] for row in rows)
    if missing:
        raise NotFound(f"building {building_id} has no level {min(missing)}")


async def lock_level_with_zones(
    connection: Any, property_id: PropertyId, building_id: BuildingId, level_id: LevelId
) -> tuple[Level, Sequence[Zone]]:
    """A level that is about to be removed, and its zones, by id. Raises NotFound."""
    await connection.execute(_SQL["lock_level_for_removal"], property_id, building_id, level_id)
    level = await read_level(connection, property_id, building_id, level_id)
    rows = await connection.fetch(_SQL["lock_zones_of_level"], property_id, building_id, level_id)
    return level, await find_zones(connection, property_id, building_id, [row["id"] for row in rows])


async def count_levels(connection: Any, property_id: PropertyId, building_id: BuildingId) -> int:
    """How many levels a building has."""
    return int(await connection.fetchval(_SQL["count_levels"], property_id, building_id))


async def insert_level(connection: Any, made: Level) -> None:
    """Keep a new level of a building that is locked. Raises NameTaken."""
    with unique_name(f"a level named {made.name}"):
        await connection.execute(
            _SQL["insert_level"],
            made.id,
            made.property_id,
            made.building_id,
            made.name,
            made.level,
            made.area,
            made.created_by,
            made.created_at,
        )


async def save_level(connection: Any, changed: Level) -> None:
    """Keep a level that is locked. Raises NameTaken."""
    with unique_name(f"a level named {changed.name}"):
        await connection.execute(
            _SQL["save_level"],
            changed.property_id,
            changed.id,
            changed.name,
            changed.level,
            changed.area,
            changed.updated_by,
            changed.updated_at,
            changed.version,
        )


async def delete_level(connection: Any, property_id: PropertyId, level_id: LevelId) -> None:
    """Remove a level with all that is on it."""
    await connection.execute(_SQL["delete_level"], property_id, level_id)


async def read_floor_plan(
    connection: Any, property_id: PropertyId, building_id: BuildingId, level_id: LevelId
) -> FloorPlan | None:
    """The floor plan of a level, if it has one."""
    row = await connection.fetchrow(_SQL["floor_plan"], property_id, building_id, level_id)
    return FloorPlan(**dict(row)) if row else None


async def save_floor_plan(connection: Any, level: Level, plan: FloorPlan) -> None:
    """Keep the floor plan of a level, instead of the one it had."""
    await connection.execute(
        _SQL["save_floor_plan"],
        level.property_id,
        level.id,
        plan.media_type,
        plan.image,
        level.updated_by,
        level.updated_at,
    )


async def list_plan_positions(
    connection: Any, property_id: PropertyId, building_id: BuildingId, level_id: LevelId
) -> Sequence[PlanPosition]:
    """Where the zones and slots of a level are on its plan, zones first."""
    rows = await connection.fetch(_SQL["plan_positions"], property_id, building_id, level_id)
    return [PlanPosition(**dict(row)) for row in rows]


async def save_plan_positions(connection: Any, level: Level, positions: Sequence[PlanPosition]) -> None:
    """Keep the positions on the plan of a level, instead of those it had.

    Raises: NotFound if a zone or slot is not on the level.
    """
    zones, slots = ([p.id for p in positions if p.kind == kind] for kind in ("zone", "slot"))
    await connection.execute(_SQL["clear_plan_positions"], level.property_id, level.id, zones, slots)
    added = await connection.fetch(
        _SQL["add_plan_positions"],
        level.property_id,
        level.id,
        [p.kind for p in positions],
        [p.id for p in positions],
        [p.x for p in positions],
        [p.y for p in positions],
    )
    missing = {p.id for p in positions}.difference(row["id"] for row in added)
    if missing:
        raise NotFound(f"level {level.id} has no zone or slot {min(missing)}")


# --- zones ---


async def building_of_zone(connection: Any, property_id: PropertyId, zone_id: ZoneId) -> BuildingId:
    """The building that a zone is in. Raises NotFound."""
    found = await connection.fetchval(_SQL["building_of_zone"], property_id, zone_id)
    if found is None:
        raise NotFound(f"property {property_id} has no zone {zone_id}")
    return BuildingId(found)


async def read_zone(connection: Any, property_id: PropertyId, building_id: BuildingId, zone_id: ZoneId) -> Zone:
    """A zone. Raises NotFound."""
    row = await connection.fetchrow(_SQL["zone"], property_id, building_id, zone_id)
    if row is None:
        raise NotFound(f"building {building_id} has no zone {zone_id}")
    return _zone(row)


async def lock_zone(connection: Any, property_id: PropertyId, building_id: BuildingId, zone_id: ZoneId) -> Zone:
    """A zone that nobody else changes until the end of the transaction. Raises NotFound."""
    await connection.execute(_SQL["lock_zone"], property_id, building_id, zone_id)
    return await read_zone(connection, property_id, building_id, zone_id)


async def find_zones(
    connection: Any, property_id: PropertyId, building_id: BuildingId, zone_ids: Collection[ZoneId]
) -> Sequence[Zone]:
    """Those of the zones that the building has, by id."""
    rows = await connection.fetch(_SQL["zones_by_id"], property_id, building_id, list(zone_ids))
    return [_zone(row) for row in rows]


async def page_zones(
    connection: Any,
    property_id: PropertyId,
    building_id: BuildingId,
    *,
    level_id: LevelId | None = None,
    categories: Collection[str] | None = None,
    after: str = "",
    limit: int,
) -> Page[Zone]:
    """Zones of a building by id, behind the one named by `after`; all, or those of a level or of categories."""
    wanted = None if categories is None else list(categories)
    rows = await connection.fetch(_SQL["zone_page"], property_id, building_id, level_id, wanted, after, limit + 1)
    zones = tuple(_zone(row) for row in rows[:limit])
    return Page(zones, zones[-1].id if len(rows) > limit else None)


async def insert_zone(connection: Any, made: Zone) -> None:
    """Keep a new zone of a level that is locked. Raises NameTaken."""
    with unique_name(f"a zone named {made.name}"):
        await connection.execute(
            _SQL["insert_zone"],
            made.id,
            made.property_id,
            made.building_id,
            made.level_id,
            made.name,
            made.category,
            made.area,
            made.floor_type,
            dict(made.tags),
            units_document(made.units),
            made.status,
            made.beacon_id,
            hours_document(made.own_hours),
            made.is_building_hours,
            made.created_by,
            made.created_at,
        )


async def save_zone(connection: Any, changed: Zone) -> None:
    """Keep a zone that is locked. Raises NameTaken."""
    with unique_name(f"a zone named {changed.name}"):
        await connection.execute(
            _SQL["save_zone"],
            changed.property_id,
            changed.id,
            changed.name,
            changed.area,
            changed.floor_type,
            dict(changed.tags),
            units_document(changed.units),
            changed.status,
            changed.beacon_id,
            hours_document(changed.own_hours),
            changed.is_building_hours,
            changed.updated_by,
            changed.updated_at,
            changed.version,
        )


async def delete_zone(connection: Any, property_id: PropertyId, zone_id: ZoneId) -> None:
    """Remove a zone with its slots."""
    await connection.execute(_SQL["delete_zone"], property_id, zone_id)


# --- zone categories and units ---


async def list_zone_categories(
    connection: Any, organisation_id: str, property_type_id: str | None = None
) -> Sequence[ZoneCategory]:
    """The zone categories of an organisation, by name; all of them, or those of a property type."""
    rows = await connection.fetch(_SQL["zone_categories"], organisation_id, property_type_id)
    return [ZoneCategory(**dict(row)) for row in rows]


async def list_zone_categories_of_building(
    connection: Any, property_id: PropertyId, building_id: BuildingId
) -> Sequence[ZoneCategory]:
    """The zone categories of the type of a building's property and those of the building itself, by name."""
    rows = await connection.fetch(_SQL["zone_categories_of_building"], property_id, building_id)
    return [ZoneCategory(**dict(row)) for row in rows]


async def insert_zone_category(connection: Any, organisation_id: str, made: ZoneCategory) -> None:
    """Keep a new zone category. Raises NameTaken if its id is there."""
    with unique_name(f"zone category {made.id}"):
        await connection.execute(
            _SQL["insert_zone_category"], organisation_id, made.building_id, made.property_type_id, made.id, made.name
        )


async def list_zone_units(connection: Any, organisation_id: str, category_id: str | None) -> Sequence[ZoneUnit]:
    """The units of an organisation, by name; all of them, or those of a zone category."""
    rows = await connection.fetch(_SQL["zone_units"], organisation_id, category_id)
    return [ZoneUnit(**dict(row)) for row in rows]


async def list_zone_units_of_building(
    connection: Any, property_id: PropertyId, building_id: BuildingId, category_id: str | None
) -> Sequence[ZoneUnit]:
    """The units of the organisation and those of the building itself, all or those of a zone category, by name."""
    rows = await connection.fetch(_SQL["zone_units_of_building"], property_id, building_id, category_id)
    return [ZoneUnit(**dict(row)) for row in rows]


async def insert_zone_unit(connection: Any, organisation_id: str, made: ZoneUnit) -> None:
    """Keep a new zone unit. Raises NameTaken if its id is there."""
    with unique_name(f"zone unit {made.id}"):
        await connection.execute(
            _SQL["insert_zone_unit"],
            organisation_id,
            made.building_id,
            made.category_id,
            made.id,
            made.name,
            made.image_url,
        )


def _property(row: Any) -> Property:
    return Property(**{**dict(row), "address": read_address(row["address"])})


def _building(row: Any) -> Building:
    return Building(
        **{
            **dict(row),
            "operating_hours": read_hours(row["operating_hours"]),
            "own_address": read_address(row["own_address"]),
            "property_address": read_address(row["property_address"]),
        }
    )


def _zone(row: Any) -> Zone:
    return Zone(
        **{
            **dict(row),
            "units": read_units(row["units"]),
            "own_hours": read_hours(row["own_hours"]),
            "building_hours": read_hours(row["building_hours"]),
        }
    )
