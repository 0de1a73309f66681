"""Access tokens at hand: asked for once by all workers together, saved before use, and used until they expire.

A worker keeps what it has seen and asks the database only when that has expired or was refused. Renewing is the right
of one worker at a time; what the token server granted is committed before anything is done with it.
Source: docs/decisions/0008-tokens.md, docs/contract/data-push.md §3.2, §3.3
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from matrixhub.deliveries.auth.oauth2 import Granted
from matrixhub.model.destination import RefreshToken, TokenAuth
from matrixhub.model.errors import LeaseLost, ReauthorisationNeeded, StoreError, TokenFault
from matrixhub.model.ids import SubscriptionId
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import Subscription
from matrixhub.ports import Clock, Renewal, Token, TokenStore

TOKENS_MAX = 20_000
"""Tokens kept in memory; of more, those renewed longest ago are read from the database again."""

ROUNDS_MAX = 5
CLOSE_S = 2.0

AskTokenServer = Callable[[Subscription, Secret | None], Awaitable[Granted]]
"""Asks the token server of a subscription, with the refresh token in force. Raises TokenFault or EgressRefused."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A token, and the authentication it was granted for."""

    auth: TokenAuth
    token: Token


@dataclass(frozen=True, slots=True)
class _Unsaved:
    """What a token server granted when the database was away; `version` is that of the token it replaces."""

    auth: TokenAuth
    version: int
    granted: Granted


class Tokens:
    """The tokens of one process. Concurrent pushes of a subscription share a renewal."""

    def __init__(self, store: TokenStore, ask: AskTokenServer, clock: Clock) -> None:
        self._store = store
        self._ask = ask
        self._clock = clock
        self._held: OrderedDict[SubscriptionId, _Held] = OrderedDict()
        self._unsaved: dict[SubscriptionId, _Unsaved] = {}
        self._renewals: dict[tuple[SubscriptionId, TokenAuth], asyncio.Task[Token]] = {}

    def at_hand(self, subscription: Subscription, auth: TokenAuth) -> Token | None:
        """The token kept in memory, if it is still good."""
        held = self._held.get(subscription.id)
        if held is None or (held.auth is not auth and held.auth != auth):
            return None
        return held.token if held.token.expires_at_ms > self._clock.now_ms() else None

    async def get(self, subscription: Subscription, auth: TokenAuth, refused: Token | None = None) -> Token:
        """A token to use; not the one that the receiver has refused.

        Raises: TokenFault if there is none to be had, EgressRefused if the token server lies where pushes may not go.
        """
        refused_version = refused.version if refused else 0
        token = self.at_hand(subscription, auth)
        if token is not None:
            if token.version != refused_version:
                return token
            # It is not used again, though a new one may not be had at once.
            self._held[subscription.id] = _Held(auth, replace(token, expires_at_ms=0))
        token = await asyncio.shield(self._renewal(subscription, auth, refused_version))
        if token.version == refused_version:  # it was another push that asked, who did not know yet
            token = await asyncio.shield(self._renewal(subscription, auth, refused_version))
        return token

    async def close(self) -> None:
        """Let renewals under way come to their end for a moment, then cut them off."""
        under_way = list(self._renewals.values())
        if under_way:
            await asyncio.wait(under_way, timeout=CLOSE_S)
            for renewal in under_way:
                renewal.cancel()
            await asyncio.wait(under_way)

    def _renewal(self, subscription: Subscription, auth: TokenAuth, refused_version: int) -> asyncio.Task[Token]:
        """The renewal under way, begun now if there was none."""
        key = (subscription.id, auth)
        renewal = self._renewals.get(key)
        if renewal is None:
            # A task of its own: should the push be cancelled, what the server granted is saved all the same.
            renewal = asyncio.create_task(
                self._obtain(subscription, auth, refused_version), name=f"token {subscription.id}"
            )
            self._renewals[key] = renewal
            renewal.add_done_callback(lambda done: self._ended(key, done))
        return renewal

    def _ended(self, key: tuple[SubscriptionId, TokenAuth], done: asyncio.Task[Token]) -> None:
        self._renewals.pop(key, None)
        if not done.cancelled():
            done.exception()  # those who wait are told; with nobody waiting it is no news

    async def _obtain(self, subscription: Subscription, auth: TokenAuth, refused_version: int) -> Token:
        try:
            return self._keep(subscription, auth, await self._shared(subscription, auth, refused_version))
        except LeaseLost as error:
            self._forget(subscription)
            raise TokenFault(
                f"the authentication was configured anew, or renewed elsewhere: {error.message}"
            ) from error
        except StoreError as error:
            raise TokenFault(f"the access token cannot be read or saved: {error.message}") from error

    async def _shared(self, subscription: Subscription, auth: TokenAuth, refused_version: int) -> Token:
        """A token that is good: that of the database, or a new one. Raises TokenFault, StoreError."""
        held = self._held.get(subscription.id)
        if held is not None and held.auth == auth:
            seen_version = held.token.version  # expired or refused, as the caller has found
        else:
            found = await self._store.current(subscription)
            if found is not None and self._is_good(found, refused_version):
                return found
            seen_version = found.version if found else 0
        for _ in range(ROUNDS_MAX):
            async with self._store.renewing(subscription, seen_version) as renewal:
                late = subscription.id in self._unsaved  # granted a while ago, so it may have expired since
                token = await self._renew(subscription, auth, renewal) if renewal.mine else renewal.token
            if token is not None and ((renewal.mine and not late) or self._is_good(token, refused_version)):
                return token
            seen_version = token.version if token else 0
        raise TokenFault("tokens expire as soon as they are renewed")

    async def _renew(self, subscription: Subscription, auth: TokenAuth, renewal: Renewal) -> Token:
        """Ask the token server, and save what it grants before it is used. The right to do so is held."""
        version = renewal.token.version if renewal.token else 0
        unsaved = self._unsaved.pop(subscription.id, None)
        if unsaved is not None and unsaved.auth == auth and unsaved.version == version:
            granted = unsaved.granted
        else:
            granted = await self._asked(subscription, auth, renewal)
        kept = granted.refresh_token or (renewal.token.refresh_token if renewal.token else None)
        try:
            return await renewal.save(granted.access_token, granted.expires_at_ms, kept)
        except LeaseLost:
            raise
        except StoreError:
            self._unsaved[subscription.id] = _Unsaved(auth, version, granted)
            raise

    async def _asked(self, subscription: Subscription, auth: TokenAuth, renewal: Renewal) -> Granted:
        refresh_token = None
        if isinstance(auth, RefreshToken):
            stored = renewal.token.refresh_token if renewal.token else None
            refresh_token = stored or auth.refresh_token
        try:
            return await self._ask(subscription, refresh_token)
        except ReauthorisationNeeded as error:
            # It may be another worker that made it so; before a person is asked, look again.
            found = await self._store.current(subscription)
            before = renewal.token.version if renewal.token else 0
            if renewal.lapsed or (found.version if found else 0) != before:
                raise TokenFault(f"another worker may have renewed meanwhile: {error.message}") from error
            raise

    def _is_good(self, token: Token, refused_version: int) -> bool:
        return token.version != refused_version and token.expires_at_ms > self._clock.now_ms()

    def _keep(self, subscription: Subscription, auth: TokenAuth, token: Token) -> Token:
        self._held[subscription.id] = _Held(auth, token)
        self._held.move_to_end(subscription.id)
        if len(self._held) > TOKENS_MAX:
            self._held.popitem(last=False)
        return token

    def _forget(self, subscription: Subscription) -> None:
        self._held.pop(subscription.id, None)
        self._unsaved.pop(subscription.id, None)
