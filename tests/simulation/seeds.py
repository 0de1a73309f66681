"""Which runs of a simulation there are."""

from __future__ import annotations

import os
from typing import Any

import pytest


def seeds(count: int, *, quick: int) -> list[Any]:
    """The seeds 0 to `count`, those from `quick` on for `make soak`; or the one of MATRIXHUB_SIMULATION_SEED."""
    if "MATRIXHUB_SIMULATION_SEED" in os.environ:
        return [int(os.environ["MATRIXHUB_SIMULATION_SEED"])]
    return [seed if seed < quick else pytest.param(seed, marks=pytest.mark.long) for seed in range(count)]
