"""When and where the seats of a property are available."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from matrixhub.model.availability import Availability, TimeSlot, available_seats
from matrixhub.model.errors import NotFound
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, ZoneId
from matrixhub.store.sql import load_statements

_SQL = load_statements("availability.sql")


async def save_availabilities(connection: Any, property_id: PropertyId, availabilities: Sequence[Availability]) -> None:
    """Keep when a seat, locked before, is available on days of the week, in the place of what was kept of them."""
    await connection.executemany(
        _SQL["save"], [(property_id, a.seat_id, a.day_of_week, a.slots) for a in availabilities]
    )


async def delete_availabilities(connection: Any, property_id: PropertyId, seat_id: SeatId) -> None:
    """Forget when a seat is available."""
    await connection.execute(_SQL["delete"], property_id, seat_id)


async def list_availabilities(
    connection: Any, property_id: PropertyId, *, seat_id: SeatId | None = None, day_of_week: int | None = None
) -> Sequence[Availability]:
    """When the active seats of the property are available, by seat and day: of all or of one, on all days or on one."""
    rows = await connection.fetch(_SQL["list"], property_id, seat_id, day_of_week)
    return [_availability(row) for row in rows]


async def save_seat_zones(
    connection: Any, property_id: PropertyId, seat_id: SeatId, zone_ids: Sequence[ZoneId]
) -> None:
    """Let a seat, locked before, work in these zones only, or everywhere where there are none. Raises NotFound."""
    await connection.execute(_SQL["confine"], property_id, seat_id, bool(zone_ids))
    await connection.execute(_SQL["clear_zones"], property_id, seat_id)
    added = await connection.fetch(_SQL["add_zones"], property_id, seat_id, list(zone_ids))
    missing = set(zone_ids) - {row["zone_id"] for row in added}
    if missing:
        raise NotFound(f"property {property_id} has no zone {min(missing)}")


async def read_seat_zones(
    connection: Any, property_id: PropertyId, seat_id: SeatId
) -> Mapping[BuildingId, Mapping[ZoneId, str]]:
    """Where a seat works: building → zone → its name; empty: everywhere."""
    found: dict[BuildingId, dict[ZoneId, str]] = {}
    for row in await connection.fetch(_SQL["zones"], property_id, seat_id):
        found.setdefault(BuildingId(row["building_id"]), {})[ZoneId(row["id"])] = row["name"]
    return found


async def seats_available(
    connection: Any, property_id: PropertyId, building_id: BuildingId, zone_id: ZoneId, at: datetime
) -> list[SeatId]:
    """The active seats that work in a zone and are available at an instant, by the clocks of its building; in id order.

    Raises: NotFound if the property has no such building
    """
    return sorted(await zones_available(connection, property_id, building_id, [zone_id], at))


async def zones_available(
    connection: Any, property_id: PropertyId, building_id: BuildingId, zone_ids: Collection[ZoneId], at: datetime
) -> Mapping[SeatId, frozenset[ZoneId]]:
    """The seats of `seats_available` for some of the zones, each with those it is for; none are all of them.

    Raises: NotFound if the property has no such building
    """
    time_zone = await _time_zone(connection, property_id, building_id)
    rows = await connection.fetch(_SQL["of_zones"], property_id, list(zone_ids))
    zones = {SeatId(row["seat_id"]): frozenset(map(ZoneId, row["zones"])) for row in rows}
    return {seat: zones[seat] for seat in available_seats([_availability(row) for row in rows], at, time_zone)}


async def _time_zone(connection: Any, property_id: PropertyId, building_id: BuildingId) -> ZoneInfo:
    found = await connection.fetchval(_SQL["time_zone"], property_id, building_id)
    if found is None:
        raise NotFound(f"property {property_id} has no building {building_id}")
    return ZoneInfo(found)


def _availability(row: Any) -> Availability:
    return Availability(
        seat_id=SeatId(row["seat_id"]),
        day_of_week=row["day_of_week"],
        slots=msgspec.convert(row["slots"], tuple[TimeSlot, ...]),
    )
