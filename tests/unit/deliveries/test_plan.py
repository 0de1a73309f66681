"""What a push holds: cutting, identity, retry delays."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matrixhub.deliveries.formats import contract_array
from matrixhub.deliveries.plan import (
    Batch,
    Condemned,
    Piece,
    Span,
    content_of,
    cut_batch,
    next_wait_s,
    open_message,
    request_id,
    retry_delay_s,
    set_apart,
    split,
    stored_before,
)
from matrixhub.model.destination import Destination
from matrixhub.model.ids import SubscriptionId, ZoneId, stable_uuid
from matrixhub.model.policy import BatchLimits
from matrixhub.model.subscription import Filter, Format, Position
from matrixhub.ports import Message
from matrixhub.testing.samples import sample_subscription

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


SIZES = st.lists(st.lists(st.integers(0, 60), min_size=0, max_size=6), min_size=1, max_size=8)
"""Lengths of the readings of some messages; a message may hold none that is wanted."""


def made_pieces(sizes: list[list[int]]) -> list[Piece]:
    found = []
    for seq, lengths in enumerate(sizes, 1):
        strings = [f"{seq}.{n}.{'x' * length}".encode() for n, length in enumerate(lengths)]
        ends = [sum(len(s) + 3 for s in strings[: n + 1]) for n in range(len(strings))]
        found.append(Piece(seq * 2, range(len(strings)), strings, ends, stored_ms=seq * 100))
    return found


def rest_of(found: list[Piece], start: Position) -> list[Piece]:
    left = []
    for piece in found:
        if piece.seq < start.seq:
            continue
        skip = start.item if piece.seq == start.seq else 0
        strings = piece.strings[skip:]
        ends = [sum(len(s) + 3 for s in strings[: n + 1]) for n in range(len(strings))]
        left.append(Piece(piece.seq, piece.numbers[skip:], strings, ends, piece.stored_ms))
    return left


def whole(sizes: list[list[int]]) -> Batch:
    return cut_batch(made_pieces(sizes), START, BatchLimits(items=10_000, size_bytes=10**7))


@settings(derandomize=True, max_examples=200)
@given(sizes=SIZES, items=st.integers(1, 9), cap_seq=st.integers(1, 20), cap_item=st.integers(0, 3))
def test_cutting_up_to_a_cap_gives_all_before_it_once_ends_there_and_never_stands_still(
    sizes: list[list[int]], items: int, cap_seq: int, cap_item: int
) -> None:
    found, cap = made_pieces(sizes), Position(seq=cap_seq, item=cap_item)
    position, lines = START, list[bytes]()
    for _ in range(100):
        left = rest_of(found, position)
        if position >= cap or not left:
            break
        batch = cut_batch(left, position, BatchLimits(items=items), None, cap)
        assert position < batch.end <= max(cap, position)
        assert batch.items <= items
        lines += batch.strings
        position = batch.end
    wanted = [s for p in found for n, s in zip(p.numbers, p.strings, strict=True) if Position(seq=p.seq, item=n) < cap]
    assert lines == wanted
    assert position == cap or not rest_of(found, position)


@settings(derandomize=True, max_examples=200)
@given(sizes=SIZES, until_seq=st.integers(2, 20), until_item=st.integers(0, 3))
def test_a_push_that_was_planned_ends_exactly_there(sizes: list[list[int]], until_seq: int, until_item: int) -> None:
    found, until = made_pieces(sizes), Position(seq=until_seq, item=until_item)
    batch = cut_batch(found, START, BatchLimits(items=1), until)
    wanted = [
        s for p in found for n, s in zip(p.numbers, p.strings, strict=True) if Position(seq=p.seq, item=n) < until
    ]
    assert list(batch.strings) == wanted
    if found[-1].seq >= until.seq:
        assert batch.end == until


@settings(derandomize=True, max_examples=200)
@given(sizes=SIZES, part=st.sampled_from(["", "0of2.0-9"]))
def test_halves_hold_every_reading_once_in_order_and_are_the_same_every_time(sizes: list[list[int]], part: str) -> None:
    batch = replace(whole(sizes), part=part)
    if batch.items < 2:
        return
    first, second = split(batch)
    assert [*first.strings, *second.strings] == list(batch.strings)
    assert first.places() + second.places() == batch.places()
    assert abs(first.items - second.items) <= 1
    assert (first.start, second.end) == (batch.start, batch.end)
    assert split(batch) == (first, second)
    assert len({request_id(SUB, b) for b in (batch, first, second)}) == 3
    if not part:
        assert first.end == second.start
        again = cut_batch(made_pieces(sizes), START, BatchLimits(items=1), first.end)
        assert (list(again.strings), again.end) == (list(first.strings), first.end)


@settings(derandomize=True, max_examples=200)
@given(sizes=SIZES, bad=st.sets(st.integers(0, 40)), part=st.sampled_from(["", "0of2.0-9"]))
def test_setting_apart_loses_nothing_and_keeps_the_order(sizes: list[list[int]], bad: set[int], part: str) -> None:
    batch = replace(whole(sizes), part=part)
    if not batch.items:
        return
    found = set_apart(batch, {index: f"{index}" for index in bad})
    parts = [p.batch if isinstance(p, Condemned) else p for p in found]
    assert [s for p in parts for s in p.strings] == list(batch.strings)
    assert [place for p in parts for place in p.places()] == batch.places()
    assert [int(p.reason) for p in found if isinstance(p, Condemned)] == sorted(i for i in bad if i < batch.items)
    assert all(p.batch.items == 1 for p in found if isinstance(p, Condemned))
    assert len({request_id(SUB, p) for p in parts}) == len(parts)
    if not part:
        assert all(a.end == b.start for a, b in pairwise(parts))
        assert (parts[0].start, parts[-1].end) == (batch.start, batch.end)


@settings(derandomize=True, max_examples=200)
@given(sizes=SIZES, instant=st.integers(0, 1000))
def test_parting_by_age_loses_nothing(sizes: list[list[int]], instant: int) -> None:
    batch = whole(sizes)
    if not batch.items:
        return
    old, rest = stored_before(batch, instant)
    assert [*(old.strings if old else ()), *(rest.strings if rest else ())] == list(batch.strings)
    assert not old or all(span.stored_ms < instant for span in old.spans)
    assert not rest or rest.spans[0].stored_ms >= instant


def test_a_batch_of_which_nothing_is_old_stays_whole() -> None:
    batch = Batch([b"a"], [Span(1, (0,), 5)], START, Position(seq=2))
    assert stored_before(batch, 5) == (None, batch)
    assert stored_before(batch, 6) == (batch, None)


@pytest.mark.parametrize(
    ("retry_after_s", "wait_s", "tries"),
    [(None, 5.0, 2), (4.0, 5.0, 2), (6.0, 6.0, 1), (1e6, 86_400.0, 1)],
)
def test_a_longer_retry_after_is_obeyed_up_to_a_day_without_burning_a_try(
    retry_after_s: float | None, wait_s: float, tries: int
) -> None:
    assert next_wait_s(1, [1.0, 5.0], spread=0.0, retry_after_s=retry_after_s) == (wait_s, tries)


def test_another_filter_format_or_framing_makes_another_request() -> None:
    made = sample_subscription()
    event_hub = Destination(url="https://example.test/", framing="per_item", kind="azure_event_hub")
    others = [
        replace(made, filter=Filter(zones=frozenset({ZoneId("z")}))),
        replace(made, filter=Filter(devtypes=frozenset({"z"}))),
        replace(made, format=Format(gzip=True)),
        replace(made, format=Format(body="cloudevents")),
        replace(made, destination=event_hub),
    ]
    batch = Batch([b""], [], START, Position(seq=2))
    others += [replace(made, filter=Filter(source="events", patterns=frozenset(p))) for p in ((), ("#",), ("*.#",))]
    known = {request_id(SUB, batch, 0, content_of(one)) for one in (made, *others)}
    assert len(known) == 9
    # Requests of readings keep their ids from before there were events.
    assert content_of(made) == stable_uuid("([], [], [])", "contract", "False", "batch")
    same = replace(made, name="other", version=2, destination=Destination(url="https://other.test/"))
    assert content_of(same) == content_of(made)
