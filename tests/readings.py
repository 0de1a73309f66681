"""Readings as ingest writes them, for tests of what comes behind it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from matrixhub.ingest.normalise import Incoming, SlotPlan, plan_slot, reading_line
from matrixhub.model.devices import Json
from matrixhub.model.site import Slot
from matrixhub.ports import Outgoing

_NUMBERS = itertools.count()


@dataclass(slots=True)
class Writer:
    """Makes lines of the general format from what devices say."""

    calendars: dict[tuple[str, bool], Callable[[int], bytes]] = field(default_factory=dict)

    def plan(self, slot: Slot) -> SlotPlan:
        """What readings of a slot have in common; their values are taken as they are."""
        return replace(plan_slot(slot, 1, self.calendars), check=lambda values: values)

    def line(self, slot: Slot, instant_ms: int, values: Mapping[str, Json], **more: Any) -> bytes:
        """The line of a reading."""
        item = Incoming(DEVID=slot.id, v=msgspec.Raw(msgspec.json.encode(values)), **more)
        return reading_line(item, self.plan(slot), instant_ms)

    def message(self, slot: Slot, readings: Sequence[tuple[int, Mapping[str, Json]]]) -> Outgoing:
        """A message with readings of one slot, to be published."""
        lines = [self.line(slot, instant, values) for instant, values in readings]
        return Outgoing(self.plan(slot).subject, b"\n".join(lines), len(lines), f"test-{next(_NUMBERS)}")
