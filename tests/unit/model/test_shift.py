from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrixhub.model.address import Coordinates
from matrixhub.model.distance import distance_m
from matrixhub.model.errors import WrongParameters, WrongState
from matrixhub.model.event import CATALOGUE, check_envelope, envelope
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, ShiftId, TaskId, ZoneId
from matrixhub.model.shift import (
    OCCUPYING,
    SHIFT_STATUSES,
    TRANSITIONS,
    Break,
    Cost,
    Shift,
    ShiftAct,
    ShiftStatus,
    acted,
    break_ended,
    break_started,
    ended,
    next_status,
    published_event,
    repeated_span,
    shift_event,
    shift_meta,
    shift_record,
    started,
)

START = datetime(2024, 3, 10, 0, 0, tzinfo=UTC)
SHIFT = Shift(
    id=ShiftId("1f0e6a52-33bb-4b0e-9d1c-0a6a1f6f2c11"),
    property_id=PropertyId("5b1e0c7a9d2f4e63a8b4c1d09e77f210"),
    building_id=BuildingId("c40d2f6e81b94a0c9e3375ab60d1f8e2"),
    seat_id=SeatId("5b1e0c7a9d2f4e63a8b4c1d09e77f210_004"),
    starts_at=START,
    ends_at=START + timedelta(hours=3),
    time_zone="Asia/Singapore",
    zones={ZoneId("0a6f3d9be2784c15b7c04e91d85f62aa"): "Washroom L2 Male"},
    created_by="ann",
    created_at=START - timedelta(days=1),
    updated_by="bob",
    updated_at=START - timedelta(hours=1),
)
ACTS: tuple[ShiftAct, ...] = get_args(ShiftAct)

# Written down once more, so that a slip in the table shows: what may be done to a shift in which state.
EXPECTED: dict[str, set[str]] = {
    "UNPUBLISHED": {"publish", "update", "delete", "expire"},
    "PUBLISHED": {"update", "start", "start_admin", "mark_delayed", "mark_absent", "mark_on_leave", "delete"},
    "STARTED": {"end", "end_admin", "end_late", "start_break"},
    "COMPLETED": set(),
    "ABSENT": {"start_admin", "mark_on_leave", "delete"},
    "ON_LEAVE": {"delete"},
}
RESULTS: dict[str, str] = {
    "publish": "PUBLISHED",
    "start": "STARTED",
    "start_admin": "STARTED",
    "end": "COMPLETED",
    "end_admin": "COMPLETED",
    "end_late": "COMPLETED",
    "mark_absent": "ABSENT",
    "mark_on_leave": "ON_LEAVE",
    "delete": "",
    "expire": "",
}


@pytest.mark.parametrize("status", SHIFT_STATUSES)
@pytest.mark.parametrize("act", ACTS)
def test_every_act_leads_every_state_to_its_next_or_is_refused(status: ShiftStatus, act: ShiftAct) -> None:
    shift = replace(SHIFT, status=status)
    if act in EXPECTED[status]:
        assert next_status(shift, act) == RESULTS.get(act, status)
    else:
        with pytest.raises(WrongState):
            next_status(shift, act)


def test_the_table_names_every_act_and_only_known_states() -> None:
    assert set(TRANSITIONS) == set(ACTS)
    states = {state for row in TRANSITIONS.values() for pair in row.items() for state in pair}
    assert states <= {*SHIFT_STATUSES, ""}
    assert set(SHIFT_STATUSES) >= OCCUPYING


def test_a_shift_is_marked_as_delayed_once() -> None:
    with pytest.raises(WrongState, match="already"):
        next_status(replace(SHIFT, status="PUBLISHED", delayed=True), "mark_delayed")


