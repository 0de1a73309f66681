"""How a building's day goes: when people come, local hour by local hour."""

from __future__ import annotations

import math
import random
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from matrixhub.model.time import zone

_BUCKET_MS = 300_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Pattern:
    """How busy a kind of room is: one value per local hour from 0 (deserted) to 1, met at the full hour.

    `users` is the part of the visitors who use up what there is in it, and fill its bin.
    """

    weekday: tuple[float, ...]
    weekend: tuple[float, ...]
    arrivals_per_h: float
    stay_min: float
    users: float = 1.0

    def activity(self, hour: float, weekend: bool) -> float:
        """How busy it is at a local hour such as 12.5, between the values of the full hours."""
        curve = self.weekend if weekend else self.weekday
        low = int(hour)
        part = hour - low
        return curve[low % 24] * (1 - part) + curve[(low + 1) % 24] * part


# fmt: off
_VISITS = (.01, .01, .01, .01, .01, .03, .12, .35, .70, .62, .50, .58, 1., .95, .55, .48, .50, .60, .55, .32, .20, .12, .05, .02)  # noqa: E501
_OUTING = (.01, .01, .01, .01, .01, .01, .02, .05, .10, .18, .25, .30, .38, .35, .30, .28, .25, .20, .12, .08, .05, .03, .02, .01)  # noqa: E501
_DESKS = (.00, .00, .00, .00, .00, .01, .05, .25, .70, .92, 1., .95, .60, .55, .88, .95, .90, .70, .35, .15, .08, .04, .01, .00)  # noqa: E501
_EMPTY = (0.,) * 24
# fmt: on

WASHROOM = Pattern(weekday=_VISITS, weekend=_OUTING, arrivals_per_h=45, stay_min=4)
LOBBY = Pattern(weekday=_VISITS, weekend=_OUTING, arrivals_per_h=160, stay_min=6, users=0.08)
OFFICE = Pattern(weekday=_DESKS, weekend=tuple(x * 0.06 for x in _DESKS), arrivals_per_h=16, stay_min=65, users=0.5)
OUTDOORS = Pattern(weekday=_EMPTY, weekend=_EMPTY, arrivals_per_h=0, stay_min=1)

_WASHROOM_TYPES = frozenset(f"SMARTCLEAN#{name}" for name in ("TR", "PT", "SS", "UM", "OCCMINEW", "OCCSCM", "FD"))


def pattern_of(devtypes: Collection[str]) -> Pattern:
    """The pattern of a zone, told from the devices in it: a slot knows its zone's id only.

    >>> pattern_of(["SMARTCLEAN#OCCDESK", "SMARTCLEAN#TH"]) is OFFICE
    True
    """
    if "SMARTCLEAN#OCCDESK" in devtypes:
        return OFFICE
    if any(devtype in _WASHROOM_TYPES for devtype in devtypes):
        return WASHROOM
    if all(devtype == "SMARTCLEAN#TILT" for devtype in devtypes):
        return OUTDOORS
    return LOBBY


class LocalClock:
    """The local hour and weekend of a time zone, in steps of five minutes, and its weather.

    One clock serves all rooms of a time zone: a storm is felt by every tree at once.
    """

    __slots__ = ("_bucket", "_rng", "_storm_until_ms", "_zone", "hour", "weekend")

    def __init__(self, time_zone: str, rng: random.Random) -> None:
        self._zone = zone(time_zone)
        self._rng = rng
        self._bucket = -1
        self._storm_until_ms = 0
        self.hour = 0.0
        self.weekend = False

    def advance(self, now_ms: int) -> None:
        """Show the time of the instant. An instant in the five minutes shown costs nothing."""
        bucket = now_ms // _BUCKET_MS
        if bucket <= self._bucket:
            return
        passed = min(bucket - self._bucket, 288) if self._bucket >= 0 else 1
        self._bucket = bucket
        local = datetime.fromtimestamp(bucket * _BUCKET_MS / 1000, self._zone)
        self.hour = local.hour + local.minute / 60
        self.weekend = local.isoweekday() > 5
        if not self.is_stormy(now_ms) and self._rng.random() < passed / (288 * 4):
            self._storm_until_ms = now_ms + round(self._rng.uniform(1.0, 4.0) * 3_600_000)

    def is_stormy(self, now_ms: int) -> bool:
        """Whether a storm blows: about once in four days, for one to four hours."""
        return now_ms < self._storm_until_ms

    @property
    def staffed(self) -> bool:
        """Whether cleaners are in the house."""
        return 6 <= self.hour < 22

    @property
    def warmth(self) -> float:
        """The sun's part of the day, from -1 before dawn to 1 in the afternoon."""
        return math.cos((self.hour - 15) / 24 * math.tau)
