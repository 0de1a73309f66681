"""How often somebody may ask: a bucket of tokens for each, in the memory of the process.

Source: docs/contract/web-services.md §3.6
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from matrixhub.model.access import Rate

ENTRIES_MAX = 100_000
"""So many buckets are kept; whose was not used the longest begins with a full one again."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How somebody stands after a request; `wait_s` is 0 where it was taken, else when one may be again.

    Units: requests; seconds, `reset_s` until as many are left as can be.
    """

    limit: int
    left: int
    reset_s: int
    wait_s: float


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class Limiter:
    """Counts requests by who makes them."""

    def __init__(
        self, rate: Rate, *, entries_max: int = ENTRIES_MAX, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._entries_max = entries_max
        self._now_s = now_s
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, who: str, rate: Rate | None = None) -> Standing:
        """Count a request, unless there is no token left for it; `rate` None is that of the settings."""
        allowed = rate or self._rate
        now_s = self._now_s()
        bucket = self._buckets.get(who)
        if bucket is None:
            bucket = self._buckets[who] = _Bucket(float(allowed.burst), now_s)
            if len(self._buckets) > self._entries_max:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(who)
        tokens = refilled(bucket.tokens, now_s - bucket.at_s, allowed)
        taken = tokens >= 1
        bucket.tokens, bucket.at_s = tokens - taken, now_s
        return _standing(bucket.tokens, allowed, taken=taken)


def refilled(tokens: float, passed_s: float, rate: Rate) -> float:
    """The tokens of a bucket after a time. A clock that goes back takes nothing away and gives nothing.

    >>> refilled(1.0, 2.0, Rate(per_s=3.0, burst=10)), refilled(1.0, 60.0, Rate(per_s=3.0, burst=10))
    (7.0, 10.0)
    """
    return min(float(rate.burst), tokens + max(0.0, passed_s) * rate.per_s)


def _standing(tokens: float, rate: Rate, *, taken: bool) -> Standing:
    return Standing(
        limit=rate.burst,
        left=int(tokens),
        reset_s=math.ceil((rate.burst - tokens) / rate.per_s),
        wait_s=0.0 if taken else (1 - tokens) / rate.per_s,
    )
