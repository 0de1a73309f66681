"""The trace context of an attempt, so that a receiver's traces can be joined with the hub's record of it.

Source: W3C Trace Context (version 00), docs/contract/data-push.md §5
"""

from __future__ import annotations

import hashlib
import random
import re

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NONE = "0" * 32


def traceparent(request_id: str) -> str:
    """The header `traceparent` of one attempt: the trace is that of the request, the span is new every time.

    The trace id is the request id without its dashes, where that is a UUID, so that either finds the other.

    >>> traceparent("0f7ce7a8-6fbb-5c1d-9a94-1f6f0d6c2c11")[:36]
    '00-0f7ce7a86fbb5c1d9a941f6f0d6c2c11-'
    """
    return f"00-{_trace_id(request_id)}-{random.getrandbits(64) or 1:016x}-01"


def _trace_id(request_id: str) -> str:
    """32 hexadecimal digits, never all zero, which would say that there is no trace."""
    if _UUID.fullmatch(request_id):
        digits = request_id.replace("-", "")
        if digits != _NONE:
            return digits
    return hashlib.sha256(request_id.encode()).hexdigest()[:32]
