"""Matrix Hub: readings of a building in, ordered and provable delivery out."""

__version__ = "0.1.0"
