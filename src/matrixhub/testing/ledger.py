"""The books of a receiver: what came, what came again, what came in the wrong order, and how late.

Pure: no network, no clock; time comes in with every record. A reading is the triple (`DEVID`, `DevType`, `unixT`) by
which a receiver tells repeats. Source: docs/contract/data-push.md §5
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec

INSTANTS_MAX = 8_000_000
"""Instants remembered over all devices, 8 bytes each: 100,000 each for 80 devices, 8,000 each for 1,000."""

REQUEST_IDS_MAX = 100_000
"""Ids of requests remembered, the latest ones."""

LAST_PAYLOADS = 5


class NotAReading(ValueError):
    """An item is not the JSON text of a reading; nothing of its request was recorded."""

    def __init__(self, index: int, reason: str) -> None:
        self.index, self.reason = index, reason
        super().__init__(f"item {index} is not a reading: {reason}")


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerSummary:
    """The totals of a ledger. Percentiles are None until something has come.

    `distinct + duplicates == items`. `undecided` are readings older than everything remembered of their device: they
    are counted as distinct and out of order, though they may be repeats.
    """

    requests: int
    items: int
    devices: int
    distinct: int
    duplicates: int
    duplicates_with_same_request_id: int
    duplicates_in_new_request: int
    requests_repeated: int
    request_ids_reused: int
    out_of_order: int
    undecided: int
    p50_ms: float | None
    p99_ms: float | None


class Ledger:
    """Accounts for every reading of every request.

    Bounds: at most 1.25 × `instants_max` instants of 8 bytes (the oldest of each device are forgotten first, no device
    keeps more than an equal share), `request_ids_max` request ids, 1,700 latency buckets, 5 payloads, and a few hundred
    bytes per device. `instants_max=None` forgets nothing.
    """

    def __init__(
        self, *, instants_max: int | None = INSTANTS_MAX, request_ids_max: int | None = REQUEST_IDS_MAX
    ) -> None:
        if instants_max is not None and instants_max < 1:
            raise ValueError("instants_max is 1 or more, or None")
        self._instants_max, self._request_ids_max = instants_max, request_ids_max
        self._devices: dict[tuple[str, str], _Device] = {}
        self._remembered = 0
        self._contents: dict[str, int] = {}
        self._requests = self._items = self._duplicates_same = self._duplicates_new = 0
        self._requests_repeated = self._request_ids_reused = self._out_of_order = self._undecided = 0
        self.latency = LatencyHistogram()
        self.last_payloads: deque[str] = deque(maxlen=LAST_PAYLOADS)

    def record(self, request_id: str, items: Sequence[str], now_ms: float) -> None:
        """Enter a request that was read in full: the JSON text of each of its readings, and when it came.

        Units:  now_ms is epoch milliseconds, as `unixT`.
        Raises: NotAReading before anything is entered.
        """
        readings = _decode(items)
        repeats = self._enter(readings, now_ms)
        repeated = self._is_repeated(request_id, items, readings)
        self._requests += 1
        self._requests_repeated += repeated
        self._items += len(items)
        if repeated:
            self._duplicates_same += repeats
        else:
            self._duplicates_new += repeats
        self.last_payloads.extend(items[-LAST_PAYLOADS:])
        if self._instants_max is not None and self._remembered > self._instants_max * 1.25:
            self._forget(self._instants_max)

    def summary(self) -> LedgerSummary:
        """The totals until now."""
        duplicates = self._duplicates_same + self._duplicates_new
        return LedgerSummary(
            requests=self._requests,
            items=self._items,
            devices=len(self._devices),
            distinct=self._items - duplicates,
            duplicates=duplicates,
            duplicates_with_same_request_id=self._duplicates_same,
            duplicates_in_new_request=self._duplicates_new,
            requests_repeated=self._requests_repeated,
            request_ids_reused=self._request_ids_reused,
            out_of_order=self._out_of_order,
            undecided=self._undecided,
            p50_ms=self.latency.percentile_ms(0.50),
            p99_ms=self.latency.percentile_ms(0.99),
        )

    def problems(self) -> list[str]:
        """What a correct sender would not have caused, one sentence each; a repeat under its old id is correct."""
        found = (
            (self._out_of_order, "readings came after a later one of the same device"),
            (self._duplicates_new, "readings came again under another X-Request-Id"),
            (self._request_ids_reused, "requests came under the X-Request-Id of other content"),
            (self._undecided, "readings are older than everything remembered and may be repeats"),
        )
        return [f"{count:,} {what}" for count, what in found if count]

    def _enter(self, readings: Sequence[_Reading], now_ms: float) -> int:
        """Enter the readings; how many of them were there already."""
        # One loop for all readings, kept flat: at 400,000 readings a second and more each call would show.
        devices, add_latency = self._devices, self.latency.add
        repeats = 0
        for reading in readings:
            instant = reading.instant_ms
            device = devices.get(key := (reading.devid, reading.devtype))
            if device is None:
                device = devices[key] = _Device()
            if instant > device.highest:
                device.highest = instant
                device.instants.append(instant)
            elif device.has(instant):
                repeats += 1
                continue
            else:
                self._out_of_order += 1
                self._undecided += instant < device.forgotten_below
                insort(device.instants, instant)
            add_latency(now_ms - instant)
        self._remembered += len(readings) - repeats
        return repeats

    def _is_repeated(self, request_id: str, items: Sequence[str], readings: Sequence[_Reading]) -> bool:
        """Whether the same request came before under this id; its content is told by its instants and both ends."""
        content = hash((tuple([r.instant_ms for r in readings]), items[0], items[-1])) if items else 0
        known = self._contents.get(request_id)
        if known == content:
            return True
        if known is not None:
            self._request_ids_reused += 1
        elif self._request_ids_max is not None and len(self._contents) >= self._request_ids_max:
            del self._contents[next(iter(self._contents))]
        self._contents[request_id] = content
        return False

    def _forget(self, instants_max: int) -> None:
        share = max(1, instants_max // len(self._devices))
        for device in self._devices.values():
            device.keep_newest(share)
        self._remembered = sum(len(device.instants) for device in self._devices.values())


class LatencyHistogram:
    """Percentiles of any number of latencies in a fixed 1,700 buckets, each 2 % wider than the one before.

    A percentile is off by 1 % at most between 0.05 ms and 600 years; below that it is 0.05 ms. Negative latencies, of a
    sender whose clock is ahead, count as the lowest.

    >>> latency = LatencyHistogram()
    >>> for ms in range(1, 101):
    ...     latency.add(ms)
    >>> abs(latency.percentile_ms(0.5) / 50 - 1) <= 0.01
    True
    """

    LOWEST_MS = 0.05
    RATIO = 1.02
    BUCKETS = 1_700

    def __init__(self) -> None:
        self._counts = [0] * self.BUCKETS
        self._per_log = 1 / math.log(self.RATIO)
        self._offset = 1 - math.log(self.LOWEST_MS) * self._per_log

    def add(self, latency_ms: float) -> None:
        """Count one latency."""
        if latency_ms > 0.05:
            index = int(math.log(latency_ms) * self._per_log + self._offset)
            self._counts[index if index < 1_700 else 1_699] += 1
        else:
            self._counts[0] += 1

    def percentile_ms(self, fraction: float) -> float | None:
        """The latency that this fraction of all stays within (nearest rank), or None if nothing was counted."""
        total = sum(self._counts)
        rank, below = max(1, math.ceil(total * fraction)), 0
        for index, count in enumerate(self._counts):
            below += count
            if total and below >= rank:
                return float(self.LOWEST_MS * self.RATIO ** max(0.0, index - 0.5))
        return None


class _Reading(msgspec.Struct, gc=False):
    """What tells a reading from another; other fields are skipped, not decoded."""

    devid: str = msgspec.field(name="DEVID")
    devtype: str = msgspec.field(name="DevType")
    instant_ms: Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)] = msgspec.field(name="unixT")


_DECODER = msgspec.json.Decoder(_Reading)


def _decode(items: Sequence[str]) -> list[_Reading]:
    decode = _DECODER.decode
    try:
        return [decode(item) for item in items]
    except ValueError as error:
        raise _first_wrong(items) from error


def _first_wrong(items: Iterable[str]) -> NotAReading:
    for index, item in enumerate(items):
        try:
            _DECODER.decode(item)
        except ValueError as error:
            return NotAReading(index, str(error))
    raise AssertionError("every item decodes")


class _Device:
    """The instants of one device and type, ascending, 8 bytes each.

    They come in ascending order but for faults, so that a new one is appended and nothing is searched.
    """

    __slots__ = ("forgotten_below", "highest", "instants")

    def __init__(self) -> None:
        self.highest = -(2**63)
        self.forgotten_below = -(2**63)
        self.instants = array("q")

    def has(self, instant: int) -> bool:
        at = bisect_left(self.instants, instant)
        return at < len(self.instants) and self.instants[at] == instant

    def keep_newest(self, count: int) -> None:
        if len(self.instants) > count:
            self.instants = self.instants[-count:]
            self.forgotten_below = self.instants[0]
