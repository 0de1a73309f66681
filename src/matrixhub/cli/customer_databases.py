"""`matrixhub database add`, `update`, `check`, `apply`, `remove`: databases of customers' own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, cast

import typer

from matrixhub.cli.fields import ask_secret
from matrixhub.cli.local import EXIT_FAILED, DataOption, JsonOption, open_operator, print_json
from matrixhub.cli.local import run as run_command
from matrixhub.databases.applying import Applied
from matrixhub.databases.verdict import Checked
from matrixhub.deliveries.database_desk import (
    DatabaseDesk,
    ServerChange,
    applied_document,
    checked_document,
    open_database_desk,
    server_document,
)
from matrixhub.lifecycle import SystemClock
from matrixhub.model.database import PORT, TLS_MODES, CustomerDatabase, Server, TlsMode
from matrixhub.model.ids import DatabaseId, PropertyId
from matrixhub.model.secret import Secret
from matrixhub.model.subscription import SOURCES, Source

customer_database = typer.Typer(no_args_is_help=True, help="Databases of customers that the hub writes to.")

PASSWORD_VARIABLE = "MATRIXHUB_DATABASE_PASSWORD"

IdArgument = Annotated[str, typer.Argument(metavar="DATABASE", help="Id of the database, db_…")]
HostOption = Annotated[str | None, typer.Option(help="Name or address of the server, as in its certificate.")]
PortOption = Annotated[int | None, typer.Option(min=1, max=65_535, help=f"Port of the server; else {PORT}.")]
DatabaseOption = Annotated[str | None, typer.Option("--database", metavar="NAME", help="Name of the database there.")]
UserOption = Annotated[str | None, typer.Option(help="As whom the hub writes.")]
PasswordFileOption = Annotated[
    Path | None, typer.Option("--password-file", exists=True, dir_okay=False, help="File whose first line it is.")
]
PasswordPromptOption = Annotated[
    bool, typer.Option("--password-prompt", help="Ask for it, or read a line of standard input.")
]
TlsOption = Annotated[
    str | None, typer.Option(metavar="|".join(TLS_MODES), help="How sure the server's identity is made; see below.")
]
CaOption = Annotated[
    Path | None,
    typer.Option("--ca", exists=True, dir_okay=False, help="Certificates to trust in place of the public ones (PEM)."),
]
SourceOption = Annotated[
    list[str] | None, typer.Option("--source", metavar="sensors|events", help="Only what this takes; may repeat.")
]


@customer_database.command("add")
def add(
    property_id: Annotated[str, typer.Option("--property", metavar="PROPERTY", help="Id of the property.")],
    host: Annotated[str, typer.Option(help="Name or address of the server, as in its certificate.")],
    database: Annotated[str, typer.Option(metavar="NAME", help="Name of the database there.")],
    user: Annotated[str, typer.Option(help="As whom the hub writes.")],
    name: Annotated[str, typer.Option(help="What it is called here; else as it is there.")] = "",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of the server.")] = PORT,
    password_file: PasswordFileOption = None,
    password_prompt: PasswordPromptOption = False,
    tls: Annotated[str, typer.Option(metavar="|".join(TLS_MODES), help="How sure its identity is made.")] = (
        "verify-full"
    ),
    ca: CaOption = None,
    may_create: Annotated[
        bool, typer.Option("--may-create", help="Let the hub make its schema there, and mend it.")
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell the hub of a PostgreSQL of the customer's own, which it is to fill with readings or events.

    The password comes from --password-file, --password-prompt, or the variable MATRIXHUB_DATABASE_PASSWORD. It is
    sealed, and never shown again. Nothing is asked of the server yet: `check` does, and says what is missing.

    verify-full asks for a certificate of that host name, verify-ca for one of a trusted authority, require for any;
    with disable everything goes in clear. A server in a private network must be allowed: matrixhub egress allow --help

    \b
    matrixhub database add --property P --host db.example.org --database building --user matrixhub \\
      --ca root.crt --may-create --password-prompt
    matrixhub database check db_…
    """
    server = Server(
        host=host,
        port=port,
        database=database,
        user=user,
        password=_password(password_file, password_prompt) or Secret(os.environ.get(PASSWORD_VARIABLE, "")),
        tls=cast("TlsMode", tls),
        ca_pem=_text(ca) or "",
    )

    async def work() -> CustomerDatabase:
        async with _open(data) as desk:
            return await desk.add(PropertyId(property_id), name or database, server, may_create=may_create)

    made = run_command(work)
    if as_json:
        print_json(server_document(made))
    else:
        typer.echo(made.id)


