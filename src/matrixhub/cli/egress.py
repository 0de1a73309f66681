"""`matrixhub egress`: where pushes may go besides the public internet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from matrixhub.cli.local import DataOption, JsonOption, open_operator, print_json
from matrixhub.cli.local import run as run_command
from matrixhub.model.egress import canonical_target
from matrixhub.model.ids import PropertyId
from matrixhub.store.egress import Allowed, allow_egress, list_egress, revoke_egress

egress = typer.Typer(no_args_is_help=True, help="Where pushes may go besides the public internet.")

PropertyOption = Annotated[str, typer.Option("--property", metavar="PROPERTY", help="Id of the property.")]
TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="NETWORK_OR_HOST",
        help="10.20.1.7, 10.20.0.0/16, fd12::/48, erp.example.org or *.example.org (names below it, not itself).",
    ),
]


@egress.command("allow")
def allow(
    target: TargetArgument, property_id: PropertyOption, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Let the pushes of a property go to a private network, or to a host wherever its name leads.

    Without this, pushes go to the public internet only: no loopback, no private, link-local or otherwise special
    address, by whatever name or spelling. It works at once, for subscriptions that wait as well.

    Allow as little as does: an address rather than a network, a network rather than a name. Whoever may make
    subscriptions of the property reaches all that is allowed to it, and an allowed name leads wherever the owner of
    its DNS points it, this machine included.

    \b
    matrixhub egress allow --property P 10.20.1.7
    matrixhub egress allow --property P erp.example.org
    """

    async def work() -> str:
        async with open_operator(data) as operator:
            return await allow_egress(operator.database, PropertyId(property_id), target)

    allowed = run_command(work)
    if as_json:
        print_json({"property": property_id, "allowed": allowed})
    else:
        typer.echo(f"{allowed} is allowed")


@egress.command("list")
def list_(property_id: PropertyOption, data: DataOption = None, as_json: JsonOption = False) -> None:
    """List what a property is allowed, by entries of its own and by deliveries.egress_allow of the settings read."""

    async def work() -> tuple[Sequence[Allowed], Sequence[str]]:
        async with open_operator(data) as operator:
            own = await list_egress(operator.database, PropertyId(property_id))
            return own, [canonical_target(target) for target in operator.settings.deliveries.egress_allow]

    own, to_all = run_command(work)
    if as_json:
        print_json(
            [
                *({"target": a.target, "by": "property", "created_at": a.created_at.isoformat()} for a in own),
                *({"target": target, "by": "setting", "created_at": None} for target in to_all),
            ]
        )
        return
    if not own and not to_all:
        typer.echo(
            "Nothing: pushes of this property go to the public internet only. See: matrixhub egress allow --help"
        )
        return
    table = Table("allowed", "by", "since", box=None, pad_edge=False)
    for allowed in own:
        table.add_row(allowed.target, "property", f"{allowed.created_at:%Y-%m-%d %H:%M}")
    for target in to_all:
        table.add_row(target, "setting", "")
    Console(highlight=False).print(table)


@egress.command("revoke")
def revoke(target: TargetArgument, property_id: PropertyOption, data: DataOption = None) -> None:
    """Take the leave back. A request under way ends; no other is sent there, not even on a connection still open.

    Readings for a destination that is no longer allowed are kept and wait.
    """

    async def work() -> str:
        async with open_operator(data) as operator:
            return await revoke_egress(operator.database, PropertyId(property_id), target)

    typer.echo(f"{run_command(work)} is no longer allowed")
