"""Whoever follows a stream can be told to stop at any moment."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from matrixhub.bus.nats import _PullReader


class _Subscription:
    async def unsubscribe(self) -> None:
        """Nothing more comes."""


class _Client:
    def new_inbox(self) -> str:
        return "inbox"

    async def subscribe(self, _inbox: str, **_how: Any) -> _Subscription:
        return _Subscription()

    async def publish(self, _subject: str, _body: bytes, *, reply: str) -> None:
        assert reply == "inbox"


@pytest.mark.parametrize("turns", range(6))
async def test_a_follower_that_is_cancelled_as_a_message_comes_ends(turns: int) -> None:
    reader = _PullReader(_Client(), "next")  # type: ignore[arg-type]

    async def follow() -> None:
        async for _ in reader.batches():
            pass

    following = asyncio.create_task(follow())
    for _ in range(3):
        await asyncio.sleep(0)
    reader._heard.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    following.cancel()
    done, _ = await asyncio.wait({following}, timeout=1)
    assert done
    assert following.cancelled()
