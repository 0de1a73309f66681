import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from matrixhub.ingest import Acceptor, Receipt, Registry
from matrixhub.ingest.accept import LINE_BYTES_MAX, newest_from
from matrixhub.ingest.body import Item, parse_items
from matrixhub.ingest.http import problem
from matrixhub.ingest.normalise import Incoming, TimeRules
from matrixhub.ingest.registry import Sender
from matrixhub.ingest.window import Window
from matrixhub.ingest.writer import PENDING_LINES_MAX, Writer
from matrixhub.model.errors import AccessDenied, MalformedBody, MalformedReading, Overloaded, StreamFull, Unauthorised
from matrixhub.model.iam import Decision
from matrixhub.model.ids import BuildingId, PropertyId, SlotId, ZoneId
from matrixhub.model.site import Slot
from matrixhub.observe import Fact, ReadingRefused, WindowRebuilt
from matrixhub.ports import Bounds, Message, Outgoing, Page
from matrixhub.testing.memory_bus import MemoryBus

NOW_MS = 1_710_029_109_417
OURS, THEIRS = PropertyId("p1"), PropertyId("p2")
SENDER, ANYBODY = Sender(property_id=OURS), Sender(property_id=None)


class HeldBus:
    """A stream that keeps what it is given, waits at a gate, and may refuse or be full."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.stored: list[Outgoing] = []
        self.rounds = 0
        self.answer: BaseException | None = None
        self.before_answer: Callable[[], None] = lambda: None

    async def publish(self, messages: Sequence[Outgoing]) -> Sequence[BaseException | None]:
        await self.gate.wait()
        self.rounds += 1
        if self.answer is None:
            self.stored += messages
        self.before_answer()
        return [self.answer] * len(messages)

    async def read(self, subject: str, from_seq: int, *, messages_max: int, bytes_max: int) -> Page:
        found = [m for m in self.messages() if m.seq >= from_seq][: min(messages_max, 3)]
        return Page(found, 0)

    def messages(self) -> list[Message]:
        return [
            Message(n, m.subject, m.data, m.items, m.headers["Matrix-Origin"]) for n, m in enumerate(self.stored, 1)
        ]

    async def follow(self, from_seq: int) -> AsyncIterator[Sequence[Message]]:
        for message in self.messages():
            if message.seq >= from_seq:
                yield [message]

    async def bounds(self) -> Bounds:
        return Bounds(1, len(self.stored))

    async def first_seq_since(self, instant_ms: int) -> int:
        return 1

    async def count_items(self, subject: str, from_seq: int, to_seq: int | None = None) -> int:
        return sum(m.items for m in self.messages() if m.seq >= from_seq)

    async def headers(self, subject: str, from_seq: int, to_seq: int) -> AsyncGenerator[Sequence[Message], None]:
        yield [m for m in self.messages() if from_seq <= m.seq < to_seq]

    async def purge(self, before_seq: int) -> None:
        raise NotImplementedError

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for message in self.stored for line in message.data.split(b"\n")]


class StillClock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now_ms(self) -> int:
        return NOW_MS

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    async def wait(self, event: asyncio.Event, timeout_s: float) -> bool:
        self.seconds += timeout_s
        return event.is_set()


class Ingest:
    """An acceptor on doubles."""

    def __init__(self, bus: HeldBus, registry: Registry, *, wait_s: float, origin: str, keys_max: int) -> None:
        self.bus, self.clock, self.facts = bus, StillClock(), list[Fact]()
        self.window = Window(window_s=120, keys_max=keys_max)
        self.writer = Writer(bus, self.window.forget, items_max=500, bytes_max=524_288, origin=origin)
        self.acceptor = Acceptor(
            registry,
            self.window,
            self.writer,
            self.clock,
            TimeRules(oldest_ms=978_307_200_000, ahead_max_ms=86_400_000),
            self.facts.append,
            wait_s=wait_s,
            origin=origin,
        )

    async def send(self, *items: Item, sender: Sender = SENDER) -> Receipt:
        return await self.acceptor.accept(items, sender)

    def later(self, *items: Item) -> asyncio.Task[Receipt]:
        return asyncio.create_task(self.send(*items))


async def registry() -> Registry:
    async def slots() -> Sequence[Slot]:
        return [
            Slot(
                id=SlotId(f"{owner}-{name}"),
                property_id=owner,
                building_id=BuildingId("b"),
                zone_id=ZoneId("z"),
                devtype=devtype,
                name=name,
                time_zone="UTC",
            )
            for owner in (OURS, THEIRS)
            for name, devtype in (("um", "SMARTCLEAN#UM"), ("wd", "SMARTCLEAN#WD"), ("x", "ACME#X"))
        ]

    async def keys() -> dict[bytes, PropertyId | Decision | None]:
        return {b"one": OURS, b"all": None, b"denied": Decision(code="EXPLICIT_DENY", why="the role R denies it")}

    found = Registry(slots, keys, str.encode, lambda _: None)
    await found.reload()
    return found


@asynccontextmanager
async def ingest(
    *, wait_s: float = 5, origin: str = "ing_1", keys_max: int = 1000, bus: HeldBus | None = None
) -> AsyncIterator[Ingest]:
    made = Ingest(bus or HeldBus(), await registry(), wait_s=wait_s, origin=origin, keys_max=keys_max)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(made.writer.run(stop))
        try:
            yield made
        finally:
            made.bus.gate.set()
            stop.set()


def reading(n: int = 0, slot: str = "p1-um", v: str = '{"count":1}') -> Incoming:
    """Reading n of a slot, a second after the one before."""
    return msgspec.json.decode(f'{{"DEVID":"{slot}","unixT":{NOW_MS + 1000 * n},"v":{v}}}', type=Incoming)


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_readings_are_on_the_stream_when_the_receipt_comes() -> None:
    async with ingest() as hub:
        assert await hub.send(reading(0), reading(1), reading(0, "p1-wd", '{"value":1}')) == Receipt(3, 0, [])
        assert [line["DEVID"] for line in hub.bus.lines] == ["p1-um", "p1-um", "p1-wd"]
        assert [m.subject for m in hub.bus.stored] == ["sensors.p1.b.SMARTCLEAN#UM", "sensors.p1.b.SMARTCLEAN#WD"]


async def test_no_receipt_comes_before_the_stream_has_answered() -> None:
    async with ingest() as hub:
        hub.bus.gate.clear()
        sending = hub.later(reading())
        await settle()
        assert not sending.done()
        hub.bus.gate.set()
        assert await sending == Receipt(1, 0, [])


async def test_bad_readings_are_refused_by_index_and_the_others_are_stored() -> None:
    async with ingest() as hub:
        receipt = await hub.send(
            reading(0),
            MalformedReading("not a reading"),
            reading(1, "nowhere"),
            reading(2, "p2-um"),
            reading(3, v='{"count":-1}'),
            reading(4, v="{}"),
            reading(-(10**7) * 100),
            reading(5),
            reading(5),
        )
        assert (receipt.accepted, receipt.repeated) == (2, 1)
        assert [(r.index, r.code) for r in receipt.refused] == [
            (1, "MH-I001"),
            (2, "MH-I002"),
            (3, "MH-I002"),
            (4, "MH-I003"),
            (5, "MH-I006"),
            (6, "MH-I005"),
        ]
        assert [f.code for f in hub.facts if isinstance(f, ReadingRefused)] == [r.code for r in receipt.refused]
        assert len(hub.bus.lines) == 2


async def test_a_request_of_nothing_but_bad_readings_stores_nothing() -> None:
    async with ingest() as hub:
        assert (await hub.send(reading(0, "nowhere"))).accepted == 0
        assert hub.bus.rounds == 0


async def test_a_slot_of_another_property_is_as_unknown_as_none_at_all() -> None:
    async with ingest() as hub:
        foreign, unknown = (await hub.send(reading(0, "p2-um"), reading(0, "p9-um"))).refused
        assert foreign.code == unknown.code == "MH-I002"
        assert foreign.message.replace("p2", "p9") == unknown.message
        assert await hub.send(reading(0, "p2-um"), sender=ANYBODY) == Receipt(1, 0, [])


async def test_a_reading_that_is_too_large_for_a_message_is_refused() -> None:
    async with ingest() as hub:
        receipt = await hub.send(reading(0, "p1-x", json.dumps({"x": "y" * LINE_BYTES_MAX})), reading(1))
        assert [(r.index, r.code) for r in receipt.refused] == [(0, "MH-I008")]
        assert receipt.accepted == 1


async def test_a_repeat_within_a_request_is_stored_once() -> None:
    async with ingest() as hub:
        assert await hub.send(reading(0), reading(0), reading(1)) == Receipt(2, 1, [])
        assert len(hub.bus.lines) == 2


async def test_the_same_instant_of_another_slot_is_no_repeat() -> None:
    async with ingest() as hub:
        assert await hub.send(reading(0), reading(0, "p1-x", "{}")) == Receipt(2, 0, [])


async def test_a_repeat_waits_until_the_first_copy_is_stored() -> None:
    async with ingest() as hub:
        hub.bus.gate.clear()
        first = hub.later(reading())
        await settle()
        second = hub.later(reading())
        await settle()
        assert not first.done()
        assert not second.done()
        hub.bus.gate.set()
        assert (await first, await second) == (Receipt(1, 0, []), Receipt(0, 1, []))
        assert len(hub.bus.lines) == 1


async def test_a_repeat_of_what_was_stored_is_answered_at_once() -> None:
    async with ingest() as hub:
        await hub.send(reading())
        hub.bus.gate.clear()
        assert await hub.send(reading()) == Receipt(0, 1, [])


async def test_requests_gather_while_a_round_is_on_its_way() -> None:
    async with ingest() as hub:
        hub.bus.gate.clear()
        sending = [hub.later(reading(n)) for n in range(50)]
        await settle()
        hub.bus.gate.set()
        assert [receipt.accepted for receipt in await asyncio.gather(*sending)] == [1] * 50
        assert hub.bus.rounds <= 2
        assert [line["unixT"] for line in hub.bus.lines] == [NOW_MS + 1000 * n for n in range(50)]


async def test_readings_of_a_refused_round_are_taken_when_they_come_again() -> None:
    async with ingest() as hub:
        hub.bus.answer = StreamFull()
        with pytest.raises(StreamFull):
            await hub.send(reading(0), reading(1))
        hub.bus.answer = None
        assert await hub.send(reading(0), reading(1)) == Receipt(2, 0, [])


async def test_a_repeat_whose_first_copy_is_refused_is_refused_too() -> None:
    async with ingest() as hub:
        hub.bus.gate.clear()
        hub.bus.answer = StreamFull()
        first = hub.later(reading())
        await settle()
        second = hub.later(reading())
        await settle()
        hub.bus.gate.set()
        assert [type(e) for e in await asyncio.gather(first, second, return_exceptions=True)] == [StreamFull] * 2
        hub.bus.answer = None
        assert await hub.send(reading()) == Receipt(1, 0, [])


async def test_a_repeat_that_comes_right_after_a_refused_round_is_not_taken_for_stored() -> None:
    async with ingest() as hub:
        repeats: list[asyncio.Task[Receipt]] = []

        def repeat() -> None:
            hub.bus.before_answer = lambda: None
            repeats.append(hub.later(reading()))

        def repeat_soon() -> None:
            asyncio.get_running_loop().call_soon(repeat)

        hub.bus.before_answer = repeat_soon
        hub.bus.answer = StreamFull()
        with pytest.raises(StreamFull):
            await hub.send(reading())
        await settle()
        with pytest.raises(StreamFull):
            await repeats[0]


async def test_a_request_that_waits_too_long_is_overloaded_and_its_readings_are_stored_later() -> None:
    async with ingest(wait_s=0.02) as hub:
        hub.bus.gate.clear()
        with pytest.raises(Overloaded):
            await hub.send(reading())
        with pytest.raises(Overloaded):
            await hub.send(reading())
        hub.bus.gate.set()
        await settle()
        assert await hub.send(reading()) == Receipt(0, 1, [])
        assert len(hub.bus.lines) == 1


async def test_readings_that_are_refused_after_their_request_was_answered_are_taken_when_they_come_again() -> None:
    async with ingest(wait_s=0.02) as hub:
        hub.bus.gate.clear()
        hub.bus.answer = StreamFull()
        with pytest.raises(Overloaded):
            await hub.send(reading())
        hub.bus.gate.set()
        await settle()
        hub.bus.answer = None
        assert await hub.send(reading()) == Receipt(1, 0, [])


async def test_more_than_the_writer_may_hold_is_refused_and_taken_when_it_comes_again() -> None:
    async with ingest() as hub:
        hub.bus.gate.clear()
        hub.writer.open_round().add("s", b"x", 1)
        await settle()
        for key in range(PENDING_LINES_MAX + 1):
            hub.writer.open_round().add("s", b"x", key)
        with pytest.raises(Overloaded, match="slower than the readings"):
            await hub.send(reading())
        hub.bus.gate.set()
        await settle()
        assert await hub.send(reading()) == Receipt(1, 0, [])


async def test_a_writer_that_ends_answers_everyone_who_waits() -> None:
    bus = HeldBus()
    bus.gate.clear()
    hub = Ingest(bus, await registry(), wait_s=5, origin="ing_1", keys_max=100)
    writing = asyncio.create_task(hub.writer.run(asyncio.Event()))
    sending = hub.later(reading())
    await settle()
    writing.cancel()
    with pytest.raises(Overloaded, match="stopping"):
        await sending
    assert len(hub.window) == 0


async def test_a_writer_writes_what_is_left_before_it_ends() -> None:
    hub = Ingest(HeldBus(), await registry(), wait_s=5, origin="ing_1", keys_max=100)
    hub.bus.gate.clear()
    stop = asyncio.Event()
    writing = asyncio.create_task(hub.writer.run(stop))
    sending = [hub.later(reading(n)) for n in range(3)]
    await settle()
    stop.set()
    hub.bus.gate.set()
    await writing
    assert [(await task).accepted for task in sending] == [1, 1, 1]


async def test_after_a_restart_the_window_is_read_back_from_the_stream() -> None:
    bus = HeldBus()
    async with ingest(bus=bus) as hub:
        for n in range(10):
            await hub.send(reading(n))
    bus.stored.append(Outgoing("sensors.other", b"not ours\n{}", 2, "m", {"Matrix-Origin": ""}))
    async with ingest(bus=bus, origin="ing_2") as hub:
        await hub.acceptor.rebuild_window(bus, since_ms=0, keys_max=1000)
        assert [f.readings for f in hub.facts if isinstance(f, WindowRebuilt)] == [10]
        assert (await hub.send(*(reading(n) for n in range(11)))) == Receipt(1, 10, [])


async def test_a_rebuilt_window_holds_no_more_than_it_may() -> None:
    bus = HeldBus()
    async with ingest(bus=bus) as hub:
        for n in range(40):
            await hub.send(reading(n))
    async with ingest(bus=bus, keys_max=10) as hub:
        await hub.acceptor.rebuild_window(bus, since_ms=0, keys_max=10)
        assert 10 <= len(hub.window) <= 13
        assert (await hub.send(reading(39))).repeated == 1


async def test_what_another_copy_of_ingest_stores_is_recognised() -> None:
    bus = HeldBus()
    async with ingest(bus=bus) as one, ingest(bus=bus, origin="ing_2") as other:
        await one.send(reading(0))
        await other.acceptor.follow_others(bus, 1)
        assert await other.send(reading(0)) == Receipt(0, 1, [])
        await one.acceptor.follow_others(bus, 1)
        assert len(one.window) == 1


async def test_a_copy_that_only_follows_others_keeps_its_window_bounded() -> None:
    bus = HeldBus()
    async with ingest(bus=bus) as one, ingest(bus=bus, origin="ing_2", keys_max=10) as other:
        for n in range(100):
            await one.send(reading(n))
        await other.acceptor.follow_others(bus, 1)
        assert len(other.window) <= 20


async def test_no_depth_of_nesting_is_answered_with_a_defect() -> None:
    defects: list[int] = []
    async with ingest() as hub:
        for depth in range(900, 1050):
            body = b'{"DEVID":"p1-x","v":{ "x":%s}}' % (b"[" * depth + b"]" * depth)
            try:
                await hub.send(*parse_items(body, items_max=1))
            except MalformedBody:
                continue
            except RecursionError:
                defects.append(depth)
    assert defects == []


async def test_only_a_valid_bearer_key_names_a_sender() -> None:
    known = await registry()
    assert known.authenticate("Bearer one") == Sender(property_id=OURS)
    assert known.authenticate("bearer  all ") == Sender(property_id=None)
    for header in ("", "Bearer", "Bearer two", "Basic one", "one", "Bearer one two"):
        with pytest.raises(Unauthorised):
            known.authenticate(header)


async def test_a_key_whose_role_does_not_allow_it_sends_nothing_and_is_told_why() -> None:
    known = await registry()
    with pytest.raises(AccessDenied) as caught:
        known.authenticate("Bearer denied")
    assert (caught.value.reason, caught.value.message) == ("EXPLICIT_DENY", "the role R denies it")
    body, headers = problem(caught.value)
    assert (b"content-type", b"application/problem+json") in headers
    told = json.loads(body)
    assert (told["status"], told["code"], told["reason"]) == (403, "MH-R025", "EXPLICIT_DENY")


async def test_a_slot_keeps_its_number_over_a_reload_while_it_keeps_its_type() -> None:
    known = await registry()
    before = {name: plan.key_base for name, plan in known.slots.items()}
    await known.reload()
    assert {name: plan.key_base for name, plan in known.slots.items()} == before
    assert len(set(before.values())) == len(before)


async def test_readings_without_a_time_are_never_taken_for_repeats() -> None:
    async with ingest() as hub:
        timeless = msgspec.json.decode(b'{"DEVID":"p1-um","v":{"count":1}}', type=Incoming)
        receipt = await hub.send(timeless, timeless, timeless)
        assert (receipt.accepted, receipt.repeated) == (3, 0)


async def test_a_large_request_gives_way_and_is_stored_whole_and_in_order() -> None:
    async with ingest(keys_max=5000) as hub:
        readings = [reading(n) for n in range(1050)]
        receipt = await hub.send(*readings)
        assert (receipt.accepted, receipt.refused) == (1050, [])
        assert [line["unixT"] for line in hub.bus.lines] == [r.unixT for r in readings]
        again = await hub.send(*readings)
        assert (again.accepted, again.repeated) == (0, 1050)


async def test_only_about_as_much_of_the_stream_is_read_back_as_the_window_holds() -> None:
    bus = MemoryBus()
    for start in range(0, 20_000, 1_000):
        await bus.publish([Outgoing("sensors.p.b.T", b"1\n2", 2, f"m{n}") for n in range(start, start + 1_000)])
    assert await newest_from(bus, 1, 20_000, 500) == (19_001, 2_000)
    assert await newest_from(bus, 1, 20_000, 3_000) == (18_001, 4_000)
    assert await newest_from(bus, 18_500, 20_000, 10_000) == (18_500, 3_002)
    assert await newest_from(bus, 1, 20_000, 1_000_000) == (1, 40_000)
    assert await newest_from(bus, 20_001, 20_000, 500) == (20_001, 0)
