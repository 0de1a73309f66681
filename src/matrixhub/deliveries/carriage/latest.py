"""The order `latest_first`: of all that waits only the newest reading of each device, newest first.

Source: docs/decisions/0010-parts-of-a-stretch.md
"""

from __future__ import annotations

from matrixhub.deliveries.carriage.kit import Kit
from matrixhub.deliveries.carriage.outcome import Failed, Settled, parcel_of
from matrixhub.deliveries.carriage.parts import carry_part
from matrixhub.deliveries.carriage.strict import settle
from matrixhub.deliveries.lanes import Newest
from matrixhub.model.subscription import Position


async def carry_newest(kit: Kit) -> bool:
    """Carry the newest reading of each device among all that wait; False if the carrier is to end."""
    if not await kit.turns.wait(0):
        return False
    again = kit.reader.until  # a stretch that was begun before a crash is taken as it was
    newest = await _gather(kit, again)
    if kit.halted.is_set():
        return False
    if newest is None:
        return True
    if again is None or newest.end != kit.steps.sending_to:
        await kit.steps.save(sending_to=newest.end)
    total = Settled()
    for number, part in enumerate(newest.parts()):
        settled = await carry_part(kit, parcel_of(part), "push", "never" if number else "whole")
        if isinstance(settled, Failed):
            kit.reader.newest = newest  # newer readings may replace these until the next attempt
            if kit.schedule.waits_long() and not kit.memory.has_room(0):
                await kit.reader.read_anew(newest.stretch(), exactly=False)
            return True
        if settled is None:
            return False
        total += settled
    kit.reader.newest = None
    await settle(kit, newest.stretch(), total, skipped=newest.skipped, plan_next=False)
    kit.shelf.release_all_cut()
    return True


async def _gather(kit: Kit, again: Position | None) -> Newest | None:
    """What was gathered before, with what has come since, as far as there is room, or exactly to its end."""
    newest = kit.reader.newest
    kit.reader.until = None
    while newest is None or (newest.room if again is None else newest.end < again):
        batch = await kit.reader.next_batch(wait=newest is None, to_end=True, cap=again)
        if batch is None:
            break
        newest = newest or Newest(batch.start, kit.lease.subscription.limits, kit.frame_bytes)
        newest.add(batch)
    return newest
