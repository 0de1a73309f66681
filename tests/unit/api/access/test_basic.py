"""Basic: an access key and its secret as they are."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from tests.unit.api.access.doubles import PAIR, PROPERTY, parts_with

from matrixhub.api.access import Credentials, Gate
from matrixhub.api.access.basic import read_basic
from matrixhub.model.errors import TooManyWrong, Unauthorised
from matrixhub.model.secret import Secret


def basic(text: str | bytes, *, scheme: str = "Basic") -> Credentials:
    packed = text if isinstance(text, bytes) else text.encode()
    return Credentials(authorization=f"{scheme} {base64.b64encode(packed).decode()}", address="192.0.2.1")


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
async def test_an_access_key_with_its_secret_is_taken_also_on_the_rest_face(scheme: str) -> None:
    identity = await Gate(parts_with(PAIR)).identify(basic("demo-key/0001:demo-secret-0001", scheme=scheme))
    assert (identity.scheme, identity.property_id, identity.once) == ("basic", PROPERTY, False)


async def test_a_secret_may_have_colons_and_any_letters() -> None:
    pair = replace(PAIR, secret=Secret("pä:ss:wörd"))
    assert await Gate(parts_with(pair)).identify(basic("demo-key/0001:pä:ss:wörd"))


@pytest.mark.parametrize(
    "text",
    [
        "demo-key/0001:",
        "demo-key/0001:wrong",
        "demo-key/0001",
        ":demo-secret-0001",
        "",
        "unknown:x",
        "a;b:x",
        b"\xff:\xfe",
    ],
)
async def test_anything_else_is_refused(text: str | bytes) -> None:
    with pytest.raises(Unauthorised):
        await Gate(parts_with(PAIR)).identify(basic(text))


@pytest.mark.parametrize("header", ["Basic", "Basic ", "Basic ?", "Basic é", "Basic YQ", "Basic YTpi YTpi"])
def test_what_is_no_base64_of_a_pair_is_refused(header: str) -> None:
    with pytest.raises(Unauthorised):
        read_basic(header)


async def test_once_too_many_are_wrong_not_even_the_right_one_is_looked_at_there() -> None:
    gate = Gate(parts_with(PAIR, wrong_max=3))
    for _ in range(3):
        with pytest.raises(Unauthorised):
            await gate.identify(basic("demo-key/0001:wrong"))
    with pytest.raises(TooManyWrong):
        await gate.identify(basic("demo-key/0001:demo-secret-0001"))
    elsewhere = replace(basic("demo-key/0001:demo-secret-0001"), address="192.0.2.2")
    assert await gate.identify(elsewhere)
