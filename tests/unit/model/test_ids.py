import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrixhub.bus.subjects import sensor_subject, subject_matches
from matrixhub.model.ids import (
    ID_LENGTH_MAX,
    BuildingId,
    PropertyId,
    is_id,
    new_hex_id,
    new_id,
    stable_hex_id,
    stable_uuid,
    subject_token,
)


@pytest.mark.parametrize("text", ["c40d2f6e81b94a0c9e3375ab60d1f8e2", "Demo Site", "x", "ä#1", "x" * ID_LENGTH_MAX])
def test_ids_of_any_published_shape_are_accepted(text: str) -> None:
    assert is_id(text)


@pytest.mark.parametrize("text", ["", " x", "x ", "\n", "a\nb", "a\x00b", "x\x7f", "x" * (ID_LENGTH_MAX + 1)])
def test_blank_control_and_overlong_texts_are_no_ids(text: str) -> None:
    assert not is_id(text)


def test_new_ids_have_the_published_and_our_own_shape() -> None:
    assert is_id(new_hex_id())
    assert len(new_hex_id()) == 32
    found = new_id("sub")
    assert subject_token(found) == found
    assert new_id("sub") != new_id("sub")


@given(st.lists(st.text(), min_size=1), st.lists(st.text(), min_size=1))
def test_stable_ids_are_the_same_for_the_same_parts_only(one: list[str], other: list[str]) -> None:
    assert (stable_hex_id(*one) == stable_hex_id(*other)) == ("\x1f".join(one) == "\x1f".join(other))
    assert stable_uuid(*one).replace("-", "") == stable_hex_id(*one)


@given(st.text(), st.text())
def test_a_subject_word_is_safe_and_different_for_different_texts(one: str, other: str) -> None:
    word = subject_token(one)
    assert not set(word) & set(".*> \t\r\n\x00")
    assert word.isascii()
    assert (word == subject_token(other)) == (one == other)


def test_a_subject_has_four_words_whatever_the_ids_hold() -> None:
    subject = sensor_subject(PropertyId("a.b >"), BuildingId("*"), "ACME.X#Y")
    assert subject.count(".") == 3
    assert subject_matches("sensors.*.*.*", subject)
