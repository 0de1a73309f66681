"""Recorded data of real buildings: CSV or NDJSON files, read with a mapping file that says what the columns mean."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from matrixhub.model.devices import Json
from matrixhub.model.errors import RecordedDataError
from matrixhub.model.time import instant_from_iso, instant_from_number, zone
from matrixhub.sources.mapping import Field, Mapped, Output, TimeColumns

Row = Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """A reading of the recording, the line it came from, and of how many rows it was made (`line` is the first)."""

    line: int
    rows: int
    slot_id: str
    instant_ms: int
    v: Mapping[str, Json]

    def reading(self, shift_ms: int = 0) -> dict[str, Json]:
        """The reading as it is sent, moved in time."""
        return {"DEVID": self.slot_id, "unixT": self.instant_ms + shift_ms, "v": dict(self.v)}


def read_recorded(path: Path, mapped: Mapped, *, from_line: int = 1) -> Iterator[Recorded]:
    """The readings of the file in its order, from that line on; nothing but the current line is held.

    Raises: RecordedDataError naming the line; MappingFileError if a column of the mapping is not in the file;
            OSError if the file cannot be read.
    """
    rows = ((line, row) for line, row in _rows(path, mapped) if line >= from_line)
    try:
        for line, group in _groups(rows, mapped.group_by):
            yield from _readings(line, group, mapped, path)
    except UnicodeDecodeError as error:
        raise RecordedDataError(f"the file is not UTF-8: {error.reason}", path=str(path)) from error


def count_lines(path: Path) -> int:
    """How many lines the file has, for a progress bar."""
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


def _rows(path: Path, mapped: Mapped) -> Iterator[tuple[int, Row]]:
    if mapped.format == "ndjson":
        return _ndjson_rows(path)
    return _csv_rows(path, mapped)


def _csv_rows(path: Path, mapped: Mapped) -> Iterator[tuple[int, Row]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=mapped.delimiter)
        columns = list(mapped.columns)
        if mapped.header:
            header = next(reader, [])
            columns = columns or header
        mapped.check_columns(columns)
        line = reader.line_num + 1
        try:
            for cells in reader:
                # A quoted cell may hold line breaks: a row is named after its first line.
                if cells and len(cells) != len(columns):
                    raise RecordedDataError(
                        f"{len(cells)} cells where the mapping has {len(columns)} columns ({', '.join(columns)})",
                        path=str(path),
                        line=line,
                    )
                if cells:
                    yield line, dict(zip(columns, cells, strict=True))
                line = reader.line_num + 1
        except csv.Error as error:
            raise RecordedDataError(f"not CSV: {error}", path=str(path), line=reader.line_num) from error


def _ndjson_rows(path: Path) -> Iterator[tuple[int, Row]]:
    with path.open(encoding="utf-8-sig") as file:
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                row = msgspec.json.decode(text, type=dict[str, str | float | int | bool | None])
            except msgspec.DecodeError as error:
                raise RecordedDataError(f"not a flat JSON object: {error}", path=str(path), line=line) from error
            yield line, {key: _cell(value) for key, value in row.items()}


def _cell(value: str | float | bool | None) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(int(value))
        case _:
            return str(value)


def _groups(rows: Iterable[tuple[int, Row]], group_by: tuple[str, ...]) -> Iterator[tuple[int, list[Row]]]:
    """Each row alone, or rows that follow each other with the same values in those columns together."""
    if not group_by:
        for line, row in rows:
            yield line, [row]
        return
    for _, members in itertools.groupby(rows, key=lambda numbered: [numbered[1].get(c, "") for c in group_by]):
        group = list(members)
        yield group[0][0], [row for _, row in group]


def _readings(line: int, group: list[Row], mapped: Mapped, path: Path) -> Iterator[Recorded]:
    try:
        instant_ms = instant_of(mapped.time, group[0])
        for output in mapped.outputs:
            v = _values(output, group)
            if v:
                yield Recorded(line=line, rows=len(group), slot_id=output.slot, instant_ms=instant_ms, v=v)
    except ValueError as error:
        raise RecordedDataError(str(error), path=str(path), line=line) from error


def instant_of(time: TimeColumns, row: Row) -> int:
    """The instant of a row, in epoch milliseconds.

    The format is one of strptime, or `iso` (with an offset, else local to the zone), or `epoch` (seconds or ms).
    Raises: ValueError if the columns do not hold such a time.
    """
    text = " ".join(_column(row, column) for column in time.columns)
    try:
        if time.format == "epoch":
            return instant_from_number(float(text))
        if time.format == "iso":
            return instant_from_iso(text, zone(time.zone))
        return instant_from_iso(datetime.strptime(text, time.format).isoformat(), zone(time.zone))  # noqa: DTZ007
    except ValueError as error:
        raise ValueError(f"time.columns {', '.join(time.columns)}: {error}") from error


def _values(output: Output, group: list[Row]) -> dict[str, Json]:
    """The `v` of an output: what its columns hold, without those that are empty or have no row."""
    rows = [row for row in group if _matches(row, output.where)]
    v: dict[str, Json] = {}
    for key, field in output.v.items():
        found = [row for row in rows if _matches(row, field.where)]
        if len(found) > 1:
            raise ValueError(f"{len(found)} rows of the same group fit `{key}`; narrow it with `where`")
        value = field_value(field, found[0]) if found else None
        if value is not None:
            v[key] = value
    return v


def _matches(row: Row, where: Mapping[str, str]) -> bool:
    return all(_column(row, column).strip() == wanted for column, wanted in where.items())


def field_value(field: Field, row: Row) -> Json:
    """What a row says for a field, or None where the cell is empty.

    Raises: ValueError naming the column if the cell is not of the field's type or not in its lookup.
    """
    if field.column is None:
        return field.value
    text = _column(row, field.column).strip()
    if text in field.missing:
        return None
    if field.lookup is not None:
        if text not in field.lookup:
            raise ValueError(f"column {field.column}: {text!r} is not in the lookup ({', '.join(field.lookup)})")
        return field.lookup[text]
    if field.type == "text":
        return text
    number = _number(field.column, text)
    if field.steps:
        return next((value for low, value in reversed(field.steps) if low <= number), field.steps[0][1])
    number = number * field.scale + field.offset
    if field.type == "integer" or field.digits is not None:
        number = round(number, field.digits or 0)
    return int(number) if number.is_integer() else number


def _column(row: Row, column: str) -> str:
    try:
        return row[column]
    except KeyError:
        raise ValueError(f"column {column} is missing; there are {', '.join(row)}") from None


def _number(column: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise ValueError(f"column {column}: {text!r} is not a number") from error
    if number - number != 0:
        raise ValueError(f"column {column}: {text!r} is not a finite number")
    return number
