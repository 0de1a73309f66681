"""Arrow and Parquet. Import this where it is used: the library is large."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from matrixhub.model.export import ColumnKind
from matrixhub.modules.exports.tables import Table

ROW_GROUP = 32_768
"""So many rows are held before they are written to Parquet, whose readers skip by row groups: small ones do not pay."""

_LABEL = pa.dictionary(pa.int32(), pa.string())
_TYPES: Mapping[ColumnKind, Any] = {
    "instant": pa.timestamp("ms", tz="UTC"),
    "integer": pa.int64(),
    "number": pa.float64(),
    "text": pa.string(),
    "label": _LABEL,
}


class _Sink(io.RawIOBase):
    """A file that is taken away as it grows."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(self._parts[-1])

    def take(self) -> bytes:
        """What was written since."""
        found = b"".join(self._parts)
        self._parts.clear()
        return found


def _schema(table: Table) -> Any:
    return pa.schema([pa.field(column.name, _TYPES[column.kind]) for column in table.columns])


def _batch(table: Table, schema: Any, lines: Sequence[bytes]) -> Any:
    """The rows of lines. A text that repeats is kept once in a batch."""
    cells = list(zip(*[table.row_of(line) for line in lines], strict=True))
    arrays = [
        pa.array(values, pa.string()).dictionary_encode() if column.kind == "label" else pa.array(values, field.type)
        for values, column, field in zip(cells, table.columns, schema, strict=True)
    ]
    return pa.record_batch(arrays, schema=schema)


class ArrowStream:
    """The streaming format of Arrow IPC: a batch for each page."""

    busy = True

    def __init__(self, table: Table) -> None:
        self._table, self._schema, self._sink = table, _schema(table), _Sink()
        self._writer = pa.ipc.new_stream(self._sink, self._schema)

    def begin(self) -> bytes:
        """The schema, where it is written already."""
        return self._sink.take()

    def write(self, lines: Sequence[bytes]) -> bytes:
        """A batch."""
        if lines:
            self._writer.write_batch(_batch(self._table, self._schema, lines))
        return self._sink.take()

    def end(self) -> bytes:
        """The mark of the end."""
        self._writer.close()
        return self._sink.take()


class Parquet:
    """A Parquet file, its row groups compressed with zstd."""

    busy = True

    def __init__(self, table: Table) -> None:
        self._table, self._schema, self._sink = table, _schema(table), _Sink()
        self._writer = parquet.ParquetWriter(self._sink, self._schema, compression="zstd")
        self._held: list[Any] = []

    def begin(self) -> bytes:
        """The mark of the format."""
        return self._sink.take()

    def write(self, lines: Sequence[bytes]) -> bytes:
        """Row groups that are full."""
        if lines:
            self._held.append(_batch(self._table, self._schema, lines))
        if sum(batch.num_rows for batch in self._held) >= ROW_GROUP:
            self._write_held()
        return self._sink.take()

    def end(self) -> bytes:
        """The last row group, and the footer, without which it is no Parquet file."""
        if self._held:
            self._write_held()
        self._writer.close()
        return self._sink.take()

    def _write_held(self) -> None:
        # Each batch has texts of its own that repeat; put together, a row group has them once.
        self._writer.write_table(pa.Table.from_batches(self._held, self._schema).unify_dictionaries(), ROW_GROUP * 2)
        self._held.clear()