def test_breaks_begin_off_and_end_on_a_break() -> None:
    working = replace(SHIFT, status="STARTED")
    resting = replace(working, on_break=True)
    assert next_status(working, "start_break") == next_status(resting, "end_break") == "STARTED"
    for shift, act in ((working, "end_break"), (resting, "start_break")):
        with pytest.raises(WrongState):
            next_status(shift, act)  # type: ignore[arg-type]


def test_an_act_that_removes_a_shift_leaves_no_shift() -> None:
    with pytest.raises(KeyError):
        acted(SHIFT, "delete")


def test_a_shift_that_is_over_is_not_started_any_more() -> None:
    late = replace(SHIFT, status="PUBLISHED", delayed=True)
    place = Coordinates(latitude=1.3, longitude=103.8)
    found = started(late, "start", SHIFT.ends_at - timedelta(seconds=1), place)
    assert (found.status, found.started_at, found.clock_in) == ("STARTED", SHIFT.ends_at - timedelta(seconds=1), place)
    for act in ("start", "start_admin"):
        with pytest.raises(WrongState, match="over"):
            started(late, act, SHIFT.ends_at, None)


@pytest.mark.parametrize(
    "act, seconds_before, early_allowed, taken",
    [
        ("end", 1, True, True),
        ("end", 1, False, False),
        ("end", 0, False, True),
        ("end_admin", 1, False, True),
        ("end_late", -60, False, True),
    ],
)
def test_who_may_end_a_shift_when(act: ShiftAct, seconds_before: int, early_allowed: bool, taken: bool) -> None:
    working, at = replace(SHIFT, status="STARTED"), SHIFT.ends_at - timedelta(seconds=seconds_before)
    if taken:
        assert ended(working, act, at, None, early_allowed=early_allowed).ended_at == at
    else:
        with pytest.raises(WrongState, match="before its time"):
            ended(working, act, at, None, early_allowed=early_allowed)


def test_a_planned_break_is_taken_once_and_an_unplanned_one_is_added() -> None:
    lunch = Break(id="lunch", kind="MEAL", duration_s=1800, planned=True)
    working = replace(SHIFT, status="STARTED", breaks=(lunch,))
    resting = break_started(working, START, "lunch", notes="soup")
    assert resting.on_break
    assert resting.breaks == (replace(lunch, started_at=START, notes="soup"),)
    rested = break_ended(resting, START + timedelta(minutes=20))
    assert not rested.on_break
    assert rested.breaks[0].ended_at == START + timedelta(minutes=20)
    with pytest.raises(WrongState, match="taken already"):
        break_started(rested, START, "lunch")
    again = break_started(rested, START + timedelta(hours=1), "new", kind="TEA")
    assert again.breaks[1] == Break(id="new", kind="TEA", started_at=START + timedelta(hours=1))


def test_a_break_under_way_ends_with_its_shift() -> None:
    resting = break_started(replace(SHIFT, status="STARTED"), START, "b")
    done = ended(resting, "end", SHIFT.ends_at, None, early_allowed=True)
    assert (done.on_break, done.breaks[0].ended_at) == (False, SHIFT.ends_at)


