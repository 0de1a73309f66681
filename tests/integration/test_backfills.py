"""Backfills on real engines: whatever happens, the customer's database has what the stream had, each of it once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import msgspec
import pytest
import pytest_asyncio
from tests.databases import Theirs, customer_database
from tests.engines import Dsns, SharedEngines
from tests.integration.killing import preload, proxied, run_until
from tests.readings import Writer

from matrixhub.bus import NatsBus, StreamSettings, open_buses
from matrixhub.databases.rows import reading_row
from matrixhub.databases.writing import write_rows
from matrixhub.deliveries import Worker, WorkerSettings
from matrixhub.deliveries.destinations.postgres import open_postgres_sender
from matrixhub.deliveries.destinations.reaching import Reaching
from matrixhub.lifecycle import SystemClock
from matrixhub.model.application import Quota
from matrixhub.model.backfill import DAY_MS, Backfill
from matrixhub.model.database import CustomerDatabase, database_url
from matrixhub.model.destination import Destination
from matrixhub.model.egress import Allowance
from matrixhub.model.errors import BackfillUnderWay, InvalidValue, NotFound, WrongState
from matrixhub.model.event import LITERAL
from matrixhub.model.ids import DatabaseId, PropertyId, SubscriptionId, WorkerId, new_id
from matrixhub.model.policy import BatchLimits
from matrixhub.model.reading_line import Splitter
from matrixhub.model.site import Site, Slot
from matrixhub.model.subscription import Filter, Position, Source, Subscription
from matrixhub.modules.events import publish_events, register_application
from matrixhub.modules.telemetry import backfills as asking
from matrixhub.modules.work import Platform
from matrixhub.observe import BackfillCopied, BackfillDone, BackfillFailed, BackfillRefused, BackfillWaits, Fact, ignore
from matrixhub.ports import Bounds
from matrixhub.sources.sites import make_site
from matrixhub.store import Database, open_database
from matrixhub.store.backfills import Backfills
from matrixhub.store.databases import Databases
from matrixhub.store.duty import STORE_DUTY, PostgresDuty
from matrixhub.store.egress import allow_egress
from matrixhub.store.leases import PostgresLeases
from matrixhub.store.readings import PostgresReadingPartitions, PostgresReadings
from matrixhub.store.sealing import Sealer
from matrixhub.store.sites import apply_site
from matrixhub.store.subscriptions import Codec, create_subscription, delete_subscription, set_state, show_subscription
from matrixhub.telemetry import Backfiller, Keeper, KeeperSettings, backfiller

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEALER = Sealer("0f" * 32)
CODEC = Codec(sealer=SEALER)
NOON = datetime(2024, 3, 10, 12, tzinfo=UTC)
NOON_MS = round(NOON.timestamp() * 1000)
SEEDS = itertools.count(1)
WRITER = Writer()


class Stream:
    """The port `Bus` as far as backfills ask it: how far the stream goes."""

    def __init__(self) -> None:
        self.last_seq = 0

    async def bounds(self) -> Bounds:
        return Bounds(1, self.last_seq)


@dataclass(slots=True)
class Hub:
    """A property with a customer's database to which a subscription leads."""

    database: Database
    site: Site
    theirs: Theirs
    record: CustomerDatabase
    subscription: Subscription
    facts: list[Fact]
    stream: Any
    dsns: Dsns
    clock: Any = field(default_factory=SystemClock)
    instants: set[tuple[str, int]] = field(default_factory=set)

    @property
    def backfills(self) -> Backfills:
        return Backfills(self.database)

    @property
    def property_id(self) -> PropertyId:
        return self.site.property.id

    def wish(self, **more: Any) -> asking.Wish:
        return asking.Wish(property_id=self.property_id, database_id=self.record.id, **more)

    async def ask(self, **more: Any) -> Backfill:
        return await asking.start_backfill(self.database, self.wish(**more))

    def backfiller(self) -> Backfiller:
        reaching = Reaching(self.dsns.socket, Allowance.of(["127.0.0.0/8"]))
        databases = Databases(self.database, SEALER)
        return Backfiller(self.database, databases, self.stream, reaching.connected, self.clock, self.facts.append)

    async def step(self) -> None:
        """One turn of one backfill, and no waiting for those that rest."""
        await self.run("update backfills set retry_at = null")
        assert await self.backfiller().step(asyncio.Event())

    async def finish(self, made: Backfill) -> Backfill:
        """Turns until it is over."""
        for _ in range(50):
            found = await self.show(made)
            if found.state in ("done", "failed"):
                return found
            await self.step()
        raise AssertionError(found)

    async def show(self, made: Backfill) -> Backfill:
        return await self.backfills.show(self.property_id, made.id)

    async def run(self, statement: str, *arguments: object) -> list[Any]:
        async with self.database.connection() as connection:
            return list(await connection.fetch(statement, *arguments))

    async def keep(self, slots: Sequence[Slot], instants: Sequence[int], **more: Any) -> list[bytes]:
        """Readings of the stream that are in the store."""
        lines = [WRITER.line(slot, ms, {"p": 1, "count": n}) for slot in slots for n, ms in enumerate(instants)]
        await self.keep_lines(lines)
        return lines

    async def keep_lines(self, lines: Sequence[bytes]) -> None:
        readings, splitter = PostgresReadings(self.database), Splitter()
        position = await self.position()
        self.stream.last_seq = max(self.stream.last_seq, position) + 1
        days = {datetime.fromtimestamp(splitter.split(line).instant_ms / 1000, UTC) for line in lines}
        await PostgresReadingPartitions(self.database).make(days)
        kept = [splitter.split(line) for line in lines]
        assert await readings.store(kept, [], after_seq=position, to_seq=self.stream.last_seq) is not None

    async def position(self) -> int:
        """The last message that is stored."""
        await self.run("insert into telemetry_progress (source, seq) values ('sensors', 0) on conflict do nothing")
        return int((await self.run("select seq from telemetry_progress"))[0][0])

    async def deliver(self, lines: Sequence[bytes]) -> None:
        """What the live flow does with readings."""
        connection = await asyncpg.connect(self.theirs.dsns.socket)
        try:
            await write_rows(connection, "sensors", [reading_row(line) for line in lines])
        finally:
            await connection.close()

    async def theirs_has(self) -> set[tuple[str, int]]:
        """Slot and instant of every row of the customer's."""
        rows = await self.theirs.run("select devid, unixt from matrix.sensor_data")
        assert len(rows) == len({tuple(row) for row in rows})
        return {tuple(row) for row in rows}


