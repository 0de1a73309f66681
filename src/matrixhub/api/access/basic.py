"""An access key and its secret as they are: `Authorization: Basic …`.

Source: RFC 7617, docs/contract/web-services.md §3.2
"""

from __future__ import annotations

import base64
import binascii
import hmac

from matrixhub.api.access.credentials import Credentials
from matrixhub.api.access.proof import pair_identity, proven
from matrixhub.api.parts import Parts
from matrixhub.model.access import Identity
from matrixhub.model.errors import Unauthorised
from matrixhub.model.key import is_access_key
from matrixhub.model.secret import Secret


async def identify_basic(parts: Parts, credentials: Credentials) -> Identity:
    """Whose pair it is. Raises: Unauthorised, TooManyWrong, StoreError."""
    access_key, given = read_basic(credentials.authorization)
    now = parts.platform.now()
    pair = await proven(
        parts,
        credentials,
        "basic",
        access_key,
        lambda: parts.access.book.find_pair(access_key),
        lambda pair: any(_same(secret, given) for secret in pair.secrets_at(now)),
    )
    return pair_identity(pair, "basic")


def read_basic(authorization: str) -> tuple[str, Secret]:
    """Access key and secret of a header, in UTF-8. The access key ends at the first colon.

    Raises: Unauthorised.

    >>> access_key, secret = read_basic("Basic ZGVtby1rZXkvMDAwMTpkZW1vLXNlY3JldC0wMDAx")
    >>> access_key, secret.reveal()
    ('demo-key/0001', 'demo-secret-0001')
    """
    packed = authorization.strip().partition(" ")[2].strip()
    try:
        text = base64.b64decode(packed.encode("ascii"), validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise Unauthorised("Basic is followed by the base64 of <access key>:<secret> in UTF-8") from error
    access_key, colon, secret = text.partition(":")
    if not colon or not is_access_key(access_key):
        raise Unauthorised("Basic is followed by the base64 of <access key>:<secret> in UTF-8")
    return access_key, Secret(secret)


def _same(secret: Secret, given: Secret) -> bool:
    """Compared in a time that does not tell how much is the same."""
    return hmac.compare_digest(secret.reveal().encode(), given.reveal().encode())
