"""`matrixhub database`: databases that customers ask with SQL; here those that the hub hosts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from matrixhub.cli.local import DataOption, JsonOption, Operator, open_operator, print_json, settings_for
from matrixhub.cli.local import run as run_command
from matrixhub.config import data_directory
from matrixhub.databases import schema as published
from matrixhub.databases.hosted import HostedDatabases, Who, require_hosted, require_ready
from matrixhub.databases.hosting import Inspected
from matrixhub.databases.sheet import (
    CA_FILE,
    Address,
    Place,
    Sheet,
    read_address,
    required_ca,
    schema_markdown,
    sheet_markdown,
    sheet_of,
    ways_of,
)
from matrixhub.model.database import CustomerDatabase, Limits
from matrixhub.model.errors import InvalidValue
from matrixhub.model.ids import DatabaseId, PropertyId, SubscriptionId
from matrixhub.model.secret import Secret
from matrixhub.service import hosting_place
from matrixhub.store.databases import Databases
from matrixhub.store.sites import read_site, require_property

database = typer.Typer(no_args_is_help=True, help="Databases of readings and events that customers ask with SQL.")

_ID_WIDTH = 23
"""Of an id, which must be there whole to be copied."""

IdArgument = Annotated[str, typer.Argument(metavar="DATABASE", help="Id of the database, db_…")]
PropertyOption = Annotated[str, typer.Option("--property", metavar="PROPERTY", help="Id of the property.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
ConnectionsOption = Annotated[int | None, typer.Option("--connections", help="Most connections of readers at a time.")]
TimeoutOption = Annotated[float | None, typer.Option("--statement-timeout", help="Most seconds of a query.")]
WorkMemOption = Annotated[int | None, typer.Option("--work-mem", help="MiB that a step of a query may take in memory.")]
TempOption = Annotated[int | None, typer.Option("--temp", help="MiB of temporary files that a session may write.")]
RetentionOption = Annotated[
    int | None, typer.Option("--retention-days", help="Days that readings and events are kept there, at least.")
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """What the commands work with, on the hub of this machine."""

    operator: Operator
    kept: Databases
    hosted: HostedDatabases
    place: Place

    async def find(self, database_id: str) -> CustomerDatabase:
        """A database of whichever property. Raises: NotFound, StoreError."""
        return await self.kept.show(DatabaseId(database_id))


@asynccontextmanager
async def open_desk(data: Path | None) -> AsyncIterator[Desk]:
    """Raises: HubNotRunning, EngineError, ConfigurationError."""
    async with open_operator(data) as operator:
        place = hosting_place(operator.settings, data_directory(operator.settings))
        sealer = operator.codec.sealer
        yield Desk(
            operator=operator,
            kept=Databases(operator.database, sealer),
            hosted=HostedDatabases(operator.database, sealer, ours=place.ours),
            place=place,
        )


@database.command("create")
def create(
    property_id: PropertyOption,
    name: Annotated[str, typer.Option(help="What it is, for people; unique in the property.")],
    connections: ConnectionsOption = None,
    statement_timeout: TimeoutOption = None,
    work_mem: WorkMemOption = None,
    temp: TempOption = None,
    retention_days: RetentionOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a PostgreSQL database of a property on the hub's own server, with a login that reads and cannot write.

    The reader's password is told now and never again. The database is empty until subscriptions lead to it: sensor data
    and events are one each. What was interrupted is finished by the same command.

    \b
    matrixhub database create --property P --name reports
    matrixhub subscription create --property P --database db_…
    matrixhub subscription create --property P --database db_… --events --pattern 'matrix.#'
    matrixhub database sheet db_… > sheet.md
    """
    limits = _changed(Limits(), connections, statement_timeout, work_mem, temp, retention_days)

    async def work() -> tuple[CustomerDatabase, Secret, Sequence[str], Address]:
        async with open_desk(data) as desk:
            made = await desk.hosted.create(PropertyId(property_id), name, limits)
            address = await read_address(desk.operator.database, desk.place)
            return made.record, made.password, made.weaknesses, address

    record, password, weaknesses, address = run_command(work)
    told = {"id": record.id, **_login(record, password, address)}
    if as_json:
        print_json({**told, "weaknesses": list(weaknesses)})
        return
    _print_table(told)
    for weakness in weaknesses:
        typer.echo(f"Note: {weakness}", err=True)
    typer.echo("The password is not shown again. Next: matrixhub subscription create --help", err=True)


