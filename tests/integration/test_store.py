"""The store on a real PostgreSQL: sites, keys, subscriptions and leases."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from tests.engines import SharedEngines

from matrixhub.model.destination import BasicAuth, Destination, NoAuth
from matrixhub.model.errors import Conflict, EngineError, InvalidValue, NotFound, QueryTooLong, StoreBusy, StoreError
from matrixhub.model.ids import BuildingId, PropertyId, SubscriptionId, WorkerId, ZoneId, new_id
from matrixhub.model.policy import BatchLimits
from matrixhub.model.secret import Secret
from matrixhub.model.site import Building, Site, SiteChange
from matrixhub.model.subscription import Filter, Lease, Position, Subscription
from matrixhub.modules.access.senders import sending_keys
from matrixhub.modules.work import Platform
from matrixhub.observe import Fact, PositionsSaved, ignore
from matrixhub.ports import Advance
from matrixhub.sources.sites import make_site
from matrixhub.store import Database, open_database, pool
from matrixhub.store.access_keys import page_keys
from matrixhub.store.egress import allow_egress, list_egress, revoke_egress
from matrixhub.store.keys import create_key, digest, keep_local_key, revoke_key
from matrixhub.store.leases import PostgresLeases
from matrixhub.store.pool import LONG_QUERIES_MAX, listen
from matrixhub.store.sealing import Sealer
from matrixhub.store.sites import SITE_CHANNEL, all_slots, apply_site, list_properties, read_site, site_change
from matrixhub.store.subscriptions import (
    SUBSCRIPTION_CHANNEL,
    Codec,
    create_subscription,
    find_property,
    list_subscriptions,
    set_state,
    show_subscription,
    subscribed_properties,
)
from matrixhub.testing.fakes import FakeClock

pytestmark = pytest.mark.asyncio(loop_scope="module")

STEPS = itertools.count(1)
CODEC = Codec(sealer=Sealer("0f" * 32))
PASSWORD = "d3mo pass"
TABLES = (
    "organisations",
    "properties",
    "buildings",
    "levels",
    "zones",
    "slots",
    "idempotency_keys",
    "ingest_keys",
    "access_keys",
    "egress_allowances",
    "subscriptions",
    "subscription_progress",
    "workers",
    "attempts",
    "parked",
    "replays",
    "tokens",
    "notices",
)

ONE, TWO, THREE = WorkerId("wrk_1"), WorkerId("wrk_2"), WorkerId("wrk_3")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dsn(shared_engines: SharedEngines) -> str:
    return (await shared_engines.new_database()).socket


@pytest_asyncio.fixture(loop_scope="module")
async def database(dsn: str) -> AsyncIterator[Database]:
    """An open database without rows."""
    async with open_database(dsn, connections_max=5) as found:
        async with found.connection() as connection:
            await connection.execute(f"truncate {', '.join(TABLES)} cascade")
        yield found


async def everything(database: Database) -> str:
    """All rows of all tables as text."""
    async with database.connection() as connection:
        found = {table: await connection.fetch(f"select * from {table}") for table in TABLES}
    return "\n".join(f"{table}: {dict(row)}" for table, rows in found.items() for row in rows)


async def row_of(database: Database, subscription: SubscriptionId) -> dict[str, Any]:
    async with database.connection() as connection:
        statement = "select * from subscription_progress where subscription_id = $1"
        return dict(await connection.fetchrow(statement, subscription))


async def made_property(database: Database, seed: int = 1) -> PropertyId:
    site = make_site(3, seed=seed)
    await apply_site(database, site, remove=False)
    return site.property.id


async def subscribe(database: Database, property_id: PropertyId, **fields: Any) -> Subscription:
    return await create_subscription(
        database,
        CODEC,
        property_id,
        **{
            "name": "n",
            "wanted": Filter(),
            "destination": Destination(url="https://example.test/in"),
            "limits": BatchLimits(),
            "position": Position(seq=7),
            **fields,
        },
    )


def same(site: Site | None) -> dict[str, object]:
    """A site without the order of its places, which only slots keep."""
    assert site is not None
    return {
        "names": (site.organisation, site.property),
        "places": {thing.id: thing for group in (site.buildings, site.levels, site.zones) for thing in group},
        "slots": site.slots,
    }


# --- sites ---


async def test_a_site_that_was_applied_is_read_back_with_its_slots_in_order(database: Database) -> None:
    site = make_site(120, 2)
    made = 2 + len(site.buildings) + len(site.levels) + len(site.zones) + len(site.slots)
    assert await apply_site(database, site, remove=False) == SiteChange(created=made, updated=0, unchanged=0, removed=0)
    assert same(await read_site(database, site.property.id)) == same(site)
    assert {s.id for s in await all_slots(database)} == {s.id for s in site.slots}


async def test_applying_a_site_twice_changes_nothing(database: Database) -> None:
    site = make_site(60)
    first = await apply_site(database, site, remove=True)
    before = await everything(database)
    again = await apply_site(database, site, remove=True)
    assert again == SiteChange(created=0, updated=0, unchanged=first.created, removed=0)
    assert not again.changed
    assert await everything(database) == before


async def test_a_change_is_told_and_nothing_else_is_touched(database: Database) -> None:
    site = make_site(20)
    await apply_site(database, site, remove=False)
    slot = replace(site.slots[3], name="New name", parameters={"MaxRating": 3, "tags": ["a", None, 1.5]})
    changed = replace(site, slots=(*site.slots[:3], slot, *site.slots[4:]))
    found = await apply_site(database, changed, remove=False)
    assert (found.created, found.updated, found.removed) == (0, 1, 0)
    assert same(await read_site(database, site.property.id)) == same(changed)


async def test_a_new_name_of_the_property_is_saved(database: Database) -> None:
    site = make_site(3)
    await apply_site(database, site, remove=False)
    renamed = replace(site, property=replace(site.property, name="Other"))
    await apply_site(database, renamed, remove=False)
    assert same(await read_site(database, site.property.id)) == same(renamed)


async def test_what_a_site_no_longer_names_is_kept_unless_removal_is_asked_for(database: Database) -> None:
    site = make_site(60, 2)
    await apply_site(database, site, remove=False)
    kept = site.buildings[0]
    smaller = replace(
        site,
        buildings=(kept,),
        levels=tuple(x for x in site.levels if x.building_id == kept.id),
        zones=tuple(x for x in site.zones if x.building_id == kept.id),
        slots=tuple(x for x in site.slots if x.building_id == kept.id),
    )
    assert (await apply_site(database, smaller, remove=False)).removed == 0
    assert len(await all_slots(database)) == 60
    removed = (await apply_site(database, smaller, remove=True)).removed
    assert removed == sum(
        len(getattr(site, group)) - len(getattr(smaller, group)) for group in ("buildings", "levels", "zones", "slots")
    )
    assert same(await read_site(database, site.property.id)) == same(smaller)


async def test_removal_leaves_other_properties_alone(database: Database) -> None:
    one, other = make_site(10, seed=1), make_site(10, seed=2)
    await apply_site(database, one, remove=True)
    await apply_site(database, other, remove=True)
    await apply_site(database, replace(one, slots=()), remove=True)
    assert same(await read_site(database, other.property.id)) == same(other)
    assert {p["id"]: p["slots"] for p in await list_properties(database)} == {one.property.id: 0, other.property.id: 10}


@pytest.mark.parametrize("what", ["building", "level", "zone", "slot"])
async def test_an_id_of_another_property_is_a_conflict_and_changes_nothing(database: Database, what: str) -> None:
    one, other = make_site(10, seed=1), make_site(10, seed=2)
    await apply_site(database, one, remove=False)
    before = await everything(database)
    group = f"{what}s"
    taken: Any = (replace(getattr(other, group)[0], id=getattr(one, group)[0].id), *getattr(other, group)[1:])
    changed: dict[str, Any] = {group: taken}
    with pytest.raises(Conflict, match=f"{what} {taken[0].id} belongs to property {one.property.id} already"):
        await apply_site(database, replace(other, **changed), remove=False)
    assert await everything(database) == before


async def test_two_who_apply_the_same_site_at_once_do_it_once(database: Database) -> None:
    site = make_site(40)
    changes = await asyncio.gather(*(apply_site(database, site, remove=True) for _ in range(4)))
    assert sorted(bool(change.created) for change in changes) == [False, False, False, True]


async def test_an_unknown_property_has_no_site(database: Database) -> None:
    assert await read_site(database, PropertyId("p")) is None
    assert list(await list_properties(database)) == []


async def test_the_change_of_a_site_can_be_told_beforehand() -> None:
    site = make_site(10)
    extra = Building(id=BuildingId("x"), property_id=site.property.id, name="X", time_zone="UTC")
    grown = replace(site, buildings=(*site.buildings, extra))
    assert site_change(site, grown, remove=True).created == 1
    assert site_change(grown, site, remove=True).removed == 1
    assert site_change(grown, site, remove=False).removed == 0


async def test_those_who_listen_hear_of_changes(database: Database) -> None:
    heard, stop = asyncio.Event(), asyncio.Event()
    listening = asyncio.create_task(listen(database, SITE_CHANNEL, lambda _: heard.set(), stop, ignore))
    async with asyncio.timeout(10):
        await heard.wait()
        heard.clear()
        await made_property(database)
        await heard.wait()
    stop.set()
    await listening


# --- keys ---


async def test_a_key_is_valid_from_its_making_to_its_revocation(database: Database) -> None:
    property_id = await made_property(database)
    key_id, secret = await create_key(database, property_id, "gateway")
    assert await sending_keys(Platform(database=database, clock=FakeClock())) == {digest(secret.reveal()): property_id}
    (shown,) = await page_keys(database, property_id, limit=9)
    assert (shown.id, shown.name, shown.revoked_at) == (key_id, "gateway", None)
    await revoke_key(database, property_id, key_id)
    assert await sending_keys(Platform(database=database, clock=FakeClock())) == {}
    assert (await page_keys(database, property_id, limit=9))[0].revoked_at is not None
    with pytest.raises(NotFound):
        await revoke_key(database, property_id, key_id)


async def test_only_the_digest_of_a_key_is_stored(database: Database) -> None:
    property_id = await made_property(database)
    _, secret = await create_key(database, property_id, "gateway")
    token = secret.reveal()
    assert token.startswith("mhk_")
    assert len(token) > 40
    assert token not in await everything(database)
    assert token not in f"{secret} {secret!r}"


async def test_a_key_belongs_to_its_property(database: Database) -> None:
    one, other = await made_property(database, 1), await made_property(database, 2)
    key_id, _ = await create_key(database, one, "n")
    assert list(await page_keys(database, other, limit=9)) == []
    with pytest.raises(NotFound):
        await revoke_key(database, other, key_id)
    with pytest.raises(NotFound):
        await create_key(database, PropertyId("nowhere"), "n")


async def test_the_local_key_is_kept_once_and_may_change(database: Database) -> None:
    for token in ("a", "a", "b"):
        await keep_local_key(database, token)
    assert await sending_keys(Platform(database=database, clock=FakeClock())) == {digest("b"): None}


# --- subscriptions ---

WHOLE = Destination(
    url="https://example.test/in", auth=BasicAuth(user="demo-user", password=Secret(PASSWORD)), ca_pem="PEM"
)


async def test_a_subscription_is_shown_as_it_was_made(database: Database) -> None:
    property_id = await made_property(database)
    wanted = Filter(
        buildings=frozenset({BuildingId("b1"), BuildingId("b2")}),
        zones=frozenset({ZoneId("z")}),
        devtypes=frozenset({"SMARTCLEAN#UM"}),
    )
    limits = BatchLimits(items=9, size_bytes=2048)
    made = await subscribe(database, property_id, name="ERP", wanted=wanted, destination=WHOLE, limits=limits)
    shown = await show_subscription(database, CODEC, property_id, made.id)
    assert shown.subscription == made
    assert (shown.progress.position, shown.progress.sending_to, shown.owner) == (Position(seq=7), None, None)
    assert [o.subscription for o in await list_subscriptions(database, CODEC, property_id)] == [made]
    assert await find_property(database, made.id) == property_id
    assert list(await subscribed_properties(database)) == [property_id]


async def test_a_subscription_is_seen_by_its_own_property_only(database: Database) -> None:
    one, other = await made_property(database, 1), await made_property(database, 2)
    made = await subscribe(database, one)
    assert list(await list_subscriptions(database, CODEC, other)) == []
    with pytest.raises(NotFound):
        await show_subscription(database, CODEC, other, made.id)
    with pytest.raises(NotFound):
        await set_state(database, other, made.id, "paused")
    with pytest.raises(NotFound):
        await find_property(database, SubscriptionId("sub_nowhere"))
    assert (await show_subscription(database, CODEC, one, made.id)).subscription.state == "active"


async def test_what_cannot_work_is_not_made(database: Database) -> None:
    property_id = await made_property(database)
    with pytest.raises(InvalidValue):
        await subscribe(database, property_id, destination=Destination(url="http://example.test"))
    with pytest.raises(InvalidValue):
        await subscribe(database, property_id, limits=BatchLimits(items=0))
    with pytest.raises(NotFound):
        await subscribe(database, PropertyId("nowhere"))
    assert list(await subscribed_properties(database)) == []


async def test_a_password_is_in_no_column_and_another_master_key_cannot_open_it(database: Database) -> None:
    property_id = await made_property(database)
    made = await subscribe(database, property_id, destination=WHOLE)
    rows = await everything(database)
    assert "demo-user" in rows
    assert PASSWORD not in rows
    assert PASSWORD.encode().hex() not in rows
    with pytest.raises(StoreError, match="another master key"):
        await show_subscription(database, Codec(sealer=Sealer("f0" * 32)), property_id, made.id)


async def test_a_sealed_password_moved_to_another_subscription_cannot_be_opened(database: Database) -> None:
    property_id = await made_property(database)
    one = await subscribe(database, property_id, destination=WHOLE)
    other = await subscribe(database, property_id, destination=WHOLE)
    async with database.connection() as connection:
        await connection.execute(
            "update subscriptions s set secrets = o.secrets from subscriptions o where o.id = $1 and s.id = $2",
            one.id,
            other.id,
        )
    with pytest.raises(StoreError, match=other.id):
        await show_subscription(database, CODEC, property_id, other.id)
    assert (await show_subscription(database, CODEC, property_id, one.id)).subscription == one


async def test_the_same_password_is_sealed_differently_each_time() -> None:
    assert CODEC.sealer.seal(Secret("x"), "s") != CODEC.sealer.seal(Secret("x"), "s")
    assert CODEC.sealer.open(CODEC.sealer.seal(Secret("ü"), "s"), "s") == Secret("ü")


# --- what may be pushed to ---


async def test_what_a_property_is_allowed_is_its_own_and_kept_in_one_form(database: Database) -> None:
    one, other = await made_property(database, 1), await made_property(database, 2)
    assert await allow_egress(database, one, "10.1.2.3") == "10.1.2.3/32"
    for _ in range(2):
        assert await allow_egress(database, one, "*.Example.org") == "*.example.org"
    assert [allowed.target for allowed in await list_egress(database, one)] == ["*.example.org", "10.1.2.3/32"]
    assert list(await list_egress(database, other)) == []
    with pytest.raises(NotFound):
        await revoke_egress(database, other, "10.1.2.3")
    assert await revoke_egress(database, one, "10.1.2.3") == "10.1.2.3/32"
    with pytest.raises(NotFound, match="egress list"):
        await revoke_egress(database, one, "10.1.2.3")
    assert [allowed.target for allowed in await list_egress(database, one)] == ["*.example.org"]
    with pytest.raises(NotFound):
        await allow_egress(database, PropertyId("nowhere"), "10.1.2.3")
    with pytest.raises(InvalidValue):
        await allow_egress(database, one, "10.1.2.3/8")


async def test_the_allow_list_comes_with_every_reading_of_the_subscription(database: Database) -> None:
    one, other = await made_property(database, 1), await made_property(database, 2)
    mine, theirs = await subscribe(database, one), await subscribe(database, other)
    await allow_egress(database, one, "10.0.0.0/8")
    found = leases(database)
    await found.heartbeat(ONE, 60)
    expected = {mine.id: frozenset({"10.0.0.0/8"}), theirs.id: frozenset()}
    for taken in (await found.claim(ONE, 0), await found.owned(ONE)):
        assert {t.subscription.id: t.subscription.destination.egress_allow for t in taken} == expected
    (shown,) = await list_subscriptions(database, CODEC, one)
    assert shown == await show_subscription(database, CODEC, one, mine.id)
    assert shown.subscription.destination.egress_allow == {"10.0.0.0/8"}
    await revoke_egress(database, one, "10.0.0.0/8")
    assert all(not lease.subscription.destination.egress_allow for lease in await found.owned(ONE))


async def test_workers_hear_of_what_is_allowed_and_revoked(database: Database) -> None:
    property_id = await made_property(database)
    heard, stop = asyncio.Event(), asyncio.Event()
    listening = asyncio.create_task(listen(database, SUBSCRIPTION_CHANNEL, lambda _: heard.set(), stop, ignore))
    async with asyncio.timeout(10):
        await heard.wait()
        for change in (allow_egress, revoke_egress):
            heard.clear()
            await change(database, property_id, "10.1.2.3")
            await heard.wait()
    stop.set()
    await listening


# --- leases ---


def leases(database: Database, facts: list[Fact] | None = None) -> PostgresLeases:
    made = PostgresLeases(database, CODEC, ignore if facts is None else facts.append)
    _made.append(made)
    return made


_made: list[PostgresLeases] = []


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def close_leases() -> AsyncIterator[None]:
    yield
    while _made:
        await _made.pop().close()


async def subscriptions(database: Database, count: int) -> list[SubscriptionId]:
    property_id = await made_property(database)
    return [(await subscribe(database, property_id, destination=WHOLE)).id for _ in range(count)]


async def die(database: Database, worker: WorkerId) -> None:
    """Let the worker's last heartbeat be too long ago."""
    async with database.connection() as connection:
        await connection.execute("update workers set expires_at = now() - interval '1 s' where id = $1", worker)


