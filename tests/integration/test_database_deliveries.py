"""Readings and events from the streams into a customer's database, over the whole delivery machinery: each once, in
order, and counted, whatever happens on the way.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import pytest_asyncio
from tests.databases import Theirs, customer_database
from tests.engines import SharedEngines
from tests.readings import Writer

from matrixhub.bus import NatsBus, StreamSettings, open_buses
from matrixhub.bus.subjects import event_subject
from matrixhub.deliveries import Worker, WorkerSettings
from matrixhub.deliveries.balance import subscription_balance
from matrixhub.deliveries.desk import check_reach
from matrixhub.deliveries.destinations.postgres import open_postgres_sender
from matrixhub.deliveries.destinations.reaching import Reaching
from matrixhub.lifecycle import SystemClock
from matrixhub.model.database import CustomerDatabase, database_url
from matrixhub.model.destination import Destination
from matrixhub.model.egress import Allowance
from matrixhub.model.errors import InvalidValue, NotFound
from matrixhub.model.event import envelope, platform_event, routing_words
from matrixhub.model.health import health_of
from matrixhub.model.ids import BuildingId, DatabaseId, PropertyId, SubscriptionId, WorkerId
from matrixhub.model.policy import BatchLimits, Policy
from matrixhub.model.secret import Secret
from matrixhub.model.site import Slot
from matrixhub.model.subscription import Filter, Format, Notify, Position, SigningKey, Source, Subscription
from matrixhub.observe import Fact, ignore
from matrixhub.ports import Outgoing, Push, Sender, Sent
from matrixhub.sources.sites import make_site
from matrixhub.store import Database, open_database
from matrixhub.store.attempts import list_attempts
from matrixhub.store.books import PostgresBooks
from matrixhub.store.databases import Databases
from matrixhub.store.egress import allow_egress
from matrixhub.store.leases import PostgresLeases
from matrixhub.store.parked import EVERYTHING, ask_redrive, list_parked
from matrixhub.store.replays import ask_replay
from matrixhub.store.sealing import Sealer
from matrixhub.store.sites import apply_site
from matrixhub.store.subscriptions import (
    Codec,
    Overview,
    create_subscription,
    show_subscription,
    update_subscription,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

CODEC = Codec(sealer=Sealer("0f" * 32), policy=Policy(retry_schedule_s=(0.05,), retry_spread=0))
TABLES = "organisations, subscriptions, subscription_progress, workers, attempts, parked, replays"
AT_MS = 1_710_029_109_417
WRITER = Writer()
SEEDS = itertools.count(1)
DATABASE = DatabaseId("db_1f0e")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def theirs(shared_engines: SharedEngines) -> AsyncIterator[Theirs]:
    async with customer_database(shared_engines) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(shared_engines: SharedEngines) -> AsyncIterator[Database]:
    async with open_database((await shared_engines.new_database()).socket, connections_max=6) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def world(hub: Database, theirs: Theirs, shared_engines: SharedEngines) -> AsyncIterator[World]:
    """Two empty streams, no subscriptions, and an empty database of a property's, behind a proxy."""
    await shared_engines.remove_streams()
    await theirs.make_schema()
    records = Databases(hub, CODEC.sealer)
    async with (
        Proxy.open(theirs.record.server.port) as proxy,
        open_buses(shared_engines.nats_url, StreamSettings(), ignore) as buses,
        open_postgres_sender(records, Reaching(hub.dsn, Allowance()), SystemClock()) as sender,
    ):
        async with hub.connection() as connection:
            await connection.execute(f"truncate {TABLES} cascade")
            await connection.execute("update stream_floors set seq = 1")
        site = make_site(1, seed=next(SEEDS))
        await apply_site(hub, site, remove=False)
        await allow_egress(hub, site.property.id, "127.0.0.0/8")
        record = replace(theirs.at(port=proxy.port), id=DATABASE, property_id=site.property.id)
        await records.add(record)
        yield World(hub, buses, sender, theirs, records, proxy, site.property.id, site.slots[0])


