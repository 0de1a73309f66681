"""Seeded simulation of workers that crash, are cut off and come back while readings flow, on a clock of ours.

Whatever happens: every reading reaches its destination, in order; a repeat is a whole request with its old id, at most
one for each time a worker died or lost a lease; and the counters say exactly what was delivered.
Another seed: MATRIXHUB_SIMULATION_SEED=n pytest tests/simulation
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import msgspec
import pytest
from tests.simulation.seeds import seeds
from tests.simulation.world import LEASE_S, World, outgoing, subscription

from matrixhub.model.errors import DestinationRefused, DestinationUnreachable
from matrixhub.model.policy import BatchLimits
from matrixhub.observe import LeaseTaken
from matrixhub.ports import Push, Sent
from matrixhub.testing.fakes import FakeClock, settle

SEEDS = seeds(40, quick=20)
SUBSCRIPTIONS = 4
STEPS = 250


class Destination:
    """Takes pushes after a while, refuses some, and takes some without the sender hearing of it."""

    def __init__(self, clock: FakeClock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self.calm = False
        self.got: dict[str, list[Push]] = {}

    async def send(self, push: Push) -> Sent:
        await self._clock.sleep(self._rng.choice([0.001, 0.01, 0.3]))
        chance = 1.0 if self.calm else self._rng.random()
        if chance < 0.1:
            raise DestinationUnreachable("reset")
        if chance < 0.15:
            raise DestinationRefused("HTTP 500", http_status=500)
        self.got.setdefault(push.subscription.destination.url, []).append(push)
        if chance < 0.2:
            raise DestinationUnreachable("closed before the answer")
        await self._clock.sleep(0.001)
        return Sent(http_status=200, seconds=0.0)


@pytest.mark.parametrize("seed", SEEDS)
async def test_nothing_is_lost_or_reordered_whatever_happens(seed: int) -> None:
    rng = random.Random(seed)
    print(f"seed {seed}")
    world = World()
    destination = Destination(world.clock, rng)
    for n in range(SUBSCRIPTIONS):
        world.subscribe(subscription(n, property_id=f"p{n % 2}", limits=BatchLimits(items=rng.choice([1, 3, 50]))))
    alive: set[str] = set()
    sent: dict[str, list[str]] = {"p0": [], "p1": []}
    deaths = born = 0

    for _ in range(STEPS):
        action = rng.random()
        if action < 0.5:
            property_id = rng.choice(["p0", "p1"])
            lines = [f"{property_id}-{len(sent[property_id]) + n}" for n in range(rng.randrange(1, 5))]
            sent[property_id] += lines
            await world.bus.publish([outgoing(lines[0], *lines, property_id=property_id)])
        elif action < 0.56 and len(alive) < 3:
            born += 1
            alive.add(f"wrk_{born}")
            await world.start(f"wrk_{born}", sender=destination)
        elif action < 0.59 and alive:
            alive.remove(name := rng.choice(sorted(alive)))
            deaths += 1
            await world.kill(name)
        elif action < 0.61:
            world.leases.down = not world.leases.down
        elif action < 0.63:
            world.bus.down = not world.bus.down
            if not world.bus.down:
                await world.bus.come_back()
        await world.clock.advance(rng.choice([0.0, 0.01, 0.5, 3.0]))
        if world.bus.down:
            await world.bus.come_back()

    world.leases.down = False
    destination.calm = True
    if not alive:
        await world.start("wrk_last", sender=destination)
    for _ in range(200):
        await world.clock.advance(LEASE_S / 3)
        if all(world.progress(n).delivered == len(sent[f"p{n % 2}"]) for n in range(SUBSCRIPTIONS)):
            break
    await settle()

    takeovers = Counter(fact.subscription for fact in world.facts if isinstance(fact, LeaseTaken))
    for n in range(SUBSCRIPTIONS):
        wanted = sent[f"p{n % 2}"]
        first: list[str] = []
        seen: dict[str, bytes] = {}
        for push in destination.got.get(f"https://example.test/{n}", []):
            if push.request_id in seen:
                assert seen[push.request_id] == push.body, "a repeat under an old id is the old request"
                continue
            seen[push.request_id] = push.body
            first += msgspec.json.decode(push.body, type=list[str])
        assert first == wanted, f"seed {seed}, subscription {n}: without repeats, every reading once and in order"
        assert world.progress(n).delivered == len(wanted)
        assert takeovers[f"sub_{n}"] >= 1
    await world.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