def step(lease: Lease, position: Position | None, **fields: Any) -> Advance:
    return Advance(
        **{
            "subscription": lease.subscription.id,
            "worker": lease.worker,
            "fence": lease.fence,
            "step": next(STEPS),
            "position": position,
            "sending_to": None,
            **fields,
        }
    )


async def claimed(database: Database) -> Lease:
    """One subscription, owned by worker one."""
    await subscriptions(database, 1)
    found = leases(database)
    await found.heartbeat(ONE, 60)
    (lease,) = await found.claim(ONE, 0)
    return lease


async def test_a_claim_takes_what_is_free_with_all_it_needs(database: Database) -> None:
    lease = await claimed(database)
    assert (lease.worker, lease.fence, lease.progress.position) == (ONE, 1, Position(seq=7))
    assert lease.subscription.destination == WHOLE
    assert list(await leases(database).owned(ONE)) == [lease]
    assert list(await leases(database).claim(ONE, 1)) == []


async def test_workers_share_fairly_and_nothing_is_owned_twice(database: Database) -> None:
    ids = await subscriptions(database, 7)
    found = leases(database)
    for worker in (ONE, TWO, THREE):
        await found.heartbeat(worker, 60)
    assert await found.fair_share() == 3
    shares = await asyncio.gather(*(found.claim(worker, 0) for worker in (ONE, TWO, THREE)))
    owned = [lease.subscription.id for share in shares for lease in share]
    assert max(len(share) for share in shares) <= 3
    assert len(owned) == len(set(owned))
    for worker, share in zip((ONE, TWO, THREE), shares, strict=True):  # rows locked by another are passed over once
        owned += [lease.subscription.id for lease in await found.claim(worker, len(share))]
    assert sorted(owned) == sorted(ids)
    assert list(await found.claim(ONE, 3)) == []


