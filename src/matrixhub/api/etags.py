"""Versions of things as entity tags, so that two who change the same thing notice. Source: RFC 9110 §8.8.3, §13.1.1"""

from __future__ import annotations

import re
from typing import Annotated

from litestar.params import HeaderParameter

from matrixhub.model.errors import InvalidValue, VersionMismatch

IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        max_length=1_000,
        description='Do it only if the thing is still as it was read: its `ETag`, such as `"3"`.',
    ),
]

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"')


def etag(version: int) -> str:
    """The entity tag of a version.

    >>> etag(3)
    '"3"'
    """
    return f'"{version}"'


def version_of(if_match: str | None, version: int) -> int | None:
    """The version that a change has to find, None where it may be any. Raises as `check_match`.

    >>> version_of('"3"', 3), version_of(None, 3), version_of("*", 3)
    (3, None, None)
    """
    check_match(if_match, version)
    return None if if_match is None or if_match.strip() == "*" else version


def check_match(if_match: str | None, version: int) -> None:
    """Raises: VersionMismatch unless the version is among those of the header, InvalidValue if it cannot be read.

    >>> check_match('"2", "3"', 3), check_match("*", 3), check_match(None, 3)
    (None, None, None)
    """
    if if_match is None or if_match.strip() == "*":
        return
    tags = [_TAG.fullmatch(part.strip()) for part in if_match.split(",")]
    if not all(tags):
        raise InvalidValue("If-Match holds entity tags in double quotes", fields=(("If-Match", "not entity tags"),))
    # Weak tags match nothing here: RFC 9110 §13.1.1 asks for the strong comparison.
    if not any(tag and not tag[1] and tag[2] == str(version) for tag in tags):
        raise VersionMismatch(f"the version is {version}, which is not in If-Match; read it again")
