import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matrixhub.model.time import (
    RETENTION_S,
    SECONDS_BELOW,
    Calendar,
    calendar,
    calendar_cache,
    instant_from_iso,
    instant_from_local,
    instant_from_number,
    zone,
)

CONTRACT = Path(__file__).parents[3] / "docs" / "contract" / "sensor-data.md"
VECTORS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in CONTRACT.read_text(encoding="utf-8").splitlines()
    if re.match(r"\| \d{13} \|", line)
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_MS, LAST_MS = 978_307_200_000, 4_133_980_799_999  # the years 2001 to 2100
ZONES = st.sampled_from(sorted(available_timezones() - {"localtime"})).map(ZoneInfo)
INSTANTS = st.integers(FIRST_MS, LAST_MS)


def ms(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int:
    """Epoch milliseconds of a time in UTC."""
    return (datetime(year, month, day, hour, minute, second, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)


def test_the_contract_has_five_check_vectors() -> None:
    assert len(VECTORS) == 5


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: f"{row[1]}-{row[2]}")
def test_a_check_vector_of_the_contract_is_reproduced(row: list[str]) -> None:
    instant, region, t, time, dow, month, dom, hour, minute, utc, expire_at = row
    assert calendar(int(instant), zone(region)) == Calendar(
        t=t,
        time=time,
        dow=dow,
        month=month,
        dom=dom,
        hour=hour,
        minute=minute,
        utc=int(utc),
        expire_at=int(expire_at),
    )


@settings(max_examples=400)
@given(ZONES, INSTANTS)
def test_the_calendar_agrees_with_the_standard_library_in_every_zone(tz: ZoneInfo, instant: int) -> None:
    local = datetime.fromtimestamp(instant // 1000, tz=UTC).astimezone(tz)
    found = calendar(instant, tz)
    assert found.t == local.strftime("%Y%m%d%H%M%S")
    assert found.time == local.strftime("%Y-%m-%dT%H:%M:%S%z")
    assert (found.month, found.dom, found.hour, found.minute) == tuple(local.strftime("%m %d %H %M").split())
    assert found.dow == local.strftime("%w")
    assert (found.utc, found.expire_at) == (instant // 1000, instant // 1000 + RETENTION_S)


@settings(max_examples=300)
@given(ZONES, INSTANTS)
def test_a_time_with_offset_gives_its_instant_back(tz: ZoneInfo, instant: int) -> None:
    assert instant_from_iso(calendar(instant, tz).time, ZoneInfo("UTC")) == instant // 1000 * 1000


@settings(max_examples=300)
@given(ZONES, INSTANTS)
def test_a_local_time_gives_its_instant_back_unless_it_occurs_twice(tz: ZoneInfo, instant: int) -> None:
    local = datetime.fromtimestamp(instant // 1000, tz=UTC).astimezone(tz)
    found = instant_from_local(calendar(instant, tz).t, tz)
    if local.fold:
        assert found < instant
        assert calendar(found, tz).t == calendar(instant, tz).t
    else:
        assert found == instant // 1000 * 1000


def test_a_local_time_that_occurs_twice_is_its_first_occurrence() -> None:
    new_york = zone("America/New_York")
    assert instant_from_local("20241103013000", new_york) == ms(2024, 11, 3, 5, 30)
    assert calendar(ms(2024, 11, 3, 5, 30), new_york).time == "2024-11-03T01:30:00-0400"
    assert calendar(ms(2024, 11, 3, 6, 30), new_york).time == "2024-11-03T01:30:00-0500"


def test_a_local_time_that_is_skipped_is_read_as_if_the_clock_had_not_moved() -> None:
    assert instant_from_local("20240310023000", zone("America/New_York")) == ms(2024, 3, 10, 7, 30)


def test_the_second_before_and_after_a_change_of_the_clock_lie_an_hour_apart_on_the_wall() -> None:
    berlin, change = zone("Europe/Berlin"), ms(2024, 3, 31, 1)
    assert calendar(change - 1, berlin).time == "2024-03-31T01:59:59+0100"
    assert calendar(change, berlin).time == "2024-03-31T03:00:00+0200"


@pytest.mark.parametrize(
    "region,instant,time",
    [
        ("Asia/Kathmandu", ms(2024, 1, 1), "2024-01-01T05:45:00+0545"),
        ("America/St_Johns", ms(2024, 1, 1), "2023-12-31T20:30:00-0330"),
        ("Pacific/Marquesas", ms(2024, 1, 1), "2023-12-31T14:30:00-0930"),
        ("Pacific/Chatham", ms(2024, 1, 1), "2024-01-01T13:45:00+1345"),
        ("Pacific/Kiritimati", ms(2024, 1, 1), "2024-01-01T14:00:00+1400"),
        ("Australia/Lord_Howe", ms(2024, 7, 1), "2024-07-01T10:30:00+1030"),
        ("Pacific/Apia", ms(2011, 12, 30, 9, 59, 59), "2011-12-29T23:59:59-1000"),
        ("Pacific/Apia", ms(2011, 12, 30, 10), "2011-12-31T00:00:00+1400"),
        ("Africa/Monrovia", ms(1971, 6, 1), "1971-05-31T23:15:30-0044"),
        ("Etc/GMT+12", ms(2024, 1, 1), "2023-12-31T12:00:00-1200"),
    ],
)
def test_odd_offsets_are_written_with_four_digits(region: str, instant: int, time: str) -> None:
    assert calendar(instant, zone(region)).time == time


@pytest.mark.parametrize(
    "instant,dom,month,dow",
    [
        (ms(2024, 2, 29), "29", "02", "4"),
        (ms(2100, 2, 28, 23, 59, 59), "28", "02", "0"),
        (ms(2100, 3, 1), "01", "03", "1"),
        (ms(2000, 2, 29, 12), "29", "02", "2"),
        (ms(2023, 12, 31), "31", "12", "0"),
    ],
)
def test_leap_days_and_year_ends_are_where_they_belong(instant: int, dom: str, month: str, dow: str) -> None:
    found = calendar(instant, zone("UTC"))
    assert (found.dom, found.month, found.dow) == (dom, month, dow)


def test_midnight_is_hour_00_of_the_new_day() -> None:
    singapore, midnight = zone("Asia/Singapore"), ms(2024, 3, 9, 16)
    assert calendar(midnight - 1, singapore).t == "20240309235959"
    assert calendar(midnight, singapore).t == "20240310000000"


def test_the_part_below_a_second_is_cut_not_rounded() -> None:
    assert calendar(1710029109999, zone("UTC")) == calendar(1710029109000, zone("UTC"))


@pytest.mark.parametrize(
    "number,instant",
    [
        (SECONDS_BELOW - 1, (SECONDS_BELOW - 1) * 1000),
        (SECONDS_BELOW, SECONDS_BELOW),
        (0, 0),
        (1710029109, 1710029109000),
        (1710029109.417, 1710029109417),
        (1710029109417.0, 1710029109417),
        (-1, -1000),
    ],
)
def test_a_number_below_ten_to_the_eleven_is_seconds(number: float, instant: int) -> None:
    assert instant_from_number(number) == instant


@given(st.integers(FIRST_MS, LAST_MS))
def test_milliseconds_are_kept_exactly(instant: int) -> None:
    assert instant_from_number(instant) == instant
    assert instant_from_number(instant // 1000) == instant // 1000 * 1000


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf"), 10**15, -(10**14), 1e300])
def test_a_number_that_is_no_instant_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match=r"number|years"):
        instant_from_number(number)


@pytest.mark.parametrize(
    "text",
    ["", "2024031008050", "202403100805099", "20241310080509", "20230229000000", "2024031024000x", "00000101000000"],
)
def test_a_text_that_is_no_local_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        instant_from_local(text, zone("UTC"))


@pytest.mark.parametrize(
    "text,instant",
    [
        ("2024-03-10T08:05:09+0800", 1710029109000),
        ("2024-03-10T08:05:09+08:00", 1710029109000),
        ("2024-03-10T00:05:09Z", 1710029109000),
        ("2024-03-10T00:05:09.417Z", 1710029109417),
        ("2024-03-10T08:05:09", 1710029109000),
        ("2024-03-10 08:05:09.4179", 1710029109417),
    ],
)
def test_an_iso_time_is_read_with_or_without_offset(text: str, instant: int) -> None:
    assert instant_from_iso(text, zone("Asia/Singapore")) == instant


@pytest.mark.parametrize(
    "text", ["yesterday", "2024-03-10T25:00:00", "2024-02-30", "10/03/2024", "\ud800", "٢٠٢٤-03-10"]
)
def test_a_text_that_is_no_iso_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        instant_from_iso(text, zone("UTC"))


@pytest.mark.parametrize(
    "name", ["", "Mars/Olympus", "Asia", "../etc/passwd", "/etc/passwd", "Asia/Singapore\0", "ä", "x" * 5000]
)
def test_a_name_that_is_no_time_zone_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match="is not an IANA time zone"):
        zone(name)


def test_the_cache_renders_a_second_once_and_stays_bounded() -> None:
    rendered: list[int] = []

    def render(found: Calendar) -> bytes:
        rendered.append(found.utc)
        return found.t.encode()

    cached = calendar_cache(zone("UTC"), render, seconds_max=3)
    for second in (1, 2, 3, 3, 2, 1, 4, 4, 1):
        assert cached(second) == calendar(second * 1000, zone("UTC")).t.encode()
    assert rendered == [1, 2, 3, 4, 1]