async def test_who_lives_keeps_and_who_was_not_heard_of_loses(database: Database) -> None:
    lease = await claimed(database)
    found = leases(database)
    await found.heartbeat(TWO, 60)
    assert list(await found.claim(TWO, 0)) == []
    await die(database, ONE)
    (taken,) = await found.claim(TWO, 0)
    assert (taken.subscription.id, taken.fence) == (lease.subscription.id, lease.fence + 1)
    assert list(await found.owned(ONE)) == []


async def test_a_step_under_an_old_fence_changes_nothing(database: Database) -> None:
    old = await claimed(database)
    found = leases(database)
    await die(database, ONE)
    await found.heartbeat(TWO, 60)
    (new,) = await found.claim(TWO, 0)
    before = await row_of(database, old.subscription.id)
    stale = [
        step(old, Position(seq=99), delivered=5, attempts_failed=1, last_error="x"),
        step(old, None, sending_to=Position(seq=50)),
        step(replace(new, worker=ONE), Position(seq=99)),
        step(replace(new, fence=new.fence + 1), Position(seq=99)),
    ]
    for one in stale:
        assert await found.advance([one]) == frozenset()
        assert await row_of(database, old.subscription.id) == before
    assert await found.advance([step(new, Position(seq=8), delivered=1)]) == {new.subscription.id}


