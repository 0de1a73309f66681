"""Good requests to the routes of customers' own databases, and the database they are about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from tests.integration.rest.rig import SEEDS, Rig, Things

from matrixhub.deliveries.database_desk import open_database_desk
from matrixhub.lifecycle import SystemClock
from matrixhub.model.database import CustomerDatabase, Server
from matrixhub.model.ids import PropertyId
from matrixhub.model.secret import Secret

NAME = "a_customers"
"""One database for all, on the server of the rig."""


def server_of(rig: Rig) -> Server:
    """That database, as the hub is told of it."""
    dsn = urlsplit(rig.database.dsn)
    return Server(
        host="127.0.0.1",
        port=int(parse_qs(dsn.query)["port"][0]),
        database=NAME,
        user=dsn.username or "",
        password=Secret(unquote(dsn.password or "")),
        tls="disable",
    )


async def connected_database(rig: Rig, property_id: PropertyId) -> CustomerDatabase:
    """A customer's own database that the property has, and that can be reached."""
    async with rig.database.connection() as connection:
        with suppress(asyncpg.DuplicateDatabaseError):
            await connection.execute(f"create database {NAME} template template0")
    async with open_database_desk(rig.database, rig.codec.sealer, (), SystemClock()) as desk:
        return await desk.add(property_id, f"theirs {next(SEEDS)}", server_of(rig), may_create=True)


async def with_database(rig: Rig, things: Things) -> Things:
    """The things, and a database."""
    return replace(things, customer_database=(await connected_database(rig, things.property_id)).id)


def of_database(rest: str, body: object = None) -> tuple[Callable[[Things], str], Callable[[Things], object]]:
    return lambda t: f"/databases/{t.customer_database}{rest}", lambda _: body


DATABASE_ROUTES: Mapping[str, tuple[Callable[[Things], str], Callable[[Things], object]]] = {
    "showDatabaseServer": of_database("/server"),
    "changeDatabaseServer": of_database("/server", {"name": "changed"}),
    "disconnectDatabase": of_database("/server"),
    "checkDatabase": of_database("/check", {}),
    "applyDatabaseSchema": of_database("/apply"),
    "showDatabaseScript": of_database("/script"),
}
