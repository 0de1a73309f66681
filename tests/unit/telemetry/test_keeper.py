"""The role `store` on doubles: every reading of the stream once, whatever fails, comes twice or is no reading."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from tests.readings import Writer

from matrixhub.model.ids import PropertyId
from matrixhub.model.reading_line import KeptReading, Splitter
from matrixhub.model.site import Slot
from matrixhub.observe import (
    ClockDoubted,
    Fact,
    PartitionsKept,
    ReadingsDeleted,
    ReadingsStored,
    ReadingsUnstorable,
    StoreGoesOn,
    StoreMeasured,
    StoreMissed,
    StoreWaits,
)
from matrixhub.ports import Message, Outgoing, RefusedLine
from matrixhub.sources.sites import make_site
from matrixhub.telemetry import Keeper, KeeperSettings
from matrixhub.telemetry.batches import cut_batches, split_message
from matrixhub.telemetry.keeper import DELETE_ROWS, DUTY_S, MEASURE_S, RETRY_S, ROUND_RETRY_S, ROUND_S
from matrixhub.telemetry.retention import DOUBTS
from matrixhub.testing.fakes import FakeClock, settle
from matrixhub.testing.memory_bus import MemoryBus
from matrixhub.testing.memory_readings import MemoryPartitions, MemoryReadings

F = TypeVar("F", bound=Fact)
SLOTS = make_site(20, seed=7).slots
SLOT = next(slot for slot in SLOTS if slot.devtype == "SMARTCLEAN#PPLCTR")
WRITER = Writer()
NOW_MS = FakeClock().now_ms()
DAY_MS = 86_400_000


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
    """A store at work on doubles."""

    bus: MemoryBus = field(default_factory=MemoryBus)
    readings: MemoryReadings = field(default_factory=MemoryReadings)
    partitions: MemoryPartitions = field(default_factory=MemoryPartitions)
    clock: FakeClock = field(default_factory=FakeClock)
    duty: Sole = field(default_factory=Sole)
    facts: list[Fact] = field(default_factory=list)
    batch_items: int = 100

    def keeper(self) -> Keeper:
        kept = KeeperSettings(batch_items=self.batch_items, batch_bytes=1 << 20, retention_s=180 * 86_400)
        return Keeper(self.bus, self.readings, self.partitions, self.duty, self.clock, self.facts.append, kept)

    async def send(self, *instants: int, slot: Slot = SLOT) -> None:
        """A message of the stream."""
        message = WRITER.message(slot, [(instant, {"count": 1, "out_count": 0}) for instant in instants])
        await self.bus.publish([message])

    async def send_raw(self, data: bytes, subject: str = "") -> None:
        subject = subject or WRITER.plan(SLOT).subject
        await self.bus.publish([Outgoing(subject, data, data.count(b"\n") + 1, f"raw-{len(self.bus.messages)}")])

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Keeper]:
        keeper, stop = self.keeper(), asyncio.Event()
        task = asyncio.create_task(keeper.run(stop))
        await settle()
        try:
            yield keeper
        finally:
            stop.set()
            await self.clock.advance(RETRY_S)
            await asyncio.wait_for(task, 5)

    def told(self, kind: type[F]) -> list[F]:
        return [fact for fact in self.facts if isinstance(fact, kind)]


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_a_lone_reading_is_stored_at_once(scene: Scene) -> None:
    async with scene.running():
        await scene.send(NOW_MS)
        await settle()
        assert len(scene.readings.kept) == 1
        assert scene.readings.position == 1


async def test_what_waits_is_stored_in_batches_within_the_limit(scene: Scene) -> None:
    for turn in range(10):
        await scene.send(*range(NOW_MS + turn * 30, NOW_MS + turn * 30 + 30))
    async with scene.running():
        await settle()
    assert scene.readings.batches == [90, 90, 90, 30]
    assert len(scene.readings.kept) == 300


async def test_a_message_larger_than_the_limit_is_a_batch_of_its_own(scene: Scene) -> None:
    await scene.send(NOW_MS)
    await scene.send(*range(NOW_MS + 1, NOW_MS + 201))
    await scene.send(NOW_MS + 999)
    async with scene.running():
        await settle()
    assert scene.readings.batches == [1, 200, 1]


async def test_a_repeat_is_counted_and_changes_nothing(scene: Scene) -> None:
    await scene.send(NOW_MS, NOW_MS + 1)
    await scene.send(NOW_MS + 1, NOW_MS + 2)
    async with scene.running():
        await settle()
    facts = scene.told(ReadingsStored)
    assert (sum(f.readings for f in facts), sum(f.repeated for f in facts)) == (3, 1)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b"\xff\xfe",
        b"{}",
        b'{"DEVID":"d","v":{}}',
        b'{"DEVID":"d","DevType":"X#Y","PID":"b","PropId":"p","InsID":"z","Region":"Mars/Base","unixT":1,"v":{}}',
        b'{"DEVID":"d","DevType":"X#Y","PID":"b","PropId":"p","InsID":"z","Region":"UTC","unixT":-1,"v":{}}',
        b'{"DEVID":"d","DevType":"X#Y","PID":"b","PropId":"p","InsID":"z","Region":"UTC","unixT":1e99,"v":{}}',
        b'{"DEVID":"d","DevType":"X#Y","PID":"b","PropId":"other","InsID":"z","Region":"UTC","unixT":1,"v":{}}',
        b"[" * 100_000,
    ],
)
async def test_a_line_that_is_no_reading_is_set_aside_and_told_and_blocks_nothing(scene: Scene, line: bytes) -> None:
    good = WRITER.line(SLOT, NOW_MS, {"count": 1, "out_count": 0})
    await scene.send_raw(good + b"\n" + line)
    await scene.send(NOW_MS + 1)
    async with scene.running():
        await settle()
    assert len(scene.readings.kept) == 2
    assert [(one.seq, one.item, one.line) for one in scene.readings.refused] == [(1, 1, line)]
    [told] = scene.told(ReadingsUnstorable)
    assert (told.seq, told.readings) == (1, 1)


async def test_what_the_database_does_not_take_is_found_and_all_else_is_stored(scene: Scene) -> None:
    scene.readings.poison = '"count":13,'
    for turn in range(5):
        slots = [
            (NOW_MS + turn * 10 + n, {"count": 13 if (turn, n) == (3, 4) else 1, "out_count": 0}) for n in range(10)
        ]
        await scene.bus.publish([WRITER.message(SLOT, slots)])
    async with scene.running():
        await settle(200)
    assert len(scene.readings.kept) == 49
    assert [(one.seq, one.item) for one in scene.readings.refused] == [(4, 4)]
    assert scene.readings.position == 5


async def test_an_outage_of_the_database_is_told_once_and_waited_for(scene: Scene) -> None:
    async with scene.running() as keeper:
        await scene.send(NOW_MS)
        await settle()
        scene.readings.down = True
        await scene.send(NOW_MS + 1)
        for _ in range(5):
            await scene.clock.advance(RETRY_S)
        assert not keeper.healthy()
        assert len(scene.told(StoreWaits)) == 1
        scene.readings.down = False
        await scene.clock.advance(RETRY_S)
        assert keeper.healthy()
        assert len(scene.told(StoreGoesOn)) == 1
    assert len(scene.readings.kept) == 2


async def test_an_outage_of_the_stream_is_told_and_waited_for(scene: Scene) -> None:
    scene.bus.down = True
    async with scene.running() as keeper:
        await scene.clock.advance(RETRY_S)
        assert not keeper.healthy()
        await scene.bus.come_back()
        await scene.send(NOW_MS)
        await scene.clock.advance(RETRY_S)
        assert keeper.healthy()
    assert len(scene.readings.kept) == 1


async def test_only_who_has_the_duty_stores_and_the_next_goes_on_behind_the_last(scene: Scene) -> None:
    await scene.send(NOW_MS)
    scene.duty.mine = False
    async with scene.running():
        await scene.clock.advance(5)
        assert scene.readings.kept == {}
        scene.duty.mine = True
        await scene.clock.advance(RETRY_S)
        assert len(scene.readings.kept) == 1
        scene.duty.mine = False
        await scene.clock.advance(DUTY_S)
        await scene.send(NOW_MS + 1)
        await scene.clock.advance(5)
        assert len(scene.readings.kept) == 1
    assert scene.duty.closed


async def test_two_that_both_believe_to_have_the_duty_store_everything_once(scene: Scene) -> None:
    async with scene.running(), scene.running():
        for turn in range(20):
            await scene.send(NOW_MS + turn)
            await scene.clock.advance(0.3)
        await scene.clock.advance(5)
    assert len(scene.readings.kept) == 20
    assert sum(scene.readings.batches) == 20


async def test_a_stream_that_was_shortened_in_front_of_the_store_is_told(scene: Scene) -> None:
    for turn in range(5):
        await scene.send(NOW_MS + turn)
    scene.readings.position = 1
    await scene.bus.purge(4)
    async with scene.running():
        await settle()
    [told] = scene.told(StoreMissed)
    assert (told.seq, told.first_seq) == (1, 4)
    assert len(scene.readings.kept) == 2


async def test_another_stream_is_stored_from_its_beginning(scene: Scene) -> None:
    await scene.send(NOW_MS)
    scene.readings.position = 70
    async with scene.running():
        await settle()
        assert len(scene.told(StoreMissed)) == 1
        await scene.send(NOW_MS + 1)
        await settle()
    assert (len(scene.readings.kept), scene.readings.position) == (2, 2)


async def test_late_readings_get_the_partition_of_their_day_and_absurd_ones_none(scene: Scene) -> None:
    await scene.send(NOW_MS - 100 * DAY_MS, NOW_MS - 400 * DAY_MS, NOW_MS + 300 * DAY_MS)
    async with scene.running():
        await settle()
    days = {f"{day:%Y%m%d}" for day in scene.partitions.made}
    assert {"20231201", "20240310", "20240317"} <= days
    assert not days & {"20230204", "20250104"}
    assert len(scene.readings.kept) == 2
    assert scene.told(ReadingsStored)[-1].expired == 1


async def test_partitions_are_made_ahead_and_old_ones_dropped_every_hour(scene: Scene) -> None:
    async with scene.running():
        assert len(scene.partitions.made) == 8
        for _ in range(round(ROUND_S) + 5):
            await scene.clock.advance(DUTY_S)
    assert len(scene.partitions.dropped_before) == 2
    assert scene.told(PartitionsKept)


async def test_readings_are_stored_though_no_partition_can_be_made_now(scene: Scene) -> None:
    scene.partitions.busy = True
    await scene.send(NOW_MS)
    async with scene.running():
        await settle()
        assert len(scene.readings.kept) == 1
        scene.partitions.busy = False
        for _ in range(round(ROUND_RETRY_S) + 1):
            await scene.clock.advance(DUTY_S)
        assert len(scene.partitions.made) == 8


async def test_how_far_the_store_is_behind_is_told_also_while_it_cannot_store(scene: Scene) -> None:
    async with scene.running():
        await scene.send(NOW_MS)
        await settle()
        scene.readings.down = True
        for turn in range(3):
            await scene.send(NOW_MS + 1 + turn)
        for _ in range(round(MEASURE_S) + 1):
            await scene.clock.advance(RETRY_S)
        [*_, last] = scene.told(StoreMeasured)
        assert last.behind == 3
        scene.readings.down = False
        await scene.clock.advance(RETRY_S)
        scene.duty.mine = False
        await scene.clock.advance(DUTY_S + RETRY_S)
        assert scene.told(StoreMeasured)[-1] == StoreMeasured(behind=0, lag_s=0.0)


async def test_another_stream_that_is_longer_is_stored_from_its_beginning(scene: Scene) -> None:
    scene.bus.stream = "second"
    scene.readings.position, scene.readings.of_stream = 1, "first"
    for turn in range(3):
        await scene.send(NOW_MS + turn)
    async with scene.running():
        await settle()
    [told] = scene.told(StoreMissed)
    assert told.action == "stores the stream from its beginning"
    assert (len(scene.readings.kept), scene.readings.of_stream) == (3, "second")


async def test_a_stream_that_is_replaced_while_it_is_followed_is_noticed(scene: Scene) -> None:
    scene.bus.stream = "first"
    async with scene.running():
        await scene.send(NOW_MS)
        await settle()
        assert scene.readings.position == 1
        scene.bus.messages.clear()
        scene.bus.stream = "second"
        for turn in range(3):
            await scene.send(NOW_MS + 10 + turn)
        for _ in range(round(MEASURE_S + RETRY_S) + 2):
            await scene.clock.advance(DUTY_S)
    assert scene.told(StoreMissed)
    assert {instant for *_, instant in scene.readings.kept} == {NOW_MS, NOW_MS + 10, NOW_MS + 11, NOW_MS + 12}


class SlowReadings(MemoryReadings):
    """Readings that take until they are told to."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[int] = []
        self.written = asyncio.Event()

    async def store(
        self, readings: Sequence[KeptReading], refused: Sequence[RefusedLine], *, after_seq: int, to_seq: int
    ) -> int | None:
        self.begun.append(len(readings))
        await self.written.wait()
        return await super().store(readings, refused, after_seq=after_seq, to_seq=to_seq)


