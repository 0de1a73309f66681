"""Notices about the health of subscriptions: what was told last, and an outbox of what waits to be sent.

What is told is recorded in the transaction that puts the notice in the outbox, under a lock on the subscription's
progress: a change is told once, however many processes look, and none is lost to a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from matrixhub.model.ids import PropertyId, SubscriptionId
from matrixhub.model.notice import Concern, Notice, NoticeKind, Standing, Told
from matrixhub.model.subscription import Subscription
from matrixhub.store.pool import Database
from matrixhub.store.sql import load_statements
from matrixhub.store.subscriptions import Codec, Overview, overview_from_row, show_subscription

_SQL = load_statements("notices.sql")

PAUSED_PAGE = 200

Decide = Callable[[Concern], tuple[Told, Sequence[Notice]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredNotice:
    """A notice of the outbox. `attempts` counts those begun; a notice is delivered, given up, or due at `next_at`."""

    notice: Notice
    attempts: int
    next_at: datetime
    delivered_at: datetime | None
    given_up_at: datetime | None
    last_error: str


class NoticeStore:
    """What the stage `notices` keeps in PostgreSQL."""

    def __init__(self, database: Database, codec: Codec) -> None:
        self._database = database
        self._codec = codec

    async def of_concern(self) -> Sequence[Standing]:
        """The subscriptions with a channel that there may be something to tell of. Raises StoreError."""
        async with self._database.connection() as connection:
            return [_standing(row, row["subscription_id"]) for row in await connection.fetch(_SQL["of_concern"])]

    async def paused_page(self, after: str, expiring_told_before: datetime) -> Sequence[Overview]:
        """Paused subscriptions with a channel, not told of lately, by id from behind `after`. Raises StoreError."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["paused_page"], after, expiring_told_before, PAUSED_PAGE)
        return [overview_from_row(row, self._codec) for row in rows]

    async def tell(self, subscriptions: Sequence[SubscriptionId], decide: Decide) -> int:
        """Record what is told and put the notices in the outbox, in one transaction; how many notices.

        `decide` is called under the lock, with the subscription as it is then. Raises StoreError.
        """
        async with self._database.transaction() as connection:
            held = await connection.fetch(_SQL["lock_told"], list(subscriptions))
            rows = await connection.fetch(_SQL["concerns"], [row["subscription_id"] for row in held])
            changes: list[tuple[SubscriptionId, Told]] = []
            notices: list[Notice] = []
            for concern in [_concern(row, self._codec) for row in rows]:
                told, made = decide(concern)
                if told != concern.standing.told:
                    changes.append((concern.subscription.id, told))
                    notices += made
            if changes:
                await connection.execute(_SQL["keep_told"], *_told_columns(changes))
            if notices:
                await connection.executemany(
                    _SQL["add"], [(n.id, n.subscription_id, n.property_id, n.kind, n.at, n.body) for n in notices]
                )
        return len(notices)

    async def take_due(
        self, now: datetime, *, limit: int, each_max: int, without: Sequence[PropertyId], hidden_s: float
    ) -> Sequence[StoredNotice]:
        """Begin an attempt of notices that are due; nobody else takes them for `hidden_s`. Raises StoreError.

        Shape: at most `each_max` of one property, none of the properties named.
        """
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["take_due"], now, limit, list(without), each_max, hidden_s)
        return [_stored(row) for row in rows]

    async def settle_sent(self, stored: StoredNotice, now: datetime) -> None:
        """Keep that the notice was taken. Raises StoreError."""
        await self._execute("settle_sent", stored.notice.id, now)

    async def settle_failed(self, stored: StoredNotice, next_at: datetime, error: str) -> None:
        """Keep why the attempt failed, and when the next one is due. Raises StoreError."""
        await self._execute("settle_failed", stored.notice.id, stored.attempts, next_at, error)

    async def give_up(self, stored: StoredNotice, now: datetime, error: str) -> None:
        """Keep that the notice is not tried again, and why the last attempt failed. Raises StoreError."""
        await self._execute("give_up", stored.notice.id, stored.attempts, now, error)

    async def forget(self, stored: StoredNotice) -> None:
        """Drop a notice whose subscription was deleted. Raises StoreError."""
        await self._execute("forget", stored.notice.id)

    async def forget_settled(self, before: datetime) -> None:
        """Drop what was delivered or given up before. Raises StoreError."""
        await self._execute("forget_settled", before)

    async def subscription(self, property_id: PropertyId, subscription_id: SubscriptionId) -> Subscription:
        """A subscription of the property, with its secrets. Raises NotFound, StoreError."""
        return (await show_subscription(self._database, self._codec, property_id, subscription_id)).subscription

    async def _execute(self, statement: str, *arguments: object) -> None:
        async with self._database.connection() as connection:
            await connection.execute(_SQL[statement], *arguments)


async def list_notices(
    database: Database, property_id: PropertyId, *, subscription_id: SubscriptionId | None = None, limit: int = 100
) -> Sequence[StoredNotice]:
    """The notices of the property, or of one of its subscriptions, newest first. Raises StoreError."""
    async with database.connection() as connection:
        return [_stored(row) for row in await connection.fetch(_SQL["list"], property_id, subscription_id, limit)]


def _standing(row: Mapping[str, Any], subscription_id: str) -> Standing:
    return Standing(
        subscription_id=SubscriptionId(subscription_id),
        state=row["state"],
        paused_by=row["paused_by"],
        failures=row["failures"],
        failing_since=row["failing_since"],
        delivered=row["delivered"],
        parked=row["parked"],
        told=Told(
            trouble=row["told_trouble"],
            at=row["told_at"],
            delivered=row["told_delivered"],
            parked_untold=row["parked_untold"],
            parked_at=row["told_parked_at"],
            expiring_at=row["told_expiring_at"],
        ),
    )


def _concern(row: Mapping[str, Any], codec: Codec) -> Concern:
    view = overview_from_row(row, codec)
    return Concern(
        subscription=view.subscription,
        progress=view.progress,
        standing=_standing(row, row["id"]),
        failed_code=row["failed_code"],
        parked_code=row["parked_code"],
        parked_reason=row["parked_reason"],
    )


def _told_columns(changes: Sequence[tuple[SubscriptionId, Told]]) -> list[list[Any]]:
    """The arguments of the statement `keep_told`, in its order."""
    told = [change for _, change in changes]
    return [
        [subscription_id for subscription_id, _ in changes],
        [t.trouble for t in told],
        [t.at for t in told],
        [t.delivered for t in told],
        [t.parked_untold for t in told],
        [t.parked_at for t in told],
        [t.expiring_at for t in told],
    ]


def _stored(row: Mapping[str, Any]) -> StoredNotice:
    kind: NoticeKind = row["kind"]
    return StoredNotice(
        notice=Notice(
            id=row["id"],
            subscription_id=SubscriptionId(row["subscription_id"]),
            property_id=PropertyId(row["property_id"]),
            kind=kind,
            at=row["at"],
            body=row["body"],
        ),
        attempts=row["attempts"],
        next_at=row["next_at"],
        delivered_at=row["delivered_at"],
        given_up_at=row["given_up_at"],
        last_error=row["last_error"],
    )
