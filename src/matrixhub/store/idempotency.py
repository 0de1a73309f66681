"""What was answered to requests with an Idempotency-Key: made once, answered the same for a day.

Answers are sealed as a whole, because that to a new signing key holds its secret, and so is the digest of the request,
which would let a weak password be guessed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec

from matrixhub.model.errors import KeyReused, StoreError
from matrixhub.model.ids import PropertyId
from matrixhub.model.secret import Secret
from matrixhub.store.pool import Database
from matrixhub.store.sealing import Sealer
from matrixhub.store.sql import load_statements

KEPT_S = 86_400.0

_SQL = load_statements("idempotency.sql")


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What was answered; `replayed` when it is told again."""

    status: int
    headers: dict[str, str]
    body: str
    replayed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Once:
    """A request that is to be done once: its key, unique within the property and naming who asks, and what it asks."""

    property_id: PropertyId
    key: str
    request: bytes

    @property
    def digest(self) -> str:
        """What tells this request from another under the same key."""
        return hashlib.sha256(self.request).hexdigest()

    @property
    def owner(self) -> str:
        """What its sealed answer belongs to."""
        return f"{self.property_id} {self.key}"


async def answered(database: Database, sealer: Sealer, once: Once) -> Answer | None:
    """What was answered to the request before, or None. Raises: KeyReused if that was another request, StoreError."""
    async with database.connection() as connection:
        sealed = await connection.fetchval(_SQL["find"], once.property_id, once.key, KEPT_S)
    if sealed is None:
        return None
    digest, status, headers, body = msgspec.json.decode(
        sealer.open(sealed, once.owner).reveal(), type=tuple[str, int, dict[str, str], str]
    )
    if digest != once.digest:
        raise KeyReused
    return Answer(status=status, headers=headers, body=body, replayed=True)


async def answer_once(
    database: Database, sealer: Sealer, once: Once, make: Callable[[Database], Awaitable[Answer]]
) -> Answer:
    """Make something and keep the answer, both in one transaction; or the answer that another request has made.

    `make` gets a database whose every step is part of the transaction. Two at once: one makes, the other waits for it.
    Raises: KeyReused, StoreError, and what `make` raises, after which nothing is kept.
    """
    async with database.joined() as joined:
        async with joined.connection() as connection:
            await connection.execute(_SQL["forget"], KEPT_S)
            taken = await connection.fetchval(_SQL["take"], once.property_id, once.key, KEPT_S)
        if taken is not None:
            made = await make(joined)
            packed = msgspec.json.encode((once.digest, made.status, made.headers, made.body)).decode()
            async with joined.connection() as connection:
                sealed = sealer.seal(Secret(packed), once.owner)
                await connection.execute(_SQL["keep"], once.property_id, once.key, sealed)
            return made
    before = await answered(database, sealer, once)
    if before is None:
        raise StoreError("the answer of another request under the same key went away; send it again")
    return before
