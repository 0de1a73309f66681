"""The port `TokenStore` in memory, with the rules of the real one but for sealing: for unit tests and benchmarks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from matrixhub.model.destination import Auth, NoAuth
from matrixhub.model.errors import LeaseLost, StoreError
from matrixhub.model.ids import SubscriptionId
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import Subscription
from matrixhub.ports import Token


@dataclass(slots=True)
class _Row:
    auth: Auth
    configured: int
    version: int = 0
    token: Token | None = None
    holder: object | None = None
    held_until: float = 0.0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


@dataclass(slots=True)
class MemoryRenewal:
    """The port `Renewal`."""

    token: Token | None
    mine: bool
    lapsed: bool
    store: MemoryTokens
    row: _Row
    auth: Auth
    version: int

    async def save(self, access_token: Secret, expires_at_ms: int, refresh_token: Secret | None) -> Token:
        """Keep a new token. See `Renewal.save`."""
        self.store.require_up()
        row = self.row
        if row.version != self.version or row.auth != self.auth:
            raise LeaseLost("another worker has renewed the token")
        row.version += 1
        row.token = Token(
            access_token=access_token, expires_at_ms=expires_at_ms, version=row.version, refresh_token=refresh_token
        )
        row.holder = None
        row.tell()
        return row.token


class MemoryTokens:
    """The port `TokenStore`; `down` makes it as if the database were away."""

    def __init__(self, *, slack_s: float = 10.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.down = False
        self._slack_s, self._monotonic = slack_s, monotonic
        self._rows: dict[SubscriptionId, _Row] = {}

    def require_up(self) -> None:
        """Raises: StoreError while down."""
        if self.down:
            raise StoreError

    async def current(self, subscription: Subscription) -> Token | None:
        """The token in force. See `TokenStore.current`."""
        self.require_up()
        row = self._rows.get(subscription.id)
        return row.token if row is not None and row.auth == subscription.destination.auth else None

    @contextlib.asynccontextmanager
    async def renewing(self, subscription: Subscription, seen_version: int) -> AsyncIterator[MemoryRenewal]:
        """The right to renew. See `TokenStore.renewing`."""
        auth, holder = subscription.destination.auth, object()
        while True:
            self.require_up()
            row = self._rows.setdefault(subscription.id, _Row(NoAuth(), 0))
            if row.auth != auth:
                if row.configured > subscription.version:
                    raise LeaseLost("the authentication was configured anew")
                row.auth, row.configured, row.token, row.holder = auth, subscription.version, None, None
            if row.token is not None and row.version != seen_version:
                yield MemoryRenewal(row.token, False, False, self, row, auth, row.version)
                return
            lapsed = row.holder is not None and row.held_until <= self._monotonic()
            if row.holder is None or lapsed:
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(row.held_until - self._monotonic()):
                    await row.changed.wait()
        row.holder = holder
        row.held_until = self._monotonic() + subscription.policy.total_timeout_s + self._slack_s
        try:
            yield MemoryRenewal(row.token, True, lapsed, self, row, auth, row.version)
        finally:
            if row.holder is holder:
                row.holder = None
                row.tell()
