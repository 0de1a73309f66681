"""The registry of operations: each row is whole, and the page made from it is the committed one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from matrixhub.api.actions.document import operations_text
from matrixhub.api.actions.operation import Operation
from matrixhub.api.actions.registry import OPERATIONS
from matrixhub.api.actions.shape import NOTHING, check, json_schema

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"


def test_the_committed_page_of_operations_is_that_of_the_registry() -> None:
    assert PAGE.read_text(encoding="utf-8") == operations_text(), "run `make openapi`"


def test_no_two_operations_have_a_name_in_common() -> None:
    names = Counter(name for row in OPERATIONS for name in (row.name, *row.also))
    assert [name for name, times in names.items() if times > 1] == []


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.name)
def test_an_operation_says_what_it_is_and_its_example_is_one(row: Operation) -> None:
    assert row.summary.endswith(".")
    assert row.response is not NOTHING
    assert json_schema(row.request)
    if row.request is not NOTHING and not row.takes_form:
        assert row.example is not None
        check(row.request, row.example)
