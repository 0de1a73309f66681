"""The mapping file of a replay: which columns of a recording are the time, and which make the readings of a slot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

import yaml

from matrixhub.model.devices import LIGHT_LEVELS, Json
from matrixhub.model.errors import MappingFileError
from matrixhub.model.ids import is_id
from matrixhub.model.time import zone

T = TypeVar("T")

NAMED_STEPS: Mapping[str, tuple[tuple[float, int], ...]] = {
    "LIGHT_LEVELS": tuple(sorted((float(low), level) for level, (low, _) in LIGHT_LEVELS.items())),
}
"""Steps that the device types define: `steps: LIGHT_LEVELS` turns lux into the level of the 10-in-1 (Q15)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeColumns:
    """Where the time of a row stands: the columns, joined by a blank, are read with the format."""

    columns: tuple[str, ...]
    format: str
    zone: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """How one attribute of `v` is made: from a column, or a constant `value`.

    A number is looked up in `steps` (lower bound and value, ascending; below the first it is the first) or scaled,
    moved and rounded to `digits`. `lookup` goes from the text of the cell to the value. A cell whose text is in
    `missing` says nothing.
    """

    column: str | None = None
    value: Json = None
    type: Literal["number", "integer", "text"] = "number"
    scale: float = 1.0
    offset: float = 0.0
    digits: int | None = None
    lookup: Mapping[str, Json] | None = None
    steps: tuple[tuple[float, Json], ...] = ()
    where: Mapping[str, str]
    missing: tuple[str, ...] = ("",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """The readings of one slot, made from the rows that fit `where`."""

    slot: str
    where: Mapping[str, str]
    v: Mapping[str, Field]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mapped:
    """A mapping file. Consecutive rows that agree in the `group_by` columns are combined."""

    path: str
    format: Literal["csv", "ndjson"]
    delimiter: str
    header: bool
    columns: tuple[str, ...]
    time: TimeColumns
    group_by: tuple[str, ...]
    outputs: tuple[Output, ...]

    def check_columns(self, columns: Sequence[str]) -> None:
        """Refuse columns that the mapping asks for and the file does not have.

        Raises: MappingFileError naming the field of the mapping.
        """
        for field, wanted in self._columns_used():
            if wanted not in columns:
                raise MappingFileError(f"{self.path}: {field}: no column {wanted!r}; there are {', '.join(columns)}")

    def _columns_used(self) -> list[tuple[str, str]]:
        used = [("time.columns", column) for column in self.time.columns]
        used += [("group_by", column) for column in self.group_by]
        for i, output in enumerate(self.outputs):
            used += [(f"outputs[{i}].where", column) for column in output.where]
            for key, field in output.v.items():
                used += [(f"outputs[{i}].v.{key}.where", column) for column in field.where]
                if field.column is not None:
                    used.append((f"outputs[{i}].v.{key}.column", field.column))
        return used


def read_mapping(path: Path) -> Mapped:
    """The mapping in that file. Raises: MappingFileError naming the field; OSError if the file cannot be read."""
    return parse_mapping(path.read_text(encoding="utf-8"), str(path))


def parse_mapping(text: str, path: str = "mapping") -> Mapped:
    """The mapping in that YAML text. Raises: MappingFileError naming the field."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise MappingFileError(f"{path}: not YAML: {error}") from error
    top = _Part(document, path, "")
    form: Literal["csv", "ndjson"] = top.choice("format", ("csv", "ndjson"), "csv")
    mapped = Mapped(
        path=path,
        format=form,
        delimiter=top.checked("delimiter", ",", _one_character),
        header=top.checked("header", True, _boolean),
        columns=top.texts("columns"),
        time=_time(top.part("time")),
        group_by=top.texts("group_by"),
        outputs=tuple(_output(part) for part in top.parts("outputs")),
    )
    top.done()
    if form == "csv" and not mapped.header and not mapped.columns:
        top.fail("columns", "is needed where `header` is false")
    if len(set(mapped.columns)) != len(mapped.columns):
        top.fail("columns", "names a column twice")
    if mapped.columns:
        mapped.check_columns(mapped.columns)
    return mapped


def _time(part: _Part) -> TimeColumns:
    time = TimeColumns(
        columns=part.texts("columns"),
        format=part.checked("format", "iso", _text),
        zone=part.checked("zone", "UTC", _time_zone),
    )
    if not time.columns:
        part.fail("columns", "names no column")
    part.done()
    return time


def _output(part: _Part) -> Output:
    fields = part.part("v")
    output = Output(
        slot=part.checked("slot", "", _slot_id),
        where=part.conditions("where"),
        v={key: _field(fields, key) for key in fields.keys()},  # noqa: SIM118
    )
    part.done()
    if not output.v:
        fields.fail("", "makes no attribute")
    return output


def _field(fields: _Part, key: str) -> Field:
    raw = fields.raw(key)
    if isinstance(raw, str):
        return Field(column=raw, where={})
    part = fields.part(key)
    field = Field(
        column=part.checked("column", None, _text),
        value=part.raw("value"),
        type=part.choice("type", ("number", "integer", "text"), "number"),
        scale=part.checked("scale", 1.0, _real),
        offset=part.checked("offset", 0.0, _real),
        digits=part.checked("digits", None, _whole),
        lookup=part.checked("lookup", None, _lookup),
        steps=part.checked("steps", (), _steps),
        where=part.conditions("where"),
        missing=("", *part.texts("missing")),
    )
    part.done()
    if (field.column is None) == (field.value is None):
        part.fail("", "has either a `column` or a constant `value`")
    return field


class _Part:
    """A mapping inside the file, which knows its place for the messages and which of its keys were asked for."""

    def __init__(self, value: object, path: str, place: str) -> None:
        self._path, self._place = path, place
        if not isinstance(value, dict):
            self.fail("", "is missing" if value is None else "is not a mapping of keys to values")
        self._value: dict[str, Any]
        try:
            self._value = _with_text_keys(value)
        except _Unfit as error:
            self.fail("", str(error), error)
        self._asked: set[str] = set()

    def fail(self, key: str, message: str, cause: Exception | None = None) -> NoReturn:
        place = self._at(key) or "the file"
        raise MappingFileError(f"{self._path}: {place}: {message}") from cause

    def keys(self) -> list[str]:
        return list(self._value)

    def raw(self, key: str) -> Any:
        self._asked.add(key)
        return self._value.get(key)

    def checked(self, key: str, default: Any, check: Callable[[Any], Any]) -> Any:
        value = self.raw(key)
        if value is None and key not in self._value and default != "":
            return default
        try:
            return check(value)
        except ValueError as error:
            self.fail(key, str(error), error)

    def choice(self, key: str, allowed: Sequence[T], default: T) -> T:
        value = self.raw(key)
        if value is None:
            return default
        if value not in allowed:
            self.fail(key, f"is one of {', '.join(map(str, allowed))}, not {value!r}")
        return allowed[allowed.index(value)]

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.raw(key)
        items = [value] if isinstance(value, str) else value or []
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            self.fail(key, "is a list of texts (quote numbers)")
        return tuple(items)

    def conditions(self, key: str) -> Mapping[str, str]:
        if self.raw(key) is None:
            return {}
        part = self.part(key)
        return {column: _condition(part, column) for column in part.keys()}  # noqa: SIM118

    def part(self, key: str) -> _Part:
        return _Part(self.raw(key), self._path, self._at(key))

    def parts(self, key: str) -> list[_Part]:
        value = self.raw(key)
        if not isinstance(value, list) or not value:
            self.fail(key, "is a list with at least one entry")
        return [_Part(item, self._path, f"{self._at(key)}[{i}]") for i, item in enumerate(value)]

    def done(self) -> None:
        unknown = [key for key in self._value if key not in self._asked]
        if unknown:
            self.fail(unknown[0], f"is unknown here; known are {', '.join(sorted(self._asked))}")

    def _at(self, key: str) -> str:
        return ".".join(part for part in (self._place, key) if part)


class _Unfit(ValueError):
    """A value of the mapping file is not what its key needs."""


def _condition(part: _Part, column: str) -> str:
    value = part.raw(column)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        part.fail(column, "is the text a cell must hold")
    return str(value)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise _Unfit("is a text")
    return value


def _one_character(value: object) -> str:
    if not isinstance(value, str) or len(value) != 1:
        raise _Unfit('is one character, such as ";" or "\\t"')
    return value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise _Unfit("is true or false")
    return value


def _real(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Unfit("is a number")
    return float(value)


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Unfit("is a whole number")
    return value


def _time_zone(value: object) -> str:
    zone(_text(value))
    return _text(value)


def _slot_id(value: object) -> str:
    if not isinstance(value, str) or not is_id(value):
        raise _Unfit("is the id of a device slot, as in the site file (quote it if it is all digits)")
    return value


def _lookup(value: object) -> Mapping[str, Json]:
    if not isinstance(value, dict) or not value:
        raise _Unfit("goes from the text of a cell to a value")
    return _with_text_keys(value)


def _with_text_keys(value: dict[Any, Any]) -> dict[str, Any]:
    """The mapping with keys as the file writes them, as far as YAML leaves that to see: `on` and `yes` become True."""
    for key in value:
        if isinstance(key, bool) or not isinstance(key, str | int | float):
            raise _Unfit(f"the key {key!r} is not a text; quote it")
    return {str(key): item for key, item in value.items()}


def _steps(value: object) -> tuple[tuple[float, Json], ...]:
    if isinstance(value, str):
        if value not in NAMED_STEPS:
            raise _Unfit(f"is one of {', '.join(NAMED_STEPS)} or lower bounds with their values")
        return NAMED_STEPS[value]
    if not isinstance(value, dict) or not value:
        raise _Unfit("goes from a lower bound to a value")
    return tuple(sorted((_real(low), item) for low, item in value.items()))
