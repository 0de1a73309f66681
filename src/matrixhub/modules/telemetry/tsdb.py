"""Queries of the time series database: read, and answered from summaries.

What is asked is parsed into values that cannot be wrong any more; what comes of it is made from the summaries of slots
by pure functions: merge, aggregate, resample, group.
Source: docs/contract/past-data.md §4
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, get_args

from matrixhub.model.buckets import Length
from matrixhub.model.devices import Json
from matrixhub.model.errors import MissingParameters, QueryTooLong, WrongParameters
from matrixhub.model.ids import BuildingId, PropertyId, SlotId, ZoneId
from matrixhub.model.past import END, FIRST, Summary, Wanted, check_range, shown_number
from matrixhub.model.time import zone
from matrixhub.modules.telemetry.metrics import Metric, metric_of
from matrixhub.modules.work import Platform
from matrixhub.store.past_readings import find_sources
from matrixhub.store.summaries import Asked, summarise

Aggregation = Literal["avg", "min", "max", "sum", "count"]
AGGREGATIONS: tuple[Aggregation, ...] = get_args(Aggregation)

INTERVALS: Mapping[str, timedelta] = {f"{minutes}T": timedelta(minutes=minutes) for minutes in (1, 5, 15, 30)}
AUTO: Sequence[tuple[timedelta, str]] = (
    (timedelta(hours=3), "1T"),
    (timedelta(hours=12), "5T"),
    (timedelta(hours=48), "15T"),
)
"""Up to which length of time which interval is chosen; above, the longest."""

LABELS = ("L0CLASS", "L1CLASS", "L2CLASS")
FIELD = "_field"
VALUES_MAX = 100_000
METRICS_MAX = 20
FILTERS_MAX = 1_000

_RELATIVE = re.compile(r"-([0-9]{1,6})([smh])")
_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1)}
_DURATION = re.compile(r"([0-9]{1,4})(T|min|m|H|h|D|d)")
_STEPS = {**dict.fromkeys(("T", "min", "m"), timedelta(minutes=1)), **dict.fromkeys(("H", "h"), timedelta(hours=1))}
_ABSOLUTE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?Z")
_ORIGIN = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Resampling:
    """Buckets put together to longer ones; `step` None are days as the building has them."""

    step: timedelta | None
    how: Aggregation


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """What is asked. `groups` holds what each step after the aggregation keeps apart, summing up the rest."""

    start: datetime
    end: datetime
    metrics: Sequence[Metric]
    aggregations: Sequence[Aggregation]
    interval: str
    wanted: Wanted
    groups: Sequence[frozenset[str]] = ()
    resampling: Resampling | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a bucket: its labels, `_field` among them, the bucket, and the zone of its building."""

    labels: tuple[tuple[str, str], ...]
    bucket: datetime
    value: Decimal
    time_zone: str


def parse_query(
    body: Mapping[str, Any], *, now: datetime, auto: bool = False, building: BuildingId | None = None
) -> Query:
    """What a body asks; with `auto` the interval is chosen by the time asked about, else it must be there.

    Raises: MissingParameters, WrongParameters, QueryTooLong.
    """
    start, end = _times(_object(body, "time"), now)
    check_range(start, end)
    aggregations = _texts(body, "aggregations")
    for name in aggregations:
        if name not in AGGREGATIONS:
            raise WrongParameters(f"aggregations: {name[:40]!r} is none of {', '.join(AGGREGATIONS)}")
    metrics = [metric_of(name) for name in _texts(body, "metrics")]
    if not metrics or len(metrics) > METRICS_MAX:
        raise WrongParameters(f"metrics: 1 to {METRICS_MAX} can be asked for at a time")
    if not aggregations:
        raise WrongParameters("aggregations: name one at least")
    interval = _auto_interval(end - start) if auto else body.get("aggregationInterval")
    if interval is None:
        raise MissingParameters("aggregationInterval: missing")
    if not isinstance(interval, str) or interval not in INTERVALS:
        raise WrongParameters(f"aggregationInterval is one of {', '.join(INTERVALS)}")
    return Query(
        start=start,
        end=end,
        metrics=metrics,
        aggregations=list(dict.fromkeys(name for name in AGGREGATIONS if name in aggregations)),
        interval=interval,
        wanted=_filters(body, building),
        groups=_groups(body.get("postQueryOps")),
        resampling=_resampling(body.get("resamplingParams"), INTERVALS[interval]),
    )


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = body.get(name)
    if found is None:
        raise MissingParameters(f"{name}: missing")
    if not isinstance(found, Mapping):
        raise WrongParameters(f"{name} is an object")
    return found


