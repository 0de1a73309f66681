"""Customers' databases as the hub knows them: where they are, and as whom it writes. Passwords are sealed.

Source: docs/decisions/0021-databases.md
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import asyncpg
import msgspec

from matrixhub.model.database import CustomerDatabase, Limits, Server, check_limits
from matrixhub.model.errors import Conflict, NameTaken, NotFound, VersionMismatch
from matrixhub.model.ids import DatabaseId, PropertyId, SubscriptionId
from matrixhub.store.pool import Database
from matrixhub.store.sealing import Sealer
from matrixhub.store.sites import require_property
from matrixhub.store.sql import load_statements

_SQL = load_statements("databases.sql")


async def require_database(database: Database, property_id: PropertyId, database_id: DatabaseId) -> None:
    """Raises: NotFound if the property has no such database, StoreError."""
    async with database.connection() as connection:
        if not await connection.fetchval(_SQL["property_has"], property_id, database_id):
            raise NotFound(
                f"property {property_id} has no database {database_id}; `matrixhub database list` shows them"
            )


class Databases:
    """The records of customers' databases."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def add(self, record: CustomerDatabase) -> CustomerDatabase:
        """Keep a new one; as it was kept.

        Raises: NotFound if there is no such property, NameTaken if it has a database of that name, StoreError.
        """
        check_limits(record.limits)
        await require_property(self._database, record.property_id)
        try:
            async with self._database.transaction() as connection:
                await connection.execute(
                    _SQL["add"],
                    record.id,
                    record.property_id,
                    record.name,
                    record.hosting,
                    *self._server_columns(record),
                    asdict(record.limits),
                    record.reader,
                )
        except asyncpg.UniqueViolationError as error:
            raise NameTaken(f"property {record.property_id} has a database {record.name} already") from error
        return await self.show(record.id)

    async def show(self, database_id: DatabaseId, property_id: PropertyId | None = None) -> CustomerDatabase:
        """The database, if it is one of the property. Raises: NotFound, StoreError."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SQL["show"], database_id, property_id or "")
        if row is None:
            raise NotFound(f"there is no database {database_id}; `matrixhub database list` shows those that are")
        return self._record(row)

    async def list(self, property_id: PropertyId | None = None) -> Sequence[CustomerDatabase]:
        """The databases of a property or of all, oldest first. Raises: StoreError."""
        async with self._database.connection() as connection:
            return [self._record(row) for row in await connection.fetch(_SQL["list"], property_id or "")]

    async def version(self, database_id: DatabaseId) -> int | None:
        """Which version a database is in, None where there is none: whether something kept of it still holds.

        Raises: StoreError.
        """
        async with self._database.connection() as connection:
            found: int | None = await connection.fetchval(_SQL["version"], database_id)
        return found

    async def save(self, record: CustomerDatabase) -> CustomerDatabase:
        """Keep it as it is now, if nobody changed it since it was read; as it was kept.

        Raises: VersionMismatch, NameTaken, StoreError.
        """
        check_limits(record.limits)
        try:
            async with self._database.transaction() as connection:
                found = await connection.fetchval(
                    _SQL["save"],
                    record.id,
                    record.name,
                    *self._server_columns(record),
                    asdict(record.limits),
                    record.reader,
                    record.version,
                )
        except asyncpg.UniqueViolationError as error:
            raise NameTaken(f"property {record.property_id} has a database {record.name} already") from error
        if found is None:
            raise VersionMismatch(f"database {record.id} was changed or removed meanwhile; look at it again")
        return await self.show(record.id)

    async def remove(self, database_id: DatabaseId, property_id: PropertyId) -> None:
        """Forget it. Raises: NotFound, Conflict while a subscription leads to it, StoreError."""
        await self.show(database_id, property_id)
        async with self._database.connection() as connection:
            if await connection.fetchval(_SQL["remove"], database_id, property_id) is None:
                raise Conflict(
                    f"subscriptions lead to database {database_id}: {', '.join(await self.subscribed(database_id))}; "
                    "delete them first"
                )

    async def subscribed(self, database_id: DatabaseId) -> Sequence[SubscriptionId]:
        """The subscriptions that lead to it. Raises: StoreError."""
        async with self._database.connection() as connection:
            return [row["id"] for row in await connection.fetch(_SQL["subscribed"], database_id)]

    def _server_columns(self, record: CustomerDatabase) -> tuple[object, ...]:
        server = record.server
        return (
            server.host,
            server.port,
            server.database,
            server.user,
            self._sealer.seal(server.password, record.id),
            server.tls,
            server.ca_pem,
            record.may_create,
        )

    def _record(self, row: Any) -> CustomerDatabase:
        database_id = DatabaseId(row["id"])
        return CustomerDatabase(
            id=database_id,
            property_id=PropertyId(row["property_id"]),
            name=row["name"],
            hosting=row["hosting"],
            server=Server(
                host=row["host"],
                port=row["port"],
                database=row["database"],
                user=row["user_name"],
                password=self._sealer.open(row["password"], database_id),
                tls=row["tls"],
                ca_pem=row["ca_pem"],
            ),
            may_create=row["may_create"],
            limits=msgspec.convert(row["limits"], Limits),
            reader=row["reader"],
            version=row["version"],
            created_at=row["created_at"],
            egress_allow=frozenset(row["egress_allow"]),
        )
