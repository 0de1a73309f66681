"""`matrixhub replay`: what a real building recorded, sent again."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from matrixhub.cli.local import (
    DataOption,
    GzipOption,
    JsonOption,
    KeyOption,
    RequestItemsOption,
    UrlOption,
    resolve_hub,
)
from matrixhub.cli.simulate import EXIT_NOT_ALL, EXIT_USAGE, explain, print_summary
from matrixhub.model.errors import ConfigurationError, MatrixHubError
from matrixhub.model.time import instant_from_iso, zone
from matrixhub.sources.client import HubClient
from matrixhub.sources.mapping import Mapped, read_mapping
from matrixhub.sources.pacing import parse_speed, shift_ms
from matrixhub.sources.playback import Playback, play
from matrixhub.sources.recorded import Recorded, count_lines, read_recorded

EXIT_INTERRUPTED = 130


def replay(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, metavar="FILE", help="The recording: CSV or NDJSON.")
    ],
    mapping: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="Mapping file: what the columns mean, which slots they fill."),
    ],
    speed: Annotated[str, typer.Option(metavar="real|FACTOR|max", help="How fast time passes.")] = "max",
    from_time: Annotated[
        str, typer.Option("--from", metavar="ISO", help="Begin at this instant; without offset, in the mapping's zone.")
    ] = "",
    from_line: Annotated[int, typer.Option(min=1, help="Begin at this line of the file, to go on after a stop.")] = 1,
    shift_to_now: Annotated[
        bool, typer.Option("--shift-to-now", help="Move all instants so that the last one is now when it is sent.")
    ] = False,
    batch: RequestItemsOption = 500,
    limit: Annotated[int | None, typer.Option(min=1, help="Send no more than so many readings.")] = None,
    compress: GzipOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send recorded data of a real building, in its order, as fast as wanted.

    A mapping file says where the time stands and which columns become the readings of which slot; the slots must be
    known to the hub, so apply their site first. The files in `examples/` show both.

    \b
    As fast as the hub takes it, with the instants of the recording:
      matrixhub site apply examples/office.site.yaml
      matrixhub replay office.csv --mapping examples/office-environment.mapping.yaml
    An hour in a minute, as if it ended now:
      matrixhub replay office.csv --mapping … --speed 60 --shift-to-now
    From noon of a day, the first 1,000 readings, at real speed:
      matrixhub replay office.csv --mapping … --from 2015-02-05T12:00 --limit 1000 --speed real

    Ctrl-C says at which line it stopped; `--from-line` goes on there. A reading sent twice with the same instant is
    counted as repeated where the hub still remembers it.

    Exit code 0 if everything was accepted, 1 if something was refused or failed, 2 if the command or the mapping file
    was wrong, 130 after Ctrl-C.
    """
    people = Console(stderr=True, highlight=False)
    playback = Playback()
    exit_code = 0
    error_text = ""
    try:
        wish = _Wish(
            file=file,
            mapped=read_mapping(mapping),
            factor=_factor(speed),
            from_line=from_line,
            limit=limit,
            batch=batch,
            compress=compress,
        )
        source = _Source(wish, from_ms=_instant(from_time, wish.mapped))
        shift = source.shift_to_now() if shift_to_now else 0
        hub_url, hub_key = resolve_hub(url, key, data)
        asyncio.run(_run(source, shift, playback, hub_url, hub_key, people))
    except KeyboardInterrupt:
        exit_code, error_text = EXIT_INTERRUPTED, "interrupted"
    except (MatrixHubError, OSError, UnicodeDecodeError) as error:
        explain(error, people)
        exit_code = EXIT_USAGE if isinstance(error, ConfigurationError) else EXIT_NOT_ALL
        error_text = str(error)
    _conclude(playback, error_text, from_line, people, as_json=as_json)
    exit_code = exit_code or (EXIT_NOT_ALL if playback.tally.refused else 0)
    if exit_code:
        raise typer.Exit(exit_code)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wish:
    """What to replay, and how."""

    file: Path
    mapped: Mapped
    factor: float | None
    from_line: int
    limit: int | None
    batch: int
    compress: bool


class _Source:
    """The readings that were asked for; each iteration reads the file anew."""

    def __init__(self, wish: _Wish, *, from_ms: int | None) -> None:
        self.wish = wish
        self._from_ms = from_ms

    def __iter__(self) -> Iterator[Recorded]:
        wish, from_ms = self.wish, self._from_ms
        readings = read_recorded(wish.file, wish.mapped, from_line=wish.from_line)
        if from_ms is not None:
            readings = itertools.dropwhile(lambda reading: reading.instant_ms < from_ms, readings)
        return itertools.islice(readings, wish.limit)

    def shift_to_now(self) -> int:
        """How far to move the instants; reads the file once to find the last of them."""
        readings = iter(self)
        first = next(readings, None)
        if first is None:
            return 0
        last_ms = max((reading.instant_ms for reading in readings), default=first.instant_ms)
        return shift_ms(first.instant_ms, last_ms, time.time_ns() // 1_000_000, self.wish.factor)

    def lines(self) -> int | None:
        """The last line that will be read, where that is known beforehand."""
        return count_lines(self.wish.file) if self.wish.limit is None else None


async def _run(source: _Source, shift: int, playback: Playback, url: str, key: str, people: Console) -> None:
    wish = source.wish
    with _progress(people) as show:
        async with HubClient(url, key, gzip_body=wish.compress) as hub:
            await play(
                source,
                hub,
                playback,
                factor=wish.factor,
                batch=wish.batch,
                shift_ms=shift,
                progress=_shown(show, source),
            )


def _progress(people: Console) -> Progress:
    return Progress(
        TextColumn("line {task.completed:,.0f}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.description}"),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=people,
        transient=True,
        disable=not people.is_terminal,
    )


def _shown(show: Progress, source: _Source) -> Callable[[Playback], None]:
    task = show.add_task("", total=source.lines() if not show.disable else None)
    started = time.monotonic()

    def update(playback: Playback) -> None:
        per_s = playback.tally.readings / max(0.001, time.monotonic() - started)
        refused = f", {playback.tally.refused:,} refused" if playback.tally.refused else ""
        show.update(task, completed=playback.line, description=f"{per_s:,.0f} readings/s{refused}")

    return update


def _conclude(playback: Playback, error: str, from_line: int, people: Console, *, as_json: bool) -> None:
    """Say what was sent and, if that is not all, where to go on."""
    document: dict[str, Any] = {"rows": playback.rows, **playback.tally.document()}
    if error:
        next_line = playback.next_line or from_line
        document |= {"error": error, "next_line": next_line}
        sent = f"Stopped after line {playback.line:,}." if playback.line else "Stopped before the first answer."
        people.print(Text(f"{sent} To go on, repeat the command with --from-line {next_line}"), soft_wrap=True)
    print_summary(document, as_json=as_json)


def _factor(text: str) -> float | None:
    try:
        return parse_speed(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--speed") from error


def _instant(text: str, mapped: Mapped) -> int | None:
    if not text:
        return None
    try:
        return instant_from_iso(text, zone(mapped.time.zone))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not an ISO 8601 time: {error}", param_hint="--from") from error
