"""Units: the assets of a zone, such as cubicles, and how many there are.

Source: docs/contract/grids.md §3
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matrixhub.model.devices import Json
from matrixhub.model.errors import WrongParameters
from matrixhub.model.text import is_name

UNITS_MAX = 200
"""Most kinds of units of a zone."""


@dataclass(frozen=True, slots=True)
class UnitCount:
    """How many of an asset, such as a cubicle, a zone has."""

    key: str
    count: int


Units = Mapping[str, Sequence[UnitCount]]
"""The assets of a zone by group; the published group is `General`."""


def units_document(units: Units) -> dict[str, Json]:
    """The assets of a zone in the fields of the wire."""
    return {group: [{"Key": unit.key, "Count": unit.count} for unit in held] for group, held in units.items()}


def read_units(document: object) -> Units:
    """The assets a document states; a list of names, as older clients send, is one of each.

    Raises: WrongParameters.

    >>> read_units({"General": [{"Key": "Sink", "Count": 3}]}) == {"General": (UnitCount("Sink", 3),)}
    True
    >>> read_units(["Sink"])
    {'General': (UnitCount(key='Sink', count=1),)}
    """
    if isinstance(document, list):
        document = {"General": document}
    if not isinstance(document, Mapping) or not all(
        isinstance(group, str) and is_name(group) and isinstance(held, list) for group, held in document.items()
    ):
        raise WrongParameters("Units is an object of lists, such as General")
    if sum(map(len, document.values())) > UNITS_MAX:
        raise WrongParameters(f"a zone has at most {UNITS_MAX} kinds of units")
    return {group: tuple(_read_unit(unit) for unit in held) for group, held in document.items()}


def _read_unit(document: object) -> UnitCount:
    if isinstance(document, str):
        document = {"Key": document, "Count": 1}
    if isinstance(document, Mapping):
        key, count = document.get("Key"), document.get("Count")
        if isinstance(key, str) and is_name(key) and type(count) is int and 0 <= count <= 1_000_000:
            return UnitCount(key, count)
    raise WrongParameters('Units holds entries such as {"Key": "Sink", "Count": 3}')
