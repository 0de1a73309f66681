"""Tokens as they come in: what is refused before and after the signature is looked at."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from hypothesis import given, settings
from hypothesis import strategies as st

from matrixhub.api.access.federated import TOKEN_MAX, read_header, token_of, verified_claims
from matrixhub.deliveries.jwks import read_keys
from matrixhub.model.errors import FederatedTokenRefused
from matrixhub.testing.identity_provider import encoded, public_entry, signed_token, signing_key

KEY = read_keys(json.dumps({"keys": [public_entry("k1", signing_key(1))]}).encode())["k1"]
HEADER: dict[str, Any] = {"alg": "RS256", "typ": "JWT", "kid": "k1"}
CLAIMS: dict[str, Any] = {"sub": "ann"}
GOOD = signed_token(HEADER, CLAIMS, signing_key(1))


def judged(token: str) -> Any:
    read_header(token)
    return verified_claims(token, KEY)


def test_a_token_that_the_issuer_signed_tells_its_claims() -> None:
    assert judged(GOOD) == CLAIMS
    big = {**HEADER, "x5t": "a" * 28, "x5c": ["a" * 900], "nonce": "of some provider"}
    assert judged(signed_token(big, CLAIMS, signing_key(1))) == CLAIMS


def unsigned(header: dict[str, Any], signature: bytes = b"") -> str:
    text = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(CLAIMS).encode())}"
    return f"{text}.{encoded(signature)}"


def hmac_with_the_public_key() -> str:
    """The classic confusion: the public key, which everybody has, taken for a secret."""
    text = unsigned({**HEADER, "alg": "HS256"}).rpartition(".")[0]
    pem = (
        signing_key(1)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return f"{text}.{encoded(hmac.new(pem, text.encode(), hashlib.sha256).digest())}"


def elliptic() -> str:
    text = unsigned({**HEADER, "alg": "ES256"}).rpartition(".")[0]
    made = ec.generate_private_key(ec.SECP256R1()).sign(text.encode(), ec.ECDSA(hashes.SHA256()))
    return f"{text}.{encoded(made)}"


def other_padding() -> str:
    text = GOOD.rpartition(".")[0]
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    return f"{text}.{encoded(signing_key(1).sign(text.encode(), pss, hashes.SHA256()))}"


def other_hash() -> str:
    text = GOOD.rpartition(".")[0]
    return f"{text}.{encoded(signing_key(1).sign(text.encode(), padding.PKCS1v15(), hashes.SHA512()))}"


def other_claims() -> str:
    head, _, signature = GOOD.split(".")
    return f"{head}.{encoded(json.dumps({'sub': 'bob'}).encode())}.{signature}"


ATTACKER = signing_key(2)

BAD: dict[str, str] = {
    "alg none": unsigned({**HEADER, "alg": "none"}),
    "alg none with the signature of another": unsigned({**HEADER, "alg": "none"}, b"x"),
    "alg None": unsigned({**HEADER, "alg": "None"}, b"x"),
    "alg missing": unsigned({"typ": "JWT", "kid": "k1"}, b"x"),
    "alg no text": unsigned({**HEADER, "alg": ["RS256"]}, b"x"),
    "HS256 keyed with the public key": hmac_with_the_public_key(),
    "ES256": elliptic(),
    "RS512 named": signed_token({**HEADER, "alg": "RS512"}, CLAIMS, signing_key(1)),
    "PS256 under the name of RS256": other_padding(),
    "SHA-512 under the name of RS256": other_hash(),
    "signed with another key": signed_token(HEADER, CLAIMS, ATTACKER),
    "brings its key as jwk": signed_token({**HEADER, "jwk": public_entry("k1", ATTACKER)}, CLAIMS, ATTACKER),
    "names its keys by jku": signed_token({**HEADER, "jku": "https://evil.example/keys"}, CLAIMS, ATTACKER),
    "names its certificate by x5u": signed_token({**HEADER, "x5u": "https://evil.example/c"}, CLAIMS, ATTACKER),
    "jwk of the right key": signed_token({**HEADER, "jwk": public_entry("k1", signing_key(1))}, CLAIMS, signing_key(1)),
    "crit": signed_token({**HEADER, "crit": ["exp"], "exp": 1}, CLAIMS, signing_key(1)),
    "b64 false": signed_token({**HEADER, "b64": False}, CLAIMS, signing_key(1)),
    "no kid": signed_token({"alg": "RS256"}, CLAIMS, signing_key(1)),
    "kid no text": signed_token({**HEADER, "kid": 1}, CLAIMS, signing_key(1)),
    "kid empty": signed_token({**HEADER, "kid": ""}, CLAIMS, signing_key(1)),
    "other claims": other_claims(),
    "no signature": GOOD.rpartition(".")[0] + ".",
    "two parts": GOOD.rpartition(".")[0],
    "four parts": GOOD + ".x",
    "five parts, encrypted": "a.b.c.d.e",
    "padded": GOOD + "==",
    "a space within": GOOD.replace(".", ". ", 1),
    "header no JSON": f"{encoded(b'{')}.{encoded(b'{}')}.{encoded(b'x')}",
    "header a list": f"{encoded(b'[]')}.{encoded(b'{}')}.{encoded(b'x')}",
    "header too deep": f"{encoded(b'[' * 9_000)}.{encoded(b'{}')}.{encoded(b'x')}",
    "header too long": signed_token({**HEADER, "x": "y" * 5_000}, CLAIMS, signing_key(1)),
    "x5c no list": signed_token({**HEADER, "x5c": 5}, CLAIMS, signing_key(1)),
    "not ASCII": GOOD[:-1] + "é",
}


@pytest.mark.parametrize("what", BAD)
def test_a_token_is_refused_that_is(what: str) -> None:
    with pytest.raises(FederatedTokenRefused):
        judged(BAD[what])


@pytest.mark.parametrize("claims", [b"[]", b"7", b"{", b"", b"\xff", b'"text"'])
def test_claims_that_are_no_object_are_refused(claims: bytes) -> None:
    text = f"{encoded(json.dumps(HEADER).encode())}.{encoded(claims)}"
    made = signing_key(1).sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    with pytest.raises(FederatedTokenRefused):
        judged(f"{text}.{encoded(made)}")


@given(at=st.integers(0, len(GOOD) - 1), sign=st.sampled_from("ABCXYZabcxyz0189-_.=+/ "))
@settings(max_examples=300, deadline=None)
def test_a_token_with_one_character_changed_is_refused(at: int, sign: str) -> None:
    changed = GOOD[:at] + sign + GOOD[at + 1 :]
    if changed == GOOD:
        return
    with pytest.raises(FederatedTokenRefused):
        judged(changed)


@given(flips=st.sets(st.integers(0, 2_047), min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_a_signature_with_bits_flipped_is_refused(flips: set[int]) -> None:
    text, _, signature = GOOD.rpartition(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    for bit in flips:
        raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FederatedTokenRefused):
        judged(f"{text}.{encoded(bytes(raw))}")


@given(
    text=st.one_of(
        st.text(max_size=80),
        st.lists(st.binary(max_size=30), min_size=3, max_size=3).map(
            lambda parts: ".".join(encoded(part) for part in parts)
        ),
    )
)
@settings(max_examples=200, deadline=None)
def test_any_other_text_is_refused_and_breaks_nothing(text: str) -> None:
    with pytest.raises(FederatedTokenRefused):
        judged(text)


@pytest.mark.parametrize("authorization", ["", " ", "Bearer", "Bearer ", "bearer   ", "x" * (TOKEN_MAX + 1)])
def test_a_header_without_a_token_or_with_too_long_a_one_is_refused(authorization: str) -> None:
    with pytest.raises(FederatedTokenRefused):
        token_of(authorization)
