"""When the next push goes: schedules, Retry-After, giving up, filling, rates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.simulation.world import LEASE_S, POLICY, World, outgoing, subscription
from tests.unit.deliveries.test_carrier_answers import HOUR_S, SUB, aside, asked, balance, carry, poisoned

from matrixhub.model.errors import DestinationRefused, DestinationUnreachable
from matrixhub.model.subscription import Position, Replay
from matrixhub.observe import Parked

DAY_S = 24 * HOUR_S
DOWN = DestinationUnreachable("down")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.close()


async def test_a_schedule_that_begins_with_0_tries_again_at_once_and_then_waits(world: World) -> None:
    world.sender.script = [DOWN] * 3
    await carry(world, "a", policy=replace(POLICY, retry_schedule_s=(0.0, 2.0, 7.0)))
    await world.clock.advance(0.01)
    assert len(asked(world)) == 2
    await world.clock.advance(2)
    assert len(asked(world)) == 3
    await world.clock.advance(6.9)
    assert len(asked(world)) == 3
    await world.clock.advance(0.2)
    assert len(asked(world)) == 4
    balance(world, 1)


async def test_a_shorter_retry_after_leaves_the_schedule_as_it_is(world: World) -> None:
    world.sender.script = [DestinationRefused("HTTP 503", http_status=503, retry_after_s=0.2)]
    await carry(world, "a")
    await world.clock.advance(0.9)
    assert len(asked(world)) == 1
    await world.clock.advance(0.2)
    assert len(asked(world)) == 2


async def test_a_longer_retry_after_is_obeyed_up_to_a_day_and_does_not_move_the_schedule_on() -> None:
    world = World(lease_s=4 * HOUR_S)
    world.sender.script = [
        DestinationRefused("HTTP 429", http_status=429, retry_after_s=10 * DAY_S),
        DestinationRefused("HTTP 429", http_status=429, retry_after_s=20),
        DOWN,
    ]
    await carry(world, "a", policy=replace(POLICY, give_up_s=30 * DAY_S))
    await world.clock.advance(DAY_S - 1)
    assert len(asked(world)) == 1
    await world.clock.advance(2)
    assert len(asked(world)) == 2
    await world.clock.advance(19.5)
    assert len(asked(world)) == 3
    await world.clock.advance(1.1)
    assert len(asked(world)) == 4, "the first wait of the schedule, as no try was counted before"
    await world.close()


async def test_the_instant_of_the_next_attempt_survives_a_change_of_owner(world: World) -> None:
    world.sender.script = [DestinationRefused("HTTP 503", http_status=503, retry_after_s=100)]
    await carry(world, "a")
    await world.kill()
    await world.start("wrk_2")
    await world.clock.advance(98)
    assert len(asked(world)) == 1
    await world.clock.advance(3)
    assert len(asked(world)) == 2
    assert world.sender.attempts[0].request_id == world.sender.attempts[1].request_id


async def test_a_long_wait_gives_memory_back_and_cuts_the_same_request_again(world: World) -> None:
    world.sender.script = [DestinationRefused("HTTP 503", http_status=503, retry_after_s=100)]
    await carry(world, "abc", items=2)
    worker = world.workers["wrk_1"]
    assert worker._memory.held == 0
    await world.bus.publish([outgoing("m2", "d")])
    await world.clock.advance(101)
    first, again, rest = world.sender.attempts
    assert (first.request_id, first.body) == (again.request_id, again.body)
    assert asked(world)[2:] == ["cd"]
    assert rest.request_id != first.request_id
    assert worker._memory.held == 0
    balance(world, 4)


async def test_the_same_request_is_cut_again_though_the_stream_is_away_in_between(world: World) -> None:
    world.sender.script = [DestinationRefused("HTTP 503", http_status=503, retry_after_s=100)]
    await world.bus.publish([outgoing("m0", "x")])
    await carry(world, "abc")
    world.bus.down = True
    await world.clock.advance(120)
    assert len(asked(world)) == 1
    await world.bus.come_back()
    await world.clock.advance(2)
    assert asked(world) == ["xabc", "xabc"]
    assert len({push.request_id for push in world.sender.attempts}) == 1


async def test_what_fails_for_the_age_of_giving_up_is_parked_and_younger_readings_go_on_being_tried(
    world: World,
) -> None:
    world.sender.script = [DOWN] * 10_000
    await carry(world, "ab", policy=replace(POLICY, give_up_s=100.0))
    await world.clock.advance(60)
    await world.bus.publish([outgoing("m2", "c")])
    await world.clock.advance(75)
    assert aside(world) == ["a", "b"]
    assert {(item.code, item.reason) for item in world.leases.parked[SUB]} == {("given_up", "given up: down")}
    assert [fact.items for fact in world.facts if isinstance(fact, Parked)] == [2]
    world.sender.script = []
    await world.clock.advance(31)
    assert asked(world)[-1] == "c"
    balance(world, 3)


async def test_a_push_that_is_partly_too_old_is_parted_by_age(world: World) -> None:
    world.subscribe(replace(subscription(), policy=replace(POLICY, give_up_s=100.0)))
    world.leases.pause(SUB)
    await world.bus.publish([outgoing("m1", "a", "b")])
    await world.clock.advance(80)
    await world.bus.publish([outgoing("m2", "c")])
    world.leases.resume(SUB)
    world.sender.script = [DOWN] * 10_000
    await world.start()
    assert asked(world) == ["abc"]
    await world.clock.advance(90)
    assert aside(world) == [], "it has not failed for so long, however old it is"
    await world.clock.advance(45)
    assert aside(world) == ["a", "b", "c"]
    balance(world, 3)


async def test_old_readings_of_a_replay_are_not_given_up_at_their_first_failure(world: World) -> None:
    world.sender.script = [None, *[DOWN] * 10_000]
    await carry(world, "a", policy=replace(POLICY, give_up_s=1_000.0))
    await world.bus.publish([outgoing("m2", "b")])
    await world.clock.advance(990)
    world.leases.ask_replay(SUB, Replay(id="rpl_1", position=Position(seq=1)))
    world.workers["wrk_1"].changed()
    await world.clock.advance(LEASE_S + 500)
    assert aside(world) == []
    world.sender.script = []
    await world.clock.advance(31)
    assert world.progress().delivered == 3
    balance(world, 2)


async def test_a_push_waits_to_be_filled_for_at_most_so_long(world: World) -> None:
    world.subscribe(replace(subscription(), policy=replace(POLICY, flush_s=5.0)))
    await world.start()
    await world.bus.publish([outgoing("m1", "a")])
    await world.clock.advance(0)
    await world.clock.advance(3)
    await world.bus.publish([outgoing("m2", "b")])
    await world.clock.advance(1.9)
    assert asked(world) == []
    await world.clock.advance(0.2)
    assert asked(world) == ["ab"]


async def test_a_full_push_goes_at_once_and_the_next_waits_anew(world: World) -> None:
    world.subscribe(replace(subscription(), policy=replace(POLICY, flush_s=5.0)))
    await world.start()
    await world.bus.publish([outgoing("m1", "a")])
    await world.clock.advance(0)
    await world.clock.advance(4)
    await world.bus.publish([outgoing("m2", *"bcdefghijkl")])
    await world.clock.advance(0)
    assert asked(world) == ["abcdefghij"]
    await world.clock.advance(4.9)
    assert asked(world) == ["abcdefghij"]
    await world.clock.advance(0.2)
    assert asked(world) == ["abcdefghij", "kl"]


async def test_a_push_that_nothing_more_fits_into_does_not_wait(world: World) -> None:
    made = subscription()
    limits = replace(made.limits, size_bytes=1024)
    world.subscribe(replace(made, policy=replace(POLICY, flush_s=50.0), limits=limits))
    await world.start()
    await world.bus.publish([outgoing("m1", "a" * 600), outgoing("m2", "b" * 600), outgoing("m3", "c" * 600)])
    await world.clock.advance(0)
    assert asked(world) == ["a" * 600, "b" * 600]


async def test_pushes_keep_to_the_rate(world: World) -> None:
    await carry(world, "abcdefghi", policy=replace(POLICY, rate_per_s=2.0), items=3)
    assert len(asked(world)) == 1
    await world.clock.advance(1.4)
    assert len(asked(world)) == 1
    await world.clock.advance(0.2)
    assert len(asked(world)) == 2
    await world.clock.advance(1.5)
    assert asked(world) == ["abc", "def", "ghi"]


async def test_a_backlog_is_worked_off_at_its_own_rate_and_new_readings_are_not_held(world: World) -> None:
    await carry(world, "abcdef", policy=replace(POLICY, catch_up_per_s=3.0), items=3)
    assert asked(world) == ["abc"]
    await world.clock.advance(1.1)
    assert asked(world) == ["abc", "def"]
    for n in range(4):
        await world.bus.publish([outgoing(f"n{n}", f"{n}")])
        await world.clock.advance(0.0)
    assert asked(world)[2:] == ["0", "1", "2", "3"]


async def test_a_reading_refused_again_and_again_does_not_hold_up_the_others(world: World) -> None:
    world.sender.judge = poisoned("b")
    await carry(world, "abc", items=1)
    assert asked(world) == ["a", "b", "c"]
    balance(world, 3)


async def test_a_backlog_is_carried_with_one_step_saved_for_each_push(world: World) -> None:
    await carry(world, "abcdefghij", items=2)
    assert len(world.sender.taken) == 5
    assert len(world.leases.steps) == 1 + 5
    balance(world, 10)
