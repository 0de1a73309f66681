"""`matrixhub database backfill`: past data into a customer's database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from matrixhub.cli.local import DataOption, JsonOption, LimitOption, Operator, open_operator, parse_time, print_json
from matrixhub.cli.local import run as run_command
from matrixhub.model.backfill import OPEN_STATES, RATE, RATE_MAX, Backfill, plan_view, public_view
from matrixhub.model.ids import BackfillId, DatabaseId, PropertyId, SubscriptionId
from matrixhub.model.subscription import CALLED
from matrixhub.modules.telemetry.backfills import Wish, plan_backfill
from matrixhub.store.backfills import Backfills
from matrixhub.store.databases import Databases

EXIT_NOT_DONE = 1
LOOK_S = 0.5

backfill = typer.Typer(no_args_is_help=True, help="Past data into a customer's database.")

BackfillArgument = Annotated[str, typer.Argument(metavar="BACKFILL", help="Id of the backfill, bfl_…")]
DatabaseOption = Annotated[str, typer.Option("--database", metavar="DB", help="Id of the database, db_…")]
WatchOption = Annotated[bool, typer.Option("--watch", help="Stay, and show how it goes until it is over.")]


@backfill.command("start")
def start(
    database: DatabaseOption,
    since: Annotated[
        str, typer.Option("--from", metavar="TIME", help="From this time on (ISO 8601); else all that is kept.")
    ] = "",
    until: Annotated[
        str, typer.Option("--to", metavar="TIME", help="Before this time (ISO 8601); else all that has come.")
    ] = "",
    events: Annotated[
        bool, typer.Option("--events/--sensors", help="Events of the log instead of readings of sensors.")
    ] = False,
    rate: Annotated[int, typer.Option(min=1, max=RATE_MAX, metavar="N", help="Most rows a second.")] = RATE,
    subscription: Annotated[
        str, typer.Option(metavar="SUBSCRIPTION", help="Whose filter holds, where several lead to the database.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell how much it is about.")] = False,
    watch: WatchOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy past data into a database to which a subscription leads.

    A subscription brings what comes from its making on; this brings what was before, from the hub's own store. What
    both bring is there once. It is done behind all else, no faster than --rate, and waits while deliveries or the store
    are behind; a database that is away is tried again until it is back.

    \b
    Everything that the hub has kept of the readings:
      matrixhub database backfill start --database db_… --watch
    The events of March, gently; first, how many there are:
      matrixhub database backfill start --database db_… --events --from 2024-03-01 --to 2024-04-01 --dry-run
      matrixhub database backfill start --database db_… --events --from 2024-03-01 --to 2024-04-01 --rate 200
    """

    async def work() -> Backfill:
        async with open_operator(data) as operator:
            record = await Databases(operator.database, operator.codec.sealer).show(DatabaseId(database))
            wish = Wish(
                property_id=record.property_id,
                database_id=record.id,
                source="events" if events else "sensors",
                since=parse_time(since, "--from"),
                until=parse_time(until, "--to"),
                rate=rate,
                subscription_id=SubscriptionId(subscription) if subscription else None,
            )
            planned = await plan_backfill(operator.database, wish)
            if not as_json:
                typer.echo(_about(planned))
            if dry_run:
                return planned
            made = await Backfills(operator.database).add(planned)
            if not as_json:
                typer.echo(f"{made.id} begins as soon as the store has a moment; see: matrixhub database backfill list")
            return await _watched(operator, made, as_json=as_json) if watch else made

    found = run_command(work)
    if as_json:
        print_json(plan_view(found) if dry_run else public_view(found))
    _conclude(found, watched=watch and not dry_run, as_json=as_json)


