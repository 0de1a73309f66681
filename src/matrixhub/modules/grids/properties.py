"""Properties and their types. What an organisation shares is asked for by its id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from matrixhub.model.errors import LimitViolated
from matrixhub.model.ids import BuildingId, PropertyId, new_hex_id
from matrixhub.model.place import (
    PROPERTIES_MAX,
    PlaceMetrics,
    Property,
    PropertyType,
    check_catalogue,
    check_version,
    status_of,
)
from matrixhub.model.place_draft import PropertyChange, PropertyDraft
from matrixhub.modules.work import Platform
from matrixhub.store import grids as store


async def list_properties(
    platform: Platform, organisation_id: str, *, type_id: str | None = None
) -> Sequence[Property]:
    """The properties of an organisation, by name; all of them, or those of a type."""
    async with platform.database.connection() as connection:
        return await store.list_properties(connection, organisation_id, type_id)


async def list_visible_properties(
    platform: Platform, property_id: PropertyId, *, whole_organisation: bool, type_id: str | None = None
) -> Sequence[Property]:
    """The properties that somebody may see: those of the organisation of a property, or that property alone.

    Shape:  whole_organisation is for who may act on all properties; type_id narrows.
    Raises: NotFound, StoreError.
    """
    found = await read_property(platform, property_id)
    if whole_organisation:
        return await list_properties(platform, found.organisation_id, type_id=type_id)
    return [found] if type_id in (None, found.type_id) else []


async def organisation_of(platform: Platform, property_id: PropertyId) -> str:
    """The organisation of a property. Raises NotFound, StoreError."""
    return (await read_property(platform, property_id)).organisation_id


async def read_property(platform: Platform, property_id: PropertyId) -> Property:
    """A property. Raises NotFound."""
    async with platform.database.connection() as connection:
        return await store.read_property(connection, property_id)


async def read_property_by_building(platform: Platform, property_id: PropertyId, building_id: BuildingId) -> Property:
    """The property, if the building is one of its own. Raises NotFound."""
    async with platform.database.transaction() as connection:
        await store.read_building(connection, property_id, building_id)
        return await store.read_property(connection, property_id)


async def create_property(
    platform: Platform,
    organisation_id: str,
    draft: PropertyDraft,
    *,
    actor: str,
    properties_max: int = PROPERTIES_MAX,
) -> Property:
    """Make a property of an organisation; it is active at once. Who made it has no part in it: it has keys of its own.

    Raises: NotFound, LimitViolated, StoreError.
    """
    property_id = PropertyId(new_hex_id())
    async with platform.work(property_id, actor) as work:
        await store.lock_organisation(work.connection, organisation_id)
        if await store.count_properties(work.connection, organisation_id) >= properties_max:
            raise LimitViolated(f"an organisation has at most {properties_max:,} properties")
        made = Property(
            id=property_id,
            organisation_id=organisation_id,
            name=draft.name,
            type_id=draft.type_id,
            address=draft.address,
            status="Active",
            time_zone=draft.time_zone,
            country=draft.country,
            country_locale=draft.country_locale,
            plan_type=draft.plan_type,
            created_by=actor,
            created_at=work.now,
            updated_by=actor,
            updated_at=work.now,
        )
        await store.insert_property(work.connection, made)
    return made


async def update_property(
    platform: Platform, property_id: PropertyId, change: PropertyChange, *, actor: str, version: int | None = None
) -> Property:
    """Change the name or status of a property. Raises: NotFound, WrongParameters, VersionMismatch, StoreError."""
    async with platform.work(property_id, actor) as work:
        await store.share_places(work.connection, property_id)
        before = await store.lock_property(work.connection, property_id)
        check_version(before.version, version)
        after = changed_property(before, change)
        if after == before:
            return before
        after = replace(after, updated_by=actor, updated_at=work.now, version=before.version + 1)
        await store.save_property(work.connection, after)
    return after


def changed_property(before: Property, change: PropertyChange) -> Property:
    """The property with what changes. Raises WrongParameters for a status it cannot have."""
    return replace(
        before,
        name=before.name if change.name is None else change.name,
        status=before.status if change.status is None else status_of("property", change.status),
    )


async def list_property_types(platform: Platform, organisation_id: str) -> Sequence[PropertyType]:
    """The property types of an organisation, by name."""
    async with platform.database.connection() as connection:
        return await store.list_property_types(connection, organisation_id)


async def create_property_type(platform: Platform, organisation_id: str, made: PropertyType) -> PropertyType:
    """Make a property type of an organisation.

    Raises: NotFound, NameTaken if its id is there, LimitViolated, StoreError.
    """
    async with platform.database.transaction() as connection:
        await store.lock_organisation(connection, organisation_id)
        check_catalogue(await store.count_property_types(connection, organisation_id))
        await store.insert_property_type(connection, organisation_id, made)
    return made


async def property_metrics(platform: Platform, property_id: PropertyId) -> PlaceMetrics:
    """How much there is in a property. Raises NotFound."""
    async with platform.database.transaction() as connection:
        await store.read_property(connection, property_id)
        return await store.count_places(connection, property_id, None)
