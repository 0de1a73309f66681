"""Which TCP ports the engines listen on."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection

import psutil

from matrixhub.model.errors import EngineError, PortInUse

LOOPBACK = "127.0.0.1"
CHOICES = range(15_000, 30_000)
"""Below the ports that systems give to outgoing connections, which could otherwise take one while an engine is away."""
CHOICE_TRIES = 200


def engine_port(engine: str, *, configured: int, remembered: int | None, taken: Collection[int]) -> int:
    """The port for an engine: the configured one, else the one it had last, else a free one.

    Raises: PortInUse if the configured one belongs to another program.
    """
    if configured:
        if configured in taken or not is_free(configured):
            raise PortInUse(
                f"Port {configured} for {engine} is in use{_holder(configured)}. "
                f"Set engines.{engine}.port (MATRIXHUB_ENGINES__{engine.upper()}__PORT) to another one, "
                "or to 0 for a free one"
            )
        return configured
    if remembered and remembered not in taken and is_free(remembered):
        return remembered
    for port in random.sample(CHOICES, CHOICE_TRIES):
        if port not in taken and is_free(port):
            return port
    raise EngineError(f"There is no free TCP port for {engine} between {CHOICES.start} and {CHOICES.stop - 1}")


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def _holder(port: int) -> str:
    """Who listens on the port, as far as we may know, to put behind "in use"."""
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if listens and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:
        pass  # other users' connections are hidden on some systems; the message does without the name
    return ""
