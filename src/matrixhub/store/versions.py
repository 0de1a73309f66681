"""Numbers that say whether what is kept in memory is still what is in the database.

Source: docs/decisions/0013-versions.md
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from matrixhub.model.ids import BuildingId, PropertyId
from matrixhub.store.pool import Database

ACCESS = "access"
"""Keys, roles and whatever else decides who may do what."""

_READ = "select scope, number from versions where scope = any($1)"


def building_scope(building_id: BuildingId) -> str:
    """The number that counts changes of a building, its levels, zones and slots."""
    return f"building:{building_id}"


def property_scope(property_id: PropertyId) -> str:
    """The number that counts changes of a property itself."""
    return f"property:{property_id}"


class Versions:
    """Reads numbers, those of many callers at once.

    A caller gets what was read after it asked, so that it sees what was committed before. Callers that come while a
    read is under way share the next one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, list[asyncio.Future[int]]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def current(self, *scopes: str) -> Sequence[int]:
        """The numbers of the scopes, 0 where nothing was ever changed. Raises StoreError."""
        loop = asyncio.get_running_loop()
        asked: list[asyncio.Future[int]] = []
        for scope in scopes:
            future: asyncio.Future[int] = loop.create_future()
            self._waiting.setdefault(scope, []).append(future)
            asked.append(future)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="versions")
        return await asyncio.gather(*asked)

    async def close(self) -> None:
        """End the read that is under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, {}
                try:
                    numbers = await self._numbers(list(asked))
                except Exception as error:  # noqa: BLE001 - it is raised where it was asked
                    _fail(asked, error)
                else:
                    _answer(asked, numbers)
        finally:
            self._reading = None

    async def _numbers(self, scopes: Sequence[str]) -> Mapping[str, int]:
        async with self._database.connection() as connection:
            return {row["scope"]: row["number"] for row in await connection.fetch(_READ, scopes)}


def _answer(asked: Mapping[str, Sequence[asyncio.Future[int]]], numbers: Mapping[str, int]) -> None:
    for scope, futures in asked.items():
        for future in futures:
            if not future.done():  # whoever asked may be gone
                future.set_result(numbers.get(scope, 0))


def _fail(asked: Mapping[str, Sequence[asyncio.Future[int]]], error: Exception) -> None:
    for futures in asked.values():
        for future in futures:
            if not future.done():
                future.set_exception(error)
