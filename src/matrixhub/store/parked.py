"""Readings that were set aside, with their reasons."""

from __future__ import annotations

from typing import Any

from matrixhub.model.delivery import ParkedItem
from matrixhub.model.ids import SubscriptionId
from matrixhub.model.subscription import Position


def parked_from_row(row: Any) -> ParkedItem:
    """The values of a row of `parked`."""
    return ParkedItem(
        id=row["id"],
        subscription_id=SubscriptionId(row["subscription_id"]),
        parked_at=row["parked_at"],
        place=Position(seq=row["seq"], item=row["item"]),
        line=row["line"],
        code=row["code"],
        reason=row["reason"],
        http_status=row["http_status"],
        request_id=row["request_id"],
        redrive_at=row["redrive_at"],
    )
