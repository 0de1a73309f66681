"""Tokens shared by many workers on a real PostgreSQL: one call for each expiry, whoever dies or is cut off."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import pytest_asyncio
from tests.engines import Dsns, SharedEngines

from matrixhub.deliveries.auth.oauth2 import Granted, TokenAnswer, read_answer, token_request
from matrixhub.deliveries.auth.tokens import Tokens
from matrixhub.deliveries.destinations.https import open_https_sender
from matrixhub.lifecycle import SystemClock
from matrixhub.model.destination import Destination, RefreshToken
from matrixhub.model.egress import Allowance
from matrixhub.model.errors import TokenFault
from matrixhub.model.policy import BatchLimits, Policy
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import Filter, Position, Subscription
from matrixhub.ports import Push
from matrixhub.sources.sites import make_site
from matrixhub.store import Database, open_database
from matrixhub.store.sealing import Sealer
from matrixhub.store.sites import apply_site
from matrixhub.store.subscriptions import Codec, create_subscription
from matrixhub.store.tokens import PostgresTokens
from matrixhub.testing import verifiers
from matrixhub.testing.listener import Listener
from matrixhub.testing.receiver import HttpsReceiver
from matrixhub.testing.tls import LocalAuthority
from matrixhub.testing.token_server import Issue, Stall, TokenIssuer, TokenServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORKERS = 8
MASTER_KEY = "0f" * 32
SEALER = Sealer(MASTER_KEY)
AUTHORITY = LocalAuthority()
LOOPBACK = Allowance.of(["127.0.0.0/8"])
LIMITS = Policy(connect_timeout_s=1, total_timeout_s=1)
BODY = b'["{\\"DEVID\\":\\"d\\",\\"DevType\\":\\"T\\",\\"unixT\\":1,\\"v\\":{}}"]'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dsns(shared_engines: SharedEngines) -> Dsns:
    return await shared_engines.new_database()


@pytest_asyncio.fixture(loop_scope="module")
async def database(dsns: Dsns) -> AsyncIterator[Database]:
    async with open_database(dsns.socket, connections_max=5) as found:
        yield found


async def subscribe(database: Database, issuer: TokenIssuer, token_url: str, url: str) -> Subscription:
    """A subscription in the database whose refresh token the issuer has given out."""
    site = make_site(3)
    await apply_site(database, site, remove=False)
    auth = RefreshToken(token_url=token_url, client_id="public", refresh_token=Secret(issuer.agree()))
    made = await create_subscription(
        database,
        Codec(sealer=SEALER, policy=LIMITS),
        site.property.id,
        name="n",
        wanted=Filter(),
        destination=Destination(url=url, ca_pem=AUTHORITY.ca_pem, auth=auth),
        limits=BatchLimits(),
        position=Position(seq=1),
    )
    return replace(made, policy=LIMITS)


class OwnTime(SystemClock):
    """A clock whose instant the test sets; what waits waits for real."""

    def __init__(self) -> None:
        super().__init__()
        self.instant_ms = 1_710_029_109_417

    def now_ms(self) -> int:
        return self.instant_ms

    def now_s(self) -> float:
        return self.instant_ms / 1000


@pytest.mark.long
@pytest.mark.timeout(300)  # some 20 s of work, which a busy machine makes many of
async def test_eight_workers_ask_once_for_each_of_ten_thousand_expiries(dsns: Dsns, database: Database) -> None:
    rounds, shared = 250, 40
    clock, choice = OwnTime(), random.Random(5)
    issuer = TokenIssuer({"public": None}, now_s=clock.now_s)

    async def ask(subscription: Subscription, refresh_token: Secret | None) -> Granted:
        auth = subscription.destination.auth
        assert isinstance(auth, RefreshToken)
        form = dict(parse_qsl(token_request(auth, refresh_token).body.decode()))
        await asyncio.sleep(0)
        status, document = issuer.answer(form, "")
        body = str(document).replace("'", '"').encode()
        return read_answer(auth, refresh_token, TokenAnswer(status=status, body=body), clock.now_ms())

    async with AsyncExitStack() as stack:
        workers = []
        for _ in range(WORKERS):
            store = PostgresTokens(dsns.socket, SEALER)
            stack.push_async_callback(store.close)
            workers.append(Tokens(store, ask, clock))
        url = "https://example.test/"
        subscriptions = [await subscribe(database, issuer, url, url) for _ in range(shared)]

        async def use(worker: Tokens, subscription: Subscription) -> None:
            auth = subscription.destination.auth
            assert isinstance(auth, RefreshToken)
            token = await worker.get(subscription, auth)
            assert issuer.is_valid(token.access_token.reveal())

        for number in range(1, rounds + 1):
            # Some know the last token, some one of long ago; the rest come when there is a new one.
            at_once = [(w, s) for s in subscriptions for w in choice.sample(workers, choice.choice((1, 1, 2, 2, 8)))]
            choice.shuffle(at_once)
            await asyncio.gather(*(use(worker, subscription) for worker, subscription in at_once))
            assert len(issuer.calls) == number * shared
            clock.instant_ms += 3_600_000
    assert issuer.granted == rounds * shared == 10_000
    assert issuer.reused == 0
    assert {call.error for call in issuer.calls} == {""}


async def test_eight_workers_over_https_ask_once_for_each_expiry(dsns: Dsns, database: Database) -> None:
    rounds = 15
    clock = OwnTime()
    issuer = TokenIssuer({"public": None}, now_s=clock.now_s)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(TokenServer(issuer, authority=AUTHORITY))
        receiver = await stack.enter_async_context(
            HttpsReceiver(authority=AUTHORITY, verify=verifiers.bearer(issuer.is_valid))
        )
        subscriptions = [await subscribe(database, issuer, server.url, receiver.url) for _ in range(4)]
        senders = []
        for _ in range(WORKERS):
            store = PostgresTokens(dsns.socket, SEALER)
            stack.push_async_callback(store.close)
            senders.append(await stack.enter_async_context(open_https_sender(LOOPBACK, store, clock)))
        for number in range(rounds):
            await asyncio.gather(*(s.send(push(to, number)) for s in senders for to in subscriptions))
            if number % 3 == 2:
                issuer.expire_all()  # the receiver says 401 before the hub expects it
            else:
                clock.instant_ms += 3_600_000
        assert receiver.ledger.summary().requests == rounds * WORKERS * len(subscriptions)
    assert issuer.granted == len(issuer.calls) == rounds * len(subscriptions)
    assert issuer.reused == 0


def push(subscription: Subscription, number: int = 0) -> Push:
    return Push(subscription=subscription, request_id=f"{subscription.id}-{number}", body=BODY, items=1)


HOLDS_THE_RIGHT = """
import asyncio, sys
from matrixhub.model.destination import Destination, RefreshToken
from matrixhub.model.policy import Policy
from matrixhub.model.secret import Secret
from matrixhub.store.sealing import Sealer
from matrixhub.store.tokens import PostgresTokens
from matrixhub.testing.samples import sample_subscription

