"""What the answer to a push means: halving, naming, pausing, waiting. Source: docs/contract/data-push.md §5"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace

import msgspec
import pytest
from tests.simulation.world import LEASE_S, World, items_of, outgoing, subscription

from matrixhub.model.errors import (
    DeliveryError,
    DestinationRefused,
    DestinationUnreachable,
    EgressRefused,
    ReauthorisationNeeded,
    TokenFault,
)
from matrixhub.model.ids import SubscriptionId
from matrixhub.model.policy import BatchLimits, Policy
from matrixhub.observe import SubscriptionSuspended
from matrixhub.ports import Push, Sent

SUB = SubscriptionId("sub_1")
HOUR_S = 3_600.0


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.close()


def poisoned(*bad: str, http_status: int = 422, named: bool = False) -> Callable[[Push], Mapping[int, str]]:
    """A destination that refuses a push for some of its readings."""

    def judge(push: Push) -> Mapping[int, str]:
        found = {n: f"{line} is bad" for n, line in enumerate(lines_of(push)) if line in bad}
        if found and http_status != 207:
            raise DestinationRefused(
                f"HTTP {http_status}", http_status=http_status, answer="no", failed=found if named else None
            )
        return found

    return judge


def lines_of(push: Push) -> list[str]:
    return msgspec.json.decode(push.body, type=list[str])


def asked(world: World) -> list[str]:
    """The bodies of all attempts, shortened."""
    return ["".join(lines_of(push)) for push in world.sender.attempts]


def aside(world: World) -> list[str]:
    return [item.line for item in world.leases.parked[SUB]]


async def carry(world: World, lines: str, *, policy: Policy | None = None, items: int = 10) -> None:
    made = subscription(limits=BatchLimits(items=items))
    world.subscribe(replace(made, policy=policy or made.policy))
    await world.bus.publish([outgoing("m1", *lines)])
    await world.start()


def balance(world: World, accepted: int) -> None:
    progress = world.progress()
    assert progress.delivered + progress.parked + progress.skipped == accepted + progress.replayed
    assert progress.sending_to is None


@pytest.mark.parametrize(
    ("lines", "bad", "requests"),
    [
        ("abcd", "c", ["abcd", "ab", "cd", "c", "d"]),
        ("abcd", "a", ["abcd", "ab", "a", "b", "cd"]),
        ("abcd", "d", ["abcd", "ab", "cd", "c", "d"]),
        ("abcd", "bc", ["abcd", "ab", "a", "b", "cd", "c", "d"]),
        ("abc", "abc", ["abc", "a", "bc", "b", "c"]),
        ("a", "a", ["a"]),
    ],
)
@pytest.mark.parametrize("http_status", [400, 413, 422])
async def test_a_push_refused_for_its_content_is_halved_until_the_poisoned_reading_is_alone(
    world: World, lines: str, bad: str, requests: list[str], http_status: int
) -> None:
    world.sender.judge = poisoned(*bad, http_status=http_status)
    await carry(world, lines)
    assert asked(world) == requests
    assert "".join(items_of(world.sender.taken)) == "".join(c for c in lines if c not in bad)
    assert aside(world) == list(bad)
    for item in world.leases.parked[SUB]:
        assert (item.code, item.reason, item.http_status) == ("refused", f"HTTP {http_status}", http_status)
        assert lines[item.place.item] == item.line
    assert world.progress().attempts_failed == len(requests) - len(world.sender.taken)
    balance(world, len(lines))
    await world.bus.publish([outgoing("m2", "x")])
    await world.clock.advance(0)
    assert asked(world)[-1] == "x", "the rest goes on"


async def test_each_half_has_an_id_of_its_own_the_same_after_a_crash(world: World) -> None:
    world.sender.judge = poisoned("c")
    await carry(world, "abcd")
    known = {"".join(lines_of(push)): push.request_id for push in world.sender.attempts}
    assert len(set(known.values())) == len(known)
    other = World()
    other.sender.judge = poisoned("c")
    other.sender.script = [None] * 0
    await carry(other, "abcd")
    assert {"".join(lines_of(push)): push.request_id for push in other.sender.attempts} == known
    await other.close()


@pytest.mark.parametrize(("bad", "requests"), [("c", ["abcd", "ab", "d"]), ("ad", ["abcd", "bc"]), ("abcd", ["abcd"])])
async def test_readings_named_in_a_422_are_parked_at_once_and_the_rest_is_sent(
    world: World, bad: str, requests: list[str]
) -> None:
    world.sender.judge = poisoned(*bad, named=True)
    await carry(world, "abcd")
    assert asked(world) == requests
    assert aside(world) == list(bad)
    assert {item.reason for item in world.leases.parked[SUB]} == {f"{c} is bad" for c in bad}
    assert {item.http_status for item in world.leases.parked[SUB]} == {422}
    balance(world, 4)


async def test_readings_named_in_a_207_are_parked_and_the_rest_is_taken(world: World) -> None:
    world.sender.judge = poisoned("b", "d", http_status=207)
    await carry(world, "abcd")
    assert asked(world) == ["abcd"]
    assert world.progress().delivered == 2
    assert [(item.line, item.reason, item.http_status) for item in world.leases.parked[SUB]] == [
        ("b", "b is bad", 207),
        ("d", "d is bad", 207),
    ]
    balance(world, 4)


async def test_indices_that_are_not_in_the_push_mean_nothing(world: World) -> None:
    world.sender.script = [
        DestinationRefused("HTTP 422", http_status=422, failed={7: "x", -1: "y"}),
        Sent(http_status=207, seconds=0.0, failed={9: "z"}),
        None,
    ]
    await carry(world, "ab")
    assert asked(world) == ["ab", "a", "b"]
    assert aside(world) == []
    balance(world, 2)


@pytest.mark.parametrize(
    "error",
    [
        DestinationRefused("HTTP 401", http_status=401),
        DestinationRefused("HTTP 302", http_status=302),
        DestinationRefused("HTTP 404", http_status=404),
        DestinationRefused("HTTP 500", http_status=500),
        DestinationUnreachable("reset"),
    ],
)
async def test_any_other_answer_is_a_failure_tried_again_by_the_schedule(world: World, error: DeliveryError) -> None:
    world.sender.script = [error]
    await carry(world, "ab")
    assert world.progress().last_error == error.message
    assert (world.progress().failures, world.progress().attempts_failed) == (1, 1)
    await world.clock.advance(1.1)
    assert asked(world) == ["ab", "ab"]
    assert (world.progress().failures, world.progress().failing_since, world.progress().retry_at) == (0, None, None)
    numbers = [(attempt.attempt, attempt.code) for attempt in world.leases.attempts[SUB]]
    assert numbers == [(1, error.code), (2, "")]


async def test_what_the_egress_guard_refuses_waits_and_is_not_charged_to_the_destination(world: World) -> None:
    world.sender.script = [EgressRefused("private")]
    await carry(world, "ab")
    assert (world.progress().failures, world.progress().attempts_failed) == (1, 0)
    assert world.progress().last_error == "private"
    await world.clock.advance(1.1)
    assert asked(world) == ["ab", "ab"]
    assert [(attempt.attempt, attempt.code) for attempt in world.leases.attempts[SUB]] == [(1, "")]


async def test_a_410_pauses_the_subscription_and_keeps_everything(world: World) -> None:
    world.sender.script = [DestinationRefused("HTTP 410 gone", http_status=410)]
    await carry(world, "ab")
    kept = world.leases.leases[SUB].subscription
    assert (kept.state, kept.paused_by, kept.paused_reason) == ("paused", "policy", "HTTP 410 gone")
    assert [fact.reason for fact in world.facts if isinstance(fact, SubscriptionSuspended)] == ["HTTP 410 gone"]
    assert [attempt.http_status for attempt in world.leases.attempts[SUB]] == [410]
    await world.bus.publish([outgoing("m2", "c")])
    await world.clock.advance(HOUR_S)
    assert asked(world) == ["ab"]
    world.leases.resume(SUB)
    await world.clock.advance(LEASE_S)
    assert asked(world) == ["ab", "ab", "c"]
    assert len({push.request_id for push in world.sender.attempts[:2]}) == 1
    balance(world, 3)


async def test_a_refresh_token_that_is_no_longer_good_suspends_and_charges_no_attempt(world: World) -> None:
    world.sender.script = [ReauthorisationNeeded("invalid_grant")]
    await carry(world, "ab")
    kept = world.leases.leases[SUB].subscription
    assert (kept.state, kept.paused_by, kept.paused_reason) == ("paused", "policy", "invalid_grant")
    assert (world.progress().attempts_failed, world.leases.attempts[SUB]) == (0, [])


async def test_a_token_that_cannot_be_had_delays_and_charges_no_attempt(world: World) -> None:
    world.sender.script = [TokenFault("no token"), TokenFault("no token", retry_after_s=60)]
    await carry(world, "ab")
    assert (world.progress().attempts_failed, world.leases.attempts[SUB]) == (0, [])
    assert world.progress().last_error == "no token"
    await world.clock.advance(1.1)
    assert len(asked(world)) == 2
    await world.clock.advance(58)
    assert len(asked(world)) == 2
    await world.clock.advance(3)
    assert [attempt.attempt for attempt in world.leases.attempts[SUB]] == [1], "the first that was asked"
    balance(world, 2)


async def test_an_endpoint_that_refuses_everything_is_waited_for_after_five_in_a_row_and_then_goes_on(
    world: World,
) -> None:
    world.sender.judge = poisoned(*"abcdefgh")
    await carry(world, "abcdefghi", items=1)
    assert asked(world) == list("abcdef")
    assert aside(world) == list("abcdef")
    await world.clock.advance(1.1)
    assert asked(world) == list("abcdefg")
    await world.clock.advance(4)
    assert asked(world) == list("abcdefg")
    await world.clock.advance(1.1)
    assert asked(world) == list("abcdefgh")
    await world.clock.advance(31)
    assert asked(world) == list("abcdefghi")
    assert world.progress().failures == 0
    balance(world, 9)


@pytest.mark.parametrize("http_status", [207, 422])
async def test_an_endpoint_that_names_every_reading_as_bad_is_waited_for_too(world: World, http_status: int) -> None:
    world.sender.judge = poisoned(*"abcdefghijkl", http_status=http_status, named=True)
    await carry(world, "abcdefghijkl", items=3)
    assert asked(world) == ["abc", "def"]
    await world.clock.advance(1.1)
    assert asked(world) == ["abc", "def", "ghi"]
    await world.clock.advance(5.1)
    assert asked(world) == ["abc", "def", "ghi", "jkl"]
    balance(world, 12)


async def test_what_a_destination_says_is_kept_without_what_the_database_does_not_take(world: World) -> None:
    world.sender.script = [
        DestinationRefused("bad\x00\ud800", http_status=500, answer="a\x00b"),
        DestinationRefused("x", http_status=422, failed={0: "r\x00s"}),
    ]
    await carry(world, "a")
    await world.clock.advance(2)
    assert world.leases.attempts[SUB][0].error == "bad\ufffd?"
    assert world.leases.attempts[SUB][0].answer == "a\ufffdb"
    assert world.leases.parked[SUB][0].reason == "r\ufffds"
