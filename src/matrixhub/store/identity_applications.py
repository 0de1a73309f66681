"""Identity applications: whose users a property lets in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matrixhub.model.access import RoleId
from matrixhub.model.errors import NotFound
from matrixhub.model.federation import IdentityApplication
from matrixhub.model.ids import IdentityApplicationId, PropertyId
from matrixhub.store.pool import Database
from matrixhub.store.sql import load_statements

_SQL = load_statements("identity_applications.sql")


async def create_identity_application(connection: Any, made: IdentityApplication) -> None:
    """Keep a new one."""
    await connection.execute(
        _SQL["create"],
        made.id,
        made.property_id,
        made.name,
        made.provider,
        made.token_kind,
        made.issuer,
        made.audience,
        made.jwks_url,
        made.ca_pem,
        made.user_claim,
        made.role_id,
        made.boundary_id,
        made.enabled,
        made.created_at,
        made.updated_at,
        made.version,
    )


async def count_identity_applications(connection: Any, property_id: PropertyId) -> int:
    """How many the property has, and nobody else makes one until the end of the transaction. Raises NotFound."""
    row = await connection.fetchrow(_SQL["count"], property_id)
    if row is None:
        raise NotFound(f"there is no property {property_id}")
    return int(row["found"])


async def list_identity_applications(connection: Any, property_id: PropertyId) -> Sequence[IdentityApplication]:
    """Those of the property, oldest first."""
    return [_application(row) for row in await connection.fetch(_SQL["list"], property_id)]


async def show_identity_application(
    connection: Any, property_id: PropertyId, application_id: IdentityApplicationId
) -> IdentityApplication:
    """One of the property. Raises NotFound."""
    return _found(await connection.fetchrow(_SQL["show"], property_id, application_id), application_id)


async def lock_identity_application(
    connection: Any, property_id: PropertyId, application_id: IdentityApplicationId
) -> IdentityApplication:
    """One of the property, and nobody else changes it until the end of the transaction. Raises NotFound."""
    return _found(await connection.fetchrow(_SQL["lock"], property_id, application_id), application_id)


async def save_identity_application(connection: Any, changed: IdentityApplication) -> None:
    """Keep it as it is now; it was locked before."""
    await connection.execute(
        _SQL["save"],
        changed.property_id,
        changed.id,
        changed.name,
        changed.provider,
        changed.token_kind,
        changed.issuer,
        changed.audience,
        changed.jwks_url,
        changed.ca_pem,
        changed.user_claim,
        changed.role_id,
        changed.boundary_id,
        changed.enabled,
        changed.updated_at,
        changed.version,
    )


async def remove_identity_application(
    connection: Any, property_id: PropertyId, application_id: IdentityApplicationId
) -> None:
    """Let it be gone. Raises NotFound."""
    if not await connection.fetch(_SQL["remove"], property_id, application_id):
        raise NotFound(f"there is no identity application {application_id}")


async def find_identity_application(
    database: Database, application_id: str
) -> tuple[IdentityApplication, frozenset[str]] | None:
    """The one of a QUID, of whichever property, and what pushes of that property are allowed to reach; None if there
    is none. Raises StoreError.
    """
    async with database.connection() as connection:
        row = await connection.fetchrow(_SQL["find"], application_id)
    return None if row is None else (_application(row), frozenset(row["egress_allow"]))


def _found(row: Any, application_id: IdentityApplicationId) -> IdentityApplication:
    if row is None:
        raise NotFound(f"there is no identity application {application_id}")
    return _application(row)


def _application(row: Any) -> IdentityApplication:
    boundary = row["boundary_id"]
    return IdentityApplication(
        id=IdentityApplicationId(row["id"]),
        property_id=PropertyId(row["property_id"]),
        name=row["name"],
        provider=row["provider"],
        token_kind=row["token_kind"],
        issuer=row["issuer"],
        audience=row["audience"],
        jwks_url=row["jwks_url"],
        ca_pem=row["ca_pem"],
        user_claim=row["user_claim"],
        role_id=RoleId(row["role_id"]),
        boundary_id=None if boundary is None else RoleId(boundary),
        enabled=row["enabled"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        version=row["version"],
    )
