"""What a destination says of the items of a push. Source: docs/contract/data-push.md §5"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from matrixhub.deliveries.redaction import shown

REASON_MAX = 200

TELLING = frozenset({207, 400, 413, 422})
"""Answers whose body may name the items that are wrong."""

_BYTES = 65_536
_BYTES_PER_ITEM = 256
_BYTES_MAX = 1_048_576


def answer_bytes_max(http_status: int, items: int) -> int:
    """How much of an answer is read; more where it may name every item.

    >>> answer_bytes_max(500, 10_000), answer_bytes_max(207, 500), answer_bytes_max(207, 10_000)
    (65536, 128000, 1048576)
    """
    if http_status not in TELLING:
        return _BYTES
    return min(max(_BYTES, items * _BYTES_PER_ITEM), _BYTES_MAX)


def failed_items(http_status: int, body: bytes, items: int, spellings: Iterable[str] = ()) -> Mapping[int, str]:
    """The items that an answer names as wrong, by index, with the reasons it gives.

    What is not of that form, or names no item of the push, is passed over.

    >>> failed_items(207, b'{"failed":[{"index":3,"reason":"too old"},{"index":9}]}', 5)
    {3: 'too old'}
    """
    if http_status not in TELLING or b'"failed"' not in body:
        return {}
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    named = document.get("failed") if isinstance(document, dict) else None
    if not isinstance(named, list):
        return {}
    spellings = tuple(spellings)
    failed: dict[int, str] = {}
    for entry in named:
        index = entry.get("index") if isinstance(entry, dict) else None
        if isinstance(index, int) and not isinstance(index, bool) and 0 <= index < items:
            reason = entry.get("reason")
            text = shown(reason[: 4 * REASON_MAX], spellings, REASON_MAX) if isinstance(reason, str) else ""
            failed.setdefault(index, text or "named as wrong")
    return failed
