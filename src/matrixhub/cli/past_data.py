"""`matrixhub past-data`: readings and events that were, as files."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, cast

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from matrixhub.cli.applications import platform_of
from matrixhub.cli.files import STANDARD_OUTPUT, whole_file
from matrixhub.cli.local import DataOption, JsonOption, open_operator, parse_time, print_json
from matrixhub.cli.local import run as run_command
from matrixhub.model.errors import InvalidValue
from matrixhub.model.export import FORMATS, LINE_FORMATS, Format, FormatName, format_of_file, read_attributes
from matrixhub.model.ids import BuildingId, PropertyId, SlotId, ZoneId
from matrixhub.model.past import END, FIRST, Wanted
from matrixhub.modules.events import export_events
from matrixhub.modules.exports.formats import Writer, make_writer, written
from matrixhub.modules.exports.tables import events_table, readings_table
from matrixhub.modules.telemetry.readings import export_readings, place_behind
from matrixhub.modules.work import Platform
from matrixhub.store.sites import require_property

past_data = typer.Typer(no_args_is_help=True, help="Past data as files: what sensors measured, and what happened.")

PropertyOption = Annotated[str, typer.Option("--property", metavar="PROPERTY", help="Id of the property.")]
FromOption = Annotated[
    str, typer.Option("--from", metavar="TIME", help="From this time (ISO 8601) on; else a day before --to.")
]
ToOption = Annotated[str, typer.Option("--to", metavar="TIME", help="Before this time (ISO 8601); else until now.")]
OutOption = Annotated[
    str,
    typer.Option("--out", "-o", metavar="FILE", help="Where to; `-` is standard output. With .gz it is compressed."),
]
SpreadsheetOption = Annotated[
    bool, typer.Option("--spreadsheet", help="Of CSV: put ' before texts that a spreadsheet would take for formulas.")
]
HeaderOption = Annotated[bool, typer.Option("--header/--no-header", help="Of CSV: begin with the names of columns.")]


class _Stamp(msgspec.Struct):
    """When a line was."""

    unixT: int | None = None  # noqa: N815 - the spelling of the wire
    UnixTimeInt: int | None = None


_read_stamp = msgspec.json.Decoder(_Stamp).decode


@dataclass(frozen=True, kw_only=True, slots=True)
class _Task:
    """A file to make: where, as what, and of which time."""

    name: str
    format: Format
    writer: Writer
    start: datetime
    end: datetime


@past_data.command("readings")
def readings(
    property_id: PropertyOption,
    out: OutOption = STANDARD_OUTPUT,
    slot: Annotated[list[str] | None, typer.Option(help="Only those of this slot; may be given again.")] = None,
    zone: Annotated[list[str] | None, typer.Option(help="Only those of this zone; may be given again.")] = None,
    building: Annotated[list[str] | None, typer.Option(help="Only those of this building; may be given again.")] = None,
    devtype: Annotated[
        list[str] | None, typer.Option("--type", help="Only those of this device type; may be given again.")
    ] = None,
    start: FromOption = "",
    end: ToOption = "",
    format_name: Annotated[
        str, typer.Option("--format", help=f"{', '.join(FORMATS)}; else what FILE ends with, or ndjson.")
    ] = "",
    attributes: Annotated[
        str,
        typer.Option(metavar="LIST", help="Columns for attributes of v, as count,p,mac:text (not of json, ndjson)."),
    ] = "",
    after: Annotated[
        str, typer.Option(metavar="READING", help="Only behind this one: <unixT>/<DEVID>/<DevType>.")
    ] = "",
    header: HeaderOption = True,
    spreadsheet: SpreadsheetOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write readings to a file, oldest first, however many.

    NDJSON and JSON have every reading as it was pushed; CSV, Arrow and Parquet have the columns of a customer's
    database. The file appears when it is whole; after Ctrl-C or an error there is none, and one that was there stays.

    \b
    matrixhub past-data readings --property P -o yesterday.csv
    matrixhub past-data readings --property P --type SMARTCLEAN#PPLCTR --from 2024-03-01 --to 2024-04-01 \\
        --attributes count:integer -o march.parquet
    matrixhub past-data readings --property P --slot S --from 2024-03-10T08:00+08:00 | wc -l
    """
    owner = PropertyId(property_id)
    wanted = Wanted(
        slots=None if slot is None else [SlotId(one) for one in slot],
        zones=None if zone is None else [ZoneId(one) for one in zone],
        buildings=None if building is None else [BuildingId(one) for one in building],
        devtypes=devtype,
    )

    async def pages(platform: Platform, start_at: datetime, end_at: datetime) -> AsyncIterator[Sequence[bytes]]:
        place = await place_behind(platform, owner, after)
        async with aclosing(
            cast("Any", export_readings(platform, owner, wanted, start_at, end_at, after=place))
        ) as found:
            async for page in found:
                yield page

    def task() -> _Task:
        chosen = _format(format_name, out, tuple(FORMATS))
        table = readings_table(read_attributes(attributes))
        writer = make_writer(chosen.name, table, header=header, spreadsheet=spreadsheet)
        return _task(out, chosen, writer, start, end)

    _make(task, pages, owner, data, "readings", as_json=as_json)


