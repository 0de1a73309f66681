"""The ports `ReadingStore` and `ReadingPartitions` in memory, for unit tests, with faults on demand.

`tests/contract/test_readings.py` runs on them and on PostgreSQL alike.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
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
    of_stream: str = ""
    down: bool = False
    poison: str = ""
    batches: list[int] = field(default_factory=list)

    async def begin(self, seq: int, stream: str = "") -> int:
        """The last message stored. See `ReadingStore.begin`."""
        self._require_up()
        if self.position is None:
            self.position = seq
        self.of_stream = self.of_stream or stream
        return self.position

    async def stream(self) -> str:
        """Which stream it is of. See `ReadingStore.stream`."""
        self._require_up()
        return self.of_stream

    async def go_back(self, seq: int, stream: str = "") -> None:
        """Count only messages up to there. See `ReadingStore.go_back`."""
        self._require_up()
        self.position, self.of_stream = seq, stream

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
    """Partitions that are only remembered; `old` is how many readings of a property are to be deleted."""

    made: set[datetime] = field(default_factory=set)
    dropped_before: list[datetime] = field(default_factory=list)
    busy: bool = False
    own: dict[PropertyId, float] = field(default_factory=dict)
    known: set[PropertyId] = field(default_factory=set)
    old: dict[PropertyId, int] = field(default_factory=dict)
    deleted: list[tuple[PropertyId, datetime, int]] = field(default_factory=list)
    clock: tuple[datetime, int] | None = None

    async def make(self, days: Collection[datetime]) -> Mapping[str, int]:
        """Make those of the days. See `ReadingPartitions.make`."""
        self._require_free()
        starts = {day.replace(hour=0, minute=0, second=0, microsecond=0) for day in days}
        fresh = sorted(starts - self.made)
        self.made |= starts
        return {f"readings_{day:%Y%m%d}": 0 for day in fresh}

    async def drop(self, before: datetime) -> Sequence[str]:
        """Drop those that are over. See `ReadingPartitions.drop`."""
        self.dropped_before.append(before)
        return []

    async def retentions(self) -> Mapping[PropertyId, float]:
        """Of those that say so themselves. See `ReadingPartitions.retentions`."""
        return dict(self.own)

    async def properties(self) -> Collection[PropertyId]:
        """Those that may have readings. See `ReadingPartitions.properties`."""
        return self.known

    async def delete_old(self, property_id: PropertyId, before: datetime, *, rows_max: int) -> AsyncGenerator[int]:
        """Delete a few with each step. See `ReadingPartitions.delete_old`."""
        self._require_free()
        while count := min(rows_max, self.old.get(property_id, 0)):
            self.old[property_id] -= count
            self.deleted.append((property_id, before, count))
            yield count

    async def trusted(self) -> tuple[datetime, int] | None:
        """The time trusted. See `ReadingPartitions.trusted`."""
        return self.clock

    async def save_trusted(self, at: datetime, doubts: int) -> None:
        """Remember it. See `ReadingPartitions.save_trusted`."""
        self.clock = (at, doubts)

    def _require_free(self) -> None:
        if self.busy:
            raise StoreError("the table is busy")
