"""Puts tasks on Celery's queue, as the web process of a team would: one `apply_async` for each push."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

from bench.celery_tasks import push
from bench.child import serve
from bench.readings import Source, push_items


class Producer:
    """What the benchmark asks of this process."""

    def __init__(self) -> None:
        self._source = Source()
        self._pushes: list[tuple[str, list[str]]] = []

    async def prepare(self, pushes: int, per_push: int) -> dict[str, Any]:
        """Make what the tasks carry."""
        self._pushes = [(str(uuid.uuid4()), items) for items in push_items(self._source, pushes, per_push)]
        return {}

    async def send(self) -> dict[str, Any]:
        """Queue a task for each."""
        began_ns = time.monotonic_ns()
        for arguments in self._pushes:
            push.apply_async(arguments)
        return {"began_ns": began_ns, "ended_ns": time.monotonic_ns()}


async def main() -> None:
    """Serve the benchmark."""
    producer = Producer()
    await serve({"prepare": producer.prepare, "send": producer.send})


if __name__ == "__main__":
    asyncio.run(main())
