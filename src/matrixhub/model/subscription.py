"""A subscription: what is sent where, and how far it has come.

Source: docs/contract/data-push.md §2, design decisions 4 and 5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from urllib.parse import urlsplit

from matrixhub.model.errors import InvalidValue
from matrixhub.model.ids import BuildingId, PropertyId, SubscriptionId, WorkerId, ZoneId

State = Literal["active", "paused"]

ITEMS_MAX = 10_000
BYTES_MAX = 16 * 1024 * 1024


class Secret:
    """A text that must not be seen: neither `str` nor `repr` shows it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself; call it only where it leaves for its destination."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "Secret(…)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """Which readings of the property are wanted; an empty set means all."""

    buildings: frozenset[BuildingId] = frozenset()
    zones: frozenset[ZoneId] = frozenset()
    devtypes: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class NoAuth:
    """No authentication."""

    scheme: Literal["none"] = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class BasicAuth:
    """HTTP Basic, sent with every request. Source: RFC 7617, docs/contract/data-push.md §3.1"""

    user: str
    password: Secret
    scheme: Literal["basic"] = "basic"


Auth = NoAuth | BasicAuth


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpsDestination:
    """A web service of the customer. `ca_pem` holds the certificates to trust instead of the system's.

    `egress_allow` is the allow-list of the property, in canonical form; see `model.egress`.
    """

    url: str
    auth: Auth = NoAuth()
    ca_pem: str = ""
    egress_allow: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchLimits:
    """A push holds at most this many readings and at most this many bytes of body."""

    items: int = 500
    size_bytes: int = 262_144


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Position:
    """The first thing not yet delivered: line `item` of stream message `seq`, or of the first message after it."""

    seq: int
    item: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Subscription:
    """What is sent where; nothing in it changes with deliveries."""

    id: SubscriptionId
    property_id: PropertyId
    name: str
    filter: Filter
    destination: HttpsDestination
    limits: BatchLimits
    state: State
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a subscription has come.

    `sending_to` is the end of the request that is (or was, before a crash) on its way: a new owner cuts the same
    request again, so that a repeat has the same id. The counts are of readings.
    """

    position: Position
    sending_to: Position | None = None
    delivered: int = 0
    parked: int = 0
    expired: int = 0
    attempts_failed: int = 0
    last_error: str = ""
    last_delivered_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """The right to deliver a subscription. The fence grows with every new owner; an older one may write nothing."""

    subscription: Subscription
    progress: Progress
    worker: WorkerId
    fence: int


def check_destination(destination: HttpsDestination) -> None:
    """Refuse a destination that could never work.

    Raises: InvalidValue if the URL is not https with a host, or the user name holds a colon (RFC 7617).
    """
    if re.search(r"[\s\x00-\x1f\x7f]", destination.url):
        raise InvalidValue("the URL holds blanks or control characters")
    try:
        parts = urlsplit(destination.url)
        port_ok = parts.port is None or 0 < parts.port < 65_536
    except ValueError as error:
        raise InvalidValue(f"{destination.url!r} is not a URL: {error}") from error
    if parts.scheme != "https":
        raise InvalidValue("the URL must begin with https://; plain HTTP is not pushed to (contract data-push §4)")
    if not parts.hostname or not port_ok:
        raise InvalidValue(f"{destination.url!r} names no host")
    if parts.username is not None or parts.password is not None:
        raise InvalidValue("the URL holds a user or password; give them as Basic authentication instead")
    if parts.fragment:
        raise InvalidValue("the URL has a #fragment, which is never sent")
    if isinstance(destination.auth, BasicAuth) and (":" in destination.auth.user or not destination.auth.user):
        raise InvalidValue("the user name of Basic authentication must not be empty or hold a colon")


def check_limits(limits: BatchLimits) -> None:
    """Refuse limits that cannot be kept.

    Raises: InvalidValue if a limit lies outside 1 to 10,000 readings or 1 KiB to 16 MiB.
    """
    if not 1 <= limits.items <= ITEMS_MAX:
        raise InvalidValue(f"batch items are 1 to {ITEMS_MAX:,}, not {limits.items:,}")
    if not 1024 <= limits.size_bytes <= BYTES_MAX:
        raise InvalidValue(f"batch bytes are 1,024 to {BYTES_MAX:,}, not {limits.size_bytes:,}")


def public_view(subscription: Subscription) -> Mapping[str, object]:
    """The subscription as it may be shown: without secrets."""
    destination = subscription.destination
    auth: dict[str, object] = {"scheme": destination.auth.scheme}
    if isinstance(destination.auth, BasicAuth):
        auth["user"] = destination.auth.user
    return {
        "id": subscription.id,
        "property": subscription.property_id,
        "name": subscription.name,
        "state": subscription.state,
        "filter": {
            "buildings": sorted(subscription.filter.buildings),
            "zones": sorted(subscription.filter.zones),
            "devtypes": sorted(subscription.filter.devtypes),
        },
        "url": destination.url,
        "auth": auth,
        "private_ca": bool(destination.ca_pem),
        "batch_items": subscription.limits.items,
        "batch_bytes": subscription.limits.size_bytes,
        "created_at": subscription.created_at.isoformat(),
    }
