"""A worker: takes its share of the subscriptions under leases and delivers them.

Its loops share the work: leases (live, claim, give back), the tail of each stream (wakes and feeds the subscriptions
to it), the positions (group commits), and one carrier for each subscription. Source: design decisions 4 to 6
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from matrixhub.bus.subjects import subject_property, urgent_filter
from matrixhub.deliveries.carrier import Carrier
from matrixhub.deliveries.feed import Feed
from matrixhub.deliveries.memory import Memory
from matrixhub.deliveries.positions import Positions
from matrixhub.deliveries.recent import Recent
from matrixhub.lifecycle import rung_by
from matrixhub.model.errors import BusError, LeaseLost, StoreError
from matrixhub.model.ids import SubscriptionId, WorkerId, subject_token
from matrixhub.model.subscription import Lease, Source, Subscription
from matrixhub.observe import (
    LeaseEnded,
    LeaseTaken,
    Observe,
    StageStopped,
    StoreFailed,
    SubscriptionsOwned,
    WorkerCut,
)
from matrixhub.ports import Buses, Clock, Leases, Message, Sender

CRASH_PAUSE_S = 5.0

ROUTES_MAX = 100_000
"""So many subjects are remembered with the feeds that want them. Readings have few, events of applications many."""

_PropertyKey = tuple[Source, str]
"""A stream and the word of a property in its subjects."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSettings:
    """How a worker works."""

    lease_s: float
    buffer_bytes: int
    read_bytes: int
    memory_bytes: int = 268_435_456


@dataclass(slots=True)
class Running:
    """A subscription this worker delivers."""

    carrier: Carrier
    task: asyncio.Task[None]


