"""Good requests to the routes of places, and the things they are about."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image
from tests.integration.rest.rig import SEEDS, Rig

from matrixhub.model.floor_plan import PlanPosition
from matrixhub.model.ids import AuditId, BuildingId, LevelId, MediaId, PropertyId, SlotId, ZoneId
from matrixhub.model.media import MediaDraft
from matrixhub.modules.audits import start_audit
from matrixhub.modules.devices import associate_device, show_slot
from matrixhub.modules.grids import levels, zones
from matrixhub.modules.grids.buildings import list_buildings
from matrixhub.modules.media import keep_media, prepare_media


def _picture() -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (32, 16), "teal").save(made, "PNG")
    return made.getvalue()


PICTURE = _picture()


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """One of every place of a property; `slot` has a device in it, `empty_slot` none, `served_slot` is in service."""

    property_id: PropertyId
    building: BuildingId
    level: LevelId
    zone: ZoneId
    slot: SlotId
    empty_slot: SlotId
    served_slot: SlotId
    audit: AuditId
    media: MediaId

    @property
    def names(self) -> list[bytes]:
        """What must not be seen by another property."""
        ids = (self.building, self.level, self.zone, self.slot, self.empty_slot, self.served_slot)
        return [one.encode() for one in (self.property_id, *ids, self.audit, self.media)]


async def make_places(rig: Rig, property_id: PropertyId) -> Places:
    """The places of a property, with a floor plan, an audit and a picture."""
    platform = rig.parts.platform
    (building, *_) = await list_buildings(platform, property_id)
    zone = (await zones.list_zones(platform, property_id, building.id)).items[0]
    async with rig.database.connection() as connection:
        ids = [
            SlotId(row["id"])
            for row in await connection.fetch("select id from slots where property_id = $1 order by id", property_id)
        ]
        await connection.execute("update slots set hardware_id = '', commissioning = 'new' where id = $1", ids[1])
        await connection.execute("update slots set commissioning = 'commissioned' where id = $1", ids[2])
        await connection.execute(
            "update slots set parameters = '{\"MAX\": 1, \"OFFSET\": 0}', commissioning = 'new' where id = $1", ids[0]
        )
    if not (await show_slot(platform, property_id, ids[0])).associated:
        await associate_device(platform, property_id, ids[0], f"device-{next(SEEDS)}", actor="ann")
    at = (property_id, building.id, zone.level_id)
    await levels.update_floor_plan(platform, *at, PICTURE, actor="ann")
    await levels.place_on_plan(platform, *at, [PlanPosition(kind="zone", id=zone.id, x=0.5, y=0.5)], actor="ann")
    audit = await start_audit(platform, property_id, building.id, zone.id, name="Round", by="Ann Lee", actor="ann")
    prepared = await prepare_media(MediaDraft(kind="image", entity="audits", content=PICTURE))
    media = await keep_media(platform, property_id, prepared, quota_bytes=2**30, actor="ann")
    return Places(
        property_id=property_id,
        building=building.id,
        level=zone.level_id,
        zone=zone.id,
        slot=ids[0],
        empty_slot=ids[1],
        served_slot=ids[2],
        audit=audit.id,
        media=media.id,
    )


Path = Callable[[Places], str]
Body = Callable[[Places], object]


@dataclass(frozen=True, slots=True)
class PlaceRoute:
    """A good request. What it makes may have to be new each time, so the body is made for each."""

    path: Path
    body: Body = lambda _: None
    shown: bool = False


def _of_level(rest: str = "", body: Body = lambda _: None) -> PlaceRoute:
    return PlaceRoute(lambda p: f"/buildings/{p.building}/levels/{p.level}{rest}", body)


def _of_slot(rest: str = "", body: Body = lambda _: None) -> PlaceRoute:
    return PlaceRoute(lambda p: f"/slots/{p.slot}{rest}", body)


def _of_media(rest: str = "") -> PlaceRoute:
    return PlaceRoute(lambda p: f"/media/{p.media}{rest}")


def _new(text: str) -> str:
    return f"{text}-{next(SEEDS)}"


PLACE_ROUTES: dict[str, PlaceRoute] = {
    "listProperties": PlaceRoute(lambda _: "/properties", shown=True),
    "createProperty": PlaceRoute(
        lambda _: "/properties",
        lambda _: {
            "name": "Orchard Towers",
            "type": "OFFICE",
            "time_zone": "Asia/Singapore",
            "country": "SG",
            "country_locale": "en",
        },
        shown=True,
    ),
    "showProperty": PlaceRoute(lambda p: f"/properties/{p.property_id}"),
    "changeProperty": PlaceRoute(lambda p: f"/properties/{p.property_id}", lambda _: {"name": "changed"}),
    "showPropertyMetrics": PlaceRoute(lambda p: f"/properties/{p.property_id}/metrics"),
    "listPropertyTypes": PlaceRoute(lambda _: "/property-types", shown=True),
    "createPropertyType": PlaceRoute(
        lambda _: "/property-types", lambda _: {"id": _new("T"), "name": "Office"}, shown=True
    ),
    "listBuildings": PlaceRoute(lambda _: "/buildings", shown=True),
    "createBuilding": PlaceRoute(
        lambda _: "/buildings", lambda _: {"name": "Tower B", "country": "SG", "country_locale": "en"}, shown=True
    ),
    "showBuilding": PlaceRoute(lambda p: f"/buildings/{p.building}"),
    "changeBuilding": PlaceRoute(lambda p: f"/buildings/{p.building}", lambda _: {"status": "Inactive"}),
    "showBuildingMetrics": PlaceRoute(lambda p: f"/buildings/{p.building}/metrics"),
    "listLevels": PlaceRoute(lambda p: f"/buildings/{p.building}/levels"),
    "createLevel": PlaceRoute(lambda p: f"/buildings/{p.building}/levels", lambda _: {"name": "Roof", "level": "L77"}),
    "showLevel": _of_level(),
    "changeLevel": _of_level("", lambda _: {"area": 7.5}),
    "deleteLevel": _of_level(),
    "showFloorPlan": _of_level("/floor-plan"),
    "giveFloorPlan": _of_level("/floor-plan", lambda _: PICTURE),
    "listPlanPositions": _of_level("/positions"),
    "placeOnPlan": _of_level("/positions", lambda p: {"items": [{"kind": "zone", "id": p.zone, "x": 0.1, "y": 1}]}),
    "listZones": PlaceRoute(lambda p: f"/buildings/{p.building}/zones"),
    "createZones": PlaceRoute(
        lambda p: f"/buildings/{p.building}/zones", lambda p: {"items": [{"level": p.level, "name": "Pantry"}]}
    ),
    "showZone": PlaceRoute(lambda p: f"/zones/{p.zone}"),
    "changeZone": PlaceRoute(lambda p: f"/zones/{p.zone}", lambda _: {"floor_type": "Tile"}),
    "deleteZone": PlaceRoute(lambda p: f"/zones/{p.zone}"),
    "listZoneCategories": PlaceRoute(lambda _: "/zone-categories", shown=True),
    "createZoneCategory": PlaceRoute(
        lambda _: "/zone-categories",
        lambda p: {"id": _new("C"), "name": "Pantries", "property_type": "OFFICE", "building": p.building},
    ),
    "listZoneUnits": PlaceRoute(lambda _: "/zone-units?category=WASHROOM", shown=True),
    "createZoneUnit": PlaceRoute(
        lambda _: "/zone-units",
        lambda p: {"id": _new("U"), "name": "Sink", "category": "WASHROOM", "building": p.building},
    ),
    "listAudits": PlaceRoute(lambda _: "/audits", shown=True),
    "startAudit": PlaceRoute(lambda _: "/audits", lambda p: {"zone": p.zone, "name": "Round", "by": "Ann Lee"}),
    "showAudit": PlaceRoute(lambda p: f"/audits/{p.audit}"),
    "completeAudit": PlaceRoute(lambda p: f"/audits/{p.audit}/complete", lambda _: {"score": 90}),
    "listMedia": PlaceRoute(lambda _: "/media", shown=True),
    "keepMedia": PlaceRoute(lambda _: "/media", lambda _: PICTURE, shown=True),
    "showMedia": _of_media(),
    "showMediaContent": _of_media("/content"),
    "showThumbnail": _of_media("/thumbnail"),
    "deleteMedia": _of_media(),
    "listSlots": PlaceRoute(lambda _: "/slots", shown=True),
    "createSlot": PlaceRoute(
        lambda _: "/slots", lambda p: {"zone": p.zone, "devtype": "SMARTCLEAN#UM", "name": "Usage", "id": _new("slot")}
    ),
    "showSlot": _of_slot(),
    "changeSlot": _of_slot("", lambda _: {"name": "changed"}),
    "deleteSlot": _of_slot(),
    "setSlotSilence": _of_slot("/silence", lambda _: {"unhealthy_after_s": 60}),
    "associateDevice": PlaceRoute(lambda p: f"/slots/{p.empty_slot}/associate", lambda _: {"device": _new("device")}),
    "swapDevice": _of_slot("/swap", lambda _: {"device": _new("device")}),
    "dissociateDevice": _of_slot("/dissociate"),
    "commissionSlot": _of_slot("/commission"),
    "decommissionSlot": PlaceRoute(lambda p: f"/slots/{p.served_slot}/decommission"),
    "listAssociations": _of_slot("/associations"),
    "listProviders": PlaceRoute(lambda _: "/providers", shown=True),
}
