"""Which port an engine gets."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from matrixhub.engines.ports import CHOICES, engine_port, is_free
from matrixhub.model.errors import PortInUse


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on: this one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_free_port_is_chosen_below_those_of_outgoing_connections() -> None:
    port = engine_port("nats", configured=0, remembered=None, taken=())
    assert port in CHOICES
    assert is_free(port)


def test_the_remembered_port_is_kept() -> None:
    free = engine_port("nats", configured=0, remembered=None, taken=())
    assert engine_port("nats", configured=0, remembered=free, taken=()) == free


def test_a_remembered_port_that_is_taken_is_replaced(taken: int) -> None:
    assert engine_port("nats", configured=0, remembered=taken, taken=()) != taken


def test_a_remembered_port_that_the_other_engine_has_is_replaced() -> None:
    free = engine_port("nats", configured=0, remembered=None, taken=())
    assert engine_port("nats", configured=0, remembered=free, taken=(free,)) != free


def test_a_configured_port_that_is_taken_is_explained(taken: int) -> None:
    with pytest.raises(PortInUse) as refused:
        engine_port("nats", configured=taken, remembered=None, taken=())
    assert f"Port {taken}" in refused.value.message
    assert "MATRIXHUB_ENGINES__NATS__PORT" in refused.value.message
