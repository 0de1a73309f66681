"""The stage that keeps: it follows the stream of readings and stores all of it, in the one process that has the duty.

What has come while a batch was written is the next batch, so a lone reading is stored at once and a flood in large
batches. Position and rows commit together, and a repeat changes nothing; whatever is interrupted is simply done again.
Source: docs/decisions/0017-telemetry.md
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from matrixhub.lifecycle import cancelled, rung_by
from matrixhub.model.errors import BusError, StoreError, UnstorableReading
from matrixhub.model.reading_line import KeptReading, Splitter
from matrixhub.observe import (
    Observe,
    PartitionsKept,
    ReadingsStored,
    ReadingsUnstorable,
    StoreFailed,
    StoreGoesOn,
    StoreMeasured,
    StoreMissed,
    StoreWaits,
)
from matrixhub.ports import Bounds, Bus, Clock, Duty, Message, ReadingPartitions, ReadingStore, RefusedLine
from matrixhub.telemetry.batches import AHEAD, cut_batches, day_start, days_of, has_partition, split_message

DUTY_S = 1.0
MEASURE_S = 5.0
RETRY_S = 1.0
ROUND_S = 3600.0
ROUND_RETRY_S = 60.0
SLICE_ITEMS = 500
"""So many lines are taken apart before others of the process have their turn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeeperSettings:
    """How readings are stored, and for how long."""

    batch_items: int
    batch_bytes: int
    retention_s: float


def begin_behind(position: int, bounds: Bounds) -> tuple[int, str]:
    """Behind which message to go on, and what is to be told of it, '' where nothing is missing.

    >>> begin_behind(10, Bounds(5, 20)), begin_behind(10, Bounds(11, 10))
    ((10, ''), (10, ''))
    >>> begin_behind(10, Bounds(15, 20))
    (14, 'goes on with what there is')
    >>> begin_behind(10, Bounds(1, 3))
    (0, 'stores the stream from its beginning')
    """
    if bounds.last_seq < position:
        return bounds.first_seq - 1, "stores the stream from its beginning"
    if bounds.first_seq > position + 1:
        return bounds.first_seq - 1, "goes on with what there is"
    return position, ""


