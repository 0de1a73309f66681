"""`/hub/v1/slots`, `/hub/v1/providers`: device slots, the devices in them, and who supplies these."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated, Protocol

from litestar import Response, delete, get, patch, post
from litestar.params import QueryParameter

from matrixhub.api.auth import PropertyScope, caller
from matrixhub.api.bodies import MERGE_PATCH_TYPES, ApiRequest, parse_as, read_body
from matrixhub.api.etags import IfMatch
from matrixhub.api.idempotency import IdempotencyKey
from matrixhub.api.paging import LIMIT, CursorQuery, LimitQuery, make_cursor, read_cursor
from matrixhub.api.parts import Parts
from matrixhub.api.rest import device_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.places.asking import (
    ID,
    MADE_PROBLEMS,
    BuildingQuery,
    SlotPath,
    ZoneQuery,
    made_once,
    matched,
    shown,
)
from matrixhub.model.ids import BuildingId, PropertyId, SlotId, ZoneId
from matrixhub.model.slot import Association, DeviceSlot, SlotFilter, slot_health
from matrixhub.modules import devices
from matrixhub.modules.work import Platform

SLOTS = "scdevicemanagement.getDeviceSlots"

DevtypeQuery = Annotated[str | None, QueryParameter(pattern=ID, description="Only those of this slot type.")]
ProviderQuery = Annotated[str | None, QueryParameter(pattern=ID, description="Only those of this provider.")]


@get(
    "/slots",
    operation_id="listSlots",
    summary="List device slots",
    tags=["devices"],
    opt={"permission": SLOTS, "problems": (404,)},
)
async def list_(
    hub: Hub,
    property_id: PropertyScope,
    building: BuildingQuery = None,
    zone: ZoneQuery = None,
    devtype: DevtypeQuery = None,
    provider: ProviderQuery = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = LIMIT,
) -> doc.SlotPage:
    """Those of the property, or what of them is wanted, in the order of their ids."""
    after = read_cursor("slot", cursor, str)
    wanted = SlotFilter(
        devtypes=(devtype,) if devtype is not None else None,
        provider=provider,
        zone_ids=(ZoneId(zone),) if zone is not None else None,
    )
    page = await devices.find_slots(
        hub.platform,
        property_id,
        BuildingId(building) if building is not None else None,
        wanted,
        after=after[1] if after else "",
        limit=limit,
    )
    last = page.slots[-1] if page.next_after else None
    following = make_cursor("slot", last.created_at, last.id) if last is not None else None
    return doc.SlotPage(items=[_view(hub, slot) for slot in page.slots], next=following)


@post(
    "/slots",
    operation_id="createSlot",
    summary="Create a device slot",
    tags=["devices"],
    opt={
        "takes": doc.NewSlot,
        "answers": {201: doc.SlotView},
        "headers": ("ETag", "Location"),
        "problems": MADE_PROBLEMS,
    },
)
async def create(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """No device is in it. Its id is unique in the hub; its type never changes."""
    body = await read_body(request)
    asked = parse_as(doc.NewSlot, body)

    async def make(platform: Platform) -> tuple[doc.SlotView, str, int]:
        made = await devices.create_slot(
            platform,
            property_id,
            ZoneId(asked.zone),
            devtype=asked.devtype,
            name=asked.name,
            slot_id=asked.id or "",
            params={"DeviceParams": asked.parameters},
            actor=caller(request).actor,
        )
        return _view(hub, made), f"/slots/{made.id}", made.version

    return await made_once(hub, request, property_id, idempotency_key, body, make)


@get(
    "/slots/{slot_id:str}",
    operation_id="showSlot",
    summary="Show a device slot",
    tags=["devices"],
    opt={"permission": SLOTS, "headers": ("ETag",)},
)
async def show(hub: Hub, property_id: PropertyScope, slot_id: SlotPath) -> Response[doc.SlotView]:
    """One slot, its device and how that fares."""
    return _shown(hub, await devices.show_slot(hub.platform, property_id, SlotId(slot_id)))


@patch(
    "/slots/{slot_id:str}",
    operation_id="changeSlot",
    summary="Change a device slot",
    tags=["devices"],
    opt={"takes": doc.SlotChange, "types": MERGE_PATCH_TYPES, "headers": ("ETag",)},
)
async def change(
    hub: Hub, property_id: PropertyScope, slot_id: SlotPath, request: ApiRequest, if_match: IfMatch = None
) -> Response[doc.SlotView]:
    """Its name, zone or parameters; it stays the same slot wherever it goes."""
    asked = parse_as(doc.SlotChange, await read_body(request, MERGE_PATCH_TYPES))
    found = SlotId(slot_id)

    async def version() -> int:
        return (await devices.show_slot(hub.platform, property_id, found)).version

    changed = await devices.update_slot(
        hub.platform,
        property_id,
        found,
        name=asked.name,
        zone_id=ZoneId(asked.zone) if asked.zone is not None else None,
        params={"DeviceParams": asked.parameters} if asked.parameters is not None else None,
        firmware=asked.firmware,
        connection=asked.connection,
        actor=caller(request).actor,
        version=await matched(if_match, version),
    )
    return _shown(hub, changed)


@delete("/slots/{slot_id:str}", operation_id="deleteSlot", summary="Delete a device slot", tags=["devices"])
async def remove(hub: Hub, property_id: PropertyScope, slot_id: SlotPath, request: ApiRequest) -> None:
    """Readings for it are refused from now on; which devices stood in it is kept."""
    await devices.remove_slot(hub.platform, property_id, SlotId(slot_id), actor=caller(request).actor)


@post(
    "/slots/{slot_id:str}/silence",
    operation_id="setSlotSilence",
    summary="Say how long a slot may be silent",
    tags=["devices"],
    status_code=200,
    opt={"takes": doc.SlotSilence, "headers": ("ETag",)},
)
async def silence(
    hub: Hub, property_id: PropertyScope, slot_id: SlotPath, request: ApiRequest
) -> Response[doc.SlotView]:
    """Its device is unhealthy once it was silent for longer."""
    asked = parse_as(doc.SlotSilence, await read_body(request))
    changed = await devices.set_silence(
        hub.platform, property_id, SlotId(slot_id), asked.unhealthy_after_s, actor=caller(request).actor
    )
    return _shown(hub, changed)


@post(
    "/slots/{slot_id:str}/associate",
    operation_id="associateDevice",
    summary="Put a device into a slot",
    tags=["devices"],
    status_code=200,
    opt={"takes": doc.DeviceNumber, "headers": ("ETag",), "problems": (409,)},
)
async def associate(
    hub: Hub, property_id: PropertyScope, slot_id: SlotPath, request: ApiRequest
) -> Response[doc.SlotView]:
    """A slot holds one device, and a device is in at most one slot of the hub."""
    return await _put(hub, property_id, slot_id, request, devices.associate_device)


@post(
    "/slots/{slot_id:str}/swap",
    operation_id="swapDevice",
    summary="Put another device into a slot",
    tags=["devices"],
    status_code=200,
    opt={"takes": doc.DeviceNumber, "headers": ("ETag",), "problems": (409,)},
)
async def swap(hub: Hub, property_id: PropertyScope, slot_id: SlotPath, request: ApiRequest) -> Response[doc.SlotView]:
    """In the place of the one that is there, at one instant; it stays in service if it was."""
    return await _put(hub, property_id, slot_id, request, devices.swap_device)


@post(
    "/slots/{slot_id:str}/dissociate",
    operation_id="dissociateDevice",
    summary="Take the device out of a slot",
    tags=["devices"],
    status_code=200,
    opt={"headers": ("ETag",), "problems": (409,)},
)
async def dissociate(
    hub: Hub, property_id: PropertyScope, slot_id: SlotPath, request: ApiRequest
) -> Response[doc.SlotView]:
    """It goes out of service if it was in."""
    done = await devices.dissociate_device(hub.platform, property_id, SlotId(slot_id), actor=caller(request).actor)
    return _shown(hub, done)


@post(
    "/slots/{slot_id:str}/commission",
    operation_id="commissionSlot",
    summary="Put a slot into service",
    tags=["devices"],
    status_code=200,
    opt={"headers": ("ETag",), "problems": (400, 409)},
)
async def commission(
    hub: Hub, property_id: PropertyScope, slot_id: SlotPath, request: ApiRequest
) -> Response[doc.SlotView]:
    """Readings are expected from now on. It has a device, and the parameters that its type needs."""
    done = await devices.commission_slot(hub.platform, property_id, SlotId(slot_id), actor=caller(request).actor)
    return _shown(hub, done)


@post(
    "/slots/{slot_id:str}/decommission",
    operation_id="decommissionSlot",
    summary="Take a slot out of service",
    tags=["devices"],
    status_code=200,
    opt={"headers": ("ETag",), "problems": (409,)},
)
async def decommission(
    hub: Hub, property_id: PropertyScope, slot_id: SlotPath, request: ApiRequest
) -> Response[doc.SlotView]:
    """Its silence means nothing any more; readings that come are taken all the same."""
    done = await devices.decommission_slot(hub.platform, property_id, SlotId(slot_id), actor=caller(request).actor)
    return _shown(hub, done)


@get(
    "/slots/{slot_id:str}/associations",
    operation_id="listAssociations",
    summary="List the devices that stood in a slot",
    tags=["devices"],
    opt={"permission": SLOTS},
)
async def associations(hub: Hub, property_id: PropertyScope, slot_id: SlotPath) -> doc.AssociationList:
    """Newest first, at most 1,000."""
    slot = await devices.show_slot(hub.platform, property_id, SlotId(slot_id))
    found = await devices.past_devices(hub.platform, property_id, slot_id=slot.id)
    return doc.AssociationList(items=[_association_view(one) for one in found])


@get("/providers", operation_id="listProviders", summary="List providers", tags=["devices"], opt={"permission": SLOTS})
async def providers(hub: Hub, property_id: PropertyScope) -> doc.ProviderList:
    """Those whose types slots may have; they are approved for the whole hub."""
    return doc.ProviderList(items=list(await devices.approved_providers(hub.platform)))


class _Puts(Protocol):
    def __call__(
        self, platform: Platform, property_id: PropertyId, slot_id: SlotId, hardware_id: str, *, actor: str
    ) -> Awaitable[DeviceSlot]: ...


async def _put(
    hub: Parts, property_id: PropertyId, slot_id: str, request: ApiRequest, put: _Puts
) -> Response[doc.SlotView]:
    asked = parse_as(doc.DeviceNumber, await read_body(request))
    done = await put(hub.platform, property_id, SlotId(slot_id), asked.device, actor=caller(request).actor)
    return _shown(hub, done)


def _shown(hub: Parts, slot: DeviceSlot) -> Response[doc.SlotView]:
    return shown(_view(hub, slot), slot.version)


def _view(hub: Parts, slot: DeviceSlot) -> doc.SlotView:
    place = slot.slot
    return doc.SlotView(
        id=place.id,
        devtype=place.devtype,
        provider=slot.provider,
        name=place.name,
        building=place.building_id,
        level=slot.level_id,
        zone=place.zone_id,
        time_zone=place.time_zone,
        device=place.hardware_id,
        sub_type=place.sub_type,
        parameters=dict(place.parameters),
        firmware=slot.firmware,
        connection=slot.connection,
        commissioning=slot.commissioning,
        commissioned_at=slot.commissioned_at,
        unhealthy_after_s=slot.unhealthy_after_s,
        health=slot_health(slot, unhealthy_after_s=hub.unhealthy_after_s, now=hub.platform.now()),
        last_seen_at=slot.last_seen_at,
        battery=slot.battery,
        created_by=slot.created_by,
        created_at=slot.created_at,
        updated_by=slot.updated_by,
        updated_at=slot.updated_at,
        version=slot.version,
    )


def _association_view(found: Association) -> doc.AssociationView:
    return doc.AssociationView(
        slot=found.slot_id,
        device=found.hardware_id,
        began_at=found.began_at,
        began_by=found.began_by,
        ended_at=found.ended_at,
        ended_by=found.ended_by,
    )


handlers = [
    *(list_, create, show, change, remove),
    *(silence, associate, swap, dissociate, commission, decommission, associations),
    providers,
]
