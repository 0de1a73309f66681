"""The deduplication window: which readings came lately, exactly, in bounded memory.

Two generations of keys: a full or old one is dropped whole, so there is nothing to expire one by one.
"""

from __future__ import annotations

from collections.abc import Iterable


class Window:
    """Keys of the last readings.

    A key is remembered for at least `window_s`, unless more than `keys_max` came meanwhile, and for at most twice that;
    at most twice `keys_max` are held.
    """

    def __init__(self, *, window_s: float, keys_max: int) -> None:
        self._window_s = window_s
        self._keys_max = keys_max
        self._young: set[int] = set()
        self._old: set[int] = set()
        self._turned_at = float("-inf")

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def turn(self, now_s: float) -> None:
        """Let go of what is too old or too much; call it once per request, with a clock that never steps."""
        if self._turned_at == float("-inf"):
            self._turned_at = now_s
        if now_s - self._turned_at >= self._window_s or len(self._young) >= self._keys_max:
            if now_s - self._turned_at >= 2 * self._window_s:
                self._young = set()
            self._old, self._young = self._young, set()
            self._turned_at = now_s

    def add(self, key: int) -> bool:
        """Remember the key; False if it was there already."""
        if key in self._young or key in self._old:
            return False
        self._young.add(key)
        return True

    def knows(self, key: int) -> bool:
        """Whether the key is there."""
        return key in self._young or key in self._old

    def forget(self, keys: Iterable[int]) -> None:
        """Take keys back whose readings were not stored after all."""
        for key in keys:
            self._young.discard(key)
            self._old.discard(key)
