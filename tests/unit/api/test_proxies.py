"""Who asks by way of a proxy is whom the proxy names, where the operator trusts it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from matrixhub.api.server import HttpServer
from matrixhub.config import load_settings
from matrixhub.model.errors import ConfigurationError


async def tells_who_asks(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    body = str(scope["client"][0]).encode()
    head = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def who_asks(trusted: list[str], forwarded: str) -> str:
    """Whom the application takes for who asks, from loopback with this header."""
    server, stop = HttpServer("127.0.0.1", 0, 1.0, trusted_proxies=trusted), asyncio.Event()
    serving = asyncio.create_task(server.run(tells_who_asks, stop))
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: {forwarded}\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    stop.set()
    await serving
    return answer.partition(b"\r\n\r\n")[2].decode()


async def test_a_proxy_that_is_not_trusted_names_nobody() -> None:
    assert await who_asks([], "192.0.2.7") == "127.0.0.1"
    assert await who_asks(["10.0.0.5"], "192.0.2.7") == "127.0.0.1"


async def test_a_trusted_proxy_names_who_asks_but_not_whom_the_client_claims_to_be() -> None:
    assert await who_asks(["127.0.0.1"], "192.0.2.7") == "192.0.2.7"
    assert await who_asks(["127.0.0.0/8"], "203.0.113.9, 192.0.2.7, 127.0.0.2") == "192.0.2.7"


def test_a_proxy_is_an_address_or_a_network() -> None:
    with pytest.raises(ConfigurationError, match="trusted_proxies"):
        load_settings(None, {}, {"http.trusted_proxies": ["proxy.example"]})
