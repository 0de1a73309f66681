"""Acts on roles and groups of users. Each is noted with who did it, and holds from its commit on, in every process.

Source: docs/contract/web-services.md §3.4
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from matrixhub.model.access import RoleId
from matrixhub.model.errors import InvalidValue, LimitViolated, NotFound, RoleInUse, SystemRole
from matrixhub.model.iam import GroupDocument, Members, Role, RoleDocument
from matrixhub.model.iam_documents import check_group, check_role
from matrixhub.model.iam_system import OF_THE_HUB, SYSTEM_ROLES
from matrixhub.model.ids import PropertyId, SeatId
from matrixhub.modules.work import Platform, Work
from matrixhub.store import Database
from matrixhub.store import iam as store
from matrixhub.store.iam import Act, Change, Group, KeptRole
from matrixhub.store.sites import require_property

CHANGES_MAX = 100

ROLES_MAX = 200
GROUPS_MAX = 500
"""So many a property may have."""

Shown = Role | KeptRole
"""A role of the system, or one of the property."""

Check = Callable[[int], None]
"""Raises VersionMismatch for a version that is not wanted."""


def any_version(_version: int) -> None:
    """Takes every version."""


async def resolve_role(database: Database, property_id: PropertyId, name: str) -> RoleId:
    """The role of that name, which may be given to somebody of the property.

    Raises: InvalidValue for the role of the hub itself, NotFound, StoreError.
    """
    async with database.connection() as connection:
        return await _given(connection, property_id, name)


async def list_roles(database: Database, property_id: PropertyId) -> Sequence[Shown]:
    """The roles that can be given in the property: its own by name, then those of the system. Raises StoreError."""
    async with database.connection() as connection:
        own = await store.list_roles(connection, property_id)
    return [*own, *(role for role in SYSTEM_ROLES.values() if role.id not in OF_THE_HUB)]


async def show_role(database: Database, property_id: PropertyId, role_id: RoleId) -> Shown:
    """A role that can be given in the property. Raises NotFound, StoreError."""
    if role_id in SYSTEM_ROLES and role_id not in OF_THE_HUB:
        return SYSTEM_ROLES[role_id]
    async with database.connection() as connection:
        return await store.show_role(connection, property_id, role_id)


async def create_role(platform: Platform, property_id: PropertyId, document: RoleDocument, *, actor: str) -> KeptRole:
    """A new role of the property. Raises: InvalidValue, NotFound, NameTaken, LimitViolated, StoreError."""
    check_role(document)
    await require_property(platform.database, property_id)
    async with platform.work(property_id, actor) as work:
        made = await store.create_role(work.connection, property_id, _role(document, None, work.now), actor, work.now)
        if len(await store.list_roles(work.connection, property_id)) > ROLES_MAX:
            raise LimitViolated(f"a property has at most {ROLES_MAX} roles of its own")
        await _note_role(work, made, "created")
        return made


async def change_role(
    platform: Platform,
    property_id: PropertyId,
    role_id: RoleId,
    altered: Callable[[RoleDocument], RoleDocument],
    *,
    actor: str,
    check: Check = any_version,
) -> KeptRole:
    """Change a role, from the next request on; if `check` takes its version.

    Raises: SystemRole, InvalidValue also where the name would be another, NotFound, VersionMismatch, StoreError.
    """
    _refuse_system(role_id)
    async with platform.work(property_id, actor) as work:
        before = await store.lock_role(work.connection, property_id, role_id)
        check(before.version)
        document = altered(before.role.document)
        check_role(document)
        _same_name(role_id, document.name)
        if document == before.role.document:
            return before
        role = _role(document, before.role, work.now)
        after = await store.save_role(work.connection, property_id, role, actor, work.now)
        await _note_role(work, after, "changed")
        return after


async def set_role(platform: Platform, property_id: PropertyId, document: RoleDocument, *, actor: str) -> KeptRole:
    """The role as the document says, made or changed. Raises: SystemRole, InvalidValue, NotFound, StoreError."""
    _refuse_system(RoleId(document.name))
    try:
        return await change_role(platform, property_id, RoleId(document.name), lambda _: document, actor=actor)
    except NotFound:
        return await create_role(platform, property_id, document, actor=actor)


async def remove_role(
    platform: Platform, property_id: PropertyId, role_id: RoleId, *, actor: str, check: Check = any_version
) -> None:
    """Remove a role that nobody has. One that must work for nobody at once is set to DEPRECATED.

    Raises: SystemRole, NotFound, RoleInUse naming who has it, VersionMismatch, StoreError.
    """
    _refuse_system(role_id)
    async with platform.work(property_id, actor) as work:
        before = await store.lock_role(work.connection, property_id, role_id)
        check(before.version)
        holders = await store.role_holders(work.connection, property_id, role_id, work.now)
        if holders:
            raise RoleInUse(f"the role {role_id} is that of {', '.join(holders)}")
        await store.remove_role(work.connection, property_id, role_id)
        await _note_role(work, before, "removed")


async def list_role_changes(database: Database, property_id: PropertyId, role_id: RoleId) -> Sequence[Change]:
    """Who did what to a role, the newest first, 100 at most; none of a role of the system. Raises StoreError."""
    async with database.connection() as connection:
        return await store.list_changes(connection, property_id, "role", role_id, limit=CHANGES_MAX)


async def address_decides(
    database: Database, property_id: PropertyId, email: str, seat_id: SeatId | None = None
) -> bool:
    """Whether a group of users names the seat, or one that has the address: then the address says who has its role.

    Raises StoreError.
    """
    async with database.connection() as connection:
        return await store.is_seat_in_group(connection, property_id, seat_id, email)


async def list_groups(database: Database, property_id: PropertyId) -> Sequence[Group]:
    """The groups of users of the property, by name. Raises StoreError."""
    async with database.connection() as connection:
        return await store.list_groups(connection, property_id)


async def show_group(database: Database, property_id: PropertyId, name: str) -> Group:
    """A group of users. Raises NotFound, StoreError."""
    async with database.connection() as connection:
        return await store.show_group(connection, property_id, name)


async def create_group(platform: Platform, property_id: PropertyId, document: GroupDocument, *, actor: str) -> Group:
    """A new group of users, whose members have its role.

    Raises: InvalidValue, NotFound of property or role, NameTaken, MemberTaken, LimitViolated, StoreError.
    """
    check_group(document)
    await require_property(platform.database, property_id)
    async with platform.work(property_id, actor) as work:
        role_id = await _given(work.connection, property_id, document.role)
        made = await store.create_group(
            work.connection,
            property_id,
            name=document.name,
            role_id=role_id,
            members=document.members,
            actor=actor,
            now=work.now,
        )
        if len(await store.list_groups(work.connection, property_id)) > GROUPS_MAX:
            raise LimitViolated(f"a property has at most {GROUPS_MAX} groups of users")
        await _note_group(work, made, "created")
        return made


async def change_group(
    platform: Platform,
    property_id: PropertyId,
    name: str,
    altered: Callable[[GroupDocument], GroupDocument],
    *,
    actor: str,
    check: Check = any_version,
) -> Group:
    """Change a group of users, from the next request on; if `check` takes its version.

    Raises: InvalidValue, NotFound, MemberTaken, VersionMismatch, StoreError.
    """
    async with platform.work(property_id, actor) as work:
        before = await store.lock_group(work.connection, property_id, name)
        check(before.version)
        document = _in_order(altered(group_document(before)))
        check_group(document)
        _same_name(name, document.name)
        if document == group_document(before):
            return before
        after = await store.save_group(
            work.connection,
            property_id,
            name=name,
            role_id=await _given(work.connection, property_id, document.role),
            members=document.members,
            actor=actor,
            now=work.now,
        )
        await _note_group(work, after, "changed")
        return after


async def set_group(platform: Platform, property_id: PropertyId, document: GroupDocument, *, actor: str) -> Group:
    """The group as the document says, made or changed. Raises: InvalidValue, NotFound, MemberTaken, StoreError."""
    try:
        await show_group(platform.database, property_id, document.name)
    except NotFound:
        return await create_group(platform, property_id, document, actor=actor)
    return await change_group(platform, property_id, document.name, lambda _: document, actor=actor)


async def remove_group(
    platform: Platform, property_id: PropertyId, name: str, *, actor: str, check: Check = any_version
) -> None:
    """Remove a group of users; its members have no role by it any more.

    Raises: NotFound, VersionMismatch, StoreError.
    """
    async with platform.work(property_id, actor) as work:
        before = await store.lock_group(work.connection, property_id, name)
        check(before.version)
        await store.remove_group(work.connection, property_id, name)
        await _note_group(work, before, "removed")


def group_document(group: Group) -> GroupDocument:
    """A group as people write it."""
    return GroupDocument(name=group.name, role=group.role_id, members=group.members)


async def _given(connection: Any, property_id: PropertyId, name: str) -> RoleId:
    role_id = RoleId(name)
    if role_id in OF_THE_HUB:
        raise InvalidValue(f"{role_id} is for the hub's own key only", fields=(("role", "is the hub's own"),))
    if role_id not in SYSTEM_ROLES:
        await store.share_role(connection, property_id, role_id)
    return role_id


def _role(document: RoleDocument, before: Role | None, now: datetime) -> Role:
    """The role, with since when it is to be deprecated."""
    if document.status != "PENDING_DEPRECATION":
        return Role(document=document)
    return Role(document=document, pending_since=(before.pending_since if before is not None else None) or now)


def _in_order(document: GroupDocument) -> GroupDocument:
    """The document with its members in the order in which they are kept: theirs means nothing."""
    members = {field: tuple(sorted(getattr(document.members, field))) for field in Members.__struct_fields__}
    return GroupDocument(name=document.name, role=document.role, members=Members(**members))


def _refuse_system(role_id: RoleId) -> None:
    if role_id in SYSTEM_ROLES:
        raise SystemRole(f"{role_id} is a role of the system, which nobody can change")


def _same_name(before: str, after: str) -> None:
    if before != after:
        raise InvalidValue("a name stays as it is: others refer to it", fields=(("name", "stays as it is"),))


async def _note_role(work: Work, kept: KeptRole, act: Act) -> None:
    document: Mapping[str, Any] = msgspec.to_builtins(kept.role.document)
    await store.add_change(
        work.connection,
        work.property_id,
        kind="role",
        name=kept.role.id,
        act=act,
        version=kept.version,
        document=document,
        actor=work.actor,
        now=work.now,
    )


async def _note_group(work: Work, group: Group, act: Act) -> None:
    document: Mapping[str, Any] = msgspec.to_builtins(group_document(group))
    await store.add_change(
        work.connection,
        work.property_id,
        kind="group",
        name=group.name,
        act=act,
        version=group.version,
        document=document,
        actor=work.actor,
        now=work.now,
    )
