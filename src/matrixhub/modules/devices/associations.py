"""Devices are put into slots, swapped and taken out; the slot keeps its id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from matrixhub.model.errors import WrongState
from matrixhub.model.ids import PropertyId, SlotId
from matrixhub.model.paging import check_page
from matrixhub.model.slot import Association, DeviceSlot, checked_hardware
from matrixhub.modules.devices.slots import save_change
from matrixhub.modules.devices.states import SlotAct, next_commissioning
from matrixhub.modules.work import Platform
from matrixhub.store import devices as store

ASSOCIATIONS_MAX = 1_000


async def associate_device(
    platform: Platform, property_id: PropertyId, slot_id: SlotId, hardware_id: str, *, actor: str
) -> DeviceSlot:
    """The slot with a device in it.

    Raises: WrongParameters, MissingParameters, NotFound, WrongState if a device is in it already, Conflict if the
            device is in another slot of the hub, StoreError.
    """
    return await _put(platform, property_id, slot_id, "associate", checked_hardware(hardware_id), actor)


async def swap_device(
    platform: Platform, property_id: PropertyId, slot_id: SlotId, hardware_id: str, *, actor: str
) -> DeviceSlot:
    """The slot with another device in the place of the one that was there; it stays in service if it was.

    Raises: WrongParameters, MissingParameters, NotFound, WrongState if no device is in it, or this very one, Conflict
            if the device is in another slot of the hub, StoreError.
    """
    return await _put(platform, property_id, slot_id, "swap", checked_hardware(hardware_id), actor)


async def dissociate_device(platform: Platform, property_id: PropertyId, slot_id: SlotId, *, actor: str) -> DeviceSlot:
    """The slot without its device, and out of service if it was in.

    Raises: NotFound, WrongState if no device is in it, StoreError.
    """
    return await _put(platform, property_id, slot_id, "dissociate", "", actor)


async def _put(
    platform: Platform, property_id: PropertyId, slot_id: SlotId, act: SlotAct, hardware_id: str, actor: str
) -> DeviceSlot:
    async with platform.work(property_id, actor) as work:
        before = await store.lock_slot(work.connection, property_id, slot_id)
        commissioning = next_commissioning(act, before)
        if hardware_id == before.slot.hardware_id:
            raise WrongState(f"device {hardware_id} is in slot {slot_id} already")
        after = replace(
            before,
            slot=replace(before.slot, hardware_id=hardware_id),
            commissioning=commissioning,
            battery=None,  # it was that of another device
        )
        return await save_change(work, before, after)


async def past_devices(
    platform: Platform,
    property_id: PropertyId,
    *,
    slot_id: SlotId | None = None,
    hardware_id: str | None = None,
    limit: int = ASSOCIATIONS_MAX,
) -> Sequence[Association]:
    """Which devices stood in which slots of the property, newest first; also in slots that are gone.

    Raises: WrongParameters, QueryTooLong for a page of nothing or of too much, StoreError.
    """
    check_page(limit, ASSOCIATIONS_MAX)
    async with platform.database.connection() as connection:
        return await store.list_associations(
            connection, property_id, slot_id=slot_id, hardware_id=hardware_id, limit=limit
        )
