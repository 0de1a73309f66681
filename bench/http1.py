"""Just enough HTTP/1.1 to cost a load generator and a receiver next to nothing."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Message:
    """A request or an answer; the names in `head` are in lower case, `size` is what it took of the buffer."""

    start: bytes
    head: bytes
    body: bytes
    size: int

    @property
    def status(self) -> int:
        """The status of an answer."""
        return int(self.start[9:12])

    def header(self, name: bytes) -> bytes:
        """The value of a header, empty if it is missing."""
        return header_value(self.head, name)


def header_value(head: bytes, name: bytes) -> bytes:
    """The value of a header in a head whose names are in lower case.

    >>> header_value(b"post / http/1.1\\r\\nhost: a\\r\\ncontent-length: 12\\r\\n", b"content-length")
    b'12'
    """
    at = head.find(b"\r\n" + name + b":")
    if at < 0:
        return b""
    at += len(name) + 3
    end = head.find(b"\r\n", at)
    return head[at : end if end >= 0 else len(head)].strip()


class Buffer:
    """Bytes of a connection, out of which messages are taken once they are whole."""

    __slots__ = ("_held", "_needed")

    def __init__(self) -> None:
        self._held = bytearray()
        self._needed = 0

    def feed(self, data: bytes) -> None:
        """More bytes have come."""
        self._held += data

    def take(self) -> Message | None:
        """The next message, or None if more bytes are needed. Raises: ValueError if it is none."""
        held = self._held
        if len(held) < self._needed:
            return None
        end = held.find(b"\r\n\r\n")
        if end < 0:
            return None
        start, _, head = bytes(held[: end + 2]).partition(b"\r\n")
        head = b"\r\n" + head.lower()
        length = header_value(head, b"content-length")
        if length:
            self._needed = end + 4 + int(length)
            if len(held) < self._needed:
                return None
            body = bytes(held[end + 4 : self._needed])
            size = self._needed
        elif header_value(head, b"transfer-encoding") == b"chunked":
            whole = _unchunked(held, end + 4)
            if whole is None:
                return None
            body, size = whole
        else:
            body, size = b"", end + 4
        del held[:size]
        self._needed = 0
        return Message(start, head, body, size)


def _unchunked(held: bytearray, at: int) -> tuple[bytes, int] | None:
    """The body of chunks and where it ends, or None if its end has not come."""
    parts = bytearray()
    while True:
        line = held.find(b"\r\n", at)
        if line < 0:
            return None
        length = int(held[at:line], 16)
        following = line + 2 + length + 2
        if len(held) < following:
            return None
        if length == 0:
            return bytes(parts), following
        parts += held[line + 2 : line + 2 + length]
        at = following


def request_head(url: str, key: str) -> bytes:
    """The head of a POST of readings up to the value of Content-Length."""
    where = urlsplit(url)
    return (
        f"POST /hub/v1/readings HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {key}\r\n"
        "Content-Type: application/json\r\nContent-Length: "
    ).encode()


def request(head: bytes, body: bytes) -> bytes:
    """The whole request."""
    return b"%b%d\r\n\r\n%b" % (head, len(body), body)
