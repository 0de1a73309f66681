"""The desk for customers' own databases: what operators ask of them, over REST or by a command.

Source: docs/contract/dedicated-db.md §5, docs/decisions/0028-checking-databases.md
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from matrixhub.databases.applying import Applied, apply, script
from matrixhub.databases.checking import check
from matrixhub.databases.connecting import tls_context
from matrixhub.databases.rows import ROW_OF, Row
from matrixhub.databases.verdict import Checked, Verdict
from matrixhub.deliveries.desk import sample_event, sample_line
from matrixhub.deliveries.destinations.reaching import Reaching
from matrixhub.model.database import (
    CustomerDatabase,
    Limits,
    Server,
    TlsMode,
    check_server,
    database_of,
)
from matrixhub.model.destination import Destination
from matrixhub.model.devices import Json
from matrixhub.model.egress import Allowance
from matrixhub.model.errors import Conflict, DatabaseFault, DatabaseNotReady, InvalidValue, VersionMismatch
from matrixhub.model.ids import DatabaseId, PropertyId, new_id
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import SOURCES, Source
from matrixhub.model.text import is_name
from matrixhub.ports import Clock
from matrixhub.store import Database
from matrixhub.store.databases import Databases
from matrixhub.store.sealing import Sealer


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerChange:
    """What is to change of a customer's database; None leaves it as it is."""

    name: str | None = None
    host: str | None = None
    port: int | None = None
    database: str | None = None
    user: str | None = None
    password: Secret | None = None
    tls: TlsMode | None = None
    ca_pem: str | None = None
    may_create: bool | None = None


class DatabaseDesk:
    """What is asked of customers' own databases, each one of a property."""

    def __init__(self, databases: Databases, reaching: Reaching, clock: Clock) -> None:
        self._databases = databases
        self._reaching = reaching
        self._clock = clock

    async def add(self, property_id: PropertyId, name: str, server: Server, *, may_create: bool) -> CustomerDatabase:
        """Keep where a customer's database is; nothing is asked of it yet.

        Raises: InvalidValue naming what cannot be, NotFound if there is no such property, NameTaken, StoreError.
        """
        _check(name, server)
        return await self._databases.add(
            CustomerDatabase(
                id=DatabaseId(new_id("db")),
                property_id=property_id,
                name=name,
                hosting="customer",
                server=server,
                may_create=may_create,
                limits=Limits(),
                reader="",
                version=1,
                created_at=datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC),
            )
        )

    async def show(self, database_id: DatabaseId, property_id: PropertyId | None = None) -> CustomerDatabase:
        """The database, if it is one of the property. Raises: NotFound, StoreError."""
        return await self._databases.show(database_id, property_id)

    async def own(self, database_id: DatabaseId, property_id: PropertyId | None) -> CustomerDatabase:
        """One of the customer's own. Raises: NotFound, Conflict if the hub hosts it, StoreError."""
        record = await self._databases.show(database_id, property_id)
        if record.hosting != "customer":
            raise Conflict(f"the hub hosts database {database_id}: see `matrixhub database --help` for what it takes")
        return record

    async def change(
        self,
        database_id: DatabaseId,
        property_id: PropertyId | None,
        change: ServerChange,
        *,
        version: int | None = None,
        knows_password: bool = True,
    ) -> CustomerDatabase:
        """Change where it is or as whom the hub writes; deliveries go on with the change.

        Who may not know the password gives it again to lead the hub to another server: that one could ask for it.
        Raises: NotFound, Conflict if the hub hosts it, InvalidValue, NameTaken, VersionMismatch if it is no longer in
        the version, StoreError.
        """
        before = await self.own(database_id, property_id)
        if version is not None and before.version != version:
            raise VersionMismatch(f"database {database_id} is in version {before.version}, not {version}")
        after = changed(before, change)
        if not knows_password and change.password is None and leads_elsewhere(before.server, after.server):
            why = "is to be given again where host, port, TLS or the certificates to trust change"
            raise InvalidValue(f"password {why}", fields=(("password", why),))
        _check(after.name, after.server)
        return before if after == before else await self._databases.save(after)

    async def remove(self, database_id: DatabaseId, property_id: PropertyId | None = None) -> CustomerDatabase:
        """Forget it; nothing is changed in it. As it was.

        Raises: NotFound, Conflict while a subscription leads to it or if the hub hosts it, StoreError.
        """
        record = await self.own(database_id, property_id)
        await self._databases.remove(database_id, record.property_id)
        return record

    async def check(self, record: CustomerDatabase, sources: Iterable[Source] = SOURCES) -> Checked:
        """What is right and what is missing for the hub to write these. A row of each is written, and taken back."""
        return await check(self._reaching.connected, record, self._clock, self._samples(record, sources))

    async def apply(self, record: CustomerDatabase) -> Applied:
        """Make what is missing of the schema, and check it.

        Raises: ApplyNotAllowed, Conflict if that is being done already, DatabaseFault, EgressRefused.
        """
        return await apply(self._reaching.connected, record, self._clock, self._samples(record, SOURCES))

    async def script(self, record: CustomerDatabase) -> str:
        """What makes it, to be run by hand."""
        return await script(self._reaching.connected, record, self._clock)

    async def require_ready(self, record: CustomerDatabase, source: Source) -> Sequence[Verdict]:
        """The warnings there are before something leads to it. Raises: DatabaseNotReady saying what is wrong."""
        checked = await self.check(record, [source])
        if not checked.ready:
            raise DatabaseNotReady(
                f"database {record.id} {record.name} cannot be written to: {told(checked.wrong)}; what to do says: "
                f"matrixhub database check {record.id}. To have everything wait until then: --unchecked, or "
                "?unchecked=true over REST"
            )
        return [verdict for verdict in checked.verdicts if verdict.grade == "warning"]

    async def check_destination(
        self, property_id: PropertyId, destination: Destination, source: Source
    ) -> Sequence[Verdict]:
        """The warnings there are before a subscription leads there; none where that is no database.

        Raises: NotFound if it is no database of the property, DatabaseNotReady saying what is wrong, StoreError.
        """
        if destination.kind != "postgres":
            return ()
        record = await self.show(database_of(destination.url), property_id)
        return await self.require_ready(record, source)

    def _samples(self, record: CustomerDatabase, sources: Iterable[Source]) -> Mapping[Source, Row]:
        return {
            source: ROW_OF[source](_SAMPLES[source](record.property_id, self._clock.now_ms())) for source in sources
        }


