"""`/hub/v1/balance`: that every reading is accounted for."""

from __future__ import annotations

from litestar import get

from matrixhub.api.auth import PropertyScope
from matrixhub.api.rest import documents as doc
from matrixhub.api.rest.hub import Hub
from matrixhub.api.rest.parameters import SubscriptionPath
from matrixhub.api.rest.views import balance_view
from matrixhub.deliveries.balance import subscription_balance, take_balances, total_balance
from matrixhub.model.ids import SubscriptionId
from matrixhub.store.books import PostgresBooks
from matrixhub.store.subscriptions import show_subscription


@get("/balance", operation_id="showBalance", summary="Show the balance of all subscriptions", tags=["balance"])
async def show_all(hub: Hub, property_id: PropertyScope) -> doc.BalanceSheet:
    """Of every reading that a subscription wants, what became of it; counted for this answer, so with a long backlog
    it takes a while.
    """
    balances = await take_balances(hub.buses, PostgresBooks(hub.database), property_id=property_id)
    return doc.BalanceSheet(
        total=balance_view(total_balance(balances.values())),
        holds=all(balance.holds for balance in balances.values()),
        items=[
            doc.SubscriptionBalance(subscription=found, balance=balance_view(balance))
            for found, balance in sorted(balances.items())
        ],
    )


@get(
    "/subscriptions/{subscription_id:str}/balance",
    operation_id="showSubscriptionBalance",
    summary="Show the balance of a subscription",
    tags=["balance"],
)
async def show(hub: Hub, property_id: PropertyScope, subscription_id: SubscriptionPath) -> doc.BalanceView:
    """accepted = delivered + pending + parked + expired + skipped, exact at the moment it was taken."""
    found = SubscriptionId(subscription_id)
    await show_subscription(hub.database, hub.codec, property_id, found)
    return balance_view(await subscription_balance(hub.buses, PostgresBooks(hub.database), found))


handlers = [show_all, show]
