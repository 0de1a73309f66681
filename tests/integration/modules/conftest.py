"""One PostgreSQL for the tests of the modules, a property in it, and a clock that the test owns."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.integration.modules.rig import TABLES, World

from matrixhub.config import load_settings
from matrixhub.engines import DataDirectory, open_engines
from matrixhub.modules.work import Platform
from matrixhub.observe import ignore
from matrixhub.sources.sites import make_site
from matrixhub.store import Database, open_database
from matrixhub.store.pool import migrate
from matrixhub.store.sites import apply_site
from matrixhub.testing.fakes import FakeClock


@pytest.fixture(scope="session")
def modules_data() -> Iterator[Path]:
    """A data directory that the engines' user can reach, which pytest's own is not."""
    top = Path(tempfile.mkdtemp(prefix="mh-modules-"))
    top.chmod(0o755)
    yield top / "data"
    shutil.rmtree(top)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def modules_dsn(modules_data: Path) -> AsyncIterator[str]:
    with DataDirectory.open(modules_data) as directory:
        async with open_engines(directory, load_settings(None, {}).engines, ignore) as engines:
            async with open_database(engines.endpoints.postgres_dsn, connections_max=2) as database:
                await migrate(database, ignore)
                async with database.connection() as connection:  # no test here is about losing power
                    await connection.execute("alter role current_user set synchronous_commit = off")
            yield engines.endpoints.postgres_dsn


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def modules_database(modules_dsn: str) -> AsyncIterator[Database]:
    async with open_database(modules_dsn, connections_max=6) as database:
        yield database


@pytest_asyncio.fixture(loop_scope="session")
async def world(modules_database: Database) -> World:
    """A property without seats, shifts, timers and events."""
    site = make_site(16)
    async with modules_database.transaction() as connection:
        for table in TABLES:  # to truncate them would leave files for the server to sync when it stops
            await connection.execute(f"delete from {table}")
    await apply_site(modules_database, site, remove=False)
    async with modules_database.connection() as connection:
        await connection.execute("delete from events")  # those of the places just made
    clock = FakeClock()
    return World(
        database=modules_database,
        clock=clock,
        platform=Platform(database=modules_database, clock=clock),
        site=site,
    )
