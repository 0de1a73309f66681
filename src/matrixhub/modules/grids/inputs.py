"""What Matrix Web Services ask of Grids: documents of the wire, read into what the acts take.

Raises: MissingParameters for a mandatory field that is missing or null, WrongParameters for one that cannot be.
Fields that no table has are passed over, as clients send more than is published.
Source: docs/contract/grids.md §2
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matrixhub.model.address import read_address
from matrixhub.model.errors import LimitViolated, MissingParameters, WrongParameters
from matrixhub.model.floor_plan import IMAGE_BYTES_MAX, PlanPosition
from matrixhub.model.hours import read_hours
from matrixhub.model.ids import BuildingId, LevelId, is_id
from matrixhub.model.place import PropertyType, ZoneCategory, ZoneUnit
from matrixhub.model.place_draft import (
    BuildingChange,
    BuildingDraft,
    LevelChange,
    LevelDraft,
    PropertyChange,
    PropertyDraft,
    ZoneChange,
    ZoneDraft,
)
from matrixhub.model.text import NAME_MAX
from matrixhub.model.units import read_units

Document = Mapping[str, Any]
KEY_MAX = 400
NUMBER_MAX = 1e15


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of the wire: which attribute it becomes, and how its value is read."""

    key: str
    attribute: str
    read: Callable[[str, Any], Any]
    required: bool = False


def property_draft(document: Document) -> PropertyDraft:
    """createProperty and createPropertyV2."""
    return PropertyDraft(**_read(_PROPERTY, document))


def property_change(document: Document) -> PropertyChange:
    """updateProperty."""
    return PropertyChange(**_read(_PROPERTY_CHANGE, document))


def property_type(document: Document) -> PropertyType:
    """createPropertyType."""
    return PropertyType(**_read(_PROPERTY_TYPE, document))


def building_draft(document: Document) -> BuildingDraft:
    """createBuilding."""
    return BuildingDraft(**_read(_BUILDING, document))


def building_change(document: Document) -> BuildingChange:
    """updateBuilding."""
    return BuildingChange(**_read(_BUILDING_CHANGE, document))


def level_draft(document: Document) -> LevelDraft:
    """createLevel."""
    return LevelDraft(**_read(_LEVEL, document))


def level_change(document: Document) -> LevelChange:
    """updateLevel; `LID` is read by `level_id`."""
    return LevelChange(**_read(_LEVEL_CHANGE, document))


def zone_drafts(document: Document) -> list[ZoneDraft]:
    """createZone."""
    zones = document.get("Zone")
    if not zones:
        raise MissingParameters("Zone is missing")
    if not isinstance(zones, list) or not all(isinstance(zone, Mapping) for zone in zones):
        raise WrongParameters("Zone is a list of objects")
    return [ZoneDraft(**_read(_ZONE, zone)) for zone in zones]


def zone_change(document: Document) -> ZoneChange:
    """updateZone; `InsID` is read by `required_id`."""
    return ZoneChange(**_read(_ZONE_CHANGE, document))


def zone_category(document: Document, building_id: BuildingId | None = None) -> ZoneCategory:
    """createZoneCategory and createZoneCategoryForBuilding."""
    return ZoneCategory(**_read(_ZONE_CATEGORY, document), building_id=building_id)


def zone_unit(document: Document, building_id: BuildingId | None = None) -> ZoneUnit:
    """createZoneUnit, also named createZoneAsset, and createZoneUnitForBuilding."""
    return ZoneUnit(**{"image_url": "", **_read(_ZONE_UNIT, document)}, building_id=building_id)


def plan_positions(document: Document) -> list[PlanPosition]:
    """Where zones and slots are on a floor plan: `{"Positions": [{"Kind", "ID", "X", "Y"}]}`."""
    entries = document.get("Positions")
    if entries is None:
        raise MissingParameters("Positions is missing")
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise WrongParameters("Positions is a list of objects")
    return [PlanPosition(**_read(_POSITION, entry)) for entry in entries]


