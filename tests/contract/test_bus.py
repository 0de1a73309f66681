"""What every `Bus` keeps, run on the in-memory double and on a real NATS server."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from matrixhub.bus import NatsBus, StreamSettings, open_bus
from matrixhub.engines.binaries import nats_program
from matrixhub.model.errors import BusError, EngineError, ForeignMessage, StreamFull
from matrixhub.observe import ignore
from matrixhub.ports import Appended, Bounds, Bus, EventMessage, EventStream, Message, Outgoing, Page, StreamEnd
from matrixhub.testing.memory_bus import MemoryBus

TOKEN = "contract-token"


class NatsServer:
    """A NATS server of this test module."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="matrixhub-nats-"))
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.process: subprocess.Popen[bytes] | None = None
        (self.folder / "nats.conf").write_text(
            f"listen: 127.0.0.1:{self.port}\nauthorization {{ token: {TOKEN} }}\nmax_payload: 8MB\n"
            f"jetstream {{ store_dir: {self.folder / 'store'}, sync_interval: always }}\n"
        )

    @property
    def url(self) -> str:
        return f"nats://{TOKEN}@127.0.0.1:{self.port}"

    def start(self) -> None:
        program = nats_program("", self.folder / "engines", None)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([program, "-c", self.folder / "nats.conf"], stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with suppress(OSError), closing(socket.create_connection(("127.0.0.1", self.port), 1)):
                return
        raise AssertionError((self.folder / "log").read_text())

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder)


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    server = NatsServer()
    server.start()
    yield server
    server.close()


class AnyBus(Bus, EventStream, Protocol):
    """A stream as all see it, and as the relay does."""


@pytest.fixture(params=["memory", "nats"])
async def bus(request: pytest.FixtureRequest, server: NatsServer) -> AsyncIterator[AnyBus]:
    if request.param == "memory":
        yield MemoryBus()
        return
    name = f"S{os.urandom(6).hex()}"
    async with open_bus(server.url, StreamSettings(), ignore, stream=name, subjects=f"{name}.sensors.>") as real:
        yield _Prefixed(real, name)


class _Prefixed:
    """The real bus on a stream of its own: every subject gets a prefix and loses it again."""

    def __init__(self, bus: NatsBus, prefix: str) -> None:
        self._bus, self._prefix = bus, f"{prefix}."

    async def publish(self, messages: Sequence[Outgoing]) -> Sequence[BaseException | None]:
        return await self._bus.publish(
            [Outgoing(self._prefix + m.subject, m.data, m.items, m.id, m.headers) for m in messages]
        )

    async def append(self, events: Sequence[EventMessage], after_seq: int) -> Appended:
        return await self._bus.append(
            [EventMessage(e.number, self._prefix + e.subject, e.line) for e in events], after_seq
        )

    async def read(self, subject: str, from_seq: int, *, messages_max: int, bytes_max: int) -> Page:
        page = await self._bus.read(self._prefix + subject, from_seq, messages_max=messages_max, bytes_max=bytes_max)
        return Page(self._bare(page.messages), page.pending)

    async def follow(self, from_seq: int) -> AsyncIterator[Sequence[Message]]:
        async for messages in self._bus.follow(from_seq):
            yield self._bare(messages)

    async def count_items(self, subject: str, from_seq: int, to_seq: int | None = None) -> int:
        return await self._bus.count_items(self._prefix + subject, from_seq, to_seq)

    async def headers(self, subject: str, from_seq: int, to_seq: int) -> AsyncGenerator[Sequence[Message], None]:
        async for messages in self._bus.headers(self._prefix + subject, from_seq, to_seq):
            yield self._bare(messages)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    def _bare(self, messages: Sequence[Message]) -> list[Message]:
        return [replace(m, subject=m.subject.removeprefix(self._prefix)) for m in messages]


def outgoing(number: int, subject: str = "sensors.p.b.T", *, lines: int = 1, id_: str = "") -> Outgoing:
    data = b"\n".join(b"%d-%d" % (number, line) for line in range(lines))
    return Outgoing(subject, data, lines, id_ or f"id-{number}-{os.urandom(4).hex()}", {"Matrix-Origin": "ing_1"})


async def collect(bus: Bus, from_seq: int, count: int) -> list[Message]:
    found: list[Message] = []
    async with asyncio.timeout(20):
        async with aclosing(bus.follow(from_seq)) as messages:  # type: ignore[type-var]
            async for batch in messages:
                found += batch
                if len(found) >= count:
                    return found
    raise AssertionError("the stream ended")


async def test_a_new_stream_is_empty(bus: Bus) -> None:
    bounds = await bus.bounds()
    assert (bounds.first_seq, bounds.last_seq) == (1, 0)
    assert await bus.count_items("sensors.>", 1) == 0
    assert await bus.first_seq_since(0) == 1
    page = await bus.read("sensors.>", 1, messages_max=10, bytes_max=1000)
    assert (list(page.messages), page.pending) == ([], 0)


