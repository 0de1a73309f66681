"""`POST /hub/v1/readings`: the HTTP edge of ingest, as a small ASGI application.

It is ASGI and not a framework's handler because it is the one route that carries every reading.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from matrixhub.config import Ingest
from matrixhub.ingest.accept import Acceptor, Receipt
from matrixhub.ingest.body import parse_items, unpack
from matrixhub.ingest.registry import Registry
from matrixhub.model.errors import AccessDenied, BodyTooLarge, MatrixHubError, WrongMethod
from matrixhub.observe import Observe, RequestIngested

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

RETRY_AFTER_S = 1
LENGTH_DIGITS_MAX = 18

_encode = msgspec.json.Encoder().encode


class ClientGone(Exception):
    """The client went away before its request was read; there is nobody to answer."""


class IngestApp:
    """Answers 202 with a receipt when at least one reading was taken (or was there already), 422 when none was."""

    def __init__(self, acceptor: Acceptor, registry: Registry, limits: Ingest, observe: Observe) -> None:
        self._acceptor = acceptor
        self._registry = registry
        self._limits = limits
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        started = time.perf_counter()
        try:
            receipt = await self._take(scope, receive)
        except ClientGone:
            return
        except MatrixHubError as error:
            status, (body, headers) = error.status, problem(error)
            receipt = Receipt(0, 0, ())
        else:
            status = 202 if receipt.accepted or receipt.repeated else 422
            body, headers = _encode(receipt), [(b"content-type", b"application/json")]
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        self._observe(
            RequestIngested(
                status=status,
                accepted=receipt.accepted,
                repeated=receipt.repeated,
                refused=len(receipt.refused),
                seconds=time.perf_counter() - started,
            )
        )

    async def _take(self, scope: Scope, receive: Receive) -> Receipt:
        """Read and store the readings. Raises: RequestError, ClientGone."""
        if scope["method"] != "POST":
            raise WrongMethod("readings are sent with POST")
        headers = dict(scope["headers"])
        sender = self._registry.authenticate(headers.get(b"authorization", b"").decode("latin-1"))
        packed = await read_body(receive, headers.get(b"content-length", b""), self._limits.body_bytes_max)
        encoding = headers.get(b"content-encoding", b"").decode("latin-1")
        body = unpack(packed, encoding, size_max=self._limits.body_unpacked_bytes_max)
        items = parse_items(body, items_max=self._limits.request_items_max)
        return await self._acceptor.accept(items, sender)


def problem(error: MatrixHubError) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The error as a problem document (RFC 9457), with its headers."""
    headers = [(b"content-type", b"application/problem+json")]
    if error.status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="matrixhub"'))
    if error.status == 405:
        headers.append((b"allow", b"POST"))
    if error.retry_helps:
        headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": (type(error).__doc__ or "").strip().splitlines()[0],
        "status": error.status,
        "code": error.code,
        "detail": error.message,
    }
    if isinstance(error, AccessDenied):
        document["reason"] = error.reason
    return _encode(document), headers


async def read_body(receive: Receive, announced: bytes, size_max: int) -> bytes:
    """The whole body, of which Content-Length has `announced` the size.

    Raises: BodyTooLarge as soon as that is known, ClientGone.
    """
    if announced.isdigit() and (len(announced) > LENGTH_DIGITS_MAX or int(announced) > size_max):
        raise BodyTooLarge(f"the body is larger than {size_max:,} bytes")
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) > size_max:
            raise BodyTooLarge(f"the body is larger than {size_max:,} bytes")
        return body
    parts = bytearray(message.get("body", b""))
    while message.get("more_body") or message["type"] == "http.disconnect":
        if message["type"] == "http.disconnect":
            raise ClientGone
        message = await receive()
        parts += message.get("body", b"")
        if len(parts) > size_max:
            raise BodyTooLarge(f"the body is larger than {size_max:,} bytes")
    return bytes(parts)