def known(lines: Sequence[bytes]) -> set[tuple[str, int]]:
    """Slot and instant of readings."""
    return {(found["DEVID"], found["unixT"]) for found in map(msgspec.json.decode, lines)}


@pytest.fixture(scope="module", autouse=True)
def ready() -> None:
    """Processes start fast."""
    preload(__name__)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dsns(shared_engines: SharedEngines) -> Dsns:
    return await shared_engines.new_database()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(dsns: Dsns) -> AsyncIterator[Database]:
    async with open_database(dsns.socket, connections_max=5) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def theirs(shared_engines: SharedEngines) -> AsyncIterator[Theirs]:
    async with customer_database(shared_engines) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def hub(dsns: Dsns, database: Database, theirs: Theirs) -> Hub:
    """A hub with nothing in its store, and nothing in the customer's database."""
    async with database.connection() as connection:
        await connection.execute("truncate readings, databases, subscriptions cascade")
        await connection.execute("delete from telemetry_progress")
    await theirs.run("truncate matrix.sensor_data, matrix.events")
    site = make_site(4, seed=next(SEEDS))
    await apply_site(database, site, remove=False)
    record = replace(theirs.record, id=DatabaseId(new_id("db")), property_id=site.property.id)
    record = await Databases(database, SEALER).add(record)
    made = await subscribe(database, record, Filter())
    return Hub(database, site, theirs, record, made, [], Stream(), dsns)


