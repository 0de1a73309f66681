"""The hub under test, driven from outside: the installed command, its HTTP face and its operator commands."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import yaml

from bench.processes import ROOT, BenchError, Output, environment, running
from bench.readings import bench_site
from matrixhub.sources.sites import site_document

START_WAIT_S = 60.0
COMMAND_WAIT_S = 30.0
SAMPLE_EVERY_S = 1.0
"""To count shared pages holds up the process that is looked at, for milliseconds where it is large."""
MB = 1024 * 1024

LOOPBACK = {"MATRIXHUB_DELIVERIES__EGRESS_ALLOW": '["127.0.0.0/8", "::1/128"]'}
"""The receiver is on this machine, where the hub does not push to unless it is allowed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hub:
    """A running hub that knows the site and pushes all of it to the receiver."""

    url: str
    key: str
    pid: int
    data: Path
    subscription: dict[str, Any]

    @property
    def batch(self) -> str:
        """The limits of a push, for people."""
        return f"push ≤ {self.subscription['batch_items']} readings, ≤ {self.subscription['batch_bytes'] // 1024} KiB"

    def spent(self) -> dict[str, float]:
        """Sums and counts of the hub's own metrics, by name."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=COMMAND_WAIT_S) as answer:
            lines = answer.read().decode().splitlines()
        plain = (line.rsplit(" ", 1) for line in lines if not line.startswith("#") and "{" not in line)
        return {name: float(value) for name, value in plain}


STEPS = {
    "stream write": "matrixhub_stream_write_seconds",
    "push": "matrixhub_delivery_attempt_seconds",
    "commit": "matrixhub_positions_commit_seconds",
}
"""Steps on the way of a reading that wait for someone, and the metrics that time them."""


def steps_told(before: Mapping[str, float], after: Mapping[str, float]) -> str:
    """How often and for how long each step was waited for, e.g. `push 1,322 × 2.6 ms`."""
    told = []
    for step, name in STEPS.items():
        times = after.get(f"{name}_count", 0) - before.get(f"{name}_count", 0)
        seconds = after.get(f"{name}_sum", 0) - before.get(f"{name}_sum", 0)
        if times:
            told.append(f"{step} {times:,.0f} × {seconds / times * 1000:.2f} ms")
    return ", ".join(told)


@contextlib.contextmanager
def running_hub(
    directory: Path,
    receiver_url: str,
    ca_pem: str,
    *,
    batch_items: int | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Hub]:
    """`matrixhub up` on a fresh data directory; gone with the block, whatever happens.

    Shape: batch_items None is the default of the product; env holds settings, MATRIXHUB_….
    """
    # Straight under the temporary directory: as root, the engines run as a user who must be able to enter it.
    data = Path(tempfile.mkdtemp(prefix="matrixhub-bench-data-"))
    try:
        log = directory / f"{data.name}.log"
        command = [_program(), "up", "--data", str(data), "--listen", "127.0.0.1:0", "--json"]
        with running(command, log, env={**LOOPBACK, **(env or {})}) as process:
            info = _ready(Output(process, log, "matrixhub up"))
            yield _furnish(info["url"], process.pid, data, directory, receiver_url, ca_pem, batch_items)
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _furnish(
    url: str,
    pid: int,
    data: Path,
    directory: Path,
    receiver_url: str,
    ca_pem: str,
    batch_items: int | None,
) -> Hub:
    site, ca = bench_site(), directory / "ca.pem"
    ca.write_text(ca_pem)
    file = directory / "bench.site.yaml"
    file.write_text(yaml.safe_dump(site_document(site), sort_keys=False, allow_unicode=True))
    _run(data, "site", "apply", str(file))
    key = _run(data, "key", "create", "--property", site.property.id)["key"]
    limits = [] if batch_items is None else ["--batch-items", str(batch_items)]
    made = _run(
        data, "subscription", "create", "--property", site.property.id, "--url", receiver_url, "--ca", str(ca), *limits
    )
    return Hub(url=url, key=key, pid=pid, data=data, subscription=made)


def _program() -> str:
    return str(Path(sys.executable).with_name("matrixhub"))


def _ready(output: Output) -> dict[str, Any]:
    """The document the hub prints when it is ready, on several lines."""
    text = b""
    while True:
        text += output.line(START_WAIT_S) + b"\n"
        with contextlib.suppress(json.JSONDecodeError):
            info: dict[str, Any] = json.loads(text)
            return info


def _run(data: Path, *arguments: str) -> dict[str, Any]:
    """An operator command. Raises: BenchError."""
    done = subprocess.run(
        [_program(), *arguments, "--data", str(data), "--json"],
        capture_output=True,
        cwd=ROOT,
        env=environment(LOOPBACK),
        timeout=COMMAND_WAIT_S,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"matrixhub {' '.join(arguments[:2])}: {done.stderr.decode(errors='replace').strip()[-400:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


class Memory:
    """The resident memory of the hub's Python processes, sampled while the block runs."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.highest_mb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory", daemon=True)

    def now_mb(self) -> float:
        """The resident memory right now, of every Python process of the hub."""
        return sum(_rss(process) for process in _hub_family(self._pid) if process.name().startswith(_PYTHON)) / MB

    def take_highest_mb(self) -> float:
        """The highest since the start or since this was asked before."""
        highest, self.highest_mb = max(self.highest_mb, self.now_mb()), 0.0
        return highest

    def engines_mb(self) -> dict[str, float]:
        """What the engines hold; PostgreSQL's processes share pages, so their sum is an upper bound."""
        held: dict[str, float] = {}
        for process in _hub_family(self._pid):
            name = process.name().split(":")[0]
            if not name.startswith(_PYTHON):
                held[name] = held.get(name, 0.0) + _rss(process) / MB
        return held

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_EVERY_S):
            with contextlib.suppress(psutil.NoSuchProcess):
                self.highest_mb = max(self.highest_mb, self.now_mb())


_PYTHON = ("python", "matrixhub", "uvicorn")


def _hub_family(pid: int) -> list[psutil.Process]:
    try:
        hub = psutil.Process(pid)
        return [hub, *hub.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _rss(process: psutil.Process) -> int:
    """Resident memory; a page that processes share, as the hub does with the one beside it, is counted once in all."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return int(process.memory_full_info().pss)
    return 0
