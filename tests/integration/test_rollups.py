"""Rollups on PostgreSQL: at every moment the numbers that readings say, whatever is late, repeated or interrupted."""

from __future__ import annotations

import asyncio
import functools
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec
import pytest
import pytest_asyncio
from asyncpg import UndefinedTableError
from tests.engines import SharedEngines
from tests.integration.killing import preload, proxied, run_until
from tests.readings import Writer

from matrixhub.model.buckets import Length, hour_start
from matrixhub.model.ids import SlotId, ZoneId
from matrixhub.model.past import Summary, Wanted, epoch_ms, instant_of_ms
from matrixhub.model.reading_line import Splitter
from matrixhub.model.site import Slot
from matrixhub.sources.sites import make_site
from matrixhub.store import Database, open_database
from matrixhub.store.past_readings import find_sources
from matrixhub.store.readings import PostgresReadingPartitions, PostgresReadings
from matrixhub.store.rollups import PostgresRollups
from matrixhub.store.summaries import Asked, summarise

pytestmark = pytest.mark.asyncio(loop_scope="session")

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
EDGES: Mapping[str, datetime] = {
    "Asia/Singapore": datetime(2024, 2, 29, tzinfo=UTC),
    "Europe/Berlin": datetime(2026, 3, 29, 1, tzinfo=UTC),
    "America/New_York": datetime(2025, 11, 2, 6, tzinfo=UTC),
    "Asia/Kolkata": datetime(2024, 2, 29, 18, 30, tzinfo=UTC),
    "Asia/Kathmandu": datetime(2024, 12, 31, 18, 15, tzinfo=UTC),
    "Australia/Lord_Howe": datetime(2025, 4, 5, 15, tzinfo=UTC),
    "America/Havana": datetime(2025, 11, 2, 5, tzinfo=UTC),
    "Africa/Cairo": datetime(2025, 4, 24, 22, tzinfo=UTC),  # there is no midnight
}
"""Zones, and an instant at which something happens to their days."""

SHORT = ("Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe")
COUNTER = next(slot for slot in make_site(20, seed=7).slots if slot.devtype == "SMARTCLEAN#PPLCTR")
WRITER = Writer()
METRICS = [("count", "SMARTCLEAN#PPLCTR"), ("x", "")]

Told = dict[tuple[str, int], tuple[Slot, Mapping[str, Any]]]
"""What the first reading of a slot and instant said, and where the slot was."""

Row = tuple[int, str, str, str, int, Decimal, Decimal, Decimal]
"""Metric, slot, zone, bucket, and what is in it."""


@dataclass(slots=True)
class Scene:
    """A store, rollups, and what is in them as a dictionary has it: slot and instant, and what the first one said."""

    database: Database
    readings: PostgresReadings
    rollups: PostgresRollups
    told: Told = field(default_factory=dict)
    position: int = 0

    async def store(self, readings: Sequence[tuple[Slot, datetime, Mapping[str, Any]]]) -> None:
        splitter = Splitter()
        kept = [splitter.split(WRITER.line(slot, epoch_ms(at), values)) for slot, at, values in readings]
        assert await self.readings.store(kept, [], after_seq=self.position, to_seq=self.position + 1) is not None
        self.position += 1
        for slot, at, values in readings:
            self.told.setdefault((slot.id, epoch_ms(at)), (slot, values))

    async def roll(self, before: datetime, *, hours: int = 100, steps: int = 1_000_000) -> int:
        found = await self.rollups.begin(before)
        done = 0
        while found is not None and steps and (rolled := await self.rollups.roll(found, hours)):
            done += rolled
            steps -= 1
        return done

    async def ask(self, asked: Asked) -> Sequence[Summary]:
        async with self.database.long_query() as connection:
            sources = await find_sources(connection, COUNTER.property_id, Wanted())
            return await summarise(connection, sources, asked, limit=1_000_000)

    async def marks(self) -> int:
        async with self.database.connection() as connection:
            return int(await connection.fetchval("select count(*) from rollup_marks"))

    async def check(self, asked: Asked) -> int:
        """Compare with the calculation; how many buckets there are."""
        found = [_row(one, asked) for one in await self.ask(asked)]
        expected = expect(self.told, asked)
        assert sorted(found) == sorted(expected), asked
        return len(found)


def _row(one: Summary, asked: Asked) -> Row:
    label = _label(one.bucket, ZoneInfo(asked.time_zone or one.time_zone), asked.length)
    return one.metric, one.slot_id, one.zone_id, label, one.count, one.sum, one.least, one.greatest


