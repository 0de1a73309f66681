"""Notices on a real PostgreSQL, to real HTTPS channels, on a clock that tests own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from tests.engines import SharedEngines

from matrixhub.deliveries.destinations.https import open_https_sender
from matrixhub.deliveries.notices import GIVE_UP_S, HIDDEN_S, IN_FLIGHT_EACH_MAX, KEPT_S, Notices
from matrixhub.lifecycle import SystemClock
from matrixhub.model.delivery import Attempt, ParkedItem, time_ordered_id
from matrixhub.model.destination import BasicAuth, Destination
from matrixhub.model.egress import Allowance
from matrixhub.model.errors import DestinationRefused
from matrixhub.model.ids import PropertyId, SubscriptionId, WorkerId
from matrixhub.model.notice import Standing, Told, due_notices
from matrixhub.model.policy import BatchLimits
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import Filter, Notify, Position, Subscription
from matrixhub.observe import Fact, NoticeFailed, NoticeGivenUp, NoticeSent, StoreFailed, ignore
from matrixhub.ports import Advance, Outgoing, Push, Sender, Sent
from matrixhub.sources.sites import make_site
from matrixhub.store import Database, open_database
from matrixhub.store.egress import allow_egress
from matrixhub.store.leases import PostgresLeases
from matrixhub.store.notices import NoticeStore, StoredNotice, list_notices
from matrixhub.store.sealing import Sealer
from matrixhub.store.sites import apply_site
from matrixhub.store.sql import load_statements
from matrixhub.store.subscriptions import (
    Codec,
    create_subscription,
    delete_subscription,
    set_state,
    show_subscription,
    update_subscription,
)
from matrixhub.testing.fakes import FakeClock, ScriptedSender, settle
from matrixhub.testing.listener import serve_app
from matrixhub.testing.memory_bus import MemoryBus
from matrixhub.testing.tls import LocalAuthority
from matrixhub.testing.tokens import MemoryTokens

pytestmark = pytest.mark.asyncio(loop_scope="module")

CODEC = Codec(sealer=Sealer("0f" * 32))
PASSWORD = "planted-password"
NOTIFY_KEY = "whsec_cGxhbnRlZC1rZXktb2Ytbm90aWNlcw=="
DAY_S = 86_400.0
RETENTION_S = 90 * DAY_S
NOW_MS = 1_710_029_109_417
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)
WAIT_S = 20.0
"""No wait takes so long; it only keeps a broken test from hanging."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dsn(shared_engines: SharedEngines) -> str:
    return (await shared_engines.new_database()).socket


@pytest_asyncio.fixture(loop_scope="module")
async def database(dsn: str) -> AsyncIterator[Database]:
    """An open database without rows."""
    async with open_database(dsn, connections_max=12) as found:
        async with found.connection() as connection:
            await connection.execute("truncate organisations, notices, attempts, parked, workers cascade")
        yield found


@dataclass(frozen=True, slots=True)
class Heard:
    """A notice as a channel got it."""

    headers: Mapping[str, str]
    body: dict[str, Any]


class Channel:
    """A webhook. `status` is its answer; while `gate` is there and not set, it is silent."""

    def __init__(self, authority: LocalAuthority) -> None:
        self.ca_pem = authority.ca_pem
        self.heard: list[Heard] = []
        self.asked = asyncio.Event()
        self.status = 204
        self.answer = ""
        self.gate: asyncio.Event | None = None
        self.url = ""
        self.changed = asyncio.Condition()

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.status < 300:
            async with self.changed:
                self.heard.append(Heard(request.headers, body))
                self.changed.notify_all()
        return web.Response(status=self.status, text=self.answer or None)

    async def wait_heard(self, number: int) -> None:
        async with asyncio.timeout(WAIT_S), self.changed:
            await self.changed.wait_for(lambda: len(self.heard) >= number)

    @property
    def kinds(self) -> list[str]:
        return [heard.body["type"].rpartition(".")[2] for heard in self.heard]


@asynccontextmanager
async def open_channel() -> AsyncIterator[Channel]:
    authority = LocalAuthority()
    channel = Channel(authority)
    app = web.Application()
    app.router.add_post("/notices", channel.receive)
    async with serve_app(app, authority.server_context(), handler_cancellation=True) as port:
        channel.url = f"https://127.0.0.1:{port}/notices"
        yield channel


