"""Pending is counted exactly, whatever the filter."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import msgspec
import pytest
from tests.simulation.world import subscription

from matrixhub.bus.subjects import sensor_subject
from matrixhub.deliveries.pending import Want, count_pending, count_wanted, first_wanted
from matrixhub.model.ids import BuildingId, PropertyId, ZoneId
from matrixhub.model.subscription import Filter, Position
from matrixhub.ports import Outgoing
from matrixhub.testing.memory_bus import MemoryBus

B1, B2, B3 = BuildingId("b1"), BuildingId("b2"), BuildingId("b3")


async def filled() -> MemoryBus:
    """Each of three buildings has a message of each of two types: a reading in zone z1 and two in z2."""
    bus = MemoryBus()
    lines = b'{"InsID":"z1"}\n{"InsID":"z2"}\n{"InsID":"z2"}'
    await bus.publish(
        [
            Outgoing(sensor_subject(PropertyId("p"), building, devtype), lines, 3, f"{building}{devtype}")
            for building in (B1, B2, B3)
            for devtype in ("X#A", "X#B")
        ]
        + [Outgoing(sensor_subject(PropertyId("other"), B1, "X#A"), lines, 3, "other")]
    )
    return bus


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (Filter(), 18),
        (Filter(buildings=frozenset({B1})), 6),
        (Filter(buildings=frozenset({B1, B3})), 12),
        (Filter(devtypes=frozenset({"X#A", "X#B"})), 18),
        (Filter(buildings=frozenset({B1, B2}), devtypes=frozenset({"X#B"})), 6),
        (Filter(zones=frozenset({ZoneId("z1")})), 6),
        (Filter(buildings=frozenset({B2, B3}), zones=frozenset({ZoneId("z2")})), 8),
        (Filter(zones=frozenset({ZoneId("none")})), 0),
    ],
)
async def test_what_waits_is_counted_for_any_filter(wanted: Filter, count: int) -> None:
    made = replace(subscription(), filter=wanted)
    assert await count_pending(await filled(), made, Position(seq=1)) == count


async def test_what_lies_before_the_position_is_not_counted() -> None:
    bus = await filled()
    assert await count_pending(bus, subscription(), Position(seq=2, item=1)) == 14
    zoned = replace(subscription(), filter=Filter(zones=frozenset({ZoneId("z2")})))
    assert await count_pending(bus, zoned, Position(seq=2, item=2)) == 1 + 4 * 2
    assert await count_pending(bus, subscription(), Position(seq=99)) == 0


async def many(seed: int) -> tuple[MemoryBus, list[tuple[int, int, str, BuildingId, str, str]]]:
    """A stream of messages of two properties, and every line in it: seq, item, property, building, type, zone."""
    chance, bus, lines = random.Random(seed), MemoryBus(), []
    for seq in range(1, 41):
        place = chance.choice(["p", "q"]), chance.choice([B1, B2, B3]), chance.choice(["X#A", "X#B"])
        zones = [chance.choice(["z1", "z2"]) for _ in range(chance.randrange(1, 5))]
        lines += [(seq, item, *place, zone) for item, zone in enumerate(zones)]
        data = "\n".join(msgspec.json.encode({"InsID": zone}).decode() for zone in zones).encode()
        subject = sensor_subject(PropertyId(place[0]), BuildingId(place[1]), place[2])
        await bus.publish([Outgoing(subject, data, len(zones), str(seq))])
    return bus, lines


FILTERS = [
    Filter(
        buildings=frozenset(map(BuildingId, buildings)), devtypes=frozenset(types), zones=frozenset(map(ZoneId, zones))
    )
    for buildings, types, zones in itertools.product([(), (B1,), (B2, B3)], [(), ("X#A",)], [(), ("z2",)])
]


@pytest.mark.parametrize("seed", range(5))
async def test_one_pass_counts_for_all_what_each_would_count_alone(seed: int) -> None:
    bus, lines = await many(seed)
    chance = random.Random(seed)
    places = [Position(seq=chance.randrange(1, 45), item=chance.randrange(3)) for _ in range(60)]
    wants = [
        Want(property_id=PropertyId(chance.choice("pqr")), filter=chance.choice(FILTERS), position=place)
        for place in places
    ]
    end = chance.randrange(30, 42)

    def wanted(want: Want) -> list[tuple[int, int]]:
        return [
            (seq, item)
            for seq, item, owner, building, devtype, zone in lines
            if owner == want.property_id
            and want.position <= Position(seq=seq, item=item)
            and seq < end
            and (not want.filter.buildings or building in want.filter.buildings)
            and (not want.filter.devtypes or devtype in want.filter.devtypes)
            and (not want.filter.zones or zone in want.filter.zones)
        ]

    assert await count_wanted(bus, wants, end) == [len(wanted(want)) for want in wants]
    for want in wants:
        found = wanted(want)
        assert await first_wanted(bus, want, end) == (found[0][0] if found else None)


async def test_a_message_that_cannot_be_read_counts_whole_for_a_zone_as_it_is_parked() -> None:
    bus = await filled()
    await bus.publish([Outgoing(sensor_subject(PropertyId("p"), B1, "X#A"), b"\xff{", 1, "bad")])
    zoned = replace(subscription(), filter=Filter(zones=frozenset({ZoneId("z1")})))
    assert await count_pending(bus, zoned, Position(seq=1)) == 6 + 1
