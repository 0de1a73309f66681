"""What turns lines into bytes of a format, a page at a time: nothing of a page is kept once it is written.

An answer that is cut off can be told from a whole one in JSON (no closing bracket), Parquet (no footer) and, by those
who look, Arrow (no mark of the end); the others rely on the last chunk of HTTP, or on a file that appears when it is
whole.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, cast

from matrixhub.model.export import ColumnKind, FormatName
from matrixhub.modules.exports.tables import Table

GZIP_LEVEL = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_GZIP = 31
"""What zlib calls a gzip file with the largest window."""

_QUOTED = re.compile(r'[",\r\n]|^\s|\s$')
_FORMULA = re.compile(r"^[=+\-@\t\r]")


class Writer(Protocol):
    """Makes a file of pages of lines; `busy` where that takes so long that a thread had better do it."""

    busy: bool

    def begin(self) -> bytes:
        """What stands before all lines."""

    def write(self, lines: Sequence[bytes]) -> bytes:
        """What follows of these lines; some of it may come later."""

    def end(self) -> bytes:
        """The rest."""


def make_writer(name: FormatName, table: Table, *, header: bool = True, spreadsheet: bool = False) -> Writer:
    """A writer of the format.

    `header` is whether CSV begins with the names of its columns; with `spreadsheet`, no text of CSV is a formula.
    """
    match name:
        case "ndjson":
            return Lines()
        case "json":
            return Array()
        case "csv":
            return Csv(table, header=header, spreadsheet=spreadsheet)
        case "arrow" | "parquet":
            # Imported where it is used: it costs a tenth of a second, and as much memory as a hub without it.
            from matrixhub.modules.exports import columnar

            return columnar.ArrowStream(table) if name == "arrow" else columnar.Parquet(table)


class Lines:
    """NDJSON: one line after the other, to the byte."""

    busy = False

    def begin(self) -> bytes:
        """Nothing."""
        return b""

    def write(self, lines: Sequence[bytes]) -> bytes:
        """The lines."""
        return b"\n".join(lines) + b"\n" if lines else b""

    def end(self) -> bytes:
        """Nothing."""
        return b""


class Array:
    """One JSON array of all of them.

    >>> array = Array()
    >>> array.begin() + array.write([b"1", b"2"]) + array.write([b"3"]) + array.end()
    b'[1,\\n2,\\n3]'
    """

    busy = False

    def __init__(self) -> None:
        self._between = b""

    def begin(self) -> bytes:
        """The opening bracket."""
        return b"["

    def write(self, lines: Sequence[bytes]) -> bytes:
        """The lines, each with a comma before it but for the first."""
        if not lines:
            return b""
        before, self._between = self._between, b",\n"
        return before + b",\n".join(lines)

    def end(self) -> bytes:
        """The closing bracket."""
        return b"]"


class Csv:
    """CSV: UTF-8, CRLF, an empty cell for what is not there and `""` for an empty text.

    Source: RFC 4180
    """

    busy = True

    def __init__(self, table: Table, *, header: bool, spreadsheet: bool) -> None:
        self._table, self._header, self._spreadsheet = table, header, spreadsheet

    def begin(self) -> bytes:
        """The names of the columns."""
        names = ",".join(csv_cell(column.name, "text", spreadsheet=self._spreadsheet) for column in self._table.columns)
        return f"{names}\r\n".encode() if self._header else b""

    def write(self, lines: Sequence[bytes]) -> bytes:
        """A record for each line."""
        return "".join([self._record(line) for line in lines]).encode()

    def end(self) -> bytes:
        """Nothing."""
        return b""

    def _record(self, line: bytes) -> str:
        row = zip(self._table.row_of(line), self._table.columns, strict=True)
        return ",".join([csv_cell(value, column.kind, spreadsheet=self._spreadsheet) for value, column in row]) + "\r\n"


def csv_cell(value: Any, kind: ColumnKind, *, spreadsheet: bool = False) -> str:
    """A cell of CSV. With `spreadsheet`, a text that a spreadsheet would take for a formula has `'` before it.

    >>> csv_cell(1710029109417, "instant"), csv_cell(None, "text"), csv_cell("", "text"), csv_cell('a"b', "text")
    ('2024-03-10T00:05:09.417Z', '', '""', '"a""b"')
    >>> csv_cell("=1+1", "label", spreadsheet=True), csv_cell(-1.5, "number", spreadsheet=True)
    ("'=1+1", '-1.5')
    """
    if value is None:
        return ""
    if kind == "instant":
        return instant_text(value)
    if kind in ("integer", "number"):
        return str(value)
    if spreadsheet and _FORMULA.match(value):
        value = "'" + value
    if not value or _QUOTED.search(value):
        return '"' + str(value).replace('"', '""') + '"'
    return str(value)


def instant_text(instant_ms: int) -> str:
    """An instant in RFC 3339 with milliseconds, in UTC.

    >>> instant_text(0)
    '1970-01-01T00:00:00.000Z'
    """
    return (_EPOCH + instant_ms * _MS).isoformat(timespec="milliseconds")[:-6] + "Z"


async def written(pages: AsyncIterator[Sequence[bytes]], writer: Writer, *, gzip: bool = False) -> AsyncIterator[bytes]:
    """The bytes of a whole file, in parts. The first comes with the first page, so that a fault shows before it."""
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP) if gzip else None
    async with aclosing(cast("Any", pages)):
        before = writer.begin()
        async for lines in pages:
            part = before + (await asyncio.to_thread(writer.write, lines) if writer.busy else writer.write(lines))
            before = b""
            if packer is not None:
                part = await asyncio.to_thread(packer.compress, part)
            if part:
                yield part
    rest = before + (await asyncio.to_thread(writer.end) if writer.busy else writer.end())
    if packer is not None:
        rest = packer.compress(rest) + packer.flush()
    if rest:
        yield rest
