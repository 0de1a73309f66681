"""Signatures of pushes, and the keys they are made with.

What is signed is `<id>.<timestamp>.<body>`. A receiver's framework may or may not undo a Content-Encoding before the
program sees the body, so a compressed body is signed both as it is sent and unpacked: whichever the receiver holds,
one of the signatures fits. Source: Standard Webhooks 1.0.0, docs/contract/data-push.md §5.1
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from matrixhub.model.errors import InvalidValue
from matrixhub.model.ids import new_id
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import SigningKey, SigningKind

SECRET_PREFIX = "whsec_"
PRIVATE_PREFIX = "whsk_"
PUBLIC_PREFIX = "whpk_"

SECRET_BYTES = 32
SECRET_BYTES_MIN = 24
SECRET_BYTES_MAX = 64
SEED_BYTES = 32

KEYS_MAX = 5
"""Keys of a subscription at one time, those that are running out included."""

GRACE_S_MAX = 2_592_000
"""A replaced key goes on signing for at most 30 days."""

_KEYS_REMEMBERED = 4096


def signature_headers(
    keys: tuple[SigningKey, ...], request_id: str, at_s: int, body: bytes, content_encoding: str = ""
) -> dict[str, str]:
    """The headers that sign one attempt with every key in force, the newest first; none if no key is in force.

    Shape:  body is what is sent, content_encoding is '' or 'gzip'.
    Units:  at_s is the time of the attempt in epoch seconds.
    """
    live = [key for key in keys if _is_live(key, at_s)]
    if not live:
        return {}
    live.sort(key=lambda key: key.created_at, reverse=True)
    lead = f"{request_id}.{at_s}.".encode()
    contents = [lead + body]
    if content_encoding == "gzip":
        contents.append(lead + gzip.decompress(body))
    return {
        "webhook-id": request_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(_signature(key, content) for key in live for content in contents),
    }


def new_signing_key(kind: SigningKind, now: datetime) -> SigningKey:
    """A fresh key: 32 random bytes (`v1`), or an ed25519 pair (`v1a`)."""
    if kind == "v1":
        return _secret_key(secrets.token_bytes(SECRET_BYTES), now)
    return _private_key(secrets.token_bytes(SEED_BYTES), now)


def imported_key(text: str, now: datetime) -> SigningKey:
    """The key a customer brings along: `whsec_` with a secret, or `whsk_` with an ed25519 private key.

    Raises: InvalidValue, which does not show the key.
    """
    text = text.strip()
    if text.startswith(SECRET_PREFIX):
        raw = _decoded(text.removeprefix(SECRET_PREFIX), "the signing secret")
        if not SECRET_BYTES_MIN <= len(raw) <= SECRET_BYTES_MAX:
            raise InvalidValue(
                f"a signing secret is {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes, base64-encoded behind whsec_; "
                f"this one has {len(raw)}"
            )
        return _secret_key(raw, now)
    if text.startswith(PRIVATE_PREFIX):
        raw = _decoded(text.removeprefix(PRIVATE_PREFIX), "the private key")
        if len(raw) not in (SEED_BYTES, 2 * SEED_BYTES):
            raise InvalidValue("a private key is 32 bytes, or 64 with its public key, base64-encoded behind whsk_")
        made = _private_key(raw[:SEED_BYTES], now)
        if len(raw) > SEED_BYTES and raw[SEED_BYTES:] != _public_bytes(raw[:SEED_BYTES]):
            raise InvalidValue("the second half of the private key is not its public key")
        return made
    if text.startswith(PUBLIC_PREFIX):
        raise InvalidValue("a public key (whpk_) verifies; to sign, the private key (whsk_) is needed")
    raise InvalidValue("a signing key begins with whsec_ (secret, v1) or whsk_ (ed25519 private key, v1a)")


def public_key(key: SigningKey) -> str:
    """What a receiver verifies `v1a` signatures with: `whpk_…`; '' for a `v1` key, which has no public part."""
    if key.kind == "v1":
        return ""
    return key.public or PUBLIC_PREFIX + _encoded(_public_bytes(_raw_key(key.secret)[:SEED_BYTES]))


def rotated(keys: Iterable[SigningKey], new_key: SigningKey, now: datetime, grace_s: float) -> tuple[SigningKey, ...]:
    """The keys once the new one takes over from those of its kind, newest first.

    Those that are replaced sign on for the grace period, but never longer than they would have; with a grace of 0
    they are gone at once. What has expired is left out.

    Raises: InvalidValue if that is more than 5 keys, the grace is not 0 to 30 days, or the new key is there already.
    """
    if not 0 <= grace_s <= GRACE_S_MAX:
        raise InvalidValue(f"the grace period of a signing key is 0 to {GRACE_S_MAX:,} s, not {grace_s}")
    kept = []
    for key in keys:
        if key.secret == new_key.secret:
            raise InvalidValue("this signing key is in use already; a new one must be different")
        if key.kind == new_key.kind:
            end = now + timedelta(seconds=grace_s)
            key = replace(key, expires_at=min(key.expires_at or end, end))
        if key.expires_at is None or key.expires_at > now:
            kept.append(key)
    if len(kept) >= KEYS_MAX:
        raise InvalidValue(
            f"at most {KEYS_MAX} signing keys at a time; wait until one has expired, or rotate without grace"
        )
    return (new_key, *sorted(kept, key=lambda key: key.created_at, reverse=True))


def _is_live(key: SigningKey, at_s: int) -> bool:
    return key.expires_at is None or key.expires_at.timestamp() > at_s


def _signature(key: SigningKey, content: bytes) -> str:
    if key.kind == "v1":
        return "v1," + _encoded(hmac.digest(_raw_key(key.secret), content, "sha256"))
    return "v1a," + _encoded(_signer(key.secret).sign(content))


@lru_cache(maxsize=_KEYS_REMEMBERED)
def _raw_key(secret: Secret) -> bytes:
    """The bytes behind the prefix; what is stored was checked when it was made."""
    return base64.b64decode(secret.reveal().partition("_")[2])


@lru_cache(maxsize=_KEYS_REMEMBERED)
def _signer(secret: Secret) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(_raw_key(secret)[:SEED_BYTES])


def _secret_key(raw: bytes, now: datetime) -> SigningKey:
    return SigningKey(id=new_id("sgk"), kind="v1", secret=Secret(SECRET_PREFIX + _encoded(raw)), created_at=now)


def _private_key(seed: bytes, now: datetime) -> SigningKey:
    """The pair of the seed, kept as seed and public key, which is how other senders write `whsk_` too."""
    public = _public_bytes(seed)
    return SigningKey(
        id=new_id("sgk"),
        kind="v1a",
        secret=Secret(PRIVATE_PREFIX + _encoded(seed + public)),
        created_at=now,
        public=PUBLIC_PREFIX + _encoded(public),
    )


def _public_bytes(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _decoded(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        # The cause is left out: it could quote the key.
        raise InvalidValue(f"{what} is not base64 behind its prefix") from None
