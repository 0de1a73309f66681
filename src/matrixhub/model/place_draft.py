"""What may be asked of places: those to be made, and what is to change. A draft that exists holds values that can be.

Source: docs/contract/grids.md §2
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from matrixhub.model.address import Address
from matrixhub.model.devices import Json
from matrixhub.model.errors import WrongParameters
from matrixhub.model.hours import OperatingHours
from matrixhub.model.ids import LevelId
from matrixhub.model.place import LEVELS_MAX, is_level_word
from matrixhub.model.text import NAME_MAX, TEXT_MAX, is_name, is_text
from matrixhub.model.time import zone as time_zone_of
from matrixhub.model.units import Units

AREA_MAX = 10_000_000.0
TAGS_BYTES_MAX = 4_096


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
    """What of a zone changes; None stays as it is. Hours without a word on whose are its own.

    Raises: WrongParameters.
    """

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


def check_fields(draft: Any) -> None:
    """Refuse a draft or change with a value that cannot be. Raises WrongParameters naming the field."""
    for name, (holds, rule) in _RULES.items():
        value = getattr(draft, name, None)
        if value is not None and not holds(value):
            raise WrongParameters(f"{name}: {rule}")


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


_TEXT = (is_text, f"at most {TEXT_MAX} printable characters")
_RULES: Mapping[str, tuple[Any, str]] = {
    "name": (is_name, f"1 to {NAME_MAX} printable characters without outer blanks"),
    "area": (_is_area, f"a number of 0 to {AREA_MAX:,.0f}"),
    "level": (is_level_word, "a word such as L2"),
    "levels_count": (lambda count: 0 <= count <= LEVELS_MAX, f"a whole number of 0 to {LEVELS_MAX}"),
    "time_zone": (_is_time_zone, "an IANA time zone such as Asia/Singapore"),
    "type_id": (is_name, "1 to 200 printable characters"),
    "tags": (_are_tags, f"an object of at most {TAGS_BYTES_MAX:,} bytes of JSON"),
    "category": _TEXT,
    "floor_type": _TEXT,
    "beacon_id": _TEXT,
    "country": _TEXT,
    "country_locale": _TEXT,
    "plan_type": _TEXT,
    "email": (lambda text: not text or ("@" in text and is_text(text) and " " not in text), "an e-mail address"),
}
