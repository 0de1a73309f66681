"""Identity applications of a property: registered, changed, removed.

Source: docs/contract/web-services.md §3.3
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from matrixhub.model.access import RoleId
from matrixhub.model.errors import InvalidValue, LimitViolated, NotFound
from matrixhub.model.federation import (
    APPLICATIONS_MAX,
    TOKEN_KINDS,
    IdentityApplication,
    Provider,
    TokenKind,
    check_identity_application,
    jwks_url_of,
)
from matrixhub.model.ids import IdentityApplicationId, PropertyId, new_id
from matrixhub.modules.access.roles import resolve_role
from matrixhub.modules.work import Platform
from matrixhub.store.identity_applications import (
    count_identity_applications,
    create_identity_application,
    lock_identity_application,
    remove_identity_application,
    save_identity_application,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class NewIdentityApplication:
    """What is asked for; '' is what the provider usually has, see `model.federation`."""

    name: str = ""
    provider: str
    issuer: str
    audience: str
    role_id: str
    boundary_id: str | None = None
    user_claim: str = "sub"
    jwks_url: str = ""
    token_kind: str = ""
    ca_pem: str = ""
    enabled: bool = True


async def register_identity_application(
    platform: Platform, property_id: PropertyId, asked: NewIdentityApplication
) -> IdentityApplication:
    """A new identity application of the property.

    Raises: InvalidValue, NotFound if there is no such property, LimitViolated if it has too many, StoreError.
    """
    provider = cast(Provider, asked.provider)
    now = platform.now()
    made = IdentityApplication(
        id=IdentityApplicationId(new_id("quid")),
        property_id=property_id,
        name=asked.name,
        provider=provider,
        token_kind=cast(TokenKind, asked.token_kind or TOKEN_KINDS.get(provider, "identity")),
        issuer=asked.issuer,
        audience=asked.audience,
        jwks_url=asked.jwks_url or jwks_url_of(provider, asked.issuer),
        ca_pem=asked.ca_pem,
        user_claim=asked.user_claim,
        role_id=RoleId(asked.role_id),
        boundary_id=None if asked.boundary_id is None else RoleId(asked.boundary_id),
        enabled=asked.enabled,
        created_at=now,
        updated_at=now,
    )
    check_identity_application(made)
    await _check_roles(platform, property_id, {"role": made.role_id, "boundary_role": made.boundary_id})
    async with platform.work(property_id) as work:
        if await count_identity_applications(work.connection, property_id) >= APPLICATIONS_MAX:
            raise LimitViolated(f"a property has at most {APPLICATIONS_MAX} identity applications")
        await create_identity_application(work.connection, made)
    return made


async def change_identity_application(
    platform: Platform,
    property_id: PropertyId,
    application_id: IdentityApplicationId,
    changes: Mapping[str, Any],
    *,
    check: Callable[[IdentityApplication], None] = lambda _: None,
) -> IdentityApplication:
    """Change fields of it, by their names; it holds from the next request on.

    Another provider is another application, with another QUID. `check` is shown it as it was before, and may raise.
    Raises: InvalidValue, NotFound, StoreError.
    """
    await _check_roles(
        platform, property_id, {"role": changes.get("role_id"), "boundary_role": changes.get("boundary_id")}
    )
    async with platform.work(property_id) as work:
        before = await lock_identity_application(work.connection, property_id, application_id)
        check(before)
        changed = replace(before, **changes, updated_at=work.now, version=before.version + 1)
        if not changed.jwks_url:
            changed = replace(changed, jwks_url=jwks_url_of(changed.provider, changed.issuer))
        check_identity_application(changed)
        await save_identity_application(work.connection, changed)
    return changed


async def remove(platform: Platform, property_id: PropertyId, application_id: IdentityApplicationId) -> None:
    """Let it be gone: from now on its tokens are good for nothing. Raises NotFound, StoreError."""
    async with platform.work(property_id) as work:
        await remove_identity_application(work.connection, property_id, application_id)


async def _check_roles(platform: Platform, property_id: PropertyId, roles: Mapping[str, str | None]) -> None:
    """Raises: InvalidValue naming the field with a role that the property does not have, or cannot give away."""
    for field, role_id in roles.items():
        if role_id is None:
            continue
        try:
            await resolve_role(platform.database, property_id, role_id)
        except (NotFound, InvalidValue) as error:
            raise InvalidValue(f"{field}: {error.message}", fields=[(field, "is no role that can be given")]) from error
