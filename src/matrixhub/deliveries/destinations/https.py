"""Carries pushes to web services, Event Hubs and AWS IoT over HTTPS: the port `Sender`.

Any 2xx means taken; certificates and host names are verified, TLS is 1.2 or newer, redirects are not followed. Where it
may lead is the business of the egress guard. Source: docs/contract/data-push.md §1, §3, §4, §5
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from time import perf_counter
from urllib.parse import unquote

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from matrixhub import __version__
from matrixhub.deliveries.answers import TELLING, answer_bytes_max, failed_items
from matrixhub.deliveries.auth import azure
from matrixhub.deliveries.auth.aws import signed_headers
from matrixhub.deliveries.auth.basic import basic, bearer
from matrixhub.deliveries.auth.oauth2 import Granted, TokenAnswer, read_answer, token_request
from matrixhub.deliveries.auth.tokens import Tokens
from matrixhub.deliveries.connections import FAULTS, Connections, Reach, client_timeout, describe_fault, read_some
from matrixhub.deliveries.redaction import secrets_of, shown, spellings_of, token_secrets
from matrixhub.deliveries.signing import signature_headers
from matrixhub.deliveries.trace import traceparent
from matrixhub.model.delivery import ANSWER_SHOWN_MAX
from matrixhub.model.destination import (
    BasicAuth,
    ClientCredentials,
    Destination,
    RefreshToken,
    SharedAccessKey,
    SignatureV4,
    TokenAuth,
)
from matrixhub.model.egress import Allowance
from matrixhub.model.errors import DestinationRefused, DestinationUnreachable, InvalidValue, TokenFault
from matrixhub.model.ids import SubscriptionId
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import Subscription
from matrixhub.model.time import parse_retry_after
from matrixhub.ports import Clock, Push, Sent, Token, TokenStore

TAKEN_READ_S = 1.0
"""How long is waited for the rest of an answer that says that the push was taken."""

SHOWN_BYTES = 4_096
"""What is shown of an answer is looked for in so much of it."""

TOKEN_BYTES_MAX = 131_072

ROUTES_MAX = 10_000
"""Subscriptions whose unchanging parts of a request are kept; of more, those used longest ago are made anew."""

_BASE_HEADERS = {
    "User-Agent": f"matrix-push/{__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
}


@dataclass(slots=True)
class Route:
    """What does not change between the pushes of a subscription, and what is used for several.

    `spellings` are those of its secrets, `spellings_sent` those of the last credentials made of them.
    """

    subscription: Subscription
    url: URL
    reach: Reach
    headers: Mapping[str, str]
    spellings: tuple[str, ...] | None = None
    spellings_sent: tuple[str, tuple[str, ...]] = ("", ())
    signature: azure.Signature | None = None

    def serves(self, subscription: Subscription) -> bool:
        """Whether the subscription is still what it was."""
        known = self.subscription
        return known is subscription or (
            known.destination == subscription.destination
            and known.policy == subscription.policy
            and known.property_id == subscription.property_id
        )


class HttpsSender:
    """The port `Sender` for every kind of destination."""

    def __init__(self, connections: Connections, tokens: TokenStore, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock
        self._tokens = Tokens(tokens, self._ask_token_server, clock)
        self._routes: OrderedDict[SubscriptionId, Route] = OrderedDict()

    async def send(self, push: Push) -> Sent:
        """One attempt. See `Sender.send`."""
        subscription = push.subscription
        route = self._routes.get(subscription.id)
        if route is None or not route.serves(subscription):
            route = self._make_route(subscription)
        route.subscription = subscription
        auth = subscription.destination.auth
        if not isinstance(auth, ClientCredentials | RefreshToken):
            return await self._attempt(push, route, None)
        token = self._tokens.at_hand(subscription, auth) or await self._tokens.get(subscription, auth)
        try:
            return await self._attempt(push, route, token)
        except DestinationRefused as refused:
            if refused.http_status != 401:
                raise
        # It may have been revoked, or expired by the receiver's clock: a new one is tried, once.
        token = await self._tokens.get(subscription, auth, refused=token)
        return await self._attempt(push, route, token)

    async def close(self) -> None:
        """Close all connections, after token calls under way."""
        await self._tokens.close()
        await self._connections.close()

    async def _attempt(self, push: Push, route: Route, token: Token | None) -> Sent:
        headers = self._headers(push, route, token)
        started = perf_counter()
        try:
            async with self._connections.post(route.url, headers, push.body, route.reach) as response:
                status = response.status
                if 200 <= status < 300:
                    return await self._taken(push, route, headers, response, started)
                body = b""
                with contextlib.suppress(*FAULTS):
                    # The status says what became of the push; of an answer that breaks off, only less is known.
                    body = await read_some(response, answer_bytes_max(status, push.items))
        except FAULTS as error:
            raise DestinationUnreachable(describe_fault(error, self._spellings(push, route, headers))) from error
        if status == 401:
            route.signature = None
        raise self._refusal(push, route, headers, response, body)

    def _headers(self, push: Push, route: Route, token: Token | None) -> dict[str, str]:
        """All headers of one attempt. What is the same in every attempt of a subscription is in the route."""
        headers = {**route.headers, "X-Request-Id": push.request_id}
        destination = push.subscription.destination
        if "Content-Type" not in headers:
            headers["Content-Type"] = push.content_type
        if push.content_encoding:
            headers["Content-Encoding"] = push.content_encoding
            headers["x-sc-compression-enabled"] = "true"
        match destination.auth:
            case ClientCredentials() | RefreshToken() if token is not None:
                headers["Authorization"] = bearer(token.access_token.reveal())
            case SharedAccessKey() as auth:
                now_s = self._clock.now_ms() / 1000
                if route.signature is None or not route.signature.holds(now_s):
                    route.signature = azure.sign(auth, route.url, now_s)
                headers["Authorization"] = route.signature.authorization
            case SignatureV4() as auth:
                now_s = self._clock.now_ms() / 1000
                try:
                    headers |= signed_headers(auth, route.url, headers["Content-Type"], push.body, now_s)
                except InvalidValue as error:
                    raise DestinationUnreachable(error.message) from error
            case _:
                pass
        headers["traceparent"] = traceparent(push.request_id)
        if keys := push.subscription.signing:
            now_s = self._clock.now_ms() // 1000
            headers |= signature_headers(keys, push.request_id, now_s, push.body, push.content_encoding)
        return headers

    async def _taken(
        self, push: Push, route: Route, headers: Mapping[str, str], response: aiohttp.ClientResponse, started: float
    ) -> Sent:
        """What a 2xx says besides. That it names no items as failed is believed only of a whole answer."""
        status, body = response.status, b""
        if status in TELLING:
            body = await read_some(response, answer_bytes_max(status, push.items))
        elif not response.content.at_eof():
            # The status says that the push was taken; what happens to the rest of the answer changes nothing.
            with contextlib.suppress(*FAULTS):
                async with asyncio.timeout(TAKEN_READ_S):
                    body = await read_some(response, answer_bytes_max(status, push.items))
        seconds = perf_counter() - started
        if not body:
            return Sent(http_status=status, seconds=seconds)
        spellings = self._spellings(push, route, headers)
        return Sent(
            http_status=status,
            seconds=seconds,
            answer=_shown(body, spellings),
            failed=failed_items(status, body, push.items, spellings),
        )

    def _refusal(
        self, push: Push, route: Route, headers: Mapping[str, str], response: aiohttp.ClientResponse, body: bytes
    ) -> DestinationRefused:
        spellings = self._spellings(push, route, headers)
        answer = _shown(body, spellings)
        said = shown(f"HTTP {response.status} {response.reason or ''}", spellings, ANSWER_SHOWN_MAX)
        return DestinationRefused(
            f"{said}: {answer}" if answer else said,
            http_status=response.status,
            retry_after_s=parse_retry_after(response.headers.get("Retry-After", ""), self._clock.now_ms() / 1000),
            answer=answer,
            failed=failed_items(response.status, body, push.items, spellings),
        )

    def _spellings(self, push: Push, route: Route, headers: Mapping[str, str]) -> tuple[str, ...]:
        """What must not be seen of this attempt: the secrets of the subscription, and those made of them."""
        if route.spellings is None:
            route.spellings = spellings_of(secrets_of(push.subscription.destination))
        sent = headers.get("Authorization", "")
        if route.spellings_sent[0] != sent:
            route.spellings_sent = (sent, spellings_of(_credentials(sent)))
        return route.spellings_sent[1] + route.spellings

    def _make_route(self, subscription: Subscription) -> Route:
        """The unchanging parts of a request. Raises: DestinationUnreachable if they cannot be made."""
        destination, policy = subscription.destination, subscription.policy
        try:
            url = URL(destination.url)
        except ValueError as error:
            raise DestinationUnreachable("the URL cannot be read") from error
        route = Route(
            subscription=subscription,
            url=azure.messages_url(url) if destination.kind == "azure_event_hub" else url,
            reach=Reach(
                property_id=subscription.property_id,
                egress_allow=destination.egress_allow,
                ca_pem=destination.ca_pem,
                certificate=destination.client_certificate,
                timeout=client_timeout(policy.connect_timeout_s, policy.total_timeout_s),
            ),
            headers=route_headers(destination),
        )
        self._routes[subscription.id] = route
        self._routes.move_to_end(subscription.id)
        if len(self._routes) > ROUTES_MAX:
            self._routes.popitem(last=False)
        return route

    async def _ask_token_server(self, subscription: Subscription, refresh_token: Secret | None) -> Granted:
        """Ask for a new token. Raises: TokenFault, EgressRefused."""
        destination, policy = subscription.destination, subscription.policy
        auth = destination.auth
        if not isinstance(auth, ClientCredentials | RefreshToken):
            raise TokenFault(f"{auth.scheme} knows no tokens")
        asked = token_request(auth, refresh_token)
        try:
            reach = Reach(
                property_id=subscription.property_id,
                egress_allow=destination.egress_allow,
                ca_pem=destination.ca_pem,
                certificate=None,
                timeout=client_timeout(policy.connect_timeout_s, policy.total_timeout_s),
            )
            headers = {**_BASE_HEADERS, **asked.headers}
            async with self._connections.post(URL(asked.url), headers, asked.body, reach) as response:
                now_ms = self._clock.now_ms()
                body = await read_some(response, TOKEN_BYTES_MAX)
                retry_after_s = parse_retry_after(response.headers.get("Retry-After", ""), now_ms / 1000)
                answer = TokenAnswer(status=response.status, body=body, retry_after_s=retry_after_s)
        except DestinationUnreachable as error:
            raise TokenFault(error.message) from error
        except FAULTS as error:
            raise TokenFault(
                f"the token server: {describe_fault(error, _asked_spellings(auth, refresh_token))}"
            ) from error
        if len(answer.body) > TOKEN_BYTES_MAX:
            raise TokenFault(f"the answer of the token server is longer than {TOKEN_BYTES_MAX:,} bytes")
        return read_answer(auth, refresh_token, answer, now_ms)


@contextlib.asynccontextmanager
async def open_https_sender(
    allowed_to_all: Allowance, tokens: TokenStore, clock: Clock, resolver: AbstractResolver | None = None
) -> AsyncIterator[HttpsSender]:
    """A sender with its connections. The resolver is the system's unless another is given."""
    connections = Connections(allowed_to_all, resolver or aiohttp.ThreadedResolver())
    sender = HttpsSender(connections, tokens, clock)
    try:
        yield sender
    finally:
        await sender.close()


