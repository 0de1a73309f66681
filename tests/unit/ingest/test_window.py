from hypothesis import given
from hypothesis import strategies as st

from matrixhub.ingest.window import Window


def test_a_key_is_new_once() -> None:
    window = Window(window_s=10, keys_max=100)
    window.turn(0)
    assert [window.add(1), window.add(1), window.add(2)] == [True, False, True]
    assert len(window) == 2


def test_a_key_is_remembered_for_the_window_and_forgotten_after_twice_that() -> None:
    window = Window(window_s=10, keys_max=100)
    window.turn(0)
    window.add(1)
    for now in (5, 9.9, 10):
        window.turn(now)
        assert not window.add(1)
    window.turn(20.1)
    assert window.add(1)


def test_after_a_long_pause_everything_is_forgotten_at_once() -> None:
    window = Window(window_s=10, keys_max=100)
    window.turn(0)
    window.add(1)
    window.turn(1000)
    assert len(window) == 0


def test_a_forgotten_key_is_new_again_young_or_old() -> None:
    window = Window(window_s=10, keys_max=100)
    window.turn(0)
    window.add(1)
    window.turn(10)
    window.add(2)
    window.forget([1, 2, 3])
    assert window.add(1)
    assert window.add(2)


def test_a_key_is_remembered_while_fewer_than_the_limit_came_behind_it() -> None:
    window = Window(window_s=10, keys_max=100)
    for key in range(1000):
        window.turn(0)
        assert window.add(key)
        if key >= 99:
            assert not window.add(key - 99)
        assert len(window) <= 200


Steps = st.lists(
    st.tuples(
        st.floats(0, 12, allow_nan=False),
        st.lists(st.integers(0, 30), max_size=8),
        st.sets(st.integers(0, 30), max_size=2),
    ),
    max_size=30,
)


@given(Steps, st.integers(2, 40))
def test_the_window_agrees_with_a_list_of_everything_that_came(
    steps: list[tuple[float, list[int], set[int]]], keys_max: int
) -> None:
    window, now = Window(window_s=10, keys_max=keys_max), 0.0
    came: dict[int, tuple[float, int]] = {}
    number = 0
    for wait, keys, forgotten in steps:
        now += wait
        window.turn(now)
        for key in keys:
            at, before = came.get(key, (float("-inf"), -1))
            new = window.add(key)
            if new:
                came[key] = (now, number)
                number += 1
            if at > float("-inf"):
                must_know = now - at <= 10 and number - before <= keys_max
                must_not_know = now - at > 20 + 12
                assert not (must_know and new)
                assert not (must_not_know and not new)
            else:
                assert new
        assert len(window) <= 2 * (keys_max + 8)
        window.forget(forgotten)
        for key in forgotten:
            came.pop(key, None)
