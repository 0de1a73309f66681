"""Users of other identity providers: a token in Authorization, bare or behind `Bearer`, and a QUID in x-sc-auth.

What a token says of itself decides nothing before its signature is proven: neither its issuer nor its algorithm, and
least of all where its key might be found. Source: docs/contract/web-services.md §3.3, RFC 7515, RFC 7519, RFC 8725
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from matrixhub.api.parts import Parts
from matrixhub.model.access import Identity
from matrixhub.model.errors import FederatedTokenRefused
from matrixhub.model.federation import FederatedUser, IdentityApplication, user_of
from matrixhub.store.identity_applications import find_identity_application

if TYPE_CHECKING:
    from matrixhub.api.access import Credentials

ALGORITHM = "RS256"
TOKEN_MAX = 16_384
_QUID = re.compile(r"quid_[0-9a-f]{20}")
_PART = re.compile(r"[A-Za-z0-9_-]+")

_FOREIGN_KEYS = ("jwk", "jku", "x5u")
"""Header fields by which a token would bring its own key along."""


class _Registry(jws.JWSRegistry):  # its own bound on the header is too small for some providers
    max_header_length = 4_096


_REGISTRY = _Registry(algorithms=[ALGORITHM], strict_check_header=False)


async def identify_federated(parts: Parts, credentials: Credentials) -> Identity:
    """Whose token it is. Raises: FederatedTokenRefused, IdentityProviderAway, StoreError."""
    quid = credentials.application
    found = await find_identity_application(parts.database, quid) if _QUID.fullmatch(quid) else None
    if found is None:
        raise FederatedTokenRefused("x-sc-auth names no identity application")
    application, egress_allow = found
    if not application.enabled:
        raise FederatedTokenRefused(f"the identity application {application.id} is disabled")
    token = token_of(credentials.authorization)
    header = read_header(token)
    key = await parts.key_sets.key(application, header["kid"], egress_allow)
    claims = verified_claims(token, key)
    user = user_of(application, header, claims, now_s=parts.clock.now_ms() / 1000)
    return _identity_of(application, user)


def _identity_of(application: IdentityApplication, user: FederatedUser) -> Identity:
    """The user; the gate finds the seat of the user's address, and whether a group names either of them."""
    return Identity(
        scheme="federated",
        id=f"{application.id}:{user.name}",
        name=user.name,
        property_id=application.property_id,
        role_id=application.role_id,
        boundary_id=application.boundary_id,
        email=user.email,
    )


def token_of(authorization: str) -> str:
    """The token of a header. Raises: FederatedTokenRefused if there is none.

    >>> token_of("Bearer a.b.c"), token_of("bearer  a.b.c"), token_of("a.b.c")
    ('a.b.c', 'a.b.c', 'a.b.c')
    """
    first, _, rest = authorization.strip().partition(" ")
    token = rest.strip() if first.lower() == "bearer" else authorization.strip()
    if not token:
        raise FederatedTokenRefused("Authorization has no token")
    if len(token) > TOKEN_MAX:
        raise FederatedTokenRefused(f"the token is longer than {TOKEN_MAX:,} characters")
    return token


def read_header(token: str) -> Mapping[str, Any]:
    """The header of a signed token, before its signature is proven: RS256, with a `kid`, and with no key of its own.

    Raises: FederatedTokenRefused.
    """
    parts = token.split(".")
    if len(parts) != 3 or not all(_PART.fullmatch(part) for part in parts):
        raise FederatedTokenRefused("this is no signed JWT")
    try:
        decoded = [base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True) for part in parts]
        header = msgspec.json.decode(decoded[0])
    except (binascii.Error, ValueError, RecursionError) as error:
        raise FederatedTokenRefused("this is no signed JWT") from error
    # Another spelling of the same bytes would be another text with the same signature.
    if any(
        base64.urlsafe_b64encode(raw).rstrip(b"=") != part.encode() for raw, part in zip(decoded, parts, strict=True)
    ):
        raise FederatedTokenRefused("this is no signed JWT")
    if not isinstance(header, dict) or header.get("alg") != ALGORITHM:
        raise FederatedTokenRefused(f"a token is signed with {ALGORITHM}")
    if any(name in header for name in _FOREIGN_KEYS):
        raise FederatedTokenRefused("a token does not bring its own key")
    if "crit" in header or header.get("b64", True) is not True:
        raise FederatedTokenRefused("the token needs what is not supported")
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise FederatedTokenRefused("the token does not name its key")
    return header


def verified_claims(token: str, key: RSAKey) -> Mapping[str, Any]:
    """What a token says, proven with its issuer's key. Raises: FederatedTokenRefused."""
    try:
        payload = jws.deserialize_compact(
            token.encode("ascii"), key, algorithms=[ALGORITHM], registry=_REGISTRY
        ).payload
        claims = msgspec.json.decode(payload)
    except JoseError as error:
        raise FederatedTokenRefused("the signature of the token is wrong") from error
    except (ValueError, RecursionError) as error:
        raise FederatedTokenRefused("the token holds no claims") from error
    if not isinstance(claims, dict):
        raise FederatedTokenRefused("the token holds no claims")
    return claims