@backfill.command("list")
def list_(
    database: DatabaseOption,
    limit: LimitOption = 20,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the backfills of a database, newest first."""

    async def work() -> Sequence[Backfill]:
        async with open_operator(data) as operator:
            record = await Databases(operator.database, operator.codec.sealer).show(DatabaseId(database))
            return await Backfills(operator.database).list(record.property_id, record.id, limit=limit)

    found = run_command(work)
    if as_json:
        print_json([public_view(one) for one in found])
        return
    if not found:
        typer.echo("None. See: matrixhub database backfill start --help")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("backfill", "of", "state", "done", "rows", "reached"):
        table.add_column(name, no_wrap=True)
    table.add_column("says", overflow="fold")
    for one in found:
        reached = f"{one.reached_at:%Y-%m-%d %H:%M}" if one.reached_at else ""
        done = f"{one.done_pct:g} %"
        table.add_row(one.id, CALLED[one.source], one.state, done, f"{one.copied:,}", reached, _says(one))
    Console(highlight=False, markup=False).print(table)


@backfill.command("show")
def show(
    backfill_id: BackfillArgument, watch: WatchOption = False, data: DataOption = None, as_json: JsonOption = False
) -> None:
    """Show a backfill: how far it is, what it waits for, and what went wrong last.

    \b
    matrixhub database backfill show bfl_… --watch
    """

    async def work() -> Backfill:
        async with open_operator(data) as operator:
            backfills = Backfills(operator.database)
            found = await backfills.show(await backfills.property_of(BackfillId(backfill_id)), BackfillId(backfill_id))
            return await _watched(operator, found, as_json=as_json) if watch else found

    found = run_command(work)
    if as_json:
        print_json(public_view(found))
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="dim")
        table.add_column(overflow="fold")
        for name, value in public_view(found).items():
            table.add_row(name.replace("_", " "), "" if value is None else str(value))
        Console(highlight=False, markup=False).print(table)
    _conclude(found, watched=watch, as_json=as_json, table=True)


@backfill.command("pause")
def pause(backfill_id: BackfillArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Let a backfill rest where it is; `resume` goes on from there."""
    _act(backfill_id, data, lambda backfills: backfills.pause, as_json=as_json)


@backfill.command("resume")
def resume(backfill_id: BackfillArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Let a backfill go on; one that waits to try again tries now."""
    _act(backfill_id, data, lambda backfills: backfills.resume, as_json=as_json)


@backfill.command("cancel")
def cancel(backfill_id: BackfillArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """End a backfill for good; what was written stays in the database."""
    _act(backfill_id, data, lambda backfills: backfills.cancel, as_json=as_json)


_Act = Callable[[Backfills], Callable[[PropertyId, BackfillId], Awaitable[Backfill]]]


def _act(backfill_id: str, data: Path | None, act: _Act, *, as_json: bool) -> None:
    async def work() -> Backfill:
        async with open_operator(data) as operator:
            backfills = Backfills(operator.database)
            named = BackfillId(backfill_id)
            return await act(backfills)(await backfills.property_of(named), named)

    found = run_command(work)
    if as_json:
        print_json(public_view(found))
    else:
        typer.echo(f"{found.id} is {found.state}, with {found.copied:,} {CALLED[found.source]} copied")


async def _watched(operator: Operator, made: Backfill, *, as_json: bool) -> Backfill:
    """The backfill once it is over or rests, shown on its way."""
    people = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.completed:,.0f} of {task.total:,.0f}"), BarColumn(), TimeRemainingColumn())
    with Progress(
        *columns,
        TextColumn("{task.description}"),
        console=people,
        transient=True,
        disable=as_json or not people.is_terminal,
    ) as progress:
        task = progress.add_task("", total=made.estimate.items)
        while made.state in OPEN_STATES and made.state != "paused":
            made = await Backfills(operator.database).show(made.property_id, made.id)
            progress.update(task, completed=made.copied, description=_says(made))
            if made.state in ("asked", "running"):
                await asyncio.sleep(LOOK_S)
    return made


def _conclude(found: Backfill, *, watched: bool, as_json: bool, table: bool = False) -> None:
    """Say how it ended, where it was watched, and end with 1 where it did not come to its end."""
    if not watched:
        return
    if not as_json and not table:
        refused = f", {found.refused:,} refused" if found.refused else ""
        typer.echo(f"{found.id} is {found.state}: {found.written:,} written, {found.present:,} were there{refused}")
        if found.last_error:
            typer.echo(found.last_error)
    if found.state != "done":
        raise typer.Exit(EXIT_NOT_DONE)


def _about(planned: Backfill) -> str:
    """How much a backfill is about, in a sentence."""
    items, seconds = planned.estimate.items, planned.estimate.items / planned.rate
    how_many = f"{items:,}" if planned.estimate.exact else f"some {items:,}"
    takes = timedelta(seconds=round(seconds))
    return f"{how_many} {CALLED[planned.source]}; at {planned.rate:,} a second {takes or 'less than a second'}"


def _says(backfill: Backfill) -> str:
    """What a person should know of a backfill now."""
    if backfill.state not in OPEN_STATES:
        return backfill.last_error
    return backfill.waiting or (backfill.last_error if backfill.failures else "")
