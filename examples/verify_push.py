"""A receiver of pushes that takes only what the hub signed: a WSGI application without dependencies.

    PUSH_KEYS="whsec_…" python examples/verify_push.py

listens on 127.0.0.1:8000, for a proxy that speaks HTTPS. PUSH_KEYS holds one key or several, divided by blanks: while a
key is rotated, name the old and the new one. `whsec_…` verifies v1; `whpk_…` verifies v1a and needs the package
`cryptography`. Source: docs/contract/data-push.md §5.1
"""

from __future__ import annotations

import base64
import gzip
import hmac
import json
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from wsgiref.simple_server import make_server

TOLERANCE_S = 300
IDS_REMEMBERED = 10_000


def is_genuine(headers: Mapping[str, str], body: bytes, keys: Iterable[str], now_s: float) -> bool:
    """Whether one of the keys made one of the signatures, at about this time.

    Shape: the names of the headers are in lower case, body is as it came, packed or not.
    """
    request_id, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (at.isascii() and at.isdigit()) or abs(now_s - int(at)) > TOLERANCE_S:
        return False
    content = f"{request_id}.{at}.".encode() + body
    signatures = headers.get("webhook-signature", "").split(" ")
    return any(_fits(key, content, signature) for key in keys for signature in signatures)


def _fits(key: str, content: bytes, signature: str) -> bool:
    kind, _, key_text = key.partition("_")
    version, _, text = signature.partition(",")
    try:
        raw, given = base64.b64decode(key_text), base64.b64decode(text)
    except ValueError:
        return False
    if (kind, version) == ("whsec", "v1"):
        return hmac.compare_digest(hmac.digest(raw, content, "sha256"), given)
    return (kind, version) == ("whpk", "v1a") and _fits_public(raw, content, given)


def _fits_public(public: bytes, content: bytes, given: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(given, content)
    except InvalidSignature:
        return False
    return True


class Receiver:
    """The application. `taken` is called with each reading, once for each push however often that comes."""

    def __init__(
        self, keys: Iterable[str], taken: Callable[[dict[str, Any]], None], now_s: Callable[[], float] = time.time
    ) -> None:
        self._keys = tuple(keys)
        self._taken = taken
        self._now_s = now_s
        self._seen: OrderedDict[str, None] = OrderedDict()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        headers = {name[5:].replace("_", "-").lower(): text for name, text in environ.items() if name[:5] == "HTTP_"}
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if not is_genuine(headers, body, self._keys, self._now_s()):
            start_response("401 Unauthorized", [("Content-Length", "0")])
            return []
        # Unpacked only now that it is known who packed it.
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        request_id = headers["webhook-id"]
        if request_id not in self._seen:
            for text in json.loads(body):
                self._taken(json.loads(text))
            self._seen[request_id] = None
            if len(self._seen) > IDS_REMEMBERED:
                self._seen.popitem(last=False)
        start_response("204 No Content", [])
        return []


def main() -> None:
    """Print every reading that comes."""
    receiver = Receiver(os.environ["PUSH_KEYS"].split(), print)
    with make_server("127.0.0.1", 8000, receiver) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