def _texts(body: Mapping[str, Any], name: str) -> list[str]:
    found = body.get(name)
    if found is None:
        raise MissingParameters(f"{name}: missing")
    if not isinstance(found, list) or not all(isinstance(entry, str) for entry in found):
        raise WrongParameters(f"{name} is a list of texts")
    return found


def _times(given: Mapping[str, Any], now: datetime) -> tuple[datetime, datetime]:
    """Start and end: both absolute, or a start before now and no end."""
    start, end = given.get("start"), given.get("end")
    if start is None:
        raise MissingParameters("time.start: missing")
    if isinstance(start, str) and (found := _RELATIVE.fullmatch(start)):
        if end is not None and end not in ("", "now"):
            raise WrongParameters("time: with a relative start there is no end")
        return now - int(found[1]) * _UNITS[found[2]], now
    if isinstance(start, str) and start.startswith("-"):
        raise WrongParameters("time.start: a relative one is such as -1h, -90m or -30s")
    if end is None:
        raise MissingParameters("time.end: missing, and the start is not a relative one such as -1h")
    return _instant(start, "time.start"), _instant(end, "time.end")


def _instant(text: object, name: str) -> datetime:
    try:
        if isinstance(text, str) and _ABSOLUTE.fullmatch(text):
            found = datetime.fromisoformat(text)
            if FIRST <= found < END:
                return found
    except ValueError:
        pass  # told below, like a text of another form
    raise WrongParameters(f"{name} is RFC 3339 in UTC, such as 2024-03-10T00:00:00Z")


def _auto_interval(length: timedelta) -> str:
    """The interval for a length of time.

    >>> _auto_interval(timedelta(hours=1)), _auto_interval(timedelta(hours=24)), _auto_interval(timedelta(days=7))
    ('1T', '15T', '30T')
    """
    return next((interval for longest, interval in AUTO if length <= longest), "30T")


def _filters(body: Mapping[str, Any], building: BuildingId | None) -> Wanted:
    """Which slots are meant: those in the building that fit one value of every tag that is there."""
    entries = [*_list(body, "filter"), *_list(body, "filters")]
    values: dict[str, list[str]] = {}
    for entry in entries:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("tagk"), str):
            raise WrongParameters("filter: an entry has tagk and tagv")
        tag, given = entry["tagk"].upper(), entry.get("tagv")
        if tag not in LABELS:
            raise WrongParameters(f"filter: {tag[:40]!r} is none of l0class, l1class, l2class")
        ids = [given] if isinstance(given, str) else given
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
            raise WrongParameters("filter: tagv is a text, or a list of texts")
        values.setdefault(tag, []).extend(ids)
    if sum(map(len, values.values())) > FILTERS_MAX:
        raise QueryTooLong(f"filter: {FILTERS_MAX:,} values at most")
    buildings = values.get("L0CLASS")
    if building is not None:
        buildings = [building] if buildings is None or building in buildings else []
    zones, slots = values.get("L1CLASS"), values.get("L2CLASS")
    return Wanted(
        buildings=None if buildings is None else [BuildingId(one) for one in buildings],
        zones=None if zones is None else [ZoneId(one) for one in zones],
        slots=None if slots is None else [SlotId(one) for one in slots],
    )


def _list(body: Mapping[str, Any], name: str) -> list[Any]:
    found = body.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise WrongParameters(f"{name} is a list")
    return found


def _groups(steps: object) -> Sequence[frozenset[str]]:
    """What each `aggregation` of the steps keeps apart: what the `group by` before it names, else the aggregations."""
    if steps is None:
        return ()
    if not isinstance(steps, list) or len(steps) > 10:
        raise WrongParameters("postQueryOps is a list of ten steps at most")
    made: list[frozenset[str]] = []
    named: frozenset[str] | None = None
    for step in steps:
        if not isinstance(step, Mapping):
            raise WrongParameters("postQueryOps: a step has op, type and args")
        op = str(step.get("op") or "").lower().replace("_", " ")
        if op == "group by":
            if named is not None:
                made.append(named)
            named = _group_names(step.get("args"))
        elif op == "aggregation":
            if step.get("type") not in (None, "", "sum"):
                raise WrongParameters("postQueryOps: the only type of aggregation is sum")
            made.append(named if named is not None else frozenset({FIELD}))
            named = None
        else:
            raise WrongParameters("postQueryOps: op is `group by` or `aggregation`")
    return [*made, named] if named is not None else made