def route_headers(destination: Destination) -> dict[str, str]:
    """The headers that are the same in every push to a destination.

    >>> auth = BasicAuth(user="demo-user", password=Secret("d3mo pass"))
    >>> route_headers(Destination(url="https://example.test/", auth=auth))["Authorization"]
    'Basic ZGVtby11c2VyOmQzbW8gcGFzcw=='
    """
    own = {header.name: header.value.reveal() for header in destination.headers}
    named = {name.lower() for name in own}
    headers = {name: value for name, value in _BASE_HEADERS.items() if name.lower() not in named} | own
    if destination.kind == "azure_event_hub":
        headers["Content-Type"] = azure.CONTENT_TYPES[destination.framing]
    if isinstance(destination.auth, BasicAuth):
        headers["Authorization"] = basic(destination.auth.user, destination.auth.password.reveal())
    return headers


def _shown(body: bytes, spellings: tuple[str, ...]) -> str:
    return shown(body[:SHOWN_BYTES].decode("utf-8", "replace"), spellings, ANSWER_SHOWN_MAX)


def _credentials(authorization: str) -> list[str]:
    """What of a header value must not be seen: a token, a pair, or the signature of Azure or AWS within it.

    >>> _credentials("Bearer t0ken"), _credentials("SharedAccessSignature sr=a&sig=b%2F&se=1&skn=c")
    (['t0ken'], ['b%2F', 'b/'])
    """
    scheme, _, rest = authorization.partition(" ")
    if scheme in ("Basic", "Bearer"):
        return [rest]
    parts = [part.strip().partition("=") for part in rest.replace(",", "&").split("&")]
    signatures = [value for name, _, value in parts if name in ("sig", "Signature")]
    return list(dict.fromkeys([*signatures, *map(unquote, signatures)]))


def _asked_spellings(auth: TokenAuth, refresh_token: Secret | None) -> tuple[str, ...]:
    return spellings_of([*token_secrets(auth), *([refresh_token.reveal()] if refresh_token else [])])
