"""Saves the numbered steps of one subscription, each with all that is so from then on.

Source: docs/decisions/0006-one-plan-ahead.md, 0010-parts-of-a-stretch.md
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any

from matrixhub.deliveries.carriage.aside import Aside
from matrixhub.deliveries.carriage.schedule import Schedule
from matrixhub.deliveries.carriage.shelf import Shelf
from matrixhub.deliveries.express import ExpressLane
from matrixhub.deliveries.positions import Positions
from matrixhub.model.subscription import Lease, Position
from matrixhub.ports import Advance

_LANES_SHIFT = 32
"""`lanes_done` holds a bit for each lane, and above them how many lanes there are."""


class _Same(Enum):
    """Stands for what was said before."""

    SAME = 0


SAME = _Same.SAME


class Steps:
    """Where the subscription stands by what is saved: position, end of the push on its way, settled lanes."""

    __slots__ = (
        "_aside",
        "_lane",
        "_lease",
        "_positions",
        "_saving",
        "_schedule",
        "_shelf",
        "_step",
        "lanes_done",
        "position",
        "sending_to",
    )

    def __init__(
        self,
        lease: Lease,
        positions: Positions,
        schedule: Schedule,
        lane: ExpressLane | None,
        shelf: Shelf,
        aside: Aside,
    ) -> None:
        progress = lease.progress
        self.position = progress.position
        self.sending_to = progress.sending_to
        self.lanes_done = progress.lanes_done if progress.sending_to else 0
        self._step = progress.step
        self._lease = lease
        self._positions = positions
        self._schedule = schedule
        self._lane = lane
        self._shelf = shelf
        self._aside = aside
        self._saving = asyncio.Lock()

    @property
    def lanes(self) -> int:
        """In how many lanes the stretch is sent that is on its way; 0 before one of them is settled."""
        return self.lanes_done >> _LANES_SHIFT

    def lane_done(self, lane: int) -> bool:
        """Whether the lane is settled."""
        return bool(self.lanes_done >> lane & 1)

    def settle_lane(self, lane: int, lanes: int) -> None:
        """Have one of so many lanes settled."""
        self.lanes_done |= 1 << lane | lanes << _LANES_SHIFT

    async def save(self, *, sending_to: Position | _Same | None = SAME, **changes: Any) -> None:
        """Save a step. What could not be read before its position is set aside with it. Raises: LeaseLost."""
        async with self._saving:
            if not isinstance(sending_to, _Same):
                self.sending_to = sending_to
            position = changes.get("position")
            if position is not None:
                if self._shelf.unreadable:
                    unreadable = self._shelf.take_unreadable(position.seq)
                    changes["parked"] = (*changes.get("parked", ()), *self._aside.unreadable(unreadable))
                self.position = position
                if self._lane is not None:
                    self._lane.move(position)
            self._step += 1
            await self._positions.save(
                Advance(
                    subscription=self._lease.subscription.id,
                    worker=self._lease.worker,
                    fence=self._lease.fence,
                    step=self._step,
                    sending_to=self.sending_to,
                    lanes_done=self.lanes_done,
                    express=self._lane.state if self._lane is not None else None,
                    ahead=self._lane.ahead if self._lane is not None else 0,
                    failures=self._schedule.failures,
                    failing_since=self._schedule.failing_since,
                    retry_at=self._schedule.retry_at,
                    **changes,
                )
            )
