"""When it is the turn of the next attempt: not before it is due, and not before what is urgent."""

from __future__ import annotations

import asyncio

from matrixhub.deliveries.carriage.reader import Reader
from matrixhub.deliveries.carriage.schedule import Schedule
from matrixhub.deliveries.express import ExpressLane
from matrixhub.deliveries.feed import Feed
from matrixhub.ports import Clock


class Turns:
    """Waits for the turns of one subscription, and counts what is sent then against its rates."""

    __slots__ = ("_clock", "_feed", "_halted", "_lane", "_reader", "_schedule")

    def __init__(
        self,
        schedule: Schedule,
        reader: Reader,
        feed: Feed,
        lane: ExpressLane | None,
        clock: Clock,
        halted: asyncio.Event,
    ) -> None:
        self._schedule = schedule
        self._reader = reader
        self._feed = feed
        self._lane = lane
        self._clock = clock
        self._halted = halted

    async def wait(self, items: int, *, urgent: bool = False, yields: bool = False) -> bool:
        """Wait until the next attempt is due and the rates allow so many readings; False if halted before.

        Who `yields` is also told False when something urgent has come meanwhile, or is to be looked for.
        """
        while not self._halted.is_set():
            if yields and self._reader.overtakes():
                return False
            now = self._clock.monotonic()
            due = self._schedule.due(items, now, urgent=urgent)
            if due > now:
                if not await self._wait_due(due - now, yields=yields):
                    return False
                continue
            if items:
                backlog = not urgent and self._feed.behind(self._reader.position)
                self._schedule.charge(items, now, backlog=backlog)
            return True
        return False

    async def _wait_due(self, seconds: float, *, yields: bool) -> bool:
        """Wait so long, or until halted, or, for who yields, until anything has come.

        False if what is urgent is to be looked for.
        """
        if not yields or self._lane is None:
            await self._clock.wait(self._halted, seconds)
            return True
        self._feed.bell.clear()
        if not self._halted.is_set() and not self._reader.overtakes():
            await self._clock.wait(self._feed.bell, seconds)
        return self._lane.live
