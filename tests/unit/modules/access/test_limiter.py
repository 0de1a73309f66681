"""Rate limits: buckets of tokens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from matrixhub.model.access import Rate
from matrixhub.modules.access import Limiter


class Ticks:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def __call__(self) -> float:
        return self.at_s


def test_as_many_as_the_burst_are_taken_at_once_and_then_as_many_as_come_back() -> None:
    ticks = Ticks()
    limiter = Limiter(Rate(per_s=2.0, burst=3), now_s=ticks)
    assert [limiter.take("a").left for _ in range(3)] == [2, 1, 0]
    refused = limiter.take("a")
    assert (refused.wait_s, refused.left, refused.limit, refused.reset_s) == (0.5, 0, 3, 2)
    ticks.at_s = 0.5
    assert limiter.take("a").wait_s == 0.0
    assert limiter.take("a").wait_s > 0.0


def test_who_is_refused_is_not_put_back_further() -> None:
    ticks = Ticks()
    limiter = Limiter(Rate(per_s=1.0, burst=1), now_s=ticks)
    waits = [limiter.take("a").wait_s for _ in range(5)]
    assert waits == [0.0, 1.0, 1.0, 1.0, 1.0]


def test_one_does_not_use_up_what_is_anothers() -> None:
    limiter = Limiter(Rate(per_s=1.0, burst=1), now_s=Ticks())
    assert limiter.take("a").wait_s == limiter.take("b").wait_s == 0.0
    assert limiter.take("a").wait_s > 0.0


def test_a_rate_of_ones_own_counts_instead_of_that_of_the_settings() -> None:
    limiter = Limiter(Rate(per_s=1.0, burst=1), now_s=Ticks())
    assert [limiter.take("a", Rate(per_s=5.0, burst=2)).wait_s for _ in range(3)] == [0.0, 0.0, 0.2]


def test_memory_is_bounded_and_whoever_asked_last_is_remembered() -> None:
    limiter = Limiter(Rate(per_s=1.0, burst=1), entries_max=10, now_s=Ticks())
    for number in range(1_000):
        limiter.take(str(number))
        limiter.take("a")
    assert len(limiter._buckets) == 10
    assert limiter.take("a").wait_s > 0.0


@given(
    st.lists(st.floats(0, 10), max_size=60),
    st.floats(0.1, 100),
    st.integers(1, 20),
)
def test_never_more_are_taken_than_the_burst_and_what_came_back(passes: list[float], per_s: float, burst: int) -> None:
    ticks, taken = Ticks(), 0
    limiter = Limiter(Rate(per_s=per_s, burst=burst), now_s=ticks)
    for passed_s in passes:
        ticks.at_s += passed_s
        standing = limiter.take("a")
        taken += standing.wait_s == 0.0
        assert 0 <= standing.left <= burst
        assert standing.reset_s >= 0
    assert taken <= burst + ticks.at_s * per_s + 1e-6
