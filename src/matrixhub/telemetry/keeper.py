"""The stage that keeps: it follows the stream of readings and stores all of it, in the one process that has the duty.

What has come while a batch was written is the next batch, so a lone reading is stored at once and a flood in large
batches. Position and rows commit together, and a repeat changes nothing; whatever is interrupted is simply done again.
Source: docs/decisions/0017-telemetry.md
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from matrixhub.lifecycle import cancelled, rung_by
from matrixhub.model.errors import BusError, StoreError, UnstorableReading
from matrixhub.model.ids import PropertyId
from matrixhub.model.past import epoch_ms
from matrixhub.model.reading_line import KeptReading, Splitter
from matrixhub.observe import (
    ClockDoubted,
    Observe,
    PartitionsKept,
    ReadingsDeleted,
    ReadingsStored,
    ReadingsUnstorable,
    StoreFailed,
    StoreGoesOn,
    StoreMeasured,
    StoreMissed,
    StoreWaits,
)
from matrixhub.ports import Bounds, Bus, Clock, Duty, Message, ReadingPartitions, ReadingStore, RefusedLine
from matrixhub.telemetry.batches import (
    AHEAD,
    Part,
    Ready,
    cut_batches,
    day_start,
    days_of,
    has_partition,
    split_message,
)
from matrixhub.telemetry.retention import DOUBTS, Retentions, Trusted, trust

DUTY_S = 1.0
MEASURE_S = 5.0
RETRY_S = 1.0
ROUND_S = 3600.0
ROUND_RETRY_S = 60.0
RETENTIONS_S = 30.0
DELETE_ROWS = 10_000
"""So many readings are deleted with each turn, one a second: nobody waits for them to go."""

SLICE_ITEMS = 500
"""So many lines are taken apart before others of the process have their turn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeeperSettings:
    """How readings are stored, and for how long."""

    batch_items: int
    batch_bytes: int
    retention_s: float


def begin_behind(position: int, stream: str, bounds: Bounds) -> tuple[int, str]:
    """Behind which message to go on, and what is to be told of it, '' where nothing is missing.

    >>> begin_behind(10, "", Bounds(5, 20)), begin_behind(10, "a", Bounds(11, 10, "a"))
    ((10, ''), (10, ''))
    >>> begin_behind(10, "a", Bounds(15, 20, "a"))
    (14, 'goes on with what there is')
    >>> begin_behind(10, "a", Bounds(1, 3, "a")), begin_behind(10, "a", Bounds(1, 3_000, "b"))
    ((0, 'stores the stream from its beginning'), (0, 'stores the stream from its beginning'))
    """
    if bounds.last_seq < position or _differs(stream, bounds):
        return bounds.first_seq - 1, "stores the stream from its beginning"
    if bounds.first_seq > position + 1:
        return bounds.first_seq - 1, "goes on with what there is"
    return position, ""


