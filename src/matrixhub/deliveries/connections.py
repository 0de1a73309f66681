"""Connections to what customers name: web services and token servers alike, each one judged by the egress guard.

Connections are shared only under the same allow-list: one that a property was allowed to make is not there for another,
nor for its own property once the leave is revoked. Within that, the HTTP client shares them only under the same
TLS context, which is made for one set of trusted certificates and one client certificate.
Source: docs/decisions/0007-egress-guard.md, docs/contract/data-push.md §4
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import ssl
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from matrixhub.deliveries.egress import GuardedResolver, guarded_socket, judged_dial
from matrixhub.deliveries.redaction import shown
from matrixhub.model.destination import ClientCertificate
from matrixhub.model.egress import Allowance
from matrixhub.model.errors import DestinationUnreachable, EgressRefused
from matrixhub.model.ids import PropertyId

POOLS_MAX = 64
"""Allow-lists whose connections are kept open; of more, those not used for longest are closed."""

CONTEXTS_MAX = 2_048
SYSTEM_CONTEXTS_MAX = 64
"""TLS contexts kept: those that trust a CA of the customer's (some 30 KB each), those that trust the system's (1 MB).

Of more, those not used for longest are made anew, which costs their connections too.
"""

LARGE_BODY = 1_000_000
FAULT_SHOWN_MAX = 200

FAULTS = (aiohttp.ClientError, OSError, ssl.SSLError, ValueError, asyncio.IncompleteReadError, TimeoutError)
"""What a request can fail with; `describe_fault` says it in words."""


_Certificates = tuple[str, ClientCertificate | None]
"""The authorities to trust, in PEM, and what is shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """Where a request may go, on whose behalf, whom it trusts and what it shows, and how long it may take."""

    property_id: PropertyId
    egress_allow: frozenset[str]
    ca_pem: str
    certificate: ClientCertificate | None
    timeout: aiohttp.ClientTimeout


@dataclass(slots=True)
class Pool:
    """Connections made under one allow-list, and how many requests use them right now."""

    allowance: Allowance
    session: aiohttp.ClientSession
    users: int = 0


