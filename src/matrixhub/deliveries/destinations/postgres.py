"""Carries pushes into customers' databases: the port `Sender` for the kind `postgres`.

A push is taken apart into rows again, which are written in one transaction, each of them once: what a crash brings
again finds its rows there. Source: docs/contract/dedicated-db.md §3, docs/decisions/0022-rows-into-a-database.md
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import msgspec

from matrixhub.databases.connecting import Connection, close, cut_off, faults
from matrixhub.databases.rows import ROW_OF, Row
from matrixhub.databases.writing import RowWriter, Written
from matrixhub.deliveries.destinations.reaching import Reaching
from matrixhub.model.database import CustomerDatabase, database_of
from matrixhub.model.errors import DatabaseFault, DatabaseUnknown, NotFound, StoreError, UnstorableReading
from matrixhub.model.ids import DatabaseId
from matrixhub.model.policy import Policy
from matrixhub.model.subscription import Source, Subscription
from matrixhub.ports import Clock, DatabaseRecords, Push, Sent

CONNECTIONS_MAX = 4
"""To one database, however many subscriptions lead there."""

IDLE_S = 60.0
"""A connection that nothing was written over for so long is closed."""

LOOK_S = 1.0
"""So long a record is taken for what it was; what was changed of a database counts from then on, or after a fault."""

DATABASES_MAX = 10_000
ROWS_AT_ONCE = 500
"""After so many rows are made, others in this process get a turn."""

FIND_PART = 3
"""This part of the time for an attempt is spent on finding rows that are refused."""


@dataclass(slots=True)
class _Open:
    """A connection, when it was last used, and how what was written over it fared."""

    connection: Connection
    writer: RowWriter
    used_at: float


@dataclass(slots=True)
class _Known:
    """A database as its record was when it was looked at last, with the connections that were made by that."""

    record: CustomerDatabase
    looked_at: float
    idle: list[_Open] = field(default_factory=list)
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONNECTIONS_MAX))


class PostgresSender:
    """The port `Sender` for customers' databases."""

    def __init__(self, records: DatabaseRecords, reaching: Reaching, clock: Clock) -> None:
        self._records = records
        self._reaching = reaching
        self._clock = clock
        self._known: OrderedDict[DatabaseId, _Known] = OrderedDict()

    async def send(self, push: Push) -> Sent:
        """One attempt. Raises: DatabaseFault, DatabaseUnknown, RowsRefused, EgressRefused. See `Sender.send`.

        A test writes nothing: it is rolled back.
        """
        subscription = push.subscription
        if push.kind == "notice":
            raise DatabaseFault("a database takes no notices; let them go to a web service", step="schema")
        known = await self._look(subscription)
        started = perf_counter()
        source = subscription.filter.source
        rows, refused = await take_apart(source, push.body)
        written = await self._write(known, subscription.policy, source, [row for _, row in rows], push.kind == "test")
        named = {rows[index][0]: reason for index, reason in written.refused.items()}
        return Sent(
            http_status=0,
            seconds=perf_counter() - started,
            answer=told(written, len(rows), test=push.kind == "test"),
            failed={**refused, **named},
        )

    async def sweep(self) -> None:
        """Close connections that are idle, until cancelled."""
        while True:
            await self._clock.sleep(IDLE_S / 4)
            before = self._clock.monotonic() - IDLE_S
            for known in list(self._known.values()):
                for one in [one for one in known.idle if one.used_at < before]:
                    known.idle.remove(one)
                    await close(one.connection)

    async def close(self) -> None:
        """Close all connections."""
        for known in self._known.values():
            await _close_idle(known)
        self._known.clear()
        await self._reaching.close()

    async def _look(self, subscription: Subscription) -> _Known:
        """The database, as its record is now. Raises: DatabaseUnknown, DatabaseFault if there is none."""
        database_id = database_of(subscription.destination.url)
        now = self._clock.monotonic()
        known = self._known.get(database_id)
        if known is not None and now - known.looked_at < LOOK_S:
            self._known.move_to_end(database_id)
            return self._of_property(known, subscription)
        try:
            if known is None or await self._records.version(database_id) != known.record.version:
                known = await self._make_known(await self._records.show(database_id, subscription.property_id), now)
        except NotFound as error:
            raise DatabaseFault(f"the database {database_id} is not known any longer", step="reach") from error
        except StoreError as error:
            raise DatabaseUnknown(f"where the database is cannot be found out now: {error.message}") from error
        known.looked_at = now
        return self._of_property(known, subscription)

    def _of_property(self, known: _Known, subscription: Subscription) -> _Known:
        if known.record.property_id != subscription.property_id:
            raise DatabaseFault(f"the database {known.record.id} is not known any longer", step="reach")
        return known

    async def _make_known(self, record: CustomerDatabase, now: float) -> _Known:
        before = self._known.pop(record.id, None)
        made = self._known[record.id] = _Known(record, now)
        if before is not None:
            await _close_idle(before)
        if len(self._known) > DATABASES_MAX:
            await _close_idle(self._known.popitem(last=False)[1])
        return made

    async def _write(self, known: _Known, policy: Policy, source: Source, rows: Sequence[Row], test: bool) -> Written:
        """Write the rows over a connection that is open, or else over a new one. Raises as `send`."""
        limit_s = policy.total_timeout_s
        with faults(known.record.server):
            async with asyncio.timeout(limit_s), known.turns:
                while True:
                    reused = bool(known.idle)
                    one = known.idle.pop() if reused else await self._open(known, policy)
                    try:
                        written = await _write_over(one, source, rows, limit_s, test)
                    except BaseException as error:
                        # What became of the transaction is unknown, or something is not what it was.
                        was_cut = cut_off(one.connection, error)
                        one.connection.terminate()
                        known.looked_at = float("-inf")
                        if not (reused and was_cut):
                            raise
                        continue  # it was cut off while nobody used it, which is nobody's failure
                    await self._give_back(known, one)
                    return written

    async def _open(self, known: _Known, policy: Policy) -> _Open:
        try:
            connection = await self._reaching.connect(
                known.record, connect_s=policy.connect_timeout_s, command_s=policy.total_timeout_s
            )
        except BaseException:
            known.looked_at = float("-inf")
            raise
        return _Open(connection, RowWriter(connection), self._clock.monotonic())

    async def _give_back(self, known: _Known, one: _Open) -> None:
        one.used_at = self._clock.monotonic()
        if self._known.get(known.record.id) is known:
            known.idle.append(one)
        else:
            await close(one.connection)


