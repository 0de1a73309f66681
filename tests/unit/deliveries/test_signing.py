"""Signatures, checked by the reference library, `cryptography` and published vectors; keys and their rotation."""

from __future__ import annotations

import base64
import gzip
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from matrixhub.deliveries.signing import (
    KEYS_MAX,
    imported_key,
    new_signing_key,
    public_key,
    rotated,
    signature_headers,
)
from matrixhub.model.errors import InvalidValue
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import SigningKey, SigningKind, public_view
from matrixhub.store.documents import read_signing, signing_document
from matrixhub.testing.samples import sample_subscription

NOW = datetime(2024, 3, 10, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
BODY = b'["{\\"t\\":\\"20240310080509\\"}"]'

# Vectors: the specification's example of v1, and the one of the Svix server for v1a, which the specification quotes.
V1_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
V1_VECTOR = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
V1A_PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
V1A_PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
V1A_VECTOR = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
VECTOR_ID, VECTOR_AT_S, VECTOR_BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'


def key(kind: SigningKind = "v1", *, made_s: float = 0, ends_s: float | None = None) -> SigningKey:
    made = new_signing_key(kind, NOW + timedelta(seconds=made_s))
    return replace(made, expires_at=None if ends_s is None else NOW + timedelta(seconds=ends_s))


def signatures(headers: dict[str, str]) -> list[str]:
    return headers["webhook-signature"].split(" ")


def verify_v1a(public: str, headers: dict[str, str], body: bytes) -> None:
    """Raises: InvalidSignature unless one of the signatures fits."""
    verifier = Ed25519PublicKey.from_public_bytes(base64.b64decode(public.removeprefix("whpk_")))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    for signature in signatures(headers):
        version, _, text = signature.partition(",")
        if version == "v1a":
            try:
                return verifier.verify(base64.b64decode(text), content)
            except InvalidSignature:
                continue
    raise InvalidSignature


def test_a_v1_signature_is_that_of_the_published_vector() -> None:
    headers = signature_headers((imported_key(V1_SECRET, NOW),), VECTOR_ID, VECTOR_AT_S, VECTOR_BODY)
    assert headers == {
        "webhook-id": VECTOR_ID,
        "webhook-timestamp": str(VECTOR_AT_S),
        "webhook-signature": V1_VECTOR,
    }


def test_a_v1a_signature_is_that_of_the_published_vector() -> None:
    headers = signature_headers((imported_key(V1A_PRIVATE, NOW),), VECTOR_ID, VECTOR_AT_S, VECTOR_BODY)
    assert signatures(headers) == [V1A_VECTOR]


def test_the_public_key_is_that_of_the_published_pair() -> None:
    made = imported_key(V1A_PRIVATE, NOW)
    assert (made.public, public_key(made), public_key(replace(made, public=""))) == (V1A_PUBLIC,) * 3
    assert made.secret.reveal() == V1A_PRIVATE
    assert public_key(key("v1")) == ""


def test_the_reference_library_verifies_what_is_signed_now() -> None:
    secret = key("v1")
    headers = signature_headers((secret,), "request-1", int(time.time()), BODY)
    assert Webhook(secret.secret.reveal()).verify(BODY, headers) is not None


@pytest.mark.parametrize("change", ["body", "id", "timestamp", "key"])
def test_the_reference_library_refuses_what_was_changed_on_the_way(change: str) -> None:
    secret = key("v1")
    headers = signature_headers((secret,), "request-1", int(time.time()), BODY)
    if change == "id":
        headers["webhook-id"] = "request-2"
    if change == "timestamp":
        headers["webhook-timestamp"] = str(int(headers["webhook-timestamp"]) + 1)
    by = key("v1") if change == "key" else secret
    with pytest.raises(WebhookVerificationError):
        Webhook(by.secret.reveal()).verify(BODY.replace(b"8", b"9") if change == "body" else BODY, headers)


@given(body=st.binary(max_size=2000), request_id=st.uuids().map(str), at_s=st.integers(0, 2**33))
def test_a_v1a_signature_is_verified_with_the_public_key_alone(body: bytes, request_id: str, at_s: int) -> None:
    pair = key("v1a")
    headers = signature_headers((pair,), request_id, at_s, body)
    verify_v1a(pair.public, headers, body)
    with pytest.raises(InvalidSignature):
        verify_v1a(pair.public, headers, body + b" ")
    with pytest.raises(InvalidSignature):
        verify_v1a(key("v1a").public, headers, body)


def test_a_packed_body_is_verified_as_sent_and_unpacked() -> None:
    secret, pair = key("v1"), key("v1a")
    packed = gzip.compress(BODY)
    headers = signature_headers((secret, pair), "request-1", int(time.time()), packed, "gzip")
    for held in (packed, BODY):
        verify_v1a(pair.public, headers, held)
    assert Webhook(secret.secret.reveal()).verify(BODY, headers) is not None
    assert len(signatures(headers)) == 4


def test_every_key_in_force_signs_and_the_newest_comes_first() -> None:
    old, new, gone, pair = key(ends_s=60), key(made_s=5), key(made_s=7, ends_s=0), key("v1a", made_s=3)
    headers = signature_headers((old, new, gone, pair), "r", NOW_S, BODY)
    alone = [signature_headers((one,), "r", NOW_S, BODY)["webhook-signature"] for one in (new, pair, old)]
    assert signatures(headers) == alone


def test_a_key_signs_up_to_its_end_and_not_at_it() -> None:
    ending = key(ends_s=60)
    assert signature_headers((ending,), "r", NOW_S + 59, BODY)
    assert signature_headers((ending,), "r", NOW_S + 60, BODY) == {}


def test_nothing_is_said_of_signatures_without_a_key() -> None:
    assert signature_headers((), "r", NOW_S, BODY) == {}


def test_a_new_secret_is_32_random_bytes() -> None:
    secrets = {key("v1").secret.reveal() for _ in range(50)}
    assert len(secrets) == 50
    assert {len(base64.b64decode(text.removeprefix("whsec_"))) for text in secrets} == {32}


@pytest.mark.parametrize("size", [24, 32, 64])
def test_a_customers_own_secret_is_taken(size: int) -> None:
    text = "whsec_" + base64.b64encode(bytes(range(size))).decode()
    made = imported_key(f" {text}\n", NOW)
    assert (made.kind, made.secret.reveal(), made.public) == ("v1", text, "")


def test_a_private_key_without_its_public_half_is_completed() -> None:
    seed = base64.b64decode(V1A_PRIVATE.removeprefix("whsk_"))[:32]
    assert imported_key("whsk_" + base64.b64encode(seed).decode(), NOW).secret == Secret(V1A_PRIVATE)


def encoded(prefix: str, raw: bytes) -> str:
    return prefix + base64.b64encode(raw).decode()


@pytest.mark.parametrize(
    "text,message",
    [
        (encoded("whsec_", b"s" * 23), "24 to 64 bytes"),
        (encoded("whsec_", b"s" * 65), "24 to 64 bytes"),
        (encoded("", b"s" * 32), "begins with whsec_"),
        ("", "begins with whsec_"),
        ("whsec_", "24 to 64 bytes"),
        ("whsec_" + "s" * 31, "not base64"),
        ("whsec_" + "é" * 32, "not base64"),
        (encoded("whsk_", b"s" * 33), "32 bytes, or 64"),
        (encoded("whsk_", b"s" * 64), "not its public key"),
        (V1A_PUBLIC, "the private key"),
    ],
)
def test_a_key_that_cannot_be_used_is_refused_and_not_shown(text: str, message: str) -> None:
    with pytest.raises(InvalidValue, match=message) as refused:
        imported_key(text, NOW)
    assert refused.value.__cause__ is None
    hidden = text.partition("_")[2]
    assert not hidden or hidden not in str(refused.value)


def test_a_replaced_key_goes_on_for_the_grace_period() -> None:
    old, new = key(), key(made_s=10)
    now = NOW + timedelta(seconds=10)
    assert rotated((old,), new, now, 3600) == (new, replace(old, expires_at=now + timedelta(seconds=3600)))


def test_a_key_that_ends_sooner_is_not_prolonged() -> None:
    ending = key(ends_s=60)
    new = key(made_s=10)
    assert rotated((ending,), new, NOW, 3600) == (new, ending)


def test_keys_of_the_other_kind_stay_as_they_are() -> None:
    secret, pair = key("v1"), key("v1a", made_s=1)
    new = key("v1", made_s=2)
    assert rotated((secret, pair), new, NOW, 10) == (new, pair, replace(secret, expires_at=NOW + timedelta(seconds=10)))


def test_without_grace_the_replaced_keys_are_gone_at_once() -> None:
    new, pair = key(made_s=1), key("v1a")
    assert rotated((key(), key(ends_s=50), pair), new, NOW, 0) == (new, pair)


def test_expired_keys_are_dropped() -> None:
    new = key("v1a", made_s=1)
    assert rotated((key(ends_s=0), key("v1a", ends_s=-5)), new, NOW, 60) == (new,)


def test_more_keys_than_a_header_should_carry_are_refused() -> None:
    keys: tuple[SigningKey, ...] = ()
    for n in range(KEYS_MAX):
        keys = rotated(keys, key(made_s=n), NOW + timedelta(seconds=n), 3600)
    assert len(keys) == KEYS_MAX
    with pytest.raises(InvalidValue, match="at most 5"):
        rotated(keys, key(made_s=9), NOW, 3600)
    assert len(rotated(keys, key(made_s=9), NOW, 0)) == 1


def test_rotating_to_the_same_key_is_refused() -> None:
    old = key()
    with pytest.raises(InvalidValue, match="in use already"):
        rotated((old,), replace(old, id="sgk_other"), NOW, 60)


@pytest.mark.parametrize("grace_s", [-1, 2_592_001, float("nan")])
def test_a_grace_period_out_of_range_is_refused(grace_s: float) -> None:
    with pytest.raises(InvalidValue, match="grace period"):
        rotated((), key(), NOW, grace_s)


@given(st.lists(st.tuples(st.sampled_from(["v1", "v1a"]), st.integers(0, 100), st.integers(0, 100)), max_size=8))
def test_whatever_is_rotated_exactly_the_keys_whose_grace_is_not_over_sign(
    steps: list[tuple[SigningKind, int, int]],
) -> None:
    keys: tuple[SigningKey, ...] = ()
    ends: dict[SigningKey, float] = {}
    at_s = 0
    for kind, wait_s, grace_s in steps:
        at_s += wait_s
        new = key(kind, made_s=at_s)
        try:
            keys = rotated(keys, new, NOW + timedelta(seconds=at_s), grace_s)
        except InvalidValue:
            continue
        ends = {one: min(end, at_s + grace_s) if one.kind == kind else end for one, end in ends.items()}
        ends[new] = float("inf")
        signing = signatures(signature_headers(keys, "r", NOW_S + at_s, BODY))
        alone = {signature_headers((one,), "r", NOW_S + at_s, BODY)["webhook-signature"]: one for one in ends}
        assert {alone[signature] for signature in signing} == {one for one, end in ends.items() if end > at_s}
        assert len(signing) == len(keys) <= KEYS_MAX


def test_no_private_part_is_in_the_public_view_or_the_document() -> None:
    keys = (key("v1"), key("v1a"))
    view = public_view(sample_subscription(signing=keys))
    kept: dict[str, str] = {}
    document = signing_document(keys, kept)
    for one in keys:
        hidden = one.secret.reveal().partition("_")[2]
        assert hidden not in str(view) + str(document) + repr(one)
    shown = view["signing"]
    assert isinstance(shown, list)
    assert [entry["public_key"] for entry in shown] == ["", keys[1].public]
    assert read_signing(document, kept) == keys


def test_keys_kept_before_there_was_a_public_part_are_read() -> None:
    pair = key("v1a")
    kept: dict[str, str] = {}
    document = signing_document((pair,), kept)
    del document[0]["public"]
    (read,) = read_signing(document, kept)
    assert (read.public, public_key(read)) == ("", pair.public)
