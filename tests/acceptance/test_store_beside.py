"""Past data is kept by a process beside the hub, and by the hub itself where that process dies."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import psutil
from tests.acceptance.hub import DEVICES, PROPERTY, Hub, make_reading, wait_for

from matrixhub.config import load_settings
from matrixhub.databases.connecting import connected
from matrixhub.databases.schema import statements
from matrixhub.engines import read_running
from matrixhub.model.database import CustomerDatabase, Limits, Server
from matrixhub.model.ids import DatabaseId, PropertyId, new_id
from matrixhub.model.secret import Secret
from matrixhub.service import find_endpoints
from matrixhub.sources.client import HubClient
from matrixhub.store import open_database
from matrixhub.store.databases import Databases
from matrixhub.store.sealing import Sealer


def beside(hub: Hub) -> list[psutil.Process]:
    """The processes of the hub that are no engines."""
    children = psutil.Process(hub.program.pid).children()
    return [process for process in children if process.name() not in ("postgres", "nats-server")]


def stored(hub: Hub, key: str) -> int:
    """How many readings the hub gives back."""
    request = Request(f"{hub.url}/hub/v1/readings?limit=500", headers={"Authorization": f"Bearer {key}"})
    with urlopen(request, timeout=10) as answer:
        return len(json.load(answer)["items"])


async def make_database(hub: Hub) -> str:
    """A database of a customer's, on the hub's own server, to which a subscription leads; its id."""
    endpoints = find_endpoints(load_settings(None, {}), hub.data)
    where = urlsplit(read_running(hub.data)["postgres_tcp_dsn"])
    server = Server(
        host=where.hostname or "",
        port=where.port or 0,
        database="theirs",
        user=where.username or "",
        password=Secret(where.password or ""),
        tls="disable",
    )
    record = CustomerDatabase(
        id=DatabaseId(new_id("db")),
        property_id=PropertyId(PROPERTY),
        name="theirs",
        hosting="customer",
        server=server,
        may_create=False,
        limits=Limits(),
        reader="",
        version=1,
        created_at=datetime.now(UTC),
    )
    async with open_database(endpoints.postgres_dsn, connections_max=1) as database:
        async with database.connection() as connection:
            await connection.execute("create database theirs")
        await Databases(database, Sealer(endpoints.master_key)).add(record)
    async with connected(server, [server.host]) as theirs:
        for statement in statements().values():
            await theirs.execute(statement)
    hub.ask("subscription", "create", "--property", PROPERTY, "--database", record.id)
    return record.id


def backfilled(hub: Hub, database_id: str) -> int:
    """How many readings a backfill finds, once it is done."""
    made = hub.ask("database", "backfill", "start", "--database", database_id, "--watch")
    assert (made["state"], made["refused"]) == ("done", 0)
    return int(made["written"] + made["present"])


async def test_readings_are_stored_beside_the_hub_and_by_it_where_that_process_dies() -> None:
    with Hub.started() as hub:
        key = hub.ask("key", "create", "--property", PROPERTY, "--manage")["key"]
        [process] = beside(hub)
        assert process.nice() > psutil.Process(hub.program.pid).nice()
        async with HubClient(hub.url, hub.key) as client:
            await client.send([make_reading(device) for device in DEVICES])
            await wait_for(lambda: stored(hub, key) == len(DEVICES), "the readings are not stored")
            database_id = await make_database(hub)
            assert await asyncio.to_thread(backfilled, hub, database_id) == len(DEVICES)
            process.kill()
            await wait_for(lambda: bool(hub.program.facts("StoreComesHome")), "nobody noticed that it died")
            await client.send([make_reading(device) for device in DEVICES])
            await wait_for(lambda: stored(hub, key) == 2 * len(DEVICES), "the hub does not store by itself")
            assert await asyncio.to_thread(backfilled, hub, database_id) == 2 * len(DEVICES)
        hub.wait_ready()
        assert beside(hub) == []
