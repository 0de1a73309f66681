"""What the tail brought last answers for the stream, or leaves the answer to it."""

from __future__ import annotations

import asyncio

import pytest

from matrixhub.deliveries.recent import HeardBus, Recent
from matrixhub.ports import Message, Outgoing
from matrixhub.testing.fakes import FakeClock, settle
from matrixhub.testing.memory_bus import MemoryBus


class Reader(MemoryBus):
    """Counts how often its headers are read."""

    asked = 0

    def headers(self, subject: str, from_seq: int, to_seq: int):  # type: ignore[no-untyped-def]
        self.asked += 1
        return super().headers(subject, from_seq, to_seq)


def message(seq: int, subject: str = "sensors.p.b.T") -> Message:
    return Message(seq, subject, b"data", seq * 10)


async def filled(bus: MemoryBus, count: int) -> None:
    for number in range(1, count + 1):
        subject = "sensors.p.b.T" if number % 2 else "sensors.q.b.T"
        await bus.publish([Outgoing(subject, b"x", number, f"id-{number}")])


async def told(bus: HeardBus, subject: str, from_seq: int, to_seq: int) -> list[tuple[int, str, int]]:
    return [(m.seq, m.subject, m.items) async for page in bus.headers(subject, from_seq, to_seq) for m in page]


@pytest.mark.parametrize("subject", ["sensors.>", "sensors.p.*.*", "sensors.q.b.T"])
async def test_what_the_tail_brought_is_as_the_stream_has_it_and_not_read_again(subject: str) -> None:
    bus, recent = Reader(), Recent()
    await filled(bus, 30)
    recent.begin(5)
    recent.hear(bus.messages[4:])
    heard = HeardBus(bus, recent, FakeClock())
    for from_seq in range(5, 31):
        for to_seq in range(from_seq, 32):
            found = await told(heard, subject, from_seq, to_seq)
            assert bus.asked == 0
            stream = [m async for page in bus.headers(subject, from_seq, to_seq) for m in page]
            bus.asked = 0
            assert found == [(m.seq, m.subject, m.items) for m in stream]


async def test_what_came_before_the_tail_or_was_forgotten_is_read_from_the_stream() -> None:
    bus, recent = Reader(), Recent(messages_max=10)
    await filled(bus, 30)
    heard = HeardBus(bus, recent, FakeClock())
    assert len(await told(heard, "sensors.>", 1, 31)) == 30
    recent.begin(5)
    recent.hear(bus.messages[4:])
    assert len(await told(heard, "sensors.>", 20, 31)) == 11
    assert bus.asked == 2
    assert len(await told(heard, "sensors.>", 21, 31)) == 10
    assert bus.asked == 2


async def test_a_tail_that_lags_is_waited_for_and_not_for_long() -> None:
    bus, recent, clock = Reader(), Recent(), FakeClock()
    await filled(bus, 4)
    recent.begin(1)
    recent.hear(bus.messages[:2])
    heard = HeardBus(bus, recent, clock)
    waiting = asyncio.create_task(told(heard, "sensors.>", 1, 5))
    await settle()
    recent.hear(bus.messages[2:])
    await settle()
    assert len(await waiting) == 4
    assert bus.asked == 0
    late = asyncio.create_task(told(heard, "sensors.>", 1, 6))
    await settle()
    assert not late.done()
    await clock.advance(2)
    assert len(await late) == 4
    assert bus.asked == 1


async def test_messages_that_were_removed_leave_no_doubt() -> None:
    recent = Recent()
    recent.begin(1)
    recent.hear([message(1), message(4), message(9)])
    assert [m.seq for m in recent.between(2, 10)] == [4, 9]
    assert [m.seq for m in recent.between(4, 9)] == [4]
    assert [m.seq for m in recent.between(5, 9)] == []
