"""The plans of docs/store.md: the main queries over past data go along the primary key, and leave other days alone.

`python -m tests.integration.test_reading_plans` writes them into the document.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.engines import SharedEngines, open_shared_engines

from matrixhub.store import Database, open_database
from matrixhub.store.readings import PostgresReadingPartitions
from matrixhub.store.sql import load_statements

pytestmark = pytest.mark.asyncio(loop_scope="session")

DOCUMENT = Path(__file__).parents[2] / "docs" / "store.md"
MARK = "<!-- plans -->\n"
LINE_MAX = 140
SQL = {**load_statements("readings.sql"), **load_statements("summaries.sql")}
DAY = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SERIES = 60
ZONE = [1, 2, 3]

QUERIES: dict[str, tuple[str, list[Any]]] = {
    "raw data of one slot": ("raw_of_one", [7, DAY, DAY + 24 * HOUR, DAY - HOUR, [7], 1000]),
    "raw data of a zone": ("raw", [ZONE, DAY + HOUR, DAY + 2 * HOUR, DAY, -1, ZONE, 1000]),
    "a named query": (
        "from_readings",
        [ZONE, DAY, DAY + 6 * HOUR, [DAY + n * HOUR / 4 for n in range(25)], ["count"], [""], ZONE, [0, 1, 2], 1000],
    ),
    "the latest of each slot": ("latest", [ZONE, DAY, DAY + 24 * HOUR, ZONE, 100]),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def database(shared_engines: SharedEngines) -> AsyncIterator[Database]:
    async with with_readings(shared_engines) as found:
        yield found


@asynccontextmanager
async def with_readings(engines: SharedEngines) -> AsyncIterator[Database]:
    """Three days of readings of 60 slots, one every ten minutes."""
    dsns = await engines.new_database()
    async with open_database(dsns.socket, connections_max=1) as found:
        await PostgresReadingPartitions(found).make([DAY + n * 24 * HOUR for n in range(3)])
        async with found.connection() as connection:
            await connection.execute(
                f"insert into reading_series (property_id, slot_id, devtype)"
                f" select 'p', 's' || n, 'T#P' from generate_series(1, {SERIES}) n;"
                f"insert into reading_origins (series, building_id, zone_id, time_zone, aggregates, fixed)"
                f" select id, 'b', 'z' || (id - 1) / 3, 'UTC', false, '' from reading_series order by id;"
                f"insert into readings (at, series, origin, v)"
                f" select '2026-03-01Z'::timestamptz + n * interval '10 minutes', s, s, '{{\"count\":1}}'"
                f" from generate_series(0, 431) n, generate_series(1, {SERIES}) s;"
                f"analyze readings; analyze reading_series; analyze reading_origins"
            )
        yield found


async def plan_of(database: Database, name: str) -> str:
    """The plan of a query, without what differs from run to run."""
    statement, arguments = QUERIES[name]
    async with database.connection() as connection:
        rows = await connection.fetch(f"explain (costs off) {SQL[statement]}", *arguments)
    return "\n".join(row[0] for row in rows)


def told(plan: str) -> str:
    """A plan as the document has it: long lists, instants and lines are cut short."""
    plan = re.sub(r"'\{[^}]*\}'::(\w+)\[\]", r"'{…}'", plan)
    plan = re.sub(r"'(\S+ \d\d:\d\d):00\+00'::timestamp with time zone", r"'\1'", plan)
    return "\n".join(line if len(line) <= LINE_MAX else f"{line[:LINE_MAX]}…" for line in plan.splitlines())


async def section(database: Database) -> str:
    """The part of the document between its marks."""
    plans = [f"### {name.capitalize()}\n\n```\n{told(await plan_of(database, name))}\n```\n" for name in QUERIES]
    return "\n" + "\n".join(plans) + "\n"


@pytest.mark.parametrize("name", QUERIES)
async def test_a_main_query_goes_along_the_primary_key_of_the_days_that_are_asked_for(
    database: Database, name: str
) -> None:
    plan = await plan_of(database, name)
    read = set(re.findall(r"readings_(?:\d{8}|default)", plan))
    assert read, plan
    assert read <= {"readings_20260301"}, plan
    assert "Seq Scan on readings" not in plan, plan
    assert "Index Cond" in plan, plan


async def test_the_document_shows_the_plans(database: Database) -> None:
    assert DOCUMENT.read_text(encoding="utf-8").split(MARK)[1] == await section(database), __doc__


async def write() -> None:
    """Put the plans into the document."""
    async with open_shared_engines() as engines, with_readings(engines) as found:
        before, _, after = DOCUMENT.read_text(encoding="utf-8").split(MARK)
        DOCUMENT.write_text(MARK.join([before, await section(found), after]), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(write())
