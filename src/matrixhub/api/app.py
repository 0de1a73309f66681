"""The application behind the HTTP port: ingest, health and metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from litestar import Litestar, MediaType, Response, get
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from matrixhub import __version__
from matrixhub.ingest import IngestApp
from matrixhub.ingest.http import Receive, Scope, Send
from matrixhub.observe import Metrics

READINGS_PATH = "/hub/v1/readings"

Checks = Mapping[str, Callable[[], Awaitable[bool]]]
"""What must hold for the hub to be ready, by name."""


class Health(msgspec.Struct, frozen=True):
    """Whether the hub is fit, and which of its parts are."""

    status: str
    checks: dict[str, bool]


def make_app(
    checks: Checks, metrics: Metrics, ingest: IngestApp | None
) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """The ASGI application of a process with or without the role `ingest`."""

    @get("/health/live", summary="The process runs", include_in_schema=True, sync_to_thread=False)
    def live() -> Health:
        return Health("live", {})

    @get("/health/ready", summary="Engines answer, and every role of this process works")
    async def ready() -> Response[Health]:
        results = {name: await check() for name, check in checks.items()}
        fit = all(results.values())
        return Response(Health("ready" if fit else "not ready", results), status_code=200 if fit else 503)

    @get("/metrics", summary="Prometheus metrics", media_type=MediaType.TEXT, sync_to_thread=False)
    def prometheus() -> Response[bytes]:
        return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    pages: Any = Litestar(
        route_handlers=[live, ready, prometheus],
        openapi_config=OpenAPIConfig(
            title="Matrix Hub", version=__version__, path="/hub/v1/openapi", render_plugins=[JsonRenderPlugin()]
        ),
        logging_config=None,
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # The route that carries every reading is taken here; the others are few enough for a framework.
        if ingest is not None and scope["type"] == "http" and scope["path"] == READINGS_PATH:
            await ingest(scope, receive, send)
        else:
            await pages(scope, receive, send)

    return app
