"""Pairs of an access key and a sealed secret; what is shown of all keys; signatures that were used."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from matrixhub.model.access import Rate, RoleId, bearer_role
from matrixhub.model.errors import NameTaken, NotFound
from matrixhub.model.ids import KeyId, PropertyId
from matrixhub.model.key import AccessPair, Key, KeyKind
from matrixhub.model.secret import Secret
from matrixhub.store.keys import read_rate
from matrixhub.store.pool import Database
from matrixhub.store.sealing import Sealer
from matrixhub.store.sites import SITE_CHANNEL
from matrixhub.store.sql import load_statements

_SQL = load_statements("access_keys.sql")


async def create_access_key(
    database: Database,
    sealer: Sealer,
    property_id: PropertyId,
    key_id: KeyId,
    *,
    name: str,
    access_key: str,
    secret: Secret,
    role_id: RoleId,
    replay_protected: bool,
    rate: Rate | None,
    created_at: datetime,
    expires_at: datetime | None,
) -> None:
    """Keep a pair. Raises: NameTaken if another one that is not revoked has the access key, NotFound, StoreError."""
    async with database.connection() as connection:
        made = await connection.fetchval(
            _SQL["create"],
            key_id,
            property_id,
            name,
            access_key,
            sealer.seal(secret, _owner(property_id, key_id)),
            role_id,
            replay_protected,
            rate.per_s if rate is not None else None,
            rate.burst if rate is not None else None,
            created_at,
            expires_at,
        )
    if made is None:
        raise NameTaken("there is such an access key already")


async def rotate_access_key(
    database: Database,
    sealer: Sealer,
    property_id: PropertyId,
    key_id: KeyId,
    secret: Secret,
    *,
    now: datetime,
    previous_until: datetime | None,
) -> None:
    """Give a pair another secret; the one of before is good until then, or no longer (None).

    Raises: NotFound if the property has no such valid pair, StoreError.
    """
    sealed = sealer.seal(secret, _owner(property_id, key_id))
    async with database.transaction() as connection:
        row = await connection.fetchrow(_SQL["lock"], property_id, key_id)
        if row is None or (row["expires_at"] is not None and row["expires_at"] <= now):
            raise NotFound(f"property {property_id} has no valid access key {key_id}")
        await connection.execute(_SQL["rotate"], property_id, key_id, sealed, now, previous_until)


async def change_key(
    database: Database,
    property_id: PropertyId,
    key_id: KeyId,
    kind: KeyKind,
    *,
    name: str | None,
    role_id: RoleId | None,
    rate: Rate | None,
    replay_protected: bool | None,
) -> None:
    """Change a key; what is None stays. Raises: NotFound if the property has no such valid key, StoreError."""
    values = (
        *(property_id, key_id, name, role_id),
        *((rate.per_s, rate.burst) if rate is not None else (None, None)),
    )
    async with database.transaction() as connection:
        if kind == "access":
            changed = await connection.fetchval(_SQL["change"], *values, replay_protected)
        else:
            changed = await connection.fetchval(_SQL["change_bearer"], *values)
            await connection.execute("select pg_notify($1, '')", SITE_CHANNEL)  # ingest knows by heart who may send
    if changed is None:
        raise NotFound(f"property {property_id} has no valid key {key_id}")


async def revoke_access_key(database: Database, property_id: PropertyId, key_id: KeyId, now: datetime) -> bool:
    """Make a pair invalid at once, and say whether the property had such a valid one. Raises StoreError."""
    async with database.connection() as connection:
        return await connection.fetchval(_SQL["revoke"], property_id, key_id, now) is not None


async def find_access_pair(database: Database, sealer: Sealer, access_key: str) -> AccessPair | None:
    """The valid pair of an access key, of whichever property. Raises StoreError."""
    async with database.connection() as connection:
        row = await connection.fetchrow(_SQL["find"], access_key)
    if row is None:
        return None
    owner = _owner(row["property_id"], row["id"])
    before = row["previous_secret"]
    return AccessPair(
        key_id=row["id"],
        property_id=row["property_id"],
        access_key=row["access_key"],
        name=row["name"],
        role_id=row["role_id"],
        replay_protected=row["replay_protected"],
        rate=read_rate(row),
        secret=sealer.open(row["secret"], owner),
        previous_secret=None if before is None else sealer.open(before, owner),
        previous_until=row["previous_until"],
        expires_at=row["expires_at"],
    )


async def page_keys(
    database: Database, property_id: PropertyId, *, after: tuple[datetime, KeyId] | None = None, limit: int
) -> Sequence[Key]:
    """The keys of the property of all kinds, oldest first, revoked ones too. Raises StoreError."""
    at, key_id = after or (None, None)
    async with database.connection() as connection:
        rows = await connection.fetch(_SQL["page_keys"], property_id, at, key_id, limit)
    return [_key(row) for row in rows]


async def show_key(database: Database, property_id: PropertyId, key_id: KeyId) -> Key:
    """A key of the property. Raises: NotFound, StoreError."""
    async with database.connection() as connection:
        row = await connection.fetchrow(_SQL["show_key"], property_id, key_id)
    if row is None:
        raise NotFound(f"property {property_id} has no key {key_id}")
    return _key(row)


async def use_signature(database: Database, digest: bytes, *, now: datetime, expires_at: datetime) -> bool:
    """Whether a signature is used for the first time; it is kept until it would not be accepted any more.

    Raises StoreError.
    """
    async with database.transaction() as connection:
        await connection.execute(_SQL["forget_signatures"], now)
        return bool(await connection.fetchval(_SQL["use_signature"], digest, expires_at))


def _key(row: Any) -> Key:
    found = dict(row)
    role_id = bearer_role(
        found.pop("role_id"),
        property_id=found["property_id"],
        application_id=found["application_id"],
        manages=found.pop("manages"),
    )
    rate = read_rate(found)
    del found["rate_per_s"], found["burst"]
    return Key(**found, role_id=role_id, rate=rate)


def _owner(property_id: PropertyId, key_id: KeyId) -> str:
    """What a sealed secret belongs to: a row, which cannot be passed on to another property."""
    return f"access key {property_id} {key_id}"