async def test_messages_are_stored_in_the_order_they_are_given(bus: Bus) -> None:
    assert list(await bus.publish([outgoing(n) for n in range(50)])) == [None] * 50
    page = await bus.read("sensors.p.b.T", 1, messages_max=100, bytes_max=1_000_000)
    assert [m.data for m in page.messages] == [b"%d-0" % n for n in range(50)]
    assert [m.seq for m in page.messages] == list(range(1, 51))
    assert page.messages[0].origin == "ing_1"
    assert page.pending == 0


async def test_a_repeated_id_is_stored_once(bus: Bus) -> None:
    first = outgoing(1, id_="same")
    assert list(await bus.publish([first, first])) == [None, None]
    assert list(await bus.publish([first])) == [None]
    assert (await bus.bounds()).last_seq == 1


async def test_a_read_gives_only_what_matches_from_the_position_and_says_how_much_more_there_is(bus: Bus) -> None:
    await bus.publish([outgoing(n, f"sensors.p.b{n % 2}.T") for n in range(10)])
    page = await bus.read("sensors.p.b1.T", 4, messages_max=2, bytes_max=1_000_000)
    assert [m.seq for m in page.messages] == [4, 6]
    assert page.pending == 2
    page = await bus.read("sensors.*.b1.*", 7, messages_max=10, bytes_max=1_000_000)
    assert [m.seq for m in page.messages] == [8, 10]


async def test_a_read_stops_at_the_bytes_asked_for_but_gives_at_least_one_message(bus: Bus) -> None:
    await bus.publish([outgoing(n, lines=100) for n in range(5)])
    page = await bus.read("sensors.>", 1, messages_max=100, bytes_max=1)
    assert len(page.messages) == 1
    assert page.pending == 4


async def test_following_gives_what_is_there_and_then_what_comes(bus: Bus) -> None:
    await bus.publish([outgoing(n) for n in range(3)])
    following = asyncio.create_task(collect(bus, 2, 1502))
    for start in range(3, 1503, 500):
        await bus.publish([outgoing(n) for n in range(start, start + 500)])
    found = await following
    assert [m.seq for m in found][:1502] == list(range(2, 1504))


async def test_following_can_begin_behind_the_end(bus: Bus) -> None:
    following = asyncio.create_task(collect(bus, 3, 2))
    await bus.publish([outgoing(n) for n in range(4)])
    assert [m.seq for m in await following][:2] == [3, 4]


async def test_items_are_counted_from_a_position(bus: Bus) -> None:
    await bus.publish([outgoing(n, f"sensors.p.b{n % 2}.T", lines=n + 1) for n in range(6)])
    assert await bus.count_items("sensors.>", 1) == 21
    assert await bus.count_items("sensors.p.b0.T", 2) == 3 + 5
    assert await bus.count_items("sensors.p.b0.T", 7) == 0


async def test_a_message_is_found_by_the_time_it_was_stored(bus: Bus) -> None:
    before = time.time_ns() // 1_000_000 - 1
    await bus.publish([outgoing(1)])
    assert await bus.first_seq_since(before) == 1
    assert await bus.first_seq_since(before + 3_600_000) == 2
    assert await bus.first_seq_since(32_503_680_000_000) == 2  # the year 3000


async def test_items_are_counted_between_two_positions(bus: Bus) -> None:
    await bus.publish([outgoing(n, f"sensors.p.b{n % 2}.T", lines=n + 1) for n in range(6)])
    assert await bus.count_items("sensors.>", 2, 5) == 2 + 3 + 4
    assert await bus.count_items("sensors.p.b0.T", 2, 5) == 3
    assert await bus.count_items("sensors.p.b0.T", 2, 4) == 3
    assert await bus.count_items("sensors.p.b0.T", 4, 5) == 0
    assert await bus.count_items("sensors.>", 3, 3) == 0
    assert await bus.count_items("sensors.>", 5, 99) == 5 + 6


async def test_many_messages_are_all_counted(bus: Bus) -> None:
    for start in range(0, 1500, 500):
        await bus.publish([outgoing(n, f"sensors.p.b{n % 3}.T") for n in range(start, start + 500)])
    seqs = [m.seq async for page in bus.headers("sensors.>", 1, 1501) for m in page]
    assert seqs == list(range(1, 1501))
    assert await bus.count_items("sensors.p.b1.T", 1, 1000) == 333


