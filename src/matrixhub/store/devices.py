"""Device slots as people manage them, their devices and how these fare.

Changes are told on SITE_CHANNEL, so that ingest loads the slots again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import asyncpg

from matrixhub.model.devices import canonical_devtype
from matrixhub.model.errors import Conflict, NotFound, StoreError
from matrixhub.model.ids import BuildingId, LevelId, PropertyId, SlotId, ZoneId
from matrixhub.model.site import Slot
from matrixhub.model.slot import Association, DeviceSlot, Sighting, SlotFilter
from matrixhub.store.grids import share_places
from matrixhub.store.pool import Database
from matrixhub.store.sites import SITE_CHANNEL, device_conflicts
from matrixhub.store.sql import load_statements

_SQL = load_statements("devices.sql")
_OF_SLOT = tuple(field.name for field in fields(Slot))

EVERY_SLOT = SlotFilter()


@dataclass(frozen=True, kw_only=True, slots=True)
class ZonePlace:
    """Where a zone lies."""

    building_id: BuildingId
    level_id: LevelId
    time_zone: str
    organisation_id: str


async def list_slots(
    connection: Any,
    property_id: PropertyId,
    building_id: BuildingId | None,
    wanted: SlotFilter = EVERY_SLOT,
    *,
    after: str = "",
    limit: int,
) -> Sequence[DeviceSlot]:
    """At most so many slots of a building, or of the whole property, by id, behind the id `after`.

    Raises NotFound if the property has no such building.
    """
    if building_id is not None and not await connection.fetchval(_SQL["building"], property_id, building_id):
        raise NotFound(f"property {property_id} has no building {building_id}")
    rows = await connection.fetch(
        _SQL["slots"],
        property_id,
        building_id,
        _listed(wanted.ids),
        None if wanted.devtypes is None else [canonical_devtype(devtype) for devtype in wanted.devtypes],
        wanted.provider,
        _listed(wanted.zone_ids),
        after,
        limit,
    )
    return [_device_slot(row) for row in rows]


async def read_slot(connection: Any, property_id: PropertyId, slot_id: SlotId) -> DeviceSlot:
    """A slot. Raises NotFound."""
    found = await list_slots(connection, property_id, None, SlotFilter(ids=(slot_id,)), limit=1)
    if not found:
        raise NotFound(f"property {property_id} has no device slot {slot_id}")
    return found[0]


async def lock_slot(connection: Any, property_id: PropertyId, slot_id: SlotId) -> DeviceSlot:
    """A slot that nobody else changes until the transaction ends, nor applies a site file meanwhile. Raises NotFound.

    A site file locks zones before slots, and acts on a slot lock that before its zone: they must not meet.
    """
    await share_places(connection, property_id)
    if not await connection.fetchval(_SQL["lock_slot"], property_id, slot_id):
        raise NotFound(f"property {property_id} has no device slot {slot_id}")
    return await read_slot(connection, property_id, slot_id)


async def lock_zone(connection: Any, property_id: PropertyId, zone_id: ZoneId) -> ZonePlace:
    """Where a zone lies, which stays until the transaction ends; as for `lock_slot`. Raises NotFound."""
    await share_places(connection, property_id)
    row = await connection.fetchrow(_SQL["lock_zone"], property_id, zone_id)
    if row is None:
        raise NotFound(f"property {property_id} has no zone {zone_id}")
    return ZonePlace(**dict(row))


async def add_slot(connection: Any, new: DeviceSlot) -> None:
    """Make a slot. Raises Conflict if there is one of that id, or if its device is in another."""
    slot = new.slot
    with device_conflicts():
        added = await connection.fetchval(
            _SQL["add"],
            slot.id,
            slot.property_id,
            slot.building_id,
            slot.zone_id,
            slot.devtype,
            slot.name,
            slot.hardware_id,
            slot.sub_type,
            dict(slot.parameters),
            new.firmware,
            new.connection,
            new.commissioning,
            new.commissioned_at,
            new.unhealthy_after_s,
            new.created_at,
            new.created_by,
            new.updated_at,
            new.updated_by,
        )
    if added is None:
        raise Conflict(f"there is a device slot {slot.id} already")
    await tell_ingest(connection)


async def save_slot(connection: Any, changed: DeviceSlot) -> None:
    """Save a slot that was locked. Raises Conflict if its device is in another slot."""
    slot = changed.slot
    with device_conflicts():
        await connection.execute(
            _SQL["save"],
            slot.property_id,
            slot.id,
            slot.building_id,
            slot.zone_id,
            slot.name,
            slot.hardware_id,
            slot.sub_type,
            dict(slot.parameters),
            changed.firmware,
            changed.connection,
            changed.commissioning,
            changed.commissioned_at,
            changed.unhealthy_after_s,
            changed.updated_at,
            changed.updated_by,
            changed.version,
        )
    await tell_ingest(connection)


async def remove_slot(
    connection: Any, property_id: PropertyId, slot_id: SlotId, *, removed_at: datetime, removed_by: str
) -> None:
    """Remove a slot that was locked; which devices stood in it is kept."""
    await connection.execute(_SQL["sign"], property_id, slot_id, removed_at, removed_by)
    await connection.execute(_SQL["remove"], property_id, slot_id)
    await tell_ingest(connection)


async def list_associations(
    connection: Any, property_id: PropertyId, *, slot_id: SlotId | None, hardware_id: str | None, limit: int
) -> Sequence[Association]:
    """Which device stood in which slot of the property, newest first."""
    rows = await connection.fetch(_SQL["associations"], property_id, slot_id, hardware_id, limit)
    return [Association(**dict(row)) for row in rows]


async def list_providers(connection: Any) -> Sequence[str]:
    """The providers that are approved, by name."""
    return [row["name"] for row in await connection.fetch(_SQL["providers"])]


async def approve_provider(connection: Any, name: str, *, approved_at: datetime, approved_by: str) -> None:
    """Approve a provider; repeating it changes nothing."""
    await connection.execute(_SQL["approve"], name, approved_at, approved_by)


async def lock_provider(connection: Any, name: str) -> bool:
    """Whether a provider is approved, and so until the transaction ends."""
    return await connection.fetchval(_SQL["lock_provider"], name) is not None


async def withdraw_provider(connection: Any, name: str) -> None:
    """Take the approval back. Raises: NotFound if it was not approved, Conflict while there are slots of its types."""
    if not await connection.fetchval(_SQL["withdraw"], name):
        raise NotFound(f"provider {name} is not approved")
    # Only now, as whoever makes a slot holds the row that was just removed.
    if used := await connection.fetchval(_SQL["provider_used"], name):
        raise Conflict(f"provider {name} has {used:,} device slots")


async def save_sightings(database: Database, sightings: Sequence[Sighting]) -> None:
    """Save when slots were last heard of, in one statement; nothing goes back. Raises StoreError."""
    async with database.connection() as connection:
        try:
            await connection.execute(
                _SQL["save_sightings"],
                [sighting.slot_id for sighting in sightings],
                [sighting.seen_at for sighting in sightings],
                [sighting.battery for sighting in sightings],
            )
        except asyncpg.ForeignKeyViolationError as error:
            raise StoreError("a slot was removed in this very moment") from error


async def tell_ingest(connection: Any) -> None:
    """Let ingest load the slots again when the transaction is committed."""
    await connection.execute("select pg_notify($1, '')", SITE_CHANNEL)


def _device_slot(row: Any) -> DeviceSlot:
    found = dict(row)
    return DeviceSlot(slot=Slot(**{name: found.pop(name) for name in _OF_SLOT}), **found)


def _listed(names: Collection[str] | None) -> list[str] | None:
    return None if names is None else list(names)
