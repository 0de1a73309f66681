"""Doubles of the other ports, for unit tests: a clock that tests own, leases in memory, a scripted sender."""

from __future__ import annotations

import asyncio
import heapq
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from matrixhub.model.delivery import Attempt, ParkedItem
from matrixhub.model.errors import DeliveryError, StoreError
from matrixhub.model.ids import SubscriptionId, WorkerId
from matrixhub.model.subscription import Lease, Replay
from matrixhub.ports import Advance, Push, Sent


class FakeClock:
    """The port `Clock`; time passes only when `advance` says so."""

    def __init__(self, now_ms: int = 1_710_029_109_417) -> None:
        self._start_ms = now_ms
        self._elapsed_s = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = 0

    def now_ms(self) -> int:
        """The instant, in epoch milliseconds."""
        return self._start_ms + round(self._elapsed_s * 1000)

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._elapsed_s

    def jump(self, seconds: float) -> None:
        """Show another instant from now on, though no time has passed."""
        self._start_ms += round(seconds * 1000)

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has moved so far."""
        self._number += 1
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed_s + seconds, self._number, woken))
        await woken

    async def wait(self, event: asyncio.Event, timeout_s: float) -> bool:
        """Wait for the event until `advance` has moved so far."""
        sleeping = asyncio.ensure_future(self.sleep(timeout_s))
        waiting = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait({sleeping, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            waiting.cancel()
        return event.is_set()

    async def advance(self, seconds: float) -> None:
        """Let time pass, waking sleepers in order, and let what they do happen."""
        until = self._elapsed_s + seconds
        while self._sleepers and self._sleepers[0][0] <= until:
            self._elapsed_s, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
                await settle()
        self._elapsed_s = until
        await settle()


async def settle(rounds: int = 50) -> None:
    """Let every task that can go on do so."""
    for _ in range(rounds):
        await asyncio.sleep(0)


@dataclass(slots=True)
class MemoryLeases:
    """The port `Leases` in memory, with the same rules for fences and shares."""

    monotonic: Callable[[], float]
    leases: dict[SubscriptionId, Lease] = field(default_factory=dict)
    owners: dict[SubscriptionId, WorkerId | None] = field(default_factory=dict)
    workers: dict[WorkerId, float] = field(default_factory=dict)
    down: bool = False
    steps: list[Advance] = field(default_factory=list)
    attempts: defaultdict[SubscriptionId, list[Attempt]] = field(default_factory=lambda: defaultdict(list))
    parked: defaultdict[SubscriptionId, list[ParkedItem]] = field(default_factory=lambda: defaultdict(list))

    replays: defaultdict[SubscriptionId, list[Replay]] = field(default_factory=lambda: defaultdict(list))
    asked: defaultdict[SubscriptionId, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, lease: Lease) -> None:
        """Make a subscription known; it is free."""
        self.leases[lease.subscription.id] = lease
        self.owners[lease.subscription.id] = None

    def configure(self, subscription: SubscriptionId, **changes: Any) -> None:
        """Change how a subscription is configured, as an operator would."""
        lease = self.leases[subscription]
        changed = replace(lease.subscription, version=lease.subscription.version + 1, **changes)
        self.leases[subscription] = replace(lease, subscription=changed)

    def pause(self, subscription: SubscriptionId) -> None:
        """Pause by hand."""
        self.configure(subscription, state="paused", paused_by="hand", paused_reason="")

    def resume(self, subscription: SubscriptionId) -> None:
        """Make it active again; it is tried at once."""
        self.configure(subscription, state="active", paused_by="", paused_reason="")
        lease = self.leases[subscription]
        eager = replace(lease.progress, failures=0, failing_since=None, retry_at=None)
        self.leases[subscription] = replace(lease, progress=eager)

    def ask_replay(self, subscription: SubscriptionId, replay: Replay) -> None:
        """Ask for a replay; it begins after those asked for before."""
        self.replays[subscription].append(replay)
        self.leases[subscription] = replace(self.leases[subscription], replay=self.replays[subscription][0])

    def ask_redrive(self, subscription: SubscriptionId, items: Collection[UUID] | None = None) -> None:
        """Ask that parked readings, or all of them, be sent again."""
        now = datetime.now(UTC)
        self.parked[subscription] = [
            replace(item, redrive_at=item.redrive_at or now) if items is None or item.id in items else item
            for item in self.parked[subscription]
        ]
        self.asked[subscription] += 1
        self.leases[subscription] = replace(self.leases[subscription], redrive=self.asked[subscription])

    async def heartbeat(self, worker: WorkerId, lease_s: float) -> None:
        """Say that the worker lives. See `Leases.heartbeat`."""
        self._require_up()
        self.workers[worker] = self.monotonic() + lease_s

    async def claim(self, worker: WorkerId, owned: int) -> Sequence[Lease]:
        """Take over free subscriptions up to the fair share. See `Leases.claim`."""
        share = await self.fair_share()
        taken: list[Lease] = []
        for subscription_id, lease in sorted(self.leases.items()):
            if owned + len(taken) >= share:
                break
            owner = self.owners[subscription_id]
            free = owner is None or self.workers.get(owner, float("-inf")) <= self.monotonic()
            if free and lease.subscription.state == "active":
                self.owners[subscription_id] = worker
                self.leases[subscription_id] = replace(lease, worker=worker, fence=lease.fence + 1)
                taken.append(self.leases[subscription_id])
        return taken

    async def owned(self, worker: WorkerId, among: Collection[SubscriptionId] | None = None) -> Sequence[Lease]:
        """What the worker owns. See `Leases.owned`."""
        self._require_up()
        return [
            lease
            for subscription_id, lease in self.leases.items()
            if self.owners[subscription_id] == worker
            and lease.subscription.state == "active"
            and (among is None or subscription_id in among)
        ]

    async def fair_share(self) -> int:
        """What a worker should own at most. See `Leases.fair_share`."""
        self._require_up()
        active = sum(1 for lease in self.leases.values() if lease.subscription.state == "active")
        alive = sum(1 for until in self.workers.values() if until > self.monotonic())
        return -(-active // max(1, alive))

    async def release(self, worker: WorkerId, subscriptions: Sequence[SubscriptionId]) -> None:
        """Give subscriptions back. See `Leases.release`."""
        self._require_up()
        for subscription_id in subscriptions:
            if self.owners.get(subscription_id) == worker:
                self.owners[subscription_id] = None

    async def retire(self, worker: WorkerId) -> None:
        """Give everything back. See `Leases.retire`."""
        await self.release(worker, list(self.leases))
        self.workers.pop(worker, None)

    async def advance(self, steps: Sequence[Advance]) -> frozenset[SubscriptionId]:
        """Save steps in one transaction. See `Leases.advance`."""
        self._require_up()
        held: set[SubscriptionId] = set()
        for step in steps:
            lease = self.leases[step.subscription]
            if self.owners[step.subscription] != step.worker or lease.fence != step.fence:
                continue
            held.add(step.subscription)
            if lease.progress.step < step.step:
                self._apply(lease, step)
        return frozenset(held)

    async def to_redrive(self, subscription: SubscriptionId, items_max: int) -> Sequence[ParkedItem]:
        """Parked readings to be sent again. See `Leases.to_redrive`."""
        self._require_up()
        return [item for item in self.parked[subscription] if item.redrive_at is not None][:items_max]

    def _apply(self, lease: Lease, step: Advance) -> None:
        self.steps.append(step)
        self.attempts[step.subscription] += step.attempts
        parked = {item.id: item for item in (*self.parked[step.subscription], *step.parked)}
        redriven = [parked.pop(item) for item in step.redriven if item in parked]
        for item, reason in step.kept:
            if item in parked:
                parked[item] = replace(parked[item], reason=reason, redrive_at=None)
        self.parked[step.subscription] = list(parked.values())
        progress, subscription = lease.progress, lease.subscription
        now = datetime.now(UTC)
        if step.pause and subscription.state == "active":
            subscription = replace(
                subscription,
                state="paused",
                paused_by="policy",
                paused_reason=step.pause,
                version=subscription.version + 1,
            )
        if step.replay:
            self.replays[step.subscription] = [r for r in self.replays[step.subscription] if r.id != step.replay]
        self.leases[step.subscription] = replace(
            lease,
            subscription=subscription,
            replay=next(iter(self.replays[step.subscription]), None),
            redrive=0 if step.redrive_done >= lease.redrive else lease.redrive,
            progress=replace(
                progress,
                position=step.position or progress.position,
                sending_to=step.sending_to,
                lanes_done=step.lanes_done,
                express=step.express,
                ahead=step.ahead
                if step.position
                else progress.ahead + step.delivered + step.skipped + len(step.parked),
                step=step.step,
                epoch=progress.epoch + bool(step.replay),
                delivered=progress.delivered + step.delivered + len(redriven),
                parked=len(parked),
                skipped=progress.skipped + step.skipped,
                replayed=progress.replayed + step.replayed,
                attempts_failed=progress.attempts_failed + step.attempts_failed,
                failures=step.failures,
                failing_since=step.failing_since,
                retry_at=step.retry_at,
                last_error="" if step.delivered else step.last_error or progress.last_error,
                last_delivered_at=now if step.delivered or step.redriven else progress.last_delivered_at,
            ),
        )

    def _require_up(self) -> None:
        if self.down:
            raise StoreError


class ScriptedSender:
    """The port `Sender`: takes everything, unless `script` has an answer for the next attempt.

    Shape: an entry of the script is an error to raise, an answer, or None to take the push. Without a script `judge`
           is asked, which may raise for what it reads, and name what of it failed.
    """

    def __init__(self) -> None:
        self.script: list[DeliveryError | Sent | None] = []
        self.judge: Callable[[Push], Mapping[int, str]] | None = None
        self.attempts: list[Push] = []
        self.taken: list[Push] = []
        self.gate: asyncio.Event | None = None

    async def send(self, push: Push) -> Sent:
        """One attempt. See `Sender.send`."""
        self.attempts.append(push)
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        answer = self.script.pop(0) if self.script else None
        if isinstance(answer, DeliveryError):
            raise answer
        failed = self.judge(push) if answer is None and self.judge is not None else {}
        self.taken.append(push)
        if failed:
            return Sent(http_status=207, seconds=0.0, failed=failed)
        return answer or Sent(http_status=204, seconds=0.0)
