"""Raw readings of a property in a range of time, page by page or all of them in a stream.

A page ends at a place in the order of time, and the next one begins behind it: what comes meanwhile for an earlier time
moves nothing, and what comes for a later time is seen.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta

from matrixhub.model.errors import InvalidValue, WrongParameters
from matrixhub.model.ids import PropertyId
from matrixhub.model.paging import check_page
from matrixhub.model.past import Page, Place, Wanted, instant_of_ms, read_last
from matrixhub.modules.work import Platform
from matrixhub.store.past_readings import (
    FIRST_WINDOW,
    Parts,
    find_series,
    find_sources,
    latest_lines,
    newest_origin,
    read_page,
)

PAGE_MAX = 1_000
EXPORT_PAGE = 2_000
WINDOW_LEAST = timedelta(milliseconds=10)


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
    platform: Platform,
    property_id: PropertyId,
    wanted: Wanted,
    start: datetime,
    end: datetime,
    *,
    after: Place | None = None,
    page_size: int = EXPORT_PAGE,
) -> AsyncIterator[Sequence[bytes]]:
    """All readings from `start` on, behind `after` and before `end`, page by page: a page is all that is held of them.

    While whoever takes them is at a page, no connection is held. Raises: StoreError.
    """
    window, parts, sources, known = FIRST_WINDOW, Parts(), None, -1
    while True:
        async with platform.database.connection() as connection:
            newest = await newest_origin(connection)
            if sources is None or newest != known:
                sources, known = await find_sources(connection, property_id, wanted), newest
            page = await read_page(
                connection, sources, start, end, after=after, limit=page_size, window=window, parts=parts
            )
        if page.lines:
            yield page.lines
        if page.after is None:
            return
        window = next_window(start if after is None else instant_of_ms(after.instant_ms), page.after)
        after = page.after


def next_window(began: datetime, reached: Place) -> timedelta:
    """How much time is likely to hold the next page, by that of the last one, and a bit more.

    >>> next_window(instant_of_ms(0), Place(1_000, 7))
    datetime.timedelta(seconds=1, microseconds=500000)
    """
    return max(WINDOW_LEAST, (instant_of_ms(reached.instant_ms) - began) * 1.5)


async def place_behind(platform: Platform, property_id: PropertyId, last: str) -> Place | None:
    """The place behind the last reading that came, told as `<unixT>/<DEVID>/<DevType>`; None for ''.

    Raises: InvalidValue if it cannot have been one of the property, StoreError.
    """
    if not last:
        return None
    try:
        instant_ms, name = read_last(last)
    except WrongParameters as error:
        raise InvalidValue(f"after: {error.message}", fields=(("after", error.message),)) from error
    async with platform.database.connection() as connection:
        series = await find_series(connection, property_id, name)
    if series is None:
        raise InvalidValue("after: there are no readings of such a slot", fields=(("after", "is none that came"),))
    return Place(instant_ms, series)


async def latest_readings(
    platform: Platform, property_id: PropertyId, wanted: Wanted, start: datetime, end: datetime
) -> Sequence[bytes]:
    """The last reading of each slot in the time, newest first; those of the first thousand slots.

    Raises: QueryTooLong, StoreError.
    """
    async with platform.database.long_query() as connection:
        sources = await find_sources(connection, property_id, wanted)
        return await latest_lines(connection, sources, start, end, limit=PAGE_MAX)
