"""The stage that backfills: it copies past data into customers' databases, a chunk at a time, behind all else.

A chunk is read from the store, written in one transaction of the customer's, and only then saved as done: whatever is
interrupted is done again, and finds its rows there. Several processes may do this at once; each backfill has its turn
with one of them, and a turn is short, so that none waits for another whose database is away.
Source: docs/decisions/0027-backfill.md
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

from matrixhub.databases.rows import ROW_OF, Row
from matrixhub.databases.writing import RowWriter, Written
from matrixhub.model.backfill import (
    DAY_MS,
    Backfill,
    chunk_rows,
    next_day,
    pause_s,
    retry_in_s,
    store_waits_for,
)
from matrixhub.model.database import CustomerDatabase
from matrixhub.model.errors import BusError, DeliveryError, NotFound, RowsRefused, StoreError, UnstorableReading
from matrixhub.model.past import END, Page, Place
from matrixhub.model.subscription import CALLED, Source
from matrixhub.modules.telemetry.backfills import event_matcher
from matrixhub.observe import (
    BackfillBegun,
    BackfillCopied,
    BackfillDone,
    BackfillFailed,
    BackfillRefused,
    BackfillWaits,
    Observe,
    StoreFailed,
)
from matrixhub.ports import Bus, Clock
from matrixhub.store import Database
from matrixhub.store.backfills import (
    Backfills,
    Chunk,
    Turn,
    day_bounds,
    newest_event,
    newest_reading,
    read_events,
    reading_days,
    reading_sources,
)
from matrixhub.store.databases import Databases
from matrixhub.store.past_readings import Sources, read_page
from matrixhub.store.readings import PostgresReadings

TURNS_MAX = 2
"""So many backfills have their turn at a time in one process."""

TURN_S = 30.0
LEASE_S = 60.0
IDLE_S = 2.0
WAIT_S = 2.0
STORE_BEHIND_MAX = 1_000
LIVE_PENDING_MAX = 20_000
"""So many messages may wait for the store, and so many items for the subscription, before a backfill makes way."""

SLICE_ROWS = 250
"""So many rows are made before others of the process have their turn."""

_MS = timedelta(milliseconds=1)

Reach = Callable[[CustomerDatabase], AbstractAsyncContextManager[Any]]
"""Opens a connection to a customer's database for a block. Raises DatabaseFault, EgressRefused."""


