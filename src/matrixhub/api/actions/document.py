"""docs/operations.md: what each operation takes and answers, made from the registry."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

from matrixhub.api.actions.operation import Operation
from matrixhub.api.actions.registry import OPERATIONS
from matrixhub.api.actions.shape import Shape

_HEAD = """# Operations of Matrix Web Services

Made from the registry by `make openapi`; do not edit. How requests are sent, and what errors look like:
[contract/web-services.md](contract/web-services.md). A field marked * must be there; {zone} and the like in an
example stand for ids.
"""


def operations_text() -> str:
    """The page."""
    lines = [_HEAD]
    for service, rows in itertools.groupby(sorted(OPERATIONS, key=_order), key=lambda row: row.service):
        lines.append(f"## {service}\n")
        for row in rows:
            lines.extend(_described(row))
    return "\n".join(lines).rstrip() + "\n"


def _order(row: Operation) -> tuple[str, str]:
    return row.service, row.name


def _described(row: Operation) -> Iterator[str]:
    yield f"### {row.name}\n"
    yield f"{row.summary}\n"
    facts: list[str] = [row.certainty]
    if row.also:
        facts.append(f"also called {', '.join(f'`{name}`' for name in row.also)}")
    facts.append("`pid` names a building" if row.needs_building else "`pid` may be `scnoop`")
    if row.needs_property:
        facts.append("`propid` needed")
    if not row.needs_organisation:
        facts.append("`org` may be left out")
    if row.status != 200:
        facts.append(f"status {row.status}")
    yield f"({'; '.join(facts)})\n"
    yield f"- body: {_text_of(row.request)}"
    yield f"- answer: {_text_of(row.response)}"
    if row.example is not None:
        yield f"- example: `{json.dumps(row.example)}`"
    yield ""


def _text_of(shape: Shape) -> str:
    match shape.kind:
        case "none":
            return "none"
        case "list" if shape.item is not None:
            return f"list of {_text_of(shape.item)}"
        case "map" if shape.item is not None:
            return f"{{key: {_text_of(shape.item)}}}"
        case "object":
            fields = (
                f"`{field.name}`{'*' if field.required else ''}"
                + (f" {_text_of(field.shape)}" if field.shape.kind in ("object", "list", "map") else "")
                + (f" ({field.note})" if field.note else "")
                for field in shape.fields
            )
            return f"{{{', '.join(fields)}}}"
        case kind:
            return f"{kind}" + (f" ({shape.note})" if shape.note else "")
