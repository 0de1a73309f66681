"""Readings that were set aside, with their reasons."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from matrixhub.model.delivery import ParkedItem
from matrixhub.model.errors import InvalidValue, NotFound
from matrixhub.model.ids import PropertyId, SubscriptionId
from matrixhub.model.subscription import Position
from matrixhub.store.attempts import instants_near
from matrixhub.store.pool import Database
from matrixhub.store.sql import load_statements
from matrixhub.store.subscriptions import SUBSCRIPTION_CHANNEL

PAGE = 1_000
"""Rows read or changed at a time, so that neither memory nor a transaction grows with what was parked."""

ID_SPREAD = timedelta(days=1)
"""How far the time in an id may lie from that of its row."""

_SQL = load_statements("parked.sql")


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which parked readings are meant: those for which all that is named holds.

    `since` is included, `until` is not; both are of the time of parking. `all` says that naming nothing is meant.
    """

    ids: tuple[UUID, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    code: str = ""
    all: bool = False

    @property
    def named(self) -> bool:
        """Whether it narrows anything."""
        return bool(self.ids or self.since or self.until or self.code)


EVERYTHING = Selection(all=True)


async def list_parked(
    database: Database,
    property_id: PropertyId,
    subscription_id: SubscriptionId | None,
    *,
    selection: Selection = EVERYTHING,
    after: tuple[datetime, UUID] | None = None,
    limit: int,
) -> Sequence[ParkedItem]:
    """At most so many parked readings, oldest first, behind the one named by `after` (its time and id).

    Without subscription those of the whole property. Raises StoreError.
    """
    async with database.connection() as connection:
        return await _page(connection, property_id, subscription_id, selection, after, limit)


async def count_parked(
    database: Database,
    property_id: PropertyId,
    subscription_id: SubscriptionId | None,
    *,
    selection: Selection = EVERYTHING,
) -> int:
    """How many parked readings are meant. Raises StoreError."""
    async with database.connection() as connection:
        return int(await connection.fetchval(_SQL["count"], property_id, subscription_id, *_columns(selection)))


async def show_parked(database: Database, property_id: PropertyId, parked_id: UUID) -> ParkedItem:
    """One parked reading of the property. Raises: NotFound also once it was delivered or expired, StoreError."""
    span = instants_near(parked_id, ID_SPREAD)
    row = None
    if span is not None:
        async with database.connection() as connection:
            row = await connection.fetchrow(_SQL["show"], property_id, parked_id, *span)
    if row is None:
        raise NotFound(f"property {property_id} has no parked reading {parked_id}, or it is no longer kept")
    return parked_from_row(row)


async def parked_of_request(
    database: Database, property_id: PropertyId, subscription_id: SubscriptionId, request_id: str, *, limit: int
) -> Sequence[ParkedItem]:
    """What was parked of a push, in the order of the stream. Raises StoreError."""
    async with database.connection() as connection:
        rows = await connection.fetch(_SQL["of_request"], property_id, subscription_id, request_id, limit)
    return [parked_from_row(row) for row in rows]


async def ask_redrive(
    database: Database, property_id: PropertyId, subscription_id: SubscriptionId, selection: Selection
) -> int:
    """Have the carrier send parked readings again; how many are asked for that were not already.

    It is done a page at a time: a failure leaves the rest as it was, and asking again goes on with it.
    Raises: NotFound, InvalidValue for a selection that names nothing, StoreError.
    """
    _check(selection)
    asked = 0
    after: tuple[datetime, UUID] | None = None
    while True:
        async with database.transaction() as connection:
            await _lock(connection, property_id, subscription_id)
            page = await _page(connection, property_id, subscription_id, selection, after, PAGE)
            found = len(await connection.fetch(_SQL["ask_redrive"], subscription_id, *_keys(page)))
            if found:
                await connection.execute(_SQL["bump_redrive"], subscription_id)
                await connection.execute("select pg_notify($1, $2)", SUBSCRIPTION_CHANNEL, subscription_id)
        asked += found
        if len(page) < PAGE:
            return asked
        after = (page[-1].parked_at, page[-1].id)


async def discard_parked(
    database: Database, property_id: PropertyId, subscription_id: SubscriptionId, selection: Selection
) -> int:
    """Give parked readings up for good; how many. The balance counts them as expired from now on.

    It is done a page at a time, each with its count. Raises: NotFound, InvalidValue for a selection that names
    nothing, StoreError.
    """
    _check(selection)
    given_up = 0
    after: tuple[datetime, UUID] | None = None
    while True:
        async with database.transaction() as connection:
            await _lock(connection, property_id, subscription_id)
            page = await _page(connection, property_id, subscription_id, selection, after, PAGE)
            found = len(await connection.fetch(_SQL["discard"], subscription_id, *_keys(page)))
            if found:
                await connection.execute(_SQL["count_discarded"], subscription_id, found)
        given_up += found
        if len(page) < PAGE:
            return given_up
        after = (page[-1].parked_at, page[-1].id)


async def export_parked(
    database: Database,
    property_id: PropertyId,
    subscription_id: SubscriptionId | None,
    *,
    selection: Selection = EVERYTHING,
) -> AsyncIterator[ParkedItem]:
    """All that is meant, oldest first, read a page at a time. Raises StoreError."""
    after: tuple[datetime, UUID] | None = None
    while True:
        page = await list_parked(database, property_id, subscription_id, selection=selection, after=after, limit=PAGE)
        for item in page:
            yield item
        if len(page) < PAGE:
            return
        after = (page[-1].parked_at, page[-1].id)


def parked_from_row(row: Any) -> ParkedItem:
    """The values of a row of `parked`."""
    return ParkedItem(
        id=row["id"],
        subscription_id=SubscriptionId(row["subscription_id"]),
        parked_at=row["parked_at"],
        place=Position(seq=row["seq"], item=row["item"]),
        line=row["line"],
        code=row["code"],
        reason=row["reason"],
        http_status=row["http_status"],
        request_id=row["request_id"],
        redrive_at=row["redrive_at"],
    )


def _check(selection: Selection) -> None:
    if selection.named == selection.all:
        raise InvalidValue("say which parked readings are meant: by id, by time or code, or else all of them")


async def _lock(connection: Any, property_id: PropertyId, subscription_id: SubscriptionId) -> None:
    if not await connection.fetch(_SQL["lock_progress"], property_id, subscription_id):
        raise NotFound(f"property {property_id} has no subscription {subscription_id}")


async def _page(
    connection: Any,
    property_id: PropertyId,
    subscription_id: SubscriptionId | None,
    selection: Selection,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[ParkedItem]:
    rows = await connection.fetch(
        _SQL["list"], property_id, subscription_id, *_columns(selection), *(after or (None, None)), limit
    )
    return [parked_from_row(row) for row in rows]


def _columns(selection: Selection) -> tuple[object, ...]:
    """The values of a selection in the statements, in their order."""
    return list(selection.ids) or None, selection.since, selection.until, selection.code


def _keys(page: Sequence[ParkedItem]) -> tuple[list[datetime], list[UUID]]:
    return [item.parked_at for item in page], [item.id for item in page]
