"""Readings as they are found again. Every finder begins at the series of one property.

Source: docs/contract/past-data.md
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from matrixhub.model.ids import PropertyId
from matrixhub.model.past import Page, Place, Wanted, epoch_ms, instant_of_ms
from matrixhub.model.reading_line import head_renderer, join_line
from matrixhub.store.sql import load_statements

FIRST_WINDOW = timedelta(minutes=1)
WINDOW_GROWTH = 4
WINDOW_MAX = timedelta(days=1)
"""Readings of many slots are looked for in windows of time that grow until enough are found: within one they are
sorted, so that it must not hold many times more than what is asked for. A longer one is only asked whether it holds
any, and is passed over where it does not.
"""

SLICE = 250
"""So many lines are put together in one go; then whoever else waits has a turn."""

PARTS_MAX = 20_000

Parts = dict[int, tuple[Callable[[int], bytes], bytes]]
"""What stands in lines of an origin, by its number: before the instant, and between it and the values."""

_SQL = load_statements("readings.sql")


@dataclass(frozen=True, slots=True)
class Sources:
    """Series and origins of the readings that are meant; empty where nothing of the property is meant."""

    series: Sequence[int]
    origins: Mapping[int, Any]

    @property
    def places(self) -> list[int]:
        """The numbers of the origins."""
        return list(self.origins)


async def find_sources(connection: Any, property_id: PropertyId, wanted: Wanted) -> Sources:
    """Where the readings come from that are meant. Raises StoreError."""
    rows = await connection.fetch(
        _SQL["origins" if wanted.slots is None else "origins_of_slots"],
        property_id,
        _texts(wanted.slots),
        _texts(wanted.devtypes),
        _texts(wanted.buildings),
        _texts(wanted.zones),
    )
    return Sources(sorted({row["series"] for row in rows}), {row["id"]: row for row in rows})


def _texts(ids: Collection[str] | None) -> list[str] | None:
    """What is asked for, without what PostgreSQL cannot have as a text, and so has nothing of."""
    return None if ids is None else [text for text in ids if "\x00" not in text and text.isprintable()]


async def newest_origin(connection: Any) -> int:
    """The number of the newest origin, whosever it is: as long as it stays, sources stay what they are."""
    return int(await connection.fetchval(_SQL["newest_origin"]))


async def find_series(connection: Any, property_id: PropertyId, name: str) -> int | None:
    """The number of a series by its slot and type as `<DEVID>/<DevType>`; None if there is none. Raises StoreError."""
    if not name.isprintable():
        return None
    found = await connection.fetchval(_SQL["series_named"], property_id, name)
    return None if found is None else int(found)


async def read_page(
    connection: Any,
    sources: Sources,
    start: datetime,
    end: datetime,
    *,
    after: Place | None,
    limit: int,
    window: timedelta = FIRST_WINDOW,
    parts: Parts | None = None,
) -> Page:
    """The next readings from `start` on, before `end` and behind `after`, as lines, in order.

    `window` is how much time is likely to hold as many as the limit; `parts` is kept from page to page by who reads
    many of them. Raises StoreError.
    """
    rows = await _rows(connection, sources, start, end, after=after, limit=limit + 1, window=window)
    more = len(rows) > limit
    del rows[limit:]
    last = Place(rows[-1]["ms"], rows[-1]["series"]) if rows and more else None
    return Page(await _lines(connection, sources, rows, parts), last)


async def _rows(
    connection: Any,
    sources: Sources,
    start: datetime,
    end: datetime,
    *,
    after: Place | None,
    limit: int,
    window: timedelta,
) -> list[Any]:
    if not sources.series:
        return []
    begin = Place(epoch_ms(start), -1) if after is None else max(after, Place(epoch_ms(start), -1))
    since = max(start, instant_of_ms(begin.instant_ms))
    if len(sources.series) == 1:
        [series] = sources.series
        behind = instant_of_ms(begin.instant_ms - (1 if begin.series < series else 0))
        return list(await connection.fetch(_SQL["raw_of_one"], series, since, end, behind, sources.places, limit))
    rows: list[Any] = []
    while since < end and len(rows) < limit:
        if window > WINDOW_MAX:
            until = min(end, since + window)
            if not await connection.fetchval(_SQL["any"], sources.series, since, until, sources.places):
                since, window = until, window * WINDOW_GROWTH
                continue
            window = WINDOW_MAX
        until = min(end, since + window)
        rows += await connection.fetch(
            _SQL["raw"],
            sources.series,
            since,
            until,
            instant_of_ms(begin.instant_ms),
            begin.series,
            sources.places,
            limit - len(rows),
        )
        since, window = until, window * WINDOW_GROWTH
    return rows


async def _lines(connection: Any, sources: Sources, rows: Sequence[Any], parts: Parts | None = None) -> list[bytes]:
    """The lines of rows, to the byte as the stream had them."""
    parts = {} if parts is None else parts
    await _learn(connection, sources, {row["origin"] for row in rows}, parts)
    lines = []
    for number, (instant_ms, _series, origin, values, stats, line) in enumerate(rows, 1):
        if line is not None:
            lines.append(line.encode())
        else:
            head, fixed = parts[origin]
            lines.append(join_line(head(instant_ms // 1000), instant_ms, fixed, values, stats))
        if not number % SLICE:
            await asyncio.sleep(0)
    return lines


async def _learn(connection: Any, sources: Sources, origins: Collection[int], parts: Parts) -> None:
    """Have the parts of all these origins."""
    unknown = [origin for origin in origins if origin not in parts]
    if len(parts) + len(unknown) > PARTS_MAX:
        parts.clear()
        unknown = list(origins)
    if not unknown:
        return
    found: Sequence[Any] = [sources.origins[origin] for origin in unknown]
    if "fixed" not in found[0]:
        found = await connection.fetch(_SQL["fixed"], unknown)
    for row in found:
        parts[row["id"]] = head_renderer(row["time_zone"], row["aggregates"]), row["fixed"].encode()


async def latest_lines(
    connection: Any, sources: Sources, start: datetime, end: datetime, *, limit: int
) -> Sequence[bytes]:
    """The last reading of each series in the time, as lines, the newest first. Raises StoreError."""
    rows = await connection.fetch(_SQL["latest"], sources.series, start, end, sources.places, limit)
    return await _lines(connection, sources, rows)
