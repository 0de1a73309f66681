"""The books of a receiver."""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrixhub.testing.ledger import LatencyHistogram, Ledger, NotAReading

START_MS = 1_710_029_109_417


def reading(offset_ms: int, devid: str = "a", devtype: str = "SMARTCLEAN#UM") -> str:
    """The JSON text of a reading so long after the start."""
    return json.dumps(
        {"t": "20240310080509", "DevType": devtype, "unixT": START_MS + offset_ms, "DEVID": devid, "v": {}}
    )


def record(ledger: Ledger, request_id: str, offsets_ms: Sequence[int]) -> None:
    ledger.record(request_id, [reading(offset) for offset in offsets_ms], START_MS + 1_000_000)


def test_readings_in_order_are_distinct_and_no_problem() -> None:
    ledger = Ledger()
    record(ledger, "r1", [1, 2, 3])
    record(ledger, "r2", [4])
    totals = ledger.summary()
    assert (totals.requests, totals.items, totals.distinct, totals.duplicates) == (2, 4, 4, 0)
    assert (totals.out_of_order, totals.devices) == (0, 1)
    assert ledger.problems() == []


def test_a_repeated_request_with_its_id_is_a_correct_duplicate() -> None:
    ledger = Ledger()
    record(ledger, "r1", [1, 2, 3])
    record(ledger, "r1", [1, 2, 3])
    totals = ledger.summary()
    assert (totals.requests_repeated, totals.duplicates_with_same_request_id) == (1, 3)
    assert (totals.duplicates_in_new_request, totals.out_of_order) == (0, 0)
    assert ledger.problems() == []


def test_a_duplicate_under_a_new_id_is_a_problem() -> None:
    ledger = Ledger()
    record(ledger, "r1", [1, 2, 3])
    record(ledger, "r2", [3, 4])
    totals = ledger.summary()
    assert (totals.distinct, totals.duplicates_in_new_request, totals.duplicates_with_same_request_id) == (4, 1, 0)
    assert ledger.problems() == ["1 readings came again under another X-Request-Id"]


def test_an_id_used_again_for_other_content_is_a_problem() -> None:
    ledger = Ledger()
    record(ledger, "r1", [1, 2])
    record(ledger, "r1", [3, 4])
    assert ledger.summary().request_ids_reused == 1
    assert ledger.summary().requests_repeated == 0
    assert ledger.problems() == ["1 requests came under the X-Request-Id of other content"]


def test_a_reading_twice_in_one_request_is_a_duplicate_in_a_new_request() -> None:
    ledger = Ledger()
    record(ledger, "r1", [1, 1])
    assert ledger.summary().duplicates_in_new_request == 1


def test_an_earlier_reading_of_the_same_device_is_out_of_order_once() -> None:
    ledger = Ledger()
    record(ledger, "r1", [10, 30])
    record(ledger, "r2", [20])
    record(ledger, "r3", [20])
    totals = ledger.summary()
    assert (totals.out_of_order, totals.duplicates, totals.distinct) == (1, 1, 3)
    assert "1 readings came after a later one of the same device" in ledger.problems()


def test_order_is_kept_per_device_and_type() -> None:
    ledger = Ledger()
    items = [reading(30, "a"), reading(10, "b"), reading(20, "a", "SMARTCLEAN#TH")]
    ledger.record("r1", items, START_MS)
    totals = ledger.summary()
    assert (totals.devices, totals.out_of_order, totals.distinct) == (3, 0, 3)


@pytest.mark.parametrize(
    "item", ["", "{}", "[]", '{"DEVID":"a","DevType":"T"}', '{"DEVID":"a","DevType":"T","unixT":1e99}', '{"DEVID":1}']
)
def test_an_item_that_is_no_reading_leaves_the_ledger_as_it_was(item: str) -> None:
    ledger = Ledger()
    with pytest.raises(NotAReading, match="item 1 is not a reading") as caught:
        ledger.record("r1", [reading(1), item], START_MS)
    assert caught.value.index == 1
    assert ledger.summary() == Ledger().summary()
    assert not ledger.last_payloads


def test_the_last_five_payloads_are_kept() -> None:
    ledger = Ledger()
    record(ledger, "r1", range(4))
    record(ledger, "r2", range(4, 7))
    assert list(ledger.last_payloads) == [reading(offset) for offset in range(2, 7)]