def _differs(stream: str, bounds: Bounds) -> bool:
    """Whether the bus has another stream than this one, as far as both are known."""
    return bool(stream and bounds.stream) and stream != bounds.stream


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
        self._stream = ""
        self._retentions = Retentions(settings.retention_s)
        self._longest_s = settings.retention_s
        self._trusted: Trusted | None = None
        self._cleaning: AsyncIterator[int] | None = None
        self._measure_at = self._round_at = self._retentions_at = float("-inf")

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
                    await self._delete_some()
                    await self._measure()
                    await self._clock.wait(bell, DUTY_S)
            if following.done():
                await following
        finally:
            await cancelled(following)  # what it was about to store is stored by whoever is next
            self._cleaning = None

    def _off_duty(self) -> None:
        """Another process stores, and tells how far it is."""
        self._trouble = ""
        if self._measure_at != float("-inf"):
            self._measure_at = float("-inf")
            self._observe(StoreMeasured(behind=0, lag_s=0.0))

    async def follow(self) -> None:
        """Store every message from the position on; ends only if another process stores, too.

        While PostgreSQL writes a batch, the next one is taken apart. Raises BusError, StoreError.
        """
        self._position = await self._find_place()
        ready = Ready(items_max=self._settings.batch_items, bytes_max=self._settings.batch_bytes)
        ahead = asyncio.create_task(self._read_ahead(ready), name="take readings apart")
        ahead.add_done_callback(lambda _task: ready.end())
        try:
            while (part := await ready.take()).messages:
                if not await self._store(part):
                    return
            await ahead
        finally:
            await cancelled(ahead)

    async def _read_ahead(self, ready: Ready) -> None:
        limits = self._settings
        items_max = min(SLICE_ITEMS, limits.batch_items)
        async for messages in self._bus.follow(self._position + 1):
            for some in cut_batches(messages, items_max=items_max, bytes_max=limits.batch_bytes):
                await ready.put(self._take_apart(some))
                await asyncio.sleep(0)

    async def _find_place(self) -> int:
        bounds = await self._bus.bounds()
        position = await self._readings.begin(bounds.first_seq - 1, bounds.stream)
        self._stream = bounds.stream
        found, action = begin_behind(position, await self._readings.stream(), bounds)
        if action:
            self._observe(
                StoreMissed(seq=position, first_seq=bounds.first_seq, last_seq=bounds.last_seq, action=action)
            )
            await self._readings.go_back(found, bounds.stream)
        await self._read_retentions()
        self._recover(found)
        return found

    async def store(self, messages: Sequence[Message], *, carefully: bool = False) -> bool:
        """Store the messages; whether it is still this process that stores. Raises StoreError."""
        return await self._store(self._take_apart(messages, carefully=carefully), carefully=carefully)

    async def _store(self, part: Part, *, carefully: bool = False) -> bool:
        began = time.perf_counter()
        await self._make_partitions(part.kept)
        last = part.messages[-1]
        try:
            stored = await self._readings.store(part.kept, part.refused, after_seq=self._position, to_seq=last.seq)
        except UnstorableReading:
            return await self._store_in_parts(part.messages, carefully=carefully)
        if stored is None:
            return False
        self._position, self._stored_ms = last.seq, last.stored_ms
        self._tell(part.refused)
        self._observe(
            ReadingsStored(
                messages=len(part.messages),
                readings=stored,
                repeated=len(part.kept) - stored,
                expired=part.expired,
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

    def _take_apart(self, messages: Sequence[Message], *, carefully: bool = False) -> Part:
        """The readings of messages, without those that are older than their property keeps them."""
        part = Part(messages=list(messages), items=sum(message.items for message in messages))
        for message in messages:
            found, wrong = split_message(self._splitter, message, carefully=carefully)
            fresh = self._fresh(found)
            part.size += len(message.data)
            part.kept += fresh
            part.refused += wrong
            part.expired += len(found) - len(fresh)
        return part

    def _fresh(self, readings: list[KeptReading]) -> list[KeptReading]:
        """Those of a message that are not too old; all of them are of one property."""
        if not readings:
            return readings
        oldest_ms = epoch_ms(self._oldest(self._retentions.of(readings[0].origin.property_id)))
        return [reading for reading in readings if reading.instant_ms >= oldest_ms]

    def _oldest(self, retention_s: float) -> datetime:
        """From when on readings are kept, by the clock as far as it is trusted."""
        now = self._now()
        trusted = now if self._trusted is None else min(now, self._trusted.at)
        return trusted - timedelta(seconds=retention_s)

    async def _make_partitions(self, readings: Sequence[KeptReading]) -> None:
        """Make the partitions of days that come late, before their readings; where that cannot be, the default one
        takes them until it can.
        """
        fresh = days_of(readings) - self._days
        if not fresh:
            return
        now, oldest = self._now(), self._oldest(self._longest_s)
        wanted = [day_start(day) for day in fresh if has_partition(day, now, oldest)]
        try:
            made = await self._partitions.make(wanted) if wanted else {}
        except StoreError as error:
            self._observe(StoreFailed(step="make partitions of readings", error=error.message))
            return
        self._days |= fresh
        if made:
            self._observe(PartitionsKept(made=", ".join(made), dropped="", rows_moved=sum(made.values())))

    async def _keep_partitions(self) -> None:
        """Make the partitions of the next days, and drop those that no property wants any more, every hour."""
        if self._clock.monotonic() < self._round_at:
            return
        self._round_at = self._clock.monotonic() + ROUND_RETRY_S
        now = self._now()
        try:
            made = await self._partitions.make([now + timedelta(days=days) for days in range(AHEAD.days + 1)])
            await self._read_retentions()
            await self._trust(now)
            properties = await self._partitions.properties()
            self._longest_s = self._retentions.longest_s(properties)
            dropped = await self._partitions.drop(self._oldest(self._longest_s))
        except StoreError as error:
            self._observe(StoreFailed(step="partitions of readings", error=error.message))
            return
        self._round_at = self._clock.monotonic() + ROUND_S
        self._days.clear()
        self._cleaning = self._delete_old(self._retentions.shorter(properties))
        if made or dropped:
            self._observe(
                PartitionsKept(made=", ".join(made), dropped=", ".join(dropped), rows_moved=sum(made.values()))
            )

    async def _trust(self, now: datetime) -> None:
        """Believe the clock, or doubt it, for a round. Raises StoreError."""
        self._trusted = trust(self._trusted, now)
        await self._partitions.save_trusted(self._trusted.at, self._trusted.doubts)
        if self._trusted.doubts:
            self._observe(
                ClockDoubted(
                    now=now.isoformat(), trusted=self._trusted.at.isoformat(), rounds_left=DOUBTS - self._trusted.doubts
                )
            )

    async def _read_retentions(self) -> None:
        """Know how long properties keep their readings, and how far the clock was trusted. Raises StoreError."""
        self._retentions = Retentions(self._settings.retention_s, await self._partitions.retentions())
        self._longest_s = max(self._longest_s, self._settings.retention_s, *self._retentions.own.values())
        before = await self._partitions.trusted()
        if before is not None:
            self._trusted = Trusted(*before)
        self._retentions_at = self._clock.monotonic() + RETENTIONS_S

    async def _delete_some(self) -> None:
        """Delete a few of the readings that are older than their property keeps them; the next turn deletes more."""
        try:
            if self._clock.monotonic() >= self._retentions_at:
                await self._read_retentions()
            if self._cleaning is not None and await anext(self._cleaning, None) is None:
                self._cleaning = None
        except StoreError as error:
            self._cleaning = None
            self._observe(StoreFailed(step="delete old readings", error=error.message))

    async def _delete_old(self, properties: Sequence[PropertyId]) -> AsyncIterator[int]:
        deleted = 0
        for property_id in properties:
            before = self._oldest(self._retentions.of(property_id))
            async for count in self._partitions.delete_old(property_id, before, rows_max=DELETE_ROWS):
                deleted += count
                yield count
        if deleted:
            self._observe(ReadingsDeleted(properties=len(properties), readings=deleted))

    async def _measure(self) -> None:
        if self._clock.monotonic() < self._measure_at:
            return
        self._measure_at = self._clock.monotonic() + MEASURE_S
        bounds = await self._bus.bounds()
        if _differs(self._stream, bounds):
            raise BusError("the stream is another one")  # its place is found again
        behind = max(0, bounds.last_seq - self._position)
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