async def test_a_step_that_is_saved_twice_counts_once(database: Database) -> None:
    lease = await claimed(database)
    found = leases(database)
    once = step(lease, Position(seq=8, item=3), sending_to=Position(seq=9), delivered=5)
    for _ in range(3):
        assert await found.advance([once]) == {lease.subscription.id}
    row = await row_of(database, lease.subscription.id)
    assert (row["delivered"], row["position_seq"], row["position_item"]) == (5, 8, 3)
    assert (row["sending_seq"], row["sending_item"]) == (9, 0)
    assert row["last_delivered_at"] is not None


async def test_counters_and_the_last_error_follow_the_attempts(database: Database) -> None:
    lease = await claimed(database)
    found = leases(database)
    plan = Position(seq=9)
    await found.advance([step(lease, None, sending_to=plan)])
    await found.advance([step(lease, None, sending_to=plan, attempts_failed=1, last_error="HTTP 500")])
    await found.advance([step(lease, None, sending_to=plan, attempts_failed=2)])
    (now,) = await found.owned(ONE)
    assert (now.progress.attempts_failed, now.progress.last_error) == (3, "HTTP 500")
    assert (now.progress.position, now.progress.sending_to) == (Position(seq=7), plan)
    await found.advance([step(lease, plan, delivered=4)])
    await found.advance([step(lease, Position(seq=10), delivered=6)])
    (now,) = await found.owned(ONE)
    assert (now.progress.delivered, now.progress.last_error, now.progress.sending_to) == (10, "", None)
    assert now.progress.attempts_failed == 3


