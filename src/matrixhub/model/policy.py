"""How a subscription is delivered: retries, limits, order; with defaults that need no thought.

The defaults here are those of `config.default.toml`, section `deliveries`; a test compares them.
Source: docs/contract/data-push.md §5
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from matrixhub.model.errors import InvalidValue

Order = Literal["strict", "per_device", "latest_first", "priority"]
ORDERS: tuple[Order, ...] = ("strict", "per_device", "latest_first", "priority")

ITEMS_MAX = 10_000
BYTES_MAX = 16 * 1024 * 1024
IN_FLIGHT_MAX = 32
WAITS_MAX = 50
WAIT_S_MAX = 86_400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchLimits:
    """A push holds at most this many readings and at most this many bytes of body."""

    items: int = 500
    size_bytes: int = 262_144


DATABASE_LIMITS = BatchLimits(items=2_000, size_bytes=4 * 1024 * 1024)
"""What a push to a database holds by default: its transaction costs more than its rows."""

DATABASE_WAIT_MAX_S = 60.0
"""A database is tried again after a minute by default, however long it was away: that costs one connection."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """How pushes of a subscription are timed and ordered.

    Units:  seconds; rates are readings a second, 0 for no limit. `flush_s` is how long a push may wait to be filled,
            `catch_up_per_s` the rate while a backlog is worked off. `in_flight` is for the order `per_device`.
    """

    retry_schedule_s: tuple[float, ...] = (0.0, 1.0, 5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0)
    retry_spread: float = 0.1
    give_up_s: float = 604_800.0
    connect_timeout_s: float = 5.0
    total_timeout_s: float = 15.0
    order: Order = "strict"
    in_flight: int = 1
    flush_s: float = 0.0
    rate_per_s: float = 0.0
    catch_up_per_s: float = 0.0


DEFAULT_POLICY = Policy()


def check_limits(limits: BatchLimits) -> None:
    """Refuse limits that cannot be kept.

    Raises: InvalidValue if a limit lies outside 1 to 10,000 readings or 1 KiB to 16 MiB.
    """
    if not 1 <= limits.items <= ITEMS_MAX:
        raise InvalidValue(f"batch items are 1 to {ITEMS_MAX:,}, not {limits.items:,}")
    if not 1024 <= limits.size_bytes <= BYTES_MAX:
        raise InvalidValue(f"batch bytes are 1,024 to {BYTES_MAX:,}, not {limits.size_bytes:,}")


def check_policy(policy: Policy) -> None:
    """Refuse a policy that cannot be kept. Raises: InvalidValue naming what is out of its range."""
    schedule = policy.retry_schedule_s
    if not 1 <= len(schedule) <= WAITS_MAX or not all(0 <= wait <= WAIT_S_MAX for wait in schedule):
        raise InvalidValue(
            f"retry_schedule_s holds at least one wait, at most {WAITS_MAX}, each 0 to {WAIT_S_MAX:,.0f} s"
        )
    if schedule[-1] <= 0:
        raise InvalidValue("retry_schedule_s ends with a wait that repeats, so that must be more than 0 s")
    ranges = {
        "retry_spread": (policy.retry_spread, 0, 10),
        "give_up_s": (policy.give_up_s, 1, 366 * 86_400),
        "connect_timeout_s": (policy.connect_timeout_s, 1, 60),
        "total_timeout_s": (policy.total_timeout_s, 1, 60),
        "in_flight": (policy.in_flight, 1, IN_FLIGHT_MAX),
        "flush_s": (policy.flush_s, 0, 3_600),
        "rate_per_s": (policy.rate_per_s, 0, 1_000_000),
        "catch_up_per_s": (policy.catch_up_per_s, 0, 1_000_000),
    }
    for name, (value, least, most) in ranges.items():
        if not least <= value <= most:
            raise InvalidValue(f"{name} is {least:,} to {most:,}, not {value}")
    if policy.order not in ORDERS:
        raise InvalidValue(f"order is one of {', '.join(ORDERS)}, not {policy.order!r}")
    if policy.in_flight > 1 and policy.order != "per_device":
        raise InvalidValue("in_flight above 1 needs the order per_device")
