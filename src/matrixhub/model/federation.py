"""Federated identities: users of another identity provider, as a property has registered it, and what its tokens say.

Pure: whether a token was really signed is proven elsewhere; here is decided what a signed one is good for.
Source: docs/contract/web-services.md §3.3
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from matrixhub.model.access import OPERATOR, RoleId
from matrixhub.model.errors import FederatedTokenRefused, InvalidValue
from matrixhub.model.ids import IdentityApplicationId, PropertyId

Provider = Literal["azure_ad", "auth0", "firebase", "cognito", "other"]
TokenKind = Literal["identity", "access"]
"""An identity token says who somebody is to a client, an access token what a client may do for them."""

PROVIDERS: tuple[Provider, ...] = ("azure_ad", "auth0", "firebase", "cognito", "other")

TOKEN_KINDS: Mapping[Provider, TokenKind] = {
    "azure_ad": "identity",
    "auth0": "identity",
    "firebase": "identity",
    "cognito": "access",
    "other": "identity",
}
"""Which token of a provider is taken (published); one of `other` may be told to be the other (ours)."""

VERIFIES_EMAIL: frozenset[Provider] = frozenset({"auth0", "firebase"})
"""Providers that say of each email whether it was verified, and let users put in any."""

LEEWAY_S = 60
"""How far the clocks of the provider and of the hub may be apart."""

APPLICATIONS_MAX = 50
"""Identity applications of a property."""

USER_MAX = 256
_TEXT_MAX = 512
_PEM_MAX = 100_000

_FIREBASE_KEYS = "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com"

_CLAIM = re.compile(r"[A-Za-z0-9_:./-]{1,128}")
_ROLE = re.compile(r"[^\s\x00-\x1f\x7f]{1,128}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_ACCESS_TYPES = frozenset({"at+jwt", "application/at+jwt"})
"""`typ` of access tokens. Source: RFC 9068 §2.1"""


@dataclass(frozen=True, kw_only=True, slots=True)
class IdentityApplication:
    """Whose users a property lets in: the issuer of their tokens, the client these are for, and the role they get.

    `id` is the QUID that goes into `x-sc-auth`. `user_claim` names the claim that tells users apart. `ca_pem` is the
    authority of a provider of one's own, '' for those of the system.
    """

    id: IdentityApplicationId
    property_id: PropertyId
    name: str
    provider: Provider
    token_kind: TokenKind
    issuer: str
    audience: str
    jwks_url: str
    ca_pem: str
    user_claim: str
    role_id: RoleId
    boundary_id: RoleId | None
    enabled: bool
    created_at: datetime
    updated_at: datetime
    version: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class FederatedUser:
    """Whom a token names; `email` is '' where its issuer does not vouch for it."""

    name: str
    email: str = ""


def jwks_url_of(provider: Provider, issuer: str) -> str:
    """Where a provider publishes its keys, if it is not told.

    >>> jwks_url_of("azure_ad", "https://login.microsoftonline.com/t1/v2.0")
    'https://login.microsoftonline.com/t1/discovery/v2.0/keys'
    >>> jwks_url_of("auth0", "https://orchard.eu.auth0.com/")
    'https://orchard.eu.auth0.com/.well-known/jwks.json'
    """
    base = issuer.rstrip("/")
    if provider == "azure_ad":
        return f"{base.removesuffix('/v2.0')}/discovery/v2.0/keys"
    if provider == "firebase":
        return _FIREBASE_KEYS
    return f"{base}/.well-known/jwks.json"


def check_identity_application(application: IdentityApplication) -> None:
    """Raises: InvalidValue naming every field that is wrong."""
    wrong = [(field, what) for field, what in _checked(application) if what]
    if wrong:
        raise InvalidValue("; ".join(f"{field} {what}" for field, what in wrong), fields=wrong)


def _checked(application: IdentityApplication) -> list[tuple[str, str]]:
    provider, kind = application.provider, application.token_kind
    return [
        ("name", _short_text(application.name, empty=True)),
        ("provider", "" if provider in PROVIDERS else f"is one of {', '.join(PROVIDERS)}"),
        ("token_kind", _kind_fault(provider, kind)),
        ("issuer", _url_fault(application.issuer)),
        ("audience", _short_text(application.audience)),
        ("jwks_url", _url_fault(application.jwks_url)),
        ("ca_pem", "is too long" if len(application.ca_pem) > _PEM_MAX else ""),
        ("user_claim", "" if _CLAIM.fullmatch(application.user_claim) else "is the name of a claim, such as sub"),
        ("role", _role_fault(application.role_id)),
        ("boundary_role", "" if application.boundary_id is None else _role_fault(application.boundary_id)),
    ]


def _kind_fault(provider: Provider, kind: TokenKind) -> str:
    if kind not in ("identity", "access"):
        return "is identity or access"
    if provider != "other" and kind != TOKEN_KINDS.get(provider, kind):
        return f"is {TOKEN_KINDS[provider]} with {provider}"
    return ""


def _short_text(text: str, *, empty: bool = False) -> str:
    if not text.strip() and not empty:
        return "is missing"
    return f"has at most {_TEXT_MAX} characters" if len(text) > _TEXT_MAX or _CONTROL.search(text) else ""


def _url_fault(text: str) -> str:
    if fault := _short_text(text):
        return fault
    try:
        parts = urlsplit(text)
        sound = parts.scheme == "https" and bool(parts.hostname) and parts.username is None and not parts.fragment
        _ = parts.port
    except ValueError:
        sound = False
    return "" if sound else "is an https:// URL without user and fragment"


def _role_fault(role: RoleId) -> str:
    if not _ROLE.fullmatch(role):
        return "is the id of a role, such as SMARTCLEAN#PropertyAdmins"
    return "is the hub's own, and given to nobody" if role == OPERATOR else ""


def user_of(
    application: IdentityApplication, header: Mapping[str, Any], claims: Mapping[str, Any], *, now_s: float
) -> FederatedUser:
    """Whom a token of the application names, as it was signed by one of its keys.

    Raises: FederatedTokenRefused saying what is wrong with it.
    """
    if claims.get("iss") != application.issuer:
        raise FederatedTokenRefused("the token is of another issuer")
    _check_times(claims, now_s)
    _check_kind(application.token_kind, header, claims)
    if not _is_for(application, claims):
        raise FederatedTokenRefused("the token is for another application")
    name = _named_user(application, claims)
    return FederatedUser(name=name, email=_vouched_email(application, claims))


def _check_times(claims: Mapping[str, Any], now_s: float) -> None:
    """Source: RFC 7519 §4.1.4 to §4.1.6"""
    expires, issued = _numeric(claims, "exp"), _numeric(claims, "iat")
    begins = _numeric(claims, "nbf") if "nbf" in claims else issued
    if expires <= now_s - LEEWAY_S:
        raise FederatedTokenRefused("the token has expired")
    if begins > now_s + LEEWAY_S:
        raise FederatedTokenRefused("the token is not valid yet")
    if issued > now_s + LEEWAY_S:
        raise FederatedTokenRefused("the token was issued in the future")


def _numeric(claims: Mapping[str, Any], name: str) -> int | float:
    found = claims.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise FederatedTokenRefused(f"{name} of the token is no time")
    if isinstance(found, float) and not math.isfinite(found):
        raise FederatedTokenRefused(f"{name} of the token is no time")
    return found


def _check_kind(wanted: TokenKind, header: Mapping[str, Any], claims: Mapping[str, Any]) -> None:
    """Whether it is the token that the provider is known for; one of the other kind is meant for somebody else."""
    kind = str(header.get("typ", "")).lower()
    used_as = claims.get("token_use")
    if wanted == "identity":
        if kind in _ACCESS_TYPES or used_as not in (None, "id") or "scp" in claims or "scope" in claims:
            raise FederatedTokenRefused("an identity token is needed, this is an access token")
    elif used_as not in (None, "access"):
        raise FederatedTokenRefused("an access token is needed, this is an identity token")


def _is_for(application: IdentityApplication, claims: Mapping[str, Any]) -> bool:
    wanted = application.audience
    if application.provider == "cognito":
        # Its access tokens have no audience, and say both of these.
        return claims.get("token_use") == "access" and claims.get("client_id") == wanted
    found = claims.get("aud")
    if found == wanted:
        return True
    if not isinstance(found, list) or wanted not in found:
        return False
    # Of several audiences one is the client that the token was given to. Source: OpenID Connect Core §3.1.3.7
    return len(found) == 1 or application.token_kind == "access" or claims.get("azp") == wanted


def _named_user(application: IdentityApplication, claims: Mapping[str, Any]) -> str:
    claim = application.user_claim
    user = claims.get(claim)
    if not isinstance(user, str) or not user.strip() or len(user) > USER_MAX or _CONTROL.search(user):
        raise FederatedTokenRefused(f"the token names no user by {claim}")
    if claim == "email":
        verified = claims.get("email_verified", None if application.provider in VERIFIES_EMAIL else True)
        if verified not in (True, "true"):
            raise FederatedTokenRefused("the email of the token was not verified by its issuer")
    return user


def _vouched_email(application: IdentityApplication, claims: Mapping[str, Any]) -> str:
    """The address that seats and groups are looked up by: the property chose it as the name, or it was verified."""
    email = claims.get("email")
    if not isinstance(email, str) or len(email) > USER_MAX or _CONTROL.search(email):
        return ""
    return email if application.user_claim == "email" or claims.get("email_verified") in (True, "true") else ""
