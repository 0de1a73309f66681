"""Events of the platform: the outbox that commits with what made them, and the log of all of them.

Source: docs/decisions/0011-events.md
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from matrixhub.model.errors import InvalidValue
from matrixhub.model.event import LITERAL, Event, envelope, key_part, routing_words
from matrixhub.model.event_log import EventPage, LoggedEvent
from matrixhub.model.ids import PropertyId
from matrixhub.ports import Backlog, OutboxEvent, RelayProgress
from matrixhub.store.pool import Database
from matrixhub.store.sql import load_statements

EVENT_CHANNEL = "matrixhub_events"
"""Notified with every commit that made events, so that the relay looks."""

FIRST_AT, LAST_AT = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)

_SQL = load_statements("events.sql")


async def count_events(connection: Any, property_id: PropertyId) -> int:
    """How many events the log holds of a property."""
    return int(await connection.fetchval(_SQL["count"], property_id))


async def record_events(connection: Any, events: Sequence[Event]) -> None:
    """Record events in the transaction of what made them, as the last thing before its commit.

    Until then nobody else can record any: that is what makes their numbers the order of the commits.
    """
    if not events:
        return
    words = [routing_words(event) for event in events]
    await connection.fetchrow(
        _SQL["record"],
        [event.property_id for event in events],
        [w[1] for w in words],
        [w[2] for w in words],
        [w[3] for w in words],
        [w[4] for w in words],
        [datetime.fromtimestamp(event.happened_at, UTC) for event in events],
        [msgspec.json.encode(envelope(event)).decode() for event in events],
    )


async def list_events(
    connection: Any,
    property_id: PropertyId,
    *,
    principal: str = "",
    module: str = "",
    start_at: datetime | None = None,
    end_at: datetime | None = None,
    after: str = "",
    limit: int,
) -> EventPage:
    """Events of the property that happened in a time, oldest first, from `start_at` up to but without `end_at`.

    `principal` is a building or the property, '' all of them; `after` is the `last_key` of the page before.
    Raises: InvalidValue if it is none, StoreError.
    """
    behind_at, behind = _read_key(after)
    rows = await connection.fetch(
        _SQL["log_of" if principal and module else "log"],
        property_id,
        key_part(principal) if principal else "",
        module,
        start_at or FIRST_AT,
        end_at or LAST_AT,
        behind_at,
        behind,
        limit + 1,
    )
    events = [_logged(row) for row in rows[:limit]]
    return EventPage(events=events, last_key=_make_key(events[-1]) if len(rows) > limit else "")


async def latest_events(
    connection: Any, property_id: PropertyId, *, principal: str = "", module: str = "", count: int
) -> Sequence[LoggedEvent]:
    """The last events of the property, newest first. Raises StoreError."""
    statement = _SQL["latest_of" if principal and module else "latest"]
    word = key_part(principal) if principal else ""
    return [_logged(row) for row in await connection.fetch(statement, property_id, word, module, count)]


def _logged(row: Any) -> LoggedEvent:
    return LoggedEvent(number=row["number"], happened_at=row["happened_at"], envelope=msgspec.json.decode(row["line"]))


def _make_key(event: LoggedEvent) -> str:
    packed = f"{int(event.happened_at.timestamp())}.{event.number}"
    return base64.urlsafe_b64encode(packed.encode()).decode().rstrip("=")


def _read_key(key: str) -> tuple[datetime, int]:
    """The place behind the last event of a page; before all where there is none. Raises InvalidValue."""
    if not key:
        return FIRST_AT, 0
    try:
        packed = base64.b64decode(key + "=" * (-len(key) % 4), altchars=b"-_", validate=True).decode("ascii")
        seconds, number = packed.split(".")
        if seconds.isdigit() and number.isdigit() and int(number) < 1 << 63:
            return datetime.fromtimestamp(int(seconds), UTC), int(number)
    except (ValueError, OverflowError):
        pass  # told below, like a key that says something else
    raise InvalidValue("the cursor is none of the event log", fields=[("cursor", "not a cursor of this list")])


class PostgresOutbox:
    """The port `Outbox`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def progress(self) -> RelayProgress:
        """What was saved last. See `Outbox.progress`."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SQL["relay_progress"])
        return RelayProgress(row["number"], row["at"], row["seq"])

    async def newest(self) -> int:
        """The number of the newest event. See `Outbox.newest`."""
        async with self._database.connection() as connection:
            return int(await connection.fetchval(_SQL["newest"]))

    async def unpublished(self, number: int, at: datetime, limit: int) -> Sequence[OutboxEvent]:
        """The next events. See `Outbox.unpublished`."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["unpublished"], number, at, limit)
        return [
            OutboxEvent(
                number=row["number"],
                at=row["at"],
                property_id=PropertyId(row["property_id"]),
                words=(LITERAL, row["principal"], row["module"], row["event"], row["priority"]),
                line=row["line"],
            )
            for row in rows
        ]

    async def recorded_at(self, number: int, before: datetime) -> datetime | None:
        """When an event was recorded. See `Outbox.recorded_at`."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SQL["recorded_at"], number, before)
        return row["at"] if row is not None and row["number"] == number else None

    async def save(self, progress: RelayProgress) -> None:
        """Keep how far the relay has come. See `Outbox.save`."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["save_relay_progress"], progress.number, progress.at, progress.seq)

    async def backlog(self, number: int, at: datetime) -> Backlog:
        """What waits. See `Outbox.backlog`."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SQL["backlog"], number, at)
        return Backlog(max(0, row["events"]), row["oldest_at"])
