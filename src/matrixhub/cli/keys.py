"""`matrixhub key`: keys that send readings, that manage over REST, and that publish the events of applications."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from matrixhub.cli.local import DataOption, JsonOption, open_operator, print_json
from matrixhub.cli.local import run as run_command
from matrixhub.model.ids import ApplicationId, KeyId, PropertyId
from matrixhub.model.secret import Secret
from matrixhub.store.keys import IngestKey, create_key, list_keys, revoke_key
from matrixhub.store.sites import require_property

keys = typer.Typer(no_args_is_help=True, help="Keys that devices and gateways send readings with.")

PropertyOption = Annotated[str, typer.Option("--property", metavar="PROPERTY", help="Id of the property.")]


@keys.command("create")
def create(
    property_id: PropertyOption,
    name: Annotated[str, typer.Option(help="What the key is for, for people.")] = "",
    manage: Annotated[bool, typer.Option("--manage", help="It may also manage the property's subscriptions.")] = False,
    application: Annotated[
        str, typer.Option(metavar="ID", help="It publishes the events of this application, and does nothing else.")
    ] = "",
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key for a property. It is shown once, here; the hub keeps only its digest.

    Send readings with it:  Authorization: Bearer mhk_…
    With --manage it is good for the REST face besides: /hub/v1/subscriptions and what belongs to them.
    With --application it is good for POST /hub/v1/events only; see: matrixhub application --help
    """

    async def work() -> tuple[KeyId, Secret]:
        async with open_operator(data) as operator:
            return await create_key(
                operator.database,
                PropertyId(property_id),
                name,
                manages=manage,
                application_id=ApplicationId(application) if application else None,
            )

    key_id, token = run_command(work)
    if as_json:
        print_json(
            {
                "id": key_id,
                "property": property_id,
                "manages": manage,
                "application": application or None,
                "key": token.reveal(),
            }
        )
    else:
        typer.echo(f"{key_id}  {token.reveal()}")


@keys.command("list")
def list_(property_id: PropertyOption, data: DataOption = None, as_json: JsonOption = False) -> None:
    """List the keys of a property, without the keys themselves."""

    async def work() -> Sequence[IngestKey]:
        async with open_operator(data) as operator:
            await require_property(operator.database, PropertyId(property_id))
            return await list_keys(operator.database, PropertyId(property_id))

    found = run_command(work)
    if as_json:
        print_json(
            [
                {
                    "id": key.id,
                    "name": key.name,
                    "manages": key.manages,
                    "application": key.application_id,
                    "created_at": key.created_at.isoformat(),
                    "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
                }
                for key in found
            ]
        )
        return
    table = Table("key", "name", "manages", "application", "created", "revoked", box=None, pad_edge=False)
    for key in found:
        table.add_row(
            key.id,
            key.name,
            "yes" if key.manages else "",
            key.application_id or "",
            f"{key.created_at:%Y-%m-%d %H:%M}",
            f"{key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else "",
        )
    Console(highlight=False).print(table)


@keys.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="Id of the key, key_…")],
    property_id: PropertyOption,
    data: DataOption = None,
) -> None:
    """Make a key invalid, at once."""

    async def work() -> None:
        async with open_operator(data) as operator:
            await revoke_key(operator.database, PropertyId(property_id), KeyId(key_id))

    run_command(work)
    typer.echo(f"{key_id} is revoked")