@pytest.mark.parametrize(
    "zone, start, end, on, found",
    [
        # An ordinary day: the same clock times.
        ("Asia/Singapore", "2024-03-10T00:00", "2024-03-10T03:00", date(2024, 7, 1), ("2024-07-01T00:00", "T03:00")),
        # Winter to summer: the same clock times are an hour earlier.
        ("Europe/London", "2024-03-01T09:00", "2024-03-01T17:00", date(2024, 4, 2), ("2024-04-02T08:00", "T16:00")),
        # Over the change to summer a night is an hour shorter, over that to winter an hour longer.
        ("Europe/London", "2024-03-01T22:00", "2024-03-02T06:00", date(2024, 3, 30), ("2024-03-30T22:00", "T05:00")),
        ("Europe/London", "2024-03-01T22:00", "2024-03-02T06:00", date(2024, 10, 26), ("2024-10-26T21:00", "T06:00")),
        # 01:30 is skipped: as if the clock had not moved.
        ("Europe/London", "2024-03-01T01:30", "2024-03-01T04:00", date(2024, 3, 31), ("2024-03-31T01:30", "T03:00")),
        # 01:30 occurs twice: the first.
        ("Europe/London", "2024-03-01T01:30", "2024-03-01T04:00", date(2024, 10, 27), ("2024-10-27T00:30", "T04:00")),
        # Nothing would be left between 01:15, which is skipped, and 02:10: the length is kept.
        ("Europe/London", "2024-03-01T01:15", "2024-03-01T02:10", date(2024, 3, 31), ("2024-03-31T01:15", "T02:10")),
    ],
)
def test_a_shift_repeats_at_the_same_local_times(
    zone: str, start: str, end: str, on: date, found: tuple[str, str]
) -> None:
    span = repeated_span(_utc(start), _utc(end), ZoneInfo(zone), on)
    assert span[0] == _utc(found[0])
    assert f"T{span[1]:%H:%M}" == found[1]


@given(
    zone=st.sampled_from(["Asia/Singapore", "Europe/London", "America/St_Johns", "Australia/Lord_Howe", "UTC"]),
    start_min=st.integers(0, 10 * 365 * 24 * 60),
    minutes=st.integers(1, 48 * 60),
    on=st.dates(date(2020, 1, 2), date(2029, 12, 30)),
)
def test_a_repeated_shift_begins_on_its_date_and_is_about_as_long(
    zone: str, start_min: int, minutes: int, on: date
) -> None:
    length, local = timedelta(minutes=minutes), ZoneInfo(zone)
    start = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=start_min)
    begin, end = repeated_span(start, start + length, local, on)
    assert begin < end
    assert begin.astimezone(local).date() - on in (timedelta(), timedelta(days=1))  # 23:30 may be skipped
    assert abs((end - begin) - length) <= timedelta(hours=2)


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_the_record_of_a_shift_has_the_keys_of_the_wire() -> None:
    shift = replace(
        SHIFT,
        status="COMPLETED",
        delayed=True,
        started_at=START + timedelta(minutes=31),
        ended_at=START + timedelta(hours=3),
        breaks=(Break(id="lunch", kind="MEAL", duration_s=1800, planned=True),),
        cost=Cost(unit="SGD", value=12.5),
        clock_in=Coordinates(latitude=1.29, longitude=103.85),
    )
    assert shift_record(shift, "ORCHARD", [TaskId("1710029109417000214")]) == {
        "ID": "c40d2f6e81b94a0c9e3375ab60d1f8e2",
        "ATTR": "attr#c40d2f6e81b94a0c9e3375ab60d1f8e2#5b1e0c7a9d2f4e63a8b4c1d09e77f210_004"
        "#1f0e6a52-33bb-4b0e-9d1c-0a6a1f6f2c11",
        "ShiftId": "1f0e6a52-33bb-4b0e-9d1c-0a6a1f6f2c11",
        "SeatId": "5b1e0c7a9d2f4e63a8b4c1d09e77f210_004",
        "PropID": "5b1e0c7a9d2f4e63a8b4c1d09e77f210",
        "Start": 1710028800,
        "End": 1710039600,
        "AStart": 1710030660,
        "AEnd": 1710039600,
        "ActualDurationInSeconds": 8940,
        "ShiftDurationInSeconds": 10800,
        "Duration": "PT3H",
        "LocalTime": "20240310080000",
        "TimeZone": "Asia/Singapore",
        "Status": "COMPLETED",
        "Delayed": 1,
        "Breaks": [
            {
                "ID": "lunch",
                "Type": "MEAL",
                "DurationInSeconds": 1800,
                "IsPlannedBreak": True,
                "Notes": "",
                "Start": 0,
                "End": 0,
            }
        ],
        "Coordinates": {
            "ClockIn": {"Latitude": 1.29, "Longitude": 103.85},
            "ClockOut": {"Latitude": -1, "Longitude": -1},
        },
        "Cost": {"U": "SGD", "V": 12.5},
        "TaskGroups": ["1710029109417000214"],
        "TaskGroupsCount": 1,
        "Zones": {"0a6f3d9be2784c15b7c04e91d85f62aa": "Washroom L2 Male"},
        "CreatedBy": "ann",
        "CreatedOn": 1709942400,
        "ModifiedBy": "bob",
        "ModifiedOn": 1710025200,
        "Expiry": 1710028800 + 365 * 86_400,
        "jobId": "tbp",
        "NS": "SHIFT_TS",
        "SRN": "srn:scteams:ORCHARD:::5b1e0c7a9d2f4e63a8b4c1d09e77f210/c40d2f6e81b94a0c9e3375ab60d1f8e2"
        ":SHIFT_TS:SHIFT/1f0e6a52-33bb-4b0e-9d1c-0a6a1f6f2c11",
    }
    assert shift_record(SHIFT, "ORCHARD")["Expiry"] == 1710028800 + 3 * 86_400


