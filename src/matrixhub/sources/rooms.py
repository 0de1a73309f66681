"""A simulated room: who is in it, how its air and its floor are. Devices only look at it."""

from __future__ import annotations

import math
import random

from matrixhub.sources.rhythm import LocalClock, Pattern

_AIR_MIN = 14.0
"""Minutes in which the air has gone most of the way to what the people in the room make of it."""


class Room:
    """The state of a zone at `at_ms`. `arrived` and `left` count people since the start; nobody is in before it."""

    __slots__ = (
        "_clean_at_ms", "_popularity", "_rng", "_spill_until_ms", "_step_ms", "activity", "ammonia_ppm", "arrived",
        "at_ms", "clock", "co2_ppm", "counted_in", "counted_out", "dirt", "humidity_pct", "left", "pattern", "places",
        "temperature_c", "voc_mg_m3", "wet_pct",
    )  # fmt: skip

    def __init__(self, pattern: Pattern, clock: LocalClock, rng: random.Random, *, start_ms: int, step_ms: int) -> None:
        self.pattern = pattern
        self.clock = clock
        self._rng = rng
        self._step_ms = step_ms
        self._popularity = rng.uniform(0.6, 1.3)
        self._clean_at_ms = start_ms + round(rng.uniform(10, 120) * 60_000)
        self._spill_until_ms = 0
        self.at_ms = start_ms
        self.places = 0
        self.activity = 0.0
        self.arrived = self.left = 0
        self.counted_in = self.counted_out = 0
        self.dirt = rng.uniform(0.0, 0.3)
        self.wet_pct = 0.0
        self.co2_ppm = 430.0
        self.ammonia_ppm = 0.06
        self.voc_mg_m3 = 0.12
        self.humidity_pct = rng.uniform(48.0, 58.0)
        self.temperature_c = rng.uniform(22.0, 24.0)

    @property
    def people(self) -> int:
        """How many people are in the room; never below zero."""
        return self.arrived - self.left

    def advance(self, now_ms: int) -> None:
        """Let time pass up to the instant; less than a step changes nothing."""
        passed_ms = now_ms - self.at_ms
        if passed_ms < self._step_ms:
            return
        self.at_ms = now_ms
        minutes = passed_ms / 60_000
        self.clock.advance(now_ms)
        self._move_people(minutes)
        self._mix_air(minutes)
        self._keep_clean(now_ms, minutes)

    def count_passages(self) -> tuple[int, int]:
        """People in and out whom no counter of the room has reported yet; each is reported once."""
        passages = self.arrived - self.counted_in, self.left - self.counted_out
        self.counted_in, self.counted_out = self.arrived, self.left
        return passages

    def _move_people(self, minutes: float) -> None:
        pattern, clock = self.pattern, self.clock
        self.activity = pattern.activity(clock.hour, clock.weekend) * self._popularity
        leaving = 1 - math.exp(-minutes / pattern.stay_min)
        leavers = binomial(self._rng, self.arrived - self.left, leaving)
        # Who comes and goes between two steps is seen both coming and going.
        arrivals = poisson(self._rng, self.activity * pattern.arrivals_per_h / 60 * minutes)
        passing = binomial(self._rng, arrivals, leaving / 2)
        self.arrived += arrivals
        self.left += leavers + passing
        self._soil(leavers + passing)

    def _soil(self, uses: int) -> None:
        if not uses:
            return
        self.dirt = min(1.0, self.dirt + 0.012 * self.pattern.users * uses)
        if not self.wet_pct and self._rng.random() < 0.0015 * self.pattern.users * uses:
            self.wet_pct = self._rng.uniform(1.0, 14.0)
            self._spill_until_ms = self.at_ms + round(self._rng.uniform(8, 35) * 60_000)

    def _mix_air(self, minutes: float) -> None:
        people, part = self.people, 1 - math.exp(-minutes / _AIR_MIN)
        self.co2_ppm += (425 + 32 * people - self.co2_ppm) * part
        self.ammonia_ppm += (0.05 + 0.035 * people + 0.30 * self.dirt - self.ammonia_ppm) * part
        self.voc_mg_m3 += (0.10 + 0.02 * people + 0.12 * self.dirt - self.voc_mg_m3) * part
        self.humidity_pct += (min(95.0, 52 + 0.7 * people + 0.4 * self.wet_pct) - self.humidity_pct) * part
        self.temperature_c += (23 + 0.12 * people + 1.2 * self.clock.warmth - self.temperature_c) * part

    def _keep_clean(self, now_ms: int, minutes: float) -> None:
        if self.wet_pct:
            self.wet_pct = max(0.2, self.wet_pct * (1 - min(0.5, 0.004 * minutes)))
            if now_ms >= self._spill_until_ms:
                self.wet_pct = 0.0
        if now_ms >= self._clean_at_ms and self.clock.staffed:
            self.dirt *= 0.1
            self._clean_at_ms = now_ms + round(self._rng.uniform(80, 160) * 60_000)


def poisson(rng: random.Random, mean: float) -> int:
    """How many independent things happened, where `mean` are expected."""
    if mean > 30:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    limit, count, product = math.exp(-mean), 0, rng.random()
    while product > limit:
        count += 1
        product *= rng.random()
    return count


def binomial(rng: random.Random, of: int, chance: float) -> int:
    """How many of `of` did it, each with that chance; never more than all of them."""
    if of <= 0:
        return 0
    if of > 60:
        return min(of, max(0, round(rng.gauss(of * chance, math.sqrt(of * chance * (1 - chance))))))
    draw = rng.random
    return sum(draw() < chance for _ in range(of))
