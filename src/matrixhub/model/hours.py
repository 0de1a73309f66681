"""Operating hours: when a building or zone is open, for each day of the week.

Source: docs/contract/grids.md §4
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matrixhub.model.devices import Json
from matrixhub.model.errors import WrongParameters

OPENINGS_MAX = 24
"""Most openings of one day."""

_HHMM = re.compile(r"(?:[01][0-9]|2[0-3])[0-5][0-9]")
_DAYS = tuple("0123456")


@dataclass(frozen=True, slots=True)
class Opening:
    """A stretch of a day, local time as `HHMM`; `end` is later than `start`."""

    start: str
    end: str


OperatingHours = Mapping[str, Sequence[Opening]]
"""The openings of the days that are stated, by day: "0" is Sunday. A day without openings is closed all day."""


def read_hours(document: object) -> OperatingHours:
    """The hours a document states; a day of null is closed.

    Raises: WrongParameters naming what is wrong.

    >>> read_hours({"1": [{"Start": "0900", "End": "1700"}], "0": None})
    {'0': (), '1': (Opening(start='0900', end='1700'),)}
    """
    if not isinstance(document, Mapping):
        raise WrongParameters("OperatingHours is an object with the days 0 to 6")
    unknown = [day for day in document if day not in _DAYS]
    if unknown:
        raise WrongParameters(f"OperatingHours has the days 0 (Sunday) to 6, not {str(unknown[0])[:20]!r}")
    return {day: _openings(day, document[day]) for day in _DAYS if day in document}


def hours_document(hours: OperatingHours) -> dict[str, Json]:
    """The hours as the wire and the database have them."""
    return {day: [{"Start": o.start, "End": o.end} for o in openings] for day, openings in hours.items()}


def _openings(day: str, entries: object) -> tuple[Opening, ...]:
    if entries is None:
        return ()
    if not isinstance(entries, list) or len(entries) > OPENINGS_MAX:
        raise WrongParameters(f"OperatingHours.{day} is a list of at most {OPENINGS_MAX} openings")
    openings = sorted((_opening(day, entry) for entry in entries), key=lambda o: o.start)
    for earlier, later in itertools.pairwise(openings):
        if later.start < earlier.end:
            raise WrongParameters(f"OperatingHours.{day} has openings that overlap")
    return tuple(openings)


def _opening(day: str, entry: object) -> Opening:
    if isinstance(entry, Mapping):
        start, end = entry.get("Start"), entry.get("End")
        if isinstance(start, str) and isinstance(end, str) and _HHMM.fullmatch(start) and _HHMM.fullmatch(end):
            if start < end:
                return Opening(start, end)
            raise WrongParameters(f"OperatingHours.{day} has an opening that ends before it starts")
    raise WrongParameters(f'OperatingHours.{day} has openings such as {{"Start": "0900", "End": "1730"}}')
