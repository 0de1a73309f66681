"""Site files: YAML that declares a property with its buildings, levels, zones and device slots.

Every error names the line and the field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from matrixhub.model.devices import canonical_devtype
from matrixhub.model.errors import SiteFileError
from matrixhub.model.ids import BuildingId, LevelId, PropertyId, SlotId, ZoneId, is_id, stable_hex_id
from matrixhub.model.site import Building, Level, Organisation, Property, Site, Slot, Zone
from matrixhub.model.time import zone as time_zone_of


@dataclass(frozen=True, slots=True)
class _Entry:
    """A mapping of the file, whose fields know their lines."""

    path: str
    field: str
    line: int
    values: Mapping[str, yaml.Node]

    def error(self, message: str, key: str = "") -> SiteFileError:
        node = self.values.get(key)
        line = node.start_mark.line + 1 if node is not None else self.line
        return SiteFileError(
            message, path=self.path, line=line, field=f"{self.field}.{key}".strip(".") if key else self.field
        )

    def text(self, key: str, default: str | None = None) -> str:
        """The text of a field; numbers are taken as they are written."""
        node = self.values.get(key)
        if node is None or node.tag == "tag:yaml.org,2002:null":
            if default is None:
                raise self.error("is missing", key) if node is None else self.error("is empty", key)
            return default
        if not isinstance(node, yaml.ScalarNode):
            raise self.error("is not a text", key)
        return str(node.value).strip()

    def name(self) -> str:
        name = self.text("name")
        if not name:
            raise self.error("is empty", "name")
        return name

    def id(self, *stable: str) -> str:
        """The id given, or one that stays the same for the same place in the file."""
        if "id" not in self.values:
            return stable_hex_id(*stable)
        found = self.text("id")
        if not is_id(found):
            raise self.error("is not an id: 1 to 128 printable characters without outer blanks", "id")
        return found

    def entry(self, key: str, known: frozenset[str]) -> _Entry:
        node = self.values.get(key)
        if node is None:
            raise self.error("is missing", key)
        return _entry(node, self.path, f"{self.field}.{key}".strip("."), known)

    def entries(self, key: str, known: frozenset[str]) -> Iterator[_Entry]:
        node = self.values.get(key)
        if node is None or node.tag == "tag:yaml.org,2002:null":
            return
        if not isinstance(node, yaml.SequenceNode):
            raise self.error("is not a list", key)
        for index, item in enumerate(node.value):
            yield _entry(item, self.path, f"{self.field}.{key}[{index}]".strip("."), known)


_ROOT = frozenset({"organisation", "property", "buildings"})
_PLAIN = frozenset({"id", "name"})
_BUILDING = frozenset({"id", "name", "time_zone", "levels"})
_LEVEL = frozenset({"id", "name", "zones"})
_ZONE = frozenset({"id", "name", "category", "slots"})
_SLOT = frozenset({"id", "name", "type", "hardware", "sub_type", "parameters"})


def read_site(path: Path) -> Site:
    """The site a file declares. Raises SiteFileError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SiteFileError(f"cannot be read: {error}", path=str(path)) from error
    return parse_site(text, str(path))


