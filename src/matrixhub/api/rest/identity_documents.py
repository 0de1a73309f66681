"""Identity applications, as the REST face takes and gives them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from matrixhub.api.rest.documents import Given, Instant, Taken
from matrixhub.model.federation import IdentityApplication, Provider, TokenKind

Name = Annotated[str, Meta(max_length=512, description="What it is, for people.")]
Issuer = Annotated[str, Meta(min_length=1, max_length=512, description="`iss` of its tokens, an https:// URL.")]
Audience = Annotated[
    str, Meta(min_length=1, max_length=512, description="The client its tokens are for: `aud`, or `client_id`.")
]
JwksUrl = Annotated[
    str, Meta(min_length=1, max_length=512, description="Where its keys are; else where the provider has them.")
]
CaPem = Annotated[
    str, Meta(max_length=100_000, description="Authorities to trust, in PEM, for a provider of one's own.")
]
UserClaim = Annotated[str, Meta(min_length=1, max_length=128, description="The claim that tells users apart.")]
Role = Annotated[str, Meta(min_length=1, max_length=128, description="The role its users get.")]
Boundary = Annotated[
    str, Meta(min_length=1, max_length=128, description="A role whose explicit denials hold for its users, too.")
]
TokenKindText = Annotated[
    TokenKind, Meta(description="Which token is taken; each provider has one, of `other` it may be said.")
]


class IdentityApplicationView(Given, frozen=True, kw_only=True):
    """Whose users the property lets in."""

    id: Annotated[str, Meta(description="The QUID: what requests carry in `x-sc-auth`.")]
    name: Name
    provider: Provider
    token_kind: TokenKindText
    issuer: Issuer
    audience: Audience
    jwks_url: JwksUrl
    ca_pem: CaPem
    user_claim: UserClaim
    role: Role
    boundary_role: Boundary | None
    enabled: Annotated[bool, Meta(description="Whether its tokens are taken.")]
    created_at: Instant
    updated_at: Instant
    version: Annotated[int, Meta(ge=1)]


class IdentityApplicationList(Given, frozen=True, kw_only=True):
    """Identity applications, oldest first."""

    items: list[IdentityApplicationView]


class NewIdentityApplication(Taken, frozen=True, kw_only=True):
    """An identity application to be registered."""

    provider: Provider
    issuer: Issuer
    audience: Audience
    role: Role
    name: Name = ""
    boundary_role: Boundary | None = None
    user_claim: UserClaim = "sub"
    jwks_url: JwksUrl | None = None
    token_kind: TokenKindText | None = None
    ca_pem: CaPem = ""
    enabled: bool = True


class ChangedIdentityApplication(Taken, frozen=True, kw_only=True):
    """A merge patch; null takes away what may be missing."""

    name: Name | UnsetType = UNSET
    issuer: Issuer | UnsetType = UNSET
    audience: Audience | UnsetType = UNSET
    jwks_url: JwksUrl | UnsetType | None = UNSET
    ca_pem: CaPem | UnsetType = UNSET
    user_claim: UserClaim | UnsetType = UNSET
    role: Role | UnsetType = UNSET
    boundary_role: Boundary | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET


def identity_application_view(found: IdentityApplication) -> IdentityApplicationView:
    """An identity application as it is given out."""
    return IdentityApplicationView(
        id=found.id,
        name=found.name,
        provider=found.provider,
        token_kind=found.token_kind,
        issuer=found.issuer,
        audience=found.audience,
        jwks_url=found.jwks_url,
        ca_pem=found.ca_pem,
        user_claim=found.user_claim,
        role=found.role_id,
        boundary_role=found.boundary_id,
        enabled=found.enabled,
        created_at=found.created_at,
        updated_at=found.updated_at,
        version=found.version,
    )


_FIELDS = {"role": "role_id", "boundary_role": "boundary_id"}


def changes_of(asked: ChangedIdentityApplication) -> dict[str, object]:
    """The changes that a patch asks for, by the names of the model.

    >>> changes_of(ChangedIdentityApplication(role="r", jwks_url=None))
    {'jwks_url': '', 'role_id': 'r'}
    """
    given = {name: value for name in asked.__struct_fields__ if (value := getattr(asked, name)) is not msgspec.UNSET}
    if given.get("jwks_url", "") is None:
        given["jwks_url"] = ""
    return {_FIELDS.get(name, name): value for name, value in given.items()}
