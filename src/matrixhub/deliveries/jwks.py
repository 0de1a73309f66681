"""The keys of identity providers: read over HTTPS past the egress guard, and understood.

Source: docs/contract/web-services.md §3.3, RFC 7517, docs/decisions/0016-federated-tokens.md
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from yarl import URL

from matrixhub import __version__
from matrixhub.deliveries.connections import (
    FAULTS,
    Connections,
    Reach,
    client_timeout,
    describe_fault,
    read_some,
    tls_context,
)
from matrixhub.deliveries.egress import check_url
from matrixhub.model.egress import Allowance
from matrixhub.model.errors import DeliveryError, DestinationRefused, DestinationUnreachable, InvalidValue
from matrixhub.model.federation import IdentityApplication
from matrixhub.store import Database
from matrixhub.store.egress import list_egress

DOCUMENT_BYTES_MAX = 256 * 1024
KEYS_MAX = 64
KID_MAX = 256
CONNECT_S, TOTAL_S = 3.0, 5.0
"""A request waits for this, so it is short."""

KEPT_MIN_S, KEPT_MAX_S, KEPT_S = 60.0, 86_400.0, 3_600.0
"""How long keys are kept at least and at most, whatever the answer says, and where it says nothing."""

_MODULUS_BITS = range(2_048, 8_193)
_MODULUS_CHARACTERS_MAX = 1_400
_EXPONENT_CHARACTERS_MAX = 8
_MAX_AGE = re.compile(r"(?:^|,)\s*(?:(?P<no>no-store|no-cache)|max-age\s*=\s*\"?(?P<age>\d{1,9})\"?)\s*(?=,|$)", re.I)

Keys = Mapping[str, RSAKey]
"""Keys by their `kid`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeySet:
    """What a provider publishes, and how long it is good."""

    keys: Keys
    kept_s: float


class JwksReader:
    """Asks providers for their keys."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def read(self, application: IdentityApplication, egress_allow: frozenset[str]) -> KeySet:
        """The keys of an application's provider, as they are now.

        Raises: DeliveryError saying why there are none to be had.
        """
        reach = Reach(
            property_id=application.property_id,
            egress_allow=egress_allow,
            ca_pem=application.ca_pem,
            certificate=None,
            timeout=client_timeout(CONNECT_S, TOTAL_S),
        )
        headers = {
            "User-Agent": f"matrix-hub/{__version__}",
            "Accept": "application/json, application/jwk-set+json",
            "Accept-Encoding": "identity",
        }
        try:
            async with self._connections.get(URL(application.jwks_url), headers, reach) as response:
                if response.status != 200:
                    raise DestinationRefused(f"it answered HTTP {response.status}", http_status=response.status)
                body = await read_some(response, DOCUMENT_BYTES_MAX)
                if len(body) > DOCUMENT_BYTES_MAX:
                    raise DestinationUnreachable(f"its answer is larger than {DOCUMENT_BYTES_MAX:,} bytes")
                said = response.headers.getall("Cache-Control", [])
        except FAULTS as error:
            raise DestinationUnreachable(describe_fault(error)) from error
        return KeySet(keys=read_keys(body), kept_s=kept_s(said))

    async def close(self) -> None:
        """Close all connections."""
        await self._connections.close()


def read_keys(body: bytes) -> Keys:
    """The keys of a JWKS that RS256 can be verified with; others are passed over.

    Raises: DeliveryError if it is none, or has no such key.
    """
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DestinationUnreachable("its answer is not JSON") from error
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise DestinationUnreachable("its answer is no JWKS")
    keys: dict[str, RSAKey] = {}
    for entry in entries[:KEYS_MAX]:
        key = _key(entry)
        if key is not None:
            keys.setdefault(str(entry["kid"]), key)
    if not keys:
        raise DeliveryError("its JWKS has no RSA key of 2,048 bits or more with a kid")
    return keys


def _key(entry: Any) -> RSAKey | None:
    """The key of an entry, None if it is not for signatures of RS256."""
    if not isinstance(entry, dict) or entry.get("kty") != "RSA" or "d" in entry:
        return None
    kid, modulus, exponent = entry.get("kid"), entry.get("n"), entry.get("e")
    if not isinstance(kid, str) or not 0 < len(kid) <= KID_MAX:
        return None
    if entry.get("use", "sig") != "sig" or entry.get("alg", "RS256") != "RS256":
        return None
    if not isinstance(modulus, str) or not isinstance(exponent, str):
        return None
    if len(modulus) > _MODULUS_CHARACTERS_MAX or len(exponent) > _EXPONENT_CHARACTERS_MAX:
        return None
    try:
        if _whole(modulus).bit_length() not in _MODULUS_BITS or _whole(exponent) < 3:
            return None
        return RSAKey.import_key({"kty": "RSA", "n": modulus, "e": exponent})
    except (JoseError, ValueError):
        return None


def _whole(text: str) -> int:
    """Raises ValueError if it is no Base64 as JOSE has it."""
    return int.from_bytes(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True), "big")


def kept_s(cache_control: Sequence[str]) -> float:
    """How long keys are kept, by the headers of their answer.

    >>> kept_s(["public, max-age=19800, must-revalidate"]), kept_s([]), kept_s(["no-store"]), kept_s(["max-age=1"])
    (19800.0, 3600.0, 60.0, 60.0)
    """
    wanted = KEPT_S
    for found in _MAX_AGE.finditer(",".join(cache_control)):
        if found["no"]:
            return KEPT_MIN_S
        wanted = float(found["age"])
    return min(max(wanted, KEPT_MIN_S), KEPT_MAX_S)


async def check_keys_reach(
    database: Database, application: IdentityApplication, *, allowed_to_all: Sequence[str]
) -> None:
    """Refuse early what could never be reached: an address that the egress guard forbids, authorities that are none.

    Raises: InvalidValue, NotFound if there is no such property, StoreError.
    """
    own = [allowed.target for allowed in await list_egress(database, application.property_id)]
    check_url(application.jwks_url, Allowance.of([*allowed_to_all, *own]), application.property_id)
    if application.ca_pem:
        try:
            tls_context(application.ca_pem)
        except DestinationUnreachable as error:
            raise InvalidValue("ca_pem cannot be read", fields=[("ca_pem", "cannot be read")]) from error
