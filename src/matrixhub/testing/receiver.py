"""A customer's web service to try with: a real HTTPS endpoint that keeps books and can misbehave on request.

It knows nothing of the hub's own code: what a push looks like is checked anew here.
Source: docs/contract/data-push.md §1, §3.1, §5
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import errno
import hmac
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from types import TracebackType
from typing import Literal

import msgspec
from aiohttp import web

from matrixhub.model.errors import PortInUse
from matrixhub.testing.event_ledger import EventLedger, NotAnEvent
from matrixhub.testing.ledger import Ledger, NotAReading
from matrixhub.testing.listener import BACKLOG, Listener, listen
from matrixhub.testing.tls import LOCAL_NAMES, LocalAuthority

BODY_BYTES_MAX = 64 * 1024 * 1024
REQUESTS_KEPT = 1_000
VIOLATIONS_KEPT = 100

_READ_BUFFER_BYTES = 1024 * 1024
_SHUTDOWN_S = 1.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER on with 0 seconds: closing the socket sends RST instead of FIN."""

_DRIBBLE_S = 0.05
_FLOOD = b"~" * 65_536

_BODY = msgspec.json.Decoder(list[str])
_OBJECTS = msgspec.json.Decoder(list[msgspec.Raw])


def _read_body(body: bytes) -> list[str]:
    """The JSON text of each item: of readings, which are strings, or of events, which are objects."""
    if body[:2] == b"[{":
        items = [bytes(item).decode() for item in _OBJECTS.decode(body)]
        if all(map(is_event, items)):
            return items
    return _BODY.decode(body)


def is_event(item: str) -> bool:
    """Whether an item is an event and not a reading, by the name of its fields."""
    return '"RoutingKey"' in item


@dataclass(frozen=True, slots=True)
class Accept:
    """Take the readings and say so with a 2xx."""

    status: int = 204

    def __post_init__(self) -> None:
        if not 200 <= self.status <= 299:
            raise ValueError(f"{self.status} is not a 2xx; use Answer")


@dataclass(frozen=True, slots=True)
class Answer:
    """Take nothing and answer with something else than 2xx, such as `Answer(429, {"Retry-After": "2"})`."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""

    def __post_init__(self) -> None:
        if not 300 <= self.status <= 599:
            raise ValueError(f"{self.status} is not 3xx, 4xx or 5xx; use Accept for a 2xx")


@dataclass(frozen=True, slots=True)
class Hang:
    """Take nothing and stay silent for so long, then answer 503; ends earlier with the connection."""

    seconds: float


@dataclass(frozen=True, slots=True)
class CloseMidResponse:
    """Take the readings, send a part of the answer, then abort the connection.

    Cut in its `head` no client can know the status; cut in its `body` a client may be content with the 200 it has read.
    """

    cut_in: Literal["head", "body"] = "head"


@dataclass(frozen=True, slots=True)
class ResetBeforeAnswer:
    """Take nothing and reset the connection (TCP RST) once the request is read."""


@dataclass(frozen=True, slots=True)
class Dribble:
    """Answer with this status at once, then give the body sign by sign, which goes on for so long; a 2xx takes."""

    status: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Flood:
    """Answer with this status and a body of so many bytes; a 2xx takes. `flooded_bytes` tells how many were sent."""

    status: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class TakeBut:
    """Take all readings but some, and name those with a 207. Shape: failed maps their indexes to reasons."""

    failed: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Judge:
    """Treat each request by what is in it: `decide` gets its readings as JSON texts."""

    decide: Callable[[Sequence[str]], Accept | Answer | TakeBut]


Settled = Accept | Answer | Hang | CloseMidResponse | ResetBeforeAnswer | Dribble | Flood | TakeBut
Behaviour = Settled | Judge


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """A request as it came: `target` is path and query as on the wire, `client_name` that of a client certificate."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    client_name: str = ""


Verify = Callable[[Facts], Answer | None]
"""Whether a request may be taken: None, or what it is answered with instead."""