@customer_database.command("update")
def update(
    database_id: IdArgument,
    name: Annotated[str | None, typer.Option(help="What it is called here.")] = None,
    host: HostOption = None,
    port: PortOption = None,
    database: DatabaseOption = None,
    user: UserOption = None,
    password_file: PasswordFileOption = None,
    password_prompt: PasswordPromptOption = False,
    tls: TlsOption = None,
    ca: CaOption = None,
    no_ca: Annotated[bool, typer.Option("--no-ca", help="Trust the public authorities again.")] = False,
    may_create: Annotated[
        bool | None, typer.Option("--may-create/--no-may-create", help="Whether the hub may make its schema there.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change where a customer's own database is, or as whom the hub writes. What is not named stays as it is.

    Deliveries go on with the change within a second or two; what waited for it goes out. For another password, set it
    at the server first: what is refused in between is held and sent again.

    \b
    matrixhub database update db_… --password-prompt
    matrixhub database update db_… --host db2.example.org --ca root.crt
    """
    if ca is not None and no_ca:
        raise typer.BadParameter("give --ca or --no-ca, not both")
    change = ServerChange(
        name=name,
        host=host,
        port=port,
        database=database,
        user=user,
        password=_password(password_file, password_prompt),
        tls=cast("TlsMode | None", tls),
        ca_pem="" if no_ca else _text(ca),
        may_create=may_create,
    )
    if change == ServerChange():
        raise typer.BadParameter("nothing to change: give at least one option")

    async def work() -> CustomerDatabase:
        async with _open(data) as desk:
            return await desk.change(DatabaseId(database_id), None, change)

    changed = run_command(work)
    if as_json:
        print_json(server_document(changed))
    else:
        typer.echo(f"{changed.id} is changed, now version {changed.version}")


@customer_database.command("check")
def check(
    database_id: IdArgument, source: SourceOption = None, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Find out whether the hub can write to a database: reach, TLS, login, rights, schema, one after the other.

    Of each it says what was found, what to do, and what to run as it stands. A row is written to each table and taken
    back. It ends with 1 where something is wrong; a warning is not.

    \b
    matrixhub database check db_…
    matrixhub database check db_… --source events --json
    """
    sources = _sources(source)

    async def work() -> Checked:
        async with _open(data) as desk:
            return await desk.check(await desk.show(DatabaseId(database_id)), sources)

    checked = run_command(work)
    if as_json:
        print_json(checked_document(checked))
    else:
        _tell_checked(checked)
    if not checked.ready:
        raise typer.Exit(EXIT_FAILED)


@customer_database.command("apply")
def apply(
    database_id: IdArgument,
    print_: Annotated[
        bool, typer.Option("--print", help="Change nothing: print what someone who may can run with psql.")
    ] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the schema in a customer's own database, or what is missing of it, and check it.

    Only where that was allowed (--may-create). What is there is left alone: columns, indexes, triggers and views of
    the customer's own as well. It tells every statement that it runs, and may be repeated.

    \b
    matrixhub database apply db_…
    matrixhub database apply db_… --print | psql -h db.example.org -d building -U owner
    """

    async def work() -> Applied:
        async with _open(data) as desk:
            return await desk.apply(await desk.show(DatabaseId(database_id)))

    async def printed() -> str:
        async with _open(data) as desk:
            return await desk.script(await desk.show(DatabaseId(database_id)))

    if print_:
        typer.echo(run_command(printed), nl=False)
        return
    applied = run_command(work)
    if as_json:
        print_json(applied_document(applied))
    else:
        for one in applied.ran:
            typer.echo(f"-- {one.missing}\n{one.sql};")
        if applied.failed is not None:
            typer.echo(f"-- failed: {applied.failed.said}")
        if not applied.ran:
            typer.echo("nothing was missing")
        _tell_checked(applied.checked)
    if applied.failed is not None or not applied.checked.ready:
        raise typer.Exit(EXIT_FAILED)


@customer_database.command("remove")
def remove(
    database_id: IdArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: DataOption = None,
) -> None:
    """Forget a customer's own database, with the password of it. Nothing is changed in it, and its tables stay.

    While a subscription leads to it, it cannot be removed: delete those first.

    \b
    matrixhub database remove db_… --yes
    """

    async def work() -> CustomerDatabase:
        async with _open(data) as desk:
            return await desk.remove(DatabaseId(database_id))

    async def look() -> CustomerDatabase:
        async with _open(data) as desk:
            return await desk.show(DatabaseId(database_id))

    found = run_command(look)
    if not yes:
        typer.confirm(f"Forget {found.id} {found.name} at {found.server.host}?", abort=True, err=True)
    run_command(work)
    typer.echo(f"{found.id} is forgotten; nothing was changed at {found.server.host}")


@asynccontextmanager
async def _open(data: Path | None) -> AsyncIterator[DatabaseDesk]:
    async with (
        open_operator(data) as operator,
        open_database_desk(
            operator.database, operator.codec.sealer, operator.settings.deliveries.egress_allow, SystemClock()
        ) as desk,
    ):
        yield desk


def _password(file: Path | None, prompt: bool) -> Secret | None:
    """The password where one is given."""
    if file is not None and prompt:
        raise typer.BadParameter("give --password-file or --password-prompt, not both")
    if file is not None:
        return Secret((_text(file) or "").partition("\n")[0].rstrip("\r"))
    return Secret(ask_secret("Password")) if prompt else None


def _text(file: Path | None) -> str | None:
    """What a file says, None without one."""
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{file} cannot be read as text: {error}") from error


def _sources(given: list[str] | None) -> tuple[Source, ...]:
    unknown = [name for name in given or () if name not in SOURCES]
    if unknown:
        raise typer.BadParameter(f"--source is one of {', '.join(SOURCES)}, not {unknown[0]}")
    return tuple(source for source in SOURCES if not given or source in given)


def _tell_checked(checked: Checked) -> None:
    for verdict in checked.verdicts:
        typer.echo(f"{verdict.step:<7} {verdict.grade:<8} {verdict.found}")
        if verdict.to_do:
            typer.echo(f"{'':16} to do: {verdict.to_do}")
        for line in verdict.run:
            typer.echo(f"{'':16}   {line}")
    typer.echo("the hub can write to it" if checked.ready else "the hub cannot write to it yet")
