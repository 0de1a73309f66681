"""Sending readings in order at a pace: the loops of `simulate` and `replay`, without their faces.

Both send one request at a time, so that the hub gets every reading in the order it was made.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from matrixhub.model.errors import RecordedDataError
from matrixhub.sources.client import Receipt
from matrixhub.sources.pacing import due_at
from matrixhub.sources.recorded import Recorded

REASONS_KEPT = 5
TICK_S = 0.05
"""A simulation looks this often for readings that have become due, unless batches fill more often."""


class Hub(Protocol):
    """Where readings go: a `HubClient`, or a double in tests."""

    async def send(self, readings: Sequence[Mapping[str, Any] | bytes]) -> Receipt:
        """Hand the readings over; see `HubClient.send`."""
        ...


@dataclass(slots=True)
class Tally:
    """What has become of the readings so far. `codes` counts refusals; `reasons` keeps the first few of them."""

    readings: int = 0
    accepted: int = 0
    repeated: int = 0
    refused: int = 0
    requests: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    reasons: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """The tally as it is printed for scripts."""
        return {
            "readings": self.readings,
            "accepted": self.accepted,
            "repeated": self.repeated,
            "refused": self.refused,
            "requests": self.requests,
            "refused_by_code": dict(sorted(self.codes.items())),
            "refused_first": list(self.reasons),
        }

    def add(self, receipt: Receipt, places: Sequence[str]) -> None:
        """Count an answer. `places` says for each reading of the request where it comes from."""
        self.requests += 1
        self.readings += len(places)
        self.accepted += receipt.accepted
        self.repeated += receipt.repeated
        self.refused += len(receipt.refused)
        for refusal in receipt.refused:
            self.codes[refusal.code] += 1
            if len(self.reasons) < REASONS_KEPT:
                place = places[refusal.index] if 0 <= refusal.index < len(places) else f"reading {refusal.index}"
                self.reasons.append(f"{place}: {refusal.code} {refusal.message}")


@dataclass(slots=True)
class Playback:
    """How far a replay has come. `next_line` is where to go on if it ends now; None once everything is sent.

    `line` is the last one that is sent wholly or in part, `rows` how many have been.
    """

    tally: Tally = field(default_factory=Tally)
    rows: int = 0
    line: int = 0
    next_line: int | None = None


async def play(
    recorded: Iterable[Recorded],
    hub: Hub,
    playback: Playback,
    *,
    factor: float | None,
    batch: int,
    shift_ms: int = 0,
    progress: Callable[[Playback], None] = lambda _: None,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Send recorded readings in their order, each when it is due, up to `batch` in a request.

    Raises: what `hub.send` and the recording raise; `playback` then says how far it came.
    """
    started = monotonic()
    first_ms: int | None = None
    waiting: list[Recorded] = []
    try:
        for reading in recorded:
            if first_ms is None:
                first_ms, playback.next_line = reading.instant_ms, reading.line
            due = due_at(first_ms, reading.instant_ms, started, factor)
            if len(waiting) >= batch or (waiting and due > monotonic()):
                await _flush(waiting, hub, playback, shift_ms, reading.line)
                progress(playback)
            wait_s = due - monotonic()
            if wait_s > 0:
                await sleep(wait_s)
            waiting.append(reading)
    except RecordedDataError as error:
        # What was read before the bad line is good: with it sent, the line to go on at is the bad one.
        await _flush(waiting, hub, playback, shift_ms, error.line)
        raise
    await _flush(waiting, hub, playback, shift_ms, None)
    progress(playback)


async def _flush(waiting: list[Recorded], hub: Hub, playback: Playback, shift_ms: int, next_line: int | None) -> None:
    if waiting:
        receipt = await hub.send([reading.reading(shift_ms) for reading in waiting])
        playback.tally.add(receipt, [f"line {reading.line}" for reading in waiting])
    for reading in waiting:
        if reading.line != playback.line:
            playback.line = reading.line
            playback.rows += reading.rows
    playback.next_line = next_line
    waiting.clear()


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedTime:
    """Which simulated instant belongs to which moment: `factor` times as fast as real time, until it has caught up.

    Readings of the future would be refused, so a fast simulation starts in the past and never passes the present.
    """

    start_ms: int
    started_ms: int
    factor: float = 1.0

    def at(self, now_ms: int) -> int:
        """The simulated instant at the real one.

        >>> clock = SimulatedTime(start_ms=0, started_ms=100_000, factor=60.0)
        >>> clock.at(101_000), clock.at(200_000)
        (60000, 200000)
        """
        return min(now_ms, self.start_ms + round((now_ms - self.started_ms) * self.factor))


async def stream(
    between: Callable[[int, int], Iterator[Mapping[str, Any]]],
    hub: Hub,
    tally: Tally,
    *,
    clock: SimulatedTime,
    batch: int,
    seconds: float | None,
    now_ms: Callable[[], int],
    tick_s: float = TICK_S,
    progress: Callable[[Tally], None] = lambda _: None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Send what `between(from_ms, to_ms)` makes of each stretch of simulated time, until so many seconds have passed.

    A hub that is slower than the simulation is not overrun: the next stretch is longer. Everything of the time asked
    for is sent before the end.
    """
    end_ms = None if seconds is None else clock.started_ms + round(seconds * 1000)
    sent_to_ms = clock.start_ms
    while end_ms is None or sent_to_ms < clock.at(end_ms):
        moment = now_ms()
        upto_ms = clock.at(moment if end_ms is None else min(moment, end_ms))
        due: list[Mapping[str, Any]] = []
        for reading in between(sent_to_ms, upto_ms):
            due.append(reading)
            if len(due) >= batch:
                await _send_simulated(due, hub, tally)
                progress(tally)
                due = []
        if due:
            await _send_simulated(due, hub, tally)
        progress(tally)
        sent_to_ms = max(sent_to_ms, upto_ms)
        await sleep(tick_s)


async def _send_simulated(readings: Sequence[Mapping[str, Any]], hub: Hub, tally: Tally) -> None:
    receipt = await hub.send(readings)
    tally.add(receipt, [f"slot {reading['DEVID']}" for reading in readings])