def _group_names(args: object) -> frozenset[str]:
    names: set[str] = set()
    for arg in args if isinstance(args, list) else []:
        values = arg.get("value") if isinstance(arg, Mapping) else None
        for value in [values] if isinstance(values, str) else values if isinstance(values, list) else [None]:
            name = value.upper() if isinstance(value, str) and value != FIELD else value
            if name != FIELD and name not in LABELS:
                raise WrongParameters(f"postQueryOps: `group by` takes {', '.join(LABELS)} and {FIELD}")
            names.add(str(name))
    if not names:
        raise WrongParameters("postQueryOps: `group by` names at least one label in the value of its args")
    return frozenset(names)


def _resampling(given: object, interval: timedelta) -> Resampling | None:
    if given is None or given == {}:
        return None
    if not isinstance(given, Mapping):
        raise WrongParameters("resamplingParams is an object")
    text, how = given.get("duration"), given.get("fn")
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if found is None or int(found[1]) == 0:
        raise WrongParameters("resamplingParams.duration is such as 30T, 1H or 1D")
    if how not in AGGREGATIONS:
        raise WrongParameters(f"resamplingParams.fn is one of {', '.join(AGGREGATIONS)}")
    if found[2] in "Dd":
        if int(found[1]) != 1:
            raise WrongParameters("resamplingParams.duration: days are put together one by one, 1D")
        return Resampling(step=None, how=how)
    step = int(found[1]) * _STEPS[found[2]]
    if step % interval:
        raise WrongParameters("resamplingParams.duration is a multiple of the interval")
    return Resampling(step=step, how=how)


async def run_query(platform: Platform, property_id: PropertyId, query: Query) -> dict[str, Json]:
    """The answer to a query, as the wire has it. Raises: QueryTooLong, StoreError."""
    summaries_max = VALUES_MAX // len(query.aggregations)
    query, length = _put_together(query)
    local = length == "day" or (query.resampling is not None and query.resampling.step is None)
    async with platform.database.long_query() as connection:
        sources = await find_sources(connection, property_id, query.wanted)
        asked = Asked(
            start=query.start,
            end=query.end,
            metrics=[(metric.attribute, metric.devtype) for metric in query.metrics],
            length=length,
            time_zone="" if local else "UTC",
        )
        found = await summarise(connection, sources, asked, limit=summaries_max + 1)
    if len(found) > summaries_max:
        raise QueryTooLong(f"more than {VALUES_MAX:,} values come of it; narrow the query, or lengthen its interval")
    return await asyncio.to_thread(answer, query, found)  # as many values take seconds, in which others go on


def _put_together(query: Query) -> tuple[Query, Length]:
    """The query with the buckets to be asked for: at once the longer ones, where what is put together is the same.

    A sum of sums is a sum, but an average of averages is another number than the average.

    >>> start, resampling = datetime(2024, 3, 1, tzinfo=UTC), Resampling(step=None, how="sum")
    >>> query = Query(start=start, end=start + timedelta(days=9), metrics=[], aggregations=["count"], interval="30T",
    ...     wanted=Wanted(), resampling=resampling)
    >>> _put_together(query)[1], _put_together(replace(query, aggregations=["avg"]))[1]
    ('day', datetime.timedelta(seconds=1800))
    """
    longer, interval = query.resampling, INTERVALS[query.interval]
    if longer is None or any((name, longer.how) not in _SAME for name in query.aggregations):
        return query, interval
    if longer.step is not None and timedelta(days=1) % longer.step:
        return query, interval
    return replace(query, resampling=None), longer.step or "day"


_SAME = {("sum", "sum"), ("count", "sum"), ("min", "min"), ("max", "max")}


