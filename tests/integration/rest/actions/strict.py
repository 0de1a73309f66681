"""Whether an answer is exactly what its operation says it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from matrixhub.api.actions.operation import Operation
from matrixhub.api.actions.shape import Shape


def faults_of(row: Operation, answer: Any) -> list[str]:
    """What of a whole answer is not as the row says: keys that are missing or too many, values of another kind."""
    return list(differences(row.response, answer if row.envelope == "plain" else answer["data"], row.name))


def differences(shape: Shape, value: Any, path: str) -> Iterator[str]:
    """Where a value is not exactly of a shape."""
    match shape.kind:
        case "object":
            if not isinstance(value, dict):
                yield f"{path} is no object"
                return
            known = {field.name: field for field in shape.fields}
            yield from (f"{path}.{name} is in no shape" for name in value if name not in known)
            yield from (
                f"{path}.{name} is missing" for name, field in known.items() if field.required and name not in value
            )
            for name, inner in value.items():
                if name in known:
                    yield from differences(known[name].shape, inner, f"{path}.{name}")
        case "list" | "map":
            if not isinstance(value, list if shape.kind == "list" else dict):
                yield f"{path} is no {shape.kind}"
                return
            for key, inner in enumerate(value) if isinstance(value, list) else value.items():
                if shape.item is not None:
                    yield from differences(shape.item, inner, f"{path}[{key}]")
        case "any":
            pass
        case kind:
            if not _KINDS[kind](value):
                yield f"{path} is {value!r}, not of kind {kind}"


_KINDS: dict[str, Any] = {
    "text": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "flag": lambda value: isinstance(value, bool),
    "none": lambda value: value is None,
}
