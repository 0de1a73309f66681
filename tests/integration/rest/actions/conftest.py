"""A property with a building full of slots, and a client that calls operations on it."""

from __future__ import annotations

import pytest_asyncio
from tests.integration.rest.actions.matrix import Matrix
from tests.integration.rest.rig import SEEDS, Rig

from matrixhub.lifecycle import SystemClock
from matrixhub.modules.work import Platform
from matrixhub.modules.workforce.seats import create_seat
from matrixhub.sources.sites import make_site
from matrixhub.store.sites import apply_site


@pytest_asyncio.fixture(loop_scope="session")
async def matrix(rig: Rig) -> Matrix:
    """A property of its own for each test: one building, sixteen slots of every type, one seat."""
    site = make_site(16, seed=next(SEEDS))
    await apply_site(rig.database, site, remove=False)
    platform = Platform(database=rig.database, clock=SystemClock())
    seat = await create_seat(platform, site.property.id, name="Ann Lee", actor="ann")
    client = await rig.client(site.property.id)
    return Matrix(rig=rig, client=client, site=site, platform=platform, seat_id=seat.id)
