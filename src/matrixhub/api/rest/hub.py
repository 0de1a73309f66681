"""What the handlers call: the parts of a hub that the REST face reaches."""

from __future__ import annotations

from litestar.di import NamedDependency
from litestar.params import SkipValidation

from matrixhub.api.parts import Parts

Hub = NamedDependency[SkipValidation[Parts]]
"""The parts, for a handler that names them `hub`."""
