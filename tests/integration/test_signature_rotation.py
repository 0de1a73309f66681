"""Signing keys are rotated while pushes go on; a receiver that verifies each of them refuses none."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from matrixhub.deliveries.destinations.https import HttpsSender, open_https_sender
from matrixhub.deliveries.formats import make_body
from matrixhub.deliveries.signing import new_signing_key, rotated
from matrixhub.lifecycle import SystemClock
from matrixhub.model.destination import Destination
from matrixhub.model.egress import Allowance
from matrixhub.model.errors import DestinationRefused
from matrixhub.model.subscription import Format, SigningKey, Subscription
from matrixhub.ports import Push
from matrixhub.testing.listener import serve_app
from matrixhub.testing.samples import sample_subscription
from matrixhub.testing.tls import LocalAuthority
from matrixhub.testing.tokens import MemoryTokens

SENDERS = 6
ROTATIONS = 8
GRACE_S = 20
SEED = 20240310


class Clock(SystemClock):
    """Its instant is moved on by the test; it stays near the real one, which the library compares with."""

    def __init__(self) -> None:
        self.at_s = int(time.time()) - 120

    def now_ms(self) -> int:
        return self.at_s * 1000

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at_s, UTC)


class VerifyingReceiver:
    """An HTTPS endpoint that knows one secret and one public key, and takes only what both of them verify."""

    def __init__(self, secret: SigningKey, pair: SigningKey) -> None:
        self.authority = LocalAuthority()
        self.secret, self.public = secret.secret.reveal(), pair.public
        self.taken = 0
        self.refused: list[str] = []
        self.url = ""

    async def __aenter__(self) -> VerifyingReceiver:
        app = web.Application()
        app.router.add_post("/", self._receive)
        self._serving = serve_app(app, self.authority.server_context())
        self.url = f"https://localhost:{await self._serving.__aenter__()}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._serving.__aexit__(None, None, None)

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            Webhook(self.secret).verify(body, dict(request.headers))
            _verify_v1a(self.public, request.headers, body)
        except (WebhookVerificationError, InvalidSignature) as error:
            self.refused.append(f"{type(error).__name__}: {error}")
            return web.Response(status=401)
        self.taken += len(json.loads(body))
        return web.Response(status=204)


def _verify_v1a(public: str, headers: Any, body: bytes) -> None:
    verifier = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    for signature in headers["webhook-signature"].split(" "):
        version, _, text = signature.partition(",")
        if version == "v1a":
            try:
                return verifier.verify(base64.b64decode(text), content)
            except InvalidSignature:
                continue
    raise InvalidSignature("no signature of the public key")


class Load:
    """Pushes that go on all the time, with the keys the subscription has at that moment."""

    def __init__(self, sender: HttpsSender, subscription: Subscription) -> None:
        self.subscription = subscription
        self.stop = False
        self._sender = sender
        self._done = [0] * SENDERS
        self._changed = asyncio.Condition()

    async def push_on(self, number: int) -> None:
        while not self.stop:
            subscription = self.subscription
            strings = [
                b'{\\"sender\\":%d,\\"push\\":%d,\\"n\\":%d}' % (number, self._done[number], n) for n in range(40)
            ]
            body = make_body(subscription, strings)
            await self._sender.send(
                Push(
                    subscription=subscription,
                    request_id=f"push-{number}-{self._done[number]}",
                    body=body.data,
                    items=len(strings),
                    content_type=body.content_type,
                    content_encoding=body.content_encoding,
                )
            )
            self._done[number] += 1
            async with self._changed:
                self._changed.notify_all()

    async def wait_rounds(self) -> None:
        """Until every sender has begun and ended a push since now."""
        goal = [done + 2 for done in self._done]
        async with self._changed:
            await self._changed.wait_for(lambda: all(d >= g for d, g in zip(self._done, goal, strict=True)))

    @property
    def pushes(self) -> int:
        return sum(self._done)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def sender(clock: Clock) -> AsyncIterator[HttpsSender]:
    async with open_https_sender(Allowance.of(["127.0.0.0/8", "::1/128"]), MemoryTokens(), clock) as made:
        yield made


async def test_no_push_is_refused_while_keys_are_rotated_and_the_receiver_changes_over_within_the_grace(
    sender: HttpsSender, clock: Clock
) -> None:
    dice = random.Random(SEED)
    secret, pair = new_signing_key("v1", clock.now), new_signing_key("v1a", clock.now)
    async with VerifyingReceiver(secret, pair) as receiver:
        load = Load(
            sender,
            sample_subscription(
                destination=Destination(url=receiver.url, ca_pem=receiver.authority.ca_pem),
                signing=(secret, pair),
                format=Format(gzip=True),
            ),
        )

        async def rotate() -> None:
            await load.wait_rounds()
            for _ in range(ROTATIONS):
                secret, pair = new_signing_key("v1", clock.now), new_signing_key("v1a", clock.now)
                keys = rotated(load.subscription.signing, secret, clock.now, GRACE_S)
                keys = rotated(keys, pair, clock.now, GRACE_S)
                load.subscription = replace(load.subscription, signing=keys)
                switches_s = dice.sample(range(GRACE_S), 2)
                begun_s = clock.at_s
                for switch_s in sorted(switches_s):
                    await load.wait_rounds()
                    clock.at_s = begun_s + switch_s
                    await load.wait_rounds()
                    if switch_s == switches_s[0]:
                        receiver.secret = secret.secret.reveal()
                    else:
                        receiver.public = pair.public
                await load.wait_rounds()
                clock.at_s = begun_s + GRACE_S  # from here on only the new keys sign
                await load.wait_rounds()
            load.stop = True

        async with asyncio.TaskGroup() as group:
            for number in range(SENDERS):
                group.create_task(load.push_on(number), name=f"sender {number}")
            group.create_task(rotate(), name="rotation")
        assert receiver.refused == []
        assert receiver.taken == 40 * load.pushes
        assert len(load.subscription.signing) == 4
        assert receiver.secret in {key.secret.reveal() for key in load.subscription.signing[:2]}


async def test_a_receiver_that_keeps_the_old_key_past_the_grace_refuses(sender: HttpsSender, clock: Clock) -> None:
    secret, pair = new_signing_key("v1", clock.now), new_signing_key("v1a", clock.now)
    keys = rotated((secret, pair), new_signing_key("v1", clock.now), clock.now, GRACE_S)
    async with VerifyingReceiver(secret, pair) as receiver:
        subscription = sample_subscription(
            destination=Destination(url=receiver.url, ca_pem=receiver.authority.ca_pem), signing=keys
        )
        push = Push(subscription=subscription, request_id="push-1", body=b'["a"]', items=1)
        await sender.send(push)
        clock.at_s += GRACE_S
        with pytest.raises(DestinationRefused, match="HTTP 401"):
            await sender.send(push)
        assert receiver.refused == ["WebhookVerificationError: No matching signature found"]
