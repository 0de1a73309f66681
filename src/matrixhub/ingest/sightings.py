"""When each slot was last heard of, and its battery: noted for every reading that is stored, saved now and then.

Noting is a look-up and a comparison; what the battery says is read only when it is saved, once for a slot.
Source: docs/contract/devices.md §6
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from matrixhub.ingest.normalise import KEY_INSTANT_BITS
from matrixhub.ingest.writer import Packed
from matrixhub.model.devices import battery_level, device_type
from matrixhub.model.errors import StoreError
from matrixhub.model.ids import SlotId
from matrixhub.model.slot import Sighting
from matrixhub.observe import Observe, StoreFailed
from matrixhub.ports import Clock

SAVE_EVERY_S = 10.0

SAVE_SLOTS = 10_000
"""Slots saved by one statement."""

PAUSE_EVERY = 500

_INSTANT = (1 << KEY_INSTANT_BITS) - 1


class _Line(msgspec.Struct, gc=False):
    DevType: str
    v: dict[str, Any]


_line_of = msgspec.json.Decoder(_Line).decode


class Sightings:
    """What was heard of slots since it was last saved: the newest reading of each."""

    def __init__(
        self,
        slot_of_number: Callable[[], Sequence[SlotId]],
        save: Callable[[Sequence[Sighting]], Awaitable[None]],
        clock: Clock,
        observe: Observe,
    ) -> None:
        """`slot_of_number` gives the slots by the numbers in deduplication keys."""
        self._slot_of_number = slot_of_number
        self._save = save
        self._clock = clock
        self._observe = observe
        self._newest: dict[int, int] = {}
        self._lines: dict[int, bytes] = {}
        self._tells_battery: dict[str, bool] = {}

    def note(self, packed: Packed) -> None:
        """Note readings that are on disk."""
        newest, keys = self._newest, packed.keys
        known = newest.get
        if self._battery_subject(packed.message.subject):
            lines = self._lines
            for key, line in zip(keys, packed.lines, strict=True):
                number = key >> KEY_INSTANT_BITS
                if key > known(number, -1):
                    newest[number] = key
                    lines[number] = line
            return
        for key in keys:
            number = key >> KEY_INSTANT_BITS
            if key > known(number, -1):
                newest[number] = key

    def _battery_subject(self, subject: str) -> bool:
        """Whether readings of a subject may tell a battery. There are as many subjects as buildings have types."""
        found = self._tells_battery.get(subject)
        if found is None:
            kind = device_type(subject.rpartition(".")[2])
            found = self._tells_battery[subject] = kind is not None and bool(kind.battery)
        return found

    async def run(self, stop: asyncio.Event) -> None:
        """Save what is new every ten seconds until stop, and then what is left."""
        while not await self._clock.wait(stop, SAVE_EVERY_S):
            await self.save()
        await self.save()

    async def save(self) -> None:
        """Save what is new; while PostgreSQL is away it is kept, and the newest of each slot saved next time."""
        newest, self._newest = self._newest, {}
        lines, self._lines = self._lines, {}
        numbers = list(newest)
        for start in range(0, len(numbers), SAVE_SLOTS):
            part = numbers[start : start + SAVE_SLOTS]
            try:
                await self._save(await self._sightings(part, newest, lines))
            except StoreError as error:
                self._observe(StoreFailed(step="save sightings", error=error.message))
                self._take_back(numbers[start:], newest, lines)
                return

    async def _sightings(
        self, numbers: Sequence[int], newest: dict[int, int], lines: dict[int, bytes]
    ) -> Sequence[Sighting]:
        slots, now_ms = self._slot_of_number(), self._clock.now_ms()
        found: list[Sighting] = []
        for index, number in enumerate(numbers, 1):
            # A clock that runs ahead must not make a device look alive for longer than it is.
            instant_ms = min(newest[number] & _INSTANT, now_ms)
            line = lines.get(number)
            found.append(
                Sighting(
                    slot_id=slots[number],
                    seen_at=datetime.fromtimestamp(instant_ms / 1000, UTC),
                    battery=None if line is None else line_battery(line),
                )
            )
            if index % PAUSE_EVERY == 0:
                await asyncio.sleep(0)  # readings go on meanwhile
        return found

    def _take_back(self, numbers: Sequence[int], newest: dict[int, int], lines: dict[int, bytes]) -> None:
        for number in numbers:
            if newest[number] > self._newest.get(number, -1):
                self._newest[number] = newest[number]
                if number in lines:
                    self._lines[number] = lines[number]


def line_battery(line: bytes) -> float | None:
    """The battery that a line tells, or None.

    >>> line_battery(b'{"DevType":"SMARTCLEAN#UM","v":{"count":1,"b":"2980"}}')
    2980.0
    """
    try:
        found = _line_of(line)
    except (msgspec.DecodeError, RecursionError):
        return None  # a key that nobody knows holds what only fits JSON; the reading passed on as it is
    kind = device_type(found.DevType)
    return battery_level(kind, found.v) if kind is not None else None
