"""What ends is waited for, but not for ever."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from matrixhub.lifecycle import closed_within, end_within


@contextlib.asynccontextmanager
async def _resource(leave: asyncio.Event, told: list[str]) -> AsyncIterator[str]:
    try:
        yield "open"
    finally:
        await leave.wait()
        told.append("closed")


async def test_a_resource_that_closes_is_waited_for() -> None:
    leave, told, gave_up = asyncio.Event(), list[str](), list[str]()
    async with closed_within(_resource(leave, told), gave_up.append) as value:
        assert value == "open"
        asyncio.get_running_loop().call_soon(leave.set)
    assert told == ["closed"]
    assert gave_up == []


async def test_a_resource_that_does_not_close_is_left_and_it_is_told_where_it_hangs() -> None:
    leave, told, gave_up = asyncio.Event(), list[str](), list[str]()
    async with closed_within(_resource(leave, told), gave_up.append, limit_s=0.01):
        pass
    assert told == []
    (where,) = gave_up
    assert "_leave" in where
    assert "Event.wait" in where


async def test_the_block_raises_what_it_raises_whether_or_not_its_resource_closes() -> None:
    gave_up = list[str]()
    with pytest.raises(LookupError):
        async with closed_within(_resource(asyncio.Event(), []), gave_up.append, limit_s=0.01):
            raise LookupError
    assert len(gave_up) == 1


async def test_what_an_end_raises_is_raised() -> None:
    async def end() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await end_within(end, lambda where: None)


async def test_an_end_that_cannot_be_cancelled_holds_nobody() -> None:
    leave, gave_up = asyncio.Event(), list[str]()

    async def end() -> None:
        while not leave.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await leave.wait()

    await end_within(end, gave_up.append, limit_s=0.01)
    assert len(gave_up) == 1
    leave.set()
    await asyncio.sleep(0)
