"""The wish that parked readings are sent again, and when the next of them may go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matrixhub.deliveries.carriage.outcome import Parcel
from matrixhub.deliveries.plan import retry_delay_s
from matrixhub.model.delivery import ParkedItem
from matrixhub.ports import Clock

REDRIVE_STANDS_BACK_S = 1.0
"""Parked readings that failed let the readings of the stream go first by this much."""


@dataclass(frozen=True, slots=True)
class Redriving:
    """Parked readings on their way."""

    items: Sequence[ParkedItem]
    parcel: Parcel


class Wish:
    """`asked` is the number of the newest wish, 0 for none; `under_way` are those that are to be tried again."""

    __slots__ = ("_clock", "_tries", "asked", "due", "under_way")

    def __init__(self, asked: int, clock: Clock) -> None:
        self.asked = asked
        self.under_way: Redriving | None = None
        self.due = float("-inf")
        self._tries = 0
        self._clock = clock

    def ready(self) -> bool:
        """Whether parked readings are to be sent now."""
        return self.asked > 0 and self._clock.monotonic() >= self.due

    def put_off(self, redriving: Redriving, schedule_s: Sequence[float], retry_due: float) -> None:
        """Let those that failed wait, until the next attempt is due to the rest at least."""
        self.under_way = redriving
        self._tries += 1
        due = self._clock.monotonic() + retry_delay_s(self._tries, schedule_s, spread=0.0)
        self.due = max(due, retry_due) + REDRIVE_STANDS_BACK_S

    def settle(self) -> None:
        """Have none under way."""
        self.under_way, self._tries = None, 0

    def fulfil(self, asked: int) -> None:
        """Have the wish fulfilled, unless there is a newer one."""
        if self.asked == asked:
            self.asked = 0
