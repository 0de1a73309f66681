"""The egress guard from outside: a receiver on loopback gets nothing until it is allowed, then everything."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.acceptance.hub import DEADLINE_S, PROPERTY, Customer, Hub, send_some

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """A hub that allows nothing and, once refused, would not try again for an hour."""
    settings = {"MATRIXHUB_DELIVERIES__EGRESS_ALLOW": "[]", "MATRIXHUB_DELIVERIES__RETRY_SCHEDULE_S": "[3600]"}
    with Hub.started(settings) as hub:
        yield hub


@asynccontextmanager
async def customer_at(hub: Hub, host: str) -> AsyncIterator[Customer]:
    customer = Customer()
    async with customer.receiver:
        port = urlsplit(customer.receiver.url).port
        await hub.subscribe(customer, url=f"https://{host}:{port}/readings")
        try:
            yield customer
        finally:
            await hub.pause(customer)


async def run(hub: Hub, *args: str) -> Any:
    done = await asyncio.to_thread(hub.run, *args)
    assert done.code == 0, done.said
    return done


async def wait_refused(hub: Hub, customer: Customer) -> dict[str, Any]:
    """What the hub shows once it has refused to push."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            shown = await hub.show(customer)  # a command, which takes its time
            if "egress allow" in shown["last_error"]:
                return shown


async def test_nothing_arrives_until_the_told_command_allows_it_and_then_everything_does(hub: Hub) -> None:
    async with customer_at(hub, "localhost") as customer:
        sent = await send_some(hub, 100)
        shown = await wait_refused(hub, customer)
        assert shown["last_error"].startswith("localhost is ")
        assert "loopback" in shown["last_error"]
        assert (shown["pending"], shown["delivered"], shown["parked"], shown["expired"]) == (100, 0, 0, 0)
        assert not customer.receiver.requests
        assert not customer.received

        command = shlex.split(shown["last_error"].partition(": matrixhub ")[2])
        assert command[:4] == ["egress", "allow", "--property", PROPERTY]
        await run(hub, *command)
        await customer.wait_received(sent)
        shown = await hub.check_balance(customer, 100)
        assert shown["last_error"] == ""

        await run(hub, "egress", "revoke", "--property", PROPERTY, command[-1])
        later = await send_some(hub, 50)
        assert (await wait_refused(hub, customer))["pending"] == 50
        assert customer.received == set(sent)

        await run(hub, "egress", "allow", "--property", PROPERTY, "LocalHost")
        await customer.wait_received([*sent, *later])
        await hub.check_balance(customer, 150)
        customer.check([*sent, *later])
        await run(hub, "egress", "revoke", "--property", PROPERTY, "localhost")


async def test_a_subscription_to_a_forbidden_address_is_refused_with_the_command_that_allows_it(hub: Hub) -> None:
    args = ("subscription", "create", "--property", PROPERTY, "--url")
    done = await asyncio.to_thread(hub.run, *args, "https://127.0.0.1:8443/x")
    assert done.code == 1
    assert done.err.startswith("MH-R010")
    assert f"matrixhub egress allow --property {PROPERTY} 127.0.0.1" in done.said
    assert (await asyncio.to_thread(hub.run, *args, "https://0x7f.1/x")).code == 1
    assert "Traceback" not in done.said


@pytest.mark.long
def test_what_is_allowed_is_listed_until_it_is_revoked(hub: Hub) -> None:
    owner = ("--property", PROPERTY)
    assert "public internet only" in hub.run("egress", "list", *owner).said
    assert hub.ask("egress", "allow", "10.20.1.7", *owner) == {"property": PROPERTY, "allowed": "10.20.1.7/32"}
    assert hub.run("egress", "allow", "*.Example.org", *owner).said == "*.example.org is allowed"
    listed = hub.ask("egress", "list", *owner)
    assert [(entry["target"], entry["by"]) for entry in listed] == [
        ("*.example.org", "property"),
        ("10.20.1.7/32", "property"),
    ]
    to_all = {"MATRIXHUB_DELIVERIES__EGRESS_ALLOW": '["fd00::/8"]'}
    assert "fd00::/8 setting" in hub.run("egress", "list", *owner, settings=to_all).said
    for target in ("10.20.1.7", "*.example.org"):
        assert "no longer allowed" in hub.run("egress", "revoke", target, *owner).said
    assert hub.ask("egress", "list", *owner) == []


@pytest.mark.parametrize(
    "args, code",
    [
        (("allow", "10.1.2.3/8", "--property", PROPERTY), "MH-R010"),
        (("allow", "https://a.org", "--property", PROPERTY), "MH-R010"),
        (("allow", "10.0.0.0/8", "--property", "nowhere"), "MH-R008"),
        (("list", "--property", "nowhere"), "MH-R008"),
        (("revoke", "10.0.0.0/8", "--property", PROPERTY), "MH-R008"),
    ],
)
def test_a_command_that_fails_says_why(hub: Hub, args: tuple[str, ...], code: str) -> None:
    done = hub.run("egress", *args)
    assert done.code == 1
    assert done.err.startswith(code), done.said
    assert "Traceback" not in done.said


def test_the_help_teaches(hub: Hub) -> None:
    said = hub.run("egress", "allow", "--help").said
    assert "public internet only" in said
    assert "matrixhub egress allow --property P 10.20.1.7" in said
