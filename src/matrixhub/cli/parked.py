"""`matrixhub parked`: readings that were set aside, and what to do with them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from matrixhub.cli.local import (
    DataOption,
    JsonOption,
    LimitOption,
    find_subscription,
    open_operator,
    parse_time,
    parse_uuid,
    print_json,
)
from matrixhub.cli.local import run as run_command
from matrixhub.cli.views import parked_document
from matrixhub.model.delivery import ParkedItem
from matrixhub.model.errors import InvalidValue, NotFound
from matrixhub.store import Database
from matrixhub.store.parked import (
    Selection,
    ask_redrive,
    count_parked,
    discard_parked,
    export_parked,
    list_parked,
    show_parked,
)

parked = typer.Typer(no_args_is_help=True, help="Readings that were set aside, and what to do with them.")

SubscriptionArgument = Annotated[str, typer.Argument(metavar="SUBSCRIPTION", help="Id of the subscription, sub_…")]
IdsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[READING]...", help="Ids of the parked readings that are meant.")
]
SinceOption = Annotated[str, typer.Option(metavar="TIME", help="Parked at this time (ISO 8601) or later.")]
UntilOption = Annotated[str, typer.Option(metavar="TIME", help="Parked before this time (ISO 8601).")]
CodeOption = Annotated[str, typer.Option(metavar="CODE", help="Parked for this reason, such as MH-D003.")]
AllOption = Annotated[bool, typer.Option("--all", help="All of the subscription.")]


@parked.command("list")
def list_(
    subscription_id: SubscriptionArgument,
    since: SinceOption = "",
    until: UntilOption = "",
    code: CodeOption = "",
    limit: LimitOption = 50,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List parked readings, oldest first, each with its reason.

    \b
    matrixhub parked list sub_… --code MH-D003
    """

    async def work() -> tuple[Sequence[ParkedItem], int]:
        selection = _selection((), since, until, code)
        async with open_operator(data) as operator:
            made = (await find_subscription(operator, subscription_id)).subscription
            where = (operator.database, made.property_id, made.id)
            items = await list_parked(*where, selection=selection, limit=limit)
            return items, await count_parked(*where, selection=selection)

    found, count = run_command(work)
    if as_json:
        print_json([parked_document(item) for item in found])
        return
    if not found:
        typer.echo("Nothing is parked.")
        return
    table = Table("parked at", "reading", "again", "code", "reason", box=None, pad_edge=False)
    for item in found:
        again = "asked for" if item.redrive_at else ""
        table.add_row(f"{item.parked_at:%Y-%m-%d %H:%M:%S}", str(item.id), again, item.code, item.reason[:60])
    Console(highlight=False, markup=False).print(table)
    if count > len(found):
        typer.echo(f"{len(found):,} of {count:,}")


