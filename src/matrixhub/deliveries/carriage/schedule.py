"""When the next attempt of a subscription is due: after failures by its schedule, and as its rates allow."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from matrixhub.deliveries.plan import Batch, next_wait_s, stored_before
from matrixhub.model.errors import DeliveryError, DestinationRefused, TokenFault
from matrixhub.model.policy import Policy
from matrixhub.model.subscription import Progress
from matrixhub.ports import Clock

FORGET_S = 2.0
"""Who waits longer than this for the next attempt gives its memory back and reads the push again."""

POISONED_IN_A_ROW_MAX = 5
"""After so many readings refused one by one, and none taken, the endpoint is taken for broken."""


class Schedule:
    """The failures of a subscription in a row, what it has sent lately, and the instant that follows from both.

    `failures`, `failing_since` and `retry_at` are saved with every step. `retry_due` is on the monotonic clock, as
    all waiting is. `outages` counts failures, of which those that happen side by side are one.
    """

    __slots__ = (
        "_catch_up_due",
        "_clock",
        "_poisoned",
        "_poisoned_waits",
        "_policy",
        "_rate_due",
        "_tries",
        "failing_since",
        "failures",
        "last_error",
        "outages",
        "retry_at",
        "retry_due",
    )

    def __init__(self, policy: Policy, progress: Progress, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._tries = self.failures = progress.failures
        self.outages = 0
        self.failing_since = progress.failing_since
        self.last_error = progress.last_error
        self.retry_at = progress.retry_at
        self.retry_due = self._rate_due = self._catch_up_due = float("-inf")
        if progress.retry_at is not None:
            self.retry_due = clock.monotonic() + progress.retry_at.timestamp() - clock.now_ms() / 1000
        self._poisoned = self._poisoned_waits = 0

    def due(self, items: int, now: float, *, urgent: bool) -> float:
        """When so many readings may be sent, on the monotonic clock. What is urgent waits for no backlog."""
        rates_due = self._rate_due if urgent else max(self._rate_due, self._catch_up_due)
        return max(self.retry_due, rates_due if items else now)

    def charge(self, items: int, now: float, *, backlog: bool) -> None:
        """Count readings against the rates; against that of a backlog, if they are part of one."""
        if self._policy.rate_per_s:
            self._rate_due = max(now, self._rate_due) + items / self._policy.rate_per_s
        if self._policy.catch_up_per_s and backlog:
            self._catch_up_due = max(now, self._catch_up_due) + items / self._policy.catch_up_per_s

    def waits_long(self) -> bool:
        """Whether the next attempt is so far away that memory should not be held for it."""
        return self.retry_due - self._clock.monotonic() >= FORGET_S

    def put_off(self, error: DeliveryError, outages: int, *, tries: int | None = None) -> float:
        """Let the next attempt be due later; how much later, in seconds.

        `outages` is how many there were when the attempt began: what fails side by side has failed once.
        """
        policy = self._policy
        asked = error.retry_after_s if isinstance(error, DestinationRefused | TokenFault) else None
        known = outages != self.outages
        before = self._tries if tries is None else tries
        wait_s, counted = next_wait_s(
            max(0, before - 1) if known else before,
            policy.retry_schedule_s,
            spread=random.uniform(0, policy.retry_spread),
            retry_after_s=asked,
        )
        if not known:
            self.outages += 1
            self.failures += 1
            if tries is None:
                self._tries = counted
        self.failing_since = self.failing_since or instant(self._clock)
        due = self._clock.monotonic() + wait_s
        if not known or due > self.retry_due:
            self.retry_due = due
            self.retry_at = instant(self._clock) + timedelta(seconds=wait_s)
        return wait_s

    def blame(self, batch: Batch, refused: int, error: DeliveryError) -> None:
        """Count readings refused in a row; an endpoint that takes none is taken for broken, and waited for."""
        broken = self._poisoned >= POISONED_IN_A_ROW_MAX
        self._poisoned += refused
        if broken or (refused == batch.items and self._poisoned > POISONED_IN_A_ROW_MAX):
            self.put_off(error, self.outages, tries=self._poisoned_waits)
            self._poisoned_waits += 1

    def recover(self) -> None:
        """Begin anew, as something was taken."""
        self._tries = self.failures = self._poisoned = self._poisoned_waits = 0
        self.failing_since = self.retry_at = None
        self.retry_due = float("-inf")
        self.last_error = ""

    def forgive(self) -> None:
        """What comes again on purpose has not failed for long, even where the endpoint has."""
        if self.failing_since is not None:
            self.failing_since = instant(self._clock)

    def given_up(self, batch: Batch) -> tuple[Batch | None, Batch | None]:
        """The beginning of the batch that has failed for too long, and the rest."""
        if not self.failures or self.failing_since is None:
            return None, batch
        cutoff_ms = self._clock.now_ms() - int(self._policy.give_up_s * 1000)
        if int(self.failing_since.timestamp() * 1000) > cutoff_ms:
            return None, batch
        return stored_before(batch, cutoff_ms + 1)


def instant(clock: Clock) -> datetime:
    """The time of day."""
    return datetime.fromtimestamp(clock.now_ms() / 1000, UTC)
