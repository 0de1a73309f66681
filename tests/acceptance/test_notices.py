"""Notices of a running hub, and of two of its processes, to a real HTTPS webhook."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from tests.acceptance.hub import DEADLINE_S, PROPERTY, Hub, wait_for

from matrixhub.config import load_settings
from matrixhub.model.destination import Destination
from matrixhub.model.ids import PropertyId
from matrixhub.model.policy import BatchLimits
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import Filter, Notify, Position
from matrixhub.service import find_endpoints
from matrixhub.store import open_database
from matrixhub.store.sealing import Sealer
from matrixhub.store.subscriptions import Codec, create_subscription, delete_subscription, set_state
from matrixhub.testing.listener import serve_app
from matrixhub.testing.tls import LocalAuthority

SUBSCRIPTIONS = 10
KEY = "whsec_cGxhbnRlZC1rZXktb2Ytbm90aWNlcw=="


@asynccontextmanager
async def webhook(authority: LocalAuthority, heard: list[dict[str, Any]]) -> AsyncIterator[str]:
    """The URL of a web service that takes notices."""

    async def receive(request: web.Request) -> web.Response:
        heard.append(await request.json())
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/{path:.*}", receive)
    async with serve_app(app, authority.server_context()) as port:
        yield f"https://127.0.0.1:{port}/notices"


async def test_two_processes_tell_a_webhook_once_of_what_the_policy_paused_even_after_a_kill(hub: Hub) -> None:
    heard: list[dict[str, Any]] = []
    authority = LocalAuthority()
    worker = hub.start_worker()
    endpoints = find_endpoints(load_settings(None, {}), hub.data)
    async with (
        webhook(authority, heard) as url,
        open_database(endpoints.postgres_dsn, connections_max=2) as database,
    ):
        codec = Codec(sealer=Sealer(endpoints.master_key))
        made = [
            await create_subscription(
                database,
                codec,
                PropertyId(PROPERTY),
                name=f"n{number}",
                wanted=Filter(),
                destination=Destination(url="https://127.0.0.1:9/in"),
                limits=BatchLimits(),
                position=Position(seq=1),
                notify=Notify(url=url, ca_pem=authority.ca_pem, secret=Secret(KEY)),
            )
            for number in range(SUBSCRIPTIONS)
        ]
        for subscription in made:
            await set_state(database, subscription.property_id, subscription.id, "paused", by="policy", reason="410")
        await wait_for(lambda: len(heard) >= 1, "no notice came")
        worker.kill()
        # What the killed process had taken comes back after its time out of sight.
        await wait_for(lambda: len({n["id"] for n in heard}) >= SUBSCRIPTIONS, "notices", timeout_s=DEADLINE_S * 4)
        for subscription in made:
            await delete_subscription(database, subscription.property_id, subscription.id)
    ids = {notice["id"]: notice for notice in heard}
    assert Counter(notice["subscription"] for notice in ids.values()) == {s.id: 1 for s in made}
    assert {(n["type"], n["reason"]) for n in heard} == {("matrixhub.subscription.suspended", "410")}
    assert KEY not in hub.program.log + worker.log
