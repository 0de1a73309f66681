"""Subscriptions and pushes to try parts with."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from matrixhub.model.destination import Destination
from matrixhub.model.ids import PropertyId, SubscriptionId
from matrixhub.model.policy import BatchLimits
from matrixhub.model.subscription import Filter, Subscription
from matrixhub.ports import Push

_SUBSCRIPTION = Subscription(
    id=SubscriptionId("sub_1"),
    property_id=PropertyId("p"),
    name="",
    filter=Filter(),
    destination=Destination(url="https://example.test/"),
    limits=BatchLimits(),
    state="active",
    created_at=datetime(2024, 1, 1, tzinfo=UTC),
)


def sample_subscription(**changes: Any) -> Subscription:
    """A subscription of property `p`, with these parts of it changed."""
    return replace(_SUBSCRIPTION, **changes)


def sample_push(destination: Destination, body: bytes, *, request_id: str = "request-1", **changes: Any) -> Push:
    """A push of this body to the destination, for a subscription with these parts changed."""
    subscription = sample_subscription(destination=destination, **changes)
    return Push(subscription=subscription, request_id=request_id, body=body, items=1)
