"""The schema of a customer's database: its statements, and what of it must be there to write.

Source: docs/contract/dedicated-db.md §3
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

VERSION = 1
"""Of the schema; `matrix.schema_version` says which one a database has."""

_NAME = re.compile(r"^-- name: (\w+)[ \t]*$", re.MULTILINE)


def statements() -> Mapping[str, str]:
    """What makes the schema, in order; each statement may be repeated.

    >>> list(statements())[:3]
    ['schema', 'schema_version', 'sensor_data']
    """
    parts = _NAME.split((files("matrixhub.databases") / "schema.sql").read_text(encoding="utf-8"))
    return {name: statement.strip() for name, statement in zip(parts[1::2], parts[2::2], strict=True)}
