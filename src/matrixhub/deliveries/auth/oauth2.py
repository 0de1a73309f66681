"""What is asked of a token server, and what its answer means: pure functions.

Written here rather than taken from a library: what the hub needs of RFC 6749 is one form and one JSON object, while the
libraries bring an HTTP client of their own, which would go past the egress guard.
Source: docs/contract/data-push.md §3.2, §3.3; RFC 6749 §2.3.1, §4.4, §5, §6
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, urlencode

import msgspec

from matrixhub.deliveries.auth.basic import basic
from matrixhub.deliveries.redaction import shown, spellings_of, token_secrets
from matrixhub.model.destination import ClientCredentials, RefreshToken, TokenAuth
from matrixhub.model.errors import ReauthorisationNeeded, TokenFault, TokenRefused
from matrixhub.model.secret import Secret

MARGIN_S = 60.0
"""So long before a token expires it is renewed, but not before half of its time is over."""

UNTOLD_S = 240.0
"""How long a token is used whose lifetime the answer does not tell."""

LIFETIME_MAX_S = 365 * 86_400.0
TOKEN_MAX = 32_768
ERROR_SHOWN_MAX = 200

_SENDABLE = re.compile(r"[\x21-\x7e]+")
_PASSING = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
"""Errors that say that the server is in trouble, not that it refuses."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenRequest:
    """A POST to a token server; the body is a secret."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenAnswer:
    """What a token server said."""

    status: int
    body: bytes = field(repr=False)
    retry_after_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Granted:
    """A new access token, when to renew it, and the refresh token that takes the place of the one shown, if any."""

    access_token: Secret
    expires_at_ms: int
    refresh_token: Secret | None = None


def token_request(auth: TokenAuth, refresh_token: Secret | None) -> TokenRequest:
    """What to ask. `refresh_token` is the one in force; it is for a RefreshToken only."""
    form: list[tuple[str, str]]
    match auth:
        case ClientCredentials():
            form = [("grant_type", "client_credentials")]
        case RefreshToken():
            form = [
                ("grant_type", "refresh_token"),
                ("refresh_token", (refresh_token or auth.refresh_token).reveal()),
            ]
    if auth.scope:
        form.append(("scope", auth.scope))
    if isinstance(auth, ClientCredentials) and auth.audience:
        form.append(("audience", auth.audience))
    form += auth.extra
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    if auth.client_secret is None:
        form.append(("client_id", auth.client_id))
    elif auth.client_auth == "header":
        headers["Authorization"] = basic(quote_plus(auth.client_id), quote_plus(auth.client_secret.reveal()))
    else:
        form += [("client_id", auth.client_id), ("client_secret", auth.client_secret.reveal())]
    return TokenRequest(url=auth.token_url, headers=headers, body=urlencode(form).encode("ascii"))


def read_answer(auth: TokenAuth, refresh_token: Secret | None, answer: TokenAnswer, now_ms: int) -> Granted:
    """The token that was granted.

    Raises: TokenRefused if the server refuses the client, ReauthorisationNeeded if it refuses the refresh token,
            TokenFault if it is in trouble or says what cannot be understood.
    """
    document = _document(answer.body)
    error = document.get("error")
    # Some servers tell errors with status 200.
    if isinstance(error, str) and error and "access_token" not in document:
        raise _refusal(auth, refresh_token, answer, error, document.get("error_description"))
    if not 200 <= answer.status < 300:
        raise TokenFault(f"the token server answered HTTP {answer.status}", retry_after_s=answer.retry_after_s)
    access_token = document.get("access_token")
    if not isinstance(access_token, str) or not access_token:
        raise TokenFault("the answer of the token server holds no access token")
    if len(access_token) > TOKEN_MAX or not _SENDABLE.fullmatch(access_token):
        raise TokenFault("the access token that was granted cannot be sent in a header")
    kind = document.get("token_type")
    if kind is not None and (not isinstance(kind, str) or kind.lower() != "bearer"):
        raise TokenFault("the token server granted another kind of token than Bearer")
    rotated = document.get("refresh_token")
    return Granted(
        access_token=Secret(access_token),
        expires_at_ms=now_ms + int(used_for_s(document.get("expires_in")) * 1000),
        refresh_token=Secret(rotated) if isinstance(rotated, str) and 0 < len(rotated) <= TOKEN_MAX else None,
    )


def used_for_s(expires_in: object) -> float:
    """How long a token is used. Some servers give the number as text, or 0 for what they do not want to tell.

    >>> used_for_s(3600), used_for_s("3600"), used_for_s(90), used_for_s(None), used_for_s(-1)
    (3540.0, 3540.0, 45.0, 240.0, 240.0)
    """
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float | str):
        return UNTOLD_S
    try:
        lifetime_s = float(expires_in)
    except (ValueError, OverflowError):
        return UNTOLD_S
    if not math.isfinite(lifetime_s) or lifetime_s <= 0:
        return UNTOLD_S
    lifetime_s = min(lifetime_s, LIFETIME_MAX_S)
    return max(lifetime_s - MARGIN_S, lifetime_s / 2)


def _document(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _refusal(
    auth: TokenAuth, refresh_token: Secret | None, answer: TokenAnswer, error: str, description: object
) -> TokenFault:
    sent = [*token_secrets(auth), *([refresh_token.reveal()] if refresh_token else [])]
    said = f"{error}: {description}" if isinstance(description, str) and description else error
    said = shown(said, spellings_of(sent), ERROR_SHOWN_MAX)
    if answer.status >= 500 or answer.status in (408, 429) or error in _PASSING:
        return TokenFault(f"the token server answered HTTP {answer.status}: {said}", retry_after_s=answer.retry_after_s)
    if isinstance(auth, RefreshToken) and error == "invalid_grant":
        return ReauthorisationNeeded(f"the refresh token is no longer good ({said}); set a new one and resume")
    return TokenRefused(f"the token server refused: {said}", retry_after_s=answer.retry_after_s)
