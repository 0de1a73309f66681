"""`matrixhub simulate`: a building that is not there, sending readings as if it were."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
import yaml
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
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
from matrixhub.cli.sitefile import read_site
from matrixhub.model.errors import ConfigurationError, MatrixHubError
from matrixhub.model.site import Site
from matrixhub.sources.client import HubClient
from matrixhub.sources.playback import SimulatedTime, Tally, stream
from matrixhub.sources.simulator import Simulation
from matrixhub.sources.sites import demo_site_path, make_site, site_document

EXIT_NOT_ALL = 1
EXIT_USAGE = 2

_DAY_MS = 86_400_000


def simulate(
    site: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Site file whose slots are simulated.")
    ] = None,
    devices: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Simulate a made site of so many devices instead.")
    ] = None,
    buildings: Annotated[int, typer.Option(min=1, help="Buildings of the made site.")] = 1,
    write_site: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Write the site file of the simulated slots here, and end."),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Readings a second in all, evenly over the devices, as a load.")
    ] = None,
    speed: Annotated[
        float | None, typer.Option(min=0.001, help="Let time pass so many times as fast; 60 is an hour in a minute.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="End after so long; else with Ctrl-C.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same building.")] = 1,
    batch: RequestItemsOption = 500,
    compress: GzipOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send the readings of a simulated building: people, air, levels, spills, feedback, places, trees.

    The building has a daily rhythm in its own time zone: people come in the morning and at lunch, the air follows them,
    soap and paper run down and are filled again. Each device reports at its own interval; the same seed makes the same
    building. The slots must be known to the hub, so apply the site first.

    \b
    The sample site, as it would be in reality:
      matrixhub simulate
    A day in 24 minutes; it starts in the past and goes on at real speed when it has caught up:
      matrixhub simulate --speed 60
    1,000 readings a second from 2,000 devices, for ten seconds:
      matrixhub simulate --devices 2000 --write-site made.yaml
      matrixhub site apply made.yaml
      matrixhub simulate --devices 2000 --rate 1000 --seconds 10

    Exit code 0 if everything was accepted, 1 if something was refused or the hub could not be reached, 2 if the
    command was wrong.
    """
    if site is not None and devices is not None:
        raise typer.BadParameter("give either --site or --devices")
    if rate is not None and speed is not None:
        raise typer.BadParameter("give either --rate or --speed: a load is sent in real time")
    people = Console(stderr=True, highlight=False)
    tally = Tally()
    try:
        chosen = _site(site, devices, buildings, seed)
        if write_site is not None:
            _write(chosen, write_site, people)
            return
        hub_url, hub_key = resolve_hub(url, key, data)
        wish = _Wish(rate=rate, factor=speed or 1.0, seconds=seconds, seed=seed, batch=batch, compress=compress)
        asyncio.run(_run(chosen, wish, tally, hub_url, hub_key, people))
    except KeyboardInterrupt:
        people.print("Stopped.")
    except (MatrixHubError, OSError) as error:
        explain(error, people)
        print_summary({**tally.document(), "error": str(error)}, as_json=as_json)
        raise typer.Exit(EXIT_USAGE if isinstance(error, ConfigurationError) else EXIT_NOT_ALL) from error
    print_summary(tally.document(), as_json=as_json)
    if tally.refused:
        raise typer.Exit(EXIT_NOT_ALL)


def explain(error: Exception, people: Console) -> None:
    """Say what went wrong, to a person."""
    code = error.code if isinstance(error, MatrixHubError) else MatrixHubError.code
    people.print(Text.assemble((f"{code}  ", "red"), f"Cannot go on: {error}"), soft_wrap=True)


def print_summary(document: Mapping[str, Any], *, as_json: bool) -> None:
    """What became of the readings, for a person or for a script, on standard output."""
    if as_json:
        typer.echo(msgspec.json.encode(document).decode())
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    for name, value in document.items():
        if isinstance(value, int) and not isinstance(value, bool):
            style = "red" if name == "refused" and value else ""
            table.add_row(name.replace("_", " "), Text(f"{value:,}", style=style))
    console = Console(highlight=False)
    console.print(table)
    for reason in document.get("refused_first", ()):
        console.print(Text(f"  refused  {reason}"), soft_wrap=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wish:
    """How to simulate."""

    rate: float | None
    factor: float
    seconds: float | None
    seed: int
    batch: int
    compress: bool

    def clock(self, now_ms: int) -> SimulatedTime:
        """Simulated time from now on; a fast one begins so far back that it ends now, or a day ago."""
        back_ms = 0
        if self.factor > 1:
            back_ms = _DAY_MS if self.seconds is None else round(self.seconds * 1000 * (self.factor - 1))
        return SimulatedTime(start_ms=now_ms - back_ms, started_ms=now_ms, factor=self.factor)


def _site(path: Path | None, devices: int | None, buildings: int, seed: int) -> Site:
    if devices is None:
        return read_site(path or demo_site_path())
    try:
        return make_site(devices, buildings, seed=seed)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _write(site: Site, path: Path, people: Console) -> None:
    path.write_text(yaml.safe_dump(site_document(site), sort_keys=False, allow_unicode=True), encoding="utf-8")
    people.print(f"Wrote {len(site.slots):,} slots. Now: matrixhub site apply {path}", soft_wrap=True)


async def _run(site: Site, wish: _Wish, tally: Tally, url: str, key: str, people: Console) -> None:
    clock = wish.clock(_now_ms())
    simulation = Simulation(site.slots, seed=wish.seed, start_ms=clock.start_ms)
    for slot in simulation.unsupported:
        people.print(Text(f"Not simulated, its device type is unknown: {slot.name} ({slot.devtype})"))
    people.print(
        Text(f"Simulating {len(simulation):,} devices of {site.property.name}. Ctrl-C ends it."), soft_wrap=True
    )
    with _progress(people) as show:
        async with HubClient(url, key, gzip_body=wish.compress) as hub:
            await stream(
                _between(simulation, wish.rate),
                hub,
                tally,
                clock=clock,
                batch=wish.batch,
                seconds=wish.seconds,
                now_ms=_now_ms,
                progress=_shown(show),
            )


def _between(simulation: Simulation, rate: float | None) -> Callable[[int, int], Iterator[Mapping[str, Any]]]:
    if rate is None:
        return simulation.readings
    return lambda from_ms, to_ms: simulation.at_rate(rate, from_ms, to_ms)


def _progress(people: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=people,
        transient=True,
        disable=not people.is_terminal,
    )


def _shown(show: Progress) -> Callable[[Tally], None]:
    task = show.add_task("waiting for the first reading", total=None)
    started = time.monotonic()

    def update(tally: Tally) -> None:
        per_s = tally.readings / max(0.001, time.monotonic() - started)
        refused = f", {tally.refused:,} refused" if tally.refused else ""
        show.update(task, description=f"{tally.accepted:,} accepted{refused}, {per_s:,.1f} readings/s")

    return update


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
