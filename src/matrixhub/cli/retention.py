"""`matrixhub retention`: for how long the readings of a property are kept as past data."""

from __future__ import annotations

from typing import Annotated

import typer

from matrixhub.cli.local import DataOption, JsonOption, open_operator, print_json
from matrixhub.cli.local import run as run_command
from matrixhub.model.ids import PropertyId
from matrixhub.store.reading_retention import DAY_S, DAYS_MAX, clear_retention, set_retention, show_retention

retention = typer.Typer(no_args_is_help=True, help="For how long the readings of a property are kept as past data.")

PropertyOption = Annotated[str, typer.Option("--property", metavar="PROPERTY", help="Id of the property.")]
DaysOption = Annotated[int, typer.Option("--days", min=1, max=DAYS_MAX, help="So many days.")]


@retention.command("set")
def set_(property_id: PropertyOption, days: DaysOption, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Keep the readings of a property for so many days, fewer or more than the others'.

    What is older is deleted within hours, in small steps, and does not come back; readings that come later than that
    are delivered, and not stored. Customers' own databases are not touched.

    \b
    matrixhub retention set --property P --days 30
    """

    async def work() -> None:
        async with open_operator(data) as operator:
            await set_retention(operator.database, PropertyId(property_id), days)

    run_command(work)
    if as_json:
        print_json({"property": property_id, "days": days, "own": True})
    else:
        typer.echo(f"Readings of this property are kept for {days} days.")


@retention.command("show")
def show(property_id: PropertyOption, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Say for how many days the readings of a property are kept, and whether it says so itself."""

    async def work() -> tuple[int | None, float]:
        async with open_operator(data) as operator:
            own = await show_retention(operator.database, PropertyId(property_id))
            return own, operator.settings.store.readings_retention_s / DAY_S

    own, default = run_command(work)
    if as_json:
        print_json({"property": property_id, "days": default if own is None else own, "own": own is not None})
    elif own is None:
        typer.echo(f"Readings of this property are kept for {default:g} days, by store.readings_retention_s.")
    else:
        typer.echo(f"Readings of this property are kept for {own} days, by a setting of its own.")


@retention.command("clear")
def clear(property_id: PropertyOption, data: DataOption = None) -> None:
    """Keep the readings of a property as long as store.readings_retention_s says."""

    async def work() -> None:
        async with open_operator(data) as operator:
            await clear_retention(operator.database, PropertyId(property_id))

    run_command(work)
    typer.echo("Readings of this property are kept as long as those of the others.")
