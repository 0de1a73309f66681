"""`matrixhub receive`: an HTTPS endpoint to try with, which shows and checks what arrives."""

from __future__ import annotations

import asyncio
import math
import os
import shlex
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from matrixhub.cli.liveview import LiveState, RateMeter, live_screen, shortened_ms
from matrixhub.config import data_directory, load_settings
from matrixhub.deliveries.egress import forbidden_reason
from matrixhub.model.egress import literal_address
from matrixhub.model.errors import MatrixHubError
from matrixhub.testing.receiver import Accept, Answer, Behaviour, HttpsReceiver
from matrixhub.testing.tls import CA_FILE, LocalAuthority

_REFRESH_S = 0.25

EXIT_WRONG = 1
EXIT_NOT_STARTED = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wish:
    """What the command was asked for."""

    host: str
    port: int
    name: str
    basic: tuple[str, str] | None
    behaviour: Behaviour
    seconds: float | None
    ca_dir: Path
    save: Path | None


def receive(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")] = 8443,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    name: Annotated[
        str, typer.Option(help="Host name or address by which the hub reaches this machine, if it is not --host.")
    ] = "",
    basic: Annotated[str, typer.Option(metavar="USER:PASSWORD", help="Ask for HTTP Basic authentication.")] = "",
    status: Annotated[
        int, typer.Option(min=200, max=599, help="Status to answer with; other than 2xx, nothing counts as received.")
    ] = 204,
    seconds: Annotated[float | None, typer.Option(min=0, help="End after so long; else with Ctrl-C.")] = None,
    ca_dir: Annotated[
        Path | None, typer.Option(help="Where the certificate authority is kept, made there the first time.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Append every reading received to this file, one a line.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, and nothing else.")] = False,
) -> None:
    """Receive pushes of readings and events over HTTPS, show them, and check order and duplicates.

    Prints the command that makes a subscription to it, and before it, where the hub would not push to such an address
    otherwise, the one that allows it. Exit code 1 if readings came out of order or a request was not
    a push as the contract has it, 2 if it could not start.
    """
    wish = _Wish(
        host=host,
        port=port,
        name=name,
        basic=_user_and_password(basic) if basic else None,
        behaviour=Accept(status) if status < 300 else Answer(status),
        seconds=seconds,
        ca_dir=(ca_dir or _default_ca_dir()).expanduser().absolute(),
        save=save,
    )
    # With --json, standard output holds the summary alone; what a person reads goes to standard error.
    people = Console(stderr=as_json, highlight=False)
    try:
        result = asyncio.run(_run(wish, people))
    except (MatrixHubError, OSError) as error:
        Console(stderr=True, highlight=False).print(Text.assemble(("Cannot receive: ", "red"), str(error)))
        raise typer.Exit(EXIT_NOT_STARTED) from error
    if as_json:
        typer.echo(msgspec.json.encode(result))
    else:
        people.print(_summary_table(result))
    if not result["right"]:
        raise typer.Exit(EXIT_WRONG)


async def _run(wish: _Wish, people: Console) -> dict[str, Any]:
    """Receive until told to stop; the summary."""
    authority = LocalAuthority.kept_in(wish.ca_dir)
    with _saving(wish.save) as on_items:
        async with HttpsReceiver(
            authority=authority,
            host=wish.host,
            port=wish.port,
            name=wish.name,
            basic=wish.basic,
            behaviour=wish.behaviour,
            on_items=on_items,
        ) as receiver:
            people.print(_introduction(wish, receiver.url), soft_wrap=True)
            started = time.monotonic()
            await _show_until_stopped(wish, receiver, people)
            elapsed_s = time.monotonic() - started
    return _summary(receiver, wish, elapsed_s)


def _introduction(wish: _Wish, url: str) -> Text:
    """Where it listens, and the commands that allow and make a subscription to it."""
    ca_file = str(wish.ca_dir / CA_FILE)
    command = ["matrixhub", "subscription", "create", "--property", "PROPERTY", "--url", url, "--ca", ca_file]
    if wish.basic is not None:
        command += ["--basic", ":".join(wish.basic)]
    address = literal_address(urlsplit(url).hostname or "")
    allow = ["matrixhub", "egress", "allow", "--property", "PROPERTY", str(address)]
    needs_leave = address is not None and forbidden_reason(address) is not None
    return Text.assemble(
        ("Receiving at  ", "dim"),
        (url, "bold"),
        ("\nCertificate   ", "dim"),
        ca_file,
        ("\nAllow         " if needs_leave else "", "dim"),
        shlex.join(allow) if needs_leave else "",
        ("\nSubscribe     ", "dim"),
        shlex.join(command),
        ("\nEnd           ", "dim"),
        "Ctrl-C" if wish.seconds is None else f"after {wish.seconds:g} s, or Ctrl-C",
        "\n",
    )


