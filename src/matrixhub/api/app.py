"""The application behind the HTTP port: ingest, the REST face, health and metrics."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from litestar import Litestar, MediaType, Response, Router, get
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.types import ControllerRouterHandler

from matrixhub import __version__
from matrixhub.api import discovery, reference
from matrixhub.api.access import Gate
from matrixhub.api.access.standing import Headers, answer_headers
from matrixhub.api.actions import ActionsApp, is_actions_path
from matrixhub.api.auth import provide_property, require_permission
from matrixhub.api.bodies import BODY_BYTES_MAX
from matrixhub.api.parts import Parts
from matrixhub.api.problems import exception_handlers
from matrixhub.api.rest import rest_handlers
from matrixhub.ingest import IngestApp
from matrixhub.ingest.http import Receive, Scope, Send
from matrixhub.observe import Metrics, Observe, RequestServed, ignore

READINGS_PATH = "/hub/v1/readings"
REST_PATH = "/hub/v1"

Checks = Mapping[str, Callable[[], Awaitable[bool]]]
"""What must hold for the hub to be ready, by name."""

Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Health(msgspec.Struct, frozen=True):
    """Whether the hub is fit, and which of its parts are."""

    status: str
    checks: dict[str, bool]


def make_app(
    checks: Checks, metrics: Metrics, ingest: IngestApp | None, parts: Parts | None = None, observe: Observe = ignore
) -> Asgi:
    """The ASGI application of a process, with the faces of the roles that it has."""
    gate = Gate(parts) if parts is not None else None
    pages: Any = make_pages(checks, metrics, parts, observe, gate=gate)
    actions = ActionsApp(parts, gate, observe) if parts is not None and gate is not None else None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # The route that carries every reading and the one of all operations are taken here; the others are few enough
        # for a framework. To ask for past readings is a matter of the REST face, where this process has one.
        asks = parts is not None and scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        if ingest is not None and scope["type"] == "http" and scope["path"] == READINGS_PATH and not asks:
            await ingest(scope, receive, send)
        elif scope["type"] == "http":
            serves = actions if actions is not None and is_actions_path(scope["path"]) else pages
            await _identified(serves, observe, scope, receive, send)
        else:
            await pages(scope, receive, send)

    return app


def make_pages(
    checks: Checks,
    metrics: Metrics,
    parts: Parts | None,
    observe: Observe,
    *,
    gate: Gate | None = None,
    described: bool = False,
) -> Litestar:
    """What the framework serves, past the gate where there are parts to reach.

    `described` is for making the OpenAPI document, the same for every process.
    """

    @get("/health/live", operation_id="live", summary="The process runs", tags=["health"], sync_to_thread=False)
    def live() -> Health:
        """Whether the process answers at all."""
        return Health("live", {})

    @get("/health/ready", operation_id="ready", summary="The hub is ready", tags=["health"])
    async def ready() -> Response[Health]:
        """Whether the engines answer and every role of this process works; 503 if not."""
        results = {name: await check() for name, check in checks.items()}
        fit = all(results.values())
        return Response(Health("ready" if fit else "not ready", results), status_code=200 if fit else 503)

    @get(
        "/metrics",
        operation_id="metrics",
        summary="Prometheus metrics",
        tags=["health"],
        media_type=MediaType.TEXT,
        sync_to_thread=False,
    )
    def prometheus() -> Response[bytes]:
        """The counters of this process."""
        return Response(metrics.render(), media_type="text/plain; version=0.0.4")

    handlers: list[ControllerRouterHandler] = [live, ready, prometheus, *reference.HANDLERS]
    if parts is not None or described:
        handlers.extend(discovery.HANDLERS)
        handlers.append(
            Router(
                path=REST_PATH,
                route_handlers=rest_handlers(),
                guards=[require_permission],
                dependencies={
                    "hub": Provide(lambda: parts, sync_to_thread=False),
                    "property_id": Provide(provide_property),
                },
            )
        )
    return Litestar(
        route_handlers=handlers,
        state=State({"hub": parts, "gate": gate}),
        exception_handlers=exception_handlers(observe),
        request_max_body_size=BODY_BYTES_MAX,
        openapi_config=OpenAPIConfig(title="Matrix Hub", version=__version__, use_handler_docstrings=True)
        if described
        else None,
        logging_config=None,
    )


async def _identified(pages: Asgi, observe: Observe, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one request; its answer says which it was and how its sender stands, and is kept by nobody on the way."""
    began = time.perf_counter()
    given = dict(scope["headers"]).get(b"x-request-id", b"")
    request_id = given.decode() if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
    scope["request_id"] = request_id
    status = 0
    noted: Headers = []
    answer_headers.set(noted)

    async def send_identified(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            extra = [(b"x-request-id", request_id.encode()), (b"cache-control", b"no-store")]
            message = {**message, "headers": [*message["headers"], *noted, *extra]}
        await send(message)

    try:
        await pages(scope, receive, send_identified)
    finally:
        if scope["path"].startswith(REST_PATH):
            observe(
                RequestServed(
                    method=scope["method"],
                    route=str(scope.get("path_template", "")),
                    status=status,
                    request_id=request_id,
                    seconds=time.perf_counter() - began,
                )
            )
