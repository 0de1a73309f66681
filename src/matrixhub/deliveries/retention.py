"""Retention: what is kept how long, by the settings; nothing goes that is not counted first.

The stream keeps what is young, and of what is older that which a subscription still waits for, up to a second age. What
is removed then expires first: it is counted, and the subscription goes on behind it, in one transaction. Whatever is
interrupted is done again by the next round, and the balance is exact at every step.
Source: docs/decisions/0009-balance.md
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from matrixhub.bus.subjects import urgent_filter
from matrixhub.deliveries.balance import want_from
from matrixhub.deliveries.pending import Want, count_wanted, first_wanted
from matrixhub.model.balance import Account
from matrixhub.model.errors import BusError, StoreError
from matrixhub.model.subscription import Express, Position, Source
from matrixhub.observe import Observe, PartitionsKept, ReadingsExpired, StoreFailed, StreamPurged
from matrixhub.ports import Books, Bus, Clock, Counted, Duty, Partitions

ROUND_S = 3600.0
RETRY_S = 60.0
DUTY_S = 20.0
TRIES = 50
TRY_WAIT_S = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class RetentionSettings:
    """How long what is kept."""

    stream_s: float
    pending_s: float
    attempts_s: float
    parked_s: float
    events_s: float


def stream_floor(young_seq: int, pending_seq: int, waited_for: Iterable[int]) -> int:
    """The first message to keep.

    Shape:  young_seq is the first that is young enough to be kept in any case, pending_seq the first that is young
            enough to be kept for those who wait for it; waited_for is the first message each subscription waits for.

    >>> stream_floor(100, 50, [70, 200]), stream_floor(100, 50, [20]), stream_floor(100, 50, [])
    (70, 50, 100)
    """
    return min(young_seq, max(pending_seq, min(waited_for, default=young_seq)))


def expiry_end(account: Account, floor: int) -> Position:
    """Where a subscription goes on whose readings before the floor expire.

    Parts of the request under way that were settled already lie somewhere before its end: then all of it goes.
    What went by the express lane is known by its priority.
    """
    end = Position(seq=floor)
    parts = account.ahead and account.express is None
    return max(end, account.sending_to) if parts and account.sending_to else end


def express_behind(express: Express | None, end: Position) -> Express | None:
    """What remains of what was settled ahead where a subscription goes on at `end`, with the push on its way.

    >>> express_behind(Express(from_seq=5, to_seq=9), Position(seq=9)) is None
    True
    """
    if express is None or express.to_seq < end.seq or (express.to_seq == end.seq and express.sending_to is None):
        return None
    return express


class Retention:
    """The stage that removes what is too old, and makes room for what comes."""

    def __init__(
        self,
        settings: RetentionSettings,
        bus: Bus,
        books: Books,
        partitions: Partitions | None,
        duty: Duty,
        clock: Clock,
        observe: Observe,
        source: Source = "sensors",
        *,
        stored: Callable[[], Awaitable[int | None]] | None = None,
    ) -> None:
        """Of several, one a stream, only one has the `partitions` and what else is kept of all subscriptions.

        `stored` tells the last message that is stored for past data, None where nothing ever was: what is not stored
        yet is waited for, like what a subscription waits for.
        """
        self._stored = stored
        self._source: Source = source
        self._settings = settings
        self._bus = bus
        self._books = books
        self._partitions = partitions
        self._duty = duty
        self._clock = clock
        self._observe = observe

    @property
    def name(self) -> str:
        """The name of this stage."""
        return "retention" if self._source == "sensors" else f"retention of {self._source}"

    async def run(self, stop: asyncio.Event) -> None:
        """Do its round every hour until stop, while no other process does."""
        due_s = float("-inf")
        try:
            while not stop.is_set():
                try:
                    if await self._duty.held() and self._clock.monotonic() >= due_s:
                        due_s = self._clock.monotonic() + RETRY_S
                        await self.round()
                        due_s = self._clock.monotonic() + ROUND_S
                except StoreError as error:
                    self._observe(StoreFailed(step="retention", error=error.message))
                except BusError:
                    pass  # NATS is away, which its connection reports; the next round finds the same
                await self._clock.wait(stop, DUTY_S)
        finally:
            await self._duty.close()

    async def round(self) -> None:
        """Partitions, parked readings, the stream. Raises BusError, StoreError."""
        await self.keep_partitions()
        await self.keep_stream()

    async def make_partitions(self) -> None:
        """Make the partitions of the next days before the first row is to lie in them.

        Where that cannot be now, because the tables are busy, rows lie in the default partition until the next round.
        """
        if self._partitions is None:
            return
        try:
            self._tell(await self._partitions.make(self._now()), ())
        except StoreError as error:
            self._observe(StoreFailed(step="make partitions", error=error.message))

    async def keep_partitions(self) -> None:
        """Make partitions ahead, let old parked readings expire, drop what is over. Raises StoreError."""
        if self._partitions is None:
            return
        now = self._now()
        made = await self._partitions.make(now)
        parked_before = now - timedelta(seconds=self._settings.parked_s)
        for subscription, items in (await self._books.expire_parked(parked_before)).items():
            self._observe(ReadingsExpired(subscription=subscription, items=items, where="parked"))
        attempts_before = now - timedelta(seconds=self._settings.attempts_s)
        dropped = await self._partitions.drop(
            attempts_before=attempts_before,
            parked_before=parked_before,
            events_before=now - timedelta(seconds=self._settings.events_s),
        )
        self._tell(made, dropped)

    async def keep_stream(self) -> None:
        """Remove from the stream what is too old. Raises BusError, StoreError."""
        bounds = await self._bus.bounds()
        young = await self._first_since(self._settings.stream_s)
        if young <= bounds.first_seq:
            return
        pending = await self._first_since(max(self._settings.stream_s, self._settings.pending_s))
        floor = stream_floor(young, pending, await self._waited_for(young))
        if floor <= bounds.first_seq:
            return
        # First the floor, so that nobody comes to stand before it while the others are moved behind it; the purge last.
        await self._books.raise_floor(self._source, floor)
        await self._expire_before(floor)
        await self._count_up(floor)
        await self._bus.purge(floor)
        self._observe(StreamPurged(source=self._source, messages=floor - bounds.first_seq, first_seq=floor))

    async def _waited_for(self, end: int) -> list[int]:
        """The first message before `end` that the store and each subscription wait for, active or not; none of those
        without.
        """
        found = []
        stored = await self._stored() if self._stored is not None else None
        if stored is not None and stored + 1 < end:
            found.append(stored + 1)
        for account in await self._books.accounts(self._source):
            if account.position.seq < end:
                seq = await first_wanted(self._bus, want_from(account, account.position), end)
                if seq is not None:
                    found.append(seq)
        return found

    async def _expire_before(self, floor: int) -> None:
        """Move everybody who waits for something before the floor behind it."""
        for account in await self._books.accounts(self._source):
            if account.position.seq < floor:
                await self._expire(account, floor)

    async def _expire(self, account: Account, floor: int) -> None:
        for _ in range(TRIES):
            start = want_from(account, account.position)
            [waiting] = await count_wanted(self._bus, [start], floor)
            if not waiting:
                return
            end = expiry_end(account, floor)
            [gone] = await count_wanted(self._bus, [start], end.seq + 1)
            [kept] = await count_wanted(self._bus, [want_from(account, end)], end.seq + 1)
            express = express_behind(account.express, end)
            ahead = await self._count_express(account, express, end)
            items = gone - kept - (account.ahead - ahead)
            if await self._books.expire(account, end, items, express=express, ahead=ahead):
                self._observe(ReadingsExpired(subscription=account.id, items=items, where="stream"))
                return
            # It is being delivered, faster than it is counted: let it stand still for a moment.
            await self._books.seize(account.id)
            again = await self._books.accounts(self._source, account.id)
            if not again or again[0].position.seq >= floor:
                return
            account = again[0]
        raise StoreError(f"{account.id}: its position changed each time it was to expire")

    async def _count_express(self, account: Account, express: Express | None, end: Position) -> int:
        """How many of the urgent events that were settled ahead lie behind `end`."""
        urgent = urgent_filter(account.filter)
        if express is None or urgent is None:
            return 0
        start = Position(seq=max(end.seq, express.from_seq))
        want = Want(property_id=account.property_id, filter=urgent, position=start)
        return (await count_wanted(self._bus, [want], express.to_seq))[0]

    async def _count_up(self, floor: int) -> None:
        """Have everybody's accepted readings before the floor counted, while they are there."""
        for _ in range(TRIES):
            behind = [
                account for account in await self._books.accounts(self._source) if account.accepted_to.seq < floor
            ]
            if not behind:
                return
            wants: list[Want] = [want_from(account, account.accepted_to) for account in behind]
            counts = await count_wanted(self._bus, wants, floor)
            await self._books.add_accepted(
                [
                    Counted(
                        subscription=account.id,
                        filter=account.filter,
                        start=account.accepted_to,
                        to_seq=floor,
                        items=items,
                    )
                    for account, items in zip(behind, counts, strict=True)
                ]
            )
            await self._clock.sleep(TRY_WAIT_S)
        raise StoreError("not everybody could be counted up before the stream is shortened")

    async def _first_since(self, age_s: float) -> int:
        return await self._bus.first_seq_since(self._clock.now_ms() - int(age_s * 1000))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)

    def _tell(self, made: Mapping[str, int], dropped: Sequence[str]) -> None:
        if made or dropped:
            self._observe(
                PartitionsKept(made=", ".join(made), dropped=", ".join(dropped), rows_moved=sum(made.values()))
            )
