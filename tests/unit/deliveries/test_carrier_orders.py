"""Orders, replays, parked readings sent again, unreadable messages, crashes in between: nothing lost, counts exact."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import msgspec
import pytest
from tests.simulation.world import LEASE_S, POLICY, World, items_of, outgoing, subscription
from tests.unit.deliveries.test_carrier_answers import SUB, aside, asked, balance, carry, poisoned

from matrixhub.model.errors import DestinationRefused, DestinationUnreachable
from matrixhub.model.ids import ZoneId
from matrixhub.model.policy import BatchLimits, Policy
from matrixhub.model.subscription import Filter, Position, Replay
from matrixhub.observe import LeaseEnded, ReplayBegun, StageStopped
from matrixhub.ports import Outgoing, Push, Sent

DOWN = DestinationUnreachable("down")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    assert not [fact for fact in made.facts if isinstance(fact, StageStopped)]
    await made.close()


def reading(device: str, n: int, zone: str = "z") -> str:
    return msgspec.json.encode({"DEVID": device, "n": n, "InsID": zone}).decode()


def message_of(n: int, *devices: str) -> Outgoing:
    return outgoing(f"m{n}", *(reading(device, n * 100 + k) for k, device in enumerate(devices)))


def numbers(lines: Sequence[str]) -> dict[str, list[int]]:
    """What came, by device."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for line in lines:
        known = msgspec.json.decode(line)
        found[known["DEVID"]].append(known["n"])
    return dict(found)


class Slow:
    """A destination that holds pushes with a device until it is told to let them go, or refuses them."""

    def __init__(self, device: str) -> None:
        self.device = f'"{device}"'
        self.gate = asyncio.Event()
        self.error: Exception | None = None
        self.attempts: list[Push] = []
        self.taken: list[Push] = []

    async def send(self, push: Push) -> Sent:
        self.attempts.append(push)
        if any(self.device in line for line in items_of([push])):
            if self.error is not None:
                raise self.error
            await self.gate.wait()
        self.taken.append(push)
        return Sent(http_status=200, seconds=0.0)


PER_DEVICE = replace(POLICY, order="per_device", in_flight=4)
LATEST = replace(POLICY, order="latest_first")
DEVICES = ("d1", "d2", "d3", "d4", "d5")


async def start(world: World, policy: Policy, *, items: int = 10, sender: Slow | None = None) -> None:
    made = subscription(limits=BatchLimits(items=items))
    world.subscribe(replace(made, policy=policy))
    await world.start(sender=sender)


# per device


async def test_each_device_keeps_its_order_while_several_pushes_are_in_flight(world: World) -> None:
    sender = Slow("d1")
    await world.bus.publish([message_of(n, *DEVICES) for n in range(6)])
    await start(world, PER_DEVICE, items=8, sender=sender)
    assert len(sender.attempts) > 1
    assert sender.taken, "a lane that is slow does not hold the others"
    sender.gate.set()
    await world.clock.advance(0.1)
    assert numbers(items_of(sender.taken)) == {d: [n * 100 + k for n in range(6)] for k, d in enumerate(DEVICES)}
    balance(world, 30)


async def test_after_a_crash_only_the_lanes_that_were_not_done_come_again(world: World) -> None:
    sender = Slow("d1")
    await world.bus.publish([message_of(n, *DEVICES) for n in range(2)])
    await start(world, PER_DEVICE, sender=sender)
    before = {push.request_id: push.body for push in sender.attempts}
    done = {push.request_id for push in sender.taken}
    assert done
    assert len(done) < len(before)
    await world.kill()
    world.leases.configure(SUB, policy=replace(PER_DEVICE, in_flight=3))
    sender.gate.set()
    await world.start("wrk_2", sender=sender)
    await world.clock.advance(LEASE_S * 1.3)
    again = {push.request_id: push.body for push in sender.attempts[len(before) :]}
    assert again == {id_: body for id_, body in before.items() if id_ not in done}
    assert world.progress().delivered == 10
    balance(world, 10)


