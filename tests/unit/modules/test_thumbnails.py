"""Thumbnails: small, upright, and never of what unfolds to too much."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from matrixhub.model.errors import WrongParameters
from matrixhub.modules.media.thumbnails import EDGE_PIXELS, PIXELS_MAX, make_thumbnail


def picture(form: str, size: tuple[int, int] = (640, 320), mode: str = "RGB", **options: object) -> bytes:
    made = io.BytesIO()
    Image.new(mode, size).save(made, form, **options)
    return made.getvalue()


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content), formats=("JPEG",))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_thumbnail_is_a_small_jpeg_in_the_same_proportions(form: str) -> None:
    assert opened(make_thumbnail(picture(form))).size == (EDGE_PIXELS, EDGE_PIXELS // 2)


@pytest.mark.parametrize("mode", ["RGBA", "P", "L", "LA", "1", "I;16"])
def test_a_picture_of_any_mode_has_one(mode: str) -> None:
    assert opened(make_thumbnail(picture("PNG", (40, 20), mode))).size == (40, 20)


def test_what_is_transparent_is_white() -> None:
    assert opened(make_thumbnail(picture("PNG", (8, 8), "RGBA"))).convert("RGB").getpixel((4, 4)) == (255, 255, 255)


def test_a_picture_that_was_taken_sideways_is_upright() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    assert opened(make_thumbnail(picture("JPEG", exif=turned))).size == (EDGE_PIXELS // 2, EDGE_PIXELS)


def _png_of(width: int, height: int) -> bytes:
    """A PNG that says it is that large, in a few bytes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("size", [(PIXELS_MAX, 2), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_a_picture_that_would_unfold_to_too_much_is_not_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(WrongParameters, match="pixels"):
        make_thumbnail(_png_of(*size))


@pytest.mark.parametrize(
    "content",
    [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", picture("PNG")[:-30], picture("BMP"), b"RIFF\0\0\0\0WEBPVP8 "],
    ids=["empty", "PNG alone", "JPEG alone", "cut off", "another format", "WebP alone"],
)
def test_what_cannot_be_read_is_refused(content: bytes) -> None:
    with pytest.raises(WrongParameters):
        make_thumbnail(content)


@settings(max_examples=60)
@given(st.sampled_from(["PNG", "JPEG", "WEBP"]), st.integers(8, 400), st.binary(min_size=1, max_size=20))
def test_a_picture_with_wrong_bytes_in_it_is_shown_or_refused(form: str, at: int, wrong: bytes) -> None:
    whole = picture(form, (64, 64))
    with contextlib.suppress(WrongParameters):
        make_thumbnail(whole[:at] + wrong + whole[at + len(wrong) :])
