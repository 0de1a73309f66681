"""Who asks, as it was proven, and what it asks for.

Source: docs/contract/web-services.md §3
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NewType

from matrixhub.model.errors import InvalidValue
from matrixhub.model.ids import ApplicationId, BuildingId, PropertyId, SeatId

RoleId = NewType("RoleId", str)

Scheme = Literal["bearer", "schmac", "basic", "federated", "unsigned"]
"""How it was proven who asks."""

OPERATOR = RoleId("matrixhub#Operator")
"""The role of the hub's own key: everything, of every property."""

PROPERTY_ADMINS = RoleId("SMARTCLEAN#PropertyAdmins")
"""The role of those who may do everything within their property."""

SENDERS = RoleId("matrixhub#Senders")
"""The role of keys that send readings, and do nothing else."""

PUBLISHERS = RoleId("matrixhub#Publishers")
"""The role of keys that publish the events of an application, and do nothing else."""


ROLE_NAME = r"[A-Za-z0-9_.-]{1,64}(#[A-Za-z0-9_.-]{1,64})?"
"""How the name of a role looks: `<name>` or `<owner>#<name>`."""

_ROLE = re.compile(ROLE_NAME)


def is_role_name(text: str) -> bool:
    """Whether a text can be the name of a role.

    >>> is_role_name("SMARTCLEAN#PropertyAdmins"), is_role_name("GridsViewer"), is_role_name("a b")
    (True, True, False)
    """
    return _ROLE.fullmatch(text) is not None


def check_role(text: str) -> RoleId:
    """The text as the role of a key. Raises: InvalidValue for what is no role, and for that of the hub's own key.

    Whether there is such a role is asked of the property; see `resolve_role` in modules/access/roles.py.

    >>> check_role("SMARTCLEAN#PropertyAdmins")
    'SMARTCLEAN#PropertyAdmins'
    """
    if not is_role_name(text):
        raise InvalidValue(
            "a role is <name> or <owner>#<name>, such as SMARTCLEAN#PropertyAdmins",
            fields=(("role", "is not <name> or <owner>#<name>"),),
        )
    if text == OPERATOR:
        raise InvalidValue(f"{OPERATOR} is for the hub's own key only", fields=(("role", "is the hub's own"),))
    return RoleId(text)


def bearer_role(
    role_id: RoleId | None, *, property_id: PropertyId | None, application_id: ApplicationId | None, manages: bool
) -> RoleId:
    """The role of a bearer key: that which it was given, else the one that follows from what it is for.

    >>> bearer_role(None, property_id=PropertyId("p"), application_id=None, manages=True)
    'SMARTCLEAN#PropertyAdmins'
    """
    if property_id is None:
        return OPERATOR
    if role_id is not None:
        return role_id
    if application_id is not None:
        return PUBLISHERS
    return PROPERTY_ADMINS if manages else SENDERS


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """How often somebody may ask: in the long run, and at once.

    Units: requests a second; requests.
    """

    per_s: float
    burst: int


RATE_MAX = 1_000_000


def check_rate(per_s: float | None, burst: int | None) -> Rate | None:
    """The rate of a key, None for that of the settings; a burst that is not given is twice the rate.

    Raises: InvalidValue.

    >>> check_rate(5.0, None)
    Rate(per_s=5.0, burst=10)
    """
    if per_s is None:
        if burst is not None:
            raise InvalidValue("a burst goes with a rate", fields=(("burst", "goes with rate_per_s"),))
        return None
    if not 0 < per_s <= RATE_MAX:
        raise InvalidValue(
            f"a rate is more than 0 and at most {RATE_MAX:,} a second", fields=(("rate_per_s", "out of range"),)
        )
    at_once = max(1, int(2 * per_s)) if burst is None else burst
    if not 1 <= at_once <= 2 * RATE_MAX:
        raise InvalidValue(f"a burst is 1 to {2 * RATE_MAX:,} requests", fields=(("burst", "out of range"),))
    return Rate(per_s=per_s, burst=at_once)


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Who asks.

    `id` tells one from another, and is what limits count by; `name` is what records say who did something.
    `property_id` None is the hub's own key, which is for all properties. A role may be narrowed by `boundary`, whose
    explicit denials hold against it. `rate` is how often it may ask where that is not what the settings say; with
    `once`, the same request is taken once.
    """

    scheme: Scheme
    id: str
    name: str
    property_id: PropertyId | None
    role_id: RoleId
    email: str = ""  # of a federated user, where the issuer vouches for it
    seat_id: SeatId | None = None  # of a federated user who has one
    boundary_id: RoleId | None = None
    application_id: ApplicationId | None = None
    rate: Rate | None = None
    once: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What somebody asks for, as far as it is to be decided upon.

    `operation` is the name of an operation of Matrix Web Services or of the REST face, such as `scgrids.readZone` and
    `hub.listSubscriptions`; `address` is where the request comes from, '' where that is not known.
    """

    operation: str
    property_id: PropertyId | None
    building_id: BuildingId | None = None
    address: str = ""
