"""Answers that are kept while nothing they show has changed.

Source: docs/decisions/0013-versions.md
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

BYTES_MAX = 64 * 1024 * 1024

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Kept:
    versions: tuple[int, ...]
    made_at_s: float
    answer: bytes


class AnswerCache:
    """Whole answers, the least recently used of which make room for others."""

    def __init__(self, size_max: int = BYTES_MAX) -> None:
        self._size_max = size_max
        self._size = 0
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._making: dict[tuple[Key, tuple[int, ...]], asyncio.Future[bytes]] = {}

    def find(self, key: Key, versions: Sequence[int], *, now_s: float, age_max_s: float) -> bytes | None:
        """An answer that was made from the same versions, and is not older than that."""
        kept = self._kept.get(key)
        if kept is None or kept.versions != tuple(versions) or now_s - kept.made_at_s > age_max_s:
            return None
        self._kept.move_to_end(key)
        return kept.answer

    async def make(
        self, key: Key, versions: Sequence[int], make: Callable[[], Awaitable[bytes]], *, now_s: float
    ) -> bytes:
        """An answer that is made, and kept. Those who ask for the same meanwhile share it.

        Raises whatever `make` does.
        """
        what = key, tuple(versions)
        while (making := self._making.get(what)) is not None:
            await asyncio.wait([making])
            if not making.cancelled():  # who made it may have been cancelled; then somebody else does
                return making.result()
        making = self._making[what] = asyncio.get_running_loop().create_future()
        try:
            answer = await make()
        except Exception as error:
            making.set_exception(error)
            making.exception()  # those who wait raise it, too, and there may be none
            raise
        else:
            making.set_result(answer)
            self.keep(key, versions, answer, now_s=now_s)
            return answer
        finally:
            making.cancel()
            del self._making[what]

    def keep(self, key: Key, versions: Sequence[int], answer: bytes, *, now_s: float) -> None:
        """Keep an answer; `versions` were read before what it was made from."""
        before = self._kept.pop(key, None)
        self._size -= len(before.answer) if before is not None else 0
        if len(answer) > self._size_max:
            return
        self._kept[key] = _Kept(tuple(versions), now_s, answer)
        self._size += len(answer)
        while self._size > self._size_max:
            _, dropped = self._kept.popitem(last=False)
            self._size -= len(dropped.answer)
