"""Zones of a building, and its zone map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from matrixhub.model.errors import LimitViolated, QueryTooLong
from matrixhub.model.ids import BuildingId, LevelId, PropertyId, ZoneId, new_hex_id
from matrixhub.model.paging import check_page
from matrixhub.model.place import (
    CATEGORIES_MAX,
    PAGE,
    ZONES_MAX,
    Building,
    Page,
    Property,
    Zone,
    check_version,
    status_of,
)
from matrixhub.model.place_draft import ZoneChange, ZoneDraft
from matrixhub.model.place_events import PlaceMarks, marks_of, place_events
from matrixhub.modules.work import Platform, Work
from matrixhub.store import grids as store


async def list_zones(
    platform: Platform, property_id: PropertyId, building_id: BuildingId, *, after: str = "", limit: int = PAGE
) -> Page[Zone]:
    """The zones of a building by id, a page at a time: what the zone map shows, too.

    Raises: NotFound, WrongParameters, QueryTooLong.
    """
    check_page(limit)
    async with platform.database.transaction() as connection:
        await store.read_building(connection, property_id, building_id)
        return await store.page_zones(connection, property_id, building_id, after=after, limit=limit)


async def list_zones_by_level(
    platform: Platform,
    property_id: PropertyId,
    building_id: BuildingId,
    level_id: LevelId,
    *,
    categories: Sequence[str] = (),
    after: str = "",
    limit: int = PAGE,
) -> Page[Zone]:
    """The zones of a level, all or those of at most ten categories. Raises: NotFound, WrongParameters, QueryTooLong."""
    if len(categories) > CATEGORIES_MAX:
        raise QueryTooLong(f"at most {CATEGORIES_MAX} zone categories can be asked for at once")
    check_page(limit)
    async with platform.database.transaction() as connection:
        await store.read_level(connection, property_id, building_id, level_id)
        return await store.page_zones(
            connection,
            property_id,
            building_id,
            level_id=level_id,
            categories=categories or None,
            after=after,
            limit=limit,
        )


async def list_zones_by_category(
    platform: Platform,
    property_id: PropertyId,
    building_id: BuildingId,
    category: str,
    *,
    after: str = "",
    limit: int = PAGE,
) -> Page[Zone]:
    """The zones of a building that are of a category. Raises: NotFound, WrongParameters, QueryTooLong."""
    check_page(limit)
    async with platform.database.transaction() as connection:
        await store.read_building(connection, property_id, building_id)
        return await store.page_zones(
            connection, property_id, building_id, categories=[category], after=after, limit=limit
        )


async def list_zones_by_ids(
    platform: Platform, property_id: PropertyId, building_id: BuildingId, zone_ids: Sequence[ZoneId]
) -> Sequence[Zone]:
    """Those of the zones that the building has, by id. Raises: NotFound, QueryTooLong."""
    if len(zone_ids) > PAGE:
        raise QueryTooLong(f"at most {PAGE} zones can be asked for at once")
    async with platform.database.transaction() as connection:
        await store.read_building(connection, property_id, building_id)
        return await store.find_zones(connection, property_id, building_id, zone_ids)


async def building_of_zone(platform: Platform, property_id: PropertyId, zone_id: ZoneId) -> BuildingId:
    """The building that a zone is in. Raises: NotFound, StoreError."""
    async with platform.database.connection() as connection:
        return await store.building_of_zone(connection, property_id, zone_id)


async def read_zone(platform: Platform, property_id: PropertyId, building_id: BuildingId, zone_id: ZoneId) -> Zone:
    """A zone. Raises NotFound."""
    async with platform.database.connection() as connection:
        return await store.read_zone(connection, property_id, building_id, zone_id)


async def create_zones(
    platform: Platform, property_id: PropertyId, building_id: BuildingId, drafts: Sequence[ZoneDraft], *, actor: str
) -> Sequence[Zone]:
    """Make zones, all or none of them, with an event for each.

    Raises: NotFound, NameTaken, WrongParameters, LimitViolated, StoreError.
    """
    if len(drafts) > ZONES_MAX:
        raise LimitViolated(f"at most {ZONES_MAX} zones can be made at once")
    async with platform.work(property_id, actor) as work:
        await store.share_places(work.connection, property_id)
        building = await store.read_building(work.connection, property_id, building_id)
        owner = await store.read_property(work.connection, property_id)
        await store.lock_levels(work.connection, property_id, building_id, {draft.level_id for draft in drafts})
        made = [new_zone(draft, owner, building, work) for draft in drafts]
        for zone in made:
            await store.insert_zone(work.connection, zone)
        await store.tell_places_changed(work.connection)
        marks = marks_of(zones=[zone.mark for zone in made])
        work.publish(*place_events(property_id, PlaceMarks(), marks, happened_at=work.now_s))
    return made


def new_zone(draft: ZoneDraft, owner: Property, building: Building, work: Work) -> Zone:
    """The zone a draft makes. Raises WrongParameters for a status it cannot have."""
    own = draft.operating_hours
    return Zone(
        id=ZoneId(new_hex_id()),
        organisation_id=owner.organisation_id,
        property_id=owner.id,
        building_id=building.id,
        level_id=draft.level_id,
        name=draft.name,
        category=draft.category,
        area=draft.area,
        floor_type=draft.floor_type,
        tags=draft.tags,
        units=draft.units,
        status=status_of("zone", draft.status),
        beacon_id=draft.beacon_id,
        own_hours=own or {},
        building_hours=building.operating_hours,
        is_building_hours=own is None if draft.is_building_hours is None else draft.is_building_hours,
        created_by=work.actor,
        created_at=work.now,
        updated_by=work.actor,
        updated_at=work.now,
    )


async def update_zone(
    platform: Platform,
    property_id: PropertyId,
    building_id: BuildingId,
    zone_id: ZoneId,
    change: ZoneChange,
    *,
    actor: str,
    version: int | None = None,
) -> Zone:
    """Change a zone; a new name and a new status are an event each, no change is none.

    Raises: NotFound, NameTaken, WrongParameters, VersionMismatch, StoreError.
    """
    async with platform.work(property_id, actor) as work:
        await store.share_places(work.connection, property_id)
        before = await store.lock_zone(work.connection, property_id, building_id, zone_id)
        check_version(before.version, version)
        after = changed_zone(before, change)
        if after == before:
            return before
        after = replace(after, updated_by=actor, updated_at=work.now, version=before.version + 1)
        await store.save_zone(work.connection, after)
        await store.tell_places_changed(work.connection)
        marks = (marks_of(zones=[zone.mark]) for zone in (before, after))
        work.publish(*place_events(property_id, *marks, happened_at=work.now_s))
    return after


def changed_zone(before: Zone, change: ZoneChange) -> Zone:
    """The zone with what changes. Raises WrongParameters for a status it cannot have."""
    whose = change.is_building_hours
    if whose is None and change.operating_hours is not None:
        whose = False
    return replace(
        before,
        name=before.name if change.name is None else change.name,
        area=before.area if change.area is None else change.area,
        floor_type=before.floor_type if change.floor_type is None else change.floor_type,
        status=before.status if change.status is None else status_of("zone", change.status),
        tags=before.tags if change.tags is None else change.tags,
        units=before.units if change.units is None else change.units,
        beacon_id=before.beacon_id if change.beacon_id is None else change.beacon_id,
        own_hours=before.own_hours if change.operating_hours is None else change.operating_hours,
        is_building_hours=before.is_building_hours if whose is None else whose,
    )


async def delete_zone(
    platform: Platform, property_id: PropertyId, building_id: BuildingId, zone_id: ZoneId, *, actor: str
) -> Zone:
    """Remove a zone with its slots; what it was. Raises: NotFound, StoreError."""
    async with platform.work(property_id, actor) as work:
        await store.share_places(work.connection, property_id)
        zone = await store.lock_zone(work.connection, property_id, building_id, zone_id)
        await store.delete_zone(work.connection, property_id, zone_id)
        await store.tell_places_changed(work.connection)
        gone = marks_of(zones=[zone.mark])
        work.publish(*place_events(property_id, gone, PlaceMarks(), happened_at=work.now_s))
    return zone
