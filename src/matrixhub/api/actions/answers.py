"""What goes wrong, in the words of the wire: a JSON object with `code` and `message`, whatever happened.

Source: docs/contract/web-services.md §4
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from matrixhub.api.actions.operation import Operation
from matrixhub.model.errors import (
    BodyTooLarge,
    Forbidden,
    MatrixHubError,
    RateExceeded,
    Unauthorised,
    UnknownOperation,
    WrongMethod,
)

RETRY_AFTER_S = 1

_OWN_STATUS = (Unauthorised, Forbidden, UnknownOperation, RateExceeded, WrongMethod, BodyTooLarge)
"""What has a status of its own; whatever else a client can mend is 400, as published."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """An answer that says no, with its headers."""

    status: int
    document: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal_of(error: Exception, operation: Operation | None) -> Refusal:
    """The answer to an error. What is ours is said in general; the operator is told in full.

    `reason` is the code of the hub, ours.
    """
    known = error if isinstance(error, MatrixHubError) else MatrixHubError()
    status = known.status if known.status >= 500 or isinstance(known, _OWN_STATUS) else 400
    message = known.message if status < 500 else (type(known).__doc__ or "").strip().splitlines()[0]
    document: dict[str, Any] = {"code": known.wire_code, "message": message, "reason": known.code}
    if operation is not None and operation.envelope == "grids":
        document = {"status": status, **document}
    return Refusal(status=status, document=document, headers=_headers(known))


def _headers(error: MatrixHubError) -> dict[str, str]:
    headers = {}
    if isinstance(error, Unauthorised):
        headers["www-authenticate"] = 'Bearer realm="matrixhub"'
    if isinstance(error, WrongMethod):
        headers["allow"] = "POST"
    if error.retry_helps:
        wait_s = error.retry_after_s if isinstance(error, RateExceeded) else RETRY_AFTER_S
        headers["retry-after"] = str(max(1, math.ceil(wait_s)))
    return headers


def json_headers(body: bytes, refusal: Refusal | None) -> list[tuple[bytes, bytes]]:
    """The headers of an answer. The content type has no charset: a client compares it with exactly this."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refusal is not None:
        headers += [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
    return headers
