"""What all tests share: examples that are the same in every run, who is to blame for a leak, and running engines."""

import gc
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings
from tests.customer_server import CustomerServer, open_customer_server
from tests.engines import SharedEngines, open_shared_engines

settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")


def pytest_collection_finish() -> None:
    """Leave all that is there once the tests are imported out of every collection, which makes each one quick."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def collected() -> Iterator[None]:
    """What a module leaves open is found at its end: else a test that did nothing is failed for it, at another time."""
    yield
    gc.collect()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_engines() -> AsyncIterator[SharedEngines]:
    """The engines of this process, from the first test that asks for them."""
    async with open_shared_engines() as engines:
        yield engines


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def customer_server() -> AsyncIterator[CustomerServer]:
    """A customer's own PostgreSQL with TLS, from the first test that asks for it; skips where there is none."""
    async with open_customer_server() as server:
        yield server
