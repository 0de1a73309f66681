"""Subscriptions: their configuration for operators, scoped to a property."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from matrixhub.model.destination import Destination
from matrixhub.model.errors import NotFound, VersionMismatch
from matrixhub.model.ids import BuildingId, PropertyId, SubscriptionId, ZoneId, new_id
from matrixhub.model.policy import DEFAULT_POLICY, BatchLimits, Policy
from matrixhub.model.subscription import (
    Express,
    Filter,
    Format,
    Notify,
    PausedBy,
    Position,
    Progress,
    Replay,
    SigningKey,
    State,
    Subscription,
    check_subscription,
    default_policy,
)
from matrixhub.store import documents
from matrixhub.store.pool import Database
from matrixhub.store.sealing import Sealer
from matrixhub.store.sites import require_property
from matrixhub.store.sql import load_statements

SUBSCRIPTION_CHANNEL = "matrixhub_subscriptions"
"""Notified whenever a subscription is created, changed or released, so that workers look again; the text is its id, or
'' where any may have changed."""

SQL = load_statements("subscriptions.sql")


@dataclass(frozen=True, kw_only=True, slots=True)
class Codec:
    """What rows are read and written with: what opens their secrets, and the policy where they name none.

    `plain_http` lets destinations be without TLS, for development.
    """

    sealer: Sealer
    policy: Policy = DEFAULT_POLICY
    plain_http: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """A subscription with its progress, what is asked of it, and the worker that delivers it.

    `accepted` counts the readings it wants before `accepted_to`, by the auditor's count.
    """

    subscription: Subscription
    progress: Progress
    accepted: int
    accepted_to: Position
    owner: str | None
    replay: Replay | None
    redrive: int


async def create_subscription(
    database: Database,
    codec: Codec,
    property_id: PropertyId,
    *,
    name: str,
    wanted: Filter,
    destination: Destination,
    limits: BatchLimits,
    position: Position,
    policy: Policy | None = None,
    form: Format | None = None,
    signing: tuple[SigningKey, ...] = (),
    notify: Notify | None = None,
) -> Subscription:
    """A new, active subscription that begins at the position.

    Raises: NotFound if there is no such property, InvalidValue for parts that cannot work, StoreError.
    """
    made = Subscription(
        id=SubscriptionId(new_id("sub")),
        property_id=property_id,
        name=name,
        filter=wanted,
        destination=destination,
        limits=limits,
        policy=policy or default_policy(codec.policy, wanted.source, destination.kind),
        format=form or Format(),
        signing=signing,
        notify=notify or Notify(),
        state="active",
        created_at=datetime.fromtimestamp(0, UTC),  # the database says
    )
    _check(made, codec)
    await require_property(database, property_id)
    async with database.transaction() as connection:
        created_at = await connection.fetchval(SQL["create"], made.id, property_id, *_columns(made, codec))
        await connection.execute(SQL["create_progress"], made.id, position.seq)
        await connection.execute("select pg_notify($1, $2)", SUBSCRIPTION_CHANNEL, made.id)
    return replace(made, created_at=created_at)


async def update_subscription(database: Database, codec: Codec, changed: Subscription) -> Subscription:
    """Keep a subscription as it is configured now; `changed.version` is the version that was changed.

    State and progress stay as they are. Raises: NotFound, VersionMismatch if it was changed meanwhile, InvalidValue,
    StoreError.
    """
    _check(changed, codec)
    async with database.transaction() as connection:
        version = await connection.fetchval(
            SQL["update"], changed.property_id, changed.id, changed.version, *_columns(changed, codec)
        )
        if version is None:
            await _require(connection, changed.property_id, changed.id)
            raise VersionMismatch(f"{changed.id} was changed meanwhile; read it again")
        await connection.execute("select pg_notify($1, $2)", SUBSCRIPTION_CHANNEL, changed.id)
    return replace(changed, version=version)


async def delete_subscription(
    database: Database, property_id: PropertyId, subscription_id: SubscriptionId, *, version: int | None = None
) -> None:
    """Forget a subscription with all that was kept of it.

    Raises: NotFound, VersionMismatch if a version is given and it has another by now, StoreError.
    """
    async with database.transaction() as connection:
        if not await connection.fetch(SQL["delete"], property_id, subscription_id, version):
            await _require(connection, property_id, subscription_id)
            raise VersionMismatch(f"{subscription_id} was changed meanwhile; read it again")
        await connection.execute(SQL["delete_attempts"], subscription_id)
        await connection.execute(SQL["delete_parked"], subscription_id)
        await connection.execute(SQL["delete_notices"], subscription_id)
        await connection.execute("select pg_notify($1, $2)", SUBSCRIPTION_CHANNEL, subscription_id)


async def list_subscriptions(database: Database, codec: Codec, property_id: PropertyId) -> Sequence[Overview]:
    """The subscriptions of the property, oldest first. Raises StoreError."""
    async with database.connection() as connection:
        rows = await connection.fetch(SQL["list"], property_id)
    return [overview_from_row(row, codec) for row in rows]


async def page_subscriptions(
    database: Database,
    codec: Codec,
    property_id: PropertyId,
    *,
    after: tuple[datetime, SubscriptionId] | None,
    limit: int,
) -> Sequence[Overview]:
    """At most so many subscriptions of the property behind the one named, oldest first. Raises StoreError."""
    async with database.connection() as connection:
        rows = await connection.fetch(SQL["list_page"], property_id, *(after or (None, None)), limit)
    return [overview_from_row(row, codec) for row in rows]


async def show_subscription(
    database: Database, codec: Codec, property_id: PropertyId, subscription_id: SubscriptionId
) -> Overview:
    """One subscription of the property. Raises NotFound, StoreError."""
    async with database.connection() as connection:
        row = await connection.fetchrow(SQL["show"], property_id, subscription_id)
    if row is None:
        raise NotFound(f"property {property_id} has no subscription {subscription_id}")
    return overview_from_row(row, codec)


async def set_state(
    database: Database,
    property_id: PropertyId,
    subscription_id: SubscriptionId,
    state: State,
    *,
    by: PausedBy = "hand",
    reason: str = "",
) -> None:
    """Pause or resume. Pausing keeps everything from the position on. Raises NotFound, StoreError."""
    paused_by = by if state == "paused" else ""
    async with database.transaction() as connection:
        if not await connection.fetch(SQL["set_state"], property_id, subscription_id, state, paused_by, reason):
            raise NotFound(f"property {property_id} has no subscription {subscription_id}")
        await connection.execute("select pg_notify($1, $2)", SUBSCRIPTION_CHANNEL, subscription_id)


async def find_property(database: Database, subscription_id: SubscriptionId) -> PropertyId:
    """The property a subscription belongs to, for an operator on this machine. Raises NotFound, StoreError."""
    async with database.connection() as connection:
        found = await connection.fetchval(SQL["property_of"], subscription_id)
    if found is None:
        raise NotFound(f"there is no subscription {subscription_id}")
    return PropertyId(found)


async def leads_to_database(database: Database, subscription_id: SubscriptionId) -> bool:
    """Whether what is delivered are rows of a database. Raises StoreError."""
    async with database.connection() as connection:
        return bool(await connection.fetchval(SQL["leads_to_database"], subscription_id))


async def subscribed_properties(database: Database) -> Sequence[PropertyId]:
    """The properties that have subscriptions, for an operator on this machine. Raises StoreError."""
    async with database.connection() as connection:
        return [PropertyId(row["property_id"]) for row in await connection.fetch(SQL["property_ids"])]


def overview_from_row(row: Any, codec: Codec) -> Overview:
    """The values of a row of the view `subscription_overviews`. Raises StoreError if its secrets cannot be opened."""
    return Overview(
        subscription=_subscription_from_row(row, codec),
        progress=_progress_from_row(row),
        accepted=row["accepted"],
        accepted_to=Position(seq=row["accepted_seq"], item=row["accepted_item"]),
        owner=row["owner"],
        replay=None
        if row["replay_id"] is None
        else Replay(id=row["replay_id"], position=Position(seq=row["replay_seq"], item=row["replay_item"])),
        redrive=row["redrive"],
    )


def _subscription_from_row(row: Any, codec: Codec) -> Subscription:
    secrets = documents.open_secrets(row, codec.sealer)
    wanted = read_filter(row["filter"])
    return Subscription(
        id=row["id"],
        property_id=row["property_id"],
        name=row["name"],
        filter=wanted,
        destination=documents.read_destination(row, secrets),
        limits=BatchLimits(items=row["batch_items"], size_bytes=row["batch_bytes"]),
        policy=documents.read_policy(row["policy"], default_policy(codec.policy, wanted.source, row["kind"])),
        format=Format(**row["format"]),
        signing=documents.read_signing(row["signing"], secrets),
        notify=documents.read_notify(row["notify"], secrets),
        state=row["state"],
        paused_by=row["paused_by"],
        paused_reason=row["paused_reason"],
        version=row["version"],
        created_at=row["created_at"],
    )


def _progress_from_row(row: Any) -> Progress:
    return Progress(
        position=Position(seq=row["position_seq"], item=row["position_item"]),
        sending_to=None
        if row["sending_seq"] is None
        else Position(seq=row["sending_seq"], item=row["sending_item"] or 0),
        express=express_from_row(row),
        **{
            name: row[name]
            for name in (
                "lanes_done",
                "ahead",
                "step",
                "epoch",
                "delivered",
                "parked",
                "expired",
                "skipped",
                "replayed",
                "attempts_failed",
                "failures",
                "failing_since",
                "retry_at",
                "last_error",
                "last_delivered_at",
            )
        },
    )


def express_from_row(row: Any) -> Express | None:
    """What is settled ahead of the position, from the columns of the progress."""
    if row["express_from"] is None:
        return None
    return Express(from_seq=row["express_from"], to_seq=row["express_to"], sending_to=row["express_sending"])


def _check(subscription: Subscription, codec: Codec) -> None:
    check_subscription(
        subscription.destination,
        subscription.limits,
        subscription.policy,
        subscription.format,
        subscription.notify,
        source=subscription.filter.source,
        signed=bool(subscription.signing),
        plain_http=codec.plain_http,
    )


def _columns(subscription: Subscription, codec: Codec) -> tuple[object, ...]:
    """The values of the statements `create` and `update`, in their order."""
    secrets: documents.Secrets = {}
    destination = subscription.destination
    return (
        subscription.name,
        filter_document(subscription.filter),
        destination.url,
        destination.ca_pem,
        documents.auth_document(destination.auth, secrets),
        subscription.limits.items,
        subscription.limits.size_bytes,
        destination.kind,
        documents.destination_document(destination, secrets),
        documents.policy_document(
            subscription.policy, default_policy(codec.policy, subscription.filter.source, destination.kind)
        ),
        documents.format_document(subscription.format),
        documents.signing_document(subscription.signing, secrets),
        documents.notify_document(subscription.notify, secrets),
        documents.seal_secrets(secrets, codec.sealer, subscription.id),
    )


def read_filter(document: Mapping[str, Any]) -> Filter:
    """A filter as it was kept."""
    if document.get("source") == "events":
        return Filter(source="events", patterns=frozenset(document["patterns"]))
    return Filter(
        buildings=frozenset(map(BuildingId, document["buildings"])),
        zones=frozenset(map(ZoneId, document["zones"])),
        devtypes=frozenset(document["devtypes"]),
    )


def filter_document(wanted: Filter) -> dict[str, str | list[str]]:
    """A filter as it is kept. Those of readings do not name their source: they are older than events."""
    if wanted.source == "events":
        return {"source": "events", "patterns": sorted(wanted.patterns)}
    return {
        "buildings": sorted(wanted.buildings),
        "zones": sorted(wanted.zones),
        "devtypes": sorted(wanted.devtypes),
    }


async def _require(connection: Any, property_id: PropertyId, subscription_id: SubscriptionId) -> None:
    if not await connection.fetchrow(SQL["show"], property_id, subscription_id):
        raise NotFound(f"property {property_id} has no subscription {subscription_id}")
