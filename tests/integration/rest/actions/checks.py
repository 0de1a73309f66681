"""Whether an answer is what its row of the registry says: every field that must be there, and no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from matrixhub.api.actions.operation import Operation
from matrixhub.api.actions.shape import Kind, Shape


def check_answer(row: Operation, answer: Mapping[str, Any]) -> None:
    """Assert that an answer has the shape of the row's response; null stands for none of a whole thing."""
    data = answer if row.envelope == "plain" else answer["data"]
    if data is not None:
        assert list(faults(row.response, data, "data")) == []


def faults(shape: Shape, value: Any, path: str) -> Iterator[str]:
    """What is wrong with a value, each with where it is.

    Unlike requests, answers are held to the kinds: no numbers in texts, no flags for numbers.
    """
    if not _KINDS[shape.kind](value):
        yield f"{path} is no {shape.kind}: {value!r}"
    elif shape.kind == "object":
        yield from _faults_of_object(shape, value, path)
    elif shape.kind == "list" and shape.item is not None:
        for number, item in enumerate(value):
            yield from faults(shape.item, item, f"{path}[{number}]")
    elif shape.kind == "map" and shape.item is not None:
        for name, item in value.items():
            yield from faults(shape.item, item, f"{path}.{name}")


def _faults_of_object(shape: Shape, value: Mapping[str, Any], path: str) -> Iterator[str]:
    fields = {field.name: field for field in shape.fields}
    yield from (f"{path}.{name} is not in the table" for name in value.keys() - fields.keys())
    for name, field in fields.items():
        if value.get(name) is not None:
            yield from faults(field.shape, value[name], f"{path}.{name}")
        elif field.required:
            yield f"{path}.{name} is missing"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_KINDS: Mapping[Kind, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "number": _is_number,
    "flag": lambda value: isinstance(value, bool),
    "list": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, Mapping),
    "map": lambda value: isinstance(value, Mapping),
    "any": lambda _: True,
    "none": lambda value: value is None,
}
