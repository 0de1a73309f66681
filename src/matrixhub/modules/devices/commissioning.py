"""Slots go into service and out of it."""

from __future__ import annotations

from dataclasses import replace

from matrixhub.model.ids import PropertyId, SlotId
from matrixhub.model.slot import DeviceSlot
from matrixhub.modules.devices.slots import save_change
from matrixhub.modules.devices.states import next_commissioning
from matrixhub.modules.work import Platform
from matrixhub.store import devices as store


async def commission_slot(platform: Platform, property_id: PropertyId, slot_id: SlotId, *, actor: str) -> DeviceSlot:
    """The slot in service: readings are expected from now on.

    Raises: NotFound, WrongState if no device is in it or it is in service, MissingParameters if its type needs some
            that are not set, StoreError.
    """
    async with platform.work(property_id, actor) as work:
        before = await store.lock_slot(work.connection, property_id, slot_id)
        after = replace(before, commissioning=next_commissioning("commission", before), commissioned_at=work.now)
        return await save_change(work, before, after)


async def decommission_slot(platform: Platform, property_id: PropertyId, slot_id: SlotId, *, actor: str) -> DeviceSlot:
    """The slot out of service: its silence means nothing; readings that come are taken all the same.

    Raises: NotFound, WrongState if it is not in service, StoreError.
    """
    async with platform.work(property_id, actor) as work:
        before = await store.lock_slot(work.connection, property_id, slot_id)
        after = replace(before, commissioning=next_commissioning("decommission", before))
        return await save_change(work, before, after)
