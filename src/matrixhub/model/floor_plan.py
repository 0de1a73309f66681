"""Floor plans: the image of a level, and where on it zones and slots are.

Source: docs/contract/grids.md §5
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from matrixhub.model.errors import LimitViolated, WrongParameters
from matrixhub.model.ids import LevelId

IMAGE_BYTES_MAX = 2 * 1024 * 1024
POSITIONS_MAX = 2_000
"""Most positions on the plan of one level."""

MediaType = Literal["image/png", "image/jpeg"]

_BEGINNINGS: tuple[tuple[bytes, MediaType], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class FloorPlan:
    """The image of a level."""

    level_id: LevelId
    media_type: MediaType
    image: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanPosition:
    """Where a zone or slot is on the plan of its level.

    Units: fractions of the width from the left and of the height from the top, 0 to 1.
    """

    kind: Literal["zone", "slot"]
    id: str
    x: float
    y: float

    def __post_init__(self) -> None:
        for value in (self.x, self.y):
            if not math.isfinite(value) or not 0 <= value <= 1:
                raise WrongParameters("a position on a floor plan is two fractions of 0 to 1")


def media_type_of(image: bytes) -> MediaType:
    """The type of an image, told by its first bytes, whatever its sender called it.

    SVG is not taken: it may hold scripts, and the plan is shown in browsers.
    Raises: LimitViolated if it is too large, WrongParameters if it is neither PNG nor JPEG.
    """
    if len(image) > IMAGE_BYTES_MAX:
        raise LimitViolated(f"an image has at most {IMAGE_BYTES_MAX:,} bytes, not {len(image):,}")
    for beginning, media_type in _BEGINNINGS:
        if image.startswith(beginning):
            return media_type
    raise WrongParameters("a floor plan is a PNG or JPEG image")
