"""Escalation policies: who is told when an incident is not assigned, not begun or not done in time.

Source: docs/contract/incidents.md §6
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from matrixhub.model.devices import Json
from matrixhub.model.errors import MissingParameters, WrongParameters
from matrixhub.model.ids import BuildingId

PriorityCode = Literal["H", "M", "N", "L"]
PRIORITY_CODES: tuple[PriorityCode, ...] = ("H", "M", "N", "L")

EscalationType = Literal["unassigned", "startTime", "dueTime"]
SETTINGS_KEYS: Mapping[EscalationType, str] = {
    "unassigned": "UnassignedSettings",
    "startTime": "StartThresholdSettings",
    "dueTime": "DueTimeThresholdSettings",
}
"""The types of escalation, and where a policy says what happens then."""

LEVEL_MAX = 3
ASSIGNEE = "$assignee"
EVERY_TYPE = "*"
DEFAULT_POLICY = "default"
MEDIA = ("MATRIX_APP_NOTIFICATION", "MATRIX_MOBILE_APP", "EMAIL", "SMS", "WEBHOOK")
ACTION = "NOTIFY"

_WAIT_MAX_S = 2_592_000
_RECIPIENTS_MAX = 50
_TYPES_MAX = 100
_TEXT_MAX = 320


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipient:
    """Who is told and how: the assignee, a seat or an address. Without `incident_types` of every incident."""

    entity: str
    medium: str
    details: Mapping[str, Json]
    incident_types: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A level of an escalation: `wait_s` after the level before it; that of level 0 counts for nothing."""

    level: int
    wait_s: int
    recipients: tuple[Recipient, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """How soon work is to begin after the start, and to be done."""

    start_threshold_s: int
    due_time_s: int


@dataclass(frozen=True, kw_only=True, slots=True)
class EscalationPolicy:
    """A version of a policy of a building. The one of id `default` goes for what no other is for."""

    id: str
    building_id: BuildingId
    version: int
    name: str
    description: str
    incident_types: tuple[str, ...]
    targets: Mapping[PriorityCode, Target]
    steps: Mapping[EscalationType, tuple[Step, ...]]

    def step(self, kind: EscalationType, level: int) -> Step | None:
        """What the policy says of that level."""
        return next((step for step in self.steps.get(kind, ()) if step.level == level), None)

    def offset_s(self, kind: EscalationType, level: int) -> int:
        """How long after its base a level is reached: the waits of L1 up to it; levels that are missing add none."""
        return sum(step.wait_s for step in self.steps.get(kind, ()) if 1 <= step.level <= level)


def choose_policy(policies: Iterable[EscalationPolicy], raised_by: str) -> EscalationPolicy | None:
    """The policy for what was raised by that: the most specific one, else the default one.

    The fewer types a policy names, the more specific it is; `*` is the least. Among equals the default one, then by id.
    """
    known = sorted(policies, key=lambda policy: (policy.id != DEFAULT_POLICY, policy.id))
    named = [
        policy for policy in known if raised_by in policy.incident_types and EVERY_TYPE not in policy.incident_types
    ]
    if named:
        return min(named, key=lambda policy: len(policy.incident_types))
    for_all = (policy for policy in known if EVERY_TYPE in policy.incident_types)
    default = (policy for policy in known if policy.id == DEFAULT_POLICY)
    return next(for_all, None) or next(default, None)


def level_name(level: int) -> str:
    """The level as it is written.

    >>> level_name(2)
    'L2'
    """
    return f"L{level}"


def policy_record(policy: EscalationPolicy, *, as_arrays: bool = False) -> dict[str, Json]:
    """The policy as the wire has it, keyed by priority and level, or as arrays (`MapToArray`)."""
    targets: list[dict[str, Json]] = [
        {"Priority": code, "DueTime": target.due_time_s, "StartThreshold": target.start_threshold_s}
        for code, target in policy.targets.items()
    ]
    settings = {SETTINGS_KEYS[kind]: [_step_record(step) for step in steps] for kind, steps in policy.steps.items()}
    record: dict[str, Json] = {
        "ID": policy.building_id,
        "ATTR": f"attr#escalationpolicy#{policy.building_id}#{policy.id}",
        "PolicyId": policy.id,
        "Name": policy.name,
        "Description": policy.description,
        "IncidentTypes": list(policy.incident_types),
    }
    if as_arrays:
        return {**record, "TargetDurations": cast(Json, targets), **cast("dict[str, Json]", settings)}
    return {
        **record,
        "TargetDurations": {str(target["Priority"]): _without(target, "Priority") for target in targets},
        "EscalationSettings": {
            key: {str(step["Level"]): _without(step, "Level") for step in steps} for key, steps in settings.items()
        },
    }


def parse_policy(
    document: Mapping[str, Any], *, policy_id: str, building_id: BuildingId, version: int
) -> EscalationPolicy:
    """A policy from its record in either form.

    Raises: MissingParameters without a name, WrongParameters saying what does not fit.
    """
    if not document.get("Name"):
        raise MissingParameters("a policy needs a Name")
    return EscalationPolicy(
        id=_text(policy_id, "PolicyId"),
        building_id=building_id,
        version=version,
        name=_text(document["Name"], "Name"),
        description=_text(document.get("Description") or "", "Description", empty=True),
        incident_types=parse_types(document.get("IncidentTypes") or [EVERY_TYPE]),
        targets=parse_targets(document.get("TargetDurations") or {}),
        steps=parse_steps(document),
    )


def parse_types(types: object) -> tuple[str, ...]:
    """Incident types, each once. Raises: WrongParameters."""
    if not isinstance(types, (list, tuple)) or not 0 < len(types) <= _TYPES_MAX:
        raise WrongParameters(f"IncidentTypes is a list of 1 to {_TYPES_MAX} texts")
    return tuple(dict.fromkeys(_text(entry, "IncidentTypes") for entry in types))


def parse_targets(targets: object) -> dict[PriorityCode, Target]:
    """Target durations from a map by priority or a list with `Priority`. Raises: WrongParameters."""
    found: dict[PriorityCode, Target] = {}
    for code, entry in _entries(targets, "Priority", "TargetDurations"):
        if code not in PRIORITY_CODES or code in found:
            raise WrongParameters("TargetDurations has each of the priorities H, M, N, L at most once")
        found[code] = Target(
            start_threshold_s=_seconds(entry.get("StartThreshold"), "StartThreshold"),
            due_time_s=_seconds(entry.get("DueTime"), "DueTime", low=1),
        )
    return found


def parse_steps(document: Mapping[str, Any]) -> dict[EscalationType, tuple[Step, ...]]:
    """The levels of each type that is there, also inside `EscalationSettings`. Raises: WrongParameters."""
    inside = document.get("EscalationSettings", {})
    if not isinstance(inside, Mapping):
        raise WrongParameters("EscalationSettings is an object")
    settings = {**inside, **document}
    return {kind: _steps(settings[key], key) for kind, key in SETTINGS_KEYS.items() if settings.get(key) is not None}


def with_details(
    policy: EscalationPolicy, *, name: str | None, description: str | None, types: Sequence[str], override: bool
) -> EscalationPolicy:
    """The policy under other words; types are added, or with `override` replace those there were."""
    added = tuple(dict.fromkeys((*policy.incident_types, *types)))
    return replace(
        policy,
        name=policy.name if name is None else _text(name, "Name"),
        description=policy.description if description is None else _text(description, "Description", empty=True),
        incident_types=(parse_types(types) if types else policy.incident_types) if override else parse_types(added),
    )


def _steps(settings: object, key: str) -> tuple[Step, ...]:
    found: dict[int, Step] = {}
    for name, entry in _entries(settings, "Level", key):
        level = {level_name(number): number for number in range(LEVEL_MAX + 1)}.get(name)
        if level is None or level in found:
            raise WrongParameters(f"{key} has each of the levels L0 to L{LEVEL_MAX} at most once")
        if entry.get("Action", ACTION) != ACTION:
            raise WrongParameters(f"Action of a level is {ACTION}")
        recipients = entry.get("Recipients") or []
        if not isinstance(recipients, list) or len(recipients) > _RECIPIENTS_MAX:
            raise WrongParameters(f"Recipients is a list of at most {_RECIPIENTS_MAX}")
        found[level] = Step(
            level=level,
            wait_s=_seconds(entry.get("TimeAfter", 0), "TimeAfter"),
            recipients=tuple(map(_recipient, recipients)),
        )
    return tuple(found[level] for level in sorted(found))


def _recipient(entry: object) -> Recipient:
    if not isinstance(entry, Mapping):
        raise WrongParameters("a recipient is an object")
    medium, details = entry.get("EntityMedium"), entry.get("MediumDetails") or {}
    if medium not in MEDIA:
        raise WrongParameters(f"EntityMedium is one of {', '.join(MEDIA)}")
    types = entry.get("NotifyForIncidents") or []
    if not isinstance(details, Mapping) or not isinstance(types, list):
        raise WrongParameters("MediumDetails is an object, NotifyForIncidents a list")
    return Recipient(
        entity=_text(entry.get("Entity"), "Entity"),
        medium=str(medium),
        details=dict(details),
        incident_types=parse_types(types) if types else (),
    )


def _entries(given: object, key: str, what: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Pairs of a map, or of a list whose entries hold the key themselves."""
    if isinstance(given, Mapping):
        pairs = list(given.items())
    elif isinstance(given, list) and all(isinstance(entry, Mapping) for entry in given):
        pairs = [(str(entry.get(key)), entry) for entry in given]
    else:
        raise WrongParameters(f"{what} is an object or a list of objects")
    if not all(isinstance(entry, Mapping) for _, entry in pairs):
        raise WrongParameters(f"{what} holds objects")
    return pairs


def _seconds(value: object, what: str, *, low: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= _WAIT_MAX_S:
        raise WrongParameters(f"{what} is a whole number of {low} to {_WAIT_MAX_S} seconds")
    return value


def _text(value: object, what: str, *, empty: bool = False) -> str:
    if not isinstance(value, str) or len(value) > _TEXT_MAX or not (value.strip() or empty):
        raise WrongParameters(f"{what} is a text of at most {_TEXT_MAX} characters")
    return value


def _step_record(step: Step) -> dict[str, Json]:
    return {
        "Level": level_name(step.level),
        "Action": ACTION,
        "Recipients": [
            {
                "Entity": recipient.entity,
                "EntityMedium": recipient.medium,
                "MediumDetails": dict(recipient.details),
                "NotifyForIncidents": list(recipient.incident_types),
            }
            for recipient in step.recipients
        ],
        "TimeAfter": step.wait_s,
    }


def _without(record: Mapping[str, Json], key: str) -> dict[str, Json]:
    return {name: value for name, value in record.items() if name != key}