@pytest_asyncio.fixture(loop_scope="module")
async def channel() -> AsyncIterator[Channel]:
    async with open_channel() as found:
        yield found


class Recording:
    """The port `Sender`: passes pushes on and remembers them."""

    def __init__(self, inner: Sender) -> None:
        self.pushes: list[Push] = []
        self._inner = inner

    async def send(self, push: Push) -> Sent:
        """One attempt. See `Sender.send`."""
        self.pushes.append(push)
        return await self._inner.send(push)


@pytest_asyncio.fixture(loop_scope="module")
async def sender() -> AsyncIterator[Recording]:
    async with open_https_sender(Allowance.of(()), MemoryTokens(), SystemClock()) as found:
        yield Recording(found)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW_MS)


@pytest.fixture
def facts() -> list[Fact]:
    return []


@pytest.fixture
def bus(clock: FakeClock) -> MemoryBus:
    return MemoryBus(now_ms=clock.now_ms)


@pytest.fixture
def notices(database: Database, bus: MemoryBus, sender: Recording, clock: FakeClock, facts: list[Fact]) -> Notices:
    return stage(database, bus, sender, clock, facts)


def stage(database: Database, bus: MemoryBus, sender: Sender, clock: FakeClock, facts: list[Fact]) -> Notices:
    store = NoticeStore(database, CODEC)
    return Notices(store, {"sensors": bus}, sender, clock, facts.append, retention_pending_s=RETENTION_S)


async def made_property(database: Database, seed: int = 1) -> PropertyId:
    site = make_site(3, seed=seed)
    await apply_site(database, site, remove=False)
    await allow_egress(database, site.property.id, "127.0.0.0/8")
    return site.property.id


async def subscribe(
    database: Database, notify: Notify | None, *, property_id: PropertyId | None = None, **fields: Any
) -> Subscription:
    return await create_subscription(
        database,
        CODEC,
        property_id or await made_property(database),
        **{
            "name": "To the ERP",
            "wanted": Filter(),
            "destination": Destination(
                url="https://example.test/in", auth=BasicAuth(user="demo-user", password=Secret(PASSWORD))
            ),
            "limits": BatchLimits(),
            "position": Position(seq=7),
            "notify": notify,
            **fields,
        },
    )


def webhook(channel: Channel) -> Notify:
    return Notify(url=channel.url, ca_pem=channel.ca_pem, secret=Secret(NOTIFY_KEY))


async def set_progress(database: Database, subscription: Subscription, **columns: Any) -> None:
    changes = ", ".join(f"{name} = ${number}" for number, name in enumerate(columns, start=2))
    async with database.connection() as connection:
        await connection.execute(
            f"update subscription_progress set {changes} where subscription_id = $1", subscription.id, *columns.values()
        )


async def fail(database: Database, subscription: Subscription, error: str = "HTTP 500: out of order") -> None:
    since = NOW - timedelta(seconds=40)
    await set_progress(database, subscription, failures=5, failing_since=since, last_error=error)


async def recover(database: Database, subscription: Subscription, delivered: int = 10) -> None:
    await set_progress(database, subscription, failures=0, failing_since=None, delivered=delivered, last_error="")


async def stored(database: Database, subscription: Subscription) -> list[StoredNotice]:
    return list(await list_notices(database, subscription.property_id))


# --- what is told ---


async def test_a_failing_subscription_is_told_to_its_webhook(
    database: Database, notices: Notices, channel: Channel, sender: Recording, facts: list[Fact]
) -> None:
    subscription = await subscribe(database, webhook(channel))
    await fail(database, subscription)
    assert await notices.watch_once() == 1
    await notices.deliver_once()
    (heard,) = channel.heard
    (kept,) = await stored(database, subscription)
    assert heard.body == {
        "id": str(kept.notice.id),
        "type": "matrixhub.subscription.failing",
        "at": NOW.isoformat(timespec="milliseconds"),
        "subscription": subscription.id,
        "property": subscription.property_id,
        "name": "To the ERP",
        "health": "failing",
        "since": (NOW - timedelta(seconds=40)).isoformat(timespec="milliseconds"),
        "reason_code": "",
        "reason": "HTTP 500: out of order",
        "delivered": 0,
        "parked": 0,
    }
    assert heard.headers["X-Request-Id"] == str(kept.notice.id)
    assert heard.headers["Content-Type"].startswith("application/json")
    assert "Authorization" not in heard.headers
    assert kept.delivered_at == NOW
    (push,) = sender.pushes
    assert (push.kind, push.items, push.content_type) == ("notice", 1, "application/json")
    assert [(key.kind, key.secret) for key in push.subscription.signing] == [("v1", Secret(NOTIFY_KEY))]
    assert push.subscription.destination.egress_allow == frozenset({"127.0.0.0/8"})
    (fact,) = facts
    assert isinstance(fact, NoticeSent)
    assert (fact.subscription, fact.kind, fact.attempt, fact.http_status) == (subscription.id, "failing", 1, 204)