async def test_steps_of_many_subscriptions_are_saved_together(database: Database) -> None:
    facts: list[Fact] = []
    found = leases(database, facts)
    await subscriptions(database, 20)
    await found.heartbeat(ONE, 60)
    owned = await found.claim(ONE, 0)
    steps = [step(lease, Position(seq=100 + n), delivered=n) for n, lease in enumerate(owned)]
    steps[3] = replace(steps[3], fence=99)
    held = await found.advance(steps)
    assert held == {lease.subscription.id for lease in owned} - {owned[3].subscription.id}
    assert [f.subscriptions for f in facts if isinstance(f, PositionsSaved)] == [19]
    after = {lease.subscription.id: lease.progress.position.seq for lease in await found.owned(ONE)}
    assert [after[lease.subscription.id] for lease in owned] == [7 if n == 3 else 100 + n for n in range(20)]


async def test_what_is_given_back_is_free_at_once_under_a_new_fence(database: Database) -> None:
    lease = await claimed(database)
    found = leases(database)
    await found.heartbeat(TWO, 60)
    await found.release(TWO, [lease.subscription.id])  # not its own: nothing happens
    assert len(await found.owned(ONE)) == 1
    await found.advance([step(lease, Position(seq=20), delivered=1)])
    await found.release(ONE, [lease.subscription.id])
    (taken,) = await found.claim(TWO, 0)
    assert (taken.fence, taken.progress.position) == (2, Position(seq=20))
    assert await found.advance([step(lease, Position(seq=30))]) == frozenset()


