"""How far places on earth are apart."""

from __future__ import annotations

import math

from matrixhub.model.address import Coordinates

EARTH_RADIUS_M = 6_371_008.8
"""The mean radius of the earth, of which it differs by less than 0.4 % anywhere."""


def distance_m(one: Coordinates, other: Coordinates) -> float:
    """How far apart two places are along the ground.

    Units:  metres.
    Source: the haversine formula, which is exact enough for near places, too

    >>> pole, equator = Coordinates(90, 0), Coordinates(0, 0)
    >>> round(distance_m(pole, equator) / 1000)
    10008
    """
    low, high = math.radians(one.latitude), math.radians(other.latitude)
    across = math.sin((high - low) / 2) ** 2
    along = math.sin(math.radians(other.longitude - one.longitude) / 2) ** 2
    return 2 * EARTH_RADIUS_M * math.asin(math.sqrt(min(1.0, across + math.cos(low) * math.cos(high) * along)))
