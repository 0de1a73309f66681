"""SIGKILL in the middle of load: nothing accepted is lost, order is kept, a repeat is a whole request under its id."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from tests.acceptance.hub import Customer, Hub, Load, free_port

pytestmark = pytest.mark.timeout(240)

KILLS = 2


@pytest.fixture(scope="module")
def running() -> Iterator[Hub]:
    with Hub.started(port=free_port()) as hub:
        yield hub


@pytest.fixture
def hub(running: Hub) -> Hub:
    """A hub that its test may kill."""
    if not running.is_running:
        running.start()
    running.wait_ready()
    return running


async def flow(load: Load, customer: Customer) -> None:
    """Readings go all the way again."""
    await load.wait_accepted(200)
    await customer.wait_more(200)


async def test_nothing_is_lost_when_the_hub_is_killed(hub: Hub) -> None:
    async with hub.customer() as customer:
        async with Load(hub) as load:
            for _ in range(KILLS):
                await flow(load, customer)
                await asyncio.to_thread(hub.kill)
                await asyncio.to_thread(hub.start)
            await flow(load, customer)
        await customer.wait_received(load.sent)
        await hub.check_balance(customer, load.accepted)
    customer.check(load.sent, repeats=KILLS)
    assert load.retries > 0


async def test_nothing_is_lost_when_postgresql_is_killed(hub: Hub) -> None:
    async with hub.customer() as customer:
        async with Load(hub) as load:
            for _ in range(KILLS):
                await flow(load, customer)
                await asyncio.to_thread(hub.kill_engine, "postgres")
            await flow(load, customer)
        await customer.wait_received(load.sent)
        await hub.check_balance(customer, load.accepted)
    # A plan that PostgreSQL had not yet on its disk may be lost with it.
    customer.check(load.sent, repeats=KILLS)
    assert len(hub.program.facts("EngineDied")) >= KILLS


async def test_nothing_is_lost_or_repeated_when_nats_is_killed(hub: Hub) -> None:
    async with hub.customer() as customer:
        async with Load(hub) as load:
            for _ in range(KILLS):
                await flow(load, customer)
                await asyncio.to_thread(hub.kill_engine, "nats-server")
            await flow(load, customer)
        await customer.wait_received(load.sent)
        await hub.check_balance(customer, load.accepted)
    customer.check(load.sent)


async def test_nothing_is_lost_when_everything_is_killed_at_once(hub: Hub) -> None:
    async with hub.customer() as customer:
        async with Load(hub) as load:
            for _ in range(KILLS):
                await flow(load, customer)
                await asyncio.to_thread(hub.kill_everything)
                await asyncio.to_thread(hub.start)
            await flow(load, customer)
        await customer.wait_received(load.sent)
        await hub.check_balance(customer, load.accepted)
    customer.check(load.sent, repeats=KILLS)


async def test_the_hub_gets_ready_again_after_both_engines_were_killed(hub: Hub) -> None:
    async with hub.customer() as customer:
        async with Load(hub) as load:
            await flow(load, customer)
            await asyncio.to_thread(hub.kill_engine, "postgres")
            await asyncio.to_thread(hub.kill_engine, "nats-server")
            await flow(load, customer)
        await customer.wait_received(load.sent)
        await asyncio.to_thread(hub.wait_ready)
        await hub.check_balance(customer, load.accepted)
    customer.check(load.sent, repeats=1)
