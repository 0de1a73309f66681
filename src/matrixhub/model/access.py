"""Who asks, as it was proven, and what it asks for.

Source: docs/contract/web-services.md §3
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NewType

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Who asks.

    `id` tells one from another, and is what limits count by; `name` is what records say who did something.
    `property_id` None is the hub's own key, which is for all properties. A role may be narrowed by `boundary`, whose
    explicit denials hold against it.
    """

    scheme: Scheme
    id: str
    name: str
    property_id: PropertyId | None
    role_id: RoleId
    seat_id: SeatId | None = None  # of a federated user who has one
    boundary_id: RoleId | None = None
    application_id: ApplicationId | None = None


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
