"""Whether credentials prove what they say, with those who guess slowed down."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from matrixhub.api.access.credentials import Credentials
from matrixhub.api.parts import Parts
from matrixhub.model.access import Identity, Scheme
from matrixhub.model.errors import Unauthorised
from matrixhub.model.key import AccessPair

T = TypeVar("T")


async def proven(
    parts: Parts,
    credentials: Credentials,
    scheme: Scheme,
    key: str,
    load: Callable[[], Awaitable[T | None]],
    right: Callable[[T], bool],
) -> T:
    """What was loaded, if it is there and the credentials are right for it; `key` is what wrong ones are counted by.

    Raises: Unauthorised, TooManyWrong, StoreError.
    """
    slowdown, address = parts.access.slowdown, credentials.address
    slowdown.check(address, key)
    found = await load()
    slowdown.check(address, key)  # of guesses that were made at the same time, no more are looked at, either
    if found is None or not right(found):
        slowdown.wrong(address, key, scheme)
        raise Unauthorised("the credentials are wrong")
    slowdown.right(address, key)
    return found


def pair_identity(pair: AccessPair, scheme: Scheme) -> Identity:
    """Who holds a pair."""
    return Identity(
        scheme=scheme,
        id=pair.key_id,
        name=pair.key_id,
        property_id=pair.property_id,
        role_id=pair.role_id,
        rate=pair.rate,
        once=scheme == "schmac" and pair.replay_protected,
    )
