"""When slots were last heard of: noted once readings are stored, saved now and then, never lost to an outage."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from matrixhub.ingest.normalise import KEY_INSTANT_BITS
from matrixhub.ingest.sightings import SAVE_EVERY_S, SAVE_SLOTS, Sightings, line_battery
from matrixhub.ingest.writer import Packed, Writer
from matrixhub.model.errors import StoreError, StreamFull
from matrixhub.model.ids import SlotId
from matrixhub.model.slot import Sighting
from matrixhub.observe import Fact, StoreFailed
from matrixhub.ports import Outgoing
from matrixhub.testing.fakes import FakeClock, settle
from matrixhub.testing.memory_bus import MemoryBus

NOW_MS = 1_710_029_109_417
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)
UM, TH, ACME = "sensors.p.b.SMARTCLEAN#UM", "sensors.p.b.SMARTCLEAN#TH", "sensors.p.b.ACME#UM"


def key(number: int, after_s: int) -> int:
    return (number << KEY_INSTANT_BITS) + NOW_MS + after_s * 1000


def um(values: str) -> bytes:
    return b'{"unixT":1,"DevType":"SMARTCLEAN#UM","v":%b}' % values.encode()


def packed(subject: str, *readings: tuple[int, bytes]) -> Packed:
    keys, lines = [k for k, _ in readings], [line for _, line in readings]
    return Packed(Outgoing(subject, b"\n".join(lines), len(lines), "msg_1"), keys, lines)


class Saved:
    """A store that may be away."""

    def __init__(self) -> None:
        self.calls: list[Sequence[Sighting]] = []
        self.down = False

    async def save(self, sightings: Sequence[Sighting]) -> None:
        if self.down:
            raise StoreError
        self.calls.append(sightings)

    @property
    def newest(self) -> dict[str, tuple[datetime, float | None]]:
        return {s.slot_id: (s.seen_at, s.battery) for call in self.calls for s in call}


def made(slots: int = 3) -> tuple[Sightings, Saved, FakeClock, list[Fact]]:
    store, clock, facts = Saved(), FakeClock(NOW_MS + 3_600_000), list[Fact]()
    names = [SlotId(f"s{number}") for number in range(slots)]
    return Sightings(lambda: names, store.save, clock, facts.append), store, clock, facts


async def test_the_newest_reading_of_each_slot_is_saved_whatever_the_order_they_came_in() -> None:
    sightings, store, _, _ = made()
    sightings.note(packed(TH, (key(0, 5), b"-"), (key(1, 1), b"-"), (key(0, 9), b"-"), (key(0, 7), b"-")))
    sightings.note(packed(TH, (key(1, 0), b"-")))
    await sightings.save()
    assert store.newest == {"s0": (NOW + timedelta(seconds=9), None), "s1": (NOW + timedelta(seconds=1), None)}


@pytest.mark.parametrize("subject", [UM, ACME])
async def test_the_battery_is_that_of_the_newest_reading(subject: str) -> None:
    sightings, store, _, _ = made()
    sightings.note(
        packed(subject, (key(2, 2), um('{"b":"2980","count":1}')), (key(2, 1), um('{"b":"3000","count":1}')))
    )
    await sightings.save()
    assert store.newest == {"s2": (NOW + timedelta(seconds=2), 2980.0)}


async def test_a_clock_that_runs_ahead_does_not_make_a_device_look_alive_for_longer() -> None:
    sightings, store, clock, _ = made()
    sightings.note(packed(TH, (key(0, 80_000), b"-")))
    await sightings.save()
    assert store.newest["s0"][0] == datetime.fromtimestamp(clock.now_ms() / 1000, UTC)


async def test_nothing_is_saved_twice_and_nothing_at_all_where_nothing_was_heard() -> None:
    sightings, store, _, _ = made()
    await sightings.save()
    assert store.calls == []
    sightings.note(packed(TH, (key(0, 1), b"-")))
    await sightings.save()
    await sightings.save()
    assert len(store.calls) == 1


async def test_what_cannot_be_saved_is_kept_and_newer_readings_win() -> None:
    sightings, store, _, facts = made()
    store.down = True
    sightings.note(packed(UM, (key(0, 1), um('{"b":"2900","count":0}')), (key(1, 1), um('{"b":"2800","count":0}'))))
    await sightings.save()
    assert [type(fact) for fact in facts] == [StoreFailed]
    sightings.note(packed(UM, (key(0, 3), um('{"b":"2890","count":0}'))))
    store.down = False
    await sightings.save()
    assert store.newest == {"s0": (NOW + timedelta(seconds=3), 2890.0), "s1": (NOW + timedelta(seconds=1), 2800.0)}


async def test_a_reading_that_comes_while_the_store_fails_is_not_overwritten_by_an_older_one() -> None:
    sightings, store, _, _ = made()

    async def fail(_sightings: Sequence[Sighting]) -> None:
        sightings.note(packed(TH, (key(0, 9), b"-")))
        raise StoreError

    sightings.note(packed(TH, (key(0, 1), b"-")))
    sightings._save = fail
    await sightings.save()
    sightings._save = store.save
    await sightings.save()
    assert store.newest == {"s0": (NOW + timedelta(seconds=9), None)}


async def test_a_large_hub_saves_in_several_statements_and_keeps_what_a_later_one_could_not_save() -> None:
    sightings, store, _, _ = made(2 * SAVE_SLOTS)
    sightings.note(packed(TH, *((key(number, 1), b"-") for number in range(2 * SAVE_SLOTS))))

    async def save_first(found: Sequence[Sighting]) -> None:
        await store.save(found)
        store.down = True

    sightings._save = save_first
    await sightings.save()
    assert [len(call) for call in store.calls] == [SAVE_SLOTS]
    store.down, sightings._save = False, store.save
    await sightings.save()
    assert len(store.newest) == 2 * SAVE_SLOTS


async def test_sightings_are_saved_every_ten_seconds_and_at_the_end() -> None:
    sightings, store, clock, _ = made()
    stop = asyncio.Event()
    running = asyncio.create_task(sightings.run(stop))
    await settle()
    sightings.note(packed(TH, (key(0, 1), b"-")))
    await clock.advance(SAVE_EVERY_S - 1)
    assert store.calls == []
    await clock.advance(1)
    assert len(store.calls) == 1
    sightings.note(packed(TH, (key(1, 1), b"-")))
    stop.set()
    await running
    assert set(store.newest) == {"s0", "s1"}


@pytest.mark.parametrize(
    "line,battery",
    [
        (um('{"count":1,"b":"2980"}'), 2980.0),
        (um('{"count":1}'), None),
        (um('{"count":1,"b":"low"}'), None),
        (b'{"DevType":"SMARTCLEAN#OCCMINEW","v":{"occ":1,"batt":88}}', 88.0),
        (b'{"DevType":"SMARTCLEAN#TILT","v":{"Xt":1,"v":97}}', 97.0),
        (b'{"DevType":"ACME#TILT","v":{"Xt":1,"v":96.5}}', 96.5),
        (b'{"DevType":"SMARTCLEAN#OCCSCM","v":{"occ":1,"b":"0"}}', None),
        (b'{"DevType":"ACME#X","v":{"b":"1"}}', None),
        (b'{"DevType":"SMARTCLEAN#UM","v":{"count":1,"b":"2980","x":%b}}' % (b"[" * 5000 + b"]" * 5000), None),
    ],
)
def test_a_battery_is_read_where_the_type_tells_one(line: bytes, battery: float | None) -> None:
    assert line_battery(line) == battery


@pytest.mark.parametrize("answer,noted", [(None, [[7]]), (StreamFull(), [])])
async def test_readings_are_noted_once_they_are_stored_and_not_where_the_stream_refuses(
    answer: BaseException | None, noted: list[list[int]]
) -> None:
    class Answering(MemoryBus):
        async def publish(self, messages: Sequence[Outgoing]) -> Sequence[BaseException | None]:
            assert found == []
            return [answer] * len(messages)

    found: list[list[int]] = []
    writer = Writer(
        Answering(),
        lambda _: None,
        items_max=10,
        bytes_max=1000,
        origin="ing_1",
        note=lambda stored: found.append(list(stored.keys)),
    )
    stop = asyncio.Event()
    writer.open_round().add(TH, b"{}", 7)
    running = asyncio.create_task(writer.run(stop))
    await settle()
    stop.set()
    await running
    assert found == noted