async def test_a_webhook_without_a_secret_is_sent_what_is_not_signed(
    database: Database, notices: Notices, channel: Channel, sender: Recording
) -> None:
    subscription = await subscribe(database, replace(webhook(channel), secret=None))
    await fail(database, subscription)
    await notices.watch_once()
    await notices.deliver_once()
    assert sender.pushes[0].subscription.signing == ()
    assert channel.kinds == ["failing"]


async def test_trouble_and_its_end_are_told_once_each(
    database: Database, notices: Notices, channel: Channel, clock: FakeClock
) -> None:
    subscription = await subscribe(database, webhook(channel))
    await fail(database, subscription)
    told = [await notices.watch_once() for _ in range(3)]
    await recover(database, subscription)
    await clock.advance(60)
    told += [await notices.watch_once() for _ in range(3)]
    assert told == [1, 0, 0, 1, 0, 0]
    await notices.deliver_once()
    assert sorted(channel.kinds) == ["failing", "recovered"]


async def test_several_processes_that_watch_at_once_tell_each_change_once(
    database: Database, bus: MemoryBus, sender: Recording, clock: FakeClock, channel: Channel
) -> None:
    property_id = await made_property(database)
    made = [await subscribe(database, webhook(channel), property_id=property_id) for _ in range(20)]
    watchers = [stage(database, bus, sender, clock, []) for _ in range(8)]
    for state in (fail, recover):
        for subscription in made:
            await state(database, subscription)
        await clock.advance(60)
        # Who met a row that another held leaves it to a later look.
        told = [await asyncio.gather(*(watcher.watch_once() for watcher in watchers)) for _ in range(2)]
        assert sum(map(sum, told)) == 20
    kept = await stored(database, made[0])
    assert sorted((n.notice.subscription_id, n.notice.kind) for n in kept) == sorted(
        (subscription.id, kind) for subscription in made for kind in ("failing", "recovered")
    )


async def test_what_the_policy_pauses_is_told_with_its_reason_and_code(
    database: Database, notices: Notices, channel: Channel
) -> None:
    subscription = await subscribe(database, webhook(channel))
    async with owned(database, subscription) as (leases, step):
        attempt = Attempt(
            id=time_ordered_id(),
            at=NOW,
            kind="push",
            request_id="r",
            attempt=1,
            items=1,
            size_bytes=2,
            http_status=410,
            seconds=0.1,
            code="MH-D003",
        )
        await leases.advance(
            [replace(step, attempts_failed=1, failures=1, attempts=(attempt,), pause="HTTP 410: gone for good")]
        )
    assert [await notices.watch_once() for _ in range(2)] == [1, 0]
    await notices.deliver_once()
    body = channel.heard[0].body
    assert (body["type"], body["health"]) == ("matrixhub.subscription.suspended", "suspended")
    assert (body["reason_code"], body["reason"]) == ("MH-D003", "HTTP 410: gone for good")


async def test_what_was_suspended_has_recovered_when_something_was_taken_again(
    database: Database, notices: Notices, channel: Channel, clock: FakeClock
) -> None:
    subscription = await subscribe(database, webhook(channel))
    await set_state(database, subscription.property_id, subscription.id, "paused", by="policy", reason="410")
    assert await notices.watch_once() == 1
    await set_state(database, subscription.property_id, subscription.id, "active")
    await clock.advance(600)
    assert await notices.watch_once() == 0
    await recover(database, subscription)
    assert await notices.watch_once() == 1


