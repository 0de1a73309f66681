import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from matrixhub.ingest.body import Item, parse_items, unpack
from matrixhub.ingest.normalise import Incoming
from matrixhub.model.errors import (
    BodyTooLarge,
    MalformedBody,
    MalformedReading,
    RequestError,
    TooManyReadings,
    UnsupportedEncoding,
)

LIMIT = 1 << 20
GOOD = b'{"DEVID":"%d","v":{"count":1}}'
PACKERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstandard.compress}
packed = pytest.mark.parametrize("encoding", PACKERS)


def parsed(body: bytes, items_max: int = 100) -> list[str]:
    """The ids of the readings, `!` for one that is none."""
    return [shown(item) for item in parse_items(body, items_max=items_max)]


def shown(item: Item) -> str:
    if isinstance(item, Incoming):
        return item.DEVID
    assert isinstance(item, MalformedReading)
    return "!"


def good(*numbers: int) -> list[bytes]:
    return [GOOD % n for n in numbers]


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_a_plain_body_is_taken_as_it_is(encoding: str) -> None:
    assert unpack(b"abc", encoding, size_max=3) == b"abc"


@packed
@given(data=st.binary(min_size=1, max_size=2000))
def test_a_packed_body_is_unpacked(encoding: str, data: bytes) -> None:
    assert unpack(PACKERS[encoding](data), encoding.upper(), size_max=2000) == data


def test_gzip_may_be_called_x_gzip() -> None:
    assert unpack(gzip.compress(b"abc"), "x-gzip", size_max=3) == b"abc"


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "x" * 1000, "gzip;q=1"])
def test_an_unknown_encoding_is_refused(encoding: str) -> None:
    with pytest.raises(UnsupportedEncoding, match="use gzip, zstd or none") as caught:
        unpack(b"", encoding, size_max=10)
    assert len(caught.value.message) < 120


@packed
def test_the_limit_of_the_unpacked_body_is_exact(encoding: str) -> None:
    assert unpack(PACKERS[encoding](b"x" * 100), encoding, size_max=100) == b"x" * 100
    with pytest.raises(BodyTooLarge, match="100 bytes"):
        unpack(PACKERS[encoding](b"x" * 101), encoding, size_max=100)


@packed
def test_a_bomb_is_refused_before_it_fills_memory(encoding: str) -> None:
    bomb = PACKERS[encoding](b"\0" * (64 << 20))
    assert len(bomb) < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            unpack(bomb, encoding, size_max=LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 8 * LIMIT
    finally:
        tracemalloc.stop()


@packed
@pytest.mark.parametrize("junk", [b"\0\0\0\0", b"{}", b"\x1f\x8b\x08\x00", b"\x28\xb5\x2f\xfd"])
def test_a_body_that_is_not_packed_as_announced_is_refused(encoding: str, junk: bytes) -> None:
    with pytest.raises(MalformedBody, match=encoding):
        unpack(junk, encoding, size_max=LIMIT)


def _random(size: int) -> bytes:
    return b"".join(zlib.crc32(n.to_bytes(4, "big")).to_bytes(4, "big") for n in range(size // 4))


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99999])
@pytest.mark.parametrize(
    "encoding",
    [
        "gzip",
        "zstd",
    ],
)
def test_a_truncated_body_is_refused_not_taken_in_part(encoding: str, part: float) -> None:
    whole = PACKERS[encoding](_random(600_000))
    with pytest.raises(MalformedBody, match="ends too early"):
        unpack(whole[: int(len(whole) * part)], encoding, size_max=LIMIT)


@packed
def test_bodies_packed_in_several_parts_are_read_whole(encoding: str) -> None:
    pack = PACKERS[encoding]
    assert unpack(pack(b"abc") + pack(b"def"), encoding, size_max=LIMIT) == b"abcdef"


@packed
def test_junk_behind_a_packed_body_is_refused(encoding: str) -> None:
    with pytest.raises(MalformedBody):
        unpack(PACKERS[encoding](b"abc") + b"junk", encoding, size_max=LIMIT)


@pytest.mark.parametrize(
    "body",
    [
        GOOD % 1,
        b"\r\n\t " + GOOD % 1 + b"\n\n",
        b"[" + GOOD % 1 + b"]",
        b'{\n  "DEVID": "1",\n  "v": {\n    "count": 1\n  }\n}\n',
        msgspec.json.format(b"[" + GOOD % 1 + b"]", indent=2),
    ],
)
def test_one_reading_may_be_an_object_an_array_or_printed_for_people(body: bytes) -> None:
    assert parsed(body) == ["1"]


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\n\n  \n", b" \n"])
def test_many_readings_may_be_an_array_or_ndjson(separator: bytes) -> None:
    assert parsed(b"[" + b",".join(good(1, 2, 3)) + b"]") == ["1", "2", "3"]
    assert parsed(separator.join(good(1, 2, 3))) == ["1", "2", "3"]
    assert parsed(separator.join(good(1, 2, 3)) + b"\n") == ["1", "2", "3"]


@pytest.mark.parametrize("body", [b"", b" \n\t\r ", b"[]", b" [ ] "])
def test_a_body_without_readings_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody, match=r"empty|no readings"):
        parse_items(body, items_max=1)


