"""Puts lines on the stream in rounds: while one round is on its way, the lines of all requests gather in the next.

So a lone reading is written at once, and a thousand small requests share a few stream messages. One round at a time
keeps the order of a slot's readings; a round that gets no answer is sent again under the same message ids until it is
stored, so nothing is stored twice and nothing that was accepted is dropped.
Source: design decisions 1 and 2, docs/decisions/0005-writing-in-rounds.md
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from matrixhub.bus.nats import ORIGIN_HEADER
from matrixhub.lifecycle import rung_by
from matrixhub.model.errors import Overloaded
from matrixhub.model.ids import new_id
from matrixhub.ports import Bus, Outgoing

PENDING_LINES_MAX = 100_000
"""Lines waiting for a round; more is refused with Overloaded instead of filling memory."""


@dataclass(slots=True)
class Pack:
    """Lines of one subject, with the keys to forget should they not be stored."""

    lines: list[bytes] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Packed:
    """A message, its lines and their keys."""

    message: Outgoing
    keys: Sequence[int]
    lines: Sequence[bytes]


def _unheard(_packed: Packed) -> None:
    """For those who need not know what was stored."""


def pack_round(packs: Mapping[str, Pack], *, items_max: int, bytes_max: int, origin: str) -> list[Packed]:
    """The messages of a round: the lines of each subject in order of arrival, within the limits."""
    packed: list[Packed] = []
    for subject, pack in packs.items():
        first = 0
        for lines in cut_lines(pack.lines, items_max=items_max, bytes_max=bytes_max):
            message = Outgoing(subject, b"\n".join(lines), len(lines), new_id("msg"), {ORIGIN_HEADER: origin})
            packed.append(Packed(message, pack.keys[first : first + len(lines)], lines))
            first += len(lines)
    return packed


def cut_lines(lines: Sequence[bytes], *, items_max: int, bytes_max: int) -> list[Sequence[bytes]]:
    """The lines in runs within the limits, each as long as it can be; a larger line is a run of its own.

    >>> cut_lines([b"aa", b"bb", b"cccccc", b"d"], items_max=2, bytes_max=6)
    [[b'aa', b'bb'], [b'cccccc'], [b'd']]
    """
    if len(lines) <= items_max and sum(map(len, lines)) + len(lines) <= bytes_max:
        return [lines]
    runs: list[Sequence[bytes]] = []
    start = size = 0
    for index, line in enumerate(lines):
        if index > start and (index - start == items_max or size + len(line) + 1 > bytes_max):
            runs.append(lines[start:index])
            start, size = index, 0
        size += len(line) + 1
    runs.append(lines[start:])
    return runs


@dataclass(slots=True)
class Round:
    """Lines that are written together. `stored` is settled when all of them are, or one cannot be."""

    stored: asyncio.Future[None]
    packs: dict[str, Pack] = field(default_factory=dict)
    lines: int = 0

    def add(self, subject: str, line: bytes, key: int) -> None:
        """Put a line into the round."""
        pack = self.packs.get(subject)
        if pack is None:
            pack = self.packs[subject] = Pack()
        pack.lines.append(line)
        pack.keys.append(key)
        self.lines += 1

    def settle(self, error: BaseException | None) -> None:
        """Tell all who wait how it ended."""
        if self.stored.done():
            return
        if error is None:
            self.stored.set_result(None)
        else:
            self.stored.set_exception(error)
            self.stored.exception()  # mark as seen: all requests may have given up waiting


class Writer:
    """Gathers lines and writes them round by round."""

    def __init__(
        self,
        bus: Bus,
        forget: Callable[[Iterable[int]], None],
        *,
        items_max: int,
        bytes_max: int,
        origin: str,
        note: Callable[[Packed], None] = _unheard,
    ) -> None:
        """`forget` is given the keys of lines that were refused, before anyone hears of the refusal; `note` what was
        stored.
        """
        self._bus = bus
        self._forget = forget
        self._note = note
        self._items_max = items_max
        self._bytes_max = bytes_max
        self._origin = origin
        self._wake = asyncio.Event()
        self._gathering: Round | None = None
        self._flying: Round | None = None

    def open_round(self) -> Round:
        """The round that takes lines now; it is written as soon as the one before it is stored.

        Raises: Overloaded if too much waits already.
        """
        if self._gathering is None:
            self._gathering = Round(asyncio.get_running_loop().create_future())
            self._wake.set()
        elif self._gathering.lines > PENDING_LINES_MAX:
            raise Overloaded("the stream is slower than the readings that come; send them again")
        return self._gathering

    def unsettled(self) -> list[asyncio.Future[None]]:
        """What a repeat has to wait for, as its first copy may be in one of these rounds."""
        return [found.stored for found in (self._flying, self._gathering) if found is not None]

    async def run(self, stop: asyncio.Event) -> None:
        """Write rounds until stop, and then what is left."""
        try:
            async with rung_by(stop, self._wake):
                while self._gathering is not None or not stop.is_set():
                    await self._wake.wait()
                    self._wake.clear()
                    while self._gathering is not None:
                        await self._write_round(self._gathering)
        finally:
            for left in (self._flying, self._gathering):
                if left is not None:
                    self._forget(key for pack in left.packs.values() for key in pack.keys)
                    left.settle(Overloaded("the hub is stopping; send the readings again"))

    async def _write_round(self, current: Round) -> None:
        self._flying, self._gathering = current, None
        if not current.lines:  # every reading it was opened for was refused
            current.settle(None)
            self._flying = None
            return
        packed = pack_round(current.packs, items_max=self._items_max, bytes_max=self._bytes_max, origin=self._origin)
        failure: BaseException | None = None
        for part, error in zip(packed, await self._bus.publish([p.message for p in packed]), strict=True):
            if error is not None:
                # In the same step as the answer, so that no repeat is taken for stored in between. All requests of
                # the round hear of it; what was stored of theirs is recognised when they come again.
                self._forget(part.keys)
                failure = error
            else:
                self._note(part)
        current.settle(failure)
        self._flying = None
