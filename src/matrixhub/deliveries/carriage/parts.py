"""Parts of a stretch: each is sent until all of it is settled, in smaller pieces where its content is refused.

Source: docs/contract/data-push.md §5, docs/decisions/0010-parts-of-a-stretch.md
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from matrixhub.deliveries.carriage.kit import Kit
from matrixhub.deliveries.carriage.outcome import Failed, Parcel, Refused, Settled, Stopped, Todo
from matrixhub.deliveries.carriage.schedule import Schedule
from matrixhub.deliveries.carriage.sending import named_in
from matrixhub.deliveries.plan import Batch, Condemned, set_apart, split
from matrixhub.model.delivery import AttemptKind

Yields = Literal["never", "whole", "whole_long", "always"]
"""When a part that failed is given back rather than waited for: if nothing of it is settled, and the wait is long."""


async def carry_part(kit: Kit, parcel: Parcel, kind: AttemptKind, yields: Yields) -> Settled | Failed | None:
    """Send a part, in smaller pieces where it must be, until all is settled; None if the carrier is to end.

    Failed is the answer where it is to be given back; what of it is settled stays in the parcel.
    """
    todo, schedule = parcel.todo, kit.schedule
    while todo:
        piece = todo.popleft()
        if isinstance(piece, Condemned):
            parcel.total += kit.aside.condemn(piece, again=kind == "redrive")
            continue
        aged, rest = schedule.given_up(piece) if kind == "push" else (None, piece)
        if aged is not None:
            parcel.total += kit.aside.give_up(aged, schedule.last_error)
            todo.extendleft([rest] if rest is not None else [])
            continue
        if not await kit.turns.wait(piece.items, urgent=parcel.urgent):
            return None
        outcome = await kit.sending.attempt(piece, kind)
        match outcome:
            case Settled():
                parcel.total += outcome
            case Refused():
                parcel.total += Settled(attempts=(outcome.attempt,), refused=1)
                todo.extendleft(reversed(break_up(piece, outcome, schedule)))
            case Failed():
                todo.appendleft(piece)
                whole = piece is parcel.part and yields != "never" and schedule.given_up(piece)[0] is None
                if yields == "always" or (whole and (yields == "whole" or schedule.waits_long())):
                    return outcome
            case Stopped():
                return None
    return parcel.total


def break_up(batch: Batch, refused: Refused, schedule: Schedule) -> list[Todo]:
    """What to do with a push whose content was refused, in its order. What is to blame is told to the schedule."""
    error = refused.error
    named = named_in(batch, error.failed)
    if named:
        schedule.blame(batch, len(named), error)
        return [
            replace(part, http_status=error.http_status) if isinstance(part, Condemned) else part
            for part in set_apart(batch, named)
        ]
    if batch.items > 1:
        return list(split(batch))
    schedule.blame(batch, 1, error)
    return [Condemned(batch, error.message, error.http_status)]
