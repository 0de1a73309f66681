"""Properties, buildings, levels and zones with all that is kept of them.

What of these a site file declares is in `model/site.py`; these are the whole records.
Source: docs/contract/grids.md
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

import msgspec

from matrixhub.model.devices import Json
from matrixhub.model.errors import VersionMismatch, WrongParameters
from matrixhub.model.hours import OperatingHours
from matrixhub.model.ids import BuildingId, LevelId, PropertyId, ZoneId
from matrixhub.model.place_events import LevelMark, ZoneMark
from matrixhub.model.time import zone as time_zone_of

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

NAME_MAX, TEXT_MAX = 200, 500
AREA_MAX = 10_000_000.0
TAGS_BYTES_MAX = 4_096
UNITS_MAX = 200

PlaceKind = Literal["property", "building", "zone"]

STATUSES: Mapping[PlaceKind, tuple[str, ...]] = {
    "property": ("Active", "Inactive", "Pending"),
    "building": ("draft", "Active", "Inactive", "Pending"),
    "zone": ("Active", "Inactive", "PENDING"),
}
"""What the status of a place may be, spelled as published; any case is taken."""

_LEVEL_WORD = re.compile(r"L-?[0-9]{1,3}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Coordinates:
    """A place on earth, in degrees."""

    latitude: float
    longitude: float

    def __post_init__(self) -> None:
        if not (abs(self.latitude) <= 90 and abs(self.longitude) <= 180):
            raise WrongParameters("Coordinates are a Latitude of -90 to 90 and a Longitude of -180 to 180")


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """A postal address, and where it is."""

    street: str = ""
    city: str = ""
    state: str = ""
    country: str = ""
    postal_code: str = ""
    coordinates: Coordinates | None = None


@dataclass(frozen=True, slots=True)
class UnitCount:
    """How many of an asset, such as a cubicle, a zone has."""

    key: str
    count: int


Units = Mapping[str, Sequence[UnitCount]]
"""The assets of a zone by group; the published group is `General`."""


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


# --- what is asked for ---


@dataclass(frozen=True, kw_only=True, slots=True)
class PropertyDraft:
    """A property to be made. Raises WrongParameters for a value that cannot be."""

    name: str
    type_id: str
    address: Address
    time_zone: str
    country: str
    country_locale: str
    plan_type: str = ""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildingDraft:
    """A building to be made; without a time zone it has that of its property. Raises WrongParameters."""

    name: str
    operating_hours: OperatingHours
    levels_count: int
    country: str
    country_locale: str
    time_zone: str = ""
    address: Address = field(default_factory=Address)
    email: str = ""
    is_beacon_enabled: bool = False
    is_property_address: bool = False
    area: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class LevelDraft:
    """A level to be made. Raises WrongParameters."""

    name: str
    level: str
    area: float = 0.0
    floor_plan: bytes | None = None

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoneDraft:
    """A zone to be made. Without a word on whose hours, its own count where any are given. Raises WrongParameters."""

    level_id: LevelId
    name: str
    category: str = ""
    area: float = 0.0
    floor_type: str = ""
    tags: Mapping[str, Json] = field(default_factory=dict)
    units: Units = field(default_factory=dict)
    status: str = "Active"
    beacon_id: str = ""
    operating_hours: OperatingHours | None = None
    is_building_hours: bool | None = None

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class PropertyChange:
    """What of a property changes; None stays as it is. Raises WrongParameters."""

    name: str | None = None
    status: str | None = None

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildingChange:
    """What of a building changes; None stays as it is. Raises WrongParameters."""

    name: str | None = None
    status: str | None = None
    operating_hours: OperatingHours | None = None

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class LevelChange:
    """What of a level changes; None stays as it is. Raises WrongParameters."""

    name: str | None = None
    level: str | None = None
    area: float | None = None
    floor_plan: bytes | None = None

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoneChange:
    """What of a zone changes; None stays as it is, hours without a word on whose are its own. Raises WrongParameters."""

    name: str | None = None
    area: float | None = None
    floor_type: str | None = None
    status: str | None = None
    tags: Mapping[str, Json] | None = None
    units: Units | None = None
    beacon_id: str | None = None
    operating_hours: OperatingHours | None = None
    is_building_hours: bool | None = None

    def __post_init__(self) -> None:
        check_fields(self)


# --- rules ---


def check_fields(draft: Any) -> None:
    """Refuse a draft or change with a value that cannot be. Raises WrongParameters naming the field."""
    for name, (holds, rule) in _RULES.items():
        value = getattr(draft, name, None)
        if value is not None and not holds(value):
            raise WrongParameters(f"{name}: {rule}")


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
    return name if _LEVEL_WORD.fullmatch(name) else ""


def _is_name(value: str) -> bool:
    return _is_text(value) and 0 < len(value) <= NAME_MAX and value == value.strip()


def _is_text(value: str) -> bool:
    return len(value) <= TEXT_MAX and not _CONTROL.search(value)


def _is_time_zone(value: str) -> bool:
    try:
        return not value or time_zone_of(value) is not None
    except ValueError:
        return False


def _is_area(value: float) -> bool:
    return math.isfinite(value) and 0 <= value <= AREA_MAX


def _are_tags(value: Mapping[str, Json]) -> bool:
    """Small enough, and without the one character that PostgreSQL cannot keep."""
    try:
        packed = msgspec.json.encode(dict(value))
    except (TypeError, ValueError):
        return False
    return len(packed) <= TAGS_BYTES_MAX and b"\\u0000" not in packed


_TEXT = (_is_text, f"at most {TEXT_MAX} printable characters")
_RULES: Mapping[str, tuple[Any, str]] = {
    "name": (_is_name, f"1 to {NAME_MAX} printable characters without outer blanks"),
    "area": (_is_area, f"a number of 0 to {AREA_MAX:,.0f}"),
    "level": (lambda word: bool(_LEVEL_WORD.fullmatch(word)), "a word such as L2"),
    "levels_count": (lambda count: 0 <= count <= LEVELS_MAX, f"a whole number of 0 to {LEVELS_MAX}"),
    "time_zone": (_is_time_zone, "an IANA time zone such as Asia/Singapore"),
    "type_id": (_is_name, "1 to 200 printable characters"),
    "tags": (_are_tags, f"an object of at most {TAGS_BYTES_MAX:,} bytes of JSON"),
    "category": _TEXT,
    "floor_type": _TEXT,
    "beacon_id": _TEXT,
    "country": _TEXT,
    "country_locale": _TEXT,
    "plan_type": _TEXT,
    "email": (lambda text: not text or ("@" in text and _is_text(text) and " " not in text), "an e-mail address"),
}


# --- documents, as the wire and the database have them ---


def address_document(address: Address) -> dict[str, Json]:
    """The address in the fields of the wire."""
    return {
        "Street": address.street,
        "City": address.city,
        "State": address.state,
        "Country": address.country,
        "PostalCode": address.postal_code,
        "Coordinates": coordinates_document(address.coordinates),
    }


def coordinates_document(coordinates: Coordinates | None) -> dict[str, Json]:
    """The coordinates in the fields of the wire; {} where there are none."""
    if coordinates is None:
        return {}
    return {"Latitude": coordinates.latitude, "Longitude": coordinates.longitude}


def read_address(document: object) -> Address:
    """The address a document states; what it leaves out is empty. Raises WrongParameters."""
    if not isinstance(document, Mapping):
        raise WrongParameters("Address is an object with Street, City, State, Country, PostalCode and Coordinates")
    texts = {}
    for key, name in (
        ("Street", "street"),
        ("City", "city"),
        ("State", "state"),
        ("Country", "country"),
        ("PostalCode", "postal_code"),
    ):
        value = document.get(key) or ""
        if not isinstance(value, str) or not _is_text(value):
            raise WrongParameters(f"Address.{key} is a text of at most {TEXT_MAX} printable characters")
        texts[name] = value
    return Address(**texts, coordinates=_read_coordinates(document.get("Coordinates")))


def _read_coordinates(document: object) -> Coordinates | None:
    if not document:
        return None
    if isinstance(document, Mapping):
        found = [document.get(key) for key in ("Latitude", "Longitude")]
        numbers = [x for x in found if isinstance(x, int | float) and not isinstance(x, bool)]
        if len(numbers) == 2:
            return Coordinates(*numbers)
    raise WrongParameters("Coordinates are an object with the numbers Latitude and Longitude")


def units_document(units: Units) -> dict[str, Json]:
    """The assets of a zone in the fields of the wire."""
    return {group: [{"Key": unit.key, "Count": unit.count} for unit in held] for group, held in units.items()}


def read_units(document: object) -> Units:
    """The assets a document states; a list of names, as older clients send, is one of each.

    Raises: WrongParameters.

    >>> read_units({"General": [{"Key": "Sink", "Count": 3}]}) == {"General": (UnitCount("Sink", 3),)}
    True
    >>> read_units(["Sink"])
    {'General': (UnitCount(key='Sink', count=1),)}
    """
    if isinstance(document, list):
        document = {"General": document}
    if not isinstance(document, Mapping) or not all(
        isinstance(group, str) and _is_name(group) and isinstance(held, list) for group, held in document.items()
    ):
        raise WrongParameters("Units is an object of lists, such as General")
    if sum(map(len, document.values())) > UNITS_MAX:
        raise WrongParameters(f"a zone has at most {UNITS_MAX} kinds of units")
    return {group: tuple(_read_unit(unit) for unit in held) for group, held in document.items()}


def _read_unit(document: object) -> UnitCount:
    if isinstance(document, str):
        document = {"Key": document, "Count": 1}
    if isinstance(document, Mapping):
        key, count = document.get("Key"), document.get("Count")
        if isinstance(key, str) and _is_name(key) and type(count) is int and 0 <= count <= 1_000_000:
            return UnitCount(key, count)
    raise WrongParameters('Units holds entries such as {"Key": "Sink", "Count": 3}')


def check_version(version: int, wanted: int | None) -> None:
    """Refuse to change what was changed meanwhile. Raises VersionMismatch."""
    if wanted is not None and wanted != version:
        raise VersionMismatch(f"it is at version {version}, not {wanted}")
