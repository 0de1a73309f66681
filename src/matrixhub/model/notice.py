"""What is told about the health of a subscription, when, and in which words: pure decisions.

What was told last is kept beside the progress of the subscription, so that each change is told once.
Source: docs/contract/data-push.md §5, §6
"""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import quote, quote_plus
from uuid import UUID

from matrixhub.model.destination import BasicAuth
from matrixhub.model.health import Health, health_from
from matrixhub.model.ids import PropertyId, SubscriptionId
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import PausedBy, Progress, State, Subscription

NoticeKind = Literal["failing", "suspended", "recovered", "parked", "expiring"]
TroubleTold = Literal["", "failing", "suspended", "resumed"]
"""The trouble that was told and is not over; `resumed`: told as suspended, made active again since."""

RECOVERED_AFTER_S = 60.0
"""Recovery is told this long after its trouble was, at the earliest: what fails again meanwhile is the same trouble."""

PARKED_EVERY_S = 900.0
EXPIRING_SHARE = 0.8
EXPIRING_EVERY_SHARE = 0.1
"""Told when the oldest reading has waited for this share of what it may, and again with every further share of this."""

TYPE_PREFIX = "matrixhub.subscription."
REASON_MAX = 300
_SECRET_MIN = 4
_READ_MAX = 2_000
_HIDDEN = "…"


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What was told last: trouble and when, how much was delivered by then; how many readings were parked untold."""

    trouble: TroubleTold = ""
    at: datetime | None = None
    delivered: int = 0
    parked_untold: int = 0
    parked_at: datetime | None = None
    expiring_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How a subscription stands, and what was told of it."""

    subscription_id: SubscriptionId
    state: State
    paused_by: PausedBy
    failures: int
    failing_since: datetime | None
    delivered: int
    parked: int
    told: Told


@dataclass(frozen=True, kw_only=True, slots=True)
class Expiry:
    """When the oldest reading that waits expires, of those that may wait for so long."""

    at: datetime
    retention_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Concern:
    """A subscription that there may be something to tell of, with the codes and reasons of what went wrong last."""

    subscription: Subscription
    progress: Progress
    standing: Standing
    failed_code: str = ""
    parked_code: str = ""
    parked_reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """Something to tell about a subscription; its body is a JSON object."""

    id: UUID
    subscription_id: SubscriptionId
    property_id: PropertyId
    kind: NoticeKind
    at: datetime
    body: Mapping[str, object]


def due_notices(standing: Standing, now: datetime, expiry: Expiry | None = None) -> tuple[Told, tuple[NoticeKind, ...]]:
    """What there is to tell now, and what is told then; nothing is due where that is what was told already."""
    health = health_from(standing.state, standing.paused_by, standing.failures, standing.failing_since, now)
    told, kinds = _due_health(health, standing, now)
    if told.parked_untold and _is_over(told.parked_at, PARKED_EVERY_S, now):
        if standing.parked:
            kinds.append("parked")
            told = replace(told, parked_at=now)
        # What was sent again or expired before anyone was told needs no notice any more.
        told = replace(told, parked_untold=0)
    if expiry is not None and standing.state == "paused":
        early_s = expiry.retention_s * (1 - EXPIRING_SHARE)
        close = now >= expiry.at - timedelta(seconds=early_s)
        if close and _is_over(told.expiring_at, expiry.retention_s * EXPIRING_EVERY_SHARE, now):
            kinds.append("expiring")
            told = replace(told, expiring_at=now)
    return told, tuple(kinds)


def _due_health(health: Health, standing: Standing, now: datetime) -> tuple[Told, list[NoticeKind]]:
    told = standing.told
    if health in ("failing", "suspended"):
        if health == told.trouble:
            return told, []
        trouble: Literal["failing", "suspended"] = "failing" if health == "failing" else "suspended"
        return replace(told, trouble=trouble, at=now, delivered=standing.delivered), [trouble]
    if not told.trouble or health == "paused":
        return told, []
    # Made active again is not recovered: for that, something must have been taken since.
    taken = standing.delivered > told.delivered
    if health == "healthy" and taken and _is_over(told.at, RECOVERED_AFTER_S, now):
        return replace(told, trouble="", at=now, delivered=standing.delivered), ["recovered"]
    return (replace(told, trouble="resumed") if told.trouble == "suspended" else told), []


def _is_over(since: datetime | None, wait_s: float, now: datetime) -> bool:
    return since is None or (now - since).total_seconds() >= wait_s


