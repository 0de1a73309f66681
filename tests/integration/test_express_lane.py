# ruff: noqa: F811 - fixtures are imported by the names that tests ask for them
"""The order `priority` on real NATS, PostgreSQL and HTTPS. Source: docs/decisions/0012-express-lane.md"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from tests.integration.test_event_deliveries import (
    CODEC,
    KEPT,
    FreeDuty,
    Inbox,
    World,
    engines,  # noqa: F401 - a fixture
    world,  # noqa: F401 - a fixture
)

from matrixhub.deliveries.balance import subscription_balance
from matrixhub.deliveries.desk import remake_body
from matrixhub.deliveries.retention import Retention
from matrixhub.lifecycle import SystemClock
from matrixhub.model.errors import InvalidValue
from matrixhub.model.ids import PropertyId
from matrixhub.model.policy import BatchLimits, Policy
from matrixhub.model.subscription import Express, Filter, Position, Progress, Subscription
from matrixhub.store.attempts import list_attempts
from matrixhub.store.replays import ask_replay
from matrixhub.store.subscriptions import update_subscription
from matrixhub.testing.receiver import Accept, Answer, Judge

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIRST = Policy(order="priority", retry_schedule_s=(0.0, 0.1))
REST, URGENT = "INCIDENT_STARTED", "INCIDENT_CREATED"


class StillClock(SystemClock):
    """The system's clock, but that it is always the same instant."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms


def only_urgent(items: Sequence[str]) -> Accept | Answer:
    return Accept() if all(json.loads(item)["Status"] == "HIGH" for item in items) else Answer(503)


async def balanced(world: World, made: Subscription) -> bool:
    return (await subscription_balance(world.buses, world.books, made.id)).holds


async def wait(world: World, made: Subscription, wanted: Callable[[Progress], bool]) -> None:
    """Wait until the progress that is saved is as wanted, which is asked whenever the worker says something."""
    async with asyncio.timeout(30):
        while True:
            world.told.clear()
            if wanted((await world.overview(made)).progress):
                return
            await world.told.wait()


async def wait_settled(world: World, made: Subscription, items: int) -> None:
    """Wait until so many events are saved as delivered."""
    await wait(world, made, lambda progress: progress.delivered >= items)


async def overtaken(world: World, owner: PropertyId, *names: str, seq: int = 1) -> Subscription:
    """A subscription whose urgent events, of these names, were settled ahead of two others that still wait."""
    inbox = Inbox(behaviour=Judge(only_urgent))
    await world.happen(owner, "rest 1", "rest 2", kind=REST)
    async with inbox.receiver as receiver:
        made = await world.subscribe(owner, receiver.url, policy=FIRST, seq=seq)
        for name in names:
            await world.happen(owner, name, kind=URGENT)
        async with world.working():
            await wait_settled(world, made, len(names))
    assert inbox.names == list(names)
    return made


async def test_an_urgent_event_is_in_the_first_request_of_an_endpoint_that_was_away(world: World) -> None:
    owner, inbox = await world.owner(), Inbox(behaviour=Answer(503))
    for first in range(0, 5_000, 500):
        await world.happen(owner, *(str(n) for n in range(first, first + 500)), kind=REST)
    async with inbox.receiver as receiver:
        made = await world.subscribe(owner, receiver.url, policy=FIRST, limits=BatchLimits(items=500))
        async with world.working():
            await receiver.wait_until(lambda: len(receiver.requests) >= 2)
            await world.happen(owner, "urgent", kind=URGENT)
            await wait(world, made, lambda progress: progress.express is not None)
            assert await balanced(world, made)
            receiver.behave(Accept())
            await wait_settled(world, made, 5_001)
    assert inbox.names == ["urgent", *map(str, range(5_000))]
    progress = (await world.overview(made)).progress
    assert (progress.express, progress.ahead, progress.delivered) == (None, 0, 5_001)
    assert await balanced(world, made)


