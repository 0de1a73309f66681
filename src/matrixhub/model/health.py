"""How a subscription fares, in one word, decided from its progress.

Source: docs/contract/data-push.md §5
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from matrixhub.model.subscription import Progress, Subscription

Health = Literal["healthy", "degraded", "failing", "paused", "suspended"]

FAILING_ATTEMPTS = 5
FAILING_S = 300.0


def health_of(subscription: Subscription, progress: Progress, now: datetime) -> Health:
    """`healthy`: the last attempt was taken. `degraded`: some failed since. `failing`: 5 in a row, or for 5 minutes.
    `paused`: by hand. `suspended`: by policy, as after a 410 or when a refresh token is no longer good.
    """
    if subscription.state == "paused":
        return "suspended" if subscription.paused_by == "policy" else "paused"
    if not progress.failures:
        return "healthy"
    since = progress.failing_since
    long = since is not None and (now - since).total_seconds() >= FAILING_S
    return "failing" if long or progress.failures >= FAILING_ATTEMPTS else "degraded"
