"""All that carries one subscription, put together once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from matrixhub.deliveries.carriage.aside import Aside
from matrixhub.deliveries.carriage.identity import Identity
from matrixhub.deliveries.carriage.reader import Reader
from matrixhub.deliveries.carriage.schedule import Schedule
from matrixhub.deliveries.carriage.sending import Sending
from matrixhub.deliveries.carriage.shelf import Shelf
from matrixhub.deliveries.carriage.steps import Steps
from matrixhub.deliveries.carriage.turns import Turns
from matrixhub.deliveries.carriage.wish import Wish
from matrixhub.deliveries.express import ExpressLane
from matrixhub.deliveries.feed import Feed
from matrixhub.deliveries.formats import frame_bytes
from matrixhub.deliveries.memory import Memory
from matrixhub.deliveries.positions import Positions
from matrixhub.model.subscription import Lease
from matrixhub.observe import Observe
from matrixhub.ports import Bus, Clock, Leases, Sender


class Kit:
    """What the orders of one subscription work with. `frame_bytes` is what a reading adds to a body beside its text."""

    __slots__ = (
        "aside",
        "bus",
        "clock",
        "frame_bytes",
        "halted",
        "identity",
        "lane",
        "lease",
        "leases",
        "memory",
        "observe",
        "reader",
        "schedule",
        "sending",
        "shelf",
        "steps",
        "turns",
        "wish",
    )

    def __init__(
        self,
        lease: Lease,
        feed: Feed,
        bus: Bus,
        sender: Sender,
        positions: Positions,
        leases: Leases,
        clock: Clock,
        memory: Memory,
        observe: Observe,
        lease_holds: Callable[[], bool],
        urgent: Feed | None,
    ) -> None:
        subscription, progress = lease.subscription, lease.progress
        self.lease = lease
        self.bus = bus
        self.leases = leases
        self.clock = clock
        self.memory = memory
        self.observe = observe
        self.halted = halted = asyncio.Event()
        self.frame_bytes = frame = frame_bytes(subscription)
        self.lane: ExpressLane | None = None
        if urgent is not None or progress.express is not None:
            new = subscription.policy.order == "priority"
            self.lane = ExpressLane(progress.express, progress.ahead, urgent, memory, observe, frame, takes_new=new)
        lane = self.lane
        self.identity = Identity(lease)
        self.schedule = Schedule(subscription.policy, progress, clock)
        self.wish = Wish(lease.redrive, clock)
        self.aside = Aside(subscription.id, self.identity, clock, observe)
        self.shelf = Shelf(subscription, feed, lane, memory, observe, frame)
        self.steps = Steps(lease, positions, self.schedule, lane, self.shelf, self.aside)
        self.reader = Reader(
            subscription, feed, self.shelf, self.steps, self.wish, lane, bus, clock, memory, halted, frame
        )
        self.turns = Turns(self.schedule, self.reader, feed, lane, clock, halted)
        self.sending = Sending(
            subscription,
            sender,
            lease_holds,
            self.identity,
            self.schedule,
            self.aside,
            self.steps,
            clock,
            observe,
            halted,
        )
