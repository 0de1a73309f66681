"""Sites to simulate: the sample site that comes with the hub, and made ones of any size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matrixhub.model.ids import BuildingId, LevelId, PropertyId, SlotId, ZoneId, stable_hex_id
from matrixhub.model.site import Building, Level, Organisation, Property, Site, Slot, Zone
from matrixhub.model.time import zone as time_zone_of

DEVICES_MAX = 100_000
LEVELS_MAX = 40


def demo_site_path() -> Path:
    """The site file of the sample site: one building with every device type. `examples/demo.site.yaml` is this file."""
    return Path(__file__).with_name("demo.site.yaml")


def make_site(
    devices: int,
    buildings: int = 1,
    *,
    seed: int = 1,
    time_zone: str = "Asia/Singapore",
    name: str = "Made property",
    organisation_id: str = "ORCHARD",
    organisation_name: str = "Orchard Estates",
) -> Site:
    """A believable site of exactly so many devices, spread evenly over the buildings.

    The same arguments give the same ids, so that applying it twice changes nothing. Sixteen devices a building are
    enough to have every type; a building has up to 40 levels and then grows wings.
    Raises: ValueError if there are more than 100,000 devices, fewer than one, or more buildings than devices.
    """
    if not 1 <= devices <= DEVICES_MAX:
        raise ValueError(f"a made site has 1 to {DEVICES_MAX:,} devices, not {devices:,}")
    if not 1 <= buildings <= devices:
        raise ValueError(f"{devices:,} devices can stand in 1 to {devices:,} buildings, not {buildings:,}")
    time_zone_of(time_zone)
    root = (str(seed), organisation_id, name)
    estate = Property(id=PropertyId(stable_hex_id("property", *root)), organisation_id=organisation_id, name=name)
    made = _Made(root, estate, time_zone)
    share, extra = divmod(devices, buildings)
    for number in range(1, buildings + 1):
        made.add_building(f"Tower {number}", share + (number <= extra))
    return Site(
        organisation=Organisation(id=organisation_id, name=organisation_name),
        property=estate,
        buildings=tuple(made.buildings),
        levels=tuple(made.levels),
        zones=tuple(made.zones),
        slots=tuple(made.slots),
    )


def site_document(site: Site) -> Mapping[str, Any]:
    """The site in the shape of a site file, ready for a YAML writer; reading it back gives the same ids."""
    slots: dict[str, list[dict[str, Any]]] = {}
    for slot in site.slots:
        row: dict[str, Any] = {"id": str(slot.id), "name": slot.name, "type": slot.devtype}
        if slot.hardware_id:
            row["hardware"] = slot.hardware_id
        if slot.sub_type:
            row["sub_type"] = slot.sub_type
        if slot.parameters:
            row["parameters"] = dict(slot.parameters)
        slots.setdefault(slot.zone_id, []).append(row)
    zones: dict[str, list[dict[str, Any]]] = {}
    for place in site.zones:
        zones.setdefault(place.level_id, []).append(
            {"id": str(place.id), "name": place.name, "category": place.category, "slots": slots.get(place.id, [])}
        )
    levels: dict[str, list[dict[str, Any]]] = {}
    for level in site.levels:
        levels.setdefault(level.building_id, []).append(
            {"id": str(level.id), "name": level.name, "zones": zones.get(level.id, [])}
        )
    return {
        "organisation": {"id": site.organisation.id, "name": site.organisation.name},
        "property": {"id": str(site.property.id), "name": site.property.name},
        "buildings": [
            {"id": str(b.id), "name": b.name, "time_zone": b.time_zone, "levels": levels.get(b.id, [])}
            for b in site.buildings
        ],
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class _ZonePlan:
    """A zone of every level; {n} in a name is the number of the level."""

    name: str
    category: str
    slots: tuple[tuple[str, str], ...]
    ground_only: bool = False


_PLAN = (
    _ZonePlan(
        name="Washroom L{n} Male",
        category="WASHROOM",
        slots=(
            ("People counter", "PPLCTR"),
            ("Feedback", "FD"),
            ("Toilet roll 1", "TR"),
            ("Paper towel", "PT"),
            ("Soap 1", "SS"),
            ("Bin", "BIN"),
            ("Spill detection", "WD"),
            ("Air", "ODRDTR"),
            ("Cubicle 1", "OCCMINEW"),
        ),
    ),
    _ZonePlan(name="Garden", category="OUTDOOR", slots=(("Tree 1", "TILT"),), ground_only=True),
    _ZonePlan(
        name="Office L{n} East",
        category="OFFICE",
        slots=(("Climate", "TH"), ("Air 10-in-1", "ODRDTR_10_IN_1"), ("Desk 1", "OCCDESK")),
    ),
    _ZonePlan(
        name="Washroom L{n} Female",
        category="WASHROOM",
        slots=(
            ("Usage monitor", "UM"),
            ("Air lite", "ODRDTR_BATT_V1"),
            ("Cubicle 1", "OCCSCM"),
            ("Cubicle 2", "OCCSCM"),
            ("Feedback", "FD"),
            ("Toilet roll 1", "TR"),
            ("Toilet roll 2", "TR"),
            ("Paper towel", "PT"),
            ("Soap 1", "SS"),
            ("Bin", "BIN"),
        ),
    ),
    _ZonePlan(
        name="Lobby L{n}",
        category="LOBBY",
        slots=(
            ("People counter", "PPLCTR"),
            ("Spill detection", "WD"),
            ("Bin", "BIN"),
            ("Air 10-in-1", "ODRDTR_10_IN_1"),
            ("Climate", "TH"),
        ),
    ),
    _ZonePlan(
        name="Office L{n} West",
        category="OFFICE",
        slots=(("Climate", "TH"), *((f"Desk {n}", "OCCDESK") for n in range(1, 9))),
    ),
)  # fmt: skip

_SUB_TYPES = {"PPLCTR": "5_1_2_r", "WD": "5_0_1wd", "ODRDTR": "5_1_2_r", "FD": "v0", "OCCMINEW": "minew"}
_PER_LEVEL = sum(len(plan.slots) for plan in _PLAN if not plan.ground_only)


class _Made:
    """What has been made so far."""

    def __init__(self, root: tuple[str, ...], estate: Property, time_zone: str) -> None:
        self._root, self._estate, self._time_zone = root, estate, time_zone
        self.buildings: list[Building] = []
        self.levels: list[Level] = []
        self.zones: list[Zone] = []
        self.slots: list[Slot] = []

    def add_building(self, name: str, devices: int) -> None:
        building = Building(
            id=BuildingId(stable_hex_id("building", *self._root, name)),
            property_id=self._estate.id,
            name=name,
            time_zone=self._time_zone,
        )
        self.buildings.append(building)
        left = devices
        for level_name, plans in _floors(devices):
            level = Level(
                id=LevelId(stable_hex_id("level", building.id, level_name)), building_id=building.id, name=level_name
            )
            self.levels.append(level)
            for zone_name, plan in plans:
                left -= self._add_zone(building, level, zone_name, plan, left)
                if not left:
                    return

    def _add_zone(self, building: Building, level: Level, name: str, plan: _ZonePlan, slots_max: int) -> int:
        zone = Zone(
            id=ZoneId(stable_hex_id("zone", level.id, name)),
            building_id=building.id,
            level_id=level.id,
            name=name,
            category=plan.category,
        )
        self.zones.append(zone)
        made = [_slot(zone, building, slot_name, short) for slot_name, short in plan.slots[:slots_max]]
        self.slots += made
        return len(made)


def _floors(devices: int) -> Iterator[tuple[str, list[tuple[str, _ZonePlan]]]]:
    """Levels from the ground up, each with its zones: wing after wing until every device would find a place."""
    levels = min(LEVELS_MAX, -(-devices // _PER_LEVEL))
    wings = -(-devices // (_PER_LEVEL * levels))
    for number in range(1, levels + 1):
        plans = [plan for plan in _PLAN if number == 1 or not plan.ground_only]
        yield (
            f"L{number}",
            [
                (plan.name.format(n=number) + (f" wing {wing}" if wings > 1 else ""), plan)
                for wing in range(1, wings + 1)
                for plan in plans
            ],
        )


def _slot(zone: Zone, building: Building, name: str, short: str) -> Slot:
    slot_id = stable_hex_id("slot", zone.id, name)
    return Slot(
        id=SlotId(slot_id),
        property_id=building.property_id,
        building_id=building.id,
        zone_id=zone.id,
        devtype=f"SMARTCLEAN#{short}",
        name=f"{name}, {zone.name}",
        time_zone=building.time_zone,
        hardware_id=stable_hex_id("hardware", slot_id)[:12].upper(),
        sub_type=_SUB_TYPES.get(short, "1"),
    )