async def test_what_fails_side_by_side_moves_the_schedule_once(world: World) -> None:
    world.sender.script = [DOWN] * 4
    await world.bus.publish([message_of(0, *(f"d{n}" for n in range(10)))])
    await start(world, PER_DEVICE)
    failed = 4 - len(world.sender.script)
    assert failed > 1
    assert world.progress().failures == 1
    assert world.progress().attempts_failed == failed
    world.sender.script = []
    await world.clock.advance(1.1)
    balance(world, 10)


async def test_a_lost_lease_in_a_lane_ends_the_carrier_as_any_lost_lease_does(world: World) -> None:
    sender = Slow("d1")
    await world.bus.publish([message_of(0, *DEVICES)])
    await start(world, PER_DEVICE, sender=sender)
    lease = world.leases.leases[SUB]
    world.leases.leases[SUB] = replace(lease, fence=lease.fence + 1)
    sender.gate.set()
    await world.clock.advance(0.1)
    assert [fact for fact in world.facts if isinstance(fact, LeaseEnded) and "no longer holds" in fact.reason]


async def test_poisoned_readings_are_parked_out_of_their_lanes(world: World) -> None:
    bad = reading("d1", 0)
    world.sender.judge = poisoned(bad)
    await world.bus.publish([message_of(n, *DEVICES) for n in range(4)])
    await start(world, PER_DEVICE)
    assert aside(world) == [bad]
    assert world.progress().delivered == 19
    balance(world, 20)


async def test_lanes_that_wait_long_give_their_memory_back(world: World) -> None:
    world.sender.script = [DestinationRefused("HTTP 503", http_status=503, retry_after_s=100)] * 4
    await world.bus.publish([message_of(0, *DEVICES)])
    await start(world, replace(PER_DEVICE, in_flight=1))
    assert world.workers["wrk_1"]._memory.held == 0
    world.sender.script = []
    await world.clock.advance(101)
    assert len({push.request_id for push in world.sender.attempts}) == 1
    balance(world, 5)


async def test_an_unfinished_stretch_is_not_sent_as_one_push_when_the_order_becomes_strict(world: World) -> None:
    world.sender.script = [DOWN] * 20
    await world.bus.publish([message_of(n, *DEVICES) for n in range(4)])
    await start(world, PER_DEVICE, items=5)
    world.sender.script = []
    world.leases.configure(SUB, policy=POLICY)
    world.workers["wrk_1"].changed()
    await world.clock.advance(LEASE_S)
    assert all(push.items <= 5 for push in world.sender.attempts)
    balance(world, 20)


# latest first


async def test_only_the_newest_of_each_device_is_sent_newest_first_and_the_rest_is_counted(world: World) -> None:
    await world.bus.publish([message_of(0, "d1", "d2"), message_of(1, "d3", "d1"), message_of(2, "d3")])
    await start(world, LATEST, items=2)
    assert [numbers(items_of([push])) for push in world.sender.taken] == [{"d3": [200], "d1": [101]}, {"d2": [1]}]
    assert (world.progress().delivered, world.progress().skipped) == (3, 2)
    balance(world, 5)


async def test_newer_readings_replace_those_that_failed(world: World) -> None:
    world.sender.script = [DOWN]
    await world.bus.publish([message_of(0, "d1", "d2")])
    await start(world, LATEST)
    await world.bus.publish([message_of(1, "d1")])
    await world.clock.advance(1.1)
    assert numbers(items_of(world.sender.taken)) == {"d1": [100], "d2": [1]}
    assert (world.progress().delivered, world.progress().skipped) == (2, 1)
    balance(world, 3)


