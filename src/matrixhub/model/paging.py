"""How much of a list is given at a time."""

from __future__ import annotations

from matrixhub.model.errors import QueryTooLong, WrongParameters

PAGE_MAX = 1_000


def check_page(limit: int, most: int = PAGE_MAX) -> None:
    """Refuse a page that holds nothing, or too much.

    >>> check_page(1), check_page(100, most=100)
    (None, None)

    Raises: WrongParameters, QueryTooLong.
    """
    if limit < 1:
        raise WrongParameters("a page has at least one item")
    if limit > most:
        raise QueryTooLong(f"a page has at most {most:,} items")
