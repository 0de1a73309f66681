"""The order `priority`: what is urgent overtakes, each lane in its order; crashes in between; counts exact.

Source: docs/decisions/0012-express-lane.md
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace

import msgspec
import pytest
from tests.simulation.world import LEASE_S, POLICY, World, subscription
from tests.unit.deliveries.test_carrier_answers import HOUR_S, SUB

from matrixhub.bus.subjects import event_subject, filter_matcher
from matrixhub.model.delivery import ParkedItem
from matrixhub.model.errors import DestinationRefused, DestinationUnreachable
from matrixhub.model.ids import PropertyId, SubscriptionId, WorkerId
from matrixhub.model.policy import BatchLimits, Policy
from matrixhub.model.subscription import Filter, Lease, Position, Replay
from matrixhub.observe import StageStopped
from matrixhub.ports import Advance, Outgoing, Push, Sent

DOWN = DestinationUnreachable("down")
FIRST = replace(POLICY, order="priority")


class Item(msgspec.Struct):
    n: int
    bad: int = 0


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World(source="events")
    yield made
    assert not [fact for fact in made.facts if isinstance(fact, StageStopped)]
    await made.close()


def event(n: int, priority: str = "NORMAL", *, bad: int = 0) -> Outgoing:
    subject = event_subject(PropertyId("p"), ["matrix", "b", "m", "E", priority])
    return Outgoing(subject, msgspec.json.encode(Item(n, bad)), 1, f"m{n}")


def normal(*numbers: int) -> list[Outgoing]:
    return [event(n) for n in numbers]


def urgent(*numbers: int) -> list[Outgoing]:
    return [event(n, "HIGH") for n in numbers]


def numbers_of(push: Push) -> list[int]:
    return [item.n for item in msgspec.json.decode(push.body, type=list[Item])]


def asked(world: World) -> list[list[int]]:
    return [numbers_of(push) for push in world.sender.attempts]


def taken(world: World) -> list[list[int]]:
    return [numbers_of(push) for push in world.sender.taken]


async def until(world: World, items: int) -> None:
    """Let so many items be taken."""
    for _ in range(100):
        await world.clock.advance(0.0)
        if sum(map(len, taken(world))) >= items:
            return


def subscribe(world: World, *, policy: Policy = FIRST, items: int = 10, patterns: Collection[str] = ()) -> None:
    made = subscription(limits=BatchLimits(items=items))
    wanted = Filter(source="events", patterns=frozenset(patterns))
    world.subscribe(replace(made, filter=wanted, policy=policy))


def check_balance(world: World) -> None:
    """Everything accepted is settled or waits, at this moment."""
    lease = world.leases.leases[SUB]
    progress, matches = lease.progress, filter_matcher(PropertyId("p"), lease.subscription.filter)
    wanted = [m.seq for m in world.bus.messages if matches(m.subject)]
    pending = sum(seq >= progress.position.seq for seq in wanted) - progress.ahead
    assert len(wanted) + progress.replayed == progress.delivered + progress.parked + pending


def check_done(world: World) -> None:
    progress = world.progress()
    assert (progress.express, progress.ahead, progress.sending_to) == (None, 0, None)
    assert progress.delivered + progress.parked == len(world.bus.messages) + progress.replayed
    check_balance(world)


def refuse_bad(push: Push) -> Mapping[int, str]:
    if any(item.bad for item in msgspec.json.decode(push.body, type=list[Item])):
        raise DestinationRefused("HTTP 422", http_status=422)
    return {}


async def test_what_is_urgent_is_the_first_request_once_a_failing_endpoint_is_back(world: World) -> None:
    world.sender.script = [DOWN, DOWN]
    subscribe(world)
    await world.bus.publish(normal(*range(30)))
    await world.start()
    await world.bus.publish(urgent(100))
    await world.clock.advance(1.1)
    assert asked(world)[1] == [100], "it takes its turn at the next attempt that is due, and not before"
    assert world.progress().express is not None
    check_balance(world)
    await world.clock.advance(5.1)
    assert taken(world)[0] == [100]
    assert taken(world)[1] == list(range(10)), "the push that failed first is the same again"
    assert world.sender.attempts[0].request_id == world.sender.taken[1].request_id
    check_done(world)


async def test_a_backlog_is_overtaken_wherever_in_it_the_urgent_ones_are(world: World) -> None:
    subscribe(world)
    await world.bus.publish([event(n, "HIGH" if n % 50 == 49 else "LOW") for n in range(400)])
    await world.start()
    await until(world, 400)
    came = [n for push in taken(world) for n in push]
    assert came[:8] == [n for n in range(400) if n % 50 == 49]
    assert came[8:] == [n for n in range(400) if n % 50 != 49]
    check_done(world)


async def test_what_comes_during_a_request_is_next(world: World) -> None:
    world.sender.gate = asyncio.Event()
    subscribe(world, items=2)
    await world.bus.publish(normal(*range(6)))
    await world.start()
    await world.bus.publish(urgent(10, 11))
    await world.bus.publish(normal(12))
    await world.clock.advance(0.1)
    assert asked(world) == [[0, 1]], "one request is in flight"
    world.sender.gate.set()
    await world.clock.advance(0.1)
    assert asked(world) == [[0, 1], [10, 11], [2, 3], [4, 5], [12]]
    check_done(world)


async def test_urgent_ones_go_between_the_pieces_of_a_push_that_was_broken_up(world: World) -> None:
    gate, world.sender.judge = asyncio.Event(), refuse_bad
    subscribe(world, items=4)
    await world.bus.publish([event(0), event(1), event(2), event(3, bad=1)])
    world.sender.gate = gate
    await world.start()
    await world.bus.publish(urgent(10))
    gate.set()
    await world.clock.advance(0.1)
    assert asked(world) == [[0, 1, 2, 3], [10], [0, 1], [2, 3], [2], [3]]
    assert world.progress().parked == 1
    check_done(world)


async def test_an_urgent_one_that_is_refused_is_parked_and_the_others_of_its_push_are_not(world: World) -> None:
    world.sender.judge = refuse_bad
    subscribe(world)
    await world.bus.publish([*normal(0), *urgent(1), event(2, "HIGH", bad=1), *urgent(3)])
    await world.start()
    await world.clock.advance(0.1)
    assert taken(world) == [[1], [3], [0]]
    [item] = world.leases.parked[SUB]
    assert (item.place, item.code) == (Position(seq=3), "refused")
    check_done(world)


async def test_an_urgent_one_that_cannot_be_read_is_parked_once(world: World) -> None:
    world.sender.script = [DOWN]
    subscribe(world, items=2)
    await world.bus.publish(normal(0, 1, 2))
    await world.start()
    await world.bus.publish([replace(event(3, "HIGH"), data=b"\xff")])
    await world.clock.advance(1.1)
    assert [item.code for item in world.leases.parked[SUB]] == ["unreadable"]
    assert taken(world) == [[0, 1], [2]]
    check_done(world)


async def test_with_nothing_else_waiting_the_position_moves_on(world: World) -> None:
    subscribe(world)
    await world.start()
    for n in range(3):
        await world.bus.publish(urgent(n))
        await world.clock.advance(0.1)
        assert world.progress().position == Position(seq=n + 2)
        check_done(world)
    assert taken(world) == [[0], [1], [2]]


async def test_an_urgent_one_waits_for_an_earlier_one_that_is_part_of_a_planned_push(world: World) -> None:
    world.sender.script = [DOWN]
    subscribe(world, policy=POLICY)
    await world.bus.publish([*normal(0), *urgent(1)])
    await world.start()
    world.leases.configure(SUB, policy=FIRST)
    world.workers["wrk_1"].changed()
    await world.clock.advance(0.1)
    await world.bus.publish(urgent(2))
    await world.clock.advance(LEASE_S)
    assert taken(world) == [[0, 1], [2]]
    assert world.sender.attempts[0].request_id == world.sender.taken[0].request_id
    check_done(world)


async def test_with_the_order_strict_again_what_was_settled_ahead_is_not_sent_again(world: World) -> None:
    world.sender.script = [DOWN]
    subscribe(world, items=2)
    await world.bus.publish([*normal(0, 1), *urgent(2, 3), *normal(4), *urgent(5)])
    world.leases.pause(SUB)
    world.leases.resume(SUB)
    world.sender.script = [None, DestinationRefused("HTTP 503", http_status=503, retry_after_s=3)]
    await world.start()
    assert taken(world) == [[2, 3]]
    assert world.progress().express is not None
    world.leases.configure(SUB, policy=POLICY)
    world.workers["wrk_1"].changed()
    await world.bus.publish(urgent(6))
    await world.clock.advance(LEASE_S)
    assert taken(world) == [[2, 3], [5], [0, 1], [4], [6]], "what was planned already is sent as it was planned"
    check_done(world)


async def test_a_replay_sends_again_what_was_settled_ahead_too(world: World) -> None:
    world.sender.script = [None, DestinationRefused("HTTP 503", http_status=503, retry_after_s=3)]
    subscribe(world, items=2)
    await world.bus.publish([*normal(0, 1), *urgent(2), *normal(3)])
    await world.start()
    assert world.progress().ahead == 1
    world.leases.ask_replay(SUB, Replay(id="rpl_1", position=Position(seq=1)))
    world.workers["wrk_1"].changed()
    await world.clock.advance(LEASE_S)
    assert taken(world) == [[2], [2], [0, 1], [3]]
    assert len({push.request_id for push in world.sender.taken}) == 4
    assert world.progress().replayed == 1
    check_done(world)


async def test_what_is_urgent_does_not_wait_to_be_joined_or_for_the_rate_of_a_backlog(world: World) -> None:
    subscribe(world, policy=replace(FIRST, flush_s=60.0, catch_up_per_s=1.0), items=20)
    await world.bus.publish(normal(*range(100)))
    await world.start()
    await world.clock.advance(0.1)
    assert taken(world) == [list(range(20))]
    await world.bus.publish(urgent(200))
    await world.clock.advance(0.1)
    assert taken(world)[1:] == [[200]]
    await world.clock.advance(20)
    assert taken(world)[2:] == [list(range(20, 40))]


async def test_the_rate_of_the_subscription_holds_for_what_is_urgent_too(world: World) -> None:
    subscribe(world, policy=replace(FIRST, rate_per_s=1.0))
    await world.bus.publish(normal(*range(20)))
    await world.start()
    await world.bus.publish(urgent(30))
    await world.clock.advance(9)
    assert taken(world) == [list(range(10))]
    await world.clock.advance(1.1)
    assert taken(world)[1] == [30]


async def test_while_the_stream_is_away_what_is_in_memory_goes(world: World) -> None:
    world.sender.gate = asyncio.Event()
    subscribe(world)
    await world.bus.publish([*urgent(0), *normal(1)])
    await world.start()
    world.bus.down = True
    world.sender.gate.set()
    await world.clock.advance(1)
    await world.bus.come_back()
    await world.clock.advance(1)
    assert taken(world) == [[0], [1]]
    check_done(world)


async def test_more_urgent_ones_than_fit_into_memory_come_in_order_first(world: World) -> None:
    world.sender.script = [DOWN]
    subscribe(world)
    await world.bus.publish(normal(0))
    await world.start()
    await world.bus.publish([event(n, "HIGH", bad=10**18) for n in range(1, 1_001)])
    await world.clock.advance(1.1)
    await until(world, 1_001)
    assert [n for push in taken(world) for n in push] == [*range(1, 1_001), 0]
    check_done(world)


async def test_a_wait_that_is_long_gives_all_memory_back(world: World) -> None:
    refused = DestinationRefused("HTTP 503", http_status=503, retry_after_s=100)
    world.sender.script = [DOWN, refused]
    subscribe(world)
    await world.bus.publish(normal(*range(30)))
    await world.start()
    await world.bus.publish(urgent(100))
    await world.clock.advance(1.1)
    assert asked(world)[1] == [100]
    assert world.workers["wrk_1"]._memory.held == 0
    await world.clock.advance(101)
    assert len({push.request_id for push in world.sender.attempts if numbers_of(push) == [100]}) == 1
    assert taken(world)[:2] == [[100], list(range(10))]
    check_done(world)


async def test_what_is_given_up_is_parked_in_both_lanes() -> None:
    world = World(source="events", lease_s=4 * HOUR_S)
    world.sender.script = [DOWN] * 1_000
    subscribe(world, policy=replace(FIRST, retry_schedule_s=(600.0,), give_up_s=HOUR_S))
    await world.bus.publish([*normal(0), *urgent(1)])
    await world.start()
    for _ in range(20):
        await world.clock.advance(600)
    world.sender.script = []
    await world.clock.advance(601)
    assert {item.code for item in world.leases.parked[SUB]} == {"given_up"}
    check_done(world)
    await world.close()


async def test_patterns_that_no_urgent_event_matches_have_no_express_lane(world: World) -> None:
    subscribe(world, patterns=["matrix.*.*.*.NORMAL"])
    await world.bus.publish([*normal(0), *urgent(1)])
    await world.start()
    assert taken(world) == [[0]]
    assert len(world.bus.messages) == 2
    check_balance(world)


async def test_parked_events_that_are_sent_again_let_what_is_urgent_go_first(world: World) -> None:
    world.sender.judge = refuse_bad
    subscribe(world)
    await world.bus.publish([event(0, bad=1)])
    await world.start()
    world.sender.judge, world.sender.script = None, [DOWN]
    await world.bus.publish(normal(1))
    await world.clock.advance(0.1)
    world.leases.ask_redrive(SUB)
    world.workers["wrk_1"].changed()
    await world.clock.advance(0.1)
    await world.bus.publish(urgent(2))
    await world.clock.advance(1.2)
    assert taken(world)[0] == [2]
    assert sorted(n for push in taken(world) for n in push) == [0, 1, 2]
    check_done(world)


# a crash anywhere


class Doom:
    """Says when the process dies: at the so-manieth thing it does to the outside world, before or after its effect."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.at, self.after, self.done = at, after, 0
        self.struck = asyncio.Event()

    async def strike(self, *, after: bool) -> None:
        if not after:
            self.done += 1
        if self.done == self.at and self.after == after:
            self.struck.set()
        if self.struck.is_set():
            await asyncio.Event().wait()


