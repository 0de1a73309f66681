"""Cursors: they lead back to where they were made, and nothing else is taken for one."""

from __future__ import annotations

import base64
import contextlib
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrixhub.api.paging import make_cursor, read_cursor
from matrixhub.model.errors import InvalidValue

instants = st.datetimes(timezones=st.just(UTC))


@given(at=instants, item_id=st.uuids())
def test_a_cursor_leads_back(at: datetime, item_id: UUID) -> None:
    assert read_cursor("a", make_cursor("a", at, item_id), UUID) == (at, item_id)


@given(at=instants, item_id=st.uuids(), cut=st.integers(1, 60), sign=st.characters())
def test_a_cursor_that_was_tampered_with_is_refused_or_another_place(
    at: datetime, item_id: UUID, cut: int, sign: str
) -> None:
    cursor = make_cursor("a", at, item_id)
    for wrong in (cursor[:cut] + sign + cursor[cut + 1 :], cursor[cut:], cursor[:cut], sign):
        with contextlib.suppress(InvalidValue):
            found = read_cursor("a", wrong, UUID)
            assert found is not None
            assert found[0].tzinfo is not None


@given(packed=st.binary(max_size=80))
def test_bytes_of_no_meaning_are_no_cursor(packed: bytes) -> None:
    with pytest.raises(InvalidValue):
        read_cursor("a", base64.urlsafe_b64encode(packed).decode(), UUID)


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(InvalidValue):
        read_cursor("b", make_cursor("a", datetime(2024, 3, 10, tzinfo=UTC), UUID(int=1)), UUID)
