"""Documents of requests: errors name the field and never what it held."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrixhub.api.bodies import parse_as, parse_json
from matrixhub.api.rest import documents
from matrixhub.model.errors import InvalidValue, MalformedBody

SECRET = "PLANTED"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ('{"kind": "PLANTED"}', "kind"),
        ('{"secret": ["PLANTED"]}', "secret"),
        ('{"grace_s": "PLANTED"}', "grace_s"),
        ('{"grace_s": -1}', "grace_s"),
        ('{"key": "PLANTED"}', "key"),
        ('["PLANTED"]', ""),
        ('"PLANTED"', ""),
    ],
)
def test_a_wrong_document_is_told_where_and_not_quoted(body: str, path: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_as(documents.NewSigningKey, body.encode())
    assert [field for field, _ in caught.value.fields] == [path]
    assert SECRET not in repr(caught.value) + repr(caught.value.fields)
    assert caught.value.__cause__ is None


def test_a_field_inside_is_told_with_the_way_to_it() -> None:
    with pytest.raises(InvalidValue) as caught:
        parse_as(documents.NewReplay, b'{"subscription": "s", "position": {"seq": "x"}}')
    assert caught.value.fields[0][0] == "position.seq"
    with pytest.raises(InvalidValue) as caught:
        parse_as(documents.NewReplay, b'{"subscription": "s", "position": {}}')
    assert caught.value.fields == (("position.seq", "is missing"),)


@given(body=st.binary(max_size=60))
def test_any_bytes_are_a_document_or_an_error_of_ours(body: bytes) -> None:
    for parse in (parse_json, lambda body: parse_as(documents.NewReplay, body)):
        try:
            parse(body)
        except (MalformedBody, InvalidValue):
            pass
        else:
            msgspec.json.decode(body)
