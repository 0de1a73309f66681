"""Raw readings of a property in a range of time, page by page or all of them in a stream.

A page ends at a place in the order of time, and the next one begins behind it: what comes meanwhile for an earlier time
moves nothing, and what comes for a later time is seen.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from matrixhub.model.ids import PropertyId
from matrixhub.model.paging import check_page
from matrixhub.model.past import Page, Place, Wanted
from matrixhub.modules.work import Platform
from matrixhub.store.past_readings import find_sources, latest_lines, read_page

PAGE_MAX = 1_000
EXPORT_PAGE = 1_000


async def raw_readings(
    platform: Platform,
    property_id: PropertyId,
    wanted: Wanted,
    start: datetime,
    end: datetime,
    *,
    after: Place | None = None,
    limit: int = PAGE_MAX,
) -> Page:
    """Lines of readings from `start` on and before `end`, in time order. Raises: WrongParameters, QueryTooLong."""
    check_page(limit, PAGE_MAX)
    async with platform.database.connection() as connection:
        sources = await find_sources(connection, property_id, wanted)
        return await read_page(connection, sources, start, end, after=after, limit=limit)


async def export_readings(
    platform: Platform, property_id: PropertyId, wanted: Wanted, start: datetime, end: datetime
) -> AsyncIterator[Sequence[bytes]]:
    """All readings from `start` on and before `end`, page by page: a page is all that is held of them."""
    after: Place | None = None
    while True:
        async with platform.database.connection() as connection:
            sources = await find_sources(connection, property_id, wanted)
            page = await read_page(connection, sources, start, end, after=after, limit=EXPORT_PAGE)
        if page.lines:
            yield page.lines
        if page.after is None:
            return
        after = page.after


async def latest_readings(
    platform: Platform, property_id: PropertyId, wanted: Wanted, start: datetime, end: datetime
) -> Sequence[bytes]:
    """The last reading of each slot in the time, newest first; those of the first thousand slots.

    Raises: QueryTooLong, StoreError.
    """
    async with platform.database.long_query() as connection:
        sources = await find_sources(connection, property_id, wanted)
        return await latest_lines(connection, sources, start, end, limit=PAGE_MAX)
