"""Carries one subscription: in order, until everything was taken or set aside; its position saved after each push.

The end of a request is saved before it is sent. Should this worker die, the next owner cuts the same request again,
so the receiver sees the same id, and at most one request is repeated. Source: docs/decisions/0006-one-plan-ahead.md

Where the order allows, a stretch of the stream is sent in several parts; which of them are settled is saved as well.
In the order `priority` what is urgent goes first, see express.py.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Literal

import msgspec

from matrixhub.deliveries.express import PART, ExpressLane
from matrixhub.deliveries.feed import Feed
from matrixhub.deliveries.formats import frame_bytes, make_body
from matrixhub.deliveries.lanes import Newest, by_device, in_parts, in_pushes
from matrixhub.deliveries.memory import READ_BYTES_MIN, Memory
from matrixhub.deliveries.plan import (
    Batch,
    Condemned,
    Piece,
    Span,
    content_of,
    cut_batch,
    next_wait_s,
    open_message,
    request_id,
    retry_delay_s,
    set_apart,
    split,
    stored_before,
    verdict_of,
)
from matrixhub.deliveries.positions import Positions
from matrixhub.deliveries.span import count_span
from matrixhub.model.delivery import Attempt, AttemptKind, ParkedItem, time_ordered_id
from matrixhub.model.errors import (
    BusError,
    DeliveryError,
    DestinationRefused,
    EgressRefused,
    LeaseLost,
    StoreError,
    TokenFault,
)
from matrixhub.model.ids import stable_uuid
from matrixhub.model.policy import BatchLimits
from matrixhub.model.subscription import Lease, Position, Replay
from matrixhub.observe import (
    Delivered,
    DeliveryFailed,
    MessageUnreadable,
    Observe,
    Parked,
    ReplayBegun,
    SubscriptionSuspended,
)
from matrixhub.ports import Advance, Bus, Clock, Leases, Message, Push, Sender, Sent

BUS_RETRY_S = 0.5

_ERROR_KEPT_MAX = 500
_LANES_SHIFT = 32
"""`lanes_done` holds a bit for each lane, and above them how many lanes there are."""


class _Same(Enum):
    """Stands for what was said before."""

    SAME = 0


SAME = _Same.SAME

FORGET_S = 2.0
"""Who waits longer than this for the next attempt gives its memory back and reads the push again."""

POISONED_IN_A_ROW_MAX = 5
"""After so many readings refused one by one, and none taken, the endpoint is taken for broken."""


REDRIVE_STANDS_BACK_S = 1.0
"""Parked readings that failed let the readings of the stream go first by this much."""

Todo = Batch | Condemned

Yields = Literal["never", "whole", "whole_long", "always"]
"""When a part that failed is given back rather than waited for: if nothing of it is settled, and the wait is long."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of readings that will not be sent again."""

    delivered: int = 0
    parked: tuple[ParkedItem, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    refused: int = 0

    def __add__(self, other: Settled) -> Settled:
        return Settled(
            self.delivered + other.delivered,
            self.parked + other.parked,
            self.attempts + other.attempts,
            self.refused + other.refused,
        )


@dataclass(frozen=True, slots=True)
class Refused:
    """A push that must be sent in smaller pieces, or not at all."""

    error: DestinationRefused
    attempt: Attempt


@dataclass(slots=True)
class Parcel:
    """A part on its way: what of it is still to be done, and what became of the rest."""

    part: Batch
    todo: deque[Todo]
    total: Settled = Settled()
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Redriving:
    """Parked readings on their way."""

    items: Sequence[ParkedItem]
    parcel: Parcel


class Failed:
    """A push that is to be sent again when its time has come; that is saved."""


class Stopped:
    """The subscription is not to be delivered any longer; that is saved."""


Outcome = Settled | Refused | Failed | Stopped


class Carrier:
    """The delivery of one subscription by its owner."""

    __slots__ = (
        "_bus",
        "_catch_up_due",
        "_clock",
        "_content",
        "_epoch",
        "_express",
        "_failing_since",
        "_failures",
        "_flush_due",
        "_frame",
        "_halted",
        "_held",
        "_lanes_done",
        "_last_error",
        "_lease_holds",
        "_leases",
        "_memory",
        "_newest",
        "_observe",
        "_outages",
        "_passed",
        "_pieces",
        "_planned",
        "_poisoned",
        "_poisoned_waits",
        "_position",
        "_positions",
        "_rate_due",
        "_reading",
        "_redrive",
        "_redrive_due",
        "_redrive_tries",
        "_redriving",
        "_retry_at",
        "_retry_due",
        "_saved",
        "_saving",
        "_sender",
        "_sending_to",
        "_step",
        "_todo",
        "_tried",
        "_tries",
        "_unreadable",
        "_until",
        "feed",
        "lease",
    )

    def __init__(
        self,
        lease: Lease,
        feed: Feed,
        bus: Bus,
        sender: Sender,
        positions: Positions,
        leases: Leases,
        clock: Clock,
        memory: Memory,
        observe: Observe,
        lease_holds: Callable[[], bool],
        urgent: Feed | None = None,
    ) -> None:
        """`urgent` has what of the subscription is urgent, where that may overtake the rest; it rings the same bell."""
        progress = lease.progress
        self.lease = lease
        self.feed = feed
        self._bus = bus
        self._sender = sender
        self._positions = positions
        self._leases = leases
        self._clock = clock
        self._memory = memory
        self._observe = observe
        self._lease_holds = lease_holds
        self._position = self._passed = self._saved = progress.position
        self._sending_to = self._until = progress.sending_to
        self._lanes_done = progress.lanes_done if progress.sending_to else 0
        self._step = progress.step
        self._epoch = progress.epoch
        self._redrive = lease.redrive
        self._redriving: Redriving | None = None
        self._redrive_tries = 0
        self._redrive_due = float("-inf")
        self._tries = self._failures = progress.failures
        self._outages = 0
        self._failing_since = progress.failing_since
        self._last_error = progress.last_error
        self._retry_at = progress.retry_at
        self._retry_due = self._rate_due = self._catch_up_due = float("-inf")
        if progress.retry_at is not None:
            self._retry_due = clock.monotonic() + progress.retry_at.timestamp() - clock.now_ms() / 1000
        self._flush_due: float | None = None
        self._frame = frame_bytes(lease.subscription)
        self._content = content_of(lease.subscription)
        self._tried: dict[str, int] = {}
        self._poisoned = self._poisoned_waits = 0
        self._planned: Todo | None = None
        self._todo: list[Todo] = []
        self._newest: Newest | None = None
        self._unreadable: list[tuple[Message, int]] = []
        self._express: ExpressLane | None = None
        if urgent is not None or progress.express is not None:
            new = lease.subscription.policy.order == "priority"
            self._express = ExpressLane(
                progress.express, progress.ahead, urgent, memory, observe, self._frame, takes_new=new
            )
        self._pieces: list[Piece] = []
        self._held = 0
        self._saving = asyncio.Lock()
        self._reading: asyncio.Task[bool] | None = None
        self._halted = asyncio.Event()

    def halt(self) -> None:
        """Ask it to end after the request under way."""
        self._halted.set()
        self.feed.bell.set()

    def redrive(self, asked: int) -> None:
        """Say that parked readings are to be sent again."""
        if asked > self._redrive:
            self._redrive = asked
            self.feed.bell.set()

    async def run(self) -> None:
        """Deliver until halted. Raises: LeaseLost when another worker has taken over."""
        order = self.lease.subscription.policy.order
        try:
            if self.lease.replay is not None:
                await self._begin_replay(self.lease.replay)
            goes_on = True
            while goes_on and not self._halted.is_set():
                await self._look_for_urgent()
                if self._overtakes():
                    goes_on = await self._carry_urgent()
                elif self._may_redrive() and not self._planned:
                    goes_on = await self._carry_parked()
                elif order == "per_device" or self._lanes_done:
                    goes_on = await self._carry_lanes()
                elif order == "latest_first":
                    goes_on = await self._carry_newest()
                else:
                    goes_on = await self._carry_next()
        finally:
            if self._reading is not None:
                self._reading.cancel()
            self._forget()
            self.feed.rewind(self._position)
            if self._express is not None:
                self._express.forget()

    # strict: one push after the other

    async def _carry_next(self) -> bool:
        """Bring the next push to its end, or nearer to it; False if the carrier is to end."""
        todo = await self._plan()
        if todo is None:
            return True
        if isinstance(todo, Condemned):
            return await self._settle(todo.batch, self._condemn(todo))
        aged, rest = self._given_up(todo)
        if aged is not None:
            if rest is not None:
                self._todo.insert(0, rest)
            return await self._settle(aged, self._give_up(aged))
        self._read_ahead()
        if not await self._turn(todo.items, yields=True):
            return True
        outcome = await self._attempt(todo, "push")
        match outcome:
            case Settled():
                return await self._settle(todo, outcome)
            case Refused():
                first, *others = self._break_up(todo, outcome)
                self._planned, self._todo[:0] = first, others
                await self._save(
                    sending_to=_end_of(first),
                    attempts=(outcome.attempt,),
                    attempts_failed=1,
                    last_error=self._last_error,
                )
            case Failed():
                if self._waits_long():
                    await self._read_anew(todo)
            case Stopped():
                return False
        return True

    async def _plan(self, limits: BatchLimits | None = None) -> Todo | None:
        """The next thing to do, its end saved before it begins; None when halted, or something else is to be done."""
        if self._planned is None:
            if not await self._turn(0, yields=True):
                return None
            self._planned = await self._next_batch(wait=True, limits=limits)
            if self._planned is None:
                return None
            start = _start_of(self._planned)
            if start == self._saved:
                await self._save(sending_to=_end_of(self._planned))
            else:
                # What lay before it was all settled ahead.
                await self._save(position=start, sending_to=_end_of(self._planned))
        return self._planned

    async def _settle(self, batch: Batch, settled: Settled, *, skipped: int = 0, plan_next: bool = True) -> bool:
        """Save that everything up to the end of the batch is dealt with, and what comes next."""
        self._release(batch)
        goes_on = plan_next and not self._halted.is_set() and not self._may_redrive()
        self._planned = None
        if goes_on:
            self._planned = await self._next_batch(wait=False)
        self._lanes_done = 0
        await self._save(
            position=_start_of(self._planned) if self._planned else batch.end,
            sending_to=_end_of(self._planned) if self._planned else None,
            delivered=settled.delivered,
            parked=settled.parked,
            attempts=settled.attempts,
            attempts_failed=settled.refused,
            skipped=skipped,
        )
        self._tried.clear()
        return True

    def _break_up(self, batch: Batch, refused: Refused) -> list[Todo]:
        """What to do with a push whose content was refused, in its order."""
        error = refused.error
        named = _named(batch, error.failed)
        if named:
            self._blame(batch, len(named), error)
            return [
                replace(part, http_status=error.http_status) if isinstance(part, Condemned) else part
                for part in set_apart(batch, named)
            ]
        if batch.items > 1:
            return list(split(batch))
        self._blame(batch, 1, error)
        return [Condemned(batch, error.message, error.http_status)]

    def _blame(self, batch: Batch, refused: int, error: DeliveryError) -> None:
        """Count readings refused in a row; an endpoint that takes none is taken for broken, and waited for."""
        broken = self._poisoned >= POISONED_IN_A_ROW_MAX
        self._poisoned += refused
        if broken or (refused == batch.items and self._poisoned > POISONED_IN_A_ROW_MAX):
            self._put_off(error, self._outages, tries=self._poisoned_waits)
            self._poisoned_waits += 1

    def _given_up(self, batch: Batch) -> tuple[Batch | None, Batch | None]:
        """The beginning of the batch that has failed for too long, and the rest."""
        if not self._failures or self._failing_since is None:
            return None, batch
        cutoff_ms = self._clock.now_ms() - int(self.lease.subscription.policy.give_up_s * 1000)
        if _epoch_ms(self._failing_since) > cutoff_ms:
            return None, batch
        return stored_before(batch, cutoff_ms + 1)

    # priority: what is urgent overtakes

    async def _look_for_urgent(self) -> None:
        """Read what is urgent, if the tail does not bring it."""
        lane = self._express
        if lane is None or not lane.takes_new or lane.planned:
            return
        while lane.wants_more and not self._halted.is_set():
            try:
                await lane.fill(self._bus)
            except BusError:
                return  # NATS is away, which its connection reports; what is in memory already may go meanwhile
            lane.look(self._urgent_start())

    def _overtakes(self) -> bool:
        """Whether something urgent is to go before the next push of the rest.

        It is not, while that push holds something urgent itself, which is earlier.
        """
        lane = self._express
        if lane is None or lane.planned:
            return lane is not None
        if not lane.takes_new or self._until is not None:
            return False
        return not lane.met(self._rest_end().seq) and lane.look(self._urgent_start())

    def _rest_end(self) -> Position:
        """Where the pushes end that are planned of the rest."""
        last = self._todo[-1] if self._todo else self._planned
        return _end_of(last) if last is not None else self._until or self._position

    def _urgent_start(self) -> int:
        """From which message on what is urgent is neither settled nor part of a push of the rest."""
        assert self._express is not None
        if self._express.state is not None:
            return self._express.state.to_seq
        end = self._rest_end()
        return end.seq + (1 if end.item else 0)

    async def _carry_urgent(self) -> bool:
        """Bring a push of what is urgent to its end, or nearer to it; False if the carrier is to end."""
        lane, tried = self._express, dict(self._tried)
        assert lane is not None
        if not await self._turn(0):
            return False
        stretch = await self._plan_urgent()
        if stretch is None:
            return True
        settled: Settled | Failed | None = Settled()
        if stretch.items:
            parts = in_pushes(stretch, self.lease.subscription.limits, PART, self._frame)
            settled = await self._carry_part(Parcel(parts[0], deque(parts), urgent=True), "push", "whole_long")
        if isinstance(settled, Failed):
            lane.forget()
            await self._read_anew(self._planned.batch if isinstance(self._planned, Condemned) else self._planned)
            return True
        if settled is None:
            return False
        parked = settled.parked + self._set_aside(lane.take_unreadable(stretch.end.seq))
        lane.settle(settled.delivered + len(parked))
        lane.let_go(stretch)
        self._leave_out(stretch)
        await self._save(
            delivered=settled.delivered,
            parked=parked,
            attempts=settled.attempts,
            attempts_failed=settled.refused,
        )
        self._tried = tried
        return True

    async def _plan_urgent(self) -> Batch | None:
        """The next push of what is urgent, its end saved before it is sent; None if it cannot be read now."""
        lane = self._express
        assert lane is not None
        again = lane.state.sending_to if lane.state is not None else None
        while again is not None and not lane.reaches(again):
            try:
                await lane.fill(self._bus)
            except BusError:
                # NATS is away, which its connection reports.
                await self._clock.wait(self._halted, BUS_RETRY_S)
            if self._halted.is_set():
                return None
        stretch = lane.cut(self._urgent_start(), self.lease.subscription.limits)
        lane.plan(stretch)
        if again is None and stretch.items:
            await self._save()
        return stretch

    def _leave_out(self, stretch: Batch) -> None:
        """Pass over what of the stretch is urgent and in memory already, as it is settled now."""
        assert self._express is not None
        settled = self._express.leave_out(stretch)
        self._unreadable = [entry for entry in self._unreadable if entry[0].seq not in settled]
        for number, piece in enumerate(self._pieces):
            if piece.seq in settled:
                self._hold(-sum(map(len, piece.strings)))
                self._pieces[number] = Piece(piece.seq, (), (), ())

    # per device: side by side

    async def _carry_lanes(self) -> bool:
        """Carry a stretch of the stream in lanes, each with its own devices; False if the carrier is to end."""
        subscription = self.lease.subscription
        lanes = self._lanes_done >> _LANES_SHIFT or subscription.policy.in_flight
        limits = subscription.limits
        stretch = await self._plan(BatchLimits(items=limits.items * lanes, size_bytes=limits.size_bytes * lanes))
        if stretch is None:
            return True
        assert isinstance(stretch, Batch)
        self._read_ahead()
        undone: list[int] = []
        try:
            async with asyncio.TaskGroup() as group:
                for lane, parts in enumerate(by_device(stretch, lanes, limits, self._frame)):
                    if parts and not self._lanes_done >> lane & 1:
                        group.create_task(self._carry_lane(lane, lanes, parts, undone))
        except BaseExceptionGroup as errors:
            # What was met in a lane is met by the carrier; a defect says more than a lost lease.
            lost, others = errors.split(LeaseLost)
            raise (others or lost or errors).exceptions[0] from errors
        if self._halted.is_set():
            return False
        if undone:
            await self._read_anew(stretch)
            return True
        return await self._settle(stretch, Settled(), plan_next=False)

    async def _carry_lane(self, lane: int, lanes: int, parts: Sequence[Batch], undone: list[int]) -> None:
        total = Settled()
        for number, part in enumerate(parts):
            settled = await self._carry_part(_parcel(part), "push", "never" if number else "whole_long")
            if not isinstance(settled, Settled):
                undone.append(lane)
                return
            total += settled
        self._lanes_done |= 1 << lane | lanes << _LANES_SHIFT
        await self._save(
            delivered=total.delivered,
            parked=total.parked,
            attempts=total.attempts,
            attempts_failed=total.refused,
        )

    async def _carry_part(self, parcel: Parcel, kind: AttemptKind, yields: Yields) -> Settled | Failed | None:
        """Send a part, in smaller pieces where it must be, until all is settled; None if the carrier is to end.

        Failed is the answer where it is to be given back; what of it is settled stays in the parcel.
        """
        todo = parcel.todo
        while todo:
            piece = todo.popleft()
            if isinstance(piece, Condemned):
                parcel.total += self._condemn(piece, again=kind == "redrive")
                continue
            aged, rest = self._given_up(piece) if kind == "push" else (None, piece)
            if aged is not None:
                parcel.total += self._give_up(aged)
                todo.extendleft([rest] if rest is not None else [])
                continue
            if not await self._turn(piece.items, urgent=parcel.urgent):
                return None
            outcome = await self._attempt(piece, kind)
            match outcome:
                case Settled():
                    parcel.total += outcome
                case Refused():
                    parcel.total += Settled(attempts=(outcome.attempt,), refused=1)
                    todo.extendleft(reversed(self._break_up(piece, outcome)))
                case Failed():
                    todo.appendleft(piece)
                    whole = piece is parcel.part and yields != "never" and self._given_up(piece)[0] is None
                    if yields == "always" or (whole and (yields == "whole" or self._waits_long())):
                        return outcome
                case Stopped():
                    return None
        return parcel.total

    # latest first: only the newest reading of each device

    async def _carry_newest(self) -> bool:
        """Carry the newest reading of each device among all that wait; False if the carrier is to end."""
        if not await self._turn(0):
            return False
        limits = self.lease.subscription.limits
        newest = self._newest
        again = self._until  # a stretch that was begun before a crash is taken as it was
        self._until = None
        while newest is None or (newest.room if again is None else newest.end < again):
            batch = await self._next_batch(wait=newest is None, to_end=True, cap=again)
            if batch is None:
                break
            newest = newest or Newest(batch.start, limits, self._frame)
            newest.add(batch)
        if self._halted.is_set():
            return False
        if newest is None:
            return True
        if again is None or newest.end != self._sending_to:
            await self._save(sending_to=newest.end)
        total = Settled()
        for number, part in enumerate(newest.parts()):
            settled = await self._carry_part(_parcel(part), "push", "never" if number else "whole")
            if isinstance(settled, Failed):
                self._newest = newest  # newer readings may replace these until the next attempt
                if self._waits_long() and not self._memory.has_room(0):
                    await self._read_anew(newest.stretch(), exactly=False)
                return True
            if settled is None:
                return False
            total += settled
        self._newest = None
        await self._settle(newest.stretch(), total, skipped=newest.skipped, plan_next=False)
        self._hold(sum(len(string) for piece in self._pieces for string in piece.strings) - self._held)
        return True

    # parked readings

    def _may_redrive(self) -> bool:
        return self._redrive > 0 and self._clock.monotonic() >= self._redrive_due

    async def _carry_parked(self) -> bool:
        """Send some of the parked readings that were asked for again; False if the carrier is to end.

        Those that fail are tried again by the schedule, and let the readings of the stream go first.
        """
        asked = self._redrive
        if self._express is not None and not await self._turn(0, yields=True):
            return True
        try:
            redriving = self._redriving or await self._next_parked()
        except StoreError:
            # PostgreSQL is away, which the saving of positions reports; the wish stays.
            await self._clock.wait(self._halted, BUS_RETRY_S)
            return True
        if redriving is None:
            await self._save(redrive_done=asked)
            if self._redrive == asked:
                self._redrive = 0
            return True
        settled = await self._carry_part(redriving.parcel, "redrive", "always")
        if settled is None:
            return False
        if isinstance(settled, Failed):
            self._redriving = redriving
            self._redrive_tries += 1
            schedule_s = self.lease.subscription.policy.retry_schedule_s
            due = self._clock.monotonic() + retry_delay_s(self._redrive_tries, schedule_s, spread=0.0)
            self._redrive_due = max(due, self._retry_due) + REDRIVE_STANDS_BACK_S
            return True
        self._redriving, self._redrive_tries = None, 0
        refused = {item.place.seq: item.reason for item in settled.parked}
        await self._save(
            redriven=tuple(item.id for number, item in enumerate(redriving.items) if number not in refused),
            kept=tuple((redriving.items[number].id, reason) for number, reason in refused.items()),
            attempts=settled.attempts,
            attempts_failed=settled.refused,
        )
        return True

    async def _next_parked(self) -> Redriving | None:
        """The next push of parked readings. Raises StoreError."""
        limits = self.lease.subscription.limits
        items = await self._leases.to_redrive(self.lease.subscription.id, limits.items)
        if not items:
            return None
        lines = [(escaped(item.line), Span(number, (0,))) for number, item in enumerate(items)]
        part = in_parts(lines, Position(seq=0), Position(seq=0), limits, "parked", self._frame)[0]
        items = items[: part.items]
        name = stable_uuid("parked", *(str(item.id) for item in items))
        return Redriving(items, _parcel(replace(part, part=name)))

    # going back

    async def _begin_replay(self, replay: Replay) -> None:
        """Go back to where a replay begins, after counting exactly what will come again."""
        subscription, before = self.lease.subscription, self._position
        while True:
            try:
                first = Position(seq=(await self._bus.bounds()).first_seq)
                start = min(max(replay.position, first), before)
                items = await count_span(self._bus, subscription, start, before)
                items += self.lease.progress.ahead  # what was settled before its turn comes again as well
                break
            except BusError:
                # NATS is away, which its connection reports; the wish stays.
                if await self._clock.wait(self._halted, BUS_RETRY_S):
                    return
        self._forget()
        self._position = self._passed = start
        self._until, self._lanes_done = None, 0
        self.feed.rewind(start)
        if self._express is not None:
            self._express.reset()
        if self._failing_since is not None:
            # What comes again on purpose has not failed for long, even where the endpoint has.
            self._failing_since = self._now()
        await self._save(position=start, sending_to=None, replay=replay.id, replayed=items, replayed_from=before)
        self._epoch += 1
        self._observe(ReplayBegun(subscription=subscription.id, replay=replay.id, position_seq=start.seq, items=items))

    # reading

    async def _next_batch(
        self, *, wait: bool, limits: BatchLimits | None = None, cap: Position | None = None, to_end: bool = False
    ) -> Batch | None:
        """The next push; None when halted or something urgent is to go first, or if, without waiting, nothing is there.

        With `to_end` it also reads on without waiting, until there is nothing more. A push begins where the one before
        ended, even where what it passes over is not wanted, so that the saved position says where it begins.
        """
        limits = limits or self.lease.subscription.limits
        if self._todo:
            return self._todo.pop(0)  # type: ignore[return-value]
        while True:
            if self._reading is not None and self._reading.done():
                await self._filled()
            if self._until is None and self._overtakes():
                return None
            self._open_buffered(limits)
            if self._pieces:
                batch = cut_batch(self._pieces, self._position, limits, self._until, cap or self._ahead_end())
                if self._until is not None:
                    if not self._lanes_done and _exceeds(batch, limits, self._frame):
                        self._until = self._sending_to = None  # it was planned under other limits, or another order
                        continue
                    if batch.end < self._until and not self.feed.live:
                        await self._filled()
                        if self._halted.is_set():
                            return None
                        continue
                elif batch.items and cap is None and not await self._full(batch, limits, wait=wait):
                    if wait and not self._halted.is_set() and not self._may_redrive():
                        continue
                    return None
                self._until = None
                self._drop_taken(batch)
                self._passed = batch.end
                if batch.items:
                    self._position = batch.end
                    return batch
                if batch.end == self._ahead_end():
                    self._position = batch.end
                if cap is not None and batch.end >= cap:
                    return None
                continue
            if self.feed.live:
                if not wait or self._may_redrive():
                    return None
                await self._save_passed()
                await self._wait_bell(self._redrive_due if self._redrive else None)
            elif not wait and not to_end and self._reading is not None:
                return None  # rather save what was taken than wait for the stream
            elif not await self._filled() and not wait and cap is None:
                return None
            if self._halted.is_set() or (wait and self._until is cap is None and self._may_redrive()):
                return None

    def _ahead_end(self) -> Position | None:
        """Where a push must end, because what is settled ahead ends there; None if that does not matter."""
        return self._express.end(self._position) if self._express is not None else None

    async def _wait_bell(self, until: float | None) -> None:
        """Wait for more messages, for a wish, or until the instant."""
        self.feed.bell.clear()
        if self.feed.waiting() or self._halted.is_set() or self._may_redrive() or self._overtakes():
            return
        if until is None:
            await self.feed.bell.wait()
        else:
            await self._clock.wait(self.feed.bell, max(0.0, until - self._clock.monotonic()))

    async def _save_passed(self) -> None:
        """Save that what could not be read is set aside, and what was settled ahead is passed, while nothing waits."""
        ahead = self._express is not None and self._express.state is not None and self._saved < self._passed
        if (self._unreadable or ahead) and self._until is None:
            self._position = self._passed
            await self._save(position=self._position, sending_to=None)

    async def _full(self, batch: Batch, limits: BatchLimits, *, wait: bool) -> bool:
        """Whether the push may go as it is; if not, and if it may wait, more has come or its time is over by then."""
        flush_s = self.lease.subscription.policy.flush_s
        more = self._pieces[-1].seq >= batch.end.seq
        if not flush_s or not self.feed.live or batch.items >= limits.items or more:
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

    def _read_ahead(self) -> None:
        """While a push is on its way, prepare the next one and read on, if the tail does not bring what it needs."""
        if self._reading is None and not self.feed.live and self._memory.has_room(READ_BYTES_MIN):
            self._reading = asyncio.create_task(self._prepare(), name=f"read ahead {self.lease.subscription.id}")

    async def _prepare(self) -> bool:
        await asyncio.sleep(0)  # first let the push be written
        self._open_buffered(self.lease.subscription.limits)
        return await self._fill() if self.feed.wants_more else self.feed.waiting()

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
            await self.feed.fill(self._bus)
        except BusError:
            # NATS is away, which its connection reports; the place in the stream is kept, so waiting loses nothing.
            await self._clock.wait(self._halted, BUS_RETRY_S)
            return False
        return self.feed.waiting()

    def _open_buffered(self, limits: BatchLimits) -> None:
        """Make pieces of buffered messages, only as far ahead as the next push needs."""
        zones = self.lease.subscription.filter.zones
        items = sum(len(piece.strings) for piece in self._pieces)
        size = sum(piece.ends[-1] for piece in self._pieces if piece.ends)
        while self.feed.waiting() and (self._until is not None or (items < limits.items and size < limits.size_bytes)):
            message = self.feed.take()
            if self._express is not None and self._express.passes_over(message):
                self._pieces.append(Piece(message.seq, (), (), ()))
                continue
            try:
                piece = open_message(message, self._position, zones, self._frame)
            except (UnicodeDecodeError, msgspec.DecodeError) as error:
                self._observe(MessageUnreadable(subject=message.subject, seq=message.seq, error=str(error)))
                first = self._position.item if self._position.seq == message.seq else 0
                self._unreadable.append((message, first))
                piece = Piece(message.seq, (), (), ())
            self._pieces.append(piece)
            items += len(piece.strings)
            size += piece.ends[-1] if piece.ends else 0
            self._hold(sum(map(len, piece.strings)))

    def _drop_taken(self, batch: Batch) -> None:
        """Keep of the pieces what lies behind the batch."""
        gone = 0
        for piece in self._pieces:
            if piece.seq >= batch.end.seq:
                break
            gone += 1
        del self._pieces[:gone]
        if self._pieces and self._pieces[0].seq == batch.end.seq and batch.end.item:
            self._pieces[0] = _rest_of(self._pieces[0], batch.end)

    def _waits_long(self) -> bool:
        """Whether the next attempt is so far away that memory should not be held for it."""
        return self._retry_due - self._clock.monotonic() >= FORGET_S

    async def _read_anew(self, batch: Batch | None, *, exactly: bool = True) -> None:
        """Give the memory back and read the push, if one is planned, again when its time has come."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
            self._reading = None
        self._forget()
        self._position = self._passed = batch.start if batch is not None else self._saved
        if batch is not None:
            self._until = batch.end if exactly else None
        self.feed.rewind(self._position)

    def _forget(self) -> None:
        self._planned = self._newest = None
        self._todo.clear()
        self._pieces.clear()
        self._unreadable.clear()
        if self._express is not None:
            self._express.forget_rest()
        self._hold(-self._held)

    def _hold(self, size: int) -> None:
        self._held += size
        self._memory.take(size)

    def _release(self, batch: Batch) -> None:
        self._hold(-min(self._held, sum(map(len, batch.strings))))

    # sending

    async def _turn(self, items: int, *, urgent: bool = False, yields: bool = False) -> bool:
        """Wait until the next attempt is due and the rates allow so many readings; False if halted before.

        Who `yields` is also told False when something urgent has come meanwhile, or is to be looked for.
        """
        while not self._halted.is_set():
            if yields and self._overtakes():
                return False
            now = self._clock.monotonic()
            rates_due = self._rate_due if urgent else max(self._rate_due, self._catch_up_due)
            due = max(self._retry_due, rates_due if items else now)
            if due > now:
                if not await self._wait_turn(due - now, yields=yields):
                    return False
                continue
            self._charge(items, now, urgent=urgent)
            return True
        return False

    async def _wait_turn(self, seconds: float, *, yields: bool) -> bool:
        """Wait so long, or until halted, or, for who yields, until anything has come.

        False if what is urgent is to be looked for.
        """
        if not yields or self._express is None:
            await self._clock.wait(self._halted, seconds)
            return True
        self.feed.bell.clear()
        if not self._halted.is_set() and not self._overtakes():
            await self._clock.wait(self.feed.bell, seconds)
        return self._express.live

    def _charge(self, items: int, now: float, *, urgent: bool) -> None:
        """Count readings against the rates. What is urgent waits for no backlog, so it is not held to that one's."""
        policy = self.lease.subscription.policy
        if items and policy.rate_per_s:
            self._rate_due = max(now, self._rate_due) + items / policy.rate_per_s
        if items and policy.catch_up_per_s and not urgent and self.feed.behind(self._position):
            self._catch_up_due = max(now, self._catch_up_due) + items / policy.catch_up_per_s

    async def _attempt(self, batch: Batch, kind: AttemptKind) -> Outcome:
        """One attempt, and what it means. Raises: LeaseLost."""
        if not self._lease_holds():
            raise LeaseLost(f"{self.lease.subscription.id}: the lease was not renewed in time")
        subscription = self.lease.subscription
        body = make_body(subscription, batch.strings)
        push = Push(
            subscription=subscription,
            request_id=request_id(subscription.id, batch, self._epoch, self._content),
            body=body.data,
            items=batch.items,
            content_type=body.content_type,
            content_encoding=body.content_encoding,
            kind=kind,
        )
        number = self._tried[push.request_id] = self._tried.get(push.request_id, 0) + 1
        attempt = Attempt(
            id=time_ordered_id(self._clock.now_ms()),
            at=self._now(),
            kind=kind,
            request_id=push.request_id,
            attempt=number,
            items=batch.items,
            size_bytes=len(push.body),
            http_status=0,
            seconds=0.0,
            start=batch.start if kind == "push" else None,
            end=batch.end if kind == "push" else None,
        )
        started, outages = time.perf_counter(), self._outages
        try:
            sent = await self._sender.send(push)
        except DeliveryError as error:
            attempt = replace(attempt, seconds=time.perf_counter() - started)
            return await self._not_taken(push, error, attempt, outages)
        named = _named(batch, sent.failed)
        self._observe(
            Delivered(
                subscription=subscription.id,
                request_id=push.request_id,
                items=batch.items - len(named),
                size_bytes=len(push.body),
                http_status=sent.http_status,
                attempt=number,
                seconds=sent.seconds,
            )
        )
        if len(named) < batch.items:
            self._recover()
        else:
            refused = f"HTTP {sent.http_status}: all {batch.items} named as failed"
            self._blame(batch, batch.items, DestinationRefused(refused, http_status=sent.http_status))
        attempt = replace(attempt, seconds=sent.seconds, http_status=sent.http_status, answer=storable(sent.answer))
        return replace(self._parted(batch, sent, named, again=kind == "redrive"), attempts=(attempt,))

    def _parted(self, batch: Batch, sent: Sent, named: dict[int, str], *, again: bool) -> Settled:
        """What was delivered of a push that was taken, and what the destination named as wrong."""
        if not named:
            return Settled(batch.items)
        total = Settled()
        for part in set_apart(batch, named):
            if isinstance(part, Condemned):
                total += self._condemn(replace(part, http_status=sent.http_status), again=again)
            else:
                total += Settled(part.items)
        return total

    async def _not_taken(self, push: Push, error: DeliveryError, attempt: Attempt, outages: int) -> Outcome:
        refused = error if isinstance(error, DestinationRefused) else None
        attempt = replace(
            attempt,
            http_status=refused.http_status if refused else 0,
            code=error.code,
            error=storable(error.message),
            answer=storable(refused.answer) if refused else "",
        )
        attempts: tuple[Attempt, ...] = (attempt,)
        if isinstance(error, TokenFault | EgressRefused):
            # Without a token or leave the destination was not asked: no attempt is charged to it.
            attempts = ()
            self._tried[push.request_id] -= 1
        verdict = verdict_of(error)
        wait_s = 0.0
        if verdict == "retry":
            wait_s = self._put_off(error, outages)
        self._last_error = storable(error.message)
        self._observe(
            DeliveryFailed(
                subscription=push.subscription.id,
                request_id=push.request_id,
                items=push.items,
                attempt=attempt.attempt,
                code=error.code,
                error=error.message,
                retry_in_s=round(wait_s, 3),
                seconds=attempt.seconds,
            )
        )
        if verdict == "poisoned":
            assert refused is not None
            return Refused(refused, attempt)
        if verdict == "retry":
            await self._save(attempts=attempts, attempts_failed=len(attempts), last_error=self._last_error)
            return Failed()
        await self._save(
            attempts=attempts, attempts_failed=len(attempts), last_error=self._last_error, pause=self._last_error
        )
        self._observe(SubscriptionSuspended(subscription=push.subscription.id, reason=self._last_error))
        self._halted.set()
        return Stopped()

    def _put_off(self, error: DeliveryError, outages: int, *, tries: int | None = None) -> float:
        """Let the next attempt be due later; how much later, in seconds.

        `outages` is how many there were when the attempt began: what fails side by side has failed once.
        """
        policy = self.lease.subscription.policy
        asked = error.retry_after_s if isinstance(error, DestinationRefused | TokenFault) else None
        known = outages != self._outages
        before = self._tries if tries is None else tries
        wait_s, counted = next_wait_s(
            max(0, before - 1) if known else before,
            policy.retry_schedule_s,
            spread=random.uniform(0, policy.retry_spread),
            retry_after_s=asked,
        )
        if not known:
            self._outages += 1
            self._failures += 1
            if tries is None:
                self._tries = counted
        self._failing_since = self._failing_since or self._now()
        due = self._clock.monotonic() + wait_s
        if not known or due > self._retry_due:
            self._retry_due = due
            self._retry_at = self._now() + timedelta(seconds=wait_s)
        return wait_s

    def _recover(self) -> None:
        self._tries = self._failures = self._poisoned = self._poisoned_waits = 0
        self._failing_since = self._retry_at = None
        self._retry_due = float("-inf")
        self._last_error = ""

    # setting aside

    def _condemn(self, condemned: Condemned, *, again: bool = False) -> Settled:
        return self._park(condemned.batch, "refused", condemned.reason, condemned.http_status, again=again)

    def _give_up(self, batch: Batch) -> Settled:
        return self._park(batch, "given_up", f"given up: {self._last_error}")

    def _park(self, batch: Batch, code: str, reason: str, http_status: int = 0, *, again: bool = False) -> Settled:
        """The readings of the batch, set aside; `again` where they were so before."""
        subscription, at = self.lease.subscription, self._now()
        parked = tuple(
            ParkedItem(
                id=time_ordered_id(self._clock.now_ms()),
                subscription_id=subscription.id,
                parked_at=at,
                place=place,
                line=unescaped(string).replace("\x00", "\ufffd"),
                code=code,
                reason=storable(reason),
                http_status=http_status,
                request_id=request_id(subscription.id, batch, self._epoch, self._content),
            )
            for string, place in zip(batch.strings, batch.places(), strict=True)
        )
        if not again:
            self._observe(Parked(subscription=subscription.id, items=len(parked), code=code, reason=storable(reason)))
        return Settled(parked=parked)

    def _take_unreadable(self, before_seq: int) -> tuple[ParkedItem, ...]:
        """What could not be read before the sequence, set aside."""
        found = [entry for entry in self._unreadable if entry[0].seq < before_seq]
        self._unreadable = [entry for entry in self._unreadable if entry[0].seq >= before_seq]
        return self._set_aside(found)

    def _set_aside(self, found: Sequence[tuple[Message, int]]) -> tuple[ParkedItem, ...]:
        """The messages, from a line on, that could not be read, set aside."""
        parked: tuple[ParkedItem, ...] = ()
        for message, first in found:
            string = escaped(message.data.decode("utf-8", "replace"))
            span = Span(message.seq, range(first, message.items))
            start, end = Position(seq=message.seq, item=first), Position(seq=message.seq + 1)
            batch = Batch([string] * len(span.numbers), [span], start, end)
            parked += self._park(batch, "unreadable", "the stored message is not what the hub writes").parked
        return parked

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)

    # saving

    async def _save(self, *, sending_to: Position | _Same | None = SAME, **changes: Any) -> None:
        """Save a step. Raises: LeaseLost."""
        async with self._saving:
            if not isinstance(sending_to, _Same):
                self._sending_to = sending_to
            position = changes.get("position")
            if position is not None and self._unreadable:
                changes["parked"] = (*changes.get("parked", ()), *self._take_unreadable(position.seq))
            if position is not None:
                self._saved = position
                if self._express is not None:
                    self._express.move(position)
            self._step += 1
            await self._positions.save(
                Advance(
                    subscription=self.lease.subscription.id,
                    worker=self.lease.worker,
                    fence=self.lease.fence,
                    step=self._step,
                    sending_to=self._sending_to,
                    lanes_done=self._lanes_done,
                    express=self._express.state if self._express is not None else None,
                    ahead=self._express.ahead if self._express is not None else 0,
                    failures=self._failures,
                    failing_since=self._failing_since,
                    retry_at=self._retry_at,
                    **changes,
                )
            )


