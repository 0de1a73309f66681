"""Escalation policies, each with all its versions, and the outbox of those who are to be told."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import msgspec

from matrixhub.model.devices import Json
from matrixhub.model.errors import NameTaken, NotFound
from matrixhub.model.escalation import EscalationPolicy, EscalationType, parse_policy, policy_record
from matrixhub.model.ids import BuildingId, PropertyId, TaskId
from matrixhub.store.sql import load_statements

_SQL = load_statements("escalation.sql")


@dataclass(frozen=True, kw_only=True, slots=True)
class EscalationNotice:
    """Somebody is to be told that an incident has reached a level; `entity` is a seat or an address."""

    id: uuid.UUID
    property_id: PropertyId
    building_id: BuildingId
    work_order_id: TaskId
    type: EscalationType
    level: int
    entity: str
    medium: str
    details: Mapping[str, Json]
    at: datetime


async def count_policies(connection: Any, property_id: PropertyId, building_id: BuildingId) -> int:
    """How many policies a building has; nobody adds one until the commit. Raises NotFound."""
    if await connection.fetchval(_SQL["building"], property_id, building_id) is None:
        raise NotFound(f"property {property_id} has no building {building_id}")
    return int(await connection.fetchval(_SQL["count"], property_id, building_id))


async def create_policy(
    connection: Any, property_id: PropertyId, policy: EscalationPolicy, actor: str, now: datetime
) -> None:
    """Keep a new policy. Raises NameTaken if the building has one of that id."""
    if await connection.fetchval(_SQL["create"], property_id, policy.building_id, policy.id) is None:
        raise NameTaken(f"building {policy.building_id} has an escalation policy {policy.id}")
    await add_version(connection, policy, actor, now)


async def next_version(connection: Any, property_id: PropertyId, building_id: BuildingId, policy_id: str) -> int:
    """The number of a policy's next version, which nobody else takes until the commit. Raises NotFound."""
    version = await connection.fetchval(_SQL["lock"], property_id, building_id, policy_id)
    if version is None:
        raise NotFound(f"building {building_id} has no escalation policy {policy_id}")
    return int(version)


async def current_policies(
    connection: Any, property_id: PropertyId, building_id: BuildingId, policy_id: str | None = None
) -> list[EscalationPolicy]:
    """The policies of a building as they are now, or the one of that id."""
    rows = await connection.fetch(_SQL["current"], property_id, building_id, policy_id)
    return [_policy(row) for row in rows]


async def policy_version(
    connection: Any, property_id: PropertyId, building_id: BuildingId, policy_id: str, version: int
) -> EscalationPolicy:
    """A policy as it was in that version. Raises NotFound."""
    row = await connection.fetchrow(_SQL["version"], property_id, building_id, policy_id, version)
    if row is None:
        raise NotFound(f"building {building_id} has no version {version} of the escalation policy {policy_id}")
    return _policy(row)


async def add_notices(connection: Any, notices: Sequence[EscalationNotice]) -> None:
    """Put notices into the outbox, in the transaction of what they tell."""
    if notices:
        await connection.execute(_SQL["add_notices"], msgspec.json.encode([asdict(n) for n in notices]).decode())


async def unsent_notices(connection: Any, property_id: PropertyId, limit: int) -> list[EscalationNotice]:
    """The oldest notices that wait to be sent."""
    rows = await connection.fetch(_SQL["notices"], property_id, limit)
    return [EscalationNotice(**dict(row), property_id=property_id) for row in rows]


async def add_version(connection: Any, policy: EscalationPolicy, actor: str, now: datetime) -> None:
    """Keep a version whose number was taken before."""
    await connection.execute(
        _SQL["add_version"], policy.building_id, policy.id, policy.version, policy_record(policy), actor, now
    )


def _policy(row: Any) -> EscalationPolicy:
    return parse_policy(row["document"], policy_id=row["id"], building_id=row["building_id"], version=row["version"])