async def main(dsn, key, id, token_url, refresh_token):
    auth = RefreshToken(token_url=token_url, client_id="public", refresh_token=Secret(refresh_token))
    subscription = sample_subscription(
        id=id, destination=Destination(url="", auth=auth), policy=Policy(connect_timeout_s=1, total_timeout_s=1)
    )
    async with PostgresTokens(dsn, Sealer(key), slack_s=0.5).renewing(subscription, 0) as renewal:
        print("held" if renewal.mine else "not held", flush=True)
        await asyncio.sleep(60)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_worker_that_is_killed_while_renewing_is_followed_by_the_next(dsns: Dsns, database: Database) -> None:
    issuer = TokenIssuer({"public": None})
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(TokenServer(issuer, authority=AUTHORITY))
        receiver = await stack.enter_async_context(
            HttpsReceiver(authority=AUTHORITY, verify=verifiers.bearer(issuer.is_valid))
        )
        subscription = await subscribe(database, issuer, server.url, receiver.url)
        auth = subscription.destination.auth
        assert isinstance(auth, RefreshToken)
        arguments = (dsns.socket, MASTER_KEY, subscription.id, auth.token_url, auth.refresh_token.reveal())
        killed = await asyncio.create_subprocess_exec(
            sys.executable, "-c", HOLDS_THE_RIGHT, *arguments, stdout=asyncio.subprocess.PIPE
        )
        assert killed.stdout is not None
        assert await killed.stdout.readline() == b"held\n"
        killed.kill()
        await killed.wait()
        store = PostgresTokens(dsns.socket, SEALER, slack_s=0.5)
        stack.push_async_callback(store.close)
        sender = await stack.enter_async_context(open_https_sender(LOOPBACK, store, SystemClock()))
        assert (await sender.send(push(subscription))).http_status == 204
    assert issuer.granted == 1


