"""Events from the stream EVENTS over the whole delivery machinery: real NATS, PostgreSQL and HTTPS."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import nats
import pytest
import pytest_asyncio
from tests.engines import SharedEngines

from matrixhub.bus import NatsBus, StreamSettings, open_buses
from matrixhub.bus.subjects import (
    STREAMS,
    event_subject,
    filter_matcher,
    filter_pattern,
    filter_patterns,
    sensor_subject,
)
from matrixhub.deliveries import Worker, WorkerSettings
from matrixhub.deliveries.auditor import Auditor
from matrixhub.deliveries.balance import subscription_balance, take_balances
from matrixhub.deliveries.desk import FromPlace, Since, first_position, plan_replay, remake_body, send_test
from matrixhub.deliveries.destinations.https import HttpsSender, open_https_sender
from matrixhub.deliveries.notices import oldest_stored_ms
from matrixhub.deliveries.recent import HeardBus, Recent
from matrixhub.deliveries.retention import Retention, RetentionSettings
from matrixhub.lifecycle import SystemClock
from matrixhub.model.destination import Destination, SharedAccessKey
from matrixhub.model.egress import Allowance
from matrixhub.model.event import envelope, platform_event, routing_words
from matrixhub.model.ids import BuildingId, PropertyId, SubscriptionId, WorkerId
from matrixhub.model.policy import BatchLimits, Policy
from matrixhub.model.routing import expanded, matches
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import Filter, Format, Position, Source, Subscription
from matrixhub.observe import BalanceMeasured, BalancesForgotten, Fact, Metrics, StreamPurged, ignore
from matrixhub.ports import Outgoing
from matrixhub.sources.sites import make_site
from matrixhub.store import Database, open_database
from matrixhub.store.attempts import list_attempts
from matrixhub.store.books import PostgresBooks
from matrixhub.store.duty import AUDIT_DUTIES, RETENTION_DUTIES, PostgresDuty
from matrixhub.store.egress import allow_egress
from matrixhub.store.leases import PostgresLeases
from matrixhub.store.parked import EVERYTHING, ask_redrive, list_parked
from matrixhub.store.partitions import PostgresPartitions
from matrixhub.store.replays import ask_replay
from matrixhub.store.sealing import Sealer
from matrixhub.store.sites import apply_site
from matrixhub.store.subscriptions import Codec, Overview, create_subscription, show_subscription
from matrixhub.testing.fakes import FakeClock
from matrixhub.testing.receiver import Accept, Answer, HttpsReceiver, Judge
from matrixhub.testing.tls import LocalAuthority
from matrixhub.testing.tokens import MemoryTokens

pytestmark = pytest.mark.asyncio(loop_scope="module")

AUTHORITY, CLIENTS = LocalAuthority(), LocalAuthority()
CODEC = Codec(sealer=Sealer("0f" * 32), policy=Policy(retry_schedule_s=(0.0, 0.1)))
TABLES = "organisations, subscriptions, subscription_progress, workers, attempts, parked, replays"
DAY_S = 86_400.0
KEPT = RetentionSettings(
    stream_s=8 * DAY_S, pending_s=90 * DAY_S, attempts_s=14 * DAY_S, parked_s=90 * DAY_S, events_s=180 * DAY_S
)
B1 = BuildingId("b1")
SEEDS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Engines:
    postgres: str
    nats: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engines(shared_engines: SharedEngines) -> Engines:
    return Engines((await shared_engines.new_database()).socket, shared_engines.nats_url)


@pytest_asyncio.fixture(loop_scope="module")
async def world(engines: Engines, shared_engines: SharedEngines) -> AsyncIterator[World]:
    """Two empty streams, and no subscriptions."""
    await shared_engines.remove_streams()
    async with (
        open_database(engines.postgres, connections_max=6) as database,
        open_buses(engines.nats, StreamSettings(), ignore) as buses,
        open_https_sender(Allowance.of(["127.0.0.0/8"]), MemoryTokens(), SystemClock()) as sender,
    ):
        async with database.connection() as connection:
            await connection.execute(f"truncate {TABLES} cascade")
            await connection.execute("update stream_floors set seq = 1")
        yield World(database, buses, sender)


@dataclass(slots=True)
class World:
    """Both streams, the store, and workers."""

    database: Database
    buses: Mapping[Source, NatsBus]
    sender: HttpsSender
    facts: list[Fact] = field(default_factory=list)
    told: asyncio.Event = field(default_factory=asyncio.Event)
    clock: FakeClock = field(default_factory=FakeClock)

    @property
    def events(self) -> NatsBus:
        return self.buses["events"]

    @property
    def books(self) -> PostgresBooks:
        return PostgresBooks(self.database)

    async def owner(self) -> PropertyId:
        """A property, which may be pushed for to this machine."""
        site = make_site(1, seed=next(SEEDS))
        await apply_site(self.database, site, remove=False)
        await allow_egress(self.database, site.property.id, "127.0.0.0/8")
        return site.property.id

    async def happen(self, owner: PropertyId, *names: str, kind: str = "INCIDENT_CREATED", at: str = B1) -> list[Any]:
        """Events in the stream, as the relay puts them there; how they are delivered."""
        made = [
            platform_event(
                kind, owner, BuildingId(at), happened_at=1_710_036_063, description=name, meta={"Name": name}
            )
            for name in names
        ]
        outgoing = [
            Outgoing(
                event_subject(owner, routing_words(one)),
                json.dumps(envelope(one), ensure_ascii=False, separators=(",", ":")).encode(),
                1,
                str(one.id),
            )
            for one in made
        ]
        assert set(await self.events.publish(outgoing)) <= {None}
        return [envelope(one) for one in made]

    async def subscribe(self, owner: PropertyId, url: str, *patterns: str, seq: int = 1, **parts: Any) -> Subscription:
        destination = {"url": url, "ca_pem": AUTHORITY.ca_pem, **parts.pop("destination", {})}
        return await create_subscription(
            self.database,
            CODEC,
            owner,
            **{
                "name": "",
                "wanted": Filter(source="events", patterns=frozenset(patterns)),
                "destination": Destination(**destination),
                "limits": BatchLimits(items=3, size_bytes=100_000),
                "position": Position(seq=seq),
                **parts,
            },
        )

    async def overview(self, made: Subscription) -> Overview:
        return await show_subscription(self.database, CODEC, made.property_id, made.id)

    def observe(self, fact: Fact) -> None:
        self.facts.append(fact)
        self.told.set()

    async def wait_position(self, made: Subscription, seq: int) -> None:
        """Wait until a worker has saved that it has come so far, which is asked whenever it says something."""
        async with asyncio.timeout(10):
            while True:
                self.told.clear()
                if (await self.overview(made)).progress.position >= Position(seq=seq):
                    return
                await self.told.wait()

    @asynccontextmanager
    async def working(self, recent: Mapping[Source, Recent] | None = None) -> AsyncIterator[Worker]:
        """A worker, until the block ends."""
        leases = PostgresLeases(self.database, CODEC, ignore)
        worker = Worker(
            WorkerId(f"wrk_{next(SEEDS)}"),
            WorkerSettings(lease_s=5.0, buffer_bytes=1_000_000, read_bytes=100_000),
            self.buses,
            leases,
            self.sender,
            SystemClock(),
            self.observe,
            recent,
        )
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run(stop))
            try:
                yield worker
            finally:
                stop.set()
        await leases.close()

    def auditor(self, source: Source) -> Auditor:
        return Auditor(self.buses[source], self.books, FreeDuty(), self.clock, self.facts.append, source)

    def retention(self, source: Source, *, days: float) -> Retention:
        """Retention as it would be so many days ahead."""
        partitions = PostgresPartitions(self.database) if source == "sensors" else None
        return Retention(
            KEPT, self.buses[source], self.books, partitions, FreeDuty(), LaterClock(days), self.facts.append, source
        )

    async def store_reading(self, owner: PropertyId) -> None:
        subject = sensor_subject(owner, B1, "SMARTCLEAN#UM")
        message = Outgoing(subject, b'{"InsID":"z"}', 1, f"reading-{next(SEEDS)}", {"Matrix-Origin": "ing_1"})
        assert set(await self.buses["sensors"].publish([message])) == {None}

    async def put_at(self, made: Subscription, seq: int, *, delivered: int = 0) -> None:
        """As if a carrier had brought it so far."""
        async with self.database.connection() as connection:
            await connection.execute(
                "update subscription_progress set position_seq = $2, delivered = $3, step = step + 1"
                " where subscription_id = $1",
                made.id,
                seq,
                delivered,
            )


class FreeDuty:
    """A duty that everybody has."""

    async def held(self) -> bool:
        return True

    async def close(self) -> None:
        """Nothing to give back."""


class LaterClock(SystemClock):
    """The system's clock, some days ahead."""

    def __init__(self, days: float) -> None:
        self.days = days

    def now_ms(self) -> int:
        return super().now_ms() + int(self.days * DAY_S * 1000)


