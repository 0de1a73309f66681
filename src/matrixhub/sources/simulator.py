"""A simulated building: readings of its device slots, the same every time for the same seed.

Nothing here looks at a clock or a network: instants come from the caller. One generator of random numbers serves the
whole building, drawn from in the order of the readings, so a stream is repeated to the byte by repeating the calls.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import TypedDict

from matrixhub.model.devices import canonical_devtype
from matrixhub.model.site import Slot
from matrixhub.sources.rhythm import LocalClock, pattern_of
from matrixhub.sources.rooms import Room
from matrixhub.sources.sensors import SENSORS, Sensor, Values


class Reading(TypedDict):
    """A reading as a device sends it: as little as the hub needs."""

    DEVID: str
    unixT: int
    v: Values


class Simulation:
    """The devices of the slots, from `start_ms` on; calls must not go back in time.

    Slots of device types that are not in `model.devices` cannot be simulated; they are listed in `unsupported`.
    `step_ms` is how finely rooms change: a smaller step costs time and is seen in nothing slower than it.
    """

    def __init__(self, slots: Sequence[Slot], *, seed: int, start_ms: int, step_ms: int = 1000) -> None:
        rng = random.Random(seed)
        supported = [slot for slot in slots if canonical_devtype(slot.devtype) in SENSORS]
        self.unsupported = tuple(slot for slot in slots if canonical_devtype(slot.devtype) not in SENSORS)
        rooms = _furnish(supported, rng, start_ms, step_ms)
        self._rng = rng
        self._sensors = [SENSORS[canonical_devtype(s.devtype)](s, rooms[s.zone_id], rng) for s in supported]
        self._start_ms = start_ms
        # (due, index): the index makes the order of readings due at the same instant that of the slots.
        self._due = [(self._first_due(sensor, start_ms), i) for i, sensor in enumerate(self._sensors)]
        heapq.heapify(self._due)

    def __len__(self) -> int:
        return len(self._sensors)

    def readings(self, from_ms: int, to_ms: int) -> Iterator[Reading]:
        """The readings due in from_ms ≤ instant < to_ms, in time order, each device at its own interval.

        Readings that were due before from_ms and not asked for are left out: the devices were not listened to.
        """
        due = self._due
        while due and due[0][0] < to_ms:
            at_ms, i = due[0]
            sensor = self._sensors[i]
            if at_ms < from_ms:
                heapq.heapreplace(due, (self._first_due(sensor, from_ms), i))
                continue
            reading = _report(sensor, at_ms)
            heapq.heapreplace(due, (at_ms + max(1, round(sensor.wait_s() * 1000)), i))
            yield reading

    def at_rate(self, rate: float, from_ms: int, to_ms: int) -> Iterator[Reading]:
        """The readings of from_ms ≤ instant < to_ms at `rate` a second in all, round-robin over the devices.

        Adjoining intervals join without a gap or a repeat: reading k is due k / rate seconds after the start. A device
        asked for more than 1,000 readings a second runs ahead of the clock, so that its instants still differ.
        Raises: ValueError if the rate is not above zero.
        """
        if not rate > 0:
            raise ValueError(f"a rate is above zero, not {rate:g}")
        sensors, start_ms, step_ms = self._sensors, self._start_ms, 1000 / rate
        if not sensors:
            return
        count = len(sensors)
        for k in range(_ordinal(from_ms - start_ms, rate), _ordinal(to_ms - start_ms, rate)):
            yield _report(sensors[k % count], start_ms + int(k * step_ms))

    def _first_due(self, sensor: Sensor, from_ms: int) -> int:
        return from_ms + int(self._rng.random() * sensor.wait_s() * 1000)


def _furnish(slots: Sequence[Slot], rng: random.Random, start_ms: int, step_ms: int) -> Mapping[str, Room]:
    """A room for each zone, in the order of the slots."""
    devtypes: dict[str, list[str]] = {}
    for slot in slots:
        devtypes.setdefault(slot.zone_id, []).append(canonical_devtype(slot.devtype))
    clocks: dict[str, LocalClock] = {}
    rooms: dict[str, Room] = {}
    for slot in slots:
        if slot.zone_id in rooms:
            continue
        clock = clocks.get(slot.time_zone)
        if clock is None:
            clock = clocks[slot.time_zone] = LocalClock(slot.time_zone, rng)
            clock.advance(start_ms)
        pattern = pattern_of(devtypes[slot.zone_id])
        rooms[slot.zone_id] = Room(pattern, clock, rng, start_ms=start_ms, step_ms=step_ms)
    return rooms


def _report(sensor: Sensor, at_ms: int) -> Reading:
    if at_ms <= sensor.last_ms:
        at_ms = sensor.last_ms + 1
    sensor.room.advance(at_ms)
    v = sensor.values(at_ms)
    sensor.last_ms = at_ms
    return {"DEVID": sensor.slot_id, "unixT": at_ms, "v": v}


def _ordinal(elapsed_ms: int, rate: float) -> int:
    """How many readings are due before that time: the number of k with int(k * 1000 / rate) < elapsed."""
    if elapsed_ms <= 0:
        return 0
    step_ms = 1000 / rate
    k = int(elapsed_ms / step_ms)
    while int(k * step_ms) < elapsed_ms:
        k += 1
    while k and int((k - 1) * step_ms) >= elapsed_ms:
        k -= 1
    return k
