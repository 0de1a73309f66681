"""One PostgreSQL for the tests of the modules, a property in it, and a clock that the test owns."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from tests.engines import SharedEngines
from tests.integration.modules.rig import TABLES, World

from matrixhub.modules.work import Platform
from matrixhub.sources.sites import make_site
from matrixhub.store import Database, open_database
from matrixhub.store.sites import apply_site
from matrixhub.testing.fakes import FakeClock


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def modules_dsn(shared_engines: SharedEngines) -> str:
    return (await shared_engines.new_database()).socket


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
