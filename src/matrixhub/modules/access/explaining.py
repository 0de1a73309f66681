"""Why a request may pass or not: the decision of the gate, with everything that it looks at.

Source: docs/contract/web-services.md §3.4
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from matrixhub.model.access import Identity, Request, RoleId
from matrixhub.model.errors import InvalidValue, WrongState
from matrixhub.model.iam import Explanation, Srn, explain, principals_of
from matrixhub.model.ids import BuildingId, KeyId, PropertyId
from matrixhub.model.time import check_year
from matrixhub.modules.access.rules import effective, find_role
from matrixhub.modules.work import Platform
from matrixhub.store.access_keys import show_key
from matrixhub.store.iam import PropertyAccess, load_access
from matrixhub.store.sites import require_property

SOMEBODY = "somebody"
"""Whose key it is that asks where a role is tried and nobody is named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What somebody wants to know: whether a key, or whoever has a role, may do something.

    `principal` is who has the role, by SRN; `at` None is now.
    """

    operation: str
    key_id: KeyId | None = None
    role_id: RoleId | None = None
    principal: str = ""
    boundary_id: RoleId | None = None
    building_id: BuildingId | None = None
    address: str = ""
    at: datetime | None = None


async def explain_access(platform: Platform, property_id: PropertyId, question: Question) -> Explanation:
    """The decision on such a request, as things are now.

    Raises: InvalidValue unless it is about a key or about a role, NotFound of property or key, WrongState where the key
    was revoked or has expired, so that nothing is decided, WrongParameters for a time of no use, StoreError.
    """
    if (question.key_id is None) == (question.role_id is None):
        raise InvalidValue("ask about a key or about a role", fields=(("key", "or role, one of them"),))
    if question.at is not None:
        check_year(question.at.date())
    await require_property(platform.database, property_id)
    async with platform.database.connection() as connection:
        access = await load_access(connection, property_id)
    identity = await _identity(platform, property_id, question)
    asking = effective(identity, access) if question.key_id is not None else identity
    request = Request(
        operation=question.operation,
        property_id=property_id,
        building_id=question.building_id,
        address=question.address,
    )
    return explain(
        request,
        asking,
        find_role(asking.role_id, access),
        find_role(asking.boundary_id, access),
        now=question.at or platform.now(),
        principals=_principals(question, asking, access),
    )


async def _identity(platform: Platform, property_id: PropertyId, question: Question) -> Identity:
    if question.key_id is None:
        assert question.role_id is not None, "looked at before"
        role_id, application_id = question.role_id, None
    else:
        key = await show_key(platform.database, property_id, question.key_id)
        if key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= platform.now()):
            raise WrongState(f"the key {key.id} is not valid any more: whoever asks with it is not known")
        role_id, application_id = key.role_id, key.application_id
    return Identity(
        scheme="bearer",
        id=question.key_id or SOMEBODY,
        name=SOMEBODY,
        property_id=property_id,
        role_id=role_id,
        boundary_id=question.boundary_id,
        application_id=application_id,
    )


def _principals(question: Question, asking: Identity, access: PropertyAccess) -> tuple[Srn, ...]:
    return (Srn(question.principal),) if question.principal else principals_of(asking, access.organisation)
