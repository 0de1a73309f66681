"""Events of the platform: the outbox that commits with what made them, and the log of all of them.

Source: docs/decisions/0011-events.md
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from matrixhub.model.event import Event, envelope, routing_words
from matrixhub.store.sql import load_statements

EVENT_CHANNEL = "matrixhub_events"
"""Notified with every commit that made events, so that the relay looks."""

_SQL = load_statements("events.sql")


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
