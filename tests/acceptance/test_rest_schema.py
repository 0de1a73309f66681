"""The REST face keeps what its OpenAPI document says, whatever it is asked."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.acceptance.hub import Hub, site_text

from matrixhub.api.openapi import openapi_text

COMMITTED = Path(__file__).parents[2] / "openapi.json"
PROPERTY = "rest-schema"
ROLE = "{name: schema#viewer, policy_sets: [{name: s, statements: [{effect: allow, operations: ['*']}]}]}"
EXAMPLES = 4
"""Requests made up for each route: enough to try each field with something strange, few enough to be quick."""

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)

COVERAGE = {"phases": {"coverage": {"enabled": os.environ.get("SCHEMA_COVERAGE") == "1"}}}
"""Every value at the edge of every field, some seventy requests a route: `make soak` has the time for it."""

schema = schemathesis.openapi.from_path(COMMITTED, config=schemathesis.Config.from_dict(COVERAGE))
rest = schema.include(path_regex="^/hub/v1/").exclude(operation_id="sendReadings")
"""Readings have tests of their own."""


def test_the_committed_document_is_that_of_the_code() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == openapi_text(), "run `make openapi` and look at the difference"


@pytest.fixture(scope="module")
def things(hub: Hub) -> Iterator[Mapping[str, str]]:
    """A key that may manage a property of its own, and ids of things that there are; nothing is left behind."""
    site = hub.write("rest.site.yaml", site_text(PROPERTY, ("rest-0", "rest-1")))
    assert hub.run("site", "apply", str(site)).code == 0
    hub.ask("key", "create", "--property", PROPERTY)
    key = hub.ask("key", "create", "--property", PROPERTY, "--manage")["key"]
    made = hub.ask("subscription", "create", "--property", PROPERTY, "--url", "https://example.invalid/")
    pair = hub.ask("key", "create", "--property", PROPERTY, "--access")
    places = {"its_id": PROPERTY, "building_id": f"{PROPERTY}-b0", "zone_id": f"{PROPERTY}-z0", "slot_id": "rest-0"}
    role = hub.write("role.yaml", ROLE)
    assert hub.run("iam", "role", "set", str(role), "--property", PROPERTY).code == 0
    group = hub.write("group.yaml", "{name: viewers, role: GridsViewer}")
    assert hub.run("iam", "group", "set", str(group), "--property", PROPERTY).code == 0
    named = {"role": "schema#viewer", "group": "viewers"}
    yield {"key": key, "subscription_id": made["id"], "key_id": pair["id"], **places, **named}
    while left := json.loads(ask(hub, key, "GET", "/subscriptions"))["items"]:
        for one in left:
            ask(hub, key, "DELETE", f"/subscriptions/{one['id']}")


def ask(hub: Hub, key: str, method: str, path: str) -> bytes:
    """What the REST face answers."""
    headers = {"Authorization": f"Bearer {key}"}
    with urlopen(Request(f"{hub.url}/hub/v1{path}", method=method, headers=headers)) as answer:
        content: bytes = answer.read()
        return content


def test_a_key_that_may_manage_is_listed_as_such(hub: Hub, things: Mapping[str, str]) -> None:
    listed = hub.ask("key", "list", "--property", PROPERTY)
    assert {key["manages"] for key in listed} == {True, False}


@rest.parametrize()
@settings(
    max_examples=EXAMPLES,
    phases=(Phase.explicit, Phase.generate),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_an_answer_is_as_the_document_says(hub: Hub, things: Mapping[str, str], case: Any) -> None:
    # Made-up ids lead nowhere; what keeps the thing for the next example is tried with one that is there.
    for name in case.path_parameters or {}:
        if case.method != "DELETE" and name in things:
            case.path_parameters[name] = things[name]
    if isinstance(case.body, dict) and "subscription" in case.body:
        case.body["subscription"] = things["subscription_id"]
    if isinstance(case.body, dict) and "url" in case.body:
        case.body["url"] = "https://example.invalid/"
    headers = {"Authorization": f"Bearer {things['key']}"}
    case.call_and_validate(base_url=hub.url, headers=headers, checks=list(CHECKS), timeout=30)
