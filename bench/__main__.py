"""`python -m bench`: every scenario in one run, as a table and as JSON. What they mean: docs/benchmarks.md"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
from rich.console import Console

from bench import customer_database, customer_queries, events, many, past_data, rollups, store, web_services
from bench.processes import ROOT, Child
from bench.rows import Row, compare, document, failed, markdown, table
from bench.scenarios import PAST_READINGS, Bench, Scenario
from bench.scenarios import SCENARIOS as SINGLE_SCENARIOS

SCENARIOS = {
    **SINGLE_SCENARIOS,
    **many.SCENARIOS,
    **events.SCENARIOS,
    **web_services.SCENARIOS,
    **past_data.SCENARIOS,
    **customer_database.SCENARIOS,
    **customer_queries.SCENARIOS,
    **rollups.SCENARIOS,
    **store.SCENARIOS,
}

FSYNCS = 100

people = Console(stderr=True, highlight=False)


def main() -> int:
    """Run, tell, and say by the exit code whether every required figure was reached."""
    wish = _arguments()
    if wish.list:
        for name, scenario in SCENARIOS.items():
            print(f"{name:28} {(scenario.__doc__ or 'microbenchmarks').splitlines()[0]}")
        return 0
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _as_interrupt)
    began = time.monotonic()
    machine = _machine()
    people.print(", ".join(f"{name} {value}" for name, value in machine.items()), style="dim")
    try:
        rows = _run(wish.only or list(SCENARIOS), wish.seconds, wish.past_readings)
    except KeyboardInterrupt:
        people.print("Stopped; every process has been ended.")
        return 130
    rows += compare(rows)
    result = {**machine, "seconds": wish.seconds, "took_s": round(time.monotonic() - began, 1)}
    result["passed"] = not any(row.passed is False for row in rows)
    result["rows"] = document(rows)
    _write(wish.out, result, rows)
    if wish.json:
        print(json.dumps(result, indent=2))
    else:
        Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(table(rows))
    people.print(f"{result['took_s']:.0f} s in all; JSON in {wish.out}")
    return 0 if result["passed"] else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="about how long each scenario runs (default 10)")
    parser.add_argument(
        "--past-readings", type=int, default=PAST_READINGS, help="readings that lie in the store for `past_data`"
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=list(SCENARIOS), help="only these scenarios")
    parser.add_argument("--list", action="store_true", help="list the scenarios and end")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/out/latest.json", help="where the JSON is written")
    return parser.parse_args()


def _run(names: Sequence[str], seconds: float, past_readings: int) -> list[Row]:
    """The rows of the scenarios, one after the other; a scenario that fails is a row, not an end."""
    directory = Path(tempfile.mkdtemp(prefix="matrixhub-bench-"))
    try:
        rows: list[Row] = []
        for name in names:
            rows += _attempt(name, SCENARIOS[name], directory, seconds, past_readings)
        return rows
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _attempt(name: str, scenario: Scenario, directory: Path, seconds: float, past_readings: int) -> Sequence[Row]:
    people.print(f"[bold]{name}[/bold]")
    began = time.monotonic()
    try:
        # A receiver of its own for each scenario, so that none pays for the memory of another.
        with Child("bench.receiver", directory) as receiver, people.status("starting") as status:
            where = receiver.ask("listen")
            bench = Bench(
                seconds=seconds,
                directory=directory,
                receiver=receiver,
                receiver_url=where["url"],
                ca_pem=where["ca_pem"],
                say=status.update,
                past_readings=past_readings,
            )
            rows = scenario(bench)
    except Exception as error:  # noqa: BLE001 - the other scenarios go on
        rows = [failed(name, f"{type(error).__name__}: {error}")]
    for row in rows:
        people.print(table([row]), soft_wrap=True) if people.is_terminal else people.print(f"  {_line(row)}")
    people.print(f"  {time.monotonic() - began:.1f} s", style="dim")
    return rows


def _line(row: Row) -> str:
    verdict = {True: "pass", False: "FAIL", None: ""}[row.passed]
    return f"{row.name}: {'—' if row.value is None else f'{row.value:,.2f}'} {row.unit} {verdict} {row.notes}"


def _write(out: Path, result: dict[str, Any], rows: Iterable[Row]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    out.with_suffix(".md").write_text(markdown(rows))


def _machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": _commit(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "memory_mb": psutil.virtual_memory().total // 2**20,
        "load_before": os.getloadavg()[0],
        "fsync_ms": round(_fsync_ms(), 3),
    }


def _commit() -> str:
    """The commit that is measured, empty where that cannot be known."""
    try:
        command = ["git", "describe", "--always", "--dirty"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def _fsync_ms() -> float:
    """The median of putting 4 KiB on the disk the engines write to: the hub, and its peer, wait for little else."""
    times = []
    with tempfile.TemporaryFile() as file:
        for _ in range(FSYNCS):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    """Stop, once: a second signal must not cut short the end of the processes, which has limits of its own."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
