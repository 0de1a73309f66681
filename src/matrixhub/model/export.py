"""What past data is written as when it leaves the hub: formats, columns, and attributes that get columns of their own.

Source: docs/decisions/0026-exports.md
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from matrixhub.model.errors import InvalidValue

FormatName = Literal["ndjson", "json", "csv", "arrow", "parquet"]
AttributeKind = Literal["number", "integer", "text"]
ColumnKind = Literal["instant", "integer", "number", "text", "label"]
"""`label` is a text that few values repeat in; `instant` is epoch milliseconds."""

ATTRIBUTES_MAX = 100
ATTRIBUTE_PREFIX = "v_"
_ATTRIBUTE = re.compile(r"[^\x00-\x1f,:]{1,64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """A format: its type in HTTP, the ends of its files, and whether it is smaller when compressed as a whole."""

    name: FormatName
    media_type: str
    suffix: str
    compressible: bool = True
    columnar: bool = False


FORMATS: Mapping[FormatName, Format] = {
    one.name: one
    for one in (
        Format(name="ndjson", media_type="application/x-ndjson", suffix=".ndjson"),
        Format(name="json", media_type="application/json", suffix=".json"),
        Format(name="csv", media_type="text/csv", suffix=".csv"),
        Format(name="arrow", media_type="application/vnd.apache.arrow.stream", suffix=".arrows", columnar=True),
        Format(
            name="parquet",
            media_type="application/vnd.apache.parquet",
            suffix=".parquet",
            compressible=False,
            columnar=True,
        ),
    )
}
"""In the order in which they are preferred where any will do."""

LINE_FORMATS: tuple[FormatName, ...] = ("ndjson", "json", "csv")
"""Those that events are written as."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its name and what is in it."""

    name: str
    kind: ColumnKind


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of `v` that gets a column of its own."""

    name: str
    kind: AttributeKind = "number"

    @property
    def column(self) -> Column:
        """The column: its name begins with `v_`, so that it is none of the published ones."""
        return Column(ATTRIBUTE_PREFIX + self.name, self.kind)


def read_attributes(text: str) -> Sequence[Attribute]:
    """The attributes that are named, each with its kind if it is no number. Raises: InvalidValue.

    >>> read_attributes("count,mac:text")
    (Attribute(name='count', kind='number'), Attribute(name='mac', kind='text'))
    >>> read_attributes("")
    ()
    """
    found: dict[str, Attribute] = {}
    for part in text.split(",") if text else ():
        name, _, given = part.partition(":")
        kinds = [kind for kind in get_args(AttributeKind) if kind == (given or "number")]
        if not _ATTRIBUTE.fullmatch(name) or not kinds or name in found:
            said = f"is a list of different attributes such as count,p,mac:text; {part[:100]!r} is none"
            raise InvalidValue(f"attributes {said}", fields=(("attributes", said),))
        found[name] = Attribute(name, kinds[0])
    if len(found) > ATTRIBUTES_MAX:
        said = f"are at most {ATTRIBUTES_MAX}"
        raise InvalidValue(f"attributes {said}", fields=(("attributes", said),))
    return tuple(found.values())


def format_of_file(name: str) -> Format | None:
    """The format that the name of a file says, also of a compressed one; None if it says none.

    >>> format_of_file("march.csv.gz").name, format_of_file("march.txt")
    ('csv', None)
    """
    plain = name.removesuffix(".gz")
    return next((one for one in FORMATS.values() if plain.endswith(one.suffix)), None)
