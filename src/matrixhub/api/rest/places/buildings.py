"""`/hub/v1/buildings`: the buildings of the property."""

from __future__ import annotations

from litestar import Response, get, patch, post

from matrixhub.api.auth import PropertyScope, caller
from matrixhub.api.bodies import MERGE_PATCH_TYPES, ApiRequest, parse_as, read_body
from matrixhub.api.etags import IfMatch
from matrixhub.api.idempotency import IdempotencyKey
from matrixhub.api.rest import place_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.places.asking import MADE_PROBLEMS, BuildingPath, made_once, matched, shown
from matrixhub.api.rest.places.views import address_of, building_view, hours_of, metrics_view
from matrixhub.model.ids import BuildingId
from matrixhub.model.place_draft import BuildingChange, BuildingDraft
from matrixhub.modules.grids import buildings
from matrixhub.modules.work import Platform


@get(
    "/buildings",
    operation_id="listBuildings",
    summary="List buildings",
    tags=["places"],
    opt={"permission": "scgrids.listBuildingsByProperty"},
)
async def list_(hub: Hub, property_id: PropertyScope) -> doc.BuildingList:
    """Those of the property, by name."""
    found = await buildings.list_buildings(hub.platform, property_id)
    return doc.BuildingList(items=[building_view(one) for one in found])


@post(
    "/buildings",
    operation_id="createBuilding",
    summary="Create a building",
    tags=["places"],
    opt={
        "permission": "scgrids.createBuilding",
        "takes": doc.NewBuilding,
        "answers": {201: doc.BuildingView},
        "headers": ("ETag", "Location"),
        "problems": MADE_PROBLEMS,
    },
)
async def create(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """It is a draft until its status is set."""
    body = await read_body(request)
    asked = parse_as(doc.NewBuilding, body)
    draft = BuildingDraft(
        name=asked.name,
        operating_hours=hours_of(asked.operating_hours),
        levels_count=asked.levels_count,
        country=asked.country,
        country_locale=asked.country_locale,
        time_zone=asked.time_zone,
        address=address_of(asked.address),
        email=asked.email,
        is_beacon_enabled=asked.is_beacon_enabled,
        is_property_address=asked.is_property_address,
        area=asked.area,
    )

    async def make(platform: Platform) -> tuple[doc.BuildingView, str, int]:
        made = await buildings.create_building(platform, property_id, draft, actor=caller(request).actor)
        return building_view(made), f"/buildings/{made.id}", made.version

    return await made_once(hub, request, property_id, idempotency_key, body, make)


@get(
    "/buildings/{building_id:str}",
    operation_id="showBuilding",
    summary="Show a building",
    tags=["places"],
    opt={"permission": "scgrids.readBuilding", "headers": ("ETag",)},
)
async def show(hub: Hub, property_id: PropertyScope, building_id: BuildingPath) -> Response[doc.BuildingView]:
    """One building."""
    found = await buildings.read_building(hub.platform, property_id, BuildingId(building_id))
    return shown(building_view(found), found.version)


@patch(
    "/buildings/{building_id:str}",
    operation_id="changeBuilding",
    summary="Change a building",
    tags=["places"],
    opt={
        "permission": "scgrids.updateBuilding",
        "takes": doc.BuildingChange,
        "types": MERGE_PATCH_TYPES,
        "headers": ("ETag",),
        "problems": (409,),
    },
)
async def change(
    hub: Hub, property_id: PropertyScope, building_id: BuildingPath, request: ApiRequest, if_match: IfMatch = None
) -> Response[doc.BuildingView]:
    """Its name, status or hours."""
    asked = parse_as(doc.BuildingChange, await read_body(request, MERGE_PATCH_TYPES))
    found = BuildingId(building_id)

    async def version() -> int:
        return (await buildings.read_building(hub.platform, property_id, found)).version

    hours = None if asked.operating_hours is None else hours_of(asked.operating_hours)
    changed = await buildings.update_building(
        hub.platform,
        property_id,
        found,
        BuildingChange(name=asked.name, status=asked.status, operating_hours=hours),
        actor=caller(request).actor,
        version=await matched(if_match, version),
    )
    return shown(building_view(changed), changed.version)


@get(
    "/buildings/{building_id:str}/metrics",
    operation_id="showBuildingMetrics",
    summary="Show how much there is in a building",
    tags=["places"],
    opt={"permission": "scgrids.listBuildingMetrics"},
)
async def metrics(hub: Hub, property_id: PropertyScope, building_id: BuildingPath) -> doc.MetricsView:
    """Its levels and zones, and the area of these."""
    return metrics_view(await buildings.building_metrics(hub.platform, property_id, BuildingId(building_id)))


handlers = [list_, create, show, change, metrics]
