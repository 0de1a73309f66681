"""One attempt: a push is made and sent, and what was answered is told in one of four outcomes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from matrixhub.deliveries.carriage.aside import Aside, storable
from matrixhub.deliveries.carriage.identity import Identity
from matrixhub.deliveries.carriage.outcome import Failed, Outcome, Refused, Settled, Stopped
from matrixhub.deliveries.carriage.schedule import Schedule, instant
from matrixhub.deliveries.carriage.steps import Steps
from matrixhub.deliveries.formats import make_body
from matrixhub.deliveries.plan import Batch, Condemned, set_apart, verdict_of
from matrixhub.model.delivery import Attempt, AttemptKind, time_ordered_id
from matrixhub.model.errors import (
    DatabaseUnknown,
    DeliveryError,
    DestinationRefused,
    EgressRefused,
    LeaseLost,
    TokenFault,
)
from matrixhub.model.subscription import Subscription
from matrixhub.observe import Delivered, DeliveryFailed, Observe, SubscriptionSuspended
from matrixhub.ports import Clock, Push, Sender, Sent


class Sending:
    """The attempts of one subscription. `tried` counts those of each push until its stretch is settled."""

    __slots__ = (
        "_aside",
        "_clock",
        "_halted",
        "_identity",
        "_lease_holds",
        "_observe",
        "_schedule",
        "_sender",
        "_steps",
        "_subscription",
        "tried",
    )

    def __init__(
        self,
        subscription: Subscription,
        sender: Sender,
        lease_holds: Callable[[], bool],
        identity: Identity,
        schedule: Schedule,
        aside: Aside,
        steps: Steps,
        clock: Clock,
        observe: Observe,
        halted: asyncio.Event,
    ) -> None:
        self.tried: dict[str, int] = {}
        self._subscription = subscription
        self._sender = sender
        self._lease_holds = lease_holds
        self._identity = identity
        self._schedule = schedule
        self._aside = aside
        self._steps = steps
        self._clock = clock
        self._observe = observe
        self._halted = halted

    async def attempt(self, batch: Batch, kind: AttemptKind) -> Outcome:
        """One attempt, and what it means. Raises: LeaseLost."""
        if not self._lease_holds():
            raise LeaseLost(f"{self._subscription.id}: the lease was not renewed in time")
        push = self._push_of(batch, kind)
        attempt = self._begun(push, batch, kind)
        started, outages = time.perf_counter(), self._schedule.outages
        try:
            sent = await self._sender.send(push)
        except DeliveryError as error:
            attempt = replace(attempt, seconds=time.perf_counter() - started)
            return await self._not_taken(push, error, attempt, outages)
        return self._taken(push, batch, sent, attempt)

    def _push_of(self, batch: Batch, kind: AttemptKind) -> Push:
        body = make_body(self._subscription, batch.strings)
        return Push(
            subscription=self._subscription,
            request_id=self._identity.of(batch),
            body=body.data,
            items=batch.items,
            content_type=body.content_type,
            content_encoding=body.content_encoding,
            kind=kind,
        )

    def _begun(self, push: Push, batch: Batch, kind: AttemptKind) -> Attempt:
        """The attempt, counted, before anything is known of its answer."""
        number = self.tried[push.request_id] = self.tried.get(push.request_id, 0) + 1
        return Attempt(
            id=time_ordered_id(self._clock.now_ms()),
            at=instant(self._clock),
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

    def _taken(self, push: Push, batch: Batch, sent: Sent, attempt: Attempt) -> Settled:
        """What a push settles that was taken, but for the readings that the destination named."""
        named = named_in(batch, sent.failed)
        self._observe(
            Delivered(
                subscription=self._subscription.id,
                request_id=push.request_id,
                items=batch.items - len(named),
                size_bytes=len(push.body),
                http_status=sent.http_status,
                attempt=attempt.attempt,
                seconds=sent.seconds,
            )
        )
        if len(named) < batch.items:
            self._schedule.recover()
        else:
            answer = f"HTTP {sent.http_status}" if sent.http_status else "taken"
            refused = f"{answer}: all {batch.items} named as failed"
            self._schedule.blame(batch, batch.items, DestinationRefused(refused, http_status=sent.http_status))
        attempt = replace(attempt, seconds=sent.seconds, http_status=sent.http_status, answer=storable(sent.answer))
        return replace(self._parted(batch, sent, named, again=push.kind == "redrive"), attempts=(attempt,))

    def _parted(self, batch: Batch, sent: Sent, named: Mapping[int, str], *, again: bool) -> Settled:
        """What was delivered of a push that was taken, and what the destination named as wrong."""
        if not named:
            return Settled(batch.items)
        total = Settled()
        for part in set_apart(batch, named):
            if isinstance(part, Condemned):
                total += self._aside.condemn(replace(part, http_status=sent.http_status), again=again)
            else:
                total += Settled(part.items)
        return total

    async def _not_taken(self, push: Push, error: DeliveryError, attempt: Attempt, outages: int) -> Outcome:
        """What an error means; unless the content is to blame, that is saved."""
        attempt = _failed(attempt, error)
        attempts: tuple[Attempt, ...] = (attempt,)
        if isinstance(error, TokenFault | EgressRefused | DatabaseUnknown):
            # Without a token, leave or address the destination was not asked: no attempt is charged to it.
            attempts = ()
            self.tried[push.request_id] -= 1
        verdict = verdict_of(error)
        wait_s = self._schedule.put_off(error, outages) if verdict == "retry" else 0.0
        last_error = self._schedule.last_error = attempt.error
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
            assert isinstance(error, DestinationRefused)
            return Refused(error, attempt)
        if verdict == "retry":
            await self._steps.save(attempts=attempts, attempts_failed=len(attempts), last_error=last_error)
            return Failed()
        await self._steps.save(
            attempts=attempts, attempts_failed=len(attempts), last_error=last_error, pause=last_error
        )
        self._observe(SubscriptionSuspended(subscription=push.subscription.id, reason=self._schedule.last_error))
        self._halted.set()
        return Stopped()


def named_in(batch: Batch, failed: Mapping[int, str]) -> dict[int, str]:
    """The readings of the batch that the destination named as wrong."""
    return {index: reason for index, reason in failed.items() if 0 <= index < batch.items}


def _failed(attempt: Attempt, error: DeliveryError) -> Attempt:
    """The attempt with its error, and with the answer, if the destination gave one."""
    refused = error if isinstance(error, DestinationRefused) else None
    return replace(
        attempt,
        http_status=refused.http_status if refused else 0,
        code=error.code,
        error=storable(error.message),
        answer=storable(refused.answer) if refused else "",
    )
