"""The pages and documents that describe the faces: from this host alone, and true."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from tests.unit.api.test_app import ask

from matrixhub.api.actions.registry import OPERATIONS
from matrixhub.api.asyncapi import asyncapi_document, asyncapi_text
from matrixhub.api.reference import operations_document
from matrixhub.model.event import CATALOGUE, envelope, platform_event
from matrixhub.model.ids import BuildingId, PropertyId

ROOT = Path(__file__).parents[3]


def examples(page: str) -> list[Any]:
    """The JSON examples of a page of the contract."""
    text = (ROOT / "docs" / "contract" / page).read_text(encoding="utf-8")
    return [json.loads(found) for found in re.findall(r"```json\n(.*?)\n```", text, re.DOTALL)]


def validator(name: str) -> jsonschema_rs.Draft202012Validator:
    """What checks a thing against a schema of the AsyncAPI document."""
    document = asyncapi_document()
    return jsonschema_rs.Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    )


async def test_the_page_and_its_parts_come_from_this_host_alone() -> None:
    status, headers, body = await ask("GET", "/hub/v1/docs")
    assert status == 200
    assert headers[b"content-type"] == b"text/html; charset=utf-8"
    assert b"default-src 'none'" in headers[b"content-security-policy"]
    links = re.findall(r'(?:src|href)="([^"]+)"', body.decode())
    assert len(links) >= 5
    for link in {*links, "docs/reference.js"}:
        assert re.match(r"[a-z]+/[\w.-]+$", link), link
        status, headers, part = await ask("GET", f"/hub/v1/{link}")
        assert (status, bool(part)) == (200, True), link
        assert headers[b"content-type"] != b"text/html"


@pytest.mark.parametrize("name", ["swagger-editor-bundle.js", "..%2fcore.py", "index.html", "core.py"])
async def test_nothing_else_of_the_wheel_is_served(name: str) -> None:
    assert (await ask("GET", f"/hub/v1/docs/{name}"))[0] == 404


async def test_the_operations_are_served_with_their_schemas() -> None:
    status, _, body = await ask("GET", "/hub/v1/openapi/operations.json")
    assert status == 200
    assert [row["name"] for row in json.loads(body)] == [row.name for row in OPERATIONS]


@pytest.mark.parametrize("row", operations_document(), ids=lambda row: str(row["name"]))
def test_the_schemas_of_an_operation_are_schemas_and_its_example_fits(row: dict[str, Any]) -> None:
    assert jsonschema_rs.Draft202012Validator(row["answer"])
    if row["example"] is not None and row["takes"] == "object":
        jsonschema_rs.Draft202012Validator(row["body"]).validate(row["example"])


def test_the_committed_document_of_the_pushes_is_the_one_that_is_served() -> None:
    assert (ROOT / "asyncapi.json").read_text(encoding="utf-8") == asyncapi_text(), "run `make openapi`"


async def test_the_document_of_the_pushes_is_served() -> None:
    status, _, body = await ask("GET", "/hub/v1/openapi/asyncapi.json")
    assert (status, json.loads(body)["asyncapi"]) == (200, "3.0.0")


@pytest.mark.parametrize("reading", examples("sensor-data.md"), ids=lambda reading: str(reading["DevType"]))
def test_every_example_of_a_reading_fits_the_document(reading: dict[str, Any]) -> None:
    reading = {**reading, "Type": ""}  # what the hub makes of null (docs/contract/sensor-data.md §1.2)
    validator("Reading").validate(reading)
    assert not validator("Reading").is_valid({**reading, "unixT": "now"})
    assert not validator("Reading").is_valid({name: value for name, value in reading.items() if name != "DEVID"})


@pytest.mark.parametrize("event", CATALOGUE)
def test_an_event_of_the_bus_fits_the_document(event: str) -> None:
    property_id, building_id = PropertyId("5b1e0c7a"), BuildingId("c40d2f6e")
    made = envelope(
        platform_event(event, property_id, building_id, happened_at=1710029109, description="A tap drips", meta={})
    )
    validator("Event").validate(made)
    assert not validator("Event").is_valid({**made, "More": 1})
