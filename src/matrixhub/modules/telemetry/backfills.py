"""Backfills: past data of a property, copied into a customer's database to which a subscription leads.

Source: docs/decisions/0027-backfill.md
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from matrixhub.bus.subjects import event_subject, filter_matcher
from matrixhub.model.backfill import RATE, Backfill, check_wish
from matrixhub.model.errors import InvalidValue, NotFound
from matrixhub.model.ids import BackfillId, DatabaseId, PropertyId, SubscriptionId, new_id
from matrixhub.model.past import END, FIRST
from matrixhub.model.subscription import Filter, Source
from matrixhub.store import Database
from matrixhub.store.backfills import (
    Backfills,
    Matches,
    estimate_events,
    estimate_readings,
    subscriptions_to,
)

_ANYONE = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What is to be copied where: without a time, all that is kept.

    `subscription_id` is needed where several lead there.
    Units:  rate is rows a second.
    """

    property_id: PropertyId
    database_id: DatabaseId
    source: Source = "sensors"
    since: datetime | None = None
    until: datetime | None = None
    rate: int = RATE
    subscription_id: SubscriptionId | None = None


async def plan_backfill(database: Database, wish: Wish) -> Backfill:
    """The backfill as it would be, with how much it is about; nothing is kept.

    Raises: NotFound without such a database, InvalidValue where no subscription leads there or it is not clear which is
    meant, or for a time or rate that cannot be, StoreError.
    """
    since, until = max(wish.since or FIRST, FIRST), min(wish.until or END, END)
    check_wish(since, until, wish.rate)
    subscription_id, wanted = await _live(database, wish)
    if wanted.source == "events":
        matches = event_matcher(wish.property_id, wanted)
        estimate = await estimate_events(database, wish.property_id, matches, since, until)
    else:
        estimate = await estimate_readings(database, wish.property_id, wanted, since, until)
    return Backfill(
        id=BackfillId(new_id("bfl")),
        property_id=wish.property_id,
        database_id=wish.database_id,
        subscription_id=subscription_id,
        filter=wanted,
        since=since,
        until=until,
        rate=wish.rate,
        state="asked",
        estimate=estimate,
        created_at=_ANYONE,  # the database says
    )


async def start_backfill(database: Database, wish: Wish) -> Backfill:
    """Ask for a backfill; it begins as soon as a process of the role `store` has time for it.

    Raises: as `plan_backfill`, and BackfillUnderWay while one of the same data is not over.
    """
    planned = await plan_backfill(database, wish)
    return await Backfills(database).add(planned)


async def _live(database: Database, wish: Wish) -> tuple[SubscriptionId, Filter]:
    """The subscription that brings what comes later, and what it wants."""
    found = await subscriptions_to(database, wish.property_id, wish.database_id)
    if found is None:
        raise NotFound(f"property {wish.property_id} has no database {wish.database_id}")
    of_source = {one: wanted for one, wanted in found.items() if wanted.source == wish.source}
    if wish.subscription_id is not None:
        of_source = {one: wanted for one, wanted in of_source.items() if one == wish.subscription_id}
    if not of_source:
        what = (
            f"no such subscription to {wish.source} leads to database {wish.database_id}: a backfill brings what was"
            " before, and a subscription what comes; make it first"
        )
        raise InvalidValue(what, fields=(("subscription" if wish.subscription_id else "source", what),))
    if len(of_source) > 1:
        what = f"several subscriptions lead to database {wish.database_id}; name one of {', '.join(sorted(of_source))}"
        raise InvalidValue(what, fields=(("subscription", what),))
    [(subscription_id, wanted)] = of_source.items()
    return subscription_id, wanted


def event_matcher(property_id: PropertyId, wanted: Filter) -> Matches:
    """Says of the words of a routing key whether the event is wanted."""
    matches = filter_matcher(property_id, wanted)
    return lambda words: matches(event_subject(property_id, words))
