"""Grids and audits on a real PostgreSQL: what is kept, which events are made, and what happens at once."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from matrixhub.model.address import Address
from matrixhub.model.errors import (
    LimitViolated,
    MatrixHubError,
    NameTaken,
    NotFound,
    QueryTooLong,
    VersionMismatch,
    WrongParameters,
    WrongState,
)
from matrixhub.model.event import check_envelope
from matrixhub.model.floor_plan import FloorPlan, PlanPosition
from matrixhub.model.hours import Opening
from matrixhub.model.ids import AuditId, BuildingId, LevelId, PropertyId, ZoneId, new_id
from matrixhub.model.place import (
    CATALOGUE_MAX,
    LEVELS_MAX,
    Building,
    Level,
    Property,
    PropertyType,
    Zone,
    ZoneCategory,
    ZoneUnit,
)
from matrixhub.model.place_draft import (
    BuildingChange,
    BuildingDraft,
    LevelChange,
    LevelDraft,
    PropertyChange,
    PropertyDraft,
    ZoneChange,
    ZoneDraft,
)
from matrixhub.model.site import Site
from matrixhub.model.units import UnitCount
from matrixhub.modules import audits
from matrixhub.modules.grids import buildings, catalogue, levels, properties, zones
from matrixhub.modules.work import Platform
from matrixhub.observe import ignore
from matrixhub.sources.sites import make_site
from matrixhub.store import Database, open_database
from matrixhub.store.pool import listen
from matrixhub.store.sites import SITE_CHANNEL, all_slots, apply_site, read_site
from matrixhub.testing.fakes import FakeClock

pytestmark = pytest.mark.asyncio(loop_scope="session")

ORG = "ORCHARD"
ANN = "ann"
SEEDS = itertools.count(4_000)
DAY = {"1": (Opening("0900", "1700"),)}
PNG = b"\x89PNG\r\n\x1a\n..."


@pytest_asyncio.fixture(loop_scope="session")
async def platform(modules_dsn: str) -> AsyncIterator[Platform]:
    """The modules; every test makes a property of its own."""
    async with open_database(modules_dsn, connections_max=12) as database:
        async with database.connection() as connection:
            await connection.execute("insert into organisations (id, name) values ($1, $1) on conflict do nothing", ORG)
        yield Platform(database=database, clock=FakeClock())


@pytest_asyncio.fixture(loop_scope="session")
async def organisation(platform: Platform) -> str:
    """An organisation of its own, for what properties share."""
    made = new_id("org")
    async with platform.database.connection() as connection:
        await connection.execute("insert into organisations (id, name) values ($1, $1)", made)
    return made


def new_site(devices: int) -> Site:
    """A site that no other test has."""
    return make_site(devices, seed=next(SEEDS))


async def made_property(platform: Platform, organisation_id: str = ORG, **fields: Any) -> Property:
    known: dict[str, Any] = {
        "name": "Orchard",
        "type_id": "BANK",
        "address": Address(city="Singapore"),
        "time_zone": "Asia/Singapore",
        "country": "SG",
        "country_locale": "en",
    }
    return await properties.create_property(platform, organisation_id, PropertyDraft(**{**known, **fields}), actor=ANN)


def building_draft(**fields: Any) -> BuildingDraft:
    known: dict[str, Any] = {
        "name": "Tower",
        "operating_hours": DAY,
        "levels_count": 2,
        "country": "SG",
        "country_locale": "en",
    }
    return BuildingDraft(**{**known, **fields})


async def made_building(platform: Platform, property_id: PropertyId | None = None, **fields: Any) -> Building:
    owner = property_id or (await made_property(platform)).id
    return await buildings.create_building(platform, owner, building_draft(**fields), actor=ANN)


async def made_level(platform: Platform, home: Building, name: str = "L1") -> Level:
    return await levels.create_level(platform, home.property_id, home.id, LevelDraft(name=name, level="L1"), actor=ANN)


async def made_zones(platform: Platform, level: Level, *names: str, **fields: Any) -> list[Zone]:
    drafts = [ZoneDraft(level_id=level.id, name=name, **fields) for name in names]
    return list(await zones.create_zones(platform, level.property_id, level.building_id, drafts, actor=ANN))


async def change_zone(platform: Platform, zone: Zone, version: int | None = None, **fields: Any) -> Zone:
    change = ZoneChange(**fields)
    return await zones.update_zone(
        platform, zone.property_id, zone.building_id, zone.id, change, actor=ANN, version=version
    )


async def events(database: Database, property_id: PropertyId) -> list[dict[str, Any]]:
    """The envelopes of a property's events, in the order of commits."""
    async with database.connection() as connection:
        rows = await connection.fetch("select line from events where property_id = $1 order by number", property_id)
    return [msgspec.json.decode(row["line"]) for row in rows]


async def event_names(platform: Platform, property_id: PropertyId) -> list[str]:
    return [event["Event"] for event in await events(platform.database, property_id)]


