"""Forms: what is a text and what a file, and what cannot be read. Source: RFC 7578"""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matrixhub.api.actions.form import PARTS_MAX, TEXT_BYTES_MAX, read_form
from matrixhub.api.actions.operation import File
from matrixhub.model.errors import BodyTooLarge, MalformedForm

TYPE = "multipart/form-data; boundary=XX"


def form(*parts: tuple[str, bytes]) -> bytes:
    body = b"".join(
        b"--XX\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + content + b"\r\n"
        for head, content in parts
    )
    return body + b"--XX--\r\n"


def test_a_part_with_a_file_name_is_a_file_and_one_without_is_a_text() -> None:
    body = form(('name="LID"', "7e92 ü".encode()), ('name="file"; filename="plan.png"', b"\x89PNG\r\n--X"))
    assert read_form(body, TYPE) == (
        {"LID": "7e92 ü"},
        {"file": File(name="plan.png", content_type="", content=b"\x89PNG\r\n--X")},
    )


def test_a_part_of_another_type_than_text_is_a_file_without_a_name() -> None:
    texts, files = read_form(form(('name="File"\r\nContent-Type: image/png', b"x")), TYPE)
    assert texts == {}
    assert files == {"File": File(name="", content_type="image/png", content=b"x")}


def test_of_two_parts_with_one_name_the_first_counts() -> None:
    assert read_form(form(('name="a"', b"1"), ('name="a"', b"2")), TYPE) == ({"a": "1"}, {})


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", TYPE),
        (b"{}", TYPE),
        (form(('name="a"', b"1")), "multipart/form-data"),
        (form(('name="a"', b"1"))[:-10], TYPE),
        (form(('name="a"', b"\xff")), TYPE),
        (form(*[(f'name="{number}"', b"") for number in range(PARTS_MAX + 1)]), TYPE),
        (b"--XX\r\n" + b"X-Long: " + b"x" * 10_000 + b"\r\n\r\n\r\n--XX--", TYPE),
    ],
    ids=["empty", "json", "no boundary", "cut off", "not UTF-8", "too many parts", "long header"],
)
def test_what_is_no_form_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(MalformedForm):
        read_form(body, content_type)


def test_a_text_that_is_too_long_for_one_is_refused() -> None:
    with pytest.raises(BodyTooLarge):
        read_form(form(('name="a"', b"x" * (TEXT_BYTES_MAX + 1))), TYPE)


@settings(max_examples=40)
@given(st.binary(max_size=300), st.text(max_size=60))
def test_whatever_comes_is_read_or_refused(body: bytes, rest: str) -> None:
    for content in (body, b"--XX\r\n" + body, form(('name="a"', body))):
        for content_type in (TYPE, "multipart/form-data;" + rest):
            with contextlib.suppress(MalformedForm, BodyTooLarge):
                read_form(content, content_type)
