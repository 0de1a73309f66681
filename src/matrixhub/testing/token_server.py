"""A token server to try with: real HTTPS, every grant the hub uses, rotation with reuse detection, faults on request.

It knows nothing of the hub's own code: who asks, and with what, is checked anew here.
Source: RFC 6749 §2.3.1, §4.4, §5, §6; RFC 9700 §4.14.2 (a refresh token that is used twice ends them all)
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from aiohttp import web

from matrixhub.testing.listener import BACKLOG, Listener
from matrixhub.testing.tls import LOCAL_NAMES, LocalAuthority

CLIENT_CREDENTIALS, REFRESH_TOKEN = "client_credentials", "refresh_token"


@dataclass(frozen=True, slots=True)
class Issue:
    """Answer as the standard has it. `changes` replaces members of the answer, or removes those that are None."""

    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fail:
    """Grant nothing and answer this."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stall:
    """Grant nothing and stay silent for so long, then answer 503; ends earlier with the connection."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Flood:
    """Grant nothing and answer 200 with so many bytes."""

    size_bytes: int


TokenBehaviour = Issue | Fail | Stall | Flood


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenCall:
    """A call and its answer; `error` is '' where a token was granted."""

    grant_type: str
    client_id: str
    form: Mapping[str, str]
    status: int
    error: str


class TokenIssuer:
    """The books of a token server, without a network: who may ask, what was granted, and what is still good.

    A refresh token is good once. Used again, it ends its whole family, as after a theft, and `reused` counts it.
    """

    def __init__(
        self,
        clients: Mapping[str, str | None],
        *,
        client_auth: str = "header",
        expires_in: float = 3600,
        rotate: bool = True,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """Shape: clients maps ids to secrets, None for a public client; client_auth is header or body."""
        self._clients, self._client_auth = clients, client_auth
        self.expires_in, self.rotate, self._now_s = expires_in, rotate, now_s
        self.calls: list[TokenCall] = []
        self.reused = 0
        self._access: dict[str, float] = {}
        self._refresh: dict[str, str] = {}
        self._spent: dict[str, str] = {}
        self._ended: set[str] = set()

    @property
    def granted(self) -> int:
        """How many calls were granted a token."""
        return sum(1 for call in self.calls if not call.error)

    def is_valid(self, access_token: str) -> bool:
        """Whether the access token is good now."""
        return self._access.get(access_token, float("-inf")) > self._now_s()

    def expire_all(self) -> None:
        """Let every access token granted so far be no longer good; refresh tokens stay."""
        self._access.clear()

    def agree(self) -> str:
        """A first refresh token, as after someone has agreed."""
        token = f"rt-{secrets.token_hex(12)}"
        self._refresh[token] = secrets.token_hex(4)
        return token

    def revoke(self) -> None:
        """Let no refresh token be good any more."""
        self._refresh.clear()

    def answer(
        self, form: Mapping[str, str], authorization: str, changes: Mapping[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Status and document for a call, which goes on the books."""
        client_id, known = self._client(form, authorization)
        grant = form.get("grant_type", "")
        if not known:
            status, document = 401, {"error": "invalid_client", "error_description": "unknown client or wrong secret"}
        elif grant == CLIENT_CREDENTIALS:
            status, document = 200, self._grant()
        elif grant == REFRESH_TOKEN:
            status, document = self._refreshed(form.get("refresh_token", ""))
        else:
            status, document = 400, {"error": "unsupported_grant_type"}
        if status == 200 and changes:
            document = {name: value for name, value in {**document, **changes}.items() if value is not None}
        self.record(form, client_id, status, str(document.get("error", "")))
        return status, document

    def record(self, form: Mapping[str, str], client_id: str, status: int, error: str) -> None:
        """Put a call on the books."""
        self.calls.append(
            TokenCall(grant_type=form.get("grant_type", ""), client_id=client_id, form=form, status=status, error=error)
        )

    def _client(self, form: Mapping[str, str], authorization: str) -> tuple[str, bool]:
        """Who asks, and whether that is shown in the one way the client is registered for."""
        scheme, _, pair = authorization.partition(" ")
        if scheme.lower() == "basic":
            try:
                text = base64.b64decode(pair, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                return "", False
            name, _, secret = text.partition(":")
            client_id = unquote_plus(name)
            expected = self._clients.get(client_id)
            twice = "client_secret" in form
            good = expected is not None and hmac.compare_digest(unquote_plus(secret).encode(), expected.encode())
            return client_id, good and self._client_auth == "header" and not twice
        client_id = form.get("client_id", "")
        if client_id not in self._clients:
            return client_id, False
        expected = self._clients[client_id]
        if expected is None:
            return client_id, "client_secret" not in form
        good = hmac.compare_digest(form.get("client_secret", "").encode(), expected.encode())
        return client_id, good and self._client_auth == "body"

    def _grant(self) -> dict[str, Any]:
        token = f"at-{secrets.token_hex(12)}"
        self._access[token] = self._now_s() + self.expires_in
        return {"access_token": token, "token_type": "Bearer", "expires_in": self.expires_in}

    def _refreshed(self, shown: str) -> tuple[int, dict[str, Any]]:
        family = self._refresh.get(shown)
        if family is None or family in self._ended:
            if shown in self._spent:
                self.reused += 1
                self._ended.add(self._spent[shown])
            return 400, {"error": "invalid_grant", "error_description": "the refresh token is not good"}
        document = self._grant()
        if self.rotate:
            del self._refresh[shown]
            self._spent[shown] = family
            document["refresh_token"] = rotated = f"rt-{secrets.token_hex(12)}"
            self._refresh[rotated] = family
        return 200, document


class TokenServer:
    """A token server that is up between entering and leaving its context; `issuer` has its books."""

    def __init__(self, issuer: TokenIssuer, *, authority: LocalAuthority | None = None, name: str = "") -> None:
        self.issuer = issuer
        self.authority = authority or LocalAuthority()
        self.behaviour: TokenBehaviour = Issue()
        self.stalled = asyncio.Event()
        self._name = name or "127.0.0.1"
        self._port = 0
        self._runner: web.AppRunner | None = None
        self._listener: Listener | None = None

    @property
    def url(self) -> str:
        """The token URL."""
        return f"https://{self._name}:{self._port}/oauth/token"

    async def __aenter__(self) -> TokenServer:
        app = web.Application()
        app.router.add_post("/oauth/token", self._token)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
        await self._runner.setup()
        await self.start_listening()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop_listening()
        if self._runner is not None:
            await self._runner.cleanup()

    async def start_listening(self) -> None:
        """Take connections, on the same port as before if there was one."""
        if self._runner is None:
            raise RuntimeError("the token server is not entered")
        context = self.authority.server_context(*dict.fromkeys((*LOCAL_NAMES, self._name)))
        self._listener = Listener(("127.0.0.1", self._port))
        self._port = self._listener.port
        await web.SockSite(self._runner, self._listener, ssl_context=context, backlog=BACKLOG).start()

    async def stop_listening(self) -> None:
        """Refuse connections, and end those there are."""
        if self._listener is not None:
            await self._listener.shut()
        if self._runner is not None:
            for site in list(self._runner.sites):
                await site.stop()
            if self._runner.server is not None:
                for connection in list(self._runner.server.connections):
                    if connection.transport is not None:
                        connection.transport.abort()
        if self._listener is not None:
            await self._listener.end()

    async def _token(self, request: web.Request) -> web.StreamResponse:
        if request.content_type != "application/x-www-form-urlencoded":
            return web.Response(status=415, text="a form is expected")
        fields = parse_qs(await request.text(), keep_blank_values=True, strict_parsing=True)
        if any(len(values) > 1 for values in fields.values()):
            return web.json_response({"error": "invalid_request"}, status=400)
        form = {name: values[0] for name, values in fields.items()}
        match self.behaviour:
            case Issue(changes):
                status, document = self.issuer.answer(form, request.headers.get("Authorization", ""), changes)
                headers = {"Cache-Control": "no-store"}
                return web.Response(
                    status=status, text=json.dumps(document), content_type="application/json", headers=headers
                )
            case Fail(status, body, headers):
                self.issuer.record(form, "", status, "failed on request")
                return web.Response(status=status, text=body, headers=headers)
            case Stall(seconds):
                self.issuer.record(form, "", 0, "stalled on request")
                self.stalled.set()
                await asyncio.sleep(seconds)
                return web.Response(status=503)
            case Flood(size_bytes):
                self.issuer.record(form, "", 200, "flooded on request")
                return await _flood(request, size_bytes)


async def _flood(request: web.Request, size_bytes: int) -> web.StreamResponse:
    response = web.StreamResponse(status=200, headers={"Content-Type": "application/json"})
    response.content_length = size_bytes
    await response.prepare(request)
    chunk = b" " * 65_536
    for _ in range(size_bytes // len(chunk)):
        await response.write(chunk)
    return response
