"""The order `strict`: one push after the other. What is planned and settled here is so in the other orders too."""

from __future__ import annotations

from matrixhub.deliveries.carriage.kit import Kit
from matrixhub.deliveries.carriage.outcome import Failed, Refused, Settled, Stopped, Todo, end_of, start_of
from matrixhub.deliveries.carriage.parts import break_up
from matrixhub.deliveries.plan import Batch, Condemned
from matrixhub.model.policy import BatchLimits


async def carry_next(kit: Kit) -> bool:
    """Bring the next push to its end, or nearer to it; False if the carrier is to end."""
    todo = await plan(kit)
    if todo is None:
        return True
    if isinstance(todo, Condemned):
        await settle(kit, todo.batch, kit.aside.condemn(todo))
        return True
    reader, schedule = kit.reader, kit.schedule
    aged, rest = schedule.given_up(todo)
    if aged is not None:
        if rest is not None:
            reader.todo.insert(0, rest)
        await settle(kit, aged, kit.aside.give_up(aged, schedule.last_error))
        return True
    reader.read_ahead()
    if not await kit.turns.wait(todo.items, yields=True):
        return True
    outcome = await kit.sending.attempt(todo, "push")
    match outcome:
        case Settled():
            await settle(kit, todo, outcome)
        case Refused():
            first, *others = break_up(todo, outcome, schedule)
            reader.planned, reader.todo[:0] = first, others
            await kit.steps.save(
                sending_to=end_of(first),
                attempts=(outcome.attempt,),
                attempts_failed=1,
                last_error=schedule.last_error,
            )
        case Failed():
            if schedule.waits_long():
                await reader.read_anew(todo)
        case Stopped():
            return False
    return True


async def plan(kit: Kit, limits: BatchLimits | None = None) -> Todo | None:
    """The next thing to do, its end saved before it begins; None when halted, or something else is to be done."""
    reader = kit.reader
    if reader.planned is None:
        if not await kit.turns.wait(0, yields=True):
            return None
        reader.planned = await reader.next_batch(wait=True, limits=limits)
        if reader.planned is None:
            return None
        start = start_of(reader.planned)
        if start == kit.steps.position:
            await kit.steps.save(sending_to=end_of(reader.planned))
        else:
            # What lay before it was all settled ahead.
            await kit.steps.save(position=start, sending_to=end_of(reader.planned))
    return reader.planned


async def settle(kit: Kit, batch: Batch, settled: Settled, *, skipped: int = 0, plan_next: bool = True) -> None:
    """Save that everything up to the end of the batch is dealt with, and what comes next."""
    reader = kit.reader
    kit.shelf.release(batch)
    goes_on = plan_next and not kit.halted.is_set() and not kit.wish.ready()
    reader.planned = None
    if goes_on:
        reader.planned = await reader.next_batch(wait=False)
    kit.steps.lanes_done = 0
    await kit.steps.save(
        position=start_of(reader.planned) if reader.planned else batch.end,
        sending_to=end_of(reader.planned) if reader.planned else None,
        delivered=settled.delivered,
        parked=settled.parked,
        attempts=settled.attempts,
        attempts_failed=settled.refused,
        skipped=skipped,
    )
    kit.sending.tried.clear()
