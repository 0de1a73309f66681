"""The balance of subscriptions, taken from their accounts and the stream: exact at the moment it is taken.

An account is one row, read at once; the end of the stream is read after it, and everything is counted up to that very
end. What is stored before it does not change, so whatever goes on meanwhile does not matter, save a purge: then it is
done again. Source: docs/decisions/0009-balance.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matrixhub.deliveries.pending import Progressed, Want, count_wanted
from matrixhub.model.balance import Account, Balance, balance_of, total_balance
from matrixhub.model.errors import BusError, NotFound
from matrixhub.model.ids import PropertyId, SubscriptionId
from matrixhub.model.subscription import Position, Source
from matrixhub.ports import Books, Bus, Buses

__all__ = ["Balance", "subscription_balance", "take_balances", "total_balance"]

TRIES = 5


async def subscription_balance(buses: Buses, books: Books, subscription_id: SubscriptionId) -> Balance:
    """The balance of one subscription. Raises NotFound, BusError, StoreError."""
    found = await take_balances(buses, books, subscription_id=subscription_id)
    if subscription_id not in found:
        raise NotFound(f"there is no subscription {subscription_id}")
    return found[subscription_id]


async def take_balances(
    buses: Buses,
    books: Books,
    *,
    subscription_id: SubscriptionId | None = None,
    property_id: PropertyId | None = None,
    progressed: Progressed = lambda _done, _all: None,
) -> Mapping[SubscriptionId, Balance]:
    """The balances of all subscriptions, of those of a property, or of one. Raises BusError, StoreError.

    They are taken stream by stream, each exact at its moment.
    """
    found: dict[SubscriptionId, Balance] = {}
    for source, bus in buses.items():
        found |= await _take_of_stream(source, bus, books, subscription_id, property_id, progressed)
    return found


async def _take_of_stream(
    source: Source,
    bus: Bus,
    books: Books,
    subscription_id: SubscriptionId | None,
    property_id: PropertyId | None,
    progressed: Progressed,
) -> Mapping[SubscriptionId, Balance]:
    for _ in range(TRIES):
        before = await bus.bounds()
        accounts = [
            account
            for account in await books.accounts(source, subscription_id)
            if property_id in (None, account.property_id)
        ]
        if not accounts:
            return {}
        end = (await bus.bounds()).last_seq + 1
        balances = await _count(bus, accounts, end, progressed)
        if (await bus.bounds()).first_seq == before.first_seq:
            return dict(zip((account.id for account in accounts), balances, strict=True))
    raise BusError("balance: the stream was shortened again and again while it was counted")


async def _count(bus: Bus, accounts: Sequence[Account], end: int, progressed: Progressed) -> Sequence[Balance]:
    uncounted = [want_from(account, account.accepted_to) for account in accounts]
    waiting = [want_from(account, account.position) for account in accounts]
    counts = await count_wanted(bus, [*uncounted, *waiting], end, progressed)
    return [
        balance_of(account, uncounted=counts[n], waiting=counts[len(accounts) + n])
        for n, account in enumerate(accounts)
    ]


def want_from(account: Account, position: Position) -> Want:
    """What a subscription wants from a position on."""
    return Want(property_id=account.property_id, filter=account.filter, position=position)
