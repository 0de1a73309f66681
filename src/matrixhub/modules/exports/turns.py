"""How many exports run at a time: each holds some megabytes, and a part of a core."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from matrixhub.model.errors import TooManyExports
from matrixhub.model.ids import PropertyId

EXPORTS_MAX = 16
EXPORTS_OF_PROPERTY_MAX = 4
RETRY_AFTER_S = 5.0


class Turns:
    """Counts the exports of a process, so that no property has all of them."""

    def __init__(self, *, most: int = EXPORTS_MAX, of_property: int = EXPORTS_OF_PROPERTY_MAX) -> None:
        self._most, self._of_property = most, of_property
        self._running: Counter[PropertyId] = Counter()

    @property
    def running(self) -> int:
        """How many run."""
        return self._running.total()

    @contextmanager
    def taken(self, property_id: PropertyId) -> Iterator[None]:
        """A turn, for as long as the block runs. Raises: TooManyExports if there is none."""
        if self._running[property_id] >= self._of_property or self.running >= self._most:
            raise TooManyExports(
                f"{self._running[property_id]} exports of the property and {self.running} in all are under way; "
                f"{self._of_property} and {self._most} may be",
                retry_after_s=RETRY_AFTER_S,
            )
        self._running[property_id] += 1
        try:
            yield
        finally:
            self._running[property_id] -= 1
            if not self._running[property_id]:
                del self._running[property_id]
