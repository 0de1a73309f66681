"""`/hub/v1/readings`: past data, as it was pushed. Sending readings to the same path is the matter of ingest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from litestar import Response, get
from litestar.params import QueryParameter
from litestar.response import Stream

from matrixhub.api.auth import PropertyScope
from matrixhub.api.bodies import ApiRequest
from matrixhub.api.paging import LIMIT, CursorQuery, LimitQuery
from matrixhub.api.rest import telemetry_documents as doc
from matrixhub.api.rest.exporting import (
    HeaderQuery,
    ReadingFormatQuery,
    SpreadsheetQuery,
    export_answer,
    format_of,
)
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.parameters import SinceQuery, UntilQuery, in_utc
from matrixhub.model.errors import InvalidValue, WrongParameters
from matrixhub.model.export import FORMATS, read_attributes
from matrixhub.model.ids import BuildingId, SlotId, ZoneId
from matrixhub.model.past import END, FIRST, Place, Wanted, place_key, read_place
from matrixhub.modules.exports.formats import make_writer
from matrixhub.modules.exports.tables import readings_table
from matrixhub.modules.telemetry.readings import export_readings, place_behind, raw_readings

DAY = timedelta(days=1)
WORD = r"^[^\x00]{1,128}$"
DEVTYPE = r"^[^\x00#]{1,64}#[^\x00]{1,64}$"

Word = Annotated[str, msgspec.Meta(pattern=WORD)]
Words = {"items": {"type": "string", "pattern": WORD}}
NAMES_MAX = 1_000

SlotQuery = Annotated[
    list[Word] | None,
    QueryParameter(
        max_items=NAMES_MAX, schema_extra=Words, description="Only those of this slot; given again, or of another one."
    ),
]
ZoneQuery = Annotated[
    list[Word] | None,
    QueryParameter(
        max_items=NAMES_MAX,
        schema_extra=Words,
        description="Only those taken in this zone; given again, or in another one.",
    ),
]
BuildingQuery = Annotated[
    list[Word] | None,
    QueryParameter(
        max_items=NAMES_MAX,
        schema_extra=Words,
        description="Only those taken in this building; given again, or in another.",
    ),
]
TypeQuery = Annotated[
    list[Annotated[str, msgspec.Meta(pattern=DEVTYPE)]] | None,
    QueryParameter(
        max_items=NAMES_MAX,
        schema_extra={"items": {"type": "string", "pattern": DEVTYPE}},
        description="Only those of this device type, such as SMARTCLEAN#UM; or of another one.",
    ),
]
AfterQuery = Annotated[
    str,
    QueryParameter(
        max_length=300,
        description="Go on behind the last reading that came whole, named by its `<unixT>/<DEVID>/<DevType>`.",
    ),
]
AttributesQuery = Annotated[
    str,
    QueryParameter(
        max_length=5_000,
        description="Of CSV, Arrow and Parquet: attributes that get columns of their own, such as `count,mac:text`; "
        "each is a number, unless `:integer` or `:text` is behind it.",
    ),
]

PERMISSION = "scmetrics.executeNamedQuery"


@get(
    "/readings",
    operation_id="listReadings",
    summary="List past readings, oldest first",
    tags=["readings"],
    opt={"answers": {200: doc.ReadingPage}, "permission": PERMISSION},
)
async def list_(
    hub: Hub,
    property_id: PropertyScope,
    slot: SlotQuery = None,
    zone: ZoneQuery = None,
    building: BuildingQuery = None,
    type: TypeQuery = None,  # noqa: A002 - the name of the parameter
    since: SinceQuery = None,
    until: UntilQuery = None,
    cursor: CursorQuery = None,
    limit: LimitQuery = LIMIT,
) -> Response[bytes]:
    """Without a time, those of the last 24 hours. The next page begins behind the last reading of this one, so what
    comes meanwhile moves nothing.
    """
    start, end = _times(hub.platform.now(), in_utc(since), in_utc(until))
    page = await raw_readings(
        hub.platform,
        property_id,
        _wanted(slot, zone, building, type),
        start,
        end,
        after=_place(cursor),
        limit=limit,
    )
    following = msgspec.json.encode(place_key(page.after) or None)
    body = b'{"items":[%b],"next":%b}' % (b",".join(page.lines), following)
    return Response(body, media_type="application/json")


@get(
    "/readings/export",
    operation_id="exportReadings",
    summary="Export past readings as NDJSON, JSON, CSV, Arrow or Parquet",
    tags=["readings"],
    opt={
        "gives_bytes": [one.media_type for one in FORMATS.values()],
        "problems": (406,),
        "permission": PERMISSION,
    },
)
async def export(
    hub: Hub,
    property_id: PropertyScope,
    request: ApiRequest,
    slot: SlotQuery = None,
    zone: ZoneQuery = None,
    building: BuildingQuery = None,
    type: TypeQuery = None,  # noqa: A002 - the name of the parameter
    since: SinceQuery = None,
    until: UntilQuery = None,
    after: AfterQuery = "",
    format: ReadingFormatQuery = None,  # noqa: A002 - the name of the parameter
    attributes: AttributesQuery = "",
    header: HeaderQuery = True,
    spreadsheet: SpreadsheetQuery = False,
) -> Stream:
    """All of them, however many, oldest first; without a time, those of the last 24 hours. NDJSON and JSON have each
    as it was pushed; the others have the columns of a customer's database. An export that fails midway ends without
    its last chunk; `after` goes on with it.
    """
    chosen = format_of(request, format, tuple(FORMATS))
    table = readings_table(read_attributes(attributes))
    start, end = _times(hub.platform.now(), in_utc(since), in_utc(until))
    place = await place_behind(hub.platform, property_id, after)
    wanted = _wanted(slot, zone, building, type)
    pages = export_readings(hub.platform, property_id, wanted, start, end, after=place)
    writer = make_writer(chosen.name, table, header=header, spreadsheet=spreadsheet)
    return await export_answer(hub, request, property_id, pages, chosen, writer)


def _times(now: datetime, since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    """The time that is meant: up to now, or a day, where one end is not said; nothing is stored outside its bounds.

    Raises: InvalidValue if it ends before it begins.
    """
    if since is not None and until is not None and until < since:
        raise InvalidValue("the time ends before it begins", fields=(("until", "is before since"),))
    end = min(max(until or now, FIRST), END)
    return min(max(since or end - DAY, FIRST), end), end


def _place(cursor: str | None) -> Place | None:
    try:
        return read_place(cursor or "")
    except WrongParameters as error:
        raise InvalidValue(error.message, fields=(("cursor", "not a cursor of this list"),)) from error


def _wanted(
    slots: Sequence[str] | None,
    zones: Sequence[str] | None,
    buildings: Sequence[str] | None,
    devtypes: Sequence[str] | None,
) -> Wanted:
    return Wanted(
        slots=None if slots is None else [SlotId(slot) for slot in slots],
        zones=None if zones is None else [ZoneId(zone) for zone in zones],
        buildings=None if buildings is None else [BuildingId(building) for building in buildings],
        devtypes=devtypes,
    )


handlers = [list_, export]
