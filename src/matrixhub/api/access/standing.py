"""How whoever asks stands with its limit, told with every answer of every face.

The gate, which both faces come past, notes the headers; the application adds them to the answer that it sends. They are
those of the IETF draft "RateLimit header fields for HTTP", draft-ietf-httpapi-ratelimit-headers-06.
"""

from __future__ import annotations

from contextvars import ContextVar

from matrixhub.modules.access import Standing

Headers = list[tuple[bytes, bytes]]

answer_headers: ContextVar[Headers | None] = ContextVar("answer_headers", default=None)
"""The headers that the answer to the request under way gets besides those of its face."""


def note_standing(standing: Standing) -> None:
    """Let the answer tell it."""
    headers = answer_headers.get()
    if headers is not None:
        headers += standing_headers(standing)


def standing_headers(standing: Standing) -> Headers:
    """The headers.

    >>> standing_headers(Standing(limit=10, left=9, reset_s=1, wait_s=0.0))[1]
    (b'ratelimit-remaining', b'9')
    """
    return [
        (b"ratelimit-limit", b"%d" % standing.limit),
        (b"ratelimit-remaining", b"%d" % standing.left),
        (b"ratelimit-reset", b"%d" % standing.reset_s),
    ]
