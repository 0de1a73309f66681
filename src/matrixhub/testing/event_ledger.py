"""The books of a receiver of events: what came, what came again, and whether each is an event as the contract has it.

Pure, and knows nothing of the hub's own code: the envelope is checked anew here.
Source: docs/contract/event-bus.md §3
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

EVENTS_MAX = 1_000_000
"""Events remembered by their `ATTR`, the latest ones."""

REQUEST_IDS_MAX = 100_000
LAST_PAYLOADS = 5


class NotAnEvent(ValueError):
    """An item is not an event; nothing of its request was recorded."""

    def __init__(self, index: int, reason: str) -> None:
        self.index, self.reason = index, reason
        super().__init__(f"item {index} is not an event: {reason}")


class _Envelope(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The 16 fields, all of them and no others."""

    building: str = msgspec.field(name="ID")
    attr: str = msgspec.field(name="ATTR")
    description: str = msgspec.field(name="Description")
    event: str = msgspec.field(name="Event")
    principal: str = msgspec.field(name="Principal")
    principal_type: str = msgspec.field(name="PType")
    entity: str = msgspec.field(name="Entity")
    entity_type: str = msgspec.field(name="EType")
    routing_key: str = msgspec.field(name="RoutingKey")
    routing_words: list[str] = msgspec.field(name="RoutingKeyS")
    status: str = msgspec.field(name="Status")
    time: str = msgspec.field(name="Time")
    unix_text: str = msgspec.field(name="UnixTime")
    unix_time: int = msgspec.field(name="UnixTimeInt")
    module: str = msgspec.field(name="Module")
    meta: dict[str, Any] = msgspec.field(name="Meta")


@dataclass(frozen=True, kw_only=True, slots=True)
class EventSummary:
    """The totals of a ledger; `distinct + duplicates == items`, `by_event` counts the distinct ones."""

    requests: int
    items: int
    distinct: int
    duplicates_with_same_request_id: int
    duplicates_in_new_request: int
    by_event: Mapping[str, int]

    @property
    def duplicates(self) -> int:
        """How many came again."""
        return self.duplicates_with_same_request_id + self.duplicates_in_new_request


class EventLedger:
    """Accounts for every event of every request. An event is known by its `ATTR`."""

    def __init__(self, *, events_max: int = EVENTS_MAX, request_ids_max: int = REQUEST_IDS_MAX) -> None:
        self._events_max, self._request_ids_max = events_max, request_ids_max
        self._seen: dict[str, None] = {}
        self._request_ids: dict[str, None] = {}
        self._requests = self._items = self._same = self._new = 0
        self._by_event: Counter[str] = Counter()
        self.last_payloads: deque[str] = deque(maxlen=LAST_PAYLOADS)

    def record(self, request_id: str, items: Sequence[str]) -> None:
        """Enter a request that was read in full: the JSON text of each of its events.

        Raises: NotAnEvent before anything is entered.
        """
        events = [_checked(index, item) for index, item in enumerate(items)]
        repeated = request_id in self._request_ids
        self._request_ids[request_id] = None
        if len(self._request_ids) > self._request_ids_max:
            del self._request_ids[next(iter(self._request_ids))]
        for event in events:
            if event.attr in self._seen:
                self._same += repeated
                self._new += not repeated
                continue
            self._seen[event.attr] = None
            self._by_event[event.event] += 1
        while len(self._seen) > self._events_max:
            del self._seen[next(iter(self._seen))]
        self._requests += 1
        self._items += len(items)
        self.last_payloads.extend(items[-LAST_PAYLOADS:])

    def summary(self) -> EventSummary:
        """The totals until now."""
        return EventSummary(
            requests=self._requests,
            items=self._items,
            distinct=self._items - self._same - self._new,
            duplicates_with_same_request_id=self._same,
            duplicates_in_new_request=self._new,
            by_event=dict(self._by_event),
        )


_decode = msgspec.json.Decoder(_Envelope).decode


def _checked(index: int, item: str) -> _Envelope:
    """Raises: NotAnEvent."""
    try:
        event = _decode(item)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotAnEvent(index, str(error)) from error
    words = ["matrix", event.principal, event.module, event.event, event.status]
    for holds, what in (
        (event.routing_words == words, "RoutingKeyS is not matrix, Principal, Module, Event, Status"),
        (not any("." in word for word in words), "a word of its routing key holds a dot"),
        (event.routing_key == ".".join(words), "RoutingKey is not RoutingKeyS joined by dots"),
        (event.status in ("HIGH", "MEDIUM", "NORMAL", "LOW"), "Status is no priority"),
        (event.unix_text == str(event.unix_time), "UnixTime is not UnixTimeInt as text"),
        (event.time == f"{event.module}#{event.unix_text}", "Time is not Module#UnixTime"),
        (event.attr.startswith(f"{event.event}#"), "ATTR does not begin with Event#"),
        (event.principal_type in ("building", "property"), "PType is neither building nor property"),
        (event.entity_type in ("building", "property"), "EType is neither building nor property"),
    ):
        if not holds:
            raise NotAnEvent(index, what)
    return event
