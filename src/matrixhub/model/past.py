"""Past data: which readings are meant, in which order they come, and where a page of them ends.

Source: docs/contract/past-data.md
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec

from matrixhub.model.errors import QueryTooLong, WrongParameters
from matrixhub.model.ids import BuildingId, SlotId, ZoneId
from matrixhub.model.time import YEARS

RANGE_MAX = timedelta(days=31)
"""The longest time of which one query is answered."""

FIRST = datetime(YEARS[0], 1, 1, tzinfo=UTC)
END = datetime(YEARS[-1], 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which readings are meant; what is None does not narrow, what is empty leaves none."""

    slots: Sequence[SlotId] | None = None
    devtypes: Sequence[str] | None = None
    buildings: Sequence[BuildingId] | None = None
    zones: Sequence[ZoneId] | None = None


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in the order of readings, which is that of time and, at one instant, of their series."""

    instant_ms: int
    series: int


@dataclass(frozen=True, slots=True)
class Page:
    """Lines of readings in order, and the place behind the last one, None if there are no more now."""

    lines: Sequence[bytes]
    after: Place | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """Numbers of one attribute that fell into one bucket of time, of one slot in one place."""

    metric: int
    building_id: BuildingId
    zone_id: ZoneId
    slot_id: SlotId
    time_zone: str
    bucket: datetime
    count: int
    sum: Decimal
    least: Decimal
    greatest: Decimal


def check_range(start: datetime, end: datetime, longest: timedelta = RANGE_MAX) -> None:
    """Refuse a time that ends before it begins, or is too long for one query.

    >>> check_range(datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 3, 31, tzinfo=UTC))

    Raises: WrongParameters, QueryTooLong.
    """
    if not start < end:
        raise WrongParameters("the time ends before it begins")
    if end - start > longest:
        raise QueryTooLong(f"one query is about {longest.days} days at most; ask for the rest with another")


def instant_of_seconds(seconds: float, name: str) -> datetime:
    """The instant of epoch seconds. Raises: WrongParameters.

    >>> str(instant_of_seconds(1710029109.0, "$start"))
    '2024-03-10 00:05:09+00:00'
    """
    if not FIRST.timestamp() <= seconds < END.timestamp():  # also what is not a number
        raise WrongParameters(f"{name} is epoch seconds, not {seconds}")
    return datetime.fromtimestamp(seconds, UTC)


def epoch_ms(instant: datetime) -> int:
    """Epoch milliseconds.

    >>> epoch_ms(datetime(2024, 3, 10, 0, 5, 9, 417_000, tzinfo=UTC))
    1710029109417
    """
    return (instant - FIRST) // _MS


def instant_of_ms(instant_ms: int) -> datetime:
    """The instant of epoch milliseconds."""
    return FIRST + instant_ms * _MS


def place_key(place: Place | None) -> str:
    """A place as clients give it back; '' for none.

    >>> read_place(place_key(Place(1710029109417, 7))), place_key(None)
    (Place(instant_ms=1710029109417, series=7), '')
    """
    if place is None:
        return ""
    packed = msgspec.json.encode(["readings", place.instant_ms, place.series])
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read_place(key: str) -> Place | None:
    """The place of a key. Raises: WrongParameters if it is none of readings."""
    if not key:
        return None
    try:
        packed = base64.b64decode(key + "=" * (-len(key) % 4), altchars=b"-_", validate=True)
        kind, instant_ms, series = msgspec.json.decode(packed, type=tuple[str, int, int])
        if kind == "readings" and 0 <= instant_ms < epoch_ms(END) and 0 <= series < 1 << 31:
            return Place(instant_ms, series)
    except (binascii.Error, ValueError):
        pass  # told below, like a key of another list
    raise WrongParameters("the key is not one of a page of readings")


def read_last(text: str) -> tuple[int, str]:
    """The instant and the series of the last reading that came, `<unixT>/<DEVID>/<DevType>`. Raises: WrongParameters.

    >>> read_last("1710029109417/d1/SMARTCLEAN#UM")
    (1710029109417, 'd1/SMARTCLEAN#UM')
    """
    instant, _, name = text.partition("/")
    if (
        not (instant.isascii() and instant.isdigit() and len(instant) <= 15 and int(instant) < epoch_ms(END))
        or not name
    ):
        raise WrongParameters("the last reading is told as <unixT>/<DEVID>/<DevType>")
    return int(instant), name


def shown_number(value: Decimal, places: int = 6) -> str:
    """A number as answers have it: plain, and as short as it can be.

    >>> shown_number(Decimal("14.000")), shown_number(Decimal("1E+3")), shown_number(Decimal(7) / 3)
    ('14', '1000', '2.333333')
    """
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -places and value.adjusted() < 20:
        value = round(value, places)
    text = format(value, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text
