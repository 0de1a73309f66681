"""How long readings are kept: the time by which they are too old, and for which properties."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from matrixhub.model.ids import PropertyId

LEAP = timedelta(days=1)
"""A clock that is further ahead of the time it showed before is not believed at once."""

DOUBTS = 24
"""After so many rounds, one an hour, it is: it stood still for a stop of days, and not because it is wrong."""


@dataclass(frozen=True, slots=True)
class Trusted:
    """The time by which readings are too old, and in how many rounds the clock was far ahead of it."""

    at: datetime
    doubts: int = 0


def trust(before: Trusted | None, now: datetime) -> Trusted:
    """How far the clock is believed in the next round. What is dropped does not come back, so a leap has to last.

    >>> from datetime import UTC
    >>> start = Trusted(datetime(2024, 3, 10, tzinfo=UTC))
    >>> trust(start, datetime(2024, 3, 10, 1, tzinfo=UTC)).at.hour
    1
    >>> doubted = trust(start, datetime(2034, 3, 10, tzinfo=UTC))
    >>> doubted.at.year, doubted.doubts
    (2024, 1)
    >>> trust(Trusted(start.at, 23), datetime(2024, 4, 10, tzinfo=UTC)).at.month
    4
    """
    if before is None or now - before.at <= LEAP or before.doubts + 1 >= DOUBTS:
        return Trusted(now)
    return Trusted(before.at, before.doubts + 1)


@dataclass(frozen=True, slots=True)
class Retentions:
    """How long the readings of a property are kept: `own` where it says so itself, else `default_s`."""

    default_s: float
    own: Mapping[PropertyId, float] = field(default_factory=dict)

    def of(self, property_id: PropertyId) -> float:
        """For how many seconds the readings of a property are kept."""
        return self.own.get(property_id, self.default_s)

    def longest_s(self, properties: Collection[PropertyId]) -> float:
        """For how long a day is kept in which all of the properties may have readings.

        >>> kept = Retentions(10.0, {PropertyId("a"): 30.0, PropertyId("b"): 5.0})
        >>> kept.longest_s([PropertyId("b")]), kept.longest_s([PropertyId("b"), PropertyId("c")]), kept.longest_s([])
        (5.0, 10.0, 10.0)
        """
        return max(map(self.of, properties), default=self.default_s)

    def shorter(self, properties: Collection[PropertyId]) -> list[PropertyId]:
        """The properties whose readings are deleted before the day they lie in is dropped.

        >>> Retentions(10.0, {PropertyId("a"): 30.0}).shorter([PropertyId("a"), PropertyId("c")])
        ['c']
        """
        longest_s = self.longest_s(properties)
        return sorted(property_id for property_id in properties if self.of(property_id) < longest_s)
