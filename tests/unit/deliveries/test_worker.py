"""A worker delivers what it owns: in order, with retries, through outages, and never without its lease."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import msgspec
import pytest
from tests.simulation.world import LEASE_S, World, items_of, outgoing, subscription

from matrixhub.model.errors import DestinationRefused, DestinationUnreachable
from matrixhub.model.ids import SubscriptionId, WorkerId
from matrixhub.model.policy import BatchLimits
from matrixhub.model.subscription import Position
from matrixhub.observe import Delivered, DeliveryFailed, LeaseEnded, MessageUnreadable, StageStopped, WorkerCut
from matrixhub.ports import Push, Sent
from matrixhub.testing.fakes import settle


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.close()


def ids(pushes: list[Push]) -> list[str]:
    return [push.request_id for push in pushes]


async def test_a_reading_is_delivered_at_once_when_idle(world: World) -> None:
    world.subscribe(subscription())
    await world.start()
    await world.bus.publish([outgoing("m1", "a")])
    await settle()
    assert items_of(world.sender.taken) == ["a"]
    assert world.progress().delivered == 1
    assert world.progress().position == Position(seq=2)
    assert world.progress().sending_to is None


async def test_readings_that_come_while_a_request_is_in_flight_are_collected(world: World) -> None:
    world.subscribe(subscription())
    world.sender.gate = asyncio.Event()
    await world.start()
    await world.bus.publish([outgoing("m1", "a")])
    await settle()
    for n in range(5):
        await world.bus.publish([outgoing(f"n{n}", f"b{n}")])
    await settle()
    assert len(world.sender.attempts) == 1
    world.sender.gate.set()
    await settle()
    assert [len(msgspec.json.decode(push.body)) for push in world.sender.taken] == [1, 5]


async def test_a_backlog_is_delivered_in_order_in_full_batches(world: World) -> None:
    world.subscribe(subscription(limits=BatchLimits(items=4)))
    await world.bus.publish([outgoing(f"m{n}", f"{n}a", f"{n}b", f"{n}c") for n in range(7)])
    await world.start()
    assert items_of(world.sender.taken) == [f"{n}{c}" for n in range(7) for c in "abc"]
    assert [len(msgspec.json.decode(push.body)) for push in world.sender.taken] == [4, 4, 4, 4, 4, 1]
    assert world.progress().delivered == 21


async def test_a_failed_push_is_repeated_with_the_same_id_and_bytes_after_each_wait_of_the_schedule(
    world: World,
) -> None:
    world.subscribe(subscription())
    world.sender.script = [DestinationUnreachable("down"), DestinationRefused("HTTP 500", http_status=500), None]
    await world.start()
    await world.bus.publish([outgoing("m1", "a")])
    await settle()
    assert len(world.sender.attempts) == 1
    await world.bus.publish([outgoing("m2", "b")])
    await world.clock.advance(0.9)
    assert len(world.sender.attempts) == 1
    await world.clock.advance(0.2)
    assert len(world.sender.attempts) == 2
    await world.clock.advance(5)
    assert len(set(ids(world.sender.attempts[:3]))) == 1
    assert len({push.body for push in world.sender.attempts[:3]}) == 1
    assert items_of(world.sender.taken) == ["a", "b"]
    failed = [fact for fact in world.facts if isinstance(fact, DeliveryFailed)]
    assert [(fact.attempt, fact.code, fact.retry_in_s) for fact in failed] == [(1, "MH-D002", 1.0), (2, "MH-D003", 5.0)]
    assert world.progress().attempts_failed == 2
    assert world.progress().last_error == ""


async def test_the_last_wait_of_the_schedule_repeats_until_the_destination_is_back(world: World) -> None:
    world.subscribe(subscription())
    world.sender.script = [DestinationUnreachable("down")] * 10
    await world.start()
    await world.bus.publish([outgoing("m1", "a")])
    for _ in range(400):
        await world.clock.advance(1)
    assert items_of(world.sender.taken) == ["a"]
    assert len(world.sender.attempts) == 11
    assert world.progress().delivered == 1


async def test_retry_after_is_obeyed_when_it_asks_for_longer(world: World) -> None:
    world.subscribe(subscription())
    world.sender.script = [DestinationRefused("HTTP 429", http_status=429, retry_after_s=7.0)]
    await world.start()
    await world.bus.publish([outgoing("m1", "a")])
    await settle()
    await world.clock.advance(6.5)
    assert len(world.sender.attempts) == 1
    await world.clock.advance(1)
    assert items_of(world.sender.taken) == ["a"]


async def test_a_failing_destination_holds_no_other(world: World) -> None:
    class OneIsDown:
        def __init__(self) -> None:
            self.taken: list[Push] = []

        async def send(self, push: Push) -> Sent:
            if push.subscription.destination.url.endswith("/1"):
                raise DestinationUnreachable("down")
            self.taken.append(push)
            return Sent(http_status=200, seconds=0.0)

    sender = OneIsDown()
    world.subscribe(subscription(1))
    world.subscribe(subscription(2))
    await world.start(sender=sender)
    await world.bus.publish([outgoing(f"m{n}", f"{n}") for n in range(30)])
    await settle()
    assert items_of(sender.taken) == [f"{n}" for n in range(30)]
    assert world.progress(1).delivered == 0


async def test_the_plan_is_saved_before_the_request_is_sent(world: World) -> None:
    world.subscribe(subscription())
    world.sender.gate = asyncio.Event()
    await world.start()
    await world.bus.publish([outgoing("m1", "a", "b")])
    await settle()
    assert world.progress().sending_to == Position(seq=2)
    assert world.progress().position == Position(seq=1)
    world.sender.gate.set()


async def test_a_new_owner_repeats_the_request_of_a_killed_worker_with_the_same_id(world: World) -> None:
    world.subscribe(subscription())
    world.sender.gate = asyncio.Event()
    await world.start("wrk_1")
    await world.bus.publish([outgoing("m1", "a")])
    await settle()
    await world.kill("wrk_1")
    await world.bus.publish([outgoing("m2", "b"), outgoing("m3", "c")])
    world.sender.gate.set()
    await world.start("wrk_2")
    assert len(world.sender.attempts) == 1, "the lease of the killed worker still holds"
    await world.clock.advance(LEASE_S * 1.3)
    first, again, rest = world.sender.attempts
    assert (again.request_id, again.body) == (first.request_id, first.body)
    assert items_of([again, rest]) == ["a", "b", "c"]
    assert world.progress().delivered == 3


async def test_a_worker_restarted_under_its_name_goes_on_at_once(world: World) -> None:
    world.subscribe(subscription())
    await world.start()
    await world.kill()
    await world.bus.publish([outgoing("m1", "a")])
    await world.start()
    assert items_of(world.sender.taken) == ["a"]


async def test_an_older_owner_can_save_nothing_and_stops(world: World) -> None:
    world.subscribe(subscription())
    world.sender.gate = asyncio.Event()
    await world.start("wrk_1")
    await world.bus.publish([outgoing("m1", "a")])
    await settle()
    lease = world.leases.leases[SubscriptionId("sub_1")]
    world.leases.owners[SubscriptionId("sub_1")] = WorkerId("wrk_other")
    world.leases.workers[WorkerId("wrk_other")] = 1e9
    world.leases.leases[SubscriptionId("sub_1")] = replace(lease, worker=WorkerId("wrk_other"), fence=lease.fence + 1)
    world.sender.gate.set()
    await settle()
    assert world.progress().delivered == 0
    assert any(isinstance(fact, LeaseEnded) and "no longer holds" in fact.reason for fact in world.facts)


async def test_a_worker_that_cannot_renew_its_leases_stops_sending(world: World) -> None:
    world.subscribe(subscription())
    await world.start()
    world.leases.down = True
    await world.clock.advance(LEASE_S * 2)
    assert any(isinstance(fact, WorkerCut) for fact in world.facts)
    await world.bus.publish([outgoing("m1", "a")])
    await world.clock.advance(LEASE_S)
    assert world.sender.attempts == []
    world.leases.down = False
    await world.clock.advance(LEASE_S)
    assert items_of(world.sender.taken) == ["a"]


async def test_positions_wait_for_the_database_and_nothing_is_sent_meanwhile(world: World) -> None:
    world.subscribe(subscription())
    await world.start()
    world.leases.down = True
    await world.bus.publish([outgoing("m1", "a")])
    await world.clock.advance(2)
    assert world.sender.attempts == []
    world.leases.down = False
    await world.clock.advance(1)
    assert items_of(world.sender.taken) == ["a"]


async def test_a_stream_that_is_away_is_waited_for(world: World) -> None:
    world.subscribe(subscription())
    world.bus.down = True
    await world.start()
    await world.clock.advance(5)
    await world.bus.come_back()
    await world.bus.publish([outgoing("m1", "a")])
    await world.clock.advance(2)
    assert items_of(world.sender.taken) == ["a"]


async def test_a_paused_subscription_gets_nothing_and_then_everything(world: World) -> None:
    made = subscription()
    world.subscribe(made)
    worker = await world.start()

    def set_state(paused: bool) -> None:
        lease = world.leases.leases[made.id]
        state = replace(made, state="paused" if paused else "active")
        world.leases.leases[made.id] = replace(lease, subscription=state)
        worker.changed()

    set_state(True)
    await settle()
    await world.bus.publish([outgoing(f"m{n}", f"{n}") for n in range(5)])
    await world.clock.advance(60)
    assert world.sender.attempts == []
    set_state(False)
    await settle()
    assert items_of(world.sender.taken) == [f"{n}" for n in range(5)]


async def test_a_stop_ends_the_request_under_way_and_gives_the_subscription_back(world: World) -> None:
    world.subscribe(subscription())
    world.sender.gate = asyncio.Event()
    await world.start()
    await world.bus.publish([outgoing("m1", "a")])
    await settle()
    asyncio.get_running_loop().call_later(0.01, world.sender.gate.set)
    await world.stop()
    assert items_of(world.sender.taken) == ["a"]
    assert world.progress().delivered == 1
    assert world.leases.owners[SubscriptionId("sub_1")] is None


async def test_a_stop_does_not_wait_for_a_destination_that_is_down(world: World) -> None:
    world.subscribe(subscription())
    world.sender.script = [DestinationUnreachable("down")] * 100
    await world.start()
    await world.bus.publish([outgoing("m1", "a")])
    await settle()
    await world.stop()
    assert world.progress().sending_to == Position(seq=2)


async def test_workers_share_the_subscriptions_and_take_over_from_one_that_leaves(world: World) -> None:
    for n in range(8):
        world.subscribe(subscription(n, property_id=f"p{n}"))
    await world.start("wrk_1")
    await world.start("wrk_2")
    await world.clock.advance(LEASE_S)
    owners = sorted(str(owner) for owner in world.leases.owners.values())
    assert owners == ["wrk_1"] * 4 + ["wrk_2"] * 4
    await world.stop("wrk_2")
    await world.clock.advance(LEASE_S)
    assert set(world.leases.owners.values()) == {WorkerId("wrk_1")}


async def test_data_the_hub_did_not_write_is_reported_and_passed_over(world: World) -> None:
    world.subscribe(subscription())
    await world.start()
    bad = replace(outgoing("m1", "x"), data=b"\xff\xfe")
    await world.bus.publish([outgoing("m0", "a"), bad, outgoing("m2", "b")])
    await settle()
    assert items_of(world.sender.taken) == ["a", "b"]
    assert [fact.seq for fact in world.facts if isinstance(fact, MessageUnreadable)] == [2]


async def test_a_defect_met_by_one_subscription_is_reported_and_tried_again_and_holds_no_other(world: World) -> None:
    class Broken:
        def __init__(self) -> None:
            self.calls = 0
            self.taken: list[Push] = []

        async def send(self, push: Push) -> Sent:
            if push.subscription.destination.url.endswith("/1"):
                self.calls += 1
                if self.calls == 1:
                    raise ZeroDivisionError("a defect")
            self.taken.append(push)
            return Sent(http_status=200, seconds=0.0)

    sender = Broken()
    world.subscribe(subscription(1))
    world.subscribe(subscription(2))
    await world.start(sender=sender)
    await world.bus.publish([outgoing("m1", "a")])
    await settle()
    assert len(sender.taken) == 1
    assert [f.stage for f in world.facts if isinstance(f, StageStopped)] == ["subscription sub_1"]
    await world.clock.advance(LEASE_S)
    assert len(sender.taken) == 2


async def test_what_is_delivered_is_reported(world: World) -> None:
    world.subscribe(subscription())
    await world.start()
    await world.bus.publish([outgoing("m1", "a", "b")])
    await settle()
    (fact,) = [fact for fact in world.facts if isinstance(fact, Delivered)]
    assert (fact.subscription, fact.items, fact.http_status, fact.attempt) == ("sub_1", 2, 204, 1)
    assert fact.size_bytes == len(world.sender.taken[0].body)
