"""Who may ask: keys, what is kept of them in memory, and the limits of those who ask too often or guess."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from matrixhub.model.access import Rate
from matrixhub.modules.access.book import AccessBook
from matrixhub.modules.access.limiter import Limiter, Standing
from matrixhub.modules.access.slowdown import WRONG_MAX, Slowdown
from matrixhub.observe import Observe, ignore
from matrixhub.store import Database
from matrixhub.store.sealing import Sealer
from matrixhub.store.versions import Versions

__all__ = ["DEFAULT_RATE", "Access", "AccessBook", "Limiter", "Slowdown", "Standing", "make_access"]

DEFAULT_RATE = Rate(per_s=2_000.0, burst=4_000)


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """What the gate of a process knows by heart; `unsigned` lets requests in that prove nothing, for development."""

    book: AccessBook
    limiter: Limiter
    slowdown: Slowdown
    observe: Observe = ignore
    unsigned: bool = False


def make_access(
    database: Database,
    versions: Versions,
    sealer: Sealer,
    *,
    rate: Rate = DEFAULT_RATE,
    wrong_max: int = WRONG_MAX,
    unsigned: bool = False,
    observe: Observe = ignore,
    now_s: Callable[[], float] = time.monotonic,
) -> Access:
    """What the gate of a process needs, empty at first."""
    return Access(
        book=AccessBook(database, versions, sealer),
        limiter=Limiter(rate, now_s=now_s),
        slowdown=Slowdown(observe, wrong_max=wrong_max, now_s=now_s),
        observe=observe,
        unsigned=unsigned,
    )
