"""The HTTP faces: parse, call, render; no logic."""

from matrixhub.api.app import Checks, make_app
from matrixhub.api.rest import RestHub
from matrixhub.api.server import HttpServer

__all__ = ["Checks", "HttpServer", "RestHub", "make_app"]