async def test_a_worker_that_retires_gives_everything_back_and_is_forgotten(database: Database) -> None:
    await subscriptions(database, 4)
    found = leases(database)
    await found.heartbeat(ONE, 60)
    await found.heartbeat(TWO, 60)
    assert len(await found.claim(ONE, 0)) == 2
    await found.retire(ONE)
    assert await found.fair_share() == 4
    assert len(await found.claim(TWO, 0)) == 4


async def test_a_paused_subscription_is_not_claimed_and_not_owned_and_keeps_its_place(database: Database) -> None:
    lease = await claimed(database)
    found = leases(database)
    await found.advance([step(lease, Position(seq=9), delivered=2)])
    property_id = lease.subscription.property_id
    await set_state(database, property_id, lease.subscription.id, "paused")
    assert list(await found.owned(ONE)) == []
    await found.release(ONE, [lease.subscription.id])
    assert await found.fair_share() == 0
    assert list(await found.claim(ONE, 0)) == []
    await set_state(database, property_id, lease.subscription.id, "active")
    (again,) = await found.claim(ONE, 0)
    assert again.progress.position == Position(seq=9)


async def test_a_worker_that_starts_again_under_its_name_finds_what_it_owns(database: Database) -> None:
    lease = await claimed(database)
    again = leases(database)
    await again.heartbeat(ONE, 60)
    assert list(await again.owned(ONE)) == [lease]


