"""A process of ours: started as the right user in a session of its own, its output in a log, ended within a limit."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from signal import Signals

from matrixhub.engines import launch
from matrixhub.engines.account import Account
from matrixhub.model.errors import EngineError

LOG_BYTES_MAX = 32 * 1024 * 1024
TAIL_LINES = 12
TAIL_BYTES = 8192
KEPT_VARIABLES = ("PATH", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "GOMAXPROCS", "GOMEMLIMIT")
"""The environment an engine gets. Others, like PGDATA, would change how it works or tell it secrets."""


class EngineLog:
    """Where an engine writes what it has to say. The file before this start is kept beside it as `.1`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._previous = path.with_name(path.name + ".1")
        if path.exists():
            path.replace(self._previous)
        path.touch(0o600)

    def open(self) -> int:
        """A descriptor that appends."""
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def is_long(self) -> bool:
        """Whether it is time to trim."""
        try:
            return self.path.stat().st_size > LOG_BYTES_MAX
        except OSError:
            return False  # someone has removed it, and the engine writes on where nobody can see

    def trim(self) -> None:
        """Make it the previous one: the engine holds it open, so it is copied and emptied.

        If there is no room for the copy, the lines are given up: a full disk hurts more than a lost log.
        """
        with suppress(OSError):
            shutil.copyfile(self.path, self._previous)
        os.truncate(self.path, 0)

    def tail(self) -> str:
        """The last lines."""
        if not self.path.exists():
            return ""
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-TAIL_LINES:])


class Child:
    """A running process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def spawn(
        cls, command: Sequence[str], *, cwd: Path, log: EngineLog, account: Account | None, death_signal: Signals
    ) -> Child:
        """Start the command; on Linux it gets `death_signal` when the thread of this event loop ends."""
        output = log.open()
        try:
            process = await asyncio.create_subprocess_exec(
                *_launch_command(command, account, death_signal),
                cwd=cwd,
                env=_environment(os.environ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # A session of its own: Ctrl-C in the terminal is for the hub, which then stops its engines in order.
                start_new_session=True,
            )
        finally:
            os.close(output)
        return cls(process)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended (minus the signal that ended it), or None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait for its end."""
        return await self._process.wait()

    async def stop(self, signal: Signals, grace_s: float) -> None:
        """Ask it to end; kill it if it does not."""
        self._send(signal)
        try:
            async with asyncio.timeout(grace_s):
                await self.wait()
        except TimeoutError:
            self._send(Signals.SIGKILL)
            await self.wait()

    def _send(self, signal: Signals) -> None:
        if self.exit_code is None:
            with suppress(ProcessLookupError):  # it has ended just now
                self._process.send_signal(signal)


async def run_to_end(command: Sequence[str], *, cwd: Path, account: Account | None, limit_s: float) -> str:
    """Run a command, and return what it printed.

    Raises: EngineError with the end of that if it fails or does not end in time.
    """
    name = Path(command[0]).name
    process = await asyncio.create_subprocess_exec(
        *_launch_command(command, account, Signals.SIGKILL),
        cwd=cwd,
        env=_environment(os.environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(limit_s):
            output, _ = await process.communicate()
    except TimeoutError as error:
        raise EngineError(f"{name} did not end within {limit_s:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode(errors="replace")
    if process.returncode != 0:
        tail = "\n".join(text.splitlines()[-TAIL_LINES:])
        raise EngineError(f"{name} failed with exit code {process.returncode}:\n{tail}")
    return text


def _launch_command(command: Sequence[str], account: Account | None, death_signal: Signals) -> list[str]:
    who = ("-", "-", "-")
    if account is not None:
        who = (str(account.uid), str(account.gid), ",".join(map(str, account.groups)))
    launcher = (sys.executable, "-I", "-S", launch.__file__)
    return [*launcher, str(os.getpid()), str(int(death_signal)), *who, *command]


def _environment(inherited: Mapping[str, str]) -> dict[str, str]:
    return {name: inherited[name] for name in KEPT_VARIABLES if name in inherited} | {"LC_ALL": "C"}
