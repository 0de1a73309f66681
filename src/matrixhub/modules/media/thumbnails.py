"""Small pictures of large ones. This is the home of the imaging library."""

from __future__ import annotations

import io
import struct
import threading
import zlib

from PIL import Image, ImageOps

from matrixhub.model.errors import WrongParameters

EDGE_PIXELS = 320
"""The longer edge of a thumbnail."""

PIXELS_MAX = 25_000_000
"""Most pixels of a picture that is decoded: about 100 MB while it is."""

QUALITY = 80

FORMATS = ("PNG", "JPEG", "WEBP")

_BROKEN = (OSError, ValueError, SyntaxError, TypeError, IndexError, OverflowError, struct.error, zlib.error)
"""What the decoders raise for pictures that are none."""

# Its own guard against pictures that unfold to too much warns before it refuses; ours comes before anything is decoded.
Image.MAX_IMAGE_PIXELS = None

_one_at_a_time = threading.Lock()


def make_thumbnail(picture: bytes) -> bytes:
    """A JPEG of at most 320 by 320 pixels, upright, in the proportions of the picture.

    To be called in a thread; one is made at a time, so that the memory this takes has a bound.
    Raises: WrongParameters if the picture cannot be read, or has too many pixels.
    """
    with _one_at_a_time:
        try:
            with Image.open(io.BytesIO(picture), formats=FORMATS) as found:
                _check_size(*found.size)
                found.draft("RGB", (EDGE_PIXELS, EDGE_PIXELS))
                found.load()
                upright = ImageOps.exif_transpose(found)
                upright.thumbnail((EDGE_PIXELS, EDGE_PIXELS))
                made = io.BytesIO()
                _on_white(upright).save(made, "JPEG", quality=QUALITY)
        except _BROKEN as error:
            raise WrongParameters("the picture cannot be read") from error
    return made.getvalue()


def _check_size(width: int, height: int) -> None:
    if width * height > PIXELS_MAX:
        raise WrongParameters(f"a picture has at most {PIXELS_MAX:,} pixels, not {width} by {height}")


def _on_white(picture: Image.Image) -> Image.Image:
    """The picture without transparency."""
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