class Inbox:
    """What a receiver has taken, in its order, and how to wait for it."""

    def __init__(self, read_body: Callable[[bytes], list[str]] | None = None, **parts: Any) -> None:
        self.got: list[dict[str, Any]] = []
        if read_body is not None:
            parts["read_body"] = read_body
        self.receiver = HttpsReceiver(authority=AUTHORITY, on_items=self._take, **parts)

    def _take(self, _request_id: str, items: Sequence[str]) -> None:
        self.got += map(json.loads, items)

    @property
    def names(self) -> list[str]:
        return [event["Description"] for event in self.got]

    async def wait(self, count: int) -> None:
        await self.receiver.wait_until(lambda: len(self.got) >= count)


# --- the stream, its patterns, and the reference matcher ---


async def test_both_streams_are_there_and_each_takes_its_own(world: World, engines: Engines) -> None:
    owner = await world.owner()
    await world.happen(owner, "e")
    await world.store_reading(owner)
    await world.store_reading(owner)
    assert [(await world.buses[source].bounds()).last_seq for source in ("sensors", "events")] == [2, 1]
    client = await nats.connect(engines.nats)
    names = {stream.config.name for stream in await client.jetstream().streams_info()}
    await client.close()
    assert names == set(STREAMS.values())


async def test_nats_finds_by_the_patterns_of_a_filter_what_the_reference_matcher_finds(world: World) -> None:
    chance = random.Random(4)
    principals = ["b1", "b2", "Haus_é:7", "a=2Eb", "(x)", "東"]
    owners = [PropertyId("p1"), PropertyId("p1=2E"), PropertyId("p.1"), PropertyId("*")]
    keys = list(itertools.product(principals, ["scgrids", "app_1"], ["E1", "E_2"], ["HIGH", "LOW"]))
    stored = [(owner, ("matrix", *key)) for owner in owners for key in chance.sample(keys, 20)]
    messages = [Outgoing(event_subject(owner, key), b"{}", 1, str(n)) for n, (owner, key) in enumerate(stored)]
    assert set(await world.events.publish(messages)) == {None}
    words = ["matrix", *principals, "scgrids", "E1", "HIGH", "*", "*", "#", "#"]
    patterns = [".".join(chance.choice(words) for _ in range(chance.randrange(1, 7))) for _ in range(150)]
    # The published pattern and its like, since few of the others find anything.
    patterns += [".".join(chance.choice([word, "*"]) for word in chance.choice(stored)[1]) for _ in range(30)]
    fitting = sorted({pattern for pattern in patterns if expanded(pattern)})
    found_some = 0
    for number in range(40):
        some = frozenset(chance.sample(fitting, number % 4))
        wanted, owner = Filter(source="events", patterns=some), chance.choice(owners)
        expected = {
            seq
            for seq, (whose, key) in enumerate(stored, 1)
            if whose == owner and (not some or any(matches(pattern, ".".join(key)) for pattern in some))
        }
        narrowest = await seqs_of(world.events, filter_pattern(owner, wanted))
        wants = filter_matcher(owner, wanted)
        assert {seq for seq in narrowest if wants(messages[seq - 1].subject)} == expected
        exact = [await seqs_of(world.events, pattern) for pattern in filter_patterns(owner, wanted)]
        assert set().union(*exact) == expected
        found_some += bool(expected)
    assert found_some >= 15


