"""Readings as they are found again. Every finder begins at the series of one property.

Source: docs/contract/past-data.md
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from matrixhub.model.ids import PropertyId
from matrixhub.model.past import Page, Place, Wanted, epoch_ms, instant_of_ms
from matrixhub.model.reading_line import head_renderer, join_line
from matrixhub.store.sql import load_statements

FIRST_WINDOW = timedelta(minutes=1)
WINDOW_GROWTH = 4
"""Readings of many slots are looked for in windows of time that grow until enough are found: within one they are
sorted, so that it must not hold many times more than what is asked for.
"""

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


async def read_page(
    connection: Any, sources: Sources, start: datetime, end: datetime, *, after: Place | None, limit: int
) -> Page:
    """The next readings from `start` on, before `end` and behind `after`, as lines, in order. Raises StoreError."""
    rows = await _rows(connection, sources, start, end, after=after, limit=limit + 1)
    more = len(rows) > limit
    del rows[limit:]
    last = Place(rows[-1]["ms"], rows[-1]["series"]) if rows and more else None
    return Page(await _lines(connection, sources, rows), last)


async def _rows(
    connection: Any, sources: Sources, start: datetime, end: datetime, *, after: Place | None, limit: int
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
    window = FIRST_WINDOW
    while since < end and len(rows) < limit:
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


async def _lines(connection: Any, sources: Sources, rows: Sequence[Any]) -> list[bytes]:
    """The lines of rows, to the byte as the stream had them."""
    found: Sequence[Any] = []
    if rows:
        used = {row["origin"] for row in rows}
        found = [sources.origins[origin] for origin in used]
        if "fixed" not in found[0]:
            found = await connection.fetch(_SQL["fixed"], list(used))
    parts = {row["id"]: (head_renderer(row["time_zone"], row["aggregates"]), row["fixed"].encode()) for row in found}
    lines = []
    for instant_ms, _series, origin, values, stats, line in rows:
        if line is not None:
            lines.append(line.encode())
            continue
        head, fixed = parts[origin]
        lines.append(join_line(head(instant_ms // 1000), instant_ms, fixed, values, stats))
    return lines


async def latest_lines(
    connection: Any, sources: Sources, start: datetime, end: datetime, *, limit: int
) -> Sequence[bytes]:
    """The last reading of each series in the time, as lines, the newest first. Raises StoreError."""
    rows = await connection.fetch(_SQL["latest"], sources.series, start, end, sources.places, limit)
    return await _lines(connection, sources, rows)
