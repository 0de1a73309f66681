"""What a subscription has in front of it: tail and reads joined without gap or repeat."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime

import pytest

from matrixhub.bus.subjects import sensor_subject
from matrixhub.deliveries.feed import Feed
from matrixhub.deliveries.memory import Memory
from matrixhub.model.destination import Destination
from matrixhub.model.errors import BusError
from matrixhub.model.ids import BuildingId, PropertyId, SubscriptionId
from matrixhub.model.policy import BatchLimits
from matrixhub.model.subscription import Filter, Position, Subscription
from matrixhub.ports import Message, Outgoing
from matrixhub.testing.memory_bus import MemoryBus

PROPERTY = PropertyId("p")


def subscription(wanted: Filter = Filter()) -> Subscription:  # noqa: B008 - a frozen value
    return Subscription(
        id=SubscriptionId("sub_1"),
        property_id=PROPERTY,
        name="",
        filter=wanted,
        destination=Destination(url="https://example.test/"),
        limits=BatchLimits(),
        state="active",
        created_at=datetime(2024, 1, 1, tzinfo=UTC),
    )


def feed(seq: int = 1, *, wanted: Filter = Filter(), buffer_bytes: int = 10_000, read_bytes: int = 10_000) -> Feed:  # noqa: B008
    return Feed(
        subscription(wanted), Position(seq=seq), Memory(1 << 30), buffer_bytes=buffer_bytes, read_bytes=read_bytes
    )


def outgoing(number: int, building: str = "b", devtype: str = "X#T", *, size: int = 1) -> Outgoing:
    subject = sensor_subject(PROPERTY, BuildingId(building), devtype)
    return Outgoing(subject, f"{number}".encode().ljust(size, b"."), 1, f"id-{number}")


async def fill_live(target: Feed, bus: MemoryBus) -> list[int]:
    taken: list[int] = []
    while not target.live:
        await target.fill(bus)
        taken += drain(target)
    return taken


def drain(target: Feed) -> list[int]:
    taken: list[int] = []
    while target.waiting():
        taken.append(target.take().seq)
    return taken


async def test_it_reads_what_is_there_and_is_then_fed_by_the_tail() -> None:
    bus, target = MemoryBus(), feed()
    await bus.publish([outgoing(n) for n in range(3)])
    assert await fill_live(target, bus) == [1, 2, 3]
    await bus.publish([outgoing(3)])
    target.offer(bus.messages[3])
    assert target.bell.is_set()
    assert drain(target) == [4]
    assert bus.reads == 1


async def test_what_the_tail_repeats_of_a_read_is_not_taken_twice() -> None:
    bus, target = MemoryBus(), feed()
    await bus.publish([outgoing(n) for n in range(3)])
    filling = asyncio.create_task(target.fill(bus))
    await asyncio.sleep(0)
    for message in bus.messages:
        target.offer(message)
    await filling
    assert drain(target) == [1, 2, 3]


async def test_what_comes_during_the_last_read_is_gathered() -> None:
    bus, target = MemoryBus(), feed()
    await bus.publish([outgoing(0)])
    filling = asyncio.create_task(target.fill(bus))
    await asyncio.sleep(0)
    target.offer(Message(2, bus.messages[0].subject, b"1", 1))
    await filling
    assert target.live
    assert drain(target) == [1, 2]


async def test_a_full_buffer_falls_behind_and_catches_up_from_the_stream() -> None:
    bus, target = MemoryBus(), feed(buffer_bytes=100)
    assert await fill_live(target, bus) == []
    await bus.publish([outgoing(n, size=40) for n in range(10)])
    for message in bus.messages:
        target.offer(message)
    assert not target.live
    taken = drain(target)
    assert taken == [1, 2]
    taken += await fill_live(target, bus)
    assert taken == list(range(1, 11))


async def test_a_message_larger_than_the_buffer_is_still_taken() -> None:
    bus, target = MemoryBus(), feed(buffer_bytes=10)
    await fill_live(target, bus)
    await bus.publish([outgoing(0, size=1000)])
    target.offer(bus.messages[0])
    assert drain(target) == [1]


async def test_only_wanted_buildings_and_types_come_through_a_pattern_that_covers_more() -> None:
    wanted = Filter(buildings=frozenset({BuildingId("b1"), BuildingId("b2")}), devtypes=frozenset({"X#T", "X#U"}))
    bus, target = MemoryBus(), feed(wanted=wanted)
    await bus.publish(
        [outgoing(0, "b1", "X#T"), outgoing(1, "b3", "X#T"), outgoing(2, "b2", "X#V"), outgoing(3, "b2", "X#U")]
    )
    assert await fill_live(target, bus) == [1, 4]
    assert not target.matches(bus.messages[1].subject)


async def test_a_bus_that_is_away_leaves_the_place_in_the_stream() -> None:
    bus, target = MemoryBus(), feed()
    await bus.publish([outgoing(0)])
    bus.down = True
    with pytest.raises(BusError):
        await target.fill(bus)
    bus.down = False
    assert await fill_live(target, bus) == [1]


@pytest.mark.parametrize("seed", range(60))
async def test_any_interleaving_of_tail_and_reads_gives_every_message_once_in_order(seed: int) -> None:
    rng = random.Random(seed)
    bus = MemoryBus()
    target = feed(buffer_bytes=rng.choice([60, 200, 10_000]), read_bytes=rng.choice([1, 50, 10_000]))
    taken: list[int] = []
    offered = number = 0
    filling: asyncio.Task[None] | None = None
    for _ in range(400):
        action = rng.random()
        if action < 0.35 and number < 120:
            await bus.publish([outgoing(number, size=rng.randrange(1, 40))])
            number += 1
        elif action < 0.6 and offered < number:
            target.offer(bus.messages[offered])
            offered += 1
        elif action < 0.8 and target.waiting():
            taken.append(target.take().seq)
        elif filling is None and not target.live and not target.waiting():
            filling = asyncio.create_task(target.fill(bus))
        elif filling is not None:
            await asyncio.sleep(0)
            if filling.done():
                filling = None
    if filling is not None:
        await filling
    while offered < number:
        target.offer(bus.messages[offered])
        offered += 1
    taken += drain(target)
    while not target.live:
        await target.fill(bus)
        taken += drain(target)
    assert taken == list(range(1, number + 1))
