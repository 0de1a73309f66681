"""The places and device slots of a property.

Hierarchy: organisation > property > building > level > zone > device slot. Source: docs/contract/README.md §3
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from matrixhub.model.devices import Json
from matrixhub.model.ids import BuildingId, LevelId, PropertyId, SlotId, ZoneId


@dataclass(frozen=True, kw_only=True, slots=True)
class Organisation:
    """A customer account."""

    id: str
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Property:
    """A real-estate holding of an organisation; keys and subscriptions belong to it."""

    id: PropertyId
    organisation_id: str
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Building:
    """A building of a property; its time zone is the `Region` of its readings."""

    id: BuildingId
    property_id: PropertyId
    name: str
    time_zone: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """A floor of a building."""

    id: LevelId
    building_id: BuildingId
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Zone:
    """A room or area on a level."""

    id: ZoneId
    building_id: BuildingId
    level_id: LevelId
    name: str
    category: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """A place for one device of a given type; it stays the same when the hardware is swapped.

    `hardware_id` is the device now in the slot (`DASSOC`), `sub_type` its firmware or variant (`DevSubType`).
    """

    id: SlotId
    property_id: PropertyId
    building_id: BuildingId
    zone_id: ZoneId
    devtype: str
    name: str
    time_zone: str
    hardware_id: str = ""
    sub_type: str = ""
    parameters: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """Everything a site file declares: one property with its buildings, levels, zones and slots, in file order."""

    organisation: Organisation
    property: Property
    buildings: tuple[Building, ...]
    levels: tuple[Level, ...]
    zones: tuple[Zone, ...]
    slots: tuple[Slot, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteChange:
    """What applying a site file did, as counts over everything it declares, organisation and property included."""

    created: int
    updated: int
    unchanged: int
    removed: int

    @property
    def changed(self) -> bool:
        """Whether anything is different now."""
        return bool(self.created or self.updated or self.removed)