class DoomedSender:
    def __init__(self, world: World, doom: Doom) -> None:
        self.world, self.doom = world, doom

    async def send(self, push: Push) -> Sent:
        await self.doom.strike(after=False)
        try:
            return await self.world.sender.send(push)
        finally:
            await self.doom.strike(after=True)


class DoomedLeases:
    """The leases of a process that is to die."""

    def __init__(self, world: World, doom: Doom) -> None:
        self.world, self.doom = world, doom

    async def advance(self, steps: Sequence[Advance]) -> frozenset[SubscriptionId]:
        await self.doom.strike(after=False)
        held = await self.world.leases.advance(steps)
        check_balance(self.world)
        await self.doom.strike(after=True)
        return held

    async def heartbeat(self, worker: WorkerId, lease_s: float) -> None:
        await self.world.leases.heartbeat(worker, lease_s)

    async def claim(self, worker: WorkerId, owned: int) -> Sequence[Lease]:
        return await self.world.leases.claim(worker, owned)

    async def owned(self, worker: WorkerId, among: Collection[SubscriptionId] | None = None) -> Sequence[Lease]:
        return await self.world.leases.owned(worker, among)

    async def fair_share(self) -> int:
        return await self.world.leases.fair_share()

    async def release(self, worker: WorkerId, subscriptions: Sequence[SubscriptionId]) -> None:
        await self.world.leases.release(worker, subscriptions)

    async def retire(self, worker: WorkerId) -> None:
        await self.world.leases.retire(worker)

    async def to_redrive(self, subscription: SubscriptionId, items_max: int) -> Sequence[ParkedItem]:
        return await self.world.leases.to_redrive(subscription, items_max)


