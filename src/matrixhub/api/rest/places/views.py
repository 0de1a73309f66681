"""Places as the documents that are given out, and the documents that are taken as what the acts take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matrixhub.api.rest import place_documents as doc
from matrixhub.model.address import Address, Coordinates
from matrixhub.model.audit import Audit
from matrixhub.model.hours import OperatingHours, read_hours
from matrixhub.model.media import Media, media_uri
from matrixhub.model.place import Building, Kept, Level, PlaceMetrics, Property, Zone, ZoneCategory, ZoneUnit
from matrixhub.model.units import Units, read_units


def property_view(found: Property) -> doc.PropertyView:
    """A property."""
    return doc.PropertyView(
        id=found.id,
        organisation=found.organisation_id,
        name=found.name,
        type=found.type_id,
        address=_address_view(found.address),
        status=found.status,
        time_zone=found.time_zone,
        country=found.country,
        country_locale=found.country_locale,
        plan=found.plan_type,
        **_kept(found),
    )


def building_view(found: Building) -> doc.BuildingView:
    """A building."""
    return doc.BuildingView(
        id=found.id,
        property=found.property_id,
        name=found.name,
        status=found.status,
        time_zone=found.time_zone,
        operating_hours=_hours_view(found.operating_hours),
        address=_address_view(found.address),
        is_property_address=found.is_property_address,
        email=found.email,
        levels_count=found.levels_count,
        is_beacon_enabled=found.is_beacon_enabled,
        area=found.area,
        country=found.country,
        country_locale=found.country_locale,
        **_kept(found),
    )


def level_view(found: Level) -> doc.LevelView:
    """A level."""
    return doc.LevelView(
        id=found.id,
        building=found.building_id,
        name=found.name,
        level=found.level,
        area=found.area,
        has_floor_plan=found.has_floor_plan,
        **_kept(found),
    )


def zone_view(found: Zone) -> doc.ZoneView:
    """A zone."""
    return doc.ZoneView(
        id=found.id,
        building=found.building_id,
        level=found.level_id,
        name=found.name,
        category=found.category,
        area=found.area,
        floor_type=found.floor_type,
        tags=dict(found.tags),
        units={
            group: [doc.UnitCount(key=unit.key, count=unit.count) for unit in held]
            for group, held in found.units.items()
        },
        status=found.status,
        beacon=found.beacon_id,
        operating_hours=_hours_view(found.operating_hours),
        is_building_hours=found.is_building_hours,
        **_kept(found),
    )


def metrics_view(found: PlaceMetrics) -> doc.MetricsView:
    """How much there is."""
    return doc.MetricsView(buildings=found.buildings, levels=found.levels, zones=found.zones, area=found.area)


def category_view(found: ZoneCategory) -> doc.ZoneCategoryView:
    """A zone category."""
    return doc.ZoneCategoryView(
        id=found.id, name=found.name, property_type=found.property_type_id, building=found.building_id
    )


def unit_view(found: ZoneUnit) -> doc.ZoneUnitView:
    """A zone unit."""
    return doc.ZoneUnitView(
        id=found.id,
        name=found.name,
        image_url=found.image_url,
        category=found.category_id,
        building=found.building_id,
    )


def audit_view(found: Audit) -> doc.AuditView:
    """An audit."""
    return doc.AuditView(
        id=found.id,
        building=found.building_id,
        zone=found.zone_id,
        zone_name=found.zone_name,
        name=found.name,
        by=found.by,
        status=found.status,
        started_at=found.started_at,
        ended_at=found.ended_at,
        score=found.score,
        comment=found.comment,
    )


def media_view(found: Media) -> doc.MediaView:
    """A picture or video."""
    return doc.MediaView(
        id=found.id,
        uri=media_uri(found.id),
        kind=found.kind,
        entity=found.entity,
        media_type=found.media_type,
        size_bytes=found.size_bytes,
        has_thumbnail=found.has_thumbnail,
        created_by=found.created_by,
        created_at=found.created_at,
    )


def address_of(asked: doc.Address) -> Address:
    """The address that was given."""
    at = asked.coordinates
    return Address(
        street=asked.street,
        city=asked.city,
        state=asked.state,
        country=asked.country,
        postal_code=asked.postal_code,
        coordinates=Coordinates(at.latitude, at.longitude) if at is not None else None,
    )


def hours_of(asked: Mapping[str, Sequence[doc.Opening]]) -> OperatingHours:
    """The hours that were given. Raises WrongParameters for openings that overlap, or end before they start."""
    return read_hours({day: [{"Start": o.start, "End": o.end} for o in openings] for day, openings in asked.items()})


def units_of(asked: Mapping[str, Sequence[doc.UnitCount]]) -> Units:
    """The assets that were given. Raises WrongParameters."""
    return read_units({group: [{"Key": u.key, "Count": u.count} for u in held] for group, held in asked.items()})


def _address_view(found: Address) -> doc.Address:
    at = found.coordinates
    return doc.Address(
        street=found.street,
        city=found.city,
        state=found.state,
        country=found.country,
        postal_code=found.postal_code,
        coordinates=doc.Coordinates(latitude=at.latitude, longitude=at.longitude) if at is not None else None,
    )


def _hours_view(found: OperatingHours) -> dict[str, list[doc.Opening]]:
    return {day: [doc.Opening(start=o.start, end=o.end) for o in openings] for day, openings in found.items()}


def _kept(found: Kept) -> dict[str, Any]:
    return {
        "created_by": found.created_by,
        "created_at": found.created_at,
        "updated_by": found.updated_by,
        "updated_at": found.updated_at,
        "version": found.version,
    }
