"""Operations of Grids: properties, buildings, levels, zones.

Source: docs/contract/grids.md §2
"""

from __future__ import annotations

from matrixhub.api.actions.operation import Call, Operation, Reply
from matrixhub.api.actions.shape import ANY, list_of, may, needs, of
from matrixhub.modules.grids import zones
from matrixhub.modules.grids.inputs import start_key
from matrixhub.modules.grids.records import last_key, zone_map_entry

SERVICE = "scgrids"

_START = may("ESK", ANY, "`LEK` of the page before; left out for the first page", also=("ExclusiveStartKey",))
_ZONE_ON_MAP = of(needs("PID"), needs("LID"), needs("InsID"), needs("Name"), needs("ZoneCategoryID"))


async def _building_zone_map(call: Call) -> Reply:
    page = await zones.list_zones(call.platform, call.property_id, call.building_id, after=start_key(call.body))
    return Reply(data=[zone_map_entry(zone) for zone in page.items], beside={"LEK": last_key(page)})


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="scgrids.buildingZoneMap",
        service=SERVICE,
        summary="The zones of a building, each with its level and category.",
        call=_building_zone_map,
        request=of(_START),
        response=list_of(_ZONE_ON_MAP),
        envelope="grids",
        needs_building=True,
        keeps_s=3600.0,
        example={"ESK": ""},
    ),
)
