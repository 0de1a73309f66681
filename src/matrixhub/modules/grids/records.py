"""Places as Matrix Web Services answer with them: exactly the keys of the wire.

Source: docs/contract/grids.md §3
"""

from __future__ import annotations

import base64
from datetime import datetime

from matrixhub.model.address import address_document, coordinates_document
from matrixhub.model.devices import Json
from matrixhub.model.floor_plan import FloorPlan, PlanPosition
from matrixhub.model.hours import hours_document
from matrixhub.model.place import (
    Building,
    Level,
    Page,
    PlaceMetrics,
    Property,
    PropertyType,
    Zone,
    ZoneCategory,
    ZoneUnit,
)
from matrixhub.model.units import units_document

NO_BEACON = "N.A."


def property_record(found: Property) -> dict[str, Json]:
    """A property."""
    return {
        "OrgId": found.organisation_id,
        "PropId": found.id,
        "Name": found.name,
        "Address": address_document(found.address),
        "TypeID": found.type_id,
        "Status": found.status,
        "TimeZone": found.time_zone,
    }


def property_subscription_record(found: Property) -> dict[str, Json]:
    """The plan a property is on."""
    return {"PropId": found.id, "PlanType": found.plan_type}


def property_collaboration_record(found: Property) -> dict[str, Json]:
    """Who works with a property: its own organisation, with all modules."""
    return {
        "ID": f"SCOrgs#{found.organisation_id}",
        "ATTR": f"ORG_COLLABORATORS#{found.id}",
        "Modules": ["*"],
        "Status": "Accepted",
        "OrgId": found.organisation_id,
        "OwnerOrgId": found.organisation_id,
        "PropId": found.id,
        "SUB1": found.id,
        "NS": "ORG_COLLABORATORS",
        "SRN": f"srn:scgrids:{found.organisation_id}:::{found.id}:ORG_COLLABORATORS:{found.organisation_id}",
        "CreatedBy": found.created_by,
        "CreatedOn": _seconds(found.created_at),
    }


def property_type_record(found: PropertyType) -> dict[str, Json]:
    """A property type."""
    return {"Name": found.name, "TypeID": found.id}


def metrics_record(found: PlaceMetrics) -> dict[str, Json]:
    """How much there is in a property or building."""
    return {
        "LevelsCount": found.levels,
        "ZonesCount": found.zones,
        "TotalArea": _number(found.area),
        "BuildingsCount": found.buildings,
    }


def building_record(found: Building) -> dict[str, Json]:
    """A building."""
    return {
        "PropId": found.property_id,
        "PID": found.id,
        "Config": {"Email": {"Default": found.email}},
        "OperatingHours": hours_document(found.operating_hours),
        "Coordinates": coordinates_document(found.address.coordinates),
        "Name": found.name,
        "Address": address_document(found.address),
        "LevelsCount": found.levels_count,
        "Status": found.status,
        "TimeZone": found.time_zone,
        "IsBeaconEnabled": found.is_beacon_enabled,
        "IsPropertyAddress": found.is_property_address,
        "CreatedBy": found.created_by,
        "CreatedOn": _seconds(found.created_at),
        "UpdatedBy": found.updated_by,
        "UpdatedOn": _seconds(found.updated_at),
    }


def level_entry(found: Level) -> dict[str, Json]:
    """A level in a list."""
    return {
        "Name": found.name,
        "Level": found.level,
        "LID": found.id,
        "Area": _number(found.area),
        "FloorPlanExists": found.has_floor_plan,
    }


def level_record(found: Level, plan: FloorPlan | None) -> dict[str, Json]:
    """A level that was asked for by its id, with its floor plan."""
    return {
        "Name": found.name,
        "Level": found.level,
        "Area": _number(found.area),
        "FloorPlan": floor_plan_text(plan),
        "LID": found.id,
    }


def new_level_record(found: Level, plan: FloorPlan | None) -> dict[str, Json]:
    """A level that was made."""
    return {"Name": found.name, "FloorPlan": floor_plan_text(plan), "LID": found.id}


def floor_plan_text(plan: FloorPlan | None) -> str:
    """The image in base64; '' where there is none."""
    return base64.b64encode(plan.image).decode() if plan else ""


def plan_position_record(found: PlanPosition) -> dict[str, Json]:
    """Where a zone or slot is on a floor plan."""
    return {"Kind": found.kind, "ID": found.id, "X": found.x, "Y": found.y}


def zone_record(found: Zone) -> dict[str, Json]:
    """A zone."""
    return {
        "OrgId": found.organisation_id,
        "PropId": found.property_id,
        "PID": found.building_id,
        "LID": found.level_id,
        "InsID": found.id,
        "BeaconID": found.beacon_id or NO_BEACON,
        "ZoneCategoryID": found.category,
        "Name": found.name,
        "Area": _number(found.area),
        "FloorType": found.floor_type,
        "Tags": dict(found.tags),
        "Units": units_document(found.units),
        "Status": found.status,
        "OperatingHours": hours_document(found.operating_hours),
        "IsBuildingOperatingHours": found.is_building_hours,
        "CreatedOn": _seconds(found.created_at),
    }


def zone_entry(found: Zone) -> dict[str, Json]:
    """A zone in the list of a level."""
    return {
        "InsID": found.id,
        "LID": found.level_id,
        "ZoneCategoryID": found.category,
        "Name": found.name,
        "Area": _number(found.area),
        "FloorType": found.floor_type,
        "Status": found.status,
    }


def zone_map_entry(found: Zone) -> dict[str, Json]:
    """A zone on the zone map of a building."""
    return {
        "PID": found.building_id,
        "LID": found.level_id,
        "InsID": found.id,
        "Name": found.name,
        "ZoneCategoryID": found.category,
    }


def zone_category_record(found: ZoneCategory) -> dict[str, Json]:
    """A zone category."""
    return {"Name": found.name, "PropertyTypeID": found.property_type_id, "CategoryID": found.id}


def zone_unit_record(found: ZoneUnit) -> dict[str, Json]:
    """A zone unit."""
    return {
        "Name": found.name,
        "UnitID": found.id,
        "ImageURL": found.image_url,
        "ZoneCategoryID": found.category_id,
    }


def last_key(page: Page[Zone]) -> str:
    """`LEK`: the key with which the next page is asked for, '' at the end. `inputs.start_key` reads it."""
    return page_key(page.next_after or "")


def page_key(next_after: str) -> str:
    """The key of the page behind an id, '' for none; opaque to clients. `inputs.read_page_key` reads it.

    >>> page_key("e2b15d8f"), page_key("")
    ('ZTJiMTVkOGY', '')
    """
    return base64.urlsafe_b64encode(next_after.encode()).decode().rstrip("=")


def _seconds(at: datetime) -> int:
    return int(at.timestamp())


def _number(value: float) -> int | float:
    """Whole numbers without a fraction, as in the published examples."""
    return int(value) if value == int(value) else value
