"""What every `Leases` keeps, run on the in-memory double and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from tests.engines import SharedEngines

from matrixhub.model.delivery import Attempt, ParkedItem, time_ordered_id
from matrixhub.model.destination import Destination
from matrixhub.model.ids import PropertyId, SubscriptionId, WorkerId
from matrixhub.model.policy import BatchLimits
from matrixhub.model.subscription import Filter, Lease, Position, Progress, Replay, Subscription
from matrixhub.observe import ignore
from matrixhub.ports import Advance, Leases
from matrixhub.sources.sites import make_site
from matrixhub.store import Database, open_database
from matrixhub.store.leases import PostgresLeases
from matrixhub.store.sealing import Sealer
from matrixhub.store.sites import apply_site
from matrixhub.store.subscriptions import Codec, create_subscription, set_state, show_subscription
from matrixhub.testing.fakes import MemoryLeases

pytestmark = pytest.mark.asyncio(loop_scope="module")

CODEC = Codec(sealer=Sealer("0f" * 32))
ONE, TWO = WorkerId("wrk_1"), WorkerId("wrk_2")
AT = datetime(2026, 3, 10, 8, 5, 9, tzinfo=UTC)
ENOUGH_S = 3_600.0
TABLES = "subscriptions, subscription_progress, workers, attempts, parked, replays, tokens"


@dataclass
class Kept:
    """An implementation of the port with one subscription in it, and what operators do to it."""

    leases: Leases
    subscription: SubscriptionId
    property_id: PropertyId
    database: Database | None = None

    @property
    def memory(self) -> MemoryLeases:
        assert isinstance(self.leases, MemoryLeases)
        return self.leases

    async def resume(self) -> None:
        if self.database is None:
            self.memory.resume(self.subscription)
        else:
            await set_state(self.database, self.property_id, self.subscription, "active")

    async def pause(self) -> None:
        if self.database is None:
            self.memory.pause(self.subscription)
        else:
            await set_state(self.database, self.property_id, self.subscription, "paused")

    async def ask_replay(self, replay: Replay) -> None:
        if self.database is None:
            self.memory.ask_replay(self.subscription, replay)
        else:
            await self.sql(
                "insert into replays (id, subscription_id, from_seq, from_item) values ($1, $2, $3, $4)",
                *(replay.id, self.subscription, replay.position.seq, replay.position.item),
            )

    async def ask_redrive(self, *items: Any) -> None:
        if self.database is None:
            self.memory.ask_redrive(self.subscription, items)
        else:
            await self.sql(
                "update parked set redrive_at = now() where subscription_id = $1 and id = any($2)",
                *(self.subscription, list(items)),
            )
            await self.sql(
                "update subscription_progress set redrive_asked = redrive_asked + 1 where subscription_id = $1",
                self.subscription,
            )

    async def sql(self, statement: str, *arguments: Any) -> list[Any]:
        assert self.database is not None
        async with self.database.connection() as connection:
            return list(await connection.fetch(statement, *arguments))

    async def attempts(self) -> set[Any]:
        if self.database is None:
            return {attempt.id for attempt in self.memory.attempts[self.subscription]}
        return {row["id"] for row in await self.sql("select id from attempts")}

    async def parked(self) -> list[tuple[Any, str, bool]]:
        if self.database is None:
            return sorted((p.id, p.reason, bool(p.redrive_at)) for p in self.memory.parked[self.subscription])
        rows = await self.sql("select id, reason, redrive_at from parked")
        return sorted((row["id"], row["reason"], bool(row["redrive_at"])) for row in rows)

    async def state(self) -> tuple[Subscription, Progress, Replay | None, int]:
        if self.database is None:
            lease = self.memory.leases[self.subscription]
            return lease.subscription, lease.progress, lease.replay, lease.redrive
        view = await show_subscription(self.database, CODEC, self.property_id, self.subscription)
        return view.subscription, view.progress, view.replay, view.redrive

    async def progress(self) -> Progress:
        return (await self.state())[1]

    async def claimed(self, worker: WorkerId = ONE) -> Lease:
        await self.leases.heartbeat(worker, ENOUGH_S)
        (lease,) = await self.leases.claim(worker, 0)
        return lease


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dsn(shared_engines: SharedEngines) -> str:
    dsn = (await shared_engines.new_database()).socket
    async with open_database(dsn, connections_max=2) as database:
        await apply_site(database, make_site(3, seed=1), remove=False)
    return dsn


@pytest_asyncio.fixture(params=["memory", "postgres"], loop_scope="module")
async def kept(request: pytest.FixtureRequest, dsn: str) -> AsyncIterator[Kept]:
    property_id = make_site(3, seed=1).property.id
    if request.param == "memory":
        made = Subscription(
            id=SubscriptionId("sub_1"),
            property_id=property_id,
            name="n",
            filter=Filter(),
            destination=Destination(url="https://example.test/in"),
            limits=BatchLimits(),
            state="active",
            created_at=AT,
        )
        memory = MemoryLeases(asyncio.get_running_loop().time)
        memory.add(Lease(subscription=made, progress=Progress(position=Position(seq=7)), worker=WorkerId(""), fence=0))
        yield Kept(memory, made.id, property_id)
        return
    async with open_database(dsn, connections_max=3) as database:
        async with database.connection() as connection:
            await connection.execute(f"truncate {TABLES} cascade")
        created = await create_subscription(
            database,
            CODEC,
            property_id,
            name="n",
            wanted=Filter(),
            destination=Destination(url="https://example.test/in"),
            limits=BatchLimits(),
            position=Position(seq=7),
        )
        leases = PostgresLeases(database, CODEC, ignore)
        yield Kept(leases, created.id, property_id, database)
        await leases.close()


def step_of(lease: Lease, number: int = 1, **changes: Any) -> Advance:
    return Advance(subscription=lease.subscription.id, worker=lease.worker, fence=lease.fence, step=number, **changes)


def parked_item(lease: Lease, number: int, reason: str = "bad") -> ParkedItem:
    return ParkedItem(
        id=time_ordered_id(1_800_000_000_000 + number),
        subscription_id=lease.subscription.id,
        parked_at=AT,
        place=Position(seq=7, item=number),
        line=f"{number}",
        code="refused",
        reason=reason,
    )


def attempt_of() -> Attempt:
    return Attempt(
        id=time_ordered_id(),
        at=AT,
        kind="push",
        request_id="r",
        attempt=1,
        items=2,
        size_bytes=10,
        http_status=500,
        seconds=0.5,
        start=Position(seq=7),
        end=Position(seq=8),
        code="MH-D003",
        error="HTTP 500",
    )


async def test_a_step_is_saved_with_all_it_holds(kept: Kept) -> None:
    lease = await kept.claimed()
    step = step_of(
        lease,
        position=Position(seq=9, item=2),
        sending_to=Position(seq=12),
        lanes_done=(3 << 32) + 5,
        delivered=4,
        skipped=2,
        attempts_failed=1,
        failures=3,
        failing_since=AT,
        retry_at=AT,
        attempts=(attempt_of(),),
        parked=(parked_item(lease, 1),),
    )
    assert await kept.leases.advance([step]) == {kept.subscription}
    progress = await kept.progress()
    assert progress.last_delivered_at is not None
    assert replace(progress, last_delivered_at=None) == Progress(
        position=Position(seq=9, item=2),
        sending_to=Position(seq=12),
        lanes_done=(3 << 32) + 5,
        step=1,
        delivered=4,
        parked=1,
        skipped=2,
        attempts_failed=1,
        failures=3,
        failing_since=AT,
        retry_at=AT,
    )


async def test_a_step_saved_twice_counts_once(kept: Kept) -> None:
    lease = await kept.claimed()
    item, kept_item, attempt = parked_item(lease, 1), parked_item(lease, 2), attempt_of()
    await kept.leases.advance([step_of(lease, 1, parked=(item, kept_item))])
    await kept.ask_replay(Replay(id="rpl_1", position=Position(seq=3)))
    await kept.ask_redrive(item.id, kept_item.id)
    step = step_of(
        lease,
        2,
        position=Position(seq=3),
        delivered=4,
        skipped=1,
        attempts_failed=1,
        attempts=(attempt,),
        parked=(parked_item(lease, 3),),
        redriven=(item.id,),
        kept=((kept_item.id, "bad again"),),
        replay="rpl_1",
        replayed=6,
        replayed_from=Position(seq=7),
        pause="HTTP 410",
    )
    for _ in range(2):
        assert await kept.leases.advance([step]) == {kept.subscription}
        subscription, progress, replay, _ = await kept.state()
        assert (progress.step, progress.epoch, progress.delivered, progress.parked) == (2, 1, 5, 2)
        assert (progress.skipped, progress.replayed, progress.attempts_failed) == (1, 6, 1)
        assert progress.position == Position(seq=3)
        assert replay is None
        assert (subscription.paused_by, subscription.paused_reason, subscription.version) == ("policy", "HTTP 410", 2)
        assert await kept.attempts() == {attempt.id}
        assert [(reason, asked) for _, reason, asked in await kept.parked()] == [("bad again", False), ("bad", False)]


async def test_a_step_under_an_older_fence_or_of_another_worker_changes_nothing(kept: Kept) -> None:
    lease = await kept.claimed()
    await kept.leases.release(ONE, [kept.subscription])
    newer = await kept.claimed(TWO)
    assert newer.fence == lease.fence + 1
    before = await kept.state()
    rare: dict[str, Any] = {
        "parked": (parked_item(lease, 1),),
        "pause": "x",
        "attempts": (attempt_of(),),
        "delivered": 1,
    }
    for stale in (lease, replace(newer, worker=ONE), replace(newer, fence=newer.fence + 1)):
        assert await kept.leases.advance([step_of(stale, **rare)]) == frozenset()
    assert await kept.state() == before
    assert (await kept.attempts(), await kept.parked()) == (set(), [])


async def test_a_position_is_kept_where_a_step_names_none_and_what_is_sent_is_not(kept: Kept) -> None:
    lease = await kept.claimed()
    await kept.leases.advance([step_of(lease, 1, sending_to=Position(seq=9))])
    await kept.leases.advance([step_of(lease, 2)])
    progress = await kept.progress()
    assert (progress.position, progress.sending_to) == (Position(seq=7), None)


async def test_the_last_error_stays_until_something_is_delivered(kept: Kept) -> None:
    lease = await kept.claimed()
    await kept.leases.advance([step_of(lease, 1, last_error="HTTP 500")])
    await kept.leases.advance([step_of(lease, 2)])
    assert (await kept.progress()).last_error == "HTTP 500"
    await kept.leases.advance([step_of(lease, 3, delivered=1)])
    assert (await kept.progress()).last_error == ""


async def test_a_wish_to_send_parked_readings_is_seen_until_it_is_fulfilled(kept: Kept) -> None:
    lease = await kept.claimed()
    items = [parked_item(lease, n) for n in range(3)]
    await kept.leases.advance([step_of(lease, 1, parked=tuple(items))])
    assert await kept.leases.to_redrive(kept.subscription, 10) == []
    await kept.ask_redrive(items[2].id, items[0].id)
    (owned,) = await kept.leases.owned(ONE)
    assert owned.redrive == 1
    found = await kept.leases.to_redrive(kept.subscription, 10)
    assert [item.id for item in found] == [items[0].id, items[2].id]
    assert [item.id for item in await kept.leases.to_redrive(kept.subscription, 1)] == [items[0].id]
    await kept.ask_redrive()
    await kept.leases.advance([step_of(lease, 2, redrive_done=1)])
    assert (await kept.state())[3] == 2, "it was asked for again meanwhile"
    await kept.leases.advance([step_of(lease, 3, redrive_done=2)])
    assert (await kept.state())[3] == 0


async def test_parked_readings_that_are_gone_are_neither_delivered_nor_kept(kept: Kept) -> None:
    lease = await kept.claimed()
    gone = parked_item(lease, 1)
    await kept.leases.advance([step_of(lease, 1, redriven=(gone.id,), kept=((gone.id, "x"),))])
    progress = await kept.progress()
    assert (progress.delivered, progress.parked, await kept.parked()) == (0, 0, [])


async def test_replays_begin_one_after_the_other(kept: Kept) -> None:
    await kept.ask_replay(Replay(id="rpl_1", position=Position(seq=3, item=1)))
    await kept.ask_replay(Replay(id="rpl_2", position=Position(seq=2)))
    lease = await kept.claimed()
    assert lease.replay == Replay(id="rpl_1", position=Position(seq=3, item=1))
    await kept.leases.advance([step_of(lease, 1, replay="rpl_1", replayed=2, position=Position(seq=3, item=1))])
    (owned,) = await kept.leases.owned(ONE)
    assert owned.replay == Replay(id="rpl_2", position=Position(seq=2))
    await kept.leases.advance([step_of(lease, 2, replay="rpl_2", replayed=1, position=Position(seq=2))])
    _, progress, replay, _ = await kept.state()
    assert (replay, progress.epoch, progress.replayed) == (None, 2, 3)


async def test_a_paused_subscription_is_neither_owned_nor_claimed_and_a_resumed_one_is_tried_at_once(
    kept: Kept,
) -> None:
    lease = await kept.claimed()
    failing: dict[str, Any] = {"failures": 4, "failing_since": AT, "retry_at": AT}
    await kept.leases.advance([step_of(lease, 1, **failing, pause="HTTP 410")])
    assert await kept.leases.owned(ONE) == []
    await kept.leases.release(ONE, [kept.subscription])
    assert await kept.leases.claim(ONE, 0) == []
    assert (await kept.progress()).failures == 4
    await kept.resume()
    lease = await kept.claimed()
    assert (lease.progress.failures, lease.progress.failing_since, lease.progress.retry_at) == (0, None, None)
    assert (lease.subscription.state, lease.subscription.paused_by) == ("active", "")


async def test_a_pause_by_hand_is_not_made_one_of_the_policy(kept: Kept) -> None:
    lease = await kept.claimed()
    await kept.pause()
    await kept.leases.advance([step_of(lease, 1, pause="HTTP 410")])
    subscription = (await kept.state())[0]
    assert (subscription.paused_by, subscription.paused_reason) == ("hand", "")


async def test_what_a_worker_gives_back_is_claimed_by_another_at_once(kept: Kept) -> None:
    await kept.claimed()
    await kept.leases.heartbeat(TWO, ENOUGH_S)
    assert await kept.leases.claim(TWO, 0) == []
    await kept.leases.retire(ONE)
    (lease,) = await kept.leases.claim(TWO, 0)
    assert (lease.worker, lease.fence) == (TWO, 2)


async def test_a_lease_that_ran_out_is_claimed_by_another(kept: Kept) -> None:
    await kept.leases.heartbeat(ONE, 0.4)
    (lease,) = await kept.leases.claim(ONE, 0)
    await kept.leases.heartbeat(TWO, ENOUGH_S)
    taken: Sequence[Lease] = []
    async with asyncio.timeout(20):
        while not taken:
            await asyncio.sleep(0.02)
            taken = await kept.leases.claim(TWO, 0)
    assert (taken[0].worker, taken[0].fence) == (TWO, lease.fence + 1)
