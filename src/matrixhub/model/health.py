"""How a subscription fares, in one word, decided from its progress.

Source: docs/contract/data-push.md §5
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from matrixhub.model.subscription import PausedBy, Progress, State, Subscription

Health = Literal["healthy", "degraded", "failing", "paused", "suspended"]

FAILING_ATTEMPTS = 5
FAILING_S = 300.0


def health_of(subscription: Subscription, progress: Progress, now: datetime) -> Health:
    """`healthy`: the last attempt was taken. `degraded`: some failed since. `failing`: 5 in a row, or for 5 minutes.
    `paused`: by hand. `suspended`: by policy, as after a 410 or when a refresh token is no longer good.
    """
    return health_from(subscription.state, subscription.paused_by, progress.failures, progress.failing_since, now)


def health_from(
    state: State, paused_by: PausedBy, failures: int, failing_since: datetime | None, now: datetime
) -> Health:
    """The same from the few values that decide it."""
    if state == "paused":
        return "suspended" if paused_by == "policy" else "paused"
    if not failures:
        return "healthy"
    long = failing_since is not None and (now - failing_since).total_seconds() >= FAILING_S
    return "failing" if long or failures >= FAILING_ATTEMPTS else "degraded"
