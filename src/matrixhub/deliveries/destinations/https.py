"""A web service of the customer over HTTPS.

POST with `Content-Type: application/json; charset=utf-8`; any 2xx means taken; certificates and host names are
verified, TLS is 1.2 or newer, redirects are not followed. Where it may lead is the business of the egress guard.
Source: docs/contract/data-push.md §1, §4, §5
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import ssl
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from matrixhub import __version__
from matrixhub.deliveries.egress import GuardedResolver, guarded_socket, judged_dial
from matrixhub.model.destination import Auth, BasicAuth, Destination, NoAuth
from matrixhub.model.egress import Allowance
from matrixhub.model.errors import DestinationRefused, DestinationUnreachable
from matrixhub.model.time import parse_retry_after
from matrixhub.ports import Push, Sent

ANSWER_BYTES_MAX = 65_536
"""More of an answer than this is not read: the connection is dropped instead."""

SHOWN_MAX = 200
LARGE_BODY = 1_000_000

POOLS_MAX = 64
"""Allow-lists whose connections are kept open; of more, those not used for longest are closed."""

_BASE_HEADERS = {
    "Content-Type": "application/json; charset=utf-8",
    "User-Agent": f"matrix-push/{__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """Limits of one attempt, in seconds."""

    connect_s: float
    total_s: float


@dataclass(slots=True)
class Pool:
    """Connections made under one allow-list, and how many pushes use them right now."""

    allowance: Allowance
    session: aiohttp.ClientSession
    users: int = 0


class HttpsSender:
    """The port `Sender` for HTTPS destinations; connections are kept open between pushes.

    Connections are shared only under the same allow-list: one that a property was allowed to make is not there for
    another, nor for its own property once the leave is revoked.
    """

    def __init__(self, timeouts: Timeouts, allowed_to_all: Allowance, resolver: AbstractResolver) -> None:
        self._allowed_to_all = allowed_to_all
        self._resolver = resolver
        self._pools: OrderedDict[frozenset[str], Pool] = OrderedDict()
        self._timeout = aiohttp.ClientTimeout(
            total=timeouts.total_s, connect=timeouts.connect_s, sock_connect=timeouts.connect_s
        )
        self._tls: dict[str, ssl.SSLContext] = {}

    async def send(self, push: Push) -> Sent:
        """One attempt. See `Sender.send`."""
        destination = push.subscription.destination
        try:
            url = URL(destination.url)
        except ValueError as error:
            raise DestinationUnreachable(f"not a URL: {error}") from error
        async with self._pool(destination.egress_allow) as pool:
            with judged_dial(url.raw_host or "", pool.allowance, push.subscription.property_id):
                return await self._attempt(pool.session, url, push)

    async def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            await pool.session.close()
        await self._resolver.close()

    async def _attempt(self, session: aiohttp.ClientSession, url: URL, push: Push) -> Sent:
        destination = push.subscription.destination
        started = time.perf_counter()
        try:
            async with session.post(
                url,
                data=push.body if len(push.body) < LARGE_BODY else io.BytesIO(push.body),
                headers={**_BASE_HEADERS, **auth_headers(destination.auth), "X-Request-Id": push.request_id},
                ssl=self._tls_for(destination),
                allow_redirects=False,
                timeout=self._timeout,
            ) as response:
                status = response.status
                if 200 <= status < 300:
                    # The status says that the push was taken; what happens to the rest of the answer changes nothing.
                    with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                        await _read_some(response)
                    return Sent(http_status=status, seconds=time.perf_counter() - started)
                shown = (await _read_some(response)).decode("utf-8", "replace")[:SHOWN_MAX]
                raise DestinationRefused(
                    f"HTTP {status} {response.reason or ''}".strip() + (f": {shown}" if shown else ""),
                    http_status=status,
                    retry_after_s=parse_retry_after(response.headers.get("Retry-After", ""), time.time()),
                )
        except TimeoutError as error:
            raise DestinationUnreachable(f"no answer in time ({type(error).__name__})") from error
        except (aiohttp.ClientError, OSError, ssl.SSLError, ValueError, asyncio.IncompleteReadError) as error:
            raise DestinationUnreachable(describe_fault(error)) from error

    @contextlib.asynccontextmanager
    async def _pool(self, egress_allow: frozenset[str]) -> AsyncIterator[Pool]:
        """The connections made under an allow-list, in use."""
        pool = self._pools.get(egress_allow)
        if pool is None:
            allowance = self._allowed_to_all | Allowance.of(egress_allow)
            pool = self._pools[egress_allow] = Pool(allowance, self._open_session(allowance))
        self._pools.move_to_end(egress_allow)
        pool.users += 1
        try:
            yield pool
        finally:
            pool.users -= 1
            if len(self._pools) > POOLS_MAX:
                await self._close_surplus()

    async def _close_surplus(self) -> None:
        idle = [key for key, pool in self._pools.items() if not pool.users]
        for pool in [self._pools.pop(key) for key in idle[: len(self._pools) - POOLS_MAX]]:
            await pool.session.close()

    def _open_session(self, allowance: Allowance) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=60,
            use_dns_cache=False,  # each connection is made to addresses that were judged for it
            resolver=GuardedResolver(self._resolver, allowance),
            socket_factory=guarded_socket,
        )
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
        )

    def _tls_for(self, destination: Destination) -> ssl.SSLContext:
        context = self._tls.get(destination.ca_pem)
        if context is None:
            context = self._tls[destination.ca_pem] = tls_context(destination.ca_pem)
        return context


@contextlib.asynccontextmanager
async def open_https_sender(
    timeouts: Timeouts, allowed_to_all: Allowance, resolver: AbstractResolver | None = None
) -> AsyncIterator[HttpsSender]:
    """A sender with its connections. The resolver is the system's unless another is given."""
    sender = HttpsSender(timeouts, allowed_to_all, resolver or aiohttp.ThreadedResolver())
    try:
        yield sender
    finally:
        await sender.close()


def tls_context(ca_pem: str) -> ssl.SSLContext:
    """A client context that trusts the given certificates, or the system's where none are given.

    Raises: DestinationUnreachable if the certificates cannot be read.
    """
    try:
        context = ssl.create_default_context(cadata=ca_pem or None)
    except (ssl.SSLError, ValueError) as error:
        raise DestinationUnreachable(f"the CA of the subscription cannot be read: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def auth_headers(auth: Auth) -> dict[str, str]:
    """The headers that authenticate a push.

    >>> from matrixhub.model.subscription import Secret
    >>> auth_headers(BasicAuth(user="demo-user", password=Secret("d3mo pass")))
    {'Authorization': 'Basic ZGVtby11c2VyOmQzbW8gcGFzcw=='}
    """
    match auth:
        case NoAuth():
            return {}
        case BasicAuth():
            pair = f"{auth.user}:{auth.password.reveal()}".encode()
            return {"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}
        case _:
            raise DestinationUnreachable(f"{auth.scheme} is not spoken yet")


def describe_fault(error: BaseException) -> str:
    """What a person needs to know of a failed connection, in one line."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"TLS: {error.certificate_error}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the connection was closed before the answer"
    return f"{type(error).__name__}: {error}"[:SHOWN_MAX] if str(error) else type(error).__name__


async def _read_some(response: aiohttp.ClientResponse) -> bytes:
    """The beginning of the answer; a longer one costs the connection, not our memory."""
    parts = bytearray()
    async for chunk in response.content.iter_chunked(16_384):
        parts += chunk
        if len(parts) > ANSWER_BYTES_MAX:
            response.close()
            break
    return bytes(parts)
