"""A stretch in several pushes: by device, or only the newest of each."""

from __future__ import annotations

from collections import defaultdict

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.deliveries.test_plan import START, items_of, message, pieces

from matrixhub.deliveries.formats import contract_array
from matrixhub.deliveries.lanes import Newest, by_device, device_of
from matrixhub.deliveries.plan import Batch, cut_batch, request_id, split
from matrixhub.model.ids import SubscriptionId
from matrixhub.model.policy import BatchLimits
from matrixhub.model.subscription import Position
from matrixhub.ports import Message

ALL = BatchLimits(items=10_000, size_bytes=10**7)
DEVICES = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=6), min_size=1, max_size=10)
LIMITS = st.builds(BatchLimits, items=st.integers(1, 7), size_bytes=st.sampled_from([1024, 10**6]))


def messages_of(devices: list[list[int]]) -> list[Message]:
    return [
        message(seq, *(f'{{"DEVID":"d{device}","DevType":"T","n":[{seq},{n}]}}' for n, device in enumerate(found)))
        for seq, found in enumerate(devices, 1)
    ]


def stretch_of(devices: list[list[int]]) -> Batch:
    return cut_batch(pieces(*messages_of(devices)), START, ALL)


def device(line: str) -> str:
    return str(msgspec.json.decode(line)["DEVID"])


def test_a_device_is_read_from_an_escaped_line() -> None:
    (string,) = stretch_of([[3]]).strings
    assert device_of(string) == ("d3", "T")
    assert device_of(b"nothing") == ("", "")


@given(DEVICES, LIMITS, st.integers(1, 5))
def test_lanes_hold_every_reading_once_each_device_in_one_lane_in_order(
    devices: list[list[int]], limits: BatchLimits, lanes: int
) -> None:
    stretch = stretch_of(devices)
    found = by_device(stretch, lanes, limits)
    assert len(found) == lanes
    assert sorted(line for parts in found for part in parts for line in items_of(part)) == sorted(items_of(stretch))
    lane_of: dict[str, int] = {}
    for lane, parts in enumerate(found):
        for part in parts:
            assert 1 <= part.items <= limits.items
            assert len(contract_array(part.strings)) <= limits.size_bytes or part.items == 1
            assert (part.start, part.end) == (stretch.start, stretch.end)
            assert part.items == len(part.places())
            for line in items_of(part):
                assert lane_of.setdefault(device(line), lane) == lane
    for lane, parts in enumerate(found):
        wanted = [line for line in items_of(stretch) if lane_of[device(line)] == lane]
        assert [line for part in parts for line in items_of(part)] == wanted
    assert by_device(stretch, lanes, limits) == found


@given(DEVICES, LIMITS, LIMITS, st.integers(1, 5), st.integers(1, 5))
def test_one_request_id_stands_for_one_body_whatever_the_lanes_and_limits(
    devices: list[list[int]], one: BatchLimits, two: BatchLimits, lanes_one: int, lanes_two: int
) -> None:
    stretch = stretch_of(devices)
    bodies: dict[str, bytes] = {}
    found = by_device(stretch, lanes_one, one) + by_device(stretch, lanes_two, two)
    parts = [part for lane in found for part in lane]
    parts += [half for part in parts if part.items > 1 for half in split(part)]
    for part in parts:
        body = contract_array(part.strings)
        assert bodies.setdefault(request_id(SubscriptionId("sub_1"), part), body) == body


@given(DEVICES, LIMITS, st.lists(st.integers(1, 5)))
def test_the_newest_of_each_device_are_kept_newest_first_and_the_others_counted(
    devices: list[list[int]], limits: BatchLimits, cuts: list[int]
) -> None:
    whole = stretch_of(devices)
    newest = Newest(START, limits)
    rest: Batch = whole
    for cut in cuts:  # however it grows, it is the same
        if rest.items <= cut:
            break
        middle = rest.places()[cut]
        left = [m for m in messages_of(devices) if m.seq >= rest.start.seq]
        newest.add(cut_batch(pieces(*left, start=rest.start), rest.start, ALL, middle))
        rest = cut_batch(pieces(*[m for m in left if m.seq >= middle.seq], start=middle), middle, ALL)
    newest.add(rest)
    wanted: dict[str, str] = {}
    for line in items_of(whole):
        wanted.pop(device(line), None)
        wanted[device(line)] = line
    assert items_of(newest.stretch()) == list(reversed(wanted.values()))
    assert newest.skipped == whole.items - len(wanted)
    assert [line for part in newest.parts() for line in items_of(part)] == list(reversed(wanted.values()))
    assert newest.end == whole.end == Position(seq=len(devices) + 1)
    assert all(part.items <= limits.items for part in newest.parts())
    found: defaultdict[str, int] = defaultdict(int)
    for part in newest.parts():
        found[part.part] += 1
    assert set(found.values()) == {1}