async def seqs_of(bus: NatsBus, pattern: str) -> set[int]:
    return {message.seq for message in (await bus.read(pattern, 1, messages_max=500, bytes_max=1_000_000)).messages}


# --- from the stream to a receiver ---


def bodies_of_hub(body: bytes) -> list[str]:
    return [entry["Body"] for entry in json.loads(body)]


def data_of_cloud_events(body: bytes) -> list[str]:
    events = json.loads(body)
    for event in events:
        assert event["id"] == event["data"]["ATTR"]
        assert event["subject"] == event["data"]["RoutingKey"]
    return [json.dumps(event["data"], ensure_ascii=False) for event in events]


async def test_every_format_and_framing_brings_the_events_in_their_order(world: World) -> None:
    owner, other = await world.owner(), await world.owner()
    sas = SharedAccessKey(key_name="sendOnly", key=Secret("ZGVtby1ldmVudC1odWIta2V5LWZvci10ZXN0cw=="))
    hub = {"kind": "azure_event_hub", "auth": sas}
    thing = {"kind": "aws_iot", "client_certificate": CLIENTS.client_certificate("thing")}
    variants: Mapping[str, tuple[Inbox, dict[str, Any]]] = {
        "array": (Inbox(), {}),
        "packed": (Inbox(), {"form": Format(gzip=True)}),
        "cloudevents": (
            Inbox(data_of_cloud_events, content_type="application/cloudevents-batch+json"),
            {"form": Format(body="cloudevents")},
        ),
        "event hub": (Inbox(content_type="application/atom+xml"), {"destination": hub}),
        "event hub, per item": (
            Inbox(bodies_of_hub, content_type="application/vnd.microsoft.servicebus.json"),
            {"destination": {**hub, "framing": "per_item"}},
        ),
        "aws iot": (Inbox(client_ca_pem=CLIENTS.ca_pem), {"destination": thing}),
    }
    stored = await world.happen(owner, "1 – stored", "2", "3", "4")
    await world.happen(other, "not for them")
    async with AsyncExitStack() as resources:
        made = {}
        for name, (inbox, parts) in variants.items():
            await resources.enter_async_context(inbox.receiver)
            made[name] = await world.subscribe(owner, inbox.receiver.url, name=name, **parts)
        await resources.enter_async_context(world.working())
        for inbox, _ in variants.values():
            await inbox.wait(4)
        live = await world.happen(owner, '5 "Café" 東', "6")
        await world.happen(other, "nor this")
        for inbox, _ in variants.values():
            await inbox.wait(6)
    for name, (inbox, _) in variants.items():
        assert inbox.got == stored + live, name
        assert not inbox.receiver.violations, name
        totals = inbox.receiver.events.summary()
        assert (totals.distinct, totals.duplicates) == (6, 0), name
        overview = await world.overview(made[name])
        assert overview.progress.delivered == 6, name
        assert (await subscription_balance(world.buses, world.books, made[name].id)).holds, name


