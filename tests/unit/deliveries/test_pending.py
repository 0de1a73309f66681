"""Pending is counted exactly, whatever the filter."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.simulation.world import subscription

from matrixhub.bus.subjects import sensor_subject
from matrixhub.deliveries.pending import count_pending
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
