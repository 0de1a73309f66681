"""The hub's own keys: `Authorization: Bearer mhk_…`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matrixhub.api.parts import Parts
from matrixhub.model.access import OPERATOR, PROPERTY_ADMINS, PUBLISHERS, SENDERS, Identity, RoleId
from matrixhub.model.errors import Unauthorised
from matrixhub.store.keys import KEY_PREFIX, KeyRights, find_key

if TYPE_CHECKING:
    from matrixhub.api.access.gate import Credentials


async def identify_bearer(parts: Parts, credentials: Credentials) -> Identity:
    """Whose key it is. Raises: Unauthorised, StoreError."""
    token = credentials.authorization.partition(" ")[2].strip()
    if not token.startswith(KEY_PREFIX):
        raise Unauthorised
    rights = await find_key(parts.database, token)
    if rights is None:
        raise Unauthorised
    return Identity(
        scheme="bearer",
        id=rights.key_id,
        name=rights.key_id,
        property_id=rights.property_id,
        role_id=_role_of(rights),
        application_id=rights.application_id,
    )


def _role_of(rights: KeyRights) -> RoleId:
    if rights.property_id is None:
        return OPERATOR
    if rights.application_id is not None:
        return PUBLISHERS
    return PROPERTY_ADMINS if rights.manages else SENDERS
