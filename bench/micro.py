"""The hub's hot functions alone, in this process: how much of a core each takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from bench.readings import DEVICES, Normaliser, Source
from bench.rows import Row, measured
from matrixhub.deliveries.plan import cut_batch, open_message
from matrixhub.ingest.window import Window
from matrixhub.model.policy import BatchLimits
from matrixhub.model.subscription import Position
from matrixhub.ports import Message

PER_REQUEST = 500
WINDOW_KEYS = 1_000_000


def micro(seconds: float) -> Sequence[Row]:
    """Each measured for so many seconds."""
    source = Source()
    return [_normalise(source, seconds), _bodies(source, seconds), _window(seconds)]


def _normalise(source: Source, seconds: float) -> Row:
    normaliser = Normaliser(source.site)
    body = source.bodies(range(DEVICES), PER_REQUEST, PER_REQUEST)[0]
    rate = PER_REQUEST * _per_second(lambda: normaliser.lines(body), seconds)
    return measured("micro_normalise", rate, "readings/s", f"parse and normalise a body of {PER_REQUEST}")


def _bodies(source: Source, seconds: float) -> Row:
    body = source.bodies(range(DEVICES), PER_REQUEST, PER_REQUEST)[0]
    data = b"\n".join(Normaliser(source.site).lines(body))
    message, start = Message(1, "", data, PER_REQUEST), Position(seq=1)
    limits = BatchLimits(items=PER_REQUEST, size_bytes=1 << 30)
    rate = PER_REQUEST * _per_second(
        lambda: cut_batch([open_message(message, start, frozenset())], start, limits), seconds
    )
    return measured("micro_push_body", rate, "readings/s", f"a stored message of {PER_REQUEST} to the body of a push")


def _window(seconds: float) -> Row:
    window = Window(window_s=120, keys_max=WINDOW_KEYS)
    instant = 1_795_155_567_000

    def add_some() -> None:
        nonlocal instant
        instant += 1
        window.turn(0.0)
        for number in range(PER_REQUEST):
            window.add(number << 48 | instant)

    rate = PER_REQUEST * _per_second(add_some, seconds)
    return measured("micro_window", rate, "readings/s", f"look-up and insertion, at most {WINDOW_KEYS:,} remembered")


def _per_second(work: Callable[[], object], seconds: float) -> float:
    """How often the work is done in a second."""
    times, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        work()
        times += 1
    return times / elapsed
