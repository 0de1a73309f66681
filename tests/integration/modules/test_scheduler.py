"""The scheduler on a real PostgreSQL and a clock that the test owns."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.modules.rig import FreeDuty, World

from matrixhub.lifecycle import SystemClock
from matrixhub.model.errors import NotFound
from matrixhub.model.event import platform_event
from matrixhub.modules.scheduler import LOOK_S, Fire, Scheduler
from matrixhub.modules.work import Platform, Work
from matrixhub.observe import Fact, StoreFailed, TimerFailed, TimerFired, TimerForgotten, ignore
from matrixhub.store import Database
from matrixhub.store.duty import PostgresDuty
from matrixhub.store.pool import listen
from matrixhub.store.timers import TIMER_CHANNEL
from matrixhub.testing.fakes import FakeClock

pytestmark = pytest.mark.asyncio(loop_scope="session")

TEST_DUTY = 0x6D78_6875_62F6


class Diary:
    """Handlers that note, in the database, what fired: a note that is not committed was never made."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.handlers: dict[str, Fire] = {"late": self._fire("late"), "later": self._fire("later")}

    def _fire(self, kind: str) -> Fire:
        async def fire(work: Work, entity_id: str) -> None:
            await lock(work)
            if await work.take_timer(kind, entity_id):
                self.note(work, kind, entity_id)

        return fire

    def note(self, work: Work, kind: str, entity_id: str) -> None:
        work.publish(
            platform_event(
                "SHIFT_DELAYED",
                work.property_id,
                self.world.building_id,
                happened_at=work.now_s,
                description=f"{kind} {entity_id}",
                meta={},
            )
        )

    async def read(self) -> list[str]:
        return [str(event["Description"]) for event in await self.world.events()]


async def lock(work: Work) -> None:
    """Lock the thing; here all timers are for the property."""
    await work.connection.fetchrow("select id from properties where id = $1 for update", work.property_id)


async def set_timer(world: World, kind: str, entity_id: str, in_s: float) -> None:
    async with world.platform.work(world.property_id) as work:
        work.set_timer(kind, entity_id, work.now + timedelta(seconds=in_s))


def scheduler(
    world: World, handlers: Mapping[str, Fire], facts: list[Fact] | None = None, database: Database | None = None
) -> Scheduler:
    platform = Platform(database=database or world.database, clock=world.clock)
    return Scheduler(platform, handlers, FreeDuty(), ignore if facts is None else facts.append)


async def timers(world: World) -> list[dict[str, Any]]:
    return await world.rows("select kind, entity_id, due_at, failures, last_error from timers order by due_at")


async def test_timers_fire_once_and_in_the_order_in_which_they_are_due(world: World) -> None:
    diary, facts = Diary(world), list[Fact]()
    for entity, in_s in (("c", 30), ("a", 10), ("b", 20), ("d", 40)):
        await set_timer(world, "late", entity, in_s)
    sched = scheduler(world, diary.handlers, facts)
    assert await sched.fire_due() == 0
    await world.clock.advance(30)
    assert await sched.fire_due() == 3
    assert await sched.fire_due() == 0
    assert await diary.read() == ["late a", "late b", "late c"]
    assert facts == [TimerFired(kind="late", lag_s=lag) for lag in (20.0, 10.0, 0.0)]


async def test_a_timer_that_is_set_anew_or_cancelled_does_not_fire_at_its_old_time(world: World) -> None:
    diary = Diary(world)
    await set_timer(world, "late", "a", 10)
    await set_timer(world, "late", "b", 10)
    await set_timer(world, "late", "a", 50)
    async with world.platform.work(world.property_id) as work:
        work.cancel_timer("late", "b")
    await world.clock.advance(49)
    assert await scheduler(world, diary.handlers).fire_due() == 0
    await world.clock.advance(1)
    assert await scheduler(world, diary.handlers).fire_due() == 1
    assert await diary.read() == ["late a"]


