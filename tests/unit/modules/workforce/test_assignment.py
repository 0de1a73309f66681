"""Whose turn it is to get an incident."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.model.test_work_order import NOW

from matrixhub.model.ids import SeatId, ShiftId, ZoneId
from matrixhub.modules.workforce.assignment import share_out
from matrixhub.store.work_orders import Candidate

A, B = ZoneId("a"), ZoneId("b")


def candidate(
    seat: str, *, on_hand: int = 0, zones: frozenset[ZoneId] = frozenset(), last: datetime | None = None
) -> Candidate:
    return Candidate(
        seat_id=SeatId(seat), shift_id=ShiftId(f"s-{seat}"), zones=zones, on_hand=on_hand, last_assigned_at=last
    )


def chosen(candidates: list[Candidate], zones: list[ZoneId]) -> list[str | None]:
    choices = [[one for one in candidates if one.covers(zone)] for zone in zones]
    return [one.seat_id if one else None for one in share_out(choices, NOW)]


def test_the_fewest_on_hand_come_first_then_who_waited_longest_then_the_id() -> None:
    long_ago = NOW - timedelta(days=1)
    people = [
        candidate("a", on_hand=1),
        candidate("c", last=NOW),
        candidate("b", last=NOW),
        candidate("d", last=long_ago),
    ]
    assert chosen(people, [A] * 5) == ["d", "b", "c", "a", "b"]


def test_nobody_gets_what_is_in_none_of_their_zones() -> None:
    people = [candidate("a", zones=frozenset({A})), candidate("b", zones=frozenset({B}))]
    assert chosen(people, [A, B, A, ZoneId("c")]) == ["a", "b", "a", None]
    assert chosen([], [A]) == [None]


@given(
    on_hand=st.lists(st.integers(0, 5), min_size=1, max_size=6),
    count=st.integers(0, 40),
    cuts=st.lists(st.integers(0, 40), max_size=3),
)
def test_shares_differ_by_one_at_most_once_the_gaps_are_filled_in_one_batch_as_in_several(
    on_hand: list[int], count: int, cuts: list[int]
) -> None:
    people = [candidate(f"{number}", on_hand=has) for number, has in enumerate(on_hand)]
    got = Counter(chosen(people, [A] * count))
    after = [has + got[person.seat_id] for person, has in zip(people, on_hand, strict=True)]
    taking = [has for person, has in zip(people, after, strict=True) if got[person.seat_id]]
    assert sum(got.values()) == count
    assert not taking or max(taking) - min(after) <= 1

    in_parts: Counter[str | None] = Counter()
    bounds = sorted({0, count, *(cut for cut in cuts if cut < count)})
    for begin, end in itertools.pairwise(bounds):
        now = [candidate(person.seat_id, on_hand=person.on_hand + in_parts[person.seat_id]) for person in people]
        in_parts.update(chosen(now, [A] * (end - begin)))
    assert sorted(in_parts.values()) == sorted(got.values())
