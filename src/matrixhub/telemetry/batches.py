"""What of the stream is stored in one transaction, and in which partitions it comes to lie."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from matrixhub.bus.subjects import subject_property
from matrixhub.model.errors import UnstorableReading
from matrixhub.model.ids import subject_token
from matrixhub.model.reading_line import KeptReading, Splitter
from matrixhub.ports import Message, RefusedLine

AHEAD = timedelta(days=7)
"""So many days have their partition before the first reading comes."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS = 86_400_000


def cut_batches(messages: Sequence[Message], *, items_max: int, bytes_max: int) -> Iterator[Sequence[Message]]:
    """The messages in runs within the limits, each as long as it can be; a larger message is a run of its own.

    >>> messages = [Message(n, "sensors.p.b.t", b"xx", 2) for n in (1, 2, 3)]
    >>> [[m.seq for m in batch] for batch in cut_batches(messages, items_max=4, bytes_max=100)]
    [[1, 2], [3]]
    """
    start = items = size = 0
    for index, message in enumerate(messages):
        if index > start and (items + message.items > items_max or size + len(message.data) > bytes_max):
            yield messages[start:index]
            start, items, size = index, 0, 0
        items += message.items
        size += len(message.data)
    if start < len(messages):
        yield messages[start:]


def split_message(
    splitter: Splitter, message: Message, *, carefully: bool = False
) -> tuple[list[KeptReading], list[RefusedLine]]:
    """The readings of a message, and its lines that are none, or none of the property of its subject."""
    word = subject_property(message.subject)
    kept: list[KeptReading] = []
    refused: list[RefusedLine] = []
    quickly, verified = splitter.quickly, ""
    for item, line in enumerate(message.data.split(b"\n")):
        reading = None if carefully else quickly(line)
        if reading is not None and reading.origin.property_id == verified:
            kept.append(reading)
            continue
        try:
            reading = _of_property(reading or splitter.split(line, carefully=True), word)
        except UnstorableReading as error:
            refused.append(
                RefusedLine(seq=message.seq, item=item, subject=message.subject, line=line, reason=error.message)
            )
        else:
            verified = reading.origin.property_id
            kept.append(reading)
    return kept, refused


def _of_property(reading: KeptReading, word: str) -> KeptReading:
    """The reading. Raises: UnstorableReading if it is not of the property whose word its subject has."""
    if subject_token(reading.origin.property_id) != word:
        raise UnstorableReading("the reading is not of the property of its subject")
    return reading


def days_of(readings: Iterable[KeptReading]) -> set[int]:
    """The days (UTC, since 1970) in which the readings lie."""
    return {reading.instant_ms // _DAY_MS for reading in readings}


def day_start(day: int) -> datetime:
    """When a day begins.

    >>> str(day_start(19792))
    '2024-03-10 00:00:00+00:00'
    """
    return _EPOCH + timedelta(days=day)


def has_partition(day: int, now: datetime, oldest: datetime) -> bool:
    """Whether a day gets a partition of its own: it lies neither behind the oldest that is kept nor far ahead.

    Nothing is that far ahead but by mistake; it lies in the default partition meanwhile.

    >>> now = datetime(2024, 3, 10, tzinfo=UTC)
    >>> [has_partition(19792 + d, now, now - timedelta(days=2)) for d in (-3, -2, 0, 7, 8)]
    [False, True, True, True, False]
    """
    start = day_start(day)
    return oldest < start + timedelta(days=1) and start <= now + AHEAD


@dataclass(slots=True)
class Part:
    """Messages of the stream in order, taken apart. `expired` readings are too old to be stored."""

    messages: list[Message] = field(default_factory=list)
    kept: list[KeptReading] = field(default_factory=list)
    refused: list[RefusedLine] = field(default_factory=list)
    expired: int = 0
    items: int = 0
    size: int = 0

    def add(self, other: Part) -> None:
        """Put what comes behind to it."""
        self.messages += other.messages
        self.kept += other.kept
        self.refused += other.refused
        self.expired += other.expired
        self.items += other.items
        self.size += other.size


class Ready:
    """What was taken apart and is to be stored next, up to a batch of it; whoever has more of it waits."""

    def __init__(self, *, items_max: int, bytes_max: int) -> None:
        self._items_max = items_max
        self._bytes_max = bytes_max
        self._waiting = Part()
        self._filled, self._taken = asyncio.Event(), asyncio.Event()

    async def put(self, part: Part) -> None:
        """Add to the next batch, as soon as it has room."""
        while self._waiting.messages and not self._has_room(part):
            self._taken.clear()
            await self._taken.wait()
        self._waiting.add(part)
        self._filled.set()

    def _has_room(self, part: Part) -> bool:
        waiting = self._waiting
        return waiting.items + part.items <= self._items_max and waiting.size + part.size <= self._bytes_max

    def end(self) -> None:
        """Say that nothing more comes."""
        self._filled.set()

    async def take(self) -> Part:
        """All that is ready, as soon as something is; without messages where nothing more comes."""
        await self._filled.wait()
        self._filled.clear()
        taken, self._waiting = self._waiting, Part()
        self._taken.set()
        return taken
