"""Subscriptions: their configuration for operators, scoped to a property."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matrixhub.model.errors import NotFound
from matrixhub.model.ids import BuildingId, PropertyId, SubscriptionId, ZoneId, new_id
from matrixhub.model.subscription import (
    Auth,
    BasicAuth,
    BatchLimits,
    Filter,
    HttpsDestination,
    NoAuth,
    Position,
    Progress,
    State,
    Subscription,
    check_destination,
    check_limits,
)
from matrixhub.store.pool import Database
from matrixhub.store.sealing import Sealer
from matrixhub.store.sites import require_property
from matrixhub.store.sql import load_statements

SUBSCRIPTION_CHANNEL = "matrixhub_subscriptions"
"""Notified whenever a subscription is created, changed or released, so that workers look again."""

SQL = load_statements("subscriptions.sql")


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """A subscription with its progress and the worker that delivers it."""

    subscription: Subscription
    progress: Progress
    owner: str | None


async def create_subscription(
    database: Database,
    sealer: Sealer,
    property_id: PropertyId,
    *,
    name: str,
    wanted: Filter,
    destination: HttpsDestination,
    limits: BatchLimits,
    position: Position,
) -> Subscription:
    """A new, active subscription that begins at the position.

    Raises: NotFound if there is no such property, InvalidValue for a destination or limits that cannot work,
            StoreError.
    """
    check_destination(destination)
    check_limits(limits)
    await require_property(database, property_id)
    subscription_id = SubscriptionId(new_id("sub"))
    auth, sealed = _auth_row(destination.auth, sealer, subscription_id)
    async with database.transaction() as connection:
        created_at = await connection.fetchval(
            SQL["create"],
            subscription_id,
            property_id,
            name,
            {
                "buildings": sorted(wanted.buildings),
                "zones": sorted(wanted.zones),
                "devtypes": sorted(wanted.devtypes),
            },
            destination.url,
            destination.ca_pem,
            auth,
            sealed,
            limits.items,
            limits.size_bytes,
        )
        await connection.execute(SQL["create_progress"], subscription_id, position.seq)
        await connection.execute("select pg_notify($1, '')", SUBSCRIPTION_CHANNEL)
    return Subscription(
        id=subscription_id,
        property_id=property_id,
        name=name,
        filter=wanted,
        destination=destination,
        limits=limits,
        state="active",
        created_at=created_at,
    )


async def list_subscriptions(database: Database, sealer: Sealer, property_id: PropertyId) -> Sequence[Overview]:
    """The subscriptions of the property, oldest first. Raises StoreError."""
    async with database.connection() as connection:
        rows = await connection.fetch(SQL["list"], property_id)
    return [overview_from_row(row, sealer) for row in rows]


async def show_subscription(
    database: Database, sealer: Sealer, property_id: PropertyId, subscription_id: SubscriptionId
) -> Overview:
    """One subscription of the property. Raises NotFound, StoreError."""
    async with database.connection() as connection:
        row = await connection.fetchrow(SQL["show"], property_id, subscription_id)
    if row is None:
        raise NotFound(f"property {property_id} has no subscription {subscription_id}")
    return overview_from_row(row, sealer)


async def set_state(database: Database, property_id: PropertyId, subscription_id: SubscriptionId, state: State) -> None:
    """Pause or resume. Pausing keeps everything from the position on. Raises NotFound, StoreError."""
    async with database.transaction() as connection:
        if not await connection.fetch(SQL["set_state"], property_id, subscription_id, state):
            raise NotFound(f"property {property_id} has no subscription {subscription_id}")
        await connection.execute("select pg_notify($1, '')", SUBSCRIPTION_CHANNEL)


async def find_property(database: Database, subscription_id: SubscriptionId) -> PropertyId:
    """The property a subscription belongs to, for an operator on this machine. Raises NotFound, StoreError."""
    async with database.connection() as connection:
        found = await connection.fetchval(SQL["property_of"], subscription_id)
    if found is None:
        raise NotFound(f"there is no subscription {subscription_id}")
    return PropertyId(found)


async def subscribed_properties(database: Database) -> Sequence[PropertyId]:
    """The properties that have subscriptions, for an operator on this machine. Raises StoreError."""
    async with database.connection() as connection:
        return [PropertyId(row["property_id"]) for row in await connection.fetch(SQL["property_ids"])]


def overview_from_row(row: Any, sealer: Sealer) -> Overview:
    """The values of a row of the statements `list`, `show`, `claim` and `owned`."""
    return Overview(
        subscription=Subscription(
            id=row["id"],
            property_id=row["property_id"],
            name=row["name"],
            filter=Filter(
                buildings=frozenset(map(BuildingId, row["filter"]["buildings"])),
                zones=frozenset(map(ZoneId, row["filter"]["zones"])),
                devtypes=frozenset(row["filter"]["devtypes"]),
            ),
            destination=HttpsDestination(
                url=row["url"],
                ca_pem=row["ca_pem"],
                auth=_auth_from_row(row["auth"], row["auth_secret"], sealer, row["id"]),
                egress_allow=frozenset(row["egress_allow"]),
            ),
            limits=BatchLimits(items=row["batch_items"], size_bytes=row["batch_bytes"]),
            state=row["state"],
            created_at=row["created_at"],
        ),
        progress=Progress(
            position=Position(seq=row["position_seq"], item=row["position_item"]),
            sending_to=None
            if row["sending_seq"] is None
            else Position(seq=row["sending_seq"], item=row["sending_item"] or 0),
            delivered=row["delivered"],
            parked=row["parked"],
            expired=row["expired"],
            attempts_failed=row["attempts_failed"],
            last_error=row["last_error"],
            last_delivered_at=row["last_delivered_at"],
        ),
        owner=row["owner"],
    )


def _auth_row(auth: Auth, sealer: Sealer, owner: str) -> tuple[dict[str, str], bytes | None]:
    match auth:
        case NoAuth():
            return {"scheme": "none"}, None
        case BasicAuth():
            return {"scheme": "basic", "user": auth.user}, sealer.seal(auth.password, owner)


def _auth_from_row(auth: dict[str, str], sealed: bytes | None, sealer: Sealer, owner: str) -> Auth:
    if auth["scheme"] == "none" or sealed is None:
        return NoAuth()
    return BasicAuth(user=auth["user"], password=sealer.open(sealed, owner))
