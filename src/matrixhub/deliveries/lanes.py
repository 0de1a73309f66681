"""A stretch of the stream sent in several pushes: side by side by device, or only the newest of each device.

Pure, and the same for the same stretch every time, so that a new owner sends the same parts.
Source: docs/contract/data-push.md §5
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

import msgspec

from matrixhub.deliveries.plan import FRAME_BYTES, Batch, Span
from matrixhub.model.policy import BatchLimits
from matrixhub.model.subscription import Position

PARTS_MAX = 60
"""As many parts of a stretch can be told apart in the `lanes_done` of its subscription, with room to spare."""


class _Device(msgspec.Struct, gc=False):
    DEVID: str = ""
    DevType: str = ""


_text_of = msgspec.json.Decoder(str).decode
_device_of = msgspec.json.Decoder(_Device).decode

Line = tuple[bytes, Span]
"""A reading and where it lies."""


def by_device(stretch: Batch, lanes: int, limits: BatchLimits, frame_bytes: int = FRAME_BYTES) -> list[list[Batch]]:
    """The pushes of each lane, in order; a device is always in the same lane. Lanes may be empty."""
    found: list[list[Line]] = [[] for _ in range(lanes)]
    for line in _lines(stretch):
        found[zlib.crc32(device_of(line[0])[0].encode()) % lanes].append(line)
    start, end = stretch.start, stretch.end
    return [in_parts(found[lane], start, end, limits, f"{lane}of{lanes}", frame_bytes) for lane in range(lanes)]


def in_pushes(stretch: Batch, limits: BatchLimits, name: str, frame_bytes: int = FRAME_BYTES) -> list[Batch]:
    """The stretch in pushes within the limits, as a part of that name; one, unless the limits were lowered."""
    return in_parts(list(_lines(stretch)), stretch.start, stretch.end, limits, name, frame_bytes)


class Newest:
    """The newest reading of each device in a stretch that grows; how many older ones it passes over."""

    def __init__(self, start: Position, limits: BatchLimits, frame_bytes: int = FRAME_BYTES) -> None:
        self.skipped = 0
        self.end = start
        self.start = start
        self._limits = limits
        self._frame_bytes = frame_bytes
        self._lines: dict[tuple[str, str], Line] = {}
        self._size = 0

    @property
    def room(self) -> bool:
        """Whether the stretch may grow."""
        half = PARTS_MAX // 2
        return len(self._lines) < half * self._limits.items and self._size < half * self._limits.size_bytes

    def add(self, batch: Batch) -> None:
        """Let the stretch grow by what follows."""
        for line in _lines(batch):
            device = device_of(line[0])
            before = self._lines.pop(device, None)  # a newer one goes to the end
            if before is not None:
                self.skipped += 1
                self._size -= len(before[0])
            self._lines[device] = line
            self._size += len(line[0])
        self.end = batch.end

    def stretch(self) -> Batch:
        """All of it, newest first."""
        lines = list(reversed(self._lines.values()))
        return Batch([string for string, _ in lines], [span for _, span in lines], self.start, self.end)

    def parts(self) -> list[Batch]:
        """The pushes, newest first."""
        lines = list(reversed(self._lines.values()))
        return in_parts(lines, self.start, self.end, self._limits, "newest", self._frame_bytes)


def device_of(string: bytes) -> tuple[str, str]:
    """Id and type of the device of a reading that is escaped to be a JSON string; empty where it names none."""
    try:
        device = _device_of(_text_of(b'"' + string + b'"').encode())
    except msgspec.DecodeError:
        return "", ""
    return device.DEVID, device.DevType


def in_parts(
    lines: Sequence[Line],
    start: Position,
    end: Position,
    limits: BatchLimits,
    name: str,
    frame_bytes: int = FRAME_BYTES,
) -> list[Batch]:
    """The lines in pushes within the limits, all of the stretch from start to end.

    Each is named for the lines it holds, so that under other limits other pushes have other names.
    """
    found: list[Batch] = []
    strings: list[bytes] = []
    spans: list[Span] = []
    size, first = 1, 0
    for number, (string, span) in enumerate(lines):
        if strings and (len(strings) >= limits.items or size + len(string) + frame_bytes > limits.size_bytes):
            found.append(Batch(strings, spans, start, end, f"{name}.{first}-{number}"))
            strings, spans, size, first = [], [], 1, number
        strings.append(string)
        spans.append(span)
        size += len(string) + frame_bytes
    if strings:
        found.append(Batch(strings, spans, start, end, f"{name}.{first}-{len(lines)}"))
    return found


def _lines(batch: Batch) -> Iterable[Line]:
    spans = (Span(span.seq, (number,), span.stored_ms) for span in batch.spans for number in span.numbers)
    return zip(batch.strings, spans, strict=True)
