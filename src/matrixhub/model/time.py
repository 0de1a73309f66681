"""Instants and their local calendar, as the wire contract writes them.

An instant is an integer of epoch milliseconds (`unixT`). Source: docs/contract/README.md §5, sensor-data.md §1.1
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from matrixhub.model.errors import WrongParameters

RETENTION_S = 15_552_000
"""`expire_at` is this much after `utc`: 180 days."""

SECONDS_BELOW = 100_000_000_000
"""A `unixT` below this is in seconds: 2021 devices send seconds (contract README §7 row 3)."""

YEARS = range(1970, 3000)
"""Years in which something can be planned: any time that a setting allows can be added."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOCAL = re.compile(r"[0-9]{14}")
_YEAR_MIN_MS = -62_135_596_800_000 + 86_400_000
_YEAR_MAX_MS = 253_402_300_799_999 - 86_400_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Calendar:
    """The calendar fields of an instant in a region, spelled as on the wire."""

    t: str
    time: str
    dow: str
    month: str
    dom: str
    hour: str
    minute: str
    utc: int
    expire_at: int


def zone(region: str) -> ZoneInfo:
    """The time zone of that IANA name.

    Raises: ValueError if there is none.
    """
    try:
        return ZoneInfo(region)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{region!r} is not an IANA time zone such as Asia/Singapore") from error


def check_year(on: date) -> None:
    """Refuse a date, or an instant, at which nothing can be planned.

    >>> check_year(date(2024, 3, 10))

    Raises: WrongParameters.
    """
    if on.year not in YEARS:
        raise WrongParameters(f"times are in the years {YEARS[0]} to {YEARS[-1]}, not in {on.year}")


def calendar(instant_ms: int, tz: ZoneInfo) -> Calendar:
    """The calendar fields of an instant.

    Units: epoch milliseconds in; `utc` and `expire_at` are epoch seconds.

    >>> c = calendar(1710029109417, ZoneInfo("Asia/Singapore"))
    >>> c.t, c.time, c.dow
    ('20240310080509', '2024-03-10T08:05:09+0800', '0')
    """
    utc = instant_ms // 1000
    local = (_EPOCH + timedelta(seconds=utc)).astimezone(tz)
    # strftime does not pad years below 1000 on every platform, and the contract writes offsets as ±hhmm.
    date = f"{local.year:04d}{local.month:02d}{local.day:02d}"
    offset_min, odd_s = divmod(int((local.utcoffset() or timedelta()).total_seconds()), 60)
    sign, offset_min = ("-", -offset_min - (1 if odd_s else 0)) if offset_min < 0 else ("+", offset_min)
    clock = f"{local.hour:02d}:{local.minute:02d}:{local.second:02d}"
    return Calendar(
        t=f"{date}{clock.replace(':', '')}",
        time=f"{date[:4]}-{date[4:6]}-{date[6:]}T{clock}{sign}{offset_min // 60:02d}{offset_min % 60:02d}",
        dow=str(local.isoweekday() % 7),
        month=date[4:6],
        dom=date[6:],
        hour=clock[:2],
        minute=clock[3:5],
        utc=utc,
        expire_at=utc + RETENTION_S,
    )


def instant_from_number(value: float) -> int:
    """Epoch milliseconds from a number of seconds or milliseconds.

    Raises: ValueError if it is no instant of the years 1 to 9999.

    >>> instant_from_number(1710029109), instant_from_number(1710029109417), instant_from_number(1710029109.5)
    (1710029109000, 1710029109417, 1710029109500)
    """
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError("not a number")
    if abs(value) < SECONDS_BELOW:
        value = round(value * 1000)
    instant = int(value)
    if not _YEAR_MIN_MS <= instant <= _YEAR_MAX_MS:
        raise ValueError("outside the years 1 to 9999")
    return instant


def instant_from_local(text: str, tz: ZoneInfo) -> int:
    """Epoch milliseconds of a 14-digit local wall time (`t`).

    An hour that occurs twice is read as its first occurrence, one that is skipped as if the clock had not moved.
    Raises: ValueError if the text is no such time.

    >>> instant_from_local("20240310080509", ZoneInfo("Asia/Singapore"))
    1710029109000
    """
    if not _LOCAL.fullmatch(text):
        raise ValueError("`t` is 14 digits, YYYYMMDDHHmmss")
    return _milliseconds(datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=tz))


def instant_from_iso(text: str, tz: ZoneInfo) -> int:
    """Epoch milliseconds of an ISO 8601 time; without an offset it is local to the zone.

    Raises: ValueError if the text is no such time.

    >>> instant_from_iso("2024-03-10T08:05:09+0800", ZoneInfo("UTC"))
    1710029109000
    """
    moment = datetime.fromisoformat(text)
    return _milliseconds(moment if moment.tzinfo else moment.replace(tzinfo=tz))


def _milliseconds(moment: datetime) -> int:
    try:
        return (moment - _EPOCH) // timedelta(milliseconds=1)
    except OverflowError as error:
        raise ValueError("outside the years 1 to 9999") from error


def calendar_cache(
    tz: ZoneInfo, render: Callable[[Calendar], bytes], *, seconds_max: int = 4096
) -> Callable[[int], bytes]:
    """A function from epoch seconds to the rendered calendar, which remembers the last seconds it was asked for.

    Readings of a building cluster in the same few seconds, so nearly every call is one look-up.
    """
    seen: dict[int, bytes] = {}

    def rendered(second: int) -> bytes:
        found = seen.get(second)
        if found is None:
            if len(seen) >= seconds_max:
                seen.clear()
            found = seen[second] = render(calendar(second * 1000, tz))
        return found

    return rendered


def parse_retry_after(text: str, now_s: float) -> float | None:
    """Seconds to wait as `Retry-After` says, by number or by date; None where it says nothing that can be read.

    >>> [parse_retry_after(text, 0.0) for text in ("120", "Thu, 01 Jan 1970 00:01:00 GMT", "soon")]
    [120.0, 60.0, None]
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now_s)
    except (ValueError, TypeError, OverflowError):
        return None