_CUT_ANSWERS = {
    "head": b"HTTP/1.1 204 No Content\r\nDate: ",
    "body": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceivedRequest:
    """A request that was read in full. `status` is 0 where no whole answer was given; sizes are after decompression.

    `headers` are looked up without regard to case.
    """

    at_ms: float
    path: str
    headers: Mapping[str, str]
    size_bytes: int
    items: int
    status: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """A request that is not a push as the contract has it; it was answered with 422."""

    request_id: str
    reason: str


class HttpsReceiver:
    """An HTTPS endpoint that is up between entering and leaving its context.

    `ledger` holds the readings taken, `events` the events, `rejected` the readings that were read but not taken. A
    request that a client breaks off before its end is in none. Every path and POST only; requests of several
    connections are served side by side.
    """

    def __init__(
        self,
        *,
        authority: LocalAuthority | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        name: str = "",
        basic: tuple[str, str] | None = None,
        verify: Verify | None = None,
        client_ca_pem: str = "",
        content_type: str = "application/json",
        read_body: Callable[[bytes], list[str]] = _read_body,
        behaviour: Behaviour = Accept(),
        on_items: Callable[[str, Sequence[str]], None] | None = None,
        now_ms: Callable[[], float] = lambda: time.time() * 1000,
    ) -> None:
        """Not up yet: enter its context.

        Shape:  port 0 takes a free one; name is the host name of `url` where it differs from the address listened on;
                basic is user and password; verify judges every request, see `testing.verifiers`; with client_ca_pem a
                client must show a certificate of that authority; read_body gives the readings of a body of the
                content_type, and raises msgspec.DecodeError; on_items is called with the request id and readings of
                every request taken.
        """
        self.authority = authority or LocalAuthority()
        self.ledger = Ledger()
        self.events = EventLedger()
        self.rejected = Ledger()
        self.requests: deque[ReceivedRequest] = deque(maxlen=REQUESTS_KEPT)
        self.violations: deque[Violation] = deque(maxlen=VIOLATIONS_KEPT)
        self.violations_total = 0
        self.unauthorised_total = 0
        self._host, self._port, self._name = host, port, name or _reachable(host)
        self._basic, self._verify = basic, verify
        self._content_type, self._read_body = content_type, read_body
        self._behaviour = behaviour
        self._behaviour_left: int | None = None
        self._accept = behaviour if isinstance(behaviour, Accept) else Accept()
        self._on_items, self._now_ms = on_items, now_ms
        self._client_ca_pem = client_ca_pem
        self._context = self._make_context()
        self.flooded_bytes = 0
        self._changed = asyncio.Event()
        self._listeners: list[Listener] = []
        self._servers: list[asyncio.Server] = []
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where to push to."""
        return f"https://{_bracketed(self._name)}:{self._port}/readings"

    @property
    def ca_pem(self) -> str:
        """The certificate a client must trust, in PEM."""
        return self.authority.ca_pem

    @property
    def behaviour(self) -> Behaviour:
        """What happens to the next request."""
        return self._behaviour

    @property
    def is_listening(self) -> bool:
        """Whether connections are taken now."""
        return bool(self._servers)

    def behave(self, behaviour: Behaviour, *, requests: int | None = None) -> None:
        """Treat requests like this from now on, or only the next so many and accept again after them.

        Requests that are refused with 401 or 422 do not count.
        """
        if requests is not None and requests < 1:
            raise ValueError("requests is 1 or more, or None")
        self._behaviour, self._behaviour_left = behaviour, requests

    async def start_listening(self) -> None:
        """Take connections, on the same port as before if there was one; nothing happens if it does already.

        Raises: PortInUse if another program has the port.
        """
        if self._servers:
            return
        if self._runner is None or self._runner.server is None:
            raise RuntimeError("the receiver is not entered")
        try:
            self._listeners = await listen(self._host, self._port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise PortInUse(f"port {self._port} on {self._host} is in use by another program") from error
        self._port = self._listeners[0].port
        loop = asyncio.get_running_loop()
        self._servers = [
            await loop.create_server(self._runner.server, sock=listener, ssl=self._context, backlog=BACKLOG)
            for listener in self._listeners
        ]

    async def stop_listening(self) -> None:
        """Be gone: refuse connections and abort those there are, in whatever state. `start_listening` ends it."""
        servers, self._servers = self._servers, []
        for listener in self._listeners:
            await listener.shut()
        for server in servers:
            server.close()
        if servers and self._runner is not None and self._runner.server is not None:
            for connection in self._runner.server.connections:
                _reset(connection.transport)
        for listener in self._listeners:
            await listener.end()

    async def show_certificate(self, *names: str, expired: bool = False) -> None:
        """Abort all connections and show a certificate for these names from now on; without any, a good one again."""
        self._context = self._make_context(*names, expired=expired)
        await self.stop_listening()
        await self.start_listening()

    async def wait_until(self, condition: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
        """Wait until the condition holds, which is asked after every request.

        Raises: TimeoutError.

        Use:    `await receiver.wait_until(lambda: receiver.ledger.summary().distinct >= 500)`
        """
        async with asyncio.timeout(timeout_s):
            while not condition():
                await self._changed.wait()

    async def __aenter__(self) -> HttpsReceiver:
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_post("/{path:.*}", self._receive)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=_SHUTDOWN_S,
            read_bufsize=_READ_BUFFER_BYTES,
        )
        await self._runner.setup()
        try:
            await self.start_listening()
        except BaseException:
            await self._runner.cleanup()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop_listening()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        if not self.is_listening:
            # The connection was still in its TLS handshake when the outage began.
            return _gone(request)
        try:
            body = await request.read()
        except web.RequestPayloadError as error:
            return self._violated(request, b"", f"the body cannot be read: {error}")
        now_ms = self._now_ms()
        if self._basic is not None and not _is_authorised(request.headers.get("Authorization", ""), self._basic):
            self.unauthorised_total += 1
            self._keep(request, now_ms, body, items=0, status=401)
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="matrixhub receive"'})
        wrong = self._verify(_facts(request, body)) if self._verify is not None else None
        if wrong is not None:
            self.unauthorised_total += 1
            self._keep(request, now_ms, body, items=0, status=wrong.status)
            return await _respond(wrong, request)
        try:
            items = self._items(request, body)
            behaviour = self._behaviour.decide(items) if isinstance(self._behaviour, Judge) else self._behaviour
            request_id = request.headers["X-Request-Id"]
            taken, rejected = _parted(items, behaviour)
            if is_event(items[0]):
                if taken:
                    self.events.record(request_id, taken)
            else:
                for book, part in ((self.ledger, taken), (self.rejected, rejected)):
                    if part:
                        book.record(request_id, part, now_ms)
        except (_NotAPush, NotAReading, NotAnEvent) as error:
            return self._violated(request, body, str(error))
        self._count_down()
        if taken and self._on_items is not None:
            self._on_items(request_id, taken)
        self._keep(request, now_ms, body, items=len(items), status=_whole_status(behaviour))
        if isinstance(behaviour, Flood):
            return await self._flood(behaviour, request)
        return await _respond(behaviour, request)

    def _make_context(self, *names: str, expired: bool = False) -> ssl.SSLContext:
        shown = names or dict.fromkeys((*LOCAL_NAMES, self._name))
        return self.authority.server_context(*shown, client_ca_pem=self._client_ca_pem, expired=expired)

    async def _flood(self, flood: Flood, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=flood.status)
        response.content_length = flood.size_bytes
        await response.prepare(request)
        with contextlib.suppress(ConnectionResetError):  # a client that has read enough
            for sent in range(0, flood.size_bytes, len(_FLOOD)):
                chunk = _FLOOD[: flood.size_bytes - sent]
                await response.write(chunk)
                await asyncio.sleep(0)  # to hear of the end of the connection, or writing would go on into nothing
                self.flooded_bytes += len(chunk)
        return response

    def _items(self, request: web.Request, body: bytes) -> list[str]:
        """The JSON texts in the body. Raises: _NotAPush."""
        if request.content_type != self._content_type:
            raise _NotAPush(
                f"Content-Type is {request.headers.get('Content-Type', 'missing')}, not {self._content_type}"
            )
        if (request.charset or "utf-8").lower() != "utf-8":
            raise _NotAPush(f"the charset is {request.charset}, not utf-8")
        if not request.headers.get("X-Request-Id"):
            raise _NotAPush("X-Request-Id is missing")
        try:
            items = self._read_body(body)
        except UnicodeDecodeError as error:
            raise _NotAPush(f"the body is not UTF-8: {error}") from error
        except msgspec.DecodeError as error:
            raise _NotAPush(f"the body is not a JSON array of strings: {error}") from error
        if not items:
            raise _NotAPush("the batch is empty")
        return items

    def _count_down(self) -> None:
        if self._behaviour_left is not None:
            self._behaviour_left -= 1
            if self._behaviour_left == 0:
                self._behaviour, self._behaviour_left = self._accept, None

    def _violated(self, request: web.Request, body: bytes, reason: str) -> web.Response:
        self.violations.append(Violation(request_id=request.headers.get("X-Request-Id", ""), reason=reason))
        self.violations_total += 1
        self._keep(request, self._now_ms(), body, items=0, status=422)
        return web.Response(status=422, text=reason)

    def _keep(self, request: web.Request, at_ms: float, body: bytes, *, items: int, status: int) -> None:
        self.requests.append(
            ReceivedRequest(
                at_ms=at_ms,
                path=request.path,
                headers=request.headers,
                size_bytes=len(body),
                items=items,
                status=status,
            )
        )
        self._changed.set()
        self._changed = asyncio.Event()


def _parted(items: Sequence[str], behaviour: Settled) -> tuple[Sequence[str], Sequence[str]]:
    """The readings that are taken, and the others."""
    match behaviour:
        case TakeBut(failed):
            return (
                [item for index, item in enumerate(items) if index not in failed],
                [item for index, item in enumerate(items) if index in failed],
            )
        case Accept() | CloseMidResponse():
            return items, ()
        case Dribble(status) | Flood(status) if 200 <= status < 300:
            return items, ()
        case _:
            return (), items


def _whole_status(behaviour: Settled) -> int:
    """The status of a whole answer, else 0."""
    match behaviour:
        case Accept(status) | Answer(status) | Flood(status):
            return status
        case TakeBut():
            return 207
        case _:
            return 0


class _NotAPush(Exception):
    """The request is not a push as the contract has it."""


def _is_authorised(header: str, basic: tuple[str, str]) -> bool:
    """Whether the header is HTTP Basic with this user and password. Source: RFC 7617"""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        given = base64.b64decode(token.strip(), validate=True)
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(given, ":".join(basic).encode())


def _facts(request: web.Request, body: bytes) -> Facts:
    certificate = request.get_extra_info("peercert") or {}
    names = [value for part in certificate.get("subject", ()) for name, value in part if name == "commonName"]
    return Facts(
        method=request.method,
        target=request.raw_path,
        headers=request.headers,
        body=body,
        client_name=names[0] if names else "",
    )


async def _respond(behaviour: Settled, request: web.Request) -> web.StreamResponse:
    match behaviour:
        case Accept(status):
            return web.Response(status=status)
        case Answer(status, headers, body):
            return web.Response(status=status, headers=headers, text=body)
        case Hang(seconds):
            await asyncio.sleep(seconds)
            return web.Response(status=503)
        case CloseMidResponse(cut_in):
            if request.transport is not None:
                request.transport.write(_CUT_ANSWERS[cut_in])
                request.transport.abort()
            return web.Response(status=503)
        case ResetBeforeAnswer():
            return _gone(request)
        case Dribble(status, seconds):
            response = web.StreamResponse(status=status)
            await response.prepare(request)
            with contextlib.suppress(ConnectionResetError):
                for _ in range(int(seconds / _DRIBBLE_S)):
                    await response.write(b".")
                    await asyncio.sleep(_DRIBBLE_S)
            return response
        case TakeBut(failed):
            named = [{"index": index, "reason": reason} for index, reason in failed.items()]
            return web.json_response({"failed": named}, status=207)
        case Flood():
            raise AssertionError("a flood is sent by the receiver, which counts it")


def _gone(request: web.Request) -> web.Response:
    """Reset the connection; what is returned goes nowhere."""
    _reset(request.transport)
    return web.Response(status=503)


def _reset(transport: asyncio.Transport | None) -> None:
    if transport is None:
        return
    peer = transport.get_extra_info("socket")
    if peer is not None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()


def _reachable(host: str) -> str:
    """A name under which this machine reaches what listens there."""
    return "localhost" if host in {"", "0.0.0.0", "::"} else host


def _bracketed(host: str) -> str:
    try:
        return f"[{host}]" if isinstance(ip_address(host), IPv6Address) else host
    except ValueError:
        return host
