import pytest

from matrixhub.sources.pacing import due_at, parse_speed, shift_ms


def test_at_real_speed_a_reading_is_due_as_long_after_the_first_as_it_was_recorded() -> None:
    assert due_at(1_000, 61_000, 5.0, 1.0) == 65.0


def test_faster_and_slower_speeds_divide_the_waits() -> None:
    assert due_at(0, 60_000, 0.0, 120.0) == 0.5
    assert due_at(0, 1_000, 0.0, 0.5) == 2.0


def test_as_fast_as_possible_everything_is_due_at_once() -> None:
    assert due_at(0, 10**12, 3.0, None) == 3.0


def test_a_reading_older_than_the_first_is_due_at_once() -> None:
    assert due_at(5_000, 1_000, 3.0, 1.0) == 3.0


def test_a_speed_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above zero"):
        due_at(0, 1, 0.0, 0.0)


@pytest.mark.parametrize("factor", [1.0, 60.0, 0.5, None])
def test_shifted_readings_are_never_in_the_future_when_they_are_sent(factor: float | None) -> None:
    first_ms, last_ms, now_ms = 1_000_000, 1_600_000, 9_000_000
    shift = shift_ms(first_ms, last_ms, now_ms, factor)
    for instant_ms in (first_ms, 1_300_000, last_ms):
        sent_ms = due_at(first_ms, instant_ms, now_ms / 1000, factor) * 1000
        if factor is None or factor >= 1:
            assert instant_ms + shift <= sent_ms
    last_sent_ms = due_at(first_ms, last_ms, now_ms / 1000, factor) * 1000
    assert last_ms + shift == pytest.approx(last_sent_ms)


@pytest.mark.parametrize("text,factor", [("real", 1.0), ("MAX", None), ("60", 60.0), (" 1.5x ", 1.5)])
def test_speeds_are_read_as_a_person_writes_them(text: str, factor: float | None) -> None:
    assert parse_speed(text) == factor


@pytest.mark.parametrize("text", ["", "fast", "0", "-3", "nan", "inf"])
def test_anything_else_is_no_speed(text: str) -> None:
    with pytest.raises(ValueError, match="a speed is"):
        parse_speed(text)
