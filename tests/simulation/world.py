"""A deliveries worker among doubles: a stream in memory, leases in memory, a scripted destination, a clock of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from matrixhub.bus.subjects import sensor_subject
from matrixhub.deliveries import Worker, WorkerSettings
from matrixhub.model.destination import Destination
from matrixhub.model.ids import BuildingId, PropertyId, SubscriptionId, WorkerId
from matrixhub.model.policy import BatchLimits, Policy
from matrixhub.model.subscription import Filter, Lease, Position, Progress, Source, State, Subscription
from matrixhub.observe import Fact
from matrixhub.ports import Leases, Outgoing, Push, Sender
from matrixhub.testing.fakes import FakeClock, MemoryLeases, ScriptedSender, settle
from matrixhub.testing.memory_bus import MemoryBus

LEASE_S = 10.0
POLICY = Policy(retry_schedule_s=(1.0, 5.0, 30.0), retry_spread=0.0)


def subscription(
    number: int = 1, *, property_id: str = "p", limits: BatchLimits | None = None, state: State = "active"
) -> Subscription:
    return Subscription(
        id=SubscriptionId(f"sub_{number}"),
        property_id=PropertyId(property_id),
        name="",
        filter=Filter(),
        destination=Destination(url=f"https://example.test/{number}"),
        policy=POLICY,
        limits=limits or BatchLimits(items=10),
        state=state,
        created_at=datetime(2024, 1, 1, tzinfo=UTC),
    )


def outgoing(name: str, *lines: str, property_id: str = "p") -> Outgoing:
    subject = sensor_subject(PropertyId(property_id), BuildingId("b"), "X#T")
    return Outgoing(subject, "\n".join(lines).encode(), len(lines), name)


def items_of(pushes: Sequence[Push]) -> list[str]:
    return [item for push in pushes for item in msgspec.json.decode(push.body, type=list[str])]


class World:
    """Everything around the workers, and the workers."""

    def __init__(self, *, sender: Sender | None = None, lease_s: float = LEASE_S, source: Source = "sensors") -> None:
        self.source: Source = source
        self.lease_s = lease_s
        self.clock = FakeClock()
        self.bus = MemoryBus(now_ms=self.clock.now_ms)
        self.leases = MemoryLeases(self.clock.monotonic)
        self.sender = ScriptedSender()
        self.facts: list[Fact] = []
        self._sender: Sender = sender or self.sender
        self._tasks: dict[str, tuple[asyncio.Task[None], asyncio.Event]] = {}
        self.workers: dict[str, Worker] = {}

    def subscribe(self, made: Subscription, position: int = 1) -> None:
        self.leases.add(
            Lease(
                subscription=made,
                progress=Progress(position=Position(seq=position)),
                worker=WorkerId(""),
                fence=0,
            )
        )

    async def start(self, name: str = "wrk_1", *, sender: Sender | None = None, leases: Leases | None = None) -> Worker:
        settings = WorkerSettings(
            lease_s=self.lease_s,
            buffer_bytes=10_000,
            read_bytes=10_000,
        )
        worker = Worker(
            WorkerId(name),
            settings,
            {self.source: self.bus},
            leases or self.leases,
            sender or self._sender,
            self.clock,
            self.facts.append,
        )
        stop = asyncio.Event()
        self._tasks[name] = asyncio.create_task(worker.run(stop), name=name), stop
        self.workers[name] = worker
        await settle()
        return worker

    async def stop(self, name: str = "wrk_1") -> None:
        task, stop = self._tasks.pop(name)
        stop.set()
        await settle()
        async with asyncio.timeout(5):
            await task

    async def kill(self, name: str = "wrk_1") -> None:
        """As SIGKILL: nothing more is sent or saved, nothing is given back."""
        task, _ = self._tasks.pop(name)
        task.cancel()
        await asyncio.wait({task})

    async def close(self) -> None:
        for name in list(self._tasks):
            await self.kill(name)

    def progress(self, number: int = 1) -> Progress:
        return self.leases.leases[SubscriptionId(f"sub_{number}")].progress