async def test_the_next_batch_is_taken_apart_while_one_is_written(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.readings = slow = SlowReadings()
    apart: list[int] = []

    def counted(splitter: Splitter, message: Message, **more: Any) -> Any:
        apart.append(message.seq)
        return split_message(splitter, message, **more)

    monkeypatch.setattr("matrixhub.telemetry.keeper.split_message", counted)
    async with scene.running():
        await scene.send(NOW_MS)
        await settle()
        await scene.send(NOW_MS + 1, NOW_MS + 2)
        await scene.send(NOW_MS + 3)
        await settle()
        assert slow.begun == [1]
        assert apart == [1, 2, 3]
        slow.written.set()
        await settle()
        assert slow.batches == [1, 3]


async def test_what_is_older_than_its_property_keeps_it_is_not_stored_and_counted(scene: Scene) -> None:
    scene.partitions.own = {SLOT.property_id: 7 * 86_400.0}
    await scene.send(NOW_MS - 8 * DAY_MS, NOW_MS - 6 * DAY_MS)
    async with scene.running():
        await settle()
    assert {instant for *_, instant in scene.readings.kept} == {NOW_MS - 6 * DAY_MS}
    assert sum(fact.expired for fact in scene.told(ReadingsStored)) == 1


async def test_days_are_dropped_once_no_property_wants_them_and_shorter_ones_are_emptied_before(scene: Scene) -> None:
    short, long = PropertyId("short"), PropertyId("long")
    scene.partitions.own = {short: 7 * 86_400.0, long: 400 * 86_400.0}
    scene.partitions.known = {short, long, PropertyId("other")}
    scene.partitions.old = {short: DELETE_ROWS + 5}
    async with scene.running():
        now = datetime.fromtimestamp(NOW_MS / 1000, UTC)
        assert scene.partitions.dropped_before == [now - timedelta(days=400)]
        for _ in range(4):
            await scene.clock.advance(DUTY_S)
    assert [(name, count) for name, _, count in scene.partitions.deleted] == [(short, DELETE_ROWS), (short, 5)]
    assert {before for _, before, _ in scene.partitions.deleted} == {now - timedelta(days=7)}
    assert sum(fact.readings for fact in scene.told(ReadingsDeleted)) == DELETE_ROWS + 5


async def test_a_clock_that_jumps_ahead_drops_nothing_until_it_has_stayed_there(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    round_s = 30.0  # a day of rounds on a clock that is moved by hand is 86,400 seconds
    monkeypatch.setattr("matrixhub.telemetry.keeper.ROUND_S", round_s)
    async with scene.running():
        before = scene.partitions.dropped_before[-1]
        scene.clock.jump(400 * 86_400.0)
        await scene.send(NOW_MS)  # late by that clock, and not by the one that is trusted
        for _ in range(DOUBTS - 1):
            await scene.clock.advance(round_s)
            await scene.clock.advance(DUTY_S)
        assert max(scene.partitions.dropped_before) == before
        assert len(scene.told(ClockDoubted)) == DOUBTS - 1
        assert len(scene.readings.kept) == 1
        await scene.clock.advance(round_s)
        await scene.clock.advance(DUTY_S)
        assert max(scene.partitions.dropped_before) > before + timedelta(days=399)


@pytest.mark.parametrize("seed", range(20))
async def test_rows_equal_the_stream_whatever_fails_and_whenever_it_is_killed(seed: int) -> None:
    rng = random.Random(seed)
    scene = Scene(batch_items=rng.choice([1, 7, 100]))
    sent: set[int] = set()
    for _ in range(30):
        keeper = scene.keeper()
        task = asyncio.create_task(keeper.run(asyncio.Event()))
        for _ in range(rng.randrange(4)):
            instants = [NOW_MS + rng.randrange(500) for _ in range(rng.randrange(1, 9))]
            sent.update(instants)
            await scene.send(*instants)
        scene.readings.down = rng.random() < 0.3
        await settle(rng.randrange(12))
        scene.readings.down = False
        await settle(rng.randrange(12))
        task.cancel()  # as good as killed: nothing that is cancelled is tidied up
        await asyncio.wait({task})
    async with scene.running():
        await scene.clock.advance(2)
    assert {instant for *_, instant in scene.readings.kept} == sent, f"seed {seed}"


def test_batches_hold_every_message_once_in_order() -> None:
    rng = random.Random(1)
    messages = [Message(n, "s", b"x" * rng.randrange(50), rng.randrange(1, 9)) for n in range(200)]
    batches = list(cut_batches(messages, items_max=20, bytes_max=100))
    assert [message for batch in batches for message in batch] == messages
    assert all(len(b) == 1 or (sum(m.items for m in b) <= 20 and sum(len(m.data) for m in b) <= 100) for b in batches)
