"""Roles and groups of users as people write them: what is wrong is named, all of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from matrixhub.model.errors import InvalidValue
from matrixhub.model.iam import GroupDocument, RoleDocument
from matrixhub.model.iam_documents import MEMBERS_MAX, check_group, check_role, read_document


def a_role(statement: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A role that is right, with something else in its only statement or in itself."""
    made = {"effect": "allow", "operations": ["scgrids.*"], **(statement or {})}
    return {"name": "ORCHARD#Guards", "policy_sets": [{"name": "s", "statements": [made]}], **fields}


def wrong(raw: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidValue) as caught:
        check_role(read_document(RoleDocument, raw))
    return [path for path, _ in caught.value.fields]


WHOLE = a_role(
    {
        "name": "by day",
        "buildings": ["c40d2f6e81b94a0c9e3375ab60d1f8e2"],
        "when": {
            "ip_in": ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"],
            "ip_not_in": ["10.1.0.0/16"],
            "not_before": "2024-03-10T00:00:00Z",
            "not_after": "2024-03-11T00:00:00+08:00",
            "hours": {"start": "08:00", "end": "24:00", "time_zone": "Asia/Singapore", "days": [0, 6]},
        },
    },
    description="Those at the gate",
    status="PENDING_DEPRECATION",
    trust=[{"effect": "allow", "principals": ["srn:sciam:*:KEY/*", "*"]}],
)


def test_a_whole_role_is_taken_and_comes_back_from_its_json() -> None:
    document = read_document(RoleDocument, WHOLE)
    check_role(document)
    assert msgspec.convert(msgspec.to_builtins(document), RoleDocument) == document


def test_numbers_of_a_file_may_be_texts() -> None:
    texts = a_role({"when": {"hours": {"start": "18:00", "end": "06:00", "time_zone": "UTC", "days": ["1", "2"]}}})
    statement = read_document(RoleDocument, texts).policy_sets[0].statements[0]
    assert statement.when.hours is not None
    assert statement.when.hours.days == (1, 2)


S = "policy_sets[0].statements[0]"
HOURS = {"start": "08:00", "end": "18:00", "time_zone": "UTC"}


@pytest.mark.parametrize(
    ("raw", "paths"),
    [
        (a_role(name="two words"), ["name"]),
        (a_role(name=""), ["name"]),
        (a_role(name="a#b#c"), ["name"]),
        (a_role(name="SMARTCLEAN#Mine"), ["name"]),
        (a_role(name="smartclean#PropertyAdmins"), ["name"]),
        (a_role(name="matrixhub#Operator"), ["name"]),
        (a_role(name="GridsViewer"), ["name"]),
        (a_role(description="x" * 513), ["description"]),
        (a_role(policy_sets=[{"name": "s", "statements": []}]), ["policy_sets[0].statements"]),
        (a_role(policy_sets=a_role()["policy_sets"] * 2), ["policy_sets"]),
        (a_role({"operations": []}), [f"{S}.operations"]),
        (a_role({"operations": ["ok", "no blank"]}), [f"{S}.operations[1]"]),
        (a_role({"operations": ["x" * 129]}), [f"{S}.operations[0]"]),
        (a_role({"buildings": [" x"]}), [f"{S}.buildings[0]"]),
        (a_role({"when": {"ip_in": ["10.0.0.1/8"]}}), [f"{S}.when.ip_in[0]"]),
        (a_role({"when": {"ip_not_in": ["here"]}}), [f"{S}.when.ip_not_in[0]"]),
        (a_role({"when": {"not_before": "2024-03-10T00:00:00"}}), [f"{S}.when.not_before"]),
        (a_role({"when": {"hours": {**HOURS, "start": "8:00"}}}), [f"{S}.when.hours.start"]),
        (a_role({"when": {"hours": {**HOURS, "start": "24:00"}}}), [f"{S}.when.hours.start"]),
        (a_role({"when": {"hours": {**HOURS, "end": "24:01"}}}), [f"{S}.when.hours.end"]),
        (a_role({"when": {"hours": {**HOURS, "end": "12:60"}}}), [f"{S}.when.hours.end"]),
        (a_role({"when": {"hours": {**HOURS, "days": []}}}), [f"{S}.when.hours.days"]),
        (a_role({"when": {"hours": {**HOURS, "days": [7]}}}), [f"{S}.when.hours.days"]),
        (a_role({"when": {"hours": {**HOURS, "days": [1, 1]}}}), [f"{S}.when.hours.days"]),
        (a_role({"when": {"hours": {**HOURS, "time_zone": "Mars"}}}), [f"{S}.when.hours.time_zone"]),
        (a_role({"when": {"hours": {**HOURS, "time_zone": "../x"}}}), [f"{S}.when.hours.time_zone"]),
        (a_role(trust=[{"effect": "deny", "principals": []}]), ["trust[0].principals"]),
        (a_role(trust=[{"effect": "deny", "principals": ["ann"]}]), ["trust[0].principals[0]"]),
        (a_role({"operations": [" "], "when": {"ip_in": ["x"]}}), [f"{S}.operations[0]", f"{S}.when.ip_in[0]"]),
    ],
)
def test_what_is_wrong_with_a_role_is_named(raw: dict[str, Any], paths: list[str]) -> None:
    assert wrong(raw) == paths


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"name": "x"},
        a_role(surprise=1),
        a_role(status="OLD"),
        a_role({"effect": "maybe"}),
        a_role({"when": {"moon": "full"}}),
        [],
        None,
        "text",
    ],
)
def test_what_is_no_role_at_all_is_refused(raw: Any) -> None:
    with pytest.raises(InvalidValue):
        read_document(RoleDocument, raw)


def test_a_role_may_trust_nobody() -> None:
    check_role(read_document(RoleDocument, a_role(trust=[])))


@pytest.mark.parametrize(
    ("group", "paths"),
    [
        ({"name": "two words", "role": "R"}, ["name"]),
        ({"name": "g", "role": "R", "members": {"users": ["ann", ""]}}, ["members.users[1]"]),
        ({"name": "g", "role": "R", "members": {"keys": ["k", "k"]}}, ["members.keys"]),
        (
            {"name": "g", "role": "R", "members": {"seats": [f"s{n}" for n in range(MEMBERS_MAX + 1)]}},
            ["members.seats"],
        ),
    ],
)
def test_what_is_wrong_with_a_group_is_named(group: dict[str, Any], paths: list[str]) -> None:
    check_group(read_document(GroupDocument, {"name": "g", "role": "R"}))
    with pytest.raises(InvalidValue) as caught:
        check_group(read_document(GroupDocument, group))
    assert [path for path, _ in caught.value.fields] == paths
