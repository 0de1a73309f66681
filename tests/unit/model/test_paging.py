"""Pages: how much of a list is given at a time."""

from __future__ import annotations

import pytest

from matrixhub.model.errors import QueryTooLong, RequestError, WrongParameters
from matrixhub.model.paging import PAGE_MAX, check_page


@pytest.mark.parametrize(
    ("limit", "error"),
    [(0, WrongParameters), (-1, WrongParameters), (PAGE_MAX + 1, QueryTooLong), (2**64, QueryTooLong)],
)
def test_a_page_of_nothing_or_of_too_much_is_refused(limit: int, error: type[RequestError]) -> None:
    with pytest.raises(error):
        check_page(limit)


def test_a_page_may_hold_one_item_or_as_many_as_there_may_be() -> None:
    check_page(1)
    check_page(PAGE_MAX)
