"""Puts lines on the stream in rounds: while one round is on its way, the lines of all requests gather for the next.

So a lone reading is written at once, and a thousand small requests share a few stream messages. One round at a time
keeps the order of a slot's readings; a round that gets no answer is sent again under the same message ids until it is
stored, so nothing is stored twice and nothing that was accepted is dropped.
Source: design decisions 1 and 2, docs/decisions/0005-writing-in-rounds.md
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from matrixhub.bus.nats import ORIGIN_HEADER
from matrixhub.lifecycle import rung_by
from matrixhub.model.errors import Overloaded
from matrixhub.model.ids import new_id
from matrixhub.ports import Bus, Outgoing

PENDING_BYTES_MAX = 64 * 1024 * 1024
"""Lines waiting for a round; more is refused with Overloaded instead of filling memory."""


@dataclass(slots=True)
class Entry:
    """The lines of one request for one subject, with the keys to forget should they not be stored."""

    subject: str
    lines: list[bytes] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    size_bytes: int = 0
    stored: asyncio.Future[None] | None = None


@dataclass(frozen=True, slots=True)
class Packed:
    """A message, the keys of its lines, and the entries they are from."""

    message: Outgoing
    keys: Sequence[int]
    entries: Sequence[Entry]


def pack_round(entries: Sequence[Entry], *, items_max: int, bytes_max: int, origin: str) -> list[Packed]:
    """The messages of a round: the lines of each subject together, in order of arrival, within the limits.

    A single line larger than the limit gets a message of its own.
    """
    by_subject: dict[str, list[Entry]] = {}
    for entry in entries:
        by_subject.setdefault(entry.subject, []).append(entry)
    packed: list[Packed] = []
    for subject, group in by_subject.items():
        open_: list[Entry] = []
        items = size = 0
        for entry in group:
            if open_ and (items + len(entry.lines) > items_max or size + entry.size_bytes > bytes_max):
                packed.append(_pack_whole(subject, open_, origin))
                open_, items, size = [], 0, 0
            if len(entry.lines) > items_max or entry.size_bytes > bytes_max:
                packed += _pack_parts(entry, origin, items_max=items_max, bytes_max=bytes_max)
            else:
                open_.append(entry)
                items += len(entry.lines)
                size += entry.size_bytes
        if open_:
            packed.append(_pack_whole(subject, open_, origin))
    return packed


def _pack_whole(subject: str, entries: Sequence[Entry], origin: str) -> Packed:
    """One message of several entries."""
    lines = [line for entry in entries for line in entry.lines]
    return Packed(_message(subject, lines, origin), [key for entry in entries for key in entry.keys], entries)


def _pack_parts(entry: Entry, origin: str, *, items_max: int, bytes_max: int) -> list[Packed]:
    """Several messages of one entry."""
    parts: list[Packed] = []
    first = 0
    for lines in cut_lines(entry.lines, items_max=items_max, bytes_max=bytes_max):
        keys = entry.keys[first : first + len(lines)]
        parts.append(Packed(_message(entry.subject, lines, origin), keys, [entry]))
        first += len(lines)
    return parts


def _message(subject: str, lines: Sequence[bytes], origin: str) -> Outgoing:
    return Outgoing(subject, b"\n".join(lines), len(lines), new_id("msg"), {ORIGIN_HEADER: origin})


def cut_lines(lines: Sequence[bytes], *, items_max: int, bytes_max: int) -> list[list[bytes]]:
    """The lines in runs within the limits, each as long as it can be.

    >>> cut_lines([b"aa", b"bb", b"cccccc", b"d"], items_max=2, bytes_max=6)
    [[b'aa', b'bb'], [b'cccccc'], [b'd']]
    """
    runs: list[list[bytes]] = []
    size = 0
    for line in lines:
        if runs and len(runs[-1]) < items_max and size + len(line) + 1 <= bytes_max:
            runs[-1].append(line)
            size += len(line) + 1
        else:
            runs.append([line])
            size = len(line) + 1
    return runs


class Writer:
    """Gathers entries and writes them round by round."""

    def __init__(
        self, bus: Bus, forget: Callable[[Iterable[int]], None], *, items_max: int, bytes_max: int, origin: str
    ) -> None:
        """`forget` is given the keys of lines that were refused, before anyone hears of the refusal."""
        self._bus = bus
        self._forget = forget
        self._items_max = items_max
        self._bytes_max = bytes_max
        self._origin = origin
        self._pending: list[Entry] = []
        self._pending_bytes = 0
        self._wake = asyncio.Event()
        self._flying: list[Entry] = []

    def add(self, entries: Sequence[Entry]) -> None:
        """Put entries into the next round; each one's `stored` is settled with it.

        Raises: Overloaded if too much waits already; then nothing was added.
        """
        size = sum(entry.size_bytes for entry in entries)
        if self._pending and self._pending_bytes + size > PENDING_BYTES_MAX:
            raise Overloaded("the stream is slower than the readings that come; send them again")
        loop = asyncio.get_running_loop()
        for entry in entries:
            entry.stored = loop.create_future()
            self._pending.append(entry)
        self._pending_bytes += size
        self._wake.set()

    def unsettled(self) -> list[asyncio.Future[None]]:
        """What a repeat has to wait for, as its first copy may be among these."""
        return [entry.stored for entry in (*self._flying, *self._pending) if entry.stored is not None]

    async def run(self, stop: asyncio.Event) -> None:
        """Write rounds until stop, and then what is left."""
        try:
            async with rung_by(stop, self._wake):
                while self._pending or not stop.is_set():
                    await self._wake.wait()
                    self._wake.clear()
                    while self._pending:
                        await self._write_round()
        finally:
            self._fail_rest()

    async def _write_round(self) -> None:
        self._flying, self._pending, self._pending_bytes = self._pending, [], 0
        packed = pack_round(self._flying, items_max=self._items_max, bytes_max=self._bytes_max, origin=self._origin)
        results = await self._bus.publish([p.message for p in packed])
        for part, error in zip(packed, results, strict=True):
            if error is not None:
                # In the same step, so that no repeat is taken for stored in between.
                self._forget(part.keys)
                for entry in part.entries:
                    _settle(entry, error)
        for entry in self._flying:
            _settle(entry, None)
        self._flying = []

    def _fail_rest(self) -> None:
        for entry in (*self._flying, *self._pending):
            self._forget(entry.keys)
            _settle(entry, Overloaded("the hub is stopping; send the readings again"))
        self._flying, self._pending = [], []


def _settle(entry: Entry, error: BaseException | None) -> None:
    """Tell the request of the entry how it ended, unless it was told already."""
    if entry.stored is None or entry.stored.done():
        return
    if error is None:
        entry.stored.set_result(None)
    else:
        entry.stored.set_exception(error)
        entry.stored.exception()  # mark as seen: the request may have given up waiting
