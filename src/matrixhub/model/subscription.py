"""A subscription: what is sent where, and how far it has come.

Source: docs/contract/data-push.md §2, design decisions 4 and 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from matrixhub.model.database import database_of
from matrixhub.model.destination import (
    BasicAuth,
    ClientCredentials,
    Destination,
    Kind,
    RefreshToken,
    SharedAccessKey,
    SignatureV4,
    check_destination,
    check_https_url,
)
from matrixhub.model.errors import InvalidValue
from matrixhub.model.ids import BuildingId, PropertyId, SubscriptionId, WorkerId, ZoneId
from matrixhub.model.policy import (
    DATABASE_WAIT_MAX_S,
    DEFAULT_POLICY,
    BatchLimits,
    Order,
    Policy,
    check_limits,
    check_policy,
)
from matrixhub.model.secret import Secret

State = Literal["active", "paused"]
PausedBy = Literal["", "hand", "policy"]

BodyFormat = Literal["contract", "cloudevents"]
SigningKind = Literal["v1", "v1a"]

AWS_IOT_BYTES_MAX = 131_072
"""The largest payload AWS IoT Core takes. Source: docs/contract/data-push.md §3.5"""


Source = Literal["sensors", "events"]
SOURCES: tuple[Source, ...] = ("sensors", "events")
"""What is delivered: readings of sensors, or events of the bus. Each is a stream with positions of its own."""

CALLED: Mapping[Source, str] = {"sensors": "readings", "events": "events"}
"""What the items of a stream are called, for people."""

ORDERS_OF: Mapping[Source, tuple[Order, ...]] = {
    "sensors": ("strict", "per_device", "latest_first"),
    "events": ("strict", "priority"),
}
"""The orders a source can be delivered in.

