"""A customer's web service that is away, slow or wrong: nothing is lost, order is kept, a retry is the same request."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from tests.acceptance.hub import DEADLINE_S, Customer, Hub, Load

from matrixhub.testing.receiver import Accept, Answer, Behaviour, CloseMidResponse, Hang, ResetBeforeAnswer


@dataclass(frozen=True, kw_only=True)
class Fault:
    """How the receiver misbehaves for so many requests. `taken` says whether it has the readings all the same."""

    behaviour: Behaviour
    requests: int
    taken: bool = False


FAULTS = {
    "answers 500": Fault(behaviour=Answer(500, body="out of order"), requests=6),
    "answers 429 with Retry-After": Fault(behaviour=Answer(429, {"Retry-After": "1"}), requests=2),
    "redirects": Fault(behaviour=Answer(307, {"Location": "https://127.0.0.1:1/elsewhere"}), requests=3),
    "hangs": Fault(behaviour=Hang(20), requests=3),
    "closes in the middle of its answer": Fault(behaviour=CloseMidResponse(), requests=5, taken=True),
    "resets the connection": Fault(behaviour=ResetBeforeAnswer(), requests=5),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_nothing_is_lost_while_the_receiver(hub: Hub, fault: Fault) -> None:
    async with hub.customer() as customer:
        async with Load(hub) as load:
            await customer.wait_more(100)
            customer.receiver.behave(fault.behaviour, requests=fault.requests)
            await customer.wait_requests(fault.requests + 1)
            await load.wait_accepted(100)
        await customer.wait_received(load.sent)
        shown = await hub.check_balance(customer, load.accepted)
    customer.check(load.sent, repeats=fault.requests if fault.taken else 0)
    assert customer.check_retries() == fault.requests
    assert shown["attempts_failed"] == fault.requests
    assert shown["last_error"] == ""


async def test_a_2xx_counts_even_if_the_rest_of_the_answer_is_cut_off(hub: Hub) -> None:
    async with hub.customer() as customer:
        async with Load(hub) as load:
            await customer.wait_more(100)
            customer.receiver.behave(CloseMidResponse("body"), requests=5)
            await customer.wait_requests(10)
        await customer.wait_received(load.sent)
        await hub.check_balance(customer, load.accepted)
    customer.check(load.sent)


async def test_nothing_is_lost_while_the_receiver_is_down_and_comes_back(hub: Hub) -> None:
    outages = 2
    async with hub.customer() as customer:
        async with Load(hub) as load:
            for _ in range(outages):
                await customer.wait_more(100)
                await customer.receiver.stop_listening()
                await load.wait_accepted(700)
                await customer.receiver.start_listening()
        await customer.wait_received(load.sent)
        shown = await hub.check_balance(customer, load.accepted)
    # A request whose answer was cut off by the outage comes again.
    customer.check(load.sent, repeats=outages)
    assert shown["attempts_failed"] >= outages
    assert max(len(taken.items) for taken in customer.taken) > 100, "what had gathered was sent in large batches"


async def test_a_failing_receiver_holds_up_no_other(hub: Hub) -> None:
    async with hub.customer() as failing, hub.customer() as well:
        failing.receiver.behave(Answer(503))
        async with Load(hub) as load:
            await load.wait_accepted(500)
        await well.wait_received(load.sent)
        well.check(load.sent)
        assert failing.taken == []
        failing.receiver.behave(Accept())
        await failing.wait_received(load.sent)
    failing.check(load.sent)


async def test_a_receiver_whose_certificate_is_not_trusted_gets_nothing(hub: Hub) -> None:
    stranger = Customer()  # knows the address of the receiver, but trusts another authority
    async with hub.customer() as customer:
        await hub.subscribe(stranger, url=customer.receiver.url)
        async with Load(hub) as load:
            await load.wait_accepted(100)
        await customer.wait_received(load.sent)
        deadline = time.monotonic() + DEADLINE_S
        while "TLS" not in (shown := await hub.show(stranger))["last_error"]:
            assert time.monotonic() < deadline, shown
        assert (shown["delivered"], shown["pending"]) == (0, load.accepted)
        await hub.check_balance(customer, load.accepted)
        await hub.pause(stranger)
    customer.check(load.sent)
