"""`/hub/v1/properties`, `/hub/v1/property-types`: the property of a key, and the types there are."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, get, patch, post
from litestar.params import PathParameter, QueryParameter

from matrixhub.api.auth import PropertyScope, caller
from matrixhub.api.bodies import MERGE_PATCH_TYPES, ApiRequest, parse_as, read_body
from matrixhub.api.etags import IfMatch
from matrixhub.api.idempotency import IdempotencyKey
from matrixhub.api.rest import place_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.places.asking import ID, MADE_PROBLEMS, made_once, matched, shown
from matrixhub.api.rest.places.views import address_of, metrics_view, property_view
from matrixhub.model.errors import NotFound
from matrixhub.model.ids import PropertyId
from matrixhub.model.place import PropertyType
from matrixhub.model.place_draft import PropertyChange, PropertyDraft
from matrixhub.modules.grids import properties
from matrixhub.modules.work import Platform

PropertyPath = Annotated[str, PathParameter(pattern=ID, description="Id of the property.")]
TypeQuery = Annotated[str | None, QueryParameter(pattern=ID, description="Only those of this type.")]


@get(
    "/properties",
    operation_id="listProperties",
    summary="List properties",
    tags=["places"],
    opt={"permission": "scgrids.listProperties"},
)
async def list_(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, property_type: TypeQuery = None
) -> doc.PropertyList:
    """With a key of a property that property alone; with the hub's own key all of the same organisation."""
    found = await properties.list_visible_properties(
        hub.platform, property_id, whole_organisation=caller(request).property_id is None, type_id=property_type
    )
    return doc.PropertyList(items=[property_view(one) for one in found])


@post(
    "/properties",
    operation_id="createProperty",
    summary="Create a property",
    tags=["places"],
    opt={
        "permission": "scgrids.createProperty",
        "takes": doc.NewProperty,
        "answers": {201: doc.PropertyView},
        "headers": ("ETag", "Location"),
        "problems": MADE_PROBLEMS,
    },
)
async def create(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """Of the same organisation. The key that made it has no part in it: the hub gives it keys of its own."""
    body = await read_body(request)
    asked = parse_as(doc.NewProperty, body)
    draft = PropertyDraft(
        name=asked.name,
        type_id=asked.type,
        address=address_of(asked.address),
        time_zone=asked.time_zone,
        country=asked.country,
        country_locale=asked.country_locale,
        plan_type=asked.plan,
    )

    async def make(platform: Platform) -> tuple[doc.PropertyView, str, int]:
        organisation = await properties.organisation_of(platform, property_id)
        made = await properties.create_property(platform, organisation, draft, actor=caller(request).actor)
        return property_view(made), f"/properties/{made.id}", made.version

    return await made_once(hub, request, property_id, idempotency_key, body, make)


@get(
    "/properties/{its_id:str}",
    operation_id="showProperty",
    summary="Show a property",
    tags=["places"],
    opt={"permission": "scgrids.readProperty", "headers": ("ETag",)},
)
async def show(hub: Hub, property_id: PropertyScope, its_id: PropertyPath) -> Response[doc.PropertyView]:
    """The property that the request is about."""
    found = await properties.read_property(hub.platform, _meant(property_id, its_id))
    return shown(property_view(found), found.version)


@patch(
    "/properties/{its_id:str}",
    operation_id="changeProperty",
    summary="Change a property",
    tags=["places"],
    opt={
        "permission": "scgrids.updateProperty",
        "takes": doc.PropertyChange,
        "types": MERGE_PATCH_TYPES,
        "headers": ("ETag",),
    },
)
async def change(
    hub: Hub, property_id: PropertyScope, its_id: PropertyPath, request: ApiRequest, if_match: IfMatch = None
) -> Response[doc.PropertyView]:
    """Its name or its status."""
    asked = parse_as(doc.PropertyChange, await read_body(request, MERGE_PATCH_TYPES))
    meant = _meant(property_id, its_id)

    async def version() -> int:
        return (await properties.read_property(hub.platform, meant)).version

    changed = await properties.update_property(
        hub.platform,
        meant,
        PropertyChange(name=asked.name, status=asked.status),
        actor=caller(request).actor,
        version=await matched(if_match, version),
    )
    return shown(property_view(changed), changed.version)


@get(
    "/properties/{its_id:str}/metrics",
    operation_id="showPropertyMetrics",
    summary="Show how much there is in a property",
    tags=["places"],
    opt={"permission": "scgrids.listPropertyMetrics"},
)
async def metrics(hub: Hub, property_id: PropertyScope, its_id: PropertyPath) -> doc.MetricsView:
    """Its buildings, levels and zones, and the area of these."""
    return metrics_view(await properties.property_metrics(hub.platform, _meant(property_id, its_id)))


@get(
    "/property-types",
    operation_id="listPropertyTypes",
    summary="List property types",
    tags=["places"],
    opt={"permission": "scgrids.listPropertyTypes"},
)
async def list_types(hub: Hub, property_id: PropertyScope) -> doc.PropertyTypeList:
    """Those of the organisation, by name."""
    organisation = await properties.organisation_of(hub.platform, property_id)
    found = await properties.list_property_types(hub.platform, organisation)
    return doc.PropertyTypeList(items=[doc.PropertyTypeView(id=one.id, name=one.name) for one in found])


@post(
    "/property-types",
    operation_id="createPropertyType",
    summary="Create a property type",
    tags=["places"],
    opt={
        "permission": "scgrids.createPropertyType",
        "takes": doc.NewPropertyType,
        "answers": {201: doc.PropertyTypeView},
        "headers": ("Location",),
        "problems": MADE_PROBLEMS,
    },
)
async def create_type(
    hub: Hub, property_id: PropertyScope, request: ApiRequest, idempotency_key: IdempotencyKey = None
) -> Response[bytes]:
    """For the list of the organisation."""
    body = await read_body(request)
    asked = parse_as(doc.NewPropertyType, body)

    async def make(platform: Platform) -> tuple[doc.PropertyTypeView, str, int]:
        organisation = await properties.organisation_of(platform, property_id)
        draft = PropertyType(id=asked.id, name=asked.name)
        made = await properties.create_property_type(platform, organisation, draft)
        return doc.PropertyTypeView(id=made.id, name=made.name), "/property-types", 0

    return await made_once(hub, request, property_id, idempotency_key, body, make)


def _meant(property_id: PropertyId, named: str) -> PropertyId:
    """The property that a path names, which must be that of the request. Raises NotFound."""
    if named != property_id:
        raise NotFound(f"there is no property {named}")
    return property_id


handlers = [list_, create, show, change, metrics, list_types, create_type]