@pytest.mark.parametrize(
    "body",
    [
        b"nonsense",
        b"{",
        b"[",
        b"[" + GOOD % 1,
        b"[" + GOOD % 1 + b"] x",
        b"a\nb",
        b"'",
        b"\xef\xbb\xbf{}",
        b'{"DEVID":"\\x"}',
    ],
)
def test_a_body_that_is_no_json_is_refused_whole(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        parse_items(body, items_max=10)


@pytest.mark.parametrize("body", [b"[5,", b"[5 5]", b"[{}", b'[{"DEVID":5,"v":{}}]]', b"[null,nonsense]"])
def test_an_array_that_is_broken_behind_a_bad_item_is_refused_whole(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        parse_items(body, items_max=10)


@pytest.mark.parametrize("body", [b"\xff", b'{"DEVID":"\xed\xa0\x80","v":{}}', b"[" + GOOD % 1 + b',"\xc3"]'])
def test_a_body_that_is_no_utf8_is_refused_with_the_place(body: bytes) -> None:
    with pytest.raises(MalformedBody, match=r"not UTF-8: .* at byte \d+"):
        parse_items(body, items_max=10)


def test_unicode_in_a_reading_is_read() -> None:
    assert parsed('{"DEVID":"Müller 🙂","v":{}}'.encode()) == ["Müller 🙂"]


@pytest.mark.parametrize("body", [b"[%s]", b"%s"])
def test_the_limit_on_readings_is_exact(body: bytes) -> None:
    join = b"," if body.startswith(b"[") else b"\n"
    assert len(parsed(body % join.join(good(*range(5))), 5)) == 5
    with pytest.raises(TooManyReadings, match="6 readings; the limit is 5"):
        parsed(body % join.join(good(*range(6))), 5)
    with pytest.raises(TooManyReadings):
        parsed(body % join.join([*good(*range(5)), b"5"]), 5)


BAD = [
    b"5",
    b"null",
    b'"x"',
    b"[]",
    b"{}",
    b'{"DEVID":5,"v":{}}',
    b'{"v":{}}',
    b'{"DEVID":"x"}',
    b'{"DEVID":"x","v":{},"time":5}',
]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("place", range(3))
def test_a_bad_item_of_an_array_keeps_its_index_and_the_others_are_read(bad: bytes, place: int) -> None:
    items, expected = good(1, 2, 3), ["1", "2", "3"]
    items[place], expected[place] = bad, "!"
    assert parsed(b"[" + b",".join(items) + b"]") == expected


@pytest.mark.parametrize("bad", [*BAD, b"nonsense", b"{"])
@pytest.mark.parametrize("place", [1, 2])
def test_a_bad_line_of_ndjson_keeps_its_index_and_the_others_are_read(bad: bytes, place: int) -> None:
    items, expected = good(1, 2, 3), ["1", "2", "3"]
    items[place], expected[place] = bad, "!"
    assert parsed(b"\n".join(items)) == expected


@pytest.mark.parametrize("bad", [b"nonsense", b"{"])
def test_a_first_line_that_is_no_json_keeps_its_index_and_the_others_are_read(bad: bytes) -> None:
    assert parsed(b"\n".join([bad, *good(2, 3)])) == ["!", "2", "3"]


@pytest.mark.parametrize("bad", [bad for bad in BAD if bad != b"[]"])  # `[` begins an array
def test_a_first_line_that_is_no_reading_keeps_its_index_and_the_others_are_read(bad: bytes) -> None:
    assert parsed(b"\n".join([bad, *good(2, 3)])) == ["!", "2", "3"]


def test_a_single_object_that_is_no_reading_is_one_refused_item() -> None:
    assert parsed(b'{"DEVID": 5,\n"v": {}}') == ["!"]
    assert parsed(b"5") == ["!"]


@pytest.mark.parametrize("depth", [100, 900, 1_100, 100_000])
@pytest.mark.parametrize(
    "shape", [b'{"DEVID":"1","v":%s}', b'[{"DEVID":"1","v":%s}]', b'[5,{"DEVID":"1","v":%s}]', b"%s"]
)
def test_deep_nesting_is_read_or_refused(shape: bytes, depth: int) -> None:
    try:
        parse_items(shape % (b"[" * depth + b"]" * depth), items_max=10)
    except RequestError:
        assert depth > 500


JSONISH = st.lists(
    st.sampled_from(
        [
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b'"DEVID"',
            b'"v"',
            b'"x"',
            b"1",
            b"null",
            b"\n",
            b" ",
            b"\\",
            b'"',
            b"\xc3",
            b"-",
        ]
    ),
    max_size=25,
).map(b"".join)


@given(st.binary(max_size=60) | JSONISH)
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        items = parse_items(body, items_max=10)
    except RequestError:
        return
    assert items


@given(st.binary(max_size=60))
def test_any_packed_bytes_are_unpacked_or_refused(body: bytes) -> None:
    for encoding in PACKERS:
        try:
            assert len(unpack(body, encoding, size_max=1000)) <= 1000
        except (MalformedBody, BodyTooLarge):
            continue
