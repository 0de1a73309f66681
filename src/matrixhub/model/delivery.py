"""What is kept of deliveries: attempts, and readings that were parked."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from matrixhub.model.ids import SubscriptionId
from matrixhub.model.subscription import Position

AttemptKind = Literal["push", "redrive", "test"]

ANSWER_SHOWN_MAX = 200
"""Most signs kept of an answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One try to send a push and what came of it; `http_status` is 0 where no answer came, or none of HTTP.

    Shape:  start and end are the stretch of the stream it covered, None for parked readings and tests; code is '' for
            an attempt that was taken; answer holds the first signs of what the destination said, secrets hidden.
    Units:  seconds, bytes of the body as sent.
    """

    id: UUID
    at: datetime
    kind: AttemptKind
    request_id: str
    attempt: int
    items: int
    size_bytes: int
    http_status: int
    seconds: float
    start: Position | None = None
    end: Position | None = None
    code: str = ""
    error: str = ""
    answer: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParkedItem:
    """A reading set aside, with its reason; `line` is the reading as JSON text."""

    id: UUID
    subscription_id: SubscriptionId
    parked_at: datetime
    place: Position
    line: str
    code: str
    reason: str
    http_status: int = 0
    request_id: str = ""
    redrive_at: datetime | None = None


def time_ordered_id(now_ms: int | None = None) -> UUID:
    """A fresh id that sorts by its time. Source: RFC 9562 §5.7 (UUIDv7)

    >>> time_ordered_id(1) < time_ordered_id(2)
    True
    """
    instant = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    value = (instant << 80) | int.from_bytes(os.urandom(10), "big")
    return UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | (0x7 << 76) | (0x2 << 62))