class Worker:
    """One deliveries worker."""

    def __init__(
        self,
        worker_id: WorkerId,
        settings: WorkerSettings,
        buses: Buses,
        leases: Leases,
        sender: Sender,
        clock: Clock,
        observe: Observe,
        recent: Mapping[Source, Recent] | None = None,
    ) -> None:
        """`recent` is told what the tail of a stream brings, for others who want to know."""
        self.id = worker_id
        self._recent = recent or {}
        self._settings = settings
        self._buses = buses
        self._leases = leases
        self._sender = sender
        self._clock = clock
        self._observe = observe
        self._memory = Memory(settings.memory_bytes)
        self._positions = Positions(leases, clock, observe)
        self._running: dict[SubscriptionId, Running] = {}
        self._by_property: dict[_PropertyKey, dict[SubscriptionId, tuple[Feed, ...]]] = {}
        self._routes: dict[str, tuple[Feed, ...]] = {}
        self._bell = asyncio.Event()
        self._changed: set[SubscriptionId] | None = None
        self._lease_until = float("-inf")
        self._tails_ready = {source: asyncio.Event() for source in buses}

    @property
    def name(self) -> str:
        """The name of this stage."""
        return "deliveries"

    def healthy(self) -> bool:
        """Whether leases are being renewed and all tails run."""
        return self._clock.monotonic() < self._lease_until and all(
            ready.is_set() for ready in self._tails_ready.values()
        )

    def changed(self, subscription_id: str = "") -> None:
        """Say that a subscription may be different or free now, or, without its id, that any may."""
        if not subscription_id:
            self._changed = None
        elif self._changed is not None:
            self._changed.add(SubscriptionId(subscription_id))
        self._bell.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until stop; then end each request under way and give the subscriptions back."""
        committed = asyncio.Event()
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._positions.run(committed), name="positions")
            tails = [loops.create_task(self._run_tail(source), name=f"tail of {source}") for source in self._buses]
            try:
                for ready in self._tails_ready.values():
                    await ready.wait()
                async with asyncio.TaskGroup() as carriers:
                    await self._run_leases(stop, carriers)
                    self._halt(list(self._running))
            finally:
                for tail in tails:
                    tail.cancel()
                committed.set()
        await self._retire()

    async def _run_tail(self, source: Source) -> None:
        """Offer every new message of the stream to the subscriptions of its property."""
        bus = self._buses[source]
        while True:
            try:
                bounds = await bus.bounds()
                break
            except BusError:
                await self._clock.sleep(0.2)
        self._tails_ready[source].set()
        recent = self._recent.get(source)
        if recent is not None:
            recent.begin(bounds.last_seq + 1)
        async for messages in bus.follow(bounds.last_seq + 1):
            for message in messages:
                self._offer(source, message)
            if recent is not None:
                recent.hear(messages)

    def _offer(self, source: Source, message: Message) -> None:
        for feed in self._feeds_of(source, message.subject):
            feed.offer(message)

    def _feeds_of(self, source: Source, subject: str) -> Sequence[Feed]:
        """The feeds that want a subject; kept until subscriptions change, for a few subjects bring most messages."""
        found = self._routes.get(subject)
        if found is None:
            if len(self._routes) >= ROUTES_MAX:
                self._routes.clear()
            feeds = self._by_property.get((source, subject_property(subject)), {})
            found = self._routes[subject] = tuple(
                feed for own in feeds.values() for feed in own if feed.matches(subject)
            )
        return found

    async def _run_leases(self, stop: asyncio.Event, carriers: asyncio.TaskGroup) -> None:
        """Keep the leases alive, and carry what this worker owns."""
        await self._step_leases(carriers, first=True)
        async with rung_by(stop, self._bell):
            while not stop.is_set():
                rung = await self._clock.wait(self._bell, self._settings.lease_s / 4)
                self._bell.clear()
                if not stop.is_set():
                    await self._step_leases(carriers, first=rung)

    async def _step_leases(self, carriers: asyncio.TaskGroup, *, first: bool) -> None:
        """One round: renew, look at what changed, claim what is free, give back what is too much."""
        started = self._clock.monotonic()
        try:
            await self._leases.heartbeat(self.id, self._settings.lease_s)
            was_cut = started >= self._lease_until
            self._lease_until = started + self._settings.lease_s
            changed = None if was_cut else self._changed
            if first or was_cut:
                self._changed = set()
                try:
                    self._follow_changes(await self._leases.owned(self.id, changed), changed, carriers)
                except StoreError:
                    self._changed = None
                    raise
            for lease in await self._leases.claim(self.id, len(self._running)):
                self._start(lease, carriers)
            surplus = len(self._running) - await self._leases.fair_share()
            if surplus > 0:
                await self._give_back(list(self._running)[-surplus:])
        except StoreError as error:
            self._observe(StoreFailed(step="renew leases", error=error.message))
            if self._clock.monotonic() >= self._lease_until and self._running:
                self._observe(WorkerCut(worker=self.id, error=error.message))
                self._halt(list(self._running))
        live = sum(1 for running in self._running.values() if running.carrier.feed.live)
        self._observe(SubscriptionsOwned(owned=len(self._running), behind=len(self._running) - live))

    def _follow_changes(
        self, owned: Sequence[Lease], changed: Collection[SubscriptionId] | None, carriers: asyncio.TaskGroup
    ) -> None:
        """Stop what is no longer ours or no longer active, restart what is configured otherwise, start what is ours.

        Shape: owned are those of the changed ones that are ours, or of all where changed is None.
        """
        current = {lease.subscription.id: lease for lease in owned}
        for subscription_id in list(self._running if changed is None else changed):
            running, lease = self._running.get(subscription_id), current.get(subscription_id)
            if running is None:
                continue
            if lease is None or lease.replay or lease.subscription != running.carrier.lease.subscription:
                running.carrier.halt()
            elif lease.redrive:
                running.carrier.redrive(lease.redrive)
        for subscription_id, lease in current.items():
            if subscription_id not in self._running:
                self._start(lease, carriers)

    async def _give_back(self, subscriptions: Sequence[SubscriptionId]) -> None:
        """Let another worker have them: end the requests under way first."""
        tasks = [self._running[s].task for s in subscriptions if s in self._running]
        self._halt(subscriptions)
        if tasks:
            await asyncio.wait(tasks, timeout=self._settings.lease_s / 4)

    def _halt(self, subscriptions: Sequence[SubscriptionId]) -> None:
        for subscription_id in subscriptions:
            self._running[subscription_id].carrier.halt()

    def _start(self, lease: Lease, carriers: asyncio.TaskGroup) -> None:
        subscription = lease.subscription
        feed = Feed(
            subscription,
            lease.progress.position,
            self._memory,
            buffer_bytes=self._settings.buffer_bytes,
            read_bytes=self._settings.read_bytes,
        )
        urgent = self._urgent_feed(lease, feed)
        carrier = Carrier(
            lease,
            feed,
            self._buses[subscription.filter.source],
            self._sender,
            self._positions,
            self._leases,
            self._clock,
            self._memory,
            self._observe,
            lambda: self._clock.monotonic() < self._lease_until,
            urgent,
        )
        self._by_property.setdefault(_property_key(subscription), {})[subscription.id] = (
            (feed,) if urgent is None else (feed, urgent)
        )
        self._routes.clear()
        before = self._running.get(subscription.id)
        if before is not None:
            before.carrier.halt()
        name = f"carry {subscription.id}"
        task = carriers.create_task(self._carry(carrier, before.task if before else None), name=name)
        self._running[subscription.id] = Running(carrier, task)
        self._observe(
            LeaseTaken(subscription=subscription.id, fence=lease.fence, position_seq=lease.progress.position.seq)
        )

    def _urgent_feed(self, lease: Lease, feed: Feed) -> Feed | None:
        """What of a subscription is urgent, where that overtakes the rest, or did until the order was changed."""
        subscription, express = lease.subscription, lease.progress.express
        urgent = urgent_filter(subscription.filter)
        planned = express is not None and express.sending_to is not None
        if urgent is None or (subscription.policy.order != "priority" and not planned):
            return None
        return Feed(
            replace(subscription, filter=urgent),
            lease.progress.position,
            self._memory,
            buffer_bytes=self._settings.buffer_bytes,
            read_bytes=self._settings.read_bytes,
            bell=feed.bell,
        )

    async def _carry(self, carrier: Carrier, before: asyncio.Task[None] | None) -> None:
        """Carry one subscription to its end; a fault in it holds it back and no other.

        Who lost the lease may still have a request under way: it ends first.
        """
        try:
            if before is not None:
                await asyncio.wait({before})
            await self._carry_to_end(carrier)
        finally:
            # Only now, so that no carrier starts from a state read before this one saved its last step.
            running = self._running.get(carrier.lease.subscription.id)
            if running is not None and running.carrier is carrier:
                del self._running[carrier.lease.subscription.id]

    async def _carry_to_end(self, carrier: Carrier) -> None:
        lease = carrier.lease
        reason = "halted"
        try:
            await carrier.run()
        except LeaseLost as error:
            reason = error.message
        except Exception as error:  # noqa: BLE001 - a defect met by one subscription must not end the others
            reason = f"{type(error).__name__}: {error}"
            self._observe(StageStopped(stage=f"subscription {lease.subscription.id}", error=reason))
            await self._clock.sleep(CRASH_PAUSE_S)
        finally:
            feeds = self._by_property[_property_key(lease.subscription)]
            if feeds.get(lease.subscription.id, (None,))[0] is carrier.feed:
                del feeds[lease.subscription.id]
                self._routes.clear()
        self._observe(LeaseEnded(subscription=lease.subscription.id, fence=lease.fence, reason=reason))
        try:
            await self._leases.release(self.id, [lease.subscription.id])
        except StoreError as error:
            # The lease runs out by itself; another worker waits for that.
            self._observe(StoreFailed(step="release", error=error.message))

    async def _retire(self) -> None:
        try:
            await self._leases.retire(self.id)
        except StoreError as error:
            # The leases run out by themselves.
            self._observe(StoreFailed(step="retire", error=error.message))


def _property_key(subscription: Subscription) -> _PropertyKey:
    return subscription.filter.source, subject_token(subscription.property_id)
