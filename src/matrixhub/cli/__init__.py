"""The command `matrixhub`."""

from matrixhub.cli.app import main

__all__ = ["main"]
