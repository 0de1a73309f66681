"""Escalation policies: both forms of the record, and which one goes for an incident."""

from __future__ import annotations

from typing import Any

import pytest

from matrixhub.model.errors import MissingParameters, WrongParameters
from matrixhub.model.escalation import EscalationPolicy, choose_policy, parse_policy, policy_record, with_details
from matrixhub.model.ids import BuildingId

B = BuildingId("c40d2f6e81b94a0c9e3375ab60d1f8e2")


def recipient(entity: str, medium: str, *types: str) -> dict[str, Any]:
    return {"Entity": entity, "EntityMedium": medium, "MediumDetails": {}, "NotifyForIncidents": list(types)}


def level(*recipients: dict[str, Any], after: int) -> dict[str, Any]:
    return {"Action": "NOTIFY", "Recipients": list(recipients), "TimeAfter": after}


MAP_FORM: dict[str, Any] = {
    "ID": B,
    "ATTR": f"attr#escalationpolicy#{B}#default",
    "PolicyId": "default",
    "Name": "Washrooms",
    "Description": "Standard",
    "IncidentTypes": ["*"],
    "TargetDurations": {
        "H": {"StartThreshold": 300, "DueTime": 900},
        "M": {"StartThreshold": 600, "DueTime": 1200},
        "N": {"StartThreshold": 900, "DueTime": 1800},
        "L": {"StartThreshold": 1800, "DueTime": 3600},
    },
    "EscalationSettings": {
        "UnassignedSettings": {"L1": level(recipient(f"{B}_001", "MATRIX_MOBILE_APP"), after=240)},
        "StartThresholdSettings": {"L0": level(recipient("$assignee", "MATRIX_APP_NOTIFICATION"), after=0)},
        "DueTimeThresholdSettings": {"L1": level(recipient("duty@orchard.example", "EMAIL", "WD"), after=300)},
    },
}


def policy(**changes: Any) -> EscalationPolicy:
    document = {**MAP_FORM, **changes}
    return parse_policy(document, policy_id=document["PolicyId"], building_id=B, version=1)


def test_the_published_record_comes_back_as_it_was() -> None:
    assert policy_record(policy()) == MAP_FORM


def test_the_array_form_means_the_same_policy() -> None:
    arrays: Any = policy_record(policy(), as_arrays=True)
    assert arrays["TargetDurations"][0] == {
        "Priority": "H",
        "DueTime": 900,
        "StartThreshold": 300,
    }
    assert arrays["UnassignedSettings"][0]["Level"] == "L1"
    assert parse_policy(arrays, policy_id="default", building_id=B, version=1) == policy()


@pytest.mark.parametrize(
    "changes",
    [
        {"IncidentTypes": "WD"},
        {"IncidentTypes": [""]},
        {"IncidentTypes": [7]},
        {"TargetDurations": {"X": {"StartThreshold": 1, "DueTime": 1}}},
        {"TargetDurations": {"H": {"StartThreshold": -1, "DueTime": 1}}},
        {"TargetDurations": {"H": {"StartThreshold": 1}}},
        {"TargetDurations": [{"Priority": "H", "StartThreshold": 1, "DueTime": 1}] * 2},
        {"TargetDurations": 7},
        {"EscalationSettings": []},
        {"UnassignedSettings": {"L4": level(after=1)}},
        {"UnassignedSettings": [{"Level": "L1", **level(after=1)}] * 2},
        {"UnassignedSettings": {"L1": {**level(after=1), "Action": "CALL"}}},
        {"UnassignedSettings": {"L1": level(after=True)}},
        {"UnassignedSettings": {"L1": level(recipient("", "EMAIL"), after=1)}},
        {"UnassignedSettings": {"L1": level(recipient("a@b.example", "PIGEON"), after=1)}},
        {"UnassignedSettings": {"L1": level(*[recipient("a", "EMAIL")] * 51, after=1)}},
        {"Name": "n" * 321},
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(WrongParameters):
        policy(**changes)


def test_a_policy_needs_a_name() -> None:
    with pytest.raises(MissingParameters):
        policy(Name="")


@pytest.mark.parametrize(
    "policies, raised_by, chosen",
    [
        ({}, "WD", None),
        ({"a": ["WD"]}, "FD", None),
        ({"a": ["WD"]}, "WD", "a"),
        ({"default": ["WD"]}, "FD", "default"),
        ({"default": ["*"], "a": ["WD"]}, "WD", "a"),
        ({"default": ["*"], "a": ["WD"]}, "FD", "default"),
        ({"default": ["FD"], "a": ["*"]}, "WD", "a"),
        ({"default": ["*"], "a": ["*"]}, "WD", "default"),
        ({"a": ["WD", "FD"], "b": ["WD"], "c": ["WD", "*"]}, "WD", "b"),
        ({"b": ["WD"], "a": ["WD"]}, "WD", "a"),
        ({"default": ["WD"], "a": ["WD"]}, "WD", "default"),
    ],
)
def test_the_most_specific_policy_goes_else_the_default_one(
    policies: dict[str, list[str]], raised_by: str, chosen: str | None
) -> None:
    known = [policy(PolicyId=name, IncidentTypes=types) for name, types in policies.items()]
    found = choose_policy(known, raised_by)
    assert (found.id if found else None) == chosen


def test_levels_are_offset_by_the_waits_before_them_and_missing_ones_add_none() -> None:
    steps = {"L0": level(after=300), "L1": level(after=10), "L3": level(after=5)}
    made = policy(UnassignedSettings=steps)
    assert [made.offset_s("unassigned", number) for number in range(4)] == [0, 10, 10, 15]


def test_types_are_added_or_replaced() -> None:
    made = policy(IncidentTypes=["WD"])
    added = with_details(made, name=None, description="d", types=["FD", "WD"], override=False)
    assert (added.name, added.description, added.incident_types) == ("Washrooms", "d", ("WD", "FD"))
    assert with_details(made, name="n", description=None, types=["FD"], override=True).incident_types == ("FD",)
