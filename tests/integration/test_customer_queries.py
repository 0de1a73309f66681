"""The example queries on readings of a building, and the calendar of the columns, against other calculations."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import msgspec
import pytest
import pytest_asyncio
from tests.engines import SharedEngines
from tests.readings import Writer

from matrixhub.databases.examples import examples, filled, places, templates
from matrixhub.databases.rows import ROW_OF
from matrixhub.databases.schema import statements
from matrixhub.databases.writing import write_rows
from matrixhub.model.event import envelope, platform_event
from matrixhub.model.ids import SlotId
from matrixhub.model.site import Building, Slot
from matrixhub.model.subscription import Source
from matrixhub.sources.simulator import Simulation
from matrixhub.sources.sites import make_site

pytestmark = pytest.mark.asyncio(loop_scope="module")

SITE = make_site(48, 2)
BUILDING = SITE.buildings[0]
SLOTS = {slot.id: slot for slot in SITE.slots}
TZ = ZoneInfo(BUILDING.time_zone)
DAY = date(2024, 2, 29)
START = datetime(2024, 2, 29, tzinfo=TZ)
EVERY_MS = 600_000
HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Taken:
    """A reading as it was taken, before the hub saw it."""

    slot: Slot
    ms: int
    v: Mapping[str, Any]


def simulated() -> list[Taken]:
    """Readings of both buildings from six hours before the day to ten hours behind it."""
    start = int(START.timestamp() * 1000) - 6 * HOUR_S * 1000
    end = start + 40 * HOUR_S * 1000
    simulation = Simulation(SITE.slots, seed=3, start_ms=start, step_ms=EVERY_MS)
    rate = len(simulation) * 1000 / EVERY_MS
    taken = [Taken(SLOTS[SlotId(one["DEVID"])], one["unixT"], one["v"]) for one in simulation.at_rate(rate, start, end)]
    # What a simulated building has too rarely: bad feedback with its reasons, and a soap dispenser that runs out.
    last = max(one.ms for one in taken)
    reasons = {"ID_1": {"ID": "1", "Name": "Wet floor"}, "ID_2": {"ID": "2", "Name": "No soap"}}
    for slot in SITE.slots:
        if slot.devtype == "SMARTCLEAN#FD":
            for minute in range(5):
                ms = int(START.timestamp() * 1000) + (9 * 60 + minute) * 60_000 + 1
                given = dict(list(reasons.items())[: 1 + minute % 2])
                taken.append(Taken(slot, ms, {"rating": 5, "s": 1, "n": 1, "nm": "Very bad", "reasons": given}))
        if slot.devtype == "SMARTCLEAN#SS":
            taken.append(Taken(slot, last + 1, {"p": 3.5, "d": 170}))
    return taken


TAKEN = simulated()
EVENTS = [
    platform_event(
        kind,
        SITE.property.id,
        building.id,
        happened_at=int(START.timestamp()) + number * 1700,
        description="Something happened",
        meta={"Zone": SITE.zones[number % 3].id, "AEnd": int(START.timestamp()) + number * 1700 - 60},
    )
    for building in SITE.buildings
    for kind in ("TASK_COMPLETED", "INCIDENT_CREATED_OPEN", "TASK_STARTED")
    for number in range(60)
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def connection(shared_engines: SharedEngines) -> AsyncIterator[asyncpg.Connection]:
    """A database of a customer, with the readings and events in it."""
    database = await shared_engines.new_database(migrated=False)
    connection = await asyncpg.connect(database.tcp)
    try:
        for statement in statements(hosted=True).values():
            await connection.execute(statement)
        writer = Writer()
        await write(connection, "sensors", [writer.line(one.slot, one.ms, one.v) for one in TAKEN])
        await write(connection, "events", [msgspec.json.encode(envelope(event)) for event in EVENTS])
        yield connection
    finally:
        await connection.close()


async def write(connection: Any, source: Source, lines: Sequence[bytes]) -> int:
    return await write_rows(connection, source, [ROW_OF[source](line) for line in lines])


def of(*devtypes: str, since: datetime = START, until: datetime | None = None) -> Iterable[Taken]:
    """The readings of the building and types, of the day unless until says otherwise."""
    end = until or START + timedelta(days=1)
    for one in TAKEN:
        ours = one.slot.building_id == BUILDING.id and one.slot.devtype.removeprefix("SMARTCLEAN#") in devtypes
        if ours and since.timestamp() * 1000 <= one.ms < end.timestamp() * 1000:
            yield one


def grouped(taken: Iterable[Taken], key: Callable[[Taken], Any], value: Callable[[Taken], Any]) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = defaultdict(list)
    for one in taken:
        found[key(one)].append(value(one))
    return found


def latest(taken: Iterable[Taken]) -> list[Taken]:
    found: dict[str, Taken] = {}
    for one in sorted(taken, key=lambda one: one.ms):
        found[one.slot.id] = one
    return list(found.values())


def number(value: Any) -> Decimal:
    return Decimal(str(value))


def instant(one: Taken) -> datetime:
    return datetime.fromtimestamp(one.ms // 1000, UTC) + timedelta(milliseconds=one.ms % 1000)


def zone_of(one: Taken) -> str:
    return one.slot.zone_id


FOREVER = datetime(2100, 1, 1, tzinfo=UTC)


def people_by_zone() -> set[tuple[Any, ...]]:
    hour = START + timedelta(hours=8)
    found = grouped(
        of("PPLCTR", since=hour, until=hour + timedelta(seconds=HOUR_S, milliseconds=1)),
        zone_of,
        lambda one: one.v["count"],
    )
    return {(zone, sum(counts)) for zone, counts in found.items()}


def rating_by_zone() -> set[tuple[Any, ...]]:
    found = grouped(of("FD"), zone_of, lambda one: one.v["rating"])
    return {(zone, round(Decimal(sum(r)) / len(r), 6)) for zone, r in found.items()}


def latest_by_slot() -> set[tuple[Any, ...]]:
    types = {one.slot.devtype.removeprefix("SMARTCLEAN#") for one in TAKEN}
    return {(one.slot.id, instant(one)) for one in latest(of(*types, until=FOREVER))}


def people_by_half_hour() -> set[tuple[Any, ...]]:
    found = grouped(of("PPLCTR"), lambda one: one.ms // 1_800_000, lambda one: one.v["count"])
    return {(datetime.fromtimestamp(half * 1800, UTC), Decimal(sum(counts))) for half, counts in found.items()}


def people_by_local_hour() -> set[tuple[Any, ...]]:
    found = grouped(of("PPLCTR"), lambda one: instant(one).astimezone(TZ).hour, lambda one: one.v["count"])
    return {(datetime(2024, 2, 29, hour), Decimal(sum(counts))) for hour, counts in found.items()}  # noqa: DTZ001


def ammonia_by_zone() -> set[tuple[Any, ...]]:
    found = grouped(
        of("ODRDTR", "ODRDTR_BATT_V1"),
        zone_of,
        lambda one: number(one.v["amm"]) * (1000 if one.slot.devtype.endswith("ODRDTR") else 1),
    )
    return {(zone, round(sum(values) / len(values), 6)) for zone, values in found.items()}


def worst_stars_by_zone() -> set[tuple[Any, ...]]:
    return {(zone, min(stars)) for zone, stars in grouped(of("FD"), zone_of, lambda one: one.v["s"]).items()}


def reasons_of_bad_feedback() -> set[tuple[Any, ...]]:
    counted = Counter(
        reason["Name"] for one in of("FD") if one.v["n"] == 1 for reason in one.v.get("reasons", {}).values()
    )
    return set(counted.items())


def containers_nearly_empty() -> set[tuple[Any, ...]]:
    return {
        (one.slot.name, one.slot.zone_id, one.slot.devtype, number(one.v["p"]), instant(one))
        for one in latest(of("TR", "PT", "SS", until=FOREVER))
        if one.v["p"] < 5
    }


def occupied_now() -> set[tuple[Any, ...]]:
    return {
        (one.slot.name, one.slot.zone_id, one.slot.devtype, instant(one))
        for one in latest(of("OCCMINEW", "OCCSCM", "OCCDESK", until=FOREVER))
        if one.v["occ"] == (1 if one.slot.devtype.endswith("DESK") else 0)
    }


def last_cleaning_by_zone() -> set[tuple[Any, ...]]:
    ends: dict[str, int] = {}
    for event in EVENTS:
        if event.event == "TASK_COMPLETED" and event.building_id == BUILDING.id:
            zone, end = str(event.meta["Zone"]), event.meta["AEnd"]
            assert isinstance(end, int)
            ends[zone] = max(end, ends.get(zone, 0))
    return {(zone, datetime.fromtimestamp(end, UTC)) for zone, end in ends.items()}


def open_incidents_by_hour() -> set[tuple[Any, ...]]:
    first = int(START.timestamp())
    counted = Counter(
        event.happened_at // HOUR_S
        for event in EVENTS
        if event.event == "INCIDENT_CREATED_OPEN" and event.building_id == BUILDING.id
        if first <= event.happened_at < first + 24 * HOUR_S
    )
    return {(datetime.fromtimestamp(hour * HOUR_S, UTC), times) for hour, times in counted.items()}


CALCULATED: Mapping[str, Callable[[], set[tuple[Any, ...]]]] = {
    one.__name__: one
    for one in (
        *(people_by_zone, rating_by_zone, latest_by_slot, people_by_half_hour, people_by_local_hour, ammonia_by_zone),
        *(worst_stars_by_zone, reasons_of_bad_feedback, containers_nearly_empty, occupied_now),
        *(last_cleaning_by_zone, open_incidents_by_hour),
    )
}


def rounded(value: Any) -> Any:
    return round(value, 6) if isinstance(value, Decimal) else value


@pytest.mark.parametrize("name", [one.name for one in templates()])
async def test_an_example_answers_what_another_calculation_does(connection: asyncpg.Connection, name: str) -> None:
    query = next(one for one in examples(BUILDING, DAY) if one.name == name)
    rows = await connection.fetch(query.sql)
    expected = CALCULATED[name]()
    width = len(next(iter(expected)))  # and that there is something to answer
    found = {tuple(rounded(value) for value in tuple(row)[:width]) for row in rows}
    assert found == {tuple(rounded(value) for value in row) for row in expected}
    assert len(rows) == len(expected)


async def test_the_published_queries_give_the_names_that_clients_expect(connection: asyncpg.Connection) -> None:
    people, rating = examples(BUILDING, DAY)[:2]
    assert list((await connection.fetch(people.sql))[0].keys()) == ["zone", "totalpeople"]
    assert list((await connection.fetch(rating.sql))[0].keys()) == ["zone", "averagerating"]


async def test_the_view_of_latest_readings_has_one_of_each_slot(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch("select devid, devtype, time, v from matrix.latest_readings")
    expected = {(one.slot.id, one.slot.devtype, instant(one)) for one in latest(TAKEN)}
    assert {(row["devid"], row["devtype"], row["time"]) for row in rows} == expected
    assert len(rows) == len(expected)


async def test_the_views_know_how_each_type_writes_what_it_means(connection: asyncpg.Connection) -> None:
    assert await connection.fetchval("select sum(people_in - people_out) from matrix.people") == sum(
        one.v["count"] - one.v["out_count"] for one in TAKEN if one.slot.devtype == "SMARTCLEAN#PPLCTR"
    )
    occupied = await connection.fetch("select devtype, occupied, count(*) from matrix.occupancy group by 1, 2")
    assert {tuple(row) for row in occupied} == {
        (*key, count)
        for key, count in Counter(
            (one.slot.devtype, one.v["occ"] == (1 if one.slot.devtype == "SMARTCLEAN#OCCDESK" else 0))
            for one in TAKEN
            if one.slot.devtype in ("SMARTCLEAN#OCCDESK", "SMARTCLEAN#OCCSCM", "SMARTCLEAN#OCCMINEW")
        ).items()
    }
    per_type = dict(await connection.fetch("select devtype, max(ammonia_ppb) from matrix.ammonia group by 1"))
    wired = max(number(one.v["amm"]) for one in TAKEN if one.slot.devtype == "SMARTCLEAN#ODRDTR")
    assert per_type["SMARTCLEAN#ODRDTR"] == wired * 1000


async def test_every_table_column_and_view_says_what_it_is(connection: asyncpg.Connection) -> None:
    silent = await connection.fetch(
        "select c.relname, a.attname from pg_class c left join pg_attribute a"
        " on a.attrelid = c.oid and a.attnum > 0 and c.relkind in ('r', 'p')"
        " where c.relnamespace = 'matrix'::regnamespace and c.relkind in ('r', 'p', 'v') and not c.relispartition"
        " and col_description(c.oid, coalesce(a.attnum, 0)) is null and obj_description(c.oid) is null"
    )
    columns = await connection.fetch(
        "select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0"
        " where c.relname in ('sensor_data', 'events', 'schema_version')"
        " and c.relnamespace = 'matrix'::regnamespace and col_description(c.oid, a.attnum) is null"
    )
    assert (silent, columns) == ([], [])


async def test_the_people_count_is_found_by_its_index(connection: asyncpg.Connection) -> None:
    await connection.execute("analyze matrix.sensor_data")
    query = examples(BUILDING, DAY)[0].sql
    plan = "\n".join(row[0] for row in await connection.fetch(f"explain (costs off) {query}"))
    assert "pid_devtype_time_idx" in plan, plan
    assert "Seq Scan" not in plan, plan


async def test_the_schema_can_be_made_again(connection: asyncpg.Connection) -> None:
    before = await connection.fetchval("select count(*) from matrix.sensor_data")
    for statement in statements(hosted=True).values():
        await connection.execute(statement)
    assert await connection.fetchval("select count(*) from matrix.sensor_data") == before == len(TAKEN)


# --- the calendar -------------------------------------------------------------------------------------------------

EDGES = [
    ("Europe/London", date(2024, 3, 31)),  # 23 hours
    ("Europe/London", date(2024, 10, 27)),  # 25 hours
    ("America/New_York", date(2023, 11, 5)),
    ("America/Sao_Paulo", date(2018, 11, 4)),  # a day that begins at 01:00
    ("Australia/Lord_Howe", date(2024, 4, 7)),  # half an hour more
    ("Asia/Kathmandu", date(2024, 2, 29)),  # 05:45
    ("Pacific/Chatham", date(2023, 9, 24)),  # 12:45, and one less
    ("Asia/Kolkata", date(2023, 12, 31)),
    ("Pacific/Apia", date(2011, 12, 29)),  # the day behind it there never was
    ("Asia/Singapore", date(2024, 2, 28)),
    ("UTC", date(2016, 12, 31)),  # a second was put in, which no clock here shows
]


def around(region: str, day: date) -> list[int]:
    """Instants from before the day to behind it: every 10 minutes, and around each quarter of an hour of the edges."""
    middle = int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp() * 1000)
    steps = range(middle - 48 * 3_600_000, middle + 48 * 3_600_000, 900_000)
    return [at + off for at in steps for off in (-1, 0, 1)]


@pytest.mark.parametrize(("region", "day"), EDGES, ids=str)
async def test_the_calendar_is_that_which_postgresql_computes(
    connection: asyncpg.Connection, region: str, day: date
) -> None:
    slot = replace(SITE.slots[0], time_zone=region)
    writer = Writer()
    lines = [writer.line(slot, ms, {"count": 1}) for ms in around(region, day)]
    async with asyncio.timeout(20):
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute("truncate matrix.sensor_data")
            assert await write(connection, "sensors", lines) == len(lines)
            wrong = await connection.fetch(
                "select time, t, dow, month, dom, hour, minute from matrix.sensor_data"
                " where row(t, dow, month, dom, hour, minute) is distinct from row("
                "to_char(time at time zone region, 'YYYYMMDDHH24MISS')::char(14),"
                " extract(dow from time at time zone region)::text, to_char(time at time zone region, 'MM'),"
                " to_char(time at time zone region, 'DD'), to_char(time at time zone region, 'HH24'),"
                " to_char(time at time zone region, 'MI'))"
                " or unixt <> round(extract(epoch from time) * 1000) or utc <> floor(extract(epoch from time))"
                " or expire_at <> utc + 180 * 86400"
            )
            assert wrong == []
            await check_days(connection, slot, day)
        finally:
            await transaction.rollback()


async def check_days(connection: asyncpg.Connection, slot: Slot, day: date) -> None:
    """Each day of the examples has exactly the readings whose local date it is: none in two, none left out."""
    building = Building(id=slot.building_id, property_id=slot.property_id, name="B", time_zone=slot.time_zone)
    bounds = "select count(*) from matrix.sensor_data where time >= :'day_start' and time < :'next_day'"
    for on in (day - timedelta(days=1), day, day + timedelta(days=1)):
        query = filled(bounds, places(building, on))
        by_date = await connection.fetchval(
            "select count(*) from matrix.sensor_data where month = $1 and dom = $2", f"{on:%m}", f"{on:%d}"
        )
        assert await connection.fetchval(query) == by_date, on


@pytest.mark.parametrize("name", ["O'Neill", "a\\'; drop table x; --", "日本 %s {0}"])
async def test_an_id_of_any_characters_is_only_a_text(connection: asyncpg.Connection, name: str) -> None:
    for conforming in ("on", "off"):
        await connection.execute(f"set standard_conforming_strings = {conforming}; set escape_string_warning = off")
        assert await connection.fetchval(filled("select :'building'", {"building": name})) == name
    await connection.execute("reset standard_conforming_strings")
