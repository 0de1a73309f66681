"""Devices: the slots of a property, the devices in them, who supplies these, and how they fare."""

from matrixhub.modules.devices.associations import associate_device, dissociate_device, past_devices, swap_device
from matrixhub.modules.devices.commissioning import commission_slot, decommission_slot
from matrixhub.modules.devices.providers import approve_provider, approved_providers, withdraw_provider
from matrixhub.modules.devices.slots import create_slot, find_slots, remove_slot, set_silence, show_slot, update_slot

__all__ = [
    "approve_provider",
    "approved_providers",
    "associate_device",
    "commission_slot",
    "create_slot",
    "decommission_slot",
    "dissociate_device",
    "find_slots",
    "past_devices",
    "remove_slot",
    "set_silence",
    "show_slot",
    "swap_device",
    "update_slot",
    "withdraw_provider",
]
