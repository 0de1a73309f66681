"""What the REST face takes and gives about places: properties, buildings, levels, zones, their lists, audits, media."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from matrixhub.api.rest.documents import Given, Instant, Next, Taken
from matrixhub.model.audit import COMMENT_MAX, SCORE_MAX, AuditStatus
from matrixhub.model.floor_plan import POSITIONS_MAX
from matrixhub.model.media import MEDIA_BYTES_MAX, MediaEntity, MediaKind, MediaType
from matrixhub.model.place import LEVELS_MAX, ZONES_MAX
from matrixhub.model.place_draft import AREA_MAX
from matrixhub.model.text import NAME_MAX, TEXT_MAX

PlaceId = Annotated[str, Meta(min_length=1, max_length=128, description="An id.")]
PlaceName = Annotated[str, Meta(min_length=1, max_length=NAME_MAX, description="A name, without outer blanks.")]
PlaceText = Annotated[str, Meta(max_length=TEXT_MAX)]
Area = Annotated[float, Meta(ge=0, le=AREA_MAX, description="The area, in whatever unit the property uses.")]
TimeZone = Annotated[str, Meta(max_length=64, description="An IANA time zone, such as `Asia/Singapore`.")]
Word = Annotated[str, Meta(pattern=r"^L-?[0-9]{1,3}$", description="The number of a level, such as `L2`.")]
Tags = Annotated[dict[str, Any], Meta(description="Anything else, at most 4,096 bytes of JSON.")]
Version = Annotated[int, Meta(ge=1, description="How often it was changed; also its `ETag`.")]
Fraction = Annotated[float, Meta(ge=0, le=1, description="0 to 1, from the top left.")]
Score = Annotated[float, Meta(ge=0, le=SCORE_MAX)]

PropertyStatus = Literal["Active", "Inactive", "Pending"]
BuildingStatus = Literal["draft", "Active", "Inactive", "Pending"]
ZoneStatus = Literal["Active", "Inactive", "PENDING"]
Day = Annotated[str, Meta(pattern=r"^[0-6]$")]


class Opening(Taken, frozen=True, kw_only=True):
    """A stretch of a day in local time; it ends after it starts."""

    start: Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3])[0-5][0-9]$", description="`HHMM`.")]
    end: Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3])[0-5][0-9]$", description="`HHMM`.")]


Hours = Annotated[
    dict[Day, list[Opening]],
    Meta(description="By day, `0` is Sunday; [] is closed, a day that is left out is not stated."),
]


class UnitCount(Taken, frozen=True, kw_only=True):
    """How many of an asset a zone has."""

    key: PlaceName
    count: Annotated[int, Meta(ge=0, le=1_000_000)]


Units = Annotated[dict[str, list[UnitCount]], Meta(description="Assets by group, such as `General`.")]


class Coordinates(Taken, frozen=True, kw_only=True):
    """A place on earth, in degrees."""

    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]


class Address(Taken, frozen=True, kw_only=True):
    """A postal address, and where it is."""

    street: PlaceText = ""
    city: PlaceText = ""
    state: PlaceText = ""
    country: PlaceText = ""
    postal_code: PlaceText = ""
    coordinates: Coordinates | None = None


class KeptView(Given, frozen=True, kw_only=True):
    """Who made and changed a thing, and when."""

    created_by: str
    created_at: Instant
    updated_by: str
    updated_at: Instant
    version: Version


class MetricsView(Given, frozen=True, kw_only=True):
    """How much there is in a property or building; the area is that of its zones."""

    buildings: int
    levels: int
    zones: int
    area: float


# --- properties ---


class PropertyView(KeptView, frozen=True, kw_only=True):
    """A property."""

    id: str
    organisation: str
    name: str
    type: str
    address: Address
    status: str
    time_zone: str
    country: str
    country_locale: str
    plan: str


class PropertyList(Given, frozen=True, kw_only=True):
    """The properties that a key is for, by name."""

    items: list[PropertyView]


class NewProperty(Taken, frozen=True, kw_only=True):
    """A property of the same organisation."""

    name: PlaceName
    type: PlaceName
    time_zone: TimeZone
    country: PlaceText
    country_locale: PlaceText
    address: Address = Address()
    plan: PlaceText = ""


class PropertyChange(Taken, frozen=True, kw_only=True):
    """A change; what is left out or null stays."""

    name: PlaceName | None = None
    status: PropertyStatus | None = None


class PropertyTypeView(Given, frozen=True, kw_only=True):
    """A property type of the organisation."""

    id: str
    name: str


class PropertyTypeList(Given, frozen=True, kw_only=True):
    """The property types of the organisation, by name."""

    items: list[PropertyTypeView]


class NewPropertyType(Taken, frozen=True, kw_only=True):
    """A property type for the list of the organisation."""

    id: PlaceId
    name: PlaceName


# --- buildings ---


class BuildingView(KeptView, frozen=True, kw_only=True):
    """A building. `address` is that in force: its own, or that of the property."""

    id: str
    property: str
    name: str
    status: str
    time_zone: str
    operating_hours: dict[str, list[Opening]]
    address: Address
    is_property_address: bool
    email: str
    levels_count: int
    is_beacon_enabled: bool
    area: float
    country: str
    country_locale: str


class BuildingList(Given, frozen=True, kw_only=True):
    """The buildings of the property, by name."""

    items: list[BuildingView]


class NewBuilding(Taken, frozen=True, kw_only=True):
    """A building; without a time zone it has that of the property."""

    name: PlaceName
    country: PlaceText
    country_locale: PlaceText
    operating_hours: Hours = msgspec.field(default_factory=dict)
    levels_count: Annotated[int, Meta(ge=0, le=LEVELS_MAX)] = 0
    time_zone: TimeZone = ""
    address: Address = Address()
    is_property_address: bool = False
    email: PlaceText = ""
    is_beacon_enabled: bool = False
    area: Area = 0.0


class BuildingChange(Taken, frozen=True, kw_only=True):
    """A change; what is left out or null stays."""

    name: PlaceName | None = None
    status: BuildingStatus | None = None
    operating_hours: Hours | None = None


# --- levels ---


class LevelView(KeptView, frozen=True, kw_only=True):
    """A level of a building; `level` is its word, such as `L2`, or ''."""

    id: str
    building: str
    name: str
    level: str
    area: float
    has_floor_plan: bool


class LevelList(Given, frozen=True, kw_only=True):
    """The levels of a building, from the lowest up."""

    items: list[LevelView]


class NewLevel(Taken, frozen=True, kw_only=True):
    """A level."""

    name: PlaceName
    level: Word
    area: Area = 0.0


class LevelChange(Taken, frozen=True, kw_only=True):
    """A change; what is left out or null stays."""

    name: PlaceName | None = None
    level: Word | None = None
    area: Area | None = None


class PlanPosition(Taken, frozen=True, kw_only=True):
    """Where a zone or slot is on a floor plan."""

    kind: Literal["zone", "slot"]
    id: PlaceId
    x: Fraction
    y: Fraction


class PlanPositions(Taken, frozen=True, kw_only=True):
    """All that is on a floor plan, zones first."""

    items: Annotated[list[PlanPosition], Meta(max_length=POSITIONS_MAX)]


# --- zones ---


class ZoneView(KeptView, frozen=True, kw_only=True):
    """A zone. `operating_hours` are those in force: its own, or those of the building."""

    id: str
    building: str
    level: str
    name: str
    category: str
    area: float
    floor_type: str
    tags: Tags
    units: dict[str, list[UnitCount]]
    status: str
    beacon: str
    operating_hours: dict[str, list[Opening]]
    is_building_hours: bool


class ZonePage(Given, frozen=True, kw_only=True):
    """Zones in the order of their ids."""

    items: list[ZoneView]
    next: Next


class NewZone(Taken, frozen=True, kw_only=True):
    """A zone on a level; without hours it has those of the building."""

    level: PlaceId
    name: PlaceName
    category: PlaceText = ""
    area: Area = 0.0
    floor_type: PlaceText = ""
    tags: Tags = msgspec.field(default_factory=dict)
    units: Units = msgspec.field(default_factory=dict)
    status: ZoneStatus = "Active"
    beacon: PlaceText = ""
    operating_hours: Hours | None = None
    is_building_hours: bool | None = None


class NewZones(Taken, frozen=True, kw_only=True):
    """Zones that are made together, all or none."""

    items: Annotated[list[NewZone], Meta(min_length=1, max_length=ZONES_MAX)]


class ZoneList(Given, frozen=True, kw_only=True):
    """The zones that were made."""

    items: list[ZoneView]


class ZoneChange(Taken, frozen=True, kw_only=True):
    """A change; what is left out or null stays."""

    name: PlaceName | None = None
    area: Area | None = None
    floor_type: PlaceText | None = None
    tags: Tags | None = None
    units: Units | None = None
    status: ZoneStatus | None = None
    beacon: PlaceText | None = None
    operating_hours: Hours | None = None
    is_building_hours: bool | None = None


# --- lists that zones are described by ---


class ZoneCategoryView(Given, frozen=True, kw_only=True):
    """A zone category; `building` where it is of one building."""

    id: str
    name: str
    property_type: str
    building: str | None


class ZoneCategoryList(Given, frozen=True, kw_only=True):
    """Zone categories, by name."""

    items: list[ZoneCategoryView]


class NewZoneCategory(Taken, frozen=True, kw_only=True):
    """A zone category for the list of the organisation, or of a building."""

    id: PlaceId
    name: PlaceName
    property_type: PlaceId
    building: PlaceId | None = None


class ZoneUnitView(Given, frozen=True, kw_only=True):
    """An asset that zones of a category may have; `building` where it is of one building."""

    id: str
    name: str
    image_url: str
    category: str
    building: str | None


class ZoneUnitList(Given, frozen=True, kw_only=True):
    """Zone units, by name."""

    items: list[ZoneUnitView]


class NewZoneUnit(Taken, frozen=True, kw_only=True):
    """A zone unit for the list of the organisation, or of a building."""

    id: PlaceId
    name: PlaceName
    category: PlaceId
    image_url: PlaceText = ""
    building: PlaceId | None = None


# --- audits ---


class AuditView(Given, frozen=True, kw_only=True):
    """An inspection of a zone; `score` once it is completed."""

    id: str
    building: str
    zone: str
    zone_name: str
    name: str
    by: str
    status: AuditStatus
    started_at: Instant
    ended_at: Instant | None
    score: Score | None
    comment: str


class AuditPage(Given, frozen=True, kw_only=True):
    """Audits, the latest first."""

    items: list[AuditView]
    next: Next


class NewAudit(Taken, frozen=True, kw_only=True):
    """An audit that begins now."""

    zone: PlaceId
    name: PlaceName
    by: PlaceName


class AuditResult(Taken, frozen=True, kw_only=True):
    """What came of an audit."""

    score: Score
    comment: Annotated[str, Meta(max_length=COMMENT_MAX)] = ""


# --- media ---


class MediaView(Given, frozen=True, kw_only=True):
    """A picture or video; `uri` is what incidents and audits name it by."""

    id: str
    uri: str
    kind: MediaKind
    entity: MediaEntity
    media_type: MediaType
    size_bytes: Annotated[int, Meta(ge=1, le=MEDIA_BYTES_MAX)]
    has_thumbnail: bool
    created_by: str
    created_at: Instant


class MediaPage(Given, frozen=True, kw_only=True):
    """Pictures and videos, oldest first."""

    items: list[MediaView]
    next: Next
