"""Listening sockets that know the connections they let in, so that a server can end with all of them.

asyncio forgets the connections that came through a server when that is closed (Python 3.13 is the first to remember
them). aiohttp knows neither those in their TLS handshake nor those whose goodbye the other side has yet to answer, for
which it has 30 s. A loop that is closed meanwhile leaves their sockets open; whoever collects the garbage is blamed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import weakref
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

BACKLOG = 1024
_END_S = 5.0


class Listener(socket.socket):
    """A listening socket: shut it, close the server that takes its connections and with it the socket, then end it."""

    def __init__(self, address: Any, family: int = socket.AF_INET) -> None:
        super().__init__(family, socket.SOCK_STREAM)
        self._let_in: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._is_shut = False
        try:
            self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                self.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self.bind(address)
            self.listen(BACKLOG)
            self.setblocking(False)
        except BaseException:
            self.close()
            raise

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.getsockname()[1])

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection, as every socket has it."""
        if self._is_shut:
            raise BlockingIOError
        connection, address = super().accept()
        self._let_in.add(connection)
        return connection, address

    async def shut(self) -> None:
        """Let nobody in any more; a server that closes now has begun with all it was given, which asyncio relies on."""
        self._is_shut = True
        await asyncio.sleep(0)

    async def end(self) -> None:
        """End the connections, in whatever state they are; returns when the last one is closed.

        Raises: TimeoutError if one stays open.
        """
        await asyncio.sleep(0)  # those that are aborted are closed in the loop's next turn
        for connection in self._open():
            with contextlib.suppress(OSError):  # the other side was faster
                connection.shutdown(socket.SHUT_RDWR)
        async with asyncio.timeout(_END_S):
            while self._open():  # noqa: ASYNC110 - a turn or two of the loop, in which it hears of the end
                await asyncio.sleep(0)

    def _open(self) -> list[socket.socket]:
        return [connection for connection in self._let_in if connection.fileno() >= 0]


async def listen(host: str, port: int) -> list[Listener]:
    """A listener for every address of the host, in the order of the resolver; for all addresses if host is empty.

    Raises: OSError if one of them cannot be had; then none is kept.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listeners: list[Listener] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            listeners.append(Listener(address, family))
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


@contextlib.asynccontextmanager
async def serve_app(app: web.Application, context: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[int]:
    """The port on 127.0.0.1 of a served application, over TLS if there is a context; no connection outlives it.

    Shape:  options are those of `aiohttp.web.AppRunner`
    """
    runner = web.AppRunner(app, **{"access_log": None, "shutdown_timeout": 1.0, **options})
    await runner.setup()
    listener = Listener(("127.0.0.1", 0))
    try:
        await web.SockSite(runner, listener, ssl_context=context, backlog=BACKLOG).start()
        yield listener.port
    finally:
        await listener.shut()
        await runner.cleanup()
        await listener.end()
