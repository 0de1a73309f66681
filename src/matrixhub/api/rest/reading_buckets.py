"""`/hub/v1/readings/buckets`: numbers of past data in buckets of time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Annotated

from litestar import get
from litestar.params import QueryParameter
from msgspec import Meta

from matrixhub.api.auth import PropertyScope
from matrixhub.api.rest import telemetry_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.parameters import SinceQuery, UntilQuery, in_utc
from matrixhub.model.buckets import parse_length
from matrixhub.model.errors import InvalidValue, WrongParameters
from matrixhub.model.ids import BuildingId, SlotId, ZoneId
from matrixhub.model.past import END, FIRST, Summary, Wanted
from matrixhub.model.time import zone as zone_of
from matrixhub.modules.telemetry.metrics import Metric, metric_of
from matrixhub.modules.telemetry.summaries import (
    PAGE_MAX,
    BucketsAsked,
    bucket_key,
    bucket_page,
    read_bucket_key,
)
from matrixhub.modules.telemetry.tsdb import number_of
from matrixhub.store.summaries import By

DAY = timedelta(days=1)
WORD = r"^[^\x00]{1,128}$"
DEVTYPE = r"^[^\x00#]{1,64}#[^\x00]{1,64}$"
NAMES_MAX = 1_000

Words = list[Annotated[str, Meta(pattern=WORD)]]
_WORDS = {"items": {"type": "string", "pattern": WORD}}

MetricQuery = Annotated[
    Words,
    QueryParameter(
        min_items=1,
        schema_extra=_WORDS,
        description="What is counted, such as ppl_in, count or ACME#X:level; given again, another one, too.",
    ),
]
BucketQuery = Annotated[
    str,
    QueryParameter(
        pattern=r"^[a-z0-9]{1,10}$", description="minute, hour, day, week, month, or a step of at most 24h such as 15m."
    ),
]
ByQuery = Annotated[By, QueryParameter(description="Of what each number is.")]
TimeZoneQuery = Annotated[
    str,
    QueryParameter(
        max_length=64, description="IANA zone in which days and steps begin; without one, that of each building."
    ),
]
SlotsQuery = Annotated[
    Words | None,
    QueryParameter(max_items=NAMES_MAX, schema_extra=_WORDS, description="Only this slot; given again, or another."),
]
ZonesQuery = Annotated[
    Words | None,
    QueryParameter(max_items=NAMES_MAX, schema_extra=_WORDS, description="Only this zone; given again, or another."),
]
BuildingsQuery = Annotated[
    Words | None,
    QueryParameter(
        max_items=NAMES_MAX, schema_extra=_WORDS, description="Only this building; given again, or another."
    ),
]
TypesQuery = Annotated[
    list[Annotated[str, Meta(pattern=DEVTYPE)]] | None,
    QueryParameter(
        max_items=NAMES_MAX,
        schema_extra={"items": {"type": "string", "pattern": DEVTYPE}},
        description="Only this device type, such as SMARTCLEAN#UM; given again, or another.",
    ),
]
CursorQuery = Annotated[
    str, QueryParameter(max_length=2_000, description="`next` of the page before; left out for the first page.")
]
LimitQuery = Annotated[int, QueryParameter(ge=1, le=PAGE_MAX, description="Most items of the page.")]


@get(
    "/readings/buckets",
    operation_id="summariseReadings",
    summary="Count, sum, average, least and greatest in buckets of time",
    tags=["readings"],
    opt={"permission": "scmetrics.tsdbQuery", "problems": (400,)},
)
async def summarise(
    hub: Hub,
    property_id: PropertyScope,
    metric: MetricQuery,
    bucket: BucketQuery = "day",
    by: ByQuery = "slot",
    time_zone: TimeZoneQuery = "",
    slot: SlotsQuery = None,
    zone: ZonesQuery = None,
    building: BuildingsQuery = None,
    type: TypesQuery = None,  # noqa: A002 - the name of the parameter
    since: SinceQuery = None,
    until: UntilQuery = None,
    cursor: CursorQuery = "",
    limit: LimitQuery = 1_000,
) -> doc.BucketPage:
    """Oldest first; without a time, of the last 24 hours. Days are as long as the clocks of the zone have them, steps
    count from each midnight. Late readings are in the numbers as soon as they are stored. A time of more than 800 days
    is too long.
    """
    end = min(max(in_utc(until) or hub.platform.now(), FIRST), END)
    asked = BucketsAsked(
        wanted=Wanted(
            slots=None if slot is None else [SlotId(one) for one in slot],
            zones=None if zone is None else [ZoneId(one) for one in zone],
            buildings=None if building is None else [BuildingId(one) for one in building],
            devtypes=type,
        ),
        metrics=[metric_of(name) for name in metric],
        start=min(max(in_utc(since) or end - DAY, FIRST), END),
        end=end,
        length=parse_length(bucket),
        time_zone=_time_zone(time_zone),
        by=by,
    )
    try:
        after = read_bucket_key(cursor)
    except WrongParameters as error:
        raise InvalidValue(error.message, fields=(("cursor", "not a cursor of this list"),)) from error
    page = await bucket_page(hub.platform, property_id, asked, after=after, limit=limit)
    return doc.BucketPage(items=[_view(one, asked.metrics) for one in page.items], next=bucket_key(page.after))


def _time_zone(name: str) -> str:
    try:
        return zone_of(name).key if name else ""
    except ValueError as error:
        raise InvalidValue(str(error), fields=(("time_zone", "is no IANA time zone"),)) from error


def _view(one: Summary, metrics: Sequence[Metric]) -> doc.Bucket:
    return doc.Bucket(
        start=one.bucket,
        local_start=one.bucket.astimezone(zone_of(one.time_zone)).isoformat(),
        metric=metrics[one.metric].name,
        building_id=one.building_id,
        zone_id=one.zone_id or None,
        slot_id=one.slot_id or None,
        count=one.count,
        sum=_number(one.sum),
        avg=_number(number_of(one, "avg")),
        min=_number(one.least),
        max=_number(one.greatest),
    )


def _number(value: Decimal) -> float:
    """A number as JSON has it; a whole one without a fraction.

    >>> _number(Decimal("14.000")), _number(Decimal("0.25"))
    (14, 0.25)
    """
    return int(value) if value == value.to_integral_value() else float(value)


handlers = [summarise]
