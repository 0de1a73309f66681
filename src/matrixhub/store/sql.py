"""Named SQL statements, kept in `.sql` files beside the module that uses them."""

from __future__ import annotations

import re
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)[ \t]*$", re.MULTILINE)


def load_statements(file: str, package: str = "matrixhub.store") -> dict[str, str]:
    """The statements of a file of a package by name.

    >>> sorted(load_statements("keys.sql"))[0]
    'create_key'
    """
    parts = _NAME.split((files(package) / file).read_text(encoding="utf-8"))
    return {name: statement.strip().rstrip(";") for name, statement in zip(parts[1::2], parts[2::2], strict=True)}
