"""What happened day by day, in the time of the building where it did.

Source: docs/contract/metrics.md §2
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from matrixhub.model.errors import NotFound, QueryTooLong, WrongParameters
from matrixhub.model.ids import BuildingId, PropertyId
from matrixhub.model.time import check_year
from matrixhub.modules.metrics.places import check_principals
from matrixhub.modules.work import Platform
from matrixhub.store.metrics import Counting, DayCount, Place, count_days, list_places

DAYS_MAX = 366
BUCKETS_MAX = 10_000
"""Days times principals that one query gives."""

OTHER = "OTHER"
_TYPE = re.compile(r"[A-Z0-9_]{1,32}")
_DAY = re.compile(r"[0-9]{8}")


@dataclass(frozen=True, slots=True)
class Namespace:
    """What is counted under a name, and what its keys begin with."""

    counting: Counting
    prefix: str


NAMESPACES: Mapping[str, Namespace] = {
    "VCS_WO_DAILY_COUNT_BY_TYPE": Namespace("incidents_by_type", "WorkOrderCount"),
    "INCIDENT_DAILY_COUNT_BY_STATUS": Namespace("incidents_by_status", "IncidentCount"),
    "INCIDENT_DAILY_COUNT_BY_PRIORITY": Namespace("incidents_by_priority", "IncidentCount"),
    "TASK_DAILY_COUNT_COMPLETED": Namespace("tasks_completed", "TaskCount"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class DaysAsked:
    """Which days of which principals are wanted: `start` and `end` name days, or instants of the day they lie in."""

    namespace: str
    principals: tuple[str, ...]
    start: date | datetime
    end: date | datetime
    hide_empty: bool = False


@dataclass(frozen=True, slots=True)
class Bucket:
    """A local day, `YYYYMMDD`, and what was counted on it, by key."""

    day: str
    counts: Mapping[str, int]


def days_asked(
    namespace: str, principals: Sequence[str], start: object, end: object, *, hide_empty: bool = False
) -> DaysAsked:
    """What is asked for. Shape: start and end are `YYYYMMDD`, or epoch seconds as a number or text.

    Raises: WrongParameters, QueryTooLong.
    """
    if namespace not in NAMESPACES:
        raise WrongParameters(f"there is no NS {namespace[:100]!r}; there are {', '.join(NAMESPACES)}")
    check_principals(principals)
    return DaysAsked(
        namespace=namespace,
        principals=tuple(principals),
        start=moment(start, "Start"),
        end=moment(end, "End"),
        hide_empty=hide_empty,
    )


def moment(given: object, name: str) -> date | datetime:
    """The day, or the instant, that a text or number tells.

    >>> moment("20240310", "Start"), moment(1710029109, "Start")
    (datetime.date(2024, 3, 10), datetime.datetime(2024, 3, 10, 0, 5, 9, tzinfo=datetime.timezone.utc))

    Raises: WrongParameters.
    """
    text = str(given).strip()
    found: date | datetime
    try:
        if _DAY.fullmatch(text):
            found = datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a local day, without a zone
        else:
            found = datetime.fromtimestamp(float(text), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise WrongParameters(f"{name} is a day, YYYYMMDD, or epoch seconds") from error
    check_year(found)
    return found


async def count_by_day(platform: Platform, property_id: PropertyId, asked: DaysAsked) -> list[list[Bucket]]:
    """A bucket for each day, for each principal in their order; a property's is the sum of those of its buildings.

    Raises: NotFound for a principal that is neither the property nor a building of it, WrongParameters for an end
    before the start, QueryTooLong, StoreError.
    """
    async with platform.database.connection() as connection:
        places = {place.id: place for place in sorted(await list_places(connection, property_id), key=_buildings_last)}
        spans = [_span(asked, _place(places, principal).time_zone) for principal in asked.principals]
        _check_size(spans)
        buildings = {principal: _buildings_of(places, places[principal]) for principal in asked.principals}
        counts = await count_days(
            connection,
            property_id,
            NAMESPACES[asked.namespace].counting,
            sorted({building for several in buildings.values() for building in several}),
            min(first for first, _ in spans),
            max(last for _, last in spans),
        )
    by_building: defaultdict[BuildingId, list[DayCount]] = defaultdict(list)
    for count in counts:
        by_building[count.building_id].append(count)
    return [
        _buckets(asked, [count for building in buildings[principal] for count in by_building[building]], span)
        for principal, span in zip(asked.principals, spans, strict=True)
    ]


def _buildings_last(place: Place) -> bool:
    """Of a building and a property of the same id the building counts, as it does for events."""
    return not place.is_property


def _place(places: Mapping[str, Place], principal: str) -> Place:
    found = places.get(principal)
    if found is None:
        raise NotFound(f"{principal[:128]!r} is neither the property of the request nor a building of it")
    return found


def _buildings_of(places: Mapping[str, Place], place: Place) -> list[BuildingId]:
    if not place.is_property:
        return [BuildingId(place.id)]
    return [BuildingId(one.id) for one in places.values() if not one.is_property]


def _span(asked: DaysAsked, tz: ZoneInfo) -> tuple[date, date]:
    first, last = _local_day(asked.start, tz), _local_day(asked.end, tz)
    if last < first:
        raise WrongParameters("End lies before Start")
    if (last - first).days >= DAYS_MAX:
        raise QueryTooLong(f"at most {DAYS_MAX} days are asked for at once")
    return first, last


def _local_day(moment: date | datetime, tz: ZoneInfo) -> date:
    return moment.astimezone(tz).date() if isinstance(moment, datetime) else moment


def _check_size(spans: Sequence[tuple[date, date]]) -> None:
    if sum((last - first).days + 1 for first, last in spans) > BUCKETS_MAX:
        raise QueryTooLong(f"at most {BUCKETS_MAX:,} days of all principals together are asked for at once")


def _buckets(asked: DaysAsked, counts: Sequence[DayCount], span: tuple[date, date]) -> list[Bucket]:
    first, last = span
    prefix = NAMESPACES[asked.namespace].prefix
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for count in counts:
        found[count.day][f"{prefix}:{type_of(count.word)}"] += count.found
    days = [f"{first + timedelta(days=number):%Y%m%d}" for number in range((last - first).days + 1)]
    return [Bucket(day, dict(sorted(found[day].items()))) for day in days if found[day] or not asked.hide_empty]


def type_of(word: str) -> str:
    """The word as a part of a key: as it stands, where it is one like the types of slots.

    >>> type_of("WD"), type_of("Guard desk")
    ('WD', 'OTHER')
    """
    return word if _TYPE.fullmatch(word) else OTHER
