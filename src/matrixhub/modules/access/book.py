"""Keys, kept in memory while nothing that decides on access has changed.

Source: docs/decisions/0013-versions.md
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakValueDictionary

from matrixhub.model.key import AccessPair, is_access_key
from matrixhub.store.access_keys import find_access_pair
from matrixhub.store.keys import KeyRights, digest, find_key
from matrixhub.store.pool import Database
from matrixhub.store.sealing import Sealer
from matrixhub.store.versions import ACCESS, Versions

ENTRIES_MAX = 20_000
"""So many keys are kept, and as many texts that are none: those that were not asked for the longest make room."""

_Name = tuple[str, str | bytes]


class AccessBook:
    """Finds keys with no query but the shared one of the number, once they were asked for.

    A key that was revoked or rotated is not found from the commit on, in every process: the number is another one then.
    """

    def __init__(self, database: Database, versions: Versions, sealer: Sealer) -> None:
        self._database = database
        self._versions = versions
        self._sealer = sealer
        self._number = -1
        self._kept: OrderedDict[_Name, Any] = OrderedDict()
        self._none: OrderedDict[_Name, None] = OrderedDict()
        self._loading: WeakValueDictionary[_Name, asyncio.Lock] = WeakValueDictionary()

    async def find_pair(self, access_key: str) -> AccessPair | None:
        """The valid pair of an access key, whichever property it is of. Raises StoreError."""
        if not is_access_key(access_key):
            return None
        found: AccessPair | None = await self._find(
            ("pair", access_key), lambda: find_access_pair(self._database, self._sealer, access_key)
        )
        return found

    async def find_bearer(self, token: str) -> KeyRights | None:
        """What a bearer key may do, None if it is not valid. Raises StoreError."""
        found: KeyRights | None = await self._find(("bearer", digest(token)), lambda: find_key(self._database, token))
        return found

    async def _find(self, name: _Name, load: Callable[[], Awaitable[Any]]) -> Any:
        (number,) = await self._versions.current(ACCESS)
        if number != self._number:
            self._kept.clear()
            self._none.clear()
            self._number = number
        if name in self._kept or name in self._none:
            return self._known(name)
        # Of those who ask for the same at the same time one loads, and the others wait for it.
        lock = self._loading.setdefault(name, asyncio.Lock())
        async with lock:
            if name in self._kept or name in self._none:
                return self._known(name)
            found = await load()
            if number == self._number:
                self._keep(name, found)
            return found

    def _known(self, name: _Name) -> Any:
        if name in self._none:
            self._none.move_to_end(name)
            return None
        self._kept.move_to_end(name)
        return self._kept[name]

    def _keep(self, name: _Name, found: Any) -> None:
        where = self._none if found is None else self._kept
        where[name] = found
        if len(where) > ENTRIES_MAX:
            where.popitem(last=False)
