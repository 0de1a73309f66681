"""Operations on zone categories and zone units: the lists that zones are described by."""

from __future__ import annotations

from matrixhub.api.actions.grids.shapes import operation
from matrixhub.api.actions.operation import Call, Operation, Reply
from matrixhub.api.actions.shape import list_of, may, needs, of
from matrixhub.modules.grids import catalogue, inputs, records
from matrixhub.modules.grids.properties import organisation_of

_CATEGORY = of(needs("Name"), needs("PropertyTypeID"), needs("CategoryID"))
_UNIT = of(needs("Name"), needs("UnitID"), needs("ImageURL"), needs("ZoneCategoryID"))
_UNIT_ASKED = of(needs("Name"), needs("UnitID"), may("ImageURL"), needs("ZoneCategoryID"))
_OF_CATEGORY = of(needs("ZoneCategoryID"))
_CATEGORY_EXAMPLE = {"Name": "Pantries", "CategoryID": "PANTRIES", "PropertyTypeID": "OFFICE"}
_UNIT_EXAMPLE = {"Name": "Sink", "UnitID": "SINK", "ImageURL": "", "ZoneCategoryID": "WASHROOMS"}


async def _list_zone_categories(call: Call) -> Reply:
    organisation = await organisation_of(call.platform, call.property_id)
    found = await catalogue.list_zone_categories(
        call.platform, organisation, property_type_id=call.body.get("PropertyTypeID") or None
    )
    return Reply(data=[records.zone_category_record(one) for one in found])


async def _create_zone_category(call: Call) -> Reply:
    draft = inputs.zone_category(call.body)
    organisation = await organisation_of(call.platform, call.property_id)
    made = await catalogue.create_zone_category(call.platform, organisation, draft)
    return Reply(data=records.zone_category_record(made))


async def _list_zone_categories_by_building(call: Call) -> Reply:
    found = await catalogue.list_zone_categories_of_building(call.platform, call.property_id, call.building_id)
    return Reply(data=[records.zone_category_record(one) for one in found])


async def _create_zone_category_for_building(call: Call) -> Reply:
    draft = inputs.zone_category(call.body, call.building_id)
    made = await catalogue.create_zone_category_of_building(call.platform, call.property_id, draft)
    return Reply(data=records.zone_category_record(made))


async def _create_zone_unit(call: Call) -> Reply:
    draft = inputs.zone_unit(call.body)
    organisation = await organisation_of(call.platform, call.property_id)
    made = await catalogue.create_zone_unit(call.platform, organisation, draft)
    return Reply(data=records.zone_unit_record(made))


async def _list_zone_units(call: Call) -> Reply:
    category = inputs.required_id(call.body, "ZoneCategoryID")
    organisation = await organisation_of(call.platform, call.property_id)
    found = await catalogue.list_zone_units(call.platform, organisation, category)
    return Reply(data=[records.zone_unit_record(one) for one in found])


async def _create_zone_unit_for_building(call: Call) -> Reply:
    draft = inputs.zone_unit(call.body, call.building_id)
    made = await catalogue.create_zone_unit_of_building(call.platform, call.property_id, draft)
    return Reply(data=records.zone_unit_record(made))


async def _list_zone_units_by_building(call: Call) -> Reply:
    category = inputs.required_id(call.body, "ZoneCategoryID")
    found = await catalogue.list_zone_units_of_building(call.platform, call.property_id, call.building_id, category)
    return Reply(data=[records.zone_unit_record(one) for one in found])


OPERATIONS: tuple[Operation, ...] = (
    operation(
        "listZoneCategories",
        "The zone categories of the organisation, all or those of a property type.",
        _list_zone_categories,
        list_of(_CATEGORY),
        request=of(may("PropertyTypeID")),
        example={"PropertyTypeID": "OFFICE"},
    ),
    operation(
        "createZoneCategory",
        "Add a zone category to the list of the organisation.",
        _create_zone_category,
        _CATEGORY,
        request=_CATEGORY,
        status=201,
        example=_CATEGORY_EXAMPLE,
    ),
    operation(
        "listZoneCategoriesByBuilding",
        "The zone categories for the type of a building's property, and its own.",
        _list_zone_categories_by_building,
        list_of(_CATEGORY),
        needs_building=True,
    ),
    operation(
        "createZoneCategoryForBuilding",
        "Add a zone category to the list of a building.",
        _create_zone_category_for_building,
        _CATEGORY,
        request=_CATEGORY,
        status=201,
        needs_building=True,
        example=_CATEGORY_EXAMPLE,
    ),
    operation(
        "createZoneUnit",
        "Add a zone unit to the list of the organisation.",
        _create_zone_unit,
        _UNIT,
        request=_UNIT_ASKED,
        status=201,
        also=("scgrids.createZoneAsset",),
        example=_UNIT_EXAMPLE,
    ),
    operation(
        "listZoneUnitsByZoneCategory",
        "The zone units of a category in the list of the organisation.",
        _list_zone_units,
        list_of(_UNIT),
        request=_OF_CATEGORY,
        also=("scgrids.listZoneAssetsByZoneCategory",),
        example={"ZoneCategoryID": "WASHROOMS"},
    ),
    operation(
        "createZoneUnitForBuilding",
        "Add a zone unit to the list of a building.",
        _create_zone_unit_for_building,
        _UNIT,
        request=_UNIT_ASKED,
        status=201,
        needs_building=True,
        example=_UNIT_EXAMPLE,
    ),
    operation(
        "listZoneUnitsByBuilding",
        "The zone units of a category that a building may have.",
        _list_zone_units_by_building,
        list_of(_UNIT),
        request=_OF_CATEGORY,
        needs_building=True,
        example={"ZoneCategoryID": "WASHROOMS"},
    ),
)
