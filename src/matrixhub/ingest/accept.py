"""One request with readings, from its items to its receipt. Accepted means: on disk in the stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from matrixhub.bus.subjects import SENSORS_SUBJECTS
from matrixhub.ingest.body import Item
from matrixhub.ingest.normalise import SlotPlan, TimeRules, reading_instant, reading_key, reading_line
from matrixhub.ingest.registry import Registry, Sender
from matrixhub.ingest.window import Window
from matrixhub.ingest.writer import Writer
from matrixhub.model.errors import ItemRefused, Overloaded, ReadingTooLarge, UnknownSlot
from matrixhub.observe import Observe, ReadingRefused, WindowRebuilt
from matrixhub.ports import Bus, Clock, Message

LINE_BYTES_MAX = 262_144
"""A reading must fit a push and a stream message whole."""

SLICE = 32
"""A large request lets others, and deliveries, have their turn after so many readings: some fifty microseconds."""

REBUILD_BYTES = 2 * 1024 * 1024
NEWEST_FIRST_MESSAGES = 1_000


class Refusal(msgspec.Struct, frozen=True):
    """Why one reading of a request was not taken; `index` counts from 0."""

    index: int
    code: str
    message: str


class Receipt(msgspec.Struct, frozen=True):
    """What became of the readings of a request: accepted + repeated + refused is how many there were."""

    accepted: int
    repeated: int
    refused: Sequence[Refusal]


@dataclass(slots=True)
class Taken:
    """What has become of a request's readings so far, and the rounds it has to wait for.

    Those of the first copies of repeats are among them.
    """

    accepted: int = 0
    repeated: int = 0
    refused: list[Refusal] = field(default_factory=list)
    rounds: set[asyncio.Future[None]] = field(default_factory=set)


class _Key(msgspec.Struct, gc=False):
    DEVID: str
    unixT: int  # noqa: N815 - the spelling of the wire


_key_of = msgspec.json.Decoder(_Key).decode


class Acceptor:
    """Takes the readings of requests and waits until they are stored."""

    def __init__(
        self,
        registry: Registry,
        window: Window,
        writer: Writer,
        clock: Clock,
        rules: TimeRules,
        observe: Observe,
        *,
        wait_s: float,
        origin: str,
    ) -> None:
        self._registry = registry
        self._window = window
        self._writer = writer
        self._clock = clock
        self._rules = rules
        self._observe = observe
        self._wait_s = wait_s
        self._origin = origin
        self._large = asyncio.Lock()

    async def accept(self, items: Sequence[Item], sender: Sender) -> Receipt:
        """Store the readings that can be taken; when it returns they are on disk.

        Raises: Overloaded if the stream does not take them in time; sending the same readings again is safe, because
        those that were stored meanwhile are recognised. StreamFull if it has no room.
        """
        taken = Taken()
        if len(items) <= SLICE:
            self._take(items, 0, sender, taken)
        else:
            async with self._large:  # one at a time, or the others' turns would be as many slices long
                for start in range(0, len(items), SLICE):
                    self._take(items[start : start + SLICE], start, sender, taken)
                    await asyncio.sleep(0)
        await self._wait_stored(taken.rounds)
        return Receipt(taken.accepted, taken.repeated, taken.refused)

    def _take(self, items: Sequence[Item], start: int, sender: Sender, taken: Taken) -> None:
        """Normalise some items into the round that gathers; the window knows their keys from here on.

        Raises: Overloaded; what was taken before is stored all the same, and recognised when it comes again.
        """
        gathering = self._writer.open_round()
        now_ms, rules, slots, window = self._clock.now_ms(), self._rules, self._registry.slots, self._window
        window.turn(self._clock.monotonic())
        only = sender.property_id
        accepted = repeated = 0
        for index, item in enumerate(items, start):
            try:
                if isinstance(item, ItemRefused):
                    raise item
                plan = slots.get(item.DEVID)
                if plan is None or (only is not None and plan.property_id != only):
                    # A slot of another property is as unknown as one that does not exist.
                    raise UnknownSlot(f"no device slot {item.DEVID[:80]!r} in this property")
                instant = reading_instant(item, plan, now_ms, rules)
                if instant is None:
                    instant = free_instant(window, plan, now_ms)
                line = reading_line(item, plan, instant)
                if len(line) > LINE_BYTES_MAX:
                    raise ReadingTooLarge(f"the reading has {len(line):,} bytes; the limit is {LINE_BYTES_MAX:,}")
            except ItemRefused as error:
                taken.refused.append(Refusal(index, error.code, error.message))
                self._observe(ReadingRefused(code=error.code, devid=getattr(item, "DEVID", ""), message=error.message))
                continue
            key = reading_key(plan, instant)
            if window.add(key):
                gathering.add(plan.subject, line, key)
                accepted += 1
            else:
                repeated += 1
        if accepted:
            taken.rounds.add(gathering.stored)
        if repeated:
            taken.rounds.update(self._writer.unsettled())
        taken.accepted += accepted
        taken.repeated += repeated

    async def _wait_stored(self, rounds: set[asyncio.Future[None]]) -> None:
        if len(rounds) == 1:
            await self._wait_one(*rounds)
            return
        if not rounds:
            return
        done, unfinished = await asyncio.wait(rounds, timeout=self._wait_s)
        for future in done:
            if (error := future.exception()) is not None:
                raise error
        if unfinished:
            # The readings stay with the writer, which stores them as soon as it can, and in the window, so that the
            # same readings sent again are answered when they are stored, not stored twice.
            raise Overloaded

    async def _wait_one(self, stored: asyncio.Future[None]) -> None:
        """The common case, a small request, without the cost of a task for its future."""
        try:
            async with asyncio.timeout(self._wait_s):
                await asyncio.shield(stored)
        except TimeoutError:
            raise Overloaded from None

    async def rebuild_window(self, bus: Bus, *, since_ms: int, keys_max: int) -> None:
        """Read the window back from the stream after a start, so that a restart does not let repeats in.

        Only about as many of the newest readings are read as the window holds, a page at a time. Raises BusError.
        """
        started = time.perf_counter()
        self._window.turn(self._clock.monotonic())
        last_seq = (await bus.bounds()).last_seq
        seq, left = await newest_from(bus, await bus.first_seq_since(since_ms), last_seq, keys_max)
        known = 0
        while seq <= last_seq:
            page = await bus.read(SENSORS_SUBJECTS, seq, messages_max=500, bytes_max=REBUILD_BYTES)
            if not page.messages:
                break
            left -= sum(message.items for message in page.messages)
            if left < keys_max:  # what is older would only push newer readings out of the window
                known += sum(self.remember(message) for message in page.messages)
            seq = page.messages[-1].seq + 1
        self._observe(WindowRebuilt(readings=known, seconds=time.perf_counter() - started))

    def remember(self, message: Message) -> int:
        """Put the readings of a stored message into the window; how many of their slots are known."""
        known = 0
        for line in message.data.split(b"\n"):
            try:
                reading = _key_of(line)
            except msgspec.DecodeError:
                continue  # not written by this hub: it cannot be the first copy of anything
            plan = self._registry.slots.get(reading.DEVID)
            if plan is not None:
                self._window.add(reading_key(plan, reading.unixT))
                known += 1
        return known

    async def follow_others(self, bus: Bus, from_seq: int) -> None:
        """Learn, without end, what other copies of ingest store, so that a repeat sent to another copy is recognised.

        Two copies that get the same reading within the few milliseconds of a stream write may still both store it.
        """
        async for messages in bus.follow(from_seq):
            for message in messages:
                self._window.turn(self._clock.monotonic())
                if message.origin != self._origin:
                    self.remember(message)


async def newest_from(bus: Bus, first_seq: int, last_seq: int, items: int) -> tuple[int, int]:
    """A sequence from which the stream holds at least so many items, if it has them since `first_seq`; and how many.

    It looks back twice as far each time, by the headers of the messages alone. Raises BusError.
    """
    back = NEWEST_FIRST_MESSAGES
    while True:
        seq = max(first_seq, last_seq - back + 1)
        found = await bus.count_items(SENSORS_SUBJECTS, seq)
        if seq == first_seq or found >= items:
            return seq, found
        back *= 2


def free_instant(window: Window, plan: SlotPlan, now_ms: int) -> int:
    """An instant for a reading that came without a time: now, or as soon after as the slot has none.

    Without a time nothing says that it is a repeat, so it must not be taken for one.
    """
    while window.knows(reading_key(plan, now_ms)):
        now_ms += 1
    return now_ms
