"""The identities of a subscription's pushes. Source: docs/decisions/0006-one-plan-ahead.md"""

from __future__ import annotations

from matrixhub.deliveries.plan import Batch, content_of, request_id
from matrixhub.model.subscription import Lease


class Identity:
    """Names each push: the same for the same bytes, until a replay raises the epoch."""

    __slots__ = ("_content", "_subscription", "epoch")

    def __init__(self, lease: Lease) -> None:
        self.epoch = lease.progress.epoch
        self._subscription = lease.subscription.id
        self._content = content_of(lease.subscription)

    def of(self, batch: Batch) -> str:
        """The request id of the batch."""
        return request_id(self._subscription, batch, self.epoch, self._content)
