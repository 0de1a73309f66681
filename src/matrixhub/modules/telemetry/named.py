"""Queries that have a name: a table of what each takes, and what it asks.

Source: docs/contract/past-data.md §5
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from matrixhub.model.devices import Json
from matrixhub.model.errors import MissingParameters, QueryTooLong, WrongParameters
from matrixhub.model.ids import BuildingId, PropertyId, SlotId, ZoneId
from matrixhub.model.past import Wanted, check_range, instant_of_seconds, read_place, shown_number
from matrixhub.model.time import zone
from matrixhub.modules.telemetry.metrics import metric_of
from matrixhub.modules.telemetry.readings import PAGE_MAX
from matrixhub.modules.telemetry.tsdb import AGGREGATIONS, FILTERS_MAX, VALUES_MAX, Query, merge, number_of, parse_query
from matrixhub.modules.work import Platform
from matrixhub.store.past_readings import find_sources
from matrixhub.store.summaries import Asked, summarise

RAW = "device_slot_raw_data"
LATEST = "latest_readings"


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedSeries:
    """A query of the time series database under a name."""

    summary: str
    metric: str
    aggregations: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedDays:
    """A table of numbers by zone and local day; `metric` '' is asked for."""

    summary: str
    metric: str = ""


SERIES: Mapping[str, NamedSeries] = {
    "people_count": NamedSeries(summary="People in, by slot.", metric="ppl_in", aggregations=("sum",)),
    "people_out_count": NamedSeries(summary="People out, by slot.", metric="ppl_out", aggregations=("sum",)),
    "usage_count": NamedSeries(
        summary="Motion entries, by slot.", metric="sg.smartclean.um.raw.count", aggregations=("sum",)
    ),
    "feedback_rating": NamedSeries(
        summary="Ratings, by slot.", metric="sg.smartclean.fd.raw.rating", aggregations=("avg", "min", "max", "count")
    ),
}
"""What `tsdbNamedQuery` knows."""

DAYS: Mapping[str, NamedDays] = {
    "people_count_per_zone_and_day": NamedDays(summary="People in, by zone and local day.", metric="ppl_in"),
    "feedback_rating_per_zone_and_day": NamedDays(
        summary="Ratings, by zone and local day.", metric="sg.smartclean.fd.raw.rating"
    ),
    "metric_per_zone_and_day": NamedDays(summary="Any metric, $metric, by zone and local day."),
}

READINGS: Mapping[str, str] = {
    RAW: "Readings of slots, $devid, of type $devtype, as they were pushed; a page holds a thousand.",
    LATEST: "The last reading of each slot in the time.",
}


def tsdb_query(body: Mapping[str, Any], *, now: datetime, building: BuildingId | None) -> Query:
    """The query that a named one stands for. Raises: MissingParameters, WrongParameters, QueryTooLong."""
    name = body.get("id")
    if not isinstance(name, str) or name not in SERIES:
        raise WrongParameters(f"there is no query {str(name)[:100]!r}; there are {', '.join(SERIES)}")
    params = Params.of(body.get("params"))
    asked: dict[str, Any] = {
        "time": {"start": _shown(params.instant("$start")), "end": _shown(params.instant("$end"))},
        "metrics": [SERIES[name].metric],
        "aggregations": list(SERIES[name].aggregations),
        "aggregationInterval": params.text("$interval") or None,
        "filter": [{"tagk": "l2class", "tagv": params.texts("$devid")}] if params.texts("$devid") else [],
    }
    if params.texts("$zone"):
        asked["filter"].append({"tagk": "l1class", "tagv": params.texts("$zone")})
    return parse_query(asked, now=now, auto=asked["aggregationInterval"] is None, building=building)


def _shown(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Params:
    """The parameters of a named query, by key."""

    given: Mapping[str, Any]

    @staticmethod
    def of(entries: object) -> Params:
        """Those of a list of `{key, value}`, or of an object. Raises: WrongParameters."""
        if entries is None:
            return Params({})
        if isinstance(entries, Mapping):
            return Params({_key(str(key)): value for key, value in entries.items()})
        if isinstance(entries, list) and all(
            isinstance(entry, Mapping) and isinstance(entry.get("key"), str) for entry in entries
        ):
            return Params({_key(entry["key"]): entry.get("value") for entry in entries})
        raise WrongParameters("params is a list of {key, value}")

    def text(self, key: str) -> str:
        """A text, '' where it is not there. Raises: WrongParameters."""
        found = self.given.get(key)
        if found is None:
            return ""
        if not isinstance(found, str):
            raise WrongParameters(f"{key} is a text")
        return found

    def texts(self, key: str) -> list[str]:
        """Texts, as a list or divided by commas. Raises: WrongParameters, QueryTooLong."""
        found = self.given.get(key)
        entries = found.split(",") if isinstance(found, str) else found or []
        if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
            raise WrongParameters(f"{key} is a text, or several divided by commas")
        if len(entries) > FILTERS_MAX:
            raise QueryTooLong(f"{key}: {FILTERS_MAX:,} values at most")
        return [entry.strip() for entry in entries if entry.strip()]

    def instant(self, key: str) -> datetime:
        """The instant of epoch seconds, also as a text. Raises: MissingParameters, WrongParameters."""
        found = self.given.get(key)
        if found is None or found == "":
            raise MissingParameters(f"{key}: missing")
        try:
            if isinstance(found, int | float | str) and not isinstance(found, bool):
                return instant_of_seconds(float(found), key)
        except (ValueError, OverflowError):
            pass  # told below, like a value of another kind
        raise WrongParameters(f"{key} is epoch seconds")


def _key(key: str) -> str:
    """A key with its dollar sign, which some leave away."""
    return key if key.startswith("$") else f"${key}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingsAsked:
    """What a named query of readings asks: a page behind the key `after`, or of each slot the latest."""

    wanted: Wanted
    start: datetime
    end: datetime
    after: str
    limit: int
    latest: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class DaysAsked:
    """What a named query of days asks."""

    wanted: Wanted
    start: datetime
    end: datetime
    metric: str


def named_query(body: Mapping[str, Any], building: BuildingId | None) -> ReadingsAsked | DaysAsked:
    """What a named query asks that is none of the time series database.

    Raises: MissingParameters, WrongParameters, QueryTooLong.
    """
    name = body.get("id")
    if not isinstance(name, str) or not (name in READINGS or name in DAYS):
        raise WrongParameters(f"there is no query {str(name)[:100]!r}; there are {', '.join((*READINGS, *DAYS))}")
    params = Params.of(body.get("params"))
    start, end = params.instant("$start"), params.instant("$end")
    check_range(start, end)
    slots, zones = params.texts("$devid"), params.texts("$zone")
    wanted = Wanted(
        slots=[SlotId(one) for one in slots] or None,
        devtypes=params.texts("$devtype") or None,
        zones=[ZoneId(one) for one in zones] or None,
        buildings=[building] if building is not None else None,
    )
    if name in DAYS:
        metric = DAYS[name].metric or params.text("$metric")
        if not metric:
            raise MissingParameters("$metric: missing")
        return DaysAsked(wanted=wanted, start=start, end=end, metric=metric_of(metric).name)
    if name == RAW and not slots:
        raise MissingParameters("$devid: missing")
    after = body.get("LastEvaluatedKey") or params.text("$LastEvaluatedKey")
    if not isinstance(after, str):
        raise WrongParameters("LastEvaluatedKey is that of the page before")
    read_place(after)
    return ReadingsAsked(wanted=wanted, start=start, end=end, after=after, limit=_limit(params), latest=name == LATEST)


def _limit(params: Params) -> int:
    given = params.given.get("$limit")
    if given is None:
        return PAGE_MAX
    text = str(given)
    limit = int(text[:9]) if text.isascii() and text.isdigit() else 0
    if limit < 1:
        raise WrongParameters("$limit is a number above 0")
    if limit > PAGE_MAX:
        raise QueryTooLong(f"a page has at most {PAGE_MAX:,} readings")
    return limit


async def days_table(platform: Platform, property_id: PropertyId, asked: DaysAsked) -> Sequence[dict[str, Json]]:
    """Numbers of a metric by zone and day, as the building has them. Raises: QueryTooLong, StoreError."""
    metric = metric_of(asked.metric)
    async with platform.database.long_query() as connection:
        sources = await find_sources(connection, property_id, asked.wanted)
        days = Asked(
            start=asked.start,
            end=asked.end,
            metrics=[(metric.attribute, metric.devtype)],
            length="day",
            by="zone",
        )
        found = await summarise(connection, sources, days, limit=VALUES_MAX + 1)
    if len(found) > VALUES_MAX:
        raise QueryTooLong(f"more than {VALUES_MAX:,} values come of it; narrow the query")
    zones = merge(found)
    return [
        {
            "PID": one.building_id,
            "InsID": one.zone_id,
            "Day": one.bucket.astimezone(zone(one.time_zone)).strftime("%Y-%m-%d"),
            **{name: shown_number(number_of(one, name)) for name in AGGREGATIONS},
        }
        for one in sorted(zones, key=lambda one: (one.bucket, one.zone_id))
    ]
