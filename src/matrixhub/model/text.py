"""What texts may be that people give to things."""

from __future__ import annotations

import re

NAME_MAX, TEXT_MAX = 200, 500
"""Most characters of a name, and of any other text."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def is_name(text: str) -> bool:
    """Whether it can be a name: printable, not empty, without outer blanks.

    >>> is_name("Washroom L2 Male"), is_name(" x"), is_name("")
    (True, False, False)
    """
    return is_text(text) and 0 < len(text) <= NAME_MAX and text == text.strip()


def is_text(text: str) -> bool:
    """Whether it can be any other text: printable and not too long."""
    return len(text) <= TEXT_MAX and not _CONTROL.search(text)
