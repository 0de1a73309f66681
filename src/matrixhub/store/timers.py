"""Timers: what is to happen at a time, set and taken in the transaction of what they belong to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from matrixhub.model.ids import PropertyId
from matrixhub.store.sql import load_statements

TIMER_CHANNEL = "matrixhub_timers"
"""Notified whenever timers are set, so that the scheduler looks when the next one is due."""

_SQL = load_statements("timers.sql")


@dataclass(frozen=True, slots=True)
class TimerKey:
    """Which timer: what it does, and for which thing. There is one of each kind for a thing."""

    kind: str
    entity_id: str


async def set_timers(connection: Any, property_id: PropertyId, due: Mapping[TimerKey, datetime]) -> None:
    """Set timers, or set them anew."""
    if not due:
        return
    keys = sorted(due, key=lambda key: (key.kind, key.entity_id))  # in one order, so that nobody waits in a circle
    await connection.execute(
        _SQL["set"],
        [key.kind for key in keys],
        [key.entity_id for key in keys],
        [property_id] * len(keys),
        [due[key] for key in keys],
    )
    await connection.execute("select pg_notify($1, '')", TIMER_CHANNEL)


async def cancel_timers(connection: Any, keys: Collection[TimerKey]) -> None:
    """Take timers away that may be set."""
    if keys:
        ordered = sorted(keys, key=lambda key: (key.kind, key.entity_id))
        await connection.execute(_SQL["cancel"], [k.kind for k in ordered], [k.entity_id for k in ordered])


async def take_timer(connection: Any, key: TimerKey, now: datetime) -> bool:
    """Whether the timer was set and due; it is gone with the transaction."""
    return await connection.fetchval(_SQL["take"], key.kind, key.entity_id, now) is not None