@past_data.command("events")
def events(
    property_id: PropertyOption,
    out: OutOption = STANDARD_OUTPUT,
    pattern: Annotated[
        list[str] | None, typer.Option(help="Only those whose routing key matches; may be given again.")
    ] = None,
    start: FromOption = "",
    end: ToOption = "",
    format_name: Annotated[
        str, typer.Option("--format", help=f"{', '.join(LINE_FORMATS)}; else what FILE ends with, or ndjson.")
    ] = "",
    header: HeaderOption = True,
    spreadsheet: SpreadsheetOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write events of the log to a file, oldest first, however many.

    In a pattern, `*` is any one word of the routing key and `#` any number of words; quote it.

    \b
    matrixhub past-data events --property P --from 2024-03-01 --to 2024-04-01 -o march.csv
    matrixhub past-data events --property P --pattern 'matrix.#.HIGH' | jq .Description
    """
    owner = PropertyId(property_id)

    def pages(platform: Platform, start_at: datetime, end_at: datetime) -> AsyncIterator[Sequence[bytes]]:
        return export_events(platform, owner, patterns=pattern or (), start_at=start_at, end_at=end_at)

    def task() -> _Task:
        chosen = _format(format_name, out, LINE_FORMATS)
        writer = make_writer(chosen.name, events_table(), header=header, spreadsheet=spreadsheet)
        return _task(out, chosen, writer, start, end)

    _make(task, pages, owner, data, "events", as_json=as_json)


def _format(name: str, out: str, names: Sequence[FormatName]) -> Format:
    """The format that is named, or that the file's name says, or NDJSON. Raises: InvalidValue."""
    known: Mapping[str, Format] = {one: FORMATS[one] for one in names}
    found = known.get(name) if name else format_of_file(out) or FORMATS["ndjson"]
    if found is None or found.name not in known:
        raise InvalidValue(f"the format is one of {', '.join(known)}")
    return found


def _task(out: str, chosen: Format, writer: Writer, start: str, end: str) -> _Task:
    """Raises: InvalidValue."""
    end_at = min(max(parse_time(end, "--to") or datetime.now(UTC), FIRST), END)
    start_at = min(max(parse_time(start, "--from") or end_at - timedelta(days=1), FIRST), END)
    if start_at > end_at:
        raise InvalidValue("--from is later than --to")
    return _Task(name=out, format=chosen, writer=writer, start=start_at, end=end_at)


def _make(
    plan: Callable[[], _Task],
    pages_of: Callable[[Platform, datetime, datetime], AsyncIterator[Sequence[bytes]]],
    owner: PropertyId,
    data: DataOption,
    noun: str,
    *,
    as_json: bool,
) -> None:
    """Make the file, show how far it is, and say what it holds."""
    people = Console(stderr=True, highlight=False)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=people,
        transient=True,
        disable=as_json or not people.is_terminal,
    )
    count = 0

    async def shown(task: _Task, pages: AsyncIterator[Sequence[bytes]]) -> AsyncIterator[Sequence[bytes]]:
        nonlocal count
        whole = max(1.0, (task.end - task.start).total_seconds())
        line = bar.add_task(f"0 {noun}", total=whole)
        async with aclosing(cast("Any", pages)):
            async for page in pages:
                yield page
                count += len(page)
                bar.update(
                    line, description=f"{count:,} {noun}", completed=_instant_s(page[-1]) - task.start.timestamp()
                )

    async def work() -> _Task:
        task = plan()
        if as_json and task.name == STANDARD_OUTPUT:
            raise InvalidValue("--json tells of a file: name it with -o")
        async with open_operator(data) as operator:
            await require_property(operator.database, owner)
            pages = shown(task, pages_of(platform_of(operator), task.start, task.end))
            parts = written(pages, task.writer, gzip=task.name.endswith(".gz") and task.format.compressible)
            with whole_file(task.name, "--out") as file:
                async with aclosing(cast("Any", parts)):
                    async for part in parts:
                        file.write(part)
        return task

    began = time.monotonic()
    with bar:
        task = run_command(work)
    if as_json:
        print_json({"file": task.name, "format": task.format.name, noun: count})
    elif task.name != STANDARD_OUTPUT:
        people.print(f"{task.name}: {count:,} {noun} in {time.monotonic() - began:.1f} s")


def _instant_s(line: bytes) -> float:
    """When a line was, in epoch seconds; 0 where it does not say."""
    try:
        found = _read_stamp(line)
    except (msgspec.DecodeError, ValueError):
        return 0.0
    return float(found.UnixTimeInt or 0) if found.unixT is None else found.unixT / 1000