class Proxy:
    """A way to PostgreSQL that can be closed and opened again, and cut after so many bytes."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.cut_after: int | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, target: int) -> AsyncIterator[Proxy]:
        """A proxy, until the block ends."""
        proxy = cls(target)
        await proxy.listen()
        try:
            yield proxy
        finally:
            await proxy.shut()

    async def listen(self) -> None:
        """Take connections."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """End what is open and take no more."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    def cut(self) -> None:
        """End what is open."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            their_reader, their_writer = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers |= {writer, their_writer}
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, their_writer, counted=True))
                group.create_task(self._pass(their_reader, writer))
        finally:
            self._tasks.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counted: bool = False) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                if counted and self.cut_after is not None:
                    self.cut_after -= len(data)
                    if self.cut_after < 0:
                        self.cut_after = None
                        self.cut()
                        return
                writer.write(data)
                await writer.drain()
        self._writers.discard(writer)
        writer.transport.abort()


@dataclass(slots=True)
class World:
    """Both streams, the store, a database of the customer's, and workers."""

    database: Database
    buses: Mapping[Source, NatsBus]
    sender: Sender
    theirs: Theirs
    records: Databases
    proxy: Proxy
    owner: PropertyId
    slot: Slot
    facts: list[Fact] = field(default_factory=list)
    told: asyncio.Event = field(default_factory=asyncio.Event)
    read: int = 0
    worker: Worker | None = None

    async def publish(self, number: int, **more: Any) -> None:
        """Readings in the stream, a second apart, ten to a message."""
        lines = [
            WRITER.line(self.slot, AT_MS + 1000 * (self.read + n), {"n": self.read + n}, **more) for n in range(number)
        ]
        self.read += number
        subject = WRITER.plan(self.slot).subject
        messages = [
            Outgoing(subject, b"\n".join(some), len(some), f"r-{next(SEEDS)}", {"Matrix-Origin": "ing_1"})
            for some in (lines[at : at + 10] for at in range(0, number, 10))
        ]
        assert set(await self.buses["sensors"].publish(messages)) == {None}

    async def happen(self, number: int) -> None:
        """Events in the stream, as the relay puts them there."""
        made = [
            platform_event(
                "INCIDENT_CREATED", self.owner, BuildingId("b1"), happened_at=1_710_036_063, description=str(n), meta={}
            )
            for n in range(number)
        ]
        outgoing = [
            Outgoing(event_subject(self.owner, routing_words(one)), json.dumps(envelope(one)).encode(), 1, str(one.id))
            for one in made
        ]
        assert set(await self.buses["events"].publish(outgoing)) == {None}

    async def subscribe(self, source: Source = "sensors", **parts: Any) -> Subscription:
        made = await create_subscription(
            self.database,
            CODEC,
            self.owner,
            **{
                "name": "",
                "wanted": Filter(source=source),
                "destination": Destination(url=database_url(DATABASE), kind="postgres"),
                "limits": BatchLimits(items=100, size_bytes=1_000_000),
                "position": Position(seq=1),
                **parts,
            },
        )
        self.tell(made)
        return made

    def tell(self, made: Subscription) -> None:
        """Tell the worker that something was asked of a subscription."""
        if self.worker is not None:
            self.worker.changed(made.id)

    async def redrive(self, made: Subscription) -> int:
        asked = await ask_redrive(self.database, self.owner, made.id, EVERYTHING)
        self.tell(made)
        return asked

    async def overview(self, made: Subscription) -> Overview:
        return await show_subscription(self.database, CODEC, self.owner, made.id)

    async def settled(self, made: Subscription, number: int) -> None:
        """Wait until so many are delivered or parked."""
        await self.wait(made, lambda o: o.progress.delivered + o.progress.parked >= number)

    async def wait(self, made: Subscription, holds: Callable[[Overview], bool]) -> None:
        """Wait for what is saved, which is looked at whenever a worker says something."""
        async with asyncio.timeout(20):
            while True:
                self.told.clear()
                if holds(await self.overview(made)):
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await self.told.wait()

    def observe(self, fact: Fact) -> None:
        self.facts.append(fact)
        self.told.set()

    @asynccontextmanager
    async def working(self, sender: Sender | None = None) -> AsyncIterator[None]:
        """A worker, until the block ends."""
        leases = PostgresLeases(self.database, CODEC, ignore)
        worker = Worker(
            WorkerId(f"wrk_{next(SEEDS)}"),
            WorkerSettings(lease_s=5.0, buffer_bytes=1_000_000, read_bytes=100_000),
            self.buses,
            leases,
            sender or self.sender,
            SystemClock(),
            self.observe,
        )
        stop = asyncio.Event()
        self.worker = worker
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(worker.run(stop))
                try:
                    yield
                finally:
                    stop.set()
        finally:
            self.worker = None
            await leases.close()

    async def balanced(self, made: Subscription, **expected: int) -> None:
        """That the books of a subscription say this, and nothing is missing."""
        balance = await subscription_balance(self.buses, PostgresBooks(self.database), made.id)
        assert balance.holds
        assert {name: getattr(balance, name) for name in expected} == expected

    async def numbers(self) -> list[int]:
        """The numbers of the readings in the table, in the order in which they were written."""
        return [row[0] for row in await self.theirs.run("select (v->>'n')::int from matrix.sensor_data order by ctid")]


