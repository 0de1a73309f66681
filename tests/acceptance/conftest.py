"""One hub for all tests of a process that leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.acceptance.hub import Hub, Model, quick_commands


@pytest.fixture(scope="session", autouse=True)
def model(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> None:
    """Hubs begin as copies of one, which is made once for all processes of a run."""
    own = tmp_path_factory.getbasetemp()
    Hub.model = Model((own if worker_id == "master" else own.parent) / "hub")


@pytest.fixture(scope="session", autouse=True)
def commands() -> Iterator[None]:
    """Commands start at once."""
    with quick_commands():
        yield


@pytest.fixture(scope="session")
def hub() -> Iterator[Hub]:
    """A running hub that gives up on a receiver after a second."""
    settings = {
        "MATRIXHUB_DELIVERIES__CONNECT_TIMEOUT_S": "1",
        "MATRIXHUB_DELIVERIES__TOTAL_TIMEOUT_S": "1",
    }
    with Hub.started(settings) as hub:
        yield hub
