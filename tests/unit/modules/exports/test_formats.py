"""What pages of lines are written as; nothing of them is kept."""

from __future__ import annotations

import csv
import gc
import gzip
import io
import json
import sys
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from subprocess import run
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from matrixhub.model.errors import TooManyExports
from matrixhub.model.export import Attribute, FormatName
from matrixhub.model.ids import PropertyId
from matrixhub.modules.exports import columnar
from matrixhub.modules.exports.formats import csv_cell, make_writer, written
from matrixhub.modules.exports.tables import readings_table
from matrixhub.modules.exports.turns import Turns

NAMES: tuple[FormatName, ...] = ("ndjson", "json", "csv", "arrow", "parquet")
MIB = 1 << 20
END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def line(number: int, **changes: Any) -> bytes:
    made = {
        "t": "20240310080509",
        "dow": "0",
        "month": "03",
        "dom": "10",
        "hour": "08",
        "minute": "05",
        "utc": 1710029109 + number,
        "expire_at": 1725581109,
        "unixT": (1710029109 + number) * 1000,
        "Region": "Asia/Singapore",
        "DEVID": f"d{number % 7}",
        "DevType": "X#Y",
        "PID": "b",
        "PropId": "p",
        "InsID": "z",
        "Display": "Door",
        "v": {"count": number},
        **changes,
    }
    return json.dumps(made, separators=(",", ":")).encode()


async def paged(*pages: Sequence[bytes]) -> AsyncIterator[Sequence[bytes]]:
    for page in pages:
        yield page


async def whole(name: FormatName, *pages: Sequence[bytes], gzip: bool = False, **options: Any) -> bytes:
    writer = make_writer(name, readings_table([Attribute("count", "integer")]), **options)
    return b"".join([part async for part in written(paged(*pages), writer, gzip=gzip)])


def ids_and_counts(name: FormatName, content: bytes) -> list[tuple[str, int]]:
    match name:
        case "ndjson":
            found = [json.loads(text) for text in content.splitlines()]
        case "json":
            found = json.loads(content)
        case "csv":
            rows = csv.DictReader(io.StringIO(content.decode(), newline=""))
            return [(row["devid"], int(row["v_count"])) for row in rows]
        case "arrow":
            rows = pa.ipc.open_stream(content).read_all().to_pylist()
            return [(row["devid"], row["v_count"]) for row in rows]
        case "parquet":
            rows = parquet.read_table(io.BytesIO(content)).to_pylist()
            return [(row["devid"], row["v_count"]) for row in rows]
    return [(one["DEVID"], one["v"]["count"]) for one in found]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sizes", [(), (1,), (3, 1, 5)])
async def test_every_format_has_every_reading_in_order(name: FormatName, sizes: tuple[int, ...]) -> None:
    pages, number = [], 0
    for size in sizes:
        pages.append([line(n) for n in range(number, number + size)])
        number += size
    assert ids_and_counts(name, await whole(name, *pages)) == [(f"d{n % 7}", n) for n in range(number)]


@pytest.mark.parametrize("name", ["ndjson", "json", "csv", "arrow"])
async def test_a_compressed_answer_is_the_same(name: FormatName) -> None:
    pages = [[line(n)] for n in range(20)]
    assert gzip.decompress(await whole(name, *pages, gzip=True)) == await whole(name, *pages)


def test_what_was_cut_off_is_no_whole_file() -> None:
    parts = {}
    names: tuple[FormatName, ...] = ("json", "parquet", "arrow")
    for name in names:
        writer = make_writer(name, readings_table())
        parts[name] = writer.begin() + writer.write([line(0), line(1)])
        if name == "arrow":
            assert writer.end() == END_OF_STREAM
    with pytest.raises(json.JSONDecodeError):
        json.loads(parts["json"])
    with pytest.raises(pa.ArrowInvalid):
        parquet.read_table(io.BytesIO(parts["parquet"]))
    assert not parts["arrow"].endswith(END_OF_STREAM)


