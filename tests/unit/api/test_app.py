"""A process serves the faces of its roles and says of the others that they are not there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from matrixhub.api import make_app
from matrixhub.api.openapi import openapi_document
from matrixhub.observe import Fact, Metrics, RequestServed


async def ask(method: str, path: str, observe: Any = None) -> tuple[int, dict[bytes, bytes], Any]:
    """One request to a process without roles."""
    app = make_app({}, Metrics(), None, None, observe or (lambda _fact: None))
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "root_path": "",
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
        "http_version": "1.1",
    }
    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], dict(sent[0]["headers"]), body


PATHS = sorted(path for path in openapi_document()["paths"] if path.startswith("/hub/v1"))


@pytest.mark.parametrize("path", PATHS)
async def test_a_face_of_another_role_is_not_found(path: str) -> None:
    status, headers, body = await ask("GET", path.replace("{", "").replace("}", ""))
    assert (status, headers[b"content-type"], json.loads(body)["code"]) == (404, b"application/problem+json", "MH-R008")


async def test_every_process_has_health_metrics_and_the_document() -> None:
    for path in ("/health/live", "/health/ready", "/metrics", "/hub/v1/openapi/openapi.json"):
        status, headers, _ = await ask("GET", path)
        assert status == 200
        assert headers[b"x-request-id"]


async def test_metrics_say_their_format_and_charset_once() -> None:
    _, headers, _ = await ask("GET", "/metrics")
    assert headers[b"content-type"] == b"text/plain; version=0.0.4; charset=utf-8"


async def test_a_request_is_reported_by_its_route() -> None:
    facts: list[Fact] = []
    await ask("GET", "/hub/v1/openapi/openapi.json", facts.append)
    await ask("GET", "/hub/v1/none", facts.append)
    served = [(fact.route, fact.status) for fact in facts if isinstance(fact, RequestServed)]
    assert served == [("/hub/v1/openapi/openapi.json", 200), ("", 404)]
