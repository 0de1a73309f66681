"""Carries one subscription: one request in flight, in order, until it is taken; its position saved after each.

The end of a request is saved before it is sent. Should this worker die, the next owner cuts the same request again,
so the receiver sees the same id, and at most one request is repeated. Source: docs/decisions/0006-one-plan-ahead.md
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable

import msgspec

from matrixhub.deliveries.feed import Feed
from matrixhub.deliveries.plan import Batch, Piece, cut_batch, open_message, request_id, retry_delay_s
from matrixhub.deliveries.positions import Positions
from matrixhub.model.errors import BusError, DeliveryError, DestinationRefused, LeaseLost
from matrixhub.model.subscription import Lease, Position
from matrixhub.observe import Delivered, DeliveryFailed, MessageUnreadable, Observe
from matrixhub.ports import Advance, Bus, Clock, Push, Sender

BUS_RETRY_S = 0.5
RETRY_AFTER_MAX_S = 86_400.0


class Carrier:
    """The delivery of one subscription by its owner."""

    def __init__(
        self,
        lease: Lease,
        feed: Feed,
        bus: Bus,
        sender: Sender,
        positions: Positions,
        clock: Clock,
        observe: Observe,
        lease_holds: Callable[[], bool],
    ) -> None:
        self.lease = lease
        self.feed = feed
        self._bus = bus
        self._sender = sender
        self._positions = positions
        self._clock = clock
        self._observe = observe
        self._lease_holds = lease_holds
        self._position = lease.progress.position
        self._until = lease.progress.sending_to
        self._step = lease.progress.step
        self._pieces: deque[Piece] = deque()
        self._reading: asyncio.Task[bool] | None = None
        self._halted = asyncio.Event()

    def halt(self) -> None:
        """Ask it to end after the request under way."""
        self._halted.set()
        self.feed.bell.set()

    async def run(self) -> None:
        """Deliver until halted. Raises: LeaseLost when another worker has taken over."""
        planned: Batch | None = None
        try:
            while not self._halted.is_set():
                batch = planned or await self._next_batch(wait=True)
                if batch is None:
                    return
                if planned is None:
                    await self._save(None, sending_to=batch.end)
                self._read_ahead()
                if not await self._deliver(batch):
                    return
                planned = None if self._halted.is_set() else await self._next_batch(wait=False)
                await self._save(batch.end, sending_to=planned.end if planned else None, delivered=batch.items)
        finally:
            if self._reading is not None:
                self._reading.cancel()

    async def _next_batch(self, *, wait: bool) -> Batch | None:
        """The next push; None when halted, or, without waiting, when nothing is buffered."""
        while True:
            if self._reading is not None and self._reading.done():
                await self._filled()
            self._open_buffered()
            if self._pieces:
                batch = cut_batch(list(self._pieces), self._position, self.lease.subscription.limits, self._until)
                if self._until is not None and batch.end < self._until and not self.feed.live and await self._filled():
                    continue
                self._until = None
                self._drop_taken(batch)
                self._position = batch.end
                if batch.items:
                    return batch
                continue
            if self.feed.live:
                if not wait:
                    return None
                self.feed.bell.clear()
                if not self.feed.waiting() and not self._halted.is_set():
                    await self.feed.bell.wait()
            elif not wait and self._reading is not None:
                return None  # rather save what was taken than wait for the stream
            elif not await self._filled() and not wait:
                return None
            if self._halted.is_set():
                return None

    def _read_ahead(self) -> None:
        """While a push is on its way, prepare the next one and read on, if the tail does not bring what it needs."""
        if self._reading is None and not self.feed.live:
            self._reading = asyncio.create_task(self._prepare(), name=f"read ahead {self.lease.subscription.id}")

    async def _prepare(self) -> bool:
        await asyncio.sleep(0)  # first let the push be written
        self._open_buffered()
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

    def _open_buffered(self) -> None:
        """Make pieces of buffered messages, only as far ahead as the next push needs."""
        limits = self.lease.subscription.limits
        items = sum(len(piece.strings) for piece in self._pieces)
        size = sum(piece.ends[-1] for piece in self._pieces if piece.ends)
        while self.feed.waiting() and (self._until is not None or (items < limits.items and size < limits.size_bytes)):
            message = self.feed.take()
            try:
                piece = open_message(message, self._position, self.lease.subscription.filter.zones)
            except (UnicodeDecodeError, msgspec.DecodeError) as error:
                self._observe(MessageUnreadable(subject=message.subject, seq=message.seq, error=str(error)))
                continue
            self._pieces.append(piece)
            items += len(piece.strings)
            size += piece.ends[-1] if piece.ends else 0

    def _drop_taken(self, batch: Batch) -> None:
        """Keep of the pieces what lies behind the batch."""
        while self._pieces and self._pieces[0].seq < batch.end.seq:
            self._pieces.popleft()
        if self._pieces and self._pieces[0].seq == batch.end.seq and batch.end.item:
            self._pieces[0] = _rest_of(self._pieces[0], batch.end)

    async def _deliver(self, batch: Batch) -> bool:
        """Send until the destination has taken it; False if halted before. Raises: LeaseLost."""
        subscription = self.lease.subscription
        push = Push(
            subscription=subscription,
            request_id=request_id(subscription.id, batch),
            body=batch.body,
            items=batch.items,
        )
        attempt = 0
        while True:
            if not self._lease_holds():
                raise LeaseLost(f"{subscription.id}: the lease was not renewed in time")
            attempt += 1
            started = time.perf_counter()
            try:
                sent = await self._sender.send(push)
            except DeliveryError as error:
                delay = self._delay(attempt, error)
                self._observe(
                    DeliveryFailed(
                        subscription=subscription.id,
                        request_id=push.request_id,
                        items=batch.items,
                        attempt=attempt,
                        code=error.code,
                        error=error.message,
                        retry_in_s=round(delay, 3),
                        seconds=time.perf_counter() - started,
                    )
                )
                await self._save(None, sending_to=batch.end, attempts_failed=1, last_error=error.message)
                if await self._clock.wait(self._halted, delay):
                    return False
                continue
            self._observe(
                Delivered(
                    subscription=subscription.id,
                    request_id=push.request_id,
                    items=batch.items,
                    size_bytes=len(batch.body),
                    http_status=sent.http_status,
                    attempt=attempt,
                    seconds=sent.seconds,
                )
            )
            return True

    def _delay(self, attempt: int, error: DeliveryError) -> float:
        policy = self.lease.subscription.policy
        planned = retry_delay_s(attempt, policy.retry_schedule_s, spread=random.uniform(0, policy.retry_spread))
        asked = error.retry_after_s if isinstance(error, DestinationRefused) else None
        return planned if asked is None else min(max(planned, asked), RETRY_AFTER_MAX_S)

    async def _save(
        self,
        position: Position | None,
        *,
        sending_to: Position | None,
        delivered: int = 0,
        attempts_failed: int = 0,
        last_error: str = "",
    ) -> None:
        self._step += 1
        await self._positions.save(
            Advance(
                step=self._step,
                subscription=self.lease.subscription.id,
                worker=self.lease.worker,
                fence=self.lease.fence,
                position=position,
                sending_to=sending_to,
                delivered=delivered,
                attempts_failed=attempts_failed,
                last_error=last_error[:500],
            )
        )


def _rest_of(piece: Piece, end: Position) -> Piece:
    """The piece without the lines before the position."""
    taken = sum(1 for number in piece.numbers if number < end.item)
    base = piece.ends[taken - 1] if taken else 0
    return Piece(
        piece.seq,
        piece.numbers[taken:],
        piece.strings[taken:],
        [e - base for e in piece.ends[taken:]],
    )
