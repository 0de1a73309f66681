"""From the bytes of a request to its readings: compression, UTF-8, one object, an array, or NDJSON."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import msgspec
import zstandard

from matrixhub.ingest.normalise import Incoming
from matrixhub.model.errors import (
    BodyTooLarge,
    ItemRefused,
    MalformedBody,
    MalformedReading,
    TooManyReadings,
    UnsupportedEncoding,
)

Item = Incoming | ItemRefused
"""A reading, or why it is none."""

_one = msgspec.json.Decoder(Incoming)
_many = msgspec.json.Decoder(list[Incoming])
_raw_many = msgspec.json.Decoder(list[msgspec.Raw])


def unpack(body: bytes, encoding: str, *, size_max: int) -> bytes:
    """The body without its Content-Encoding.

    Raises: UnsupportedEncoding, MalformedBody, BodyTooLarge as soon as more than size_max bytes come out.
    """
    match encoding.strip().lower():
        case "" | "identity":
            unpacked = body
        case "gzip" | "x-gzip":
            unpacked = _gunzip(body, size_max)
        case "zstd":
            unpacked = _unzstd(body, size_max)
        case other:
            raise UnsupportedEncoding(f"Content-Encoding {other[:40]!r} is not known; use gzip, zstd or none")
    if len(unpacked) > size_max:
        raise BodyTooLarge(f"the body is larger than {size_max:,} bytes")
    return unpacked


def _gunzip(body: bytes, size_max: int) -> bytes:
    decoder = zlib.decompressobj(wbits=31)
    try:
        unpacked = decoder.decompress(body, size_max + 1)
    except zlib.error as error:
        raise MalformedBody(f"the body is not gzip: {error}") from error
    if len(unpacked) <= size_max and not decoder.eof:
        raise MalformedBody("the gzip body ends too early")
    return unpacked


def _unzstd(body: bytes, size_max: int) -> bytes:
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(body) as reader:
            unpacked = reader.read(size_max + 1)
    except zstandard.ZstdError as error:
        raise MalformedBody(f"the body is not zstd: {error}") from error
    if not unpacked and body:
        raise MalformedBody("the zstd body ends too early")
    return unpacked


def parse_items(body: bytes, *, items_max: int) -> Sequence[Item]:
    """The readings of a body in order; one that cannot be read is the error that says why.

    A body that begins with `[` is an array; otherwise it is one object, or NDJSON where it is more than one.
    Raises: MalformedBody, TooManyReadings.
    """
    if not body.isascii():
        _require_utf8(body)
    start = body.lstrip(b" \t\r\n")
    if not start:
        raise MalformedBody("the body is empty; send one reading, an array or NDJSON")
    try:
        items = _parse_array(body, items_max) if start.startswith(b"[") else _parse_lines(body, items_max)
    except RecursionError as error:
        raise MalformedBody("the body is nested too deeply") from error
    if not items:
        raise MalformedBody("the body holds no readings")
    return items


def _require_utf8(body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise MalformedBody(f"the body is not UTF-8: {error.reason} at byte {error.start}") from error


def _parse_array(body: bytes, items_max: int) -> Sequence[Item]:
    try:
        items: Sequence[Item] = _many.decode(body)
    except msgspec.ValidationError:
        # At least one item is not a reading: look at each on its own, so that the others are taken.
        items = [_parse_one(bytes(raw)) for raw in _raw_many.decode(body)]
    except msgspec.DecodeError as error:
        raise MalformedBody(f"the body is not JSON: {error}") from error
    if len(items) > items_max:
        raise TooManyReadings(f"the request holds {len(items):,} readings; the limit is {items_max:,}")
    return items


def _parse_lines(body: bytes, items_max: int) -> Sequence[Item]:
    try:
        return [_one.decode(body)]
    except msgspec.ValidationError as error:
        return [MalformedReading(f"not a reading: {error}")]
    except msgspec.DecodeError as error:
        lines = [line for line in body.splitlines() if line.strip()]
        if len(lines) < 2:
            raise MalformedBody(f"the body is not JSON: {error}") from error
    if len(lines) > items_max:
        raise TooManyReadings(f"the request holds {len(lines):,} readings; the limit is {items_max:,}")
    items = [_parse_one(line) for line in lines]
    if all(isinstance(item, MalformedReading) for item in items):
        raise MalformedBody("the body is neither JSON nor NDJSON: no line is a reading")
    return items


def _parse_one(raw: bytes) -> Item:
    try:
        return _one.decode(raw)
    except msgspec.DecodeError as error:
        return MalformedReading(f"not a reading: {error}")
    except RecursionError:
        return MalformedReading("not a reading: nested too deeply")
