"""Operations on escalation policies. Source: docs/contract/incidents.md §6"""

from __future__ import annotations

from matrixhub.api.actions.operation import Call, Operation, Reply
from matrixhub.api.actions.shape import FLAG, TEXT, Field, Shape, list_of, may, needs, of
from matrixhub.api.actions.work_shapes import Fields, row
from matrixhub.model.escalation import DEFAULT_POLICY, SETTINGS_KEYS, EscalationPolicy, policy_record
from matrixhub.modules.workforce import escalation
from matrixhub.modules.workforce.drafts import parse_flag


async def _create(call: Call, asked: Fields) -> Reply:
    made = await escalation.create_policy(
        call.platform, call.property_id, call.building_id, asked["EscalationPolicy"], actor=call.actor
    )
    return _record("Escalation policy created", made, asked)


async def _read(call: Call, asked: Fields) -> Reply:
    policy_id = asked.get("EscalationPolicyId") or DEFAULT_POLICY
    found = await escalation.read_policy(call.platform, call.property_id, call.building_id, policy_id)
    return _record("Escalation policy fetched", found, asked)


async def _list(call: Call, asked: Fields) -> Reply:
    found = await escalation.list_policies(call.platform, call.property_id, call.building_id)
    records = [policy_record(policy, as_arrays=_as_arrays(asked)) for policy in found]
    return Reply(message="Escalation policies fetched", data=records)


async def _update_details(call: Call, asked: Fields) -> Reply:
    document = asked["EscalationPolicy"]
    override = parse_flag(document.get("UpdateOverride"), "UpdateOverride")
    changed = await escalation.update_policy_details(
        call.platform,
        call.property_id,
        call.building_id,
        {**document, "UpdateOverride": override},
        actor=call.actor,
    )
    return _record("Escalation policy updated", changed, asked)


async def _update_settings(call: Call, asked: Fields) -> Reply:
    changed = await escalation.update_policy_settings(
        call.platform, call.property_id, call.building_id, asked["EscalationPolicy"], actor=call.actor
    )
    return _record("Escalation policy updated", changed, asked)


async def _update_targets(call: Call, asked: Fields) -> Reply:
    changed = await escalation.update_policy_targets(
        call.platform, call.property_id, call.building_id, asked["EscalationPolicy"], actor=call.actor
    )
    return _record("Escalation policy updated", changed, asked)


def _record(message: str, policy: EscalationPolicy, asked: Fields) -> Reply:
    return Reply(message=message, data=policy_record(policy, as_arrays=_as_arrays(asked)))


def _as_arrays(asked: Fields) -> bool:
    return parse_flag(asked.get("MapToArray"), "MapToArray")


_LEVELS = Shape("any", "levels as a list of {Level, Action, Recipients, TimeAfter}, or as an object by level")
_TARGETS = Shape("any", "a list of {Priority, StartThreshold, DueTime} in seconds, or an object by priority")
_STEPS = tuple(may(key, _LEVELS) for key in SETTINGS_KEYS.values())
_IN_MAPS = may("EscalationSettings", Shape("any", "the three settings as objects"))
_MAP_TO_ARRAY = may("MapToArray", FLAG, "answer with lists instead of objects")
_POLICY_ID = may("PolicyId", note="without it, default")
_TYPES = list_of(TEXT)

POLICY = of(
    *(needs(name) for name in ("ID", "ATTR", "PolicyId", "Name", "Description")),
    needs("IncidentTypes", _TYPES),
    needs("TargetDurations", _TARGETS),
    _IN_MAPS,
    *_STEPS,
)


def _policy(*fields: Field) -> Shape:
    return of(needs("EscalationPolicy", of(*fields)), _MAP_TO_ARRAY)


_RECIPIENT = {
    "Entity": "$assignee",
    "EntityMedium": "MATRIX_APP_NOTIFICATION",
    "MediumDetails": {},
    "NotifyForIncidents": [],
}

OPERATIONS: tuple[Operation, ...] = (
    row(
        "createEscalationPolicy",
        "A policy of a building: who is told when an incident is not assigned, not begun or not done in time.",
        _create,
        request=_policy(
            needs("Name"),
            may("Description"),
            may("IsDefault", FLAG),
            may("PolicyId"),
            may("IncidentTypes", _TYPES),
            may("TargetDurations", _TARGETS),
            _IN_MAPS,
            *_STEPS,
        ),
        response=POLICY,
        example={
            "EscalationPolicy": {
                "Name": "Washrooms",
                "Description": "Standard",
                "IsDefault": True,
                "IncidentTypes": ["*"],
                "DueTimeThresholdSettings": [
                    {"Level": "L1", "Recipients": [_RECIPIENT], "TimeAfter": 300, "Action": "NOTIFY"}
                ],
                "StartThresholdSettings": [
                    {"Level": "L0", "Recipients": [_RECIPIENT], "TimeAfter": 0, "Action": "NOTIFY"}
                ],
                "TargetDurations": [{"Priority": "H", "DueTime": 900, "StartThreshold": 300}],
            }
        },
    ),
    row(
        "getEscalationPolicy",
        "A policy of a building, the default one where none is named.",
        _read,
        request=of(may("EscalationPolicyId"), _MAP_TO_ARRAY),
        response=POLICY,
        example={"EscalationPolicyId": "default", "MapToArray": True},
    ),
    row(
        "getAllEscalationPolicies",
        "All policies of a building.",
        _list,
        request=of(_MAP_TO_ARRAY),
        response=list_of(POLICY),
        example={"MapToArray": False},
    ),
    row(
        "updateEscalationPolicyDetails",
        "Change name, description and incident types; types are added unless UpdateOverride replaces them.",
        _update_details,
        request=_policy(
            _POLICY_ID, may("Name"), may("Description"), may("IncidentTypes", _TYPES), may("UpdateOverride", FLAG)
        ),
        response=POLICY,
        example={
            "EscalationPolicy": {"PolicyId": "default", "IncidentTypes": ["WD"], "UpdateOverride": True},
            "MapToArray": True,
        },
    ),
    row(
        "updateEscalationPolicySettings",
        "Replace the levels of the kinds of escalation that are given.",
        _update_settings,
        request=_policy(_POLICY_ID, _IN_MAPS, *_STEPS),
        response=POLICY,
        example={
            "EscalationPolicy": {
                "PolicyId": "default",
                "StartThresholdSettings": [
                    {"Level": "L1", "Recipients": [_RECIPIENT], "TimeAfter": 300, "Action": "NOTIFY"}
                ],
            }
        },
    ),
    row(
        "updateEscalationPolicyTargetDurations",
        "Replace the target durations of the priorities that are given.",
        _update_targets,
        request=_policy(_POLICY_ID, needs("TargetDurations", _TARGETS)),
        response=POLICY,
        example={
            "EscalationPolicy": {
                "PolicyId": "default",
                "TargetDurations": [{"Priority": "L", "DueTime": 3600, "StartThreshold": 1800}],
            }
        },
    ),
)
