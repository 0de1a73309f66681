"""Acts on availability. Source: docs/contract/workforce.md §4.1"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from matrixhub.model.availability import Availability, TimeSlot, checked_days, checked_slots
from matrixhub.model.errors import Conflict, MissingParameters, NotFound
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, ZoneId
from matrixhub.modules.work import Platform
from matrixhub.store import availability as store
from matrixhub.store.seats import lock_seat, require_seat

NO_BUILDINGS: Mapping[ZoneId, BuildingId] = {}


async def create_availability(
    platform: Platform,
    property_id: PropertyId,
    seat_id: SeatId,
    days: Sequence[int],
    slots: Sequence[TimeSlot],
    *,
    actor: str,
) -> Sequence[Availability]:
    """When a seat is available on days of the week that it was not available on; all its days.

    Raises: NotFound, MissingParameters, WrongParameters, LimitViolated, Conflict for a day that has slots, StoreError
    """
    wanted = checked_days(days)
    made = [Availability(seat_id=seat_id, day_of_week=day, slots=checked_slots(slots)) for day in wanted]
    async with platform.work(property_id, actor) as work:
        await lock_seat(work.connection, property_id, seat_id)
        before = await store.list_availabilities(work.connection, property_id, seat_id=seat_id)
        taken = {a.day_of_week for a in before} & set(wanted)
        if taken:
            raise Conflict(f"seat {seat_id} has slots on day {min(taken)} already")
        await store.save_availabilities(work.connection, property_id, made)
        return await store.list_availabilities(work.connection, property_id, seat_id=seat_id)


async def update_availability(
    platform: Platform,
    property_id: PropertyId,
    seat_id: SeatId,
    days: Mapping[int, Sequence[TimeSlot]],
    *,
    actor: str,
) -> Sequence[Availability]:
    """When a seat is available: on these days as given, on all others as before; all its days.

    Raises: NotFound, MissingParameters, WrongParameters, LimitViolated, StoreError
    """
    checked = [
        Availability(seat_id=seat_id, day_of_week=day, slots=checked_slots(days[day])) for day in checked_days(days)
    ]
    async with platform.work(property_id, actor) as work:
        await lock_seat(work.connection, property_id, seat_id)
        await store.save_availabilities(work.connection, property_id, checked)
        return await store.list_availabilities(work.connection, property_id, seat_id=seat_id)


async def delete_availability(platform: Platform, property_id: PropertyId, seat_id: SeatId, *, actor: str) -> None:
    """Let a seat be available at no time. Raises NotFound, StoreError."""
    async with platform.work(property_id, actor) as work:
        await lock_seat(work.connection, property_id, seat_id)
        await store.delete_availabilities(work.connection, property_id, seat_id)


async def list_availabilities(
    platform: Platform, property_id: PropertyId, *, seat_id: SeatId | None = None, day_of_week: int | None = None
) -> Sequence[Availability]:
    """When the active seats of the property are available: all or one, on all days or on one.

    Raises: NotFound, WrongParameters, StoreError
    """
    if day_of_week is not None:
        checked_days([day_of_week])
    async with platform.database.connection() as connection:
        if seat_id is not None:
            await require_seat(connection, property_id, seat_id)
        return await store.list_availabilities(connection, property_id, seat_id=seat_id, day_of_week=day_of_week)


async def set_availability_zones(
    platform: Platform,
    property_id: PropertyId,
    seat_id: SeatId,
    zone_ids: Collection[ZoneId],
    *,
    buildings: Mapping[ZoneId, BuildingId] = NO_BUILDINGS,
    actor: str,
) -> Mapping[BuildingId, Mapping[ZoneId, str]]:
    """Let a seat work in these zones only, of any building of the property. `buildings` says where they are to be.

    Raises: NotFound, also for a zone that is not where it is said to be, MissingParameters, StoreError
    """
    if not zone_ids:
        raise MissingParameters("say in which zones the seat works")
    async with platform.work(property_id, actor) as work:
        await lock_seat(work.connection, property_id, seat_id)
        await store.save_seat_zones(work.connection, property_id, seat_id, sorted(set(zone_ids)))
        found = await store.read_seat_zones(work.connection, property_id, seat_id)
        for zone_id, building_id in buildings.items():
            if zone_id not in found.get(building_id, {}):
                raise NotFound(f"building {building_id} has no zone {zone_id}")
        return found


async def read_availability_zones(
    platform: Platform, property_id: PropertyId, seat_id: SeatId
) -> Mapping[BuildingId, Mapping[ZoneId, str]]:
    """Where a seat works: building → zone → its name. Raises NotFound where it works everywhere, StoreError."""
    async with platform.database.connection() as connection:
        await require_seat(connection, property_id, seat_id)
        found = await store.read_seat_zones(connection, property_id, seat_id)
    if not found:
        raise NotFound(f"seat {seat_id} has no zones: it works everywhere")
    return found


async def delete_availability_zones(
    platform: Platform, property_id: PropertyId, seat_id: SeatId, *, actor: str
) -> None:
    """Let a seat work everywhere. Raises NotFound, StoreError."""
    async with platform.work(property_id, actor) as work:
        await lock_seat(work.connection, property_id, seat_id)
        await store.save_seat_zones(work.connection, property_id, seat_id, [])
