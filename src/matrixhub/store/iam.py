"""Roles of a property, groups of users that have them, and who changed which of them when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import msgspec

from matrixhub.model.access import RoleId
from matrixhub.model.errors import MemberTaken, NameTaken, NotFound
from matrixhub.model.iam import Members, Role, RoleDocument
from matrixhub.model.ids import PropertyId, SeatId
from matrixhub.store.sites import SITE_CHANNEL
from matrixhub.store.sql import load_statements

_SQL = load_statements("iam.sql")

Kind = Literal["role", "group"]
Act = Literal["created", "changed", "removed"]

MemberKind = Literal["seat", "user", "key"]
Member = tuple[MemberKind, str]
"""The kind of a member of a group, and its id."""

MEMBER_KINDS: Mapping[MemberKind, str] = {"seat": "seats", "user": "users", "key": "keys"}
"""The kinds of members, and the field of `Members` that each is in."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptRole:
    """A role of a property, and who made and changed it last."""

    role: Role
    version: int
    created_by: str
    created_at: datetime
    updated_by: str
    updated_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """A group of users of a property: its members have its role."""

    name: str
    role_id: RoleId
    members: Members
    version: int
    created_by: str
    created_at: datetime
    updated_by: str
    updated_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What somebody did to a role or a group, and how it was afterwards; before, where it was removed."""

    number: int
    kind: Kind
    name: str
    act: Act
    version: int
    document: Mapping[str, Any]
    actor: str
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class PropertyAccess:
    """What decides in a property who may do what: its roles, and those that members of groups have.

    `seats` are the active seats by their e-mail addresses, in lower case.
    """

    organisation: str = ""
    roles: Mapping[RoleId, Role] = field(default_factory=dict)
    member_roles: Mapping[Member, RoleId] = field(default_factory=dict)
    seats: Mapping[str, SeatId] = field(default_factory=dict)


async def load_access(connection: Any, property_id: PropertyId) -> PropertyAccess:
    """All that decides on access in a property; nothing where there is no such property."""
    organisation = await connection.fetchval(_SQL["organisation"], property_id)
    roles = [kept.role for kept in await list_roles(connection, property_id)]
    members = await connection.fetch(_SQL["member_roles"], property_id)
    seats = await connection.fetch(_SQL["seats"], property_id)
    return PropertyAccess(
        organisation=organisation or "",
        roles={role.id: role for role in roles},
        member_roles={(row["kind"], row["member"]): RoleId(row["role_id"]) for row in members},
        seats={row["email"]: SeatId(row["id"]) for row in seats},
    )


async def load_all_access(connection: Any) -> Mapping[PropertyId, PropertyAccess]:
    """All that decides on the access of keys, of every property: what ingest asks for all of them at once."""
    roles: dict[str, dict[RoleId, Role]] = {}
    for row in await connection.fetch(_SQL["all_roles"]):
        role = _kept(row).role
        roles.setdefault(row["property_id"], {})[role.id] = role
    members: dict[str, dict[Member, RoleId]] = {}
    for row in await connection.fetch(_SQL["member_roles"], None):
        members.setdefault(row["property_id"], {})[row["kind"], row["member"]] = RoleId(row["role_id"])
    return {
        PropertyId(row["id"]): PropertyAccess(
            organisation=row["organisation_id"],
            roles=roles.get(row["id"], {}),
            member_roles=members.get(row["id"], {}),
        )
        for row in await connection.fetch(_SQL["organisations"])
    }


async def is_seat_in_group(connection: Any, property_id: PropertyId, seat_id: SeatId | None, email: str) -> bool:
    """Whether the seat, or one that has the address, is in a group of users."""
    return bool(await connection.fetchval(_SQL["seat_in_group"], property_id, seat_id, email))


async def list_roles(connection: Any, property_id: PropertyId) -> Sequence[KeptRole]:
    """The roles that the property has made, by name."""
    return [_kept(row) for row in await connection.fetch(_SQL["roles"], property_id, None)]


async def show_role(connection: Any, property_id: PropertyId, role_id: RoleId) -> KeptRole:
    """A role that the property has made. Raises NotFound."""
    return _found_role(await connection.fetchrow(_SQL["roles"], property_id, role_id), role_id)


async def lock_role(connection: Any, property_id: PropertyId, role_id: RoleId) -> KeptRole:
    """A role, and nobody else changes it until the end of the transaction. Raises NotFound."""
    return _found_role(await connection.fetchrow(_SQL["lock_role"], property_id, role_id), role_id)


async def share_role(connection: Any, property_id: PropertyId, role_id: RoleId) -> None:
    """Nobody removes the role until the end of the transaction. Raises NotFound."""
    if not await connection.fetchval(_SQL["share_role"], property_id, role_id):
        raise NotFound(f"there is no role {role_id}")


async def create_role(connection: Any, property_id: PropertyId, role: Role, actor: str, now: datetime) -> KeptRole:
    """A new role. Raises NameTaken."""
    document = msgspec.to_builtins(role.document)
    row = await connection.fetchrow(_SQL["create_role"], property_id, role.id, document, role.pending_since, actor, now)
    if row is None:
        raise NameTaken(f"there is a role {role.id} already")
    return _kept(row)


async def save_role(connection: Any, property_id: PropertyId, role: Role, actor: str, now: datetime) -> KeptRole:
    """A role as it is now; it was locked before."""
    document = msgspec.to_builtins(role.document)
    return _kept(
        await connection.fetchrow(_SQL["save_role"], property_id, role.id, document, role.pending_since, actor, now)
    )


async def remove_role(connection: Any, property_id: PropertyId, role_id: RoleId) -> None:
    """Remove a role, which was locked before."""
    await connection.execute(_SQL["remove_role"], property_id, role_id)


async def role_holders(connection: Any, property_id: PropertyId, role_id: RoleId, now: datetime) -> Sequence[str]:
    """Some of those who have the role, or are narrowed by it."""
    return [row["holder"] for row in await connection.fetch(_SQL["holders"], property_id, role_id, now)]


async def list_groups(connection: Any, property_id: PropertyId, *, name: str | None = None) -> Sequence[Group]:
    """The groups of the property by name, or only that of the name."""
    return [_group(row) for row in await connection.fetch(_SQL["groups"], property_id, name)]


async def show_group(connection: Any, property_id: PropertyId, name: str) -> Group:
    """A group of the property. Raises NotFound."""
    found = await list_groups(connection, property_id, name=name)
    if not found:
        raise NotFound(f"there is no group of users {name}")
    return found[0]


async def lock_group(connection: Any, property_id: PropertyId, name: str) -> Group:
    """A group, and nobody else changes it until the end of the transaction. Raises NotFound."""
    await connection.fetchval(_SQL["lock_group"], property_id, name)
    return await show_group(connection, property_id, name)


async def create_group(
    connection: Any,
    property_id: PropertyId,
    *,
    name: str,
    role_id: RoleId,
    members: Members,
    actor: str,
    now: datetime,
) -> Group:
    """A new group. Raises NameTaken, MemberTaken."""
    if not await connection.fetchval(_SQL["create_group"], property_id, name, role_id, actor, now):
        raise NameTaken(f"there is a group of users {name} already")
    await _add_members(connection, property_id, name, members)
    return await show_group(connection, property_id, name)


async def save_group(
    connection: Any,
    property_id: PropertyId,
    *,
    name: str,
    role_id: RoleId,
    members: Members,
    actor: str,
    now: datetime,
) -> Group:
    """A group as it is now; it was locked before. Raises MemberTaken."""
    await connection.execute(_SQL["save_group"], property_id, name, role_id, actor, now)
    await connection.execute(_SQL["remove_members"], property_id, name)
    await _add_members(connection, property_id, name, members)
    return await show_group(connection, property_id, name)


async def remove_group(connection: Any, property_id: PropertyId, name: str) -> None:
    """Remove a group, which was locked before; its members have no role by it any more."""
    await connection.execute(_SQL["remove_group"], property_id, name)


async def add_change(
    connection: Any,
    property_id: PropertyId,
    *,
    kind: Kind,
    name: str,
    act: Act,
    version: int,
    document: Mapping[str, Any],
    actor: str,
    now: datetime,
) -> None:
    """Note what somebody did, and let ingest know, which decides on all keys at once."""
    await connection.execute(_SQL["add_change"], property_id, kind, name, act, version, document, actor, now)
    await connection.execute("select pg_notify($1, '')", SITE_CHANNEL)


async def list_changes(
    connection: Any, property_id: PropertyId, kind: Kind, name: str, *, limit: int
) -> Sequence[Change]:
    """What was done to a role or a group, newest first; also to one that is gone."""
    rows = await connection.fetch(_SQL["changes"], property_id, kind, name, limit)
    return [Change(**dict(row)) for row in rows]


async def _add_members(connection: Any, property_id: PropertyId, name: str, members: Members) -> None:
    wanted = [(kind, member) for kind, kinds in MEMBER_KINDS.items() for member in getattr(members, kinds)]
    rows = await connection.fetch(
        _SQL["add_members"], property_id, name, [kind for kind, _ in wanted], [member for _, member in wanted]
    )
    if len(rows) < len(wanted):
        added = {(row["kind"], row["member"]) for row in rows}
        kind, member = next(one for one in wanted if one not in added)
        raise MemberTaken(f"the {kind} {member} is in another group of users already")


def _found_role(row: Any, role_id: RoleId) -> KeptRole:
    if row is None:
        raise NotFound(f"there is no role {role_id}")
    return _kept(row)


def _kept(row: Any) -> KeptRole:
    return KeptRole(
        role=Role(document=msgspec.convert(row["document"], RoleDocument), pending_since=row["pending_since"]),
        version=row["version"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        updated_by=row["updated_by"],
        updated_at=row["updated_at"],
    )


def _group(row: Any) -> Group:
    members: dict[str, list[str]] = {name: [] for name in MEMBER_KINDS.values()}
    for kind, member in msgspec.json.decode(row["members"]):
        members[MEMBER_KINDS[kind]].append(member)
    return Group(
        name=row["name"],
        role_id=RoleId(row["role_id"]),
        members=Members(**{name: tuple(sorted(found)) for name, found in members.items()}),
        version=row["version"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        updated_by=row["updated_by"],
        updated_at=row["updated_at"],
    )
