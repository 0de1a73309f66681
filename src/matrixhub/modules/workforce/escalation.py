"""Escalation: policies of a building, levels that are reached by time or by hand, and who is to be told.

Source: docs/contract/incidents.md §6
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from matrixhub.model.devices import Json
from matrixhub.model.errors import (
    LimitViolated,
    MissingParameters,
    NotFound,
    QueryTooLong,
    VersionMismatch,
    WrongParameters,
    WrongState,
)
from matrixhub.model.escalation import (
    ASSIGNEE,
    DEFAULT_POLICY,
    EVERY_TYPE,
    LEVEL_MAX,
    SETTINGS_KEYS,
    EscalationPolicy,
    EscalationType,
    level_name,
    parse_policy,
    parse_steps,
    parse_targets,
    with_details,
)
from matrixhub.model.ids import BuildingId, PropertyId, SeatId, TaskId, is_id, new_id
from matrixhub.model.work_order import HistoryEntry, WorkOrder, escalated
from matrixhub.modules.work import Platform, Work
from matrixhub.modules.workforce.deadlines import WATCHED
from matrixhub.modules.workforce.work_orders import NOTHING, Said, fitting, locked, policy_of, settle
from matrixhub.store import escalation as store
from matrixhub.store.escalation import EscalationNotice
from matrixhub.store.work_orders import Wanted, read_histories, read_work_orders, require_known

APP = "MATRIX_APP_NOTIFICATION"
POLICIES_MAX = 50
"""How many policies a building may have."""

ASKED_MAX = 100
"""How many incidents one question about escalations is about."""


async def create_policy(
    platform: Platform, property_id: PropertyId, building_id: BuildingId, document: Mapping[str, Any], *, actor: str
) -> EscalationPolicy:
    """A new policy from its record in either form.

    It is the default policy unless it has a `PolicyId` or `IsDefault` is false.
    Raises: MissingParameters, WrongParameters, LimitViolated, NameTaken, NotFound.
    """
    policy_id = document.get("PolicyId") or (DEFAULT_POLICY if document.get("IsDefault", True) else new_id("pol"))
    if not isinstance(policy_id, str) or not is_id(policy_id):
        raise WrongParameters("PolicyId is a text of 1 to 128 characters")
    policy = parse_policy(document, policy_id=policy_id, building_id=building_id, version=1)
    async with platform.work(property_id, actor) as work:
        if await store.count_policies(work.connection, property_id, building_id) >= POLICIES_MAX:
            raise LimitViolated(f"a building has at most {POLICIES_MAX} escalation policies")
        await store.create_policy(work.connection, property_id, policy, actor, work.now)
    return policy


async def read_policy(
    platform: Platform, property_id: PropertyId, building_id: BuildingId, policy_id: str = DEFAULT_POLICY
) -> EscalationPolicy:
    """A policy as it is now. Raises NotFound."""
    async with platform.database.connection() as connection:
        return await _current(connection, property_id, building_id, policy_id)


async def list_policies(platform: Platform, property_id: PropertyId, building_id: BuildingId) -> list[EscalationPolicy]:
    """All policies of a building as they are now, by id. Raises NotFound if there is no such building."""
    async with platform.database.connection() as connection:
        found = await store.current_policies(connection, property_id, building_id)
        if not found:
            await require_known(connection, property_id, Wanted(building_id=building_id))
        return found


async def update_policy_details(
    platform: Platform, property_id: PropertyId, building_id: BuildingId, document: Mapping[str, Any], *, actor: str
) -> EscalationPolicy:
    """Change name, description and incident types; `UpdateOverride` replaces the types instead of adding to them.

    Raises: NotFound, MissingParameters, WrongParameters.
    """
    types = document.get("IncidentTypes") or []
    if not isinstance(types, list):
        raise WrongParameters("IncidentTypes is a list of texts")

    def change(policy: EscalationPolicy) -> EscalationPolicy:
        return with_details(
            policy,
            name=document.get("Name"),
            description=document.get("Description"),
            types=types,
            override=bool(document.get("UpdateOverride", False)),
        )

    return await _update(platform, property_id, building_id, document, change, actor=actor)


async def update_policy_settings(
    platform: Platform, property_id: PropertyId, building_id: BuildingId, document: Mapping[str, Any], *, actor: str
) -> EscalationPolicy:
    """Replace the levels of the types of escalation that are given.

    Raises: NotFound, MissingParameters, WrongParameters.
    """
    steps = parse_steps(document)
    if not steps:
        raise MissingParameters(f"one of {', '.join(SETTINGS_KEYS.values())} is needed")
    return await _update(
        platform,
        property_id,
        building_id,
        document,
        lambda policy: replace(policy, steps={**policy.steps, **steps}),
        actor=actor,
    )


async def update_policy_targets(
    platform: Platform, property_id: PropertyId, building_id: BuildingId, document: Mapping[str, Any], *, actor: str
) -> EscalationPolicy:
    """Replace the target durations of the priorities that are given.

    Raises: NotFound, MissingParameters, WrongParameters.
    """
    targets = parse_targets(document.get("TargetDurations") or {})
    if not targets:
        raise MissingParameters("TargetDurations is needed")
    return await _update(
        platform,
        property_id,
        building_id,
        document,
        lambda policy: replace(policy, targets={**policy.targets, **targets}),
        actor=actor,
    )


async def update_policy(
    platform: Platform,
    property_id: PropertyId,
    building_id: BuildingId,
    document: Mapping[str, Any],
    *,
    actor: str,
    version: int | None = None,
) -> EscalationPolicy:
    """Change all that is given, at once: name, description, incident types, target durations and levels.

    Raises: NotFound, WrongParameters, VersionMismatch where the policy is no longer of that version.
    """
    steps, targets = parse_steps(document), parse_targets(document.get("TargetDurations") or {})

    def change(policy: EscalationPolicy) -> EscalationPolicy:
        if version is not None and policy.version != version:
            raise VersionMismatch(f"the policy was changed meanwhile: its version is {policy.version}")
        changed = with_details(
            policy,
            name=document.get("Name"),
            description=document.get("Description"),
            types=document.get("IncidentTypes") or [],
            override=True,
        )
        return replace(changed, steps={**policy.steps, **steps}, targets={**policy.targets, **targets})

    return await _update(platform, property_id, building_id, document, change, actor=actor)


async def escalate_incident(
    platform: Platform,
    property_id: PropertyId,
    task_id: TaskId,
    kind: EscalationType,
    *,
    actor: str,
    said: Said = NOTHING,
) -> WorkOrder:
    """Raise an incident by one level by hand.

    Raises: NotFound, WrongParameters for an unknown type, WrongState at the highest level or where that type of
    escalation does not go on.
    """
    if kind not in WATCHED:
        raise WrongParameters(f"EscalationType is one of {', '.join(WATCHED)}")
    async with platform.work(property_id, actor) as work:
        order = await locked(work, task_id, said, kind="INCIDENT")
        if order.status not in WATCHED[kind]:
            raise WrongState(f"an incident that is {order.status} is not escalated as {kind}")
        if order.escalation_level >= LEVEL_MAX:
            raise WrongState(f"the incident is at {level_name(LEVEL_MAX)} already")
        policy = await policy_of(work, order)
        return await escalate(work, order, policy, kind, order.escalation_level + 1, by_hand=True)


async def escalations(
    platform: Platform, property_id: PropertyId, task_id: TaskId, said: Said = NOTHING
) -> list[HistoryEntry]:
    """Every escalation of an incident, oldest first, with `type`, `level`, `policy`, `by_hand` in `detail`.

    Raises: NotFound, WrongParameters.
    """
    return (await escalations_of(platform, property_id, {task_id: said}))[task_id]


async def escalations_of(
    platform: Platform, property_id: PropertyId, asked: Mapping[TaskId, Said]
) -> dict[TaskId, list[HistoryEntry]]:
    """The escalations of several incidents, by their ids, in the order they were asked for.

    Raises: NotFound if there is none of an id, WrongParameters where something said is not so, QueryTooLong.
    """
    if len(asked) > ASKED_MAX:
        raise QueryTooLong(f"at most {ASKED_MAX} incidents are asked for at once")
    async with platform.database.connection() as connection:
        orders = await read_work_orders(connection, property_id, asked)
        for task_id, said in asked.items():
            fitting(orders[task_id], said)
        found = await read_histories(connection, property_id, asked, act="escalate")
    return {task_id: found.get(task_id, []) for task_id in asked}


async def escalate(
    work: Work,
    order: WorkOrder,
    policy: EscalationPolicy | None,
    kind: EscalationType,
    level: int,
    *,
    by_hand: bool = False,
) -> WorkOrder:
    """Put a locked incident on a level, and have told whom its policy names. Raises WrongState."""
    detail: dict[str, str | int | bool] = {
        "type": kind,
        "level": level_name(level),
        "policy": order.policy_id,
        "by_hand": by_hand,
    }
    after = await settle(work, order, escalated(order, kind, level), "escalate", detail, policy=policy)
    await store.add_notices(work.connection, notices_of(work, after, policy, kind, level))
    return after


def notices_of(
    work: Work, order: WorkOrder, policy: EscalationPolicy | None, kind: EscalationType, level: int
) -> Sequence[EscalationNotice]:
    """Whom the policy has told at a level: recipients for that type of incident, the assignee only if there is one."""
    step = policy.step(kind, level) if policy else None
    if step is None:
        return ()
    seat = order.assignee.seat_id if order.assignee else ""
    return [
        _notice(work, order, kind, level, entity, recipient.medium, recipient.details)
        for recipient in step.recipients
        if not recipient.incident_types
        or order.raised_by in recipient.incident_types
        or EVERY_TYPE in recipient.incident_types
        if (entity := seat if recipient.entity == ASSIGNEE else recipient.entity)
    ]


def notices_to(work: Work, order: WorkOrder, seats: Sequence[SeatId]) -> Sequence[EscalationNotice]:
    """An open incident, told to seats that could take it."""
    return [_notice(work, order, "unassigned", 0, seat, APP, {}) for seat in seats]


def _notice(
    work: Work,
    order: WorkOrder,
    kind: EscalationType,
    level: int,
    entity: str,
    medium: str,
    details: Mapping[str, Json],
) -> EscalationNotice:
    return EscalationNotice(
        id=uuid.uuid4(),
        property_id=order.property_id,
        building_id=order.building_id,
        work_order_id=order.id,
        type=kind,
        level=level,
        entity=entity,
        medium=medium,
        details=details,
        at=work.now,
    )


async def _current(
    connection: Any, property_id: PropertyId, building_id: BuildingId, policy_id: str
) -> EscalationPolicy:
    found = await store.current_policies(connection, property_id, building_id, policy_id)
    if not found:
        raise NotFound(f"building {building_id} has no escalation policy {policy_id}")
    return found[0]


async def _update(
    platform: Platform,
    property_id: PropertyId,
    building_id: BuildingId,
    document: Mapping[str, Any],
    change: Callable[[EscalationPolicy], EscalationPolicy],
    *,
    actor: str,
) -> EscalationPolicy:
    """A next version of the policy. Incidents that are open already go by theirs."""
    policy_id = document.get("PolicyId") or DEFAULT_POLICY
    if not isinstance(policy_id, str):
        raise WrongParameters("PolicyId is a text")
    async with platform.work(property_id, actor) as work:
        version = await store.next_version(work.connection, property_id, building_id, policy_id)
        current = await store.policy_version(work.connection, property_id, building_id, policy_id, version - 1)
        changed = replace(change(current), version=version)
        await store.add_version(work.connection, changed, actor, work.now)
    return changed
