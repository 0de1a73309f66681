"""What happened to levels and zones, as events: the difference between two states of them.

Modules and site files make events with the same function, so that nobody can tell which of the two acted.
Source: docs/contract/event-bus.md §4, §6
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from matrixhub.model.devices import Json
from matrixhub.model.event import Event, platform_event
from matrixhub.model.ids import BuildingId, LevelId, PropertyId, ZoneId


@dataclass(frozen=True, kw_only=True, slots=True)
class LevelMark:
    """What events tell of a level."""

    id: LevelId
    building_id: BuildingId
    name: str
    level: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoneMark:
    """What events tell of a zone."""

    id: ZoneId
    building_id: BuildingId
    level_id: LevelId
    name: str
    category: str
    status: str


@dataclass(frozen=True, slots=True)
class PlaceMarks:
    """The levels and zones of a property at one moment."""

    levels: Mapping[LevelId, LevelMark] = field(default_factory=dict)
    zones: Mapping[ZoneId, ZoneMark] = field(default_factory=dict)


def marks_of(levels: Iterable[LevelMark] = (), zones: Iterable[ZoneMark] = ()) -> PlaceMarks:
    """The marks by id."""
    return PlaceMarks({level.id: level for level in levels}, {zone.id: zone for zone in zones})


def place_events(property_id: PropertyId, before: PlaceMarks, after: PlaceMarks, *, happened_at: int) -> list[Event]:
    """The events of what is different: levels first, then zones that went, came and changed.

    What moved to another building went there and then came here, since an event belongs to one building. No event
    tells that a level went; its zones tell.
    Units: happened_at is epoch seconds.
    """

    def event(name: str, place: LevelMark | ZoneMark, description: str, previous: str | None = None) -> Event:
        meta = level_meta(place) if isinstance(place, LevelMark) else zone_meta(place)
        if previous is not None:
            meta["Previous"] = previous
        return platform_event(
            name, property_id, place.building_id, happened_at=happened_at, description=description, meta=meta
        )

    def told() -> Iterator[Event]:
        for level in after.levels.values():
            old = before.levels.get(level.id)
            if old is None or old.building_id != level.building_id:
                yield event("LEVEL_CREATED", level, f"Level {level.name} was added")
            elif old.name != level.name:
                yield event("LEVEL_NAME_MODIFIED", level, f"Level {old.name} is now {level.name}", old.name)
        for gone in before.zones.values():
            now = after.zones.get(gone.id)
            if now is None or now.building_id != gone.building_id:
                yield event("ZONE_REMOVED", gone, f"Zone {gone.name} was removed")
        for zone in after.zones.values():
            was = before.zones.get(zone.id)
            if was is None or was.building_id != zone.building_id:
                yield event("ZONE_CREATED", zone, f"Zone {zone.name} was added")
                continue
            if was.name != zone.name:
                yield event("ZONE_NAME_MODIFIED", zone, f"Zone {was.name} is now {zone.name}", was.name)
            if was.status != zone.status:
                text = f"Zone {zone.name} is {zone.status}, it was {was.status}"
                yield event("ZONE_STATUS_MODIFIED", zone, text, was.status)

    return list(told())


def zone_meta(zone: ZoneMark) -> dict[str, Json]:
    """The `Meta` of a zone's events."""
    return {
        "InsID": zone.id,
        "LID": zone.level_id,
        "PID": zone.building_id,
        "Name": zone.name,
        "ZoneCategoryID": zone.category,
        "Status": zone.status,
    }


def level_meta(level: LevelMark) -> dict[str, Json]:
    """The `Meta` of a level's events."""
    return {"LID": level.id, "PID": level.building_id, "Name": level.name, "Level": level.level}
