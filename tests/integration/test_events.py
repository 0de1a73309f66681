"""The event log and the events of applications, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from tests.engines import SharedEngines

from matrixhub.model.access import PUBLISHERS
from matrixhub.model.application import Quota
from matrixhub.model.errors import (
    Forbidden,
    InvalidValue,
    LimitViolated,
    NameTaken,
    NotFound,
    RateExceeded,
    WrongParameters,
)
from matrixhub.model.event import Event, check_envelope, platform_event
from matrixhub.model.iam import Decision
from matrixhub.model.ids import ApplicationId, BuildingId, PropertyId
from matrixhub.modules.access.senders import sending_keys
from matrixhub.modules.events import change_application, publish_events, register_application, revoke
from matrixhub.modules.work import Platform
from matrixhub.ports import RelayProgress
from matrixhub.sources.sites import make_site
from matrixhub.store import Database, open_database
from matrixhub.store.access_keys import page_keys
from matrixhub.store.applications import list_applications, show_application
from matrixhub.store.events import PostgresOutbox, latest_events, list_events, record_events
from matrixhub.store.keys import create_key, digest, find_key
from matrixhub.store.partitions import EVENTS, PostgresPartitions, partition_name, partition_start
from matrixhub.store.sites import apply_site
from matrixhub.testing.fakes import FakeClock

pytestmark = pytest.mark.asyncio(loop_scope="module")

START_S = 1_710_029_109
LIFT = ApplicationId("lift-monitor")
GOOD: dict[str, Any] = {"Event": "LIFT_STUCK", "Priority": "HIGH", "Description": "Lift 2", "Meta": {"Lift": 2}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dsn(shared_engines: SharedEngines) -> str:
    return (await shared_engines.new_database()).socket


@pytest_asyncio.fixture(loop_scope="module")
async def database(dsn: str) -> AsyncIterator[Database]:
    """An open database without rows."""
    async with open_database(dsn, connections_max=10) as found:
        async with found.connection() as connection:
            await connection.execute("truncate organisations, events cascade")
            await connection.execute("update event_head set number = 0, at = '2001-01-01'")
            await connection.execute("update relay_progress set number = 0, at = '2001-01-01', seq = 0")
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def platform(database: Database) -> Platform:
    return Platform(database=database, clock=FakeClock())


async def made_property(database: Database, seed: int = 1) -> tuple[PropertyId, BuildingId]:
    site = make_site(3, seed=seed)
    await apply_site(database, site, remove=False)
    return site.property.id, site.buildings[0].id


def event(
    property_id: PropertyId, text: str, *, building: str = "b1", kind: str = "ZONE_CREATED", at: int = 0
) -> Event:
    return platform_event(kind, property_id, BuildingId(building), happened_at=START_S + at, description=text, meta={})


async def record(database: Database, *events: Event) -> None:
    async with database.transaction() as connection:
        await record_events(connection, events)


P1, P2 = PropertyId("p1"), PropertyId("p2")


async def test_the_log_gives_events_oldest_first_page_after_page(database: Database) -> None:
    await record(database, *(event(P1, f"{n}", at=n // 3) for n in range(10)), event(P2, "of another"))
    async with database.connection() as connection:
        found, key, pages = [], "", 0
        while True:
            page = await list_events(connection, P1, after=key, limit=4)
            found += [e.envelope["Description"] for e in page.events]
            key, pages = page.last_key, pages + 1
            if not key:
                break
    assert found == [f"{n}" for n in range(10)]
    assert pages == 3


async def test_events_that_are_added_move_no_page(database: Database) -> None:
    await record(database, *(event(P1, f"{n}") for n in range(4)))
    async with database.connection() as connection:
        first = await list_events(connection, P1, limit=2)
        await record(database, event(P1, "later"))
        second = await list_events(connection, P1, after=first.last_key, limit=10)
    assert [e.envelope["Description"] for e in second.events] == ["2", "3", "later"]


async def test_the_log_is_narrowed_by_principal_module_and_time(database: Database) -> None:
    await record(
        database,
        event(P1, "zone", building="Block 7.1", at=1),
        event(P1, "task", kind="TASK_STARTED", building="b2", at=2),
        event(P1, "audit", kind="AUDIT_STARTED", building="b2", at=3),
    )

    async def texts(**narrowed: Any) -> list[Any]:
        async with database.connection() as connection:
            page = await list_events(connection, P1, limit=10, **narrowed)
        return [e.envelope["Description"] for e in page.events]

    second = datetime.fromtimestamp(START_S + 2, UTC)
    assert await texts(principal="b2") == ["task", "audit"]
    assert await texts(principal="Block 7.1") == ["zone"]
    assert await texts(principal="b2", module="scaudits") == ["audit"]
    assert await texts(start_at=second) == ["task", "audit"]
    assert await texts(end_at=second) == ["zone"]
    assert await texts(start_at=second, end_at=second + timedelta(seconds=1)) == ["task"]
    assert await texts(module="scmetrics") == []
    async with database.connection() as connection:
        latest = await latest_events(connection, P1, principal="b2", module="scaudits", count=5)
    assert [e.envelope["Description"] for e in latest] == ["audit"]


async def test_the_latest_events_come_newest_first(database: Database) -> None:
    await record(database, *(event(P1, f"{n}", at=n // 2) for n in range(6)), event(P2, "of another", at=99))
    async with database.connection() as connection:
        found = await latest_events(connection, P1, count=3)
        of_building = await latest_events(connection, P1, principal="b2", module="scgrids", count=3)
    assert [e.envelope["Description"] for e in found] == ["5", "4", "3"]
    assert of_building == []


@pytest.mark.parametrize("key", ["x", "%%", "MQ", "MS4y.5", "LTEuMQ", "MS54", "A" * 400, "é"])
async def test_a_key_that_is_none_of_the_log_is_refused(database: Database, key: str) -> None:
    async with database.connection() as connection:
        with pytest.raises(InvalidValue):
            await list_events(connection, P1, after=key, limit=1)


async def rows_in(database: Database, table: str) -> int:
    async with database.connection() as connection:
        return int(await connection.fetchval(f"select count(*) from {table}"))


async def test_events_lie_in_partitions_that_go_when_they_are_old_and_were_passed_on(database: Database) -> None:
    partitions, outbox = PostgresPartitions(database), PostgresOutbox(database)
    now = datetime.now(UTC)
    await record(database, event(P1, "a"), event(P1, "b"))
    assert await rows_in(database, "events_default") == 2
    name = partition_name(EVENTS, partition_start(EVENTS, now))
    assert (await partitions.make(now))[name] == 2
    await record(database, event(P1, "c"))
    assert (await rows_in(database, "events_default"), await rows_in(database, name)) == (0, 3)
    past = datetime(2001, 1, 1, tzinfo=UTC)
    later = now + timedelta(days=8)
    ages = {"attempts_before": past, "parked_before": past}

    assert name not in await partitions.drop(**ages, events_before=now - timedelta(days=7))
    assert name not in await partitions.drop(**ages, events_before=later)  # the relay has passed on none of them
    await outbox.save(RelayProgress(2, now, 2))
    assert name not in await partitions.drop(**ages, events_before=later)
    assert await rows_in(database, "events") == 3
    await outbox.save(RelayProgress(3, now, 3))
    assert name in await partitions.drop(**ages, events_before=later)
    assert await rows_in(database, "events") == 0


async def test_old_events_without_a_partition_go_too_once_they_were_passed_on(database: Database) -> None:
    partitions, outbox = PostgresPartitions(database), PostgresOutbox(database)
    past, later = datetime(2001, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(days=8)
    await record(database, event(P1, "a"), event(P1, "b"))
    await outbox.save(RelayProgress(1, past, 1))
    await partitions.drop(attempts_before=past, parked_before=past, events_before=later)
    assert [e.line.count('"Description":"b"') for e in await outbox.unpublished(0, past, 9)] == [1]


async def registered(platform: Platform, seed: int = 1, quota: Quota | None = None) -> tuple[PropertyId, BuildingId]:
    property_id, building_id = await made_property(platform.database, seed)
    await register_application(platform, property_id, LIFT, name="Lifts", quota=quota or Quota())
    return property_id, building_id


async def logged(database: Database, property_id: PropertyId) -> list[dict[str, Any]]:
    """What the application has said."""
    async with database.connection() as connection:
        page = await list_events(connection, property_id, module=LIFT, limit=1_000)
    return [dict(e.envelope) for e in page.events]


async def test_an_application_publishes_what_is_right_and_is_told_of_the_rest(platform: Platform) -> None:
    property_id, building_id = await registered(platform)
    items = [
        GOOD,
        {**GOOD, "Event": "ZONE_CREATED"},
        {**GOOD, "Principal": building_id, "Description": "in a building"},
        "none",
    ]
    done = await publish_events(platform, property_id, LIFT, items)
    assert [(r.index, type(r.error)) for r in done.rejected] == [(1, WrongParameters), (3, WrongParameters)]
    found = await logged(platform.database, property_id)
    assert [e["RoutingKey"] for e in found] == [
        f"matrix.{property_id}.lift-monitor.LIFT_STUCK.HIGH",
        f"matrix.{building_id}.lift-monitor.LIFT_STUCK.HIGH",
    ]
    for envelope in found:
        check_envelope(envelope)
        assert envelope["UnixTimeInt"] == platform.clock.now_ms() // 1000
    async with platform.database.connection() as connection:
        assert (await show_application(connection, property_id, LIFT)).usage.day_events == 2


async def test_an_application_of_another_property_is_not_found(platform: Platform) -> None:
    await registered(platform)
    other, building = await made_property(platform.database, seed=2)
    with pytest.raises(NotFound):
        await publish_events(platform, other, LIFT, [GOOD])
    with pytest.raises(NotFound):
        await revoke(platform, other, LIFT)
    with pytest.raises(NotFound):
        await change_application(platform, other, LIFT, name="mine")
    own = await register_application(platform, other, LIFT, name="", quota=Quota())
    first = (await made_property(platform.database))[1]
    done = await publish_events(platform, other, own.id, [{**GOOD, "Principal": first}])
    assert [type(r.error) for r in done.rejected] == [WrongParameters]
    assert building != first
    with pytest.raises(NameTaken):
        await register_application(platform, other, LIFT, name="", quota=Quota())


async def test_an_application_has_a_quota_for_each_property(platform: Platform) -> None:
    small = Quota(burst=1)
    one, _ = await registered(platform, seed=1, quota=small)
    other, _ = await registered(platform, seed=2, quota=small)
    for property_id in (one, other):
        assert len((await publish_events(platform, property_id, LIFT, [GOOD])).accepted) == 1
        with pytest.raises(RateExceeded):
            await publish_events(platform, property_id, LIFT, [GOOD])
    await revoke(platform, one, LIFT)
    async with platform.database.connection() as connection:
        assert (await show_application(connection, other, LIFT)).revoked_at is None


async def test_more_than_the_quota_is_refused_whole_and_costs_nothing(platform: Platform) -> None:
    property_id, _ = await registered(platform, quota=Quota(per_minute=60, burst=5, per_day=8))
    await publish_events(platform, property_id, LIFT, [GOOD] * 3)
    with pytest.raises(RateExceeded) as caught:
        await publish_events(platform, property_id, LIFT, [GOOD] * 4)
    assert caught.value.retry_after_s == pytest.approx(2.0)
    await publish_events(platform, property_id, LIFT, [GOOD] * 2)
    assert isinstance(platform.clock, FakeClock)
    await platform.clock.advance(10)
    with pytest.raises(RateExceeded):
        await publish_events(platform, property_id, LIFT, [GOOD] * 4)  # the day has room for three
    assert len(await logged(platform.database, property_id)) == 5
    with pytest.raises(LimitViolated):
        await publish_events(platform, property_id, LIFT, [GOOD] * 6)
    with pytest.raises(LimitViolated):
        await publish_events(platform, property_id, LIFT, [GOOD] * 101)


async def test_all_copies_share_one_bucket(platform: Platform, dsn: str) -> None:
    property_id, _ = await registered(platform, quota=Quota(per_minute=1, burst=20, per_day=1_000))
    async with open_database(dsn, connections_max=5) as elsewhere:
        other = Platform(database=elsewhere, clock=platform.clock)

        async def publish(copy: Platform) -> int:
            try:
                return len((await publish_events(copy, property_id, LIFT, [GOOD] * 3)).accepted)
            except RateExceeded:
                return 0

        taken = await asyncio.gather(*(publish(copy) for copy in (platform, other) * 8))
    assert sum(taken) == 18
    assert len(await logged(platform.database, property_id)) == 18


async def test_a_request_with_nothing_right_costs_nothing(platform: Platform) -> None:
    property_id, _ = await registered(platform, quota=Quota(per_minute=1, burst=1, per_day=1))
    for _ in range(3):
        done = await publish_events(platform, property_id, LIFT, [{}])
        assert (len(done.accepted), len(done.rejected)) == (0, 1)
    assert len((await publish_events(platform, property_id, LIFT, [GOOD])).accepted) == 1


async def test_a_revoked_application_publishes_nothing_and_its_keys_are_dead(platform: Platform) -> None:
    property_id, _ = await registered(platform)
    _, token = await create_key(platform.database, property_id, "k", application_id=LIFT)
    rights = await find_key(platform.database, token.reveal())
    assert rights is not None
    assert (rights.application_id, rights.role_id) == (LIFT, PUBLISHERS)
    revoked = await revoke(platform, property_id, LIFT)
    assert revoked.revoked_at is not None
    assert await revoke(platform, property_id, LIFT) == revoked
    assert await find_key(platform.database, token.reveal()) is None
    with pytest.raises(Forbidden):
        await publish_events(platform, property_id, LIFT, [GOOD])
    with pytest.raises(Forbidden):
        await create_key(platform.database, property_id, "k", application_id=LIFT)


async def test_a_key_of_an_application_does_not_send_readings_and_does_not_manage(platform: Platform) -> None:
    property_id, _ = await registered(platform)
    key_id, token = await create_key(platform.database, property_id, "k", application_id=LIFT)
    standing = (await sending_keys(platform))[digest(token.reveal())]
    assert isinstance(standing, Decision)
    assert standing.code == "IMPLICIT_DENY"
    assert [(k.id, k.application_id) for k in await page_keys(platform.database, property_id, limit=9)] == [
        (key_id, LIFT)
    ]
    with pytest.raises(InvalidValue):
        await create_key(platform.database, property_id, "k", manages=True, application_id=LIFT)
    with pytest.raises(NotFound):
        await create_key(platform.database, property_id, "k", application_id=ApplicationId("unknown"))
    other, _ = await made_property(platform.database, seed=2)
    with pytest.raises(NotFound):
        await create_key(platform.database, other, "k", application_id=LIFT)


async def test_a_quota_can_be_changed_and_counts_from_then_on(platform: Platform) -> None:
    property_id, _ = await registered(platform)
    changed = await change_application(platform, property_id, LIFT, burst=2, name="Lifts 2")
    assert (changed.name, changed.quota, changed.version) == ("Lifts 2", Quota(burst=2), 2)
    with pytest.raises(LimitViolated):
        await publish_events(platform, property_id, LIFT, [GOOD] * 3)
    with pytest.raises(InvalidValue):
        await change_application(platform, property_id, LIFT, per_day=0)
    async with platform.database.connection() as connection:
        assert [a.quota.burst for a in await list_applications(connection, property_id)] == [2]


async def test_an_unknown_property_has_no_applications(platform: Platform) -> None:
    with pytest.raises(NotFound):
        await register_application(platform, PropertyId("nowhere"), LIFT, name="", quota=Quota())
    async with platform.database.connection() as connection:
        assert await list_applications(connection, PropertyId("nowhere")) == []


async def test_meta_that_json_has_to_escape_is_kept_as_it_is(platform: Platform) -> None:
    property_id, _ = await registered(platform)
    meta = {"nul": "\x00", "quote": '"\\', "line": "\u2028", "é": [1.5, None, {"a": True}]}
    await publish_events(platform, property_id, LIFT, [{**GOOD, "Meta": meta}])
    [found] = await logged(platform.database, property_id)
    assert found["Meta"] == meta
    waiting = (await PostgresOutbox(platform.database).unpublished(0, datetime(2001, 1, 1, tzinfo=UTC), 1_000))[-1]
    assert msgspec.json.decode(waiting.line) == found
    assert "\n" not in waiting.line
