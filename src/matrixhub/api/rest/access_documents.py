"""What the REST face takes and gives about roles, groups of users and decisions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from matrixhub.api.rest.documents import Given, Instant, Taken
from matrixhub.model.access import ROLE_NAME
from matrixhub.model.iam import (
    Effect,
    GroupDocument,
    Members,
    PolicySet,
    RoleDocument,
    Status,
    TrustClause,
    Verdict,
)

__all__ = [
    "CheckView",
    "ConsideredView",
    "ExplanationView",
    "GroupChange",
    "GroupDocument",
    "GroupList",
    "GroupView",
    "Question",
    "RoleChange",
    "RoleChangeList",
    "RoleChangeView",
    "RoleDocument",
    "RoleList",
    "RoleView",
]

RoleName = Annotated[str, Meta(pattern=f"^{ROLE_NAME}$", description="Name of a role, of the property or the system.")]
By = Annotated[str, Meta(description="Who; empty for a role of the system.")]
Version = Annotated[int, Meta(description="Counts its changes; 0 for a role of the system.")]


class RoleView(Given, frozen=True, kw_only=True):
    """A role: what it allows and denies, and to whom it may be given."""

    name: RoleName
    description: str
    system: Annotated[bool, Meta(description="Every property has it, and nobody can change it.")]
    status: Annotated[Status, Meta(description="As it is now: what was PENDING_DEPRECATION for 90 days is DEPRECATED.")]
    pending_since: Annotated[Instant | None, Meta(description="Since when it is PENDING_DEPRECATION.")]
    policy_sets: list[PolicySet]
    trust: list[TrustClause]
    version: Version
    created_by: By
    created_at: Instant | None
    updated_by: By
    updated_at: Instant | None


class RoleList(Given, frozen=True, kw_only=True):
    """Roles: those of the property by name, then those of the system."""

    items: list[RoleView]


class RoleChange(Taken, frozen=True, kw_only=True):
    """A merge patch of a role: what is not named stays as it is, and null means the default."""

    name: Annotated[str | UnsetType, Meta(description="Stays as it is.")] = UNSET
    description: str | UnsetType | None = UNSET
    status: Status | UnsetType | None = UNSET
    policy_sets: Annotated[list[PolicySet] | UnsetType, Meta(description="All of them.")] = UNSET
    trust: Annotated[list[TrustClause] | UnsetType | None, Meta(description="All clauses.")] = UNSET


class RoleChangeView(Given, frozen=True, kw_only=True):
    """What somebody did to a role."""

    number: int
    act: Annotated[str, Meta(description="created, changed or removed.")]
    version: int
    actor: str
    at: Instant
    document: Annotated[dict[str, Any], Meta(description="The role as it was then.")]


class RoleChangeList(Given, frozen=True, kw_only=True):
    """What was done to a role, newest first, 100 at most."""

    items: list[RoleChangeView]


class GroupView(Given, frozen=True, kw_only=True):
    """A group of users: its members have its role."""

    name: str
    role: RoleName
    members: Members
    version: int
    created_by: By
    created_at: Instant
    updated_by: By
    updated_at: Instant


class GroupList(Given, frozen=True, kw_only=True):
    """Groups of users, by name."""

    items: list[GroupView]


class GroupChange(Taken, frozen=True, kw_only=True):
    """A merge patch of a group: what is not named stays as it is, and null means nobody."""

    name: Annotated[str | UnsetType, Meta(description="Stays as it is.")] = UNSET
    role: RoleName | UnsetType = UNSET
    members: Annotated[Members | UnsetType | None, Meta(description="A kind that is named is meant whole.")] = UNSET


class Question(Taken, frozen=True, kw_only=True):
    """May this key, or whoever has this role, do that?"""

    operation: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_.-]{1,128}$",
            description="Name of an operation, such as `scgrids.readZone`, or `hub.` and the id of one of this face.",
        ),
    ]
    key: Annotated[str | None, Meta(description="Id of a key, key_….")] = None
    role: Annotated[str | None, Meta(description="Name of a role, instead of a key.")] = None
    principal: Annotated[str, Meta(max_length=512, description="SRN of who has the role.")] = ""
    boundary: Annotated[str | None, Meta(description="Name of a role that narrows.")] = None
    building: Annotated[str | None, Meta(description="Building that it is about.")] = None
    address: Annotated[str, Meta(max_length=64, description="Address of the client.")] = ""
    at: Annotated[Annotated[datetime, Meta(tz=True)] | None, Meta(description="When; else now.")] = None


class CheckView(Given, frozen=True, kw_only=True):
    """One thing that was looked at."""

    what: str
    holds: Annotated[bool | None, Meta(description="null where it cannot be judged.")]


class ConsideredView(Given, frozen=True, kw_only=True):
    """A statement or a clause of trust, as it was looked at."""

    where: str
    effect: Effect
    counts: Annotated[bool, Meta(description="Whether it was heeded.")]
    checks: list[CheckView]


class ExplanationView(Given, frozen=True, kw_only=True):
    """A decision, with everything that was looked at."""

    allowed: bool
    code: Verdict
    why: Annotated[str, Meta(description="The role, and the policy set and statement that decided.")]
    principals: Annotated[list[str], Meta(description="The names of whoever asks.")]
    trust: list[ConsideredView]
    statements: list[ConsideredView]
    boundary: list[ConsideredView]
