"""Keys that requests are authenticated by: bearer keys, and pairs of an access key and its secret.

Source: docs/contract/web-services.md §3.5
"""

from __future__ import annotations

import re
import secrets
import string
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from matrixhub.model.access import Rate, RoleId
from matrixhub.model.ids import ApplicationId, KeyId, PropertyId
from matrixhub.model.secret import Secret

KeyKind = Literal["access", "bearer"]
"""A pair of access key and secret, for signatures and Basic; or one text that is sent as it is."""

ACCESS_KEY_LENGTH_MAX = 128

_ACCESS_KEY = re.compile(r"(?! )[\x20-\x3a\x3c-\x7e]{1,128}(?<! )")
_ALPHABET = string.ascii_letters + string.digits


def is_access_key(text: str) -> bool:
    """Whether the text can be an access key: ASCII without `;` and control characters, 1 to 128 characters.

    >>> is_access_key("demo-key/0001"), is_access_key("a=+/b"), is_access_key("a;b"), is_access_key("")
    (True, True, False, False)
    """
    return _ACCESS_KEY.fullmatch(text) is not None


def new_access_key() -> str:
    """A fresh access key, `mh/` and 20 letters and digits."""
    return "mh/" + "".join(secrets.choice(_ALPHABET) for _ in range(20))


def new_secret() -> Secret:
    """A fresh secret of 256 random bits."""
    return Secret(secrets.token_urlsafe(32))


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """A key as it may be shown: without its secret.

    `access_key` is that of a pair, `application_id` that of a bearer key which publishes events. After a rotation, the
    secret of before is good until `previous_until`. `rate` None is what the settings say.
    """

    id: KeyId
    property_id: PropertyId
    kind: KeyKind
    name: str
    role_id: RoleId
    access_key: str | None
    application_id: ApplicationId | None
    replay_protected: bool
    rate: Rate | None
    created_at: datetime
    rotated_at: datetime | None
    previous_until: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessPair:
    """A pair that was not revoked, with what proves who holds it."""

    key_id: KeyId
    property_id: PropertyId
    access_key: str
    name: str
    role_id: RoleId
    replay_protected: bool
    rate: Rate | None
    secret: Secret
    previous_secret: Secret | None
    previous_until: datetime | None
    expires_at: datetime | None

    def secrets_at(self, now: datetime) -> tuple[Secret, ...]:
        """The secrets that are good at an instant: none once it has expired, two for a while after a rotation."""
        if self.expires_at is not None and now >= self.expires_at:
            return ()
        if self.previous_secret is not None and self.previous_until is not None and now < self.previous_until:
            return self.secret, self.previous_secret
        return (self.secret,)