class Connections:
    """Makes requests; connections are kept open between them."""

    def __init__(self, allowed_to_all: Allowance, resolver: AbstractResolver) -> None:
        self._allowed_to_all = allowed_to_all
        self._resolver = resolver
        self._pools: OrderedDict[frozenset[str], Pool] = OrderedDict()
        self._contexts: OrderedDict[_Certificates, ssl.SSLContext] = OrderedDict()
        self._system_contexts: OrderedDict[_Certificates, ssl.SSLContext] = OrderedDict()

    @contextlib.asynccontextmanager
    async def post(
        self, url: URL, headers: Mapping[str, str], body: bytes, reach: Reach
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to a POST, its body not yet read. Redirects are not followed.

        Raises: EgressRefused, DestinationUnreachable if the certificates cannot be used, or one of FAULTS.
        """
        data = body if len(body) < LARGE_BODY else io.BytesIO(body)
        async with self._request("POST", url, headers, data, reach) as response:
            yield response

    @contextlib.asynccontextmanager
    async def get(self, url: URL, headers: Mapping[str, str], reach: Reach) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to a GET, as that to a POST."""
        async with self._request("GET", url, headers, None, reach) as response:
            yield response

    @contextlib.asynccontextmanager
    async def _request(
        self, method: str, url: URL, headers: Mapping[str, str], data: bytes | io.BytesIO | None, reach: Reach
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        tls = await self.tls(reach.ca_pem, reach.certificate)
        async with self._pool(reach.egress_allow) as pool:
            if url.scheme != "https" and not pool.allowance.plain_http:
                raise EgressRefused(
                    "http:// is sent to only with the setting deliveries.dangerously_allow_plain_http; use https://"
                )
            with judged_dial(url.raw_host or "", pool.allowance, reach.property_id):
                async with pool.session.request(
                    method,
                    url,
                    data=data,
                    headers=headers,
                    ssl=tls,
                    allow_redirects=False,
                    timeout=reach.timeout,
                ) as response:
                    yield response

    async def tls(self, ca_pem: str, certificate: ClientCertificate | None = None) -> ssl.SSLContext:
        """A TLS context, the same one for the same certificates. Raises: DestinationUnreachable."""
        key = (ca_pem, certificate)
        contexts, most = (self._contexts, CONTEXTS_MAX) if ca_pem else (self._system_contexts, SYSTEM_CONTEXTS_MAX)
        context = contexts.get(key)
        if context is not None:
            contexts.move_to_end(key)
            return context
        # Reading the system's certificates takes long enough to hold up others.
        made = await asyncio.to_thread(tls_context, ca_pem, certificate)
        context = contexts.setdefault(key, made)
        if len(contexts) > most:
            contexts.popitem(last=False)
        return context

    async def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            await pool.session.close()
        await self._resolver.close()

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


def tls_context(ca_pem: str, certificate: ClientCertificate | None = None) -> ssl.SSLContext:
    """A client context that trusts the given certificates, or the system's where none are given.

    Raises: DestinationUnreachable if the certificates or the key cannot be read.
    """
    try:
        context = ssl.create_default_context(cadata=ca_pem or None)
    except (ssl.SSLError, ValueError) as error:
        raise DestinationUnreachable(f"the CA of the subscription cannot be read: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        pem = f"{certificate.certificate_pem.strip()}\n{certificate.key_pem.reveal().strip()}\n"
        try:
            with _readable_once(pem.encode()) as path:
                # Without a password to try, an encrypted key would be asked for at the terminal.
                context.load_cert_chain(path, password="")
        except (ssl.SSLError, ValueError, OSError) as error:
            raise DestinationUnreachable(
                f"the client certificate or its key cannot be read: {_ssl_reason(error)}"
            ) from error
    return context


@lru_cache(maxsize=256)
def client_timeout(connect_s: float, total_s: float) -> aiohttp.ClientTimeout:
    """The limits of a request."""
    return aiohttp.ClientTimeout(
        total=total_s,
        connect=connect_s,
        sock_connect=connect_s,
        ceil_threshold=float("inf"),  # else all that hang end at the same full second, and are tried again together
    )


async def read_some(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    """The beginning of the answer's body; a longer one costs the connection, not our memory."""
    parts = bytearray()
    async for chunk in response.content.iter_chunked(16_384):
        parts += chunk
        if len(parts) > bytes_max:
            response.close()
            break
    return bytes(parts)


def describe_fault(error: BaseException, spellings: tuple[str, ...] = ()) -> str:
    """What a person needs to know of a failed request, in one line, without the secrets of these spellings."""
    if isinstance(error, TimeoutError):
        return f"no answer in time ({type(error).__name__})"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return shown(f"TLS: {error.certificate_error}", spellings, FAULT_SHOWN_MAX)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the connection was closed before the answer"
    if isinstance(error, aiohttp.InvalidURL):
        return "the URL cannot be used"
    if isinstance(error, aiohttp.ClientResponseError):
        # Its text would quote the URL.
        return shown(f"{type(error).__name__}: {error.message}", spellings, FAULT_SHOWN_MAX)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return shown(text, spellings, FAULT_SHOWN_MAX)


def _ssl_reason(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return str(reason or type(error).__name__).replace("_", " ").lower()


@contextlib.contextmanager
def _readable_once(content: bytes) -> Iterator[str]:
    """A path to read the content from; it is in memory where the system can do that, else a file of the owner's only.

    OpenSSL takes a key from a path alone.
    """
    if hasattr(os, "memfd_create"):
        with open(os.memfd_create("certificate"), "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
        return
    with tempfile.NamedTemporaryFile(prefix="mh-") as file:  # mode 0600
        file.write(content)
        file.flush()
        yield file.name
