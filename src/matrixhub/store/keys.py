"""Keys that may send readings, some that may manage too, and those of applications; only their SHA-256 is kept."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matrixhub.model.access import Rate, RoleId, bearer_role
from matrixhub.model.errors import Forbidden, InvalidValue, NotFound
from matrixhub.model.ids import ApplicationId, KeyId, PropertyId, new_id
from matrixhub.model.secret import Secret
from matrixhub.store.applications import lock_application
from matrixhub.store.pool import Database
from matrixhub.store.sites import SITE_CHANNEL, require_property
from matrixhub.store.sql import load_statements

KEY_PREFIX = "mhk_"

_SQL = load_statements("keys.sql")


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRights:
    """What the holder of a key may do; `property_id` None is for every property.

    A key of an application publishes its events, and does nothing else.
    """

    key_id: KeyId
    property_id: PropertyId | None
    role_id: RoleId
    application_id: ApplicationId | None = None
    rate: Rate | None = None


def digest(token: str) -> bytes:
    """What is kept of a key: it is random and long, so one round of SHA-256 suffices."""
    return hashlib.sha256(token.encode()).digest()


async def create_key(
    database: Database,
    property_id: PropertyId,
    name: str,
    *,
    manages: bool = False,
    application_id: ApplicationId | None = None,
    role_id: RoleId | None = None,
    rate: Rate | None = None,
) -> tuple[KeyId, Secret]:
    """A new key for the property, or for an application of it; the secret is given out here and never again.

    Without a role it has the one that follows from what it is for, and without a rate that of the settings.
    Raises: NotFound if there is no such property or application, Forbidden if the application was revoked, InvalidValue
    for a key of an application that is to manage, StoreError.
    """
    if manages and application_id is not None:
        raise InvalidValue("a key of an application publishes its events, and may not manage")
    await require_property(database, property_id)
    key_id, token = KeyId(new_id("key")), KEY_PREFIX + secrets.token_urlsafe(32)
    async with database.transaction() as connection:
        if application_id is not None:
            application = await lock_application(connection, property_id, application_id)
            if application.revoked_at is not None:
                raise Forbidden(f"the application {application_id} was revoked")
        await connection.execute(
            _SQL["create_key"],
            key_id,
            property_id,
            name,
            digest(token),
            manages,
            application_id,
            role_id,
            rate.per_s if rate is not None else None,
            rate.burst if rate is not None else None,
        )
        await connection.execute("select pg_notify($1, '')", SITE_CHANNEL)
    return key_id, Secret(token)


async def keep_local_key(database: Database, token: str) -> None:
    """Make the hub's own key valid: commands on the same machine send with it. Raises StoreError."""
    async with database.connection() as connection:
        await connection.execute(_SQL["keep_local_key"], digest(token))


async def revoke_key(database: Database, property_id: PropertyId, key_id: KeyId) -> None:
    """Make a key invalid at once.

    Raises: NotFound if the property has no such valid key, StoreError.
    """
    async with database.transaction() as connection:
        if not await connection.fetch(_SQL["revoke_key"], property_id, key_id):
            raise NotFound(f"property {property_id} has no valid key {key_id}")
        await connection.execute("select pg_notify($1, '')", SITE_CHANNEL)


async def find_key(database: Database, token: str) -> KeyRights | None:
    """What a key may do, or None if it is not valid. The hub's own key may do everything. Raises StoreError."""
    async with database.connection() as connection:
        row = await connection.fetchrow(_SQL["find_key"], digest(token))
    return None if row is None else _rights(row)


async def valid_keys(database: Database) -> Mapping[bytes, KeyRights]:
    """What every valid key may do, by its digest. Raises StoreError."""
    async with database.connection() as connection:
        rows = await connection.fetch(_SQL["valid_keys"])
    return {row["digest"]: _rights(row) for row in rows}


def _rights(row: Any) -> KeyRights:
    return KeyRights(
        key_id=row["key_id"],
        property_id=row["property_id"],
        role_id=bearer_role(
            row["role_id"],
            property_id=row["property_id"],
            application_id=row["application_id"],
            manages=row["manages"],
        ),
        application_id=row["application_id"],
        rate=read_rate(row),
    )


def read_rate(row: Any) -> Rate | None:
    """The rate in a row of keys, None for that of the settings."""
    return None if row["rate_per_s"] is None else Rate(per_s=row["rate_per_s"], burst=row["burst"])