async def test_after_an_outage_a_chain_of_overdue_timers_fires_whole_and_in_the_order_of_their_due_times(
    world: World,
) -> None:
    diary = Diary(world)

    async def late(work: Work, entity_id: str) -> None:
        await lock(work)
        if await work.take_timer("late", entity_id):
            diary.note(work, "late", entity_id)
            work.set_timer("later", entity_id, work.now - timedelta(hours=9))

    await set_timer(world, "late", "a", 10)
    await set_timer(world, "late", "b", 7200)
    await world.clock.advance(86_400)
    assert await scheduler(world, {**diary.handlers, "late": late}).fire_due() == 4
    assert await diary.read() == ["late a", "late b", "later a", "later b"]


async def test_a_restarted_scheduler_fires_what_was_set_before(world: World) -> None:
    diary = Diary(world)
    await set_timer(world, "late", "a", 10)
    assert await scheduler(world, diary.handlers).fire_due() == 0
    await world.clock.advance(100)
    assert await scheduler(world, diary.handlers).fire_due() == 1
    assert await diary.read() == ["late a"]


async def test_several_schedulers_at_once_fire_each_timer_once(world: World) -> None:
    diary = Diary(world)
    for number in range(40):
        await set_timer(world, "late", f"{number:02}", number)
    await world.clock.advance(100)
    await asyncio.gather(*(scheduler(world, diary.handlers).fire_due() for _ in range(3)))
    assert sorted(await diary.read()) == [f"late {number:02}" for number in range(40)]
    assert await timers(world) == []


class Crash(BaseException):
    """The process ends here."""


async def test_a_crash_before_the_commit_undoes_everything_and_the_timer_fires_later(world: World) -> None:
    diary = Diary(world)

    async def crash(work: Work, entity_id: str) -> None:
        await diary.handlers["late"](work, entity_id)
        await work.settle()
        raise Crash

    await set_timer(world, "late", "a", 0)
    with pytest.raises(Crash):
        await scheduler(world, {"late": crash}).fire_due()
    assert await diary.read() == []
    assert await scheduler(world, diary.handlers).fire_due() == 1
    assert await diary.read() == ["late a"]


async def test_a_crash_after_the_commit_does_not_fire_it_again(world: World) -> None:
    diary = Diary(world)

    def crash(_fact: Fact) -> None:
        raise Crash

    await set_timer(world, "late", "a", 0)
    with pytest.raises(Crash):
        await Scheduler(world.platform, diary.handlers, FreeDuty(), crash).fire_due()
    assert await scheduler(world, diary.handlers).fire_due() == 0
    assert await diary.read() == ["late a"]


async def test_a_handler_that_fails_is_put_off_ever_longer_and_holds_no_other_up(world: World) -> None:
    diary, facts = Diary(world), list[Fact]()

    async def fail(work: Work, entity_id: str) -> None:
        await diary.handlers["late"](work, entity_id)
        raise ValueError("the bins are full")

    await set_timer(world, "late", "a", 0)
    await set_timer(world, "later", "b", 0)
    broken = scheduler(world, {**diary.handlers, "late": fail}, facts)
    began = world.platform.now()
    assert await broken.fire_due() == 2
    assert await diary.read() == ["later b"]
    [timer] = await timers(world)
    assert (timer["due_at"] - began, timer["failures"]) == (timedelta(seconds=30), 1)
    assert timer["last_error"] == "ValueError: the bins are full"
    await world.clock.advance(29)
    assert await broken.fire_due() == 0
    await world.clock.advance(1)
    assert await broken.fire_due() == 1
    assert [f.retry_in_s for f in facts if isinstance(f, TimerFailed)] == [30.0, 60.0]
    await world.clock.advance(60)
    assert await scheduler(world, diary.handlers).fire_due() == 1
    assert await diary.read() == ["later b", "late a"]


async def test_a_timer_that_was_set_anew_while_its_handler_failed_keeps_its_new_time(world: World) -> None:
    async def fail(_work: Work, entity_id: str) -> None:
        await set_timer(world, "late", entity_id, 5)
        raise ValueError

    await set_timer(world, "late", "a", 0)
    assert await scheduler(world, {"late": fail}).fire_due() == 1
    [timer] = await timers(world)
    assert (timer["due_at"] - world.platform.now(), timer["failures"]) == (timedelta(seconds=5), 0)


