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

PARTS_MAX = 100
"""Members of a gzip body or frames of a zstd body; each costs a copy of what is left."""

ZSTD_FEED_BYTES = 128

_one = msgspec.json.Decoder(Incoming)
_many = msgspec.json.Decoder(list[Incoming])
_raw_one = msgspec.json.Decoder(msgspec.Raw)
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
    unpacked = bytearray()
    rest = body
    for _ in range(PARTS_MAX):
        decoder = zlib.decompressobj(wbits=31)
        try:
            unpacked += decoder.decompress(rest, size_max + 1 - len(unpacked))
        except zlib.error as error:
            raise MalformedBody(f"the body is not gzip: {error}") from error
        if len(unpacked) > size_max:
            return bytes(unpacked)
        if not decoder.eof:
            raise MalformedBody("the gzip body ends too early")
        rest = decoder.unused_data
        if not rest:
            return bytes(unpacked)
    raise MalformedBody(f"the gzip body has more than {PARTS_MAX} parts")


def _unzstd(body: bytes, size_max: int) -> bytes:
    """Fed in small pieces, because each may become a thousand times as much."""
    unpacked = bytearray()
    decoder = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
    parts = 1
    try:
        for start in range(0, len(body), ZSTD_FEED_BYTES):
            piece = body[start : start + ZSTD_FEED_BYTES]
            while piece:
                if decoder.eof:
                    parts += 1
                    if parts > PARTS_MAX:
                        raise MalformedBody(f"the zstd body has more than {PARTS_MAX} parts")
                    decoder = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
                unpacked += decoder.decompress(piece)
                if len(unpacked) > size_max:
                    return bytes(unpacked)
                piece = decoder.unused_data if decoder.eof else b""
    except zstandard.ZstdError as error:
        raise MalformedBody(f"the body is not zstd: {error}") from error
    if not decoder.eof:
        raise MalformedBody("the zstd body ends too early")
    return bytes(unpacked)


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
        try:
            items = [_parse_one(bytes(raw)) for raw in _raw_many.decode(body)]
        except msgspec.DecodeError as error:
            raise MalformedBody(f"the body is not JSON: {error}") from error
    except msgspec.DecodeError as error:
        raise MalformedBody(f"the body is not JSON: {error}") from error
    if len(items) > items_max:
        raise TooManyReadings(f"the request holds {len(items):,} readings; the limit is {items_max:,}")
    return items


def _parse_lines(body: bytes, items_max: int) -> Sequence[Item]:
    try:
        # A wrong reading is reported before what follows it is looked at: first see whether this is one value.
        _raw_one.decode(body)
    except msgspec.DecodeError as error:
        lines = [line for line in body.splitlines() if line.strip()]
        if len(lines) < 2:
            raise MalformedBody(f"the body is not JSON: {error}") from error
    else:
        return [_parse_one(body)]
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