def _label(at: datetime, tz: ZoneInfo, length: Length) -> str:
    """A name for the bucket of an instant, found without any list of buckets."""
    local = at.astimezone(tz)
    match length:
        case "day":
            return f"{local:%Y-%m-%d}"
        case "week":
            return f"{local:%G-%V}"
        case "month":
            return f"{local:%Y-%m}"
    start = _day_start(at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0), tz)
    return f"{local:%Y-%m-%d} {(at - start) // length}"


@functools.cache
def _day_start(start: datetime, tz: ZoneInfo) -> datetime:
    """Where the local day of a quarter of an hour begins."""
    day = start.astimezone(tz).date()
    while (start - timedelta(minutes=15)).astimezone(tz).date() == day:
        start -= timedelta(minutes=15)
    return start


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    return None if value == "soon" else Decimal(repr(value) if isinstance(value, float) else value)


def expect(told: Told, asked: Asked) -> list[Row]:
    """The same from what was told, one reading after the other."""
    numbers: dict[tuple[int, str, str, str], list[Decimal]] = defaultdict(list)
    for (_, instant_ms), (slot, values) in told.items():
        at = instant_of_ms(instant_ms)
        if not asked.start <= at < asked.end:
            continue
        label = _label(at, ZoneInfo(asked.time_zone or slot.time_zone), asked.length)
        for metric, (attribute, devtype) in enumerate(asked.metrics):
            number = _number(values.get(attribute))
            if number is not None and devtype in ("", slot.devtype):
                ids = slot.id if asked.by == "slot" else "", slot.zone_id if asked.by != "building" else ""
                numbers[metric, *ids, label].append(number)
    return [(*key, len(ones), sum(ones, Decimal(0)), min(ones), max(ones)) for key, ones in numbers.items()]


@pytest_asyncio.fixture(loop_scope="session")
async def scene(shared_engines: SharedEngines) -> AsyncIterator[Scene]:
    async with open_database((await shared_engines.new_database()).socket, connections_max=4) as database:
        readings = PostgresReadings(database)
        await readings.begin(0)
        yield Scene(database, readings, PostgresRollups(database))


def slot_in(time_zone: str, number: int = 0) -> Slot:
    """A slot of a building there; the zone is one for all."""
    return replace(COUNTER, id=SlotId(f"{time_zone}-{number}"), time_zone=time_zone, zone_id=ZoneId(time_zone))


def values_of(rng: random.Random) -> Mapping[str, Any]:
    return {
        "count": rng.choice([rng.randrange(9), rng.random(), "7", "soon", None, True]),
        "x": rng.choice([1e-7, -3, 2**40]),
        "deep": {"count": 1},
    }


def any_length(rng: random.Random) -> Length:
    return rng.choice(["day", "day", "week", "month", HOUR, 6 * HOUR, 30 * MINUTE, 90 * MINUTE, 5 * MINUTE])


def any_question(rng: random.Random, middle: datetime, own: str) -> Asked:
    start, end = sorted(middle + timedelta(minutes=rng.randrange(-5_000, 5_000)) for _ in range(2))
    if rng.random() < 0.5:
        start, end = hour_start(start), hour_start(end)
    return Asked(
        start=start,
        end=end + MINUTE,
        metrics=METRICS,
        length=any_length(rng),
        time_zone=rng.choice(["", "", own, "UTC", "Asia/Kolkata"]),
        by=rng.choice(["slot", "zone"]),
    )


