"""`matrixhub application`: who may publish events besides the platform, and how many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from matrixhub.cli.local import DataOption, JsonOption, Operator, open_operator, print_json
from matrixhub.cli.local import run as run_command
from matrixhub.cli.views import application_document
from matrixhub.config import quota_defaults
from matrixhub.lifecycle import SystemClock
from matrixhub.model.application import Application
from matrixhub.model.ids import ApplicationId, PropertyId
from matrixhub.modules.events import change_application, register_application
from matrixhub.modules.events import revoke as revoke_application
from matrixhub.modules.work import Platform
from matrixhub.store.applications import list_applications
from matrixhub.store.sites import require_property

application = typer.Typer(no_args_is_help=True, help="Applications of third parties that publish events.")

PropertyOption = Annotated[str, typer.Option("--property", metavar="PROPERTY", help="Id of the property.")]
IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the application: the module of its events, such as lift-monitor.")
]
PerMinuteOption = Annotated[
    int | None, typer.Option("--per-minute", min=1, help="Events it may publish a minute, in the long run.")
]
BurstOption = Annotated[int | None, typer.Option("--burst", min=1, help="Events it may publish at once.")]
PerDayOption = Annotated[int | None, typer.Option("--per-day", min=1, help="Events it may publish in a day (UTC).")]


def platform_of(operator: Operator) -> Platform:
    """What the modules work with, on the hub of this machine."""
    return Platform(database=operator.database, clock=SystemClock())


@application.command("create")
def create(
    application_id: IdArgument,
    property_id: PropertyOption,
    name: Annotated[str, typer.Option(help="What it is, for people.")] = "",
    per_minute: PerMinuteOption = None,
    burst: BurstOption = None,
    per_day: PerDayOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register an application of a property, so that it may publish events on the bus.

    Its id becomes the third word of the routing keys of its events; it has 3 to 64 of a-z, 0-9, _ and -, and does not
    begin with sc. It speaks for this property and its buildings, and cannot make events of the platform. Quotas that
    are not given are those of the settings: see [events] in `matrixhub config`.

    \b
    matrixhub application create lift-monitor --property P --name "Lifts of block 7"
    matrixhub key create --property P --application lift-monitor
    matrixhub events publish --application lift-monitor LIFT_STUCK --priority HIGH
    """

    async def work() -> Application:
        given = {"per_minute": per_minute, "burst": burst, "per_day": per_day}
        async with open_operator(data) as operator:
            numbers = {key: number for key, number in given.items() if number is not None}
            quota = replace(quota_defaults(operator.settings), **numbers)
            platform = platform_of(operator)
            return await register_application(platform, PropertyId(property_id), application_id, name=name, quota=quota)

    _tell(run_command(work), as_json)


@application.command("list")
def list_(property_id: PropertyOption, data: DataOption = None, as_json: JsonOption = False) -> None:
    """List the applications of a property with their quotas; revoked ones too, for their ids stay taken."""

    async def work() -> Sequence[Application]:
        async with open_operator(data) as operator:
            await require_property(operator.database, PropertyId(property_id))
            async with operator.database.connection() as connection:
                return await list_applications(connection, PropertyId(property_id))

    found = run_command(work)
    if as_json:
        print_json([application_document(one) for one in found])
        return
    if not found:
        typer.echo("There are none. See: matrixhub application create --help")
        return
    table = Table("application", "name", "a minute", "at once", "a day", "created", "revoked", box=None, pad_edge=False)
    for one in found:
        table.add_row(
            one.id,
            one.name,
            *(f"{number:,}" for number in (one.quota.per_minute, one.quota.burst, one.quota.per_day)),
            f"{one.created_at:%Y-%m-%d %H:%M}",
            f"{one.revoked_at:%Y-%m-%d %H:%M}" if one.revoked_at else "",
        )
    Console(highlight=False, markup=False).print(table)


@application.command("update")
def update(
    application_id: IdArgument,
    property_id: PropertyOption,
    name: Annotated[str | None, typer.Option(help="What it is, for people.")] = None,
    per_minute: PerMinuteOption = None,
    burst: BurstOption = None,
    per_day: PerDayOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change the name or the quotas of an application; what is not given stays. It counts from the next event on.

    \b
    matrixhub application update lift-monitor --property P --per-minute 120 --burst 300
    """

    async def work() -> Application:
        async with open_operator(data) as operator:
            return await change_application(
                platform_of(operator),
                PropertyId(property_id),
                ApplicationId(application_id),
                name=name,
                per_minute=per_minute,
                burst=burst,
                per_day=per_day,
            )

    _tell(run_command(work), as_json)


@application.command("revoke")
def revoke(
    application_id: IdArgument, property_id: PropertyOption, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Let an application publish nothing any more, at once; its keys are revoked with it.

    Its events stay in the log, it stays listed, and its id stays taken.
    """

    async def work() -> Application:
        async with open_operator(data) as operator:
            platform = platform_of(operator)
            return await revoke_application(platform, PropertyId(property_id), ApplicationId(application_id))

    found = run_command(work)
    if as_json:
        print_json(application_document(found))
    else:
        typer.echo(f"{found.id} is revoked")


def _tell(found: Application, as_json: bool) -> None:
    if as_json:
        print_json(application_document(found))
        return
    quota = found.quota
    if found.revoked_at:
        typer.echo(f"{found.id} is revoked; it may publish nothing")
        return
    typer.echo(
        f"{found.id} may publish {quota.per_minute:,} events a minute, {quota.burst:,} at once, {quota.per_day:,} a day"
    )
