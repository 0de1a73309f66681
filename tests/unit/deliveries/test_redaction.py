"""What is shown of answers and faults holds no secret, in whatever spelling it comes back."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrixhub.deliveries.redaction import hide, query_secrets, secrets_of, shown, spellings_of
from matrixhub.model.destination import (
    BasicAuth,
    ClientCertificate,
    ClientCredentials,
    Destination,
    Header,
    RefreshToken,
    SharedAccessKey,
    SignatureV4,
)
from matrixhub.model.secret import Secret

PASSWORD = 'p@ss/w+rd "ü" x'


@pytest.mark.parametrize(
    "spelt",
    [
        PASSWORD,
        quote(PASSWORD),
        quote(PASSWORD, safe=""),
        quote_plus(PASSWORD),
        base64.b64encode(PASSWORD.encode()).decode(),
        base64.b64encode(PASSWORD.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(PASSWORD.encode()).decode(),
        json.dumps(PASSWORD)[1:-1],
        json.dumps(PASSWORD, ensure_ascii=False)[1:-1],
        html.escape(PASSWORD),
        PASSWORD.encode().hex(),
        PASSWORD.encode().hex().upper(),
        repr(PASSWORD)[1:-1],
    ],
)
def test_a_secret_is_cut_out_in_every_spelling(spelt: str) -> None:
    assert hide(f"before {spelt} after", spellings_of([PASSWORD])) == "before [hidden] after"


@pytest.mark.parametrize("left", [4, 7, 8, 12, 19])
def test_a_secret_that_is_cut_short_is_cut_out(left: int) -> None:
    secret = "tok_0123456789abcdef"
    assert hide(f"no: {secret[:left]}", spellings_of([secret])) == "no: [hidden]"
    if left >= 8:
        assert hide(f"no: {secret[:left]}... bad", spellings_of([secret])) == "no: [hidden]... bad"


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_is_cut_out_of_a_longer_text_in_base64(before: str, encode: Callable[[bytes], bytes]) -> None:
    secret = "s3cret?>~t0ken"
    said = encode(f"{before}{secret}, and more".encode()).decode()
    left = hide(said, spellings_of([secret])).split("[hidden]")
    # At most a sign at either end is left, which holds a part of a letter of the secret and of its neighbour.
    hidden_bits = 6 * (len(said) - sum(map(len, left)))
    assert len(left) == 2
    assert hidden_bits >= 8 * len(secret) - 8


def test_a_short_secret_is_cut_out_where_it_stands_alone() -> None:
    assert hide("a key of x1: bad x10, x1", spellings_of(["x1"])) == "a key of [hidden]: bad x10, [hidden]"


@given(st.text(min_size=4, max_size=40), st.text(max_size=20), st.text(max_size=20))
def test_no_secret_of_some_length_is_ever_shown(secret: str, before: str, after: str) -> None:
    assert secret not in hide(before + secret + after, spellings_of([secret])).replace("[hidden]", "")


def test_what_is_shown_is_one_line_without_control_characters() -> None:
    assert shown("a\r\n\tb\x00c\x1b[31m\u202ed\x7f\x85", (), 100) == "a b␀c␛[31m�d␡�"
    assert shown("x" * 500, (), 200) == "x" * 200


def test_a_secret_at_the_end_of_what_is_shown_is_cut_out_whole() -> None:
    assert "s3cr" not in shown("y" * 195 + "s3cret-token", spellings_of(["s3cret-token"]), 200)


def test_the_secrets_of_each_scheme_are_known() -> None:
    found = secrets_of(
        Destination(
            url="https://example.test/in?code=a1b2c3d4e5&v=2",
            headers=(Header(name="X-Key", value=Secret("k-1")), Header(name="Authorization", value=Secret("Api abc"))),
            client_certificate=ClientCertificate(certificate_pem="C", key_pem=Secret("PEM")),
            auth=BasicAuth(user="u", password=Secret("pw")),
        )
    )
    assert {"k-1", "Api abc", "abc", "PEM", "u:pw", "pw", "a1b2c3d4e5"} <= set(found)
    url = "https://example.test/"
    client = ClientCredentials(token_url=url + "?key=123456789", client_id="i", client_secret=Secret("s +"))
    assert {"i:s +", "i:s++%2B".replace("s++", "s+"), "s +", "123456789"} <= set(
        secrets_of(Destination(url=url, auth=client))
    )
    refresh = RefreshToken(token_url=url, client_id="i", refresh_token=Secret("r1"), extra=(("assertion", "12345678"),))
    assert {"r1", "12345678"} <= set(secrets_of(Destination(url=url, auth=refresh)))
    key = SharedAccessKey(key_name="n", key=Secret("sak"))
    assert "sak" in secrets_of(Destination(url=url, auth=key))
    aws = SignatureV4(access_key_id="A", secret_access_key=Secret("sk"), session_token=Secret("st"))
    assert {"sk", "st"} <= set(secrets_of(Destination(url=url, auth=aws)))


def test_short_values_of_a_query_are_no_secrets() -> None:
    assert query_secrets("https://example.test/in?qos=1&timeout=60") == []
