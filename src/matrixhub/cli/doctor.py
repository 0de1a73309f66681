"""`matrixhub doctor`: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.error import URLError
from urllib.request import urlopen

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from matrixhub.bus import open_buses
from matrixhub.cli.local import EXIT_FAILED, DataOption, JsonOption, print_json, settings_for
from matrixhub.config import Settings, data_directory, listen_address
from matrixhub.deliveries.balance import want_from
from matrixhub.deliveries.pending import first_wanted
from matrixhub.engines import read_running
from matrixhub.engines.account import check_enterable, engine_account
from matrixhub.engines.binaries import nats_program, postgres_programs
from matrixhub.model.balance import Account
from matrixhub.model.errors import HubNotRunning, MatrixHubError
from matrixhub.model.subscription import Source
from matrixhub.observe import ignore
from matrixhub.ports import Bounds, Bus
from matrixhub.service import find_endpoints, stream_settings
from matrixhub.store import open_database
from matrixhub.store.books import PostgresBooks
from matrixhub.store.readings import PostgresReadings

Verdict = Literal["good", "warning", "bad"]

DISK_WARNING_BYTES = 5 * 1024**3
DISK_BAD_BYTES = 500 * 1024**2
CLOCK_OFF_MAX_S = 2.0
STREAM_WARNING = 0.8
BEHIND_WARNING = 10_000
"""So many messages, of up to hundreds of readings, are not behind for a moment only."""

LOOK_MAX = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was looked at; `advice` says what to do where it is not good."""

    what: str
    verdict: Verdict
    found: str
    advice: str = ""


