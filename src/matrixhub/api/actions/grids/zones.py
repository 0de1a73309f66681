"""Operations on zones, and the zone map."""

from __future__ import annotations

from matrixhub.api.actions.grids.shapes import HOURS_ASKED, IDS, KEEPS_S, START, ZONE, operation
from matrixhub.api.actions.operation import Call, Operation, Reply
from matrixhub.api.actions.shape import ANY, FLAG, NUMBER, list_of, map_of, may, needs, of
from matrixhub.model.ids import ZoneId
from matrixhub.model.place import Page, Zone
from matrixhub.modules.grids import inputs, records, zones

_ON_MAP = of(needs("PID"), needs("LID"), needs("InsID"), needs("Name"), needs("ZoneCategoryID"))
_OF_LEVEL = of(
    *(needs(name) for name in ("InsID", "LID", "ZoneCategoryID", "Name")),
    needs("Area", NUMBER),
    needs("FloorType"),
    needs("Status"),
)
_DETAILS = (
    may("Area", NUMBER),
    may("FloorType"),
    may("Status", note="Active, Inactive or PENDING"),
    may("Tags", map_of(ANY)),
    may("Units", ANY, "{General: list of {Key, Count}}, or a list of names"),
    may("BeaconID"),
    may("OperatingHours", HOURS_ASKED),
    may("IsBuildingOperatingHours", FLAG),
)


async def _building_zone_map(call: Call) -> Reply:
    page = await _page(call)
    return Reply(data=[records.zone_map_entry(zone) for zone in page.items], beside={"LEK": records.last_key(page)})


async def _list_zones_by_building(call: Call) -> Reply:
    return _answered(await _page(call))


async def _page(call: Call) -> Page[Zone]:
    after = inputs.start_key(call.body)
    return await zones.list_zones(call.platform, call.property_id, call.building_id, after=after)


def _answered(page: Page[Zone]) -> Reply:
    return Reply(data=[records.zone_record(zone) for zone in page.items], beside={"LEK": records.last_key(page)})


async def _list_zones_by_level(call: Call) -> Reply:
    page = await zones.list_zones_by_level(
        call.platform,
        call.property_id,
        call.building_id,
        inputs.level_id(call.body),
        categories=inputs.category_ids(call.body),
        after=inputs.start_key(call.body),
    )
    return Reply(data=[records.zone_entry(zone) for zone in page.items], beside={"LEK": records.last_key(page)})


async def _list_zones_by_ids(call: Call) -> Reply:
    wanted = [ZoneId(text) for text in inputs.required_ids(call.body, "InsIDs")]
    found = await zones.list_zones_by_ids(call.platform, call.property_id, call.building_id, wanted)
    return Reply(data=[records.zone_record(zone) for zone in found])


async def _list_zones_by_zone_category(call: Call) -> Reply:
    page = await zones.list_zones_by_category(
        call.platform,
        call.property_id,
        call.building_id,
        inputs.required_id(call.body, "ZoneCategoryID"),
        after=inputs.start_key(call.body),
    )
    return _answered(page)


async def _read_zone(call: Call) -> Reply:
    found = await zones.read_zone(call.platform, call.property_id, call.building_id, _zone_id(call))
    return Reply(data=records.zone_record(found))


async def _create_zone(call: Call) -> Reply:
    drafts = inputs.zone_drafts(call.body)
    made = await zones.create_zones(call.platform, call.property_id, call.building_id, drafts, actor=call.actor)
    return Reply(data=[records.zone_record(zone) for zone in made])


async def _update_zone(call: Call) -> Reply:
    change = inputs.zone_change(call.body)
    changed = await zones.update_zone(
        call.platform, call.property_id, call.building_id, _zone_id(call), change, actor=call.actor
    )
    return Reply(data=records.zone_record(changed))


async def _delete_zone(call: Call) -> Reply:
    gone = await zones.delete_zone(call.platform, call.property_id, call.building_id, _zone_id(call), actor=call.actor)
    return Reply(data=[records.zone_record(gone)])


def _zone_id(call: Call) -> ZoneId:
    return ZoneId(inputs.required_id(call.body, "InsID"))


OPERATIONS: tuple[Operation, ...] = (
    operation(
        "buildingZoneMap",
        "The zones of a building, each with its level and category.",
        _building_zone_map,
        list_of(_ON_MAP),
        request=of(START),
        needs_building=True,
        keeps_s=KEEPS_S,
        example={"ESK": ""},
    ),
    operation(
        "listZonesByBuilding",
        "The zones of a building.",
        _list_zones_by_building,
        list_of(ZONE),
        request=of(START),
        needs_building=True,
        keeps_s=KEEPS_S,
        example={"ESK": ""},
    ),
    operation(
        "listZonesByLevel",
        "The zones of a level, all or those of at most ten categories.",
        _list_zones_by_level,
        list_of(_OF_LEVEL),
        request=of(needs("LID"), may("ZoneCategoryIDs", IDS), START),
        needs_building=True,
        keeps_s=KEEPS_S,
        example={"LID": "{level}"},
    ),
    operation(
        "listZonesByIDs",
        "Several zones; ids that the building has not are left out.",
        _list_zones_by_ids,
        list_of(ZONE),
        request=of(needs("InsIDs", IDS)),
        needs_building=True,
        also=("scgrids.listZoneByIDs",),
        keeps_s=KEEPS_S,
        example={"InsIDs": ["{zone}"]},
    ),
    operation(
        "listZonesByZoneCategory",
        "The zones of a building that are of a category.",
        _list_zones_by_zone_category,
        list_of(ZONE),
        request=of(needs("ZoneCategoryID"), START),
        needs_building=True,
        keeps_s=KEEPS_S,
        example={"ZoneCategoryID": "WASHROOMS"},
    ),
    operation(
        "readZone",
        "A zone.",
        _read_zone,
        ZONE,
        request=of(needs("InsID")),
        needs_building=True,
        keeps_s=KEEPS_S,
        example={"InsID": "{zone}"},
    ),
    operation(
        "createZone",
        "Make zones, all of them or none.",
        _create_zone,
        list_of(ZONE),
        request=of(needs("Zone", list_of(of(needs("LID"), needs("Name"), may("ZoneCategoryID"), *_DETAILS)))),
        status=201,
        needs_building=True,
        needs_property=True,
        example={"Zone": [{"LID": "{level}", "Name": "Pantry", "ZoneCategoryID": "PANTRIES", "Area": 12}]},
    ),
    operation(
        "updateZone",
        "Change a zone.",
        _update_zone,
        ZONE,
        request=of(needs("InsID"), may("Name"), *_DETAILS),
        needs_building=True,
        example={"InsID": "{zone}", "FloorType": "Tile"},
    ),
    operation(
        "deleteZone",
        "Remove a zone with its slots; a list of what it was.",
        _delete_zone,
        list_of(ZONE),
        request=of(needs("InsID")),
        needs_building=True,
        example={"InsID": "{zone}"},
    ),
)
