"""The balance of a hub that is killed under load holds at once and to the last reading; a broken one is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
from tests.acceptance.hub import Customer, Hub, Load, free_port, wait_for

pytestmark = pytest.mark.timeout(240)

KILLS = 3


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


async def look(hub: Hub, *args: str) -> dict[str, Any]:
    found: dict[str, Any] = await asyncio.to_thread(hub.ask, "balance", *args)
    return found


async def execute(hub: Hub, statement: str) -> None:
    dsn = json.loads((hub.data / "running.json").read_text())["postgres_dsn"]
    connection = await asyncpg.connect(dsn)
    await connection.execute(statement)
    await connection.close()


@pytest.mark.long
async def test_the_balance_holds_while_the_hub_is_killed_under_load(hub: Hub) -> None:
    async with hub.customer("--from", "beginning") as customer, hub.customer("--type", "SMARTCLEAN#UM") as other:
        async with Load(hub) as load:
            for _ in range(KILLS):
                await load.wait_accepted(150)
                await customer.wait_more(100)
                assert (await look(hub))["holds"]
                await asyncio.to_thread(hub.kill)
                await asyncio.to_thread(hub.start)
                assert (await look(hub))["holds"]
            await load.wait_accepted(100)
        await customer.wait_received(load.sent)
        mine, theirs = await drained(hub, customer), await drained(hub, other)
        assert (await look(hub))["total"]["difference"] == 0
    assert (mine["accepted"], mine["delivered"], mine["difference"]) == (load.accepted, load.accepted, 0)
    assert (theirs["difference"], theirs["pending"]) == (0, 0)
    assert theirs["delivered"] == len(other.received)


async def drained(hub: Hub, customer: Customer) -> dict[str, Any]:
    """The balance of its subscription once nothing is pending; it holds all the while."""
    async with asyncio.timeout(60):
        while (found := await look(hub, customer.subscription))["total"]["pending"]:
            assert found["holds"]
    return dict(found["total"])


async def test_a_broken_balance_is_red_everywhere(hub: Hub) -> None:
    async with hub.customer() as customer:
        async with Load(hub) as load:
            await load.wait_accepted(50)
        await customer.wait_received(load.sent)
        await drained(hub, customer)
        where = f"where subscription_id = '{customer.subscription}'"
        await execute(hub, f"update subscription_progress set delivered = delivered - 7 {where}")
        done = await asyncio.to_thread(hub.run, "balance", customer.subscription)
        assert done.code == 1
        assert "the balance of 1 of 1 subscriptions is off" in done.said
        done = await asyncio.to_thread(hub.run, "balance", "--json")
        assert done.code == 1
        assert json.loads(done.out)["total"]["difference"] == 7
        await wait_for(lambda: bool(told(hub, customer)), "the auditor says so")
        assert told(hub, customer)[0]["difference"] == 7
        await execute(hub, f"update subscription_progress set delivered = delivered + 7 {where}")
        assert (await asyncio.to_thread(hub.run, "balance")).code == 0


def told(hub: Hub, customer: Customer) -> list[dict[str, Any]]:
    return [fact for fact in hub.program.facts("BalanceBroken") if fact["subscription"] == customer.subscription]