def level_id(document: Document) -> LevelId:
    """The level that is meant: `LID`, which deleteLevel spells `lid`."""
    return LevelId(required_id({"LID": document.get("LID", document.get("lid"))}, "LID"))


def required_id(document: Document, key: str) -> str:
    """The id that a field names."""
    found = _read((_Field(key, "id", _id, required=True),), document)["id"]
    return str(found)


def required_ids(document: Document, key: str) -> list[str]:
    """The ids that a field names."""
    entries = document.get(key)
    if entries is None:
        raise MissingParameters(f"{key} is missing")
    return _ids(key, entries)


def category_ids(document: Document) -> list[str]:
    """`ZoneCategoryIDs` of listZonesByLevel; without it all are meant."""
    return _ids("ZoneCategoryIDs", document.get("ZoneCategoryIDs") or [])


def start_key(document: Document) -> str:
    """The id behind which a page begins: `ESK` or `ExclusiveStartKey`, '' for the first page."""
    return read_page_key(document.get("ESK") or document.get("ExclusiveStartKey") or "")


def read_page_key(key: object) -> str:
    """The id that a key of a page stands for, '' for none; `records.page_key` makes them.

    It is a text; an object with it as `ATTR`, as older clients have it, is taken too. Raises WrongParameters.
    """
    if isinstance(key, Mapping):
        key = key.get("ATTR") or ""
    if not isinstance(key, str) or len(key) > KEY_MAX:
        raise WrongParameters("the key of a page is that of the page before")
    try:
        found = base64.b64decode(key + "=" * (-len(key) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise WrongParameters("the key of a page is that of the page before") from error
    if found and not is_id(found):
        raise WrongParameters("the key of a page is that of the page before")
    return found


def whole_number(key: str, value: object) -> int:
    """The whole number of a field, also where it is a text."""
    return _whole(key, value)


def _read(fields: Sequence[_Field], document: Document) -> dict[str, Any]:
    """The attributes that a document gives; null is the same as nothing."""
    missing = [field.key for field in fields if field.required and document.get(field.key) is None]
    if missing:
        raise MissingParameters(f"{', '.join(missing)} is missing")
    return {
        field.attribute: field.read(field.key, document[field.key])
        for field in fields
        if document.get(field.key) is not None
    }


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise WrongParameters(f"{key} is a text")
    return value.strip()


def _id(key: str, value: Any) -> str:
    if not isinstance(value, str) or not is_id(value):
        raise WrongParameters(f"{key} is an id")
    return value


def _name(key: str, value: Any) -> str:
    text = _text(key, value)
    if not 0 < len(text) <= NAME_MAX:
        raise WrongParameters(f"{key} has 1 to {NAME_MAX} characters")
    return text


def _ids(key: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(entry, str) and is_id(entry) for entry in value):
        raise WrongParameters(f"{key} is a list of ids")
    return value


def _number(key: str, value: Any) -> float:
    value = _from_text(value, float)
    # Not `isfinite`: a document may hold whole numbers that are too large for a float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= NUMBER_MAX:
        raise WrongParameters(f"{key} is a number of at most {NUMBER_MAX:.0e}")
    return float(value)


def _whole(key: str, value: Any) -> int:
    number = _number(key, value)
    if number != int(number):
        raise WrongParameters(f"{key} is a whole number")
    return int(number)


def _from_text(value: Any, read: Callable[[str], Any]) -> Any:
    """The value that a text holds, as clients and forms send some; any other value as it is."""
    try:
        return read(value) if isinstance(value, str) else value
    except (ValueError, KeyError):
        return value


def _flag(key: str, value: Any) -> bool:
    value = _from_text(value, {"true": True, "false": False}.__getitem__)
    if value not in (True, False, 0, 1):
        raise WrongParameters(f"{key} is true or false")
    return bool(value)


def _object(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise WrongParameters(f"{key} is an object")
    return value


def _email(_key: str, value: Any) -> str:
    """`{"Default": address}`."""
    return _text("Email.Default", _object("Email", value).get("Default") or "")


def _kind(key: str, value: Any) -> str:
    if value not in ("zone", "slot"):
        raise WrongParameters(f"{key} is zone or slot")
    return str(value)


def _image(key: str, value: Any) -> bytes | None:
    """An image in base64, also as a data URL; an empty text is none."""
    text = _text(key, value)
    text = text.partition(",")[2] if text.startswith("data:") else text
    if len(text) > IMAGE_BYTES_MAX * 4 // 3 + 4:
        raise LimitViolated(f"{key} has at most {IMAGE_BYTES_MAX:,} bytes")
    try:
        return base64.b64decode(text, validate=True) or None
    except binascii.Error as error:
        raise WrongParameters(f"{key} is an image in base64") from error


def _hours(_key: str, value: Any) -> Any:
    return read_hours(value)


def _address(_key: str, value: Any) -> Any:
    return read_address(value)


def _units(_key: str, value: Any) -> Any:
    return read_units(value)


_PROPERTY = (
    _Field("Name", "name", _text, required=True),
    _Field("TypeID", "type_id", _text, required=True),
    _Field("Address", "address", _address, required=True),
    _Field("TimeZone", "time_zone", _text, required=True),
    _Field("Country", "country", _text, required=True),
    _Field("CountryLocale", "country_locale", _text, required=True),
    _Field("PlanType", "plan_type", _text),
)
_PROPERTY_CHANGE = (_Field("Name", "name", _text), _Field("Status", "status", _text))
_PROPERTY_TYPE = (_Field("TypeID", "id", _id, required=True), _Field("Name", "name", _name, required=True))
_BUILDING = (
    _Field("Name", "name", _text, required=True),
    _Field("OperatingHours", "operating_hours", _hours, required=True),
    _Field("LevelsCount", "levels_count", _whole, required=True),
    _Field("Country", "country", _text, required=True),
    _Field("CountryLocale", "country_locale", _text, required=True),
    _Field("TimeZone", "time_zone", _text),
    _Field("Address", "address", _address),
    _Field("Email", "email", _email),
    _Field("IsBeaconEnabled", "is_beacon_enabled", _flag),
    _Field("IsPropertyAddress", "is_property_address", _flag),
    _Field("Area", "area", _number),
)
_BUILDING_CHANGE = (
    _Field("Name", "name", _text),
    _Field("Status", "status", _text),
    _Field("OperatingHours", "operating_hours", _hours),
)
_LEVEL_CHANGE = (
    _Field("Name", "name", _text),
    _Field("Level", "level", _text),
    _Field("Area", "area", _number),
    _Field("FloorPlan", "floor_plan", _image),
)
_LEVEL = (
    _Field("Name", "name", _text, required=True),
    _Field("Level", "level", _text, required=True),
    *_LEVEL_CHANGE[2:],
)
_ZONE_CHANGE = (
    _Field("Name", "name", _text),
    _Field("Area", "area", _number),
    _Field("FloorType", "floor_type", _text),
    _Field("Status", "status", _text),
    _Field("Tags", "tags", _object),
    _Field("Units", "units", _units),
    _Field("BeaconID", "beacon_id", _text),
    _Field("OperatingHours", "operating_hours", _hours),
    _Field("IsBuildingOperatingHours", "is_building_hours", _flag),
)
_ZONE = (
    _Field("LID", "level_id", _id, required=True),
    _Field("Name", "name", _text, required=True),
    _Field("ZoneCategoryID", "category", _text),
    *_ZONE_CHANGE[1:],
)
_ZONE_CATEGORY = (
    _Field("CategoryID", "id", _id, required=True),
    _Field("Name", "name", _name, required=True),
    _Field("PropertyTypeID", "property_type_id", _id, required=True),
)
_ZONE_UNIT = (
    _Field("UnitID", "id", _id, required=True),
    _Field("Name", "name", _name, required=True),
    _Field("ImageURL", "image_url", _text),
    _Field("ZoneCategoryID", "category_id", _id, required=True),
)
_POSITION = (
    _Field("Kind", "kind", _kind, required=True),
    _Field("ID", "id", _id, required=True),
    _Field("X", "x", _number, required=True),
    _Field("Y", "y", _number, required=True),
)
