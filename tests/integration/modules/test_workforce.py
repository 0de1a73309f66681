"""Seats, availability, timesheets, definitions and settings on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.integration.modules.rig import World

from matrixhub.model.availability import TimeSlot
from matrixhub.model.errors import (
    Conflict,
    LimitViolated,
    MissingParameters,
    NotFound,
    QueryTooLong,
    WrongParameters,
    WrongState,
)
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, ShiftId, ZoneId
from matrixhub.model.seat import Seat, seat_record
from matrixhub.model.shift_definition import ShiftDefinition
from matrixhub.modules.workforce import availability, definitions, seats, settings, timesheets
from matrixhub.modules.workforce.attendance import end_shift, mark_absent, start_shift
from matrixhub.store.availability import seats_available, zones_available

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOUR = 3600
DAY_SLOT, NIGHT = TimeSlot(start_s=8 * HOUR, end_s=17 * HOUR, name="Day"), TimeSlot(start_s=22 * HOUR, end_s=6 * HOUR)
ANOTHER = PropertyId("another property")


# --- seats ---


async def test_seats_are_numbered_in_their_property(world: World) -> None:
    made = [await world.seat(name) for name in ("Ann", "Bob")]
    assert made == [f"{world.property_id}_001", f"{world.property_id}_002"]
    assert [seat.name for seat in await seats.list_seats(world.platform, world.property_id)] == ["Ann", "Bob"]
    record = seat_record(await seats.read_seat(world.platform, world.property_id, made[0]))
    assert (record["SeatId"], record["Name"], record["Status"]) == (made[0], "Ann", "Active")
    with pytest.raises(NotFound):
        await seats.read_seat(world.platform, ANOTHER, made[0])
    assert await seats.list_seats(world.platform, ANOTHER) == []


async def test_seats_that_are_made_at_once_have_different_numbers(world: World) -> None:
    made = await asyncio.gather(*(world.seat(f"n{n}") for n in range(5)))
    assert sorted(made) == [f"{world.property_id}_{n:03d}" for n in range(1, 6)]


async def test_a_seat_has_a_name_and_a_property_has_999_at_most(world: World) -> None:
    with pytest.raises(MissingParameters):
        await world.seat("  ")
    with pytest.raises(NotFound):
        await seats.create_seat(world.platform, ANOTHER, name="Ann", actor="ann")
    statement = "insert into seats (id, property_id, number, name) values ($1, $2, 999, 'last')"
    await world.rows(statement, f"{world.property_id}_999", world.property_id)
    with pytest.raises(LimitViolated):
        await world.seat()


async def test_two_changes_of_a_seat_at_once_both_have_their_way(world: World) -> None:
    seat = await world.seat()

    async def change(**fields: Any) -> Seat:
        return await seats.update_seat(world.platform, world.property_id, seat, actor="ann", **fields)

    await asyncio.gather(change(email="ann@example.test"), change(team="Night"), change(name="Ann L."))
    found = await seats.read_seat(world.platform, world.property_id, seat)
    assert (found.name, found.email, found.team, found.version) == ("Ann L.", "ann@example.test", "Night", 4)
    assert not (await seats.deactivate_seat(world.platform, world.property_id, seat, actor="ann")).active


# --- availability ---


async def test_availability_is_made_changed_and_taken_away_by_day(world: World) -> None:
    seat = await world.seat()

    async def create(days: list[int], *slots: TimeSlot) -> Any:
        return await availability.create_availability(world.platform, world.property_id, seat, days, slots, actor="ann")

    assert [a.day_of_week for a in await create([1, 2], DAY_SLOT, NIGHT)] == [1, 2]
    with pytest.raises(Conflict):
        await create([2, 3], DAY_SLOT)
    changed = await availability.update_availability(
        world.platform, world.property_id, seat, {2: [NIGHT], 5: [DAY_SLOT]}, actor="ann"
    )
    assert [(a.day_of_week, a.slots) for a in changed] == [(1, (DAY_SLOT, NIGHT)), (2, (NIGHT,)), (5, (DAY_SLOT,))]
    of_day = await availability.list_availabilities(world.platform, world.property_id, day_of_week=5)
    assert [(a.seat_id, a.slots) for a in of_day] == [(seat, (DAY_SLOT,))]
    await availability.delete_availability(world.platform, world.property_id, seat, actor="ann")
    assert await availability.list_availabilities(world.platform, world.property_id, seat_id=seat) == []
    with pytest.raises(NotFound):
        await availability.list_availabilities(world.platform, ANOTHER, seat_id=seat)
    with pytest.raises(WrongParameters):
        await availability.list_availabilities(world.platform, world.property_id, day_of_week=7)


async def test_available_for_a_zone_are_active_seats_that_work_there_at_that_time(world: World) -> None:
    zones = [zone.id for zone in world.site.zones]
    everywhere, here, there, later, gone = [await world.seat(name) for name in ("Ann", "Bob", "Cid", "Dee", "Eve")]
    sunday_nine = datetime(2024, 3, 10, 1, tzinfo=UTC)  # 09:00 in Singapore

    async def at_work(seat: SeatId, slot: TimeSlot, *work_in: ZoneId) -> None:
        await availability.create_availability(world.platform, world.property_id, seat, [0], [slot], actor="ann")
        if work_in:
            await availability.set_availability_zones(world.platform, world.property_id, seat, work_in, actor="ann")

    await at_work(everywhere, DAY_SLOT)
    await at_work(here, DAY_SLOT, zones[0])
    await at_work(there, DAY_SLOT, zones[1])
    await at_work(later, NIGHT)
    await at_work(gone, DAY_SLOT)
    await seats.deactivate_seat(world.platform, world.property_id, gone, actor="ann")

    async def available(zone: ZoneId, at: datetime = sunday_nine) -> list[SeatId]:
        async with world.database.connection() as connection:
            return await seats_available(connection, world.property_id, world.building_id, zone, at)

    assert await available(zones[0]) == [everywhere, here]
    assert await available(zones[1]) == [everywhere, there]
    assert await available(zones[0], sunday_nine + timedelta(hours=14)) == [later]
    async with world.database.connection() as connection:
        with pytest.raises(NotFound):
            await seats_available(connection, ANOTHER, world.building_id, zones[0], sunday_nine)
    async with world.database.connection() as connection:
        found = await zones_available(connection, world.property_id, world.building_id, zones[:2], sunday_nine)
    assert found == {everywhere: frozenset(), here: {zones[0]}, there: {zones[1]}}
    # Whose only zone is removed does not work everywhere from then on.
    await world.rows("delete from zones where id = $1", zones[0])
    assert await available(zones[1]) == [everywhere, there]


async def test_the_zones_of_a_seat_are_set_read_and_taken_away(world: World) -> None:
    seat, zone = await world.seat(), world.site.zones[0]

    async def place(*zones: ZoneId) -> Any:
        return await availability.set_availability_zones(world.platform, world.property_id, seat, zones, actor="ann")

    assert await place(zone.id) == {world.building_id: {zone.id: zone.name}}
    for zones, error in (((ZoneId("no such zone"), zone.id), NotFound), ((), MissingParameters)):
        with pytest.raises(error):
            await place(*zones)
    found = await availability.read_availability_zones(world.platform, world.property_id, seat)
    assert found == {world.building_id: {zone.id: zone.name}}
    await availability.delete_availability_zones(world.platform, world.property_id, seat, actor="ann")
    with pytest.raises(NotFound):
        await availability.read_availability_zones(world.platform, world.property_id, seat)


# --- timesheets ---


async def worked(world: World, *, absent: bool = False) -> tuple[SeatId, ShiftId]:
    """A shift that was worked for two hours, or missed."""
    seat = await world.seat()
    shift = await world.shift(seat, world.draft(0))
    if absent:
        await mark_absent(world.platform, world.property_id, seat, shift, actor="boss")
    else:
        await start_shift(world.platform, world.property_id, seat, shift, actor="ann")
        await world.clock.advance(2 * HOUR)
        await end_shift(world.platform, world.property_id, seat, shift, actor="ann")
    return seat, shift


async def test_a_timesheet_is_requested_edited_refused_requested_again_and_approved(world: World) -> None:
    seat, shift = await worked(world)

    async def request(**fields: Any) -> Any:
        return await timesheets.request_timesheet(world.platform, world.property_id, seat, shift, actor="ann", **fields)

    async def approve() -> Any:
        return await timesheets.approve_timesheets(world.platform, world.property_id, [(seat, shift)], actor="boss")

    with pytest.raises(NotFound):
        await approve()
    made = await request()
    assert (made.status, made.worked_from, made.worked_until) == ("REQUESTED", world.at(-2 * HOUR), world.at(0))
    with pytest.raises(WrongState):
        await request()
    edited = await timesheets.edit_timesheet(
        world.platform, world.property_id, seat, shift, worked_until=world.at(HOUR), comment="stayed on", actor="ann"
    )
    assert (edited.worked_from, edited.worked_until, edited.comment) == (
        made.worked_from,
        world.at(HOUR),
        "stayed on",
    )
    refused = await timesheets.reject_timesheet(
        world.platform, world.property_id, seat, shift, comment="no", actor="boss"
    )
    assert (refused.status, refused.comment, refused.decided_by) == ("REJECTED", "no", "boss")
    with pytest.raises(WrongState):
        await approve()
    again = await request(kind="REGULARIZATION")
    assert (again.status, again.decided_by, again.decided_at) == ("REQUESTED", "", None)
    [approved] = await approve()
    assert (approved.status, approved.decided_at) == ("APPROVED", world.platform.now())
    with pytest.raises(WrongState):
        await request()
    assert (await world.read(shift)).ended_at == made.worked_until  # what was recorded stays


async def test_only_what_was_or_should_have_been_worked_can_be_claimed(world: World) -> None:
    seat, shift = await worked(world, absent=True)

    async def request(**fields: Any) -> Any:
        return await timesheets.request_timesheet(world.platform, world.property_id, seat, shift, actor="ann", **fields)

    with pytest.raises(WrongState):
        await request()
    with pytest.raises(MissingParameters):
        await request(kind="REGULARIZATION")
    for length in (0, 49 * HOUR):
        with pytest.raises(WrongParameters):
            await request(kind="REGULARIZATION", worked_from=world.at(0), worked_until=world.at(length))
    made = await request(kind="REGULARIZATION", worked_from=world.at(0), worked_until=world.at(HOUR))
    assert (made.kind, made.status) == ("REGULARIZATION", "REQUESTED")
    with pytest.raises(NotFound):
        await timesheets.request_timesheet(world.platform, ANOTHER, seat, shift, actor="eve")


async def test_many_timesheets_are_approved_all_or_none(world: World) -> None:
    pairs = [await worked(world), await worked(world)]
    await timesheets.request_timesheet(world.platform, world.property_id, *pairs[0], actor="ann")
    with pytest.raises(NotFound):
        await timesheets.approve_timesheets(world.platform, world.property_id, pairs, actor="boss")
    await timesheets.request_timesheet(world.platform, world.property_id, *pairs[1], actor="ann")
    with pytest.raises(MissingParameters):
        await timesheets.approve_timesheets(world.platform, world.property_id, [], actor="boss")
    found = await timesheets.approve_timesheets(world.platform, world.property_id, pairs, actor="boss")
    assert [sheet.status for sheet in found] == ["APPROVED"] * 2


async def test_timesheets_are_listed_by_their_request_or_by_their_shift(world: World) -> None:
    seat, shift = await worked(world)
    await world.clock.advance(86_400)
    other = await worked(world)
    for pair in ((seat, shift), other):
        await timesheets.request_timesheet(world.platform, world.property_id, *pair, actor="ann")

    async def find(start: float, end: float, **which: Any) -> list[ShiftId]:
        found = await timesheets.list_timesheets(
            world.platform, world.property_id, world.at(start), world.at(end), **which
        )
        return sorted(sheet.shift_id for sheet in found)

    assert await find(-60, 60) == sorted([shift, other[1]])
    assert await find(-60, 60, seat_id=seat) == [shift]
    assert await find(-60, 60, by="shift") == []
    assert await find(-2 * 86_400, -86_400, by="shift") == [shift]
    with pytest.raises(QueryTooLong):
        await find(0, 94 * 86_400)


# --- definitions and settings ---


async def test_the_usual_shifts_of_a_property_are_kept_by_day(world: World) -> None:
    early = ShiftDefinition(name="Early", start_s=6 * HOUR, end_s=14 * HOUR, colour="#1F7A4D", expected=2)
    late = ShiftDefinition(name="Late", start_s=14 * HOUR, end_s=22 * HOUR, expected_by_team={"A": 1})
    platform, property_id = world.platform, world.property_id
    made = await definitions.create_definitions(platform, property_id, [0, 6], [late, early], actor="ann")
    assert made == {0: (early, late), 6: (early, late)}
    with pytest.raises(Conflict):
        await definitions.create_definitions(platform, property_id, [5, 6], [early], actor="ann")
    with pytest.raises(NotFound):
        await definitions.update_definitions(platform, property_id, [5, 6], [early], actor="ann")
    with pytest.raises(NotFound):
        await definitions.create_definitions(platform, ANOTHER, [0], [early], actor="ann")
    await definitions.update_definitions(platform, property_id, [6], [early], actor="ann")
    await definitions.delete_definitions(platform, property_id, [0, 1], actor="ann")
    assert await definitions.read_definitions(platform, property_id) == {6: (early,)}
    assert await definitions.read_definitions(platform, ANOTHER) == {}
    assert await definitions.read_hours(platform, property_id) == ()
    await definitions.update_hours(platform, property_id, [late, early], actor="ann")
    assert await definitions.read_hours(platform, property_id) == (early, late)
    await definitions.delete_hours(platform, property_id, actor="ann")
    assert await definitions.read_hours(platform, property_id) == ()


async def test_settings_of_a_building_are_changed_one_by_one_and_not_at_all_where_one_is_wrong(world: World) -> None:
    async def change(group: Any, building: BuildingId | None = None, **changes: object) -> Any:
        return await settings.update_workforce_settings(
            world.platform, world.property_id, building or world.building_id, group, changes, actor="ann"
        )

    await asyncio.gather(
        change("incident", INCIDENT_HIGH_TIMEOUT={"LongValue": 600}),
        change("schedule", AUTO_CLOCKOUT=0),
        change("schedule", END_SHIFT_OVERSHOOT=60),
    )
    for error, attempt in (
        (WrongParameters, change("incident", INCIDENT_LOW_TIMEOUT=60, AUTO_CLOCKOUT=0)),
        (WrongParameters, change("schedule", END_SHIFT_OVERSHOOT="soon")),
        (MissingParameters, change("schedule")),
        (NotFound, change("schedule", BuildingId("no such building"), AUTO_CLOCKOUT=1)),
    ):
        with pytest.raises(error):
            await attempt
    found = await settings.read_workforce_settings(world.platform, world.property_id, world.building_id)
    assert found.own == {"INCIDENT_HIGH_TIMEOUT": 600, "AUTO_CLOCKOUT": False, "END_SHIFT_OVERSHOOT": 60}
    assert found.number("INCIDENT_LOW_TIMEOUT") == 3600
    with pytest.raises(NotFound):
        await settings.read_workforce_settings(world.platform, ANOTHER, world.building_id)