@parked.command("show")
def show(
    subscription_id: SubscriptionArgument,
    reading: Annotated[str, typer.Argument(metavar="READING", help="Id of the parked reading.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one parked reading with its reason and its place in the stream.

    \b
    matrixhub parked show sub_… 0190163d-8694-739b-aea5-966c26f8ad91
    """

    async def work() -> ParkedItem:
        named = parse_uuid(reading)
        async with open_operator(data) as operator:
            made = (await find_subscription(operator, subscription_id)).subscription
            item = await show_parked(operator.database, made.property_id, named)
            if item.subscription_id != made.id:
                raise NotFound(f"{subscription_id} has no parked reading {reading}")
            return item

    document = parked_document(run_command(work))
    if as_json:
        print_json(document)
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for key, value in document.items():
        shown = f"{value['seq']}.{value['item']}" if isinstance(value, dict) else "" if value is None else str(value)
        table.add_row(key.replace("_", " "), shown)
    Console(highlight=False, markup=False).print(table)


@parked.command("redrive")
def redrive(
    subscription_id: SubscriptionArgument,
    readings: IdsArgument = None,
    since: SinceOption = "",
    until: UntilOption = "",
    code: CodeOption = "",
    every: AllOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send parked readings again; what is refused once more stays parked, with its new reason.

    \b
    matrixhub parked redrive sub_… --all
    """
    selection = _checked(readings, since, until, code, every)
    count = _act(subscription_id, data, partial(ask_redrive, selection=selection), "asking")
    if as_json:
        print_json({"readings": count})
    else:
        typer.echo(f"{count:,} parked readings are sent again")


@parked.command("discard")
def discard(
    subscription_id: SubscriptionArgument,
    readings: IdsArgument = None,
    since: SinceOption = "",
    until: UntilOption = "",
    code: CodeOption = "",
    every: AllOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give parked readings up for good; the balance counts them as expired. To keep a copy, export them first.

    \b
    matrixhub parked discard sub_… --until 2024-03-10 --yes
    """
    selection = _checked(readings, since, until, code, every)
    if not yes:
        count = _act(subscription_id, data, partial(count_parked, selection=selection), "counting")
        typer.confirm(f"Give up {count:,} parked readings for good?", abort=True, err=True)
    count = _act(subscription_id, data, partial(discard_parked, selection=selection), "discarding")
    if as_json:
        print_json({"readings": count})
    else:
        typer.echo(f"{count:,} parked readings are given up")


@parked.command("export")
def export(
    subscription_id: SubscriptionArgument,
    to: Annotated[str, typer.Option("--to", metavar="FILE", help="File to write; `-` is standard output.")] = "-",
    since: SinceOption = "",
    until: UntilOption = "",
    code: CodeOption = "",
    data: DataOption = None,
) -> None:
    """Write parked readings as NDJSON, oldest first: one JSON object a line, with the reading and its reason.

    \b
    matrixhub parked export sub_… --to parked.ndjson
    """

    async def work() -> int:
        selection, count = _selection((), since, until, code), 0
        async with open_operator(data) as operator:
            made = (await find_subscription(operator, subscription_id)).subscription
            with _opened(to) as file, _busy("exporting") as progress:
                progress.add_task("exporting", total=None)
                async for item in export_parked(operator.database, made.property_id, made.id, selection=selection):
                    file.write(msgspec.json.encode(parked_document(item)) + b"\n")
                    count += 1
        return count

    count = run_command(work)
    if to != "-":
        typer.echo(f"{count:,} parked readings are in {to}")


def _opened(path: str) -> contextlib.AbstractContextManager[BinaryIO]:
    """The file to write to, or standard output. Raises InvalidValue."""
    if path == "-":
        return contextlib.nullcontext(sys.stdout.buffer)
    try:
        return Path(path).open("wb")
    except OSError as error:
        raise InvalidValue(f"{path} cannot be written: {error.strerror}") from error


def _busy(what: str) -> Progress:
    return Progress(
        SpinnerColumn(), TextColumn(what), TimeElapsedColumn(), console=Console(stderr=True), transient=True
    )


def _act(
    subscription_id: str, data: Path | None, act: Callable[[Database, Any, Any], Awaitable[int]], what: str
) -> int:
    async def work() -> int:
        async with open_operator(data) as operator:
            made = (await find_subscription(operator, subscription_id)).subscription
            with _busy(what) as progress:
                progress.add_task(what, total=None)
                return await act(operator.database, made.property_id, made.id)

    return run_command(work)


def _checked(readings: Sequence[str] | None, since: str, until: str, code: str, every: bool) -> Selection:
    """The selection to act on, which must be one. Raises InvalidValue."""
    selection = _selection(readings or (), since, until, code)
    if selection.named == every:
        raise InvalidValue("say which readings: by id, --since, --until or --code, or else --all")
    return selection


def _selection(readings: Sequence[str], since: str, until: str, code: str) -> Selection:
    found = Selection(
        ids=tuple(map(parse_uuid, readings)),
        since=parse_time(since, "--since"),
        until=parse_time(until, "--until"),
        code=code,
    )
    return found if found.named else Selection(all=True)
