"""Timers: what is to happen at a time, set and taken in the transaction of what they belong to."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """A timer as it is set. One that failed is due again later than it was set for."""

    key: TimerKey
    property_id: PropertyId
    due_at: datetime
    failures: int


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
        TIMER_CHANNEL,
    )


async def cancel_timers(connection: Any, keys: Collection[TimerKey]) -> None:
    """Take timers away that may be set."""
    if keys:
        ordered = sorted(keys, key=lambda key: (key.kind, key.entity_id))
        await connection.execute(_SQL["cancel"], [k.kind for k in ordered], [k.entity_id for k in ordered])


async def take_timer(connection: Any, key: TimerKey, now: datetime) -> bool:
    """Whether the timer was set and due; it is gone with the transaction."""
    return await connection.fetchval(_SQL["take"], key.kind, key.entity_id, now) is not None


async def next_timer(connection: Any, kinds: Sequence[str], now: datetime) -> Timer | None:
    """The timer of these kinds, of any property, that is due for the longest time."""
    row = await connection.fetchrow(_SQL["next"], kinds, now)
    if row is None:
        return None
    return Timer(
        key=TimerKey(row["kind"], row["entity_id"]),
        property_id=PropertyId(row["property_id"]),
        due_at=row["due_at"],
        failures=row["failures"],
    )


async def next_due_at(connection: Any, kinds: Sequence[str]) -> datetime | None:
    """When the next timer of these kinds is due."""
    found: datetime | None = await connection.fetchval(_SQL["next_due_at"], kinds)
    return found


async def put_off_timer(connection: Any, timer: Timer, until: datetime, error: str) -> None:
    """Note that a timer failed, and let it be due again later; one that was set anew meanwhile stays as it is."""
    await connection.execute(
        _SQL["put_off"], timer.key.kind, timer.key.entity_id, timer.due_at, timer.failures, until, error
    )
