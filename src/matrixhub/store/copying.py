"""Readings as `COPY … (format binary)` takes them.

The driver would encode value by value, which takes longer than to take the lines apart; PostgreSQL would parse the
instants of the text format, and look for what is escaped in it.
Source: PostgreSQL, "COPY", section "Binary Format"
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping

from matrixhub.model.reading_line import KeptReading

COLUMNS = ("at", "series", "origin", "v", "stats", "line")
CHUNK_ROWS = 1_000

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = struct.pack("!h", -1)
_NULL = struct.pack("!i", -1)
_YEAR_2000_MS = 946_684_800_000
_start = struct.Struct("!hiqiiiii").pack
"""How many columns, the first three, each behind its length, and the length of the fourth."""

_length = struct.Struct("!i").pack


def encode_copy(readings: Iterable[KeptReading], numbers: Mapping[int, tuple[int, int]]) -> Iterator[bytes]:
    """Everything a `COPY` of the readings is given, in pieces.

    Shape:  numbers are series and origin by `id()` of the origins of these readings: to hash an origin takes longer.
    Raises: UnicodeEncodeError if a text is none that UTF-8 has.

    >>> b"".join(encode_copy([], {})).hex(" ", 4)
    '50 47434f50 590aff0d 0a000000 00000000 0000ffff'
    """
    parts = [_HEADER]
    for count, reading in enumerate(readings, 1):
        series, origin = numbers[id(reading.origin)]
        values = None if reading.values is None else reading.values.encode()
        length = -1 if values is None else len(values)
        micros = (reading.instant_ms - _YEAR_2000_MS) * 1000
        parts += (
            _start(len(COLUMNS), 8, micros, 4, series, 4, origin, length),
            values or b"",
            _NULL if reading.stats is None else _field(reading.stats),
            _NULL if reading.line is None else _field(reading.line),
        )
        if count % CHUNK_ROWS == 0:
            yield b"".join(parts)
            parts = []
    parts.append(_END)
    yield b"".join(parts)


def _field(text: str) -> bytes:
    data = text.encode()
    return _length(len(data)) + data
