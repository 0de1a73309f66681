"""HTTP Basic and bearer tokens in a header. Source: docs/contract/data-push.md §3.1, §3.2"""

from __future__ import annotations

import base64


def basic(user: str, password: str) -> str:
    """The value of the header `Authorization` for a user and a password. Source: RFC 7617

    >>> basic("demo-user", "d3mo pass")
    'Basic ZGVtby11c2VyOmQzbW8gcGFzcw=='
    """
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def bearer(access_token: str) -> str:
    """The value of the header `Authorization` for an access token. Source: RFC 6750 §2.1"""
    return f"Bearer {access_token}"
