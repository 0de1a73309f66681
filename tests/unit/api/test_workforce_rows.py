"""The rows of the workforce: what a request lacks is named, and a value of a wrong kind is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from matrixhub.api.actions import availability, shift_definitions, shifts, timesheets
from matrixhub.api.actions.operation import Operation
from matrixhub.api.actions.shape import Shape, check
from matrixhub.model.errors import MissingParameters, WrongParameters

ROWS = (*shifts.OPERATIONS, *shift_definitions.OPERATIONS, *availability.OPERATIONS, *timesheets.OPERATIONS)
TAKING = [row for row in ROWS if row.request.kind == "object"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_needs_the_property_to_be_named(row: Operation) -> None:
    assert row.needs_property
    assert row.needs_organisation
    assert row.service == "scworkforcemanagement"


@pytest.mark.parametrize("row", TAKING, ids=lambda row: row.name)
def test_what_a_request_lacks_is_named(row: Operation) -> None:
    required = [field.name for field in row.request.fields if field.required]
    if required:
        with pytest.raises(MissingParameters) as told:
            check(row.request, {})
        assert told.value.message == f"{', '.join(required)}: missing"


@pytest.mark.parametrize("row", TAKING, ids=lambda row: row.name)
def test_a_value_of_a_wrong_kind_is_refused(row: Operation) -> None:
    tried = list(_wrong(row.request, row.example))
    assert tried
    for body in tried:
        with pytest.raises(WrongParameters):
            check(row.request, body)


def _wrong(shape: Shape, example: Any) -> Iterator[Any]:
    """The example with one of its values of a wrong kind, for each of its values."""
    if shape.kind == "object" and isinstance(example, dict):
        for field in shape.fields:
            given = example.get(field.name)
            if given is not None and field.shape.kind != "any":
                yield {**example, field.name: "text" if field.shape.kind == "list" else [7]}
                for inner in _wrong(field.shape, given):
                    yield {**example, field.name: inner}
    elif shape.kind == "list" and shape.item is not None and example:
        for inner in _wrong(shape.item, example[0]):
            yield [inner, *example[1:]]
