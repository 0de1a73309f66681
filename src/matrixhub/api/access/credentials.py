"""What a request says of who sends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

REST_PREFIX = "hub."
"""What the names of the REST face's operations begin with."""

_ON_THE_WAY = ("origin", "forwarded", "x-forwarded-for", "via")


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """What a request says of who sends it.

    `service` is the segment of its path, `operation` and `property_id` are those of its query: a signature covers them.
    `time` is `x-sc-time`, `application` is `x-sc-auth`, `address` that of the client. `indirect` says that it comes by
    way of a page in a browser, or of a proxy.
    """

    authorization: str
    service: str = ""
    operation: str = ""
    property_id: str = ""
    time: str = ""
    application: str = ""
    address: str = ""
    indirect: bool = False

    @property
    def of_operation(self) -> bool:
        """Whether an operation of Matrix Web Services is asked for, and not the REST face."""
        return bool(self.operation) and not self.operation.startswith(REST_PREFIX)


def is_indirect(headers: Mapping[str, str]) -> bool:
    """Whether headers, with names in lower case, tell of a page in a browser or of a proxy.

    >>> is_indirect({"x-forwarded-for": "192.0.2.1"}), is_indirect({"accept": "*/*"})
    (True, False)
    """
    return any(name in headers for name in _ON_THE_WAY)
