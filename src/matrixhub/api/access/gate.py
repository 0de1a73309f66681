"""The gate: proves who asks, and decides whether it may."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from matrixhub.api.access.bearer import identify_bearer
from matrixhub.api.parts import Parts
from matrixhub.model.access import Identity, Request
from matrixhub.model.errors import AccessDenied, Unauthorised
from matrixhub.model.ids import PropertyId
from matrixhub.modules.access.rules import Rules


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """What a request says of who sends it.

    `service` is the segment of its path, `operation` and `property_id` are those of its query: a signature covers them.
    `time` is `x-sc-time`, `application` is `x-sc-auth`, `address` that of the client.
    """

    authorization: str
    service: str = ""
    operation: str = ""
    property_id: str = ""
    time: str = ""
    application: str = ""
    address: str = ""


Scheme = Callable[[Parts, Credentials], Awaitable[Identity]]

SCHEMES: Mapping[str, Scheme] = {"bearer": identify_bearer}
"""How each scheme of the Authorization header proves who asks."""


class Gate:
    """Every request of the faces comes past here."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._rules = Rules(parts.database, parts.versions, parts.clock)

    async def identify(self, credentials: Credentials) -> Identity:
        """Who asks. Raises: Unauthorised, RateExceeded after too many wrong attempts, StoreError."""
        scheme = SCHEMES.get(_scheme_of(credentials.authorization))
        if scheme is None:
            raise Unauthorised
        return await scheme(self._parts, credentials)

    async def authorise(self, identity: Identity, request: Request) -> None:
        """Let it pass, or not. Raises: AccessDenied, StoreError."""
        decision = await self._rules.decide(identity, request)
        if decision.code != "ALLOWED":
            raise AccessDenied(decision.why, reason=decision.code)


def property_of(identity: Identity, asked: str) -> PropertyId | None:
    """The property a request is about: the one it names, else that of who asks."""
    return PropertyId(asked) if asked else identity.property_id


def _scheme_of(authorization: str) -> str:
    """The scheme of a header, in lower case.

    >>> _scheme_of("Bearer mhk_x"), _scheme_of("SCHMAC_V1;demo-key/0001;b9b8")
    ('bearer', 'schmac_v1')
    """
    return authorization.replace(";", " ", 1).partition(" ")[0].lower()
