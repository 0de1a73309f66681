"""Slots are made, changed, listed and removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from matrixhub.model.devices import Json, canonical_devtype, device_type, provider_of
from matrixhub.model.errors import MissingParameters, WrongParameters
from matrixhub.model.ids import BuildingId, PropertyId, SlotId, ZoneId, new_hex_id
from matrixhub.model.paging import check_page
from matrixhub.model.place import check_version
from matrixhub.model.site import Slot
from matrixhub.model.slot import (
    DeviceSlot,
    SlotFilter,
    SlotPage,
    checked_name,
    checked_silence,
    checked_slot_id,
    device_parameters,
    missing_parameters,
    patched_parameters,
)
from matrixhub.modules.work import Platform, Work
from matrixhub.store import devices as store

PAGE_SLOTS = 500

NO_PARAMS: Mapping[str, Json] = {"DeviceParams": {}}


async def create_slot(
    platform: Platform,
    property_id: PropertyId,
    zone_id: ZoneId,
    *,
    devtype: str,
    name: str,
    slot_id: str = "",
    params: Mapping[str, Json] = NO_PARAMS,
    actor: str,
) -> DeviceSlot:
    """A new slot in a zone, with an id made for it unless one is given; no device is in it.

    Shape:  devtype is `<approved provider>#<predefined type>`; params is `{"DeviceParams": {…}}`.
    Raises: WrongParameters, MissingParameters, NotFound if the property has no such zone, Conflict if the id is taken,
            StoreError.
    """
    kind = checked_devtype(devtype)
    parameters = patched_parameters({}, device_parameters(params))
    display = checked_name(name)
    new_id = checked_slot_id(slot_id) if slot_id else SlotId(new_hex_id())
    async with platform.work(property_id, actor) as work:
        place = await store.lock_zone(work.connection, property_id, zone_id)
        if not await store.lock_provider(work.connection, provider_of(kind)):
            raise WrongParameters(f"provider {provider_of(kind)} is not approved")
        made = DeviceSlot(
            slot=Slot(
                id=new_id,
                property_id=property_id,
                building_id=place.building_id,
                zone_id=zone_id,
                devtype=kind,
                name=display,
                time_zone=place.time_zone,
                parameters=parameters,
            ),
            organisation_id=place.organisation_id,
            level_id=place.level_id,
            created_at=work.now,
            created_by=actor,
            updated_at=work.now,
            updated_by=actor,
        )
        await store.add_slot(work.connection, made)
    return made


def checked_devtype(devtype: str) -> str:
    """The slot type as it leaves the hub. Raises MissingParameters, WrongParameters if it is not predefined.

    >>> checked_devtype("ODRDTR"), checked_devtype("ACME#UM")
    ('SMARTCLEAN#ODRDTR', 'ACME#UM')
    """
    if not devtype:
        raise MissingParameters("a slot has a type")
    if device_type(devtype) is None:
        raise WrongParameters(f"{devtype[:80]!r} is not a provider, `#` and a predefined type, such as SMARTCLEAN#UM")
    return canonical_devtype(devtype)


async def update_slot(
    platform: Platform,
    property_id: PropertyId,
    slot_id: SlotId,
    *,
    name: str | None = None,
    zone_id: ZoneId | None = None,
    params: Mapping[str, Json] | None = None,
    firmware: str | None = None,
    connection: str | None = None,
    actor: str,
    version: int | None = None,
) -> DeviceSlot:
    """The slot with what is given changed; what is None stays. A zone of another building of the property will do.

    Shape:  params is `{"DeviceParams": {…}}`: what is in it is set, null takes a parameter away, the others stay.
    Raises: WrongParameters, NotFound, MissingParameters if a slot in service would lack a parameter it needs,
            VersionMismatch, StoreError.
    """
    display = None if name is None else checked_name(name)
    changes = {} if params is None else device_parameters(params)
    async with platform.work(property_id, actor) as work:
        before = await store.lock_slot(work.connection, property_id, slot_id)
        check_version(before.version, version)
        slot = replace(
            before.slot,
            name=before.slot.name if display is None else display,
            parameters=patched_parameters(before.slot.parameters, changes),
        )
        if before.commissioning == "commissioned" and changes and (missing := missing_parameters(slot)):
            raise MissingParameters(f"slot {slot_id} is in service and needs {', '.join(missing)}")
        after = replace(
            before,
            slot=slot,
            firmware=before.firmware if firmware is None else firmware.strip(),
            connection=before.connection if connection is None else connection.strip(),
        )
        if zone_id is not None:
            after = await _moved(work, after, zone_id)
        return await save_change(work, before, after)


async def _moved(work: Work, slot: DeviceSlot, zone_id: ZoneId) -> DeviceSlot:
    place = await store.lock_zone(work.connection, work.property_id, zone_id)
    there = replace(slot.slot, zone_id=zone_id, building_id=place.building_id, time_zone=place.time_zone)
    return replace(slot, slot=there, level_id=place.level_id)


async def set_silence(
    platform: Platform, property_id: PropertyId, slot_id: SlotId, unhealthy_after_s: int | None, *, actor: str
) -> DeviceSlot:
    """The slot with a silence of its own after which its device is unhealthy; 0: never, None: that of the settings.

    Raises: WrongParameters, NotFound, StoreError.
    """
    silence = checked_silence(unhealthy_after_s)
    async with platform.work(property_id, actor) as work:
        before = await store.lock_slot(work.connection, property_id, slot_id)
        return await save_change(work, before, replace(before, unhealthy_after_s=silence))


async def save_change(work: Work, before: DeviceSlot, after: DeviceSlot) -> DeviceSlot:
    """Save what became of a locked slot, and who did it; nothing is saved, nor signed, if it is what it was."""
    if after == before:
        return before
    signed = replace(after, updated_at=work.now, updated_by=work.actor, version=before.version + 1)
    await store.save_slot(work.connection, signed)
    return signed


async def remove_slot(platform: Platform, property_id: PropertyId, slot_id: SlotId, *, actor: str) -> DeviceSlot:
    """The slot that is no more; readings for it are refused from now on, which devices stood in it is kept.

    Raises: NotFound, StoreError.
    """
    async with platform.work(property_id, actor) as work:
        gone = await store.lock_slot(work.connection, property_id, slot_id)
        await store.remove_slot(work.connection, property_id, slot_id, removed_at=work.now, removed_by=actor)
    return gone


async def show_slot(platform: Platform, property_id: PropertyId, slot_id: SlotId) -> DeviceSlot:
    """A slot. Raises NotFound, StoreError."""
    async with platform.database.connection() as connection:
        return await store.read_slot(connection, property_id, slot_id)


async def find_slots(
    platform: Platform,
    property_id: PropertyId,
    building_id: BuildingId | None = None,
    wanted: SlotFilter = store.EVERY_SLOT,
    *,
    after: str = "",
    limit: int = PAGE_SLOTS,
) -> SlotPage:
    """A page of the slots that are wanted, of a building or of all of the property, in the order of their ids.

    Raises: QueryTooLong if the limit is above 1,000, WrongParameters if it is below 1, NotFound if the property has no
            such building, StoreError.
    """
    check_page(limit)
    async with platform.database.connection() as connection:
        found = await store.list_slots(connection, property_id, building_id, wanted, after=after, limit=limit + 1)
    page = tuple(found[:limit])
    return SlotPage(page, page[-1].id if len(found) > limit else "")
