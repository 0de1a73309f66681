"""Identifiers: those of the wire contract, and our own with a visible prefix.

Source: docs/contract/README.md §4
"""

from __future__ import annotations

import re
import secrets
import uuid
from typing import NewType

PropertyId = NewType("PropertyId", str)
BuildingId = NewType("BuildingId", str)
LevelId = NewType("LevelId", str)
ZoneId = NewType("ZoneId", str)
SlotId = NewType("SlotId", str)
SubscriptionId = NewType("SubscriptionId", str)
WorkerId = NewType("WorkerId", str)
KeyId = NewType("KeyId", str)
SeatId = NewType("SeatId", str)
ShiftId = NewType("ShiftId", str)
TaskId = NewType("TaskId", str)
AuditId = NewType("AuditId", str)
ApplicationId = NewType("ApplicationId", str)
IdentityApplicationId = NewType("IdentityApplicationId", str)
MediaId = NewType("MediaId", str)
DatabaseId = NewType("DatabaseId", str)
BackfillId = NewType("BackfillId", str)

_NAMESPACE = uuid.UUID("8b0d5a3e-0c53-5c1d-9a94-1f6f0d6c2c11")
_PRINTABLE = re.compile(r"[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?")
_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-#")

ID_LENGTH_MAX = 128


def new_hex_id() -> str:
    """A fresh id in the form of the wire contract: 32 lower-case hexadecimal digits."""
    return uuid.uuid4().hex


def stable_hex_id(*parts: str) -> str:
    """The same 32 hexadecimal digits for the same parts, every time.

    >>> stable_hex_id("demo", "Lobby") == stable_hex_id("demo", "Lobby")
    True
    """
    return uuid.uuid5(_NAMESPACE, "\x1f".join(parts)).hex


def stable_uuid(*parts: str) -> str:
    """The same UUID with dashes for the same parts, every time."""
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join(parts)))


def new_id(prefix: str) -> str:
    """A fresh id of our own, such as `sub_1f0e6a5233bb4b0e9d1c`.

    >>> new_id("sub").startswith("sub_")
    True
    """
    return f"{prefix}_{secrets.token_hex(10)}"


def is_id(text: str) -> bool:
    """Whether the text can be an id: printable, no outer blanks, 1 to 128 characters.

    Published ids are 32 hexadecimal digits, but examples also show free text, so nothing narrower is asked.

    >>> is_id("c40d2f6e81b94a0c9e3375ab60d1f8e2"), is_id("Demo Site"), is_id(" x"), is_id("")
    (True, True, False, False)
    """
    return 0 < len(text) <= ID_LENGTH_MAX and _PRINTABLE.fullmatch(text) is not None


def subject_token(text: str) -> str:
    """The text as one word of a stream subject; different texts give different words.

    Letters, digits, `_`, `-` and `#` stand for themselves; every other byte of the UTF-8 form becomes `=XX`.
    Source: docs/decisions/0003-subjects.md

    >>> subject_token("SMARTCLEAN#UM"), subject_token("a.b *")
    ('SMARTCLEAN#UM', 'a=2Eb=20=2A')
    """
    if _SAFE.issuperset(text):
        return text
    return "".join(chr(b) if chr(b) in _SAFE else f"={b:02X}" for b in text.encode())