Events are of no device, and a newer one does not make up for an older. Readings have no priority.
"""

PATTERNS_MAX = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """What of the property is wanted; an empty set means all.

    Of readings, those of some buildings, zones or device types; of events, those whose routing key matches one of the
    patterns. A subscription keeps its source for life.
    """

    source: Source = "sensors"
    patterns: frozenset[str] = frozenset()
    buildings: frozenset[BuildingId] = frozenset()
    zones: frozenset[ZoneId] = frozenset()
    devtypes: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """How a body is written: the contract's array of strings, or a CloudEvents 1.0 batch; compressed or not."""

    body: BodyFormat = "contract"
    gzip: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class SigningKey:
    """A key that pushes are signed with: `v1` is HMAC-SHA256 (whsec_…), `v1a` is ed25519 (whsk_…).

    One that was replaced goes on signing, beside its successor, until `expires_at`. `public` is what receivers verify
    `v1a` signatures with (whpk_…), '' for `v1`. Source: Standard Webhooks
    """

    id: str
    kind: SigningKind
    secret: Secret
    created_at: datetime
    expires_at: datetime | None = None
    public: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Notify:
    """Where notices about the health of a subscription go: the destination of another one, or a webhook.

    `secret` (whsec_…) signs what goes to the webhook. Both empty: nowhere.
    """

    subscription_id: str = ""
    url: str = ""
    ca_pem: str = ""
    secret: Secret | None = None


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Position:
    """The first thing not yet delivered: line `item` of stream message `seq`, or of the first message after it."""

    seq: int
    item: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Subscription:
    """What is sent where; nothing in it changes with deliveries. `version` grows with every change of it."""

    id: SubscriptionId
    property_id: PropertyId
    name: str
    filter: Filter
    destination: Destination
    limits: BatchLimits
    state: State
    created_at: datetime
    policy: Policy = DEFAULT_POLICY
    format: Format = Format()
    signing: tuple[SigningKey, ...] = ()
    notify: Notify = Notify()
    paused_by: PausedBy = ""
    paused_reason: str = ""
    version: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Express:
    """What was settled ahead of the position: urgent messages with from_seq ≤ sequence < to_seq.

    `sending_to` is the end of the push of urgent messages that is (or was, before a crash) on its way; it begins at
    `to_seq`.
    """

    from_seq: int
    to_seq: int
    sending_to: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a subscription has come.

    `sending_to` is the end of the request that is (or was, before a crash) on its way: a new owner cuts the same
    request again, so that a repeat has the same id. `lanes_done` has a bit for each part of it that was settled, where
    the order allows parts; `express` is what the order `priority` settled ahead. `ahead` says how many readings behind
    the position are in the counts already. `step` numbers what was saved, `epoch` the replays: both make repeats tell
    from new.
    The counts are of readings; `replayed` are those asked for again.
    """

    position: Position
    sending_to: Position | None = None
    lanes_done: int = 0
    express: Express | None = None
    ahead: int = 0
    step: int = 0
    epoch: int = 0
    delivered: int = 0
    parked: int = 0
    expired: int = 0
    skipped: int = 0
    replayed: int = 0
    attempts_failed: int = 0
    failures: int = 0
    failing_since: datetime | None = None
    retry_at: datetime | None = None
    last_error: str = ""
    last_delivered_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """A wish to deliver again from a position on."""

    id: str
    position: Position


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """The right to deliver a subscription. The fence grows with every new owner; an older one may write nothing.

    `replay` and `redrive` are what was asked for meanwhile: to begin again at an earlier place, and to send parked
    readings again (0: no; else how often it was asked for so far).
    """

    subscription: Subscription
    progress: Progress
    worker: WorkerId
    fence: int
    replay: Replay | None = None
    redrive: int = 0


def check_subscription(
    destination: Destination,
    limits: BatchLimits,
    policy: Policy,
    form: Format,
    notify: Notify,
    *,
    source: Source = "sensors",
    signed: bool = False,
    plain_http: bool = False,
) -> None:
    """Refuse what could never work, each part and all together. `plain_http` is for development.

    Raises: InvalidValue saying what does not fit.
    """
    check_destination(destination, plain_http=plain_http)
    check_limits(limits)
    check_policy(policy)
    if policy.order not in ORDERS_OF[source]:
        raise InvalidValue(
            f"the order {policy.order} is not for {CALLED[source]}; they can have {', '.join(ORDERS_OF[source])}"
        )
    if form.gzip and destination.kind != "https":
        raise InvalidValue(f"gzip is for web services; {destination.kind} does not unpack it")
    if form.body != "contract" and destination.kind == "postgres":
        raise InvalidValue("a database is given rows, not CloudEvents; leave the format as it is")
    if signed and destination.kind == "postgres":
        raise InvalidValue("pushes to a database are not signed: who writes logs in, over TLS")
    if form.body != "contract" and destination.framing == "per_item":
        raise InvalidValue("framing per_item sends each item as the contract has it; CloudEvents need framing batch")
    if destination.kind == "aws_iot" and limits.size_bytes > AWS_IOT_BYTES_MAX:
        raise InvalidValue(f"AWS IoT takes at most {AWS_IOT_BYTES_MAX:,} bytes; lower the batch bytes")
    if notify.url and notify.subscription_id:
        raise InvalidValue("notices go to another subscription's destination or to a webhook, not to both")
    if notify.url:
        check_https_url(notify.url, "the URL for notices", plain_http=plain_http)


def default_policy(policy: Policy, source: Source, kind: Kind = "https") -> Policy:
    """The policy a subscription to the source has where it names none: that of the settings, if its order can be had.

    A database is not waited for as long as a web service.

    >>> default_policy(Policy(order="per_device", in_flight=4), "events").order
    'strict'
    >>> default_policy(Policy(retry_schedule_s=(1.0, 30.0, 120.0)), "events", "postgres").retry_schedule_s
    (1.0, 30.0, 60.0)
    """
    if kind == "postgres":
        waits = (*(wait for wait in policy.retry_schedule_s if wait < DATABASE_WAIT_MAX_S), DATABASE_WAIT_MAX_S)
        policy = replace(policy, retry_schedule_s=waits[: len(policy.retry_schedule_s)])
    return policy if policy.order in ORDERS_OF[source] else replace(policy, order="strict", in_flight=1)


def public_view(subscription: Subscription) -> Mapping[str, object]:
    """The subscription as it may be shown: without secrets."""
    destination, policy = subscription.destination, subscription.policy
    return {
        "id": subscription.id,
        "property": subscription.property_id,
        "name": subscription.name,
        "state": subscription.state,
        "paused_by": subscription.paused_by,
        "paused_reason": subscription.paused_reason,
        "source": subscription.filter.source,
        "filter": {
            "patterns": sorted(subscription.filter.patterns),
            "buildings": sorted(subscription.filter.buildings),
            "zones": sorted(subscription.filter.zones),
            "devtypes": sorted(subscription.filter.devtypes),
        },
        "kind": destination.kind,
        "url": "" if destination.kind == "postgres" else destination.url,
        "database": database_of(destination.url) if destination.kind == "postgres" else "",
        "auth": _public_auth(destination),
        "headers": [header.name for header in destination.headers],
        "private_ca": bool(destination.ca_pem),
        "client_certificate": destination.client_certificate is not None,
        "framing": destination.framing,
        "format": {"body": subscription.format.body, "gzip": subscription.format.gzip},
        "signing": [
            {
                "id": key.id,
                "kind": key.kind,
                "public_key": key.public,
                "created_at": key.created_at.isoformat(),
                "expires_at": key.expires_at.isoformat() if key.expires_at else None,
            }
            for key in subscription.signing
        ],
        "batch_items": subscription.limits.items,
        "batch_bytes": subscription.limits.size_bytes,
        "policy": {
            "retry_schedule_s": list(policy.retry_schedule_s),
            "retry_spread": policy.retry_spread,
            "give_up_s": policy.give_up_s,
            "connect_timeout_s": policy.connect_timeout_s,
            "total_timeout_s": policy.total_timeout_s,
            "order": policy.order,
            "in_flight": policy.in_flight,
            "flush_s": policy.flush_s,
            "rate_per_s": policy.rate_per_s,
            "catch_up_per_s": policy.catch_up_per_s,
        },
        "notify": {
            "subscription": subscription.notify.subscription_id,
            "url": subscription.notify.url,
            "signed": subscription.notify.secret is not None,
        },
        "version": subscription.version,
        "created_at": subscription.created_at.isoformat(),
    }


def _public_auth(destination: Destination) -> dict[str, object]:
    auth = destination.auth
    shown: dict[str, object] = {"scheme": auth.scheme}
    match auth:
        case BasicAuth():
            shown["user"] = auth.user
        case ClientCredentials() | RefreshToken():
            shown |= {
                "token_url": auth.token_url,
                "client_id": auth.client_id,
                "client_auth": auth.client_auth,
                "scope": auth.scope,
                "extra": [name for name, _ in auth.extra],
            }
            if isinstance(auth, ClientCredentials):
                shown["audience"] = auth.audience
        case SharedAccessKey():
            shown["key_name"] = auth.key_name
        case SignatureV4():
            shown |= {"access_key_id": auth.access_key_id, "region": auth.region}
    return shown
