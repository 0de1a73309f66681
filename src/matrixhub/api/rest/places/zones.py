"""`/hub/v1/buildings/{building_id}/zones`, `/hub/v1/zones`: the zones of a building."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, delete, get, patch, post
from litestar.params import QueryParameter

from matrixhub.api.auth import PropertyScope, caller
from matrixhub.api.bodies import MERGE_PATCH_TYPES, ApiRequest, parse_as, read_body
from matrixhub.api.etags import IfMatch
from matrixhub.api.idempotency import IdempotencyKey
from matrixhub.api.paging import LIMIT, CursorQuery, LimitQuery, make_cursor, read_cursor
from matrixhub.api.parts import Parts
from matrixhub.api.rest import place_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.places.asking import (
    ID,
    MADE_PROBLEMS,
    BuildingPath,
    ZonePath,
    made_once,
    matched,
    shown,
)
from matrixhub.api.rest.places.views import hours_of, units_of, zone_view
from matrixhub.model.ids import BuildingId, LevelId, PropertyId, ZoneId
from matrixhub.model.place import Page, Zone
from matrixhub.model.place_draft import ZoneChange, ZoneDraft
from matrixhub.modules.grids import zones
from matrixhub.modules.work import Platform

LevelQuery = Annotated[str | None, QueryParameter(pattern=ID, description="Only those of this level.")]


@get(
    "/buildings/{building_id:str}/zones",
    operation_id="listZones",
    summary="List the zones of a building",
    tags=["places"],
    opt={"permission": "scgrids.listZonesByBuilding"},
)
async def list_(
    hub: Hub,
    property_id: PropertyScope,
    building_id: BuildingPath,
    level: LevelQuery = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = LIMIT,
) -> doc.ZonePage:
    """In the order of their ids."""
    found = read_cursor("zone", cursor, str)
    after, building = found[1] if found else "", BuildingId(building_id)
    if level is None:
        page = await zones.list_zones(hub.platform, property_id, building, after=after, limit=limit)
    else:
        page = await zones.list_zones_by_level(
            hub.platform, property_id, building, LevelId(level), after=after, limit=limit
        )
    return doc.ZonePage(items=[zone_view(one) for one in page.items], next=_cursor(page))


@post(
    "/buildings/{building_id:str}/zones",
    operation_id="createZones",
    summary="Create zones",
    tags=["places"],
    opt={
        "permission": "scgrids.createZone",
        "takes": doc.NewZones,
        "answers": {201: doc.ZoneList},
        "headers": ("Location",),
        "problems": MADE_PROBLEMS,
    },
)
async def create(
    hub: Hub,
    property_id: PropertyScope,
    building_id: BuildingPath,
    request: ApiRequest,
    idempotency_key: IdempotencyKey = None,
) -> Response[bytes]:
    """All of them or none; `Location` is the list they are in."""
    body = await read_body(request)
    drafts = [_draft(one) for one in parse_as(doc.NewZones, body).items]

    async def make(platform: Platform) -> tuple[doc.ZoneList, str, int]:
        building = BuildingId(building_id)
        made = await zones.create_zones(platform, property_id, building, drafts, actor=caller(request).actor)
        return doc.ZoneList(items=[zone_view(one) for one in made]), f"/buildings/{building_id}/zones", 0

    return await made_once(hub, request, property_id, idempotency_key, body, make)


@get(
    "/zones/{zone_id:str}",
    operation_id="showZone",
    summary="Show a zone",
    tags=["places"],
    opt={"permission": "scgrids.readZone", "headers": ("ETag",)},
)
async def show(hub: Hub, property_id: PropertyScope, zone_id: ZonePath) -> Response[doc.ZoneView]:
    """One zone."""
    found = await _read(hub, property_id, ZoneId(zone_id))
    return shown(zone_view(found), found.version)


@patch(
    "/zones/{zone_id:str}",
    operation_id="changeZone",
    summary="Change a zone",
    tags=["places"],
    opt={
        "permission": "scgrids.updateZone",
        "takes": doc.ZoneChange,
        "types": MERGE_PATCH_TYPES,
        "headers": ("ETag",),
        "problems": (409,),
    },
)
async def change(
    hub: Hub, property_id: PropertyScope, zone_id: ZonePath, request: ApiRequest, if_match: IfMatch = None
) -> Response[doc.ZoneView]:
    """A new name and a new status are an event each. Hours that are given are its own."""
    asked = parse_as(doc.ZoneChange, await read_body(request, MERGE_PATCH_TYPES))
    zone = ZoneId(zone_id)
    building = await zones.building_of_zone(hub.platform, property_id, zone)

    async def version() -> int:
        return (await zones.read_zone(hub.platform, property_id, building, zone)).version

    changed = await zones.update_zone(
        hub.platform,
        property_id,
        building,
        zone,
        _change(asked),
        actor=caller(request).actor,
        version=await matched(if_match, version),
    )
    return shown(zone_view(changed), changed.version)


@delete(
    "/zones/{zone_id:str}",
    operation_id="deleteZone",
    summary="Delete a zone",
    tags=["places"],
    opt={"permission": "scgrids.deleteZone"},
)
async def remove(hub: Hub, property_id: PropertyScope, zone_id: ZonePath, request: ApiRequest) -> None:
    """With its slots."""
    zone = ZoneId(zone_id)
    building = await zones.building_of_zone(hub.platform, property_id, zone)
    await zones.delete_zone(hub.platform, property_id, building, zone, actor=caller(request).actor)


async def _read(hub: Parts, property_id: PropertyId, zone_id: ZoneId) -> Zone:
    building = await zones.building_of_zone(hub.platform, property_id, zone_id)
    return await zones.read_zone(hub.platform, property_id, building, zone_id)


def _draft(asked: doc.NewZone) -> ZoneDraft:
    return ZoneDraft(
        level_id=LevelId(asked.level),
        name=asked.name,
        category=asked.category,
        area=asked.area,
        floor_type=asked.floor_type,
        tags=asked.tags,
        units=units_of(asked.units),
        status=asked.status,
        beacon_id=asked.beacon,
        operating_hours=None if asked.operating_hours is None else hours_of(asked.operating_hours),
        is_building_hours=asked.is_building_hours,
    )


def _change(asked: doc.ZoneChange) -> ZoneChange:
    return ZoneChange(
        name=asked.name,
        area=asked.area,
        floor_type=asked.floor_type,
        status=asked.status,
        tags=asked.tags,
        units=None if asked.units is None else units_of(asked.units),
        beacon_id=asked.beacon,
        operating_hours=None if asked.operating_hours is None else hours_of(asked.operating_hours),
        is_building_hours=asked.is_building_hours,
    )


def _cursor(page: Page[Zone]) -> str | None:
    last = page.items[-1] if page.next_after is not None else None
    return make_cursor("zone", last.created_at, last.id) if last is not None else None


handlers = [list_, create, show, change, remove]
