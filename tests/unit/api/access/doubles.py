"""The parts that a scheme needs, without a database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

from matrixhub.api.parts import Parts
from matrixhub.model.access import PROPERTY_ADMINS
from matrixhub.model.ids import KeyId, PropertyId
from matrixhub.model.key import AccessPair
from matrixhub.model.secret import Secret
from matrixhub.modules.access import DEFAULT_RATE, Access, AccessBook, Limiter, Slowdown
from matrixhub.observe import ignore

NOW_S = 1_710_029_109
PROPERTY = PropertyId("5b1e0c7a9d2f4e63a8b4c1d09e77f210")
NOW = datetime.fromtimestamp(NOW_S, UTC)

PAIR = AccessPair(
    key_id=KeyId("key_1"),
    property_id=PROPERTY,
    access_key="demo-key/0001",
    name="demo",
    role_id=PROPERTY_ADMINS,
    replay_protected=False,
    rate=None,
    secret=Secret("demo-secret-0001"),
    previous_secret=None,
    previous_until=None,
    expires_at=None,
)


class FixedBook:
    """A book with these pairs and no bearer key."""

    def __init__(self, pairs: Sequence[AccessPair]) -> None:
        self._pairs = {pair.access_key: pair for pair in pairs}

    async def find_pair(self, access_key: str) -> AccessPair | None:
        return self._pairs.get(access_key)

    async def find_bearer(self, token: str) -> None:
        return None


def parts_with(*pairs: AccessPair, now: datetime = NOW, unsigned: bool = False, wrong_max: int = 1_000_000) -> Parts:
    """Parts that know these pairs, at an instant that stands still."""
    access = Access(
        book=cast(AccessBook, FixedBook(pairs)),
        limiter=Limiter(DEFAULT_RATE),
        slowdown=Slowdown(ignore, wrong_max=wrong_max, now_s=lambda: 0.0),
        unsigned=unsigned,
    )
    platform = SimpleNamespace(now=lambda: now)
    return cast(Parts, SimpleNamespace(access=access, platform=platform, database=None, versions=None, clock=None))