async def _show_until_stopped(wish: _Wish, receiver: HttpsReceiver, people: Console) -> None:
    """Keep the screen up to date until a signal comes or the time is over; off a terminal, only wait."""
    ends_in_s = math.inf if wish.seconds is None else wish.seconds
    started = time.monotonic()
    rate = RateMeter()
    with _stop_signals() as stop, live_screen(people) as show:
        while not stop.is_set() and (elapsed_s := time.monotonic() - started) < ends_in_s:
            show(_live_state(receiver, wish, elapsed_s, rate))
            with suppress(TimeoutError):
                async with asyncio.timeout(min(_REFRESH_S, ends_in_s - elapsed_s)):
                    await stop.wait()


def _live_state(receiver: HttpsReceiver, wish: _Wish, elapsed_s: float, rate: RateMeter) -> LiveState:
    totals, events = receiver.ledger.summary(), receiver.events.summary()
    return LiveState(
        title=f"Matrix Hub · receiving at {receiver.url}",
        delivered=totals.distinct + events.distinct,
        duplicates=totals.duplicates + events.duplicates,
        out_of_order=totals.out_of_order,
        p50_ms=totals.p50_ms,
        p99_ms=totals.p99_ms,
        rate_per_s=rate.per_s(elapsed_s, totals.items + events.items),
        elapsed_s=elapsed_s,
        total_s=wish.seconds,
        last_payloads=(*receiver.ledger.last_payloads, *receiver.events.last_payloads),
        note=_note(receiver),
    )


def _note(receiver: HttpsReceiver) -> str:
    """What else a person should know at a glance."""
    parts = []
    if rejected := receiver.rejected.summary().items:
        parts.append(f"{rejected:,} readings not taken")
    if receiver.unauthorised_total:
        parts.append(f"{receiver.unauthorised_total:,} requests with wrong credentials")
    if receiver.violations_total:
        parts.append(f"{receiver.violations_total:,} requests refused: {receiver.violations[-1].reason}")
    return " · ".join(parts)


def _summary(receiver: HttpsReceiver, wish: _Wish, elapsed_s: float) -> dict[str, Any]:
    """The result, with the names of its JSON form."""
    totals = receiver.ledger.summary()
    return {
        "right": not totals.out_of_order and not receiver.violations_total,
        "url": receiver.url,
        "ca": str(wish.ca_dir / CA_FILE),
        "seconds": round(elapsed_s, 3),
        **asdict(totals),
        "events": asdict(receiver.events.summary()),
        "rejected": receiver.rejected.summary().items,
        "unauthorised": receiver.unauthorised_total,
        "violations": receiver.violations_total,
        "problems": [*receiver.ledger.problems(), *dict.fromkeys(v.reason for v in receiver.violations)],
    }


def _summary_table(result: dict[str, Any]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in (
        ("received", f"{result['distinct']:,} readings of {result['devices']:,} devices"),
        ("events", _told(result["events"])),
        ("requests", f"{result['requests'] + result['events']['requests']:,} in {result['seconds']:.1f} s"),
        ("duplicates", f"{result['duplicates']:,}"),
        ("out of order", f"{result['out_of_order']:,}"),
        ("latency", f"p50 {shortened_ms(result['p50_ms'])}, p99 {shortened_ms(result['p99_ms'])}"),
        ("not taken", f"{result['rejected']:,} readings, {result['unauthorised']:,} requests with wrong credentials"),
        ("violations", f"{result['violations']:,}"),
    ):
        table.add_row(name, value)
    for problem in result["problems"]:
        table.add_row("problem", Text(problem, style="red"))
    return table


def _told(events: dict[str, Any]) -> str:
    kinds = ", ".join(f"{name} {count:,}" for name, count in sorted(events["by_event"].items()))
    return f"{events['distinct']:,}" + (f": {kinds}" if kinds else "")


@contextmanager
def _stop_signals() -> Iterator[asyncio.Event]:
    """An event that Ctrl-C or a request to terminate sets."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    wanted = (signal.SIGINT, signal.SIGTERM)
    for number in wanted:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in wanted:
            loop.remove_signal_handler(number)


@contextmanager
def _saving(path: Path | None) -> Iterator[Callable[[str, Sequence[str]], None] | None]:
    """A function that appends readings to the file as NDJSON."""
    if path is None:
        yield None
        return
    with path.open("a", encoding="utf-8") as file:
        # A line break in JSON text is a blank; within its strings it is escaped.
        yield lambda _request_id, items: file.writelines(f"{item.replace(chr(10), ' ')}\n" for item in items)


def _user_and_password(text: str) -> tuple[str, str]:
    user, colon, password = text.partition(":")
    if not colon or not user:
        raise typer.BadParameter("give USER:PASSWORD", param_hint="--basic")
    return user, password


def _default_ca_dir() -> Path:
    return data_directory(load_settings(None, os.environ)) / "receive"
