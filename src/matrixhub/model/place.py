"""Properties, buildings, levels and zones with all that is kept of them.

What of these a site file declares is in `model/site.py`; these are the whole records.
Source: docs/contract/grids.md
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Literal, TypeVar

from matrixhub.model.address import Address
from matrixhub.model.devices import Json
from matrixhub.model.errors import LimitViolated, VersionMismatch, WrongParameters
from matrixhub.model.hours import OperatingHours
from matrixhub.model.ids import BuildingId, LevelId, PropertyId, ZoneId
from matrixhub.model.place_events import LevelMark, ZoneMark
from matrixhub.model.units import Units

PROPERTIES_MAX = 10_000
"""Most properties of an organisation that are made by clients."""

CATALOGUE_MAX = 1_000
"""Most entries of a list of an organisation or building: property types, zone categories, zone units."""

BUILDINGS_MAX = 500
"""Most buildings of a property. That there is a limit is published, how high it is not."""

LEVELS_MAX = 60
"""Most levels of a building (published)."""

ZONES_MAX = 100
"""Most zones made by one call."""

PAGE = 500
"""Most places one query gives."""

CATEGORIES_MAX = 10
"""Most zone categories one query may ask for (published)."""

PlaceKind = Literal["property", "building", "zone"]

STATUSES: Mapping[PlaceKind, tuple[str, ...]] = {
    "property": ("Active", "Inactive", "Pending"),
    "building": ("draft", "Active", "Inactive", "Pending"),
    "zone": ("Active", "Inactive", "PENDING"),
}
"""What the status of a place may be, spelled as published; any case is taken."""

_LEVEL_WORD = re.compile(r"L-?[0-9]{1,3}")

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What is kept of every place: who made and changed it, when, and how often (`version`)."""

    created_by: str
    created_at: datetime
    updated_by: str
    updated_at: datetime
    version: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Property(Kept):
    """A real-estate holding of an organisation."""

    id: PropertyId
    organisation_id: str
    name: str
    type_id: str
    address: Address
    status: str
    time_zone: str
    country: str
    country_locale: str
    plan_type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PropertyType:
    """A kind of property, such as BANK, in the list of an organisation."""

    id: str
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Building(Kept):
    """A building of a property. `levels_count` is what was stated, or the levels it has where these are more."""

    id: BuildingId
    property_id: PropertyId
    name: str
    time_zone: str
    operating_hours: OperatingHours
    own_address: Address
    property_address: Address
    is_property_address: bool
    email: str
    levels_count: int
    is_beacon_enabled: bool
    area: float
    status: str
    country: str
    country_locale: str

    @property
    def address(self) -> Address:
        """The address in force: its own, or that of the property."""
        return self.property_address if self.is_property_address else self.own_address


@dataclass(frozen=True, kw_only=True, slots=True)
class Level(Kept):
    """A floor of a building; `level` is its word, such as `L2`, or ''."""

    id: LevelId
    property_id: PropertyId
    building_id: BuildingId
    name: str
    level: str
    area: float
    has_floor_plan: bool = False

    @property
    def mark(self) -> LevelMark:
        """What its events tell of it."""
        return LevelMark(id=self.id, building_id=self.building_id, name=self.name, level=self.level)


@dataclass(frozen=True, kw_only=True, slots=True)
class Zone(Kept):
    """A room or area on a level."""

    id: ZoneId
    organisation_id: str
    property_id: PropertyId
    building_id: BuildingId
    level_id: LevelId
    name: str
    category: str
    area: float
    floor_type: str
    tags: Mapping[str, Json]
    units: Units
    status: str
    beacon_id: str
    own_hours: OperatingHours
    building_hours: OperatingHours
    is_building_hours: bool

    @property
    def operating_hours(self) -> OperatingHours:
        """The hours in force: its own, or those of the building."""
        return self.building_hours if self.is_building_hours else self.own_hours

    @property
    def mark(self) -> ZoneMark:
        """What its events tell of it."""
        return ZoneMark(
            id=self.id,
            building_id=self.building_id,
            level_id=self.level_id,
            name=self.name,
            category=self.category,
            status=self.status,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoneCategory:
    """A kind of room in the list of a property type, or of one building."""

    id: str
    name: str
    property_type_id: str
    building_id: BuildingId | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoneUnit:
    """An asset that zones of a category may have, in the list of the organisation or of one building."""

    id: str
    name: str
    image_url: str
    category_id: str
    building_id: BuildingId | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PlaceMetrics:
    """How much there is in a property or building; the area is that of its zones."""

    buildings: int
    levels: int
    zones: int
    area: float


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list; `next_after` is the id behind which the next page begins, None at the end."""

    items: tuple[T, ...]
    next_after: str | None


def status_of(kind: PlaceKind, text: str) -> str:
    """The status as it is kept. Raises WrongParameters if such a place cannot have it.

    >>> status_of("zone", "pending"), status_of("building", "ACTIVE")
    ('PENDING', 'Active')
    """
    for status in STATUSES[kind]:
        if status.lower() == text.lower():
            return status
    raise WrongParameters(f"the status of a {kind} is one of {', '.join(STATUSES[kind])}")


def level_word(name: str) -> str:
    """The word of a level that only has a name, or ''.

    >>> level_word("L2"), level_word("Roof")
    ('L2', '')
    """
    return name if is_level_word(name) else ""


def is_level_word(text: str) -> bool:
    """Whether it is the word of a level: L and its number."""
    return _LEVEL_WORD.fullmatch(text) is not None


def check_catalogue(entries: int) -> None:
    """Refuse another entry of a list that is full. Raises LimitViolated."""
    if entries >= CATALOGUE_MAX:
        raise LimitViolated(f"such a list has at most {CATALOGUE_MAX:,} entries")


def check_version(version: int, wanted: int | None) -> None:
    """Refuse to change what was changed meanwhile. Raises VersionMismatch."""
    if wanted is not None and wanted != version:
        raise VersionMismatch(f"it is at version {version}, not {wanted}")