@contextlib.asynccontextmanager
async def open_postgres_sender(
    records: DatabaseRecords, reaching: Reaching, clock: Clock
) -> AsyncIterator[PostgresSender]:
    """A sender with its connections, which are closed when they are idle."""
    sender = PostgresSender(records, reaching, clock)
    sweeping = asyncio.create_task(sender.sweep(), name="idle-databases")
    try:
        yield sender
    finally:
        sweeping.cancel()
        await asyncio.wait([sweeping])
        await sender.close()


_texts_of = msgspec.json.Decoder(list[str]).decode
_values_of = msgspec.json.Decoder(list[msgspec.Raw]).decode


async def take_apart(source: Source, body: bytes) -> tuple[list[tuple[int, Row]], dict[int, str]]:
    """The rows of a push by their index, and why others cannot be rows."""
    row_of = ROW_OF[source]
    rows: list[tuple[int, Row]] = []
    refused: dict[int, str] = {}
    items: Sequence[str | msgspec.Raw] = _texts_of(body) if source == "sensors" else _values_of(body)
    for index, item in enumerate(items):
        if index and index % ROWS_AT_ONCE == 0:
            await asyncio.sleep(0)
        try:
            rows.append((index, row_of(item if isinstance(item, str) else bytes(item))))
        except UnstorableReading as error:
            refused[index] = error.message
    return rows, refused


def told(written: Written, rows: int, *, test: bool) -> str:
    """What became of a push, in place of the answer that a web service gives.

    >>> told(Written(1998), 2000, test=False), told(Written(1, {0: "x"}), 2, test=False)
    ('1,998 rows written, 2 were there', '1 row written')
    """
    if test:
        return "nothing written: reach, TLS, login, rights and schema are as they should be" if written.new else ""
    there = rows - written.new - len(written.refused)
    made = f"{written.new:,} row{'' if written.new == 1 else 's'} written"
    return f"{made}, {there:,} {'was' if there == 1 else 'were'} there" if there else made


async def _write_over(one: _Open, source: Source, rows: Sequence[Row], limit_s: float, test: bool) -> Written:
    if test:
        return await one.writer.rehearse(source, rows)
    return await one.writer.write(source, rows, find_s=limit_s / FIND_PART)


async def _close_idle(known: _Known) -> None:
    while known.idle:
        await close(known.idle.pop().connection)
