"""What all tests share: examples of property tests that are the same in every run, and who is to blame for a leak."""

import gc
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

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