def test_memory_is_bounded_and_the_newest_instants_stay_exact() -> None:
    ledger = Ledger(instants_max=1_000, request_ids_max=10)
    for start in range(0, 20_000, 100):
        record(ledger, f"r{start}", range(start, start + 100))
    device = next(iter(ledger._devices.values()))
    assert len(device.instants) <= 1_250
    assert sys.getsizeof(device.instants) < 20_000
    assert len(ledger._contents) == 10
    record(ledger, "again", range(19_500, 20_000))
    assert ledger.summary().duplicates == 500
    assert ledger.summary().undecided == 0


def test_a_reading_older_than_everything_remembered_is_undecided() -> None:
    ledger = Ledger(instants_max=100)
    for start in range(0, 1_000, 100):
        record(ledger, f"r{start}", range(start, start + 100))
    record(ledger, "late", [0])
    totals = ledger.summary()
    assert (totals.undecided, totals.out_of_order, totals.duplicates) == (1, 1, 0)
    assert any("may be repeats" in problem for problem in ledger.problems())


def test_memory_is_shared_by_the_devices() -> None:
    ledger = Ledger(instants_max=1_000)
    for offset in range(500):
        ledger.record(f"r{offset}", [reading(offset, f"d{n}") for n in range(10)], START_MS)
    assert sum(len(device.instants) for device in ledger._devices.values()) <= 1_250
    assert ledger.summary().distinct == 5_000


def test_without_a_bound_nothing_is_forgotten() -> None:
    ledger = Ledger(instants_max=None, request_ids_max=None)
    for start in range(0, 1_000, 100):
        record(ledger, f"r{start}", range(start, start + 100))
    record(ledger, "again", range(1_000))
    assert ledger.summary().duplicates == 1_000


def test_latency_is_from_the_instant_of_a_reading_to_its_first_arrival() -> None:
    ledger = Ledger()
    ledger.record("r1", [reading(0)], START_MS + 40.0)
    ledger.record("r1", [reading(0)], START_MS + 90_000.0)
    totals = ledger.summary()
    assert totals.p50_ms == pytest.approx(40.0, rel=0.01)
    assert totals.p99_ms == pytest.approx(40.0, rel=0.01)


def test_an_empty_ledger_has_no_percentiles() -> None:
    assert Ledger().summary().p50_ms is None


@given(
    offsets=st.lists(st.integers(0, 50), min_size=1, max_size=200),
    cut=st.integers(1, 20),
    seed=st.randoms(use_true_random=False),
)
def test_every_permutation_counts_the_same_distinct_readings(offsets: list[int], cut: int, seed: random.Random) -> None:
    seed.shuffle(offsets)
    ledger = Ledger(instants_max=None)
    for start in range(0, len(offsets), cut):
        record(ledger, f"r{start}", offsets[start : start + cut])
    totals = ledger.summary()
    assert totals.items == len(offsets)
    assert totals.distinct + totals.duplicates == totals.items
    assert totals.distinct == len(set(offsets))
    first_seen = list(dict.fromkeys(offsets))
    highest = [max(first_seen[: n + 1]) for n in range(len(first_seen))]
    assert totals.out_of_order == sum(now < before for before, now in zip(highest, first_seen[1:], strict=False))
    assert (totals.out_of_order == 0) == all(a < b for a, b in pairwise(first_seen))


@given(st.lists(st.floats(0.05, 1e12), min_size=1, max_size=500), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_percentiles_are_within_one_percent_of_the_exact_ones(latencies_ms: list[float], fraction: float) -> None:
    histogram = LatencyHistogram()
    for latency_ms in latencies_ms:
        histogram.add(latency_ms)
    exact = sorted(latencies_ms)[max(1, math.ceil(len(latencies_ms) * fraction)) - 1]
    assert histogram.percentile_ms(fraction) == pytest.approx(exact, rel=0.011)


def test_a_negative_or_absurd_latency_is_counted_at_the_ends() -> None:
    histogram = LatencyHistogram()
    histogram.add(-5_000.0)
    assert histogram.percentile_ms(0.5) == pytest.approx(0.05)
    histogram.add(1e30)
    assert (histogram.percentile_ms(1.0) or 0) > 1e13
