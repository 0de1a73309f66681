"""How much of the stream a process holds in memory for all its subscriptions together."""

from __future__ import annotations

import asyncio

READS_MAX = 8
"""So many subscriptions read from the stream at one time; more would only fill the connection that all share."""

READ_BYTES_MIN = 65_536
"""Even without room a subscription may read this much at a time, or it would never go on."""


class Memory:
    """Bytes of readings held, against a limit. Source: `deliveries.memory_bytes_max`"""

    __slots__ = ("_limit", "held", "turns")

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self.held = 0
        self.turns = asyncio.Semaphore(READS_MAX)

    def take(self, size_bytes: int) -> None:
        """Hold this much more; negative, give it back."""
        self.held += size_bytes

    def has_room(self, size_bytes: int) -> bool:
        """Whether so much more may be held."""
        return self.held + size_bytes <= self._limit

    def read_bytes(self, wanted: int) -> int:
        """How much to read at a time: what is wanted, or less while there is little room.

        >>> memory = Memory(1_000_000)
        >>> memory.take(950_000)
        >>> memory.read_bytes(500_000), memory.read_bytes(1_000)
        (65536, 1000)
        """
        room = max(READ_BYTES_MIN, self._limit - self.held)
        return min(wanted, room)