async def test_columns_are_typed_and_labels_are_kept_once() -> None:
    table = parquet.read_table(io.BytesIO(await whole("parquet", [line(0)], [line(1, Display=None)])))
    assert table.schema.field("time").type == pa.timestamp("ms", tz="UTC")
    assert table.schema.field("devid").type == pa.dictionary(pa.int32(), pa.string())
    assert table.schema.field("unixt").type == table.schema.field("v_count").type == pa.int64()
    assert table.column("display").to_pylist() == ["Door", None]
    assert table.column("time").cast(pa.int64()).to_pylist() == table.column("unixt").to_pylist()
    stream = pa.ipc.open_stream(await whole("arrow", [line(0)]))
    assert stream.schema == table.schema


async def test_row_groups_are_written_as_they_fill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columnar, "ROW_GROUP", 10)
    content = await whole("parquet", *[[line(n) for n in range(at, at + 4)] for at in range(0, 40, 4)])
    groups = parquet.ParquetFile(io.BytesIO(content)).metadata
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [12, 12, 12, 4]


TEXTS = ['a"b', "a,b", "a\nb", "a\r\nb", "\x85", " a ", "=1+1", "日本", "\x07", "x" * 100_000, "'", ""]


async def test_texts_come_back_from_csv_as_they_are() -> None:
    content = await whole("csv", [line(n, Display=text) for n, text in enumerate(TEXTS)])
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert [row["display"] for row in rows] == TEXTS
    assert content.count(b"\r\n") == len(TEXTS) + 2  # one is in a text


async def test_csv_tells_an_empty_text_from_none() -> None:
    content = await whole("csv", [line(0, Display=""), line(1, Display=None)], header=False)
    first, second = content.decode().splitlines()
    assert (first.split(",")[10], second.split(",")[10]) == ('""', "")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_spreadsheet_sees_no_formula_in_a_text_where_that_is_asked_for(text: str) -> None:
    assert next(csv.reader([csv_cell(text, "label", spreadsheet=True)])) == ["'" + text]
    assert next(csv.reader(io.StringIO(csv_cell(text, "label"), newline=""))) == [text]


async def test_what_a_page_raises_is_raised_and_the_pages_are_closed() -> None:
    closed = []

    async def broken() -> AsyncIterator[Sequence[bytes]]:
        try:
            yield [line(0)]
            raise OSError("gone")
        finally:
            closed.append(True)

    parts = written(broken(), make_writer("csv", readings_table()))
    assert (await anext(parts)).startswith(b"time,")
    with pytest.raises(OSError, match="gone"):
        await anext(parts)
    assert closed == [True]


async def lines_of(count: int) -> AsyncIterator[Sequence[bytes]]:
    page = [line(n) for n in range(500)]
    for _ in range(count // 500):
        yield page


async def peak_of(name: FormatName, count: int) -> int:
    """The most bytes that Python and Arrow held while so many readings were written and thrown away."""
    writer, arrow = make_writer(name, readings_table()), 0
    gc.collect()
    tracemalloc.start()
    try:
        async for _ in written(lines_of(count), writer):
            arrow = max(arrow, pa.total_allocated_bytes())
        return tracemalloc.get_traced_memory()[1] + arrow
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", NAMES)
async def test_memory_does_not_grow_with_what_is_written(name: FormatName, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columnar, "ROW_GROUP", 1_000)
    await peak_of(name, 1_000)
    few, many = await peak_of(name, 2_000), await peak_of(name, 8_000)
    # 6,000 readings more are 2 MiB of lines, and more of cells.
    assert many - few < MIB / 4, (few, many)


def test_the_columnar_library_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, matrixhub.modules.exports.formats; sys.exit('pyarrow' in sys.modules)"
    assert run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_property_has_all_turns() -> None:
    turns, one, two = Turns(most=3, of_property=2), PropertyId("one"), PropertyId("two")
    with turns.taken(one), turns.taken(one):
        with pytest.raises(TooManyExports) as refused, turns.taken(one):
            pass
        assert refused.value.retry_after_s > 0
        with turns.taken(two), pytest.raises(TooManyExports), turns.taken(two):
            pass
        assert turns.running == 2
    assert turns.running == 0
