"""Where clients find out which modules there are, and of which version.

Source: docs/contract/web-services.md §6
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from matrixhub.model.errors import InvalidValue

PATH = "/matrix/utils/modules/moduleversions.json"
FACE = "/prod/v2"

MODULES = (
    *("datetime", "scgrids", "scdevicemanagement", "scmetrics"),
    *("scworkforcemanagement", "scteamsprop", "widgets", "scbi"),
)
"""The modules that clients look for; each is of version 1."""

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9.])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


def base_of(public_url: str, host: str) -> str:
    """What clients put before a module: host and path, without scheme.

    Shape:  public_url is the setting, '' where it is not told; host is what the client has reached.
    Raises: InvalidValue if the host can be none.

    >>> base_of("", "matrix.orchard.example:8443"), base_of("https://orchard.example/matrix/", "10.0.0.1")
    ('matrix.orchard.example:8443/prod/v2', 'orchard.example/matrix/prod/v2')
    """
    if public_url:
        parts = urlsplit(public_url)
        return f"{parts.netloc}{parts.path.rstrip('/')}{FACE}"
    if _HOST.fullmatch(host) is None:
        raise InvalidValue("the Host of the request is none")
    return host + FACE


def discovery_document(base: str) -> dict[str, Any]:
    """The document as clients read it."""
    return {"base": base, "modules": {name: {"version": "v1"} for name in MODULES}}


@get(PATH, include_in_schema=False)
async def module_versions(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
    """For everybody: clients ask before they have signed anything."""
    parts = request.app.state.hub
    return Response(discovery_document(base_of(parts.public_url, request.headers.get("host", ""))))


HANDLERS: list[HTTPRouteHandler] = [module_versions]
