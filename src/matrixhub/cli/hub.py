"""`matrixhub up` and `matrixhub run`: the hub itself."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.text import Text

from matrixhub.beside import Beside
from matrixhub.cli.local import DataOption, fail, first_error, print_json, settings_for
from matrixhub.config import Settings, data_directory
from matrixhub.lifecycle import where
from matrixhub.model.errors import ConfigurationError, MatrixHubError
from matrixhub.observe import HubStopping, Metrics, Observe, Reporter, StopHangs, make_logger
from matrixhub.service import ROLES, HubInfo, Role, Started, keep_beside, run_embedded, run_roles

ListenOption = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="Where the HTTP faces listen; port 0 takes a free one.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="When ready, print where it is as JSON.")]

Work = Callable[[asyncio.Event, Metrics, Observe, Started], Awaitable[None]]


HANGS_S = 40.0
"""So long after its grace a hub that does not come to its end is ended as it is."""


def up(data: DataOption = None, listen: ListenOption = None, as_json: JsonOption = False) -> None:
    """Run the hub: every role, on its own PostgreSQL and NATS.

    The engines come with the package and keep everything in the data directory; nothing else has to be installed. A
    second `up` on the same directory is refused. Ctrl-C ends requests under way and stops; whatever happens, the next
    `up` goes on where this one was.

    \b
    Somewhere else, reachable from other machines:
      matrixhub up --data /srv/matrixhub --listen 0.0.0.0:8080
    """
    settings = settings_for(data, {} if listen is None else {"http.listen": listen})
    if settings.engines.postgres.dsn:
        fail(ConfigurationError("engines.postgres.dsn is set: with engines of your own, use `matrixhub run ROLE…`"))
    path = data_directory(settings)
    beside = Beside.forked(partial(keep_beside, settings), niceness=settings.store.niceness)

    def work(stop: asyncio.Event, metrics: Metrics, observe: Observe, started: Started) -> Awaitable[None]:
        return run_embedded(settings, path, stop, metrics, observe, started, beside=beside)

    _run_until_signal(settings, work, as_json=as_json)


def run(
    roles: Annotated[list[str], typer.Argument(metavar="ROLE…", help=f"Any of: {', '.join(ROLES)}.")],
    data: DataOption = None,
    listen: ListenOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run some roles, on engines that run elsewhere; as many copies as wanted.

    The engines are those of the settings (engines.postgres.dsn and engines.nats.url), or else those of a hub that runs
    on the data directory. Copies of `deliveries` share the subscriptions; when one dies, the others take over.

    \b
    A second worker beside a running `matrixhub up`:
      matrixhub run deliveries --listen 127.0.0.1:0
    """
    unknown = [role for role in roles if role not in ROLES]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is not a role; there are {', '.join(ROLES)}")
    chosen: list[Role] = [role for role in ROLES if role in roles]
    settings = settings_for(data, {} if listen is None else {"http.listen": listen})
    path = data_directory(settings)

    def work(stop: asyncio.Event, metrics: Metrics, observe: Observe, started: Started) -> Awaitable[None]:
        return run_roles(settings, path, chosen, stop, metrics, observe, started)

    _run_until_signal(settings, work, as_json=as_json)


def _tell_hanging(observe: Observe) -> None:
    tasks = sorted(f"{task.get_name()}: {where(task)}" for task in asyncio.all_tasks())
    observe(StopHangs(tasks="; ".join(tasks)))


def _run_until_signal(settings: Settings, work: Work, *, as_json: bool) -> None:
    metrics = Metrics()
    observe = Reporter(metrics, make_logger(settings.log.level, settings.log.format), level=settings.log.level)

    def started(info: HubInfo) -> None:
        if as_json:
            print_json({"url": info.url, "tls_url": info.tls_url, "roles": list(info.roles)})
        else:
            where = f"{info.url} and {info.tls_url}" if info.tls_url else info.url
            Console(stderr=True, highlight=False).print(
                Text.assemble(("Matrix Hub is ready at ", "green"), (where, "bold"), "  Ctrl-C stops it.")
            )

    async def until_signal() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()

        def ask(name: str) -> None:
            if stop.is_set():
                return
            observe(HubStopping(reason=name))
            stop.set()
            # A process that was told to stop has to end, whatever hangs; what it did is on disk.
            loop.call_later(settings.stop.grace_s + HANGS_S, _tell_hanging, observe)
            faulthandler.dump_traceback_later(settings.stop.grace_s + HANGS_S + 5, exit=True)

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ask, number.name)
        try:
            await work(stop, metrics, observe, started)
        finally:
            faulthandler.cancel_dump_traceback_later()

    # What start-up has made stays; looking through it, and through a million remembered keys, again and again costs
    # more than it frees, because nearly everything goes by reference counting.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        uvloop.run(until_signal())
        return
    except* MatrixHubError as group:
        error = first_error(group)
    fail(error)