@pytest.mark.parametrize(
    "time_zone", [name if name in SHORT else pytest.param(name, marks=pytest.mark.long) for name in EDGES]
)
async def test_whatever_comes_in_whatever_order_rollups_say_what_the_readings_say(scene: Scene, time_zone: str) -> None:
    rng = random.Random(time_zone)
    middle, others = EDGES[time_zone], [name for name in EDGES if name != time_zone]
    slots = [slot_in(time_zone, 0), slot_in(time_zone, 1), slot_in(rng.choice(others))]
    slots.append(replace(slots[0], zone_id=ZoneId("moved")))  # the same slot, from another place
    found = rolled = 0
    for _ in range(5):
        batch = [
            (rng.choice(slots), middle + timedelta(seconds=rng.randrange(-250_000, 250_000)), values_of(rng))
            for _ in range(rng.choice([1, 20, 150]))
        ]
        repeats = [(slot, instant_of_ms(ms), {"count": 99}) for (_, ms), (slot, _) in list(scene.told.items())[:3]]
        await scene.store([*batch, *batch[:2], *repeats])
        before = hour_start(middle) + timedelta(hours=rng.randrange(-60, 80))
        rolled += await scene.roll(before, hours=rng.choice([1, 7, 100]), steps=rng.choice([0, 1, 3, 1_000]))
        for _ in range(2):
            found += await scene.check(any_question(rng, middle, time_zone))
    rolled += await scene.roll(middle + 30 * DAY)
    assert await scene.marks() == 0
    async with scene.database.connection() as connection:
        await connection.execute("truncate readings")  # so all comes from rollups now
    edges = [middle.replace(hour=0, minute=0) + timedelta(days=days) for days in (-40, 40)]
    for length in ("day", "week", "month"):
        asked = Asked(start=edges[0], end=edges[1], metrics=METRICS, length=length)
        found += await scene.check(replace(asked, by="zone"))
        found += await scene.check(asked)
    assert found > 50
    assert rolled > 50


async def test_of_two_rollers_beside_a_store_at_full_speed_nothing_is_missed(scene: Scene) -> None:
    rng = random.Random(4)
    middle, slots = EDGES["Asia/Kolkata"], [slot_in("Asia/Kolkata", n) for n in range(3)]
    others = [PostgresRollups(scene.database) for _ in range(2)]
    storing = True

    async def store() -> None:
        nonlocal storing
        for _ in range(40):
            batch = [
                (rng.choice(slots), middle + timedelta(minutes=rng.randrange(400)), {"count": 1}) for _ in range(9)
            ]
            await scene.store(batch)
            await asyncio.sleep(0)
        storing = False

    async def roll(rollups: PostgresRollups) -> int:
        done = 0
        while storing:
            found = await rollups.begin(middle + DAY)
            while found is not None and (hours := await rollups.roll(found, rng.choice([1, 5]))):
                done += hours
        return done

    asked = Asked(start=middle, end=middle + DAY, metrics=METRICS, length=HOUR)

    async def look() -> None:
        stored = 0
        while storing:
            before = len(scene.told)
            found = sum(one.count for one in await scene.ask(asked))
            assert max(before, stored) <= found <= len(scene.told) + 9
            stored = found

    async with asyncio.TaskGroup() as group:
        group.create_task(store())
        rolling = [group.create_task(roll(one)) for one in others]
        group.create_task(look())
    assert all(task.result() for task in rolling)
    await scene.check(asked)
    await scene.roll(middle + DAY)
    assert await scene.marks() == 0
    await scene.check(asked)


def roll_all(dsn: str, before: datetime) -> None:
    """Roll up all that is marked; run in a process of its own."""

    async def run() -> None:
        async with open_database(dsn, connections_max=1) as database:
            rollups = PostgresRollups(database)
            found = await rollups.begin(before)
            while found is not None and await rollups.roll(found, 5):
                pass

    asyncio.run(run())


async def test_a_roller_that_is_killed_at_any_step_leaves_the_numbers_right(
    scene: Scene, shared_engines: SharedEngines
) -> None:
    rng = random.Random(9)
    middle, slots = EDGES["Europe/Berlin"], [slot_in("Europe/Berlin", n) for n in range(3)]
    tcp = shared_engines.postgres.of(urlsplit(scene.database.dsn).path[1:]).tcp
    asked = Asked(start=middle - 2 * DAY, end=middle + 2 * DAY, metrics=METRICS, length="day")
    preload(__name__)
    ended = 0
    async with proxied(tcp) as proxy:
        for step in rng.sample(range(8, 60), 3):
            batch = [
                (rng.choice(slots), middle + timedelta(minutes=rng.randrange(900)), {"count": 2}) for _ in range(60)
            ]
            await scene.store(batch)
            ended += await run_until(proxy, step, roll_all, middle + DAY)
            assert await scene.check(asked)
    assert ended < 3
    await scene.roll(middle + DAY)
    assert await scene.marks() == 0
    assert await scene.check(asked)


