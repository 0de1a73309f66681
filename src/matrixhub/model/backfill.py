"""A backfill: past data of a property that is copied into a customer's database, behind what comes live.

Source: docs/decisions/0027-backfill.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from matrixhub.model.errors import InvalidValue
from matrixhub.model.ids import BackfillId, DatabaseId, PropertyId, SubscriptionId
from matrixhub.model.past import END, FIRST, Place, instant_of_ms
from matrixhub.model.subscription import Filter, Source

BackfillState = Literal["asked", "running", "paused", "done", "failed", "cancelled"]
"""`asked` until everything that came before is in the store; `failed` only where no trying again can help."""

BACKFILL_STATES: tuple[BackfillState, ...] = ("asked", "running", "paused", "done", "failed", "cancelled")
OPEN_STATES: tuple[BackfillState, ...] = ("asked", "running", "paused")

RATE = 5_000
RATE_MAX = 100_000
"""Rows a second, where nothing else is said, and at most."""

CHUNK_ROWS_MAX = 2_000
"""Most rows of one transaction: the customer's server, and the store beside, have their turn between two of them."""

RETRY_FIRST_S = 1.0
RETRY_MAX_S = 300.0
DAY_MS = 86_400_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """How many readings or events a backfill is about; `exact` if they were counted."""

    items: int
    exact: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Backfill:
    """A backfill as it stands.

    It copies what the filter wants of the time from `since` on and before `until`. `through` is the place in the stream
    (of events: in the log) that the store has to have reached: what came behind it comes live. `place` is that of the
    last item written. `written` counts those that were not in the database, `present` those that were, `refused` those
    that PostgreSQL does not take. `waiting` says what a backfill waits for that is no fault.
    """

    id: BackfillId
    property_id: PropertyId
    database_id: DatabaseId
    subscription_id: SubscriptionId
    filter: Filter
    since: datetime
    until: datetime
    rate: int
    state: BackfillState
    estimate: Estimate
    created_at: datetime
    through: int | None = None
    place: Place | None = None
    written: int = 0
    present: int = 0
    refused: int = 0
    failures: int = 0
    last_error: str = ""
    waiting: str = ""
    retry_at: datetime | None = None
    begun_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def source(self) -> Source:
        """What is copied: readings, or events."""
        return self.filter.source

    @property
    def copied(self) -> int:
        """How many items were read and dealt with."""
        return self.written + self.present + self.refused

    @property
    def reached_at(self) -> datetime | None:
        """Up to which instant the data is copied; None before the first chunk."""
        return None if self.place is None else min(self.until, instant_of_ms(self.place.instant_ms))

    @property
    def done_pct(self) -> float:
        """How much of it is done, as far as the estimate tells; 100 only at the end.

        Units: percent.
        """
        if self.state == "done":
            return 100.0
        return min(99.0, round(100.0 * self.copied / self.estimate.items, 1)) if self.estimate.items else 0.0


def public_view(backfill: Backfill) -> Mapping[str, object]:
    """The backfill as it is shown; since and until are None where it begins or ends with what there is."""
    return {
        "id": backfill.id,
        "property": backfill.property_id,
        "database": backfill.database_id,
        "subscription": backfill.subscription_id,
        "source": backfill.source,
        "since": None if backfill.since <= FIRST else backfill.since,
        "until": None if backfill.until >= END else backfill.until,
        "rate": backfill.rate,
        "state": backfill.state,
        "waiting": backfill.waiting,
        "estimate": backfill.estimate.items,
        "estimate_exact": backfill.estimate.exact,
        "written": backfill.written,
        "present": backfill.present,
        "refused": backfill.refused,
        "done_pct": backfill.done_pct,
        "reached_at": backfill.reached_at,
        "failures": backfill.failures,
        "last_error": backfill.last_error,
        "retry_at": backfill.retry_at,
        "created_at": backfill.created_at,
        "begun_at": backfill.begun_at,
        "ended_at": backfill.ended_at,
    }


def plan_view(planned: Backfill) -> Mapping[str, object]:
    """What a backfill would be about, as it is shown; `seconds` is how long it takes at its rate, if nothing waits."""
    seen = public_view(planned)
    names = ("property", "database", "subscription", "source", "since", "until", "rate", "estimate", "estimate_exact")
    return {**{name: seen[name] for name in names}, "seconds": round(planned.estimate.items / planned.rate, 1)}


def check_wish(since: datetime, until: datetime, rate: int) -> None:
    """Refuse what can be no backfill. Raises: InvalidValue naming what is wrong."""
    if not since < until:
        what = "the time ends before it begins"
        raise InvalidValue(what, fields=(("until", what),))
    if not 1 <= rate <= RATE_MAX:
        what = f"rate is 1 to {RATE_MAX:,} rows a second, not {rate:,}"
        raise InvalidValue(what, fields=(("rate", what),))


def chunk_rows(rate: int) -> int:
    """How many rows are read and written in one go: at most those of a second.

    >>> chunk_rows(5_000), chunk_rows(7)
    (2000, 7)
    """
    return max(1, min(CHUNK_ROWS_MAX, rate))


def pause_s(rows: int, rate: int, took_s: float) -> float:
    """How long to rest behind a chunk, so that no more than `rate` rows come in a second.

    >>> pause_s(2_000, 5_000, 0.1), pause_s(2_000, 5_000, 3.0)
    (0.30000000000000004, 0.0)
    """
    return max(0.0, rows / rate - took_s)


def retry_in_s(failures: int) -> float:
    """How long to wait behind so many failures in a row.

    >>> [retry_in_s(n) for n in (1, 2, 3, 20)]
    [1.0, 2.0, 4.0, 300.0]
    """
    return min(RETRY_MAX_S, RETRY_FIRST_S * 2.0 ** min(failures - 1, 10))


def store_waits_for(through: int, position: int | None, last_seq: int) -> int:
    """How many messages the store has yet to keep before what came up to `through` is all there.

    A stream that ends before `through` was begun anew: then all of it counts.

    >>> store_waits_for(10, 7, 20), store_waits_for(10, 12, 20), store_waits_for(10, None, 20)
    (3, 0, 10)
    >>> store_waits_for(10, 3, 3)
    0
    """
    return max(0, min(through, last_seq) - (position or 0))


def next_day(days: Sequence[int], place: Place | None) -> int | None:
    """Which of the days (UTC, since 1970, in order) is read next, None where all are read.

    The day of the place is not over: more of it may lie behind.

    >>> [next_day([19792, 19795], Place(day * DAY_MS, -1) if day else None) for day in (0, 19792, 19793, 19796)]
    [19792, 19792, 19795, None]
    """
    reached = 0 if place is None else place.instant_ms // DAY_MS
    return next((day for day in days if day >= reached), None)
