"""Nothing that happened is without its event, nothing that was rolled back has one, wherever a process is killed."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from tests.integration.killing import preload, proxied, run_until

from matrixhub.config import load_settings
from matrixhub.engines import DataDirectory, open_engines
from matrixhub.lifecycle import SystemClock
from matrixhub.model.event import platform_event
from matrixhub.modules.work import Platform
from matrixhub.observe import ignore
from matrixhub.sources.sites import make_site
from matrixhub.store import open_database
from matrixhub.store.pool import migrate
from matrixhub.store.sites import apply_site

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

STEPS_MAX = 200
SITE = make_site(3, seed=1)
PROPERTY, BUILDING, ZONE = SITE.property.id, SITE.buildings[0].id, SITE.zones[0]


async def hire(platform: Platform, name: str) -> None:
    """An act as simple as can be: a row, a timer and two events."""
    async with platform.work(PROPERTY, "test") as work:
        await work.connection.execute(
            "insert into seats (id, property_id, number, name)"
            " select $1, $2, coalesce(max(number), 0) + 1, $1 from seats",
            name,
            PROPERTY,
        )
        work.set_timer("test", name, work.now + timedelta(days=1))
        for kind in ("ZONE_CREATED", "ZONE_REMOVED"):
            work.publish(
                platform_event(kind, PROPERTY, BUILDING, happened_at=work.now_s, description=name, meta={"Name": name})
            )


Act = Callable[[Platform, str], Awaitable[None]]

ACTS: Mapping[str, tuple[Act, str, Mapping[str, int]]] = {
    "an act": (
        hire,
        """
        select (select count(*) from seats where name = $1) as seats,
          (select count(*) from timers where entity_id = $1) as timers
        """,
        {"seats": 1, "timers": 1, "events": 2},
    ),
}
"""What is done, what is to be seen of it, by name, and how much of that there is once it has happened."""


def perform(dsn: str, act: str, name: str) -> None:
    """Do it, in a process of its own."""

    async def main() -> None:
        async with open_database(dsn, connections_max=1) as database:
            await ACTS[act][0](Platform(database=database, clock=SystemClock()), name)

    asyncio.run(main())


@pytest.fixture(scope="module", autouse=True)
def ready() -> None:
    """Processes start fast."""
    preload(__name__)


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """A data directory that the engines' user can reach, which pytest's own is not."""
    top = Path(tempfile.mkdtemp(prefix="mh-atomic-"))
    top.chmod(0o755)
    yield top / "data"
    shutil.rmtree(top)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dsn(data: Path) -> AsyncIterator[str]:
    with DataDirectory.open(data) as directory:
        async with open_engines(directory, load_settings(None, {}).engines, ignore) as engines:
            async with open_database(engines.endpoints.postgres_dsn, connections_max=2) as database:
                await migrate(database, ignore)
                await apply_site(database, SITE, remove=False)
            yield engines.endpoints.postgres_tcp_dsn


async def seen(connection: Any, act: str, name: str) -> dict[str, int]:
    """What there is of the act."""
    found = dict(await connection.fetchrow(ACTS[act][1], name))
    found["events"] = await connection.fetchval(
        "select count(*) from events where line::jsonb -> 'Meta' ->> 'Name' = $1", name
    )
    return found


@pytest.mark.parametrize("act", ACTS)
async def test_a_process_killed_at_any_step_leaves_all_of_an_act_or_nothing(dsn: str, act: str) -> None:
    done = ACTS[act][2]
    connection = await asyncpg.connect(dsn)
    try:
        fates = []
        async with proxied(dsn) as proxy:
            for step in range(1, STEPS_MAX):
                name = f"{act} {step}"
                ended = await run_until(proxy, step, perform, act, name)
                found = await seen(connection, act, name)
                assert found in (done, dict.fromkeys(done, 0)), f"killed before step {step}"
                fates.append(found == done)
                if ended:
                    break
        assert fates[-1]  # it was not killed in the end, so all of it is there
        assert fates.count(False) >= 5  # and was killed in the middle of it before
        assert fates == sorted(fates)  # what is done once the commit has come is done for good
        assert fates.count(True) >= 2  # also where the process died before it could know
        numbers = [row["number"] for row in await connection.fetch("select number from events order by number")]
        assert numbers == list(range(1, len(numbers) + 1))
    finally:
        await connection.close()
