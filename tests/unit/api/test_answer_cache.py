"""Answers are kept while nothing has changed, made once for many, and dropped when there is no room."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from matrixhub.api.actions.cache import AnswerCache

KEY = ("scgrids.buildingZoneMap", "p", "b", "")


def found(cache: AnswerCache, *versions: int, now_s: float = 0.0, key: tuple[str, ...] = KEY) -> bytes | None:
    return cache.find(key, versions, now_s=now_s, age_max_s=10.0)


def test_an_answer_is_kept_for_its_versions_and_its_time() -> None:
    cache = AnswerCache()
    cache.keep(KEY, (1, 2), b"map", now_s=0.0)
    assert found(cache, 1, 2, now_s=10.0) == b"map"
    assert found(cache, 1, 3) is None
    assert found(cache, 1, 2, now_s=10.1) is None
    assert found(cache, 1, 2, key=("other",)) is None


def test_the_least_recently_used_answers_make_room() -> None:
    cache = AnswerCache(size_max=10)
    for name in ("a", "b"):
        cache.keep((name,), (1,), b"12345", now_s=0.0)
    assert found(cache, 1, key=("a",))
    cache.keep(("c",), (1,), b"12345", now_s=0.0)
    assert [name for name in "abc" if found(cache, 1, key=(name,))] == ["a", "c"]
    cache.keep(("d",), (1,), b"x" * 11, now_s=0.0)
    assert found(cache, 1, key=("d",)) is None
    assert found(cache, 1, key=("c",)), "what is too large to keep drives out nothing"


def test_another_answer_to_the_same_takes_the_room_of_the_one_before() -> None:
    cache = AnswerCache(size_max=10)
    for turn in range(5):
        cache.keep(KEY, (turn,), b"1234567890", now_s=0.0)
    assert found(cache, 4) == b"1234567890"


class Maker:
    """Makes an answer when it is let."""

    def __init__(self, answer: bytes | Exception = b"map") -> None:
        self.times = 0
        self.go = asyncio.Event()
        self._answer = answer

    async def __call__(self) -> bytes:
        self.times += 1
        await self.go.wait()
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def ask(cache: AnswerCache, make: Callable[[], Awaitable[bytes]], version: int = 1) -> asyncio.Task[bytes]:
    async def asking() -> bytes:
        return await cache.make(KEY, (version,), make, now_s=0.0)

    return asyncio.create_task(asking())


async def test_many_who_ask_at_once_share_one_answer() -> None:
    cache, make = AnswerCache(), Maker()
    asking = [ask(cache, make) for _ in range(20)]
    await asyncio.sleep(0)
    make.go.set()
    assert set(await asyncio.gather(*asking)) == {b"map"}
    assert make.times == 1
    assert found(cache, 1) == b"map"


async def test_who_read_another_version_gets_an_answer_of_its_own() -> None:
    cache, old, new = AnswerCache(), Maker(b"old"), Maker(b"new")
    first, second = ask(cache, old, 1), ask(cache, new, 2)
    old.go.set()
    new.go.set()
    assert (await first, await second) == (b"old", b"new")


async def test_what_goes_wrong_goes_wrong_for_all_who_wait_and_is_not_kept() -> None:
    cache, make = AnswerCache(), Maker(ValueError("no"))
    asking = [ask(cache, make) for _ in range(3)]
    await asyncio.sleep(0)
    make.go.set()
    assert [type(error) for error in await asyncio.gather(*asking, return_exceptions=True)] == [ValueError] * 3
    works = Maker()
    works.go.set()
    assert await ask(cache, works) == b"map"


async def test_somebody_else_makes_the_answer_where_the_first_is_gone() -> None:
    cache, make = AnswerCache(), Maker()
    first = ask(cache, make)
    await asyncio.sleep(0)
    second = ask(cache, make)
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    make.go.set()
    assert await second == b"map"
    assert make.times == 2
