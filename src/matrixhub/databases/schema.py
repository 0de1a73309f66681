"""The schema of a customer's database: its statements, and what of it must be there to write.

Source: docs/contract/dedicated-db.md §3, docs/decisions/0029-schema.md
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from matrixhub.store.sql import load_statements

VERSION = 1
"""Of the schema; `matrix.schema_version` says which one a database has."""

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
        name: _COMMENT.sub("", statement).strip().replace(" {partitioned}", clause)
        for name, statement in load_statements("schema.sql", "matrixhub.databases").items()
        if hosted or name not in _HOSTED
    }