async def test_headers_tell_sequence_subject_and_items_in_order(bus: Bus) -> None:
    await bus.publish([outgoing(n, f"sensors.p.b{n % 2}.T", lines=n + 1) for n in range(6)])
    found = [(m.seq, m.subject, m.items) async for page in bus.headers("sensors.*.b1.*", 1, 6) for m in page]
    assert found == [(2, "sensors.p.b1.T", 2), (4, "sensors.p.b1.T", 4)]
    assert [m async for m in bus.headers("sensors.*.b1.*", 7, 99)] == []
    assert [m async for m in bus.headers("sensors.*.b1.*", 3, 3)] == []


async def test_what_is_purged_is_gone_and_the_rest_keeps_its_sequence(bus: Bus) -> None:
    await bus.publish([outgoing(n) for n in range(6)])
    await bus.purge(1)
    assert (await bus.bounds()).first_seq == 1
    await bus.purge(4)
    assert replace(await bus.bounds(), stream="") == Bounds(first_seq=4, last_seq=6)
    page = await bus.read("sensors.>", 1, messages_max=10, bytes_max=1_000_000)
    assert [m.seq for m in page.messages] == [4, 5, 6]
    assert await bus.count_items("sensors.>", 1) == 3
    await bus.purge(2)
    assert (await bus.bounds()).first_seq == 4


async def test_a_stream_that_was_purged_whole_goes_on_where_it_was(bus: Bus) -> None:
    await bus.publish([outgoing(n) for n in range(3)])
    await bus.purge(4)
    assert replace(await bus.bounds(), stream="") == Bounds(first_seq=4, last_seq=3)
    assert await bus.count_items("sensors.>", 1) == 0
    await bus.publish([outgoing(9)])
    assert replace(await bus.bounds(), stream="") == Bounds(first_seq=4, last_seq=4)


@pytest.mark.long
async def test_counting_ends_even_when_what_is_counted_is_purged_meanwhile(bus: Bus) -> None:
    for _ in range(4):
        await bus.publish([outgoing(n) for n in range(10)])
        bounds = await bus.bounds()
        async with asyncio.timeout(20):
            counted, _ = await asyncio.gather(
                bus.count_items("sensors.>", bounds.first_seq, bounds.last_seq + 1), bus.purge(bounds.last_seq + 1)
            )
        assert 0 <= counted <= 10


async def test_a_message_knows_when_it_was_stored(bus: Bus) -> None:
    before = time.time_ns() // 1_000_000 - 1
    await bus.publish([outgoing(1)])
    after = time.time_ns() // 1_000_000 + 1
    read = (await bus.read("sensors.>", 1, messages_max=1, bytes_max=1000)).messages
    [headers] = [m async for page in bus.headers("sensors.>", 1, 2) for m in page]
    [followed] = await collect(bus, 1, 1)
    for message in (*read, headers, followed):
        assert before <= message.stored_ms <= after


def events(first: int, count: int) -> list[EventMessage]:
    return [EventMessage(n, f"sensors.p.b{n % 3}", b"event %d" % n) for n in range(first, first + count)]


async def test_events_are_stored_next_to_a_sequence_with_their_numbers(bus: AnyBus) -> None:
    assert await bus.end() == StreamEnd(0, None)
    assert await bus.append(events(41, 300), 0) == Appended(300)
    assert await bus.end() == StreamEnd(300, 340)
    assert await bus.append(events(341, 2), 300) == Appended(2)
    page = await bus.read("sensors.>", 1, messages_max=1000, bytes_max=1_000_000)
    assert [(m.seq, m.data, m.items) for m in page.messages] == [(n, b"event %d" % (n + 40), 1) for n in range(1, 303)]


@pytest.mark.parametrize("after_seq", [0, 3, 5, 99])
async def test_events_are_stored_in_their_own_places_or_not_at_all(bus: AnyBus, after_seq: int) -> None:
    await bus.append(events(1, 4), 0)
    refused = await bus.append(events(after_seq + 1, 3), after_seq)
    assert (refused.stored, refused.fault) == (0, "refused")
    page = await bus.read("sensors.>", 1, messages_max=10, bytes_max=1_000_000)
    assert len(page.messages) >= 4  # those behind what is refused may be in their places, where they are no batch
    assert [m.data for m in page.messages] == [b"event %d" % m.seq for m in page.messages]


@pytest.mark.parametrize("batches", [True, False])
async def test_a_server_with_or_without_batches_stores_the_same(server: NatsServer, batches: bool) -> None:
    name = f"B{os.urandom(6).hex()}"
    async with open_bus(server.url, StreamSettings(), ignore, stream=name, subjects=f"{name}.sensors.>") as real:
        bus = _Prefixed(real, name)
        if not batches:
            real._batches = False
        assert await bus.append(events(1, 300), 0) == Appended(300)
        assert (await bus.append(events(311, 3), 310)).fault == "refused"
        assert await bus.append(events(301, 3), 300) == Appended(3)
        page = await bus.read("sensors.>", 1, messages_max=1000, bytes_max=1_000_000)
        assert [(m.seq, m.data, m.items) for m in page.messages] == [(n, b"event %d" % n, 1) for n in range(1, 304)]
        assert await bus.end() == StreamEnd(303, 303)


