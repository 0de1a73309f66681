"""The gate: proves who asks, and decides whether it may."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from matrixhub.api.access.basic import identify_basic
from matrixhub.api.access.bearer import identify_bearer
from matrixhub.api.access.credentials import Credentials
from matrixhub.api.access.federated import identify_federated
from matrixhub.api.access.schmac import SKEW_MAX_S, identify_schmac
from matrixhub.api.access.standing import note_standing
from matrixhub.api.access.unsigned import identify_unsigned
from matrixhub.api.parts import Parts
from matrixhub.model.access import Identity, Request
from matrixhub.model.errors import AccessDenied, SignatureUsed, TooOften, Unauthorised
from matrixhub.model.ids import PropertyId
from matrixhub.modules.access.rules import Rules
from matrixhub.observe import RateLimited
from matrixhub.store.access_keys import use_signature

Scheme = Callable[[Parts, Credentials], Awaitable[Identity]]

SCHEMES: Mapping[str, Scheme] = {
    "bearer": identify_bearer,
    "basic": identify_basic,
    "schmac_v1": identify_schmac,
}
"""How each scheme of the Authorization header proves who asks."""


class Gate:
    """Every request of the faces comes past here."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._rules = Rules(parts.database, parts.versions, parts.clock)

    async def identify(self, credentials: Credentials) -> Identity:
        """Who asks, counted against its limit.

        Raises: Unauthorised, MissingParameters where a signature lacks what it covers, TooManyWrong, TooOften,
        IdentityProviderAway, StoreError.
        """
        identity = await self._proven(credentials)
        standing = self._parts.access.limiter.take(identity.id, identity.rate)
        note_standing(standing)
        if standing.wait_s:
            self._parts.access.observe(RateLimited(who=identity.id))
            raise TooOften(f"more than {standing.limit} requests at once", retry_after_s=standing.wait_s)
        return identity

    async def accept_once(self, identity: Identity, credentials: Credentials, *covered: bytes) -> None:
        """Let a request of a key that is protected against replays pass once; `covered` is what makes it another one.

        All processes know which have passed. Raises: SignatureUsed, StoreError.
        """
        if not identity.once:
            return
        now = self._parts.platform.now()
        digest = request_digest(identity, credentials, *covered)
        # The time of the signature may be ahead by as much as it may be behind.
        expires_at = now + timedelta(seconds=2 * SKEW_MAX_S + 1)
        if not await use_signature(self._parts.database, digest, now=now, expires_at=expires_at):
            raise SignatureUsed

    async def _proven(self, credentials: Credentials) -> Identity:
        if self._parts.access.unsigned and not credentials.authorization.strip():
            return identify_unsigned(credentials)
        if credentials.application:  # its token may be bare, so that no scheme is named
            return await identify_federated(self._parts, credentials)
        scheme = SCHEMES.get(_scheme_of(credentials.authorization))
        if scheme is None:
            raise Unauthorised
        return await scheme(self._parts, credentials)

    async def authorise(self, identity: Identity, request: Request) -> None:
        """Let it pass, or not. Raises: AccessDenied, StoreError."""
        decision = await self._rules.decide(identity, request)
        if not decision.allowed:
            raise AccessDenied(decision.why, reason=decision.denial)


def property_of(identity: Identity, asked: str) -> PropertyId | None:
    """The property a request is about: the one it names, else that of who asks."""
    return PropertyId(asked) if asked else identity.property_id


def request_digest(identity: Identity, credentials: Credentials, *covered: bytes) -> bytes:
    """What tells a signed request from every other: key, time, operation, property, and what else it is about."""
    parts = (identity.id, credentials.time, credentials.operation, credentials.property_id)
    found = hashlib.sha256()
    for part in (*(text.encode("utf-8", "replace") for text in parts), *covered):
        found.update(hashlib.sha256(part).digest())
    return found.digest()


def _scheme_of(authorization: str) -> str:
    """The scheme of a header, in lower case.

    >>> _scheme_of("Bearer mhk_x"), _scheme_of("SCHMAC_V1;demo-key/0001;b9b8")
    ('bearer', 'schmac_v1')
    """
    return authorization.strip().replace(";", " ", 1).partition(" ")[0].lower()