async def test_a_timer_goes_with_the_thing_it_is_for(world: World) -> None:
    facts: list[Fact] = []

    async def gone(_work: Work, _entity_id: str) -> None:
        raise NotFound("there is no such thing")

    async def idle(_work: Work, _entity_id: str) -> None:
        """It has nothing to do and forgets to take the timer."""

    await set_timer(world, "late", "a", 0)
    await set_timer(world, "later", "b", 0)
    assert await scheduler(world, {"late": gone, "later": idle}, facts).fire_due() == 2
    assert await timers(world) == []
    assert TimerForgotten(kind="late", entity="a", reason="there is no such thing") in facts


async def test_timers_of_unknown_kinds_are_left_to_those_who_know_them(world: World) -> None:
    await set_timer(world, "unheard of", "a", 0)
    assert await scheduler(world, Diary(world).handlers).fire_due() == 0
    assert len(await timers(world)) == 1


class CutPool:
    """A pool whose server may be away."""

    def __init__(self, pool: Any) -> None:
        self.pool, self.away = pool, False

    @contextlib.asynccontextmanager
    async def acquire(self, *, timeout: float) -> AsyncIterator[Any]:
        if self.away:
            raise ConnectionRefusedError("no server")
        async with self.pool.acquire(timeout=timeout) as connection:
            yield connection


async def wait_until(done: Any) -> None:
    async with asyncio.timeout(20):
        while not await done():  # noqa: ASYNC110 - what is waited for happens in the database
            await asyncio.sleep(0.01)


async def test_the_stage_outlives_postgresql_being_away_and_fires_when_it_is_back(world: World) -> None:
    diary, facts = Diary(world), list[Fact]()
    pool = CutPool(world.database.pool)
    platform = Platform(database=Database(pool, world.database.dsn), clock=SystemClock())
    sched, stop = Scheduler(platform, diary.handlers, FreeDuty(), facts.append), asyncio.Event()
    pool.away = True
    running = asyncio.create_task(sched.run(stop))
    await wait_until(lambda: _true(any(isinstance(fact, StoreFailed) for fact in facts)))
    await set_timer(world, "late", "a", 0)
    pool.away = False
    sched.changed()
    await wait_until(diary.read)
    stop.set()
    await running
    assert await diary.read() == ["late a"]


class JumpingClock(FakeClock):
    """A clock that is set forward while nobody's waits end any sooner."""

    jump_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.jump_ms


async def test_a_clock_that_is_set_forward_is_noticed_within_seconds(world: World) -> None:
    diary, clock, stop = Diary(world), JumpingClock(), asyncio.Event()
    await set_timer(world, "late", "a", 3600)
    sched = Scheduler(Platform(database=world.database, clock=clock), diary.handlers, FreeDuty(), ignore)
    running = asyncio.create_task(sched.run(stop))
    clock.jump_ms = 3_600_000

    async def wait_and_see() -> bool:
        await clock.advance(LOOK_S)
        return bool(await diary.read())

    await wait_until(wait_and_see)
    stop.set()
    await running
    assert clock.monotonic() < 3600


async def test_of_two_stages_one_fires_the_other_takes_over_and_both_hear_of_new_timers(world: World) -> None:
    diary, stops = Diary(world), [asyncio.Event(), asyncio.Event()]
    platform = Platform(database=world.database, clock=SystemClock())
    duties = [PostgresDuty(world.database.dsn, TEST_DUTY) for _ in stops]
    copies = [Scheduler(platform, diary.handlers, duty, ignore) for duty in duties]
    async with asyncio.TaskGroup() as group:
        runs = [group.create_task(copy.run(stop)) for copy, stop in zip(copies, stops, strict=True)]
        for copy, stop in zip(copies, stops, strict=True):
            group.create_task(listen(world.database, TIMER_CHANNEL, copy.changed, stop, ignore))
        await set_timer(world, "late", "a", 0)
        await wait_until(diary.read)
        stops[0].set()  # whether it had the duty or not, the other has it now
        await runs[0]
        await set_timer(world, "late", "b", 0)

        async def both() -> bool:
            return len(await diary.read()) == 2

        await wait_until(both)
        stops[1].set()
    assert await diary.read() == ["late a", "late b"]


async def _true(value: bool) -> bool:
    return value
