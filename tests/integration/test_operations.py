"""What operators do with deliveries, on a real PostgreSQL: attempts, parked readings, replays."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from tests.engines import SharedEngines

from matrixhub.bus import NatsBus, open_bus
from matrixhub.bus.subjects import sensor_subject
from matrixhub.config import load_settings
from matrixhub.deliveries.desk import FromAttempt, FromPlace, Since, check_reach, plan_replay, remake_body, send_test
from matrixhub.lifecycle import SystemClock
from matrixhub.model.delivery import Attempt, ParkedItem, time_ordered_id
from matrixhub.model.destination import ClientCredentials, Destination
from matrixhub.model.errors import Conflict, DestinationRefused, Gone, InvalidValue, NotFound
from matrixhub.model.ids import BuildingId, PropertyId, SubscriptionId, WorkerId, ZoneId
from matrixhub.model.policy import BatchLimits
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import Filter, Notify, Position, Subscription
from matrixhub.observe import ignore
from matrixhub.ports import Advance, Outgoing
from matrixhub.service import stream_settings
from matrixhub.sources.sites import make_site
from matrixhub.store import Database, open_database, parked
from matrixhub.store.attempts import RecordedAttempt, list_attempts, record_attempt, show_attempt
from matrixhub.store.leases import PostgresLeases
from matrixhub.store.parked import (
    EVERYTHING,
    Selection,
    ask_redrive,
    count_parked,
    discard_parked,
    export_parked,
    list_parked,
    parked_of_request,
    show_parked,
)
from matrixhub.store.pool import listen
from matrixhub.store.replays import ask_replay, list_replays, show_replay, withdraw_replay
from matrixhub.store.sealing import Sealer
from matrixhub.store.sites import apply_site
from matrixhub.store.subscriptions import (
    SUBSCRIPTION_CHANNEL,
    Codec,
    Overview,
    create_subscription,
    show_subscription,
)
from matrixhub.testing.fakes import ScriptedSender

pytestmark = pytest.mark.asyncio(loop_scope="module")

CODEC = Codec(sealer=Sealer("0f" * 32))
WORKER = WorkerId("wrk_1")
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dsn(shared_engines: SharedEngines) -> str:
    return (await shared_engines.new_database()).socket


@pytest_asyncio.fixture(loop_scope="module")
async def database(dsn: str) -> AsyncIterator[Database]:
    """An open database without rows."""
    async with open_database(dsn, connections_max=5) as found:
        async with found.connection() as connection:
            await connection.execute(
                "truncate organisations, properties, subscriptions, subscription_progress, workers, attempts, parked,"
                " replays cascade"
            )
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nats_url(shared_engines: SharedEngines) -> str:
    await shared_engines.remove_streams()
    return shared_engines.nats_url


@pytest_asyncio.fixture(loop_scope="module")
async def bus(nats_url: str) -> AsyncIterator[NatsBus]:
    """The stream, which goes on from test to test."""
    async with open_bus(nats_url, stream_settings(load_settings(None, {})), ignore) as found:
        yield found


async def subscribe(database: Database, seed: int = 1, *, seq: int = 100, wanted: Filter | None = None) -> Subscription:
    """A subscription of a property of its own."""
    site = make_site(1, seed=seed)
    await apply_site(database, site, remove=False)
    return await create_subscription(
        database,
        CODEC,
        site.property.id,
        name="n",
        wanted=wanted or Filter(),
        destination=Destination(url="https://example.test/in"),
        limits=BatchLimits(),
        position=Position(seq=seq),
    )


def attempt(at: datetime = NOW, **fields: Any) -> Attempt:
    return Attempt(
        **{
            "id": time_ordered_id(int(at.timestamp() * 1000)),
            "at": at,
            "kind": "push",
            "request_id": "r1",
            "attempt": 1,
            "items": 3,
            "size_bytes": 300,
            "http_status": 200,
            "seconds": 0.5,
            "start": Position(seq=1),
            "end": Position(seq=2, item=5),
            **fields,
        }
    )


def parked_item(subscription: Subscription, n: int, at: datetime = NOW, **fields: Any) -> ParkedItem:
    return ParkedItem(
        **{
            "id": time_ordered_id(int(at.timestamp() * 1000)),
            "subscription_id": subscription.id,
            "parked_at": at,
            "place": Position(seq=n),
            "line": f'{{"n":{n}}}',
            "code": "MH-D003",
            "reason": "HTTP 422",
            "http_status": 422,
            "request_id": "r1",
            **fields,
        }
    )


async def park(database: Database, subscription: Subscription, items: Sequence[ParkedItem]) -> None:
    """Park as the carrier does."""
    leases = PostgresLeases(database, CODEC, ignore)
    await leases.heartbeat(WORKER, 60)
    await leases.claim(WORKER, 0)
    await save(database, subscription, parked=tuple(items))


async def save(database: Database, subscription: Subscription, **fields: Any) -> None:
    """Save a step as the carrier does."""
    leases = PostgresLeases(database, CODEC, ignore)
    try:
        (lease,) = [lease for lease in await leases.owned(WORKER) if lease.subscription.id == subscription.id]
        step = Advance(
            subscription=subscription.id, worker=WORKER, fence=lease.fence, step=lease.progress.step + 1, **fields
        )
        assert await leases.advance([step]) == {subscription.id}
    finally:
        await leases.close()


async def counts(database: Database, subscription: Subscription) -> tuple[int, int, int, int]:
    """Parked and expired by the counters, rows, and how often parked readings were asked for."""
    view = await show_subscription(database, CODEC, subscription.property_id, subscription.id)
    rows = await count_parked(database, subscription.property_id, subscription.id)
    return view.progress.parked, view.progress.expired, rows, view.redrive


async def all_attempts(
    database: Database, property_id: PropertyId, *, page: int, **wanted: Any
) -> list[RecordedAttempt]:
    """Everything, a page at a time."""
    found: list[RecordedAttempt] = []
    while True:
        last = (found[-1].attempt.at, found[-1].attempt.id) if found else None
        some = await list_attempts(database, property_id, before=last, limit=page, **wanted)
        found += some
        if len(some) < page:
            return found


# --- attempts ---


async def test_a_recorded_attempt_is_read_back_whole(database: Database) -> None:
    made = await subscribe(database)
    kept = attempt(code="MH-D003", error="HTTP 500", answer="oops", http_status=500)
    test = attempt(kind="test", start=None, end=None, code="MH-D002", http_status=0)
    for one in (kept, test):
        await record_attempt(database, made.property_id, made.id, one)
        found = await show_attempt(database, made.property_id, one.id)
        assert found == RecordedAttempt(subscription_id=made.id, attempt=one)


async def test_attempts_come_newest_first_and_no_page_loses_one_of_the_same_instant(database: Database) -> None:
    made = await subscribe(database)
    every = [attempt(NOW - timedelta(seconds=n // 4)) for n in range(11)]
    for one in every:
        await record_attempt(database, made.property_id, made.id, one)
    ordered = sorted(every, key=lambda a: (a.at, a.id), reverse=True)
    for page in (1, 2, 3, 11, 50):
        found = await all_attempts(database, made.property_id, page=page)
        assert [one.attempt for one in found] == ordered


async def test_attempts_are_found_by_subscription_outcome_time_and_request(database: Database) -> None:
    one, two = await subscribe(database), None
    two = await create_subscription(
        database,
        CODEC,
        one.property_id,
        name="two",
        wanted=Filter(),
        destination=Destination(url="https://example.test/"),
        limits=BatchLimits(),
        position=Position(seq=1),
    )
    taken, failed = attempt(NOW), attempt(NOW - timedelta(hours=1), code="MH-D002", request_id="r2")
    other = attempt(NOW - timedelta(hours=2))
    await record_attempt(database, one.property_id, one.id, taken)
    await record_attempt(database, one.property_id, one.id, failed)
    await record_attempt(database, one.property_id, two.id, other)

    async def found(**wanted: Any) -> list[UUID]:
        return [a.attempt.id for a in await list_attempts(database, one.property_id, limit=9, **wanted)]

    assert await found() == [taken.id, failed.id, other.id]
    assert await found(subscription_id=one.id) == [taken.id, failed.id]
    assert await found(outcome="taken") == [taken.id, other.id]
    assert await found(outcome="failed") == [failed.id]
    assert await found(request_id="r2") == [failed.id]
    assert await found(since=NOW - timedelta(hours=1)) == [taken.id, failed.id]
    assert await found(until=NOW - timedelta(hours=1)) == [other.id]


async def test_another_property_sees_no_attempt_and_records_none(database: Database) -> None:
    made, other = await subscribe(database, 1), await subscribe(database, 2)
    kept = attempt()
    await record_attempt(database, made.property_id, made.id, kept)
    assert await list_attempts(database, other.property_id, limit=9) == []
    assert await list_attempts(database, other.property_id, subscription_id=made.id, limit=9) == []
    with pytest.raises(NotFound):
        await show_attempt(database, other.property_id, kept.id)
    with pytest.raises(NotFound):
        await record_attempt(database, other.property_id, made.id, attempt())


@pytest.mark.parametrize(
    "unknown", [uuid4(), time_ordered_id(), UUID(int=(0xFFFFFFFFFFFF << 80) | (7 << 76) | (2 << 62))]
)
async def test_an_unknown_attempt_is_not_found(database: Database, unknown: UUID) -> None:
    made = await subscribe(database)
    with pytest.raises(NotFound):
        await show_attempt(database, made.property_id, unknown)
    with pytest.raises(NotFound):
        await show_parked(database, made.property_id, unknown)


# --- parked readings ---


async def test_parked_readings_come_oldest_first_and_no_page_loses_one_of_the_same_instant(
    database: Database,
) -> None:
    made = await subscribe(database)
    items = [parked_item(made, n, NOW + timedelta(seconds=n // 4)) for n in range(11)]
    await park(database, made, items)
    ordered = sorted(items, key=lambda item: (item.parked_at, item.id))
    found: list[ParkedItem] = []
    while True:
        after = (found[-1].parked_at, found[-1].id) if found else None
        some = await list_parked(database, made.property_id, made.id, after=after, limit=3)
        found += some
        if len(some) < 3:
            break
    assert found == ordered
    assert await list_parked(database, made.property_id, None, limit=99) == ordered
    assert await show_parked(database, made.property_id, items[4].id) == items[4]


async def test_parked_readings_are_selected_by_id_time_and_code(database: Database) -> None:
    made = await subscribe(database)
    one, two, three = (parked_item(made, n, NOW + timedelta(hours=n), code=f"MH-D00{n}") for n in (1, 2, 3))
    await park(database, made, [one, two, three])

    async def found(**selection: Any) -> list[ParkedItem]:
        chosen = Selection(**selection)
        some = await list_parked(database, made.property_id, made.id, selection=chosen, limit=9)
        assert await count_parked(database, made.property_id, made.id, selection=chosen) == len(some)
        return list(some)

    assert await found() == [one, two, three]
    assert await found(all=True) == [one, two, three]
    assert await found(ids=(three.id, one.id, uuid4())) == [one, three]
    assert await found(since=two.parked_at) == [two, three]
    assert await found(until=two.parked_at) == [one]
    assert await found(code="MH-D002") == [two]
    assert await found(ids=(one.id,), code="MH-D002") == []


async def test_what_is_asked_for_again_is_marked_once_and_told_to_the_carrier(database: Database) -> None:
    made = await subscribe(database)
    items = [parked_item(made, n, NOW + timedelta(seconds=n)) for n in range(4)]
    await park(database, made, items)
    heard, stop = asyncio.Event(), asyncio.Event()
    connected = asyncio.Event()

    def bell(_: str) -> None:
        (heard if connected.is_set() else connected).set()

    listening = asyncio.create_task(listen(database, SUBSCRIPTION_CHANNEL, bell, stop, ignore))
    try:
        await asyncio.wait_for(connected.wait(), 20)
        assert await ask_redrive(database, made.property_id, made.id, Selection(ids=(items[1].id, items[2].id))) == 2
        await asyncio.wait_for(heard.wait(), 20)
    finally:
        stop.set()
        await listening
    leases = PostgresLeases(database, CODEC, ignore)
    assert [item.id for item in await leases.to_redrive(made.id, 9)] == [items[1].id, items[2].id]
    assert await counts(database, made) == (4, 0, 4, 1)
    assert await ask_redrive(database, made.property_id, made.id, EVERYTHING) == 2
    assert await counts(database, made) == (4, 0, 4, 2)
    assert await ask_redrive(database, made.property_id, made.id, EVERYTHING) == 0
    assert await counts(database, made) == (4, 0, 4, 2)


async def test_what_is_discarded_counts_as_expired(database: Database) -> None:
    made = await subscribe(database)
    items = [parked_item(made, n) for n in range(5)]
    await park(database, made, items)
    assert await discard_parked(database, made.property_id, made.id, Selection(ids=(items[0].id, uuid4()))) == 1
    assert await counts(database, made) == (4, 1, 4, 0)
    assert await discard_parked(database, made.property_id, made.id, EVERYTHING) == 4
    assert await counts(database, made) == (0, 5, 0, 0)
    assert await discard_parked(database, made.property_id, made.id, EVERYTHING) == 0


async def test_more_than_a_page_is_acted_on_and_exported_whole(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parked, "PAGE", 3)
    made = await subscribe(database)
    items = [parked_item(made, n, NOW + timedelta(seconds=n // 5)) for n in range(10)]
    await park(database, made, items)
    exported = [item async for item in export_parked(database, made.property_id, made.id)]
    assert exported == sorted(items, key=lambda item: (item.parked_at, item.id))
    assert await ask_redrive(database, made.property_id, made.id, EVERYTHING) == 10
    assert await discard_parked(database, made.property_id, made.id, EVERYTHING) == 10
    assert await counts(database, made) == (0, 10, 0, 4)


async def test_what_was_delivered_meanwhile_is_not_discarded_as_well(database: Database) -> None:
    made = await subscribe(database)
    items = [parked_item(made, n) for n in range(3)]
    await park(database, made, items)
    await ask_redrive(database, made.property_id, made.id, EVERYTHING)
    await save(database, made, redriven=(items[0].id, items[1].id), redrive_done=1)
    assert await discard_parked(database, made.property_id, made.id, EVERYTHING) == 1
    view = await show_subscription(database, CODEC, made.property_id, made.id)
    assert (view.progress.delivered, view.progress.parked, view.progress.expired) == (2, 0, 1)


@pytest.mark.parametrize("act", [ask_redrive, discard_parked])
async def test_acting_needs_a_selection_and_the_own_property(database: Database, act: Any) -> None:
    made, other = await subscribe(database, 1), await subscribe(database, 2)
    await park(database, made, [parked_item(made, 1)])
    for unclear in (Selection(), Selection(all=True, code="MH-D003")):
        with pytest.raises(InvalidValue):
            await act(database, made.property_id, made.id, unclear)
    with pytest.raises(NotFound):
        await act(database, other.property_id, made.id, EVERYTHING)
    with pytest.raises(NotFound):
        await act(database, made.property_id, SubscriptionId("sub_none"), EVERYTHING)
    assert await counts(database, made) == (1, 0, 1, 0)


async def test_another_property_sees_no_parked_reading(database: Database) -> None:
    made, other = await subscribe(database, 1), await subscribe(database, 2)
    item = parked_item(made, 1)
    await park(database, made, [item])
    for subscription_id in (made.id, None):
        assert await list_parked(database, other.property_id, subscription_id, limit=9) == []
        assert await count_parked(database, other.property_id, subscription_id) == 0
    assert [i async for i in export_parked(database, other.property_id, made.id)] == []
    assert await parked_of_request(database, other.property_id, made.id, "r1", limit=9) == []
    with pytest.raises(NotFound):
        await show_parked(database, other.property_id, item.id)


async def test_what_was_parked_of_a_push_comes_in_the_order_of_the_stream(database: Database) -> None:
    made = await subscribe(database)
    items = [parked_item(made, n) for n in (3, 1, 2)] + [parked_item(made, 4, request_id="other")]
    await park(database, made, items)
    found = await parked_of_request(database, made.property_id, made.id, "r1", limit=9)
    assert [item.place.seq for item in found] == [1, 2, 3]


# --- replays ---


async def test_a_replay_waits_until_the_carrier_begins_it_and_is_done_when_it_is_back(database: Database) -> None:
    made = await subscribe(database, seq=100)
    await park(database, made, [])
    asked = await ask_replay(database, made.property_id, made.id, Position(seq=40, item=3))
    assert (asked.state, asked.position, asked.items, asked.ended_by) == (
        "waiting",
        Position(seq=40, item=3),
        None,
        None,
    )
    view = await show_subscription(database, CODEC, made.property_id, made.id)
    assert view.replay is not None
    assert (view.replay.id, view.replay.position) == (asked.id, asked.position)

    await save(
        database,
        made,
        position=asked.position,
        replay=asked.id,
        replayed_from=Position(seq=100),
        replayed=17,
    )
    begun = await show_replay(database, made.property_id, asked.id)
    assert (begun.state, begun.items, begun.ended_by) == ("running", 17, Position(seq=100))
    assert begun.begun_at is not None
    await save(database, made, position=Position(seq=99, item=7), delivered=10)
    assert (await show_replay(database, made.property_id, asked.id)).state == "running"
    await save(database, made, position=Position(seq=100), delivered=7)
    assert (await show_replay(database, made.property_id, asked.id)).state == "done"


async def test_a_replay_within_a_replay_ends_the_one_before(database: Database) -> None:
    made = await subscribe(database, seq=100)
    await park(database, made, [])
    one = await ask_replay(database, made.property_id, made.id, Position(seq=40))
    await save(database, made, position=Position(seq=40), replay=one.id, replayed_from=Position(seq=100))
    await save(database, made, position=Position(seq=60))
    two = await ask_replay(database, made.property_id, made.id, Position(seq=50))
    await save(database, made, position=Position(seq=50), replay=two.id, replayed_from=Position(seq=60))
    found = await list_replays(database, made.property_id, subscription_id=made.id, limit=9)
    assert [(replay.id, replay.state) for replay in found] == [(two.id, "running"), (one.id, "done")]
    assert await list_replays(database, made.property_id, before=(two.requested_at, two.id), limit=9) == [found[1]]


async def test_only_one_replay_waits_and_it_may_be_withdrawn(database: Database) -> None:
    made = await subscribe(database, seq=100)
    await park(database, made, [])
    asked = await ask_replay(database, made.property_id, made.id, Position(seq=40))
    with pytest.raises(Conflict, match=asked.id):
        await ask_replay(database, made.property_id, made.id, Position(seq=30))
    await withdraw_replay(database, made.property_id, made.id, asked.id)
    assert await list_replays(database, made.property_id, limit=9) == []
    again = await ask_replay(database, made.property_id, made.id, Position(seq=30))
    await save(database, made, position=Position(seq=30), replay=again.id, replayed_from=Position(seq=100))
    with pytest.raises(Conflict, match="has begun"):
        await withdraw_replay(database, made.property_id, made.id, again.id)
    with pytest.raises(NotFound):
        await withdraw_replay(database, made.property_id, made.id, asked.id)


async def test_of_replays_asked_for_at_once_one_waits(database: Database) -> None:
    made = await subscribe(database, seq=100)
    answers = await asyncio.gather(
        *(ask_replay(database, made.property_id, made.id, Position(seq=n)) for n in range(1, 6)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, Conflict) for answer in answers) == 4
    assert len(await list_replays(database, made.property_id, limit=9)) == 1


@pytest.mark.parametrize("place", [Position(seq=100), Position(seq=100, item=1), Position(seq=101)])
async def test_a_replay_from_where_the_subscription_is_or_later_is_refused(database: Database, place: Position) -> None:
    made = await subscribe(database, seq=100)
    with pytest.raises(InvalidValue, match="nothing to replay"):
        await ask_replay(database, made.property_id, made.id, place)


async def test_another_property_sees_no_replay_and_asks_for_none(database: Database) -> None:
    made, other = await subscribe(database, 1), await subscribe(database, 2)
    asked = await ask_replay(database, made.property_id, made.id, Position(seq=40))
    assert await list_replays(database, other.property_id, limit=9) == []
    assert await list_replays(database, other.property_id, subscription_id=made.id, limit=9) == []
    with pytest.raises(NotFound):
        await show_replay(database, other.property_id, asked.id)
    with pytest.raises(NotFound):
        await ask_replay(database, other.property_id, made.id, Position(seq=1))
    with pytest.raises(NotFound):
        await withdraw_replay(database, other.property_id, made.id, asked.id)


# --- the desk ---


async def publish(bus: NatsBus, property_id: PropertyId, messages: int, *, lines: int = 4) -> int:
    """Store messages of readings in turning zones; the sequence of the first."""
    first = (await bus.bounds()).last_seq + 1
    outgoing = [
        Outgoing(
            sensor_subject(property_id, BuildingId(f"b{number % 2}"), "X#T"),
            "\n".join(f'{{"n":"{number}.{item}","InsID":"z{item % 2}"}}' for item in range(lines)).encode(),
            lines,
            f"{property_id}-{first}-{number}",
        )
        for number in range(messages)
    ]
    assert set(await bus.publish(outgoing)) == {None}
    return first


async def overview(database: Database, subscription: Subscription) -> Overview:
    return await show_subscription(database, CODEC, subscription.property_id, subscription.id)


@pytest.mark.parametrize(
    ("wanted", "items", "within"),
    [
        (Filter(), 24, 18),
        (Filter(buildings=frozenset({BuildingId("b0")})), 12, 10),
        (Filter(zones=frozenset({ZoneId("z1")})), 12, 9),
    ],
)
async def test_a_dry_run_counts_what_comes_again_exactly(
    database: Database, bus: NatsBus, wanted: Filter, items: int, within: int
) -> None:
    property_id = make_site(1, seed=1).property.id
    first = await publish(bus, property_id, 6)
    await publish(bus, PropertyId("other"), 3)
    made = await subscribe(database, seq=(await bus.bounds()).last_seq + 1, wanted=wanted)
    plan = await plan_replay(database, bus, await overview(database, made), FromPlace(Position(seq=first)))
    assert (plan.position, plan.items, plan.note) == (Position(seq=first), items, "")

    # One line of the first message is left out, and the subscription stands before the last line of the fifth.
    await park(database, made, [])
    await save(database, made, position=Position(seq=first + 4, item=3))
    inside = await plan_replay(database, bus, await overview(database, made), FromPlace(Position(seq=first, item=1)))
    assert inside.items == within


async def test_a_replay_begins_at_a_time_or_where_an_attempt_did(database: Database, bus: NatsBus) -> None:
    property_id = make_site(1, seed=77).property.id
    first = await publish(bus, property_id, 3)
    stored = (await bus.read("sensors.>", first, messages_max=3, bytes_max=10**6)).messages
    made = await subscribe(database, 77, seq=first + 3)
    view = await overview(database, made)
    since = stored[1].stored_ms
    earlier = [message for message in stored if message.stored_ms < since]
    plan = await plan_replay(database, bus, view, Since(since))
    assert (plan.until, plan.items) == (Position(seq=first + 3), 12 - 4 * len(earlier))

    push = attempt(start=Position(seq=first + 1, item=2), end=Position(seq=first + 2), request_id=str(uuid4()))
    await record_attempt(database, made.property_id, made.id, push)
    for named in (push.id, UUID(push.request_id)):
        plan = await plan_replay(database, bus, view, FromAttempt(named))
        assert (plan.position, plan.items) == (push.start, 6)
    test = attempt(kind="test", start=None, end=None)
    await record_attempt(database, made.property_id, made.id, test)
    with pytest.raises(InvalidValue, match="no place in the stream"):
        await plan_replay(database, bus, view, FromAttempt(test.id))
    with pytest.raises(NotFound):
        await plan_replay(database, bus, view, FromAttempt(uuid4()))


async def test_an_attempt_of_another_property_is_no_place_to_begin(database: Database, bus: NatsBus) -> None:
    made, other = await subscribe(database, 1), await subscribe(database, 2)
    kept = attempt(request_id=str(uuid4()))
    await record_attempt(database, other.property_id, other.id, kept)
    for named in (kept.id, UUID(kept.request_id)):
        with pytest.raises(NotFound):
            await plan_replay(database, bus, await overview(database, made), FromAttempt(named))


async def test_a_start_that_is_not_before_the_subscription_or_no_longer_kept_is_refused(
    database: Database, bus: NatsBus
) -> None:
    property_id = make_site(1, seed=1).property.id
    first = await publish(bus, property_id, 4)
    made = await subscribe(database, seq=first + 3)
    view = await overview(database, made)
    for start in (FromPlace(Position(seq=first + 3)), FromPlace(Position(seq=10**17)), Since(4_000_000_000_000)):
        with pytest.raises(InvalidValue, match="nothing to replay"):
            await plan_replay(database, bus, view, start)
    with pytest.raises(InvalidValue, match="begin with 1"):
        await plan_replay(database, bus, view, FromPlace(Position(seq=0)))
    await bus.purge(first + 1)
    with pytest.raises(Gone):
        await plan_replay(database, bus, view, FromPlace(Position(seq=first)))
    plan = await plan_replay(database, bus, view, Since(0))
    assert (plan.position, plan.items) == (Position(seq=first + 1), 8)
    assert "no longer kept" in plan.note


async def test_the_body_of_an_attempt_is_made_again_from_the_stream(database: Database, bus: NatsBus) -> None:
    property_id = make_site(1, seed=1).property.id
    first = await publish(bus, property_id, 3)
    made = await subscribe(database, seq=first, wanted=Filter(zones=frozenset({ZoneId("z1")})))
    view = await overview(database, made)
    push = attempt(start=Position(seq=first, item=2), end=Position(seq=first + 2, item=2), items=4)
    remade = await remake_body(database, bus, view, push)
    names = [json.loads(item)["n"] for item in json.loads(remade.body)]
    assert names == ["0.3", "1.1", "1.3", "2.1"]
    assert (remade.items, remade.whole) == (4, True)

    await bus.purge(first + 1)
    partly = await remake_body(database, bus, view, push)
    assert (partly.items, partly.whole) == (3, False)
    await bus.purge(first + 3)
    with pytest.raises(Gone):
        await remake_body(database, bus, view, push)


async def test_the_body_of_parked_readings_is_made_again_from_what_is_parked(database: Database, bus: NatsBus) -> None:
    made = await subscribe(database)
    item = parked_item(made, 1, line='{"n":"ä\\""}')
    await park(database, made, [item])
    view = await overview(database, made)
    again = attempt(kind="redrive", start=None, end=None, items=1)
    assert json.loads((await remake_body(database, bus, view, again)).body) == [item.line]
    await discard_parked(database, made.property_id, made.id, EVERYTHING)
    with pytest.raises(Gone):
        await remake_body(database, bus, view, again)


async def test_the_body_of_a_test_is_made_again_to_the_byte(database: Database, bus: NatsBus) -> None:
    made = await subscribe(database)

    sender = ScriptedSender()
    result = await send_test(sender, made, SystemClock())
    await record_attempt(database, made.property_id, made.id, result.attempt)
    kept = await show_attempt(database, made.property_id, result.attempt.id)
    remade = await remake_body(database, bus, await overview(database, made), kept.attempt)
    assert remade.body == sender.taken[0].body


async def test_what_can_never_be_reached_is_refused_early(database: Database) -> None:
    made, other = await subscribe(database, 1), await subscribe(database, 2)
    fine = Destination(url="https://example.test/")
    token = ClientCredentials(token_url="https://10.0.0.1/token", client_id="c", client_secret=Secret("s"))

    async def refused(said: str, destination: Destination = fine, notify: Notify | None = None) -> None:
        with pytest.raises(InvalidValue, match=said):
            await check_reach(
                database, made.property_id, destination, notify or Notify(), allowed_to_all=(), own_id=made.id
            )

    await refused("10.0.0.2", Destination(url="https://10.0.0.2/"))
    await refused("10.0.0.1", Destination(url="https://example.test/", auth=token))
    await refused("127.0.0.1", notify=Notify(url="https://127.0.0.1/"))
    await refused("itself", notify=Notify(subscription_id=made.id))
    await refused("no subscription of this property", notify=Notify(subscription_id=other.id))
    await refused("no subscription of this property", notify=Notify(subscription_id="sub_none"))
    await check_reach(
        database,
        other.property_id,
        Destination(url="https://10.0.0.2/"),
        Notify(subscription_id=other.id),
        allowed_to_all=["10.0.0.0/8"],
    )


async def test_an_answer_that_is_no_text_is_recorded_all_the_same(database: Database) -> None:
    made = await subscribe(database)
    sender = ScriptedSender()
    sender.script = [DestinationRefused("HTTP 500: \x00\x01", http_status=500, answer="\x00\udc80answer")]
    result = await send_test(sender, made, SystemClock())
    await record_attempt(database, made.property_id, made.id, result.attempt)
    kept = (await show_attempt(database, made.property_id, result.attempt.id)).attempt
    assert kept.answer.endswith("answer")
    assert (kept.answer, kept.error) == (result.attempt.answer, result.attempt.error)
