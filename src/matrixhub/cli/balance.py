"""`matrixhub balance`: whether every reading is accounted for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from matrixhub.cli.local import EXIT_FAILED, DataOption, JsonOption, open_operator, open_operator_buses, print_json
from matrixhub.cli.local import run as run_command
from matrixhub.deliveries.balance import Balance, subscription_balance, take_balances, total_balance
from matrixhub.model.ids import PropertyId, SubscriptionId
from matrixhub.store.books import PostgresBooks

PARTS = ("accepted", "delivered", "pending", "parked", "expired", "skipped", "difference")


def balance(
    subscription_id: Annotated[
        str | None, typer.Argument(metavar="[SUBSCRIPTION]", help="Only this one, sub_…; else all.")
    ] = None,
    property_id: Annotated[
        str | None, typer.Option("--property", metavar="PROPERTY", help="Only those of this property.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what became of every reading; exit code 1 if one is not accounted for.

    accepted = delivered + pending + parked + expired + skipped, for each subscription and in total, exact at the moment
    of the command, whatever goes on meanwhile:

    \b
    accepted    readings the subscription wants, counted from the stream; those replayed count once more
    delivered   taken by the destination
    pending     waiting in the stream
    parked      refused or given up, set aside with a reason
    expired     removed by the written policy of retention before anybody took them
    skipped     passed over for a newer one, where the order is latest_first

    The carriers keep delivered, parked, expired and skipped; accepted is counted by others, from the stream alone, so a
    difference means that something is wrong with the hub or its disk.

    \b
    matrixhub balance
    matrixhub balance sub_… --json
    """
    people = Console(stderr=True, highlight=False)
    bar = Progress(
        TextColumn("counting the stream"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=people,
        transient=True,
        disable=as_json or not people.is_terminal,
    )
    task = bar.add_task("", total=None)

    async def work() -> Mapping[SubscriptionId, Balance]:
        async with open_operator(data) as operator, open_operator_buses(data) as buses:
            books = PostgresBooks(operator.database)
            if subscription_id is not None:
                wanted = SubscriptionId(subscription_id)
                return {wanted: await subscription_balance(buses, books, wanted)}
            return await take_balances(
                buses,
                books,
                property_id=None if property_id is None else PropertyId(property_id),
                progressed=lambda done, whole: bar.update(task, completed=done, total=whole),
            )

    with bar:
        found = run_command(work)
    holds = all(one.holds for one in found.values())
    if as_json:
        print_json(
            {
                "holds": holds,
                "total": balance_document(total_balance(found.values())),
                "subscriptions": [{"id": name, **balance_document(one)} for name, one in found.items()],
            }
        )
    elif not found:
        typer.echo("No subscription yet. Make one: matrixhub subscription create --help")
    else:
        _print(found, holds, Console(highlight=False))
    if not holds:
        raise typer.Exit(EXIT_FAILED)


def balance_document(found: Balance) -> dict[str, Any]:
    """A balance as JSON shows it."""
    return {part: getattr(found, part) for part in PARTS} | {"replayed": found.replayed, "holds": found.holds}


def _print(found: Mapping[SubscriptionId, Balance], holds: bool, console: Console) -> None:
    table = Table(box=None, pad_edge=False, show_footer=len(found) > 1)
    total = total_balance(found.values())
    table.add_column("subscription", footer="total")
    for part in PARTS:
        table.add_column(part, justify="right", footer=f"{getattr(total, part):,}")
    for name, one in found.items():
        cells = [f"{getattr(one, part):,}" for part in PARTS]
        table.add_row(name, *cells[:-1], Text(cells[-1], style="green" if one.holds else "bold red"))
    console.print(table)
    broken = sum(not one.holds for one in found.values())
    console.print(
        Text("every reading and every event is accounted for", style="green")
        if holds
        else Text(f"the balance of {broken} of {len(found)} subscriptions is off", style="bold red")
    )
