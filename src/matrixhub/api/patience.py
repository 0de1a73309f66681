"""How long a connection is waited for: clients that send or read too slowly, or too much, are let go.

The server this builds on waits for a request without end, and takes heads of any size.

Source: docs/decisions/0018-slow-clients.md
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, cast

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

SLICE = 200
"""So many connections are looked at in one go."""

Reason = Literal["", "no request", "slow request", "slow reader"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """The limits of a connection.

    `head_s` is for the first byte of a request to the end of its head (and for a connection until its first byte),
    `silence_s` is how long a body may come without a byte, `request_s` how long it may take as a whole; `write_s` is
    how long the client may read nothing of an answer that waits for it.
    """

    head_s: float = 15.0
    silence_s: float = 30.0
    request_s: float = 300.0
    write_s: float = 30.0
    head_bytes_max: int = 65_536
    connections_max: int = 16_000
    look_every_s: float = 1.0


@dataclass(slots=True)
class Progress:
    """What is known of a connection; instants are monotonic seconds, None where it does not wait for that."""

    head_since_s: float | None
    body_since_s: float | None = None
    heard_at_s: float = 0.0
    written_at_s: float | None = None
    unwritten: int = 0


def overdue(progress: Progress, patience: Patience, now_s: float) -> Reason:
    """Why the connection is to be let go, '' where it is not.

    >>> overdue(Progress(head_since_s=0.0), Patience(head_s=15.0), 16.0)
    'no request'
    >>> overdue(Progress(head_since_s=None, body_since_s=0.0, heard_at_s=20.0), Patience(silence_s=30.0), 40.0)
    ''
    """
    if progress.head_since_s is not None and now_s - progress.head_since_s > patience.head_s:
        return "no request"
    if progress.body_since_s is not None and (
        now_s - progress.heard_at_s > patience.silence_s or now_s - progress.body_since_s > patience.request_s
    ):
        return "slow request"
    if progress.written_at_s is not None and now_s - progress.written_at_s > patience.write_s:
        return "slow reader"
    return ""


class PatientProtocol(HttpToolsProtocol):
    """A connection that says how it gets on."""

    def __init__(self, patience: Patience, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._patience = patience
        self._head_bytes = 0
        self.progress = Progress(head_since_s=time.monotonic())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take it, unless there are too many."""
        super().connection_made(cast(asyncio.Transport, transport))
        if len(self.connections) > self._patience.connections_max:
            self._refuse(503, "there are too many connections")

    def data_received(self, data: bytes) -> None:
        """Note that something came."""
        now_s = time.monotonic()
        self.progress.heard_at_s = now_s
        if self.progress.body_since_s is None:
            if self.progress.head_since_s is None:
                self.progress.head_since_s = now_s
            self._head_bytes += len(data)
        super().data_received(data)
        if self.progress.head_since_s is not None and self._head_bytes > self._patience.head_bytes_max:
            self._refuse(431, f"the head of the request is larger than {self._patience.head_bytes_max:,} bytes")

    def on_message_begin(self) -> None:
        """The head of a request begins."""
        super().on_message_begin()
        if self.progress.head_since_s is None:
            self.progress.head_since_s = time.monotonic()

    def on_headers_complete(self) -> None:
        """The head is there, the body begins."""
        super().on_headers_complete()
        self.progress.head_since_s = None
        self._head_bytes = 0
        self.progress.body_since_s = self.progress.heard_at_s

    def on_message_complete(self) -> None:
        """The request is there."""
        super().on_message_complete()
        self.progress.body_since_s = None

    def pause_writing(self) -> None:
        """The client does not read as fast as it is written to."""
        super().pause_writing()
        self.progress.written_at_s = None  # from when it is waited for is found by the next look

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP is told so in JSON, as everything else is."""
        self._refuse(400, "the request is not HTTP/1.1")

    @property
    def waits(self) -> bool:
        """Whether anything is waited for; between two requests nothing is."""
        progress = self.progress
        return progress.head_since_s is not None or progress.body_since_s is not None or self.flow.write_paused

    def look(self, now_s: float) -> None:
        """See how the connection gets on, and end it where that takes too long."""
        if self.transport.is_closing():
            return
        if self.flow.read_paused and self.progress.body_since_s is not None:
            self.progress.heard_at_s = now_s  # it is us who do not read
        unwritten = self.transport.get_write_buffer_size() if self.flow.write_paused else 0
        if not unwritten:
            self.progress.written_at_s = None
        elif self.progress.written_at_s is None or unwritten != self.progress.unwritten:
            self.progress.written_at_s = now_s
        self.progress.unwritten = unwritten
        match overdue(self.progress, self._patience, now_s):
            case "":
                pass
            case "slow reader":
                self.transport.abort()  # what waits for it would be waited for once more
            case reason:
                self._refuse(408, f"{reason}: it takes too long")

    def _refuse(self, status: int, detail: str) -> None:
        """Say why, where an answer can still be given, and hang up."""
        if self.transport.is_closing():
            return
        if self._may_answer():
            document = {"code": "failure", "message": detail, "status": status}
            body = msgspec.json.encode(document)
            head = f"HTTP/1.1 {status} \r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
            self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self.transport.close()

    def _may_answer(self) -> bool:
        """Whether the client waits for an answer that has not begun."""
        cycle: Any = self.cycle  # None before the first request, whatever its type says
        if cycle is None:
            return True
        if self.progress.body_since_s is not None:
            return not cycle.response_started
        return bool(cycle.response_complete)


async def sweep(connections: Collection[Any], every_s: float) -> None:
    """Look at all connections again and again, until it is cancelled.

    A few at a time, spread over the interval: a request meets at most one of these looks on its way.
    """
    while True:
        found = list(connections)
        pause_s = every_s / max(1, -(-len(found) // SLICE))
        for start in range(0, max(1, len(found)), SLICE):
            await asyncio.sleep(pause_s)
            now_s = time.monotonic()
            for connection in found[start : start + SLICE]:
                if isinstance(connection, PatientProtocol) and connection.waits:
                    connection.look(now_s)
