"""Access tokens shared by all workers: the port `TokenStore` on PostgreSQL.

The right to renew is a lease in the token's row: taken, given back and fenced by single statements, so that no
transaction is open while a token server is asked. Source: docs/decisions/0008-tokens.md
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from matrixhub.model.destination import Auth
from matrixhub.model.errors import LeaseLost, StoreError
from matrixhub.model.ids import SubscriptionId, new_id
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import Subscription
from matrixhub.ports import Token
from matrixhub.store.dedicated import DedicatedConnection
from matrixhub.store.sealing import Sealer
from matrixhub.store.sql import load_statements

RENEWAL_SLACK_S = 10.0
"""So much longer than the token call may take, the right to renew is held."""

_VERSION_BYTES = 8
_WAIT_MIN_S, _WAIT_MAX_S, _WAIT_GROWTH = 0.025, 0.25, 1.6

SQL = load_statements("tokens.sql")

Step = Literal["take", "wait", "found", "outdated"]


@dataclass(slots=True)
class PostgresRenewal:
    """The port `Renewal`."""

    token: Token | None
    mine: bool
    lapsed: bool
    version: int
    subscription: Subscription
    config: bytes
    store: PostgresTokens
    saved: bool = False

    async def save(self, access_token: Secret, expires_at_ms: int, refresh_token: Secret | None) -> Token:
        """Keep a new token. See `Renewal.save`."""
        token = await self.store.save(self, access_token, expires_at_ms, refresh_token)
        self.saved = True
        return token


class PostgresTokens:
    """The port `TokenStore`."""

    def __init__(self, dsn: str, sealer: Sealer, *, slack_s: float = RENEWAL_SLACK_S) -> None:
        self._connection = DedicatedConnection(dsn, "tokens")
        self._lock = asyncio.Lock()
        self._sealer = sealer
        self._slack_s = slack_s
        self._owed: dict[SubscriptionId, str] = {}

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def current(self, subscription: Subscription) -> Token | None:
        """The token in force. See `TokenStore.current`."""
        config = config_digest(subscription, self._sealer)
        row = await self._row("state", subscription.id)
        if row is None or row["config_digest"][_VERSION_BYTES:] != config[_VERSION_BYTES:]:
            return None
        return self._token(subscription, row)

    @contextlib.asynccontextmanager
    async def renewing(self, subscription: Subscription, seen_version: int) -> AsyncIterator[PostgresRenewal]:
        """The right to renew. See `TokenStore.renewing`."""
        holder = new_id("rnw")
        renewal = await self._wait_for_right(subscription, seen_version, holder)
        try:
            yield renewal
        finally:
            if renewal.mine and not renewal.saved:
                # Where that cannot be said now, it is said before the next renewal, or else the right lapses.
                with contextlib.suppress(StoreError):
                    await self._give_back(subscription.id, holder)

    async def save(
        self, renewal: PostgresRenewal, access_token: Secret, expires_at_ms: int, refresh_token: Secret | None
    ) -> Token:
        """Keep a new token. See `Renewal.save`."""
        subscription = renewal.subscription
        document = {"access_token": access_token.reveal()}
        if refresh_token is not None:
            document["refresh_token"] = refresh_token.reveal()
        sealed = self._sealer.seal(Secret(msgspec.json.encode(document).decode()), _owner(subscription))
        expires_at = datetime.fromtimestamp(expires_at_ms / 1000, UTC)
        row = await self._row("save", subscription.id, renewal.version, renewal.config, sealed, expires_at)
        if row is None:
            raise LeaseLost(f"{subscription.id}: another worker has renewed the token")
        return Token(
            access_token=access_token,
            expires_at_ms=expires_at_ms,
            version=row["version"],
            refresh_token=refresh_token,
        )

    async def _wait_for_right(self, subscription: Subscription, seen_version: int, holder: str) -> PostgresRenewal:
        config = config_digest(subscription, self._sealer)
        lease_s = subscription.policy.total_timeout_s + self._slack_s
        wait_s = _WAIT_MIN_S
        if subscription.id in self._owed:
            await self._give_back(subscription.id, self._owed[subscription.id])
        try:
            async with asyncio.timeout(2 * lease_s):
                while True:
                    row = await self._row("state", subscription.id)
                    step = next_step(row, config, seen_version)
                    if step == "outdated":
                        raise LeaseLost(f"{subscription.id}: the authentication was configured anew")
                    if row is not None and step == "found":
                        return self._renewal(subscription, config, row, mine=False)
                    if row is None and await self._row("create", subscription.id, config) is None:
                        await self._require(subscription)
                    if step == "take":
                        row = await self._row("take", subscription.id, config, holder, seen_version, lease_s)
                        if row is not None:
                            return self._renewal(subscription, config, row, mine=True)
                    await asyncio.sleep(wait_s)
                    wait_s = min(wait_s * _WAIT_GROWTH, _WAIT_MAX_S)
        except TimeoutError as error:
            raise StoreError(f"{subscription.id}: other workers do not come to an end of renewing its token") from error

    async def _give_back(self, subscription_id: SubscriptionId, holder: str) -> None:
        self._owed[subscription_id] = holder
        await self._row("give_back", subscription_id, holder)
        self._owed.pop(subscription_id, None)

    async def _require(self, subscription: Subscription) -> None:
        if await self._row("state", subscription.id) is None:
            raise LeaseLost(f"there is no subscription {subscription.id} any more")

    def _renewal(self, subscription: Subscription, config: bytes, row: Any, *, mine: bool) -> PostgresRenewal:
        return PostgresRenewal(
            token=self._token(subscription, row),
            mine=mine,
            lapsed=mine and row["lapsed"],
            version=row["version"],
            subscription=subscription,
            config=config,
            store=self,
        )

    def _token(self, subscription: Subscription, row: Any) -> Token | None:
        if row["sealed"] is None:
            return None
        text = self._sealer.open(row["sealed"], _owner(subscription)).reveal()
        document = msgspec.json.decode(text, type=dict[str, str])
        refresh_token = document.get("refresh_token")
        return Token(
            access_token=Secret(document["access_token"]),
            expires_at_ms=round(row["expires_at"].timestamp() * 1000),
            version=row["version"],
            refresh_token=None if refresh_token is None else Secret(refresh_token),
        )

    async def _row(self, statement: str, *arguments: object) -> Any:
        """The row a statement finds, or None. The connection serves one at a time."""
        async with self._lock:
            rows: Sequence[Any] = await self._connection.fetch(SQL[statement], arguments)
        return rows[0] if rows else None


def next_step(row: Any, config: bytes, seen_version: int) -> Step:
    """What to do about a token in the state of the row. The statement `take` asks the same again, atomically."""
    if row is None:
        return "take"
    if row["config_digest"][_VERSION_BYTES:] != config[_VERSION_BYTES:]:
        return "take" if row["config_digest"][:_VERSION_BYTES] <= config[:_VERSION_BYTES] else "outdated"
    if row["sealed"] is not None and row["version"] != seen_version:
        return "found"
    return "wait" if row["renewing"] else "take"


def config_digest(subscription: Subscription, sealer: Sealer) -> bytes:
    """By which it is known whether a token was granted for this authentication, and which of two is the newer."""
    digest = sealer.digest(Secret(msgspec.json.encode(_revealed(subscription.destination.auth)).decode()))
    return subscription.version.to_bytes(_VERSION_BYTES, "big") + digest


def _revealed(auth: Auth) -> dict[str, object]:
    values = {field.name: getattr(auth, field.name) for field in fields(auth)}
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in values.items()}


def _owner(subscription: Subscription) -> str:
    return f"{subscription.id} token"
