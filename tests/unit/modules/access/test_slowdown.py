"""Who guesses is slowed down, and others are not."""

from __future__ import annotations

import pytest
from tests.unit.modules.access.test_limiter import Ticks

from matrixhub.model.errors import TooManyWrong
from matrixhub.modules.access import Slowdown
from matrixhub.modules.access import slowdown as module
from matrixhub.observe import CredentialsSlowed, Fact

HERE, THERE = "192.0.2.1", "192.0.2.2"


class Door:
    """A slowdown, its clock and what it has told."""

    def __init__(self, wrong_max: int = 3) -> None:
        self.ticks, self.facts = Ticks(), list[Fact]()
        self.slowdown = Slowdown(self.facts.append, wrong_max=wrong_max, now_s=self.ticks)

    def guess(self, address: str, key: str, times: int = 1) -> int:
        """How many guesses at a key were looked at."""
        looked = 0
        for _ in range(times):
            if self.wait_s(address, key):
                continue
            self.slowdown.wrong(address, key, "basic")
            looked += 1
        return looked

    def wait_s(self, address: str, key: str) -> float:
        """How long nothing is looked at, 0 where it is."""
        try:
            self.slowdown.check(address, key)
        except TooManyWrong as error:
            return error.retry_after_s
        return 0.0

    def slowed(self) -> list[tuple[str, str]]:
        return [(fact.address, fact.key) for fact in self.facts if isinstance(fact, CredentialsSlowed)]


def test_after_so_many_wrong_ones_none_is_looked_at_and_the_wait_grows() -> None:
    door, waits = Door(), []
    assert door.guess(HERE, "k", 20) == 3
    for _ in range(8):
        waits.append(door.wait_s(HERE, "k"))
        door.ticks.at_s += waits[-1]
        assert door.guess(HERE, "k") == 1
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert door.slowed() == [(HERE, "k")]


def test_another_key_behind_the_same_address_and_the_same_key_elsewhere_are_looked_at() -> None:
    door = Door()
    door.guess(HERE, "k", 20)
    assert door.wait_s(HERE, "k") > 0
    assert door.wait_s(HERE, "other") == door.wait_s(THERE, "k") == 0


def test_an_address_that_tries_many_keys_is_slowed_but_for_keys_that_were_proven_there() -> None:
    door = Door()
    door.slowdown.right(HERE, "known")
    assert sum(door.guess(HERE, f"k{number}") for number in range(100)) == 30
    assert door.wait_s(HERE, "unknown") > 0
    assert door.wait_s(HERE, "known") == door.wait_s(THERE, "unknown") == 0


def test_a_key_that_is_tried_from_many_addresses_is_slowed_but_where_it_was_proven() -> None:
    door = Door()
    door.slowdown.right(HERE, "k")
    assert sum(door.guess(f"198.51.100.{number}", "k", 3) for number in range(250)) == 300
    assert door.wait_s("203.0.113.1", "k") > 0
    assert door.wait_s(HERE, "k") == door.wait_s("203.0.113.1", "other") == 0


def test_who_goes_on_with_what_is_wrong_does_not_use_up_what_his_neighbours_may() -> None:
    door = Door()
    door.guess(HERE, "k", 1_000)
    assert door.wait_s(HERE, "unknown") == 0


def test_the_right_one_makes_up_for_the_wrong_ones_before() -> None:
    door = Door()
    for _ in range(10):
        assert door.guess(HERE, "k", 2) == 2
        door.slowdown.right(HERE, "k")


def test_without_a_wrong_one_for_a_while_all_is_forgotten() -> None:
    door = Door()
    door.guess(HERE, "k", 3)
    door.ticks.at_s += 1 + module.WINDOW_S + 1
    assert door.guess(HERE, "k", 3) == 3


def test_all_addresses_of_a_network_in_ipv6_are_one() -> None:
    door = Door()
    for number in range(3):
        door.guess(f"2001:db8::{number}", "k")
    assert door.wait_s("2001:db8::ffff", "k") > 0
    assert door.wait_s("2001:db8:0:1::1", "k") == 0


def test_memory_is_bounded_under_a_flood_of_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENTRIES_MAX", 50)
    door = Door()
    for number in range(2_000):
        door.guess(f"10.0.{number // 250}.{number % 250}", f"k{number}")
        door.slowdown.right(f"10.1.{number // 250}.{number % 250}", f"k{number}")
    counts = (door.slowdown._pairs, door.slowdown._addresses, door.slowdown._keys)
    assert [len(one._counts) for one in counts] == [50, 50, 50]
    assert len(door.slowdown._proven) == 50
