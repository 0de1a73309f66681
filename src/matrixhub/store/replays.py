"""Replays: wishes to deliver again from a place on, and what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from matrixhub.model.errors import Conflict, InvalidValue, NotFound
from matrixhub.model.ids import PropertyId, SubscriptionId, new_id
from matrixhub.model.subscription import Position
from matrixhub.store.pool import Database
from matrixhub.store.sql import load_statements
from matrixhub.store.subscriptions import SUBSCRIPTION_CHANNEL

ReplayState = Literal["waiting", "running", "done"]

_SQL = load_statements("replays.sql")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayRecord:
    """A replay as it stands.

    `position` is where it begins. `ended_by` is where the subscription was when it went back, so where the repeated
    part ends, and `items` how many readings come again; both None while it waits.
    """

    id: str
    subscription_id: SubscriptionId
    position: Position
    state: ReplayState
    requested_at: datetime
    begun_at: datetime | None = None
    ended_by: Position | None = None
    items: int | None = None


async def ask_replay(
    database: Database, property_id: PropertyId, subscription_id: SubscriptionId, position: Position
) -> ReplayRecord:
    """Have the carrier go back to an earlier position; the replay waits until it does.

    Raises: NotFound, Conflict while an earlier one waits, InvalidValue unless the position lies before the
    subscription's own, StoreError.
    """
    replay_id = new_id("rpl")
    async with database.transaction() as connection:
        now_at = await _lock(connection, property_id, subscription_id)
        if not position < now_at:
            raise InvalidValue(
                f"the subscription is at {shown_position(now_at)}, which is not after {shown_position(position)}:"
                " there is nothing to replay"
            )
        waiting = await connection.fetchval(_SQL["waiting"], subscription_id)
        if waiting is not None:
            raise Conflict(f"the replay {waiting} has not begun yet; withdraw it first, or wait")
        await connection.execute(_SQL["ask"], replay_id, subscription_id, position.seq, position.item)
        await connection.execute("select pg_notify($1, $2)", SUBSCRIPTION_CHANNEL, subscription_id)
        (row,) = await connection.fetch(_SQL["list"], property_id, subscription_id, replay_id, None, None, 1)
    return _replay(row)


async def withdraw_replay(
    database: Database, property_id: PropertyId, subscription_id: SubscriptionId, replay_id: str
) -> None:
    """Forget a replay that has not begun. Raises: NotFound, Conflict if it has begun, StoreError."""
    async with database.transaction() as connection:
        await _lock(connection, property_id, subscription_id)
        if await connection.fetch(_SQL["withdraw"], subscription_id, replay_id):
            await connection.execute("select pg_notify($1, $2)", SUBSCRIPTION_CHANNEL, subscription_id)
            return
        rows = await connection.fetch(_SQL["list"], property_id, subscription_id, replay_id, None, None, 1)
    if rows:
        raise Conflict(f"the replay {replay_id} has begun, so it can no longer be withdrawn")
    raise NotFound(f"{subscription_id} has no replay {replay_id}")


async def list_replays(
    database: Database,
    property_id: PropertyId,
    *,
    subscription_id: SubscriptionId | None = None,
    before: tuple[datetime, str] | None = None,
    limit: int,
) -> Sequence[ReplayRecord]:
    """At most so many replays, newest first, behind the one named by `before` (time of the wish, id).

    Raises StoreError.
    """
    async with database.connection() as connection:
        rows = await connection.fetch(
            _SQL["list"], property_id, subscription_id, None, *(before or (None, None)), limit
        )
    return [_replay(row) for row in rows]


async def show_replay(database: Database, property_id: PropertyId, replay_id: str) -> ReplayRecord:
    """One replay of the property. Raises NotFound, StoreError."""
    async with database.connection() as connection:
        row = await connection.fetchrow(_SQL["list"], property_id, None, replay_id, None, None, 1)
    if row is None:
        raise NotFound(f"property {property_id} has no replay {replay_id}")
    return _replay(row)


def shown_position(position: Position) -> str:
    """A position as people write it.

    >>> shown_position(Position(seq=7)), shown_position(Position(seq=7, item=3))
    ('7', '7.3')
    """
    return f"{position.seq}.{position.item}" if position.item else str(position.seq)


async def _lock(connection: Any, property_id: PropertyId, subscription_id: SubscriptionId) -> Position:
    """The subscription's position, which stays until the end of the transaction."""
    row = await connection.fetchrow(_SQL["lock_progress"], property_id, subscription_id)
    if row is None:
        raise NotFound(f"property {property_id} has no subscription {subscription_id}")
    return Position(seq=row["position_seq"], item=row["position_item"])


def _replay(row: Any) -> ReplayRecord:
    return ReplayRecord(
        id=row["id"],
        subscription_id=SubscriptionId(row["subscription_id"]),
        position=Position(seq=row["from_seq"], item=row["from_item"]),
        state=row["state"],
        requested_at=row["requested_at"],
        begun_at=row["begun_at"],
        ended_by=None if row["to_seq"] is None else Position(seq=row["to_seq"], item=row["to_item"] or 0),
        items=row["items"],
    )
