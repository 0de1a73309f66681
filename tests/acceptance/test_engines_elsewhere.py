"""Engines that are not the wheel's: named by DSN and URL, or a system's programs; and health when an engine stops."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest
from tests.acceptance.hub import (
    DEADLINE_S,
    DEVICES,
    Customer,
    Hub,
    Program,
    key_of,
    make_reading,
    run_command,
    send_some,
)

from matrixhub.sources.client import HubClient

SYSTEM_POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), reverse=True)


@pytest.fixture
def elsewhere() -> Iterator[tuple[Hub, dict[str, str]]]:
    """A hub whose engines stand for external ones, and the settings that name them; its own workers deliver nothing."""
    with Hub.started() as engines:
        running = json.loads((engines.data / "running.json").read_text())
        secrets = json.loads((engines.data / "secrets.json").read_text())
        yield (
            engines,
            {
                "MATRIXHUB_ENGINES__POSTGRES__DSN": running["postgres_tcp_dsn"],
                "MATRIXHUB_ENGINES__NATS__URL": running["nats_url"],
                "MATRIXHUB_SECRETS__MASTER_KEY": secrets["master_key"],
                "MATRIXHUB_DELIVERIES__LEASE_S": "2",
                "MATRIXHUB_DELIVERIES__EGRESS_ALLOW": '["127.0.0.0/8"]',
                "MATRIXHUB_LOG__FORMAT": "json",
            },
        )


def start_roles(hub: Hub, settings: dict[str, str], name: str, *roles: str) -> dict[str, Any]:
    """`matrixhub run` on engines elsewhere; where it is."""
    program = Program(hub.directory, name, ["run", *roles, "--listen", "127.0.0.1:0", "--json"], settings)
    hub.programs.insert(0, program)
    return program.wait_told()


async def test_roles_run_on_engines_named_by_dsn_and_url_and_copies_of_ingest_know_each_other(
    elsewhere: tuple[Hub, dict[str, str]],
) -> None:
    hub, settings = elsewhere
    first = start_roles(hub, settings, "first", "ingest", "deliveries")
    second = start_roles(hub, settings, "second", "ingest")
    assert (first["roles"], second["roles"]) == (["ingest", "deliveries"], ["ingest"])
    customer = Customer()
    async with customer.receiver:
        await hub.subscribe(customer)
        readings = [make_reading(device) for device in DEVICES]
        async with HubClient(first["url"], hub.key) as one, HubClient(second["url"], hub.key) as other:
            assert (await one.send(readings)).accepted == len(readings)
            await customer.wait_received([key_of(reading) for reading in readings])
            async with asyncio.timeout(DEADLINE_S):
                # The other copy reads what this one wrote from the stream, a moment later.
                more = [make_reading(DEVICES[0])]
                await one.send(more)
                await customer.wait_received([key_of(more[0])])
                assert (await other.send(readings)).repeated == len(readings)
        customer.check([key_of(reading) for reading in (*readings, *more)])


def test_external_engines_without_a_master_key_are_refused_with_advice(elsewhere: tuple[Hub, dict[str, str]]) -> None:
    _, settings = elsewhere
    done = run_command("run", "ingest", settings={**settings, "MATRIXHUB_SECRETS__MASTER_KEY": ""})
    assert done.code == 2
    assert "secrets.master_key is needed" in done.said


def test_external_engines_out_of_reach_are_told_without_their_passwords() -> None:
    settings = {
        "MATRIXHUB_ENGINES__POSTGRES__DSN": "postgresql://hub:s3cretpw@127.0.0.1:9/hub",
        "MATRIXHUB_ENGINES__NATS__URL": "nats://s3crettoken@127.0.0.1:9",
        "MATRIXHUB_SECRETS__MASTER_KEY": "0" * 64,
    }
    for command in (("run", "ingest", "--listen", "127.0.0.1:0"), ("doctor",), ("config",)):
        done = run_command(*command, settings=settings)
        assert "s3cret" not in done.out + done.err
    assert run_command("run", "ingest", "--listen", "127.0.0.1:0", settings=settings).code == 1
    assert "PostgreSQL cannot be reached" in run_command("run", "ingest", settings=settings).said
    assert run_command("up", settings=settings).code == 2


@pytest.mark.skipif(not SYSTEM_POSTGRES, reason="no PostgreSQL of the distribution")
async def test_the_programs_of_a_system_installation_do_as_well() -> None:
    settings = {"MATRIXHUB_ENGINES__POSTGRES__BIN_DIR": str(SYSTEM_POSTGRES[0].parent)}
    with Hub.started(settings, anew=True) as hub:
        async with hub.customer() as customer:
            sent = await send_some(hub, 100)
            await customer.wait_received(sent)
            customer.check(sent)


def get(url: str) -> tuple[int, str]:
    try:
        with urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def wait_ready(url: str, status: int, name: str) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            found, text = await asyncio.to_thread(get, f"{url}/health/ready")
            if found == status and json.loads(text)["checks"][name] is (status == 200):
                return


async def wait_metric(url: str, line: str) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while line not in (await asyncio.to_thread(get, f"{url}/metrics"))[1].splitlines():
            pass


@pytest.mark.long
async def test_ready_turns_red_when_an_engine_hangs_or_dies_and_green_again_and_live_stays_green() -> None:
    with Hub.started({"MATRIXHUB_DELIVERIES__LEASE_S": "2"}) as hub:
        for engine, check in (("nats-server", "nats"), ("postgres", "deliveries")):
            process: psutil.Process = hub.engine(engine)
            family = [process, *process.children(recursive=True)]
            for member in family:
                member.send_signal(signal.SIGSTOP)
            await wait_ready(hub.url, 503, check)
            assert (await asyncio.to_thread(get, f"{hub.url}/health/live"))[0] == 200
            for member in family:
                member.send_signal(signal.SIGCONT)
            await wait_ready(hub.url, 200, check)
            hub.kill_engine(engine)
            await wait_metric(hub.url, f'matrixhub_engine_deaths_total{{engine="{engine.partition("-")[0]}"}} 1.0')
            await wait_ready(hub.url, 200, check)
