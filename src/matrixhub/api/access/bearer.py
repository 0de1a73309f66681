"""The hub's own keys: `Authorization: Bearer mhk_…`."""

from __future__ import annotations

from matrixhub.api.access.credentials import Credentials
from matrixhub.api.access.proof import proven
from matrixhub.api.parts import Parts
from matrixhub.model.access import Identity
from matrixhub.model.errors import Unauthorised
from matrixhub.store.keys import KEY_PREFIX, digest


async def identify_bearer(parts: Parts, credentials: Credentials) -> Identity:
    """Whose key it is. Raises: Unauthorised, TooManyWrong, StoreError."""
    token = credentials.authorization.strip().partition(" ")[2].strip()
    if not token.startswith(KEY_PREFIX) or not token.isascii():
        raise Unauthorised
    # Every guess at a token is one at another key: it is counted for the address, and a sender who goes on with a token
    # that is no longer valid is slowed down by itself.
    key = f"bearer {digest(token).hex()[:12]}"
    rights = await proven(
        parts, credentials, "bearer", key, lambda: parts.access.book.find_bearer(token), lambda _: True
    )
    return Identity(
        scheme="bearer",
        id=rights.key_id,
        name=rights.key_id,
        property_id=rights.property_id,
        role_id=rights.role_id,
        application_id=rights.application_id,
        rate=rights.rate,
    )
