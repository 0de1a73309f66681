"""What incidents and tasks have in common on the REST face: parameters, versions, answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from litestar import Response
from litestar.params import PathParameter, QueryParameter

from matrixhub.api.etags import check_match, etag
from matrixhub.api.paging import make_cursor, read_cursor
from matrixhub.api.parts import Parts
from matrixhub.api.rest import work_documents as doc
from matrixhub.api.rest.parameters import in_utc
from matrixhub.api.rest.work_views import work_view
from matrixhub.model.ids import PropertyId, TaskId
from matrixhub.model.work_order import WorkOrder, WorkType
from matrixhub.modules.work import Platform
from matrixhub.modules.workforce.work_orders import Said, read_work
from matrixhub.modules.workforce.work_queries import page_work
from matrixhub.store import Database
from matrixhub.store.work_orders import Wanted

ID = r"^[^\x00]{1,128}$"
"""Ids of the wire are not narrowed."""

BuildingQuery = Annotated[str | None, QueryParameter(pattern=ID, description="Only those of this building.")]
ZoneQuery = Annotated[str | None, QueryParameter(pattern=ID, description="Only those in this zone.")]
SeatQuery = Annotated[str | None, QueryParameter(pattern=ID, description="Only those of this seat.")]
ShiftQuery = Annotated[str | None, QueryParameter(pattern=ID, description="Only those of this shift.")]
BuildingPath = Annotated[str, PathParameter(pattern=ID, description="Id of the building.")]

REFUSED = (400, 409)
"""What acts on work answer besides: something does not fit, or the state does not take the act."""

ACT = {"headers": ("ETag",), "problems": REFUSED}


async def said_of(hub: Parts, property_id: PropertyId, task_id: TaskId, kind: WorkType, if_match: str | None) -> Said:
    """What the request says of the work order: its type, and its version where that is asked for.

    Raises: NotFound, VersionMismatch, InvalidValue for a header that cannot be read.
    """
    if if_match is None or if_match.strip() == "*":
        return Said(type=kind)
    order = await read_work(hub.platform, property_id, task_id, Said(type=kind))
    check_match(if_match, order.version)
    return Said(type=kind, version=order.version)


async def work_page(
    hub: Parts, property_id: PropertyId, wanted: Wanted, kind: WorkType, *, cursor: str | None, limit: int
) -> doc.WorkOrderPage:
    """A page of a list. Raises: InvalidValue for a cursor of another list, NotFound for a filter by nothing."""
    after = read_cursor(kind, cursor, TaskId)
    page = await page_work(
        hub.platform,
        property_id,
        wanted,
        after=None if after is None else (in_utc(after[0]) or after[0], after[1]),
        size=limit,
    )
    following = make_cursor(kind, page.items[-1].starts_at, page.items[-1].id) if page.last_key else None
    return doc.WorkOrderPage(items=_views(page.items), next=following)


def answered(order: WorkOrder) -> Response[doc.WorkOrderView]:
    """A work order, with its version."""
    return Response(work_view(order), headers={"ETag": etag(order.version)})


def platform_in(hub: Parts, database: Database) -> Platform:
    """What acts work with within the transaction of a request that is answered once."""
    return Platform(database=database, clock=hub.clock)


def _views(orders: Sequence[WorkOrder]) -> list[doc.WorkOrderView]:
    return [work_view(order) for order in orders]
