"""Processes of a benchmark: each has an owner, a way to be asked, and an end by its id."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

ROOT = Path(__file__).resolve().parent.parent
STOP_GRACE_S = 15.0


class BenchError(Exception):
    """A scenario cannot go on; the text says why."""


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child: ours, without settings of a hub that are none of the benchmark's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MATRIXHUB_")}
    return {**kept, "PYTHONPATH": str(ROOT), **(extra or {})}


@contextlib.contextmanager
def running(command: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None) -> Iterator[Any]:
    """The command in a process of its own, its standard error in the log; ended with the block."""
    with (
        log.open("wb") as errors,
        # A session of its own: Ctrl-C reaches only the benchmark, which then ends everything in order.
        subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            env=environment(env),
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            end(process)


def end(process: subprocess.Popen[bytes], grace_s: float = STOP_GRACE_S) -> None:
    """End the process: ask, wait, and then kill it with everything it started."""
    family = _family(process.pid)
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            if member.is_running():
                member.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace_s)


def _family(pid: int) -> list[psutil.Process]:
    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def tail(log: Path, lines: int = 3) -> str:
    """The last lines of a log, in one line."""
    try:
        return " | ".join(log.read_text(errors="replace").strip().splitlines()[-lines:])[-600:]
    except OSError:
        return ""


class Output:
    """What a process prints, read with a deadline."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, name: str) -> None:
        self._process, self._log, self._name = process, log, name
        self._held = b""

    def line(self, timeout_s: float) -> bytes:
        """The next line. Raises: BenchError if the process ends or says nothing in time."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._held:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise BenchError(f"{self._name} said nothing within {timeout_s:g} s; {tail(self._log)}")
            chunk = os.read(self._process.stdout.fileno(), 1 << 20)
            if not chunk:
                raise BenchError(f"{self._name} has ended; {tail(self._log)}")
            self._held += chunk
        line, _, self._held = self._held.partition(b"\n")
        return line


class Child:
    """A module of the benchmark in a process of its own, which answers one JSON line to each JSON line.

    Resources: use it as `with Child("bench.receiver", directory) as receiver:`.
    """

    def __init__(
        self, module: str, directory: Path, *arguments: str, env: Mapping[str, str] | None = None, name: str = ""
    ) -> None:
        self.name = name or module
        self._command = [sys.executable, "-m", module, *arguments]
        self._log = directory / f"{self.name}.log"
        self._env = env
        self._resources = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._process = self._resources.enter_context(running(self._command, self._log, env=self._env))
        self._output = Output(self._process, self._log, self.name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    @property
    def pid(self) -> int:
        """The process id."""
        return int(self._process.pid)

    def ask(self, do: str, *, timeout_s: float = 60.0, **arguments: object) -> dict[str, Any]:
        """What the child answers. Raises: BenchError if it does not, or says that it failed."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise BenchError(f"{self.name} has ended; {tail(self._log)}") from error
        answer: dict[str, Any] = json.loads(self._output.line(timeout_s))
        if "error" in answer:
            raise BenchError(f"{self.name}: {answer['error']}")
        return answer


class Usage:
    """CPU time of processes and their children, between making it and asking."""

    def __init__(self, **processes: int) -> None:
        self._processes = processes
        self._began = time.monotonic()
        self._before = {name: _cpu_s(pid) for name, pid in processes.items()}

    def told(self) -> str:
        """How many cores each used on average, e.g. `hub 0.98, nats-server 0.40`."""
        elapsed = time.monotonic() - self._began
        used: dict[str, float] = {}
        for name, pid in self._processes.items():
            for program, seconds in _cpu_s(pid).items():
                spent = seconds - self._before[name].get(program, 0.0)
                used[program or name] = used.get(program or name, 0.0) + spent
        return "cores used: " + ", ".join(f"{name} {s / elapsed:.2f}" for name, s in used.items() if s / elapsed > 0.01)


def _cpu_s(pid: int) -> dict[str, float]:
    """CPU seconds of the process, under "", and of its children by program."""
    spent: dict[str, float] = {"": 0.0}
    for number, process in enumerate(_family(pid)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            name = process.name().split(":")[0] if number else ""
            name = "" if name.startswith("python") else name
            spent[name] = spent.get(name, 0.0) + times.user + times.system
    return spent
