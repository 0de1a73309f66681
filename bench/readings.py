"""The readings all parties of a comparison carry: those of a made site of 1,000 devices, from the simulator."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from matrixhub.ingest.body import parse_items
from matrixhub.ingest.normalise import TimeRules, plan_slot, reading_instant, reading_line
from matrixhub.model.errors import ItemRefused
from matrixhub.model.ids import SlotId
from matrixhub.model.site import Site
from matrixhub.sources.simulator import Simulation
from matrixhub.sources.sites import make_site

DEVICES = 1_000
SAMPLES = 16
"""Different values of each device; they repeat, instants never do."""

SAMPLE_EVERY_MS = 60_000
STAMP = "benchNs"
"""Unknown attribute of `v` in which a reading carries its time on CLOCK_MONOTONIC, shared by all processes."""

RULES = TimeRules(oldest_ms=0, ahead_max_ms=86_400_000)


def bench_site() -> Site:
    """The site under test."""
    return make_site(DEVICES, name="Benchmark")


class Source:
    """Readings without end; the instants of a device are 1 ms apart, so each differs from all others."""

    def __init__(self) -> None:
        self.site = bench_site()
        start_ms = time.time_ns() // 1_000_000
        self._samples = _samples(self.site, start_ms)
        self._heads = [b'{"DEVID":"%b","unixT":' % slot.id.encode() for slot in self.site.slots]
        self._instants = [start_ms] * DEVICES
        self._turns = [0] * DEVICES

    def reading(self, device: int, stamp_ns: int | None = None) -> bytes:
        """The next reading of the device, as a device sends it."""
        self._instants[device] += 1
        turn = self._turns[device] = (self._turns[device] + 1) % SAMPLES
        values = self._samples[device][turn]
        if stamp_ns is not None:
            values = b'%b,"%b":%d}' % (values[:-1], STAMP.encode(), stamp_ns)
        return b'%b%d,"v":%b}' % (self._heads[device], self._instants[device], values)

    def bodies(self, devices: Sequence[int], readings: int, per_request: int) -> list[bytes]:
        """Request bodies with so many readings in all, round-robin over the devices; a lone reading is an object."""
        reading, count = self.reading, len(devices)
        made: list[bytes] = []
        for start in range(0, readings, per_request):
            stretch = range(start, min(start + per_request, readings))
            part = [reading(devices[k % count]) for k in stretch]
            made.append(part[0] if per_request == 1 else b"[" + b",".join(part) + b"]")
        return made


class Normaliser:
    """Readings as the hub pushes them, made by the hub's own functions."""

    def __init__(self, site: Site) -> None:
        calendars: dict[tuple[str, bool], Callable[[int], bytes]] = {}
        self._plans = {slot.id: plan_slot(slot, number, calendars) for number, slot in enumerate(site.slots)}

    def subject(self, slot: SlotId) -> str:
        """The subject of the readings of a slot."""
        return self._plans[slot].subject

    def lines(self, body: bytes) -> list[bytes]:
        """The lines of the general format that the readings of a body become."""
        now_ms, lines = time.time_ns() // 1_000_000, []
        for item in parse_items(body, items_max=1_000_000):
            if isinstance(item, ItemRefused):
                raise item
            plan = self._plans[SlotId(item.DEVID)]
            instant = reading_instant(item, plan, now_ms, RULES)
            lines.append(reading_line(item, plan, now_ms if instant is None else instant))
        return lines


def push_items(source: Source, pushes: int, per_push: int) -> list[list[str]]:
    """The readings of so many pushes, each the JSON text of one object in the general format."""
    normaliser = Normaliser(source.site)
    bodies = source.bodies(range(DEVICES), pushes * per_push, per_push)
    return [[line.decode() for line in normaliser.lines(body)] for body in bodies]


def _samples(site: Site, start_ms: int) -> list[list[bytes]]:
    simulation = Simulation(site.slots, seed=1, start_ms=start_ms, step_ms=SAMPLE_EVERY_MS)
    if len(simulation) != DEVICES:
        raise ValueError(f"{DEVICES - len(simulation)} devices of the made site cannot be simulated")
    encode = msgspec.json.Encoder().encode
    samples: list[list[bytes]] = [[] for _ in range(DEVICES)]
    rate = DEVICES * 1000 / SAMPLE_EVERY_MS
    stretch = simulation.at_rate(rate, start_ms, start_ms + SAMPLES * SAMPLE_EVERY_MS)
    for number, reading in enumerate(stretch):
        samples[number % DEVICES].append(encode(reading["v"]))
    return samples
