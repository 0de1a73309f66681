"""The stage that rolls up, on doubles: it does what is marked and over, and gives way to the store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from tests.readings import Writer

from matrixhub.model.errors import StoreError
from matrixhub.observe import Fact, HoursRolledUp, RollupsDropped, StoreFailed
from matrixhub.ports import RollupRound
from matrixhub.sources.sites import make_site
from matrixhub.telemetry import Roller, RollerSettings
from matrixhub.telemetry.roller import BEHIND_MAX, DROP_S, QUIET, ROUND_S
from matrixhub.testing.fakes import FakeClock, settle
from matrixhub.testing.memory_bus import MemoryBus

HOUR = timedelta(hours=1)
SLOT = make_site(20, seed=7).slots[0]
WRITER = Writer()
RETENTION = timedelta(days=730)


@dataclass
class MemoryRollups:
    """The port `Rollups`: marks that are only remembered."""

    marked: set[datetime] = field(default_factory=set)
    asked: list[int] = field(default_factory=list)
    rolled: list[datetime] = field(default_factory=list)
    stored: int = 0
    made: list[tuple[datetime, datetime]] = field(default_factory=list)
    dropped_before: list[datetime] = field(default_factory=list)
    down: bool = False
    most: int = 1_000

    async def begin(self, before: datetime) -> RollupRound | None:
        if self.down:
            raise StoreError
        over = [hour for hour in self.marked if hour < before]
        return RollupRound(generation=1, first=min(over), before=before) if over else None

    async def roll(self, found: RollupRound, hours_max: int) -> int:
        self.asked.append(hours_max)
        if hours_max > self.most and self.marked:
            raise StoreError
        hours = sorted(hour for hour in self.marked if hour < found.before)[:hours_max]
        self.rolled += hours
        self.marked -= set(hours)
        return len(hours)

    async def position(self) -> int:
        return self.stored

    async def make_partitions(self, since: datetime, until: datetime) -> Sequence[str]:
        self.made.append((since, until))
        return []

    async def drop(self, before: datetime) -> Sequence[str]:
        self.dropped_before.append(before)
        return ["reading_hours_20010101"] if len(self.dropped_before) == 1 else []


class Sole:
    """The port `Duty` of a process that has it, or not."""

    def __init__(self) -> None:
        self.mine = True
        self.closed = False

    async def held(self) -> bool:
        return self.mine

    async def close(self) -> None:
        self.closed = True


@dataclass
class Scene:
    bus: MemoryBus = field(default_factory=MemoryBus)
    rollups: MemoryRollups = field(default_factory=MemoryRollups)
    duty: Sole = field(default_factory=Sole)
    clock: FakeClock = field(default_factory=FakeClock)
    facts: list[Fact] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.now_ms() / 1000, UTC)

    def roller(self) -> Roller:
        kept = RollerSettings(retention_s=RETENTION.total_seconds())
        return Roller(self.bus, self.rollups, self.duty, self.clock, self.facts.append, kept)

    async def round(self, roller: Roller) -> None:
        """One round, which rests between its steps."""
        task = asyncio.create_task(roller.round(self.stop))
        while not task.done():
            await settle()
            await self.clock.advance(0.1)
        await task

    async def run_until(self, advances: int) -> None:
        task = asyncio.create_task(self.roller().run(self.stop))
        for _ in range(advances):
            await settle()
            await self.clock.advance(ROUND_S)
        self.stop.set()
        await self.clock.advance(ROUND_S)
        await asyncio.wait_for(task, 5)


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_an_hour_is_rolled_up_when_it_has_been_over_for_a_while(scene: Scene) -> None:
    over = scene.now - HOUR - QUIET
    scene.rollups.marked = {over - timedelta(seconds=1), over, over + timedelta(minutes=3), scene.now}
    await scene.run_until(2)
    assert scene.rollups.rolled == [over - timedelta(seconds=1), over]
    assert len(scene.rollups.marked) == 2
    assert sum(fact.hours for fact in scene.facts if isinstance(fact, HoursRolledUp)) == 2
    assert scene.duty.closed


async def test_nothing_is_rolled_up_while_the_store_is_far_behind(scene: Scene) -> None:
    scene.rollups.marked = {scene.now - timedelta(days=1)}
    await scene.bus.publish([WRITER.message(SLOT, [(n, {"count": 1})]) for n in range(BEHIND_MAX + 1)])
    await scene.round(scene.roller())
    assert scene.rollups.rolled == []
    scene.rollups.stored = 1
    await scene.round(scene.roller())
    assert len(scene.rollups.rolled) == 1


async def test_who_has_not_the_duty_does_nothing(scene: Scene) -> None:
    scene.duty.mine = False
    scene.rollups.marked = {scene.now - timedelta(days=1)}
    await scene.run_until(3)
    assert scene.rollups.rolled == []
    assert scene.duty.closed


async def test_an_outage_is_told_and_a_step_that_fails_is_tried_with_fewer_hours(scene: Scene) -> None:
    scene.rollups.marked = {scene.now - timedelta(days=n) for n in range(1, 4)}
    scene.rollups.most = 20
    await scene.run_until(8)
    assert scene.rollups.asked[:3] == [50, 25, 12]
    assert len(scene.rollups.rolled) == 3
    assert [fact.step for fact in scene.facts if isinstance(fact, StoreFailed)] == ["roll up readings"] * 2


async def test_partitions_are_made_for_what_is_rolled_up_but_not_for_what_is_too_old(scene: Scene) -> None:
    began = scene.now
    scene.rollups.marked = {datetime(1971, 1, 1, tzinfo=UTC)}
    await scene.round(scene.roller())
    [(since, until)] = scene.rollups.made
    assert since == began - RETENTION
    assert until > scene.now


async def test_what_is_too_old_is_dropped_once_an_hour(scene: Scene) -> None:
    began, roller = scene.now, scene.roller()
    await scene.round(roller)
    await scene.round(roller)
    assert scene.rollups.dropped_before == [began - RETENTION]
    await scene.clock.advance(DROP_S)
    await scene.round(roller)
    assert len(scene.rollups.dropped_before) == 2
    assert sum(isinstance(fact, RollupsDropped) for fact in scene.facts) == 1
