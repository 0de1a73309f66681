"""Availability: when and where a seat can be called on, without a shift.

Source: docs/contract/workforce.md §4.1
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from matrixhub.model.devices import Json
from matrixhub.model.errors import LimitViolated, MissingParameters, WrongParameters
from matrixhub.model.ids import BuildingId, SeatId, ZoneId

DAY_S = 86_400
SLOTS_MAX = 2
"""Slots of a day of the week."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeSlot:
    """A time of a day, in seconds since local midnight; one that ends before it starts ends on the next day."""

    start_s: int
    end_s: int
    name: str = ""

    @property
    def next_day(self) -> bool:
        """Whether it ends on the day after."""
        return self.end_s < self.start_s


@dataclass(frozen=True, kw_only=True, slots=True)
class Availability:
    """When a seat is available on a day of the week; 0 is Sunday."""

    seat_id: SeatId
    day_of_week: int
    slots: tuple[TimeSlot, ...]


def checked_days(days: Collection[int]) -> tuple[int, ...]:
    """Days of the week, each once, in order. Raises MissingParameters, WrongParameters."""
    if not days:
        raise MissingParameters("DaysOfWeek is needed")
    if not set(days) <= set(range(7)):
        raise WrongParameters("a day of the week is 0, Sunday, to 6")
    return tuple(sorted(set(days)))


def checked_slots(slots: Sequence[TimeSlot]) -> tuple[TimeSlot, ...]:
    """Slots of a day in the order of their start.

    Raises: MissingParameters, LimitViolated, WrongParameters where one is no time of a day or two overlap
    """
    if not slots:
        raise MissingParameters("TimeSlots is needed")
    if len(slots) > SLOTS_MAX:
        raise LimitViolated(f"a day has at most {SLOTS_MAX} slots")
    ordered = tuple(sorted(slots, key=lambda slot: slot.start_s))
    for slot in ordered:
        if not (0 <= slot.start_s < DAY_S and 0 <= slot.end_s <= DAY_S and slot.start_s != slot.end_s):
            raise WrongParameters(f"StartTime and EndTime are seconds since midnight, 0 to {DAY_S}, and differ")
    for one, other in itertools.pairwise(ordered):
        if one.next_day or one.end_s > other.start_s:
            raise WrongParameters("the slots of a day do not overlap")
    return ordered


def available_seats(availabilities: Sequence[Availability], at: datetime, tz: ZoneInfo) -> list[SeatId]:
    """The seats that are available at an instant, by the clocks of a time zone, in id order.

    >>> from datetime import UTC
    >>> night = Availability(seat_id=SeatId("s"), day_of_week=6, slots=(TimeSlot(start_s=79_200, end_s=21_600),))
    >>> sunday_early = datetime(2024, 3, 9, 21, tzinfo=UTC)
    >>> available_seats([night], sunday_early, ZoneInfo("Asia/Singapore"))
    ['s']
    """
    local = at.astimezone(tz)
    today, second = local.isoweekday() % 7, local.hour * 3600 + local.minute * 60 + local.second
    return sorted({a.seat_id for a in availabilities if any(_covers(a, slot, today, second) for slot in a.slots)})


def _covers(availability: Availability, slot: TimeSlot, today: int, second: int) -> bool:
    if availability.day_of_week == today:
        return slot.start_s <= second and (slot.next_day or second < slot.end_s)
    return slot.next_day and (availability.day_of_week + 1) % 7 == today and second < slot.end_s


def availability_record(availability: Availability) -> dict[str, Json]:
    """The availability as Matrix Web Services show it."""
    return {
        "SeatId": availability.seat_id,
        "DayOfWeek": availability.day_of_week,
        "TimeSlots": [
            {"StartTime": slot.start_s, "EndTime": slot.end_s, "Name": slot.name, "NextDay": slot.next_day}
            for slot in availability.slots
        ],
    }


def zones_record(seat_id: SeatId, zones: Mapping[BuildingId, Mapping[ZoneId, str]]) -> dict[str, Json]:
    """Where a seat works, as Matrix Web Services show it."""
    return {
        "SeatId": seat_id,
        "Zones": {
            str(building): {str(zone): name for zone, name in names.items()} for building, names in zones.items()
        },
    }
