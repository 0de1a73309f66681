"""Operations of device management: slots of a building, also by provider and type.

Source: docs/contract/devices.md §7
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matrixhub.api.actions.operation import Call, Operation, Reply
from matrixhub.api.actions.shape import ANY, BIT, SECONDS, TEXT, list_of, map_of, may, needs, of
from matrixhub.model.errors import WrongParameters
from matrixhub.model.ids import SlotId, ZoneId
from matrixhub.model.slot import SlotFilter, slot_record
from matrixhub.modules.devices import slots

SERVICE = "scdevicemanagement"
HEALTH_AGE_S = 1.0
"""The health of a device changes by mere time, so answers that show it are kept no longer."""

SLOTS_MAX = 1000

_TEXTS = (
    *("Alias", "Type", "Display", "Devid", "DeviceId", "FirmwareVersion", "Conn"),
    *("Org", "PropId", "PID", "LID", "ZoneId", "TZ", "ProviderOrg", "PartnerId"),
    *("CreatedBy", "UpdatedBy", "ID", "ATTR", "NS", "SRN"),
)
_BITS = (
    "Commissioned",
    "DeviceNotAssociated",
    "ParamsNotConfigured",
    "ParamsOnDeviceNotConfigured",
    "RequiresHealthCheck",
    "RequiresOnDeviceConfiguration",
    "RequiresParamsConfiguration",
    "Unhealthy",
)

SLOT = of(
    *(needs(name, TEXT) for name in _TEXTS),
    *(needs(name, BIT) for name in _BITS),
    needs("CreatedOn", SECONDS),
    needs("UpdatedOn", SECONDS),
    needs("Params", of(needs("DeviceParams", map_of(ANY)))),
)
_IDS = list_of(TEXT)


async def _get_device_slots(call: Call) -> Reply:
    page = await slots.find_slots(
        call.platform, call.property_id, call.any_building, slot_filter(call.body), limit=SLOTS_MAX
    )
    now = call.platform.now()
    records = [slot_record(slot, unhealthy_after_s=call.parts.unhealthy_after_s, now=now) for slot in page.slots]
    return Reply(message="Slots fetched", data=records, beside={"Slots": records, "devices": records})


def slot_filter(body: Mapping[str, Any]) -> SlotFilter:
    """The slots that are wanted; what is not named does not narrow. Raises WrongParameters.

    >>> slot_filter({"Alias": ["e2b15d8f"], "Type": "SMARTCLEAN#UM"}).devtypes
    ('SMARTCLEAN#UM',)
    """
    types = [*_texts(body, "Types"), *([body["Type"]] if body.get("Type") else [])]
    return SlotFilter(
        ids=tuple(SlotId(text) for text in _texts(body, "Alias")) or None,
        devtypes=tuple(types) or None,
        provider=body.get("ProviderOrg") or None,
        zone_ids=tuple(ZoneId(text) for text in [*_texts(body, "InsIDs"), *_texts(body, "ZoneId")]) or None,
    )


def _texts(body: Mapping[str, Any], name: str) -> Sequence[str]:
    found = body.get(name) or []
    entries = [found] if isinstance(found, str) else found
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise WrongParameters(f"{name} is a list of texts")
    return entries


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="scdevicemanagement.getDeviceSlots",
        service=SERVICE,
        summary="Device slots of a building, all or those that are wanted.",
        call=_get_device_slots,
        request=of(
            may("Alias", ANY, "ids of slots"),
            may("Type"),
            may("Types", _IDS),
            may("ProviderOrg"),
            may("ZoneId"),
            may("InsIDs", _IDS),
        ),
        response=list_of(SLOT),
        envelope="workforce",
        needs_building=True,
        keeps_s=HEALTH_AGE_S,
        example={"Type": "SMARTCLEAN#UM"},
    ),
)