async def test_a_subscription_gets_what_its_patterns_say_of_its_own_property_alone(world: World) -> None:
    one, two = await world.owner(), await world.owner()
    patterns: Mapping[str, Sequence[str]] = {
        "all": ("#",),
        "published": ("matrix.b1.scworkforcemanagement.INCIDENT_CREATED.*",),
        "overlapping": ("matrix.b1.#", "#.HIGH"),
        "none": ("matrix.b9.#",),
    }
    inboxes = {name: Inbox() for name in patterns}
    everything = Inbox()
    async with AsyncExitStack() as resources:
        for name, inbox in inboxes.items():
            await resources.enter_async_context(inbox.receiver)
            await world.subscribe(one, inbox.receiver.url, *patterns[name], name=name)
        await resources.enter_async_context(everything.receiver)
        await world.subscribe(two, everything.receiver.url)
        await world.happen(one, "one stored")
        await world.happen(two, "two stored")  # of a building with the same id
        await resources.enter_async_context(world.working())
        await everything.wait(1)
        await world.happen(two, "two live")
        await world.happen(one, "open", kind="INCIDENT_CREATED_OPEN")
        await world.happen(one, "started", kind="INCIDENT_STARTED", at="b2")
        await world.happen(one, "removed", kind="ZONE_REMOVED", at="b2")
        await everything.wait(2)
        for name, count in (("all", 4), ("published", 1), ("overlapping", 3)):
            await inboxes[name].wait(count)
    assert everything.names == ["two stored", "two live"]
    assert inboxes["all"].names == ["one stored", "open", "started", "removed"]
    assert inboxes["published"].names == ["one stored"]
    assert inboxes["overlapping"].names == ["one stored", "open", "removed"]
    assert inboxes["none"].names == []
    assert all(balance.holds for balance in (await take_balances(world.buses, world.books)).values())