class Backfiller:
    """The stage `backfills`."""

    name = "backfills"

    def __init__(
        self, database: Database, databases: Databases, bus: Bus, reach: Reach, clock: Clock, observe: Observe
    ) -> None:
        self._database = database
        self._databases = databases
        self._backfills = Backfills(database)
        self._readings = PostgresReadings(database)
        self._bus = bus
        self._reach = reach
        self._clock = clock
        self._observe = observe

    async def run(self, stop: asyncio.Event) -> None:
        """Do what is asked for until stop."""
        async with asyncio.TaskGroup() as group:
            for number in range(TURNS_MAX):
                group.create_task(self._take_turns(stop), name=f"backfills {number}")

    async def _take_turns(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                if await self.step(stop):
                    continue
            except (StoreError, BusError) as error:  # the turn ends with its lease
                self._observe(StoreFailed(step="backfills", error=error.message))
            await self._clock.wait(stop, IDLE_S)

    async def step(self, stop: asyncio.Event) -> bool:
        """Give the next backfill its turn; whether there was one. Raises StoreError, BusError."""
        turn = await self._backfills.claim(LEASE_S)
        if turn is None:
            return False
        job = _Job(turn)
        try:
            if await self._ready(job) and await self._copy(job, stop):
                await self._backfills.release(job.turn)
        except NotFound:
            return True  # its database was removed, and it with it
        except DeliveryError as error:
            failures = job.backfill.failures + 1
            wait_s = retry_in_s(failures)
            await self._backfills.rest(job.turn, wait_s, failures=failures, error=error.message)
            self._observe(
                BackfillWaits(backfill=job.backfill.id, code=error.code, error=error.message, retry_in_s=wait_s)
            )
        return True

    # --- before the first chunk ---

    async def _ready(self, job: _Job) -> bool:
        """Whether everything that came before is in the store; the turn is over where it is not."""
        if await self._makes_way(job):
            return False
        if job.backfill.state == "running":
            return True
        return await (self._begin_events(job) if job.backfill.source == "events" else self._begin_readings(job))

    async def _begin_events(self, job: _Job) -> bool:
        """The log has every event before the stream has it, so there is nothing to wait for."""
        if job.backfill.through is None and not job.go_on(
            await self._backfills.set_through(job.turn, await newest_event(self._database))
        ):
            return False
        return job.go_on(await self._backfills.begin(job.turn, END)) and self._begun(job)

    async def _begin_readings(self, job: _Job) -> bool:
        bounds = await self._bus.bounds()
        if job.backfill.through is None and not job.go_on(await self._backfills.set_through(job.turn, bounds.last_seq)):
            return False
        waiting = store_waits_for(job.backfill.through or 0, await self._readings.position(), bounds.last_seq)
        if waiting:
            await self._backfills.rest(job.turn, WAIT_S, waiting=f"the store keeps {waiting:,} messages first")
            return False
        backfill = job.backfill
        job.sources = await reading_sources(self._database, backfill)
        days = await reading_days(self._database, backfill.since, backfill.until)
        newest = await newest_reading(self._database, job.sources, days, backfill.since, backfill.until)
        until = backfill.since if newest is None else newest + _MS
        return job.go_on(await self._backfills.begin(job.turn, until)) and self._begun(job)

    def _begun(self, job: _Job) -> bool:
        backfill = job.backfill
        self._observe(
            BackfillBegun(
                backfill=backfill.id,
                database=backfill.database_id,
                source=backfill.source,
                items=backfill.estimate.items,
            )
        )
        return True

    async def _makes_way(self, job: _Job) -> bool:
        """Whether the turn is over because something else comes first, or nothing would bring what comes later."""
        backfill = job.backfill
        live = await self._backfills.live(backfill)
        if live is None:
            reason = f"{backfill.subscription_id} is gone: what came since would be missing; begin anew with another"
            if await self._backfills.fail(job.turn, reason):
                self._observe(BackfillFailed(backfill=backfill.id, reason=reason))
            return True
        waiting = ""
        if live.state == "active" and live.pending > LIVE_PENDING_MAX:
            waiting = f"{live.pending:,} {CALLED[backfill.source]} wait to be delivered live"
        elif backfill.source == "sensors" and backfill.state == "running":
            behind = (await self._bus.bounds()).last_seq - (await self._readings.position() or 0)
            if behind > STORE_BEHIND_MAX:
                waiting = f"the store is {behind:,} messages behind"
        if waiting:
            await self._backfills.rest(job.turn, WAIT_S, waiting=waiting)
        return bool(waiting)

    # --- chunk by chunk ---

    async def _copy(self, job: _Job, stop: asyncio.Event) -> bool:
        """Copy until the turn is over; whether it is still to be given back. Raises DeliveryError."""
        record = await self._databases.show(job.backfill.database_id, job.backfill.property_id)
        turn_ends = self._clock.monotonic() + TURN_S
        async with self._reach(record) as connection:
            writer = RowWriter(connection)
            while not stop.is_set() and self._clock.monotonic() < turn_ends:
                began = self._clock.monotonic()
                chunk = await self._copy_chunk(writer, job)
                took_s = self._clock.monotonic() - began
                if not job.go_on(await self._backfills.save(job.turn, chunk, LEASE_S)):
                    return False  # paused, cancelled, or another's by now
                self._tell(job, chunk, took_s)
                if chunk.last:
                    return False
                rest_s = pause_s(chunk.written + chunk.present, job.backfill.rate, took_s)
                if rest_s:
                    await self._clock.wait(stop, rest_s)
                if await self._makes_way(job):
                    return False
        return True

    async def _copy_chunk(self, writer: RowWriter, job: _Job) -> Chunk:
        page, place, last = await self._read(job)
        rows, refusals = await self._rows(job.backfill, page.lines)
        done = [one async for one in _write(writer, job.backfill.source, rows)]
        refusals += [reason for one in done for reason in one.refused.values()]
        new = sum(one.new for one in done)
        return Chunk(
            place=place,
            written=new,
            present=len(page.lines) - len(refusals) - new,
            refused=len(refusals),
            refusal=refusals[0] if refusals else "",
            last=last,
        )

    async def _read(self, job: _Job) -> tuple[Page, Place, bool]:
        """The next lines, the place behind them, and whether they are the last."""
        backfill = job.backfill
        limit = chunk_rows(backfill.rate)
        if backfill.source == "events":
            matches = event_matcher(backfill.property_id, backfill.filter)
            page = await read_events(self._database, backfill, matches, limit=limit)
            return page, page.after or _end(backfill), page.after is None
        if job.sources is None:
            job.sources = await reading_sources(self._database, backfill)
        if job.days is None:
            job.days = await reading_days(self._database, backfill.since, backfill.until)
        day = next_day(job.days, backfill.place) if job.sources.series else None
        if day is None:
            return Page([], None), _end(backfill), True
        start, end = day_bounds(day, backfill.since, backfill.until)
        async with self._database.connection() as connection:
            page = await read_page(connection, job.sources, start, end, after=backfill.place, limit=limit)
        place = page.after or Place((day + 1) * DAY_MS, -1)
        return page, place, next_day(job.days, place) is None

    async def _rows(self, backfill: Backfill, lines: Sequence[bytes]) -> tuple[list[Row], list[str]]:
        """The rows of lines, and why some of them can be none."""
        row_of = ROW_OF[backfill.source]
        rows: list[Row] = []
        refusals: list[str] = []
        for number, line in enumerate(lines):
            try:
                rows.append(row_of(line))
            except UnstorableReading as error:
                refusals.append(error.message)
            if number % SLICE_ROWS == 0:
                await asyncio.sleep(0)
        return rows, refusals

    def _tell(self, job: _Job, chunk: Chunk, took_s: float) -> None:
        backfill = job.backfill
        self._observe(
            BackfillCopied(
                backfill=backfill.id,
                written=chunk.written,
                present=chunk.present,
                refused=chunk.refused,
                seconds=took_s,
            )
        )
        if chunk.refused:
            self._observe(BackfillRefused(backfill=backfill.id, items=chunk.refused, reason=chunk.refusal))
        if chunk.last:
            self._observe(
                BackfillDone(
                    backfill=backfill.id,
                    written=backfill.written,
                    present=backfill.present,
                    refused=backfill.refused,
                )
            )


class _Job:
    """A backfill in its turn, as it was saved last, and what is known of where its readings lie."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.sources: Sources | None = None
        self.days: Sequence[int] | None = None

    @property
    def backfill(self) -> Backfill:
        """As it was saved last."""
        return self.turn.backfill

    def go_on(self, saved: Turn | None) -> bool:
        """Go on with what was saved; whether it is still this one's turn."""
        if saved is None:
            return False
        self.turn = saved
        return True


async def _write(writer: RowWriter, source: Source, rows: Sequence[Row]) -> AsyncIterator[Written]:
    """Write the rows; in parts, where so many are refused that they are not found at once."""
    if not rows:
        return
    try:
        yield await writer.write(source, rows)
    except RowsRefused:
        middle = len(rows) // 2
        for part in (rows[:middle], rows[middle:]):
            async for done in _write(writer, source, part):
                yield done


def _end(backfill: Backfill) -> Place:
    """The place behind everything."""
    return Place(max(0, round(backfill.until.timestamp() * 1000)), -1)
