"""`matrixhub site`: the buildings, zones and device slots the hub knows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table

from matrixhub.cli.local import DataOption, JsonOption, open_operator, print_json
from matrixhub.cli.local import run as run_command
from matrixhub.cli.sitefile import read_site as read_site_file
from matrixhub.model.errors import NotFound
from matrixhub.model.ids import PropertyId
from matrixhub.model.site import Site, SiteChange
from matrixhub.sources.sites import site_document
from matrixhub.store.sites import apply_site, list_properties, read_site

site = typer.Typer(no_args_is_help=True, help="Declare and show buildings, zones and device slots.")


@site.command("apply")
def apply(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Site file (YAML).")],
    remove: Annotated[bool, typer.Option("--remove", help="Also remove what the file no longer names.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the hub know a property as a YAML file declares it. Applying it twice changes nothing.

    \b
    organisation: {id: ORCHARD, name: Orchard Estates}
    property: {name: Demo property}
    buildings:
      - name: Main
        time_zone: Asia/Singapore
        levels:
          - name: L1
            zones:
              - name: Washroom L1 Male
                category: WASHROOM
                slots:
                  - {name: People counter, type: "SMARTCLEAN#PPLCTR"}

    Ids may be given; without one, a place gets an id made from its name that stays the same.
    Errors name line and field.
    """

    async def work() -> tuple[Site, SiteChange]:
        wanted = read_site_file(file)
        async with open_operator(data) as operator:
            return wanted, await apply_site(operator.database, wanted, remove=remove)

    wanted, change = run_command(work)
    if as_json:
        print_json(
            {
                "property": wanted.property.id,
                "changed": change.changed,
                "created": change.created,
                "updated": change.updated,
                "unchanged": change.unchanged,
                "removed": change.removed,
            }
        )
        return
    Console(highlight=False).print(
        f"{wanted.property.name} ({wanted.property.id}): {change.created} created, {change.updated} updated, "
        f"{change.unchanged} unchanged, {change.removed} removed",
        soft_wrap=True,
    )


@site.command("show")
def show(
    property_id: Annotated[str | None, typer.Argument(metavar="[PROPERTY]", help="Id of a property.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the properties, or one of them as a site file that `site apply` takes."""

    async def work() -> Any:
        async with open_operator(data) as operator:
            if property_id is None:
                return await list_properties(operator.database)
            found = await read_site(operator.database, PropertyId(property_id))
            if found is None:
                raise NotFound(f"there is no property {property_id}")
            return found

    found = run_command(work)
    if isinstance(found, Site):
        document = site_document(found)
        if as_json:
            print_json(document)
        else:
            typer.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), nl=False)
    elif as_json:
        print_json(list(found))
    else:
        _print_properties(found)


def _print_properties(rows: Any) -> None:
    console = Console(highlight=False)
    if not rows:
        console.print("No property yet. Declare one: matrixhub site apply FILE")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("property", "name", "organisation", "buildings", "slots"):
        table.add_column(name, style="bold" if name == "property" else "", overflow="fold")
    for row in rows:
        table.add_row(row["id"], row["name"], row["organisation_id"], f"{row['buildings']:,}", f"{row['slots']:,}")
    console.print(table)
