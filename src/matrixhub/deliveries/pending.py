"""How many readings or events a subscription wants of a stretch of its stream, counted from the stream itself.

Nothing of what delivers is used here: who checks a carrier must not ask it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

import msgspec

from matrixhub.bus.subjects import (
    SUBJECTS,
    filter_matcher,
    filter_pattern,
    property_pattern,
    subject_property,
)
from matrixhub.model.errors import BusError
from matrixhub.model.ids import PropertyId, subject_token
from matrixhub.model.subscription import Filter, Position, Source, Subscription
from matrixhub.ports import Bus, Message

READ_MESSAGES = 500
READ_BYTES = 4 * 1024 * 1024

Progressed = Callable[[int, int], None]
"""Told how many messages of how many were looked at."""


class _Zone(msgspec.Struct, gc=False):
    InsID: str


_zone_of = msgspec.json.Decoder(_Zone).decode


@dataclass(frozen=True, kw_only=True, slots=True)
class Want:
    """What is to be counted: the items of a property that pass a filter, from a position on."""

    property_id: PropertyId
    filter: Filter
    position: Position


async def count_pending(bus: Bus, subscription: Subscription, position: Position, to_seq: int | None = None) -> int:
    """The items of the subscription from the position on, before message `to_seq`. Raises BusError."""
    end = (await bus.bounds()).last_seq + 1 if to_seq is None else to_seq
    want = Want(property_id=subscription.property_id, filter=subscription.filter, position=position)
    return (await count_wanted(bus, [want], end))[0]


async def count_wanted(
    bus: Bus, wants: Sequence[Want], end: int, progressed: Progressed = lambda _done, _all: None
) -> list[int]:
    """How many items before message `end` each of them wants; all want of one stream, that of the bus. Raises BusError.

    The headers of the messages say it, read once for all. Zones are inside the messages: who filters by them has each
    message of its buildings and types looked into, which takes a while where there are many.
    """
    counts = [0] * len(wants)
    plain = [n for n, want in enumerate(wants) if want.position.seq < end and not want.filter.zones]
    if plain:
        heights = await _read_heights(bus, [wants[n] for n in plain], end, progressed)
        for n, count in zip(plain, heights, strict=True):
            counts[n] = count
    for n, want in enumerate(wants):
        if want.filter.zones and want.position.seq < end:
            counts[n] = await _count_by_reading(bus, want, end)
    return counts


async def first_wanted(bus: Bus, want: Want, end: int) -> int | None:
    """The first message before `end` that holds an item it wants, or None. Raises BusError."""
    matches = filter_matcher(want.property_id, want.filter)
    pattern, seq = filter_pattern(want.property_id, want.filter), want.position.seq
    if want.filter.zones:
        async with aclosing(_read(bus, pattern, seq, end)) as messages:
            async for message in messages:
                if matches(message.subject) and _wanted_lines(message, want):
                    return message.seq
        return None
    async with aclosing(bus.headers(pattern, seq, end)) as pages:
        async for page in pages:
            for message in page:
                if matches(message.subject) and (message.seq > seq or message.items > want.position.item):
                    return message.seq
    return None


async def _read_heights(bus: Bus, wants: Sequence[Want], end: int, progressed: Progressed) -> list[int]:
    """The counts of those without zones: one pass from the earliest position, cut where the others begin."""
    starts = sorted({want.position.seq for want in wants})
    stretches: list[Counter[str]] = [Counter() for _ in starts]
    cut = {want.position.seq for want in wants if want.position.item}
    heads: dict[int, Message] = {}
    number, whole = 0, end - starts[0]
    async with aclosing(bus.headers(_common_pattern(wants), starts[0], end)) as pages:
        async for page in pages:
            for message in page:
                while number + 1 < len(starts) and message.seq >= starts[number + 1]:
                    number += 1
                stretches[number][message.subject] += message.items
                if message.seq in cut:
                    heads[message.seq] = message
            if page:
                progressed(page[-1].seq - starts[0] + 1, whole)
    progressed(whole, whole)
    by_start: dict[int, list[int]] = {}
    for n, want in enumerate(wants):
        by_start.setdefault(want.position.seq, []).append(n)
    counts = [0] * len(wants)
    behind: defaultdict[str, _Tally] = defaultdict(_TALLIES[wants[0].filter.source])
    for start, stretch in zip(reversed(starts), reversed(stretches), strict=True):
        for subject, items in stretch.items():
            behind[subject_property(subject)].add(subject, items)
        for n in by_start[start]:
            counts[n] = _count_behind(wants[n], behind[subject_token(wants[n].property_id)], heads.get(start))
    return counts


class _Tally(Protocol):
    """Items of one property, by what filters ask for."""

    def add(self, subject: str, items: int) -> None:
        """Count items of a subject."""
        ...

    def wanted(self, want: Want) -> int:
        """How many items pass the filter, zones left aside."""
        ...


class _ReadingTally:
    """Readings by building and device type, so that a filter is answered without asking each subject."""

    def __init__(self) -> None:
        self._buildings: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._devtypes: Counter[str] = Counter()

    def add(self, subject: str, items: int) -> None:
        """Count items of a subject."""
        _, _, building, devtype = subject.split(".")
        self._buildings[building][devtype] += items
        self._devtypes[devtype] += items

    def wanted(self, want: Want) -> int:
        """How many items pass the filter, zones left aside."""
        wanted = want.filter
        tallies = [self._devtypes]
        if wanted.buildings:
            tallies = [self._buildings[b] for b in map(subject_token, wanted.buildings) if b in self._buildings]
        devtypes = list(map(subject_token, wanted.devtypes))
        return sum(sum(map(tally.__getitem__, devtypes)) if devtypes else tally.total() for tally in tallies)


class _EventTally:
    """Events by subject. Patterns may overlap, so each subject is asked; the answer for a filter is kept until more is
    added.
    """

    def __init__(self) -> None:
        self._subjects: Counter[str] = Counter()
        self._answers: dict[Filter, int] = {}

    def add(self, subject: str, items: int) -> None:
        """Count items of a subject."""
        self._subjects[subject] += items
        self._answers.clear()

    def wanted(self, want: Want) -> int:
        """How many items pass the filter."""
        found = self._answers.get(want.filter)
        if found is None:
            matches = filter_matcher(want.property_id, want.filter)
            found = self._answers[want.filter] = sum(
                items for subject, items in self._subjects.items() if matches(subject)
            )
        return found


_TALLIES: Mapping[Source, type[_Tally]] = {"sensors": _ReadingTally, "events": _EventTally}


def _count_behind(want: Want, tally: _Tally, head: Message | None) -> int:
    """What it wants of what was tallied, without the lines of the first message before its position."""
    count = tally.wanted(want)
    if want.position.item and head is not None and filter_matcher(want.property_id, want.filter)(head.subject):
        count -= min(want.position.item, head.items)
    return count


def _common_pattern(wants: Sequence[Want]) -> str:
    """The narrowest subject pattern that covers all of them."""
    patterns = {filter_pattern(want.property_id, want.filter) for want in wants}
    if len(patterns) == 1:
        return patterns.pop()
    source, properties = wants[0].filter.source, {want.property_id for want in wants}
    return property_pattern(source, properties.pop()) if len(properties) == 1 else SUBJECTS[source]


async def _count_by_reading(bus: Bus, want: Want, end: int) -> int:
    matches = filter_matcher(want.property_id, want.filter)
    total = 0
    pattern = filter_pattern(want.property_id, want.filter)
    async with aclosing(_read(bus, pattern, want.position.seq, end)) as messages:
        async for message in messages:
            if matches(message.subject):
                total += _wanted_lines(message, want)
    return total


async def _read(bus: Bus, pattern: str, seq: int, end: int) -> AsyncGenerator[Message, None]:
    """The messages between the sequences, with their data."""
    while seq < end:
        page = await bus.read(pattern, seq, messages_max=READ_MESSAGES, bytes_max=READ_BYTES)
        for message in page.messages:
            if message.seq < end:
                yield message
        if page.pending == 0:
            return
        if not page.messages:
            raise BusError("count: a replica lags")
        seq = page.messages[-1].seq + 1


def _wanted_lines(message: Message, want: Want) -> int:
    """How many lines of the message from the position on lie in a wanted zone; all where they cannot be read."""
    first = want.position.item if message.seq == want.position.seq else 0
    try:
        zones = [_zone_of(line).InsID for line in message.data.split(b"\n")[first:]]
    except (UnicodeDecodeError, msgspec.DecodeError):
        return max(0, message.items - first)  # they are parked
    return sum(zone in want.filter.zones for zone in zones)
