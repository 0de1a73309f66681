from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from matrixhub.ingest.writer import Pack, cut_lines, pack_round

Lines = st.lists(st.binary(min_size=1, max_size=30).map(lambda b: b.hex().encode()), min_size=1, max_size=8)
Given = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), Lines), max_size=12)


@given(Lines, st.integers(1, 5), st.integers(1, 100))
def test_cut_lines_keep_order_and_limits_and_are_as_long_as_they_can_be(
    lines: list[bytes], items_max: int, bytes_max: int
) -> None:
    runs = cut_lines(lines, items_max=items_max, bytes_max=bytes_max)
    assert [line for run in runs for line in run] == lines
    for run, behind in zip(runs, [*runs[1:], None], strict=True):
        size = sum(len(line) + 1 for line in run)
        assert len(run) <= items_max
        assert size <= bytes_max or len(run) == 1
        if behind is not None:
            assert len(run) == items_max or size + len(behind[0]) + 1 > bytes_max


@given(Given, st.integers(1, 8), st.integers(1, 200))
def test_a_round_keeps_the_order_of_each_subject_and_loses_or_doubles_nothing(
    given_lines: list[tuple[str, list[bytes]]], items_max: int, bytes_max: int
) -> None:
    packs: dict[str, Pack] = defaultdict(Pack)
    for subject, lines in given_lines:
        packs[subject].lines += lines
        packs[subject].keys += range(len(packs[subject].keys), len(packs[subject].lines))
    found: dict[str, Pack] = defaultdict(Pack)
    packed = pack_round(packs, items_max=items_max, bytes_max=bytes_max, origin="ing_1")
    for part in packed:
        lines = part.message.data.split(b"\n")
        found[part.message.subject].lines += lines
        found[part.message.subject].keys += part.keys
        assert part.message.items == len(lines) == len(part.keys) <= items_max
        assert len(part.message.data) + 1 <= bytes_max or len(lines) == 1
        assert part.message.headers == {"Matrix-Origin": "ing_1"}
    assert found == packs
    assert len({part.message.id for part in packed}) == len(packed)


def test_lines_of_one_subject_share_a_message() -> None:
    pack = Pack([b"%d" % n for n in range(100)], list(range(100)))
    packed = pack_round({"a": pack}, items_max=500, bytes_max=10_000, origin="")
    assert [part.message.items for part in packed] == [100]


def test_a_line_larger_than_the_limit_has_a_message_of_its_own() -> None:
    packed = pack_round({"a": Pack([b"x", b"y" * 99, b"z"], [1, 2, 3])}, items_max=10, bytes_max=20, origin="")
    assert [part.message.data for part in packed] == [b"x", b"y" * 99, b"z"]
    assert [list(part.keys) for part in packed] == [[1], [2], [3]]
