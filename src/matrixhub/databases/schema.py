"""The schema of a customer's database: its statements, and what of it must be there to write.

Source: docs/contract/dedicated-db.md §3, docs/decisions/0029-schema.md
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

VERSION = 1
"""Of the schema; `matrix.schema_version` says which one a database has."""

_NAME = re.compile(r"^-- name: (\w+)[ \t]*$", re.MULTILINE)
_COMMENT = re.compile(r"^--.*\n?", re.MULTILINE)
_PARTITIONED = " partition by range (time)"
VIEWS = ("latest_readings", "people", "occupancy", "ammonia")
_HOSTED = {"sensor_data_default", "view_comments", *VIEWS}


def statements(*, hosted: bool = False) -> Mapping[str, str]:
    """What makes the schema, in order; each may be repeated, and some are several statements in one text.

    Shape:  a customer's own database has plain tables, and no views, which would be in his way when he alters a table;
            in one that the hub hosts, readings lie in partitions, and `databases/upkeep.py` makes and drops them.

    >>> list(statements())[:3], "people" in statements(), "people" in statements(hosted=True)
    (['schema', 'schema_version', 'sensor_data'], False, True)
    """
    clause = _PARTITIONED if hosted else ""
    return {
        name: statement.replace(" {partitioned}", clause)
        for name, statement in split((files("matrixhub.databases") / "schema.sql").read_text(encoding="utf-8")).items()
        if hosted or name not in _HOSTED
    }


def split(text: str) -> Mapping[str, str]:
    """The named statements of a text, without the comments between them.

    >>> split("-- all of them\\n-- name: all\\nselect 1;\\n-- and more\\n")
    {'all': 'select 1'}
    """
    parts = _NAME.split(text)
    return {
        name: _COMMENT.sub("", statement).strip().rstrip(";")
        for name, statement in zip(parts[1::2], parts[2::2], strict=True)
    }
