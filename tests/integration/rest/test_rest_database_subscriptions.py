"""Subscriptions that lead to databases, over REST and by command."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.integration.rest.rig import Client, Rig

from matrixhub.model.database import CustomerDatabase, Limits, Server
from matrixhub.model.ids import DatabaseId, PropertyId, new_id
from matrixhub.model.secret import Secret
from matrixhub.store.databases import Databases

pytestmark = pytest.mark.asyncio(loop_scope="session")

PLANTED = "pl4nted-s3cret"


async def database_of(rig: Rig, property_id: PropertyId) -> str:
    """The id of a new database of the property."""
    record = CustomerDatabase(
        id=DatabaseId(new_id("db")),
        property_id=property_id,
        name="warehouse",
        hosting="customer",
        server=Server(host="db.example.org", database="matrix", user="hub", password=Secret(PLANTED)),
        may_create=False,
        limits=Limits(),
        reader="",
        version=1,
        created_at=datetime.now(UTC),
    )
    await Databases(rig.database, rig.codec.sealer).add(record)
    return record.id


async def test_a_subscription_leads_to_a_database_of_the_property(rig: Rig) -> None:
    owner = await rig.property()
    client, database = await rig.client(owner), await database_of(rig, owner)
    told = await client.post("/subscriptions?unchecked=true", {"database": database, "source": "events"})
    made = told.json()
    assert told.status == 201, made
    shown: dict[str, Any] = {name: made[name] for name in ("kind", "database", "url", "source", "batch_items")}
    expected = {"kind": "postgres", "database": database, "url": "", "source": "events", "batch_items": 2_000}
    assert shown == expected
    path = f"/subscriptions/{made['id']}"
    assert (await client.get(path)).json() == made
    assert (await client.ask("PATCH", path, {"batch_items": 100})).json()["database"] == database
    assert not any(PLANTED.encode() in content for content in client.seen)


async def test_a_database_of_another_property_or_of_nobody_is_refused(rig: Rig, client: Client) -> None:
    foreign = await database_of(rig, await rig.property())
    for database in (foreign, "db_0"):
        told = await client.post("/subscriptions", {"database": database})
        assert (told.code, told.wrong) == ("MH-R010", ["database"])
