"""The five minutes of the README, as a newcomer would type them."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

from tests.acceptance.hub import Customer, Hub, wait_for

from matrixhub.model.routing import check_pattern
from matrixhub.sources.client import HubClient

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def shown(pattern: str) -> str:
    """What the README shows in the group of the pattern."""
    found = re.search(pattern, README)
    assert found is not None, f"the README no longer shows {pattern}"
    return found.group(1)


async def test_the_five_minutes_of_the_readme_work_as_they_stand() -> None:
    site = shown(r"matrixhub site apply (\S+)")
    property_id = shown(r"subscription create --property (\S+)")
    reading = json.loads(shown(r"-d '(\{.*\})'"))
    answer = json.loads(shown(r"`202 (\{.*?\})`"))
    with Hub.started() as hub:
        await asyncio.to_thread(hub.ask, "site", "apply", str(ROOT / site))
        customer = Customer()
        async with customer.receiver:
            await hub.subscribe(customer, property_id=property_id)
            simulated = await asyncio.to_thread(hub.ask, "simulate", "--rate", "50", "--seconds", "2")
            assert simulated["accepted"] == simulated["readings"] == 100
            key = (await asyncio.to_thread(hub.ask, "key", "create", "--property", property_id))["key"]
            async with HubClient(hub.url, key) as client:
                receipt = await client.send([reading])
            assert {"accepted": receipt.accepted, "repeated": receipt.repeated, "refused": []} == answer
            await customer.wait_more(101 - len(customer.received)) if len(customer.received) < 101 else None
            last = json.loads(customer.taken[-1].items[-1])
            assert (last["DEVID"], last["v"]) == (reading["DEVID"], reading["v"])
            assert customer.receiver.ledger.summary().out_of_order == 0
            await check_events(hub, customer)


async def check_events(hub: Hub, customer: Customer) -> None:
    """The commands about events, for the same endpoint."""
    check_pattern(shown(r"--events --pattern\s'(\S+)'"))
    create = shown(r"matrixhub (application create .*?) +#").split()
    publish = shown(r"matrixhub (events publish .*?) +#").split()
    await hub.subscribe(customer, "--events", property_id=create[create.index("--property") + 1])
    await asyncio.to_thread(hub.ask, *create)
    made = await asyncio.to_thread(hub.ask, *publish)
    tail = shown(r"matrixhub (events tail '\S+')").replace("'", "").split()
    seen = await asyncio.to_thread(hub.run, *tail, "--json", "--from", "beginning", "--count", "1")
    assert json.loads(seen.out)["RoutingKey"] == made["RoutingKey"]
    await wait_for(lambda: customer.receiver.events.summary().by_event.get("LAMP_FAILED") == 1, "the event")
