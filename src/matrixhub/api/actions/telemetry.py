"""Operations on past data: queries of the time series database, and queries that have a name.

Source: docs/contract/past-data.md
"""

from __future__ import annotations

from matrixhub.api.actions.operation import Call, Operation, Reply
from matrixhub.api.actions.shape import ANY, TEXT, list_of, may, needs, of
from matrixhub.model.past import place_key, read_place
from matrixhub.modules.telemetry.named import ReadingsAsked, days_table, named_query, tsdb_query
from matrixhub.modules.telemetry.readings import latest_readings, raw_readings
from matrixhub.modules.telemetry.tsdb import parse_query, run_query

SERVICE = "scmetrics"

_TIME = of(needs("start", ANY, "RFC 3339 in UTC, or before now, such as -1h"), may("end", ANY, "RFC 3339 in UTC"))
_FILTER = list_of(of(needs("tagk", TEXT, "l0class, l1class or l2class"), needs("tagv", ANY, "an id, or several")))
_COMMON = (
    needs("time", _TIME),
    needs("metrics", list_of(TEXT), "attributes of `v`; docs/contract/past-data.md §3"),
    needs("aggregations", list_of(TEXT), "avg, min, max, sum, count"),
    may("filter", _FILTER),
    may("filters", _FILTER),
    may("postQueryOps", list_of(of(needs("op"), may("type"), may("args", list_of(ANY))))),
    may("resamplingParams", of(may("duration"), may("fn"))),
)
_VALUE = of(
    may("L0CLASS", TEXT, "building"),
    may("L1CLASS", TEXT, "zone"),
    may("L2CLASS", TEXT, "slot"),
    needs("_field", TEXT, "the aggregation"),
    needs("_time", TEXT, "begin of the bucket, RFC 3339 in UTC"),
    needs("_value", TEXT, "a number"),
)
_SERIES = of(
    needs("type"),
    needs("queryType"),
    needs(
        "series",
        list_of(
            of(
                needs("values", list_of(_VALUE)),
                needs("id", TEXT, "which of the metrics, from 0"),
                needs("_start"),
                needs("_end"),
                needs("aggregationInterval"),
            )
        ),
    ),
)
_PARAMS = may("params", ANY, "list of {key, value}: $start and $end in epoch seconds, and what else the query takes")
_NAMED = of(needs("id"), _PARAMS, may("qcontext"), may("qtype"), may("LastEvaluatedKey"))
_EXAMPLE = {
    "time": {"start": "-1h"},
    "metrics": ["ppl_in"],
    "aggregations": ["sum"],
    "filter": [{"tagk": "l2class", "tagv": "{slot}"}],
}


async def _tsdb_query(call: Call) -> Reply:
    query = parse_query(call.body, now=call.platform.now(), building=call.any_building)
    return Reply(data=await run_query(call.platform, call.property_id, query))


async def _tsdb_query_auto(call: Call) -> Reply:
    query = parse_query(call.body, now=call.platform.now(), auto=True, building=call.any_building)
    return Reply(data=await run_query(call.platform, call.property_id, query))


async def _tsdb_named_query(call: Call) -> Reply:
    query = tsdb_query(call.body, now=call.platform.now(), building=call.any_building)
    return Reply(data=await run_query(call.platform, call.property_id, query))


async def _execute_named_query(call: Call) -> Reply | bytes:
    asked = named_query(call.body, call.any_building)
    if not isinstance(asked, ReadingsAsked):
        return Reply(message="Data fetched", data=await days_table(call.platform, call.property_id, asked))
    if asked.latest:
        lines = await latest_readings(call.platform, call.property_id, asked.wanted, asked.start, asked.end)
        return _rendered(b",".join(lines), "")
    page = await raw_readings(
        call.platform,
        call.property_id,
        asked.wanted,
        asked.start,
        asked.end,
        after=read_place(asked.after),
        limit=asked.limit,
    )
    return _rendered(b",".join(page.lines), place_key(page.after))


def _rendered(readings: bytes, last_key: str) -> bytes:
    """The whole answer: readings are passed on as they are."""
    head = b'{"code":"SUCCESS","message":"Data fetched","data":['
    return b'%b%b],"LastEvaluatedKey":"%b"}' % (head, readings, last_key.encode())


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="scmetrics.tsdbQuery",
        also=("scmetrics.tsdb.query",),
        service=SERVICE,
        summary="Numbers of slots in buckets of time.",
        call=_tsdb_query,
        request=of(*_COMMON, needs("aggregationInterval", TEXT, "1T, 5T, 15T or 30T")),
        response=_SERIES,
        envelope="plain",
        needs_organisation=False,
        confined=True,
        example={**_EXAMPLE, "aggregationInterval": "30T"},
    ),
    Operation(
        name="scmetrics.tsdbQueryAuto",
        service=SERVICE,
        summary="Numbers of slots in buckets whose length follows from the time that is asked about.",
        call=_tsdb_query_auto,
        request=of(*_COMMON),
        response=_SERIES,
        envelope="plain",
        needs_organisation=False,
        confined=True,
        example=_EXAMPLE,
    ),
    Operation(
        name="scmetrics.tsdbNamedQuery",
        service=SERVICE,
        summary="Numbers of slots in buckets of time, by a query that has a name.",
        call=_tsdb_named_query,
        request=_NAMED,
        response=_SERIES,
        envelope="plain",
        needs_organisation=False,
        confined=True,
        example={
            "id": "people_count",
            "params": [{"key": "$start", "value": 1710029000}, {"key": "$end", "value": 1710039000}],
            "qcontext": "scglobal",
            "qtype": "tsdb",
        },
    ),
    Operation(
        name="scmetrics.executeNamedQuery",
        service=SERVICE,
        summary="Readings as they were pushed, or numbers by zone and day, by a query that has a name.",
        call=_execute_named_query,
        request=_NAMED,
        response=list_of(ANY),
        envelope="workforce",
        needs_organisation=False,
        confined=True,
        certainty="name published",
        example={
            "id": "device_slot_raw_data",
            "params": [
                {"key": "$start", "value": 1710029000},
                {"key": "$end", "value": 1710039000},
                {"key": "$devid", "value": "{slot}"},
            ],
            "qcontext": "scglobal",
            "qtype": "raw",
        },
    ),
)
