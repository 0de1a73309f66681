"""Seeded simulation of the order `priority` over event streams: the adversary of the express lane.

All that test_policies.py does to readings is done here to events, and besides filters change, retention removes what is
old, and orders change between `priority` and `strict`. The balance is exact after every single step that is saved; at
the end nothing is missing, what is urgent came in order, and so did the rest.
Another seed: MATRIXHUB_SIMULATION_SEED=n pytest tests/simulation
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from tests.simulation.seeds import seeds
from tests.simulation.test_policies import (
    HOUR_S,
    Device,
    Endpoint,
    Run,
    made_limits,
    made_policy,
    reading_of,
    virtual_time,
)
from tests.simulation.virtual import Process, ProcessClock
from tests.simulation.world import subscription

from matrixhub.bus.subjects import event_subject, filter_matcher
from matrixhub.deliveries.balance import subscription_balance
from matrixhub.deliveries.retention import Retention, RetentionSettings
from matrixhub.model.balance import Account
from matrixhub.model.ids import PropertyId, SubscriptionId
from matrixhub.model.subscription import ORDERS_OF, Express, Filter, Lease, Position, Source, Subscription
from matrixhub.observe import LeaseTaken, StageStopped
from matrixhub.ports import Advance, Counted, Outgoing
from matrixhub.testing.fakes import MemoryLeases

SEEDS = seeds(6, quick=3)
ORDERS = ORDERS_OF["events"]
PATTERNS = [(), ("#",), ("matrix.b1.#",), ("matrix.b1.#", "matrix.*.*.*.HIGH"), ("#.HIGH",), ("#.NORMAL",)]


class MemoryBooks:
    """The port `Books` over the doubles of a run."""

    def __init__(self, leases: MemoryLeases) -> None:
        self.leases = leases
        self.accepted: dict[SubscriptionId, tuple[int, Position]] = {}

    async def fingerprint(self) -> Sequence[int]:
        raise NotImplementedError

    async def accounts(self, source: Source, subscription: SubscriptionId | None = None) -> Sequence[Account]:
        return [self.account(id_) for id_ in sorted(self.leases.leases) if subscription in (None, id_)]

    def account(self, id_: SubscriptionId) -> Account:
        lease = self.leases.leases[id_]
        made, progress = lease.subscription, lease.progress
        accepted, accepted_to = self.accepted.get(id_, (0, Position(seq=1)))
        return Account(
            id=id_,
            property_id=made.property_id,
            filter=made.filter,
            accepted=accepted,
            accepted_to=accepted_to,
            position=progress.position,
            sending_to=progress.sending_to,
            step=progress.step,
            express=progress.express,
            ahead=progress.ahead,
            delivered=progress.delivered,
            parked=progress.parked,
            expired=progress.expired,
            skipped=progress.skipped,
            replayed=progress.replayed,
        )

    async def add_accepted(self, counts: Sequence[Counted]) -> frozenset[SubscriptionId]:
        for count in counts:
            accepted, accepted_to = self.accepted.get(count.subscription, (0, Position(seq=1)))
            assert (accepted_to, self.account(count.subscription).filter) == (count.start, count.filter)
            self.accepted[count.subscription] = accepted + count.items, Position(seq=count.to_seq)
        return frozenset(count.subscription for count in counts)

    async def raise_floor(self, source: Source, seq: int) -> None:
        """Nobody goes back while retention is at work here."""

    async def seize(self, subscription: SubscriptionId) -> None:
        self._seize(subscription)

    def _seize(self, id_: SubscriptionId, **changes: Any) -> None:
        lease = self.leases.leases[id_]
        self.leases.owners[id_] = None
        progress = replace(lease.progress, **changes)
        self.leases.leases[id_] = replace(lease, fence=lease.fence + 1, progress=progress)

    async def expire(
        self, account: Account, end: Position, items: int, *, express: Express | None = None, ahead: int = 0
    ) -> bool:
        now = self.account(account.id)
        if (now.step, now.position, now.ahead) != (account.step, account.position, account.ahead):
            return False
        self._seize(
            account.id,
            position=end,
            expired=now.expired + items,
            sending_to=None,
            lanes_done=0,
            express=express,
            ahead=ahead,
            step=now.step + 1,
        )
        return True

    async def expire_parked(self, before: object) -> dict[SubscriptionId, int]:
        raise NotImplementedError

    def refilter(self, id_: SubscriptionId, wanted: Filter) -> None:
        """As the statement `update` does with another filter."""
        p = self.leases.leases[id_].progress
        settled = p.delivered + p.parked + p.expired + p.skipped - p.replayed - p.ahead
        self.accepted[id_] = settled, p.position
        self._seize(id_, sending_to=None, express=None, replayed=p.replayed + p.ahead, ahead=0, retry_at=None)
        self.leases.configure(id_, filter=wanted)


class Watched(MemoryLeases):
    """Leases that look at the books after every step."""

    __slots__ = ("run",)
    run: EventRun

    def _apply(self, lease: Lease, step: Advance) -> None:
        super()._apply(lease, step)
        self.run.check_books(step.subscription)


class EventRun(Run):
    """One run of the simulation, with events."""

    source: Source = "events"

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.subjects: list[tuple[int, str]] = []
        self.found: dict[tuple[PropertyId, Filter], tuple[list[int], int]] = {}
        watched = Watched(asyncio.get_running_loop().time)
        watched.run = self
        watched.leases, watched.owners = self.hub.leases.leases, self.hub.leases.owners
        self.hub.leases = watched
        self.books = MemoryBooks(watched)
        self.since: defaultdict[SubscriptionId, Position] = defaultdict(lambda: Position(seq=0))
        """Where the stream began when a filter came to be: what was removed before nobody waited for."""
        self.overtaken = 0
        process = Process(self.rng)
        pending_s = self.rng.choice([6, 48]) * HOUR_S
        self.retention = Retention(
            RetentionSettings(
                stream_s=HOUR_S, pending_s=pending_s, attempts_s=1.0, parked_s=1.0, events_s=180 * 86_400
            ),
            self.hub.bus,
            self.books,
            None,
            None,  # type: ignore[arg-type]
            ProcessClock(process),
            self.hub.facts.append,
            "events",
        )

    def made_subscription(self, n: int) -> Subscription:
        order = "priority" if n else self.rng.choice(ORDERS)
        made = subscription(n, property_id=f"p{n % 2}", limits=made_limits(self.rng))
        wanted = Filter(source="events", patterns=frozenset(self.rng.choice(PATTERNS) if n else ()))
        return replace(made, filter=wanted, policy=made_policy(self.rng, order))

    async def publish(self) -> None:
        rng = self.rng
        property_id = rng.choice(["p0", "p1"])
        known = self.lines[property_id]
        messages = []
        urgent = rng.choice([0.05, 0.3, 0.9])
        for _ in range(rng.choice([1, 1, 2, 30, 100])):
            priority = "HIGH" if rng.random() < urgent else rng.choice(["NORMAL", "MEDIUM", "LOW"])
            words = ["matrix", rng.choice(["b1", "b2"]), "m", "E", priority]
            subject = event_subject(PropertyId(property_id), words)
            line = msgspec.json.encode(Device(priority, len(known), int(rng.random() < 0.03))).decode()
            id_ = f"{property_id}.{len(known)}.{rng.random()}"
            if rng.random() < 0.01:
                messages.append(Outgoing(subject, b"\xff\xfe", 1, id_))
            else:
                known.append(line)
                messages.append(Outgoing(subject, line.encode(), 1, id_))
        publishing = asyncio.create_task(self.hub.bus.publish(messages))
        if self.hub.bus.down:
            await asyncio.sleep(0.01)
            await self.hub.bus.come_back()
        await publishing

    def known(self) -> list[tuple[int, str]]:
        """Every message that ever was in the stream."""
        new = len(self.subjects) + 1 - self.hub.bus.first_seq
        self.subjects += [(m.seq, m.subject) for m in self.hub.bus.messages[new:]]
        return self.subjects

    async def act(self) -> None:
        await super().act()
        self.known()
        waiting = any(lease.replay for lease in self.hub.leases.leases.values())
        if self.rng.random() < 0.05 and not waiting and not self.hub.bus.down:
            await self.retention.keep_stream()

    def operate(self) -> None:
        rng = self.rng
        if rng.random() > 0.1:
            super().operate()
            return
        id_ = rng.choice(sorted(self.told))
        self.told[id_].configured += 1
        if rng.random() < 0.5:
            self.since[id_] = Position(seq=self.hub.bus.first_seq)
            self.books.refilter(id_, Filter(source="events", patterns=frozenset(rng.choice(PATTERNS))))
        else:
            order = rng.choice(ORDERS)
            self.told[id_].order = self.told[id_].order if self.told[id_].order == order else "mixed"
            self.hub.leases.configure(id_, policy=made_policy(rng, order))
        self.hub.ring()

    # what must hold

    def check_books(self, id_: SubscriptionId) -> None:
        account = self.books.account(id_)
        if account.express is not None:
            self.overtaken += 1
            assert account.express.from_seq <= account.express.to_seq
            if account.sending_to and account.express.to_seq > account.express.from_seq:
                assert account.sending_to.seq <= account.express.to_seq
        wanted = self.wanted(account.property_id, account.filter)
        since = self.since[id_]
        accepted = account.accepted + behind(wanted, max(since, account.accepted_to))
        pending = behind(wanted, max(since, account.position)) - account.ahead
        settled = account.delivered + account.parked + account.skipped + account.expired
        assert accepted + account.replayed == settled + pending, (id_, account)
        assert account.ahead >= 0
        assert pending >= 0

    def wanted(self, property_id: PropertyId, wanted: Filter) -> list[int]:
        """The messages a filter wants, of all that ever were in the stream."""
        known = self.known()
        found, upto = self.found.get((property_id, wanted), ([], 0))
        matches = filter_matcher(property_id, wanted)
        found += [seq for seq, subject in known[upto:] if matches(subject)]
        self.found[property_id, wanted] = found, len(known)
        return found

    def settled(self, id_: SubscriptionId) -> bool:
        lease = self.hub.leases.leases[id_]
        self.check_books(id_)
        progress = lease.progress
        wanted = self.wanted(lease.subscription.property_id, lease.subscription.filter)
        waiting = behind(wanted, max(self.since[id_], progress.position))
        idle = progress.sending_to is None and progress.express is None
        return not waiting and not lease.replay and not lease.redrive and idle

    def check(self) -> None:
        assert not [fact for fact in self.hub.facts if isinstance(fact, StageStopped)], "a carrier met a defect"
        taken = Counter(fact.subscription for fact in self.hub.facts if isinstance(fact, LeaseTaken))
        for id_, told in self.told.items():
            lease = self.hub.leases.leases[id_]
            assert self.settled(id_), (id_, lease.progress, lease.subscription.policy)
            endpoint = self.hub.endpoints.of[lease.subscription.destination.url]
            aside = {step.line for s in self.hub.leases.steps if s.subscription == id_ for step in s.parked}
            came = self.first_of(endpoint)
            if told.configured == 0:
                self.check_all_came(lease, set(came) | aside)
            assert not {line for line in came if reading_of(line).bad}
            if told.replays == told.configured == 0:
                self.check_once(id_, endpoint, aside)
                asides = {reading_of(line).n for line in aside}
                if id_ not in self.gave_up():
                    self.check_lanes([r for r in map(reading_of, came) if r.n >= 0 and r.n not in asides])
                assert taken[id_]

    def check_all_came(self, lease: Lease, found: set[str]) -> None:
        lines = self.lines[lease.subscription.property_id]
        if lease.subscription.filter.patterns <= {"#"}:
            missing = set(lines) - found
            assert len(missing) <= lease.progress.expired, "nothing is missing but what expired"

    def check_once(self, id_: SubscriptionId, endpoint: Endpoint, aside: set[str]) -> None:
        """Nothing comes again, but under its old id, or out of the parked ones."""
        came = Counter(line for line in self.first_of(endpoint) if line not in aside)
        if id_ not in self.gave_up():
            assert not [line for line, count in came.items() if count > 1], "repeats have their old id"

    def check_lanes(self, came: list[Device]) -> None:
        for lane in (
            [r.n for r in came if r.DEVID == "HIGH"],
            [r.n for r in came if r.DEVID != "HIGH"],
        ):
            assert lane == sorted(lane), "the order of a lane"


def behind(wanted: list[int], position: Position) -> int:
    """How many of the messages lie from the position on."""
    return len(wanted) - bisect_left(wanted, position.seq + (1 if position.item else 0))


@pytest.mark.parametrize("seed", SEEDS)
def test_what_overtakes_leaves_the_balance_exact_and_every_lane_in_order(seed: int) -> None:
    print(f"seed {seed}")

    async def simulated() -> int:
        run = EventRun(seed)
        await run.run()
        run.check()
        for id_ in run.told:
            balance = await subscription_balance({"events": run.hub.bus}, run.books, id_)
            assert balance.holds, (id_, balance)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return run.overtaken

    with virtual_time() as runner:
        overtaken = runner.run(simulated())
    print(f"{overtaken} steps with something settled ahead")
