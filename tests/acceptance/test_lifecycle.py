"""Starting, stopping and starting again on the same data directory; readings that wait; pause and resume."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import Iterator
from datetime import datetime

import pytest
from tests.acceptance.hub import DEADLINE_S, PROPERTY, Hub, Load, free_port, run_command, send_some, wait_for


@pytest.fixture(scope="module")
def running() -> Iterator[Hub]:
    with Hub.started(port=free_port()) as hub:
        yield hub


@pytest.fixture
def hub(running: Hub) -> Hub:
    """A hub that its test may stop."""
    if not running.is_running:
        running.start()
    running.wait_ready()
    return running


def test_a_second_up_on_the_same_directory_is_refused(hub: Hub) -> None:
    done = hub.run("up", "--listen", "127.0.0.1:0")
    assert done.code == 1
    assert "MH-E002" in done.said
    assert str(hub.data) in done.said
    assert str(hub.program.pid) in done.said
    assert "--data" in done.said
    assert "Traceback" not in done.said
    hub.wait_ready()


def test_a_port_in_use_is_explained(hub: Hub) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        fresh = Hub()
        try:
            done = fresh.run("up", "--listen", address)
        finally:
            fresh.remove()
    assert done.code == 1
    assert "MH-E004" in done.said
    assert address in done.said
    assert "--listen" in done.said
    assert "Traceback" not in done.said


def test_a_data_directory_that_is_a_file_is_explained(hub: Hub) -> None:
    file = hub.write("not-a-directory", "")
    done = run_command("up", "--data", str(file), "--listen", "127.0.0.1:0")
    assert done.code == 1
    assert "MH-E001" in done.said
    assert str(file) in done.said
    assert "Traceback" not in done.said


async def test_sites_keys_subscriptions_and_readings_are_kept_over_a_restart(hub: Hub) -> None:
    async with hub.customer() as customer:
        before = await send_some(hub, 100)
        await customer.wait_received(before)
        assert await asyncio.to_thread(hub.stop) == 0
        await asyncio.to_thread(hub.start)
        after = await send_some(hub, 100)
        await customer.wait_received(before + after)
        await hub.check_balance(customer, 200)
        shown = await asyncio.to_thread(hub.ask, "site", "show")
    customer.check(before + after)
    assert [found["id"] for found in shown] == ["acceptance"]


async def test_a_hub_that_stops_remembers_when_it_last_heard_of_each_device(hub: Hub) -> None:
    newest: dict[str, int] = {}
    for device, instant_ms in await send_some(hub, 30):
        newest[device] = max(instant_ms, newest.get(device, 0))
    assert hub.stop() == 0
    hub.start()
    hub.wait_ready()
    found = {device["slot"]: device for device in hub.ask("devices", "--property", PROPERTY)}
    for name, instant_ms in newest.items():
        seen_at = datetime.fromisoformat(found[name]["last_seen_at"])
        assert round(seen_at.timestamp() * 1000) == instant_ms
    silent = {name for name, device in found.items() if device["health"] == "unhealthy"}
    assert {device["slot"] for device in hub.ask("devices", "--property", PROPERTY, "--unhealthy")} == silent
    assert set(newest) == set(found)
    shown = hub.run("devices").said
    assert all(name in shown for name in newest)


async def test_sigterm_under_load_ends_with_0_and_loses_and_repeats_nothing(hub: Hub) -> None:
    async with hub.customer() as customer:
        async with Load(hub) as load:
            for _ in range(2):
                await customer.wait_more(200)
                assert await asyncio.to_thread(hub.stop) == 0
                await asyncio.to_thread(hub.start)
            await customer.wait_more(200)
        await customer.wait_received(load.sent)
        await hub.check_balance(customer, load.accepted)
    customer.check(load.sent)


async def test_sigint_ends_with_0_as_well(hub: Hub) -> None:
    hub.program.send(signal.SIGINT)
    assert hub.program.wait_end() == 0
    assert "Traceback" not in hub.program.log
    assert len(hub.program.facts("EngineStopped")) == 2


@pytest.mark.parametrize(
    "end", ["stop", *(pytest.param(end, marks=pytest.mark.long) for end in ("kill", "kill_everything"))]
)
async def test_readings_that_wait_arrive_after_a_restart(hub: Hub, end: str) -> None:
    async with hub.customer() as customer:
        first = await send_some(hub, 50)
        await customer.wait_received(first)
        await customer.receiver.stop_listening()
        waiting = [reading for _ in range(3) for reading in await send_some(hub, 400)]
        shown = await hub.show(customer)
        assert (shown["delivered"], shown["pending"]) == (50, 1200)
        await asyncio.to_thread(getattr(hub, end))
        await asyncio.to_thread(hub.start)
        await customer.receiver.start_listening()
        await customer.wait_received(first + waiting)
        await hub.check_balance(customer, 1250)
    customer.check(first + waiting)


@pytest.mark.long
async def test_nothing_comes_while_a_subscription_is_paused_and_everything_after(hub: Hub) -> None:
    async with hub.customer() as paused, hub.customer() as other:
        before = await send_some(hub, 50)
        await paused.wait_received(before)
        assert (await asyncio.to_thread(hub.run, "subscription", "pause", paused.subscription)).code == 0
        # The hub hears of the change by itself; until it has, a reading may still come.
        deadline = asyncio.get_running_loop().time() + DEADLINE_S
        while (await hub.show(paused))["owner"] is not None:
            assert asyncio.get_running_loop().time() < deadline
        while_paused = [reading for _ in range(3) for reading in await send_some(hub, 100)]
        await other.wait_received(before + while_paused)
        shown = await hub.show(paused)
        assert (shown["state"], shown["delivered"], shown["pending"]) == ("paused", 50, 300)
        assert paused.received == set(before)
        assert (await asyncio.to_thread(hub.run, "subscription", "resume", paused.subscription)).code == 0
        await paused.wait_received(before + while_paused)
        await hub.check_balance(paused, 350)
    paused.check(before + while_paused)
    other.check(before + while_paused)


async def test_a_subscription_from_the_beginning_gets_all_that_is_kept(hub: Hub) -> None:
    async with hub.customer() as early:
        sent = await send_some(hub, 200)
        await early.wait_received(sent)
        async with hub.customer("--from", "beginning", "--type", "SMARTCLEAN#BIN", "--batch-items", "7") as late:
            wanted = [reading for reading in sent if int(reading[0][-1]) % 3 == 2]
            await late.wait_received(wanted)
            await wait_for(lambda: late.received >= set(wanted), "the bins")
        assert all(len(taken.items) <= 7 for taken in late.taken)
        assert {json.loads(item)["DevType"] for taken in late.taken for item in taken.items} == {"SMARTCLEAN#BIN"}