def escaped(line: str) -> bytes:
    """A text as it stands between the quotes of a JSON string."""
    return msgspec.json.encode(line)[1:-1]


def unescaped(string: bytes) -> str:
    """The text of what stands between the quotes of a JSON string."""
    return msgspec.json.decode(b'"' + string + b'"', type=str)


def storable(text: str) -> str:
    """What a peer said, as far as it is kept: PostgreSQL takes no NUL, and nothing that is not Unicode.

    >>> storable("a\\x00b\\ud800")
    'a\ufffdb?'
    """
    return text[:_ERROR_KEPT_MAX].replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _parcel(part: Batch) -> Parcel:
    return Parcel(part, deque([part]))


def _named(batch: Batch, failed: Mapping[int, str]) -> dict[int, str]:
    """The readings of the batch that the destination named as wrong."""
    return {index: reason for index, reason in failed.items() if 0 <= index < batch.items}


def _exceeds(batch: Batch, limits: BatchLimits, frame: int) -> bool:
    """Whether the batch is larger than the limits allow."""
    size_bytes = 1 + sum(len(string) + frame for string in batch.strings)
    return batch.items > limits.items or (batch.items > 1 and size_bytes > limits.size_bytes)


def _start_of(todo: Todo) -> Position:
    return todo.batch.start if isinstance(todo, Condemned) else todo.start


def _end_of(todo: Todo) -> Position:
    return todo.batch.end if isinstance(todo, Condemned) else todo.end


def _epoch_ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _rest_of(piece: Piece, end: Position) -> Piece:
    """The piece without the lines before the position."""
    taken = sum(1 for number in piece.numbers if number < end.item)
    base = piece.ends[taken - 1] if taken else 0
    return Piece(
        piece.seq,
        piece.numbers[taken:],
        piece.strings[taken:],
        [e - base for e in piece.ends[taken:]],
        piece.stored_ms,
    )
