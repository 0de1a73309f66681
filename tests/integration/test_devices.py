"""Devices on a real PostgreSQL: slots, the devices in them, who supplies these, and how they fare."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from tests.engines import SharedEngines
from tests.integration.waiting import wait_someone_waits

from matrixhub.model.devices import Json
from matrixhub.model.errors import (
    Conflict,
    MatrixHubError,
    MissingParameters,
    NotFound,
    QueryTooLong,
    WrongParameters,
    WrongState,
)
from matrixhub.model.ids import BuildingId, PropertyId, SlotId, ZoneId
from matrixhub.model.site import Site
from matrixhub.model.slot import Association, DeviceSlot, Sighting, SlotFilter, slot_health
from matrixhub.modules.devices import (
    approve_provider,
    approved_providers,
    associate_device,
    commission_slot,
    create_slot,
    decommission_slot,
    dissociate_device,
    find_slots,
    past_devices,
    remove_slot,
    set_silence,
    show_slot,
    swap_device,
    update_slot,
    withdraw_provider,
)
from matrixhub.modules.work import Platform
from matrixhub.observe import ignore
from matrixhub.sources.sites import make_site
from matrixhub.store import Database, open_database
from matrixhub.store.devices import lock_slot, lock_zone, save_sightings, save_slot
from matrixhub.store.pool import listen
from matrixhub.store.sites import SITE_CHANNEL, all_slots, apply_site, read_site
from matrixhub.testing.fakes import FakeClock

pytestmark = pytest.mark.asyncio(loop_scope="module")

AT = datetime.fromtimestamp(1_710_029_109.417, UTC)


@dataclass(frozen=True, slots=True)
class World:
    """A property with ten slots on a clock of its own."""

    platform: Platform
    clock: FakeClock
    site: Site

    @property
    def property_id(self) -> PropertyId:
        return self.site.property.id

    @property
    def building_id(self) -> BuildingId:
        return self.site.buildings[0].id

    def zone(self, number: int = 0) -> ZoneId:
        return self.site.zones[number].id

    def slot(self, number: int = 0) -> SlotId:
        return self.site.slots[number].id

    async def create(self, devtype: str = "SMARTCLEAN#UM", name: str = "Usage", **fields: Any) -> DeviceSlot:
        return await create_slot(
            self.platform,
            self.property_id,
            self.zone(),
            **{"devtype": devtype, "name": name, "actor": "admin", **fields},
        )

    async def with_device(self, hardware_id: str, devtype: str = "SMARTCLEAN#UM") -> SlotId:
        made = await self.create(devtype)
        await associate_device(self.platform, self.property_id, made.id, hardware_id, actor="admin")
        return made.id

    async def show(self, slot_id: SlotId) -> DeviceSlot:
        return await show_slot(self.platform, self.property_id, slot_id)

    async def seen(self, slot_id: SlotId, after_s: float, battery: float | None = None) -> None:
        seen_at = AT + timedelta(seconds=after_s)
        await save_sightings(self.platform.database, [Sighting(slot_id=slot_id, seen_at=seen_at, battery=battery)])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dsn(shared_engines: SharedEngines) -> str:
    return (await shared_engines.new_database()).socket


@pytest_asyncio.fixture(loop_scope="module")
async def database(dsn: str) -> AsyncIterator[Database]:
    """An open database without rows."""
    async with open_database(dsn, connections_max=10) as found:
        async with found.connection() as connection:
            await connection.execute("truncate organisations cascade")
            await connection.execute("delete from providers where name <> 'SMARTCLEAN'")
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def world(database: Database) -> World:
    site = make_site(40, 2)
    await apply_site(database, site, remove=False)
    clock = FakeClock()
    return World(Platform(database=database, clock=clock), clock, site)


async def outcomes(*acts: Any) -> list[type[BaseException] | None]:
    """How acts that are done at once end, as the kinds of their errors."""
    found = await asyncio.gather(*acts, return_exceptions=True)
    return [type(result) if isinstance(result, BaseException) else None for result in found]


# --- slots ---


async def test_a_slot_that_was_made_is_shown_as_it_was_made(world: World) -> None:
    made = await world.create("ODRDTR", "  Air  ", params={"DeviceParams": {"MAX": 1.5, "tags": ["a", None]}})
    assert len(made.id) == 32
    assert (made.slot.devtype, made.slot.name) == ("SMARTCLEAN#ODRDTR", "Air")
    assert (made.created_at, made.created_by, made.commissioning, made.associated) == (AT, "admin", "new", False)
    assert await world.show(made.id) == made
    assert made.id in {slot.id for slot in await all_slots(world.platform.database)}


async def test_a_slot_may_be_given_its_id_once(world: World) -> None:
    made = await world.create(slot_id="Demo slot")
    assert made.id == "Demo slot"
    with pytest.raises(Conflict):
        await world.create(slot_id="Demo slot")
    ended = await outcomes(*(world.create(slot_id="Other") for _ in range(3)))
    assert (ended.count(None), ended.count(Conflict)) == (1, 2)


@pytest.mark.parametrize(
    "fields,error",
    [
        ({"devtype": ""}, MissingParameters),
        ({"devtype": "SMARTCLEAN#NONE"}, WrongParameters),
        ({"devtype": "UM"}, WrongParameters),
        ({"devtype": "ACME#UM"}, WrongParameters),
        ({"name": " "}, MissingParameters),
        ({"slot_id": " x"}, WrongParameters),
        ({"params": {}}, MissingParameters),
    ],
)
async def test_a_slot_that_cannot_be_is_not_made(
    world: World, fields: dict[str, Any], error: type[MatrixHubError]
) -> None:
    with pytest.raises(error):
        await world.create(**fields)
    assert len(await all_slots(world.platform.database)) == 40


async def test_what_is_changed_is_changed_and_the_rest_stays(world: World) -> None:
    made = await world.create(params={"DeviceParams": {"A": 1, "B": 2}})
    await world.clock.advance(60)
    changed = await update_slot(
        world.platform,
        world.property_id,
        made.id,
        name="New",
        params={"DeviceParams": {"B": None, "C": 3}},
        firmware="2",
        connection="BLE",
        actor="fitter",
    )
    assert changed == replace(
        made,
        slot=replace(made.slot, name="New", parameters={"A": 1, "C": 3}),
        firmware="2",
        connection="BLE",
        updated_at=AT + timedelta(seconds=60),
        updated_by="fitter",
        version=2,
    )
    assert await world.show(made.id) == changed


async def test_a_change_that_changes_nothing_leaves_no_trace(world: World) -> None:
    made = await world.create()
    await world.clock.advance(60)
    assert await update_slot(world.platform, world.property_id, made.id, name="Usage", actor="fitter") == made
    assert await world.show(made.id) == made


async def test_a_slot_moves_to_a_zone_of_another_building_with_its_id(world: World) -> None:
    other = next(zone for zone in world.site.zones if zone.building_id != world.building_id)
    made = await world.create()
    moved = await update_slot(world.platform, world.property_id, made.id, zone_id=other.id, actor="fitter")
    found = await world.show(made.id)
    assert found == moved
    assert (found.slot.zone_id, found.slot.building_id, found.level_id) == (other.id, other.building_id, other.level_id)
    with pytest.raises(NotFound):
        await update_slot(world.platform, world.property_id, made.id, zone_id=ZoneId("nowhere"), actor="fitter")


async def test_changes_of_different_fields_at_one_time_both_survive(world: World) -> None:
    made = await world.create()
    await asyncio.gather(
        update_slot(world.platform, world.property_id, made.id, name="New", actor="a"),
        update_slot(world.platform, world.property_id, made.id, firmware="9", actor="b"),
        update_slot(world.platform, world.property_id, made.id, params={"DeviceParams": {"A": 1}}, actor="c"),
        update_slot(world.platform, world.property_id, made.id, params={"DeviceParams": {"B": 2}}, actor="d"),
        associate_device(world.platform, world.property_id, made.id, "7AD01C93E2", actor="e"),
        set_silence(world.platform, world.property_id, made.id, 60, actor="f"),
    )
    found = await world.show(made.id)
    assert (found.slot.name, found.firmware, found.slot.hardware_id) == ("New", "9", "7AD01C93E2")
    assert (found.slot.parameters, found.unhealthy_after_s, found.version) == ({"A": 1, "B": 2}, 60, 7)


async def test_a_slot_that_was_removed_is_gone_and_its_history_is_not(world: World) -> None:
    slot_id = await world.with_device("7AD01C93E2")
    await world.seen(slot_id, 1)
    gone = await remove_slot(world.platform, world.property_id, slot_id, actor="admin")
    assert gone.slot.hardware_id == "7AD01C93E2"
    with pytest.raises(NotFound):
        await world.show(slot_id)
    with pytest.raises(NotFound):
        await remove_slot(world.platform, world.property_id, slot_id, actor="admin")
    (past,) = await past_devices(world.platform, world.property_id, slot_id=slot_id)
    assert (past.hardware_id, past.ended_by) == ("7AD01C93E2", "admin")
    assert past.ended_at is not None
    await world.with_device("7AD01C93E2")


async def test_what_is_a_propertys_cannot_be_reached_from_another(world: World) -> None:
    other = make_site(5, seed=2)
    await apply_site(world.platform.database, other, remove=False)
    theirs, stranger, slot_id = world.platform, other.property.id, world.slot()
    assert (
        await outcomes(
            show_slot(theirs, stranger, slot_id),
            update_slot(theirs, stranger, slot_id, name="x", actor="x"),
            set_silence(theirs, stranger, slot_id, 1, actor="x"),
            associate_device(theirs, stranger, slot_id, "X1", actor="x"),
            dissociate_device(theirs, stranger, slot_id, actor="x"),
            swap_device(theirs, stranger, slot_id, "X1", actor="x"),
            commission_slot(theirs, stranger, slot_id, actor="x"),
            decommission_slot(theirs, stranger, slot_id, actor="x"),
            remove_slot(theirs, stranger, slot_id, actor="x"),
            find_slots(theirs, stranger, world.building_id),
            create_slot(theirs, stranger, world.zone(), devtype="SMARTCLEAN#UM", name="x", actor="x"),
            update_slot(theirs, stranger, other.slots[0].id, zone_id=world.zone(), actor="x"),
        )
        == [NotFound] * 12
    )
    assert (await find_slots(theirs, stranger, wanted=SlotFilter(ids=(slot_id,)))).slots == ()
    assert list(await past_devices(theirs, stranger, slot_id=slot_id)) == []


# --- lists ---


async def test_the_slots_of_a_building_come_page_by_page_each_once(world: World) -> None:
    expected = sorted(slot.id for slot in world.site.slots if slot.building_id == world.building_id)
    found: list[str] = []
    after, pages = "", 0
    while True:
        page = await find_slots(world.platform, world.property_id, world.building_id, after=after, limit=7)
        found += [slot.id for slot in page.slots]
        after, pages = page.next_after, pages + 1
        if not after:
            break
    assert (found, pages) == (expected, -(-len(expected) // 7))
    assert len((await find_slots(world.platform, world.property_id)).slots) == 40


async def test_slots_are_selected_by_all_that_is_named(world: World) -> None:
    async def ids(**named: Any) -> set[str]:
        page = await find_slots(world.platform, world.property_id, world.building_id, SlotFilter(**named))
        return {slot.id for slot in page.slots}

    here = [slot for slot in world.site.slots if slot.building_id == world.building_id]
    await approve_provider(world.platform, "ACME", actor="admin")
    acme = await world.create("ACME#UM")
    some = (here[0].id, here[3].id)
    assert await ids(ids=some) == set(some)
    assert await ids(ids=()) == set()
    assert await ids(ids=("nobody",)) == set()
    assert await ids(devtypes=("SMARTCLEAN#PPLCTR", "ODRDTR")) == {
        slot.id for slot in here if slot.devtype in ("SMARTCLEAN#PPLCTR", "SMARTCLEAN#ODRDTR")
    }
    assert await ids(provider="ACME") == {acme.id}
    assert await ids(zone_ids=(here[0].zone_id,), provider="SMARTCLEAN") == {
        slot.id for slot in here if slot.zone_id == here[0].zone_id
    }
    assert await ids(provider="NONE") == set()


@pytest.mark.parametrize("limit,error", [(0, WrongParameters), (1001, QueryTooLong)])
async def test_a_page_has_a_size(world: World, limit: int, error: type[MatrixHubError]) -> None:
    with pytest.raises(error):
        await find_slots(world.platform, world.property_id, limit=limit)


# --- devices in slots ---


async def test_a_swap_keeps_the_slot_and_its_service_and_the_history_tells_who_and_when(world: World) -> None:
    platform, property_id = world.platform, world.property_id
    slot_id = await world.with_device("A1")
    await commission_slot(platform, property_id, slot_id, actor="admin")
    await world.seen(slot_id, 1, 2980.0)
    await world.clock.advance(100)
    swapped = await swap_device(platform, property_id, slot_id, "B2", actor="fitter")
    assert (swapped.id, swapped.slot.hardware_id, swapped.commissioning) == (slot_id, "B2", "commissioned")
    assert (swapped.last_seen_at, swapped.battery) == (AT + timedelta(seconds=1), None)
    assert await world.show(slot_id) == swapped
    await world.clock.advance(100)
    out = await dissociate_device(platform, property_id, slot_id, actor="admin")
    assert (out.associated, out.commissioning) == (False, "decommissioned")

    def stay(hardware_id: str, began_s: int, began_by: str, ended_s: int, ended_by: str) -> Association:
        return Association(
            slot_id=slot_id,
            hardware_id=hardware_id,
            began_at=AT + timedelta(seconds=began_s),
            began_by=began_by,
            ended_at=AT + timedelta(seconds=ended_s),
            ended_by=ended_by,
        )

    history = [stay("B2", 100, "fitter", 200, "admin"), stay("A1", 0, "admin", 100, "fitter")]
    assert list(await past_devices(platform, property_id, slot_id=slot_id)) == history
    assert list(await past_devices(platform, property_id, hardware_id="A1")) == history[1:]


async def test_a_device_is_in_at_most_one_slot_of_the_hub(world: World) -> None:
    other = make_site(5, seed=2)
    await apply_site(world.platform.database, other, remove=False)
    taken = other.slots[0].hardware_id
    made = await world.create()
    with pytest.raises(Conflict, match=taken):
        await associate_device(world.platform, world.property_id, made.id, taken, actor="fitter")
    with pytest.raises(Conflict):
        await swap_device(world.platform, world.property_id, world.slot(), taken, actor="fitter")
    assert not (await world.show(made.id)).associated
    assert list(await past_devices(world.platform, world.property_id, slot_id=made.id)) == []


async def test_the_device_that_is_there_already_is_not_swapped_for_itself(world: World) -> None:
    slot_id = await world.with_device("A1")
    with pytest.raises(WrongState):
        await swap_device(world.platform, world.property_id, slot_id, "A1", actor="fitter")


async def test_of_several_who_put_one_device_into_different_slots_exactly_one_wins(world: World) -> None:
    made = [await world.create() for _ in range(4)]
    ended = await outcomes(
        *(associate_device(world.platform, world.property_id, slot.id, "A1", actor="fitter") for slot in made)
    )
    assert sorted(map(str, ended)) == sorted(map(str, [None, Conflict, Conflict, Conflict]))
    assert [slot.slot.hardware_id for slot in [await world.show(slot.id) for slot in made]].count("A1") == 1
    assert len(await past_devices(world.platform, world.property_id, hardware_id="A1")) == 1


async def test_of_several_who_put_devices_into_one_slot_exactly_one_wins(world: World) -> None:
    made = await world.create()
    ended = await outcomes(
        *(associate_device(world.platform, world.property_id, made.id, f"A{n}", actor="fitter") for n in range(4))
    )
    assert ended.count(None) == 1
    assert ended.count(WrongState) == 3
    assert len(await past_devices(world.platform, world.property_id, slot_id=made.id)) == 1


async def test_a_device_is_free_when_the_zone_of_its_slot_is_gone(world: World) -> None:
    slot_id = await world.with_device("A1")
    async with world.platform.database.connection() as connection:
        await connection.execute("delete from zones where id = $1", world.zone())
    (past,) = await past_devices(world.platform, world.property_id, slot_id=slot_id)
    assert past.ended_at is not None
    other = await world.show(next(slot.id for slot in world.site.slots if slot.zone_id != world.zone()))
    await swap_device(world.platform, world.property_id, other.id, "A1", actor="fitter")


# --- service ---


async def test_a_slot_goes_into_service_with_device_and_parameters_and_out_again(world: World) -> None:
    platform, property_id = world.platform, world.property_id
    slot_id = await world.with_device("A1", "SMARTCLEAN#BIN")
    with pytest.raises(MissingParameters, match="MAX, OFFSET"):
        await commission_slot(platform, property_id, slot_id, actor="fitter")
    params: Mapping[str, Json] = {"DeviceParams": {"MAX": 110, "OFFSET": 5}}
    await update_slot(platform, property_id, slot_id, params=params, actor="fitter")
    await world.clock.advance(5)
    found = await commission_slot(platform, property_id, slot_id, actor="fitter")
    assert (found.commissioning, found.commissioned_at) == ("commissioned", AT + timedelta(seconds=5))
    with pytest.raises(MissingParameters):
        await update_slot(platform, property_id, slot_id, params={"DeviceParams": {"MAX": None}}, actor="fitter")
    assert (await decommission_slot(platform, property_id, slot_id, actor="fitter")).commissioning == "decommissioned"
    with pytest.raises(WrongState):
        await decommission_slot(platform, property_id, slot_id, actor="fitter")


# --- providers ---


async def test_a_type_of_a_provider_is_possible_once_it_is_approved(world: World) -> None:
    assert list(await approved_providers(world.platform)) == ["SMARTCLEAN"]
    assert await approve_provider(world.platform, "ACME", actor="admin") == "ACME"
    await approve_provider(world.platform, "ACME", actor="admin")
    assert list(await approved_providers(world.platform)) == ["ACME", "SMARTCLEAN"]
    made = await world.create("ACME#UM")
    assert (made.provider, made.slot.devtype) == ("ACME", "ACME#UM")
    with pytest.raises(Conflict, match="1 device slots"):
        await withdraw_provider(world.platform, "ACME")
    await remove_slot(world.platform, world.property_id, made.id, actor="admin")
    await withdraw_provider(world.platform, "ACME")
    with pytest.raises(WrongParameters):
        await world.create("ACME#UM")


@pytest.mark.parametrize("name,error", [("SMARTCLEAN", Conflict), ("ACME", NotFound)])
async def test_not_every_approval_can_be_taken_back(world: World, name: str, error: type[MatrixHubError]) -> None:
    with pytest.raises(error):
        await withdraw_provider(world.platform, name)


async def test_a_provider_is_not_withdrawn_while_a_slot_of_its_is_being_made(world: World) -> None:
    for _ in range(5):
        await approve_provider(world.platform, "ACME", actor="admin")
        made, withdrawn = await outcomes(world.create("ACME#UM"), withdraw_provider(world.platform, "ACME"))
        assert (made, withdrawn) in [(None, Conflict), (WrongParameters, None)]


# --- health ---


async def test_what_was_heard_later_counts_whichever_is_saved_first(world: World) -> None:
    slot_id = world.slot()
    await world.seen(slot_id, 10, 2980.0)
    await world.seen(slot_id, 5, 3000.0)
    found = await world.show(slot_id)
    assert (found.last_seen_at, found.battery) == (AT + timedelta(seconds=10), 2980.0)
    await world.seen(slot_id, 20)
    found = await world.show(slot_id)
    assert (found.last_seen_at, found.battery) == (AT + timedelta(seconds=20), 2980.0)


async def test_a_battery_that_is_known_from_an_older_reading_only_is_kept(world: World) -> None:
    await world.seen(world.slot(), 10)
    await world.seen(world.slot(), 5, 3000.0)
    found = await world.show(world.slot())
    assert (found.last_seen_at, found.battery) == (AT + timedelta(seconds=10), 3000.0)


async def test_a_slot_that_is_gone_is_left_out_and_the_others_are_saved(world: World) -> None:
    sightings = [Sighting(slot_id=slot_id, seen_at=AT) for slot_id in (SlotId("gone"), world.slot())]
    await save_sightings(world.platform.database, sightings)
    assert (await world.show(world.slot())).last_seen_at == AT


async def test_a_slot_becomes_unhealthy_by_silence_and_healthy_when_it_is_heard_again(world: World) -> None:
    slot_id = world.slot()

    async def health() -> str:
        found = await world.show(slot_id)
        return slot_health(found, unhealthy_after_s=3600, now=world.platform.now())

    assert await health() == "never seen"
    await world.seen(slot_id, 0)
    await world.clock.advance(3600)
    assert await health() == "healthy"
    await world.clock.advance(1)
    assert await health() == "unhealthy"
    await set_silence(world.platform, world.property_id, slot_id, 7200, actor="admin")
    assert await health() == "healthy"
    await set_silence(world.platform, world.property_id, slot_id, None, actor="admin")
    assert await health() == "unhealthy"
    await world.seen(slot_id, 3601)
    assert await health() == "healthy"


# --- beside site files ---


async def test_a_site_file_that_is_applied_again_leaves_what_people_did(world: World) -> None:
    platform, property_id, slot_id = world.platform, world.property_id, world.slot()
    bare = replace(world.site, slots=tuple(replace(s, hardware_id="", sub_type="") for s in world.site.slots))
    await update_slot(platform, property_id, slot_id, params={"DeviceParams": {"X": 1}}, firmware="2", actor="fitter")
    await swap_device(platform, property_id, slot_id, "B2", actor="fitter")
    await commission_slot(platform, property_id, slot_id, actor="fitter")
    await set_silence(platform, property_id, slot_id, 60, actor="fitter")
    extra = await world.create()
    before = await world.show(slot_id)
    assert not (await apply_site(platform.database, bare, remove=False)).changed
    renamed = replace(bare, slots=(replace(bare.slots[0], name="By file"), *bare.slots[1:]))
    assert (await apply_site(platform.database, renamed, remove=False)).updated == 1
    after = await world.show(slot_id)
    assert after.slot == replace(before.slot, name="By file")
    assert after.updated_by == "site file"
    assert after == replace(
        before, slot=after.slot, updated_at=after.updated_at, updated_by="site file", version=before.version + 1
    )
    assert await world.show(extra.id) == extra
    assert (await world.show(world.slot(1))).updated_at < after.updated_at


async def test_a_site_file_may_exchange_devices_and_the_history_tells(world: World) -> None:
    one, two, *others = world.site.slots
    exchanged = (
        replace(one, hardware_id=two.hardware_id),
        replace(two, hardware_id=one.hardware_id),
        *others,
    )
    await apply_site(world.platform.database, replace(world.site, slots=exchanged), remove=True)
    assert (await world.show(one.id)).slot.hardware_id == two.hardware_id
    past = await past_devices(world.platform, world.property_id, slot_id=one.id)
    assert [(p.hardware_id, p.ended_at is None) for p in past] == [(two.hardware_id, True), (one.hardware_id, False)]


async def test_a_device_may_move_from_a_slot_that_a_site_file_removes(world: World) -> None:
    one, two, *others = world.site.slots
    moved = replace(world.site, slots=(replace(two, hardware_id=one.hardware_id), *others))
    with pytest.raises(Conflict, match=one.hardware_id):
        await apply_site(world.platform.database, moved, remove=False)
    await apply_site(world.platform.database, moved, remove=True)
    assert (await world.show(two.id)).slot.hardware_id == one.hardware_id


async def test_a_site_file_with_a_device_in_two_slots_is_refused_and_changes_nothing(world: World) -> None:
    one, two, *others = world.site.slots
    twice = replace(world.site, slots=(one, replace(two, hardware_id=one.hardware_id), *others))
    before = await read_site(world.platform.database, world.property_id)
    with pytest.raises(Conflict, match=one.hardware_id):
        await apply_site(world.platform.database, twice, remove=False)
    assert await read_site(world.platform.database, world.property_id) == before


# --- with ingest ---


async def test_a_slot_moves_while_a_site_file_renames_the_zones_it_moves_between(world: World) -> None:
    renamed = replace(world.site, zones=tuple(replace(zone, name=f"New {zone.name}") for zone in world.site.zones))
    async with world.platform.work(world.property_id) as work:
        before = await lock_slot(work.connection, world.property_id, world.slot())
        applying = asyncio.create_task(apply_site(world.platform.database, renamed, remove=False))
        await wait_someone_waits(work.connection)
        there = await lock_zone(work.connection, world.property_id, world.zone(1))
        moved = replace(before.slot, zone_id=world.zone(1), building_id=there.building_id)
        await save_slot(work.connection, replace(before, slot=moved))
    await applying
    # The file has the last word on where its slots are.
    assert (await world.show(world.slot())).slot.zone_id == world.zone()


async def test_ingest_hears_of_every_change(world: World) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    stop = asyncio.Event()
    listening = asyncio.create_task(listen(world.platform.database, SITE_CHANNEL, heard.put_nowait, stop, ignore))
    async with asyncio.timeout(20):
        await heard.get()
        made = await world.create()
        await heard.get()
        acts: Sequence[Any] = (
            update_slot(world.platform, world.property_id, made.id, name="New", actor="a"),
            associate_device(world.platform, world.property_id, made.id, "A1", actor="a"),
            remove_slot(world.platform, world.property_id, made.id, actor="a"),
        )
        for act in acts:
            await act
            await heard.get()
    stop.set()
    await listening
