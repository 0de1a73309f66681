"""The shape of a document of the wire: what is checked of a request, and told of both requests and answers.

A shape says which fields there are, which of them must be there, and of what kind they are. What a value means is
decided behind it, by the modules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from matrixhub.model.devices import Json
from matrixhub.model.errors import MissingParameters, WrongParameters

Kind = Literal["text", "number", "flag", "list", "object", "map", "any", "none"]

DEPTH_MAX = 12


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of value; `item` is that of a list's items or a map's values, `fields` are those of an object."""

    kind: Kind
    note: str = ""
    item: Shape | None = None
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an object; `also` are other spellings that are taken for it."""

    name: str
    shape: Shape
    required: bool = False
    note: str = ""
    also: tuple[str, ...] = ()


TEXT = Shape("text")
NUMBER = Shape("number")
SECONDS = Shape("number", "epoch seconds")
FLAG = Shape("flag", "true or false; 1 and 0 are taken, too")
BIT = Shape("number", "0 or 1")
ANY = Shape("any")
NOTHING = Shape("none")


def of(*fields: Field) -> Shape:
    """An object with these fields; others are passed over."""
    return Shape("object", fields=fields)


def list_of(item: Shape) -> Shape:
    """A list of such items."""
    return Shape("list", item=item)


def map_of(item: Shape, note: str = "") -> Shape:
    """An object whose keys are free, and whose values are such."""
    return Shape("map", note, item=item)


def needs(name: str, shape: Shape = TEXT, note: str = "", *, also: Sequence[str] = ()) -> Field:
    """A field that must be there; null counts as missing."""
    return Field(name, shape, True, note, tuple(also))


def may(name: str, shape: Shape = TEXT, note: str = "", *, also: Sequence[str] = ()) -> Field:
    """A field that may be left out, or null."""
    return Field(name, shape, False, note, tuple(also))


def check(shape: Shape, value: Any) -> None:
    """Whether a request has what it must, and values of the right kind.

    Raises: MissingParameters naming all that is missing, else WrongParameters naming the first wrong value.

    >>> check(of(needs("LID"), may("ESK")), {"LID": "7e92"})
    >>> check(of(needs("LID"), needs("Name")), {"LID": None})
    Traceback (most recent call last):
    matrixhub.model.errors.MissingParameters: LID, Name: missing
    """
    missing = list(_missing(shape, value, ""))
    if missing:
        raise MissingParameters(f"{', '.join(missing)}: missing")
    for path, wanted in _wrong(shape, value, ""):
        raise WrongParameters(f"{path or 'the body'} is not {wanted}")


def value_of(field: Field, document: Mapping[str, Any]) -> Any:
    """The value of a field under any of its spellings, None where it is missing."""
    for name in (field.name, *field.also):
        if document.get(name) is not None:
            return document[name]
    return None


def _missing(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if shape.kind == "object" and isinstance(value, Mapping):
        for field in shape.fields:
            found, where = value_of(field, value), f"{path}{field.name}"
            if found is None:
                if field.required:
                    yield where
            else:
                yield from _missing(field.shape, found, f"{where}.")
    elif shape.kind in ("list", "map") and shape.item is not None:
        for where, item in _items(shape, value, path.removesuffix(".")):
            yield from _missing(shape.item, item, f"{where}.")


def _wrong(shape: Shape, value: Any, path: str) -> Iterator[tuple[str, str]]:
    name, holds = _KINDS[shape.kind]
    if not holds(value):
        yield path, name
    elif shape.kind == "object":
        for field in shape.fields:
            found = value_of(field, value)
            if found is not None:
                yield from _wrong(field.shape, found, f"{path}.{field.name}" if path else field.name)
    elif shape.kind in ("list", "map") and shape.item is not None:
        for where, item in _items(shape, value, path):
            yield from _wrong(shape.item, item, where)


def _items(shape: Shape, value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if shape.kind == "list" and isinstance(value, list):
        yield from ((f"{path}[{number}]", item) for number, item in enumerate(value))
    elif shape.kind == "map" and isinstance(value, Mapping):
        yield from ((f"{path}.{name}", item) for name, item in value.items())


def _is_number(value: Any) -> bool:
    if isinstance(value, str):  # existing clients send numbers as text, too
        try:
            return float(value) == float(value)
        except ValueError:
            return False
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)) or value in ("true", "false")


_KINDS: Mapping[Kind, tuple[str, Any]] = {
    "text": ("a text", lambda value: isinstance(value, str)),
    "number": ("a number", _is_number),
    "flag": ("true or false", _is_flag),
    "list": ("a list", lambda value: isinstance(value, list)),
    "object": ("an object", lambda value: isinstance(value, Mapping)),
    "map": ("an object", lambda value: isinstance(value, Mapping)),
    "any": ("anything", lambda _: True),
    "none": ("empty", lambda value: not value),
}


def json_schema(shape: Shape) -> dict[str, Json]:
    """The shape as JSON Schema 2020-12."""
    made: dict[str, Any] = dict(_SCHEMAS[shape.kind])
    if shape.note:
        made["description"] = shape.note
    if shape.kind == "list" and shape.item is not None:
        made["items"] = json_schema(shape.item)
    elif shape.kind == "map" and shape.item is not None:
        made["additionalProperties"] = json_schema(shape.item)
    elif shape.kind == "object":
        made["properties"] = {field.name: _field_schema(field) for field in shape.fields}
        if required := [field.name for field in shape.fields if field.required]:
            made["required"] = required
    return made


def _field_schema(field: Field) -> dict[str, Json]:
    made = json_schema(field.shape)
    notes = [note for note in (field.note, field.shape.note) if note]
    if field.also:
        notes.append(f"also spelled {', '.join(field.also)}")
    if notes:
        made["description"] = "; ".join(notes)
    return made


_SCHEMAS: Mapping[Kind, Mapping[str, Json]] = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "flag": {"type": "boolean"},
    "list": {"type": "array"},
    "object": {"type": "object"},
    "map": {"type": "object"},
    "any": {},
    "none": {"type": "null"},
}
