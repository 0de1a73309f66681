"""The relay on doubles: every event once and in order, whatever fails, comes late or is done twice."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from matrixhub.bus.relay import POLL_S, ROUND_EVENTS, Relay, Resumption, next_in_row, resume_behind
from matrixhub.model.errors import BusError, StoreError, StreamFull
from matrixhub.model.ids import PropertyId
from matrixhub.observe import (
    EventsRelayed,
    EventStreamLost,
    EventsWaiting,
    Fact,
    RelayGoesOn,
    RelayStuck,
    RelayWaits,
)
from matrixhub.ports import (
    Appended,
    AppendFault,
    Backlog,
    EventMessage,
    EventStream,
    Outbox,
    OutboxEvent,
    Outgoing,
    RelayProgress,
    StreamEnd,
)
from matrixhub.testing.fakes import FakeClock, settle
from matrixhub.testing.memory_bus import MemoryBus

EPOCH = datetime(2024, 3, 10, tzinfo=UTC)
P1 = PropertyId("p1")


def event(number: int) -> OutboxEvent:
    words = ("matrix", "b1", "scgrids", "ZONE_CREATED", "NORMAL")
    at = EPOCH + timedelta(seconds=number // 3)  # several are recorded at one instant
    return OutboxEvent(number=number, at=at, property_id=P1, words=words, line=f"event {number}")


@dataclass
class MemoryOutbox:
    """The port `Outbox` in a list."""

    events: list[OutboxEvent] = field(default_factory=list)
    saved: list[RelayProgress] = field(default_factory=lambda: [RelayProgress(0, datetime(2001, 1, 1, tzinfo=UTC), 0)])
    head: int = 0

    def record(self, count: int) -> None:
        for _ in range(count):
            self.head += 1
            self.events.append(event(self.head))

    async def progress(self) -> RelayProgress:
        return self.saved[-1]

    async def newest(self) -> int:
        return self.head

    async def unpublished(self, number: int, at: datetime, limit: int) -> Sequence[OutboxEvent]:
        return [e for e in self.events if e.number > number and e.at >= at][:limit]

    async def recorded_at(self, number: int, before: datetime) -> datetime | None:
        return next((e.at for e in self.events if e.number == number and e.at <= before), None)

    async def save(self, progress: RelayProgress) -> None:
        if progress.number >= self.saved[-1].number:
            self.saved.append(progress)

    async def backlog(self, number: int, at: datetime) -> Backlog:
        waiting = await self.unpublished(number, at, 1)
        return Backlog(self.head - number, waiting[0].at if waiting else None)


class Sole:
    """The port `Duty` of a process that has it, or not."""

    def __init__(self, *, mine: bool = True) -> None:
        self.mine = mine
        self.closed = False

    async def held(self) -> bool:
        return self.mine

    async def close(self) -> None:
        self.closed = True


@dataclass
class Scene:
    """A relay at work on doubles."""

    outbox: MemoryOutbox = field(default_factory=MemoryOutbox)
    bus: MemoryBus = field(default_factory=MemoryBus)
    clock: FakeClock = field(default_factory=FakeClock)
    duty: Sole = field(default_factory=Sole)
    facts: list[Fact] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.relay = Relay(self.outbox, self.bus, self.duty, self.clock, self.facts.append)

    @contextlib.asynccontextmanager
    async def running(self):  # type: ignore[no-untyped-def]
        stop = asyncio.Event()
        task = asyncio.create_task(self.relay.run(stop))
        await settle()
        yield
        stop.set()
        await task

    async def look(self) -> None:
        """Let the relay do what it does when it is woken."""
        self.relay.changed()
        await settle()

    def told(self, *kinds: type[Fact]) -> list[Fact]:
        return [fact for fact in self.facts if isinstance(fact, kinds)]

    def lines(self) -> list[str]:
        return [m.data.decode() for m in self.bus.messages]


def expected(first: int, last: int) -> list[str]:
    return [f"event {n}" for n in range(first, last + 1)]


@pytest.mark.parametrize(
    ("saved", "end", "found"),
    [
        ((0, 0), StreamEnd(0, None), Resumption(0)),
        ((70, 60), StreamEnd(60, 70), Resumption(70)),
        ((70, 60), StreamEnd(63, 73), Resumption(73)),  # an answer was lost, or the relay died before it saved
        ((70, 60), StreamEnd(60, None), Resumption(70)),  # purged whole
        ((70, 60), StreamEnd(63, None), Resumption(73)),  # purged whole behind what was saved
        (
            (70, 60),
            StreamEnd(58, 68),
            Resumption(68, lost=True),
        ),  # an older copy of the stream: its end is written again
        ((70, 60), StreamEnd(58, 61), Resumption(70, lost=True)),  # another stream: nothing is written twice
        ((70, 60), StreamEnd(0, None), Resumption(70, lost=True)),
        ((70, 60), StreamEnd(3, 73), Resumption(73)),  # a new stream that has grown already
        ((70, 60), StreamEnd(80, 150), Resumption(150)),
    ],
)
def test_the_relay_goes_on_behind_what_the_stream_has(
    saved: tuple[int, int], end: StreamEnd, found: Resumption
) -> None:
    assert resume_behind(RelayProgress(saved[0], EPOCH, saved[1]), end) == found


def test_only_what_follows_without_a_gap_is_next() -> None:
    row = [event(n) for n in (4, 5, 7, 8)]
    assert [e.number for e in next_in_row(row, 3)] == [4, 5]
    assert list(next_in_row(row, 2)) == []


async def test_events_are_passed_on_in_order_with_the_subject_of_their_property() -> None:
    scene = Scene()
    scene.outbox.record(2 * ROUND_EVENTS + 7)
    async with scene.running():
        scene.outbox.record(1)
        await scene.look()
    assert scene.lines() == expected(1, 2 * ROUND_EVENTS + 8)
    assert {m.subject for m in scene.bus.messages} == {"events.p1.matrix.b1.scgrids.ZONE_CREATED.NORMAL"}
    assert scene.outbox.saved[-1].number == scene.outbox.saved[-1].seq == 2 * ROUND_EVENTS + 8
    assert sum(fact.events for fact in scene.facts if isinstance(fact, EventsRelayed)) == 2 * ROUND_EVENTS + 8
    assert scene.duty.closed


async def test_events_nobody_was_told_of_are_found_by_looking() -> None:
    scene = Scene()
    async with scene.running():
        scene.outbox.record(3)
        await scene.clock.advance(POLL_S)
        assert scene.lines() == expected(1, 3)


async def test_a_relay_without_the_duty_passes_nothing_on_until_it_has_it() -> None:
    scene = Scene(duty=Sole(mine=False))
    scene.outbox.record(3)
    async with scene.running():
        await scene.look()
        assert scene.lines() == []
        assert scene.relay.healthy()
        scene.duty.mine = True
        await scene.clock.advance(POLL_S)
        assert scene.lines() == expected(1, 3)


async def test_an_outage_of_nats_is_told_once_and_made_up_for() -> None:
    scene = Scene()
    async with scene.running():
        scene.bus.down = True
        scene.outbox.record(5)
        for _ in range(4):
            await scene.look()
        assert scene.told(RelayWaits) == [RelayWaits(code=BusError.code, error=BusError().message)]
        assert not scene.relay.healthy()
        scene.bus.down = False
        await scene.look()
        assert scene.relay.healthy()
    assert scene.told(RelayGoesOn) == [RelayGoesOn(number=5, seq=5)]
    assert scene.lines() == expected(1, 5)


async def test_a_full_stream_takes_what_has_room_and_the_rest_later() -> None:
    scene = Scene()
    scene.bus.bytes_max = len("event 1") * 4
    scene.outbox.record(9)
    async with scene.running():
        await scene.look()
        assert scene.lines() == expected(1, 4)
        assert [fact.code for fact in scene.facts if isinstance(fact, RelayWaits)] == [StreamFull.code]
        scene.bus.bytes_max = None
        await scene.look()
    assert scene.lines() == expected(1, 9)


async def test_a_missing_number_stops_the_relay_instead_of_being_skipped() -> None:
    scene = Scene()
    scene.outbox.record(6)
    missing = scene.outbox.events.pop(3)
    async with scene.running():
        for _ in range(3):
            await scene.look()
        assert scene.lines() == expected(1, 3)
        assert len(scene.told(RelayStuck)) == 1
        assert not scene.relay.healthy()
        scene.outbox.events.insert(3, missing)
        await scene.look()
        assert scene.relay.healthy()
    assert scene.lines() == expected(1, 6)


async def test_a_message_of_somebody_else_in_the_stream_stops_the_relay() -> None:
    scene = Scene()
    await scene.bus.publish([Outgoing("events.p1.x", b"x", 1, "x")])
    scene.outbox.record(1)
    async with scene.running():
        await scene.look()
        assert len(scene.told(RelayStuck)) == 1
    assert scene.lines() == ["x"]


async def test_an_older_copy_of_the_database_stops_the_relay() -> None:
    scene = Scene()
    scene.outbox.record(9)
    async with scene.running():
        pass
    older = MemoryOutbox()
    older.record(4)
    again = Scene(outbox=older, bus=scene.bus)
    async with again.running():
        assert len(again.told(RelayStuck)) == 1
    assert again.lines() == expected(1, 9)


async def test_a_stream_that_was_deleted_gets_new_events_only() -> None:
    scene = Scene()
    scene.outbox.record(5)
    async with scene.running():
        pass
    again = Scene(outbox=scene.outbox)
    again.outbox.record(2)
    async with again.running():
        pass
    assert again.lines() == expected(6, 7)
    assert again.told(EventStreamLost) == [EventStreamLost(number=5, seq=0, action="goes on with new events")]
    once_more = Scene(outbox=scene.outbox, bus=again.bus)
    async with once_more.running():
        assert once_more.told(EventStreamLost) == []


async def test_a_stream_that_lost_its_end_gets_it_again_in_the_same_places() -> None:
    scene = Scene()
    scene.outbox.record(9)
    async with scene.running():
        pass
    before = list(scene.bus.messages)
    del scene.bus.messages[5:]
    again = Scene(outbox=scene.outbox, bus=scene.bus)
    async with again.running():
        pass
    assert [(m.seq, m.data) for m in scene.bus.messages] == [(m.seq, m.data) for m in before]
    assert len(again.told(EventStreamLost)) == 1


async def test_a_stream_that_lost_an_end_the_log_no_longer_has_goes_on_with_new_events() -> None:
    scene = Scene()
    scene.outbox.record(9)
    async with scene.running():
        pass
    del scene.bus.messages[5:]
    del scene.outbox.events[:7]
    scene.outbox.record(1)
    again = Scene(outbox=scene.outbox, bus=scene.bus)
    async with again.running():
        pass
    assert again.lines() == [*expected(1, 5), "event 10"]


async def test_how_much_waits_is_measured_also_while_nothing_can_be_passed_on() -> None:
    scene = Scene(clock=FakeClock(now_ms=int((EPOCH + timedelta(seconds=60)).timestamp() * 1000)))
    scene.bus.down = True
    scene.outbox.record(5)
    async with scene.running():
        assert scene.told(EventsWaiting) == [EventsWaiting(events=5, oldest_s=60.0)]


class Killed(BaseException):
    """The process is gone, in the middle of what it did."""


class EagerClock(FakeClock):
    """Waiting takes no time, but lets others have a turn; each reading is a second later."""

    def monotonic(self) -> float:
        self._elapsed_s += 1.0
        return self._elapsed_s

    async def wait(self, event: asyncio.Event, timeout_s: float) -> bool:
        await asyncio.sleep(0)
        return event.is_set()


class World:
    """A stream, an outbox and relays that come and go; what fails when follows from the seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.outbox = MemoryOutbox()
        self.bus = MemoryBus()
        self.faults = True
        self.late: list[tuple[EventMessage, int]] = []
        self.purged: list[str] = []
        self.facts: list[Fact] = []

    def chance(self, share: float) -> bool:
        return self.faults and self.random.random() < share

    async def fate(self, error: type[BusError] | type[StoreError]) -> None:
        """What may happen before or after every call."""
        for _ in range(self.random.randrange(3)):
            await asyncio.sleep(0)
        if self.chance(0.06):
            raise Killed
        if self.chance(0.06):
            raise error

    async def live(self) -> None:
        """One relay process after the other, until there is nothing left to do."""
        while True:
            relay = Relay(_Outbox(self), _Stream(self), _Duty(self), EagerClock(), self.facts.append)
            with contextlib.suppress(Killed):
                stop = asyncio.Event()
                await relay.run(stop)

    async def misfortune(self) -> None:
        """What happens besides: events, late messages, purges, room that runs out, a database that crashes."""
        acts: Sequence[Callable[[], None]] = (self.record, self.land, self.land, self.purge, self.fill, self.crash)
        for _ in range(120):
            self.random.choice(acts)()
            for _ in range(self.random.randrange(12)):
                await asyncio.sleep(0)

    def record(self) -> None:
        self.outbox.record(self.random.choice((1, 1, 2, 5, 300)))

    def land(self) -> None:
        if self.late:
            message, after_seq = self.late.pop(self.random.randrange(len(self.late)))
            self.bus._append(message, after_seq)

    def purge(self) -> None:
        count = self.random.randint(0, len(self.bus.messages))
        self.purged += [m.data.decode() for m in self.bus.messages[:count]]
        del self.bus.messages[:count]
        self.bus.first_seq += count

    def fill(self) -> None:
        size = sum(len(m.data) for m in self.bus.messages)
        self.bus.bytes_max = self.random.choice((None, None, size, size + 40))

    def crash(self) -> None:
        """The commits of progress wait for no disk."""
        keep = max(1, len(self.outbox.saved) - self.random.randrange(3))
        del self.outbox.saved[keep:]