@database.command("list")
def list_(
    property_id: Annotated[
        str | None, typer.Option("--property", metavar="PROPERTY", help="Only those of this property.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List databases: those that the hub hosts, and those of customers' own."""

    async def work() -> Sequence[CustomerDatabase]:
        async with open_desk(data) as desk:
            if property_id is not None:
                await require_property(desk.operator.database, PropertyId(property_id))
            return await desk.kept.list(PropertyId(property_id) if property_id else None)

    found = run_command(work)
    if as_json:
        print_json([database_document(record) for record in found])
        return
    if not found:
        typer.echo("There are none. See: matrixhub database create --help")
        return
    table = Table(Column("database", no_wrap=True, min_width=_ID_WIDTH), box=None, pad_edge=False)
    for column in ("name", "property", "hosted by", "state", "created"):
        table.add_column(column)
    for record in found:
        table.add_row(
            record.id,
            record.name,
            record.property_id,
            "the hub" if record.hosting == "hub" else record.server.host,
            record.state,
            f"{record.created_at:%Y-%m-%d %H:%M}",
        )
    Console(highlight=False, markup=False).print(table)


@database.command("show")
def show(database_id: IdArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show one database: where it is, its limits, what leads to it; of one that the hub hosts its size and readers."""

    async def work() -> Mapping[str, object]:
        async with open_desk(data) as desk:
            record = await desk.find(database_id)
            inspected = await desk.hosted.inspect(record) if record.hosting == "hub" else None
            leading = await desk.kept.subscribed(record.id)
            return database_document(record, leading, inspected)

    document = run_command(work)
    print_json(document) if as_json else _print_table(document)


@database.command("rotate")
def rotate(
    database_id: IdArgument,
    writer: Annotated[bool, typer.Option("--writer", help="The hub's own login instead of the reader's.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give the reader another password, told now and never again; its sessions end.

    With --writer it is the login by which the hub itself writes: nobody has to be told, and deliveries go on.

    \b
    matrixhub database rotate db_…
    """
    who: Who = "writer" if writer else "reader"

    async def work() -> tuple[CustomerDatabase, Secret, Address]:
        async with open_desk(data) as desk:
            record = await desk.find(database_id)
            password = await desk.hosted.rotate(record.id, record.property_id, who)
            return record, password, await read_address(desk.operator.database, desk.place)

    record, password, address = run_command(work)
    told = {"id": record.id} if writer else {"id": record.id, **_login(record, password, address)}
    if as_json:
        print_json(told)
    elif writer:
        typer.echo(f"The hub writes to {record.id} with another password")
    else:
        _print_table(told)
        typer.echo("The password is not shown again.", err=True)


@database.command("revoke")
def revoke(database_id: IdArgument, data: DataOption = None) -> None:
    """Let the reader log in no more, and end its sessions. The database goes on being filled. See `grant`."""

    async def work() -> int:
        async with open_desk(data) as desk:
            record = await desk.find(database_id)
            return await desk.hosted.revoke(record.id, record.property_id)

    typer.echo(f"The reader of {database_id} is out; {run_command(work)} sessions ended")


@database.command("grant")
def grant(database_id: IdArgument, data: DataOption = None) -> None:
    """Let a reader that was revoked log in again, with the password it has. For another one see `rotate`."""

    async def work() -> None:
        async with open_desk(data) as desk:
            record = await desk.find(database_id)
            await desk.hosted.grant(record.id, record.property_id)

    run_command(work)
    typer.echo(f"The reader of {database_id} may log in again")


@database.command("resize")
def resize(
    database_id: IdArgument,
    connections: ConnectionsOption = None,
    statement_timeout: TimeoutOption = None,
    work_mem: WorkMemOption = None,
    temp: TempOption = None,
    retention_days: RetentionOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change what readers may take; what is not given stays. It counts for their sessions from then on.

    \b
    matrixhub database resize db_… --connections 20 --statement-timeout 120
    """

    async def work() -> CustomerDatabase:
        async with open_desk(data) as desk:
            record = await desk.find(database_id)
            limits = _changed(record.limits, connections, statement_timeout, work_mem, temp, retention_days)
            if limits == record.limits:
                raise InvalidValue("nothing to change: give at least one limit that differs")
            return await desk.hosted.resize(record.id, record.property_id, limits)

    changed = run_command(work)
    print_json(database_document(changed)) if as_json else _print_table(asdict(changed.limits))


@database.command("drop")
def drop(
    database_id: IdArgument,
    subscriptions: Annotated[
        bool, typer.Option("--subscriptions", help="Delete the subscriptions that lead to it, too.")
    ] = False,
    yes: YesOption = False,
    data: DataOption = None,
) -> None:
    """Drop a database that the hub hosts, with all that is in it, its logins, and every session in it.

    It is refused while subscriptions lead to it, unless those are to go, too. What was interrupted is finished by the
    same command.

    \b
    matrixhub database drop db_… --subscriptions
    """

    async def look() -> tuple[CustomerDatabase, Inspected, Sequence[SubscriptionId]]:
        async with open_desk(data) as desk:
            record = await desk.find(database_id)
            require_hosted(record)
            return record, await desk.hosted.inspect(record), await desk.kept.subscribed(record.id)

    async def work() -> None:
        async with open_desk(data) as desk:
            await desk.hosted.drop(record.id, record.property_id, subscriptions=subscriptions)

    record, inspected, leading = run_command(look)
    if not yes:
        also = f", and the subscriptions {', '.join(leading)}" if leading and subscriptions else ""
        typer.confirm(
            f"Drop {record.id} {record.name} with {inspected.size_bytes / 2**20:,.0f} MiB of data, its logins "
            f"({inspected.sessions} readers are connected){also}?",
            abort=True,
            err=True,
        )
    run_command(work)
    typer.echo(f"{record.id} is dropped")


@database.command("sheet")
def sheet(database_id: IdArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Print the connection sheet for the customer, as Markdown.

    It says where the database is, how psql, Java, Python, Go and BI tools connect to it, and queries to begin with,
    about a building of the property. No password is in it.

    \b
    matrixhub database sheet db_… > sheet.md
    """

    async def work() -> Sheet:
        async with open_desk(data) as desk:
            record = await desk.find(database_id)
            require_ready(record)
            return await make_sheet(desk, record)

    made = run_command(work)
    print_json(sheet_document(made)) if as_json else typer.echo(sheet_markdown(made))


@database.command("schema")
def schema(as_json: JsonOption = False) -> None:
    """Print the schema that customers ask, with its comments, as Markdown; --json prints its statements by name."""
    if as_json:
        print_json({"version": published.VERSION, "statements": dict(published.statements(hosted=True))})
    else:
        typer.echo(schema_markdown())


@database.command("ca")
def ca(data: DataOption = None) -> None:
    """Print the certificate (PEM) by which customers know the server; it holds nothing secret.

    \b
    matrixhub database ca > matrixhub-ca.pem
    """

    async def work() -> str:
        settings = settings_for(data)
        return required_ca(hosting_place(settings, data_directory(settings)))

    typer.echo(run_command(work), nl=False)


async def make_sheet(desk: Desk, record: CustomerDatabase) -> Sheet:
    """The connection sheet of a database, its queries about the first building of its property."""
    site = await read_site(desk.operator.database, record.property_id)
    address = await read_address(desk.operator.database, desk.place)
    return sheet_of(record, address, site.buildings[0] if site and site.buildings else None, datetime.now(UTC))


def database_document(
    record: CustomerDatabase, leading: Sequence[SubscriptionId] | None = None, inspected: Inspected | None = None
) -> dict[str, object]:
    """A database as scripts read it; no password is in it."""
    where = {} if record.hosting == "hub" else {"host": record.server.host, "port": record.server.port}
    reader = {"reader": record.reader} if record.hosting == "hub" else {"tls": record.server.tls}
    return {
        "id": record.id,
        "property": record.property_id,
        "name": record.name,
        "hosting": record.hosting,
        "state": record.state,
        **where,
        "database": record.server.database,
        "user": record.server.user,
        **reader,
        **({"limits": asdict(record.limits)} if record.hosting == "hub" else {}),
        "version": record.version,
        "created_at": record.created_at.isoformat(),
        **({} if leading is None else {"subscriptions": list(leading)}),
        **({} if inspected is None else asdict(inspected)),
    }


def sheet_document(made: Sheet) -> dict[str, object]:
    """A connection sheet as scripts read it."""
    address = made.address
    return {
        **_where(made.record, address),
        "ca_file": CA_FILE if address.ca_pem else None,
        "ca_pem": address.ca_pem,
        "notes": list(address.notes),
        "limits": asdict(made.record.limits),
        "ways": dict(made.ways),
        "queries": [{"name": query.name, "title": query.title, "sql": query.sql} for query in made.queries],
    }


def _where(record: CustomerDatabase, address: Address) -> dict[str, object]:
    return {
        "host": address.host,
        "port": address.port,
        "database": record.server.database,
        "schema": "matrix",
        "user": record.reader,
        "tls": "verify-full" if address.tls else "disable",
    }


def _login(record: CustomerDatabase, password: Secret, address: Address) -> dict[str, object]:
    shown = {"password": password.reveal(), "psql": ways_of(record, address)["psql"]}
    return {"name": record.name, **_where(record, address), **shown}


def _changed(
    limits: Limits,
    connections: int | None,
    statement_timeout: float | None,
    work_mem: int | None,
    temp: int | None,
    retention_days: int | None,
) -> Limits:
    given: dict[str, Any] = {
        "connections_max": connections,
        "statement_timeout_s": statement_timeout,
        "work_mem_mib": work_mem,
        "temp_mib_max": temp,
        "retention_days": retention_days,
    }
    return replace(limits, **{name: value for name, value in given.items() if value is not None})


def _print_table(document: Mapping[str, Any]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for key, value in document.items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, Mapping) else value
        shown = ", ".join(map(str, shown)) if isinstance(shown, list) else shown
        table.add_row(key.replace("_", " "), "" if shown is None else str(shown))
    Console(highlight=False, markup=False).print(table)
