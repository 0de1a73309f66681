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
from matrixhub.model.errors import NotFound, StoreError
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
    owner: Any

    async def run(self, statement: str, *arguments: object) -> list[Any]:
        """What a statement of the customer's gives."""
        return list(await self.owner.fetch(statement, *arguments))

    async def make_schema(self) -> None:
        """Make the schema, from nothing, and let the writer write."""
        await self.run("drop schema if exists matrix cascade")
        for statement in statements().values():
            await self.run(statement)
        await self.run(f"grant usage on schema matrix to {self.record.server.user}")
        await self.run(f"grant select, insert on all tables in schema matrix to {self.record.server.user}")

    async def count(self, table: str = "sensor_data") -> int:
        """How many rows lie in a table."""
        return int((await self.run(f"select count(*) from matrix.{table}"))[0][0])

    async def empty(self) -> None:
        """Empty both tables."""
        await self.run("truncate matrix.sensor_data, matrix.events")

    def at(self, **changed: object) -> CustomerDatabase:
        """The record with other parts of its server."""
        return replace(self.record, server=replace(self.record.server, **changed), version=self.record.version + 1)


class MemoryRecords:
    """The port `DatabaseRecords`; `away` makes it fail, and `looks` counts who asked."""

    def __init__(self, *records: CustomerDatabase) -> None:
        self.kept = {record.id: record for record in records}
        self.away = False
        self.looks = 0

    def save(self, record: CustomerDatabase) -> None:
        """Keep a record as it is now."""
        self.kept[record.id] = replace(record, version=self.kept[record.id].version + 1)

    async def show(self, database_id: DatabaseId, property_id: PropertyId) -> CustomerDatabase:
        """See `DatabaseRecords.show`."""
        self._look()
        found = self.kept.get(database_id)
        if found is None or found.property_id != property_id:
            raise NotFound(f"there is no database {database_id}")
        return found

    async def version(self, database_id: DatabaseId) -> int | None:
        """See `DatabaseRecords.version`."""
        self._look()
        return self.kept[database_id].version if database_id in self.kept else None

    def _look(self) -> None:
        self.looks += 1
        if self.away:
            raise StoreError("PostgreSQL: away")


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
    where = urlsplit(dsns.tcp)
    host, port = ("", 5432) if hosting == "hub" else (where.hostname or "", where.port or 5432)
    record = CustomerDatabase(
        id=DatabaseId(f"db_{number:x}"),
        property_id=property_id,
        name=f"theirs {number}",
        hosting=hosting,
        server=Server(host=host, port=port, database=name, user=user, password=Secret(PASSWORD), tls="disable"),
        may_create=False,
        limits=Limits(),
        reader="",
        version=1,
        created_at=datetime(2024, 3, 10, tzinfo=UTC),
        egress_allow=LOOPBACK,
    )
    owner = await asyncpg.connect(dsns.socket)
    try:
        await owner.execute(f"create role {user} login password '{PASSWORD}'")
        theirs = Theirs(dsns, record, owner)
        if schema:
            await theirs.make_schema()
        yield theirs
    finally:
        await owner.close()
        last = await asyncpg.connect(engines.postgres.of("postgres").socket)
        try:
            await last.execute(f"drop database {name} with (force)")
            await last.execute(f"drop role if exists {user}")
        finally:
            await last.close()
