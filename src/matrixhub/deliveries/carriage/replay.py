"""Goes back in the stream, when an operator asks for it."""

from __future__ import annotations

from matrixhub.deliveries.carriage.kit import Kit
from matrixhub.deliveries.carriage.reader import BUS_RETRY_S
from matrixhub.deliveries.span import count_span
from matrixhub.model.errors import BusError
from matrixhub.model.subscription import Position, Replay
from matrixhub.observe import ReplayBegun


async def begin_replay(kit: Kit, replay: Replay) -> None:
    """Go back to where a replay begins, after counting exactly what will come again."""
    subscription, before = kit.lease.subscription, kit.reader.position
    while True:
        try:
            first = Position(seq=(await kit.bus.bounds()).first_seq)
            start = min(max(replay.position, first), before)
            items = await count_span(kit.bus, subscription, start, before)
            items += kit.lease.progress.ahead  # what was settled before its turn comes again as well
            break
        except BusError:
            # NATS is away, which its connection reports; the wish stays.
            if await kit.clock.wait(kit.halted, BUS_RETRY_S):
                return
    kit.reader.go_back(start)
    kit.steps.lanes_done = 0
    if kit.lane is not None:
        kit.lane.reset()
    kit.schedule.forgive()
    await kit.steps.save(position=start, sending_to=None, replay=replay.id, replayed=items, replayed_from=before)
    kit.identity.epoch += 1
    kit.observe(ReplayBegun(subscription=subscription.id, replay=replay.id, position_seq=start.seq, items=items))