def notice_body(
    kind: NoticeKind, notice_id: UUID, concern: Concern, now: datetime, expiry: Expiry | None = None
) -> dict[str, object]:
    """The JSON object that is sent; nothing in it is a secret, whatever the reasons quote."""
    subscription, progress, standing = concern.subscription, concern.progress, concern.standing
    health = health_from(standing.state, standing.paused_by, standing.failures, standing.failing_since, now)
    code, reason, since = "", "", now
    match kind:
        case "failing":
            code, reason, since = concern.failed_code, progress.last_error, progress.failing_since or now
        case "suspended":
            code, reason = concern.failed_code, subscription.paused_reason or progress.last_error
        case "recovered":
            since = progress.last_delivered_at or now
        case "parked":
            code, reason = concern.parked_code, concern.parked_reason
        case "expiring":
            reason = subscription.paused_reason or "the subscription is paused"
    body: dict[str, object] = {
        "id": str(notice_id),
        "type": TYPE_PREFIX + kind,
        "at": _iso(now),
        "subscription": subscription.id,
        "property": subscription.property_id,
        "name": subscription.name,
        "health": health,
        "since": _iso(since),
        "reason_code": code,
        "reason": safe_text(reason, secret_texts(subscription)),
        "delivered": progress.delivered,
        "parked": progress.parked,
    }
    if kind == "parked":
        body["parked_new"] = standing.told.parked_untold
    if kind == "expiring" and expiry is not None:
        body["expires_at"] = _iso(expiry.at)
    return body


def _iso(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds")


def secret_texts(value: object) -> frozenset[str]:
    """Every form in which the secrets of a value, such as a subscription, could be quoted."""
    return frozenset(form for text in _revealed(value) for form in _forms(text) if len(form) >= _SECRET_MIN)


def _revealed(value: object) -> Iterator[str]:
    if isinstance(value, Secret):
        yield value.reveal()
    elif isinstance(value, tuple):
        for part in value:
            yield from _revealed(part)
    elif dataclasses.is_dataclass(value):
        if isinstance(value, BasicAuth):
            yield f"{value.user}:{value.password.reveal()}"
        for field in dataclasses.fields(value):
            yield from _revealed(getattr(value, field.name))


def _forms(text: str) -> Iterator[str]:
    yield from (text, quote(text, safe=""), quote_plus(text), text.replace("\\", "\\\\").replace('"', '\\"'))
    yield base64.b64encode(text.encode()).decode()
    if text.startswith(("whsec_", "whsk_")):
        yield text.partition("_")[2]
    if "\n" in text:
        yield from (line for line in text.splitlines() if line and not line.startswith("-----"))


_CREDENTIALS = (
    (re.compile(r"(?<=://)\S*@"), ""),
    (re.compile(r"[?&;#][^\s?]*=\S*"), f"?{_HIDDEN}"),
    (re.compile(r"(?i)\b(basic|bearer|sharedaccesssignature|aws4-hmac-sha256)\s+\S{12,}.*"), rf"\1 {_HIDDEN}"),
    (re.compile(r"\bwhs(?:ec|k)_\S+"), _HIDDEN),
    (
        re.compile(
            r"(?i)([\w-]*(?:sig|signature|password|passwd|secret|token|key|authorization))"
            r"(\s*=\s*|[\"']\s*:\s*)(\"[^\"]*\"?|'[^']*'?|[^\s,;&}]+)"
        ),
        rf"\1\2{_HIDDEN}",
    ),
)
"""What looks like a credential, although it is none of those we know: one of the receiver or of a token server."""


def safe_text(text: str, secrets: Iterable[str] = ()) -> str:
    """The text in one line, cut to 300 signs, without these secrets and without what looks like one.

    >>> safe_text("https://user:word@example.test/in?code=abc said no", ["said"])
    'https://example.test/in?… … no'
    """
    for secret in sorted(secrets, key=len, reverse=True):
        text = _without_beginning(text.replace(secret, _HIDDEN), secret)
    text = text[:_READ_MAX]
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    for pattern, instead in _CREDENTIALS:
        text = pattern.sub(instead, text)
    return text if len(text) <= REASON_MAX else text[: REASON_MAX - 1] + _HIDDEN


def _without_beginning(text: str, secret: str) -> str:
    """The text without the beginning of the secret at its end, where someone cut it before us."""
    for length in range(min(len(secret) - 1, len(text)), _SECRET_MIN - 1, -1):
        if text.endswith(secret[:length]):
            return text[:-length] + _HIDDEN
    return text
