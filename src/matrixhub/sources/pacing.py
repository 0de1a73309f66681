"""When a recorded or simulated reading is due: at real speed, faster or slower, or at once."""

from __future__ import annotations

import math


def due_at(first_ms: int, this_ms: int, started: float, factor: float | None) -> float:
    """The moment at which a reading is to be sent.

    Shape:  first_ms is the instant of the first reading, this_ms that of the one in question; factor 1.0 is real
            speed, 60.0 plays an hour in a minute, None is as fast as possible.
    Units:  instants in epoch milliseconds; started and the answer in seconds of the same monotonic clock.
    Raises: ValueError if the factor is not above zero.

    >>> due_at(0, 120_000, 10.0, 60.0), due_at(0, 120_000, 10.0, None)
    (12.0, 10.0)
    """
    if factor is None:
        return started
    if not factor > 0:
        raise ValueError(f"a speed is above zero, not {factor:g}")
    return started + max(0, this_ms - first_ms) / 1000 / factor


def shift_ms(first_ms: int, last_ms: int, now_ms: int, factor: float | None) -> int:
    """How far to move recorded instants so that the last one is `now` when it is sent.

    At real speed every reading then carries the time of its sending; at a higher one none is in the future.

    >>> shift_ms(1_000, 5_000, 100_000, 1.0), shift_ms(1_000, 5_000, 100_000, None)
    (99000, 95000)
    """
    playing_ms = 0 if factor is None else round((last_ms - first_ms) / factor)
    return now_ms + playing_ms - last_ms


def parse_speed(text: str) -> float | None:
    """The factor a person wrote: `real`, `max`, or a number such as `60` or `60x`; None for `max`.

    Raises: ValueError if it is none of these.

    >>> parse_speed("real"), parse_speed("60x"), parse_speed("max")
    (1.0, 60.0, None)
    """
    word = text.strip().lower()
    if word == "real":
        return 1.0
    if word == "max":
        return None
    try:
        factor = float(word.removesuffix("x"))
    except ValueError:
        factor = math.nan
    if not (0 < factor < math.inf):
        raise ValueError(f"a speed is `real`, `max` or a number above zero such as 60, not {text!r}")
    return factor
