"""Operations of metrics: figures of places, figures day by day, the event log.

Source: docs/contract/metrics.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from matrixhub.api.actions.operation import Call, Operation, Reply
from matrixhub.api.actions.shape import ANY, FLAG, NUMBER, TEXT, Field, Shape, list_of, map_of, may, needs, of
from matrixhub.model.errors import InvalidValue, QueryTooLong, WrongParameters
from matrixhub.model.event_log import event_log_record
from matrixhub.modules import metrics
from matrixhub.modules.metrics import Bucket, DaysAsked
from matrixhub.store.events import latest_events, list_events

SERVICE = "scmetrics"

EVENTS_PAGE = 500
LATEST_MAX = 1_000
BATCH_MAX = 20

_MOMENT = "a day, YYYYMMDD, or epoch seconds"


def _principals(name: str, also: str) -> Field:
    return needs(name, ANY, "ids of buildings, or of the property", also=(also,))


_DAYS: tuple[Field, ...] = (
    needs("NS", TEXT, ", ".join(metrics.NAMESPACES)),
    needs("Start", ANY, f"{_MOMENT}; its whole day counts"),
    needs("End", ANY, f"{_MOMENT}; its whole day counts"),
    may("HideEmptyBuckets", FLAG, "leave out days without anything", also=("HideEmptyBucket",)),
)
_DAYS_OF_ONE = of(needs("Principal", TEXT, "id of a building, or of the property"), *_DAYS)
_BUCKET = of(needs("Bucket", TEXT, "a local day, YYYYMMDD"), needs("Data", map_of(NUMBER)))
_PLACE_NS = needs("NS", TEXT, ", ".join(metrics.PLACE_NAMESPACES))
_PLACE = of(needs("data", map_of(NUMBER)), needs("principal", TEXT))
_EVENT = of(*(needs(name, TEXT) for name in ("ATTR", "Description", "Event", "ID", "Principal", "Status", "Time")))


def _answer(field: str, shape: Shape) -> Shape:
    return of(needs("type", TEXT), needs("queryType", TEXT), needs(field, shape))


async def _get_module_metrics(call: Call) -> Reply:
    principal = str(call.body["Principal"])
    (found,) = await metrics.place_metrics(call.platform, call.property_id, [principal], call.body["NS"])
    return _reply("module", metrics={"data": found, "principal": principal})


async def _get_module_metrics_batch(call: Call) -> Reply:
    principals = principals_of(call.body)
    found = await metrics.place_metrics(call.platform, call.property_id, principals, call.body["NS"])
    paired = zip(principals, found, strict=True)
    return _reply("module", metrics=[{"data": data, "principal": principal} for principal, data in paired])


async def _get_ts_metrics(call: Call) -> Reply:
    (buckets,) = await metrics.count_by_day(call.platform, call.property_id, days_of(call.body))
    values = [_bucket(bucket) for bucket in buckets]
    return _reply("moduleTSDB", series={"values": values, "start": call.body["Start"], "end": call.body["End"]})


async def _get_ts_metrics_batch(call: Call) -> Reply:
    if len(call.items) > BATCH_MAX:
        raise QueryTooLong(f"at most {BATCH_MAX} queries are asked at once")
    series: list[list[dict[str, Any]]] = []
    for asked in [days_of(item) for item in call.items]:
        (buckets,) = await metrics.count_by_day(call.platform, call.property_id, asked)
        series.append([_bucket(bucket) for bucket in buckets])
    return _reply("moduleTSDB", series=series)


async def _get_ts_metrics_batch_principals(call: Call) -> Reply:
    principals = principals_of(call.body)
    found = await metrics.count_by_day(call.platform, call.property_id, days_of(call.body, principals))
    series = [
        {"data": [_bucket(bucket) for bucket in buckets], "principal": principal}
        for principal, buckets in zip(principals, found, strict=True)
    ]
    return _reply("moduleTSDB", series=series)


async def _get_event_logs(call: Call) -> Reply:
    start, end = (_instant(call.body[name], name) for name in ("Start", "End"))
    async with call.platform.database.connection() as connection:
        try:
            page = await list_events(
                connection,
                call.property_id,
                principal=call.body["Principal"],
                module=call.body["Module"],
                start_at=start,
                end_at=end,
                after=call.body.get("LastKey") or "",
                limit=EVENTS_PAGE,
            )
        except InvalidValue as error:
            raise WrongParameters("LastKey is none that a page of the event log gave") from error
    values = [event_log_record(event) for event in page.events]
    series = {"values": values, "start": str(call.body["Start"]), "end": str(call.body["End"])}
    return _reply("eventsTSDB", series={**series, "LastKey": page.last_key})


async def _get_latest_event_logs(call: Call) -> Reply:
    count = latest_count(call.body["N"])
    async with call.platform.database.connection() as connection:
        found = await latest_events(
            connection,
            call.property_id,
            principal=call.body["Principal"],
            module=call.body["Module"],
            count=count,
        )
    return _reply("eventsTSDB", series={"values": [event_log_record(event) for event in found], "n": count})


def _reply(query_type: str, **answer: Any) -> Reply:
    return Reply(data={"type": "json", "queryType": query_type, **answer})


def _bucket(bucket: Bucket) -> dict[str, Any]:
    return {"Bucket": bucket.day, "Data": bucket.counts}


def principals_of(body: Mapping[str, Any]) -> Sequence[str]:
    """Whose figures are wanted, under either of two names; one may stand alone. Raises WrongParameters.

    >>> principals_of({"Principal": "p"}), principals_of({"Principals": ["a", "b"]})
    (['p'], ['a', 'b'])
    """
    found = body.get("Principals") or body.get("Principal") or []
    principals = [found] if isinstance(found, str) else found
    if not isinstance(principals, list) or not all(isinstance(one, str) for one in principals):
        raise WrongParameters("Principals is a list of ids")
    return principals


def days_of(body: Mapping[str, Any], principals: Sequence[str] | None = None) -> DaysAsked:
    """The days that are wanted. Raises WrongParameters, QueryTooLong."""
    hide = body.get("HideEmptyBuckets", body.get("HideEmptyBucket"))
    return metrics.days_asked(
        body["NS"],
        [body["Principal"]] if principals is None else principals,
        body["Start"],
        body["End"],
        hide_empty=hide in (True, 1, "true"),
    )


def latest_count(given: Any) -> int:
    """How many events are wanted. Raises WrongParameters, QueryTooLong.

    >>> latest_count("5")
    5
    """
    try:
        number = float(given)
    except OverflowError as error:
        raise QueryTooLong(f"at most {LATEST_MAX:,} events are given") from error
    if number != int(min(max(number, -1.0), 1e9)) or number < 1:
        raise WrongParameters("N is a whole number from 1 on")
    if number > LATEST_MAX:
        raise QueryTooLong(f"at most {LATEST_MAX:,} events are given")
    return int(number)


def _instant(given: Any, name: str) -> datetime:
    try:
        return datetime.fromtimestamp(float(given), UTC)
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise WrongParameters(f"{name} is in epoch seconds") from error


_OF_EVENTS = (needs("Principal", TEXT, "id of a building, or of the property"), needs("Module", TEXT, "sctasks, …"))
_DAY_EXAMPLE = {"NS": "VCS_WO_DAILY_COUNT_BY_TYPE", "Start": "20240301", "End": "20240310"}

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="scmetrics.getModuleMetrics",
        service=SERVICE,
        summary="How much there is in a building, or in the property.",
        call=_get_module_metrics,
        request=of(needs("Principal", TEXT, "id of the building or property"), _PLACE_NS),
        response=_answer("metrics", _PLACE),
        envelope="plain",
        needs_organisation=False,
        example={"Principal": "{building}", "NS": "BUILDING_METRICS"},
    ),
    Operation(
        name="scmetrics.getModuleMetricsBatchPrincipals",
        service=SERVICE,
        summary="How much there is in each of several buildings.",
        call=_get_module_metrics_batch,
        request=of(_principals("Principal", "Principals"), _PLACE_NS),
        response=_answer("metrics", list_of(_PLACE)),
        envelope="plain",
        needs_organisation=False,
        example={"Principal": ["{building}"], "NS": "BUILDING_METRICS"},
    ),
    Operation(
        name="scmetrics.getModuleTSMetrics",
        service=SERVICE,
        summary="What happened in a building or in the property, day by day.",
        call=_get_ts_metrics,
        request=_DAYS_OF_ONE,
        response=_answer("series", of(needs("values", list_of(_BUCKET)), needs("start", ANY), needs("end", ANY))),
        envelope="plain",
        needs_organisation=False,
        example={"Principal": "{building}", **_DAY_EXAMPLE},
    ),
    Operation(
        name="scmetrics.getModuleTSMetricsBatch",
        service=SERVICE,
        summary="Several queries of what happened day by day, at once.",
        call=_get_ts_metrics_batch,
        request=list_of(_DAYS_OF_ONE),
        response=_answer("series", list_of(list_of(_BUCKET))),
        envelope="plain",
        needs_organisation=False,
        takes_list=True,
        example=[{"Principal": "{building}", **_DAY_EXAMPLE}],
    ),
    Operation(
        name="scmetrics.getModuleTSMetricsBatchPrincipals",
        service=SERVICE,
        summary="What happened day by day in each of several buildings.",
        call=_get_ts_metrics_batch_principals,
        request=of(_principals("Principals", "Principal"), *_DAYS),
        response=_answer("series", list_of(of(needs("data", list_of(_BUCKET)), needs("principal", TEXT)))),
        envelope="plain",
        needs_organisation=False,
        example={"Principals": ["{building}"], **_DAY_EXAMPLE},
    ),
    Operation(
        name="scmetrics.getEventLogs",
        service=SERVICE,
        summary="The events of a building or of the property in a time, oldest first, in pages.",
        call=_get_event_logs,
        request=of(
            *_OF_EVENTS,
            needs("Start", ANY, "epoch seconds, as text or number"),
            needs("End", ANY, "epoch seconds; events at this very second are left out"),
            may("LastKey", TEXT, "that of the page before"),
        ),
        response=_answer(
            "series",
            of(needs("values", list_of(_EVENT)), needs("start", TEXT), needs("end", TEXT), needs("LastKey", TEXT)),
        ),
        envelope="plain",
        needs_organisation=False,
        example={"Principal": "{building}", "Module": "sctasks", "Start": "1710029000", "End": "1710039000"},
    ),
    Operation(
        name="scmetrics.getNLatestEventLogs",
        service=SERVICE,
        summary="The last events of a building or of the property, newest first.",
        call=_get_latest_event_logs,
        request=of(*_OF_EVENTS, needs("N", NUMBER, f"how many, at most {LATEST_MAX:,}")),
        response=_answer("series", of(needs("values", list_of(_EVENT)), needs("n", NUMBER))),
        envelope="plain",
        needs_organisation=False,
        example={"Principal": "{building}", "Module": "sctasks", "N": 10},
    ),
)