async def test_a_stretch_begun_before_a_crash_is_taken_as_it_was_even_while_the_stream_is_away(world: World) -> None:
    world.sender.gate = asyncio.Event()
    await world.bus.publish([message_of(n, "d1", "d2") for n in range(3)])
    await start(world, LATEST)
    await world.kill()
    await world.bus.publish([message_of(3, "d1")])
    world.sender.gate.set()
    await world.start("wrk_2")
    world.bus.down = True
    await world.clock.advance(LEASE_S * 1.3)
    assert len(world.sender.attempts) == 1
    await world.bus.come_back()
    await world.clock.advance(2)
    first, again, rest = world.sender.attempts
    assert (first.request_id, first.body) == (again.request_id, again.body)
    assert numbers(items_of([rest])) == {"d1": [300]}
    balance(world, 7)


async def test_a_filter_that_no_longer_wants_the_end_of_a_stretch_holds_nothing_up(world: World) -> None:
    world.sender.gate = asyncio.Event()
    lines = [reading("d1", 1, "z1"), reading("d2", 2, "z2")]
    await world.bus.publish([outgoing("m1", lines[0]), outgoing("m2", lines[1])])
    await start(world, LATEST)
    await world.kill()
    world.leases.configure(SUB, filter=Filter(zones=frozenset({ZoneId("z1")})))
    await world.bus.publish([outgoing("m3", reading("d1", 3, "z1"))])
    world.sender.gate.set()
    await world.start("wrk_2")
    await world.clock.advance(LEASE_S * 1.3)
    assert numbers(items_of(world.sender.taken[-2:])) == {"d1": [1, 3]}


# zones


async def test_a_push_begins_where_the_saved_position_is_though_unwanted_readings_lie_between(world: World) -> None:
    made = subscription()
    world.subscribe(replace(made, filter=Filter(zones=frozenset({ZoneId("z1")}))))
    world.sender.gate = asyncio.Event()
    await world.start()
    await world.bus.publish([outgoing("m1", reading("d", 1, "z2"))])
    await world.clock.advance(0)
    await world.bus.publish([outgoing("m2", reading("d", 2, "z1"))])
    await world.clock.advance(0)
    await world.kill()
    world.sender.gate.set()
    await world.start("wrk_2")
    await world.clock.advance(LEASE_S * 1.3)
    first, again = world.sender.attempts
    assert (first.request_id, first.body) == (again.request_id, again.body)


# replays


@pytest.mark.parametrize(
    ("position", "again"),
    [
        (Position(seq=1), ["a", "b", "c", "d", "e"]),
        (Position(seq=0), ["a", "b", "c", "d", "e"]),
        (Position(seq=1, item=2), ["c", "d", "e"]),
        (Position(seq=2, item=1), ["e"]),
        (Position(seq=99), []),
    ],
)
async def test_a_replay_goes_back_to_its_position_with_new_ids_and_is_counted(
    world: World, position: Position, again: list[str]
) -> None:
    await carry(world, "abc")
    await world.bus.publish([outgoing("m2", "d", "e")])
    await world.clock.advance(0)
    known = {push.request_id for push in world.sender.taken}
    before = len(items_of(world.sender.taken))
    world.leases.ask_replay(SUB, Replay(id="rpl_1", position=position))
    world.workers["wrk_1"].changed()
    await world.clock.advance(LEASE_S)
    assert items_of(world.sender.taken)[before:] == again
    assert not {push.request_id for push in world.sender.taken[2:]} & known
    assert [(fact.replay, fact.items) for fact in world.facts if isinstance(fact, ReplayBegun)] == [
        ("rpl_1", len(again))
    ]
    assert (world.progress().epoch, world.progress().replayed) == (1, len(again))
    balance(world, 5)


async def test_a_replay_while_a_push_is_under_way_begins_after_it(world: World) -> None:
    await carry(world, "ab")
    world.sender.gate = asyncio.Event()
    await world.bus.publish([outgoing("m2", "c")])
    await world.clock.advance(0)
    world.leases.ask_replay(SUB, Replay(id="rpl_1", position=Position(seq=1, item=1)))
    world.workers["wrk_1"].changed()
    await world.clock.advance(1)
    world.sender.gate.set()
    await world.clock.advance(LEASE_S)
    assert asked(world) == ["ab", "c", "bc"]
    balance(world, 3)