async def test_what_was_settled_ahead_is_kept_and_counted_where_what_is_older_expires(world: World) -> None:
    owner = await world.owner()
    made = await overtaken(world, owner, "1", "2", "3")
    before = await subscription_balance(world.buses, world.books, made.id)
    assert (before.delivered, before.pending, before.holds) == (3, 2, True)
    [account] = await world.books.accounts("events", made.id)
    assert (account.position, account.ahead) == (Position(seq=1), 3)
    assert account.express is not None
    assert account.express.to_seq == 6

    page = await world.events.read("events.>", 4, messages_max=1, bytes_max=1)
    clock = StillClock(page.messages[0].stored_ms + int(KEPT.pending_s * 1000))
    retention = Retention(KEPT, world.events, world.books, None, FreeDuty(), clock, world.facts.append, "events")
    await retention.round()
    floor = (await world.events.bounds()).first_seq
    assert 2 < floor <= 4, "messages that were stored in the same millisecond stay together"
    [account] = await world.books.accounts("events", made.id)
    assert (account.position, account.ahead) == (Position(seq=floor), 6 - floor)
    assert account.express is not None
    after = await subscription_balance(world.buses, world.books, made.id)
    assert (after.delivered, after.expired, after.pending, after.holds) == (3, 2, 0, True)


async def test_all_that_was_settled_ahead_may_lie_before_the_floor(world: World) -> None:
    owner = await world.owner()
    made = await overtaken(world, owner, "1", "2")
    await world.retention("events", days=100).round()
    [account] = await world.books.accounts("events", made.id)
    assert (account.express, account.ahead, account.expired) == (None, 0, 2)
    assert await balanced(world, made)


async def test_with_another_filter_what_was_settled_ahead_is_forgotten_and_counted(world: World) -> None:
    owner = await world.owner()
    made = await overtaken(world, owner, "1", "2")
    current = (await world.overview(made)).subscription
    await update_subscription(
        world.database, CODEC, replace(current, filter=Filter(source="events", patterns=frozenset({"matrix.b1.#"})))
    )
    progress = (await world.overview(made)).progress
    assert (progress.express, progress.ahead, progress.replayed) == (None, 0, 2)
    assert await balanced(world, made)


async def test_a_replay_counts_what_was_settled_ahead(world: World) -> None:
    owner = await world.owner()
    made = await overtaken(world, owner, "1", "2", seq=2)
    await ask_replay(world.database, owner, made.id, Position(seq=1))
    inbox = Inbox()
    async with inbox.receiver as receiver:
        current = (await world.overview(made)).subscription
        there = replace(current.destination, url=receiver.url)
        await update_subscription(world.database, CODEC, replace(current, destination=there))
        async with world.working():
            await wait_settled(world, made, 6)
    assert inbox.names == ["1", "2", "rest 1", "rest 2"]
    assert (await world.overview(made)).progress.replayed == 3
    assert await balanced(world, made)


async def test_steps_keep_what_is_settled_ahead(world: World) -> None:
    owner = await world.owner()
    made = await overtaken(world, owner, "1")
    inbox = Inbox()
    async with inbox.receiver as receiver:
        current = (await world.overview(made)).subscription
        there = replace(current.destination, url=receiver.url)
        strict = replace(current, destination=there, policy=replace(current.policy, order="strict"))
        await update_subscription(world.database, CODEC, strict)
        assert (await world.overview(made)).progress.express == Express(from_seq=1, to_seq=4)
        async with world.working():
            await wait_settled(world, made, 3)
    assert inbox.names == ["rest 1", "rest 2"]
    assert await balanced(world, made)


async def test_the_bodies_of_both_lanes_can_be_made_again(world: World) -> None:
    owner = await world.owner()
    bodies: list[list[str]] = []
    inbox = Inbox(behaviour=Judge(only_urgent))
    await world.happen(owner, "rest 1", kind=REST)
    await world.happen(owner, "urgent 1", kind=URGENT)
    await world.happen(owner, "rest 2", kind=REST)
    async with inbox.receiver as receiver:
        made = await world.subscribe(owner, receiver.url, policy=FIRST)
        async with world.working():
            await wait_settled(world, made, 1)
            receiver.behave(Accept())
            await wait_settled(world, made, 3)
    view = await world.overview(made)
    for recorded in await list_attempts(world.database, owner, subscription_id=made.id, limit=20):
        remade = await remake_body(world.database, world.events, view, recorded.attempt)
        assert remade.whole
        bodies.append([event["Description"] for event in json.loads(remade.body)])
    assert bodies[-1] == ["urgent 1"]
    assert {tuple(body) for body in bodies[:-1]} == {("rest 1",), ("rest 2",)}


async def test_readings_have_no_priority(world: World) -> None:
    owner = await world.owner()
    with pytest.raises(InvalidValue, match="the order priority is not for readings"):
        await world.subscribe(owner, "https://example.test/", wanted=Filter(), policy=FIRST)
