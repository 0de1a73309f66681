"""`/hub/v1/readings`: past data, as it was pushed. Sending readings to the same path is the matter of ingest."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from litestar import Response, get
from litestar.params import QueryParameter
from litestar.response import Stream

from matrixhub.api.auth import PropertyScope
from matrixhub.api.paging import LIMIT, CursorQuery, LimitQuery
from matrixhub.api.rest import telemetry_documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.parameters import SinceQuery, UntilQuery, in_utc
from matrixhub.model.errors import InvalidValue, WrongParameters
from matrixhub.model.ids import BuildingId, PropertyId, SlotId, ZoneId
from matrixhub.model.past import END, FIRST, Place, Wanted, place_key, read_place
from matrixhub.modules.telemetry.readings import export_readings, raw_readings

DAY = timedelta(days=1)
WORD = r"^[^\x00]{1,128}$"
DEVTYPE = r"^[^\x00#]{1,64}#[^\x00]{1,64}$"

SlotQuery = Annotated[str | None, QueryParameter(pattern=WORD, description="Only those of this slot.")]
ZoneQuery = Annotated[str | None, QueryParameter(pattern=WORD, description="Only those taken in this zone.")]
BuildingQuery = Annotated[str | None, QueryParameter(pattern=WORD, description="Only those taken in this building.")]
TypeQuery = Annotated[
    str | None, QueryParameter(pattern=DEVTYPE, description="Only those of this device type, such as SMARTCLEAN#UM.")
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
    summary="Export past readings as NDJSON",
    tags=["readings"],
    opt={
        "answer": ("application/x-ndjson", "One reading a line, as it was pushed, oldest first."),
        "permission": PERMISSION,
    },
)
async def export(
    hub: Hub,
    property_id: PropertyScope,
    slot: SlotQuery = None,
    zone: ZoneQuery = None,
    building: BuildingQuery = None,
    type: TypeQuery = None,  # noqa: A002 - the name of the parameter
    since: SinceQuery = None,
    until: UntilQuery = None,
) -> Stream:
    """All of them, however many; without a time, those of the last 24 hours. An export that fails midway ends without
    its last chunk.
    """
    start, end = _times(hub.platform.now(), in_utc(since), in_utc(until))
    chunks = _chunks(hub, property_id, _wanted(slot, zone, building, type), start, end)
    first = await anext(chunks, b"")  # a fault shows before the answer begins
    return Stream(_followed_by(first, chunks), media_type="application/x-ndjson")


async def _chunks(
    hub: Hub, property_id: PropertyId, wanted: Wanted, start: datetime, end: datetime
) -> AsyncIterator[bytes]:
    async for lines in export_readings(hub.platform, property_id, wanted, start, end):
        yield b"\n".join(lines) + b"\n"


async def _followed_by(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


def _times(now: datetime, since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    """The time that is meant: up to now, or a day, where one end is not said; nothing is stored outside its bounds."""
    end = min(max(until or now, FIRST), END)
    return min(max(since or end - DAY, FIRST), end), end


def _place(cursor: str | None) -> Place | None:
    try:
        return read_place(cursor or "")
    except WrongParameters as error:
        raise InvalidValue(error.message, fields=(("cursor", "not a cursor of this list"),)) from error


def _wanted(slot: str | None, zone: str | None, building: str | None, devtype: str | None) -> Wanted:
    return Wanted(
        slots=None if slot is None else [SlotId(slot)],
        zones=None if zone is None else [ZoneId(zone)],
        buildings=None if building is None else [BuildingId(building)],
        devtypes=None if devtype is None else [devtype],
    )


handlers = [list_, export]
