"""What a process may hold of the stream."""

from __future__ import annotations

from matrixhub.deliveries.memory import READ_BYTES_MIN, Memory


def test_there_is_room_up_to_the_limit_and_not_beyond() -> None:
    memory = Memory(100)
    memory.take(60)
    assert memory.has_room(40)
    assert not memory.has_room(41)
    memory.take(-60)
    assert (memory.held, memory.has_room(100)) == (0, True)


def test_less_is_read_at_a_time_while_there_is_little_room_but_always_enough_to_go_on() -> None:
    memory = Memory(1_000_000)
    assert memory.read_bytes(500_000) == 500_000
    memory.take(800_000)
    assert memory.read_bytes(500_000) == 200_000
    memory.take(10_000_000)
    assert memory.read_bytes(500_000) == READ_BYTES_MIN
    assert memory.read_bytes(10) == 10
