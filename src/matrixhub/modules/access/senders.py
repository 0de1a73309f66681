"""Whose bearer keys may send readings: decided for all of them at once, for ingest asks for no row with a request.

Source: docs/decisions/0015-roles.md
"""

from __future__ import annotations

from collections.abc import Mapping

from matrixhub.model.access import Identity, Request
from matrixhub.model.iam import Decision, depends_on
from matrixhub.model.ids import PropertyId
from matrixhub.modules.access.rules import NOTHING, decide_in, effective, find_role
from matrixhub.modules.work import Platform
from matrixhub.store.iam import PropertyAccess, load_all_access
from matrixhub.store.keys import KeyRights, valid_keys

SEND = "hub.sendReadings"
"""The permission to send readings."""

Standing = PropertyId | None | Decision
"""The property that a key sends for, None for all; or why it may not."""


async def sending_keys(platform: Platform) -> Mapping[bytes, Standing]:
    """What each valid bearer key may send for, by its digest. Raises StoreError.

    A permission that depends on the address or on the time does not hold here, and such a denial does: where a request
    comes from, and when, is not asked.
    """
    async with platform.database.connection() as connection:
        access = await load_all_access(connection)
    return {
        digest: _standing(platform, access.get(rights.property_id, NOTHING) if rights.property_id else NOTHING, rights)
        for digest, rights in (await valid_keys(platform.database)).items()
    }


def _standing(platform: Platform, access: PropertyAccess, rights: KeyRights) -> Standing:
    identity = Identity(
        scheme="bearer",
        id=rights.key_id,
        name=rights.key_id,
        property_id=rights.property_id,
        role_id=rights.role_id,
        application_id=rights.application_id,
    )
    request = Request(operation=SEND, property_id=rights.property_id)
    timed = "time" in depends_on(find_role(effective(identity, access).role_id, access))
    decision = decide_in(access, identity, request, None if timed else platform.now())
    return rights.property_id if decision.allowed else decision