@pytest.mark.parametrize("event", ["SHIFT_STARTED", "SHIFT_DELAYED", "SHIFT_ABSENT", "SHIFT_COMPLETED"])
def test_the_events_of_a_shift_have_the_meta_of_their_family(event: str) -> None:
    made = envelope(shift_event(event, SHIFT, "Ann Lee", 1710028800))
    check_envelope(made)
    assert (made["Status"], made["Principal"]) == (CATALOGUE[event].priority, SHIFT.building_id)
    meta = made["Meta"]
    assert isinstance(meta, dict)
    assert list(meta) == ["ShiftId", "SeatId", "Start", "End", "AStart", "AEnd", "Status", "Zones", "TimeZone"]


def test_one_event_tells_of_all_shifts_that_one_call_published() -> None:
    other = replace(SHIFT, id=ShiftId("2"), starts_at=START + timedelta(days=1), ends_at=START + timedelta(days=2))
    made = envelope(published_event([SHIFT, other], 1710028800))
    check_envelope(made)
    assert made["Description"] == "2 shifts were published"
    assert made["Meta"] == {
        "Shifts": [
            {"ShiftId": SHIFT.id, "SeatId": SHIFT.seat_id, "Start": 1710028800, "End": 1710039600},
            {"ShiftId": "2", "SeatId": SHIFT.seat_id, "Start": 1710115200, "End": 1710201600},
        ]
    }


def test_an_event_calls_a_published_shift_that_is_late_delayed() -> None:
    assert shift_meta(replace(SHIFT, status="PUBLISHED", delayed=True))["Status"] == "DELAYED"
    assert shift_meta(replace(SHIFT, status="STARTED", delayed=True))["Status"] == "STARTED"


@pytest.mark.parametrize("latitude, longitude", [(90.1, 0), (-91, 0), (0, 180.5), (float("nan"), 0)])
def test_a_place_that_is_nowhere_is_refused(latitude: float, longitude: float) -> None:
    with pytest.raises(WrongParameters):
        Coordinates(latitude=latitude, longitude=longitude)


def test_the_distance_of_two_places_is_that_along_the_ground() -> None:
    raffles, changi = Coordinates(latitude=1.2839, longitude=103.8515), Coordinates(latitude=1.3592, longitude=103.9894)
    assert distance_m(raffles, changi) == pytest.approx(17_460, rel=0.01)
    assert distance_m(raffles, raffles) == 0
    assert distance_m(
        Coordinates(latitude=0, longitude=179.9), Coordinates(latitude=0, longitude=-179.9)
    ) == pytest.approx(22_239, rel=0.01)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_cost_is_a_number(value: float) -> None:
    with pytest.raises(WrongParameters):
        Cost(unit="SGD", value=value)