async def subscribe(database: Database, record: CustomerDatabase, wanted: Filter, *, seq: int = 1) -> Subscription:
    return await create_subscription(
        database,
        CODEC,
        record.property_id,
        name="live",
        wanted=wanted,
        destination=Destination(url=database_url(record.id), kind="postgres"),
        limits=BatchLimits(),
        position=Position(seq=seq),
    )


def instants(count: int, *, days: int = 0) -> list[int]:
    """Instants from noon on, spread over days, or over an hour."""
    return [NOON_MS + n * ((days * DAY_MS or DAY_MS // 24) // count) for n in range(count)]


# --- what is copied ---


async def test_everything_that_was_kept_is_copied_once_across_days(hub: Hub) -> None:
    lines = await hub.keep(hub.site.slots, [NOON_MS, *instants(50, days=3), NOON_MS + 30 * DAY_MS])
    done = await hub.finish(await hub.ask(rate=100_000))
    assert await hub.theirs_has() == known(lines)
    assert (done.state, done.written, done.present, done.refused) == ("done", len(known(lines)), 0, 0)
    assert (done.estimate.items, done.estimate.exact, done.done_pct) == (len(known(lines)), True, 100.0)
    assert [fact.written for fact in hub.facts if isinstance(fact, BackfillDone)] == [done.written]


async def test_rows_are_those_that_the_live_flow_would_write(hub: Hub) -> None:
    line = WRITER.line(hub.site.slots[0], NOON_MS, {"p": 1, "count": 2.0})
    odd = line.replace(b'{"', b'{ "', 1).replace(str(NOON_MS).encode(), str(NOON_MS + 1).encode())
    await hub.keep_lines([line, odd])
    assert (await hub.run("select count(line) from readings"))[0][0] == 1  # the odd one is kept whole
    await hub.finish(await hub.ask())
    found = [tuple(row) for row in await hub.theirs.run("select * from matrix.sensor_data order by time")]
    await hub.theirs.run("delete from matrix.sensor_data")
    await hub.deliver([line, odd])
    assert found == [tuple(row) for row in await hub.theirs.run("select * from matrix.sensor_data order by time")]
    assert len(found) == 2


async def test_a_time_begins_with_its_first_instant_and_ends_before_its_last(hub: Hub) -> None:
    midnight = NOON_MS + DAY_MS // 2
    await hub.keep(hub.site.slots[:1], [midnight - 1, midnight, midnight + DAY_MS - 1, midnight + DAY_MS])
    since = NOON.replace(hour=0) + timedelta(days=1)
    await hub.finish(await hub.ask(since=since, until=since + timedelta(days=1)))
    assert {ms for _, ms in await hub.theirs_has()} == {midnight, midnight + DAY_MS - 1}


async def test_a_time_without_readings_is_done_at_once(hub: Hub) -> None:
    await hub.keep(hub.site.slots[:1], [NOON_MS])
    made = await hub.ask(since=NOON + timedelta(days=2), until=NOON + timedelta(days=90))
    assert made.estimate.items == 0
    done = await hub.finish(made)
    assert (done.state, done.copied, await hub.theirs_has()) == ("done", 0, set())


async def test_only_what_the_subscription_wants_is_copied(hub: Hub) -> None:
    slot = hub.site.slots[0]
    made = await subscribe(hub.database, hub.record, Filter(devtypes=frozenset({slot.devtype})))
    lines = await hub.keep(hub.site.slots, [NOON_MS])
    of_type = {one.id for one in hub.site.slots if one.devtype == slot.devtype}
    assert len(of_type) < len(hub.site.slots)
    done = await hub.finish(await hub.ask(subscription_id=made.id))
    assert await hub.theirs_has() == {one for one in known(lines) if one[0] in of_type}
    assert done.estimate.items == len(of_type)


async def test_readings_that_no_day_was_made_for_are_copied_too(hub: Hub) -> None:
    line = WRITER.line(hub.site.slots[0], NOON_MS - 400 * DAY_MS, {"p": 1})
    splitter, readings = Splitter(), PostgresReadings(hub.database)
    hub.stream.last_seq = await hub.position() + 1
    await readings.store([splitter.split(line)], [], after_seq=hub.stream.last_seq - 1, to_seq=hub.stream.last_seq)
    assert (await hub.run("select count(*) from readings_default"))[0][0] == 1
    await hub.finish(await hub.ask())
    assert await hub.theirs_has() == known([line])


async def test_a_reading_that_the_customers_database_cannot_have_is_counted_and_left_out(hub: Hub) -> None:
    bad = WRITER.line(hub.site.slots[0], NOON_MS, {"p": 1, "t": "a\x00b"})
    good = WRITER.line(hub.site.slots[0], NOON_MS + 1, {"p": 1})
    await hub.keep_lines([bad, good])
    done = await hub.finish(await hub.ask())
    assert (done.state, done.written, done.refused) == ("done", 1, 1)
    assert "NUL" in done.last_error
    assert [fact.items for fact in hub.facts if isinstance(fact, BackfillRefused)] == [1]


async def test_rows_that_a_rule_of_the_customers_refuses_are_counted_and_the_others_written(hub: Hub) -> None:
    lines = await hub.keep(hub.site.slots[:1], instants(200))
    await hub.theirs.run("alter table matrix.sensor_data add constraint his check ((v->>'count')::int % 2 = 0)")
    try:
        done = await hub.finish(await hub.ask(rate=100_000))
    finally:
        await hub.theirs.run("alter table matrix.sensor_data drop constraint his")
    assert (done.state, done.written, done.refused, len(lines)) == ("done", 100, 100, 200)
    assert "his" in done.last_error


async def test_events_of_the_log_are_copied_as_their_patterns_say(hub: Hub) -> None:
    platform = Platform(database=hub.database, clock=SystemClock())
    application = await register_application(platform, hub.property_id, f"app-{next(SEEDS)}", name="", quota=Quota())
    items = [
        {"Event": name, "Priority": "LOW", "Description": str(n), "Meta": {}}
        for n, name in enumerate(["TRIED", "DONE", "TRIED"])
    ]
    for item in items:
        await publish_events(platform, hub.property_id, application.id, [item])
    await subscribe(hub.database, hub.record, Filter(source="events", patterns=frozenset({f"{LITERAL}.*.*.TRIED.*"})))
    made = await hub.ask(source="events", rate=1)
    assert made.estimate.items == 2
    done = await hub.finish(made)
    found = await hub.theirs.run("select description from matrix.events order by 1")
    assert ([row[0] for row in found], done.written, done.state) == (["0", "2"], 2, "done")


# --- beside the live flow ---


async def test_a_backfill_waits_until_the_store_has_everything_that_came_before(hub: Hub) -> None:
    before = await hub.keep(hub.site.slots, instants(3))
    hub.stream.last_seq += 5  # of which the store has nothing yet
    made = await hub.ask()
    await hub.step()
    found = await hub.show(made)
    assert (found.state, found.waiting) == ("asked", "the store keeps 5 messages first")
    assert await hub.theirs_has() == set()
    await hub.run("update telemetry_progress set seq = seq + 4")
    behind = await hub.keep(hub.site.slots, instants(3, days=2)[1:])  # the last of the five
    hub.stream.last_seq = found.through
    assert (await hub.finish(made)).state == "done"
    assert await hub.theirs_has() == known([*before, *behind])


async def test_what_both_the_live_flow_and_the_backfill_bring_is_there_once(hub: Hub) -> None:
    lines = await hub.keep(hub.site.slots, instants(20))
    await hub.deliver(lines[10:30])
    done = await hub.finish(await hub.ask(rate=100_000))
    assert await hub.theirs_has() == known(lines)
    assert (done.written, done.present) == (len(lines) - 20, 20)


async def test_what_comes_while_it_runs_does_not_keep_it_from_its_end(hub: Hub) -> None:
    lines = await hub.keep(hub.site.slots[:1], instants(30))
    hub.clock = Ticking()
    made = await hub.ask(rate=10)
    await hub.step()
    until = (await hub.show(made)).until
    assert until == NOON + timedelta(milliseconds=instants(30)[-1] - NOON_MS + 1)
    late = await hub.keep(hub.site.slots[:1], [NOON_MS - 5, NOON_MS + 20 * DAY_MS])
    done = await hub.finish(made)
    await hub.deliver(late)
    assert await hub.theirs_has() == known([*lines, *late])
    assert done.copied <= len(lines) + 1


async def test_a_paused_subscription_does_not_hold_a_backfill_and_one_with_a_backlog_does(hub: Hub) -> None:
    await hub.keep(hub.site.slots, instants(3))
    made = await hub.ask()
    await hub.run("update subscription_progress set accepted = 30000 where subscription_id = $1", hub.subscription.id)
    await hub.step()
    assert (await hub.show(made)).waiting == "30,000 readings wait to be delivered live"
    await set_state(hub.database, hub.property_id, hub.subscription.id, "paused")
    assert (await hub.finish(made)).state == "done"


async def test_a_backfill_makes_way_for_a_store_that_is_behind(hub: Hub) -> None:
    await hub.keep(hub.site.slots, instants(3))
    made = await hub.ask()
    await hub.run("update backfills set state = 'running', through = 1, begun_at = now()")
    hub.stream.last_seq += 5_000
    await hub.step()
    assert (await hub.show(made)).waiting == "the store is 5,000 messages behind"
    assert await hub.theirs_has() == set()


async def test_without_its_subscription_a_backfill_ends_because_there_would_be_a_gap(hub: Hub) -> None:
    await hub.keep(hub.site.slots, instants(3))
    made = await hub.ask()
    await delete_subscription(hub.database, hub.property_id, hub.subscription.id)
    failed = await hub.finish(made)
    assert (failed.state, hub.subscription.id in failed.last_error) == ("failed", True)
    assert [fact.backfill for fact in hub.facts if isinstance(fact, BackfillFailed)] == [made.id]


async def test_beside_the_whole_hub_at_work_every_reading_of_the_stream_is_there_once(
    hub: Hub, shared_engines: SharedEngines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfiller, "IDLE_S", 0.05)
    monkeypatch.setattr(backfiller, "WAIT_S", 0.05)
    await shared_engines.remove_streams()
    await hub.run("update stream_floors set seq = 1")
    rng, sent = random.Random(7), set[tuple[str, int]]()

    async def publish(bus: NatsBus, messages: int) -> None:
        """Readings of five days in any order, some of them again."""
        for _ in range(messages):
            slot = rng.choice(hub.site.slots)
            readings = [(NOON_MS + rng.randrange(5 * 720) * 120_000, {"p": 1}) for _ in range(25)]
            sent.update((slot.id, instant) for instant, _ in readings)
            assert await bus.publish([WRITER.message(slot, readings)]) == [None]

    async with open_buses(shared_engines.nats_url, StreamSettings(), ignore) as buses:
        bus = hub.stream = buses["sensors"]
        await publish(bus, 40)
        await delete_subscription(hub.database, hub.property_id, hub.subscription.id)
        live = await subscribe(hub.database, hub.record, Filter(), seq=41)
        made = await hub.ask(rate=100_000)
        async with at_work(hub, buses):
            await publish(bus, 60)
            async with asyncio.timeout(60):
                while True:
                    if (await hub.show(made)).state == "done" and await position(hub, live) > 100:
                        break
                    await asyncio.sleep(0.02)
    assert await hub.theirs_has() == sent
    done = await hub.show(made)
    assert done.through is not None
    assert done.through >= 40
    assert done.refused == 0


@contextlib.asynccontextmanager
async def at_work(hub: Hub, buses: Mapping[Source, NatsBus]) -> AsyncIterator[None]:
    """Store, deliveries and backfills at work until the block ends."""
    await allow_egress(hub.database, hub.property_id, "127.0.0.0/8")
    duty = PostgresDuty(hub.dsns.socket, STORE_DUTY)
    readings, partitions = PostgresReadings(hub.database), PostgresReadingPartitions(hub.database)
    kept = KeeperSettings(batch_items=200, batch_bytes=1 << 20, retention_s=10_000 * 86_400.0)
    keeper = Keeper(buses["sensors"], readings, partitions, duty, SystemClock(), ignore, kept)
    reaching, leases = Reaching(hub.dsns.socket, Allowance()), PostgresLeases(hub.database, CODEC, ignore)
    settings = WorkerSettings(lease_s=5.0, buffer_bytes=1_000_000, read_bytes=100_000)
    databases = Databases(hub.database, SEALER)
    async with open_postgres_sender(databases, reaching, SystemClock()) as sender:
        worker = Worker(WorkerId(f"wrk_{next(SEEDS)}"), settings, buses, leases, sender, SystemClock(), ignore)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for run in (keeper.run, worker.run, hub.backfiller().run):
                group.create_task(run(stop))
            try:
                yield
            finally:
                stop.set()
    await leases.close()


async def position(hub: Hub, live: Subscription) -> int:
    """The next message that a subscription delivers."""
    return (await show_subscription(hub.database, CODEC, hub.property_id, live.id)).progress.position.seq


# --- faults ---


async def test_a_database_that_is_away_is_tried_again_ever_later_and_nothing_is_lost(hub: Hub) -> None:
    lines = await hub.keep(hub.site.slots, instants(3))
    databases = Databases(hub.database, SEALER)
    away = await databases.save(replace(hub.record, server=replace(hub.record.server, port=1)))
    made = await hub.ask()
    for _ in range(3):
        await hub.step()
    found = await hub.show(made)
    assert (found.state, found.failures) == ("running", 3)
    assert "127.0.0.1:1" in found.last_error
    assert found.retry_at is not None
    waits = [fact for fact in hub.facts if isinstance(fact, BackfillWaits)]
    assert [fact.retry_in_s for fact in waits] == [1.0, 2.0, 4.0]
    await databases.save(replace(away, server=hub.record.server))
    done = await hub.finish(made)
    assert (done.state, done.failures, await hub.theirs_has()) == ("done", 0, known(lines))


async def test_a_table_that_is_dropped_in_the_middle_is_told_and_filled_once_it_is_back(hub: Hub) -> None:
    lines = await hub.keep(hub.site.slots[:1], instants(30))
    hub.clock = Ticking(stop_after=2)
    made = await hub.ask(rate=10)
    await hub.step()
    assert (await hub.show(made)).written == 20
    hub.clock = Ticking()
    await hub.theirs.run("alter table matrix.sensor_data rename to gone")
    await hub.step()
    found = await hub.show(made)
    assert (found.state, found.failures, found.written) == ("running", 1, 20)
    assert "sensor_data" in found.last_error
    await hub.theirs.run("alter table matrix.gone rename to sensor_data")
    assert (await hub.finish(made)).written == 30
    assert await hub.theirs_has() == known(lines)


async def test_a_backfill_goes_on_where_it_was_when_its_process_ends(hub: Hub) -> None:
    await hub.keep(hub.site.slots[:1], instants(30))
    made = await hub.ask(rate=10)
    for written in (10, 20, 30):
        hub.clock = Ticking(stop_after=1)
        await hub.step()
        found = await hub.show(made)
        assert (found.written, found.present) == (written, 0)
    assert [fact.written for fact in hub.facts if isinstance(fact, BackfillCopied)] == [10, 10, 10]


async def test_no_more_rows_come_in_a_second_than_were_asked_for(hub: Hub) -> None:
    await hub.keep(hub.site.slots[:1], instants(30))
    hub.clock = Ticking()
    await hub.finish(await hub.ask(rate=10))
    assert hub.clock.monotonic() == pytest.approx(2.0)  # the last ten need no rest behind them


async def test_a_turn_that_lasts_is_given_back_so_that_others_have_theirs(hub: Hub) -> None:
    await hub.keep(hub.site.slots[:1], instants(200, days=1))
    hub.clock = Ticking()
    first, second = (
        await hub.ask(rate=2, until=NOON + timedelta(hours=12)),
        await hub.ask(rate=2, since=NOON + timedelta(hours=12)),
    )
    await hub.step()
    await hub.step()
    assert (await hub.show(first)).written == (await hub.show(second)).written == 60


async def test_a_backfill_that_is_paused_stops_and_goes_on_from_there(hub: Hub) -> None:
    lines = await hub.keep(hub.site.slots[:1], instants(30))
    made = await hub.ask(rate=10)
    hub.clock = Ticking(meanwhile=lambda: hub.backfills.pause(hub.property_id, made.id))
    await hub.step()
    found = await hub.show(made)
    assert (found.state, found.written) == ("paused", 10)
    assert not await hub.backfiller().step(asyncio.Event())
    with pytest.raises(WrongState):
        await hub.backfills.pause(hub.property_id, made.id)
    assert (await hub.backfills.resume(hub.property_id, made.id)).state == "running"
    hub.clock = Ticking()
    assert (await hub.finish(made)).copied == 30
    assert await hub.theirs_has() == known(lines)


async def test_a_backfill_that_is_cancelled_stops_and_leaves_what_it_wrote(hub: Hub) -> None:
    await hub.keep(hub.site.slots[:1], instants(30))
    made = await hub.ask(rate=10)
    hub.clock = Ticking(meanwhile=lambda: hub.backfills.cancel(hub.property_id, made.id))
    await hub.step()
    found = await hub.show(made)
    assert (found.state, found.copied, found.ended_at is not None) == ("cancelled", 10, True)
    assert len(await hub.theirs_has()) >= 10
    for act in (hub.backfills.resume, hub.backfills.cancel):
        with pytest.raises(WrongState):
            await act(hub.property_id, made.id)


async def test_a_database_that_is_removed_takes_its_backfills_with_it(hub: Hub) -> None:
    await hub.keep(hub.site.slots, instants(3))
    made = await hub.ask()
    await delete_subscription(hub.database, hub.property_id, hub.subscription.id)
    await Databases(hub.database, SEALER).remove(hub.record.id, hub.property_id)
    with pytest.raises(NotFound):
        await hub.show(made)


async def test_two_workers_that_believe_to_have_the_same_backfill_do_no_harm(hub: Hub) -> None:
    lines = await hub.keep(hub.site.slots, instants(40))
    made = await hub.ask(rate=16)

    async def another_takes_it() -> None:
        await hub.run("update backfills set lease_until = null")  # the first one was silent for too long
        other = replace(hub, clock=Ticking(stop_after=3))
        await other.step()

    hub.clock = Ticking(meanwhile=another_takes_it)
    await hub.step()
    found = await hub.show(made)
    assert (found.copied, found.present) == (16 * 4, 0)  # what the first one did since is not counted
    hub.clock = Ticking()
    done = await hub.finish(made)
    assert await hub.theirs_has() == known(lines)
    assert (done.written, done.present) == (len(lines), 0)


async def test_several_workers_share_what_is_asked_for(hub: Hub) -> None:
    lines = await hub.keep(hub.site.slots, instants(40, days=4))
    hub.clock = Ticking()
    starts = [NOON + timedelta(days=n) for n in range(5)]
    asked = [await hub.ask(since=since, until=until) for since, until in itertools.pairwise(starts)]
    steps = [hub.backfiller().step(asyncio.Event()) for _ in asked]
    assert await asyncio.gather(*steps) == [True] * len(asked)
    assert [(await hub.show(one)).state for one in asked] == ["done"] * len(asked)
    assert await hub.theirs_has() == known(lines)


# --- killed ---


async def test_a_backfill_that_is_killed_at_any_step_beside_the_live_flow_leaves_what_the_stream_had(hub: Hub) -> None:
    rng = random.Random(20240310)
    lines = await hub.keep(hub.site.slots, instants(150, days=3))
    made = await hub.ask(rate=100_000)
    ended = 0
    async with proxied(hub.dsns.of(urlsplit(hub.dsns.tcp).path[1:]).tcp) as proxy:
        for _ in range(6):
            step = rng.randrange(10, 90)
            ended += await run_until(proxy, step, work, hub.stream.last_seq)
            late = await hub.keep([rng.choice(hub.site.slots)], [NOON_MS + rng.randrange(4 * DAY_MS)])
            await hub.deliver(late)
            lines += late
            await hub.run("update backfills set lease_until = null, retry_at = null")
        assert ended < 6  # it was killed at least once
        assert await run_until(proxy, 10**9, work, hub.stream.last_seq)
    done = await hub.show(made)
    assert (done.state, await hub.theirs_has()) == ("done", known(lines))


def work(dsn: str, last_seq: int) -> None:
    """Backfill until nothing is left; run in a process of its own."""
    asyncio.run(_work(dsn, last_seq))


async def _work(dsn: str, last_seq: int) -> None:
    stream = Stream()
    stream.last_seq = last_seq
    async with open_database(dsn, connections_max=2) as database:
        reaching = Reaching(dsn, Allowance.of(["127.0.0.0/8"]))
        databases = Databases(database, SEALER)
        made = Backfiller(database, databases, stream, reaching.connected, SystemClock(), ignore)  # type: ignore[arg-type]
        while await made.step(asyncio.Event()):
            pass


# --- what is asked ---


async def test_what_cannot_be_is_refused_when_it_is_asked_for(hub: Hub) -> None:
    with pytest.raises(InvalidValue, match="ends before it begins"):
        await hub.ask(since=NOON, until=NOON)
    with pytest.raises(InvalidValue, match="rate is 1"):
        await hub.ask(rate=0)
    with pytest.raises(InvalidValue, match="no such subscription to events"):
        await hub.ask(source="events")
    with pytest.raises(InvalidValue, match="no such subscription"):
        await hub.ask(subscription_id=SubscriptionId("sub_0"))
    with pytest.raises(NotFound):
        await asking.start_backfill(hub.database, replace(hub.wish(), property_id=PropertyId("other")))
    await subscribe(hub.database, hub.record, Filter())
    with pytest.raises(InvalidValue, match="several subscriptions"):
        await hub.ask()
    assert (await hub.ask(subscription_id=hub.subscription.id)).subscription_id == hub.subscription.id


async def test_a_second_backfill_of_the_same_time_is_refused_until_the_first_is_over(hub: Hub) -> None:
    first = await hub.ask(until=NOON)
    with pytest.raises(BackfillUnderWay, match=first.id):
        await hub.ask(until=NOON)
    await hub.ask(since=NOON)  # another time
    await hub.backfills.cancel(hub.property_id, first.id)
    second = await hub.ask(until=NOON)
    assert (await hub.backfills.list(hub.property_id, limit=10))[0].id == second.id


class Ticking:
    """The port `Clock` of a test: waiting takes no time, but counts. `stop_after` waits, the process is to stop."""

    def __init__(self, *, stop_after: int = 0, meanwhile: Callable[[], Any] | None = None) -> None:
        self._now = 0.0
        self._stop_after = stop_after
        self._meanwhile = meanwhile

    def now_ms(self) -> int:
        return NOON_MS + round(self._now * 1000)

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self._now += seconds

    async def wait(self, event: asyncio.Event, timeout_s: float) -> bool:
        self._now += timeout_s
        if self._meanwhile is not None:
            meanwhile, self._meanwhile = self._meanwhile, None
            await meanwhile()
        self._stop_after -= 1
        if self._stop_after == 0:
            event.set()
        return event.is_set()
