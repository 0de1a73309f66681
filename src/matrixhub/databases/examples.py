"""Queries to begin with, filled with the ids of a customer's building, to be run as they stand.

Source: docs/contract/dedicated-db.md §3, §3.1
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache
from importlib.resources import files
from typing import cast

from matrixhub.model.event import key_part
from matrixhub.model.site import Building
from matrixhub.model.subscription import Source
from matrixhub.model.time import zone

_HEAD = re.compile(r"^-- name: (\w+)\n-- title: (.+)\n-- source: (sensors|events)\n", re.MULTILINE)
_PLACE = re.compile(r":'(\w+)'")


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A query of a customer. `source` says which of his tables it is about; `sql` ends with a semicolon."""

    name: str
    title: str
    source: Source
    sql: str


def examples(building: Building, day: date) -> Sequence[Example]:
    """The queries for a building and a day of its local calendar, the two published ones first.

    Raises: ValueError if there is no such time zone.
    """
    values = places(building, day)
    return [
        Example(name=one.name, title=one.title, source=one.source, sql=filled(one.sql, values)) for one in templates()
    ]


@cache
def templates() -> Sequence[Example]:
    """The queries with their places still empty.

    >>> [one.name for one in templates()][:2]
    ['people_by_zone', 'rating_by_zone']
    """
    parts = _HEAD.split((files("matrixhub.databases") / "examples.sql").read_text(encoding="utf-8"))
    return tuple(
        Example(name=name, title=title, source=cast("Source", source), sql=sql.strip())
        for name, title, source, sql in zip(parts[1::4], parts[2::4], parts[3::4], parts[4::4], strict=True)
    )


def filled(sql: str, values: Mapping[str, str]) -> str:
    """The query with texts in its places. Raises: KeyError if one is not given.

    >>> filled("select :'name'", {"name": "O'Neill"})
    "select 'O''Neill'"
    """
    return _PLACE.sub(lambda place: literal(values[place[1]]), sql)


def literal(text: str) -> str:
    """A text as SQL writes it, whatever `standard_conforming_strings` says."""
    quoted = text.replace("'", "''")
    return f"'{quoted}'" if "\\" not in text else "E'" + quoted.replace("\\", "\\\\") + "'"


def places(building: Building, day: date) -> Mapping[str, str]:
    """What stands in the places of the queries. Raises: ValueError if there is no such time zone."""
    tz = zone(building.time_zone)

    def at(hour: int, minute: int = 0, second: int = 0, *, on: date = day) -> str:
        return datetime.combine(on, time(hour, minute, second), tz).strftime("%Y-%m-%dT%H:%M:%S%z")

    return {
        "building": building.id,
        "property": building.property_id,
        "principal": key_part(building.id),
        "region": building.time_zone,
        "month": f"{day:%m}",
        "dom": f"{day:%d}",
        "hour_start": at(8),
        "hour_end": at(9),
        "day_start": at(0),
        "day_end": at(23, 59, 59),
        "next_day": at(0, on=day + timedelta(days=1)),
    }
