"""What is done with the databases that the hub hosts: each act changes record and server together, or can be repeated.

Source: docs/decisions/0023-hosted-databases.md
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from matrixhub.databases import hosting
from matrixhub.databases.hosting import Connection, Inspected
from matrixhub.model.database import CustomerDatabase, HostedNames, Limits, Server, check_limits
from matrixhub.model.errors import Conflict, DatabaseBusy, InvalidValue, NameTaken, VersionMismatch
from matrixhub.model.ids import DatabaseId, PropertyId, new_id
from matrixhub.model.secret import Secret
from matrixhub.model.text import is_name
from matrixhub.store.databases import Databases
from matrixhub.store.pool import Database
from matrixhub.store.sealing import Sealer
from matrixhub.store.subscriptions import delete_subscription

Who = Literal["writer", "reader"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Unfinished:
    """A database that is made, and that nobody can log in to yet. `weaknesses` is what its server leaves open."""

    record: CustomerDatabase
    weaknesses: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Created:
    """A database that is ready, with the password of its reader, which is kept nowhere."""

    record: CustomerDatabase
    password: Secret
    weaknesses: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Step:
    """The hub's own database, the records in it, and its connection: all in one transaction."""

    joined: Database
    kept: Databases
    connection: Connection


class HostedDatabases:
    """The databases that the hub hosts on its own server. `ours` says that the server has no other databases."""

    def __init__(self, database: Database, sealer: Sealer, *, ours: bool) -> None:
        self._database, self._sealer, self._ours = database, sealer, ours

    async def create(self, property_id: PropertyId, name: str, limits: Limits) -> Created:
        """A database of a property, ready. See `prepare` for what it raises."""
        made = await self.prepare(property_id, name, limits)
        async with self._database.joined() as joined:
            return await self.finish(joined, made)

    async def prepare(self, property_id: PropertyId, name: str, limits: Limits) -> Unfinished:
        """All but the last step of a create. Where an earlier one was interrupted it goes on with that.

        Raises: NotFound if there is no such property, NameTaken, InvalidValue, DatabaseBusy if somebody else makes it
        just now, HostingRefused, StoreError.
        """
        check_name(name)
        check_limits(limits)
        record = await self._begun(property_id, name, limits)
        names = HostedNames.of(record.id)
        dsn = self._database.dsn
        async with hosting.alone_with(dsn, record.id):
            async with self._step() as step:
                record = await (step.kept.save(record) if record.version else step.kept.add(record))
                rights = await hosting.prepare_server(step.connection, ours=self._ours)
                await hosting.make_roles(step.connection, names, limits, rights)
            await hosting.make_database(dsn, names)
            await hosting.furnish(dsn, names, rights)
        return Unfinished(record=record, weaknesses=hosting.weaknesses(rights))

    async def finish(self, database: Database, made: Unfinished) -> Created:
        """The last step of a create, in the transaction of `database`: its roles may log in.

        Raises: DatabaseBusy if somebody else went on with it, StoreError.
        """
        password, names = hosting.new_password(), HostedNames.of(made.record.id)
        try:
            record = await Databases(database, self._sealer).save(replace(made.record, state="ready"))
        except VersionMismatch as error:
            raise DatabaseBusy(f"somebody else goes on with database {made.record.id}") from error
        async with database.connection() as connection:
            with hosting.faults():
                await hosting.let_in(connection, names.writer, record.server.password)
                await hosting.let_in(connection, names.reader, password)
        return Created(record=record, password=password, weaknesses=made.weaknesses)

    async def rotate(self, database_id: DatabaseId, property_id: PropertyId, who: Who) -> Secret:
        """Another password, at once. Sessions of readers end; the hub's own go on. A reader that was revoked stays so.

        Raises: NotFound, Conflict, DatabaseBusy, VersionMismatch if it was changed meanwhile, StoreError.
        """
        password = hosting.new_password()
        async with self._step() as step:
            record, names = await self._ready(step.kept, database_id, property_id)
            if who == "writer":
                await step.kept.save(replace(record, server=replace(record.server, password=password)))
            await hosting.set_password(step.connection, names.writer if who == "writer" else names.reader, password)
        if who == "reader":
            await self._end_sessions(names.reader)
        return password

    async def revoke(self, database_id: DatabaseId, property_id: PropertyId) -> int:
        """The reader can log in no more, and its sessions end; how many there were.

        Raises: NotFound, Conflict, DatabaseBusy, StoreError.
        """
        async with self._step() as step:
            _, names = await self._ready(step.kept, database_id, property_id)
            await hosting.shut_out(step.connection, names.reader)
        return await self._end_sessions(names.reader)

    async def grant(self, database_id: DatabaseId, property_id: PropertyId) -> None:
        """The reader can log in again, with the password it has.

        Raises: NotFound, Conflict, DatabaseBusy, StoreError.
        """
        async with self._step() as step:
            _, names = await self._ready(step.kept, database_id, property_id)
            await hosting.log_in_again(step.connection, names.reader)

    async def resize(self, database_id: DatabaseId, property_id: PropertyId, limits: Limits) -> CustomerDatabase:
        """Other limits, for sessions from now on; the record as it is then.

        Raises: NotFound, Conflict, DatabaseBusy, InvalidValue, VersionMismatch if it was changed meanwhile, StoreError.
        """
        async with self._step() as step:
            record, names = await self._ready(step.kept, database_id, property_id)
            await hosting.limit_reader(step.connection, names, limits)
            return await step.kept.save(replace(record, limits=limits))

    async def drop(self, database_id: DatabaseId, property_id: PropertyId, *, subscriptions: bool = False) -> None:
        """The database gone with all that is in it, its roles, its record, and the subscriptions that lead to it.

        What was interrupted is gone on with by another drop, also of a database that was never finished.
        Raises: NotFound, Conflict while subscriptions lead to it and are not to go too, DatabaseBusy, StoreError.
        """
        require_hosted(await self._kept.show(database_id, property_id))
        names = HostedNames.of(database_id)
        dsn = self._database.dsn
        async with hosting.alone_with(dsn, database_id):
            async with self._step() as step:
                if subscriptions:
                    for subscription_id in await step.kept.subscribed(database_id):
                        await delete_subscription(step.joined, property_id, subscription_id)
                await step.kept.set_state(database_id, property_id, "dropping")
                await hosting.shut_out(step.connection, *await hosting.roles_there(step.connection, names))
            await hosting.drop_database(dsn, names)
            async with self._step() as step:
                await hosting.drop_roles(step.connection, names)
                await step.kept.remove(database_id, property_id)

    async def inspect(self, record: CustomerDatabase) -> Inspected:
        """How it fares on its server. Raises: StoreError."""
        async with self._database.connection() as connection:
            return await hosting.inspect(connection, HostedNames.of(record.id))

    @property
    def _kept(self) -> Databases:
        return Databases(self._database, self._sealer)

    async def _begun(self, property_id: PropertyId, name: str, limits: Limits) -> CustomerDatabase:
        """The record of an interrupted create of that name, else a new one, of version 0."""
        found = await self._kept.named(property_id, name)
        if found is None:
            return hosted_record(property_id, name, limits)
        if found.state == "dropping":
            raise DatabaseBusy(f"database {found.id} of that name is being dropped: matrixhub database drop {found.id}")
        if found.state != "making":
            raise NameTaken(f"property {property_id} has a database {name} already: {found.id}")
        return replace(found, limits=limits)

    async def _ready(
        self, kept: Databases, database_id: DatabaseId, property_id: PropertyId
    ) -> tuple[CustomerDatabase, HostedNames]:
        record = await kept.show(database_id, property_id)
        require_ready(record)
        return record, HostedNames.of(database_id)

    async def _end_sessions(self, role: str) -> int:
        # After the commit: a session that began before it would be missed, one that begins later has the new rights.
        async with self._database.connection() as connection:
            with hosting.faults():
                return await hosting.end_sessions(connection, role)

    @contextlib.asynccontextmanager
    async def _step(self) -> AsyncIterator[_Step]:
        """Records and server in one transaction, committed at the end of the block."""
        async with self._database.joined() as joined, joined.connection() as connection:
            with hosting.faults():
                yield _Step(joined=joined, kept=Databases(joined, self._sealer), connection=connection)