async def test_a_refused_event_is_parked_alone_and_taken_once_it_is_sent_again(world: World) -> None:
    owner = await world.owner()
    inbox = Inbox(behaviour=Judge(lambda items: Answer(422) if any("bad" in item for item in items) else Accept()))
    async with inbox.receiver as receiver, world.working() as worker:
        made = await world.subscribe(owner, receiver.url)
        worker.changed(made.id)
        await world.happen(owner, "1", "bad", "3")
        await inbox.wait(2)
        await world.wait_position(made, 4)
        [item] = await list_parked(world.database, owner, made.id, limit=9)
        assert inbox.names == ["1", "3"]
        assert json.loads(item.line)["Description"] == "bad"
        assert (await world.overview(made)).progress.delivered == 2
        receiver.behave(Accept())
        await ask_redrive(world.database, owner, made.id, EVERYTHING)
        worker.changed(made.id)
        await inbox.wait(3)
    assert inbox.names == ["1", "3", "bad"]
    balance = await subscription_balance(world.buses, world.books, made.id)
    assert (balance.accepted, balance.delivered, balance.parked, balance.difference) == (3, 3, 0, 0)


async def test_a_replay_brings_exactly_what_was_counted(world: World) -> None:
    owner, inbox = await world.owner(), Inbox()
    async with inbox.receiver as receiver, world.working() as worker:
        made = await world.subscribe(owner, receiver.url, "matrix.b1.#", "#.HIGH")
        worker.changed(made.id)
        await world.happen(owner, "1", "2", "3")
        await world.happen(owner, "unwanted", kind="INCIDENT_STARTED", at="b2")
        await world.happen(owner, "4")
        await inbox.wait(4)
        await world.wait_position(made, 6)
        view = await world.overview(made)
        plan = await plan_replay(world.database, world.events, view, FromPlace(Position(seq=2)))
        assert (plan.items, plan.note) == (3, "")
        [last] = await list_attempts(world.database, owner, subscription_id=made.id, limit=1)
        remade = await remake_body(world.database, world.events, view, last.attempt)
        assert remade.whole
        assert json.loads(remade.body)[-1] == inbox.got[-1]
        await ask_replay(world.database, owner, made.id, plan.position)
        worker.changed(made.id)
        await inbox.wait(7)
    assert inbox.names == ["1", "2", "3", "4", "2", "3", "4"]
    totals = inbox.receiver.events.summary()
    assert (totals.distinct, totals.duplicates_in_new_request) == (4, 3)
    balance = await subscription_balance(world.buses, world.books, made.id)
    assert (balance.accepted, balance.delivered, balance.replayed, balance.difference) == (7, 7, 3, 0)


