"""Operations on properties, and what they are described by."""

from __future__ import annotations

from matrixhub.api.actions.grids.shapes import ADDRESS_ASKED, METRICS, PROPERTY, operation
from matrixhub.api.actions.operation import Call, Operation, Reply
from matrixhub.api.actions.shape import SECONDS, TEXT, list_of, may, needs, of
from matrixhub.modules.grids import inputs, properties, records

_TYPE = of(needs("Name"), needs("TypeID"))
_SUBSCRIPTION = of(needs("PropId"), needs("PlanType"))
_COLLABORATION = of(
    needs("ID"),
    needs("ATTR"),
    needs("Modules", list_of(TEXT)),
    *(needs(name) for name in ("Status", "OrgId", "OwnerOrgId", "PropId", "SUB1", "NS", "SRN", "CreatedBy")),
    needs("CreatedOn", SECONDS),
)
_DRAFT = (
    needs("Name"),
    needs("TypeID"),
    needs("Address", ADDRESS_ASKED),
    needs("TimeZone", note="such as Asia/Singapore"),
    needs("Country"),
    needs("CountryLocale"),
)
_EXAMPLE = {
    "Name": "Orchard Towers",
    "TypeID": "OFFICE",
    "Address": {"Street": "1 Orchard Road", "City": "Singapore", "PostalCode": "238801"},
    "TimeZone": "Asia/Singapore",
    "Country": "SG",
    "CountryLocale": "en",
}


async def _list_properties(call: Call) -> Reply:
    found = await properties.list_visible_properties(
        call.platform,
        call.property_id,
        whole_organisation=call.identity.property_id is None,
        type_id=call.body.get("PropTypeID") or None,
    )
    return Reply(data=[records.property_record(one) for one in found])


async def _read_property(call: Call) -> Reply:
    found = await properties.read_property(call.platform, call.property_id)
    return Reply(data=records.property_record(found))


async def _read_property_by_building(call: Call) -> Reply:
    found = await properties.read_property_by_building(call.platform, call.property_id, call.building_id)
    return Reply(data=records.property_record(found))


async def _create_property(call: Call) -> Reply:
    draft = inputs.property_draft(call.body)
    organisation = await properties.organisation_of(call.platform, call.property_id)
    made = await properties.create_property(call.platform, organisation, draft, actor=call.actor)
    return Reply(data=records.property_record(made))


async def _update_property(call: Call) -> Reply:
    change = inputs.property_change(call.body)
    changed = await properties.update_property(call.platform, call.property_id, change, actor=call.actor)
    return Reply(data=records.property_record(changed))


async def _read_property_subscription(call: Call) -> Reply:
    found = await properties.read_property(call.platform, call.property_id)
    return Reply(data=records.property_subscription_record(found))


async def _read_property_collaboration(call: Call) -> Reply:
    found = await properties.read_property(call.platform, call.property_id)
    return Reply(data=records.property_collaboration_record(found))


async def _list_property_types(call: Call) -> Reply:
    organisation = await properties.organisation_of(call.platform, call.property_id)
    found = await properties.list_property_types(call.platform, organisation)
    return Reply(data=[records.property_type_record(one) for one in found])


async def _create_property_type(call: Call) -> Reply:
    draft = inputs.property_type(call.body)
    organisation = await properties.organisation_of(call.platform, call.property_id)
    made = await properties.create_property_type(call.platform, organisation, draft)
    return Reply(data=records.property_type_record(made))


async def _list_property_metrics(call: Call) -> Reply:
    found = await properties.property_metrics(call.platform, call.property_id)
    return Reply(data=records.metrics_record(found))


OPERATIONS: tuple[Operation, ...] = (
    operation(
        "listProperties",
        "The properties that the credentials are for: one, or all of its organisation.",
        _list_properties,
        list_of(PROPERTY),
        request=of(may("PropTypeID", note="only those of this type")),
        example={},
    ),
    operation(
        "listOwnerOrgProperties",
        "The properties that the credentials are for, by their type.",
        _list_properties,
        list_of(PROPERTY),
        request=of(may("PropTypeID", note="only those of this type")),
        example={"PropTypeID": "OFFICE"},
    ),
    operation("readProperty", "The property.", _read_property, PROPERTY),
    operation(
        "readPropertyByBuilding",
        "The property that a building belongs to.",
        _read_property_by_building,
        PROPERTY,
        needs_building=True,
        certainty="name published",
    ),
    operation(
        "createProperty",
        "Make a property of the same organisation; it has keys of its own.",
        _create_property,
        PROPERTY,
        request=of(*_DRAFT),
        status=201,
        example=_EXAMPLE,
    ),
    operation(
        "createPropertyV2",
        "Make a property of the same organisation, on a plan; it has keys of its own.",
        _create_property,
        PROPERTY,
        request=of(*_DRAFT, may("PlanType", note="such as FREEMIUM")),
        status=201,
        example={**_EXAMPLE, "PlanType": "FREEMIUM"},
    ),
    operation(
        "updateProperty",
        "Change the name or the status of the property.",
        _update_property,
        PROPERTY,
        request=of(may("Name"), may("Status", note="Active, Inactive or Pending")),
        needs_property=True,
        example={"Status": "Active"},
    ),
    operation(
        "readPropertySubscription",
        "The plan that the property is on.",
        _read_property_subscription,
        _SUBSCRIPTION,
        needs_property=True,
        certainty="name published",
    ),
    operation(
        "readPropertyCollaboration",
        "Who works with the property: its own organisation.",
        _read_property_collaboration,
        _COLLABORATION,
        needs_property=True,
    ),
    operation("listPropertyTypes", "The property types of the organisation.", _list_property_types, list_of(_TYPE)),
    operation(
        "createPropertyType",
        "Add a property type to the list of the organisation.",
        _create_property_type,
        _TYPE,
        request=of(needs("Name"), needs("TypeID")),
        status=201,
        example={"Name": "Office", "TypeID": "OFFICE"},
    ),
    operation(
        "listPropertyMetrics",
        "How much there is in the property.",
        _list_property_metrics,
        METRICS,
        needs_property=True,
        certainty="name published",
    ),
)
