"""A span is counted and read exactly, wherever in messages it begins and ends, whatever the filter."""

from __future__ import annotations

import itertools
from dataclasses import replace

import msgspec
import pytest
from tests.simulation.world import subscription

from matrixhub.bus.subjects import sensor_subject
from matrixhub.deliveries.span import count_span, read_span
from matrixhub.model.ids import BuildingId, PropertyId, ZoneId
from matrixhub.model.subscription import Filter, Position
from matrixhub.ports import Outgoing
from matrixhub.testing.memory_bus import MemoryBus

B1, B2 = BuildingId("b1"), BuildingId("b2")
FILTERS = [
    Filter(),
    Filter(buildings=frozenset({B1})),
    Filter(buildings=frozenset({B1, B2}), devtypes=frozenset({"X#A"})),
    Filter(zones=frozenset({ZoneId("z1")})),
    Filter(buildings=frozenset({B2}), zones=frozenset({ZoneId("z1"), ZoneId("z2")})),
    Filter(zones=frozenset({ZoneId("none")})),
]


async def filled() -> MemoryBus:
    """Two buildings, two types, three lines a message in turning zones; every third message is of another property."""
    bus = MemoryBus()
    zones = itertools.cycle(("z1", "z2", "z1", "z3"))
    for number in range(1, 10):
        owner = "other" if number % 3 == 0 else "p"
        subject = sensor_subject(PropertyId(owner), (B1, B2)[number % 2], ("X#A", "X#B")[number % 4 // 2])
        lines = "\n".join(f'{{"n":"{number}.{item}","InsID":"{next(zones)}"}}' for item in range(3))
        await bus.publish([Outgoing(subject, lines.encode(), 3, str(number))])
    return bus


def wanted_between(bus: MemoryBus, wanted: Filter, start: Position, end: Position) -> list[str]:
    """What lies between the positions, found by looking at every line."""
    found = []
    for message in bus.messages:
        _, owner, building, devtype = message.subject.split(".")
        for item, line in enumerate(message.data.decode().split("\n")):
            zone = msgspec.json.decode(line)["InsID"]
            if (
                owner == "p"
                and start <= Position(seq=message.seq, item=item) < end
                and (not wanted.buildings or building in wanted.buildings)
                and (not wanted.devtypes or devtype in wanted.devtypes)
                and (not wanted.zones or zone in wanted.zones)
            ):
                found.append(line)
    return found


@pytest.mark.parametrize("wanted", FILTERS)
async def test_every_span_is_counted_and_read_exactly(wanted: Filter) -> None:
    bus = await filled()
    made = replace(subscription(), filter=wanted)
    places = [Position(seq=seq, item=item) for seq in (1, 2, 3, 4, 7, 9, 10, 12) for item in (0, 1, 2, 5)]
    for start, end in itertools.product(places, places):
        expected = wanted_between(bus, wanted, start, end)
        assert await count_span(bus, made, start, end) == len(expected), (start, end)
        strings = [string async for piece in read_span(bus, made, start, end) for string in piece.strings]
        assert [msgspec.json.decode(b'"%b"' % string) for string in strings] == expected, (start, end)


async def test_it_is_told_how_far_the_stream_was_looked_at() -> None:
    told: list[int] = []
    made = replace(subscription(), filter=Filter(zones=frozenset({ZoneId("z1")})))
    await count_span(await filled(), made, Position(seq=1), Position(seq=9), told.append)
    assert told[-1] == 9


async def test_a_message_that_cannot_be_read_counts_whole_as_it_is_parked() -> None:
    bus = await filled()
    await bus.publish([Outgoing(sensor_subject(PropertyId("p"), B1, "X#A"), b"\xff", 1, "bad")])
    made = replace(subscription(), filter=Filter(zones=frozenset({ZoneId("z1")})))
    good = await count_span(bus, made, Position(seq=1), Position(seq=10))
    assert await count_span(bus, made, Position(seq=1), Position(seq=11)) == good + 1 > 1
