"""The balance on real engines: exact while everything moves, after every crash, and red when somebody breaks it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from tests.engines import SharedEngines

from matrixhub.bus import NatsBus, StreamSettings, open_buses
from matrixhub.bus.subjects import filter_matcher, filter_pattern, sensor_subject
from matrixhub.deliveries.auditor import Auditor
from matrixhub.deliveries.balance import subscription_balance, take_balances
from matrixhub.deliveries.pending import count_pending
from matrixhub.deliveries.retention import Retention, RetentionSettings
from matrixhub.lifecycle import SystemClock
from matrixhub.model.balance import Account, Balance
from matrixhub.model.delivery import ParkedItem, time_ordered_id
from matrixhub.model.destination import Destination
from matrixhub.model.errors import NotFound, StoreError
from matrixhub.model.ids import BuildingId, PropertyId, SubscriptionId, WorkerId, ZoneId
from matrixhub.model.policy import BatchLimits
from matrixhub.model.subscription import Filter, Position, Source, Subscription
from matrixhub.observe import (
    BalanceBroken,
    BalanceMeasured,
    BalanceRestored,
    BalancesForgotten,
    Fact,
    Metrics,
    PartitionsKept,
    ReadingsExpired,
    StreamPurged,
    ignore,
)
from matrixhub.ports import Advance, Books, Bus, Counted, Message, Outgoing
from matrixhub.sources.sites import make_site
from matrixhub.store import Database, open_database
from matrixhub.store.books import PostgresBooks
from matrixhub.store.duty import AUDIT_DUTIES, PostgresDuty
from matrixhub.store.leases import PostgresLeases
from matrixhub.store.partitions import PostgresPartitions
from matrixhub.store.readings import PostgresReadings
from matrixhub.store.sealing import Sealer
from matrixhub.store.sites import apply_site
from matrixhub.store.subscriptions import Codec, create_subscription, set_state, update_subscription
from matrixhub.testing.fakes import FakeClock

pytestmark = pytest.mark.asyncio(loop_scope="module")

CODEC = Codec(sealer=Sealer("0f" * 32))
WORKER = WorkerId("wrk_1")
TABLES = "organisations, subscriptions, subscription_progress, workers, attempts, parked, replays"
BUILDINGS, TYPES, ZONES = ("b1", "b2", "b3"), ("X#A", "X#B"), ("z1", "z2")
DAY_S = 86_400.0
SETTINGS = RetentionSettings(
    stream_s=8 * DAY_S, pending_s=90 * DAY_S, attempts_s=14 * DAY_S, parked_s=90 * DAY_S, events_s=180 * DAY_S
)
FILTERS = (
    Filter(),
    Filter(buildings=frozenset({BuildingId("b1")})),
    Filter(buildings=frozenset({BuildingId("b1"), BuildingId("b3")}), devtypes=frozenset({"X#A"})),
    Filter(zones=frozenset({ZoneId("z2")})),
    Filter(buildings=frozenset({BuildingId("b2")}), zones=frozenset({ZoneId("z1"), ZoneId("none")})),
)
_numbers = itertools.count()


class Engines:
    """Where both engines of this module are."""

    def __init__(self, postgres: str, nats_url: str) -> None:
        self.postgres, self.nats = postgres, nats_url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engines(shared_engines: SharedEngines) -> Engines:
    return Engines((await shared_engines.new_database()).socket, shared_engines.nats_url)


@pytest_asyncio.fixture(loop_scope="module")
async def world(engines: Engines, shared_engines: SharedEngines) -> AsyncIterator[World]:
    """A property without subscriptions, and an empty stream."""
    await shared_engines.remove_streams()
    async with (
        open_database(engines.postgres, connections_max=6) as database,
        open_buses(engines.nats, StreamSettings(), ignore) as buses,
    ):
        async with database.connection() as connection:
            await connection.execute(f"truncate {TABLES} cascade")
            await connection.execute("update stream_floors set seq = 1")
        site = make_site(3)
        await apply_site(database, site, remove=False)
        leases = PostgresLeases(database, CODEC, ignore)
        yield World(database, buses, leases, site.property.id)
        await leases.close()


class FreeDuty:
    """A duty that everybody has."""

    async def held(self) -> bool:
        return True

    async def close(self) -> None:
        """Nothing to give back."""


class LaterClock(SystemClock):
    """The system's clock, some days ahead."""

    def __init__(self, days: float = 0.0) -> None:
        self.days = days

    def now_ms(self) -> int:
        return super().now_ms() + int(self.days * DAY_S * 1000)


