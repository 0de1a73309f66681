"""Shifts on a real PostgreSQL and a clock that the test owns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.integration.modules.rig import World

from matrixhub.model.address import Coordinates
from matrixhub.model.errors import (
    LimitViolated,
    MissingParameters,
    NotFound,
    QueryTooLong,
    VersionMismatch,
    WrongParameters,
    WrongState,
)
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, ShiftId, ZoneId
from matrixhub.model.shift import Break, Cost, Shift
from matrixhub.modules.workforce import roster
from matrixhub.modules.workforce.attendance import (
    check_distance,
    create_ad_hoc_shift,
    end_break,
    end_shift,
    mark_absent,
    mark_delayed,
    mark_on_leave,
    start_break,
    start_shift,
)
from matrixhub.modules.workforce.planning import (
    ShiftChanges,
    copy_shift,
    create_shifts,
    delete_shifts,
    publish_shifts,
    publish_shifts_in_range,
    update_shift,
)
from matrixhub.modules.workforce.seats import deactivate_seat
from matrixhub.modules.workforce.settings import update_workforce_settings
from matrixhub.store.shifts import shifts_on_duty

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOUR = 3600.0
NOWHERE = Coordinates(latitude=1.3, longitude=103.8)


async def timer_kinds(world: World, shift_id: ShiftId) -> list[str]:
    rows = await world.rows("select kind from timers where entity_id = $1 order by kind", shift_id)
    return [row["kind"] for row in rows]


async def schedule_setting(world: World, **changes: object) -> None:
    await update_workforce_settings(
        world.platform, world.property_id, world.building_id, "schedule", changes, actor="ann"
    )


# --- planning ---


async def test_a_shift_is_kept_as_it_was_planned(world: World) -> None:
    seat = await world.seat()
    zone = world.site.zones[0]
    draft = world.draft(
        zones=(zone.id,),
        breaks=(Break(id="", kind="MEAL", duration_s=1800),),
        cost=Cost(unit="SGD", value=12.5),
        description="Level 2",
    )
    [made] = await create_shifts(world.platform, world.property_id, world.building_id, seat, [draft], actor="ann")
    found = await world.read(made.id)
    assert found == made
    assert (found.status, found.zones, found.created_by) == ("UNPUBLISHED", {zone.id: zone.name}, "ann")
    assert [(b.kind, b.duration_s, b.planned) for b in found.breaks] == [("MEAL", 1800, True)]
    assert (found.cost, found.description) == (draft.cost, "Level 2")
    assert await world.events() == []


async def test_a_shift_repeats_at_the_same_local_times_across_the_change_to_summer_time(world: World) -> None:
    seat, london = await world.seat(), ZoneInfo("Europe/London")
    start = datetime(2024, 3, 29, 9, tzinfo=london)
    draft = world.draft(time_zone="Europe/London")
    draft = replace(draft, starts_at=start, ends_at=start + timedelta(hours=8))
    days = [start.date() + timedelta(days=n) for n in (1, 2, 3)]
    made = await create_shifts(
        world.platform,
        world.property_id,
        world.building_id,
        seat,
        [draft],
        repeat_on=[*days, start.date()],
        actor="ann",
    )
    assert [shift.starts_at.astimezone(UTC).hour for shift in made] == [9, 9, 8, 8]
    assert [shift.starts_at.astimezone(london).hour for shift in made] == [9, 9, 9, 9]
    assert [shift.starts_at.astimezone(london).day for shift in made] == [29, 30, 31, 1]


async def test_shifts_that_are_made_published_are_told_of_by_one_event(world: World) -> None:
    seat = await world.seat()
    made = await create_shifts(
        world.platform,
        world.property_id,
        world.building_id,
        seat,
        [world.draft(HOUR, HOUR), world.draft(3 * HOUR, HOUR)],
        publish=True,
        actor="ann",
    )
    [event] = await world.events()
    assert (event["Event"], event["Status"]) == ("SHIFTS_PUBLISHED", "MEDIUM")
    assert [told["ShiftId"] for told in event["Meta"]["Shifts"]] == [shift.id for shift in made]
    assert [await timer_kinds(world, shift.id) for shift in made] == [["shift_delayed"]] * 2


async def test_what_cannot_be_planned_is_refused_and_leaves_nothing(world: World) -> None:
    seat, gone = await world.seat(), await world.seat("Bob Tan")
    await deactivate_seat(world.platform, world.property_id, gone, actor="ann")
    good = world.draft()

    async def plan(*drafts: Any, seat_id: SeatId = seat, building: Any = None, days: Any = ()) -> Any:
        return await create_shifts(
            world.platform,
            world.property_id,
            building or world.building_id,
            seat_id,
            drafts,
            repeat_on=days,
            publish=True,
            actor="ann",
        )

    cases: list[tuple[type[Exception], Awaitable[Any]]] = [
        (MissingParameters, plan()),
        (WrongParameters, plan(replace(good, ends_at=good.starts_at))),
        (WrongParameters, plan(replace(good, ends_at=good.starts_at + timedelta(hours=49)))),
        (WrongParameters, plan(replace(good, time_zone="Asia/Atlantis"))),
        (WrongParameters, plan(replace(good, breaks=(Break(id="", duration_s=-1),)))),
        (WrongParameters, plan(good, days=[date(9999, 12, 31)])),
        (WrongParameters, plan(good, days=[date(1, 1, 1)])),
        (WrongParameters, plan(replace(good, description="a\x00b"))),
        (WrongParameters, plan(replace(good, description="\ud83d"))),
        (WrongParameters, plan(good, seat_id=SeatId("a\x00b"))),
        (NotFound, plan(replace(good, zones=(ZoneId("no such zone"),)))),
        (NotFound, plan(good, seat_id=SeatId("no such seat"))),
        (NotFound, plan(good, building=BuildingId("no such building"))),
        (WrongState, plan(good, seat_id=gone)),
        (WrongState, plan(good, good)),
        (WrongState, plan(good, world.draft(2 * HOUR, HOUR))),
        (LimitViolated, plan(good, days=[good.starts_at.date() + timedelta(days=n) for n in range(501)])),
    ]
    for error, attempt in cases:
        with pytest.raises(error):
            await attempt
    assert await world.rows("select id from shifts") == []
    assert await world.rows("select kind from timers") == []
    assert await world.events() == []


async def test_a_seat_has_one_shift_at_a_time_but_one_may_follow_the_other(world: World) -> None:
    seat, other = await world.seat(), await world.seat("Bob Tan")
    await world.shift(seat, world.draft(HOUR, HOUR))
    with pytest.raises(WrongState, match="at that time"):
        await world.shift(seat, world.draft(1.5 * HOUR, HOUR))
    await world.shift(seat, world.draft(2 * HOUR, HOUR))
    await world.shift(other, world.draft(1.5 * HOUR, HOUR))


async def test_of_two_that_plan_overlapping_shifts_at_once_one_is_refused(world: World) -> None:
    seat = await world.seat()
    made = await asyncio.gather(
        *(world.shift(seat, world.draft(HOUR + n * 60)) for n in range(4)), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in made) == ["WrongState"] * 3 + ["str"]
    assert len(await world.rows("select id from shifts")) == 1


async def test_a_changed_shift_keeps_what_was_not_changed_and_a_moved_one_is_no_longer_late(world: World) -> None:
    seat = await world.seat()
    shift_id = await world.shift(seat)
    await world.pass_time(1.5 * HOUR)
    assert (await world.read(shift_id)).delayed
    before = await world.read(shift_id)
    zone = world.site.zones[0]
    changed = await update_shift(
        world.platform, world.property_id, seat, shift_id, ShiftChanges(zones=(zone.id,)), actor="bob"
    )
    assert changed == replace(
        before, zones={zone.id: zone.name}, updated_by="bob", updated_at=changed.updated_at, version=before.version + 1
    )
    assert await timer_kinds(world, shift_id) == ["shift_absent"]
    moved = await update_shift(
        world.platform,
        world.property_id,
        seat,
        shift_id,
        ShiftChanges(starts_at=world.at(HOUR), ends_at=world.at(2 * HOUR)),
        actor="bob",
    )
    assert (moved.delayed, moved.zones) == (False, {zone.id: zone.name})
    assert await timer_kinds(world, shift_id) == ["shift_delayed"]
    await world.pass_time(1.5 * HOUR)
    assert await world.told() == ["SHIFTS_PUBLISHED", "SHIFT_DELAYED", "SHIFT_DELAYED"]


async def test_a_shift_may_not_be_moved_into_another_of_its_seat_nor_changed_unseen(world: World) -> None:
    seat = await world.seat()
    await world.shift(seat, world.draft(8 * HOUR, HOUR))
    shift_id = await world.shift(seat, world.draft(HOUR, HOUR))

    async def change(changes: ShiftChanges, version: int | None = None, of: SeatId = seat) -> Shift:
        return await update_shift(
            world.platform, world.property_id, of, shift_id, changes, version=version, actor="bob"
        )

    with pytest.raises(WrongState):
        await change(ShiftChanges(ends_at=world.at(8.5 * HOUR)))
    with pytest.raises(WrongParameters):
        await change(ShiftChanges(ends_at=world.at(HOUR)))
    seen = await world.read(shift_id)
    await change(ShiftChanges(description="one"), seen.version)
    with pytest.raises(VersionMismatch):
        await change(ShiftChanges(description="two"), seen.version)
    with pytest.raises(NotFound):
        await change(ShiftChanges(description="two"), of=await world.seat("Bob Tan"))
    assert (await world.read(shift_id)).description == "one"


async def test_two_that_change_different_fields_at_once_both_have_their_way(world: World) -> None:
    seat = await world.seat()
    shift_id = await world.shift(seat)
    changes = [ShiftChanges(description="d"), ShiftChanges(zones=(world.zone_id,)), ShiftChanges(ends_at=world.at(9e3))]
    await asyncio.gather(
        *(update_shift(world.platform, world.property_id, seat, shift_id, c, actor="bob") for c in changes)
    )
    found = await world.read(shift_id)
    assert (found.description, list(found.zones), found.ends_at) == ("d", [world.zone_id], world.at(9e3))


async def test_copies_of_a_shift_are_unpublished_and_bring_what_is_asked_for(world: World) -> None:
    seat, other = await world.seat(), await world.seat("Bob Tan")
    draft = world.draft(zones=(world.zone_id,), breaks=(Break(id="", kind="MEAL"),))
    source = await world.read(await world.shift(seat, draft))
    days = [source.starts_at.date() + timedelta(days=n) for n in (0, 7)]
    made = await copy_shift(world.platform, world.property_id, other, source.id, copy_on=days, actor="ann")
    assert [(s.starts_at, s.seat_id, s.status) for s in made] == [
        (source.starts_at + timedelta(days=n), other, "UNPUBLISHED") for n in (0, 7)
    ]
    assert [(list(s.zones), [b.kind for b in s.breaks]) for s in made] == [([world.zone_id], ["MEAL"])] * 2
    [bare] = await copy_shift(
        world.platform,
        world.property_id,
        seat,
        source.id,
        copy_on=days[1:],
        include_zones=False,
        include_breaks=False,
        actor="ann",
    )
    assert (bare.zones, bare.breaks) == ({}, ())
    with pytest.raises(WrongState):
        await copy_shift(world.platform, world.property_id, seat, source.id, copy_on=days[:1], actor="ann")


async def test_shifts_are_published_all_or_none_and_by_one_event(world: World) -> None:
    seat = await world.seat()
    ids = [await world.shift(seat, world.draft(n * 2 * HOUR, HOUR), publish=False) for n in range(1, 4)]
    with pytest.raises(NotFound):
        await _publish(world, [*ids, ShiftId("no such shift")])
    with pytest.raises(MissingParameters):
        await _publish(world, [])
    assert {shift.status for shift in [await world.read(one) for one in ids]} == {"UNPUBLISHED"}
    assert {shift.status for shift in await _publish(world, ids[:2])} == {"PUBLISHED"}
    with pytest.raises(WrongState):
        await _publish(world, ids)
    assert (await world.read(ids[2])).status == "UNPUBLISHED"
    [event] = await world.events()
    assert [told["ShiftId"] for told in event["Meta"]["Shifts"]] == ids[:2]


async def _publish(world: World, ids: list[ShiftId]) -> Any:
    return await publish_shifts(world.platform, world.property_id, world.building_id, ids, actor="ann")


async def test_the_drafts_of_a_range_are_published_by_one_event_and_none_by_none(world: World) -> None:
    seat = await world.seat()
    ids = [await world.shift(seat, world.draft(n * 2 * HOUR, HOUR), publish=False) for n in range(1, 4)]

    async def publish(start: float, end: float) -> list[ShiftId]:
        found = await publish_shifts_in_range(
            world.platform, world.property_id, world.building_id, world.at(start), world.at(end), actor="ann"
        )
        return [shift.id for shift in found]

    assert await publish(0, HOUR) == []
    assert set(await publish(0, 6 * HOUR)) == set(ids[:2])  # the end is excluded
    assert await publish(0, 6 * HOUR) == []
    with pytest.raises(WrongParameters):
        await publish(HOUR, 0)
    assert await world.told() == ["SHIFTS_PUBLISHED"]


async def test_more_drafts_than_one_event_may_tell_of_are_not_published(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matrixhub.modules.workforce.planning.CALL_MAX", 1)
    seat = await world.seat()
    ids = [await world.shift(seat, world.draft(n * 2 * HOUR, HOUR), publish=False) for n in (1, 2)]
    with pytest.raises(LimitViolated):
        await publish_shifts_in_range(
            world.platform, world.property_id, world.building_id, world.at(0), world.at(86_400), actor="ann"
        )
    with pytest.raises(LimitViolated):
        await _publish(world, ids)
    assert await world.events() == []


async def test_a_draft_nobody_publishes_is_gone_three_days_after_its_start(world: World) -> None:
    shift_id = await world.shift(await world.seat(), world.draft(HOUR), publish=False)
    assert await world.pass_time(HOUR + 3 * 86_400 - 1) == 0
    assert await world.pass_time(1) == 1
    with pytest.raises(NotFound):
        await world.read(shift_id)
    assert await world.events() == []


async def test_shifts_are_deleted_all_or_none_and_nothing_happens_to_them_any_more(world: World) -> None:
    seat = await world.seat()
    first = await world.shift(seat, world.draft(HOUR, HOUR))
    second = await world.shift(seat, world.draft(3 * HOUR, HOUR), publish=False)
    working = await world.shift(seat, world.draft(5 * HOUR, HOUR))
    await start_shift(world.platform, world.property_id, seat, working, actor="ann")

    async def delete(*ids: ShiftId, of: SeatId = seat) -> None:
        await delete_shifts(world.platform, world.property_id, [(of, one) for one in ids], actor="ann")

    with pytest.raises(WrongState):
        await delete(first, second, working)
    with pytest.raises(NotFound):
        await delete(first, of=await world.seat("Bob Tan"))
    with pytest.raises(MissingParameters):
        await delete()
    await delete(first, second)
    assert [row["id"] for row in await world.rows("select id from shifts")] == [working]
    assert await timer_kinds(world, first) == await timer_kinds(world, second) == []


# --- attendance ---


async def test_a_shift_is_started_and_ended_and_both_are_told(world: World) -> None:
    seat = await world.seat()
    shift_id = await world.shift(seat)
    await world.clock.advance(HOUR - 60)
    begun = await start_shift(world.platform, world.property_id, seat, shift_id, clock_in=NOWHERE, actor="ann")
    await world.clock.advance(2 * HOUR)
    done = await end_shift(world.platform, world.property_id, seat, shift_id, actor="ann")
    assert done == await world.read(shift_id)
    assert (done.status, done.started_at, done.ended_at) == ("COMPLETED", begun.started_at, world.platform.now())
    assert done.clock_in == NOWHERE
    events = await world.events()
    assert [event["Event"] for event in events] == ["SHIFTS_PUBLISHED", "SHIFT_STARTED", "SHIFT_COMPLETED"]
    assert [event["Description"] for event in events[1:]] == [
        "Ann Lee has started a shift",
        "Ann Lee has completed a shift",
    ]
    meta = events[2]["Meta"]
    assert (meta["Status"], meta["AEnd"] - meta["AStart"]) == ("COMPLETED", 7200)
    assert await timer_kinds(world, shift_id) == []


async def test_of_two_that_start_a_shift_at_once_one_wins_and_the_other_is_told_so(world: World) -> None:
    seat = await world.seat()
    shift_id = await world.shift(seat)
    found = await asyncio.gather(
        *(start_shift(world.platform, world.property_id, seat, shift_id, actor="ann") for _ in range(4)),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in found) == ["Shift"] + ["WrongState"] * 3
    assert await world.told() == ["SHIFTS_PUBLISHED", "SHIFT_STARTED"]


async def test_a_seat_works_in_one_shift_at_a_time_even_where_two_are_started_at_once(world: World) -> None:
    seat = await world.seat()
    ids = [await world.shift(seat, world.draft(n * 2 * HOUR, HOUR)) for n in (1, 2)]
    found = await asyncio.gather(
        *(start_shift(world.platform, world.property_id, seat, one, actor="ann") for one in ids),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in found) == ["Shift", "WrongState"]


async def test_a_seat_that_is_not_active_starts_no_shift(world: World) -> None:
    seat = await world.seat()
    shift_id = await world.shift(seat)
    await deactivate_seat(world.platform, world.property_id, seat, actor="ann")
    with pytest.raises(WrongState, match="not active"):
        await start_shift(world.platform, world.property_id, seat, shift_id, admin=True, actor="ann")


async def test_a_shift_that_nobody_starts_is_delayed_and_then_absent(world: World) -> None:
    shift_id = await world.shift(await world.seat())
    assert await world.pass_time(HOUR + 1799) == 0
    assert await world.pass_time(1) == 1
    assert ((await world.read(shift_id)).status, (await world.read(shift_id)).delayed) == ("PUBLISHED", True)
    assert await world.pass_time(3599) == 0
    assert await world.pass_time(1) == 1
    assert ((await world.read(shift_id)).status, (await world.read(shift_id)).delayed) == ("ABSENT", True)
    events = await world.events()
    assert [(e["Event"], e["Status"], e["Meta"].get("Status")) for e in events[1:]] == [
        ("SHIFT_DELAYED", "MEDIUM", "DELAYED"),
        ("SHIFT_ABSENT", "HIGH", "ABSENT"),
    ]
    assert await timer_kinds(world, shift_id) == []


async def test_after_an_outage_a_shift_becomes_delayed_and_absent_at_once_in_this_order(world: World) -> None:
    seat, other = await world.seat(), await world.seat("Bob Tan")
    late, later = await world.shift(seat), await world.shift(other, world.draft(HOUR + 60))
    assert await world.pass_time(86_400) == 4
    told = [(e["Event"], e["Meta"]["ShiftId"]) for e in (await world.events())[2:]]
    assert told == [
        ("SHIFT_DELAYED", late),
        ("SHIFT_DELAYED", later),
        ("SHIFT_ABSENT", late),
        ("SHIFT_ABSENT", later),
    ]


async def test_the_thresholds_of_a_building_are_its_own(world: World) -> None:
    await schedule_setting(world, DELAYED_SHIFT_THRESHOLD=60, ABSENT_SHIFT_THRESHOLD=120)
    await world.shift(await world.seat())
    assert await world.pass_time(HOUR + 60) == 1
    assert await world.pass_time(120) == 1
    assert (await world.told())[1:] == ["SHIFT_DELAYED", "SHIFT_ABSENT"]


async def test_a_delayed_shift_may_be_started_and_an_absent_one_by_an_administrator_only(world: World) -> None:
    seat = await world.seat()
    delayed, absent = await world.shift(seat, world.draft(0, HOUR)), await world.shift(seat, world.draft(4 * HOUR))
    await world.pass_time(1800)
    begun = await start_shift(world.platform, world.property_id, seat, delayed, actor="ann")
    assert (begun.status, begun.delayed) == ("STARTED", True)
    await end_shift(world.platform, world.property_id, seat, delayed, actor="ann")
    await world.pass_time(5 * HOUR)
    assert (await world.read(absent)).status == "ABSENT"
    with pytest.raises(WrongState):
        await start_shift(world.platform, world.property_id, seat, absent, actor="ann")
    begun = await start_shift(world.platform, world.property_id, seat, absent, admin=True, actor="boss")
    assert (begun.status, begun.updated_by) == ("STARTED", "boss")


async def test_a_shift_ends_by_itself_when_its_time_is_long_over_even_where_that_is_found_out_late(
    world: World,
) -> None:
    seat = await world.seat()
    shift_id = await world.shift(seat, world.draft(0, HOUR))
    begun = await start_shift(world.platform, world.property_id, seat, shift_id, actor="ann")
    await start_break(world.platform, world.property_id, seat, shift_id, actor="ann")
    assert await world.pass_time(HOUR + 4199) == 0
    assert await world.pass_time(86_400) == 1
    done = await world.read(shift_id)
    assert (done.status, done.on_break, done.updated_by) == ("COMPLETED", False, "system")
    assert done.ended_at == begun.ends_at + timedelta(seconds=4200)
    assert await world.told() == ["SHIFTS_PUBLISHED", "SHIFT_STARTED", "SHIFT_COMPLETED"]


async def test_a_shift_does_not_end_by_itself_where_the_building_does_not_want_it(world: World) -> None:
    await schedule_setting(world, AUTO_CLOCKOUT=False)
    seat = await world.seat()
    shift_id = await world.shift(seat, world.draft(0, HOUR))
    await start_shift(world.platform, world.property_id, seat, shift_id, actor="ann")
    assert await world.pass_time(7 * 86_400) == 0
    assert (await world.read(shift_id)).status == "STARTED"


async def test_a_shift_ends_early_only_where_that_is_allowed_or_by_an_administrator(world: World) -> None:
    await schedule_setting(world, ALLOW_EARLY_CHECKOUT=0)
    seat = await world.seat()
    ids = [await world.shift(seat, world.draft(n * 2 * HOUR, HOUR)) for n in (1, 2)]
    await start_shift(world.platform, world.property_id, seat, ids[0], actor="ann")
    with pytest.raises(WrongState, match="before its time"):
        await end_shift(world.platform, world.property_id, seat, ids[0], actor="ann")
    await end_shift(world.platform, world.property_id, seat, ids[0], admin=True, actor="boss")
    await start_shift(world.platform, world.property_id, seat, ids[1], actor="ann")
    await world.pass_time(5 * HOUR)
    await end_shift(world.platform, world.property_id, seat, ids[1], actor="ann")


@pytest.mark.parametrize("place", ["buildings", "properties", "nothing"])
async def test_who_clocks_in_must_be_near_the_building_where_it_says_where_it_is(world: World, place: str) -> None:
    seat = await world.seat()
    shift_id = await world.shift(seat)
    near, far = Coordinates(latitude=1.3089, longitude=103.8), Coordinates(latitude=1.3091, longitude=103.8)

    async def start(clock_in: Coordinates | None, *, admin: bool = False) -> Shift:
        return await start_shift(
            world.platform, world.property_id, seat, shift_id, clock_in=clock_in, admin=admin, actor="ann"
        )

    if place == "nothing":
        assert (await start(None)).clock_in is None
        return
    await world.rows(f"update {place} set address = $1", {"Coordinates": {"Latitude": 1.3, "Longitude": 103.8}})
    await world.rows("update buildings set is_property_address = $1", place == "properties")
    with pytest.raises(WrongParameters, match="1012 m from the building"):
        await start(far)
    with pytest.raises(MissingParameters):
        await start(None)
    assert (await start(near)).clock_in == near


async def test_an_administrator_clocks_a_seat_in_from_anywhere(world: World) -> None:
    seat = await world.seat()
    shift_id = await world.shift(seat)
    await world.rows("update buildings set address = $1", {"Coordinates": {"Latitude": 1.3, "Longitude": 103.8}})
    assert (await start_shift(world.platform, world.property_id, seat, shift_id, admin=True, actor="boss")).started_at


async def test_without_coordinates_of_the_building_anywhere_is_near_enough() -> None:
    check_distance(None, None, 0)
    check_distance(None, NOWHERE, 0)


async def test_breaks_take_a_seat_off_duty_and_are_recorded(world: World) -> None:
    seat = await world.seat()
    shift_id = await world.shift(seat, world.draft(0, breaks=(Break(id="", kind="MEAL", duration_s=1800),)))
    begun = await start_shift(world.platform, world.property_id, seat, shift_id, actor="ann")
    assert await on_duty(world) == [shift_id]
    planned = begun.breaks[0].id
    resting = await start_break(
        world.platform, world.property_id, seat, shift_id, break_id=planned, notes="soup", actor="ann"
    )
    assert (resting.on_break, await on_duty(world)) == (True, [])
    with pytest.raises(WrongState):
        await start_break(world.platform, world.property_id, seat, shift_id, actor="ann")
    await world.clock.advance(600)
    rested = await end_break(world.platform, world.property_id, seat, shift_id, actor="ann")
    assert rested == await world.read(shift_id)
    assert rested.breaks == (
        replace(begun.breaks[0], notes="soup", started_at=world.at(-600), ended_at=world.platform.now()),
    )
    assert await on_duty(world) == [shift_id]


async def on_duty(world: World, zone: ZoneId | None = None) -> list[ShiftId]:
    async with world.database.connection() as connection:
        found = await shifts_on_duty(
            connection, world.property_id, world.building_id, zone or world.zone_id, world.platform.now()
        )
    return [shift.id for shift in found]


async def test_on_duty_for_a_zone_is_who_works_for_it_or_for_all(world: World) -> None:
    zones = [zone.id for zone in world.site.zones]
    seats = [await world.seat(name) for name in ("Ann", "Bob", "Cid", "Dee")]
    drafts = [world.draft(0, zones=(zones[0],)), world.draft(0), world.draft(0, zones=(zones[1],)), world.draft(0)]
    ids = [await world.shift(seat, draft) for seat, draft in zip(seats, drafts, strict=True)]
    for seat, one in list(zip(seats, ids, strict=True))[:3]:
        await start_shift(world.platform, world.property_id, seat, one, actor="ann")
    assert await on_duty(world, zones[0]) == sorted(ids[:2])
    assert await on_duty(world, zones[1]) == sorted(ids[1:3])


async def test_an_ad_hoc_shift_is_started_at_once_and_as_long_as_the_building_says(world: World) -> None:
    await schedule_setting(world, DEFAULT_SHIFT_DURATION=7200)
    seat = await world.seat()

    async def begin(**fields: Any) -> Shift:
        fields = {"time_zone": "Asia/Singapore", "zones": [world.zone_id], **fields}
        return await create_ad_hoc_shift(
            world.platform, world.property_id, world.building_id, seat, actor="ann", **fields
        )

    with pytest.raises(WrongParameters):
        await begin(time_zone="Mars/Olympus")
    shift = await begin()
    assert shift == await world.read(shift.id)
    assert (shift.status, shift.started_at, shift.ends_at) == ("STARTED", world.platform.now(), world.at(7200))
    with pytest.raises(WrongState):
        await begin()
    assert await world.told() == ["SHIFT_STARTED"]
    assert await world.pass_time(7200 + 4200) == 1
    assert await world.told() == ["SHIFT_STARTED", "SHIFT_COMPLETED"]


async def test_who_has_not_clocked_out_yet_begins_no_other_shift(world: World) -> None:
    seat = await world.seat()
    late = await world.shift(seat, world.draft(0, HOUR))
    await start_shift(world.platform, world.property_id, seat, late, actor="ann")
    await world.pass_time(HOUR + 60)
    with pytest.raises(WrongState, match="works in"):
        await create_ad_hoc_shift(
            world.platform, world.property_id, world.building_id, seat, time_zone="Asia/Singapore", actor="ann"
        )


async def test_a_shift_marked_late_by_hand_is_told_of_once_and_still_becomes_absent(world: World) -> None:
    seat = await world.seat()
    shift_id = await world.shift(seat)
    await mark_delayed(world.platform, world.property_id, seat, shift_id, actor="boss")
    with pytest.raises(WrongState):
        await mark_delayed(world.platform, world.property_id, seat, shift_id, actor="boss")
    assert await world.pass_time(HOUR + 5399) == 0
    assert await world.pass_time(1) == 1
    assert await world.told() == ["SHIFTS_PUBLISHED", "SHIFT_DELAYED", "SHIFT_ABSENT"]


async def test_a_shift_marked_absent_or_on_leave_waits_for_nothing_more(world: World) -> None:
    seat = await world.seat()
    absent, leave = await world.shift(seat, world.draft(HOUR, HOUR)), await world.shift(seat, world.draft(3 * HOUR))
    await mark_absent(world.platform, world.property_id, seat, absent, actor="boss")
    await mark_on_leave(world.platform, world.property_id, seat, leave, actor="boss")
    excused = await mark_on_leave(world.platform, world.property_id, seat, absent, actor="boss")
    assert excused.status == "ON_LEAVE"
    assert await world.pass_time(86_400) == 0
    assert await world.told() == ["SHIFTS_PUBLISHED", "SHIFTS_PUBLISHED", "SHIFT_ABSENT"]


# --- questions ---


async def test_shifts_are_found_by_building_seat_state_and_time(world: World) -> None:
    seat, other = await world.seat(), await world.seat("Bob Tan")
    late = await world.shift(seat, world.draft(0, HOUR))
    draft = await world.shift(seat, world.draft(3 * HOUR), publish=False)
    others = await world.shift(other, world.draft(2 * HOUR))
    await world.pass_time(1800)

    async def find(start: float = -HOUR, end: float = 86_400, **which: Any) -> list[ShiftId]:
        found = await roster.list_shifts(world.platform, world.property_id, world.at(start), world.at(end), **which)
        return [shift.id for shift in found]

    assert await find() == [late, others, draft]
    assert await find(building_id=world.building_id, seat_id=seat) == [late, draft]
    with pytest.raises(NotFound):
        await find(building_id=BuildingId("other"))
    assert await find(status="UNPUBLISHED") == [draft]
    assert await find(status="PUBLISHED") == [late, others]
    assert await find(status="DELAYED") == [late]
    assert await find(-1800, 1.5 * HOUR) == [late]  # the start is included, the end is not
    with pytest.raises(WrongParameters):
        await find(status="SOMEHOW")
    with pytest.raises(WrongParameters):
        await find(1, 1)
    with pytest.raises(QueryTooLong):
        await find(0, 94 * 86_400)
    counts = await roster.count_shifts(world.platform, world.property_id, world.at(-HOUR), world.at(86_400))
    assert counts == {
        "UNPUBLISHED": 1,
        "PUBLISHED": 2,
        "STARTED": 0,
        "COMPLETED": 0,
        "ABSENT": 0,
        "ON_LEAVE": 0,
        "Delayed": 1,
    }


async def test_more_shifts_than_one_answer_may_hold_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matrixhub.store.shifts.SHIFTS_MAX", 1)
    seat = await world.seat()
    for n in (1, 2):
        await world.shift(seat, world.draft(n * 2 * HOUR, HOUR))
    with pytest.raises(QueryTooLong):
        await roster.list_shifts(world.platform, world.property_id, world.at(0), world.at(86_400))


async def test_the_current_shift_is_that_worked_in_or_else_that_of_this_time(world: World) -> None:
    seat = await world.seat()
    first, second = await world.shift(seat, world.draft(HOUR, HOUR)), await world.shift(seat, world.draft(2 * HOUR))

    async def current() -> ShiftId | None:
        found = await roster.current_shift(world.platform, world.property_id, seat)
        return found.id if found else None

    assert await current() is None
    await world.clock.advance(HOUR)
    assert await current() == first
    await start_shift(world.platform, world.property_id, seat, first, actor="ann")
    await world.clock.advance(HOUR)
    assert await current() == first
    await end_shift(world.platform, world.property_id, seat, first, actor="ann")
    assert await current() == second
    with pytest.raises(NotFound):
        await roster.current_shift(world.platform, world.property_id, SeatId("nobody"))


async def test_the_next_shifts_are_the_published_ones_to_come(world: World) -> None:
    seat = await world.seat()
    ids = [await world.shift(seat, world.draft(n * 2 * HOUR, HOUR), publish=n != 2) for n in range(1, 5)]
    found = await roster.next_shifts(world.platform, world.property_id, seat, world.at(HOUR), limit=2)
    assert [shift.id for shift in found] == [ids[0], ids[2]]
    with pytest.raises(QueryTooLong):
        await roster.next_shifts(world.platform, world.property_id, seat, world.at(0), limit=101)


async def test_who_could_stand_in_has_nothing_to_do_at_that_time(world: World) -> None:
    seat, busy, free = [await world.seat(name) for name in ("Ann", "Bob", "Cid")]
    await world.shift(busy, world.draft(2 * HOUR, HOUR))
    found = await roster.free_seats(world.platform, world.property_id, seat, world.at(HOUR), world.at(3 * HOUR))
    assert [one.id for one in found] == [free]
    found = await roster.free_seats(world.platform, world.property_id, seat, world.at(HOUR), world.at(2 * HOUR))
    assert [one.id for one in found] == [busy, free]


async def test_details_are_the_shift_its_tasks_and_its_timesheet(world: World) -> None:
    seat = await world.seat()
    shift_id = await world.shift(seat)
    details = await roster.shift_details(world.platform, world.property_id, seat, shift_id)
    record = roster.shift_details_record(details, "ORCHARD", tasks=[{"TaskId": "1"}])
    assert list(record) == ["shift", "taskgroup", "timesheet", "startDate", "endDate"]
    assert (record["taskgroup"], record["timesheet"]) == ([{"TaskId": "1"}], None)
    with pytest.raises(NotFound):
        await roster.shift_details(world.platform, world.property_id, await world.seat("Bob"), shift_id)


async def test_lateness_counts_who_began_in_time_late_or_never(world: World) -> None:
    seats = [await world.seat(name) for name in ("Ann", "Bob", "Cid", "Dee")]
    ids = [await world.shift(seat, world.draft(HOUR)) for seat in seats]
    for wait, number in ((HOUR, 0), (100, 1), (200, 2)):
        await world.pass_time(wait)
        await start_shift(world.platform, world.property_id, seats[number], ids[number], actor="ann")
    await world.pass_time(2 * HOUR)
    shifts = [await world.read(one) for one in ids]
    assert roster.lateness(shifts) == roster.Lateness(in_time=1, late=2, absent=1, late_mean_s=200)
    assert roster.lateness([]) == roster.Lateness(in_time=0, late=0, absent=0, late_mean_s=0)


@pytest.mark.parametrize(
    "act",
    [start_shift, end_shift, start_break, end_break, mark_delayed, mark_absent, mark_on_leave],
    ids=lambda act: act.__name__,
)
async def test_nobody_acts_on_what_is_another_propertys(world: World, act: Callable[..., Awaitable[Shift]]) -> None:
    seat = await world.seat()
    shift_id = await world.shift(seat)
    with pytest.raises(NotFound):
        await act(world.platform, PropertyId("another"), seat, shift_id, actor="eve")
    with pytest.raises(NotFound):
        await act(world.platform, world.property_id, await world.seat("Bob"), shift_id, actor="eve")
    with pytest.raises(NotFound):
        await act(world.platform, world.property_id, seat, ShiftId("no such shift"), actor="eve")
    assert await world.told() == ["SHIFTS_PUBLISHED"]
