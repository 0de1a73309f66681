"""The order `priority`: what is urgent goes before every push of the rest.

Source: docs/decisions/0012-express-lane.md
"""

from __future__ import annotations

from collections import deque

from matrixhub.deliveries.carriage.kit import Kit
from matrixhub.deliveries.carriage.outcome import Failed, Parcel, Settled
from matrixhub.deliveries.carriage.parts import carry_part
from matrixhub.deliveries.carriage.reader import BUS_RETRY_S
from matrixhub.deliveries.express import PART, ExpressLane
from matrixhub.deliveries.lanes import in_pushes
from matrixhub.deliveries.plan import Batch, Condemned
from matrixhub.model.errors import BusError


async def look_for_urgent(kit: Kit, lane: ExpressLane) -> None:
    """Read what is urgent, if the tail does not bring it."""
    if not lane.takes_new or lane.planned:
        return
    while lane.wants_more and not kit.halted.is_set():
        try:
            await lane.fill(kit.bus)
        except BusError:
            return  # NATS is away, which its connection reports; what is in memory already may go meanwhile
        lane.look(kit.reader.urgent_start())


async def carry_urgent(kit: Kit) -> bool:
    """Bring a push of what is urgent to its end, or nearer to it; False if the carrier is to end."""
    lane, tried = kit.lane, dict(kit.sending.tried)
    assert lane is not None
    if not await kit.turns.wait(0):
        return False
    stretch = await _plan_urgent(kit, lane)
    if stretch is None:
        return True
    settled: Settled | Failed | None = Settled()
    if stretch.items:
        parts = in_pushes(stretch, kit.lease.subscription.limits, PART, kit.frame_bytes)
        settled = await carry_part(kit, Parcel(parts[0], deque(parts), urgent=True), "push", "whole_long")
    if isinstance(settled, Failed):
        lane.forget()
        planned = kit.reader.planned
        await kit.reader.read_anew(planned.batch if isinstance(planned, Condemned) else planned)
        return True
    if settled is None:
        return False
    parked = settled.parked + kit.aside.unreadable(lane.take_unreadable(stretch.end.seq))
    lane.settle(settled.delivered + len(parked))
    lane.let_go(stretch)
    kit.shelf.leave_out(lane.leave_out(stretch))  # what of it the reader has met is settled now
    await kit.steps.save(
        delivered=settled.delivered,
        parked=parked,
        attempts=settled.attempts,
        attempts_failed=settled.refused,
    )
    kit.sending.tried = tried
    return True


async def _plan_urgent(kit: Kit, lane: ExpressLane) -> Batch | None:
    """The next push of what is urgent, its end saved before it is sent; None if it cannot be read now."""
    again = lane.state.sending_to if lane.state is not None else None
    while again is not None and not lane.reaches(again):
        try:
            await lane.fill(kit.bus)
        except BusError:
            # NATS is away, which its connection reports.
            await kit.clock.wait(kit.halted, BUS_RETRY_S)
        if kit.halted.is_set():
            return None
    stretch = lane.cut(kit.reader.urgent_start(), kit.lease.subscription.limits)
    lane.plan(stretch)
    if again is None and stretch.items:
        await kit.steps.save()
    return stretch
