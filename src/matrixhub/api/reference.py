"""What describes the faces: OpenAPI, AsyncAPI, the operations, and a page to read and try them.

Nothing of it comes from another host: the page is Swagger UI out of its wheel.
"""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import Any

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from matrixhub.api.actions.shape import json_schema
from matrixhub.model.errors import NotFound

_TYPES = {"css": "text/css", "js": "text/javascript", "png": "image/png"}
_OF_SWAGGER_UI = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
_OURS = ("reference.js",)

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def operations_document() -> list[dict[str, Any]]:
    """Every operation of Matrix Web Services with the schemas of its body and of its answer."""
    from matrixhub.api.actions.registry import OPERATIONS

    return [
        {
            "name": row.name,
            "also": list(row.also),
            "service": row.service,
            "summary": row.summary,
            "permission": row.needed,
            "certainty": row.certainty,
            "envelope": row.envelope,
            "status": row.status,
            "needs_organisation": row.needs_organisation,
            "needs_building": row.needs_building,
            "needs_property": row.needs_property,
            "takes": "list" if row.takes_list else "form" if row.takes_form else "object",
            "body": json_schema(row.request),
            "answer": json_schema(row.response),
            "example": row.example,
        }
        for row in OPERATIONS
    ]


@get("/hub/v1/openapi/openapi.json", include_in_schema=False)
async def openapi() -> Response[bytes]:
    """The document of the REST face."""
    from matrixhub.api.openapi import openapi_text  # it describes this very application

    # It takes long enough to make, the first time, that readings would wait for it.
    text = await asyncio.to_thread(openapi_text)
    return Response(text.encode(), media_type="application/json")


@get("/hub/v1/openapi/asyncapi.json", include_in_schema=False)
async def asyncapi() -> Response[bytes]:
    """The document of the pushes."""
    from matrixhub.api.asyncapi import asyncapi_text

    return Response(asyncapi_text().encode(), media_type="application/json")


@get("/hub/v1/openapi/operations.json", include_in_schema=False, sync_to_thread=True)
def operations() -> list[dict[str, Any]]:
    """The operations of Matrix Web Services, for people and generators."""
    return operations_document()


@get("/hub/v1/docs", include_in_schema=False, sync_to_thread=True)
def page() -> Response[bytes]:
    """The page that shows the document of the REST face, and lets it be tried."""
    return Response(_page("reference.html"), media_type="text/html", headers=_HEADERS)


@get("/hub/v1/docs/{name:str}", include_in_schema=False, sync_to_thread=True)
def part(name: FromPath[str]) -> Response[bytes]:
    """What the page is made of."""
    if name in _OF_SWAGGER_UI:
        content = (files("swagger_ui") / "static" / name).read_bytes()
    elif name in _OURS:
        content = _page(name)
    else:
        raise NotFound("there is no such path")
    return Response(content, media_type=_TYPES[name.rpartition(".")[2]], headers=_HEADERS)


_HEADERS = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


def _page(name: str) -> bytes:
    return (files("matrixhub.api") / "pages" / name).read_bytes()


HANDLERS: list[HTTPRouteHandler] = [openapi, asyncapi, operations, page, part]
