"""Publishing while JetStream is away but NATS is there, which says so at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from nats.aio.client import Client

from matrixhub.bus.nats import NatsBus, StreamSettings
from matrixhub.observe import Fact
from matrixhub.ports import Outgoing


async def test_what_is_refused_at_once_is_not_repeated_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(messages: Sequence[Any]) -> list[None]:
        await asyncio.sleep(0)
        return [None] * len(messages)

    facts: list[Fact] = []
    bus = NatsBus(Client(), cast(StreamSettings, None), facts.append, stream="S", subjects="s.>")
    monkeypatch.setattr(bus, "_publish_once", refuse)
    message = Outgoing(subject="s.a", data=b"{}", items=1, id="m")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await bus.publish([message])
    assert len(facts) == 1