def replayed(happened: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """Name and status of the zones that a subscriber knows of who saw these events."""
    state: dict[str, tuple[str, str]] = {}
    for event in happened:
        check_envelope(event)
        meta = event["Meta"]
        match event["Event"]:
            case "ZONE_CREATED":
                assert meta["InsID"] not in state
                state[meta["InsID"]] = (meta["Name"], meta["Status"])
            case "ZONE_NAME_MODIFIED":
                assert state[meta["InsID"]][0] == meta["Previous"]
                state[meta["InsID"]] = (meta["Name"], meta["Status"])
            case "ZONE_STATUS_MODIFIED":
                assert state[meta["InsID"]] in ((meta["Name"], meta["Previous"]), (meta["Name"], meta["Status"]))
                state[meta["InsID"]] = (meta["Name"], meta["Status"])
            case "ZONE_REMOVED":
                assert state.pop(meta["InsID"]) == (meta["Name"], meta["Status"])
    return state


async def kept_zones(database: Database, property_id: PropertyId) -> dict[str, tuple[str, str]]:
    """Name and status of the zones there are."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "select z.id, z.name, z.status from zones z join buildings b on b.id = z.building_id"
            " where b.property_id = $1",
            property_id,
        )
    return {row["id"]: (row["name"], row["status"]) for row in rows}


# --- properties ---


async def test_a_property_is_made_read_changed_and_listed(platform: Platform, organisation: str) -> None:
    made = await made_property(platform, organisation)
    assert await properties.read_property(platform, made.id) == made
    assert (made.status, made.created_by, made.created_at) == ("Active", ANN, platform.now())
    assert len(made.id) == 32
    changed = await properties.update_property(
        platform, made.id, PropertyChange(name="New", status="inactive"), actor="bob"
    )
    assert (changed.name, changed.status, changed.updated_by, changed.version) == ("New", "Inactive", "bob", 2)
    assert await properties.read_property(platform, made.id) == changed
    assert await properties.list_properties(platform, organisation) == [changed]
    assert await properties.list_properties(platform, organisation, type_id="BANK") == [changed]
    assert await properties.list_properties(platform, organisation, type_id="SCHOOL") == []
    assert await properties.list_properties(platform, "OTHER") == []


async def test_an_organisation_that_is_not_there_gets_no_property(platform: Platform) -> None:
    draft = PropertyDraft(name="x", type_id="t", address=Address(), time_zone="UTC", country="", country_locale="")
    with pytest.raises(NotFound):
        await properties.create_property(platform, "NOBODY", draft, actor=ANN)
    with pytest.raises(NotFound):
        await properties.create_property_type(platform, "NOBODY", PropertyType(id="BANK", name="Bank"))


async def test_the_id_of_a_property_type_is_taken_once(platform: Platform, organisation: str) -> None:
    bank = PropertyType(id="BANK", name="Bank")
    await properties.create_property_type(platform, organisation, bank)
    with pytest.raises(NameTaken):
        await properties.create_property_type(platform, organisation, replace(bank, name="Other"))
    assert await properties.list_property_types(platform, organisation) == [bank]


# --- buildings ---


async def test_a_building_is_a_draft_with_what_was_asked_for(platform: Platform) -> None:
    owner = await made_property(platform)
    made = await made_building(platform, owner.id, is_property_address=True, email="desk@example.test", area=12.5)
    assert await buildings.read_building(platform, owner.id, made.id) == made
    assert (made.status, made.time_zone, made.address.city) == ("draft", "Asia/Singapore", "Singapore")
    assert (await properties.read_property_by_building(platform, owner.id, made.id)).id == owner.id


async def test_the_count_of_levels_follows_where_there_are_more_than_stated(platform: Platform) -> None:
    home = await made_building(platform, levels_count=1)
    for number in range(2):
        await made_level(platform, home, f"Level {number}")
    assert (await buildings.read_building(platform, home.property_id, home.id)).levels_count == 2


async def test_a_building_that_changes_in_nothing_keeps_its_version(platform: Platform) -> None:
    home = await made_building(platform)
    change = BuildingChange(name=home.name, status="DRAFT", operating_hours=DAY)
    assert await buildings.update_building(platform, home.property_id, home.id, change, actor="bob") == home


async def test_different_fields_of_a_building_changed_at_once_all_survive(platform: Platform) -> None:
    home = await made_building(platform)
    changes = (
        BuildingChange(name="Renamed"),
        BuildingChange(status="Active"),
        BuildingChange(operating_hours={"0": ()}),
    )
    await asyncio.gather(
        *(buildings.update_building(platform, home.property_id, home.id, change, actor=ANN) for change in changes)
    )
    found = await buildings.read_building(platform, home.property_id, home.id)
    assert (found.name, found.status, found.operating_hours, found.version) == ("Renamed", "Active", {"0": ()}, 4)


async def test_of_several_that_take_the_last_place_of_an_organisation_one_does(
    platform: Platform, organisation: str
) -> None:
    draft = PropertyDraft(name="x", type_id="t", address=Address(), time_zone="UTC", country="", country_locale="")
    found = await asyncio.gather(
        *(properties.create_property(platform, organisation, draft, actor=ANN, properties_max=1) for _ in range(5)),
        return_exceptions=True,
    )
    assert Counter(type(x) for x in found) == {Property: 1, LimitViolated: 4}


async def test_of_several_that_take_the_last_place_of_a_list_one_does(platform: Platform, organisation: str) -> None:
    async with platform.database.connection() as connection:
        await connection.execute(
            "insert into zone_units (organisation_id, category_id, id, name, image_url)"
            " select $1, 'X', 'U' || n, 'Sink', '' from generate_series(2, $2::int) n",
            organisation,
            CATALOGUE_MAX,
        )
    last = [ZoneUnit(id=f"LAST{number}", name="Sink", image_url="", category_id="X") for number in range(3)]
    found = await asyncio.gather(
        *(catalogue.create_zone_unit(platform, organisation, unit) for unit in last), return_exceptions=True
    )
    assert Counter(type(x) for x in found) == {ZoneUnit: 1, LimitViolated: 2}


async def test_of_several_that_make_a_building_of_one_name_one_does(platform: Platform) -> None:
    owner = await made_property(platform)
    found = await asyncio.gather(*(made_building(platform, owner.id) for _ in range(5)), return_exceptions=True)
    assert Counter(type(x) for x in found) == {Building: 1, NameTaken: 4}


async def test_of_several_that_take_the_last_place_of_a_property_one_does(platform: Platform) -> None:
    owner = await made_property(platform)
    found = await asyncio.gather(
        *(
            buildings.create_building(platform, owner.id, building_draft(name=f"T{n}"), actor=ANN, buildings_max=1)
            for n in range(5)
        ),
        return_exceptions=True,
    )
    assert Counter(type(x) for x in found) == {Building: 1, LimitViolated: 4}


async def test_metrics_count_what_there_is(platform: Platform) -> None:
    owner = await made_property(platform)
    homes = [await made_building(platform, owner.id, name=name) for name in ("A", "B")]
    level = await made_level(platform, homes[0])
    await made_zones(platform, level, "one", "two", area=10.5)
    whole = await properties.property_metrics(platform, owner.id)
    assert (whole.buildings, whole.levels, whole.zones, whole.area) == (2, 1, 2, 21.0)
    empty = await buildings.building_metrics(platform, owner.id, homes[1].id)
    assert (empty.buildings, empty.levels, empty.zones, empty.area) == (1, 0, 0, 0.0)
    assert [home.name for home in await buildings.list_buildings(platform, owner.id)] == ["A", "B"]
    assert await buildings.read_buildings(platform, owner.id, [homes[1].id, BuildingId("x")]) == [homes[1]]


# --- levels ---


async def test_a_level_makes_an_event_when_it_comes_and_when_its_name_changes(platform: Platform) -> None:
    home = await made_building(platform)
    level = await made_level(platform, home)
    change = LevelChange(name="Ground", area=50.0)
    changed = await levels.update_level(platform, home.property_id, home.id, level.id, change, actor=ANN)
    await levels.update_level(platform, home.property_id, home.id, level.id, change, actor=ANN)
    await levels.update_level(platform, home.property_id, home.id, level.id, LevelChange(level="L0"), actor=ANN)
    created, renamed = await events(platform.database, home.property_id)
    assert (created["Event"], created["Meta"]["Name"], created["UnixTimeInt"]) == ("LEVEL_CREATED", "L1", 1710029109)
    assert (renamed["Event"], renamed["Meta"]["Previous"]) == ("LEVEL_NAME_MODIFIED", "L1")
    assert (changed.name, changed.area, changed.version) == ("Ground", 50.0, 2)


async def test_levels_are_listed_from_the_lowest_up(platform: Platform) -> None:
    home = await made_building(platform)
    for word in ("L10", "L2", "L-1"):
        draft = LevelDraft(name=f"Level {word}", level=word)
        await levels.create_level(platform, home.property_id, home.id, draft, actor=ANN)
    found = await levels.list_levels(platform, home.property_id, home.id)
    assert [level.level for level in found] == ["L-1", "L2", "L10"]


async def test_a_building_has_so_many_levels_and_no_more(platform: Platform) -> None:
    home = await made_building(platform)
    async with platform.database.connection() as connection:
        await connection.execute(
            "insert into levels (id, building_id, name)"
            " select $1 || n, $1, 'Level ' || n from generate_series(2, $2) n",
            home.id,
            LEVELS_MAX,
        )
    await made_level(platform, home)
    with pytest.raises(LimitViolated):
        await made_level(platform, home, "one more")
    assert await event_names(platform, home.property_id) == ["LEVEL_CREATED"]


async def test_a_floor_plan_is_kept_and_replaced(platform: Platform) -> None:
    home = await made_building(platform)
    draft = LevelDraft(name="L1", level="L1", floor_plan=PNG)
    level = await levels.create_level(platform, home.property_id, home.id, draft, actor=ANN)
    where = (platform, home.property_id, home.id, level.id)
    assert await levels.read_level(*where) == level
    assert level.has_floor_plan
    assert await levels.read_floor_plan(*where) == FloorPlan(level_id=level.id, media_type="image/png", image=PNG)
    await levels.update_floor_plan(*where, b"\xff\xd8\xff", actor=ANN)
    found = await levels.read_floor_plan(*where)
    assert found is not None
    assert (found.media_type, (await levels.read_level(*where)).version) == ("image/jpeg", 2)


async def test_a_level_with_a_floor_plan_that_is_no_image_is_not_made(platform: Platform) -> None:
    home = await made_building(platform)
    draft = LevelDraft(name="L1", level="L1", floor_plan=b"<svg/>")
    with pytest.raises(WrongParameters):
        await levels.create_level(platform, home.property_id, home.id, draft, actor=ANN)
    assert await levels.list_levels(platform, home.property_id, home.id) == []
    assert await event_names(platform, home.property_id) == []


async def test_zones_and_slots_have_a_place_on_the_plan_until_they_go(platform: Platform) -> None:
    site = new_site(4)
    await apply_site(platform.database, site, remove=False)
    slot = site.slots[0]
    zone = next(z for z in site.zones if z.id == slot.zone_id)
    where = (platform, site.property.id, zone.building_id, zone.level_id)
    positions = [
        PlanPosition(kind="zone", id=zone.id, x=0.25, y=0.5),
        PlanPosition(kind="slot", id=slot.id, x=1.0, y=0.0),
    ]
    assert await levels.place_on_plan(*where, positions, actor=ANN) == positions
    assert await levels.place_on_plan(*where, positions[:1], actor=ANN) == positions[:1]
    await levels.place_on_plan(*where, positions, actor=ANN)
    await zones.delete_zone(platform, site.property.id, zone.building_id, zone.id, actor=ANN)
    assert await levels.list_plan_positions(*where) == []


async def test_what_is_not_on_a_level_cannot_be_on_its_plan(platform: Platform) -> None:
    home = await made_building(platform)
    first, second = [await made_level(platform, home, name) for name in ("L1", "L2")]
    (zone,) = await made_zones(platform, first, "Lobby")
    where = (platform, home.property_id, home.id)
    position = PlanPosition(kind="zone", id=zone.id, x=0.0, y=0.0)
    await levels.place_on_plan(*where, first.id, [position], actor=ANN)
    for wrong, error in (
        ([position], NotFound),
        ([replace(position, kind="slot")], NotFound),
        ([position, replace(position, x=0.5)], WrongParameters),
        ([position] * 2001, LimitViolated),
    ):
        with pytest.raises(error):
            await levels.place_on_plan(*where, second.id, wrong, actor=ANN)
    assert await levels.list_plan_positions(*where, first.id) == [position]


async def test_a_level_goes_with_its_zones_and_each_of_them_says_so(platform: Platform) -> None:
    home = await made_building(platform)
    level, other = [await made_level(platform, home, name) for name in ("L1", "L2")]
    gone = await made_zones(platform, level, "a", "b")
    (left,) = await made_zones(platform, other, "c")
    await levels.delete_level(platform, home.property_id, home.id, level.id, actor=ANN)
    happened = await events(platform.database, home.property_id)
    assert {e["Meta"]["InsID"] for e in happened if e["Event"] == "ZONE_REMOVED"} == {zone.id for zone in gone}
    assert (await zones.list_zones(platform, home.property_id, home.id)).items == (left,)


# --- zones ---


async def test_a_zone_is_kept_with_all_that_was_asked_for(platform: Platform) -> None:
    home = await made_building(platform)
    level = await made_level(platform, home)
    draft = ZoneDraft(
        level_id=level.id,
        name="Washroom",
        category="WASHROOMS",
        area=40.0,
        floor_type="Tile",
        tags={"a": [1, None]},
        units={"General": (UnitCount("Sink", 3),)},
        status="pending",
        beacon_id="b-7",
        operating_hours={"0": ()},
    )
    (made,) = await zones.create_zones(platform, home.property_id, home.id, [draft], actor=ANN)
    assert await zones.read_zone(platform, home.property_id, home.id, made.id) == made
    assert (made.status, made.operating_hours, made.organisation_id) == ("PENDING", {"0": ()}, ORG)
    back = await change_zone(platform, made, is_building_hours=True)
    assert back.operating_hours == DAY
    assert (await change_zone(platform, made, is_building_hours=False)).operating_hours == {"0": ()}
    assert await event_names(platform, home.property_id) == ["LEVEL_CREATED", "ZONE_CREATED"]


async def test_one_change_of_name_and_status_makes_both_events_and_a_repeat_none(platform: Platform) -> None:
    level = await made_level(platform, await made_building(platform))
    (zone,) = await made_zones(platform, level, "Lobby")
    for _ in range(2):
        await change_zone(platform, zone, name="Foyer", status="Inactive")
    _, _, renamed, status = await events(platform.database, level.property_id)
    assert (renamed["Event"], renamed["Meta"]["Previous"]) == ("ZONE_NAME_MODIFIED", "Lobby")
    assert (status["Event"], status["Meta"]["Previous"]) == ("ZONE_STATUS_MODIFIED", "Active")


@pytest.mark.parametrize(
    ("names", "fields", "error"),
    [
        (("b", "taken"), {}, NameTaken),
        (("b", "b"), {}, NameTaken),
        (("b",), {"status": "gone"}, WrongParameters),
        (tuple(f"z{n}" for n in range(101)), {}, LimitViolated),
    ],
)
async def test_zones_are_made_all_or_none(
    platform: Platform, names: tuple[str, ...], fields: dict[str, Any], error: type[MatrixHubError]
) -> None:
    level = await made_level(platform, await made_building(platform))
    await made_zones(platform, level, "taken")
    with pytest.raises(error):
        await made_zones(platform, level, *names, **fields)
    assert set((await kept_zones(platform.database, level.property_id)).values()) == {("taken", "Active")}
    assert await event_names(platform, level.property_id) == ["LEVEL_CREATED", "ZONE_CREATED"]


async def test_zones_of_two_levels_may_have_one_name(platform: Platform) -> None:
    home = await made_building(platform)
    for name in ("L1", "L2"):
        await made_zones(platform, await made_level(platform, home, name), "Lobby")
    assert len(await kept_zones(platform.database, home.property_id)) == 2


async def test_of_several_that_take_one_name_one_gets_it(platform: Platform) -> None:
    level = await made_level(platform, await made_building(platform))
    made = await made_zones(platform, level, *"abcd")
    acts: list[Awaitable[object]] = [change_zone(platform, zone, name="wanted") for zone in made]
    acts += [made_zones(platform, level, "other", "wanted") for _ in range(3)]
    found = await asyncio.gather(*acts, return_exceptions=True)
    assert sum(isinstance(x, NameTaken) for x in found) == len(acts) - 1
    happened = await events(platform.database, level.property_id)
    assert replayed(happened) == await kept_zones(platform.database, level.property_id)


async def test_different_fields_of_a_zone_changed_at_once_all_survive(platform: Platform) -> None:
    level = await made_level(platform, await made_building(platform))
    (zone,) = await made_zones(platform, level, "Lobby")
    fields: list[dict[str, Any]] = [
        {"name": "Foyer"},
        {"status": "Inactive"},
        {"area": 5.0},
        {"floor_type": "Wood"},
        {"tags": {"a": 1}},
        {"beacon_id": "b"},
        {"units": {"General": (UnitCount("Sink", 1),)}},
    ]
    await asyncio.gather(*(change_zone(platform, zone, **each) for each in fields))
    found = await zones.read_zone(platform, zone.property_id, zone.building_id, zone.id)
    wanted = {key: value for each in fields for key, value in each.items()}
    assert {key: getattr(found, key) for key in wanted} == wanted
    assert found.version == 1 + len(fields)


async def test_a_change_of_what_was_changed_meanwhile_is_refused_where_a_version_is_given(platform: Platform) -> None:
    level = await made_level(platform, await made_building(platform))
    (zone,) = await made_zones(platform, level, "Lobby")
    found = await asyncio.gather(
        *(change_zone(platform, zone, version=1, name=name) for name in "abc"), return_exceptions=True
    )
    assert Counter(type(x) for x in found) == {Zone: 1, VersionMismatch: 2}
    assert await event_names(platform, level.property_id) == ["LEVEL_CREATED", "ZONE_CREATED", "ZONE_NAME_MODIFIED"]


async def test_zones_are_listed_a_page_at_a_time_and_by_what_they_are(platform: Platform) -> None:
    home = await made_building(platform)
    level, other = [await made_level(platform, home, name) for name in ("L1", "L2")]
    labs = await made_zones(platform, level, *"abc", category="LABS")
    offices = await made_zones(platform, level, *"de", category="OFFICES")
    far = await made_zones(platform, other, "f", category="LABS")
    where = (platform, home.property_id, home.id)

    def ids(found: Any) -> set[ZoneId]:
        return {zone.id for zone in found}

    seen: list[Zone] = []
    after: str | None = ""
    while after is not None:
        page = await zones.list_zones(*where, after=after, limit=2)
        assert len(page.items) <= 2
        seen += page.items
        after = page.next_after
    assert [zone.id for zone in seen] == sorted(ids([*labs, *offices, *far]))
    assert ids((await zones.list_zones_by_level(*where, level.id)).items) == ids([*labs, *offices])
    by_level = await zones.list_zones_by_level(*where, level.id, categories=["LABS", "X"])
    assert ids(by_level.items) == ids(labs)
    assert ids((await zones.list_zones_by_category(*where, "LABS")).items) == ids([*labs, *far])
    assert ids(await zones.list_zones_by_ids(*where, [far[0].id, ZoneId("x")])) == ids(far)


async def test_more_than_a_query_may_give_is_refused(platform: Platform) -> None:
    owner = await made_property(platform)
    with pytest.raises(QueryTooLong):
        await zones.list_zones_by_level(platform, owner.id, BuildingId("b"), LevelId("l"), categories=["x"] * 11)
    with pytest.raises(QueryTooLong):
        await zones.list_zones_by_ids(platform, owner.id, BuildingId("b"), [ZoneId("x")] * 501)
    with pytest.raises(QueryTooLong):
        await buildings.read_buildings(platform, owner.id, [BuildingId("x")] * 501)


async def test_those_who_keep_slots_in_memory_hear_that_a_zone_went(platform: Platform) -> None:
    site = new_site(4)
    await apply_site(platform.database, site, remove=False)
    heard, stop = asyncio.Event(), asyncio.Event()
    listening = asyncio.create_task(listen(platform.database, SITE_CHANNEL, lambda _: heard.set(), stop, ignore))
    zone = site.zones[0]
    async with asyncio.timeout(10):
        await heard.wait()
        heard.clear()
        await zones.delete_zone(platform, site.property.id, zone.building_id, zone.id, actor=ANN)
        await heard.wait()
    stop.set()
    await listening
    assert all(slot.zone_id != zone.id for slot in await all_slots(platform.database))


# --- lists ---


async def test_categories_and_units_are_of_the_organisation_or_of_one_building(
    platform: Platform, organisation: str
) -> None:
    owner = await made_property(platform, organisation)
    home, other = [await made_building(platform, owner.id, name=name) for name in ("A", "B")]
    labs = ZoneCategory(id="LABS", name="Labs", property_type_id="BANK")
    vault = replace(labs, id="VAULT", name="Vault", building_id=home.id)
    schools = replace(labs, id="CLASS", name="Class", property_type_id="SCHOOL")
    for category in (labs, schools):
        await catalogue.create_zone_category(platform, organisation, category)
    await catalogue.create_zone_category_of_building(platform, owner.id, vault)
    assert await catalogue.list_zone_categories(platform, organisation) == [schools, labs]
    assert await catalogue.list_zone_categories(platform, organisation, property_type_id="BANK") == [labs]
    assert await catalogue.list_zone_categories_of_building(platform, owner.id, home.id) == [labs, vault]
    assert await catalogue.list_zone_categories_of_building(platform, owner.id, other.id) == [labs]
    with pytest.raises(NameTaken):
        await catalogue.create_zone_category_of_building(platform, owner.id, vault)

    sink = ZoneUnit(id="SINK", name="Sink", image_url="", category_id="LABS")
    safe = replace(sink, id="SAFE", name="Safe", building_id=home.id)
    await catalogue.create_zone_unit(platform, organisation, sink)
    await catalogue.create_zone_unit_of_building(platform, owner.id, safe)
    assert await catalogue.list_zone_units(platform, organisation, "LABS") == [sink]
    assert await catalogue.list_zone_units_of_building(platform, owner.id, home.id, "LABS") == [safe, sink]
    assert await catalogue.list_zone_units_of_building(platform, owner.id, other.id, "LABS") == [sink]
    assert await catalogue.list_zone_units(platform, organisation, "VAULT") == []
    with pytest.raises(NameTaken):
        await catalogue.create_zone_unit(platform, organisation, replace(sink, category_id="VAULT"))


# --- what is another's ---


async def test_nobody_reaches_what_is_another_propertys(platform: Platform) -> None:
    home = await made_building(platform)
    level = await made_level(platform, home)
    (zone,) = await made_zones(platform, level, "Lobby")
    audit = await audits.start_audit(platform, home.property_id, home.id, zone.id, name="a", by=ANN, actor=ANN)
    mine = (await made_building(platform)).property_id
    before = await events(platform.database, home.property_id)
    category = ZoneCategory(id="X", name="X", property_type_id="T", building_id=home.id)
    unit = ZoneUnit(id="X", name="X", image_url="", category_id="T", building_id=home.id)
    acts: list[Callable[[], Awaitable[object]]] = [
        lambda: properties.read_property_by_building(platform, mine, home.id),
        lambda: buildings.read_building(platform, mine, home.id),
        lambda: buildings.building_metrics(platform, mine, home.id),
        lambda: buildings.update_building(platform, mine, home.id, BuildingChange(name="x"), actor=ANN),
        lambda: levels.list_levels(platform, mine, home.id),
        lambda: levels.read_level(platform, mine, home.id, level.id),
        lambda: levels.create_level(platform, mine, home.id, LevelDraft(name="x", level="L9"), actor=ANN),
        lambda: levels.update_level(platform, mine, home.id, level.id, LevelChange(name="x"), actor=ANN),
        lambda: levels.update_floor_plan(platform, mine, home.id, level.id, PNG, actor=ANN),
        lambda: levels.read_floor_plan(platform, mine, home.id, level.id),
        lambda: levels.list_plan_positions(platform, mine, home.id, level.id),
        lambda: levels.place_on_plan(platform, mine, home.id, level.id, [], actor=ANN),
        lambda: levels.delete_level(platform, mine, home.id, level.id, actor=ANN),
        lambda: zones.list_zones(platform, mine, home.id),
        lambda: zones.list_zones_by_level(platform, mine, home.id, level.id),
        lambda: zones.list_zones_by_category(platform, mine, home.id, ""),
        lambda: zones.list_zones_by_ids(platform, mine, home.id, [zone.id]),
        lambda: zones.read_zone(platform, mine, home.id, zone.id),
        lambda: zones.create_zones(platform, mine, home.id, [ZoneDraft(level_id=level.id, name="x")], actor=ANN),
        lambda: zones.update_zone(platform, mine, home.id, zone.id, ZoneChange(name="x"), actor=ANN),
        lambda: zones.delete_zone(platform, mine, home.id, zone.id, actor=ANN),
        lambda: catalogue.list_zone_categories_of_building(platform, mine, home.id),
        lambda: catalogue.create_zone_category_of_building(platform, mine, category),
        lambda: catalogue.list_zone_units_of_building(platform, mine, home.id, "T"),
        lambda: catalogue.create_zone_unit_of_building(platform, mine, unit),
        lambda: audits.start_audit(platform, mine, home.id, zone.id, name="a", by=ANN, actor=ANN),
        lambda: audits.read_audit(platform, mine, audit.id),
        lambda: audits.complete_audit(platform, mine, audit.id, score=1, actor=ANN),
    ]
    for act in acts:
        with pytest.raises(NotFound):
            await act()
    assert await buildings.read_buildings(platform, mine, [home.id]) == []
    assert (await audits.list_audits(platform, mine)).items == ()
    assert await event_names(platform, mine) == []
    assert await events(platform.database, home.property_id) == before


@pytest.mark.parametrize("act", ["property", "metrics", "buildings", "building", "change"])
async def test_a_property_that_is_not_there_is_not_found(platform: Platform, act: str) -> None:
    nobody = PropertyId("nobody")
    acts: dict[str, Callable[[], Awaitable[object]]] = {
        "property": lambda: properties.read_property(platform, nobody),
        "metrics": lambda: properties.property_metrics(platform, nobody),
        "buildings": lambda: buildings.list_buildings(platform, nobody),
        "building": lambda: buildings.create_building(platform, nobody, building_draft(), actor=ANN),
        "change": lambda: properties.update_property(platform, nobody, PropertyChange(name="x"), actor=ANN),
    }
    with pytest.raises(NotFound):
        await acts[act]()


# --- audits ---


async def test_an_audit_is_started_completed_and_read(platform: Platform) -> None:
    level = await made_level(platform, await made_building(platform))
    (zone,) = await made_zones(platform, level, "Lobby")
    where = (platform, zone.property_id)
    begun = await audits.start_audit(*where, zone.building_id, zone.id, name="Round", by="Ann Lee", actor=ANN)
    assert await audits.read_audit(*where, begun.id) == begun
    assert isinstance(platform.clock, FakeClock)
    await platform.clock.advance(60)
    ended = await audits.complete_audit(*where, begun.id, score=87.5, comment="dust", actor=ANN)
    assert await audits.read_audit(*where, begun.id) == ended
    started, completed = (await events(platform.database, zone.property_id))[2:]
    assert (started["Event"], started["Module"], started["Meta"]["End"]) == ("AUDIT_STARTED", "scaudits", 0)
    assert (completed["Event"], completed["Meta"]["Score"]) == ("AUDIT_COMPLETED", 87.5)
    assert completed["Meta"]["End"] - completed["Meta"]["Start"] == 60


async def test_an_audit_is_completed_once_however_many_try(platform: Platform) -> None:
    level = await made_level(platform, await made_building(platform))
    (zone,) = await made_zones(platform, level, "Lobby")
    where = (platform, zone.property_id)
    begun = await audits.start_audit(*where, zone.building_id, zone.id, name="Round", by=ANN, actor=ANN)
    found = await asyncio.gather(
        *(audits.complete_audit(*where, begun.id, score=score, actor=ANN) for score in range(4)),
        return_exceptions=True,
    )
    assert Counter(type(x) for x in found) == {type(begun): 1, WrongState: 3}
    assert (await event_names(platform, zone.property_id)).count("AUDIT_COMPLETED") == 1


async def test_audits_outlive_their_zone_and_are_listed_latest_first(platform: Platform) -> None:
    level = await made_level(platform, await made_building(platform))
    lobby, foyer = await made_zones(platform, level, "Lobby", "Foyer")
    where = (platform, lobby.property_id)
    begun = [
        await audits.start_audit(*where, zone.building_id, zone.id, name=f"Round {n}", by=ANN, actor=ANN)
        for n, zone in enumerate([lobby, lobby, foyer])
    ]
    await zones.delete_zone(*where, lobby.building_id, lobby.id, actor=ANN)
    seen: list[AuditId] = []
    after: AuditId | None = None
    while True:
        page = await audits.list_audits(*where, after=after, limit=2)
        seen += [audit.id for audit in page.items]
        if page.next_after is None:
            break
        after = AuditId(page.next_after)
    assert seen == sorted((audit.id for audit in begun), reverse=True)  # all of one instant here, so by id
    assert {a.name for a in (await audits.list_audits(*where, zone_id=lobby.id)).items} == {"Round 0", "Round 1"}
    assert len((await audits.list_audits(*where, building_id=lobby.building_id)).items) == 3
    with pytest.raises(NotFound):
        await audits.start_audit(*where, lobby.building_id, lobby.id, name="Late", by=ANN, actor=ANN)


# --- site files ---


def renamed_site(site: Site, **names: str) -> Site:
    """The site with other names of its first level and zone."""
    level, zone = replace(site.levels[0], name=names["level"]), replace(site.zones[0], name=names["zone"])
    return replace(site, levels=(level, *site.levels[1:]), zones=(zone, *site.zones[1:]))


async def test_a_site_file_makes_the_events_of_what_it_does(platform: Platform) -> None:
    site = new_site(30)
    await apply_site(platform.database, site, remove=True)
    first = await event_names(platform, site.property.id)
    assert Counter(first) == {"LEVEL_CREATED": len(site.levels), "ZONE_CREATED": len(site.zones)}
    await apply_site(platform.database, site, remove=True)
    assert await event_names(platform, site.property.id) == first

    await apply_site(platform.database, renamed_site(site, level="Ground", zone="Foyer"), remove=True)
    level, zone = (await events(platform.database, site.property.id))[len(first) :]
    assert (level["Event"], level["Meta"]["Previous"]) == ("LEVEL_NAME_MODIFIED", site.levels[0].name)
    assert (zone["Event"], zone["Meta"]["Previous"]) == ("ZONE_NAME_MODIFIED", site.zones[0].name)

    last = site.levels[-1]
    gone = {zone.id for zone in site.zones if zone.level_id == last.id}
    smaller = replace(
        renamed_site(site, level="Ground", zone="Foyer"),
        levels=site.levels[:-1],
        zones=tuple(zone for zone in site.zones if zone.id not in gone),
        slots=tuple(slot for slot in site.slots if slot.zone_id not in gone),
    )
    await apply_site(platform.database, smaller, remove=True)
    happened = await events(platform.database, site.property.id)
    assert {e["Meta"]["InsID"] for e in happened if e["Event"] == "ZONE_REMOVED"} == gone
    assert replayed(happened) == await kept_zones(platform.database, site.property.id)


async def test_a_site_file_leaves_alone_what_it_does_not_know(platform: Platform) -> None:
    site = new_site(6)
    await apply_site(platform.database, site, remove=False)
    declared, home = site.zones[0], site.buildings[0]
    where = (platform, site.property.id, declared.building_id)
    before = await zones.read_zone(*where, declared.id)
    changed = await change_zone(platform, before, status="Inactive", area=7.5, tags={"a": 1}, operating_hours={"0": ()})
    shut = await buildings.update_building(
        platform, site.property.id, home.id, BuildingChange(status="Inactive", operating_hours=DAY), actor=ANN
    )
    count = len(await event_names(platform, site.property.id))
    await apply_site(platform.database, renamed_site(site, level="Ground", zone="Foyer"), remove=True)
    found = await zones.read_zone(*where, declared.id)
    assert (found.name, found.version) == ("Foyer", changed.version + 1)
    same = {"name": "", "version": 0, "updated_at": found.updated_at, "building_hours": {}}
    assert replace(found, **same) == replace(changed, **same)  # type: ignore[arg-type]
    assert await buildings.read_building(platform, site.property.id, home.id) == shut
    assert len(await event_names(platform, site.property.id)) == count + 2


async def test_a_site_file_may_swap_names_but_not_give_one_twice(platform: Platform) -> None:
    site = new_site(30)
    await apply_site(platform.database, site, remove=False)
    one, two = [zone for zone in site.zones if zone.level_id == site.zones[0].level_id][:2]
    rest = tuple(zone for zone in site.zones if zone.id not in (one.id, two.id))
    swapped = replace(site, zones=(replace(one, name=two.name), replace(two, name=one.name), *rest))
    await apply_site(platform.database, swapped, remove=False)
    happened = await events(platform.database, site.property.id)
    assert [e["Event"] for e in happened[-2:]] == ["ZONE_NAME_MODIFIED"] * 2
    before = await kept_zones(platform.database, site.property.id)
    with pytest.raises(NameTaken, match=two.name):
        await apply_site(platform.database, replace(site, zones=(replace(one, name=two.name), two, *rest)), remove=True)
    assert await kept_zones(platform.database, site.property.id) == before
    assert await events(platform.database, site.property.id) == happened


async def test_what_people_and_a_site_file_do_at_once_is_told_as_it_happened(platform: Platform) -> None:
    site = new_site(12)
    await apply_site(platform.database, site, remove=False)
    where = (platform, site.property.id, site.buildings[0].id)
    found = [await zones.read_zone(*where, declared.id) for declared in site.zones]

    async def act(number: int) -> None:
        await change_zone(platform, found[number % len(found)], name=f"Name {number}")
        draft = ZoneDraft(level_id=site.levels[0].id, name=f"New {number}")
        (made,) = await zones.create_zones(*where, [draft], actor=ANN)
        await zones.delete_zone(*where, made.id, actor=ANN)

    async def apply(number: int) -> None:
        file = renamed_site(site, level=f"Level {number}", zone=f"File {number}")
        await apply_site(platform.database, file, remove=bool(number % 2))

    # What a file removes in between is not found by who made it; everything else is done.
    done = await asyncio.gather(*(work(n) for n in range(6) for work in (act, apply)), return_exceptions=True)
    assert [error for error in done if error is not None and not isinstance(error, NotFound)] == []
    happened = await events(platform.database, site.property.id)
    assert replayed(happened) == await kept_zones(platform.database, site.property.id)


# --- everything in any order ---

NAMES = st.sampled_from(["Lobby", "Foyer", "Lab", "Office"])
STATUS = st.sampled_from(["Active", "Inactive", "PENDING"])
PICK = st.integers(0, 1000)


class ZonesMachine(RuleBasedStateMachine):
    """Zones of one building, in a model and in the database; events replayed must tell the same."""

    runner: asyncio.Runner
    platform: Platform

    @initialize()
    def begin(self) -> None:
        self.levels: dict[LevelId, str] = {}
        self.zones: dict[ZoneId, tuple[LevelId, str, str]] = {}
        self.happened: Counter[str] = Counter()
        self.home = self.runner.run(made_building(self.platform))
        self.where = (self.platform, self.home.property_id, self.home.id)

    def attempt(self, act: Awaitable[Any], *, taken: bool) -> Any:
        """What the act gives, or None where the name is taken, which it must be told."""

        async def tried() -> Any:
            return await act

        if not taken:
            return self.runner.run(tried())
        with pytest.raises(NameTaken):
            self.runner.run(tried())
        return None

    def zone_at(self, pick: int) -> ZoneId:
        return list(self.zones)[pick % len(self.zones)]  # as made: their ids are other ones in each run

    def level_at(self, pick: int) -> LevelId:
        return list(self.levels)[pick % len(self.levels)]

    def names_on(self, level_id: LevelId) -> list[str]:
        return [name for level, name, _ in self.zones.values() if level == level_id]

    @rule(name=NAMES)
    def add_level(self, name: str) -> None:
        draft = LevelDraft(name=name, level="L1")
        made = self.attempt(levels.create_level(*self.where, draft, actor=ANN), taken=name in self.levels.values())
        if made:
            self.levels[made.id] = name
            self.happened["LEVEL_CREATED"] += 1

    @precondition(lambda self: self.levels)
    @rule(pick=PICK, name=NAMES)
    def rename_level(self, pick: int, name: str) -> None:
        level_id = self.level_at(pick)
        others = [other for key, other in self.levels.items() if key != level_id]
        act = levels.update_level(*self.where, level_id, LevelChange(name=name), actor=ANN)
        if self.attempt(act, taken=name in others):
            self.happened["LEVEL_NAME_MODIFIED"] += self.levels[level_id] != name
            self.levels[level_id] = name

    @precondition(lambda self: self.levels)
    @rule(pick=PICK)
    def remove_level(self, pick: int) -> None:
        level_id = self.level_at(pick)
        self.attempt(levels.delete_level(*self.where, level_id, actor=ANN), taken=False)
        del self.levels[level_id]
        kept = {key: zone for key, zone in self.zones.items() if zone[0] != level_id}
        self.happened["ZONE_REMOVED"] += len(self.zones) - len(kept)
        self.zones = kept

    @precondition(lambda self: self.levels)
    @rule(pick=PICK, names=st.lists(NAMES, min_size=1, max_size=3), status=STATUS)
    def add_zones(self, pick: int, names: list[str], status: str) -> None:
        level_id = self.level_at(pick)
        drafts = [ZoneDraft(level_id=level_id, name=name, status=status) for name in names]
        taken = len(set(names)) < len(names) or bool(set(names).intersection(self.names_on(level_id)))
        for zone in self.attempt(zones.create_zones(*self.where, drafts, actor=ANN), taken=taken) or ():
            self.zones[zone.id] = (level_id, zone.name, status)
            self.happened["ZONE_CREATED"] += 1

    @precondition(lambda self: self.zones)
    @rule(pick=PICK, name=st.none() | NAMES, status=st.none() | STATUS)
    def change_zone(self, pick: int, name: str | None, status: str | None) -> None:
        zone_id = self.zone_at(pick)
        level_id, old_name, old_status = self.zones[zone_id]
        taken = name is not None and name != old_name and name in self.names_on(level_id)
        act = zones.update_zone(*self.where, zone_id, ZoneChange(name=name, status=status), actor=ANN)
        if self.attempt(act, taken=taken):
            self.zones[zone_id] = (level_id, name or old_name, status or old_status)
            self.happened["ZONE_NAME_MODIFIED"] += (name or old_name) != old_name
            self.happened["ZONE_STATUS_MODIFIED"] += (status or old_status) != old_status

    @precondition(lambda self: self.zones)
    @rule(pick=PICK)
    def remove_zone(self, pick: int) -> None:
        zone_id = self.zone_at(pick)
        self.attempt(zones.delete_zone(*self.where, zone_id, actor=ANN), taken=False)
        del self.zones[zone_id]
        self.happened["ZONE_REMOVED"] += 1

    @precondition(lambda self: self.zones)
    @rule(pick=PICK, name=NAMES, removed=PICK)
    def apply_file(self, pick: int, name: str, removed: int) -> None:
        """A site file that renames one zone and no longer names another."""
        zone_id, gone = self.zone_at(pick), self.zone_at(removed)
        level_id, old_name, status = self.zones[zone_id]
        others = [n for key, (level, n, _) in self.zones.items() if level == level_id and key not in (zone_id, gone)]
        site = self.runner.run(read_site(self.platform.database, self.home.property_id))
        assert site is not None
        kept = (replace(z, name=name) if z.id == zone_id else z for z in site.zones if z.id != gone)
        file = replace(site, zones=tuple(kept))
        taken = zone_id != gone and name in others
        if self.attempt(apply_site(self.platform.database, file, remove=True), taken=taken):
            if zone_id != gone:
                self.zones[zone_id] = (level_id, name, status)
                self.happened["ZONE_NAME_MODIFIED"] += name != old_name
            del self.zones[gone]
            self.happened["ZONE_REMOVED"] += 1

    @invariant()
    def model_database_and_events_tell_the_same(self) -> None:
        wanted = {key: (name, status) for key, (_, name, status) in self.zones.items()}
        assert self.runner.run(kept_zones(self.platform.database, self.home.property_id)) == wanted
        happened = self.runner.run(events(self.platform.database, self.home.property_id))
        assert replayed(happened) == wanted
        assert Counter(event["Event"] for event in happened) == +self.happened


async def test_zones_model_database_and_events_agree_after_any_acts(platform: Platform) -> None:
    def run_machine() -> None:
        with asyncio.Runner() as runner:
            opened = open_database(platform.database.dsn, connections_max=2)
            database = runner.run(opened.__aenter__())
            ZonesMachine.runner = runner
            ZonesMachine.platform = Platform(database=database, clock=FakeClock())
            try:
                run_state_machine_as_test(ZonesMachine, settings=settings(max_examples=12, stateful_step_count=25))
            finally:
                runner.run(opened.__aexit__(None, None, None))

    await asyncio.to_thread(run_machine)  # it is not asynchronous, so it has an event loop of its own
