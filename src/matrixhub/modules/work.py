"""A unit of work: what an act changes, the events it makes and the timers it sets commit together, or not at all.

Source: design decision 3, docs/decisions/0011-events.md
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from matrixhub.model.event import Event
from matrixhub.model.ids import PropertyId
from matrixhub.ports import Clock
from matrixhub.store import Database
from matrixhub.store.events import record_events
from matrixhub.store.timers import TimerKey, cancel_timers, set_timers, take_timer

SYSTEM = "system"
"""Who acts where no person or client does: timers, solutions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Platform:
    """What the modules work with."""

    database: Database
    clock: Clock

    @contextlib.asynccontextmanager
    async def work(self, property_id: PropertyId, actor: str = SYSTEM) -> AsyncIterator[Work]:
        """One act on what is a property's, in a transaction that is committed at the end of the block.

        Raises StoreError, and whatever the block raises: then nothing has happened.
        """
        async with self.database.transaction() as connection:
            work = Work(connection=connection, property_id=property_id, actor=actor, now=self.now())
            yield work
            await work.settle()

    def now(self) -> datetime:
        """The instant, in UTC."""
        return datetime.fromtimestamp(self.clock.now_ms() / 1000, UTC)


@dataclass(kw_only=True, slots=True)
class Work:
    """An act under way: the transaction it is in, when it happens and who does it."""

    connection: Any
    property_id: PropertyId
    actor: str
    now: datetime
    events: list[Event] = field(default_factory=list)
    _due: dict[TimerKey, datetime] = field(default_factory=dict)
    _cancelled: set[TimerKey] = field(default_factory=set)

    @property
    def now_s(self) -> int:
        """The instant in whole epoch seconds, as events and workforce records carry it."""
        return int(self.now.timestamp())

    def publish(self, *events: Event) -> None:
        """State what happened."""
        self.events.extend(events)

    def set_timer(self, kind: str, entity_id: str, due_at: datetime) -> None:
        """Let something happen at a time; one that was set for the same thing is set anew."""
        key = TimerKey(kind, entity_id)
        self._cancelled.discard(key)
        self._due[key] = due_at

    def cancel_timer(self, kind: str, entity_id: str) -> None:
        """Let it not happen."""
        key = TimerKey(kind, entity_id)
        self._due.pop(key, None)
        self._cancelled.add(key)

    async def take_timer(self, kind: str, entity_id: str) -> bool:
        """Whether a timer is still due, and gone with this act. Ask only after the thing it is for was locked.

        Acts lock the thing first and its timers afterwards, so that none waits for another in a circle.
        """
        return await take_timer(self.connection, TimerKey(kind, entity_id), self.now)

    async def settle_timers(self) -> None:
        """Save the timers that were set or cancelled so far."""
        await cancel_timers(self.connection, self._cancelled)
        await set_timers(self.connection, self.property_id, self._due)
        self._cancelled, self._due = set(), {}

    async def settle(self) -> None:
        """Save timers and events; to be the last thing before the commit, see `record_events`."""
        await self.settle_timers()
        await record_events(self.connection, self.events)
        self.events = []