class World:
    """A stream, books, and hands that deliver."""

    def __init__(
        self,
        database: Database,
        buses: Mapping[Source, NatsBus],
        leases: PostgresLeases,
        property_id: PropertyId,
    ) -> None:
        self.database, self.buses, self.leases, self.property_id = database, buses, leases, property_id
        self.bus = buses["sensors"]
        self.books = PostgresBooks(database)
        self.one_at_a_time = asyncio.Lock()
        self.facts: list[Fact] = []
        self.clock = FakeClock()
        self.later = LaterClock()

    async def fill(self, messages: int, *, buildings: Sequence[str] = BUILDINGS) -> None:
        """Each message holds one to five readings of alternating zones."""
        made = []
        for n in range(messages):
            number = next(_numbers)
            lines = [b'{"InsID":"%s","n":%d}' % (ZONES[(n + i) % 2].encode(), number) for i in range(1 + n % 5)]
            subject = sensor_subject(
                self.property_id, BuildingId(buildings[n % len(buildings)]), TYPES[n // len(buildings) % 2]
            )
            headers = {"Matrix-Origin": "ing_1"}
            made.append(Outgoing(subject, b"\n".join(lines), len(lines), f"message-{number}", headers))
        assert set(await self.bus.publish(made)) <= {None}

    async def subscribe(self, wanted: Filter | None = None, *, position: int = 1) -> Subscription:
        return await create_subscription(
            self.database,
            CODEC,
            self.property_id,
            name="",
            wanted=wanted or Filter(),
            destination=Destination(url="https://example.test/in"),
            limits=BatchLimits(),
            position=Position(seq=position),
        )

    async def end(self) -> int:
        return (await self.bus.bounds()).last_seq + 1

    async def carrier(self, subscription: Subscription) -> Hand:
        await self.leases.heartbeat(WORKER, 600)
        await self.leases.claim(WORKER, 0)
        return Hand(self, subscription)

    def auditor(self, *, bus: Bus | None = None, books: Books | None = None) -> Auditor:
        return Auditor(bus or self.bus, books or self.books, FreeDuty(), self.clock, self.facts.append)

    async def audit(self, auditor: Auditor, rounds: int = 3) -> None:
        for _ in range(rounds):
            await self.clock.advance(1000)
            await auditor.round()

    def retention(
        self, *, bus: Bus | None = None, books: Books | None = None, stored: PostgresReadings | None = None
    ) -> Retention:
        return Retention(
            SETTINGS,
            bus or self.bus,
            books or self.books,
            PostgresPartitions(self.database),
            FreeDuty(),
            self.later,
            self.facts.append,
            stored=stored.position if stored is not None else None,
        )

    async def balances(self) -> dict[SubscriptionId, Balance]:
        return dict(await take_balances(self.buses, self.books))

    async def account(self, subscription: Subscription) -> Account:
        [account] = await self.books.accounts("sensors", subscription.id)
        return account

    async def execute(self, statement: str, *arguments: object) -> None:
        async with self.database.connection() as connection:
            await connection.execute(statement, *arguments)

    def told(self, kind: type[Fact]) -> list[Any]:
        return [fact for fact in self.facts if isinstance(fact, kind)]


class Hand:
    """Delivers one subscription as a carrier does, step by step, by the contract of `Advance`."""

    def __init__(self, world: World, subscription: Subscription) -> None:
        self._world, self._made = world, subscription

    async def step(self, items_max: int = 7, **fields: Any) -> int:
        """Go on by so many readings; they count as delivered unless `how` says otherwise. How many there were."""
        how = fields.pop("how", "delivered")
        account = await self._world.account(self._made)
        items, end = await self._cut(account.position, items_max)
        if not items and end == account.position:
            return 0
        counts: dict[str, Any] = {how: items}
        if how == "parked":
            counts = {"parked": tuple(self._parked(n) for n in range(items))}
        assert await self.save(position=end, **counts, **fields)
        return items

    async def save(self, **fields: Any) -> bool:
        """Save a step; whether the lease held."""
        async with self._world.database.connection() as connection:
            row = await connection.fetchrow(
                "select owner, fence, step from subscription_progress where subscription_id = $1", self._made.id
            )
        step = Advance(
            subscription=self._made.id,
            worker=WorkerId(row["owner"] or "nobody"),
            fence=row["fence"],
            step=row["step"] + 1,
            **fields,
        )
        async with self._world.one_at_a_time:
            return self._made.id in await self._world.leases.advance([step])

    async def deliver_all(self) -> None:
        while await self.step(50):
            pass

    def _parked(self, number: int) -> ParkedItem:
        return ParkedItem(
            id=time_ordered_id(),
            subscription_id=self._made.id,
            parked_at=datetime.now(UTC),
            place=Position(seq=1, item=number),
            line="{}",
            code="MH-D002",
            reason="422",
        )

    async def _cut(self, start: Position, items_max: int) -> tuple[int, Position]:
        """The readings of the next push, and its end, which may be in the middle of a message."""
        matches = filter_matcher(self._made.property_id, self._made.filter)
        pattern = filter_pattern(self._made.property_id, self._made.filter)
        page = await self._world.bus.read(pattern, start.seq, messages_max=20, bytes_max=1_000_000)
        taken, end = 0, start
        for message in page.messages:
            if matches(message.subject):
                for number in self._wanted(message, start):
                    if taken == items_max:
                        return taken, Position(seq=message.seq, item=number)
                    taken += 1
            end = Position(seq=message.seq + 1)
        return taken, end

    def _wanted(self, message: Message, start: Position) -> list[int]:
        lines = message.data.split(b"\n")
        zones = self._made.filter.zones
        return [
            n
            for n, line in enumerate(lines)
            if n >= (start.item if message.seq == start.seq else 0)
            and (not zones or any(f'"{zone}"'.encode() in line for zone in zones))
        ]


class Died(BaseException):
    """The process was killed."""


class Mortal:
    """Passes every call on, until it dies before or after one of them: what was done stays done, nothing else is."""

    def __init__(self, *parts: Any, dies_at: int = 10**9, called: Callable[[str], None] = lambda _name: None) -> None:
        self.calls = 0
        self.parts = [_Part(self, part) for part in parts]
        self.dies_at = dies_at
        self.called = called

    def moment(self) -> None:
        self.calls += 1
        if self.calls == self.dies_at:
            raise Died


class _Part:
    def __init__(self, mortal: Mortal, part: Any) -> None:
        self._mortal, self._part = mortal, part

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._mortal.called(name)
            self._mortal.moment()
            answer = await found(*args, **kwargs)
            self._mortal.moment()
            return answer

        async def pages(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            self._mortal.moment()
            async for page in found(*args, **kwargs):
                yield page
                self._mortal.moment()

        return pages if name == "headers" else call


def assert_hold(found: dict[SubscriptionId, Balance]) -> None:
    assert {name: balance.difference for name, balance in found.items() if not balance.holds} == {}


# --- exact ---


async def test_the_balance_is_exact_while_everything_moves(world: World) -> None:
    await world.fill(100)
    made = [await world.subscribe(wanted) for wanted in FILTERS]
    made += [await world.subscribe(wanted, position=await world.end()) for wanted in FILTERS]
    hands = [await world.carrier(one) for one in made]
    going, published, looked = True, 0, 0

    async def publish() -> None:
        nonlocal published
        while going:
            await world.fill(10)
            published += 1

    async def carry() -> None:
        nonlocal going
        for how in ("delivered", "parked", "skipped", "delivered") * 3:
            for hand in hands[:-2]:
                await hand.step(3 + next(_numbers) % 20, how=how)
        going = False

    async def audit() -> None:
        auditor = world.auditor()
        while going:
            await world.audit(auditor, 1)

    async with asyncio.TaskGroup() as group:
        for work in (publish, carry, audit, audit):
            group.create_task(work())
        while going:
            found = await world.balances()
            assert_hold(found)
            looked += 1
    found = await world.balances()
    assert_hold(found)
    assert looked > 3
    assert world.told(BalanceBroken) == []
    assert found[made[0].id].accepted == sum(1 + n % 5 for n in range(100)) + published * sum(
        1 + n % 5 for n in range(10)
    )
    for one in made:
        account = await world.account(one)
        assert found[one.id].pending == await count_pending(world.bus, one, account.position)
    assert found[made[3].id].accepted > 0
    assert found[made[0].id].parked > 0
    assert found[made[0].id].skipped > 0


async def test_a_subscription_that_is_not_there_has_no_balance(world: World) -> None:
    with pytest.raises(NotFound):
        await subscription_balance(world.buses, world.books, SubscriptionId("sub_none"))


async def test_balances_of_a_property_leave_out_the_others(world: World) -> None:
    made = await world.subscribe()
    found = await take_balances(world.buses, world.books, property_id=PropertyId("other"))
    assert dict(found) == {}
    assert list(await take_balances(world.buses, world.books, property_id=world.property_id)) == [made.id]


async def test_what_is_replayed_counts_once_more(world: World) -> None:
    await world.fill(20)
    made = await world.subscribe()
    hand = await world.carrier(made)
    await hand.deliver_all()
    back = Position(seq=6, item=1)
    again = await count_pending(world.bus, made, back)
    assert await hand.save(position=back, replayed=again, replay="rpl_1", replayed_from=Position(seq=21))
    found = await subscription_balance(world.buses, world.books, made.id)
    assert found.holds
    assert (found.replayed, found.pending) == (again, again)
    await hand.deliver_all()
    found = await subscription_balance(world.buses, world.books, made.id)
    assert found.holds
    assert (found.accepted, found.delivered, found.pending) == (60 + again, 60 + again, 0)


async def test_parts_of_a_request_that_were_settled_before_the_whole_are_not_pending(world: World) -> None:
    await world.fill(10)
    made = await world.subscribe()
    hand = await world.carrier(made)
    end = Position(seq=6)
    assert await hand.save(sending_to=end)
    assert await hand.save(sending_to=end, lanes_done=1, delivered=4)
    assert await hand.save(sending_to=end, lanes_done=3, parked=(hand._parked(0), hand._parked(1)))
    found = await subscription_balance(world.buses, world.books, made.id)
    assert (found.accepted, found.delivered, found.parked, found.pending) == (30, 4, 2, 24)
    assert found.holds
    assert await hand.save(position=end, delivered=9)
    found = await subscription_balance(world.buses, world.books, made.id)
    assert (found.delivered, found.pending, found.difference) == (13, 15, 0)


# --- the auditor ---


async def test_the_auditor_counts_everybody_up_to_the_end(world: World) -> None:
    await world.fill(30)
    early = [await world.subscribe(wanted) for wanted in FILTERS]
    auditor = world.auditor()
    await world.audit(auditor)
    late = [await world.subscribe(wanted, position=await world.end()) for wanted in FILTERS]
    await world.fill(31)
    await world.audit(auditor, 5)
    for one in (*early, *late):
        account = await world.account(one)
        assert account.accepted == (await subscription_balance(world.buses, world.books, one.id)).accepted > 0
        assert auditor.balances[one.id].holds
    assert (await world.account(early[0])).accepted_to.seq == await world.end()


async def test_an_auditor_with_nothing_new_reads_no_accounts_and_writes_nothing(world: World) -> None:
    await world.fill(10)
    await world.subscribe()
    calls: list[str] = []
    mortal = Mortal(world.bus, world.books, called=calls.append)
    auditor = world.auditor(bus=mortal.parts[0], books=mortal.parts[1])
    await world.audit(auditor, 5)
    calls.clear()
    await world.audit(auditor, 20)
    assert set(calls) == {"bounds", "fingerprint"}


async def test_an_auditor_saves_how_far_it_has_looked_for_those_who_got_nothing(world: World) -> None:
    quiet = await world.subscribe(Filter(buildings=frozenset({BuildingId("none")})))
    auditor = world.auditor()
    await world.audit(auditor, 1)
    await world.fill(10)
    await world.audit(auditor, 2)
    assert (await world.account(quiet)).accepted_to.seq == await world.end()
    assert (await world.account(quiet)).accepted == 0


async def test_the_end_of_an_auditor_leaves_little_to_count_again(world: World) -> None:
    quiet = await world.subscribe(Filter(buildings=frozenset({BuildingId("none")})))
    auditor, stop = world.auditor(), asyncio.Event()
    await world.audit(auditor, 1)
    await world.fill(10)
    await auditor.round()
    assert (await world.account(quiet)).accepted_to.seq == 1
    stop.set()
    await auditor.run(stop)
    assert (await world.account(quiet)).accepted_to.seq == await world.end()


async def test_two_auditors_at_once_count_everything_once(world: World) -> None:
    made = [await world.subscribe(wanted) for wanted in FILTERS]
    auditors = [world.auditor(), world.auditor(), world.auditor()]
    for _ in range(8):
        await world.fill(25)
        await world.clock.advance(400)
        await asyncio.gather(*(auditor.round() for auditor in auditors))
        assert_hold(await world.balances())
    await world.audit(auditors[0])
    for one in made:
        account = await world.account(one)
        hold = await subscription_balance(world.buses, world.books, one.id)
        assert hold.holds
        assert account.accepted_to.seq == await world.end()
        assert account.accepted == hold.accepted == hold.pending
    assert world.told(BalanceBroken) == []


async def test_an_auditor_that_is_killed_anywhere_counts_everything_once(world: World) -> None:
    for wanted in FILTERS:
        await world.subscribe(wanted)
    died = 0
    for moment in range(1, 200):
        await world.fill(4)
        mortal = Mortal(world.bus, world.books, dies_at=moment)
        auditor = world.auditor(bus=mortal.parts[0], books=mortal.parts[1])
        try:
            await world.audit(auditor, 1)
            await world.fill(3)
            await world.audit(auditor, 2)
        except Died:
            died += 1
            assert_hold(await world.balances())
            continue
        break
    assert died > 30
    assert_hold(await world.balances())
    assert all(balance.holds for balance in auditor.balances.values())
    assert len(auditor.balances) == len(FILTERS)


async def test_a_filter_that_changes_while_it_is_counted_gets_no_count_of_the_old_one(world: World) -> None:
    made = await world.subscribe()
    count = Counted(subscription=made.id, filter=FILTERS[1], start=Position(seq=1), to_seq=5, items=9)
    assert await world.books.add_accepted([count]) == frozenset()
    assert (await world.account(made)).accepted == 0


async def test_the_balance_is_exact_after_a_filter_was_changed_anywhere(world: World) -> None:
    await world.fill(40)
    made = await world.subscribe()
    hand, auditor = await world.carrier(made), world.auditor()
    for wanted in (*FILTERS, *FILTERS):
        await hand.step(4)
        await world.fill(5)
        await world.audit(auditor, 1)
        made = await update_subscription(world.database, CODEC, replace(made, filter=wanted))
        hand = await world.carrier(made)  # who delivered by the old filter has lost it
        assert_hold(await world.balances())
        await world.audit(auditor, 2)
        assert auditor.balances[made.id].holds
    await hand.deliver_all()
    await world.audit(auditor, 2)
    found = await subscription_balance(world.buses, world.books, made.id)
    assert found.holds
    assert found.pending == 0
    assert (await world.account(made)).accepted == found.delivered
    assert world.told(BalanceBroken) == []


# --- broken on purpose ---


@pytest.mark.parametrize(
    ("damage", "difference"),
    [
        ("update subscription_progress set delivered = delivered + 3", -3),
        ("update subscription_progress set delivered = delivered - 2", 2),
        ("update subscription_progress set position_seq = position_seq + 5", 15),
        ("update subscription_progress set position_seq = position_seq - 5, position_item = 0", -15),
        ("update subscription_progress set accepted = accepted - 1", -1),
        ("update subscription_progress set expired = expired + 4", -4),
        ("update subscription_progress set accepted_seq = 1", 90),
    ],
)
async def test_a_balance_that_was_broken_on_purpose_is_red(world: World, damage: str, difference: int) -> None:
    await world.fill(30)
    made = await world.subscribe()
    hand = await world.carrier(made)
    while (await world.account(made)).position < Position(seq=11):
        await hand.step(5)
    metrics = Metrics()

    def observe(fact: Fact) -> None:
        world.facts.append(fact)
        metrics.count(fact)

    auditor = Auditor(world.bus, world.books, FreeDuty(), world.clock, observe)
    await world.audit(auditor)
    assert auditor.balances[made.id].holds
    before = await world.account(made)
    assert before.position == Position(seq=11)
    await world.execute(damage)
    assert (await subscription_balance(world.buses, world.books, made.id)).difference == difference
    await world.audit(auditor)
    assert world.told(BalanceBroken) == [BalanceBroken(subscription=made.id, difference=difference)]
    shown = metrics.render().decode()
    assert f'matrixhub_balance_difference{{source="sensors"}} {difference:.1f}' in shown
    assert f'matrixhub_subscription_balance_difference{{subscription="{made.id}"}} {difference:.1f}' in shown
    await world.execute(
        "update subscription_progress set delivered = $1, position_seq = $2, accepted = $3, expired = $4,"
        " accepted_seq = $5, position_item = 0",
        before.delivered,
        before.position.seq,
        before.accepted,
        before.expired,
        before.accepted_to.seq,
    )
    await world.audit(auditor)
    assert world.told(BalanceRestored) == [BalanceRestored(subscription=made.id)]
    assert 'matrixhub_balance_difference{source="sensors"} 0.0' in metrics.render().decode()


async def test_metrics_are_those_of_the_balance_and_go_with_the_subscription(world: World) -> None:
    await world.fill(10)
    made = await world.subscribe()
    await (await world.carrier(made)).step(12)
    auditor = world.auditor()
    await world.audit(auditor)
    expected: dict[str, Any] = {"accepted": 30, "delivered": 12, "pending": 18, "parked": 0, "expired": 0, "skipped": 0}
    for name in (made.id, ""):
        last = [fact for fact in world.told(BalanceMeasured) if fact.subscription == name][-1]
        assert last == BalanceMeasured(subscription=name, difference=0, **expected)
    await world.execute("delete from subscriptions")
    await world.audit(auditor)
    assert world.told(BalancesForgotten) == [BalancesForgotten(subscription=made.id)]
    assert world.told(BalanceMeasured)[-1].accepted == 0


# --- duties ---


async def test_one_process_has_a_duty_and_another_takes_over_when_it_ends(engines: Engines) -> None:
    one, other = (
        PostgresDuty(engines.postgres, AUDIT_DUTIES["sensors"]),
        PostgresDuty(engines.postgres, AUDIT_DUTIES["sensors"]),
    )
    assert await one.held()
    assert not await other.held()
    assert await one.held()
    await one.close()
    async with asyncio.timeout(20):
        while not await other.held():
            pass
    assert not await one.held()
    await one.close()
    await other.close()


async def test_a_process_that_hangs_loses_its_duty(engines: Engines) -> None:
    hanging = PostgresDuty(engines.postgres, AUDIT_DUTIES["sensors"], idle_max_s=0.2)
    other = PostgresDuty(engines.postgres, AUDIT_DUTIES["sensors"])
    assert await hanging.held()
    async with asyncio.timeout(20):
        while not await other.held():
            pass
    with suppress(StoreError):  # unless it heard of it already
        assert not await hanging.held()
    assert not await hanging.held()
    await hanging.close()
    await other.close()


# --- retention of the stream ---


async def aged(world: World) -> list[Subscription]:
    """A stream of which all is 100 days old but the last message; subscriptions that have come to different places."""
    await world.fill(60)
    made = [await world.subscribe(wanted) for wanted in FILTERS]
    for n, one in enumerate(made[:4]):
        hand = await world.carrier(one)
        for _ in range(n):
            await hand.step(5)
    world.later.days = 100
    return made


async def test_what_nobody_took_in_time_expires_and_is_counted(world: World) -> None:
    made = await aged(world)
    before = await world.balances()
    assert_hold(before)
    await world.retention().keep_stream()
    after = await world.balances()
    assert_hold(after)
    assert (await world.bus.bounds()).first_seq == 61
    for one in made:
        assert (after[one.id].pending, after[one.id].expired) == (0, before[one.id].pending)
        assert after[one.id].accepted == before[one.id].accepted
    told = {fact.subscription: fact.items for fact in world.told(ReadingsExpired)}
    assert told == {one.id: before[one.id].pending for one in made if before[one.id].pending}
    assert world.told(StreamPurged) == [StreamPurged(messages=60, first_seq=61)]
    await world.fill(10)
    assert_hold(await world.balances())


async def test_retention_that_is_killed_anywhere_leaves_the_balance_exact(world: World) -> None:
    died = 0
    for moment in range(1, 400):
        if moment % 10 == 1:
            await world.execute("delete from subscriptions")
            world.later.days = 0
            await aged(world)
        mortal = Mortal(world.bus, world.books, dies_at=moment)
        try:
            await world.retention(bus=mortal.parts[0], books=mortal.parts[1]).keep_stream()
        except Died:
            died += 1
            assert_hold(await world.balances())
            continue
        if mortal.calls > 40:
            break
    assert died > 30
    await world.retention().keep_stream()
    assert_hold(await world.balances())
    bounds = await world.bus.bounds()
    assert bounds.first_seq == bounds.last_seq + 1


async def test_readings_expire_exactly_while_they_are_delivered_and_counted(world: World) -> None:
    for _ in range(4):
        await world.fill(60)
        made = [await world.subscribe(wanted) for wanted in FILTERS]
        hands = [await world.carrier(one) for one in made]
        world.later.days = 100

        async def carry(hand: Hand) -> None:
            with suppress(AssertionError):  # it was moved meanwhile
                while await hand.step(2):
                    pass

        retention, other = world.retention(), world.retention()
        await asyncio.gather(
            world.audit(world.auditor()),
            retention.keep_stream(),
            other.keep_stream(),
            *(carry(hand) for hand in hands),
        )
        assert_hold(await world.balances())
        await world.leases.claim(WORKER, 0)
        for hand in hands:
            await hand.deliver_all()
        found = await world.balances()
        assert_hold(found)
        assert all(balance.pending == 0 for balance in found.values())


async def test_a_paused_subscription_holds_the_stream_until_the_second_age(world: World) -> None:
    await world.fill(40)
    made = await world.subscribe()
    hand = await world.carrier(made)
    while (await world.account(made)).position.seq < 21:
        await hand.step(5)
    await set_state(world.database, world.property_id, made.id, "paused")
    at = (await world.account(made)).position
    world.later.days = 89
    await world.retention().keep_stream()
    assert (await world.bus.bounds()).first_seq == at.seq
    found = await subscription_balance(world.buses, world.books, made.id)
    assert found.holds
    assert found.expired == 0
    world.later.days = 91
    await world.retention().keep_stream()
    assert (await world.bus.bounds()).first_seq == 41
    after = await subscription_balance(world.buses, world.books, made.id)
    assert after.holds
    assert (after.expired, after.pending) == (found.pending, 0)


async def test_what_is_not_stored_for_past_data_holds_the_stream_until_the_second_age(world: World) -> None:
    await world.fill(40)
    stored = PostgresReadings(world.database)
    await world.execute("delete from telemetry_progress")
    await stored.begin(20)
    world.later.days = 9
    await world.retention(stored=stored).keep_stream()
    assert (await world.bus.bounds()).first_seq == 21
    await stored.go_back(40)
    await world.retention(stored=stored).keep_stream()
    assert (await world.bus.bounds()).first_seq == 41
    await stored.go_back(10)
    await world.fill(10)
    world.later.days = 91
    await world.retention(stored=stored).keep_stream()
    assert (await world.bus.bounds()).first_seq == 51
    await world.execute("delete from telemetry_progress")


async def test_what_is_young_is_kept_even_when_everybody_has_it(world: World) -> None:
    await world.fill(10)
    made = await world.subscribe()
    await (await world.carrier(made)).deliver_all()
    world.later.days = 7
    await world.retention().keep_stream()
    assert (await world.bus.bounds()).first_seq == 1
    world.later.days = 9
    await world.retention().keep_stream()
    assert (await world.bus.bounds()).first_seq == 11
    assert_hold(await world.balances())


async def test_a_subscription_that_nothing_waits_for_holds_nothing_and_stays_where_it_is(world: World) -> None:
    quiet = [
        await world.subscribe(Filter(buildings=frozenset({BuildingId("none")}))),
        await world.subscribe(Filter(zones=frozenset({ZoneId("none")}))),
    ]
    await world.fill(20)
    world.later.days = 9
    await world.retention().keep_stream()
    assert (await world.bus.bounds()).first_seq == 21
    for one in quiet:
        assert (await world.account(one)).position == Position(seq=1)
    assert world.told(ReadingsExpired) == []
    assert_hold(await world.balances())


async def test_nobody_begins_or_goes_back_before_what_is_kept(world: World) -> None:
    await world.fill(20)
    made = await world.subscribe(position=15)
    hand = await world.carrier(made)
    await world.books.raise_floor("sensors", 10)
    await world.books.raise_floor("sensors", 4)
    assert (await world.account(await world.subscribe(position=1))).position == Position(seq=10)
    assert (await world.account(await world.subscribe(position=12))).position == Position(seq=12)
    assert not await hand.save(position=Position(seq=9), replayed=7, replay="rpl_1")
    assert await hand.save(position=Position(seq=10), replayed=15, replay="rpl_1")
    assert_hold(await world.balances())


async def test_a_request_of_which_parts_were_settled_expires_whole(world: World) -> None:
    await world.fill(10)
    made = await world.subscribe()
    hand = await world.carrier(made)
    assert await hand.save(sending_to=Position(seq=8, item=1))
    assert await hand.save(sending_to=Position(seq=8, item=1), lanes_done=1, delivered=4)
    account = await world.account(made)
    assert account.ahead == 4
    await world.retention()._expire_before(5)
    after = await world.account(made)
    assert (after.position, after.ahead, after.sending_to) == (Position(seq=8, item=1), 0, None)
    assert after.expired == await count_pending(world.bus, made, account.position, 8) + 1 - 4
    assert_hold(await world.balances())


# --- partitions and parked readings ---


async def partitions(world: World, table: str) -> set[str]:
    async with world.database.connection() as connection:
        rows = await connection.fetch(
            "select inhrelid::regclass::text as name from pg_inherits where inhparent = $1::text::regclass", table
        )
    return {row["name"] for row in rows}


async def park(world: World, subscription: Subscription, items: int, at: datetime) -> None:
    hand = Hand(world, subscription)
    kept = tuple(
        ParkedItem(
            id=time_ordered_id(),
            subscription_id=subscription.id,
            parked_at=at,
            place=Position(seq=1, item=n),
            line="{}",
            code="MH-D002",
            reason="422",
        )
        for n in range(items)
    )
    account = await world.account(subscription)
    _, end = await hand._cut(account.position, items)
    assert await hand.save(position=end, parked=kept)


async def test_partitions_are_made_a_week_ahead_and_take_over_what_landed_outside(world: World) -> None:
    await world.fill(20)
    made = await world.subscribe()
    await world.carrier(made)
    world.later.days = 1000
    now = datetime.now(UTC) + timedelta(days=1000)
    await park(world, made, 5, now + timedelta(minutes=1))
    await world.retention().make_partitions()
    found = await partitions(world, "attempts")
    assert {f"attempts_{now + timedelta(days=day):%Y%m%d}" for day in range(8)} <= found
    assert len({name for name in await partitions(world, "parked") if name != "parked_default"}) >= 2
    [told] = world.told(PartitionsKept)
    assert told.rows_moved == 5
    async with world.database.connection() as connection:
        assert await connection.fetchval("select count(*) from parked_default") == 0
        assert await connection.fetchval("select count(*) from parked") == 5
    await world.retention().make_partitions()
    assert world.told(PartitionsKept) == [told]


async def test_several_who_make_partitions_at_once_make_each_once(world: World) -> None:
    now = datetime.now(UTC) + timedelta(days=2000)
    made = await asyncio.gather(*(PostgresPartitions(world.database).make(now) for _ in range(4)))
    names = [name for one in made for name in one]
    assert len(names) == len(set(names)) >= 10


async def test_old_partitions_are_dropped_and_young_ones_stay(world: World) -> None:
    world.later.days = 3000
    await world.retention().make_partitions()
    oldest = f"attempts_{datetime.now(UTC) + timedelta(days=3000):%Y%m%d}"
    world.later.days = 3014
    await world.retention().keep_partitions()
    assert oldest in await partitions(world, "attempts")
    world.later.days = 3015
    await world.retention().keep_partitions()
    left = await partitions(world, "attempts")
    assert oldest not in left
    assert f"attempts_{datetime.now(UTC) + timedelta(days=3001):%Y%m%d}" in left
    assert "attempts_default" in left


async def test_parked_readings_expire_after_their_time_and_the_balance_is_exact(world: World) -> None:
    await world.fill(40)
    made = await world.subscribe()
    await world.carrier(made)
    world.later.days = 4000
    start = datetime.now(UTC) + timedelta(days=4000)
    await world.retention().make_partitions()
    await park(world, made, 7, start)
    await park(world, made, 4, start + timedelta(days=8))
    assert_hold(await world.balances())
    world.later.days = 4091
    await world.retention().keep_partitions()
    found = await subscription_balance(world.buses, world.books, made.id)
    assert found.holds
    assert (found.parked, found.expired) == (4, 7)
    assert world.told(ReadingsExpired) == [ReadingsExpired(subscription=made.id, items=7, where="parked")]
    world.later.days = 4110
    await world.retention().keep_partitions()
    found = await subscription_balance(world.buses, world.books, made.id)
    assert (found.parked, found.expired, found.difference) == (0, 11, 0)
    assert {
        name for name in await partitions(world, "parked") if name < f"parked_{start + timedelta(days=9):%Y%m%d}"
    } == set()


async def test_parked_readings_that_are_sent_again_while_they_expire_are_counted_once(world: World) -> None:
    await world.fill(40)
    made = await world.subscribe()
    hand = await world.carrier(made)
    await park(world, made, 30, datetime.now(UTC) - timedelta(days=100))
    async with world.database.connection() as connection:
        ids = [row["id"] for row in await connection.fetch("select id from parked order by id")]

    async def redrive() -> None:
        for start in range(0, 30, 3):
            assert await hand.save(redriven=tuple(ids[start : start + 3]))

    await asyncio.gather(redrive(), world.books.expire_parked(datetime.now(UTC) - timedelta(days=90)))
    found = await subscription_balance(world.buses, world.books, made.id)
    assert found.holds
    assert found.parked == 0
    assert found.delivered + found.expired == 30
