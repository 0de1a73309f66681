"""One hub for all tests of a process that leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.acceptance.hub import Hub


@pytest.fixture(scope="session")
def hub() -> Iterator[Hub]:
    """A running hub that gives up on a receiver after a second."""
    settings = {
        "MATRIXHUB_DELIVERIES__CONNECT_TIMEOUT_S": "1",
        "MATRIXHUB_DELIVERIES__TOTAL_TIMEOUT_S": "1",
    }
    with Hub.started(settings) as hub:
        yield hub
