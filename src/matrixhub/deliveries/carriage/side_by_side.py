"""The order `per_device`: a stretch is sent in lanes side by side, each with its own devices.

Source: docs/decisions/0010-parts-of-a-stretch.md
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from matrixhub.deliveries.carriage.kit import Kit
from matrixhub.deliveries.carriage.outcome import Settled, parcel_of
from matrixhub.deliveries.carriage.parts import carry_part
from matrixhub.deliveries.carriage.strict import plan, settle
from matrixhub.deliveries.lanes import by_device
from matrixhub.deliveries.plan import Batch
from matrixhub.model.errors import LeaseLost
from matrixhub.model.policy import BatchLimits


async def carry_lanes(kit: Kit) -> bool:
    """Carry a stretch of the stream in lanes; False if the carrier is to end."""
    subscription = kit.lease.subscription
    lanes = kit.steps.lanes or subscription.policy.in_flight
    limits = subscription.limits
    stretch = await plan(kit, BatchLimits(items=limits.items * lanes, size_bytes=limits.size_bytes * lanes))
    if stretch is None:
        return True
    assert isinstance(stretch, Batch)
    kit.reader.read_ahead()
    undone: list[int] = []
    try:
        async with asyncio.TaskGroup() as group:
            for lane, parts in enumerate(by_device(stretch, lanes, limits, kit.frame_bytes)):
                if parts and not kit.steps.lane_done(lane):
                    group.create_task(_carry_lane(kit, lane, lanes, parts, undone))
    except BaseExceptionGroup as errors:
        # What was met in a lane is met by the carrier; a defect says more than a lost lease.
        lost, others = errors.split(LeaseLost)
        raise (others or lost or errors).exceptions[0] from errors
    if kit.halted.is_set():
        return False
    if undone:
        await kit.reader.read_anew(stretch)
    else:
        await settle(kit, stretch, Settled(), plan_next=False)
    return True


async def _carry_lane(kit: Kit, lane: int, lanes: int, parts: Sequence[Batch], undone: list[int]) -> None:
    total = Settled()
    for number, part in enumerate(parts):
        settled = await carry_part(kit, parcel_of(part), "push", "never" if number else "whole_long")
        if not isinstance(settled, Settled):
            undone.append(lane)
            return
        total += settled
    kit.steps.settle_lane(lane, lanes)
    await kit.steps.save(
        delivered=total.delivered,
        parked=total.parked,
        attempts=total.attempts,
        attempts_failed=total.refused,
    )