async def test_parked_readings_are_counted_in_one_notice(
    database: Database, notices: Notices, channel: Channel, clock: FakeClock
) -> None:
    subscription = await subscribe(database, webhook(channel))
    async with owned(database, subscription) as (leases, step):
        await leases.advance([replace(step, parked=parked(subscription, 3))])
        assert await notices.watch_once() == 1
        await leases.advance([replace(step, step=2, parked=parked(subscription, 2))])
        assert await notices.watch_once() == 0
        await clock.advance(900)
        assert await notices.watch_once() == 1
    await notices.deliver_once()
    bodies = sorted((heard.body for heard in channel.heard), key=lambda body: body["at"])
    assert [(body["parked_new"], body["parked"]) for body in bodies] == [(3, 3), (2, 5)]
    assert (bodies[0]["reason_code"], bodies[0]["reason"]) == ("MH-D003", "422: v.count is text")


async def test_readings_of_a_paused_subscription_are_told_of_before_they_expire(
    database: Database, notices: Notices, channel: Channel, clock: FakeClock, bus: MemoryBus
) -> None:
    subscription = await subscribe(database, webhook(channel), position=Position(seq=1))
    await set_state(database, subscription.property_id, subscription.id, "paused")
    assert await notices.watch_expiry_once() == 0
    await bus.publish([Outgoing(f"sensors.{subscription.property_id}.b.X", b"{}", 1, "m1")])
    told = []
    for _ in range(10):
        await clock.advance(9 * DAY_S)
        told.append(await notices.watch_expiry_once() + await notices.watch_expiry_once())
    assert told == [0, 0, 0, 0, 0, 0, 0, 1, 1, 1]
    await notices.deliver_once()
    assert channel.heard[0].body["expires_at"] == (NOW + timedelta(days=90)).isoformat(timespec="milliseconds")


async def test_pausing_by_hand_is_not_told(database: Database, notices: Notices, channel: Channel) -> None:
    subscription = await subscribe(database, webhook(channel))
    await set_state(database, subscription.property_id, subscription.id, "paused")
    assert await notices.watch_once() == 0


async def test_a_subscription_without_a_channel_is_told_of_once_it_has_one(
    database: Database, notices: Notices, channel: Channel
) -> None:
    subscription = await subscribe(database, None)
    await fail(database, subscription)
    assert await notices.watch_once() == 0
    await update_subscription(database, CODEC, replace(subscription, notify=webhook(channel)))
    assert await notices.watch_once() == 1


async def test_the_first_look_misses_nothing_that_there_is_to_tell(database: Database) -> None:
    property_id = (await subscribe(database, None)).property_id
    since = NOW - timedelta(seconds=1000)
    combinations: list[Any] = list(
        product(
            (("active", ""), ("paused", "hand"), ("paused", "policy")),
            ((0, None), (1, NOW), (1, since), (5, NOW)),
            (("", None), ("failing", since), ("suspended", since), ("resumed", since)),
            (9, 10),
            (0, 1),
        )
    )
    standings: dict[str, Standing] = {}
    async with database.connection() as connection:
        for number, ((state, by), (failures, failing_since), (told, told_at), delivered, untold) in enumerate(
            combinations
        ):
            await connection.execute(
                "insert into subscriptions (id, property_id, name, filter, url, auth, batch_items, batch_bytes, notify,"
                " state, paused_by) values ($1, $2, 'n', '{}', 'u', '{}', 1, 1024, $3, $4, $5)",
                f"sub_{number}",
                property_id,
                {"url": "https://example.test/notices"},
                state,
                by,
            )
            await connection.execute(
                "insert into subscription_progress (subscription_id, position_seq, delivered, parked, failures,"
                " failing_since, told_trouble, told_at, told_delivered, parked_untold)"
                " values ($1, 1, 10, 3, $2, $3, $4, $5, $6, $7)",
                f"sub_{number}",
                failures,
                failing_since,
                told,
                told_at,
                delivered,
                untold,
            )
            standings[f"sub_{number}"] = Standing(
                subscription_id=SubscriptionId(f"sub_{number}"),
                state=state,
                paused_by=by,
                failures=failures,
                failing_since=failing_since,
                delivered=10,
                parked=3,
                told=Told(trouble=told, at=told_at, delivered=delivered, parked_untold=untold),
            )
    seen = {standing.subscription_id: standing for standing in await NoticeStore(database, CODEC).of_concern()}
    to_tell = {name for name, standing in standings.items() if due_notices(standing, NOW)[0] != standing.told}
    assert len(to_tell) > 100
    assert to_tell <= set(seen)
    assert all(standings[name] == standing for name, standing in seen.items())


