"""Sends parked readings again, when an operator asks for it."""

from __future__ import annotations

from dataclasses import replace

from matrixhub.deliveries.carriage.aside import escaped
from matrixhub.deliveries.carriage.kit import Kit
from matrixhub.deliveries.carriage.outcome import Failed, parcel_of
from matrixhub.deliveries.carriage.parts import carry_part
from matrixhub.deliveries.carriage.reader import BUS_RETRY_S
from matrixhub.deliveries.carriage.wish import Redriving
from matrixhub.deliveries.lanes import in_parts
from matrixhub.deliveries.plan import Span
from matrixhub.model.errors import StoreError
from matrixhub.model.ids import stable_uuid
from matrixhub.model.subscription import Position


async def carry_parked(kit: Kit) -> bool:
    """Send some of the parked readings that were asked for again; False if the carrier is to end.

    Those that fail are tried again by the schedule, and let the readings of the stream go first.
    """
    wish = kit.wish
    asked = wish.asked
    if kit.lane is not None and not await kit.turns.wait(0, yields=True):
        return True
    try:
        redriving = wish.under_way or await _next_parked(kit)
    except StoreError:
        # PostgreSQL is away, which the saving of positions reports; the wish stays.
        await kit.clock.wait(kit.halted, BUS_RETRY_S)
        return True
    if redriving is None:
        await kit.steps.save(redrive_done=asked)
        wish.fulfil(asked)
        return True
    settled = await carry_part(kit, redriving.parcel, "redrive", "always")
    if settled is None:
        return False
    if isinstance(settled, Failed):
        wish.put_off(redriving, kit.lease.subscription.policy.retry_schedule_s, kit.schedule.retry_due)
        return True
    wish.settle()
    refused = {item.place.seq: item.reason for item in settled.parked}
    await kit.steps.save(
        redriven=tuple(item.id for number, item in enumerate(redriving.items) if number not in refused),
        kept=tuple((redriving.items[number].id, reason) for number, reason in refused.items()),
        attempts=settled.attempts,
        attempts_failed=settled.refused,
    )
    return True


async def _next_parked(kit: Kit) -> Redriving | None:
    """The next push of parked readings. Raises StoreError."""
    subscription = kit.lease.subscription
    limits = subscription.limits
    items = await kit.leases.to_redrive(subscription.id, limits.items)
    if not items:
        return None
    lines = [(escaped(item.line), Span(number, (0,))) for number, item in enumerate(items)]
    part = in_parts(lines, Position(seq=0), Position(seq=0), limits, "parked", kit.frame_bytes)[0]
    items = items[: part.items]
    name = stable_uuid("parked", *(str(item.id) for item in items))
    return Redriving(items, parcel_of(replace(part, part=name)))
