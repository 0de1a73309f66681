"""A thousand customers on one port: an endpoint for each path `/<number>`, some of which hang or reset.

When a reading came, or an event of an incident, is entered by its stamp, for each endpoint.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time
from typing import Any, Literal, cast

import msgspec
import uvloop

from bench.child import serve
from bench.http1 import Buffer, Message
from bench.readings import STAMP
from matrixhub.testing.tls import LocalAuthority

Manner = Literal["take", "hang", "reset"]

TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"
_RESET = struct.pack("ii", 1, 0)


class _Values(msgspec.Struct, gc=False):
    stamp: int = msgspec.field(name=STAMP, default=0)


class _Reading(msgspec.Struct, gc=False):
    v: _Values


class _Meta(msgspec.Struct, gc=False):
    Name: str = "0"


class _Event(msgspec.Struct, gc=False):
    Meta: _Meta


_items = msgspec.json.Decoder(list[str]).decode
_reading = msgspec.json.Decoder(_Reading).decode
_events = msgspec.json.Decoder(list[_Event]).decode


def _stamps(body: bytes) -> list[int]:
    """The stamps of readings, which are strings, or of events, which are objects."""
    if body[:2] == b"[{":
        return [int(event.Meta.Name) for event in _events(body)]
    return [_reading(item).v.stamp for item in _items(body)]


class Crowd:
    """What the benchmark asks of this process."""

    def __init__(self) -> None:
        self._authority = LocalAuthority()
        self._context = self._authority.server_context("localhost", "127.0.0.1")
        self._manners: dict[int, Manner] = {}
        self.arrivals: list[tuple[int, int, int]] = []
        self.hung = self.reset = 0

    async def listen(self) -> dict[str, Any]:
        """Be there."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Guest(self), "127.0.0.1", 0, ssl=self._context, backlog=4096)
        self._server = server
        port = server.sockets[0].getsockname()[1]
        return {"url": f"https://127.0.0.1:{port}", "ca_pem": self._authority.ca_pem}

    async def behave(self, hang: list[int], reset: list[int]) -> dict[str, Any]:
        """Which endpoints never answer, and which reset; all others take what comes."""
        self._manners = {**dict.fromkeys(hang, "hang"), **dict.fromkeys(reset, "reset")}
        return {}

    async def take_arrivals(self) -> dict[str, Any]:
        """Endpoint, stamp and time of every reading that came since this was asked before."""
        taken, self.arrivals = self.arrivals, []
        return {"arrivals": taken, "hung": self.hung, "reset": self.reset}

    async def count(self) -> dict[str, Any]:
        """How many came since."""
        return {"count": len(self.arrivals)}

    def take(self, message: Message) -> Manner:
        """Enter a request, or not."""
        number = int(message.start.split(b" ", 2)[1].rpartition(b"/")[2])
        manner = self._manners.get(number, "take")
        if manner == "take":
            now_ns = time.monotonic_ns()
            self.arrivals += [(number, stamp, now_ns) for stamp in _stamps(message.body)]
        self.hung += manner == "hang"
        self.reset += manner == "reset"
        return manner


class Guest(asyncio.Protocol):
    """A connection of the hub."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._buffer = Buffer()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer.feed(data)
        while (message := self._buffer.take()) is not None:
            manner = self._crowd.take(message)
            if manner == "take":
                self._transport.write(TAKEN)
            elif manner == "reset":
                peer = self._transport.get_extra_info("socket")
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                self._transport.abort()
                return


async def main() -> None:
    """Serve the benchmark."""
    crowd = Crowd()
    await serve(
        {
            "listen": crowd.listen,
            "behave": crowd.behave,
            "take_arrivals": crowd.take_arrivals,
            "count": crowd.count,
        }
    )


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
