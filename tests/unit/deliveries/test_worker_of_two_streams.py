"""A worker follows both streams and takes none for the other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from tests.simulation.world import LEASE_S, items_of, outgoing, subscription

from matrixhub.bus.subjects import event_subject
from matrixhub.deliveries import Worker, WorkerSettings, runner
from matrixhub.deliveries.recent import Recent
from matrixhub.model.errors import DestinationUnreachable
from matrixhub.model.ids import PropertyId, SubscriptionId, WorkerId
from matrixhub.model.subscription import Filter, Lease, Position, Progress, Source, Subscription
from matrixhub.ports import Outgoing, Push
from matrixhub.testing.fakes import FakeClock, MemoryLeases, ScriptedSender, settle
from matrixhub.testing.memory_bus import MemoryBus

SETTINGS = WorkerSettings(lease_s=LEASE_S, buffer_bytes=10_000, read_bytes=10_000)


class World:
    """Both streams in memory, and what a worker needs besides."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.readings, self.events = MemoryBus(now_ms=self.clock.now_ms), MemoryBus(now_ms=self.clock.now_ms)
        self.buses: Mapping[Source, MemoryBus] = {"sensors": self.readings, "events": self.events}
        self.leases = MemoryLeases(self.clock.monotonic)
        self.sender = ScriptedSender()
        self.recent: Mapping[Source, Recent] = {"sensors": Recent(), "events": Recent()}

    def subscribe(self, number: int, *patterns: str, source: Source = "events", owner: str = "p") -> None:
        made = replace(
            subscription(number, property_id=owner), filter=Filter(source=source, patterns=frozenset(patterns))
        )
        progress = Progress(position=Position(seq=1))
        self.leases.add(Lease(subscription=made, progress=progress, worker=WorkerId(""), fence=0))

    def progress(self, number: int) -> Progress:
        return self.leases.leases[SubscriptionId(f"sub_{number}")].progress

    def got(self, number: int) -> list[object]:
        return [
            item
            for push in self.sender.taken
            if push.subscription.id == f"sub_{number}"
            for item in _items(push.subscription, push)
        ]

    async def happen(self, *names: str, owner: str = "p", building: str = "b1", priority: str = "HIGH") -> None:
        words = ["matrix", building, "scgrids", "ZONE_CREATED", priority]
        subject = event_subject(PropertyId(owner), words)
        await self.events.publish([Outgoing(subject, b'{"n":"%s"}' % name.encode(), 1, name) for name in names])

    @asynccontextmanager
    async def working(self) -> AsyncIterator[Worker]:
        worker = Worker(
            WorkerId("wrk_1"),
            SETTINGS,
            self.buses,
            self.leases,
            self.sender,
            self.clock,
            lambda _fact: None,
            self.recent,
        )
        stop = asyncio.Event()
        task = asyncio.create_task(worker.run(stop))
        await settle()
        try:
            yield worker
        finally:
            stop.set()
            await settle()
            task.cancel()
            await asyncio.wait({task})


def _items(made: Subscription, push: Push) -> Sequence[object]:
    return items_of([push]) if made.filter.source == "sensors" else [event["n"] for event in json.loads(push.body)]


@pytest.fixture
def world() -> World:
    return World()


async def test_readings_and_events_reach_those_who_asked_for_them(world: World) -> None:
    world.subscribe(1, source="sensors")
    world.subscribe(2)
    world.subscribe(3, "matrix.b1.#", "#.HIGH")
    async with world.working():
        await world.readings.publish([outgoing("m1", "r1"), outgoing("m2", "r2")])
        await world.happen("e1")
        await world.happen("e2", building="b2", priority="LOW")
        await world.happen("e3", building="b2")
        await settle()
    assert world.got(1) == ["r1", "r2"]
    assert world.got(2) == ["e1", "e2", "e3"]
    assert world.got(3) == ["e1", "e3"]
    assert [world.progress(n).delivered for n in (1, 2, 3)] == [2, 3, 2]
    assert world.progress(2).position == Position(seq=4)


async def test_events_of_another_property_with_the_same_building_are_not_delivered(world: World) -> None:
    world.subscribe(1, "#")
    world.subscribe(2, "#", owner="q")
    await world.happen("p-stored")
    await world.happen("q-stored", owner="q")
    async with world.working():
        await world.happen("q-live", owner="q")
        await world.happen("p-live")
        await settle()
    assert world.got(1) == ["p-stored", "p-live"]
    assert world.got(2) == ["q-stored", "q-live"]


async def test_an_event_that_is_not_taken_is_sent_again_with_the_same_bytes_and_id(world: World) -> None:
    world.subscribe(1)
    world.sender.script = [DestinationUnreachable("down"), None]
    async with world.working():
        await world.happen("e1")
        await settle()
        await world.clock.advance(1.1)
        await settle()
    first, second = world.sender.attempts
    assert (first.request_id, first.body) == (second.request_id, second.body)
    assert world.got(1) == ["e1"]


async def test_a_worker_that_follows_but_one_of_the_streams_is_not_healthy(world: World) -> None:
    world.events.down = True
    world.subscribe(1, source="sensors")
    async with world.working() as worker:
        assert not worker.healthy()
        await world.events.come_back()
        for _ in range(3):
            await world.clock.advance(0.3)
        await settle()
        assert worker.healthy()


async def test_each_tail_is_remembered_for_itself(world: World) -> None:
    async with world.working():
        await world.readings.publish([outgoing("m1", "r1")])
        await world.happen("e1", "e2")
        await settle()
    assert [message.seq for message in world.recent["events"].between(1, 9)] == [1, 2]
    assert [message.seq for message in world.recent["sensors"].between(1, 9)] == [1]


async def test_any_number_of_subjects_is_delivered_while_only_some_are_remembered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "ROUTES_MAX", 3)
    world.subscribe(1)
    names = [f"e{n}" for n in range(10)]
    async with world.working():
        for name in names:
            await world.happen(name, building=name)
        await settle()
    assert world.got(1) == names
