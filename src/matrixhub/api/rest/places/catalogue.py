"""`/hub/v1/zone-categories`, `/hub/v1/zone-units`: the lists that zones are described by."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, get, post
from litestar.params import QueryParameter

from matrixhub.api.auth import PropertyScope, require_also
from matrixhub.api.bodies import ApiRequest, parse_as, read_body
from matrixhub.api.idempotency import IdempotencyKey
from matrixhub.api.rest import place_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.places.asking import ID, MADE_PROBLEMS, made_once
from matrixhub.api.rest.places.views import category_view, unit_view
from matrixhub.model.ids import BuildingId
from matrixhub.model.place import ZoneCategory, ZoneUnit
from matrixhub.modules.grids import catalogue
from matrixhub.modules.grids.properties import organisation_of
from matrixhub.modules.work import Platform

OfBuilding = Annotated[
    str | None,
    QueryParameter(name="building", pattern=ID, description="What this building may have, its own entries too."),
]
OfPropertyType = Annotated[
    str | None, QueryParameter(pattern=ID, description="Only those for this property type; not with a building.")
]
OfCategory = Annotated[str | None, QueryParameter(pattern=ID, description="Only those of this zone category.")]


@get(
    "/zone-categories",
    operation_id="listZoneCategories",
    summary="List zone categories",
    tags=["places"],
    opt={"permission": "scgrids.listZoneCategories", "problems": (404,)},
)
async def list_categories(
    hub: Hub, property_id: PropertyScope, building: OfBuilding = None, property_type: OfPropertyType = None
) -> doc.ZoneCategoryList:
    """Those of the organisation, or those that a building may have, by name."""
    if building is not None:
        found = await catalogue.list_zone_categories_of_building(hub.platform, property_id, BuildingId(building))
    else:
        organisation = await organisation_of(hub.platform, property_id)
        found = await catalogue.list_zone_categories(hub.platform, organisation, property_type_id=property_type)
    return doc.ZoneCategoryList(items=[category_view(one) for one in found])


@post(
    "/zone-categories",
    operation_id="createZoneCategory",
    summary="Create a zone category",
    tags=["places"],
    opt={
        "permission": "scgrids.createZoneCategory",
        "takes": doc.NewZoneCategory,
        "answers": {201: doc.ZoneCategoryView},
        "headers": ("Location",),
        "problems": MADE_PROBLEMS,
    },
)
async def create_category(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """For the list of the organisation, or of a building."""
    body = await read_body(request)
    asked = parse_as(doc.NewZoneCategory, body)
    if asked.building is not None:
        await require_also(request, "scgrids.createZoneCategoryForBuilding")
    building = BuildingId(asked.building) if asked.building is not None else None
    draft = ZoneCategory(id=asked.id, name=asked.name, property_type_id=asked.property_type, building_id=building)

    async def make(platform: Platform) -> tuple[doc.ZoneCategoryView, str, int]:
        if building is not None:
            made = await catalogue.create_zone_category_of_building(platform, property_id, draft)
        else:
            organisation = await organisation_of(platform, property_id)
            made = await catalogue.create_zone_category(platform, organisation, draft)
        return category_view(made), "/zone-categories", 0

    return await made_once(hub, request, property_id, idempotency_key, body, make)


@get(
    "/zone-units",
    operation_id="listZoneUnits",
    summary="List zone units",
    tags=["places"],
    opt={"permission": "scgrids.listZoneUnitsByZoneCategory", "problems": (404,)},
)
async def list_units(
    hub: Hub, property_id: PropertyScope, category: OfCategory = None, building: OfBuilding = None
) -> doc.ZoneUnitList:
    """Those of the organisation, or those that a building may have, by name."""
    if building is not None:
        at = BuildingId(building)
        found = await catalogue.list_zone_units_of_building(hub.platform, property_id, at, category)
    else:
        organisation = await organisation_of(hub.platform, property_id)
        found = await catalogue.list_zone_units(hub.platform, organisation, category)
    return doc.ZoneUnitList(items=[unit_view(one) for one in found])


@post(
    "/zone-units",
    operation_id="createZoneUnit",
    summary="Create a zone unit",
    tags=["places"],
    opt={
        "permission": "scgrids.createZoneUnit",
        "takes": doc.NewZoneUnit,
        "answers": {201: doc.ZoneUnitView},
        "headers": ("Location",),
        "problems": MADE_PROBLEMS,
    },
)
async def create_unit(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """For the list of the organisation, or of a building."""
    body = await read_body(request)
    asked = parse_as(doc.NewZoneUnit, body)
    if asked.building is not None:
        await require_also(request, "scgrids.createZoneUnitForBuilding")
    building = BuildingId(asked.building) if asked.building is not None else None
    draft = ZoneUnit(
        id=asked.id, name=asked.name, image_url=asked.image_url, category_id=asked.category, building_id=building
    )

    async def make(platform: Platform) -> tuple[doc.ZoneUnitView, str, int]:
        if building is not None:
            made = await catalogue.create_zone_unit_of_building(platform, property_id, draft)
        else:
            organisation = await organisation_of(platform, property_id)
            made = await catalogue.create_zone_unit(platform, organisation, draft)
        return unit_view(made), "/zone-units", 0

    return await made_once(hub, request, property_id, idempotency_key, body, make)


handlers = [list_categories, create_category, list_units, create_unit]
