"""The HTTP server of a process: uvicorn, as one stage among others.

Why not granian, which the design names: embedded in a running event loop it calls itself experimental, and for our
requests it was no faster (docs/decisions/0002-uvicorn.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import uvicorn

from matrixhub.api.patience import Patience, PatientProtocol, sweep
from matrixhub.api.tls import Certificate
from matrixhub.model.errors import PortInUse

BACKLOG = 2048
KEEP_ALIVE_S = 75
RENEW_EVERY_S = 10.0
FILES_LEFT = 512
"""Open files that are not for connections of clients: engines, destinations, logs."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the command's business: it stops all stages in order."""
        yield


class HttpServer:
    """Listens from the moment it is made; serves while `run` runs."""

    name = "http"

    def __init__(
        self,
        host: str,
        port: int,
        grace_s: float,
        patience: Patience | None = None,
        certificate: Certificate | None = None,
        trusted_proxies: Sequence[str] = (),
    ) -> None:
        """Who asks by way of one of `trusted_proxies`, addresses or networks, is whom its X-Forwarded-For names."""
        self._socket = _listen(host, port)
        self._grace_s = grace_s
        self._patience = patience or Patience()
        self._certificate = certificate
        self._trusted_proxies = list(trusted_proxies)
        self.host, self.port = host, int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        """Where it is reached from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        scheme = "http" if self._certificate is None else "https"
        return f"{scheme}://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self.port}"

    async def run(self, app: Any, stop: asyncio.Event) -> None:
        """Serve the application until stop, then end the requests under way."""
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            http=partial(PatientProtocol, _within_files(self._patience)),  # type: ignore[arg-type]
            ws="none",
            server_header=False,
            proxy_headers=bool(self._trusted_proxies),
            forwarded_allow_ips=self._trusted_proxies,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=max(1, int(self._grace_s)),
        )
        if self._certificate is not None:
            config.load()
            config.ssl = self._certificate.context
        server = _Server(config)

        async def end() -> None:
            await stop.wait()
            server.should_exit = True

        tasks = [
            asyncio.create_task(end(), name="http-stop"),
            asyncio.create_task(sweep(server.server_state.connections, self._patience.look_every_s), name="http-sweep"),
            asyncio.create_task(self._renew(), name="http-certificate"),
        ]
        try:
            await server.serve(sockets=[self._socket])
        finally:
            for task in tasks:
                task.cancel()
            self._socket.close()

    async def _renew(self) -> None:
        while self._certificate is not None:
            await asyncio.sleep(RENEW_EVERY_S)
            self._certificate.renew()

    def close(self) -> None:
        """Stop listening, if it never ran."""
        self._socket.close()


def _within_files(patience: Patience) -> Patience:
    """As many connections as the system has files for, once the limit is raised as far as it may be."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return patience
    return replace(patience, connections_max=min(patience.connections_max, max(1, hard - FILES_LEFT)))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Head and body of an answer are two writes; without this the second one waits for the client, 40 ms long. uvloop
    # does so by itself, asyncio for such sockets does not.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise PortInUse(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another with --listen HOST:PORT "
            "(port 0 takes a free one)"
        ) from error
    listener.setblocking(False)
    return listener