async def test_a_test_is_an_event_that_reaches_the_receiver_and_can_be_made_again(world: World) -> None:
    owner, inbox = await world.owner(), Inbox()
    async with inbox.receiver as receiver:
        made = replace(await world.subscribe(owner, receiver.url, "matrix.b1.#"), state="paused")
        made = replace(made, destination=replace(made.destination, egress_allow=frozenset({"127.0.0.0/8"})))
        result = await send_test(world.sender, made, SystemClock())
    assert result.taken
    assert [event["RoutingKey"] for event in inbox.got] == [f"matrix.{owner}.matrixhub.TEST.LOW"]
    remade = await remake_body(world.database, world.events, await world.overview(made), result.attempt)
    assert json.loads(remade.body) == inbox.got


# --- the books of both streams ---


async def test_each_stream_has_its_books_and_its_totals(world: World) -> None:
    owner = await world.owner()
    metrics = Metrics()
    await world.happen(owner, "1", "2", "3")
    await world.happen(owner, "4", kind="INCIDENT_STARTED")
    await world.store_reading(owner)
    reading = await world.subscribe(owner, "https://example.test/", wanted=Filter())
    every = await world.subscribe(owner, "https://example.test/")
    some = await world.subscribe(owner, "https://example.test/", "#.HIGH", "matrix.b1.*.INCIDENT_CREATED.#")
    await world.put_at(every, 3, delivered=2)
    auditors = [world.auditor("sensors"), world.auditor("events")]
    for auditor in auditors * 2:
        await world.clock.advance(1000)
        await auditor.round()
    await world.happen(owner, "5")
    await world.clock.advance(1000)
    await auditors[1].round()
    for fact in world.facts:
        metrics.count(fact)
    told = {fact.subscription: fact for fact in world.facts if isinstance(fact, BalanceMeasured) and fact.subscription}
    assert {name: (fact.source, fact.accepted, fact.pending, fact.difference) for name, fact in told.items()} == {
        reading.id: ("sensors", 1, 1, 0),
        every.id: ("events", 5, 3, 0),
        some.id: ("events", 4, 4, 0),
    }
    shown = metrics.render().decode()
    assert 'matrixhub_balance_accepted{source="sensors"} 1.0' in shown
    assert 'matrixhub_balance_accepted{source="events"} 9.0' in shown
    metrics.count(BalancesForgotten(source="events"))
    shown = metrics.render().decode()
    assert 'matrixhub_balance_accepted{source="sensors"} 1.0' in shown
    assert 'matrixhub_balance_accepted{source="events"} 0.0' in shown
    assert reading.id in shown
    assert every.id not in shown
    taken = await take_balances(world.buses, world.books, property_id=owner)
    assert {name: (one.accepted, one.pending) for name, one in taken.items()} == {
        reading.id: (1, 1),
        every.id: (5, 3),
        some.id: (4, 4),
    }


async def test_the_auditor_of_events_hears_what_the_tail_of_events_brings(world: World) -> None:
    owner, inbox = await world.owner(), Inbox()
    recent: Mapping[Source, Recent] = {"sensors": Recent(), "events": Recent()}
    async with inbox.receiver as receiver, world.working(recent) as worker:
        made = await world.subscribe(owner, receiver.url, "#.HIGH", "matrix.b1.#")
        worker.changed(made.id)
        heard = HeardBus(world.events, recent["events"], SystemClock())
        auditor = Auditor(heard, world.books, FreeDuty(), world.clock, world.facts.append, "events")
        await auditor.round()
        await world.happen(owner, "1", "2")
        await inbox.wait(2)
        await auditor.round()
    [account] = await world.books.accounts("events", made.id)
    assert (account.accepted, account.accepted_to) == (2, Position(seq=3))


