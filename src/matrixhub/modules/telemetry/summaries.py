"""Numbers of a property in buckets of time: by slot, zone or building, in any time zone, page by page.

Source: docs/contract/past-data.md §6, docs/decisions/0025-rollups.md
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import msgspec

from matrixhub.model.buckets import DAY, Length
from matrixhub.model.errors import QueryTooLong, WrongParameters
from matrixhub.model.ids import PropertyId
from matrixhub.model.paging import check_page
from matrixhub.model.past import Summary, Wanted, check_range
from matrixhub.modules.telemetry.metrics import Metric
from matrixhub.modules.telemetry.tsdb import METRICS_MAX, VALUES_MAX, merge
from matrixhub.modules.work import Platform
from matrixhub.store.past_readings import find_sources
from matrixhub.store.summaries import Asked, By, first_whole, summarise

LONGEST = timedelta(days=800)
BUCKETS_MAX = 20_000
PAGE_MAX = 10_000

BucketPlace = tuple[datetime, str, str, str, int]
"""Where a page ends: begin of a bucket, building, zone, slot, and which metric."""

_KEY = tuple[str, datetime, str, str, str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class BucketsAsked:
    """What is asked; `time_zone` '' is that of each building."""

    wanted: Wanted
    metrics: Sequence[Metric]
    start: datetime
    end: datetime
    length: Length
    time_zone: str
    by: By

    def __post_init__(self) -> None:
        """Refuse what is too much. Raises: WrongParameters, QueryTooLong."""
        check_range(self.start, self.end, LONGEST)
        if not 0 < len(self.metrics) <= METRICS_MAX:
            raise WrongParameters(f"1 to {METRICS_MAX} metrics can be asked for at a time")
        step = self.length if isinstance(self.length, timedelta) else DAY
        if (self.end - self.start) / step > BUCKETS_MAX:
            raise QueryTooLong(f"{BUCKETS_MAX:,} buckets at most; ask for less time, or longer ones")


@dataclass(frozen=True, slots=True)
class BucketPage:
    """Numbers in the order of their buckets, and the place behind the last one, None if there are no more."""

    items: Sequence[Summary]
    after: BucketPlace | None


async def bucket_page(
    platform: Platform, property_id: PropertyId, asked: BucketsAsked, *, after: BucketPlace | None, limit: int
) -> BucketPage:
    """The next numbers behind a place. Buckets without a number are left out.

    Raises: WrongParameters, QueryTooLong, StoreError.
    """
    check_page(limit, PAGE_MAX)
    found = Asked(
        start=asked.start,
        end=asked.end,
        metrics=[(metric.attribute, metric.devtype) for metric in asked.metrics],
        length=asked.length,
        time_zone=asked.time_zone,
        by=asked.by,
    )
    if after is not None:  # earlier buckets were given
        found = replace(found, start=min(max(asked.start, after[0]), asked.end - timedelta(milliseconds=1)))
    async with platform.database.long_query() as connection:
        sources = await find_sources(connection, property_id, asked.wanted)
        gone = first_whole(sources, found)
        if gone is not None:
            raise WrongParameters(
                f"of before {gone:%Y-%m-%dT%H:%MZ} there are numbers of whole hours and days only, as the buildings "
                "have them: begin and end with them, or ask about later"
            )
        summaries = await summarise(connection, sources, found, limit=VALUES_MAX + 1)
    if len(summaries) > VALUES_MAX:
        raise QueryTooLong(
            f"more than {VALUES_MAX:,} numbers come of it; ask for less time, longer buckets, or by zone or building"
        )
    rest = sorted((one for one in merge(summaries) if after is None or _place(one) > after), key=_place)
    page = rest[:limit]
    return BucketPage(page, _place(page[-1]) if len(rest) > limit else None)


def _place(one: Summary) -> BucketPlace:
    return one.bucket, one.building_id, one.zone_id, one.slot_id, one.metric


def bucket_key(place: BucketPlace | None) -> str | None:
    """A place as clients give it back; None for none.

    >>> place = (datetime(2024, 3, 10, tzinfo=UTC), "b", "z", "", 0)
    >>> read_bucket_key(bucket_key(place) or "") == place
    True
    """
    if place is None:
        return None
    return base64.urlsafe_b64encode(msgspec.json.encode(["buckets", *place])).decode().rstrip("=")


def read_bucket_key(key: str) -> BucketPlace | None:
    """The place of a key, None for ''. Raises: WrongParameters if it is none of buckets."""
    if not key:
        return None
    try:
        packed = base64.b64decode(key + "=" * (-len(key) % 4), altchars=b"-_", validate=True)
        kind, at, building, zone, slot, metric = msgspec.json.decode(packed, type=_KEY)
        if kind == "buckets" and at.tzinfo is not None:
            return at.astimezone(UTC), building, zone, slot, metric
    except (binascii.Error, ValueError, OverflowError):
        pass  # told below, like a key of another list
    raise WrongParameters("the key is not one of a page of buckets")
