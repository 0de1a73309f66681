"""The event log: events as they are looked up later.

Source: docs/contract/event-bus.md §9
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from matrixhub.model.devices import Json

_RENAMED = {"ID": "Module", "Time": "UnixTime"}
"""Fields of a record that have another name in the envelope, where their own name means something else."""

RECORD_FIELDS = ("ATTR", "Description", "Event", "ID", "Principal", "Status", "Time")


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggedEvent:
    """An event of the log: its number among all events, when it happened, and the envelope it travels in."""

    number: int
    happened_at: datetime
    envelope: Mapping[str, Json]


@dataclass(frozen=True, kw_only=True, slots=True)
class EventPage:
    """Events of the log, and the key that the next page begins behind; '' where there is no more."""

    events: Sequence[LoggedEvent]
    last_key: str


def event_log_record(event: LoggedEvent) -> dict[str, Json]:
    """The event as the wire's log has it: `ID` is the module, `Time` its instant in epoch seconds as text."""
    return {name: event.envelope[_RENAMED.get(name, name)] for name in RECORD_FIELDS}