class _Duty(Sole):
    """A duty that several may take for theirs, and that may be lost at any time."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    async def held(self) -> bool:
        await self._world.fate(StoreError)
        return not self._world.chance(0.1)


class _Outbox:
    """The outbox of a world, as one relay reaches it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __getattr__(self, name: str):  # type: ignore[no-untyped-def]
        call = getattr(self._world.outbox, name)

        async def called(*arguments: object) -> object:
            await self._world.fate(StoreError)
            answer = await call(*arguments)
            await self._world.fate(StoreError)
            return answer

        return called


class _Stream:
    """The stream of a world, as one relay reaches it: some messages are lost, some are late."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def end(self) -> StreamEnd:
        await self._world.fate(BusError)
        end = await self._world.bus.end()
        await self._world.fate(BusError)
        return end

    async def append(self, events: Sequence[EventMessage], after_seq: int) -> Appended:
        world = self._world
        await world.fate(BusError)
        first = Appended(len(events))
        for index, message in enumerate(events):
            fault: tuple[AppendFault, str] | None
            if world.chance(0.02):
                if world.chance(0.7):
                    world.late.append((message, after_seq + index))
                fault = ("unsure", "no answer")
            else:
                fault = world.bus._append(message, after_seq + index)
                if fault is None and world.chance(0.02):
                    fault = ("unsure", "the answer was lost")
            if fault is not None and not first.fault:
                first = Appended(index, *fault)
            if world.random.random() < 0.05:
                await asyncio.sleep(0)
            if world.chance(0.003):
                raise Killed
        await world.fate(BusError)
        return first


@pytest.mark.parametrize("seed", range(60))
async def test_the_stream_is_the_outbox_whatever_happens(seed: int) -> None:
    world = World(seed)
    relays = [asyncio.create_task(world.live()) for _ in range(1 + seed % 3)]
    await world.misfortune()
    world.faults, world.bus.bytes_max = False, None
    for _ in range(5_000):
        if world.bus._last_seq >= world.outbox.head:
            break
        await asyncio.sleep(0)
    for relay in relays:
        relay.cancel()
    await asyncio.gather(*relays, return_exceptions=True)
    while world.late:
        world.land()
    assert world.purged + [m.data.decode() for m in world.bus.messages] == expected(1, world.outbox.head), seed
    assert not [fact for fact in world.facts if isinstance(fact, RelayStuck | EventStreamLost)], seed


def test_the_doubles_are_what_they_stand_for() -> None:
    outbox: Outbox = MemoryOutbox()
    stream: EventStream = MemoryBus()
    assert outbox
    assert stream
