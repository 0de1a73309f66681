"""The balance: of every reading that a subscription wants, what became of it.

Source: docs/balance.md, docs/decisions/0009-balance.md
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from matrixhub.model.ids import PropertyId, SubscriptionId
from matrixhub.model.subscription import Express, Filter, Position


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """What is kept of a subscription for its balance, read from its row at one moment.

    `accepted` counts the readings it wants before `accepted_to`, by the auditor's count; the other counts are the
    carrier's. `ahead` are readings that these hold already although they lie behind the position:
    parts of a request, up to `sending_to`, that were settled before the whole of it, or what went by `express`.
    """

    id: SubscriptionId
    property_id: PropertyId
    filter: Filter
    accepted: int
    accepted_to: Position
    position: Position
    sending_to: Position | None = None
    step: int = 0
    express: Express | None = None
    ahead: int = 0
    delivered: int = 0
    parked: int = 0
    expired: int = 0
    skipped: int = 0
    replayed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Balance:
    """Readings, by what became of them. `accepted` includes `replayed`, those asked for again.

    >>> Balance(accepted=5, delivered=3, pending=1, parked=0, expired=0, skipped=0, replayed=0).difference
    1
    """

    accepted: int
    delivered: int
    pending: int
    parked: int
    expired: int
    skipped: int
    replayed: int

    @property
    def difference(self) -> int:
        """How many readings were accepted that nothing is known of; below 0, so many more are known than came."""
        return self.accepted - self.delivered - self.pending - self.parked - self.expired - self.skipped

    @property
    def holds(self) -> bool:
        """Whether every reading is accounted for."""
        return self.difference == 0


def total_balance(balances: Iterable[Balance]) -> Balance:
    """The sums. Differences of opposite sign may hide in them: whether all hold is for each to say.

    >>> total_balance([]).holds
    True
    """
    kept = list(balances)
    return Balance(
        accepted=sum(b.accepted for b in kept),
        delivered=sum(b.delivered for b in kept),
        pending=sum(b.pending for b in kept),
        parked=sum(b.parked for b in kept),
        expired=sum(b.expired for b in kept),
        skipped=sum(b.skipped for b in kept),
        replayed=sum(b.replayed for b in kept),
    )


def balance_of(account: Account, *, uncounted: int, waiting: int) -> Balance:
    """The balance from the two counts of the stream, both up to the same end.

    Shape:  uncounted are the wanted readings from `accepted_to` on, waiting those from the position on.
    """
    return Balance(
        accepted=account.accepted + uncounted + account.replayed,
        delivered=account.delivered,
        pending=waiting - account.ahead,
        parked=account.parked,
        expired=account.expired,
        skipped=account.skipped,
        replayed=account.replayed,
    )
