"""Keys of identity providers, kept in memory: asked for when they are missing or old, but never in a hurry.

Whoever sends tokens with made-up key ids must not make the hub ask the provider for each of them; and a provider that
is away for a while must not lock out everybody. Source: docs/decisions/0016-federated-tokens.md
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver
from joserfc.jwk import RSAKey

from matrixhub.deliveries.connections import Connections
from matrixhub.deliveries.jwks import JwksReader, Keys, KeySet
from matrixhub.model.egress import Allowance
from matrixhub.model.errors import DeliveryError, FederatedTokenRefused, IdentityProviderAway
from matrixhub.model.federation import IdentityApplication
from matrixhub.observe import Observe, ProviderKeysFailed, ProviderKeysRead

UNKNOWN_KID_S = 30.0
"""A key id that is not known makes the keys be read again, if they were not read so recently."""

FAILED_S = 5.0
"""After a read that failed the next one waits for so long."""

STALE_MAX_S = 6 * 3_600.0
"""So long after they should have been read again keys are used while the provider is away."""

SETS_MAX = 1_000

Read = Callable[[IdentityApplication, frozenset[str]], Awaitable[KeySet]]


@dataclass(slots=True)
class _Held:
    """The keys of an application: what they are, until when they are fresh, and when they were asked for last."""

    source: tuple[str, str]
    keys: Keys
    fresh_until_s: float = float("-inf")
    tried_at_s: float = float("-inf")
    failed: str = ""
    reading: asyncio.Task[None] | None = None


class KeySets:
    """The keys of all applications that are in use."""

    def __init__(self, read: Read, observe: Observe, now_s: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._observe = observe
        self._now_s = now_s
        self._held: OrderedDict[str, _Held] = OrderedDict()

    async def key(self, application: IdentityApplication, kid: str, egress_allow: frozenset[str]) -> RSAKey:
        """The key of that id.

        Raises: FederatedTokenRefused if the provider has none, IdentityProviderAway if that cannot be known now.
        """
        held = self._of(application)
        if self._should_read(held, kid):
            if held.reading is None:
                held.reading = asyncio.create_task(
                    self._renew(held, application, egress_allow), name=f"keys of {application.id}"
                )
            # Whoever began it may go away; the others wait for the same read.
            await asyncio.shield(held.reading)
        now_s = self._now_s()
        if now_s >= held.fresh_until_s + STALE_MAX_S:
            raise IdentityProviderAway(f"the keys of {application.id} cannot be read: {held.failed}")
        found = held.keys.get(kid)
        if found is not None:
            return found
        if held.failed:
            raise IdentityProviderAway(f"the keys of {application.id} cannot be read: {held.failed}")
        raise FederatedTokenRefused("the token is signed with a key that its issuer does not publish")

    async def close(self) -> None:
        """End the reads that are under way."""
        under_way = [held.reading for held in self._held.values() if held.reading is not None]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    def _of(self, application: IdentityApplication) -> _Held:
        source = (application.jwks_url, application.ca_pem)
        held = self._held.get(application.id)
        if held is None or held.source != source:
            held = self._held[application.id] = _Held(source, {})
        self._held.move_to_end(application.id)
        if len(self._held) > SETS_MAX:
            self._held.popitem(last=False)
        return held

    def _should_read(self, held: _Held, kid: str) -> bool:
        now_s = self._now_s()
        if held.reading is not None:
            return kid not in held.keys or now_s >= held.fresh_until_s
        since_s = now_s - held.tried_at_s
        if now_s >= held.fresh_until_s:
            return since_s >= FAILED_S
        return kid not in held.keys and since_s >= UNKNOWN_KID_S

    async def _renew(self, held: _Held, application: IdentityApplication, egress_allow: frozenset[str]) -> None:
        held.tried_at_s = self._now_s()
        try:
            found = await self._read(application, egress_allow)
        except DeliveryError as error:
            held.failed = error.message
            stale = int(bool(held.keys))
            self._observe(ProviderKeysFailed(application=application.id, error=error.message, stale=stale))
        else:
            held.keys, held.failed = found.keys, ""
            held.fresh_until_s = self._now_s() + found.kept_s
            self._observe(ProviderKeysRead(application=application.id, keys=len(found.keys)))
        finally:
            held.reading = None


@contextlib.asynccontextmanager
async def open_key_sets(
    allowed_to_all: Allowance, observe: Observe, resolver: AbstractResolver | None = None
) -> AsyncIterator[KeySets]:
    """Key sets with connections of their own, past the egress guard. The resolver is the system's unless given."""
    reader = JwksReader(Connections(allowed_to_all, resolver or aiohttp.ThreadedResolver()))
    key_sets = KeySets(reader.read, observe)
    try:
        yield key_sets
    finally:
        await key_sets.close()
        await reader.close()