async def test_what_an_older_hub_has_stored_is_read_at_once_and_rolled_up_later(scene: Scene) -> None:
    slot, at = slot_in("Asia/Singapore"), EDGES["Asia/Singapore"]
    asked = Asked(start=at, end=at + 3 * DAY, metrics=METRICS, length="day")
    await PostgresReadingPartitions(scene.database).make([at, at + DAY])
    await scene.store([(slot, at + n * HOUR, {"count": 1}) for n in range(60)])
    await scene.roll(at + 9 * DAY)
    async with scene.database.connection() as connection:  # it knows neither marks nor `marked_seq`
        await connection.execute(
            "insert into readings (at, series, origin, v)"
            " select at + interval '1 minute', series, origin, '{\"count\":5}' from readings"
        )
        await connection.execute("update telemetry_progress set seq = seq + 1")
    scene.position += 1
    scene.told |= {(slot.id, epoch_ms(at + n * HOUR + MINUTE)): (slot, {"count": 5}) for n in range(60)}
    assert await scene.check(asked) == 3
    assert await PostgresReadings(scene.database).begin(0) == scene.position
    assert await scene.marks() == 60
    assert await scene.check(asked) == 3
    await scene.roll(at + 9 * DAY)
    assert await scene.marks() == 0
    assert await scene.check(asked) == 3


async def test_numbers_are_those_of_the_readings_whatever_stands_in_their_values(scene: Scene) -> None:
    slot, at = slot_in("UTC"), EDGES["Asia/Singapore"]
    texts = [
        '{"count":1,"count":2}',  # the last one counts
        '{"count":3,"count":"soon"}',
        '{"count":"4"}',
        '{"count":1e2}',
        '{"count":1e999}',
        '{"count":[5]}',
        '{"a.b\\u0041":6,"count":0.1}',
        '{"%s":7}' % ("n" * 65),
        "{}",
    ]
    kept = [Splitter().split(WRITER.line(slot, epoch_ms(at) + n, {})) for n, _ in enumerate(texts)]
    values = [msgspec.structs.replace(one, values=text) for one, text in zip(kept, texts, strict=True)]
    assert await scene.readings.store(values, [], after_seq=0, to_seq=1) == len(texts)
    asked = Asked(start=at, end=at + DAY, metrics=[("count", ""), ("a.bA", "")], length="day")
    before = await scene.ask(asked)
    assert [(one.count, one.sum) for one in before] == [(4, Decimal("106.1")), (1, Decimal(6))]
    await scene.roll(at + DAY)
    assert await scene.ask(asked) == before
    async with scene.database.connection() as connection:
        rows = await connection.fetch("select attribute from reading_hours order by 1")
    assert [row["attribute"] for row in rows] == ["a.bA", "count"]


async def test_rollups_outlive_the_readings_and_are_dropped_when_their_own_time_is_over(scene: Scene) -> None:
    slot, at = slot_in("Asia/Kathmandu"), datetime(2024, 3, 10, tzinfo=UTC)
    partitions = PostgresReadingPartitions(scene.database)
    await partitions.make([at + n * DAY for n in range(4)])
    await scene.store([(slot, at + n * HOUR, {"count": 1}) for n in range(4 * 24)])
    assert len(await partitions.drop(at + 2 * DAY)) == 2  # none of it was rolled up before
    asked = Asked(start=at - DAY, end=at + 5 * DAY, metrics=METRICS, length="day")
    assert await scene.check(asked) == 5
    late, told = slot_in("Asia/Kathmandu"), dict(scene.told)
    await scene.store([(late, at + n * MINUTE, {"count": 9}) for n in range(1, 50)])  # behind retention, and in vain
    scene.told = told
    await scene.roll(at + 9 * DAY)
    assert await scene.check(asked) == 5
    await scene.rollups.make_partitions(at, at + 3 * DAY)
    assert await scene.check(asked) == 5
    assert await scene.rollups.drop(at) == []
    assert await scene.check(asked) == 5
    assert {name[:13] for name in await scene.rollups.drop(at + 900 * DAY)} == {"reading_hours", "reading_days_"}
    async with scene.database.connection() as connection:
        assert await connection.fetchval("select count(*) from reading_days") == 0


async def test_a_store_that_cannot_mark_stores_nothing(scene: Scene) -> None:
    async with scene.database.connection() as connection:
        await connection.execute("alter table rollup_marks rename to rollup_marks_away")
    with pytest.raises(UndefinedTableError):
        await scene.store([(slot_in("UTC"), EDGES["Asia/Singapore"], {"count": 1})])
    async with scene.database.connection() as connection:
        await connection.execute("alter table rollup_marks_away rename to rollup_marks")
        assert await connection.fetchval("select count(*) from readings") == 0
    await scene.store([(slot_in("UTC"), EDGES["Asia/Singapore"], {"count": 1})])
    assert await scene.marks() == 1
