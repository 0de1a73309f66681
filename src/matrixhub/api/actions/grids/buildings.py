"""Operations on buildings."""

from __future__ import annotations

from matrixhub.api.actions.grids.shapes import (
    ADDRESS_ASKED,
    BUILDING,
    HOURS_ASKED,
    IDS,
    KEEPS_S,
    METRICS,
    operation,
)
from matrixhub.api.actions.operation import Call, Operation, Reply
from matrixhub.api.actions.shape import FLAG, NUMBER, list_of, may, needs, of
from matrixhub.model.ids import BuildingId
from matrixhub.modules.grids import buildings, inputs, records


async def _list_buildings(call: Call) -> Reply:
    found = await buildings.list_buildings(call.platform, call.property_id)
    return Reply(data=[records.building_record(one) for one in found])


async def _read_building(call: Call) -> Reply:
    found = await buildings.read_building(call.platform, call.property_id, call.building_id)
    return Reply(data=records.building_record(found))


async def _read_buildings(call: Call) -> Reply:
    wanted = [BuildingId(text) for text in inputs.required_ids(call.body, "PIDs")]
    found = await buildings.read_buildings(call.platform, call.property_id, wanted)
    return Reply(data=[records.building_record(one) for one in found])


async def _create_building(call: Call) -> Reply:
    draft = inputs.building_draft(call.body)
    made = await buildings.create_building(call.platform, call.property_id, draft, actor=call.actor)
    return Reply(data=records.building_record(made))


async def _update_building(call: Call) -> Reply:
    change = inputs.building_change(call.body)
    changed = await buildings.update_building(
        call.platform, call.property_id, call.building_id, change, actor=call.actor
    )
    return Reply(data=records.building_record(changed))


async def _list_building_metrics(call: Call) -> Reply:
    found = await buildings.building_metrics(call.platform, call.property_id, call.building_id)
    return Reply(data=records.metrics_record(found))


OPERATIONS: tuple[Operation, ...] = (
    operation(
        "listBuildingsByProperty",
        "The buildings of the property.",
        _list_buildings,
        list_of(BUILDING),
        needs_property=True,
    ),
    operation("readBuilding", "A building.", _read_building, BUILDING, needs_building=True, keeps_s=KEEPS_S),
    operation(
        "readBuildings",
        "Several buildings; ids that the property has not are left out.",
        _read_buildings,
        list_of(BUILDING),
        request=of(needs("PIDs", IDS)),
        example={"PIDs": ["{building}"]},
    ),
    operation(
        "createBuilding",
        "Make a building; it is a draft until its status is set.",
        _create_building,
        BUILDING,
        request=of(
            needs("Name"),
            needs("OperatingHours", HOURS_ASKED),
            needs("LevelsCount", NUMBER, "at most 60"),
            needs("Country"),
            needs("CountryLocale"),
            may("TimeZone", note="without it, that of the property"),
            may("Address", ADDRESS_ASKED),
            may("Email", of(may("Default"))),
            may("IsBeaconEnabled", FLAG),
            may("IsPropertyAddress", FLAG),
            may("Area", NUMBER),
        ),
        needs_property=True,
        example={
            "Name": "Tower B",
            "OperatingHours": {"1": [{"Start": "0800", "End": "1800"}], "0": None},
            "LevelsCount": 4,
            "Country": "SG",
            "CountryLocale": "en",
        },
    ),
    operation(
        "updateBuilding",
        "Change the name, status or hours of a building.",
        _update_building,
        BUILDING,
        request=of(
            may("Name"),
            may("Status", note="draft, Active, Inactive or Pending"),
            may("OperatingHours", HOURS_ASKED),
        ),
        needs_building=True,
        example={"Status": "Active"},
    ),
    operation(
        "listBuildingMetrics",
        "How much there is in a building.",
        _list_building_metrics,
        METRICS,
        needs_building=True,
        keeps_s=KEEPS_S,
        certainty="name published",
    ),
)
