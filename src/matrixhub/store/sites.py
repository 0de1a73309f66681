"""The places and device slots of a property, as a site file declares them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import asyncpg

from matrixhub.model.errors import Conflict, NameTaken, NotFound
from matrixhub.model.ids import PropertyId
from matrixhub.model.place import level_word
from matrixhub.model.place_events import LevelMark, PlaceMarks, ZoneMark, marks_of, place_events
from matrixhub.model.site import Building, Level, Organisation, Property, Site, SiteChange, Slot, Zone
from matrixhub.store.events import record_events
from matrixhub.store.pool import Database
from matrixhub.store.sql import load_statements

SITE_CHANNEL = "matrixhub_site"
"""Notified whenever slots or keys change, so that ingest loads them again."""

SAVE_SLOTS = 10_000
"""Slots saved by one statement."""

_SQL = load_statements("sites.sql")


async def require_property(database: Database, property_id: PropertyId) -> None:
    """Raises: NotFound if there is no such property, StoreError."""
    async with database.connection() as connection:
        if not await connection.fetchval(_SQL["property_exists"], property_id):
            raise NotFound(f"there is no property {property_id}; `matrixhub site show` lists them")


async def list_properties(database: Database) -> Sequence[Mapping[str, Any]]:
    """Every property with the number of its buildings and slots. Raises StoreError."""
    async with database.connection() as connection:
        return [dict(row) for row in await connection.fetch(_SQL["properties"])]


async def read_site(database: Database, property_id: PropertyId) -> Site | None:
    """What is declared of the property, or None. Raises StoreError."""
    async with database.transaction() as connection:
        return await _read_site(connection, property_id)


async def all_slots(database: Database) -> Sequence[Slot]:
    """The slots of every property: what ingest looks readings up in. Raises StoreError."""
    async with database.connection() as connection:
        return [Slot(**dict(row)) for row in await connection.fetch(_SQL["all_slots"])]


async def apply_site(database: Database, site: Site, *, remove: bool) -> SiteChange:
    """Make the property what the site says; what it no longer names is kept unless `remove`.

    Of a slot, what the site leaves empty of its device and parameters stays. Applying the same site again changes
    nothing. What happens to levels and zones makes the events that the same acts of people make.
    Raises: Conflict if an id belongs to another property, or a device to two slots; NameTaken if two places of the same
    parent would have one name; StoreError.
    """
    property_id = site.property.id
    async with database.transaction() as connection:
        await connection.execute("select pg_advisory_xact_lock(hashtextextended($1, 1))", property_id)
        before = await _read_site(connection, property_id)
        site = _with_devices_kept(site, before)
        await _refuse_foreign_ids(connection, site)
        change = site_change(before, site, remove=remove)
        if (
            change.changed
            or before is None
            or (before.organisation, before.property)
            != (
                site.organisation,
                site.property,
            )
        ):
            marks = await _marks(connection, property_id)
            await connection.execute(_SQL["defer_names"])
            await _save(connection, site, remove=remove)
            if remove:
                await _remove_others(connection, site)
            await _check_names(connection)
            await connection.execute("select pg_notify($1, '')", SITE_CHANNEL)
            now = await connection.fetchval(_SQL["now"])
            after = await _marks(connection, property_id)
            await record_events(connection, place_events(property_id, marks, after, happened_at=int(now.timestamp())))
    return change


def site_change(before: Site | None, after: Site, *, remove: bool) -> SiteChange:
    """What applying would do, as counts."""
    old = _things(before) if before else {}
    new = _things(after)
    same = sum(1 for key, thing in new.items() if old.get(key) == thing)
    created = sum(1 for key in new if key not in old)
    return SiteChange(
        created=created,
        unchanged=same,
        updated=len(new) - same - created,
        removed=sum(1 for key in old if key not in new) if remove else 0,
    )


@contextlib.contextmanager
def device_conflicts() -> Iterator[None]:
    """Raise Conflict where a device would be in two slots."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != "slots_hardware_id":
            raise
        raise Conflict(f"a device is in another slot already: {error.detail}") from error


def _with_devices_kept(site: Site, before: Site | None) -> Site:
    """The site with what it leaves empty of slots: devices are put in, and parameters set, by other people."""
    known = {slot.id: slot for slot in before.slots} if before else {}
    return replace(site, slots=tuple(_with_device_kept(slot, known.get(slot.id, slot)) for slot in site.slots))