def doctor(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Check settings, programs, disk, clock, ports and engines, and say what to do. Exit code 1 if something is bad."""
    settings = settings_for(data)
    path = data_directory(settings)
    findings: list[Finding] = []
    for check in (_programs, _directory, _disk, _clock, _hub, _stream, _past_data):
        findings += check(settings, path)
    if as_json:
        print_json([{"what": f.what, "verdict": f.verdict, "found": f.found, "advice": f.advice} for f in findings])
    else:
        Console(highlight=False).print(_table(findings))
    if any(finding.verdict == "bad" for finding in findings):
        raise typer.Exit(EXIT_FAILED)


def _table(findings: Sequence[Finding]) -> Table:
    colours = {"good": "green", "warning": "yellow", "bad": "red"}
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for finding in findings:
        text = Text(finding.found)
        if finding.advice:
            text.append(f"\n→ {finding.advice}", style="dim")
        table.add_row(Text(finding.verdict, style=colours[finding.verdict]), finding.what, text)
    return table


def _programs(settings: Settings, path: Path) -> list[Finding]:
    """The engines' programs: found, and of which version."""
    if settings.engines.postgres.dsn:
        return []

    def postgres() -> Path:
        account = engine_account(settings.engines.postgres.run_as)
        return postgres_programs(settings.engines.postgres.bin_dir, path / "engines", account).postgres

    def nats() -> Path:
        return nats_program(
            settings.engines.nats.bin, path / "engines", engine_account(settings.engines.postgres.run_as)
        )

    return [_program("PostgreSQL program", postgres), _program("NATS program", nats)]


def _program(what: str, find: Callable[[], Path]) -> Finding:
    try:
        program = find()
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except MatrixHubError as error:
        return Finding(
            what=what, verdict="bad", found=error.message, advice="Install the package again: pip install matrixhub"
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(what=what, verdict="bad", found=f"does not run: {error}", advice="Install the package again.")
    return Finding(what=what, verdict="good", found=done.stdout.strip())


def _directory(settings: Settings, path: Path) -> list[Finding]:
    if settings.engines.postgres.dsn:
        return []
    try:
        check_enterable(path, engine_account(settings.engines.postgres.run_as))
    except MatrixHubError as error:
        return [Finding(what="Data directory", verdict="bad", found=error.message)]
    nearest = next(p for p in (path, *path.parents) if p.exists())
    if not os.access(nearest, os.W_OK):
        advice = "Choose another one with --data DIR, or run as a user who may write there."
        return [Finding(what="Data directory", verdict="bad", found=f"{nearest} is not writable", advice=advice)]
    return [Finding(what="Data directory", verdict="good", found=str(path))]


def _disk(_settings: Settings, path: Path) -> list[Finding]:
    free = shutil.disk_usage(next(p for p in (path, *path.parents) if p.exists())).free
    verdict: Verdict = "bad" if free < DISK_BAD_BYTES else "warning" if free < DISK_WARNING_BYTES else "good"
    advice = "" if verdict == "good" else "Make room, or move the data directory to a larger disk."
    return [Finding(what="Free disk", verdict=verdict, found=f"{free / 1024**3:.1f} GiB", advice=advice)]


def _clock(settings: Settings, path: Path) -> list[Finding]:
    """The clock against that of the database, where they may be on different machines, and against good sense."""
    if time.time() < 1_700_000_000:
        return [Finding(what="Clock", verdict="bad", found="is years behind", advice="Set it, and keep it with NTP.")]
    try:
        off_s = asyncio.run(_clock_off_s(settings, path))
    except (MatrixHubError, KeyError):
        return [Finding(what="Clock", verdict="good", found=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))]
    verdict: Verdict = "good" if abs(off_s) <= CLOCK_OFF_MAX_S else "bad"
    advice = "" if verdict == "good" else "Keep the clocks of both machines with NTP."
    return [Finding(what="Clock", verdict=verdict, found=f"{off_s:+.3f} s from PostgreSQL's", advice=advice)]


async def _clock_off_s(settings: Settings, path: Path) -> float:
    endpoints = find_endpoints(settings, path)
    async with (
        open_database(endpoints.postgres_dsn, connections_max=1) as database,
        database.connection() as connection,
    ):
        theirs = await connection.fetchval("select extract(epoch from clock_timestamp())::float8")
    return time.time() - float(theirs)


def _hub(settings: Settings, path: Path) -> list[Finding]:
    """The hub that runs here, or whether its port is free for one."""
    try:
        running = read_running(path)
    except HubNotRunning as error:
        return [
            Finding(what="Hub", verdict="warning", found=error.message),
            *_external(settings, path),
            *_port(settings),
        ]
    except MatrixHubError as error:
        return [Finding(what="Hub", verdict="bad", found=error.message)]
    url = f"{running['url']}/health/ready"
    try:
        with urlopen(url, timeout=5) as answer:
            return [Finding(what="Hub", verdict="good", found=f"{running['url']} {answer.read().decode()}")]
    except (URLError, TimeoutError, OSError) as error:
        detail = error.read().decode() if hasattr(error, "read") else str(error)
        return [
            Finding(
                what="Hub",
                verdict="bad",
                found=f"{url}: {detail}",
                advice=f"Look at the log of `matrixhub up`, and at {path / 'logs'}.",
            )
        ]


def _stream(settings: Settings, path: Path) -> list[Finding]:
    """How full the streams are, and who holds their oldest part; nothing where no hub runs."""
    try:
        seen = asyncio.run(_look_at_streams(settings, path))
    except (MatrixHubError, KeyError):
        return []
    limit = settings.streams.size_bytes_max
    findings = []
    for source, (size_bytes, bounds, oldest) in seen.items():
        stream, behind = _STREAM_TITLES[source]
        found = f"{size_bytes / 1024**2:,.1f} MiB" + (f" of {limit / 1024**2:,.1f}" if limit else "")
        full = limit and size_bytes > limit * STREAM_WARNING
        advice = "Raise streams.size_bytes_max, shorten streams.retention_s, or see who holds it." if full else ""
        findings.append(Finding(what=stream, verdict="warning" if full else "good", found=found, advice=advice))
        if oldest is not None:
            place = f"message {oldest.position.seq:,} of {bounds.first_seq:,} to {bounds.last_seq:,}"
            findings.append(Finding(what=behind, verdict="good", found=f"{oldest.id} is at {place}"))
    return findings


def _past_data(settings: Settings, path: Path) -> list[Finding]:
    """How far the store of past data has come; nothing where no hub runs."""
    try:
        position, bounds = asyncio.run(_look_at_store(settings, path))
    except (MatrixHubError, KeyError):
        return []
    if position is None:
        advice = "Run the role `store`: matrixhub run store"
        return [Finding(what="Past data", verdict="warning", found="nothing was ever stored", advice=advice)]
    behind = max(0, bounds.last_seq - position)
    verdict: Verdict = "warning" if behind > BEHIND_WARNING else "good"
    advice = "See whether the role `store` runs, and matrixhub_store_waits_total in its metrics." if behind else ""
    found = f"{behind:,} messages of the stream are not stored yet" if behind else "all of the stream is stored"
    return [Finding(what="Past data", verdict=verdict, found=found, advice=advice if verdict == "warning" else "")]


async def _look_at_store(settings: Settings, path: Path) -> tuple[int | None, Bounds]:
    """The last message that is stored, None where nothing ever was, and the ends of the stream."""
    endpoints = find_endpoints(settings, path)
    async with (
        open_database(endpoints.postgres_dsn, connections_max=1) as database,
        open_buses(endpoints.nats_url, stream_settings(settings), ignore, create=False) as buses,
    ):
        return await PostgresReadings(database).position(), await buses["sensors"].bounds()


_STREAM_TITLES: Mapping[Source, tuple[str, str]] = {
    "sensors": ("Stream", "Furthest behind"),
    "events": ("Stream of events", "Furthest behind in events"),
}


async def _look_at_streams(settings: Settings, path: Path) -> Mapping[Source, tuple[int, Bounds, Account | None]]:
    """Size and ends of each stream, and of those who wait for something the one furthest behind."""
    endpoints = find_endpoints(settings, path)
    async with (
        open_database(endpoints.postgres_dsn, connections_max=1) as database,
        open_buses(endpoints.nats_url, stream_settings(settings), ignore, create=False) as buses,
    ):
        books = PostgresBooks(database)
        return {
            source: (await bus.size_bytes(), bounds, await _furthest_behind(bus, await books.accounts(source), bounds))
            for source, bus in buses.items()
            for bounds in [await bus.bounds()]
        }


async def _furthest_behind(bus: Bus, accounts: Sequence[Account], bounds: Bounds) -> Account | None:
    for account in sorted(accounts, key=lambda one: one.position)[:LOOK_MAX]:
        if await first_wanted(bus, want_from(account, account.position), bounds.last_seq + 1) is not None:
            return account
    return None


def _external(settings: Settings, path: Path) -> list[Finding]:
    """Engines named in the settings: whether they answer."""
    if not settings.engines.postgres.dsn:
        return []

    async def ask() -> None:
        endpoints = find_endpoints(settings, path)
        async with open_database(endpoints.postgres_dsn, connections_max=1) as database:
            await database.ping()
        async with open_buses(endpoints.nats_url, stream_settings(settings), ignore, create=False) as buses:
            await buses["sensors"].bounds()

    try:
        asyncio.run(ask())
    except MatrixHubError as error:
        advice = "Check engines.postgres.dsn and engines.nats.url (`matrixhub config`)."
        return [Finding(what="Engines", verdict="bad", found=error.message, advice=advice)]
    return [Finding(what="Engines", verdict="good", found="PostgreSQL and NATS answer")]


def _port(settings: Settings) -> list[Finding]:
    host, port = listen_address(settings)
    if port == 0:
        return []
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            advice = "Stop the other program, or choose another port: http.listen or --listen."
            return [Finding(what="HTTP port", verdict="bad", found=f"{host}:{port}: {error.strerror}", advice=advice)]
    return [Finding(what="HTTP port", verdict="good", found=f"{host}:{port} is free")]
