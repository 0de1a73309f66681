"""Backfills: what is asked for, whose turn it is, how far it has come; and what of the store it copies.

Source: docs/decisions/0027-backfill.md
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec

from matrixhub.model.backfill import DAY_MS, Backfill, Estimate
from matrixhub.model.database import database_url
from matrixhub.model.errors import BackfillUnderWay, NotFound, WrongState
from matrixhub.model.event import LITERAL
from matrixhub.model.ids import BackfillId, DatabaseId, PropertyId, SubscriptionId
from matrixhub.model.past import Page, Place, Wanted, epoch_ms, instant_of_ms
from matrixhub.model.subscription import Filter, State
from matrixhub.store.partitions import READINGS, PostgresPartitions
from matrixhub.store.past_readings import Sources, find_sources
from matrixhub.store.pool import Database
from matrixhub.store.sql import load_statements
from matrixhub.store.subscriptions import filter_document, read_filter

COUNT_S = 2.0
"""So long an estimate counts before it asks PostgreSQL what it thinks."""

Matches = Callable[[Sequence[str]], bool]
"""Whether the words of a routing key are those of an event that is wanted."""

_SQL = load_statements("backfills.sql")
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Live:
    """What brings later data: a subscription, and how many items it is known to have in front of it."""

    state: State
    pending: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """A backfill whose turn it is; what is saved under an older fence is not kept."""

    backfill: Backfill
    fence: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """What became of the items of a chunk, and the place of the last of them; `refusal` is why one was refused."""

    place: Place
    written: int
    present: int
    refused: int = 0
    refusal: str = ""
    last: bool = False


class Backfills:
    """The records of backfills."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- what people ask ---

    async def add(self, wish: Backfill) -> Backfill:
        """Keep a new one; as it was kept.

        Raises: NotFound without such a database, BackfillUnderWay while one of the same data is not over, StoreError.
        """
        async with self._database.transaction() as connection:
            if not await connection.fetchval(_SQL["lock_database"], wish.database_id, wish.property_id):
                raise NotFound(f"property {wish.property_id} has no database {wish.database_id}")
            other = await connection.fetchval(
                _SQL["overlapping"], wish.database_id, wish.subscription_id, wish.since, wish.until
            )
            if other is not None:
                raise BackfillUnderWay(f"backfill {other} copies data of the same time; wait for it, or cancel it")
            row = await connection.fetchrow(
                _SQL["add"],
                wish.id,
                wish.property_id,
                wish.database_id,
                wish.subscription_id,
                wish.source,
                filter_document(wish.filter),
                wish.since,
                wish.until,
                wish.rate,
                wish.estimate.items,
                wish.estimate.exact,
            )
        return _backfill(row)

    async def show(
        self, property_id: PropertyId, backfill_id: BackfillId, database_id: DatabaseId | None = None
    ) -> Backfill:
        """One of the property, and of the database if that is named. Raises: NotFound, StoreError."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SQL["show"], property_id, backfill_id, database_id)
        if row is None:
            raise NotFound(f"property {property_id} has no backfill {backfill_id}")
        return _backfill(row)

    async def list(
        self,
        property_id: PropertyId,
        database_id: DatabaseId | None = None,
        *,
        before: tuple[datetime, str] | None = None,
        limit: int,
    ) -> Sequence[Backfill]:
        """At most so many of the property, newest first, behind the one named (when it was asked for, id).

        Raises StoreError.
        """
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["list"], property_id, database_id, *(before or (None, None)), limit)
        return [_backfill(row) for row in rows]

    async def list_of(
        self,
        property_id: PropertyId,
        database_id: DatabaseId,
        *,
        before: tuple[datetime, str] | None = None,
        limit: int,
    ) -> Sequence[Backfill]:
        """Those of one database, as `list`. Raises: NotFound if the property has no such database, StoreError."""
        if await subscriptions_to(self._database, property_id, database_id) is None:
            raise NotFound(f"property {property_id} has no database {database_id}")
        return await self.list(property_id, database_id, before=before, limit=limit)

    async def property_of(self, backfill_id: BackfillId) -> PropertyId:
        """The property of a backfill, for an operator on this machine. Raises: NotFound, StoreError."""
        async with self._database.connection() as connection:
            found = await connection.fetchval(_SQL["property_of"], backfill_id)
        if found is None:
            raise NotFound(
                f"there is no backfill {backfill_id}; `matrixhub database backfill list` shows those that are"
            )
        return PropertyId(found)

    async def pause(self, property_id: PropertyId, backfill_id: BackfillId) -> Backfill:
        """Let it rest where it is. Raises: NotFound, WrongState unless it is asked for or running, StoreError."""
        return await self._change("pause", property_id, backfill_id)

    async def resume(self, property_id: PropertyId, backfill_id: BackfillId) -> Backfill:
        """Let it go on, at once. Raises: NotFound, WrongState if it is done or cancelled, StoreError."""
        return await self._change("resume", property_id, backfill_id)

    async def cancel(self, property_id: PropertyId, backfill_id: BackfillId) -> Backfill:
        """End it; what was written stays. Raises: NotFound, WrongState if it is over already, StoreError."""
        return await self._change("cancel", property_id, backfill_id)

    async def _change(self, what: str, property_id: PropertyId, backfill_id: BackfillId) -> Backfill:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SQL[what], property_id, backfill_id)
        if row is None:
            found = await self.show(property_id, backfill_id)
            raise WrongState(f"backfill {backfill_id} is {found.state}: there is nothing to {what}")
        return _backfill(row)

    # --- what those who do it ask ---

    async def claim(self, lease_s: float) -> Turn | None:
        """The next whose turn it is, this process's for so long; None if there is none. Raises StoreError."""
        async with self._database.connection() as connection:
            return _turn(await connection.fetchrow(_SQL["claim"], lease_s))

    async def live(self, backfill: Backfill) -> Live | None:
        """What brings later data, None if it is gone. Raises StoreError."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SQL["live"], backfill.subscription_id, backfill.property_id)
        return None if row is None else Live(state=row["state"], pending=row["pending"])

    async def set_through(self, turn: Turn, through: int) -> Turn | None:
        """Say what the store must have first; None if it is not this one's turn any more. Raises StoreError."""
        async with self._database.connection() as connection:
            return _turn(await connection.fetchrow(_SQL["set_through"], turn.backfill.id, turn.fence, through))

    async def begin(self, turn: Turn, until: datetime) -> Turn | None:
        """Say that everything is there, and of which time it is at most; None as above. Raises StoreError."""
        async with self._database.connection() as connection:
            return _turn(await connection.fetchrow(_SQL["begin"], turn.backfill.id, turn.fence, until))

    async def save(self, turn: Turn, chunk: Chunk, lease_s: float) -> Turn | None:
        """Keep what became of a chunk, and hold the turn so much longer; None as above. Raises StoreError."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(
                _SQL["save"],
                turn.backfill.id,
                turn.fence,
                chunk.place.instant_ms,
                chunk.place.series,
                chunk.written,
                chunk.present,
                chunk.refused,
                chunk.refusal,
                chunk.last,
                lease_s,
            )
        return _turn(row)

    async def rest(self, turn: Turn, seconds: float, *, waiting: str = "", failures: int = 0, error: str = "") -> None:
        """End the turn; the next one is in so many seconds at the earliest. Raises StoreError."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["rest"], turn.backfill.id, turn.fence, waiting, failures, error, seconds)

    async def fail(self, turn: Turn, error: str) -> bool:
        """End it for good; whether it was still this one's turn. Raises StoreError."""
        async with self._database.connection() as connection:
            return await connection.fetchval(_SQL["fail"], turn.backfill.id, turn.fence, error) is not None

    async def release(self, turn: Turn) -> None:
        """End the turn; the next one may begin. Raises StoreError."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["release"], turn.backfill.id, turn.fence)


async def subscriptions_to(
    database: Database, property_id: PropertyId, database_id: DatabaseId
) -> Mapping[SubscriptionId, Filter] | None:
    """The subscriptions that lead to a database of the property, and what they want; None without such a database.

    Raises StoreError.
    """
    async with database.connection() as connection:
        rows = await connection.fetch(_SQL["subscriptions_to"], property_id, database_id, database_url(database_id))
    if not rows:
        return None
    return {SubscriptionId(row["id"]): read_filter(row["filter"]) for row in rows if row["id"] is not None}


def _turn(row: Any) -> Turn | None:
    return None if row is None else Turn(backfill=_backfill(row), fence=row["fence"])


def _backfill(row: Any) -> Backfill:
    return Backfill(
        id=BackfillId(row["id"]),
        property_id=PropertyId(row["property_id"]),
        database_id=DatabaseId(row["database_id"]),
        subscription_id=SubscriptionId(row["subscription_id"]),
        filter=read_filter(row["filter"]),
        estimate=Estimate(items=row["estimate"], exact=row["estimate_exact"]),
        place=None if row["place_ms"] is None else Place(row["place_ms"], row["place_series"]),
        **{
            name: row[name]
            for name in (
                *("since", "until", "rate", "state", "created_at", "through", "written", "present", "refused"),
                *("failures", "last_error", "waiting", "retry_at", "begun_at", "ended_at"),
            )
        },
    )


# --- what it copies: readings ---


def wanted_readings(wanted: Filter) -> Wanted:
    """The readings that a filter wants, as past data is asked for."""
    return Wanted(
        devtypes=sorted(wanted.devtypes) or None,
        buildings=sorted(wanted.buildings) or None,
        zones=sorted(wanted.zones) or None,
    )


async def reading_sources(database: Database, backfill: Backfill) -> Sources:
    """Where the readings come from that a backfill copies. Raises StoreError."""
    async with database.connection() as connection:
        return await find_sources(connection, backfill.property_id, wanted_readings(backfill.filter))


async def reading_days(database: Database, since: datetime, until: datetime) -> Sequence[int]:
    """The days (UTC, since 1970) of a time that may have readings, in order. Raises StoreError."""
    names = set(await PostgresPartitions(database).names(READINGS))
    async with database.connection() as connection:
        found = {row["day"] for row in await connection.fetch(_SQL["default_days"], since, until)}
    for name in names:
        day = name.removeprefix(f"{READINGS.name}_")
        if day.isdigit():
            start = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
            if start < until and start + _DAY > since:
                found.add((start - _EPOCH).days)
    return sorted(found)


async def newest_reading(
    database: Database, sources: Sources, days: Sequence[int], since: datetime, until: datetime
) -> datetime | None:
    """The instant of the newest reading of a time, None if there is none. Raises StoreError."""
    for day in reversed(days):
        start, end = day_bounds(day, since, until)
        async with database.connection() as connection:
            found: datetime | None = await connection.fetchval(_SQL["newest_of_day"], sources.series, start, end)
        if found is not None:
            return found
    return None


def day_bounds(day: int, since: datetime, until: datetime) -> tuple[datetime, datetime]:
    """What of a time lies in a day (UTC, since 1970).

    >>> since, until = datetime(2024, 3, 10, 12, tzinfo=UTC), datetime(2024, 3, 12, tzinfo=UTC)
    >>> [str(at)[5:16] for at in day_bounds(19792, since, until)]
    ['03-10 12:00', '03-11 00:00']
    """
    start = instant_of_ms(day * DAY_MS)
    return max(since, start), min(until, start + _DAY)


async def estimate_readings(
    database: Database, property_id: PropertyId, wanted: Filter, since: datetime, until: datetime
) -> Estimate:
    """How many readings of a time there are: counted where that is quick, else as PostgreSQL guesses.

    Raises StoreError.
    """
    async with database.connection() as connection:
        sources = await find_sources(connection, property_id, wanted_readings(wanted))
        if not sources.series:
            return Estimate(items=0, exact=True)
        given = (sources.series, since, until, sources.places)
        try:
            async with connection.transaction(readonly=True):
                await connection.execute(f"set local statement_timeout = {COUNT_S * 1000:.0f}")
                return Estimate(items=await connection.fetchval(_SQL["count_readings"], *given), exact=True)
        except asyncpg.QueryCanceledError:
            plan = await connection.fetchval(_SQL["explain_readings"], *given)
    [found] = msgspec.json.decode(plan) if isinstance(plan, str) else plan
    return Estimate(items=int(found["Plan"]["Plan Rows"]), exact=False)


# --- what it copies: events ---


async def newest_event(database: Database) -> int:
    """The number of the newest event of all. Raises StoreError."""
    async with database.connection() as connection:
        return int(await connection.fetchval("select number from event_head"))


async def read_events(database: Database, backfill: Backfill, matches: Matches, *, limit: int) -> Page:
    """The next events of the log that a backfill copies, out of so many; `after` is None where there are no more.

    Shape:  matches says of the words of a routing key whether the event is wanted.
    Raises: StoreError.
    """
    after = backfill.place or Place(epoch_ms(backfill.since) - 1, 0)
    async with database.connection() as connection:
        rows = await connection.fetch(
            _SQL["events"],
            backfill.property_id,
            backfill.since,
            backfill.until,
            instant_of_ms(after.instant_ms),
            after.series,
            backfill.through,
            limit,
        )
    lines = [row["line"].encode() for row in rows if matches(_words(row))]
    last = Place(rows[-1]["ms"], rows[-1]["number"]) if len(rows) == limit else None
    return Page(lines, last)


async def estimate_events(
    database: Database, property_id: PropertyId, matches: Matches, since: datetime, until: datetime
) -> Estimate:
    """How many events of a time the log has whose routing key matches. Raises StoreError."""
    async with database.connection() as connection:
        rows = await connection.fetch(_SQL["count_events"], property_id, since, until)
    return Estimate(items=sum(row["count"] for row in rows if matches(_words(row))), exact=True)


def _words(row: Any) -> Sequence[str]:
    """The words of the routing key of an event."""
    return LITERAL, row["principal"], row["module"], row["event"], row["priority"]
