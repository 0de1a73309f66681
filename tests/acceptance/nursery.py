"""Commands in processes that are forked from one in which all is imported: most of the time of a command is its start.

They are processes of their own in every other way. Programs that go on running are started as the installed command,
and test_commands compares both ways.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_REQUEST_BYTES_MAX = 1 << 17
ROOT = Path(__file__).parents[2]


class Nursery:
    """Runs commands; entered once for a process of tests."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mh-nursery-")
        self._address = str(Path(self._folder.name) / "socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(self._address)
            listener.listen(64)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.acceptance.nursery", str(listener.fileno())],
                cwd=ROOT,
                env=dict(environment),
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def run(
        self, args: Sequence[str], environment: Mapping[str, str], timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """What `subprocess.run` gives for the command, with its output as text. Raises: TimeoutExpired."""
        with (
            tempfile.TemporaryFile("w+") as out,
            tempfile.TemporaryFile("w+") as err,
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line,
        ):
            line.settimeout(timeout_s)
            line.connect(self._address)
            request = json.dumps({"args": list(args), "environment": dict(environment), "folder": os.getcwd()})
            socket.send_fds(line, [request.encode()], [out.fileno(), err.fileno()])
            try:
                pid = int(line.recv(64))
                try:
                    code = int(line.recv(64))
                except TimeoutError as error:
                    os.kill(pid, signal.SIGKILL)
                    raise subprocess.TimeoutExpired(["matrixhub", *args], timeout_s) from error
            finally:
                out.seek(0)
                err.seek(0)
            return subprocess.CompletedProcess(["matrixhub", *args], code, out.read(), err.read())


def _serve(listener: socket.socket) -> None:
    """Fork a process for each request, until the tests end us or are gone."""

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            return
        line, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _attend(line)
        line.close()


def _attend(line: socket.socket) -> None:
    """Fork the command, and tell its process id and how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    data, files, _, _ = socket.recv_fds(line, _REQUEST_BYTES_MAX, 2)
    pid = os.fork()
    if pid == 0:
        line.close()
        _become(json.loads(data), *files)
    line.send(str(pid).encode())
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):  # who asked has given up
        line.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(request: dict[str, Any], out: int, err: int) -> None:
    """Be the command."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, place in ((nothing, 0), (out, 1), (err, 2)):
        os.dup2(descriptor, place)
        os.close(descriptor)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["matrixhub", *request["args"]]
    sys.modules["__main__"].__package__ = ""  # or help would call the command by the name of this module
    from matrixhub.cli import main

    code = 1
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:  # noqa: BLE001 - as the interpreter does it
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    for module in pkgutil.walk_packages(importlib.import_module("matrixhub").__path__, "matrixhub."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.freeze()  # or collections in the children would copy all pages
    _serve(socket.socket(fileno=int(sys.argv[1])))
