"""Servers of ours end with all their connections, in whatever state these are."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager

import psutil
import pytest
from aiohttp import web

from matrixhub.testing.listener import Listener, listen, serve_app
from matrixhub.testing.receiver import HttpsReceiver
from matrixhub.testing.tls import LocalAuthority
from matrixhub.testing.token_server import TokenIssuer, TokenServer

AUTHORITY = LocalAuthority()
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

Server = Callable[[], AbstractAsyncContextManager[int]]
"""Its context gives the port."""


@asynccontextmanager
async def app() -> AsyncIterator[int]:
    async with serve_app(web.Application(), AUTHORITY.server_context()) as port:
        yield port


@asynccontextmanager
async def receiver() -> AsyncIterator[int]:
    async with HttpsReceiver(authority=AUTHORITY) as made:
        yield int(made.url.rpartition(":")[2].partition("/")[0])


@asynccontextmanager
async def token_server() -> AsyncIterator[int]:
    async with TokenServer(TokenIssuer({}), authority=AUTHORITY) as made:
        yield int(made.url.rpartition(":")[2].partition("/")[0])


def silent(port: int) -> socket.socket:
    """A client that connects and does not begin its TLS handshake."""
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def rude(port: int) -> socket.socket:
    """A client that has had an answer, keeps its connection and answers no goodbye."""
    client = AUTHORITY.client_context().wrap_socket(silent(port), server_hostname="127.0.0.1")
    client.sendall(REQUEST)
    assert client.recv(65_536).startswith(b"HTTP/1.1 4")
    return client


def held_at(port: int) -> int:
    """How many connections this process has at the port's side of them."""
    found = psutil.Process().net_connections("tcp")
    return sum(one.laddr.port == port and one.status != psutil.CONN_LISTEN for one in found)


@pytest.mark.parametrize("server", [app, receiver, token_server])
@pytest.mark.parametrize("connect", [silent, rude])
async def test_no_connection_outlives_its_server(server: Server, connect: Callable[[int], socket.socket]) -> None:
    with ExitStack() as clients:
        async with server() as port:
            for _ in range(3):
                clients.enter_context(await asyncio.to_thread(connect, port))
            async with asyncio.timeout(5):
                while held_at(port) < 3:  # noqa: ASYNC110 - the loop has yet to accept the last one
                    await asyncio.sleep(0)
        assert held_at(port) == 0


async def test_a_server_that_speaks_no_http_ends_with_its_connections_too() -> None:
    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()

    listener = Listener(("127.0.0.1", 0))
    server = await asyncio.start_server(hear, sock=listener)
    port = listener.port
    with await asyncio.to_thread(silent, port):
        await listener.shut()
        server.close()
        await listener.end()
        assert held_at(port) == 0


async def test_every_address_of_a_host_is_listened_at() -> None:
    listeners = await listen("localhost", 0)
    try:
        wanted = {row[4][0] for row in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
        assert {listener.getsockname()[0] for listener in listeners} == wanted
    finally:
        for listener in listeners:
            listener.close()


async def test_of_a_host_with_a_taken_address_nothing_is_kept() -> None:
    with Listener(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        await listen("127.0.0.1", taken.port)
