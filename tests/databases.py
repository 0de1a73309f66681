"""A database of a customer's on the shared server of the tests: with its schema, its own writer, and a record."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from tests.engines import Dsns, SharedEngines

from matrixhub.databases.schema import statements
from matrixhub.model.database import CustomerDatabase, Hosting, Limits, Server
from matrixhub.model.ids import DatabaseId, PropertyId
from matrixhub.model.secret import Secret

LOOPBACK = frozenset({"127.0.0.0/8"})
PROPERTY = PropertyId("prop")
PASSWORD = "writer-passw0rd"

_NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Theirs:
    """The customer's side: as its owner, and how the hub knows it."""

    dsns: Dsns
    record: CustomerDatabase

    async def run(self, statement: str, *arguments: object) -> list[Any]:
        """What a statement of the customer's gives."""
        connection = await asyncpg.connect(self.dsns.socket)
        try:
            return list(await connection.fetch(statement, *arguments))
        finally:
            await connection.close()

    async def count(self, table: str = "sensor_data") -> int:
        """How many rows lie in a table."""
        return int((await self.run(f"select count(*) from matrix.{table}"))[0][0])

    def at(self, **changed: object) -> CustomerDatabase:
        """The record with other parts of its server."""
        return replace(self.record, server=replace(self.record.server, **changed), version=self.record.version + 1)


@asynccontextmanager
async def customer_database(
    engines: SharedEngines,
    *,
    property_id: PropertyId = PROPERTY,
    hosting: Hosting = "customer",
    schema: bool = True,
) -> AsyncIterator[Theirs]:
    """A new database with a role that may write and nothing else; both are gone afterwards."""
    dsns, number = await engines.new_database(migrated=False), next(_NUMBERS)
    user, name = f"writer_{number}", urlsplit(dsns.socket).path[1:]
    owner = await asyncpg.connect(dsns.socket)
    try:
        await owner.execute(f"create role {user} login password '{PASSWORD}'")
        if schema:
            for statement in statements().values():
                await owner.execute(statement)
            await owner.execute(f"grant usage on schema matrix to {user}")
            await owner.execute(f"grant select, insert on all tables in schema matrix to {user}")
    finally:
        await owner.close()
    where = urlsplit(dsns.tcp)
    host, port = ("", 5432) if hosting == "hub" else (where.hostname or "", where.port or 5432)
    yield Theirs(
        dsns,
        CustomerDatabase(
            id=DatabaseId(f"db_{number:x}"),
            property_id=property_id,
            name=f"theirs {number}",
            hosting=hosting,
            server=Server(
                host=host, port=port, database=name, user=user, password=Secret(PASSWORD), tls="disable", ca_pem=""
            ),
            may_create=False,
            limits=Limits(),
            reader="",
            version=1,
            created_at=datetime(2024, 3, 10, tzinfo=UTC),
            egress_allow=LOOPBACK,
        ),
    )
    owner = await asyncpg.connect(engines.postgres.of("postgres").socket)
    try:
        await owner.execute(f"drop database {name} with (force)")
        await owner.execute(f"drop role {user}")
    finally:
        await owner.close()
