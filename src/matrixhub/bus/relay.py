"""The relay: it passes events on to the stream in the order of their commits, each once.

Where it has come to is saved, but only as a hint: what counts is how far the stream itself goes. Every event is written
for one sequence only, so whatever is late, lost or done twice, by this relay or another, the stream is the outbox.
Source: docs/decisions/0011-events.md
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from matrixhub.bus.subjects import event_subject
from matrixhub.lifecycle import rung_by
from matrixhub.model.errors import BusError, ForeignMessage, StoreError, StreamFull
from matrixhub.observe import (
    EventsRelayed,
    EventStreamLost,
    EventsWaiting,
    Observe,
    RelayGoesOn,
    RelayStuck,
    RelayWaits,
)
from matrixhub.ports import (
    Appended,
    Clock,
    Duty,
    EventMessage,
    EventStream,
    Outbox,
    OutboxEvent,
    RelayProgress,
    StreamEnd,
)

ROUND_EVENTS = 256
POLL_S = 1.0
DUTY_S = 1.0
MEASURE_S = 5.0


class Contradiction(Exception):
    """Database and stream cannot both be right; to go on would lose or repeat events."""


@dataclass(frozen=True, slots=True)
class Resumption:
    """Behind which event the relay goes on; `lost` if the stream has less than was written to it."""

    number: int
    lost: bool = False


def resume_behind(saved: RelayProgress, end: StreamEnd) -> Resumption:
    """Behind which event to go on, as the last message of the stream tells.

    The stream may have more than was saved. It has less where somebody deleted it or put an older copy in its place.
    Of a copy whose sequences are as they were, the missing end can be written again, event by event in its old place;
    to a new stream nothing is written twice.

    >>> early = datetime(2024, 3, 10, tzinfo=UTC)
    >>> resume_behind(RelayProgress(70, early, 60), StreamEnd(63, 73))
    Resumption(number=73, lost=False)
    >>> resume_behind(RelayProgress(70, early, 60), StreamEnd(58, 68))
    Resumption(number=68, lost=True)
    >>> resume_behind(RelayProgress(70, early, 60), StreamEnd(0, None))
    Resumption(number=70, lost=True)
    """
    if end.number is None:  # nothing but the sequence is kept, and the relay alone has made it grow
        beyond = end.seq - saved.seq
        return Resumption(saved.number + beyond) if beyond >= 0 else Resumption(saved.number, lost=True)
    if end.number >= saved.number:
        return Resumption(end.number)
    in_place = saved.number - end.number == saved.seq - end.seq
    return Resumption(end.number if in_place else saved.number, lost=True)


def next_in_row(events: Sequence[OutboxEvent], number: int) -> Sequence[OutboxEvent]:
    """Those of the events that follow the number without a gap."""
    return [event for index, event in enumerate(events) if event.number == number + 1 + index]


class Relay:
    """The stage that passes events on, in the one process that has the duty."""

    def __init__(self, outbox: Outbox, stream: EventStream, duty: Duty, clock: Clock, observe: Observe) -> None:
        self._outbox = outbox
        self._stream = stream
        self._duty = duty
        self._clock = clock
        self._observe = observe
        self._bell = asyncio.Event()
        self._place: RelayProgress | None = None
        self._trouble = ""
        self._duty_at = self._measure_at = float("-inf")
        self._held = False

    @property
    def name(self) -> str:
        """The name of this stage."""
        return "relay"

    def healthy(self) -> bool:
        """Whether events are passed on, or another process is to do it."""
        return not self._trouble

    def changed(self, _text: str = "") -> None:
        """Look at once: events were recorded."""
        self._bell.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Pass on what there is until stop, while no other process does."""
        try:
            async with rung_by(stop, self._bell):
                while not stop.is_set():
                    self._bell.clear()
                    more = await self._turn()
                    if not more and not stop.is_set():
                        await self._clock.wait(self._bell, POLL_S)
        finally:
            await self._duty.close()

    async def _turn(self) -> bool:
        """One round, if it is this process's turn; whether there is more to do at once."""
        try:
            if not await self._has_duty():
                return False
            await self._measure()
            return await self.pass_on()
        except Contradiction as error:
            self._fail("stuck", RelayStuck(error=str(error)))
        except ForeignMessage as error:
            self._fail(error.code, RelayStuck(error=error.message))
        except (BusError, StoreError) as error:
            self._fail(error.code, RelayWaits(code=error.code, error=error.message))
        return False

    async def pass_on(self) -> bool:
        """Pass one round of events on; whether there may be more. Raises BusError, StoreError, Contradiction."""
        if self._place is None:
            self._place = await self._find_place()
        place = self._place
        waiting = await self._outbox.unpublished(place.number, place.at, ROUND_EVENTS)
        events = next_in_row(waiting, place.number)
        if waiting and not events:
            raise Contradiction(f"event {place.number + 1} is missing in the log, which has {waiting[0].number}")
        if events:
            await self._append(place, events)
        self._recover()
        return len(waiting) == ROUND_EVENTS

    async def _append(self, place: RelayProgress, events: Sequence[OutboxEvent]) -> None:
        # Until all is written and saved for certain, only the stream knows how far it goes.
        self._place = None
        messages = [
            EventMessage(event.number, event_subject(event.property_id, event.words), event.line.encode())
            for event in events
        ]
        appended = await self._stream.append(messages, place.seq)
        if appended.stored:
            last = events[appended.stored - 1]
            self._observe(EventsRelayed(events=appended.stored))
            place = RelayProgress(last.number, last.at, place.seq + appended.stored)
            await self._outbox.save(place)
        _raise_fault(appended)
        self._place = place

    async def _find_place(self) -> RelayProgress:
        """Behind which event, and next to which sequence, to go on."""
        saved = await self._outbox.progress()
        end = await self._stream.end()
        found = resume_behind(saved, end)
        newest = await self._outbox.newest()
        if found.number > newest:
            raise Contradiction(
                f"the stream has event {found.number}, but the newest in the database is {newest}: "
                "an older copy of the database was put in place"
            )
        at: datetime | None = saved.at
        if found.number < saved.number:
            at = await self._outbox.recorded_at(found.number, saved.at)
        if at is None:  # the log does not reach back so far
            found, at = Resumption(saved.number, lost=True), saved.at
        place = RelayProgress(found.number, at or saved.at, end.seq)
        if found.lost:
            again = saved.number - found.number
            action = f"writes {again} events again in their old places" if again else "goes on with new events"
            self._observe(EventStreamLost(number=found.number, seq=end.seq, action=action))
            await self._outbox.save(place)
        return place

    async def _has_duty(self) -> bool:
        if self._clock.monotonic() >= self._duty_at:
            self._duty_at = self._clock.monotonic() + DUTY_S
            held, self._held = self._held, False
            self._held = await self._duty.held()
            if held and not self._held:
                self._observe(EventsWaiting(events=0, oldest_s=0.0))
            if not self._held:
                self._place, self._trouble = None, ""
        return self._held

    async def _measure(self) -> None:
        if self._clock.monotonic() < self._measure_at:
            return
        self._measure_at = self._clock.monotonic() + MEASURE_S
        place = self._place or await self._outbox.progress()
        backlog = await self._outbox.backlog(place.number, place.at)
        oldest = backlog.oldest_at
        now = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)
        waited_s = max(0.0, (now - oldest).total_seconds()) if oldest is not None else 0.0
        self._observe(EventsWaiting(events=backlog.events, oldest_s=waited_s))

    def _fail(self, trouble: str, fact: RelayStuck | RelayWaits) -> None:
        """Look anew next time, and tell of it, once."""
        self._place = None
        if trouble != self._trouble:
            self._trouble = trouble
            self._observe(fact)

    def _recover(self) -> None:
        if self._trouble and self._place is not None:
            self._trouble = ""
            self._observe(RelayGoesOn(number=self._place.number, seq=self._place.seq))


def _raise_fault(appended: Appended) -> None:
    """Turn what became of a row of events into an error, where it did not go well."""
    if appended.fault == "full":
        raise StreamFull(f"the stream of events is full: {appended.error}")
    if appended.fault:
        raise BusError(f"events: {appended.error}")
