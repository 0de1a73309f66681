"""Whether a request may pass, by roles that are kept in memory while nothing that decides on access has changed.

Source: docs/decisions/0013-versions.md, docs/decisions/0015-roles.md
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from matrixhub.model.access import Identity, Request, RoleId
from matrixhub.model.iam import Decision, Role, decide, depends_on, principals_of
from matrixhub.model.iam_system import SYSTEM_ROLES
from matrixhub.model.ids import PropertyId
from matrixhub.ports import Clock
from matrixhub.store import Database
from matrixhub.store.iam import Member, PropertyAccess, load_access
from matrixhub.store.versions import ACCESS, Versions

PROPERTIES_MAX = 2_000
"""The roles of so many properties are kept; those that were not asked for the longest make room."""

DECISIONS_MAX = 50_000
"""So many decisions are kept; then it is begun anew."""

NOTHING = PropertyAccess()
"""What decides where there is no property: the roles of the system alone."""

_Asked = tuple[str, ...]

_QUALIFIED = re.compile(r"quid_[0-9a-f]{20}:")
"""How the members of groups begin that are users of one application alone."""


def effective(identity: Identity, access: PropertyAccess) -> Identity:
    """Who asks, with its seat, and with the role of the group that names it; else with the role it came with.

    The seat of a federated user is the one that has the user's e-mail address. A group may name the user as
    `<QUID>:<user>` or by the user alone, and comes before one that names the seat. A key of an application has no other
    role than its own.
    """
    if identity.scheme == "federated" and identity.seat_id is None:
        seat_id = access.seats.get(identity.email.lower())
        identity = identity if seat_id is None else replace(identity, seat_id=seat_id)
    if identity.application_id is None:
        for member in _named(identity):
            role_id = access.member_roles.get(member)
            if role_id is not None:
                return replace(identity, role_id=role_id)
    return identity


def _named(identity: Identity) -> Iterator[Member]:
    """What a group may name somebody by, the surest first.

    A user whom a provider calls like a user of another application is not that one.
    """
    if identity.scheme != "federated":
        yield "key", identity.id
        return
    yield "user", identity.id
    if _QUALIFIED.match(identity.name) is None:
        yield "user", identity.name
    if identity.seat_id is not None:
        yield "seat", identity.seat_id


def find_role(role_id: RoleId | None, access: PropertyAccess) -> Role | None:
    """The role of that name: of the system, else of the property."""
    return None if role_id is None else SYSTEM_ROLES.get(role_id) or access.roles.get(role_id)


def decide_in(access: PropertyAccess, identity: Identity, request: Request, now: datetime | None) -> Decision:
    """The decision by what is there in the property of who asks; `now` None is some instant that is not known."""
    asking = effective(identity, access)
    return decide(
        request,
        asking,
        find_role(asking.role_id, access),
        find_role(asking.boundary_id, access),
        now=now,
        principals=principals_of(asking, access.organisation),
    )


class Rules:
    """Decides with no query but the shared one of the number, once the roles of a property were asked for.

    What changes holds from its commit on, in every process: the number is another one then.
    """

    def __init__(self, database: Database, versions: Versions, clock: Clock) -> None:
        self._database = database
        self._versions = versions
        self._clock = clock
        self._number = -1
        self._kept: OrderedDict[PropertyId, PropertyAccess] = OrderedDict()
        self._decisions: dict[_Asked, Decision] = {}
        self._needs: dict[_Asked, frozenset[str]] = {}

    async def decide(self, identity: Identity, request: Request) -> Decision:
        """Whether the request may pass. Raises StoreError."""
        access = await self.access_of(identity.property_id)
        needs = self._needs_of(identity, access)
        if needs & {"time", "age"}:
            return decide_in(access, identity, request, self._now())
        asked = _asked(identity, request, needs)
        found = self._decisions.get(asked)
        if found is None:
            found = decide_in(access, identity, request, self._now())
            if len(self._decisions) >= DECISIONS_MAX:
                self._decisions.clear()
            if self._is_current(identity, access):
                self._decisions[asked] = found
        return found

    async def access_of(self, property_id: PropertyId | None) -> PropertyAccess:
        """What decides in a property; for the hub's own key only the roles of the system do. Raises StoreError."""
        if property_id is None:
            return NOTHING
        (number,) = await self._versions.current(ACCESS)
        if number != self._number:
            self._kept.clear()
            self._decisions.clear()
            self._needs.clear()
            self._number = number
        found = self._kept.get(property_id)
        if found is None:
            async with self._database.connection() as connection:
                found = await load_access(connection, property_id)
            if number == self._number:
                self._kept[property_id] = found
                if len(self._kept) > PROPERTIES_MAX:
                    self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(property_id)
        return found

    def _needs_of(self, identity: Identity, access: PropertyAccess) -> frozenset[str]:
        asking = effective(identity, access)
        key = (asking.property_id or "", asking.role_id, asking.boundary_id or "")
        found = self._needs.get(key)
        if found is None:
            found = depends_on(find_role(asking.role_id, access), find_role(asking.boundary_id, access))
            if self._is_current(identity, access):
                self._needs[key] = found
        return found

    def _is_current(self, identity: Identity, access: PropertyAccess) -> bool:
        """What was loaded before somebody saw a newer number is right for its request, and for no later one."""
        return identity.property_id is None or self._kept.get(identity.property_id) is access

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)


def _asked(identity: Identity, request: Request, needs: frozenset[str]) -> _Asked:
    """All that a decision depends on that does not depend on time."""
    return (
        *(identity.scheme, identity.id, identity.name, identity.email),
        *(identity.seat_id or "", identity.application_id or ""),
        *(identity.property_id or "", identity.role_id, identity.boundary_id or ""),
        *(request.property_id or "", request.operation),
        (request.building_id or "") if "building" in needs else "",
        request.address if "address" in needs else "",
    )
