"""Keys in memory: asked for once while nothing that decides on access has changed."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from matrixhub.model.key import AccessPair
from matrixhub.modules.access import AccessBook
from matrixhub.modules.access import book as module
from matrixhub.store import Database
from matrixhub.store.sealing import Sealer
from matrixhub.store.versions import Versions

SEALER = Sealer("0f" * 32)


class Counted:
    """The number of scope `access`, and a store of pairs that counts how often it is asked."""

    def __init__(self) -> None:
        self.number = 1
        self.loads = 0
        self.pairs: dict[str, Any] = {}
        self.loading = asyncio.Event()
        self.holding: asyncio.Event | None = None

    async def current(self, scope: str) -> list[int]:
        await asyncio.sleep(0)
        return [self.number]

    async def find_access_pair(self, _database: Database, _sealer: Sealer, access_key: str) -> Any:
        self.loads += 1
        self.loading.set()
        found = self.pairs.get(access_key)
        if self.holding is not None:
            await self.holding.wait()
        return found

    def change(self, **pairs: Any) -> None:
        self.pairs |= pairs
        self.number += 1


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    made = Counted()
    monkeypatch.setattr(module, "find_access_pair", made.find_access_pair)
    return made


@pytest.fixture
def book(counted: Counted) -> AccessBook:
    return AccessBook(cast(Database, None), cast(Versions, counted), SEALER)


def pair(name: str) -> AccessPair:
    return cast(AccessPair, f"the pair {name}")


async def test_a_key_is_loaded_once_and_anew_after_a_change(counted: Counted, book: AccessBook) -> None:
    counted.change(a=pair("a"))
    assert [await book.find_pair("a") for _ in range(3)] == [pair("a")] * 3
    assert counted.loads == 1
    counted.change(a=None)
    assert await book.find_pair("a") is None
    assert counted.loads == 2


async def test_that_there_is_no_such_key_is_remembered_until_there_is(counted: Counted, book: AccessBook) -> None:
    assert [await book.find_pair("a") for _ in range(3)] == [None] * 3
    assert counted.loads == 1
    counted.change(a=pair("a"))
    assert await book.find_pair("a") == pair("a")


async def test_what_cannot_be_an_access_key_is_not_looked_for(counted: Counted, book: AccessBook) -> None:
    assert [await book.find_pair(text) for text in ("", "a;b", "é", "a\x00", "a" * 200)] == [None] * 5
    assert counted.loads == 0


async def test_who_asks_for_the_same_at_the_same_time_waits_for_one_load(counted: Counted, book: AccessBook) -> None:
    counted.change(a=pair("a"))
    assert await asyncio.gather(*(book.find_pair("a") for _ in range(50))) == [pair("a")] * 50
    assert counted.loads == 1


async def test_what_was_loaded_before_a_change_is_not_kept_after_it(counted: Counted, book: AccessBook) -> None:
    counted.change(a=pair("old"))
    counted.holding = asyncio.Event()
    slow = asyncio.create_task(book.find_pair("a"))
    await counted.loading.wait()
    counted.change(a=pair("new"), b=pair("b"))
    release, counted.holding = counted.holding, None
    assert await book.find_pair("b") == pair("b")  # the book is at the new number
    release.set()
    assert await slow == pair("old")  # it had asked before the change
    assert await book.find_pair("a") == pair("new")


async def test_memory_is_bounded(counted: Counted, book: AccessBook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENTRIES_MAX", 10)
    counted.change(**{f"k{number}": pair(str(number)) for number in range(100)})
    for number in range(100):
        assert await book.find_pair(f"k{number}")
        assert await book.find_pair(f"none{number}") is None
        assert await book.find_pair("k0")
    assert (len(book._kept), len(book._none), len(book._loading)) == (10, 10, 0)
    loads = counted.loads
    assert await book.find_pair("k0")
    assert counted.loads == loads