async def story(world: World, at: int, *, after: bool) -> bool:
    """Failures, refusals and urgent events, with a crash; whether there was one."""
    world.sender.script, world.sender.judge = [DOWN], refuse_bad
    subscribe(world, items=3)
    await world.bus.publish([*normal(0, 1), event(2, bad=1), *normal(3, 4)])
    doom = Doom(at, after=after)
    await world.start(sender=DoomedSender(world, doom), leases=DoomedLeases(world, doom))
    await world.bus.publish([*urgent(10, 11), event(12, "HIGH", bad=1), *urgent(13), *normal(14)])
    await world.clock.advance(1.1)
    await world.bus.publish([*normal(15), *urgent(16), *normal(17)])
    await world.clock.advance(40)
    if not doom.struck.is_set():
        return False
    await world.kill()
    await world.start("wrk_2")
    await world.bus.publish([*urgent(18), *normal(19)])
    await world.clock.advance(LEASE_S * 1.3)
    await world.clock.advance(40)
    return True


def check_story(world: World, *, crashed: bool) -> None:
    bodies: dict[str, bytes] = {}
    for push in world.sender.attempts:
        assert bodies.setdefault(push.request_id, push.body) == push.body, "one id, one body"
    first = {push.request_id: numbers_of(push) for push in world.sender.taken}
    came = [n for numbers in first.values() for n in numbers]
    assert len(came) == len(set(came)), "what comes again has its old id"
    high = [10, 11, 13, 16, *([18] if crashed else [])]
    assert [n for n in came if n in high] == high
    rest = [n for n in came if n not in high]
    assert rest == [0, 1, 3, 4, 14, 15, 17, *([19] if crashed else [])]
    assert sorted(item.place.seq for item in world.leases.parked[SUB]) == [3, 8]
    check_done(world)


@pytest.mark.parametrize("after", [False, True])
async def test_a_crash_at_any_point_loses_nothing_and_repeats_only_under_old_ids(after: bool) -> None:
    points = 0
    while True:
        points += 1
        world = World(source="events")
        crashed = await story(world, points, after=after)
        check_story(world, crashed=crashed)
        await world.close()
        if not crashed:
            break
    assert points > 20
