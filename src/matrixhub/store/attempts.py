"""Attempts to deliver, as they were recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from matrixhub.model.delivery import Attempt
from matrixhub.model.errors import NotFound
from matrixhub.model.ids import PropertyId, SubscriptionId
from matrixhub.model.subscription import Position
from matrixhub.store.pool import Database
from matrixhub.store.sql import load_statements

Outcome = Literal["any", "taken", "failed"]
OUTCOMES: tuple[Outcome, ...] = ("any", "taken", "failed")

ID_SPREAD = timedelta(minutes=10)
"""How far the time in an id may lie from that of its row: an attempt lasts a minute at most."""

_SQL = load_statements("attempts.sql")


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedAttempt:
    """An attempt, and the subscription it was made for."""

    subscription_id: SubscriptionId
    attempt: Attempt


async def list_attempts(
    database: Database,
    property_id: PropertyId,
    *,
    subscription_id: SubscriptionId | None = None,
    outcome: Outcome = "any",
    since: datetime | None = None,
    until: datetime | None = None,
    request_id: str = "",
    before: tuple[datetime, UUID] | None = None,
    limit: int,
) -> Sequence[RecordedAttempt]:
    """At most so many attempts of the property, newest first, behind the one named by `before` (its time and id).

    `since` is included, `until` is not. Raises StoreError.
    """
    async with database.connection() as connection:
        rows = await connection.fetch(
            _SQL["list"],
            property_id,
            subscription_id,
            outcome,
            since,
            until,
            request_id,
            *(before or (None, None)),
            limit,
        )
    return [_recorded(row) for row in rows]


async def show_attempt(database: Database, property_id: PropertyId, attempt_id: UUID) -> RecordedAttempt:
    """One attempt of the property. Raises: NotFound also where retention has taken it, StoreError."""
    span = instants_near(attempt_id, ID_SPREAD)
    row = None
    if span is not None:
        async with database.connection() as connection:
            row = await connection.fetchrow(_SQL["show"], property_id, attempt_id, *span)
    if row is None:
        raise NotFound(f"property {property_id} has no attempt {attempt_id}, or it is no longer kept")
    return _recorded(row)


async def record_attempt(
    database: Database, property_id: PropertyId, subscription_id: SubscriptionId, attempt: Attempt
) -> None:
    """Keep an attempt that no delivery was part of, such as a test. Raises NotFound, StoreError."""
    async with database.connection() as connection:
        made = await connection.fetchval(
            _SQL["record"],
            property_id,
            subscription_id,
            attempt.at,
            attempt.id,
            attempt.kind,
            attempt.request_id,
            attempt.attempt,
            attempt.items,
            attempt.size_bytes,
            *_place(attempt.start),
            *_place(attempt.end),
            attempt.http_status,
            attempt.seconds,
            attempt.code,
            attempt.error,
            attempt.answer,
        )
    if made is None:
        raise NotFound(f"property {property_id} has no subscription {subscription_id}")


def instants_near(row_id: UUID, spread: timedelta) -> tuple[datetime, datetime] | None:
    """Between which instants a row with that time-ordered id was made; None for an id that holds no time.

    Source: RFC 9562 §5.7 (UUIDv7)
    """
    if row_id.version != 7:
        return None
    try:
        made = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=row_id.int >> 80)
        return made - spread, made + spread
    except OverflowError:
        return None


def _recorded(row: Any) -> RecordedAttempt:
    return RecordedAttempt(
        subscription_id=SubscriptionId(row["subscription_id"]),
        attempt=Attempt(
            start=_position(row["start_seq"], row["start_item"]),
            end=_position(row["end_seq"], row["end_item"]),
            **{
                name: row[name]
                for name in (
                    "id",
                    "at",
                    "kind",
                    "request_id",
                    "attempt",
                    "items",
                    "size_bytes",
                    "http_status",
                    "seconds",
                    "code",
                    "error",
                    "answer",
                )
            },
        ),
    )


def _position(seq: int | None, item: int | None) -> Position | None:
    return None if seq is None else Position(seq=seq, item=item or 0)


def _place(position: Position | None) -> tuple[int | None, int | None]:
    return (position.seq, position.item) if position else (None, None)
