"""Good requests to the routes of backfills, and the things they are about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.integration.rest.rig import Rig

from matrixhub.model.database import CustomerDatabase, Limits, Server, database_url
from matrixhub.model.destination import Destination
from matrixhub.model.ids import BackfillId, DatabaseId, PropertyId, SubscriptionId, new_id
from matrixhub.model.secret import Secret
from matrixhub.modules.telemetry.backfills import Wish, start_backfill
from matrixhub.store.databases import Databases

BEFORE = datetime(2024, 3, 10, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Backfilled:
    """A database of a property, a subscription that leads to it, and a backfill of what was before a time."""

    property_id: PropertyId
    database: DatabaseId
    subscription: SubscriptionId
    backfill: BackfillId

    @property
    def names(self) -> list[bytes]:
        """What must not be seen by another property."""
        return [one.encode() for one in (self.property_id, self.database, self.subscription, self.backfill)]


async def make_backfilled(rig: Rig, property_id: PropertyId) -> Backfilled:
    """The things of a property; there is no server behind the database."""
    record = CustomerDatabase(
        id=DatabaseId(new_id("db")),
        property_id=property_id,
        name="theirs",
        hosting="customer",
        server=Server(host="db.example.org", database="matrix", user="hub", password=Secret("s3cret")),
        may_create=False,
        limits=Limits(),
        reader="",
        version=1,
        created_at=BEFORE,
    )
    await Databases(rig.database, rig.codec.sealer).add(record)
    destination = Destination(url=database_url(record.id), kind="postgres")
    live = await rig.subscribe(property_id, destination=destination)
    made = await start_backfill(rig.database, Wish(property_id=property_id, database_id=record.id, until=BEFORE))
    return Backfilled(property_id=property_id, database=record.id, subscription=live.id, backfill=made.id)


@dataclass(frozen=True, slots=True)
class BackfillRoute:
    """A good request: path and body."""

    path: Callable[[Backfilled], str]
    body: object = None
    shown: bool = False


def _one(rest: str = "") -> BackfillRoute:
    return BackfillRoute(lambda t: f"/databases/{t.database}/backfills/{t.backfill}{rest}")


def _all(body: object = None) -> BackfillRoute:
    return BackfillRoute(lambda t: f"/databases/{t.database}/backfills", body)


BACKFILL_ROUTES = {
    "listBackfills": _all(),
    "createBackfill": _all({"since": "2024-03-10T00:00:00Z", "dry_run": True}),
    "showBackfill": _one(),
    "pauseBackfill": _one("/pause"),
    "resumeBackfill": _one("/resume"),
    "cancelBackfill": _one("/cancel"),
}
