"""A client of Matrix Web Services: many connections, each request signed anew, answers counted but not kept."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import sys
import time
from typing import Any
from urllib.parse import urlencode, urlsplit

import uvloop

from bench.child import serve
from bench.http1 import header_value

_ANSWER_WAIT_S = 30.0


class Call:
    """An operation that is called again and again."""

    def __init__(self, url: str, service: str, query: dict[str, str], body: str, key: dict[str, str]) -> None:
        where = urlsplit(url)
        self._query = query
        self._service = service
        self._key = key
        self.host, self.port = where.hostname or "", where.port or 80
        self._start = (
            f"POST /prod/v2/{service}/v1/actions?{urlencode(query)} HTTP/1.1\r\nHost: {where.netloc}\r\n"
            "Content-Type: application/json\r\nx-sc-identity: external\r\n"
        )
        self._body = body

    def request(self) -> bytes:
        """One request, signed now. Source: docs/contract/web-services.md §3.1"""
        now, access = int(time.time()), self._key["access_key"]
        text = f"{self._service}/{self._query['propid']}/{self._query['op']}/{access}/{now}"
        signature = hmac.new(self._key["secret"].encode(), text.encode(), hashlib.sha256).hexdigest()
        return (
            f"{self._start}x-sc-time: {now}\r\nAuthorization: SCHMAC_V1;{access};{signature}\r\n"
            f"Content-Length: {len(self._body)}\r\n\r\n{self._body}"
        ).encode()


class Line(asyncio.Protocol):
    """A connection with one request under way at most."""

    def __init__(self) -> None:
        self._held = b""
        self._left = 0
        self._status = 0
        self._answered: asyncio.Future[int] | None = None
        self._transport: Any = None
        self.received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = transport

    async def ask(self, request: bytes) -> int:
        """The status of the answer, once all of it has come."""
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        async with asyncio.timeout(_ANSWER_WAIT_S):
            return await self._answered

    def data_received(self, data: bytes) -> None:
        """Count what has come."""
        self.received += len(data)
        if not self._left:
            self._held += data
            end = self._held.find(b"\r\n\r\n")
            if end < 0:
                return
            head, body = self._held[:end].lower() + b"\r\n", self._held[end + 4 :]
            self._status = int(head[9:12])
            self._left = int(header_value(head, b"content-length") or 0)
            self._held, data = b"", body
        self._left -= len(data)
        if self._left == 0 and self._answered is not None and not self._answered.done():
            self._answered.set_result(self._status)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(ConnectionError(str(exc or "closed")))

    def close(self) -> None:
        """Hang up."""
        self._transport.close()


class Caller:
    """What the benchmark asks of this process."""

    def __init__(self) -> None:
        self._idle: list[Line] = []

    async def call(
        self,
        url: str,
        service: str,
        query: dict[str, str],
        body: str,
        key: dict[str, str],
        connections: int,
        seconds: float,
    ) -> dict[str, Any]:
        """As many calls as there can be, on so many connections."""
        call = Call(url, service, query, body, key)
        lines = [await _line(call) for _ in range(connections)]
        for line in lines:
            await line.ask(call.request())
        began = time.perf_counter()
        received = sum(line.received for line in lines)
        times: list[float] = []
        statuses: dict[int, int] = {}

        async def repeat(line: Line) -> None:
            while (sent_at := time.perf_counter()) - began < seconds:
                status = await line.ask(call.request())
                times.append(time.perf_counter() - sent_at)
                statuses[status] = statuses.get(status, 0) + 1

        await asyncio.gather(*(repeat(line) for line in lines))
        took_s = time.perf_counter() - began
        for line in lines:
            line.close()
        size = (sum(line.received for line in lines) - received) // max(1, len(times))
        return {"calls": len(times), "took_s": took_s, "statuses": statuses, "size_bytes": size, **_percentiles(times)}

    async def pace(
        self, url: str, service: str, query: dict[str, str], body: str, key: dict[str, str], rate: float, seconds: float
    ) -> dict[str, Any]:
        """Calls at an even rate, whether or not those before were answered; from sent to answered."""
        call = Call(url, service, query, body, key)
        free: list[Line] = [await _line(call) for _ in range(16)]
        for line in free:
            await line.ask(call.request())
        times: list[float] = []
        statuses: dict[int, int] = {}

        async def once() -> None:
            line = free.pop() if free else await _line(call)
            sent_at = time.perf_counter()
            status = await line.ask(call.request())
            times.append(time.perf_counter() - sent_at)
            statuses[status] = statuses.get(status, 0) + 1
            free.append(line)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for turn in range(round(rate * seconds)):
                await asyncio.sleep(max(0.0, began + turn / rate - time.perf_counter()))
                group.create_task(once())
        for line in free:
            line.close()
        return {"calls": len(times), "statuses": statuses, **_percentiles(times)}

    async def open(
        self, url: str, service: str, query: dict[str, str], body: str, key: dict[str, str], connections: int
    ) -> dict[str, Any]:
        """So many connections, each of which was used once, and stays open."""
        call = Call(url, service, query, body, key)
        for start in range(0, connections, 100):
            lines = await asyncio.gather(*(_line(call) for _ in range(start, min(start + 100, connections))))
            for line in lines:
                await line.ask(call.request())
            self._idle += lines
        return {"open": len(self._idle)}


async def _line(call: Call) -> Line:
    _, line = await asyncio.get_running_loop().create_connection(Line, call.host, call.port)
    return line


def _percentiles(times: list[float]) -> dict[str, float]:
    ascending = sorted(times)
    return {
        name: ascending[min(len(ascending) - 1, int(len(ascending) * share))] * 1000
        for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99), ("highest_ms", 1.0))
    }


async def main() -> None:
    """Do what is asked until the benchmark ends."""
    caller = Caller()
    await serve({"call": caller.call, "pace": caller.pace, "open": caller.open})


if __name__ == "__main__":
    uvloop.run(main())
    sys.exit(0)