class Keeper:
    """The stage `store`."""

    name = "store"

    def __init__(
        self,
        bus: Bus,
        readings: ReadingStore,
        partitions: ReadingPartitions,
        duty: Duty,
        clock: Clock,
        observe: Observe,
        settings: KeeperSettings,
    ) -> None:
        self._bus = bus
        self._readings = readings
        self._partitions = partitions
        self._duty = duty
        self._clock = clock
        self._observe = observe
        self._settings = settings
        self._splitter = Splitter()
        self._days: set[int] = set()
        self._trouble = ""
        self._position = 0
        self._stored_ms = 0
        self._measure_at = self._round_at = float("-inf")

    def healthy(self) -> bool:
        """Whether readings are stored, or another process is to do it."""
        return not self._trouble

    async def run(self, stop: asyncio.Event) -> None:
        """Store what comes until stop, while no other process does."""
        try:
            while not stop.is_set():
                try:
                    if await self._duty.held():
                        await self._on_duty(stop)
                    else:
                        self._off_duty()
                except (BusError, StoreError) as error:
                    self._fail(error)
                    with contextlib.suppress(BusError):  # what waits grows meanwhile
                        await self._measure()
                if not stop.is_set():
                    await self._clock.wait(stop, RETRY_S)
        finally:
            await self._duty.close()

    async def _on_duty(self, stop: asyncio.Event) -> None:
        """Follow the stream for as long as the duty is held. Raises BusError, StoreError."""
        bell = asyncio.Event()
        following = asyncio.create_task(self.follow(), name="store readings")
        following.add_done_callback(lambda _task: bell.set())
        try:
            async with rung_by(stop, bell):
                while not bell.is_set() and await self._duty.held():
                    await self._keep_partitions()
                    await self._measure()
                    await self._clock.wait(bell, DUTY_S)
            if following.done():
                await following
        finally:
            await cancelled(following)  # what it was about to store is stored by whoever is next

    def _off_duty(self) -> None:
        """Another process stores, and tells how far it is."""
        self._trouble = ""
        if self._measure_at != float("-inf"):
            self._measure_at = float("-inf")
            self._observe(StoreMeasured(behind=0, lag_s=0.0))

    async def follow(self) -> None:
        """Store every message from the position on; ends only if another process stores, too.

        Raises BusError, StoreError.
        """
        self._position = await self._find_place()
        limits = self._settings
        async for messages in self._bus.follow(self._position + 1):
            for batch in cut_batches(messages, items_max=limits.batch_items, bytes_max=limits.batch_bytes):
                if not await self.store(batch):
                    return

    async def _find_place(self) -> int:
        bounds = await self._bus.bounds()
        position = await self._readings.begin(bounds.first_seq - 1)
        found, action = begin_behind(position, bounds)
        if action:
            self._observe(
                StoreMissed(seq=position, first_seq=bounds.first_seq, last_seq=bounds.last_seq, action=action)
            )
            await self._readings.go_back(found)
        self._recover(found)
        return found

    async def store(self, messages: Sequence[Message], *, carefully: bool = False) -> bool:
        """Store the messages; whether it is still this process that stores. Raises StoreError."""
        began = time.perf_counter()
        kept, refused = await self._split(messages, carefully=carefully)
        await self._make_partitions(kept)
        seq = messages[-1].seq
        try:
            stored = await self._readings.store(kept, refused, after_seq=self._position, to_seq=seq)
        except UnstorableReading:
            return await self._store_in_parts(messages, carefully=carefully)
        if stored is None:
            return False
        self._position, self._stored_ms = seq, messages[-1].stored_ms
        self._tell(refused)
        self._observe(
            ReadingsStored(
                messages=len(messages),
                readings=stored,
                repeated=len(kept) - stored,
                seconds=time.perf_counter() - began,
            )
        )
        return True

    async def _store_in_parts(self, messages: Sequence[Message], *, carefully: bool) -> bool:
        """Find what the database does not take, halving down to one message, and in it line by line."""
        if len(messages) > 1:
            half = len(messages) // 2
            return await self.store(messages[:half], carefully=carefully) and await self.store(
                messages[half:], carefully=carefully
            )
        if not carefully:  # a line may only look as if it had the usual form
            return await self.store(messages, carefully=True)
        [message] = messages
        lines = message.data.split(b"\n")
        kept: list[KeptReading] = []
        refused: list[RefusedLine] = []
        for item, line in enumerate(lines):
            one = Message(message.seq, message.subject, line, 1)
            found, wrong = split_message(self._splitter, one, carefully=True)
            reason = wrong[0].reason if wrong else await self._readings.takes(found[0])
            if reason:
                refused.append(
                    RefusedLine(seq=message.seq, item=item, subject=message.subject, line=line, reason=reason)
                )
            else:
                kept += found
        stored = await self._readings.store(kept, refused, after_seq=self._position, to_seq=message.seq)
        if stored is None:
            return False
        self._position, self._stored_ms = message.seq, message.stored_ms
        self._tell(refused)
        return True

    async def _split(
        self, messages: Sequence[Message], *, carefully: bool
    ) -> tuple[list[KeptReading], list[RefusedLine]]:
        kept: list[KeptReading] = []
        refused: list[RefusedLine] = []
        turn = 0
        for message in messages:
            found, wrong = split_message(self._splitter, message, carefully=carefully)
            kept += found
            refused += wrong
            turn += message.items
            if turn >= SLICE_ITEMS:
                turn = 0
                await asyncio.sleep(0)
        return kept, refused

    async def _make_partitions(self, readings: Sequence[KeptReading]) -> None:
        """Make the partitions of days that come late, before their readings; where that cannot be, the default one
        takes them until it can.
        """
        fresh = days_of(readings) - self._days
        if not fresh:
            return
        now = self._now()
        wanted = [day_start(day) for day in fresh if has_partition(day, now, self._settings.retention_s)]
        try:
            made = await self._partitions.make(wanted) if wanted else {}
        except StoreError as error:
            self._observe(StoreFailed(step="make partitions of readings", error=error.message))
            return
        self._days |= fresh
        if made:
            self._observe(PartitionsKept(made=", ".join(made), dropped="", rows_moved=sum(made.values())))

    async def _keep_partitions(self) -> None:
        """Make the partitions of the next days, and drop those that are over, every hour."""
        if self._clock.monotonic() < self._round_at:
            return
        self._round_at = self._clock.monotonic() + ROUND_RETRY_S
        now = self._now()
        try:
            made = await self._partitions.make([now + timedelta(days=days) for days in range(AHEAD.days + 1)])
            dropped = await self._partitions.drop(now - timedelta(seconds=self._settings.retention_s))
        except StoreError as error:
            self._observe(StoreFailed(step="partitions of readings", error=error.message))
            return
        self._round_at = self._clock.monotonic() + ROUND_S
        self._days.clear()
        if made or dropped:
            self._observe(
                PartitionsKept(made=", ".join(made), dropped=", ".join(dropped), rows_moved=sum(made.values()))
            )

    async def _measure(self) -> None:
        if self._clock.monotonic() < self._measure_at:
            return
        self._measure_at = self._clock.monotonic() + MEASURE_S
        behind = max(0, (await self._bus.bounds()).last_seq - self._position)
        lag_s = max(0.0, (self._clock.now_ms() - self._stored_ms) / 1000) if behind and self._stored_ms else 0.0
        self._observe(StoreMeasured(behind=behind, lag_s=lag_s))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)

    def _tell(self, refused: Sequence[RefusedLine]) -> None:
        """Tell of what could not be stored, once a message."""
        by_message: dict[int, list[RefusedLine]] = {}
        for one in refused:
            by_message.setdefault(one.seq, []).append(one)
        for seq, ones in by_message.items():
            self._observe(
                ReadingsUnstorable(seq=seq, subject=ones[0].subject, readings=len(ones), reason=ones[0].reason)
            )

    def _fail(self, error: BusError | StoreError) -> None:
        if error.code != self._trouble:
            self._trouble = error.code
            self._observe(StoreWaits(code=error.code, error=error.message))

    def _recover(self, position: int) -> None:
        if self._trouble:
            self._trouble = ""
            self._observe(StoreGoesOn(seq=position))