async def test_readings_and_events_are_switched_on_each_for_itself(world: World) -> None:
    await world.publish(35)
    await world.happen(3)
    readings = await world.subscribe("sensors")
    async with world.working():
        await world.settled(readings, 35)
        assert (await world.theirs.count(), await world.theirs.count("events")) == (35, 0)
        events = await world.subscribe("events")
        await world.settled(events, 3)
        await world.publish(5)
        await world.settled(readings, 40)
    assert await world.numbers() == list(range(40))
    rows = await world.theirs.run("select event, description from matrix.events order by description")
    assert [tuple(row) for row in rows] == [("INCIDENT_CREATED", str(n)) for n in range(3)]
    await world.balanced(readings, accepted=40, delivered=40, parked=0)
    await world.balanced(events, accepted=3, delivered=3, parked=0)
    attempts = await list_attempts(world.database, world.owner, subscription_id=readings.id, limit=10)
    assert {(one.attempt.http_status, one.attempt.code) for one in attempts} == {(0, "")}
    assert sum(int(one.attempt.answer.split()[0]) for one in attempts) == 40


async def test_a_replay_writes_nothing_twice(world: World) -> None:
    await world.publish(40)
    made = await world.subscribe()
    async with world.working():
        await world.settled(made, 40)
        await ask_replay(world.database, world.owner, made.id, Position(seq=2, item=3))
        world.tell(made)
        await world.wait(made, lambda o: o.progress.replayed == 27 and o.progress.delivered == 67)
    assert await world.numbers() == list(range(40))
    await world.balanced(made, accepted=67, delivered=67, replayed=27)


async def test_a_row_that_is_refused_is_parked_alone_and_can_be_redriven(world: World) -> None:
    await world.theirs.run("alter table matrix.sensor_data add constraint own check ((v->>'n')::int % 20 <> 7)")
    await world.publish(60)
    made = await world.subscribe()
    async with world.working():
        await world.settled(made, 60)
        await world.balanced(made, accepted=60, delivered=57, parked=3)
        parked = await list_parked(world.database, world.owner, made.id, limit=10)
        assert all('violates check constraint "own"' in item.reason for item in parked)
        assert await world.numbers() == [n for n in range(60) if n % 20 != 7]
        assert await world.redrive(made) == 3
        await world.wait(made, lambda o: not o.redrive)
        await world.balanced(made, accepted=60, delivered=57, parked=3)
        await world.theirs.run("alter table matrix.sensor_data drop constraint own")
        assert await world.redrive(made) == 3
        await world.settled(made, 60)
        await world.wait(made, lambda o: not o.progress.parked)
    assert sorted(await world.numbers()) == list(range(60))
    await world.balanced(made, accepted=60, delivered=60, parked=0)


async def test_a_database_that_was_away_gets_everything_once_and_in_order(world: World) -> None:
    made = await world.subscribe()
    async with world.working():
        await world.publish(20)
        await world.settled(made, 20)
        await world.proxy.shut()
        await world.publish(230)
        await world.wait(made, lambda o: o.progress.failures >= 2)
        overview = await world.overview(made)
        assert overview.progress.last_error.startswith(
            f"no connection, or it was cut off, to 127.0.0.1:{world.proxy.port}"
        )
        await world.proxy.listen()
        await world.settled(made, 250)
    assert await world.numbers() == list(range(250))
    await world.balanced(made, accepted=250, delivered=250, parked=0)


async def test_connections_that_are_cut_at_any_point_lose_and_repeat_nothing(world: World) -> None:
    made = await world.subscribe(limits=BatchLimits(items=70, size_bytes=1_000_000))
    async with world.working():
        await world.publish(20)
        await world.settled(made, 20)
        for cut_after in (10, 700, 4_000, 20_000, 50_000):
            world.proxy.cut_after = cut_after
            await world.publish(200)
            await world.settled(made, world.read)
    assert await world.numbers() == list(range(world.read))
    await world.balanced(made, accepted=world.read, delivered=world.read, parked=0)


