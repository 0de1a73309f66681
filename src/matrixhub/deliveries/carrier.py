"""Carries one subscription: in order, until everything was taken or set aside; its position saved after each push.

The end of a request is saved before it is sent. Should this worker die, the next owner cuts the same request again,
so the receiver sees the same id, and at most one request is repeated. Source: docs/decisions/0006-one-plan-ahead.md

Where the order allows, a stretch of the stream is sent in several parts; which of them are settled is saved as well.
What it is made of is in carriage/.
"""

from __future__ import annotations

from collections.abc import Callable

from matrixhub.deliveries.carriage.kit import Kit
from matrixhub.deliveries.carriage.latest import carry_newest
from matrixhub.deliveries.carriage.overtaking import carry_urgent, look_for_urgent
from matrixhub.deliveries.carriage.redrive import carry_parked
from matrixhub.deliveries.carriage.replay import begin_replay
from matrixhub.deliveries.carriage.side_by_side import carry_lanes
from matrixhub.deliveries.carriage.strict import carry_next
from matrixhub.deliveries.feed import Feed
from matrixhub.deliveries.memory import Memory
from matrixhub.deliveries.positions import Positions
from matrixhub.model.subscription import Lease
from matrixhub.observe import Observe
from matrixhub.ports import Bus, Clock, Leases, Sender


class Carrier:
    """The delivery of one subscription by its owner."""

    __slots__ = ("_kit", "feed", "lease")

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
        urgent: Feed | None = None,
    ) -> None:
        """`urgent` has what of the subscription is urgent, where that may overtake the rest; it rings the same bell."""
        self.lease = lease
        self.feed = feed
        self._kit = Kit(lease, feed, bus, sender, positions, leases, clock, memory, observe, lease_holds, urgent)

    def halt(self) -> None:
        """Ask it to end after the request under way."""
        self._kit.halted.set()
        self.feed.bell.set()

    def redrive(self, asked: int) -> None:
        """Say that parked readings are to be sent again."""
        if asked > self._kit.wish.asked:
            self._kit.wish.asked = asked
            self.feed.bell.set()

    async def run(self) -> None:
        """Deliver until halted. Raises: LeaseLost when another worker has taken over."""
        kit = self._kit
        try:
            if self.lease.replay is not None:
                await begin_replay(kit, self.lease.replay)
            goes_on = True
            while goes_on and not kit.halted.is_set():
                goes_on = await self._carry(kit)
        finally:
            kit.reader.close()
            if kit.lane is not None:
                kit.lane.forget()

    async def _carry(self, kit: Kit) -> bool:
        """Carry what goes next; False if the carrier is to end."""
        order = self.lease.subscription.policy.order
        if kit.lane is not None:
            await look_for_urgent(kit, kit.lane)
        if kit.reader.overtakes():
            return await carry_urgent(kit)
        if kit.wish.ready() and not kit.reader.planned:
            return await carry_parked(kit)
        if order == "per_device" or kit.steps.lanes_done:
            return await carry_lanes(kit)
        if order == "latest_first":
            return await carry_newest(kit)
        return await carry_next(kit)
