"""Events are counted exactly: patterns that overlap count once, and other properties count nothing."""

from __future__ import annotations

import random

import pytest

from matrixhub.bus.subjects import event_subject
from matrixhub.deliveries.pending import Want, count_pending, count_wanted, first_wanted
from matrixhub.deliveries.span import count_span, read_span
from matrixhub.model.ids import PropertyId
from matrixhub.model.routing import matches
from matrixhub.model.subscription import Filter, Position
from matrixhub.ports import Outgoing
from matrixhub.testing.memory_bus import MemoryBus
from matrixhub.testing.samples import sample_subscription

PATTERNS = ["#", "matrix.b1.#", "#.HIGH", "matrix.b1.*.*.HIGH", "matrix.*.m.#", "*.b2.#", "matrix.none.#"]

Kept = list[tuple[int, str, str]]
"""Sequence, property and routing key of each message."""


async def many(chance: random.Random) -> tuple[MemoryBus, Kept]:
    bus, kept = MemoryBus(), Kept()
    for seq in range(1, 61):
        owner = chance.choice(["p", "q"])
        words = ["matrix", chance.choice(["b1", "b2"]), chance.choice("mn"), "E", chance.choice(["HIGH", "LOW"])]
        line = b'{"RoutingKey":"%s"}' % ".".join(words).encode()
        await bus.publish([Outgoing(event_subject(PropertyId(owner), words), line, 1, str(seq))])
        kept.append((seq, owner, ".".join(words)))
    return bus, kept


def wanted_of(kept: Kept, want: Want, end: int) -> list[int]:
    return [
        seq
        for seq, owner, key in kept
        if owner == want.property_id
        and Position(seq=seq) >= want.position
        and seq < end
        and (not want.filter.patterns or any(matches(pattern, key) for pattern in want.filter.patterns))
    ]


def some_filter(chance: random.Random) -> Filter:
    return Filter(source="events", patterns=frozenset(chance.sample(PATTERNS, chance.randrange(4))))


@pytest.mark.parametrize("seed", range(6))
async def test_one_pass_counts_for_all_what_each_would_count_alone(seed: int) -> None:
    chance = random.Random(seed)
    bus, kept = await many(chance)
    end = chance.randrange(40, 62)
    wants = [
        Want(
            property_id=PropertyId(chance.choice("pqr")),
            filter=some_filter(chance),
            # An item above 0 is the place behind the only event of its message.
            position=Position(seq=chance.randrange(1, 65), item=chance.randrange(2)),
        )
        for _ in range(60)
    ]
    assert await count_wanted(bus, wants, end) == [len(wanted_of(kept, want, end)) for want in wants]
    for want in wants:
        found = wanted_of(kept, want, end)
        assert await first_wanted(bus, want, end) == (found[0] if found else None)


@pytest.mark.parametrize("seed", range(6))
async def test_a_span_of_events_is_counted_and_read_exactly(seed: int) -> None:
    chance = random.Random(seed)
    bus, kept = await many(chance)
    made = sample_subscription(filter=some_filter(chance))
    start, end = sorted(Position(seq=chance.randrange(1, 63)) for _ in range(2))
    want = Want(property_id=PropertyId("p"), filter=made.filter, position=start)
    expected = wanted_of(kept, want, end.seq)
    assert await count_span(bus, made, start, end) == len(expected)
    assert [piece.seq async for piece in read_span(bus, made, start, end)] == expected
    assert await count_pending(bus, made, start, end.seq) == len(expected)


async def test_overlapping_patterns_count_an_event_once() -> None:
    bus, kept = await many(random.Random(7))
    made = sample_subscription(filter=Filter(source="events", patterns=frozenset({"matrix.b1.#", "#.HIGH"})))
    expected = [key for _, owner, key in kept if owner == "p" and (".b1." in key or key.endswith("HIGH"))]
    both = [key for key in expected if ".b1." in key and key.endswith("HIGH")]
    assert both
    assert await count_span(bus, made, Position(seq=1), Position(seq=99)) == len(expected)
