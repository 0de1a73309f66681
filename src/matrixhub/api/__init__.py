"""The HTTP faces: parse, call, render; no logic."""

from matrixhub.api.app import Checks, make_app
from matrixhub.api.parts import Parts
from matrixhub.api.server import HttpServer

__all__ = ["Checks", "HttpServer", "Parts", "make_app"]