async def test_retention_of_one_stream_leaves_the_other_alone(world: World) -> None:
    owner = await world.owner()
    await world.store_reading(owner)
    reading = await world.subscribe(owner, "https://example.test/", wanted=Filter())
    await world.happen(owner, "1", "2", "3")
    waiting = await world.subscribe(owner, "https://example.test/", "#.HIGH", "matrix.#", seq=2)
    # Young for those who wait, too old for the others: the first event goes.
    await world.retention("events", days=20).round()
    assert (await world.events.bounds()).first_seq == 2
    # Too old for all.
    await world.retention("events", days=100).round()
    assert (await world.events.bounds()).first_seq == 4
    assert (await world.buses["sensors"].bounds()).first_seq == 1
    purges = [fact for fact in world.facts if isinstance(fact, StreamPurged)]
    assert [(fact.source, fact.messages, fact.first_seq) for fact in purges] == [("events", 1, 2), ("events", 2, 4)]
    balances = await take_balances(world.buses, world.books)
    assert (balances[waiting.id].expired, balances[waiting.id].accepted, balances[waiting.id].holds) == (2, 2, True)
    assert (balances[reading.id].expired, balances[reading.id].pending) == (0, 1)

    # Whoever comes later begins at the floor of the stream that it is to, and is told so.
    late = await world.subscribe(owner, "https://example.test/", seq=1)
    assert (await world.overview(late)).progress.position == Position(seq=4)
    early = await world.subscribe(owner, "https://example.test/", wanted=Filter())
    assert (await world.overview(early)).progress.position == Position(seq=1)


async def test_places_to_begin_and_what_waits_are_of_the_stream_of_events(world: World) -> None:
    owner = await world.owner()
    for _ in range(3):
        await world.store_reading(owner)
    assert await first_position(world.events, "now") == Position(seq=1)
    await world.happen(owner, "1", "2")
    assert await first_position(world.events, "now") == Position(seq=3)
    made = await world.subscribe(owner, "https://example.test/", "#.LOW", "matrix.b1.#")
    assert await oldest_stored_ms(world.events, made, Position(seq=1)) is not None
    assert await oldest_stored_ms(world.events, made, Position(seq=3)) is None
    await world.put_at(made, 3, delivered=2)
    await world.events.purge(2)
    plan = await plan_replay(world.database, world.events, await world.overview(made), Since(0))
    assert (plan.items, plan.position) == (1, Position(seq=2))
    assert "no longer kept" in plan.note


async def test_the_duties_of_the_streams_are_held_side_by_side(engines: Engines) -> None:
    keys = [*AUDIT_DUTIES.values(), *RETENTION_DUTIES.values()]
    duties = [PostgresDuty(engines.postgres, key) for key in keys]
    assert [await duty.held() for duty in duties] == [True] * 4
    second = PostgresDuty(engines.postgres, AUDIT_DUTIES["events"])
    assert not await second.held()
    for duty in (*duties, second):
        await duty.close()


async def test_where_the_settings_have_an_order_of_readings_events_come_in_order(world: World) -> None:
    owner = await world.owner()
    codec = replace(CODEC, policy=Policy(order="latest_first"))
    plain: Mapping[str, Any] = {
        "name": "",
        "destination": Destination(url="https://example.test/"),
        "limits": BatchLimits(),
        "position": Position(seq=1),
    }
    made = [
        await create_subscription(world.database, codec, owner, wanted=wanted, **plain)
        for wanted in (Filter(), Filter(source="events"))
    ]
    orders = [(await show_subscription(world.database, codec, owner, one.id)).subscription.policy.order for one in made]
    assert orders == ["latest_first", "strict"]
    # The settings may change later: what named none goes with them, as far as it can.
    unnamed = await world.subscribe(owner, "https://example.test/")
    assert (await show_subscription(world.database, codec, owner, unnamed.id)).subscription.policy.order == "strict"


async def test_a_subscription_that_is_unknown_has_no_balance_in_either_stream(world: World) -> None:
    assert await take_balances(world.buses, world.books, subscription_id=SubscriptionId("sub_none")) == {}
