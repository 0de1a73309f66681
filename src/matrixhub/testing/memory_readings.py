"""The ports `ReadingStore` and `ReadingPartitions` in memory, for unit tests, with faults on demand.

`tests/contract/test_readings.py` runs on them and on PostgreSQL alike.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from matrixhub.model.errors import StoreError, UnstorableReading
from matrixhub.model.ids import PropertyId, SlotId
from matrixhub.model.reading_line import KeptReading
from matrixhub.ports import RefusedLine

Identity = tuple[PropertyId, SlotId, str, int]


@dataclass(slots=True)
class MemoryReadings:
    """Readings in a dictionary. Set `down` to make it unreachable; a text with `poison` in it is not taken."""

    kept: dict[Identity, KeptReading] = field(default_factory=dict)
    refused: list[RefusedLine] = field(default_factory=list)
    position: int | None = None
    down: bool = False
    poison: str = ""
    batches: list[int] = field(default_factory=list)

    async def begin(self, seq: int) -> int:
        """The last message stored. See `ReadingStore.begin`."""
        self._require_up()
        if self.position is None:
            self.position = seq
        return self.position

    async def go_back(self, seq: int) -> None:
        """Count only messages up to there. See `ReadingStore.go_back`."""
        self._require_up()
        self.position = seq

    async def store(
        self, readings: Sequence[KeptReading], refused: Sequence[RefusedLine], *, after_seq: int, to_seq: int
    ) -> int | None:
        """Store readings, and up to where. See `ReadingStore.store`."""
        self._require_up()
        if after_seq != self.position:
            return None
        if self.poison and any(self.poison in (one.values or "") for one in readings):
            raise UnstorableReading("poison")
        before = len(self.kept)
        for one in readings:
            origin = one.origin
            self.kept.setdefault((origin.property_id, origin.slot_id, origin.devtype, one.instant_ms), one)
        self.refused += refused
        self.position = to_seq
        self.batches.append(len(readings))
        return len(self.kept) - before

    async def takes(self, reading: KeptReading) -> str:
        """Whether it takes a reading. See `ReadingStore.takes`."""
        self._require_up()
        return "poison" if self.poison and self.poison in (reading.values or "") else ""

    def _require_up(self) -> None:
        if self.down:
            raise StoreError


@dataclass(slots=True)
class MemoryPartitions:
    """Partitions that are only remembered."""

    made: set[datetime] = field(default_factory=set)
    dropped_before: list[datetime] = field(default_factory=list)
    busy: bool = False

    async def make(self, days: Collection[datetime]) -> Mapping[str, int]:
        """Make those of the days. See `ReadingPartitions.make`."""
        if self.busy:
            raise StoreError("the table is busy")
        starts = {day.replace(hour=0, minute=0, second=0, microsecond=0) for day in days}
        fresh = sorted(starts - self.made)
        self.made |= starts
        return {f"readings_{day:%Y%m%d}": 0 for day in fresh}

    async def drop(self, before: datetime) -> Sequence[str]:
        """Drop those that are over. See `ReadingPartitions.drop`."""
        self.dropped_before.append(before)
        return []
