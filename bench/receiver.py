"""The customer's endpoint: TLS, HTTP/1.1 and the books of `matrixhub.testing`, and nothing else.

`HttpsReceiver` does the same on aiohttp's server; here the server is a bare protocol, so that the receiver takes as
little as it can of the two cores it shares with what is measured. Every reading is parsed and entered in the ledger.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any, cast

import msgspec
import uvloop

from bench.child import serve
from bench.http1 import Buffer, Message
from bench.readings import STAMP
from matrixhub.testing.ledger import Ledger, NotAReading
from matrixhub.testing.tls import LocalAuthority

TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"
REFUSED = b"HTTP/1.1 422 Unprocessable Content\r\nContent-Length: 0\r\n\r\n"

_items = msgspec.json.Decoder(list[str]).decode


class _Values(msgspec.Struct, gc=False):
    stamp: int = msgspec.field(name=STAMP, default=0)


class _Stamped(msgspec.Struct, gc=False):
    v: _Values


_stamped = msgspec.json.Decoder(_Stamped).decode


class Books:
    """What has come since the books were opened."""

    def __init__(self, *, stamps: bool = False) -> None:
        self.ledger = Ledger()
        self.first_ns = self.last_ns = 0
        self.size_bytes = self.violations = 0
        self.violation = ""
        self.stamps: list[tuple[int, int]] | None = [] if stamps else None

    def take(self, message: Message) -> bool:
        """Enter a request; False if it is not a push as the contract has it."""
        now_ns = time.monotonic_ns()
        request_id = message.header(b"x-request-id").decode()
        try:
            items = _items(message.body)
            self.ledger.record(request_id, items, time.time_ns() / 1e6)
        except (msgspec.DecodeError, NotAReading, ValueError) as error:
            return self._violated(str(error))
        if not items or not request_id:
            return self._violated("no readings, or no X-Request-Id")
        self.first_ns = self.first_ns or now_ns
        self.last_ns = now_ns
        self.size_bytes += len(message.body)
        if self.stamps is not None:
            self.stamps += [(_stamped(item).v.stamp, now_ns) for item in items]
        return True

    def _violated(self, reason: str) -> bool:
        self.violations += 1
        self.violation = reason[:200]
        return False

    def document(self) -> dict[str, Any]:
        """The totals."""
        summary = self.ledger.summary()
        problems = self.ledger.problems()
        if self.violations:
            problems.append(f"{self.violations:,} requests are no pushes: {self.violation}")
        return {
            "distinct": summary.distinct,
            "items": summary.items,
            "requests": summary.requests,
            "duplicates": summary.duplicates,
            "out_of_order": summary.out_of_order,
            "devices": summary.devices,
            "size_bytes": self.size_bytes,
            "first_ns": self.first_ns,
            "last_ns": self.last_ns,
            "problems": problems,
        }


class Receiver:
    """What the benchmark asks of this process."""

    def __init__(self) -> None:
        self._authority = LocalAuthority()
        self._context = self._authority.server_context()
        self._server: asyncio.Server | None = None
        self._port = 0
        self.books = Books()
        self.connections: set[asyncio.Transport] = set()

    async def listen(self) -> dict[str, Any]:
        """Be there, on the same port as before."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                lambda: Connection(self), "127.0.0.1", self._port, ssl=self._context, reuse_address=True
            )
            self._port = self._server.sockets[0].getsockname()[1]
        return {"url": f"https://127.0.0.1:{self._port}/readings", "ca_pem": self._authority.ca_pem}

    async def leave(self) -> dict[str, Any]:
        """Be gone: refuse connections and abort those there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
            for transport in list(self.connections):
                transport.abort()
        return {}

    async def open_books(self, stamps: bool = False) -> dict[str, Any]:
        """Forget what came until now."""
        self.books = Books(stamps=stamps)
        return {}

    async def totals(self) -> dict[str, Any]:
        """What has come since."""
        return self.books.document()

    async def stamps(self) -> dict[str, Any]:
        """For each reading, the stamp it carried and when it came."""
        return {"stamps": self.books.stamps or []}


class Connection(asyncio.Protocol):
    """A connection of a sender."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._buffer = Buffer()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._receiver.connections.add(self._transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._receiver.connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer.feed(data)
        while (message := self._buffer.take()) is not None:
            self._transport.write(TAKEN if self._receiver.books.take(message) else REFUSED)


async def main() -> None:
    """Serve the benchmark."""
    receiver = Receiver()
    await serve(
        {
            "listen": receiver.listen,
            "leave": receiver.leave,
            "open_books": receiver.open_books,
            "totals": receiver.totals,
            "stamps": receiver.stamps,
        }
    )


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
