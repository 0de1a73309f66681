"""A database that the hub hosts, for tests: made by the real steps on the shared server, dropped at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import asyncpg
from tests.engines import Dsns

from matrixhub.databases.hosted import HostedDatabases
from matrixhub.model.database import CustomerDatabase, HostedNames, Limits
from matrixhub.model.errors import NotFound
from matrixhub.model.ids import PropertyId
from matrixhub.model.secret import Secret
from matrixhub.store import Database, open_database
from matrixhub.store.sealing import Sealer

SEALER = Sealer("0f" * 32)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hosted:
    """A hosted database, and how its customer and the hub log in."""

    desk: HostedDatabases
    record: CustomerDatabase
    password: Secret
    dsns: Dsns

    @property
    def names(self) -> HostedNames:
        """What it and its roles are called."""
        return HostedNames.of(self.record.id)

    @asynccontextmanager
    async def reader(self, *, database: str = "", password: Secret | None = None) -> AsyncIterator[Any]:
        """The customer's connection, over TCP as he has it."""
        async with _connection(
            self.dsns.tcp, self.names.reader, password or self.password, database or self.names.database
        ) as it:
            yield it

    @asynccontextmanager
    async def writer(self, *, database: str = "", password: Secret | None = None) -> AsyncIterator[Any]:
        """The hub's connection that writes."""
        secret = password or self.record.server.password
        async with _connection(self.dsns.socket, self.names.writer, secret, database or self.names.database) as it:
            yield it


@asynccontextmanager
async def hosted(
    dsns: Dsns, property_id: PropertyId, name: str = "reports", limits: Limits | None = None
) -> AsyncIterator[Hosted]:
    """A database of a property, which must be there in the hub's database of these addresses."""
    async with open_database(dsns.socket, connections_max=4) as database:
        desk = desk_of(database)
        made = await desk.create(property_id, name, limits or Limits())
        try:
            yield Hosted(desk=desk, record=made.record, password=made.password, dsns=dsns)
        finally:
            with suppress(NotFound):  # the test dropped it
                await desk.drop(made.record.id, property_id, subscriptions=True)


def desk_of(database: Database) -> HostedDatabases:
    """What works on the databases that the hub of this database hosts."""
    return HostedDatabases(database, SEALER, ours=True)


@asynccontextmanager
async def _connection(dsn: str, user: str, password: Secret, database: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(dsn, user=user, password=password.reveal(), database=database)
    try:
        yield connection
    finally:
        await connection.close(timeout=2)