def answer(query: Query, found: Iterable[Summary]) -> dict[str, Json]:
    """The answer made from summaries: one series for each metric, in the order they were asked for."""
    merged = merge(found)
    series: list[Json] = []
    for number, _ in enumerate(query.metrics):
        values = list(aggregate([one for one in merged if one.metric == number], query.aggregations))
        if query.resampling is not None:
            values = resample(values, query.resampling)
        for kept in query.groups:
            values = sum_up(values, kept)
        series.append(
            {
                "values": [_value(one) for one in sorted(values, key=lambda one: (one.bucket, one.labels))],
                "id": str(number),
                "_start": rfc3339(query.start),
                "_end": rfc3339(query.end),
                "aggregationInterval": query.interval,
            }
        )
    return {"type": "keyval", "series": series, "queryType": "tsdb"}


def merge(found: Iterable[Summary]) -> list[Summary]:
    """Summaries of which no two are of the same slot, place and bucket: a slot may have been renamed in between."""
    made: dict[tuple[Any, ...], Summary] = {}
    for one in found:
        key = (one.metric, one.building_id, one.zone_id, one.slot_id, one.bucket)
        before = made.get(key)
        made[key] = one if before is None else _both(before, one)
    return list(made.values())


def _both(one: Summary, other: Summary) -> Summary:
    return Summary(
        metric=one.metric,
        building_id=one.building_id,
        zone_id=one.zone_id,
        slot_id=one.slot_id,
        time_zone=other.time_zone,
        bucket=one.bucket,
        count=one.count + other.count,
        sum=one.sum + other.sum,
        least=min(one.least, other.least),
        greatest=max(one.greatest, other.greatest),
    )


def aggregate(found: Iterable[Summary], aggregations: Sequence[Aggregation]) -> Iterable[Value]:
    """The values of the aggregations, each labelled with where it is from and which it is."""
    for one in found:
        for name in aggregations:
            labels = (*zip(LABELS, (one.building_id, one.zone_id, one.slot_id), strict=True), (FIELD, name))
            yield Value(labels, one.bucket, number_of(one, name), one.time_zone)


def number_of(one: Summary, name: Aggregation) -> Decimal:
    """One number of a summary."""
    match name:
        case "avg":
            return one.sum / one.count
        case "min":
            return one.least
        case "max":
            return one.greatest
        case "sum":
            return one.sum
        case "count":
            return Decimal(one.count)


def resample(values: Iterable[Value], wish: Resampling) -> list[Value]:
    """Values put together in longer buckets, those of each label by themselves."""
    gathered: dict[tuple[Any, ...], list[Value]] = {}
    for one in values:
        gathered.setdefault((one.labels, _longer_bucket(one, wish.step)), []).append(one)
    return [
        Value(labels, bucket, _together([one.value for one in ones], wish.how), ones[0].time_zone)
        for (labels, bucket), ones in gathered.items()
    ]


def _longer_bucket(one: Value, step: timedelta | None) -> datetime:
    """The longer bucket that a bucket lies in: the local day without a step."""
    if step is not None:
        return _ORIGIN + (one.bucket - _ORIGIN) // step * step
    local = one.bucket.astimezone(zone(one.time_zone))
    return local.replace(hour=0, minute=0, second=0, fold=0).astimezone(UTC)


def _together(values: Sequence[Decimal], how: Aggregation) -> Decimal:
    match how:
        case "avg":
            return sum(values, Decimal(0)) / len(values)
        case "min":
            return min(values)
        case "max":
            return max(values)
        case "sum":
            return sum(values, Decimal(0))
        case "count":
            return Decimal(len(values))


def sum_up(values: Iterable[Value], kept: frozenset[str]) -> list[Value]:
    """The sums of the values that are alike in the kept labels and their bucket; what is not kept is gone.

    Without `_field` among the kept, the aggregations are summed up, too, and the sum is called that.
    """
    made: dict[tuple[Any, ...], Value] = {}
    for one in values:
        labels = tuple((name, value) for name, value in one.labels if name in kept)
        before = made.get((labels, one.bucket))
        total = one.value if before is None else before.value + one.value
        made[labels, one.bucket] = Value(labels, one.bucket, total, one.time_zone)
    return list(made.values())


def _value(one: Value) -> dict[str, Json]:
    labels = dict(one.labels)
    field = labels.pop(FIELD, "sum")
    return {**labels, FIELD: field, "_time": rfc3339(one.bucket), "_value": shown_number(one.value)}


def rfc3339(instant: datetime) -> str:
    """An instant as answers have it.

    >>> rfc3339(datetime(2024, 3, 10, 0, 30, tzinfo=UTC))
    '2024-03-10T00:30:00Z'
    """
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
