"""The load: devices that send readings over keep-alive connections, as cheaply as Python can.

Each device has one connection, on which its readings go in order, one request at a time. Requests are made before the
clock starts, but for paced ones, which carry the time they were sent.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec
import uvloop

from bench.child import serve
from bench.http1 import Buffer, Message, request, request_head
from bench.readings import DEVICES, Source

AGAIN_S = 0.05
"""A request the hub cannot take now (429, 503, 507) is sent again after this."""

CONNECT_S = 10.0


class _Receipt(msgspec.Struct):
    accepted: int = 0
    repeated: int = 0
    refused: list[Any] = []


_receipt = msgspec.json.Decoder(_Receipt).decode


class Tally:
    """What the hub answered, over all connections."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.requests = self.accepted = self.repeated = self.refused = self.again = 0
        self.began_ns = self.ended_ns = 0
        self.failure = ""

    def take(self, answer: Message) -> bool:
        """Count an answer; False if the request has to be sent again."""
        self.requests += 1
        self.ended_ns = time.monotonic_ns()
        if answer.status in (429, 503, 507):
            self.again += 1
            return False
        receipt = _receipt(answer.body)
        self.accepted += receipt.accepted
        self.repeated += receipt.repeated
        self.refused += len(receipt.refused)
        if answer.status != 202:
            self.failure = f"the hub answered {answer.status}: {answer.body[:200].decode(errors='replace')}"
        return True

    def document(self) -> dict[str, Any]:
        return dict(vars(self))


class Connection(asyncio.Protocol):
    """A keep-alive connection with one request in flight."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._buffer = Buffer()
        self._requests: Iterator[bytes] = iter(())
        self._flying = b""
        self._waiting: deque[tuple[Callable[[], bytes], Callable[[], None]]] = deque()
        self._answered: Callable[[], None] = _nothing
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.done.set_result(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(f"the hub closed the connection: {error}"))

    def send_all(self, requests: Iterable[bytes]) -> asyncio.Future[None]:
        """Send one after the other; the future is done with the last answer."""
        self.done = asyncio.get_running_loop().create_future()
        self._requests = iter(requests)
        self._send_next()
        return self.done

    def send_when_free(self, make: Callable[[], bytes], answered: Callable[[], None]) -> None:
        """Make and send a request as soon as no other is in flight."""
        self._waiting.append((make, answered))
        if not self._flying:
            self._send_waiting()

    def data_received(self, data: bytes) -> None:
        self._buffer.feed(data)
        answer = self._buffer.take()
        if answer is None:
            return
        if not self._tally.take(answer):
            asyncio.get_running_loop().call_later(AGAIN_S, self._transport.write, self._flying)
            return
        self._flying = b""
        self._answered()
        if self._tally.failure:
            if not self.done.done():
                self.done.set_exception(RuntimeError(self._tally.failure))
        elif self._waiting:
            self._send_waiting()
        elif not self.done.done():
            self._send_next()

    def idle(self) -> asyncio.Future[None]:
        """Done once nothing is in flight. Raises what went wrong."""
        if self.done.done() and self._flying:
            self.done = asyncio.get_running_loop().create_future()
        return self.done

    def close(self) -> None:
        self._transport.close()

    def _send_next(self) -> None:
        self._flying = next(self._requests, b"")
        if self._flying:
            self._transport.write(self._flying)
        else:
            self.done.set_result(None)

    def _send_waiting(self) -> None:
        make, self._answered = self._waiting.popleft()
        self._flying = make()
        self._transport.write(self._flying)


class Generator:
    """What the benchmark asks of this process."""

    def __init__(self) -> None:
        self._source = Source()
        self._connections: list[Connection] = []
        self._tally = Tally()
        self._requests: list[list[bytes]] = []
        self._stamps: list[tuple[int, int]] = []

    async def connect(self, url: str, key: str, connections: int) -> dict[str, Any]:
        """Open the connections and share the devices out among them."""
        where, loop = urlsplit(url), asyncio.get_running_loop()
        self._head = request_head(url, key)
        async with asyncio.timeout(CONNECT_S):
            for _ in range(connections):
                _, made = await loop.create_connection(
                    lambda: Connection(self._tally), str(where.hostname), int(where.port or 80)
                )
                self._connections.append(made)
        return {"connections": len(self._connections)}

    async def prepare(self, readings: int, per_request: int) -> dict[str, Any]:
        """Make so many readings into requests, the same number for each connection but for a remainder."""
        count = len(self._connections)
        share, extra = divmod(readings, count)
        self._requests = [
            [
                request(self._head, body)
                for body in self._source.bodies(range(i, DEVICES, count), share + (i < extra), per_request)
            ]
            for i in range(count)
        ]
        return {"requests": sum(map(len, self._requests))}

    async def send(self) -> dict[str, Any]:
        """Send what was prepared, as fast as it is taken."""
        tally = self._begin()
        requests, self._requests = self._requests, []
        await asyncio.gather(
            *(connection.send_all(part) for connection, part in zip(self._connections, requests, strict=True))
        )
        return tally.document()

    async def pace(self, rate: float, seconds: float) -> dict[str, Any]:
        """Send single readings evenly, all devices in turn; `stamps` are when each was sent and was accepted."""
        tally, total = self._begin(), round(rate * seconds)
        self._stamps = []
        late_ns = 0
        start = time.monotonic_ns() + 1_000_000
        for number in range(total):
            due = start + int(number * 1e9 / rate)
            await _sleep_until(due)
            late_ns = max(late_ns, time.monotonic_ns() - due)
            self._send_stamped(number % DEVICES)
        await asyncio.gather(*(connection.idle() for connection in self._connections))
        if tally.failure:
            raise RuntimeError(tally.failure)
        return {**tally.document(), "stamps": self._stamps, "late_ms": late_ns / 1e6}

    async def close(self) -> dict[str, Any]:
        """Close the connections."""
        for connection in self._connections:
            connection.close()
        self._connections = []
        return {}

    def _begin(self) -> Tally:
        self._tally.clear()
        self._tally.began_ns = time.monotonic_ns()
        return self._tally

    def _send_stamped(self, device: int) -> None:
        sent_ns = 0

        def make() -> bytes:
            nonlocal sent_ns
            sent_ns = time.monotonic_ns()
            return request(self._head, self._source.reading(device, sent_ns))

        def answered() -> None:
            self._stamps.append((sent_ns, time.monotonic_ns()))

        self._connections[device % len(self._connections)].send_when_free(make, answered)


def _nothing() -> None:
    """What an answer means to a connection that only sends on."""


async def _sleep_until(due_ns: int) -> None:
    """Sleep to the moment on CLOCK_MONOTONIC; the event loop's own timers are too coarse for one sleep to do."""
    wait = due_ns - time.monotonic_ns()
    while wait > 0:
        await asyncio.sleep(wait / 1e9)
        wait = due_ns - time.monotonic_ns()


async def main() -> None:
    """Serve the benchmark."""
    generator = Generator()
    await serve(
        {
            "connect": generator.connect,
            "prepare": generator.prepare,
            "send": generator.send,
            "pace": generator.pace,
            "close": generator.close,
        }
    )


if __name__ == "__main__":
    uvloop.run(main())