def parse_site(text: str, path: str = "site") -> Site:
    """The site a text declares. Raises SiteFileError naming line and field."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise SiteFileError(f"not YAML: {error.problem}", path=path, line=line) from error
    except yaml.YAMLError as error:
        raise SiteFileError(f"not YAML: {error}", path=path) from error
    if root is None:
        raise SiteFileError("the file is empty", path=path)
    return _Reader(_entry(root, path, "", _ROOT)).site()


def _entry(node: yaml.Node, path: str, field: str, known: frozenset[str]) -> _Entry:
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        raise SiteFileError(
            f"is not a mapping with {', '.join(sorted(known))}", path=path, line=line, field=field or "file"
        )
    values: dict[str, yaml.Node] = {}
    for key, value in node.value:
        name, at = str(key.value), key.start_mark.line + 1
        where = f"{field}.{name}".strip(".")
        if name not in known:
            raise SiteFileError(
                f"is not a field; there are {', '.join(sorted(known))}", path=path, line=at, field=where
            )
        if name in values:
            raise SiteFileError("is given twice", path=path, line=at, field=where)
        values[name] = value
    return _Entry(path, field, line, values)


class _Reader:
    """Walks the file once, from the property down to the slots."""

    def __init__(self, root: _Entry) -> None:
        self._root = root
        self._seen: dict[str, str] = {}
        self._buildings: list[Building] = []
        self._levels: list[Level] = []
        self._zones: list[Zone] = []
        self._slots: list[Slot] = []

    def site(self) -> Site:
        organisation = self._root.entry("organisation", _PLAIN)
        owner = Organisation(id=organisation.text("id", organisation.text("name", "")) or "", name=organisation.name())
        if not is_id(owner.id):
            raise organisation.error("is not an id", "id")
        entry = self._root.entry("property", _PLAIN)
        property_id = PropertyId(entry.id("property", owner.id, entry.name()))
        for building in self._root.entries("buildings", _BUILDING):
            self._building(building, property_id)
        return Site(
            organisation=owner,
            property=Property(id=property_id, organisation_id=owner.id, name=entry.name()),
            buildings=tuple(self._buildings),
            levels=tuple(self._levels),
            zones=tuple(self._zones),
            slots=tuple(self._slots),
        )

    def _building(self, entry: _Entry, property_id: PropertyId) -> None:
        region = entry.text("time_zone")
        try:
            time_zone_of(region)
        except ValueError as error:
            raise entry.error(str(error), "time_zone") from error
        building_id = BuildingId(self._new_id(entry, "building", property_id, entry.name()))
        self._buildings.append(Building(id=building_id, property_id=property_id, name=entry.name(), time_zone=region))
        for level in entry.entries("levels", _LEVEL):
            level_id = LevelId(self._new_id(level, "level", building_id, level.name()))
            self._levels.append(Level(id=level_id, building_id=building_id, name=level.name()))
            for zone in level.entries("zones", _ZONE):
                self._zone(zone, property_id, building_id, level_id, region)

    def _zone(
        self, entry: _Entry, property_id: PropertyId, building_id: BuildingId, level_id: LevelId, region: str
    ) -> None:
        zone_id = ZoneId(self._new_id(entry, "zone", level_id, entry.name()))
        self._zones.append(
            Zone(
                id=zone_id,
                building_id=building_id,
                level_id=level_id,
                name=entry.name(),
                category=entry.text("category", ""),
            )
        )
        for slot in entry.entries("slots", _SLOT):
            devtype = canonical_devtype(slot.text("type"))
            if not is_id(devtype):
                raise slot.error("is not a slot type such as SMARTCLEAN#UM", "type")
            self._slots.append(
                Slot(
                    id=SlotId(self._new_id(slot, "slot", zone_id, slot.name(), devtype)),
                    property_id=property_id,
                    building_id=building_id,
                    zone_id=zone_id,
                    devtype=devtype,
                    name=slot.name(),
                    time_zone=region,
                    hardware_id=slot.text("hardware", ""),
                    sub_type=slot.text("sub_type", ""),
                    parameters=_parameters(slot),
                )
            )

    def _new_id(self, entry: _Entry, *stable: str) -> str:
        """The id of an entry. Raises SiteFileError if the file has it already."""
        found = entry.id(*stable)
        key = f"{stable[0]} {found}"
        if key in self._seen:
            raise entry.error(f"{key} is there already, at {self._seen[key]}", "id" if "id" in entry.values else "name")
        self._seen[key] = entry.field
        return found


def _parameters(entry: _Entry) -> dict[str, Any]:
    node = entry.values.get("parameters")
    if node is None:
        return {}
    try:
        found = yaml.safe_load(yaml.serialize(node))
    except yaml.YAMLError as error:
        raise entry.error(f"cannot be read: {error}", "parameters") from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise entry.error("is not a mapping of names to values", "parameters")
    return found
