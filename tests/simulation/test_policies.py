"""Seeded simulation of all orders and policies over months of virtual time.

Workers are killed, stopped for longer than their lease and come back, or leave; PostgreSQL and NATS go away;
destinations fail in every way they can; operators pause, resume, replay, send parked readings again and change
policies. At the end the balance of every subscription is exact, nothing is missing, and what came came in order.
Another seed: MATRIXHUB_SIMULATION_SEED=n pytest tests/simulation
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from tests.simulation.seeds import seeds
from tests.simulation.virtual import (
    START_MS,
    Process,
    ProcessBus,
    ProcessClock,
    ProcessLeases,
    ProcessSender,
    VirtualLoop,
)
from tests.simulation.world import outgoing, subscription

from matrixhub.deliveries import Worker, WorkerSettings
from matrixhub.model.errors import (
    DestinationRefused,
    DestinationUnreachable,
    EgressRefused,
    ReauthorisationNeeded,
    TokenFault,
)
from matrixhub.model.ids import SubscriptionId, WorkerId
from matrixhub.model.policy import BatchLimits, Policy, check_policy
from matrixhub.model.subscription import ORDERS_OF, Lease, Position, Progress, Replay, Source, Subscription
from matrixhub.observe import Fact, LeaseTaken, Parked, StageStopped
from matrixhub.ports import Push, Sent
from matrixhub.testing.fakes import MemoryLeases
from matrixhub.testing.memory_bus import MemoryBus

SEEDS = seeds(20, quick=8)
HOURS_LEAST = 2_000.0
"""What the default seeds cover together; they were seen to cover more."""

STEPS = 200
SUBSCRIPTIONS = 4
ORDERS = ORDERS_OF["sensors"]
DEVICES = 5
HOUR_S = 3_600.0

elapsed_hours: list[float] = []


class Device(msgspec.Struct):
    DEVID: str
    n: int
    bad: int = 0


def reading_of(line: str) -> Device:
    """The reading of a line; what nobody can read is of no device."""
    return Device("", -1) if "\ufffd" in line else msgspec.json.decode(line, type=Device)


def line_of(item: object) -> str:
    """The line of an item of a body: readings are texts, events are objects."""
    return item if isinstance(item, str) else msgspec.json.encode(item).decode()


@dataclass
class Received:
    """A push that a destination took, or part of it; `acknowledged` where the sender may know."""

    push: Push
    lines: list[str]
    acknowledged: bool


@dataclass
class Endpoint:
    """A destination that fails in the way of the moment, and refuses bad readings in its own way."""

    rng: random.Random
    refuses: str
    fault: str = ""
    calm: bool = False
    got: list[Received] = field(default_factory=list)
    bodies: dict[str, bytes] = field(default_factory=dict)

    async def take(self, push: Push) -> Sent:
        assert self.bodies.setdefault(push.request_id, push.body) == push.body, "one id, one body"
        await asyncio.sleep(self.rng.choice([0.001, 0.05, 0.4]))
        fault = self.fault or ("" if self.calm or self.rng.random() > 0.08 else self.rng.choice(FAULTS))
        if fault and fault != "blind":
            await self.fail(fault)
        lines = list(map(line_of, msgspec.json.decode(push.body, type=list[Any])))
        bad = {number: "bad reading" for number, line in enumerate(lines) if reading_of(line).bad}
        if bad and self.refuses in ("400", "413", "422"):
            raise DestinationRefused(f"HTTP {self.refuses}", http_status=int(self.refuses))
        if bad and self.refuses == "named":
            raise DestinationRefused("HTTP 422", http_status=422, failed=bad)
        good = [line for number, line in enumerate(lines) if number not in bad]
        if fault == "blind" and not bad:
            self.got.append(Received(push, good, acknowledged=False))
            raise DestinationUnreachable("closed before the answer")
        self.got.append(Received(push, good, acknowledged=True))
        await asyncio.sleep(0.001)
        return Sent(http_status=207 if bad else 200, seconds=0.0, failed=bad)

    async def fail(self, fault: str) -> None:
        if fault == "hang":
            await asyncio.sleep(15)
        if fault == "later":
            wait_s = self.rng.choice([0.5, 60.0, HOUR_S, 200_000.0])
            raise DestinationRefused("HTTP 503", http_status=503, retry_after_s=wait_s)
        raise {
            "down": DestinationUnreachable("down"),
            "hang": DestinationUnreachable("too slow"),
            "500": DestinationRefused("HTTP 500", http_status=500),
            "401": DestinationRefused("HTTP 401", http_status=401),
            "410": DestinationRefused("HTTP 410", http_status=410),
            "egress": EgressRefused("private"),
            "token": TokenFault("no token"),
            "grant": ReauthorisationNeeded("invalid_grant"),
        }[fault]


FAULTS = ["down", "hang", "later", "500", "401", "egress", "token", "blind", "blind"]
LONG_FAULTS = [*FAULTS, "410", "grant"]


class Endpoints:
    """The port `Sender` to all of them."""

    def __init__(self) -> None:
        self.of: dict[str, Endpoint] = {}

    async def send(self, push: Push) -> Sent:
        return await self.of[push.subscription.destination.url].take(push)


@dataclass
class Hub:
    """Workers as processes, and what they share."""

    rng: random.Random
    lease_s: float
    source: Source = "sensors"
    bus: MemoryBus = field(init=False)
    leases: MemoryLeases = field(init=False)
    endpoints: Endpoints = field(default_factory=Endpoints)
    facts: list[Fact] = field(default_factory=list)
    running: dict[str, tuple[Process, asyncio.Task[None], asyncio.Event, Worker]] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)
    born: int = 0

    def __post_init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.bus = MemoryBus(now_ms=lambda: START_MS + round(loop.time() * 1000))
        self.leases = MemoryLeases(loop.time)

    def start(self) -> None:
        self.born += 1
        name = f"wrk_{self.born}"
        process = Process(self.rng)
        worker = Worker(
            WorkerId(name),
            WorkerSettings(
                lease_s=self.lease_s, buffer_bytes=4_000, read_bytes=2_000, memory_bytes=self.rng.choice([3_000, 10**6])
            ),
            {self.source: ProcessBus(self.bus, process)},
            ProcessLeases(self.leases, process),
            ProcessSender(self.endpoints, process),
            ProcessClock(process),
            self.facts.append,
        )
        stop = asyncio.Event()
        self.running[name] = process, asyncio.create_task(worker.run(stop), name=name), stop, worker

    async def kill(self, name: str) -> None:
        process, task, _, _ = self.running.pop(name)
        self.stopped.discard(name)
        process.dead = True
        process.go_on()
        task.cancel()
        await asyncio.wait({task})

    async def leave(self, name: str) -> None:
        _, task, stop, _ = self.running[name]
        if name in self.stopped:
            return
        stop.set()
        await asyncio.wait({task}, timeout=60)
        if task.done():
            del self.running[name]
            await task
        else:
            await self.kill(name)

    def ring(self) -> None:
        for _, _, _, worker in self.running.values():
            worker.changed()


@dataclass
class Told:
    """What was asked of a subscription."""

    replays: int = 0
    configured: int = 0
    order: str = "strict"


def made_policy(rng: random.Random, order: str) -> Policy:
    policy = Policy(
        retry_schedule_s=rng.choice([(0.0, 1.0, 5.0, 30.0, 120.0, 600.0, 1800.0, HOUR_S), (1.0, 5.0, 600.0)]),
        retry_spread=rng.choice([0.0, 0.1]),
        give_up_s=rng.choice([2 * HOUR_S, 86_400.0, 604_800.0]),
        order=order,  # type: ignore[arg-type]
        in_flight=rng.choice([1, 2, 3, 7]) if order == "per_device" else 1,
        flush_s=rng.choice([0.0, 0.0, 2.0, 600.0]),
        rate_per_s=rng.choice([0.0, 0.0, 5.0]),
        catch_up_per_s=rng.choice([0.0, 0.0, 2.0]),
    )
    check_policy(policy)
    return policy


def made_limits(rng: random.Random) -> BatchLimits:
    return BatchLimits(items=rng.choice([1, 3, 8, 50]), size_bytes=rng.choice([1024, 262_144]))


def made_subscription(n: int, rng: random.Random) -> Subscription:
    order = ORDERS[n % len(ORDERS)]
    made = subscription(n, property_id=f"p{n % 2}", limits=made_limits(rng))
    return replace(made, policy=made_policy(rng, order))


class Run:
    """One run of the simulation."""

    source: Source = "sensors"

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        random.seed(seed)
        self.slow = seed % 3 != 0
        """Whether hours and days pass, rather than seconds."""
        self.hub = Hub(rng, 1_800.0 if self.slow else 10.0, self.source)
        self.lines: dict[str, list[str]] = {"p0": [], "p1": []}
        self.items: Counter[str] = Counter()
        self.told = {SubscriptionId(f"sub_{n}"): Told() for n in range(SUBSCRIPTIONS)}
        for n, id_ in enumerate(self.told):
            made = self.made_subscription(n)
            self.told[id_].order = made.policy.order
            self.hub.leases.add(
                Lease(subscription=made, progress=Progress(position=Position(seq=1)), worker=WorkerId(""), fence=0)
            )
            refuses = rng.choice(["400", "413", "422", "named", "207"])
            self.hub.endpoints.of[made.destination.url] = Endpoint(rng, refuses)

    def made_subscription(self, n: int) -> Subscription:
        return made_subscription(n, self.rng)

    async def publish(self) -> None:
        rng = self.rng
        property_id = rng.choice(["p0", "p1"])
        messages = []
        for _ in range(rng.choice([1, 1, 2, 30])):
            known = self.lines[property_id]
            lines: list[str] = []
            for _ in range(rng.randrange(1, 6)):
                bad = int(rng.random() < 0.03)
                device = Device(f"d{rng.randrange(DEVICES)}", len(known) + len(lines), bad)
                lines.append(msgspec.json.encode(device).decode())
            message = outgoing(f"{property_id}.{len(known)}", *lines, property_id=property_id)
            if rng.random() < 0.01:
                message = replace(message, id=f"{message.id}.unreadable.{rng.random()}", data=b"\xff\xfe")
            else:
                known += lines
            self.items[property_id] += message.items
            messages.append(message)
        publishing = asyncio.create_task(self.hub.bus.publish(messages))
        if self.hub.bus.down:
            await asyncio.sleep(0.01)
            await self.hub.bus.come_back()
        await publishing

    async def act(self) -> None:
        rng, hub = self.rng, self.hub
        action = rng.random()
        alive = [name for name in sorted(hub.running) if name not in hub.stopped]
        if action < 0.45:
            await self.publish()
        elif action < 0.52 and len(hub.running) < 3:
            hub.start()
        elif action < 0.55 and alive:
            await hub.kill(rng.choice(alive))
        elif action < 0.57 and alive:
            await hub.leave(rng.choice(alive))
        elif action < 0.60 and alive:
            name = rng.choice(alive)
            hub.stopped.add(name)
            hub.running[name][0].stop()
        elif action < 0.65 and hub.stopped:
            name = rng.choice(sorted(hub.stopped))
            hub.stopped.remove(name)
            hub.running[name][0].go_on()
        elif action < 0.68:
            hub.leases.down = not hub.leases.down
        elif action < 0.71:
            if hub.bus.down:
                await hub.bus.come_back()
            else:
                hub.bus.down = True
        elif action < 0.81:
            endpoint = rng.choice(sorted(hub.endpoints.of.items()))[1]
            endpoint.fault = "" if endpoint.fault and rng.random() < 0.6 else rng.choice(LONG_FAULTS)
        else:
            self.operate()

    def operate(self) -> None:
        """What an operator does; the database is there for that."""
        rng, leases = self.rng, self.hub.leases
        id_ = rng.choice(sorted(self.told))
        lease, told = leases.leases[id_], self.told[id_]
        action = rng.random()
        if action < 0.35:
            if lease.subscription.state == "paused":
                leases.resume(id_)
            elif action < 0.1:
                leases.pause(id_)
        elif action < 0.6:
            parked = leases.parked[id_]
            if parked:
                some = None if rng.random() < 0.5 else {rng.choice(parked).id}
                leases.ask_redrive(id_, some)
        elif action < 0.75 and told.replays < 3:
            told.replays += 1
            position = Position(seq=rng.randrange(0, lease.progress.position.seq + 2), item=rng.choice([0, 0, 1, 3]))
            leases.ask_replay(id_, Replay(id=f"rpl_{told.replays}", position=position))
        elif action < 0.82:
            told.configured += 1
            changes: dict[str, Any] = {"limits": made_limits(rng)}
            if rng.random() < 0.5:
                order = rng.choice(ORDERS_OF[self.source])
                told.order = told.order if told.order == order else "mixed"
                changes["policy"] = made_policy(rng, order)
            leases.configure(id_, **changes)
        if rng.random() < 0.8:
            self.hub.ring()

    async def run(self) -> None:
        waits = [0.0, 0.01, 0.5, 3.0, *([60.0, HOUR_S, 3 * HOUR_S, 12 * HOUR_S] if self.slow else [30.0])]
        for _ in range(STEPS):
            await self.act()
            # PostgreSQL and NATS are not away for days, as workers would ask for them all the time.
            away = self.hub.leases.down or self.hub.bus.down
            await asyncio.sleep(self.rng.choice(waits[:5] if away else waits))
            if away and self.rng.random() < 0.5:
                self.hub.leases.down = False
                await self.hub.bus.come_back()
        await self.calm_down()
        for name in list(self.hub.running):
            await self.hub.kill(name)

    async def calm_down(self) -> None:
        hub = self.hub
        hub.leases.down = False
        await hub.bus.come_back()
        for endpoint in hub.endpoints.of.values():
            endpoint.fault, endpoint.calm = "", True
        for name in list(hub.stopped):
            hub.running[name][0].go_on()
        if not hub.running:
            hub.start()
        for id_ in self.told:
            hub.leases.resume(id_)
        hub.ring()
        for _ in range(300):
            hub.ring()
            await asyncio.sleep(max(600.0, hub.lease_s))
            if all(map(self.settled, self.told)):
                break

    def settled(self, id_: SubscriptionId) -> bool:
        lease = self.hub.leases.leases[id_]
        return self.balance(id_) == 0 and not lease.replay and not lease.redrive and lease.progress.sending_to is None

    def balance(self, id_: SubscriptionId) -> int:
        """How many readings are not accounted for."""
        lease = self.hub.leases.leases[id_]
        progress = lease.progress
        accepted = self.items[lease.subscription.property_id] + progress.replayed
        return accepted - progress.delivered - progress.parked - progress.skipped - progress.expired

    # what must hold

    def check(self) -> None:
        assert not [fact for fact in self.hub.facts if isinstance(fact, StageStopped)], "a carrier met a defect"
        taken = Counter(fact.subscription for fact in self.hub.facts if isinstance(fact, LeaseTaken))
        for id_, told in self.told.items():
            lease = self.hub.leases.leases[id_]
            assert self.settled(id_), (id_, self.balance(id_), lease.progress, lease.subscription.policy)
            endpoint = self.hub.endpoints.of[lease.subscription.destination.url]
            wanted = self.lines[lease.subscription.property_id]
            aside = {step.line for s in self.hub.leases.steps if s.subscription == id_ for step in s.parked}
            first = self.first_of(endpoint)
            came = [reading_of(line) for line in first]
            asides = {reading_of(line).n for line in aside}
            self.check_complete(told, wanted, aside, set(first))
            if told.replays == 0 and told.configured == 0:
                pushes = (r.push for r in endpoint.got if r.acknowledged and r.push.kind == "push")
                repeated = Counter(push.request_id for push in pushes)
                # A lane saves what it gave up when all of it is settled: a new owner may try that again, too late.
                if told.order == "strict" or id_ not in self.gave_up():
                    self.check_order(told.order, [r for r in came if r.n >= 0 and r.n not in asides])
                if told.order == "strict":
                    again = sum(count - 1 for count in repeated.values())
                    assert again <= taken[id_] - 1, "at most one repeat for each new owner"
                    if not aside:
                        assert first == wanted, "without repeats, every reading once and in order"
            elif told.configured == 0 and told.order == "strict":
                falls = sum(1 for a, b in pairwise(came) if b.n <= a.n and b.n not in asides)
                assert falls <= told.replays + taken[id_] + len(asides)

    def gave_up(self) -> set[str]:
        """The subscriptions that gave something up."""
        facts = (fact for fact in self.hub.facts if isinstance(fact, Parked))
        return {fact.subscription for fact in facts if fact.code == "given_up"}

    def first_of(self, endpoint: Endpoint) -> list[str]:
        """The readings that came, without those that came again under an old id."""
        seen: set[str] = set()
        lines: list[str] = []
        for received in endpoint.got:
            if received.push.request_id not in seen:
                seen.add(received.push.request_id)
                lines += received.lines
        return lines

    def check_complete(self, told: Told, wanted: list[str], aside: set[str], came: set[str]) -> None:
        good = [line for line in wanted if not reading_of(line).bad]
        bad = {line for line in wanted if reading_of(line).bad}
        if told.order in ("strict", "per_device"):
            assert came | aside >= set(good), "nothing is missing"
            assert aside >= bad, "what is refused is parked"
        else:
            newest = {reading_of(line).DEVID: line for line in wanted}
            assert came | aside >= set(newest.values()), "the newest of each device came"
        assert not came & bad

    def check_order(self, order: str, came: list[Device]) -> None:
        numbers: defaultdict[str, list[int]] = defaultdict(list)
        seen: set[int] = set()
        for reading in came:
            if reading.n not in seen:
                seen.add(reading.n)
                numbers["" if order == "strict" else reading.DEVID].append(reading.n)
        for device, found in numbers.items():
            assert found == sorted(found), f"the order of {device or 'the stream'}"


@contextmanager
def virtual_time() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        yield runner


@pytest.mark.parametrize("seed", SEEDS)
def test_the_balance_is_exact_and_nothing_is_lost_under_any_policy(seed: int) -> None:
    print(f"seed {seed}")

    async def simulated() -> float:
        run = Run(seed)
        await run.run()
        run.check()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return asyncio.get_running_loop().time() / HOUR_S

    with virtual_time() as runner:
        hours = runner.run(simulated())
    print(f"{hours:.0f} virtual hours")
    elapsed_hours.append(hours)


def test_the_seeds_cover_thousands_of_hours() -> None:
    if len(elapsed_hours) < len(SEEDS) or len(SEEDS) == 1:
        pytest.skip("only where all seeds have run")
    print(f"{sum(elapsed_hours):.0f} virtual hours")
    assert sum(elapsed_hours) >= HOURS_LEAST
