"""Signed requests: `Authorization: SCHMAC_V1;<access key>;<signature>` and `x-sc-time`.

Source: docs/contract/web-services.md §3.1
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

from matrixhub.api.access.credentials import Credentials
from matrixhub.api.access.proof import pair_identity, proven
from matrixhub.api.parts import Parts
from matrixhub.model.access import Identity
from matrixhub.model.errors import MissingParameters, Unauthorised
from matrixhub.model.key import AccessPair, is_access_key
from matrixhub.model.secret import Secret

SKEW_MAX_S = 300
"""So far may the time of a signature be off, either way."""

ALIASES: Mapping[str, str] = {
    "sctasks": "SCTasks",
    "scbi": "SCTasks",
    "screports": "SCReports",
    "smsgateway": "SMSGateway",
    "scpartnerssolutions": "SCPartnersSolutions",
}
"""What existing clients sign instead of the service."""

_TIME = re.compile(r"[0-9]{1,12}")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Signed:
    """What the header of a signed request says."""

    access_key: str
    signature: str


async def identify_schmac(parts: Parts, credentials: Credentials) -> Identity:
    """Who has signed. Raises: Unauthorised, MissingParameters without a property, TooManyWrong, StoreError."""
    if not credentials.of_operation:
        raise Unauthorised("SCHMAC_V1 signs operations; here the same access key and secret are taken as Basic")
    signed = read_schmac(credentials.authorization)
    now = parts.platform.now()
    check_time(credentials.time, now_s=int(now.timestamp()))
    if not credentials.property_id:
        raise MissingParameters("propid: missing in the query, and the signature covers it")

    def right(pair: AccessPair) -> bool:
        return any(is_signed(signed, credentials, secret) for secret in pair.secrets_at(now))

    pair = await proven(
        parts, credentials, "schmac", signed.access_key, lambda: parts.access.book.find_pair(signed.access_key), right
    )
    if pair.property_id != credentials.property_id:
        raise Unauthorised("the access key is of another property")
    return pair_identity(pair, "schmac")


def read_schmac(authorization: str) -> Signed:
    """Access key and signature of a header. Raises: Unauthorised if it has not exactly the three parts.

    >>> read_schmac("SCHMAC_V1;a/b=;" + "0" * 64).access_key
    'a/b='
    """
    parts = authorization.strip().split(";")
    if len(parts) != 3 or not is_access_key(parts[1]) or _SIGNATURE.fullmatch(parts[2]) is None:
        raise Unauthorised("the header is SCHMAC_V1;<access key>;<signature in lower-case hexadecimal>")
    return Signed(access_key=parts[1], signature=parts[2])


def check_time(text: str, *, now_s: int) -> None:
    """Whether the time of a signature, epoch seconds, is near enough. Raises: Unauthorised.

    >>> check_time("1710029109", now_s=1710029409)
    """
    if _TIME.fullmatch(text) is None:
        raise Unauthorised("x-sc-time is the time of the signature in epoch seconds")
    off_s = int(text) - now_s
    if abs(off_s) > SKEW_MAX_S:
        raise Unauthorised(f"x-sc-time is off by {off_s:+d} s; at most {SKEW_MAX_S} s are allowed")


def modules_of(service: str, operation: str) -> tuple[str, ...]:
    """The modules that may have been signed: the service, and what existing clients call it.

    Without a service, that which the name of the operation begins with.

    >>> modules_of("screports", "screports.getDataForAttendanceKPIs"), modules_of("", "scgrids.readZone")
    (('screports', 'SCReports'), ('scgrids',))
    """
    found = service or operation.partition(".")[0]
    return (found, ALIASES[found]) if found in ALIASES else (found,)


def string_to_sign(module: str, property_id: str, operation: str, access_key: str, time: str) -> str:
    """What a signature is made of.

    >>> string_to_sign("scgrids", "p", "scgrids.readZone", "key", "1710029109")
    'scgrids/p/scgrids.readZone/key/1710029109'
    """
    return "/".join((module, property_id, operation, access_key, time))


def signature(secret: Secret, text: str) -> str:
    """The signature of a text, in lower-case hexadecimal."""
    # A text from a query may hold half of a character; it is signed by nobody then, and must not be an exception.
    return hmac.digest(secret.reveal().encode(), text.encode("utf-8", "replace"), hashlib.sha256).hex()


def is_signed(signed: Signed, credentials: Credentials, secret: Secret) -> bool:
    """Whether the secret has signed the request, compared in a time that does not tell how much is the same."""
    expected = (
        signature(
            secret,
            string_to_sign(module, credentials.property_id, credentials.operation, signed.access_key, credentials.time),
        )
        for module in modules_of(credentials.service, credentials.operation)
    )
    return any(hmac.compare_digest(one, signed.signature) for one in expected)
