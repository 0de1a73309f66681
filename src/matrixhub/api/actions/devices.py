"""Operations of device management: slots of a building, also by provider and type.

Each answers as its client reads it, and says nothing three times: `getDeviceSlots` has `Slots`, which the Python SDK
reads; the lists have `devices` and `Data`, either of which the Java SDK may read.
Source: docs/contract/devices.md §7, §8
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matrixhub.api.actions.operation import Call, Operation, Reply
from matrixhub.api.actions.shape import (
    ANY,
    BIT,
    FLAG,
    NUMBER,
    SECONDS,
    TEXT,
    Shape,
    list_of,
    map_of,
    may,
    needs,
    of,
    value_of,
)
from matrixhub.model.devices import Json
from matrixhub.model.errors import QueryTooLong, WrongParameters
from matrixhub.model.ids import SlotId, ZoneId
from matrixhub.model.paging import PAGE_MAX
from matrixhub.model.slot import SlotFilter, SlotPage, provider_type_filter, slot_record
from matrixhub.modules.devices import slots
from matrixhub.modules.grids.buildings import read_building
from matrixhub.modules.grids.inputs import read_page_key, whole_number
from matrixhub.modules.grids.records import page_key

SERVICE = "scdevicemanagement"
HEALTH_AGE_S = 1.0
"""The health of a device changes by mere time, so answers that show it are kept no longer."""

IDS_MAX = 1_000
"""Most ids that one query may name."""

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
_SLOT_FIELDS = (
    *(needs(name, TEXT) for name in _TEXTS),
    *(needs(name, BIT) for name in _BITS),
    needs("CreatedOn", SECONDS),
    needs("UpdatedOn", SECONDS),
    needs("Params", of(needs("DeviceParams", map_of(ANY)))),
)
SLOT = of(*_SLOT_FIELDS)
DEVICE = of(*_SLOT_FIELDS, needs("Lid", note="the same as LID"))

_SAID = (needs("code"), needs("message"))
_SLOTS = of(*_SAID, needs("Slots", list_of(SLOT)), may("LastEvaluatedKey", note="of the next page, where there is one"))
_DEVICES = of(
    *_SAID,
    needs("devices", list_of(DEVICE)),
    needs("Data", list_of(DEVICE), "the same"),
    needs("lastEvaluatedKey", note="of the next page, '' at the end"),
)
_IDS = list_of(TEXT)
_PAGE = (
    may("LastEvaluatedKey", ANY, "that of the page before", also=("lastEvaluatedKey",)),
    may("Limit", NUMBER, "at most 1,000", also=("limit",)),
)
_PROVIDER_TYPE = needs(
    "DeviceProviderType",
    TEXT,
    "a slot type such as SMARTCLEAN#UM, or a provider such as SMARTCLEAN",
    also=("deviceProviderType", "ProviderType", "providerType"),
)


async def _get_device_slots(call: Call) -> Reply:
    page = await _page(call, slot_filter(call.body))
    answer = {"code": "SUCCESS", "message": "Slots fetched", "Slots": _records(call, page)}
    return Reply(data=answer, beside={"LastEvaluatedKey": page_key(page.next_after)} if page.next_after else {})


async def _list_devices_for_project(call: Call) -> Reply:
    return _listed(call, await _page(call, SlotFilter()))


async def _list_devices_by_provider_type(call: Call) -> Reply:
    return _listed(call, await _page(call, provider_type_filter(value_of(_PROVIDER_TYPE, call.body))))


async def _real_sense_migrated(call: Call) -> Reply:
    building = await read_building(call.platform, call.property_id, call.building_id)
    return Reply(data={"ID": building.id, "Migrated": True})


async def _page(call: Call, wanted: SlotFilter) -> SlotPage:
    after, limit = (value_of(field, call.body) for field in _PAGE)
    return await slots.find_slots(
        call.platform,
        call.property_id,
        call.any_building,
        wanted,
        after=read_page_key(after or ""),
        limit=PAGE_MAX if limit is None else whole_number("Limit", limit),
    )


def _listed(call: Call, page: SlotPage) -> Reply:
    found = [{**record, "Lid": record["LID"]} for record in _records(call, page)]
    answer = {"code": "SUCCESS", "message": "Devices fetched", "devices": found, "Data": found}
    return Reply(data={**answer, "lastEvaluatedKey": page_key(page.next_after)})


def _records(call: Call, page: SlotPage) -> list[dict[str, Json]]:
    now = call.platform.now()
    return [slot_record(slot, unhealthy_after_s=call.parts.unhealthy_after_s, now=now) for slot in page.slots]


def slot_filter(body: Mapping[str, Any]) -> SlotFilter:
    """The slots that are wanted; what is not named, or names nothing, does not narrow.

    Raises: WrongParameters, QueryTooLong.

    >>> slot_filter({"Alias": ["e2b15d8f"], "Type": "SMARTCLEAN#UM"}).devtypes
    ('SMARTCLEAN#UM',)
    """
    types = [*_texts(body, "Types"), *_texts(body, "Type")]
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
        raise WrongParameters(f"{name} is a text or a list of texts")
    if len(entries) > IDS_MAX:
        raise QueryTooLong(f"{name} names at most {IDS_MAX:,}")
    return entries


def _operation(name: str, summary: str, call: Any, response: Shape, **facts: Any) -> Operation:
    return Operation(
        name=f"{SERVICE}.{name}",
        service=SERVICE,
        summary=summary,
        call=call,
        response=response,
        envelope="plain",
        needs_building=True,
        **facts,
    )


OPERATIONS: tuple[Operation, ...] = (
    _operation(
        "getDeviceSlots",
        "Device slots of a building, all or those that are wanted, at most 1,000 a page.",
        _get_device_slots,
        _SLOTS,
        request=of(
            may("Alias", ANY, "ids of slots, a list or one"),
            may("Type", ANY, "slot types, a list or one"),
            may("Types", _IDS),
            may("ProviderOrg"),
            may("ZoneId", ANY, "ids of zones, a list or one"),
            may("InsIDs", _IDS, "ids of zones"),
            *_PAGE,
        ),
        keeps_s=HEALTH_AGE_S,
        example={"Type": "SMARTCLEAN#UM"},
    ),
    _operation(
        "listDevicesForProjectV2",
        "Devices of a building, in pages.",
        _list_devices_for_project,
        _DEVICES,
        request=of(*_PAGE),
        keeps_s=HEALTH_AGE_S,
        certainty="name published",
        example={},
    ),
    _operation(
        "listDevicesByProviderType",
        "Devices of a building that are of a slot type, or of a provider.",
        _list_devices_by_provider_type,
        _DEVICES,
        request=of(_PROVIDER_TYPE, *_PAGE),
        keeps_s=HEALTH_AGE_S,
        certainty="name published",
        example={"DeviceProviderType": "SMARTCLEAN#UM"},
    ),
    _operation(
        "realSenseMigrated",
        "Whether the devices of a building are known by slots: always.",
        _real_sense_migrated,
        of(needs("ID"), needs("Migrated", FLAG)),
    ),
)
