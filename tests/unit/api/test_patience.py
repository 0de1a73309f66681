"""Connections that send or read too slowly, or too much, are let go; others are not."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from matrixhub.api.patience import Patience, Progress, overdue
from matrixhub.api.server import HttpServer

QUICK = Patience(
    head_s=0.3, silence_s=0.3, request_s=1.5, write_s=0.3, head_bytes_max=4096, connections_max=8, look_every_s=0.05
)
LARGE = b"x" * (32 * 1024 * 1024)


@pytest.mark.parametrize(
    "progress, reason",
    [
        (Progress(head_since_s=80.0), "no request"),
        (Progress(head_since_s=90.0), ""),
        (Progress(head_since_s=None), ""),
        (Progress(head_since_s=None, body_since_s=60.0, heard_at_s=65.0), "slow request"),
        (Progress(head_since_s=None, body_since_s=60.0, heard_at_s=99.0), ""),
        (Progress(head_since_s=None, body_since_s=-300.0, heard_at_s=99.0), "slow request"),
        (Progress(head_since_s=None, written_at_s=60.0, unwritten=1), "slow reader"),
        (Progress(head_since_s=None, written_at_s=80.0, unwritten=1), ""),
    ],
)
def test_what_takes_too_long_is_named(progress: Progress, reason: str) -> None:
    assert overdue(progress, Patience(), 100.0) == reason


async def answers_lengths(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """Reads the body, answers with much for /large and with its length otherwise."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    answer = LARGE if scope["path"] == "/large" else str(len(body)).encode()
    head = [(b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": answer})


@dataclass(frozen=True, slots=True)
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def said(self) -> tuple[int, dict[str, Any]]:
        """The status and the document that come before the end of the connection."""
        async with asyncio.timeout(10):
            head, _, body = (await self.reader.read()).partition(b"\r\n\r\n")
        assert b"content-type: application/json" in head
        return int(head.split(b" ")[1]), json.loads(body)


@pytest_asyncio.fixture
async def connect() -> AsyncIterator[Callable[[], Awaitable[Connection]]]:
    server, stop = HttpServer("127.0.0.1", 0, 1.0, QUICK), asyncio.Event()
    serving = asyncio.create_task(server.run(answers_lengths, stop))
    opened: list[asyncio.StreamWriter] = []

    async def connect() -> Connection:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        opened.append(writer)
        return Connection(reader, writer)

    yield connect
    for writer in opened:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    stop.set()
    await serving


Connect = Callable[[], Awaitable[Connection]]


async def test_a_client_that_says_nothing_is_let_go(connect: Connect) -> None:
    assert (await (await connect()).said())[0] == 408


async def test_a_head_that_does_not_end_is_not_waited_for(connect: Connect) -> None:
    slow = await connect()
    slow.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\n")
    assert (await slow.said())[0] == 408


async def test_a_head_that_goes_on_and_on_is_cut_off(connect: Connect) -> None:
    endless = await connect()
    endless.writer.write(b"POST / HTTP/1.1\r\nX-A: " + b"a" * 5000)
    assert (await endless.said())[0] == 431


async def test_a_body_that_stops_coming_is_not_waited_for(connect: Connect) -> None:
    silent = await connect()
    silent.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
    assert (await silent.said())[0] == 408


async def test_a_body_that_drips_is_not_waited_for_without_end(connect: Connect) -> None:
    dripping = await connect()
    dripping.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")

    async def drip() -> None:
        while True:
            dripping.writer.write(b"x")
            await asyncio.sleep(0.1)

    drops = asyncio.create_task(drip())
    with contextlib.suppress(ConnectionResetError):  # an answer may be lost where more comes in after it
        assert (await dripping.said())[0] == 408
    drops.cancel()
    assert dripping.reader.at_eof() or dripping.reader.exception() is not None


async def test_a_client_that_does_not_read_its_answer_is_let_go(connect: Connect) -> None:
    reader, writer = await connect_raw(connect)
    writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
    await asyncio.sleep(1.0)  # not reading is what is tried here
    async with asyncio.timeout(10):
        with contextlib.suppress(OSError):
            assert len(await reader.read(-1)) < len(LARGE)


async def connect_raw(connect: Connect) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    made = await connect()
    made.writer.transport.pause_reading()  # type: ignore[attr-defined]
    asyncio.get_running_loop().call_later(1.0, made.writer.transport.resume_reading)  # type: ignore[attr-defined]
    return made.reader, made.writer


async def test_more_connections_than_allowed_are_answered_503(connect: Connect) -> None:
    for _ in range(QUICK.connections_max):
        await connect()
    assert (await (await connect()).said())[0] == 503


async def test_what_is_not_http_is_told_so_in_json(connect: Connect) -> None:
    confused = await connect()
    confused.writer.write(b"\x16\x03\x01\x02\x00\x01\x00")
    assert await confused.said() == (
        400,
        {"code": "failure", "message": "the request is not HTTP/1.1", "status": 400},
    )


async def test_requests_that_follow_each_other_on_a_connection_are_served(connect: Connect) -> None:
    client = await connect()
    for length in (0, 3, 200_000):
        client.writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length + b"x" * length)
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert b"200" in head.split(b"\r\n")[0]
        assert await client.reader.readexactly(len(str(length))) == str(length).encode()
        await asyncio.sleep(0.5)  # longer than a head may take: between requests nothing is waited for
