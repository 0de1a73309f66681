"""The books of all subscriptions, and what retention writes into them: the port `Books` on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from matrixhub.model.balance import Account
from matrixhub.model.ids import SubscriptionId
from matrixhub.model.subscription import Express, Position, Source
from matrixhub.ports import Counted
from matrixhub.store.pool import Database
from matrixhub.store.sql import load_statements
from matrixhub.store.subscriptions import (
    SUBSCRIPTION_CHANNEL,
    express_from_row,
    filter_document,
    read_filter,
)

EXPIRE_PARKED_MAX = 2_000
"""Most parked readings that expire in one transaction, which holds the row of their subscription."""

_SQL = load_statements("books.sql")


class PostgresBooks:
    """The port `Books`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fingerprint(self) -> Sequence[int]:
        """Numbers that change with the books. See `Books.fingerprint`."""
        async with self._database.connection() as connection:
            return tuple(await connection.fetchrow(_SQL["fingerprint"]))

    async def accounts(self, source: Source, subscription: SubscriptionId | None = None) -> Sequence[Account]:
        """All accounts, or one. See `Books.accounts`."""
        async with self._database.connection() as connection:
            return [_account_from_row(row) for row in await connection.fetch(_SQL["accounts"], source, subscription)]

    async def add_accepted(self, counts: Sequence[Counted]) -> frozenset[SubscriptionId]:
        """Add what was counted. See `Books.add_accepted`."""
        columns = (
            [c.subscription for c in counts],
            [filter_document(c.filter) for c in counts],
            [c.start.seq for c in counts],
            [c.start.item for c in counts],
            [c.to_seq for c in counts],
            [c.items for c in counts],
        )
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["add_accepted"], *columns)
        return frozenset(SubscriptionId(row["subscription_id"]) for row in rows)

    async def raise_floor(self, source: Source, seq: int) -> None:
        """Let nobody go back before the sequence. See `Books.raise_floor`."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["raise_floor"], source, seq)

    async def seize(self, subscription: SubscriptionId) -> None:
        """Take a subscription from its worker. See `Books.seize`."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["seize"], subscription)

    async def expire(
        self, account: Account, end: Position, items: int, *, express: Express | None = None, ahead: int = 0
    ) -> bool:
        """Go to `end` without delivering. See `Books.expire`."""
        place = account.position
        async with self._database.transaction() as connection:
            done = await connection.fetchval(
                _SQL["expire"],
                account.id,
                account.step,
                place.seq,
                place.item,
                account.ahead,
                items,
                end.seq,
                end.item,
                ahead,
                *((express.from_seq, express.to_seq, express.sending_to) if express else (None, None, None)),
            )
            await connection.execute("select pg_notify($1, $2)", SUBSCRIPTION_CHANNEL, account.id)
        return done is not None

    async def expire_parked(self, before: datetime) -> dict[SubscriptionId, int]:
        """Remove parked readings that are too old. See `Books.expire_parked`."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["oldest_parked"], before)
            await connection.execute(_SQL["drop_orphans"], before)
        expired: dict[SubscriptionId, int] = {}
        for row in rows:
            while items := await self._expire_some(row["subscription_id"], before):
                subscription = SubscriptionId(row["subscription_id"])
                expired[subscription] = expired.get(subscription, 0) + items
        return expired

    async def _expire_some(self, subscription: str, before: datetime) -> int:
        async with self._database.transaction() as connection:
            if await connection.fetchval(_SQL["lock_progress"], subscription) is None:
                return 0
            return int(await connection.fetchval(_SQL["expire_parked"], subscription, before, EXPIRE_PARKED_MAX))


def _account_from_row(row: Any) -> Account:
    sending = row["sending_seq"]
    return Account(
        id=row["id"],
        property_id=row["property_id"],
        filter=read_filter(row["filter"]),
        accepted_to=Position(seq=row["accepted_seq"], item=row["accepted_item"]),
        position=Position(seq=row["position_seq"], item=row["position_item"]),
        sending_to=None if sending is None else Position(seq=sending, item=row["sending_item"] or 0),
        express=express_from_row(row),
        **{
            name: row[name]
            for name in (
                "accepted",
                "step",
                "ahead",
                "delivered",
                "parked",
                "expired",
                "skipped",
                "replayed",
            )
        },
    )
