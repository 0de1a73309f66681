"""Events of the platform: the outbox that commits with what made them, and the log of all of them.

Source: docs/decisions/0011-events.md
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from matrixhub.model.event import LITERAL, Event, envelope, routing_words
from matrixhub.model.ids import PropertyId
from matrixhub.ports import Backlog, OutboxEvent, RelayProgress
from matrixhub.store.pool import Database
from matrixhub.store.sql import load_statements

EVENT_CHANNEL = "matrixhub_events"
"""Notified with every commit that made events, so that the relay looks."""

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