_SAMPLES = {"sensors": sample_line, "events": sample_event}


@asynccontextmanager
async def open_database_desk(
    database: Database,
    sealer: Sealer,
    allowed_to_all: Iterable[str],
    clock: Clock,
    *,
    writing: Database | None = None,
) -> AsyncIterator[DatabaseDesk]:
    """The desk, on the hub's own database. `writing` is one with a transaction under way, in which records change."""
    reaching = Reaching(database.dsn, Allowance.of(allowed_to_all))
    try:
        yield DatabaseDesk(Databases(writing or database, sealer), reaching, clock)
    finally:
        await reaching.close()


def changed(record: CustomerDatabase, change: ServerChange) -> CustomerDatabase:
    """The record with the change. Certificates to trust go with TLS, unless others are named."""
    server = record.server
    tls = change.tls or server.tls
    kept_ca = "" if tls == "disable" else server.ca_pem
    return replace(
        record,
        name=record.name if change.name is None else change.name,
        may_create=record.may_create if change.may_create is None else change.may_create,
        server=replace(
            server,
            host=server.host if change.host is None else change.host,
            port=server.port if change.port is None else change.port,
            database=server.database if change.database is None else change.database,
            user=server.user if change.user is None else change.user,
            password=server.password if change.password is None else change.password,
            tls=tls,
            ca_pem=kept_ca if change.ca_pem is None else change.ca_pem,
        ),
    )


def leads_elsewhere(before: Server, after: Server) -> bool:
    """Whether another server may be the one that is asked to let the hub in."""
    return any(getattr(before, name) != getattr(after, name) for name in ("host", "port", "tls", "ca_pem"))


def server_document(record: CustomerDatabase) -> dict[str, Json]:
    """A customer's own database as people and scripts are shown it: without the password."""
    server = record.server
    return {
        "id": record.id,
        "property": record.property_id,
        "name": record.name,
        "hosting": record.hosting,
        "host": server.host,
        "port": server.port,
        "database": server.database,
        "user": server.user,
        "tls": server.tls,
        "ca_pem": server.ca_pem,
        "may_create": record.may_create,
        "version": record.version,
        "created_at": record.created_at.isoformat(),
    }


def checked_document(checked: Checked) -> dict[str, Json]:
    """A check as scripts read it."""
    return {
        "ready": checked.ready,
        "verdicts": [
            {
                "step": verdict.step,
                "grade": verdict.grade,
                "found": verdict.found,
                "to_do": verdict.to_do,
                "run": list(verdict.run),
            }
            for verdict in checked.verdicts
        ],
    }


def applied_document(applied: Applied) -> dict[str, Json]:
    """What was run, as scripts read it."""
    ran: list[Json] = [{"missing": one.missing, "sql": one.sql, "error": one.said} for one in applied.ran]
    return {"ran": ran, **checked_document(applied.checked)}


def told(verdicts: Sequence[Verdict]) -> str:
    """The verdicts in a line.

    >>> told([Verdict(step="login", grade="wrong", found="no such user"), Verdict(step="tls", grade="ok", found="TLS")])
    'login: no such user; tls: TLS'
    """
    return "; ".join(f"{verdict.step}: {verdict.found}" for verdict in verdicts)


def _check(name: str, server: Server) -> None:
    """Raises: InvalidValue naming what cannot be."""
    if not is_name(name):
        raise InvalidValue(f"name is a text of 1 to 200 printable characters, not {name!r}")
    check_server(server)
    try:
        tls_context(server)
    except DatabaseFault as fault:
        raise InvalidValue(fault.message) from fault
