"""Notices: telling a second channel how a subscription fares.

Two loops: *watch* sees what changed and puts notices in an outbox, *deliver* sends what is due the way pushes go,
egress guard included. Notices are no readings: whatever becomes of one, it changes the health of no subscription, so
two subscriptions may well notify each other. Source: docs/contract/data-push.md §5, §6
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import msgspec

from matrixhub.bus.subjects import filter_patterns
from matrixhub.deliveries.plan import retry_delay_s
from matrixhub.lifecycle import rung_by
from matrixhub.model.delivery import time_ordered_id
from matrixhub.model.destination import Destination
from matrixhub.model.errors import (
    BusError,
    DeliveryError,
    DestinationRefused,
    DestinationUnreachable,
    MatrixHubError,
    NotFound,
    StoreError,
    TokenFault,
)
from matrixhub.model.ids import PropertyId, SubscriptionId
from matrixhub.model.notice import (
    EXPIRING_EVERY_SHARE,
    Concern,
    Expiry,
    Notice,
    NoticeKind,
    Told,
    due_notices,
    notice_body,
    safe_text,
    secret_texts,
)
from matrixhub.model.policy import BatchLimits
from matrixhub.model.subscription import Format, Position, SigningKey, Subscription
from matrixhub.observe import NoticeFailed, NoticeGivenUp, NoticeSent, Observe, StoreFailed
from matrixhub.ports import Bus, Buses, Clock, Push, Sender, Sent
from matrixhub.store.notices import NoticeStore, StoredNotice

WATCH_S = 5.0
DELIVER_S = 5.0
SLOW_WATCH_S = 3600.0
"""How often paused subscriptions are asked for their oldest reading, and settled notices are forgotten."""

RETRY_SCHEDULE_S = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0)
GIVE_UP_S = 86_400.0
KEPT_S = 30 * 86_400.0

SEND_S_MAX = 90.0
HIDDEN_S = 120.0
"""For so long nobody else takes a notice that is on its way; longer than an attempt may last."""

IN_FLIGHT_MAX = 32
IN_FLIGHT_EACH_MAX = 4
"""Of one property: a channel that hangs holds up the notices of no other."""

TELL_MAX = 100
"""Most subscriptions told of in one transaction."""

CONTENT_TYPE = "application/json"


class Notices:
    """The stage that watches the health of subscriptions and sends notices."""

    def __init__(
        self,
        store: NoticeStore,
        buses: Buses,
        sender: Sender,
        clock: Clock,
        observe: Observe,
        *,
        retention_pending_s: float,
    ) -> None:
        self._store = store
        self._buses = buses
        self._sender = sender
        self._clock = clock
        self._observe = observe
        self._retention_s = retention_pending_s
        self._bell = asyncio.Event()
        self._on_their_way: dict[UUID, PropertyId] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Watch and send until stop, then let what is on its way end; what does not comes back by itself."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._watch(stop), name="watch health")
            loops.create_task(self._deliver(stop), name="send notices")

    # --- watch ---

    async def _watch(self, stop: asyncio.Event) -> None:
        slow_at = self._clock.monotonic()
        while not stop.is_set():
            try:
                await self.watch_once()
                if self._clock.monotonic() >= slow_at:
                    await self.watch_expiry_once()
                    await self.forget_settled()
                    slow_at = self._clock.monotonic() + SLOW_WATCH_S
            except StoreError as error:
                self._observe(StoreFailed(step="watch health", error=error.message))
            except BusError:
                pass  # NATS is away, which its connection reports; the next round looks again
            await self._clock.wait(stop, WATCH_S)

    async def watch_once(self) -> int:
        """Look once at what changed and put notices of it in the outbox; how many. Raises StoreError."""
        now = self._now()
        changed = [s.subscription_id for s in await self._store.of_concern() if due_notices(s, now)[0] != s.told]
        return await self._tell(changed, now, {})

    async def watch_expiry_once(self) -> int:
        """Look once for paused subscriptions whose readings expire soon. Raises StoreError, BusError."""
        now = self._now()
        lately = now - timedelta(seconds=self._retention_s * EXPIRING_EVERY_SHARE)
        made, after = 0, ""
        while page := await self._store.paused_page(after, lately):
            expiries: dict[SubscriptionId, Expiry] = {}
            for view in page:
                bus = self._buses[view.subscription.filter.source]
                oldest_ms = await oldest_stored_ms(bus, view.subscription, view.progress.position)
                if oldest_ms is not None:
                    at = datetime.fromtimestamp(oldest_ms / 1000 + self._retention_s, UTC)
                    expiries[view.subscription.id] = Expiry(at=at, retention_s=self._retention_s)
            made += await self._tell(list(expiries), now, expiries)
            after = page[-1].subscription.id
        return made

    async def forget_settled(self) -> None:
        """Forget what was delivered or given up long ago. Raises StoreError."""
        await self._store.forget_settled(self._now() - timedelta(seconds=KEPT_S))

    async def _tell(
        self, subscriptions: Sequence[SubscriptionId], now: datetime, expiries: Mapping[SubscriptionId, Expiry]
    ) -> int:
        made = 0
        for first in range(0, len(subscriptions), TELL_MAX):
            some = subscriptions[first : first + TELL_MAX]
            made += await self._store.tell(some, partial(_decide, now, expiries))
        if made:
            self._bell.set()
        return made

    # --- deliver ---

    async def _deliver(self, stop: asyncio.Event) -> None:
        async with rung_by(stop, self._bell), asyncio.TaskGroup() as sends:
            while not stop.is_set():
                self._bell.clear()
                try:
                    await self._take(sends)
                except StoreError as error:
                    self._observe(StoreFailed(step="take notices", error=error.message))
                if not stop.is_set():
                    await self._clock.wait(self._bell, DELIVER_S)

    async def deliver_once(self) -> None:
        """Send what is due now and wait for what comes of it. Raises StoreError."""
        async with asyncio.TaskGroup() as sends:
            await self._take(sends)

    async def _take(self, sends: asyncio.TaskGroup) -> None:
        """Begin to send what is due, as far as there is room."""
        room = IN_FLIGHT_MAX - len(self._on_their_way)
        if room <= 0:
            return
        busy = [p for p, n in Counter(self._on_their_way.values()).items() if n >= IN_FLIGHT_EACH_MAX]
        for stored in await self._store.take_due(
            self._now(), limit=room, each_max=IN_FLIGHT_EACH_MAX, without=busy, hidden_s=HIDDEN_S
        ):
            self._on_their_way[stored.notice.id] = stored.notice.property_id
            sends.create_task(self._send(stored), name=f"notice {stored.notice.id}")

    async def _send(self, stored: StoredNotice) -> None:
        """One attempt of one notice, to its end."""
        try:
            await self._attempt(stored)
        except StoreError as error:
            # It is taken again when its time out of sight is over; sent twice, it has the same id.
            self._observe(StoreFailed(step="settle notice", error=error.message))
        finally:
            del self._on_their_way[stored.notice.id]
            self._bell.set()

    async def _attempt(self, stored: StoredNotice) -> None:
        notice = stored.notice
        try:
            about = await self._store.subscription(notice.property_id, notice.subscription_id)
        except NotFound:
            await self._store.forget(stored)
            return
        secrets = secret_texts(about)
        try:
            to = await self._channel(about)
            if to is None:
                await self._give_up(stored, "", "the subscription names no channel for notices any more")
                return
            secrets |= secret_texts(to)
            sent = await self._post(stored, to)
        except DeliveryError as error:
            await self._failed(stored, error, safe_text(error.message, secrets))
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - a defect met by one notice must not end the stage
            await self._failed(stored, DeliveryError(), safe_text(f"{type(error).__name__}: {error}", secrets))
        else:
            await self._store.settle_sent(stored, self._now())
            self._observe(
                NoticeSent(
                    notice=str(notice.id),
                    subscription=notice.subscription_id,
                    kind=notice.kind,
                    http_status=sent.http_status,
                    attempt=stored.attempts,
                    seconds=sent.seconds,
                )
            )

    async def _channel(self, about: Subscription) -> Subscription | None:
        """The subscription, or a made-up one, whose destination takes the notices. Raises DeliveryError, StoreError."""
        notify = about.notify
        if notify.url:
            return webhook_channel(about)
        if not notify.subscription_id:
            return None
        try:
            other = await self._store.subscription(about.property_id, SubscriptionId(notify.subscription_id))
        except NotFound as error:
            raise DeliveryError(f"the subscription {notify.subscription_id} that notices go to is gone") from error
        return subscription_channel(other)

    async def _post(self, stored: StoredNotice, to: Subscription) -> Sent:
        push = Push(
            subscription=to,
            request_id=str(stored.notice.id),
            body=msgspec.json.encode(stored.notice.body),
            items=1,
            content_type=CONTENT_TYPE,
            kind="notice",
        )
        try:
            async with asyncio.timeout(SEND_S_MAX):
                return await self._sender.send(push)
        except TimeoutError as error:
            raise DestinationUnreachable(f"no end within {SEND_S_MAX:.0f} s") from error

    async def _failed(self, stored: StoredNotice, error: MatrixHubError, reason: str) -> None:
        notice, now = stored.notice, self._now()
        delay_s = retry_delay_s(stored.attempts, RETRY_SCHEDULE_S, spread=0.0)
        left_s = GIVE_UP_S - (now - notice.at).total_seconds()
        if delay_s > left_s:
            await self._give_up(stored, error.code, reason)
            return
        if isinstance(error, DestinationRefused | TokenFault) and error.retry_after_s is not None:
            delay_s = min(max(delay_s, error.retry_after_s), left_s)
        next_at = now + timedelta(seconds=delay_s)
        await self._store.settle_failed(stored, next_at, reason)
        self._observe(
            NoticeFailed(
                notice=str(notice.id),
                subscription=notice.subscription_id,
                kind=notice.kind,
                attempt=stored.attempts,
                code=error.code,
                error=reason,
                retry_in_s=delay_s,
            )
        )

    async def _give_up(self, stored: StoredNotice, code: str, reason: str) -> None:
        await self._store.give_up(stored, self._now(), reason)
        self._observe(
            NoticeGivenUp(
                notice=str(stored.notice.id),
                subscription=stored.notice.subscription_id,
                kind=stored.notice.kind,
                attempt=stored.attempts,
                code=code,
                error=reason,
            )
        )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)


def _decide(
    now: datetime, expiries: Mapping[SubscriptionId, Expiry], concern: Concern
) -> tuple[Told, Sequence[Notice]]:
    expiry = expiries.get(concern.subscription.id)
    told, kinds = due_notices(concern.standing, now, expiry)
    return told, [_notice(kind, concern, now, expiry) for kind in kinds]


def _notice(kind: NoticeKind, concern: Concern, now: datetime, expiry: Expiry | None) -> Notice:
    notice_id = time_ordered_id(round(now.timestamp() * 1000))
    return Notice(
        id=notice_id,
        subscription_id=concern.subscription.id,
        property_id=concern.subscription.property_id,
        kind=kind,
        at=now,
        body=notice_body(kind, notice_id, concern, now, expiry),
    )


def webhook_channel(about: Subscription) -> Subscription:
    """A made-up subscription that leads to the webhook, and signs for it where there is a secret.

    It has an id of its own, so that nothing kept for the real one (tokens, connections) is used for it.
    """
    notify = about.notify
    key = notify.secret and SigningKey(id="key_notify", kind="v1", secret=notify.secret, created_at=about.created_at)
    return replace(
        about,
        id=SubscriptionId(f"{about.id}_notify"),
        destination=Destination(url=notify.url, ca_pem=notify.ca_pem, egress_allow=about.destination.egress_allow),
        limits=BatchLimits(),
        format=Format(),
        signing=(key,) if key else (),
    )


def subscription_channel(other: Subscription) -> Subscription:
    """The other subscription, as it takes a notice: its destination, authentication and keys, the body as it is."""
    return replace(other, format=Format(), destination=replace(other.destination, framing="batch"))


async def oldest_stored_ms(bus: Bus, subscription: Subscription, position: Position) -> int | None:
    """When the oldest message that waits for the subscription was stored, zones left aside; None if none does.

    Raises: BusError.
    """
    oldest: list[int] = []
    for pattern in filter_patterns(subscription.property_id, subscription.filter):
        page = await bus.read(pattern, position.seq, messages_max=1, bytes_max=1)
        oldest += [message.stored_ms for message in page.messages]
    return min(oldest, default=None)