def _with_device_kept(slot: Slot, known: Slot) -> Slot:
    if slot.hardware_id and slot.sub_type and slot.parameters:
        return slot
    return replace(
        slot,
        hardware_id=slot.hardware_id or known.hardware_id,
        sub_type=slot.sub_type or known.sub_type,
        parameters=slot.parameters or known.parameters,
    )


def _things(site: Site) -> dict[tuple[str, str], object]:
    groups: Iterable[Sequence[Organisation | Property | Building | Level | Zone | Slot]] = (
        (site.organisation, site.property),
        site.buildings,
        site.levels,
        site.zones,
        site.slots,
    )
    return {(type(thing).__name__, thing.id): thing for group in groups for thing in group}


async def _read_site(connection: Any, property_id: PropertyId) -> Site | None:
    found = await connection.fetchrow(_SQL["property"], property_id)
    if found is None:
        return None

    async def rows(statement: str, kind: Any) -> tuple[Any, ...]:
        return tuple(kind(**dict(row)) for row in await connection.fetch(_SQL[statement], property_id))

    return Site(
        organisation=(await rows("organisation", Organisation))[0],
        property=Property(**dict(found)),
        buildings=await rows("buildings", Building),
        levels=await rows("levels", Level),
        zones=await rows("zones", Zone),
        slots=await rows("slots", Slot),
    )


async def _marks(connection: Any, property_id: PropertyId) -> PlaceMarks:
    """What the events tell of the levels and zones there are. Nobody else changes them: see `share_places`."""
    return marks_of(
        [LevelMark(**dict(row)) for row in await connection.fetch(_SQL["level_marks"], property_id)],
        [ZoneMark(**dict(row)) for row in await connection.fetch(_SQL["zone_marks"], property_id)],
    )


async def _check_names(connection: Any) -> None:
    try:
        await connection.execute(_SQL["check_names"])
    except asyncpg.UniqueViolationError as error:
        raise NameTaken(f"two places have one name: {error.detail}") from error


async def _refuse_foreign_ids(connection: Any, site: Site) -> None:
    row = await connection.fetchrow(
        _SQL["foreign_ids"],
        [b.id for b in site.buildings],
        [level.id for level in site.levels],
        [z.id for z in site.zones],
        [s.id for s in site.slots],
        site.property.id,
    )
    if row is not None:
        raise Conflict(f"{row['what']} {row['id']} belongs to property {row['property_id']} already")


async def _save(connection: Any, site: Site, *, remove: bool) -> None:
    await connection.execute(_SQL["save_organisation"], site.organisation.id, site.organisation.name)
    await connection.execute(_SQL["save_property"], site.property.id, site.property.organisation_id, site.property.name)
    await connection.executemany(
        _SQL["save_building"], [(b.id, b.property_id, b.name, b.time_zone) for b in site.buildings]
    )
    await connection.executemany(
        _SQL["save_level"], [(x.id, x.building_id, x.name, level_word(x.name)) for x in site.levels]
    )
    await connection.executemany(
        _SQL["save_zone"], [(z.id, z.building_id, z.level_id, z.name, z.category) for z in site.zones]
    )
    with device_conflicts():
        await _save_slots(connection, site, remove=remove)


async def _save_slots(connection: Any, site: Site, *, remove: bool) -> None:
    # Devices leave slots that get another one, or go, first: so they may stand in another slot at once.
    await connection.execute(
        _SQL["release_devices"],
        site.property.id,
        [s.id for s in site.slots],
        [s.hardware_id for s in site.slots],
        remove,
    )
    for start in range(0, len(site.slots), SAVE_SLOTS):
        slots = site.slots[start : start + SAVE_SLOTS]
        await connection.execute(
            _SQL["save_slots"],
            site.property.id,
            [s.id for s in slots],
            [s.building_id for s in slots],
            [s.zone_id for s in slots],
            [s.devtype for s in slots],
            [s.name for s in slots],
            [s.hardware_id for s in slots],
            [s.sub_type for s in slots],
            [dict(s.parameters) for s in slots],
            list(range(start, start + len(slots))),
        )


async def _remove_others(connection: Any, site: Site) -> None:
    for statement, kept in (
        ("remove_slots", site.slots),
        ("remove_zones", site.zones),
        ("remove_levels", site.levels),
        ("remove_buildings", site.buildings),
    ):
        await connection.execute(_SQL[statement], site.property.id, [thing.id for thing in kept])
