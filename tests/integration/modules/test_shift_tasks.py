"""Task groups that are planned, repeated, copied and changed together with their shifts, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.modules.rig import World

from matrixhub.model.errors import LimitViolated, NotFound, WrongParameters, WrongState
from matrixhub.model.ids import SeatId, ShiftId, TaskId, ZoneId
from matrixhub.model.shift import Shift
from matrixhub.model.work_order import TaskItem, WorkOrder
from matrixhub.modules.workforce.attendance import end_break, start_break, start_shift
from matrixhub.modules.workforce.planning import ShiftChanges, copy_shift, create_shifts, publish_shifts, update_shift
from matrixhub.modules.workforce.shift_tasks import TaskChange, TaskChanges
from matrixhub.modules.workforce.steps import ShiftDraft
from matrixhub.modules.workforce.tasks import TaskDraft, start_adhoc_task
from matrixhub.modules.workforce.work_orders import start_work
from matrixhub.store.work_orders import Wanted, list_work_orders

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOUR = 3600.0
DAY = timedelta(days=1)


def task(world: World, name: str = "Mopping", in_s: float = 1.5 * HOUR, **fields: Any) -> TaskDraft:
    start = world.at(in_s)
    given = {"zone_id": world.zone_id, "tasks": (TaskItem(name="Mop"),), **fields}
    return TaskDraft(name=name, starts_at=start, ends_at=start + timedelta(seconds=600), **given)


async def create(world: World, seat: SeatId, draft: ShiftDraft, days: Sequence[int] = (), **given: Any) -> Any:
    on = [(draft.starts_at + n * DAY).date() for n in days]
    return await create_shifts(
        world.platform, world.property_id, world.building_id, seat, [draft], repeat_on=on, actor="ann", **given
    )


async def tasks_of(world: World, shift_id: ShiftId) -> list[WorkOrder]:
    async with world.database.connection() as connection:
        wanted = Wanted(shift_id=shift_id, type="TASK")
        return await list_work_orders(connection, world.property_id, wanted, limit=100)


async def test_a_shift_is_made_with_its_task_groups_on_every_date(world: World) -> None:
    seat = await world.seat()
    draft = world.draft(tasks=(task(world), task(world, "Dusting", 2 * HOUR)))
    first, second = await create(world, seat, draft, [3])
    for shift, days in ((first, 0), (second, 3)):
        made = await tasks_of(world, shift.id)
        assert [(one.name, one.status) for one in made] == [("Mopping", "UNPUBLISHED"), ("Dusting", "UNPUBLISHED")]
        assert made[0].starts_at == draft.tasks[0].starts_at + days * DAY
        assert made[0].assignee is not None
        assert (made[0].assignee.seat_id, made[0].assignee.shift_id) == (seat, shift.id)


@pytest.mark.parametrize("at_once", [True, False])
async def test_task_groups_are_published_with_their_shift(world: World, at_once: bool) -> None:
    [shift] = await create(world, await world.seat(), world.draft(tasks=(task(world),)), publish=at_once)
    if not at_once:
        await publish_shifts(world.platform, world.property_id, world.building_id, [shift.id], actor="ann")
    [made] = await tasks_of(world, shift.id)
    assert made.status == "PUBLISHED"
    assert await world.told() == ["SHIFTS_PUBLISHED"]
    assert await world.rows("select kind from timers where entity_id = $1", made.id) == [{"kind": "work_order"}]


async def test_a_task_group_that_cannot_be_planned_lets_no_shift_be_made(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seat = await world.seat()
    with pytest.raises(NotFound):
        await create(world, seat, world.draft(tasks=(task(world, zone_id=ZoneId("no such zone")),)), publish=True)
    monkeypatch.setattr("matrixhub.modules.workforce.shift_tasks.PLANNED_MAX", 1)
    with pytest.raises(LimitViolated):
        await create(world, seat, world.draft(tasks=(task(world),)), [1])
    assert await world.rows("select id from shifts union all select id from work_orders") == []
    assert await world.events() == []


async def test_a_shift_without_a_time_zone_has_that_of_its_building(world: World) -> None:
    [shift] = await create(world, await world.seat(), world.draft(time_zone=""))
    assert shift.time_zone == world.site.buildings[0].time_zone


async def test_too_many_shifts_are_refused_before_any_is_looked_at(world: World) -> None:
    drafts = [world.draft(n * 2 * HOUR, HOUR) for n in range(1, 252)]
    dates = [(world.at(0) + n * DAY).date() for n in (30, 60)]
    with pytest.raises(LimitViolated):
        await create_shifts(
            world.platform,
            world.property_id,
            world.building_id,
            SeatId("not even looked for"),
            drafts,
            repeat_on=dates,
            actor="ann",
        )


async def test_a_copy_brings_the_planned_task_groups_as_if_nothing_had_been_done(world: World) -> None:
    seat, other = await world.seat(), await world.seat("Bob Tan")
    [source] = await create(world, seat, world.draft(tasks=(task(world, priority="H"),)), publish=True)
    await start_shift(world.platform, world.property_id, seat, source.id, actor="ann")
    [planned] = await tasks_of(world, source.id)
    await start_work(world.platform, world.property_id, planned.id, actor="ann")
    await start_adhoc_task(world.platform, world.property_id, source.id, world.zone_id, world.at(2 * HOUR), actor="ann")
    on = [(source.starts_at + DAY).date()]

    async def copy(*, tasks: bool, of: SeatId = seat) -> Shift:
        [made] = await copy_shift(
            world.platform,
            world.property_id,
            other,
            source.id,
            copy_on=on,
            source_seat_id=of,
            include_tasks=tasks,
            actor="ann",
        )
        return made

    with pytest.raises(NotFound):
        await copy(tasks=True, of=other)
    [copied] = await tasks_of(world, (await copy(tasks=True)).id)
    assert (copied.name, copied.priority, copied.status) == ("Mopping", "H", "UNPUBLISHED")
    assert copied.starts_at == planned.starts_at + DAY
    on = [(source.starts_at + 2 * DAY).date()]
    assert await tasks_of(world, (await copy(tasks=False)).id) == []


async def change(world: World, shift: Shift, **changes: Any) -> Shift:
    return await update_shift(
        world.platform,
        world.property_id,
        shift.seat_id,
        shift.id,
        ShiftChanges(description="changed"),
        tasks=TaskChanges(**changes),
        actor="bob",
    )


async def test_a_shift_is_changed_together_with_its_task_groups(world: World) -> None:
    seat = await world.seat()
    draft = world.draft(tasks=(task(world), task(world, "Dusting", 2 * HOUR)))
    [shift] = await create(world, seat, draft, publish=True)
    mopping, dusting = await tasks_of(world, shift.id)
    other_zone = world.site.zones[1]
    changed = TaskChange(id=mopping.id, name="Wet mopping", zone_id=other_zone.id, priority="H")
    await change(world, shift, change=(changed,), delete=(dusting.id,), add=(task(world, "Waste", 3 * HOUR),))
    first, second = await tasks_of(world, shift.id)
    assert first == replace(
        mopping,
        name="Wet mopping",
        zone_id=other_zone.id,
        zone_name=other_zone.name,
        zone_category=first.zone_category,
        priority="H",
        timeout_s=900,
        updated_by="bob",
        updated_at=first.updated_at,
        version=mopping.version + 1,
    )
    assert (second.name, second.status) == ("Waste", "PUBLISHED")
    assert (await world.read(shift.id)).description == "changed"


async def test_where_one_task_group_cannot_be_changed_neither_is_the_shift(world: World) -> None:
    seat = await world.seat()
    [shift] = await create(world, seat, world.draft(tasks=(task(world),)), publish=True)
    [other] = await create(world, seat, world.draft(9 * HOUR, tasks=(task(world, "Other", 9 * HOUR),)), publish=True)
    [mine], [foreign] = await tasks_of(world, shift.id), await tasks_of(world, other.id)
    late = TaskChange(id=mine.id, ends_at=mine.starts_at)
    cases: tuple[tuple[type[Exception], dict[str, Any]], ...] = (
        (NotFound, {"delete": (foreign.id,)}),
        (NotFound, {"change": (TaskChange(id=foreign.id, name="x"),)}),
        (NotFound, {"delete": (TaskId("no such task"),)}),
        (NotFound, {"delete": (mine.id,), "change": (TaskChange(id=mine.id, name="x"),)}),
        (WrongParameters, {"change": (late,)}),
        (NotFound, {"add": (task(world, zone_id=ZoneId("no such zone")),)}),
    )
    for error, changes in cases:
        with pytest.raises(error):
            await change(world, shift, **changes)
    await start_work(world.platform, world.property_id, mine.id, actor="ann")
    for changes in ({"delete": (mine.id,)}, {"change": (TaskChange(id=mine.id, name="x"),)}):
        with pytest.raises(WrongState):
            await change(world, shift, **changes)
    assert (await world.read(shift.id)).description == ""
    assert [one.name for one in await tasks_of(world, shift.id)] == ["Mopping"]


async def test_a_break_is_ended_by_its_own_id(world: World) -> None:
    seat = await world.seat()
    shift_id = await world.shift(seat)
    await start_shift(world.platform, world.property_id, seat, shift_id, actor="ann")
    given = (world.platform, world.property_id, seat, shift_id)
    await start_break(*given, break_id="tea", actor="ann")
    with pytest.raises(WrongState):
        await end_break(*given, break_id="lunch", actor="ann")
    assert not (await end_break(*given, break_id="tea", actor="ann")).on_break
