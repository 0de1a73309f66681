"""Pages of a list: a cursor is the place behind the last item given, so what is added meanwhile moves nothing."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, TypeVar

import msgspec
from litestar.params import QueryParameter

from matrixhub.model.errors import InvalidValue

LIMIT = 50
LIMIT_MAX = 500
CURSOR_MAX = 500

LimitQuery = Annotated[int, QueryParameter(ge=1, le=LIMIT_MAX, description="Most items of the page.")]
CursorQuery = Annotated[
    str | None,
    QueryParameter(max_length=CURSOR_MAX, description="`next` of the page before; left out for the first page."),
]

T = TypeVar("T")


def make_cursor(kind: str, at: datetime, item_id: object) -> str:
    """The place behind an item of a list, which is ordered by instant and id.

    >>> from datetime import UTC
    >>> read_cursor("s", make_cursor("s", datetime(2024, 3, 10, tzinfo=UTC), "sub_1"), str)
    (datetime.datetime(2024, 3, 10, 0, 0, tzinfo=datetime.timezone.utc), 'sub_1')
    """
    packed = msgspec.json.encode([kind, at.isoformat(), str(item_id)])
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read_cursor(kind: str, cursor: str | None, id_of: Callable[[str], T]) -> tuple[datetime, T] | None:
    """The place a cursor names, None without one. Raises: InvalidValue if it is not one of this list."""
    if cursor is None:
        return None
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        found_kind, at, item_id = msgspec.json.decode(packed, type=tuple[str, datetime, str])
        if found_kind == kind and at.tzinfo is not None and "\x00" not in item_id:
            return at, id_of(item_id)
    except (binascii.Error, ValueError, OverflowError):
        pass  # told below, like a cursor of another list
    raise InvalidValue("the cursor is none of this list", fields=(("cursor", "not a cursor of this list"),))


def cut_page(found: Sequence[T], limit: int, cursor_of: Callable[[T], str]) -> tuple[Sequence[T], str | None]:
    """The page and the cursor of the next one; `found` holds one item more than the page if there is a next one.

    >>> cut_page("abc", 2, str.upper)
    ('ab', 'B')
    >>> cut_page("ab", 2, str.upper)
    ('ab', None)
    """
    page = found[:limit]
    return page, cursor_of(page[-1]) if len(found) > limit else None
