"""Reads the stream for one subscription, ahead of the push on its way, and cuts the next one.

A push that was planned before a crash is cut again to exactly its end. Source: docs/decisions/0006-one-plan-ahead.md
"""

from __future__ import annotations

import asyncio

from matrixhub.deliveries.carriage.outcome import Todo, end_of
from matrixhub.deliveries.carriage.shelf import Shelf
from matrixhub.deliveries.carriage.steps import Steps
from matrixhub.deliveries.carriage.wish import Wish
from matrixhub.deliveries.express import ExpressLane
from matrixhub.deliveries.feed import Feed
from matrixhub.deliveries.lanes import Newest
from matrixhub.deliveries.memory import READ_BYTES_MIN, Memory
from matrixhub.deliveries.plan import Batch, cut_batch
from matrixhub.model.errors import BusError
from matrixhub.model.policy import BatchLimits
from matrixhub.model.subscription import Position, Subscription
from matrixhub.ports import Bus, Clock

BUS_RETRY_S = 0.5


class Reader:
    """What of the stream comes next.

    `position` is where the next push begins, `passed` how far nothing else is wanted, `until` where a push must end
    that was planned before. `planned` is the thing under way, `todo` what follows from breaking it up, and `newest`
    what was gathered in the order `latest_first`.
    """

    __slots__ = (
        "_bus",
        "_clock",
        "_feed",
        "_flush_due",
        "_frame_bytes",
        "_halted",
        "_lane",
        "_memory",
        "_reading",
        "_shelf",
        "_steps",
        "_subscription",
        "_wish",
        "newest",
        "passed",
        "planned",
        "position",
        "todo",
        "until",
    )

    def __init__(
        self,
        subscription: Subscription,
        feed: Feed,
        shelf: Shelf,
        steps: Steps,
        wish: Wish,
        lane: ExpressLane | None,
        bus: Bus,
        clock: Clock,
        memory: Memory,
        halted: asyncio.Event,
        frame_bytes: int,
    ) -> None:
        self.position = self.passed = steps.position
        self.until = steps.sending_to
        self.planned: Todo | None = None
        self.todo: list[Todo] = []
        self.newest: Newest | None = None
        self._subscription = subscription
        self._feed = feed
        self._shelf = shelf
        self._steps = steps
        self._wish = wish
        self._lane = lane
        self._bus = bus
        self._clock = clock
        self._memory = memory
        self._halted = halted
        self._frame_bytes = frame_bytes
        self._flush_due: float | None = None
        self._reading: asyncio.Task[bool] | None = None

    # cutting

    async def next_batch(
        self, *, wait: bool, limits: BatchLimits | None = None, cap: Position | None = None, to_end: bool = False
    ) -> Batch | None:
        """The next push; None when halted or something urgent is to go first, or if, without waiting, nothing is there.

        With `to_end` it also reads on without waiting, until there is nothing more. A push begins where the one before
        ended, even where what it passes over is not wanted, so that the saved position says where it begins.
        """
        limits = limits or self._subscription.limits
        if self.todo:
            return self.todo.pop(0)  # type: ignore[return-value]
        while True:
            if self._reading is not None and self._reading.done():
                await self._filled()
            if self.until is None and self.overtakes():
                return None
            self._shelf.open_buffered(self.position, limits if self.until is None else None)
            if self._shelf.pieces:
                batch = cut_batch(self._shelf.pieces, self.position, limits, self.until, cap or self._ahead_end())
                if self.until is not None:
                    if not self._steps.lanes_done and _exceeds(batch, limits, self._frame_bytes):
                        # It was planned under other limits, or another order.
                        self.until = self._steps.sending_to = None
                        continue
                    if batch.end < self.until and not self._feed.live:
                        await self._filled()
                        if self._halted.is_set():
                            return None
                        continue
                elif batch.items and cap is None and not await self._full(batch, limits, wait=wait):
                    if wait and not self._halted.is_set() and not self._wish.ready():
                        continue
                    return None
                self.until = None
                self._shelf.drop_taken(batch)
                self.passed = batch.end
                if batch.items:
                    self.position = batch.end
                    return batch
                if batch.end == self._ahead_end():
                    self.position = batch.end
                if cap is not None and batch.end >= cap:
                    return None
                continue
            if self._feed.live:
                if not wait or self._wish.ready():
                    return None
                await self._save_passed()
                await self._wait_bell(self._wish.due if self._wish.asked else None)
            elif not wait and not to_end and self._reading is not None:
                return None  # rather save what was taken than wait for the stream
            elif not await self._filled() and not wait and cap is None:
                return None
            if self._halted.is_set() or (wait and self.until is cap is None and self._wish.ready()):
                return None

    async def _full(self, batch: Batch, limits: BatchLimits, *, wait: bool) -> bool:
        """Whether the push may go as it is; if not, and if it may wait, more has come or its time is over by then."""
        flush_s = self._subscription.policy.flush_s
        more = self._shelf.pieces[-1].seq >= batch.end.seq
        if not flush_s or not self._feed.live or batch.items >= limits.items or more:
            self._flush_due = None
            return True
        now = self._clock.monotonic()
        if self._flush_due is None:
            self._flush_due = now + flush_s
        if now >= self._flush_due:
            self._flush_due = None
            return True
        if wait:
            await self._wait_bell(self._flush_due)
        return False

    async def _wait_bell(self, until: float | None) -> None:
        """Wait for more messages, for a wish, or until the instant."""
        bell = self._feed.bell
        bell.clear()
        if self._feed.waiting() or self._halted.is_set() or self._wish.ready() or self.overtakes():
            return
        if until is None:
            await bell.wait()
        else:
            await self._clock.wait(bell, max(0.0, until - self._clock.monotonic()))

    async def _save_passed(self) -> None:
        """Save that what could not be read is set aside, and what was settled ahead is passed, while nothing waits."""
        ahead = self._lane is not None and self._lane.state is not None and self._steps.position < self.passed
        if (self._shelf.unreadable or ahead) and self.until is None:
            self.position = self.passed
            await self._steps.save(position=self.position, sending_to=None)

    # what is urgent

    def overtakes(self) -> bool:
        """Whether something urgent is to go before the next push of the rest.

        It is not, while that push holds something urgent itself, which is earlier.
        """
        lane = self._lane
        if lane is None or lane.planned:
            return lane is not None
        if not lane.takes_new or self.until is not None:
            return False
        return not lane.met(self._rest_end().seq) and lane.look(self.urgent_start())

    def urgent_start(self) -> int:
        """From which message on what is urgent is neither settled nor part of a push of the rest."""
        assert self._lane is not None
        if self._lane.state is not None:
            return self._lane.state.to_seq
        end = self._rest_end()
        return end.seq + (1 if end.item else 0)

    def _rest_end(self) -> Position:
        """Where the pushes end that are planned of the rest."""
        last = self.todo[-1] if self.todo else self.planned
        return end_of(last) if last is not None else self.until or self.position

    def _ahead_end(self) -> Position | None:
        """Where a push must end, because what is settled ahead ends there; None if that does not matter."""
        return self._lane.end(self.position) if self._lane is not None else None

    # reading on

    def read_ahead(self) -> None:
        """While a push is on its way, prepare the next one and read on, if the tail does not bring what it needs."""
        if self._reading is None and not self._feed.live and self._memory.has_room(READ_BYTES_MIN):
            self._reading = asyncio.create_task(self._prepare(), name=f"read ahead {self._subscription.id}")

    async def _prepare(self) -> bool:
        await asyncio.sleep(0)  # first let the push be written
        self._shelf.open_buffered(self.position, self._subscription.limits if self.until is None else None)
        return await self._fill() if self._feed.wants_more else self._feed.waiting()

    async def _filled(self) -> bool:
        """Read on from the stream, or wait for the reading under way; whether that brought messages."""
        if self._reading is None:
            return await self._fill()
        try:
            return await self._reading
        finally:
            self._reading = None

    async def _fill(self) -> bool:
        try:
            await self._feed.fill(self._bus)
        except BusError:
            # NATS is away, which its connection reports; the place in the stream is kept, so waiting loses nothing.
            await self._clock.wait(self._halted, BUS_RETRY_S)
            return False
        return self._feed.waiting()

    # going back

    async def read_anew(self, batch: Batch | None, *, exactly: bool = True) -> None:
        """Give the memory back and read the push, if one is planned, again when its time has come."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
            self._reading = None
        self._forget()
        self.position = self.passed = batch.start if batch is not None else self._steps.position
        if batch is not None:
            self.until = batch.end if exactly else None
        self._feed.rewind(self.position)

    def go_back(self, position: Position) -> None:
        """Begin at the position, whatever was planned."""
        self._forget()
        self.position = self.passed = position
        self.until = None
        self._feed.rewind(position)

    def close(self) -> None:
        """Give all memory back."""
        if self._reading is not None:
            self._reading.cancel()
        self._forget()
        self._feed.rewind(self.position)

    def _forget(self) -> None:
        self.planned = self.newest = None
        self.todo.clear()
        self._shelf.clear()
        if self._lane is not None:
            self._lane.forget_rest()


def _exceeds(batch: Batch, limits: BatchLimits, frame: int) -> bool:
    """Whether the batch is larger than the limits allow."""
    size_bytes = 1 + sum(len(string) + frame for string in batch.strings)
    return batch.items > limits.items or (batch.items > 1 and size_bytes > limits.size_bytes)
