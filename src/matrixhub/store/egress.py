"""What pushes of a property may reach besides the public internet.

The list rides on the destination that a worker reads with its leases, so a change is in force with the notification.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from matrixhub.model.egress import canonical_target
from matrixhub.model.errors import NotFound
from matrixhub.model.ids import PropertyId
from matrixhub.store.pool import Database
from matrixhub.store.sites import require_property
from matrixhub.store.sql import load_statements
from matrixhub.store.subscriptions import SUBSCRIPTION_CHANNEL

_SQL = load_statements("egress.sql")


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowed:
    """An entry of the allow-list of a property."""

    property_id: PropertyId
    target: str
    created_at: datetime


async def allow_egress(database: Database, property_id: PropertyId, target: str) -> str:
    """Allow a network or host name; the form it is kept in. Repeating it changes nothing.

    Raises: InvalidValue if it is neither, NotFound if there is no such property, StoreError.
    """
    canonical = canonical_target(target)
    await require_property(database, property_id)
    async with database.transaction() as connection:
        await connection.execute(_SQL["allow"], property_id, canonical)
        await connection.execute(_SQL["try_again"], property_id)
        await connection.execute("select pg_notify($1, '')", SUBSCRIPTION_CHANNEL)
    return canonical


async def list_egress(database: Database, property_id: PropertyId) -> Sequence[Allowed]:
    """What the property is allowed. Raises NotFound if there is no such property, StoreError."""
    await require_property(database, property_id)
    async with database.connection() as connection:
        return [Allowed(**dict(row)) for row in await connection.fetch(_SQL["list"], property_id)]


async def revoke_egress(database: Database, property_id: PropertyId, target: str) -> str:
    """Take the leave back; the form it was kept in.

    Raises: InvalidValue if it is no network or host name, NotFound if it was not allowed, StoreError.
    """
    canonical = canonical_target(target)
    async with database.transaction() as connection:
        if not await connection.fetch(_SQL["revoke"], property_id, canonical):
            raise NotFound(
                f"property {property_id} is not allowed {canonical} by an entry of its own; "
                f"`matrixhub egress list --property {property_id}` shows what it is"
            )
        await connection.execute("select pg_notify($1, '')", SUBSCRIPTION_CHANNEL)
    return canonical
