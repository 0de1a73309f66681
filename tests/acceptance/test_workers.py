"""Two processes share the subscriptions; one is killed or stands still: the other takes over, never both."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Sequence

import pytest
from tests.acceptance.hub import DEADLINE_S, Customer, Hub, Load, Program

from matrixhub.testing.tls import LocalAuthority

pytestmark = pytest.mark.timeout(240)

SUBSCRIPTIONS = 6


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with Hub.started({"MATRIXHUB_DELIVERIES__LEASE_S": "2"}) as hub:
        yield hub


@contextlib.asynccontextmanager
async def customers(hub: Hub) -> AsyncIterator[Sequence[Customer]]:
    """As many customers as there are subscriptions, each with a receiver of its own."""
    authority = LocalAuthority()
    made = [Customer(authority) for _ in range(SUBSCRIPTIONS)]
    async with contextlib.AsyncExitStack() as resources:
        for customer in made:
            await resources.enter_async_context(customer.receiver)
        await asyncio.gather(*(hub.subscribe(customer) for customer in made))
        try:
            yield made
        finally:
            await asyncio.gather(*(hub.pause(customer) for customer in made))


async def owners(hub: Hub, of: Collection[Customer]) -> dict[str, str | None]:
    """Who delivers each subscription."""
    ids = {customer.subscription for customer in of}
    listed = await asyncio.to_thread(hub.ask, "subscription", "list", "--property", "acceptance")
    return {shown["id"]: shown["owner"] for shown in listed if shown["id"] in ids}


async def wait_shares(hub: Hub, of: Collection[Customer], shares: Sequence[int]) -> set[str]:
    """Wait until the subscriptions are shared like this; who owns any of them."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        found = Counter((await owners(hub, of)).values())
        if sorted(found.values()) == sorted(shares) and None not in found:
            return {str(owner) for owner in found}
        assert time.monotonic() < deadline, f"shared like {found}, not {shares}"


def takeovers(programs: Collection[Program], customer: Customer) -> int:
    """How often the subscription got another owner after its first, or its first again."""
    facts = [fact for program in programs for fact in program.facts("LeaseTaken")]
    fences = {fact["fence"] for fact in facts if fact["subscription"] == customer.subscription}
    return len(fences) - 1


def check_all(programs: Collection[Program], all_customers: Collection[Customer], load: Load) -> None:
    """Each customer has everything once, but for one request at each change of the owner."""
    for customer in all_customers:
        customer.check(load.sent, repeats=takeovers(programs, customer))


async def test_the_subscriptions_of_a_killed_worker_move_to_the_other(hub: Hub) -> None:
    async with customers(hub) as all_customers:
        await wait_shares(hub, all_customers, [SUBSCRIPTIONS])
        worker = await asyncio.to_thread(hub.start_worker)
        async with Load(hub) as load:
            both = await wait_shares(hub, all_customers, [SUBSCRIPTIONS // 2, SUBSCRIPTIONS // 2])
            assert len(both) == 2
            await asyncio.gather(*(customer.wait_more(200) for customer in all_customers))
            worker.kill()
            await wait_shares(hub, all_customers, [SUBSCRIPTIONS])
            await asyncio.gather(*(customer.wait_more(200) for customer in all_customers))
        await asyncio.gather(*(customer.wait_received(load.sent) for customer in all_customers))
        await asyncio.gather(*(hub.check_balance(customer, load.accepted) for customer in all_customers))
        check_all(hub.programs, all_customers, load)


@pytest.mark.long
async def test_a_worker_that_stood_still_longer_than_its_lease_delivers_nothing_beside_its_successor(hub: Hub) -> None:
    async with customers(hub) as all_customers:
        worker = await asyncio.to_thread(hub.start_worker)
        async with Load(hub) as load:
            for _ in range(2):
                await wait_shares(hub, all_customers, [SUBSCRIPTIONS // 2, SUBSCRIPTIONS // 2])
                await asyncio.gather(*(customer.wait_more(200) for customer in all_customers))
                worker.send(signal.SIGSTOP)
                await wait_shares(hub, all_customers, [SUBSCRIPTIONS])
                await asyncio.gather(*(customer.wait_more(200) for customer in all_customers))
                worker.send(signal.SIGCONT)
            await wait_shares(hub, all_customers, [SUBSCRIPTIONS // 2, SUBSCRIPTIONS // 2])
            await asyncio.gather(*(customer.wait_more(200) for customer in all_customers))
        await asyncio.gather(*(customer.wait_received(load.sent) for customer in all_customers))
        await asyncio.gather(*(hub.check_balance(customer, load.accepted) for customer in all_customers))
        check_all(hub.programs, all_customers, load)
        worker.send(signal.SIGTERM)
        assert await asyncio.to_thread(worker.wait_end) == 0
        await wait_shares(hub, all_customers, [SUBSCRIPTIONS])


@pytest.mark.long
async def test_a_worker_that_is_stopped_gives_its_subscriptions_back_without_a_repeat(hub: Hub) -> None:
    async with customers(hub) as all_customers:
        worker = await asyncio.to_thread(hub.start_worker)
        async with Load(hub) as load:
            await wait_shares(hub, all_customers, [SUBSCRIPTIONS // 2, SUBSCRIPTIONS // 2])
            await asyncio.gather(*(customer.wait_more(200) for customer in all_customers))
            worker.send(signal.SIGTERM)
            assert await asyncio.to_thread(worker.wait_end) == 0
            await asyncio.gather(*(customer.wait_more(200) for customer in all_customers))
        await asyncio.gather(*(customer.wait_received(load.sent) for customer in all_customers))
        for customer in all_customers:
            customer.check(load.sent)