async def test_looking_at_many_healthy_subscriptions_reads_none_of_them(database: Database) -> None:
    subscription = await subscribe(database, Notify(url="https://example.test/notices"))
    async with database.connection() as connection:
        await connection.execute(
            "insert into subscriptions"
            " (id, property_id, name, filter, url, auth, batch_items, batch_bytes, state, notify)"
            " select 'sub_' || n, $1, 'n', '{}', 'https://example.test', '{}', 1, 1024, 'active', $2"
            " from generate_series(1, 10000) n",
            subscription.property_id,
            {"url": "https://example.test/notices"},
        )
        await connection.execute(
            "insert into subscription_progress (subscription_id, position_seq) select id, 1 from subscriptions"
            " on conflict do nothing"
        )
        await connection.execute("analyze subscriptions, subscription_progress")
        plan = await connection.fetch("explain " + load_statements("notices.sql")["of_concern"])
    shown = "\n".join(row[0] for row in plan)
    assert "Seq Scan" not in shown, shown
    assert "Index" in shown


# --- how it is sent ---


async def test_a_notice_recorded_before_a_crash_is_sent_after_it(
    database: Database, bus: MemoryBus, sender: Recording, clock: FakeClock, channel: Channel
) -> None:
    await fail(database, await subscribe(database, webhook(channel)))
    assert await stage(database, bus, sender, clock, []).watch_once() == 1
    assert channel.kinds == []
    survivor = stage(database, bus, sender, clock, [])
    assert await survivor.watch_once() == 0
    await survivor.deliver_once()
    assert channel.kinds == ["failing"]


async def test_a_notice_on_its_way_in_a_crash_is_sent_again_under_the_same_id(
    database: Database, notices: Notices, channel: Channel, clock: FakeClock, sender: Recording
) -> None:
    subscription = await subscribe(database, webhook(channel))
    await fail(database, subscription)
    await notices.watch_once()
    channel.gate = asyncio.Event()
    attempt = asyncio.create_task(notices.deliver_once())
    async with asyncio.timeout(WAIT_S):
        await channel.asked.wait()
    attempt.cancel()
    await asyncio.wait([attempt])
    channel.gate = None
    await notices.deliver_once()
    assert channel.heard == []  # for all anyone knows, it is still on its way
    await clock.advance(HIDDEN_S)
    await notices.deliver_once()
    assert channel.kinds == ["failing"]
    assert len({push.request_id for push in sender.pushes}) == 1
    assert len({push.body for push in sender.pushes}) == 1


