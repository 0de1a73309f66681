from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrixhub.model.availability import (
    Availability,
    TimeSlot,
    availability_record,
    available_seats,
    checked_days,
    checked_slots,
    zones_record,
)
from matrixhub.model.errors import LimitViolated, MissingParameters, WrongParameters
from matrixhub.model.ids import BuildingId, SeatId, ZoneId

SEAT = SeatId("prop_001")
HOUR = 3600
SUNDAY = datetime(2024, 3, 10, tzinfo=UTC)


def slot(start_h: float, end_h: float) -> TimeSlot:
    return TimeSlot(start_s=int(start_h * HOUR), end_s=int(end_h * HOUR))


def on(day: int, *slots: TimeSlot, seat: str = SEAT) -> Availability:
    return Availability(seat_id=SeatId(seat), day_of_week=day, slots=slots)


@pytest.mark.parametrize(
    "when, expected",
    [
        (on(0, slot(8, 17)), (False, True, True, False, False)),
        (on(0, slot(22, 6)), (False, False, False, True, True)),  # Sunday's night, not that of Saturday
        (on(6, slot(22, 6)), (True, False, False, False, False)),  # Saturday's night, into Sunday
        (on(0, slot(0, 24)), (True, True, True, True, False)),
        (on(0, slot(8, 12), slot(13, 17)), (False, True, False, False, False)),
        (on(1, slot(0, 1)), (False, False, False, False, True)),
        (on(1, slot(8, 17)), (False, False, False, False, False)),
    ],
)
def test_a_seat_is_available_within_its_slots_by_the_clock_of_the_building(
    when: Availability, expected: tuple[bool, ...]
) -> None:
    instants = (SUNDAY + timedelta(hours=h) for h in (5.99, 8, 12, 23, 24))
    assert tuple(available_seats([when], at, ZoneInfo("UTC")) == [SEAT] for at in instants) == expected


def test_the_clock_of_the_building_counts_also_when_it_moves() -> None:
    morning, london = on(0, slot(6, 7)), ZoneInfo("Europe/London")
    for hour, found in ((5, [SEAT]), (6, [])):  # from that morning on 06:00 is 05:00 UTC
        assert available_seats([morning], datetime(2024, 3, 31, hour, 30, tzinfo=UTC), london) == found
    singapore = ZoneInfo("Asia/Singapore")
    assert available_seats([morning], datetime(2024, 3, 9, 22, 30, tzinfo=UTC), singapore) == [SEAT]


def test_each_seat_is_named_once_in_id_order() -> None:
    both = [on(0, slot(0, 24), seat="b"), on(6, slot(22, 12), seat="b"), on(0, slot(8, 9), seat="a")]
    assert available_seats(both, SUNDAY + timedelta(hours=8), ZoneInfo("UTC")) == ["a", "b"]


@given(start=st.integers(0, 86_399), end=st.integers(0, 86_400), second=st.integers(0, 86_399))
def test_a_slot_that_is_the_same_every_day_covers_the_same_time_of_every_day(start: int, end: int, second: int) -> None:
    week = [on(day, TimeSlot(start_s=start, end_s=end)) for day in range(7)]
    inside = start <= second < end if start <= end else second >= start or second < end
    for day in range(7):
        at = SUNDAY + timedelta(days=day, seconds=second)
        assert bool(available_seats(week, at, ZoneInfo("UTC"))) == inside


@pytest.mark.parametrize(
    "slots, error",
    [
        ([], MissingParameters),
        ([slot(1, 2), slot(3, 4), slot(5, 6)], LimitViolated),
        ([slot(5, 5)], WrongParameters),
        ([slot(-1, 5)], WrongParameters),
        ([slot(24, 5)], WrongParameters),
        ([slot(5, 25)], WrongParameters),
        ([slot(8, 12), slot(11, 13)], WrongParameters),
        ([slot(8, 6), slot(9, 10)], WrongParameters),
    ],
)
def test_slots_that_are_no_times_of_a_day_are_refused(slots: list[TimeSlot], error: type[Exception]) -> None:
    with pytest.raises(error):
        checked_slots(slots)


def test_slots_are_kept_in_the_order_of_their_start() -> None:
    assert checked_slots([slot(22, 6), slot(8, 12)]) == (slot(8, 12), slot(22, 6))


def test_days_of_the_week_are_numbers_from_sunday() -> None:
    assert checked_days([6, 0, 0]) == (0, 6)
    for days, error in (([], MissingParameters), ([7], WrongParameters), ([-1], WrongParameters)):
        with pytest.raises(error):
            checked_days(days)


def test_the_record_says_whether_a_slot_ends_on_the_next_day() -> None:
    named = TimeSlot(start_s=79_200, end_s=21_600, name="Night")
    assert availability_record(on(6, named)) == {
        "SeatId": SEAT,
        "DayOfWeek": 6,
        "TimeSlots": [{"StartTime": 79_200, "EndTime": 21_600, "Name": "Night", "NextDay": True}],
    }
    assert zones_record(SEAT, {BuildingId("b"): {ZoneId("z"): "Lobby"}}) == {
        "SeatId": SEAT,
        "Zones": {"b": {"z": "Lobby"}},
    }