async def test_a_replay_counts_what_lanes_had_done_before_a_crash(world: World) -> None:
    sender = Slow("d1")
    await world.bus.publish([message_of(n, *DEVICES) for n in range(2)])
    await start(world, PER_DEVICE, sender=sender)
    assert 0 < world.progress().delivered < 10
    await world.kill()
    world.leases.ask_replay(SUB, Replay(id="rpl_1", position=Position(seq=1)))
    sender.gate.set()
    await world.start("wrk_2", sender=sender)
    await world.clock.advance(LEASE_S * 1.3)
    assert world.progress().delivered > 10
    balance(world, 10)


# parked readings


async def test_parked_readings_are_sent_again_and_those_refused_again_stay_parked(world: World) -> None:
    world.sender.judge = poisoned(*"bdf")
    await carry(world, "abcdefg")
    world.sender.judge = poisoned("d")
    world.leases.ask_redrive(SUB)
    world.workers["wrk_1"].changed()
    await world.clock.advance(0.1)
    assert aside(world) == ["d"]
    assert world.leases.parked[SUB][0].redrive_at is None
    assert world.leases.leases[SUB].redrive == 0
    assert items_of(world.sender.taken)[4:] == ["b", "f"]
    balance(world, 7)


async def test_one_parked_reading_is_sent_again_alone(world: World) -> None:
    world.sender.judge = poisoned(*"bd")
    await carry(world, "abcd")
    world.sender.judge = None
    world.leases.ask_redrive(SUB, {world.leases.parked[SUB][1].id})
    world.workers["wrk_1"].changed()
    await world.clock.advance(0.1)
    assert (aside(world), asked(world)[-1]) == (["b"], "d")
    assert [attempt.kind for attempt in world.leases.attempts[SUB]][-1] == "redrive"
    balance(world, 4)


async def test_parked_readings_that_fail_do_not_hold_up_the_stream_and_come_in_the_end(world: World) -> None:
    def judge(push: Push) -> dict[int, str]:
        if "b" in items_of([push]):
            raise DestinationRefused("HTTP 500", http_status=500)
        return {}

    world.sender.judge = poisoned("b")
    await carry(world, "abc")
    world.sender.judge = judge
    world.leases.ask_redrive(SUB)
    world.workers["wrk_1"].changed()
    for n in range(5):
        await world.bus.publish([outgoing(f"n{n}", f"{n}")])
        await world.clock.advance(2)
    assert items_of(world.sender.taken)[2:] == ["0", "1", "2", "3", "4"]
    assert aside(world) == ["b"]
    world.sender.judge = None
    await world.clock.advance(70)
    assert aside(world) == []
    assert len({push.request_id for push in world.sender.attempts if items_of([push]) == ["b"]}) == 2
    balance(world, 8)


# what cannot be read


@pytest.mark.parametrize("order", ["strict", "per_device", "latest_first"])
async def test_messages_that_cannot_be_read_are_parked_and_counted(world: World, order: str) -> None:
    bad = replace(outgoing("bad", "x", "y"), data=b"\xff\x00\xfe")
    await world.bus.publish([bad, message_of(1, "d1"), replace(bad, id="bad2"), message_of(2, "d2")])
    await start(world, replace(POLICY, order=order))  # type: ignore[arg-type]
    await world.bus.publish([replace(bad, id="bad3")])
    await world.clock.advance(0.1)
    assert [(item.code, item.place.seq, item.place.item) for item in world.leases.parked[SUB]] == [
        ("unreadable", seq, item) for seq in (1, 3, 5) for item in (0, 1)
    ]
    assert all("\x00" not in item.line for item in world.leases.parked[SUB])
    assert world.progress().delivered == 2
    balance(world, 8)