class Line:
    """A TCP line to PostgreSQL that can be cut and mended."""

    def __init__(self, dsn: str) -> None:
        self._parts = urlsplit(dsn)
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._whole = True
        self.dsn = ""

    async def __aenter__(self) -> Line:
        self._listener = Listener(("127.0.0.1", 0))
        self._server = await asyncio.start_server(self._accept, sock=self._listener)
        port = self._listener.port
        self.dsn = self._parts._replace(netloc=self._parts.netloc.rpartition("@")[0] + f"@127.0.0.1:{port}").geturl()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        await self._listener.shut()
        self._server.close()
        await self._listener.end()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        self._whole = False
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        self._whole = True

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._whole:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        self._writers |= {writer, back}
        self._tasks |= {asyncio.create_task(self._carry(reader, back)), asyncio.create_task(self._carry(there, writer))}

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65_536):
                writer.write(chunk)
                await writer.drain()
        writer.transport.abort()


async def test_nothing_is_sent_with_a_token_that_postgresql_does_not_have_yet(dsns: Dsns, database: Database) -> None:
    issuer = TokenIssuer({"public": None})
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(TokenServer(issuer, authority=AUTHORITY))
        receiver = await stack.enter_async_context(
            HttpsReceiver(authority=AUTHORITY, verify=verifiers.bearer(issuer.is_valid))
        )
        line = await stack.enter_async_context(Line(dsns.tcp))
        subscription = await subscribe(database, issuer, server.url, receiver.url)
        store = PostgresTokens(line.dsn, SEALER)
        stack.push_async_callback(store.close)
        sender = await stack.enter_async_context(open_https_sender(LOOPBACK, store, SystemClock()))
        answer = issuer.answer

        def and_the_line_is_cut(*asked: Any) -> Any:
            line.cut()
            return answer(*asked)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(issuer, "answer", and_the_line_is_cut)
            with pytest.raises(TokenFault, match="cannot be read or saved"):
                await sender.send(push(subscription))
            with pytest.raises(TokenFault):
                await sender.send(push(subscription))
        assert not receiver.requests
        assert (len(issuer.calls), issuer.granted) == (1, 1)
        line.mend()
        assert (await sender.send(push(subscription))).http_status == 204
        assert issuer.granted == 1
        # What was granted while the database was away is what another worker finds there.
        other = await stack.enter_async_context(open_https_sender(LOOPBACK, store, SystemClock()))
        assert (await other.send(push(subscription))).http_status == 204
    assert issuer.granted == 1
    assert issuer.reused == 0


async def test_a_token_server_that_hangs_holds_up_no_other_subscription(dsns: Dsns, database: Database) -> None:
    issuer, well = TokenIssuer({"public": None}), TokenIssuer({"public": None})
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(TokenServer(issuer, authority=AUTHORITY))
        working = await stack.enter_async_context(TokenServer(well, authority=AUTHORITY))
        receiver = await stack.enter_async_context(HttpsReceiver(authority=AUTHORITY))
        hung = await subscribe(database, issuer, server.url, receiver.url)
        fine = await subscribe(database, well, working.url, receiver.url)
        store = PostgresTokens(dsns.socket, SEALER)
        stack.push_async_callback(store.close)
        sender = await stack.enter_async_context(open_https_sender(LOOPBACK, store, SystemClock()))
        server.behaviour = Stall(60)
        hanging = asyncio.create_task(sender.send(push(hung)))
        await server.stalled.wait()
        assert (await sender.send(push(fine))).http_status == 204
        assert not hanging.done()
        with pytest.raises(TokenFault, match="no answer in time"):
            await hanging
        server.behaviour = Issue()
        assert (await sender.send(push(hung))).http_status == 204