class Crashing:
    """A sender that is never heard of again once the rows are written."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self.wrote = asyncio.Event()

    async def send(self, push: Push) -> Sent:
        await self._sender.send(push)
        self.wrote.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


@pytest.mark.parametrize("number", [5, 80])
async def test_a_crash_between_the_write_and_the_save_writes_rows_once(world: World, number: int) -> None:
    made = await world.subscribe()
    await world.publish(number)
    crashing = Crashing(world.sender)
    work = asyncio.create_task(_until_cancelled(world, crashing))
    async with asyncio.timeout(20):
        await crashing.wrote.wait()
    work.cancel()
    await asyncio.wait([work])
    assert await world.theirs.count() == number
    assert (await world.overview(made)).progress.delivered == 0
    async with world.database.connection() as connection:
        await connection.execute("delete from workers")  # as if its lease had run out
        await connection.execute("update subscription_progress set owner = null")
    async with world.working():
        await world.publish(10)
        await world.settled(made, number + 10)
    assert await world.numbers() == list(range(number + 10))
    await world.balanced(made, accepted=number + 10, delivered=number + 10)


async def _until_cancelled(world: World, sender: Sender) -> None:
    async with world.working(sender):
        await asyncio.Event().wait()


async def test_a_password_that_was_changed_on_both_sides_goes_on(world: World) -> None:
    made = await world.subscribe()
    user = world.theirs.record.server.user
    async with world.working():
        await world.publish(10)
        await world.settled(made, 10)
        await world.theirs.run(f"alter role {user} password 'another-one'")
        try:
            world.proxy.cut()
            await world.publish(10)
            await world.wait(made, lambda o: "no login at" in o.progress.last_error)
            record = await world.records.show(DATABASE, world.owner)
            await world.records.save(replace(record, server=replace(record.server, password=Secret("another-one"))))
            await world.settled(made, 20)
        finally:
            await world.theirs.run(f"alter role {user} password '{world.theirs.record.server.password.reveal()}'")
    assert await world.numbers() == list(range(20))


async def test_a_table_that_was_dropped_is_told_clearly_and_goes_on_when_it_is_back(world: World) -> None:
    made = await world.subscribe()
    async with world.working():
        await world.publish(10)
        await world.settled(made, 10)
        await world.theirs.run("drop table matrix.sensor_data")
        await world.publish(10)
        await world.wait(made, lambda o: o.progress.failures >= 5)
        overview = await world.overview(made)
        now = overview.progress.retry_at
        assert now is not None
        assert health_of(overview.subscription, overview.progress, now) == "failing"
        assert 'relation "matrix.sensor_data" does not exist' in overview.progress.last_error
        assert overview.progress.parked == 0
        await world.theirs.make_schema()
        await world.settled(made, 20)
        assert health_of(made, (await world.overview(made)).progress, now) == "healthy"
    assert await world.numbers() == list(range(10, 20))
    await world.balanced(made, accepted=20, delivered=20, parked=0)


# --- what a subscription may lead to ---


async def another(world: World) -> tuple[PropertyId, CustomerDatabase]:
    """Another property and its database."""
    site = make_site(1, seed=next(SEEDS))
    await apply_site(world.database, site, remove=False)
    record = replace(world.theirs.record, id=DatabaseId("db_f0"), property_id=site.property.id, name="other")
    return site.property.id, await world.records.add(record)


async def test_a_subscription_leads_to_a_database_of_its_own_property_only(world: World) -> None:
    _, foreign = await another(world)
    for database_id in (foreign.id, DatabaseId("db_0")):
        destination = Destination(url=database_url(database_id), kind="postgres")
        with pytest.raises(InvalidValue, match="has no database") as refused:
            await check_reach(world.database, world.owner, destination, Notify(), allowed_to_all=())
        assert refused.value.fields == (("database", "is no database of this property"),)
        with pytest.raises(NotFound):  # whatever a face forgets, the store holds
            await world.subscribe(destination=destination)
    made = await world.subscribe()
    await check_reach(world.database, world.owner, made.destination, Notify(), allowed_to_all=())
    with pytest.raises(NotFound):
        await update_subscription(
            world.database, CODEC, replace(made, destination=Destination(url=foreign.url, kind="postgres"))
        )


async def test_notices_do_not_go_to_a_database(world: World) -> None:
    made = await world.subscribe()
    with pytest.raises(InvalidValue, match="takes no notices"):
        await check_reach(
            world.database,
            world.owner,
            Destination(url="https://example.org/"),
            Notify(subscription_id=made.id),
            allowed_to_all=(),
            own_id=SubscriptionId("sub_other"),
        )


async def test_what_a_database_has_no_use_for_is_refused_by_the_store_too(world: World) -> None:
    key = SigningKey(id="key_1", kind="v1", secret=Secret("whsec_x"), created_at=world.theirs.record.created_at)
    for parts in ({"form": Format(gzip=True)}, {"form": Format(body="cloudevents")}, {"signing": (key,)}):
        with pytest.raises(InvalidValue):
            await world.subscribe(**parts)