# --- the pool ---


async def test_a_database_that_cannot_be_reached_is_an_error_of_the_engine(dsn: str) -> None:
    with pytest.raises(EngineError, match="cannot be reached"):
        async with open_database("postgresql://x:y@127.0.0.1:1/z", connections_max=1):
            pass
    with pytest.raises(EngineError, match="cannot be reached"):
        async with open_database("nonsense", connections_max=1):
            pass


async def test_a_broken_connection_is_an_error_of_the_store_and_the_next_one_works(database: Database) -> None:
    with pytest.raises(StoreError):
        async with database.connection() as connection:
            await connection.execute("select pg_terminate_backend(pg_backend_pid())")
    await database.ping()


async def test_json_is_kept_as_it_is(database: Database) -> None:
    value = {"a": [1, 2.5, None, True, "ü"], "b": {}}
    async with database.connection() as connection:
        found = await connection.fetchval("select $1::jsonb", value)
    assert msgspec.json.encode(found, order="sorted") == msgspec.json.encode(value, order="sorted")


async def test_new_ids_fit_the_tables(database: Database) -> None:
    property_id = await made_property(database)
    made = await subscribe(database, property_id)
    assert made.id.startswith("sub_")
    assert len(new_id("sub")) == len(made.id)
    assert isinstance(made.destination.auth, NoAuth)


async def test_what_one_who_used_a_connection_left_open_is_rolled_back_for_the_next(database: Database) -> None:
    async with open_database(database.dsn, connections_max=1) as single:
        async with single.connection() as connection:
            await connection.execute("begin")
            await connection.execute("create table left_open (n int)")
        async with single.connection() as connection:
            assert not connection.is_in_transaction()
            assert await connection.fetchval("select to_regclass('left_open')") is None


async def test_giving_a_connection_back_asks_postgresql_nothing(database: Database) -> None:
    asked: list[str] = []
    async with open_database(database.dsn, connections_max=1) as single:
        async with single.connection() as connection:
            connection.add_query_logger(lambda record: asked.append(record.query))
        async with single.connection() as connection:
            await connection.execute("select 1")
    assert asked == ["select 1"]


async def test_a_long_query_that_takes_too_long_is_ended_and_said_to_be(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "LONG_QUERY_S", 0.02)
    with pytest.raises(QueryTooLong, match="it takes longer"):
        async with database.long_query() as connection:
            await connection.execute("select pg_sleep(5)")
    async with database.connection() as connection:  # the limit was for that one alone
        await connection.execute("select pg_sleep(0.05)")


async def test_long_queries_leave_connections_to_all_else(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "LONG_QUERY_WAIT_S", 0.02)
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(LONG_QUERIES_MAX):
            await stack.enter_async_context(database.long_query())
        with pytest.raises(StoreBusy):
            await stack.enter_async_context(database.long_query())
        await database.ping()
    async with database.long_query() as connection:
        assert await connection.fetchval("select 1") == 1