def check_name(name: str) -> None:
    """Refuse what is no name. Raises: InvalidValue.

    >>> check_name("Energy reports")
    """
    if not is_name(name):
        raise InvalidValue(f"name is 1 to 200 characters that can be printed, not {name[:200]!r}")


def hosted_record(property_id: PropertyId, name: str, limits: Limits) -> CustomerDatabase:
    """The record of a database to be made, of version 0."""
    database_id = DatabaseId(new_id("db"))
    names = HostedNames.of(database_id)
    return CustomerDatabase(
        id=database_id,
        property_id=property_id,
        name=name,
        hosting="hub",
        server=Server(
            host="", database=names.database, user=names.writer, password=hosting.new_password(), tls="disable"
        ),
        may_create=True,
        limits=limits,
        reader=names.reader,
        version=0,
        created_at=datetime.now(UTC),
        state="making",
    )


def require_ready(record: CustomerDatabase) -> None:
    """Raises: Conflict if the hub does not host it, DatabaseBusy if it was not finished."""
    require_hosted(record)
    if record.state != "ready":
        raise DatabaseBusy(_unfinished(record))


def require_hosted(record: CustomerDatabase) -> None:
    """Raises: Conflict if the hub does not host it."""
    if record.hosting != "hub":
        raise Conflict(f"database {record.id} is the customer's own, on {record.server.host}; the hub does not rule it")


def _unfinished(record: CustomerDatabase) -> str:
    if record.state == "dropping":
        return f"database {record.id} is being dropped; finish it: matrixhub database drop {record.id}"
    return (
        f"database {record.id} was never finished; go on: matrixhub database create --property {record.property_id} "
        f"--name '{record.name}', or remove it: matrixhub database drop {record.id}"
    )
