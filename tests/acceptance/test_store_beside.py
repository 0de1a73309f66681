"""Past data is kept by a process beside the hub, and by the hub itself where that process dies."""

from __future__ import annotations

import json
from urllib.request import Request, urlopen

import psutil
from tests.acceptance.hub import DEVICES, PROPERTY, Hub, make_reading, wait_for

from matrixhub.sources.client import HubClient


def beside(hub: Hub) -> list[psutil.Process]:
    """The processes of the hub that are no engines."""
    children = psutil.Process(hub.program.pid).children()
    return [process for process in children if process.name() not in ("postgres", "nats-server")]


def stored(hub: Hub, key: str) -> int:
    """How many readings the hub gives back."""
    request = Request(f"{hub.url}/hub/v1/readings?limit=500", headers={"Authorization": f"Bearer {key}"})
    with urlopen(request, timeout=10) as answer:
        return len(json.load(answer)["items"])


async def test_readings_are_stored_beside_the_hub_and_by_it_where_that_process_dies() -> None:
    with Hub.started() as hub:
        key = hub.ask("key", "create", "--property", PROPERTY, "--manage")["key"]
        [process] = beside(hub)
        assert process.nice() > psutil.Process(hub.program.pid).nice()
        async with HubClient(hub.url, hub.key) as client:
            await client.send([make_reading(device) for device in DEVICES])
            await wait_for(lambda: stored(hub, key) == len(DEVICES), "the readings are not stored")
            process.kill()
            await wait_for(lambda: bool(hub.program.facts("StoreComesHome")), "nobody noticed that it died")
            await client.send([make_reading(device) for device in DEVICES])
            await wait_for(lambda: stored(hub, key) == 2 * len(DEVICES), "the hub does not store by itself")
        hub.wait_ready()
        assert beside(hub) == []
