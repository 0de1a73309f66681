"""What a push holds: cutting, identity, retry delays."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matrixhub.deliveries.formats import contract_array
from matrixhub.deliveries.plan import Batch, Piece, cut_batch, open_message, request_id, retry_delay_s
from matrixhub.model.ids import SubscriptionId, ZoneId
from matrixhub.model.policy import BatchLimits
from matrixhub.model.subscription import Position
from matrixhub.ports import Message

START = Position(seq=1)
SUB = SubscriptionId("sub_1")


def message(seq: int, *lines: str, origin: str = "ing_1") -> Message:
    return Message(seq, "sensors.p.b.T", "\n".join(lines).encode(), len(lines), origin)


def pieces(*messages: Message, start: Position = START, zones: frozenset[ZoneId] = frozenset()) -> list[Piece]:
    return [open_message(m, start, zones) for m in messages]


def items_of(batch: Batch) -> list[str]:
    return msgspec.json.decode(contract_array(batch.strings), type=list[str])


def test_the_body_is_an_array_of_strings_each_the_json_of_a_reading() -> None:
    line = '{"t":"20240310080509","Display":"Café \\"L2\\" 東"}'
    batch = cut_batch(pieces(message(1, line)), START, BatchLimits())
    assert (
        contract_array(batch.strings).decode()
        == '["{\\"t\\":\\"20240310080509\\",\\"Display\\":\\"Café \\\\\\"L2\\\\\\" 東\\"}"]'
    )
    assert items_of(batch) == [line]


def test_a_batch_ends_at_the_item_limit_in_the_middle_of_a_message() -> None:
    batch = cut_batch(pieces(message(1, "a", "b", "c")), START, BatchLimits(items=2))
    assert (items_of(batch), batch.end) == (["a", "b"], Position(seq=1, item=2))


def test_a_batch_that_takes_whole_messages_ends_behind_the_last() -> None:
    batch = cut_batch(pieces(message(1, "a"), message(7, "b", "c")), START, BatchLimits())
    assert (items_of(batch), batch.end) == (["a", "b", "c"], Position(seq=8))


def test_a_batch_ends_before_the_item_that_would_make_the_body_too_large() -> None:
    lines = ["x" * 500, "y" * 500, "z" * 500]
    batch = cut_batch(pieces(message(1, *lines)), START, BatchLimits(size_bytes=1024))
    assert len(contract_array(batch.strings)) <= 1024
    assert items_of(batch) == lines[:2]


def test_one_item_larger_than_the_limit_is_sent_alone() -> None:
    batch = cut_batch(pieces(message(1, "x" * 5000, "y")), START, BatchLimits(size_bytes=1024))
    assert (batch.items, batch.end) == (1, Position(seq=1, item=1))


def test_lines_before_the_position_are_not_sent_again() -> None:
    start = Position(seq=3, item=2)
    batch = cut_batch(pieces(message(3, "a", "b", "c"), start=start), start, BatchLimits())
    assert (items_of(batch), batch.end) == (["c"], Position(seq=4))


def test_a_position_in_a_message_that_is_gone_does_not_cut_the_next_one() -> None:
    start = Position(seq=3, item=2)
    batch = cut_batch(pieces(message(5, "a", "b"), start=start), start, BatchLimits())
    assert items_of(batch) == ["a", "b"]


def test_only_readings_of_wanted_zones_are_sent() -> None:
    lines = ['{"InsID":"z1","n":1}', '{"InsID":"z2","n":2}', '{"InsID":"z1","n":3}']
    batch = cut_batch(pieces(message(1, *lines), zones=frozenset({ZoneId("z1")})), START, BatchLimits(items=1))
    assert (items_of(batch), batch.end) == ([lines[0]], Position(seq=1, item=2))
    rest = pieces(message(1, *lines), start=batch.end, zones=frozenset({ZoneId("z1")}))
    assert items_of(cut_batch(rest, batch.end, BatchLimits())) == [lines[2]]


def test_messages_without_a_wanted_zone_are_passed_over() -> None:
    batch = cut_batch(pieces(message(1, '{"InsID":"z2"}'), zones=frozenset({ZoneId("z1")})), START, BatchLimits())
    assert (batch.items, batch.end) == (0, Position(seq=2))


def test_a_planned_batch_is_cut_again_exactly_whatever_came_since() -> None:
    first = cut_batch(pieces(message(1, "a", "b"), message(2, "c")), START, BatchLimits(items=3))
    more = pieces(message(1, "a", "b"), message(2, "c"), message(3, "d"))
    again = cut_batch(more, START, BatchLimits(items=1), first.end)
    assert (contract_array(again.strings), again.end) == (contract_array(first.strings), first.end)
    assert request_id(SUB, again) == request_id(SUB, first)


def test_a_request_id_depends_on_the_subscription_and_on_both_ends() -> None:
    def batch(start: Position, end: Position) -> Batch:
        return Batch([b""], [], start, end)

    known = {
        request_id(SUB, batch(START, Position(seq=2))),
        request_id(SUB, batch(START, Position(seq=3))),
        request_id(SUB, batch(START, Position(seq=2, item=1))),
        request_id(SUB, batch(Position(seq=1, item=1), Position(seq=2))),
        request_id(SubscriptionId("sub_2"), batch(START, Position(seq=2))),
    }
    assert len(known) == 5


def test_data_that_is_no_text_is_refused() -> None:
    with pytest.raises(UnicodeDecodeError):
        open_message(Message(1, "s", b"\xff", 1), START, frozenset())


def test_the_first_retry_is_attempt_1() -> None:
    with pytest.raises(ValueError, match="first retry"):
        retry_delay_s(0, [1.0], spread=0)


@settings(derandomize=True, max_examples=200)
@given(
    sizes=st.lists(st.lists(st.integers(0, 400), min_size=1, max_size=12), min_size=1, max_size=8),
    items=st.integers(1, 20),
    size_bytes=st.integers(1024, 3000),
)
def test_cutting_to_the_end_gives_every_reading_once_in_order_within_the_limits(
    sizes: list[list[int]], items: int, size_bytes: int
) -> None:
    messages = [
        message(seq, *(f"{seq}.{n}." + '"' * size for n, size in enumerate(lengths)))
        for seq, lengths in enumerate(sizes, 1)
    ]
    limits = BatchLimits(items=items, size_bytes=size_bytes)
    position, batches = START, []
    while position.seq <= len(messages):
        left = [m for m in messages if m.seq >= position.seq]
        batch = cut_batch(pieces(*left, start=position), position, limits)
        assert 1 <= batch.items <= items
        assert len(contract_array(batch.strings)) <= size_bytes or batch.items == 1
        again = cut_batch(pieces(*left, start=position), position, limits, batch.end)
        assert (contract_array(again.strings), again.end) == (contract_array(batch.strings), batch.end)
        batches.append(batch)
        position = batch.end
    assert [i for b in batches for i in items_of(b)] == [line for m in messages for line in m.data.decode().split("\n")]
    assert all(a.end == b.start for a, b in pairwise(batches))


@settings(derandomize=True, max_examples=200)
@given(st.dictionaries(st.text(), st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)))
def test_lines_of_ingest_are_escaped_as_any_encoder_would(values: dict[str, str | int | float]) -> None:
    line = msgspec.json.encode(values).decode()
    ours = cut_batch(pieces(message(1, line, line)), START, BatchLimits())
    theirs = cut_batch(pieces(message(1, line, line, origin="")), START, BatchLimits())
    assert items_of(ours) == [line, line] == items_of(theirs)


def test_lines_of_others_are_escaped_whatever_they_hold() -> None:
    assert items_of(cut_batch(pieces(message(1, "a\tb\x01", origin="")), START, BatchLimits())) == ["a\tb\x01"]