async def test_of_two_that_write_at_once_every_sequence_is_given_once(bus: AnyBus) -> None:
    done = await asyncio.gather(*(bus.append(events(1, 50), 0) for _ in range(3)))
    assert sum(appended.stored for appended in done) == 50
    assert await bus.end() == StreamEnd(50, 50)
    page = await bus.read("sensors.>", 1, messages_max=1000, bytes_max=1_000_000)
    assert [m.data for m in page.messages] == [b"event %d" % n for n in range(1, 51)]


async def test_a_stream_that_was_purged_whole_still_knows_its_last_sequence(bus: AnyBus) -> None:
    await bus.append(events(1, 4), 0)
    await bus.purge(5)
    assert await bus.end() == StreamEnd(4, None)
    assert await bus.append(events(5, 1), 4) == Appended(1)
    assert await bus.end() == StreamEnd(5, 5)


async def test_a_message_of_somebody_else_at_the_end_is_not_taken_for_an_event(bus: AnyBus) -> None:
    await bus.publish([outgoing(1)])
    with pytest.raises(ForeignMessage):
        await bus.end()


async def test_events_that_find_no_room_say_so(server: NatsServer) -> None:
    settings = StreamSettings(size_bytes_max=20_000)
    async with open_bus(server.url, settings, ignore, stream="FULL_OF_EVENTS", subjects="sensors.>") as bus:
        large = [EventMessage(n, "sensors.x", b"x" * 3_000) for n in range(1, 30)]
        appended = await bus.append(large, 0)
        assert appended.fault == "full"
        assert await bus.append(large[:3], 0) == Appended(3)
        assert await bus.end() == StreamEnd(3, 3)
    memory = MemoryBus()
    memory.bytes_max = 7_000
    assert await memory.append(large, 0) == Appended(2, "full", "maximum bytes exceeded")


async def test_a_full_nats_stream_says_so_and_keeps_what_it_has(server: NatsServer) -> None:
    settings = StreamSettings(size_bytes_max=20_000)
    async with open_bus(server.url, settings, ignore, stream="FULL", subjects="full.>") as bus:
        results = await bus.publish([outgoing(n, "full.x", lines=200) for n in range(30)])
        assert results[0] is None
        assert isinstance(results[-1], StreamFull)
        assert (await bus.bounds()).last_seq == sum(1 for result in results if result is None)


async def test_a_full_memory_stream_says_so() -> None:
    bus = MemoryBus()
    bus.bytes_max = 10
    assert isinstance((await bus.publish([outgoing(1, lines=100)]))[0], StreamFull)


async def test_nothing_is_lost_or_stored_twice_when_nats_is_killed_while_it_is_written_to() -> None:
    server = NatsServer()
    server.start()
    try:
        async with open_bus(server.url, StreamSettings(), ignore, stream="KILL", subjects="kill.>") as bus:
            following = asyncio.create_task(collect_until(bus, b"799-0"))
            for start in range(0, 800, 100):
                writing = asyncio.create_task(bus.publish([outgoing(n, "kill.x") for n in range(start, start + 100)]))
                if start in (100, 400, 600):
                    await asyncio.sleep(0)
                    server.kill()
                    await asyncio.to_thread(server.start)
                assert set(await asyncio.wait_for(writing, 60)) == {None}
            found = await asyncio.wait_for(following, 60)
            assert [m.data for m in found] == [b"%d-0" % n for n in range(800)]
    finally:
        server.close()


async def collect_until(bus: Bus, last: bytes) -> list[Message]:
    found: list[Message] = []
    async for batch in bus.follow(1):
        found += batch
        if found[-1].data == last:
            return found
    raise AssertionError("the stream ended")


async def test_a_read_without_connection_is_a_bus_error() -> None:
    server = NatsServer()
    server.start()
    try:
        async with open_bus(server.url, StreamSettings(), ignore, stream="GONE", subjects="gone.>") as bus:
            await bus.publish([outgoing(1, "gone.x")])
            server.kill()
            with pytest.raises(BusError):  # noqa: PT012 - until the connection notices
                async with asyncio.timeout(30):
                    while True:
                        await bus.read("gone.>", 1, messages_max=1, bytes_max=1)
    finally:
        server.start()
        server.close()


async def test_nats_out_of_reach_is_an_engine_error_without_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matrixhub.bus.nats.CONNECT_WAIT_S", 0.5)
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(EngineError) as caught:
        async with open_bus(f"nats://s3cret@127.0.0.1:{port}", StreamSettings(), ignore):
            pass
    assert "s3cret" not in str(caught.value)


if sys.platform == "win32":
    pytest.skip("the engines run on Linux and macOS", allow_module_level=True)
