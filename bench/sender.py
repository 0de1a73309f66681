"""The bare sender, the limit of any hub on this machine: ready bodies, one in flight, nothing stored."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import uvloop

from bench.child import serve
from bench.readings import Source, push_items
from matrixhub.deliveries.destinations.https import open_https_sender
from matrixhub.deliveries.formats import contract_array
from matrixhub.deliveries.plan import cut_batch, open_message
from matrixhub.lifecycle import SystemClock
from matrixhub.model.destination import Destination
from matrixhub.model.egress import Allowance
from matrixhub.model.ids import stable_uuid
from matrixhub.model.policy import BatchLimits
from matrixhub.model.subscription import Position
from matrixhub.ports import Message
from matrixhub.testing.samples import sample_push
from matrixhub.testing.tokens import MemoryTokens

LOOPBACK = Allowance.of(["127.0.0.0/8", "::1/128"])


class BareSender:
    """What the benchmark asks of this process."""

    def __init__(self) -> None:
        self._source = Source()
        self._bodies: list[bytes] = []

    async def prepare(self, pushes: int, per_push: int) -> dict[str, Any]:
        """Make the bodies, by the hub's own functions."""
        self._bodies = [body_of(items) for items in push_items(self._source, pushes, per_push)]
        return {"size_bytes": sum(map(len, self._bodies))}

    async def send(self, url: str, ca_pem: str) -> dict[str, Any]:
        """Push one after the other."""
        destination = Destination(url=url, ca_pem=ca_pem)
        async with open_https_sender(LOOPBACK, MemoryTokens(), SystemClock()) as sender:
            push = sample_push(destination, b"")
            began_ns = time.monotonic_ns()
            for number, body in enumerate(self._bodies):
                await sender.send(replace(push, body=body, request_id=stable_uuid(str(began_ns), str(number))))
            return {"began_ns": began_ns, "ended_ns": time.monotonic_ns()}


def body_of(items: list[str]) -> bytes:
    """The body of a push with exactly these readings."""
    start = Position(seq=1)
    piece = open_message(Message(1, "", "\n".join(items).encode(), len(items)), start, frozenset())
    return contract_array(cut_batch([piece], start, BatchLimits(items=len(items), size_bytes=1 << 30)).strings)


async def main() -> None:
    """Serve the benchmark."""
    sender = BareSender()
    await serve({"prepare": sender.prepare, "send": sender.send})


if __name__ == "__main__":
    uvloop.run(main())