async def test_several_processes_send_each_notice_once(
    database: Database, bus: MemoryBus, sender: Recording, clock: FakeClock, channel: Channel
) -> None:
    property_id = await made_property(database)
    for _ in range(12):
        await fail(database, await subscribe(database, webhook(channel), property_id=property_id))
    processes = [stage(database, bus, sender, clock, []) for _ in range(5)]
    await processes[0].watch_once()
    for _ in range(12 // IN_FLIGHT_EACH_MAX):
        await asyncio.gather(*(process.deliver_once() for process in processes))
    assert len(channel.heard) == len({heard.body["id"] for heard in channel.heard}) == 12


@pytest.mark.parametrize("status", [302, 400, 404, 410, 429, 500, 503])
async def test_a_notice_that_is_refused_is_tried_again(
    database: Database, notices: Notices, channel: Channel, clock: FakeClock, facts: list[Fact], status: int
) -> None:
    subscription = await subscribe(database, webhook(channel))
    await fail(database, subscription)
    await notices.watch_once()
    channel.status = status
    await notices.deliver_once()
    (kept,) = await stored(database, subscription)
    assert kept.delivered_at is None
    assert str(status) in kept.last_error
    assert kept.next_at == NOW + timedelta(seconds=5)
    (fact,) = facts
    assert isinstance(fact, NoticeFailed)
    assert (fact.code, fact.retry_in_s, fact.attempt) == ("MH-D003", 5.0, 1)
    channel.status = 204
    await notices.deliver_once()
    assert channel.heard == []
    await clock.advance(5)
    await notices.deliver_once()
    assert channel.kinds == ["failing"]
    assert (await stored(database, subscription))[0].last_error == ""


@pytest.mark.parametrize("asked_s,waits_s", [(1.0, 5.0), (7200.0, 7200.0), (10 * DAY_S, DAY_S)])
async def test_retry_after_is_obeyed_up_to_the_last_attempt(
    database: Database,
    bus: MemoryBus,
    clock: FakeClock,
    channel: Channel,
    facts: list[Fact],
    asked_s: float,
    waits_s: float,
) -> None:
    subscription = await subscribe(database, webhook(channel))
    await fail(database, subscription)
    scripted = ScriptedSender()
    scripted.script = [DestinationRefused("HTTP 429", http_status=429, retry_after_s=asked_s)]
    slow = stage(database, bus, scripted, clock, facts)
    await slow.watch_once()
    await slow.deliver_once()
    assert (await stored(database, subscription))[0].next_at == NOW + timedelta(seconds=waits_s)


async def test_a_webhook_that_is_away_gets_the_notice_when_it_is_back(
    database: Database, notices: Notices, clock: FakeClock, facts: list[Fact]
) -> None:
    async with open_channel() as gone:
        notify = webhook(gone)
    subscription = await subscribe(database, notify)
    await fail(database, subscription)
    await notices.watch_once()
    await notices.deliver_once()
    assert isinstance(facts[0], NoticeFailed)
    assert facts[0].code == "MH-D002"
    async with open_channel() as back:
        shown = await show_subscription(database, CODEC, subscription.property_id, subscription.id)
        await update_subscription(database, CODEC, replace(shown.subscription, notify=webhook(back)))
        await clock.advance(5)
        await notices.deliver_once()
        assert back.kinds == ["failing"]


async def test_a_channel_that_hangs_holds_up_no_other(
    database: Database, notices: Notices, channel: Channel, clock: FakeClock
) -> None:
    async with open_channel() as hanging:
        hanging.gate = asyncio.Event()
        slow, quick = await made_property(database, 1), await made_property(database, 2)
        for _ in range(IN_FLIGHT_EACH_MAX * 3):
            await fail(database, await subscribe(database, webhook(hanging), property_id=slow))
        await notices.watch_once()
        attempts = asyncio.create_task(notices.deliver_once())
        async with asyncio.timeout(WAIT_S):
            await hanging.asked.wait()
        await fail(database, await subscribe(database, webhook(channel), property_id=quick))
        await notices.watch_once()
        await notices.deliver_once()
        assert (channel.kinds, hanging.heard) == (["failing"], [])
        hanging.gate.set()
        await attempts
        for _ in range(2):
            await notices.deliver_once()
        assert len(hanging.heard) == IN_FLIGHT_EACH_MAX * 3


async def test_a_notice_is_given_up_after_a_day_with_its_last_error_kept(
    database: Database, notices: Notices, channel: Channel, clock: FakeClock, facts: list[Fact]
) -> None:
    subscription = await subscribe(database, webhook(channel))
    await fail(database, subscription)
    await notices.watch_once()
    channel.status = 500
    elapsed = 0.0
    while not any(isinstance(fact, NoticeGivenUp) for fact in facts):
        await notices.deliver_once()
        elapsed += 600
        await clock.advance(600)
    (kept,) = await stored(database, subscription)
    assert kept.given_up_at is not None
    assert kept.delivered_at is None
    assert "HTTP 500" in kept.last_error
    assert GIVE_UP_S - 3600 <= elapsed <= GIVE_UP_S + 600
    assert 20 < kept.attempts < 40
    channel.status = 204
    await clock.advance(DAY_S)
    await notices.deliver_once()
    assert channel.heard == []


async def test_the_egress_guard_stands_before_notices_too(
    database: Database, notices: Notices, channel: Channel, facts: list[Fact]
) -> None:
    site = make_site(3, seed=9)
    await apply_site(database, site, remove=False)
    await fail(database, await subscribe(database, webhook(channel), property_id=site.property.id))
    await notices.watch_once()
    await notices.deliver_once()
    (fact,) = facts
    assert isinstance(fact, NoticeFailed)
    assert fact.code == "MH-D004"
    assert not channel.asked.is_set()


async def test_a_notice_goes_to_the_destination_of_another_subscription(
    database: Database, notices: Notices, channel: Channel, sender: Recording
) -> None:
    property_id = await made_property(database)
    other = await subscribe(
        database,
        None,
        property_id=property_id,
        destination=Destination(
            url=channel.url, ca_pem=channel.ca_pem, auth=BasicAuth(user="other", password=Secret(PASSWORD))
        ),
    )
    await set_state(database, property_id, other.id, "paused")
    await fail(database, await subscribe(database, Notify(subscription_id=other.id), property_id=property_id))
    await notices.watch_once()
    await notices.deliver_once()
    assert channel.kinds == ["failing"]
    assert channel.heard[0].headers["Authorization"].startswith("Basic ")
    assert sender.pushes[0].subscription.id == other.id


async def test_a_channel_of_another_property_is_not_sent_to(
    database: Database, notices: Notices, channel: Channel, facts: list[Fact]
) -> None:
    elsewhere = await subscribe(
        database,
        None,
        property_id=await made_property(database, 2),
        destination=Destination(url=channel.url, ca_pem=channel.ca_pem),
    )
    await fail(database, await subscribe(database, Notify(subscription_id=elsewhere.id)))
    await notices.watch_once()
    await notices.deliver_once()
    (fact,) = facts
    assert isinstance(fact, NoticeFailed)
    assert fact.error == f"the subscription {elsewhere.id} that notices go to is gone"
    assert channel.heard == []


async def test_notices_wait_for_a_channel_that_is_gone_until_there_is_another(
    database: Database, notices: Notices, channel: Channel, clock: FakeClock
) -> None:
    subscription = await subscribe(database, Notify(subscription_id="sub_gone"))
    await fail(database, subscription)
    await notices.watch_once()
    await notices.deliver_once()
    await update_subscription(database, CODEC, replace(subscription, notify=webhook(channel)))
    await clock.advance(5)
    await notices.deliver_once()
    assert channel.kinds == ["failing"]


async def test_a_notice_is_given_up_when_no_channel_is_wanted_any_more(
    database: Database, notices: Notices, channel: Channel, facts: list[Fact]
) -> None:
    subscription = await subscribe(database, webhook(channel))
    await fail(database, subscription)
    await notices.watch_once()
    await update_subscription(database, CODEC, replace(subscription, notify=Notify()))
    await notices.deliver_once()
    assert isinstance(facts[0], NoticeGivenUp)
    assert channel.heard == []


async def test_notices_of_a_deleted_subscription_are_gone(
    database: Database, notices: Notices, channel: Channel, facts: list[Fact]
) -> None:
    subscription = await subscribe(database, webhook(channel))
    await fail(database, subscription)
    await notices.watch_once()
    (kept,) = await stored(database, subscription)
    await delete_subscription(database, subscription.property_id, subscription.id)
    assert await stored(database, subscription) == []
    # One that was on its way into the outbox while the subscription was deleted is dropped when it is due.
    async with database.connection() as connection:
        n = kept.notice
        await connection.execute(
            load_statements("notices.sql")["add"], n.id, n.subscription_id, n.property_id, n.kind, n.at, n.body
        )
    await notices.deliver_once()
    assert await stored(database, subscription) == []
    assert (facts, channel.heard) == ([], [])


async def test_two_subscriptions_that_notify_each_other_do_not_go_on_for_ever(
    database: Database, notices: Notices, channel: Channel, clock: FakeClock, facts: list[Fact]
) -> None:
    property_id = await made_property(database)
    destination = Destination(url=channel.url, ca_pem=channel.ca_pem)
    one = await subscribe(database, None, property_id=property_id, destination=destination)
    other = await subscribe(database, Notify(subscription_id=one.id), property_id=property_id, destination=destination)
    one = await update_subscription(database, CODEC, replace(one, notify=Notify(subscription_id=other.id)))
    await fail(database, one)
    await fail(database, other)
    channel.status = 500
    told = []
    for _ in range(5):
        told.append(await notices.watch_once())
        await notices.deliver_once()
        await clock.advance(5)
    assert told == [2, 0, 0, 0, 0]
    for subscription in (one, other):
        view = await show_subscription(database, CODEC, property_id, subscription.id)
        assert (view.progress.failures, view.progress.attempts_failed) == (5, 0)


async def test_planted_secrets_are_in_no_notice_no_fact_and_no_kept_error(
    database: Database, notices: Notices, channel: Channel, facts: list[Fact], clock: FakeClock
) -> None:
    subscription = await subscribe(database, webhook(channel))
    quoted = f"HTTP 500: {PASSWORD} {NOTIFY_KEY} https://u:{PASSWORD}@example.test/in?sig=planted-signature"
    await fail(database, subscription, quoted)
    channel.status, channel.answer = 500, quoted
    await notices.watch_once()
    await notices.deliver_once()
    channel.status = 204
    await clock.advance(5)
    await notices.deliver_once()
    async with database.connection() as connection:
        kept = [dict(row) for row in await connection.fetch("select * from notices")]
    seen = json.dumps([kept, facts, [heard.body for heard in channel.heard]], default=str)
    assert "failing" in seen
    for secret in (PASSWORD, NOTIFY_KEY, NOTIFY_KEY.removeprefix("whsec_"), "planted-signature"):
        assert secret not in seen


async def test_settled_notices_are_forgotten_after_a_month(
    database: Database, notices: Notices, channel: Channel, clock: FakeClock
) -> None:
    property_id = await made_property(database)
    sent = await subscribe(database, webhook(channel), property_id=property_id)
    waiting = await subscribe(database, Notify(subscription_id="sub_gone"), property_id=property_id)
    for subscription in (sent, waiting):
        await fail(database, subscription)
    await notices.watch_once()
    await notices.deliver_once()
    await clock.advance(KEPT_S)
    await notices.forget_settled()
    assert len(await stored(database, sent)) == 2
    await clock.advance(1)
    await notices.forget_settled()
    assert [n.notice.subscription_id for n in await stored(database, sent)] == [waiting.id]


async def test_the_stage_watches_and_sends_until_it_is_stopped(
    database: Database, notices: Notices, channel: Channel
) -> None:
    await fail(database, await subscribe(database, webhook(channel)))
    stop = asyncio.Event()
    running = asyncio.create_task(notices.run(stop))
    await channel.wait_heard(1)
    stop.set()
    async with asyncio.timeout(WAIT_S):
        await running


async def test_an_outage_of_nats_keeps_back_no_other_notices(
    database: Database, notices: Notices, channel: Channel, bus: MemoryBus
) -> None:
    property_id = await made_property(database)
    paused = await subscribe(database, webhook(channel), property_id=property_id)
    await set_state(database, property_id, paused.id, "paused")
    bus.down = True
    await fail(database, await subscribe(database, webhook(channel), property_id=property_id))
    stop = asyncio.Event()
    running = asyncio.create_task(notices.run(stop))
    await channel.wait_heard(1)
    stop.set()
    async with asyncio.timeout(WAIT_S):
        await running


async def test_an_outage_of_postgresql_is_waited_for(
    dsn: str, bus: MemoryBus, sender: Recording, clock: FakeClock
) -> None:
    facts: list[Fact] = []
    async with open_database(dsn, connections_max=1) as away:
        pass
    stop = asyncio.Event()
    running = asyncio.create_task(stage(away, bus, sender, clock, facts).run(stop))
    await settle()
    await clock.advance(20)
    stop.set()
    async with asyncio.timeout(WAIT_S):
        await running
    steps = [fact.step for fact in facts if isinstance(fact, StoreFailed)]
    assert steps.count("watch health") == steps.count("take notices") == 5


# --- helpers ---


@asynccontextmanager
async def owned(database: Database, subscription: Subscription) -> AsyncIterator[tuple[PostgresLeases, Advance]]:
    """The leases of a worker that owns the subscription, and its first step."""
    worker = WorkerId("wrk_1")
    leases = PostgresLeases(database, CODEC, ignore)
    try:
        await leases.heartbeat(worker, 60)
        (lease,) = await leases.claim(worker, 0)
        yield leases, Advance(subscription=subscription.id, worker=worker, fence=lease.fence, step=1)
    finally:
        await leases.close()


def parked(subscription: Subscription, number: int) -> tuple[ParkedItem, ...]:
    return tuple(
        ParkedItem(
            id=time_ordered_id(),
            subscription_id=SubscriptionId(subscription.id),
            parked_at=NOW,
            place=Position(seq=7, item=item),
            line="{}",
            code="MH-D003",
            reason="422: v.count is text",
            http_status=422,
        )
        for item in range(number)
    )
