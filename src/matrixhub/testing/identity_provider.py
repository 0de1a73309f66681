"""An identity provider to try with: real HTTPS, a JWKS whose keys rotate, tokens of every kind, faults on request.

It knows nothing of how the hub verifies. Source: RFC 7515, RFC 7517, RFC 7519
"""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from matrixhub.testing.tls import LOCAL_NAMES, LocalAuthority

KEYS_PATH = "/.well-known/jwks.json"


@functools.lru_cache(maxsize=8)
def signing_key(number: int, bits: int = 2_048) -> rsa.RSAPrivateKey:
    """One of some keys, made when it is first wanted: making one takes long."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=bits)


def encoded(raw: bytes) -> str:
    """Base64 as JOSE has it."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def public_entry(kid: str, key: rsa.RSAPrivateKey) -> dict[str, str]:
    """The entry of a key in a JWKS."""
    numbers = key.public_key().public_numbers()
    modulus = numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": encoded(modulus), "e": "AQAB"}


def signed_token(header: Mapping[str, Any], claims: Mapping[str, Any], key: rsa.RSAPrivateKey) -> str:
    """A token with this header and these claims, whatever they say, signed as RS256 does."""
    text = ".".join(encoded(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    return f"{text}.{encoded(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider answers instead of its JWKS; `wait_s` before it does."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = 0.0


class IdentityProvider:
    """A provider that is up between entering and leaving its context.

    `keys` maps ids to keys, as the JWKS has them now; `reads` counts how often it was asked for. `fault` takes the
    place of its answer while it is set.
    """

    def __init__(self, *, authority: LocalAuthority | None = None, now_s: Callable[[], float] = time.time) -> None:
        self.authority = authority or LocalAuthority()
        self.keys: dict[str, rsa.RSAPrivateKey] = {"k1": signing_key(1)}
        self.cache_control = "public, max-age=600"
        self.fault: Answer | None = None
        self.reads = 0
        self._now_s = now_s
        self._port = 0
        self._runner: web.AppRunner | None = None

    @property
    def issuer(self) -> str:
        """`iss` of its tokens."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def jwks_url(self) -> str:
        """Where its keys are."""
        return self.issuer + KEYS_PATH

    def claims(self, audience: str, **changes: Any) -> dict[str, Any]:
        """The claims of an identity token; `changes` replace some, or take away those that are None."""
        now = int(self._now_s())
        claims = {"iss": self.issuer, "aud": audience, "sub": "user-1", "iat": now, "exp": now + 600, **changes}
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, audience: str, kid: str = "k1", **changes: Any) -> str:
        """An identity token, signed with one of the keys."""
        return signed_token(
            {"alg": "RS256", "typ": "JWT", "kid": kid}, self.claims(audience, **changes), self.keys[kid]
        )

    async def __aenter__(self) -> IdentityProvider:
        app = web.Application()
        app.router.add_get(KEYS_PATH, self._jwks)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
        await self._runner.setup()
        context = self.authority.server_context(*LOCAL_NAMES)
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _jwks(self, _: web.Request) -> web.Response:
        self.reads += 1
        if self.fault is not None:
            await asyncio.sleep(self.fault.wait_s)
            return web.Response(status=self.fault.status, body=self.fault.body, headers=self.fault.headers)
        document = {"keys": [public_entry(kid, key) for kid, key in self.keys.items()]}
        return web.json_response(document, headers={"Cache-Control": self.cache_control})
