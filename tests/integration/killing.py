"""A way to kill a process at every step of its talk with PostgreSQL.

A proxy stands between them, counts what the process says, and kills it just before the step that is asked for reaches
PostgreSQL. The step behind the commit is killed, too: there everything is done, and the process cannot say so any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from multiprocessing import forkserver
from pathlib import Path
from urllib.parse import urlsplit

from matrixhub.testing.listener import Listener

_PROCESSES = multiprocessing.get_context("forkserver")
END_WAIT_S = 30.0
MODULES = tuple(
    f"tests.integration.test_{name}" for name in ("backfills", "event_atomicity", "rollups", "telemetry_crashes")
)
"""The modules whose processes are killed."""

ROOT = Path(__file__).parents[2]

Target = Callable[..., None]
"""A function of a module, so that a process of its own can find it; called with the address of PostgreSQL first."""


@dataclass(slots=True)
class Proxy:
    """Passes on what both sides say; kills process `pid` before its step `fatal`."""

    dsn: str
    upstream: tuple[str, int]
    said: int = 0
    fatal: int = 0
    pid: int = 0
    lines: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        line = asyncio.current_task()
        assert line is not None
        self.lines.add(line)
        line.add_done_callback(self.lines.discard)
        up_reader, up_writer = await asyncio.open_connection(*self.upstream)
        answers = asyncio.create_task(_pass_on(up_reader, writer))
        try:
            while data := await reader.read(1 << 16):
                self.said += 1
                if self.said == self.fatal:
                    os.kill(self.pid, signal.SIGKILL)
                    break
                up_writer.write(data)
                await up_writer.drain()
        except ConnectionError:
            pass  # the process is gone
        finally:
            answers.cancel()
            writer.close()
            up_writer.close()
            with contextlib.suppress(ConnectionError):
                await up_writer.wait_closed()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def proxied(dsn: str) -> AsyncIterator[Proxy]:
    """A proxy to the PostgreSQL of a TCP address."""
    parts = urlsplit(dsn)
    assert parts.hostname is not None
    assert parts.port is not None
    proxy = Proxy(dsn, (parts.hostname, parts.port))
    listener = Listener(("127.0.0.1", 0))
    server = await asyncio.start_server(proxy.serve, sock=listener)
    proxy.dsn = parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{listener.port}").geturl()
    try:
        yield proxy
    finally:
        await listener.shut()
        server.close()
        await listener.end()
        await asyncio.gather(*proxy.lines)


async def run_until(proxy: Proxy, step: int, target: Target, *arguments: object) -> bool:
    """Run the target in a process of its own that is killed before its step; whether it came to its end before that.

    The target runs to its end as well when it says nothing any more. Raises AssertionError if it fails by itself.
    """
    proxy.said, proxy.fatal, proxy.pid = 0, 0, 0
    go = _PROCESSES.Event()
    process = _PROCESSES.Process(target=_when_told, args=(go, target, proxy.dsn, *arguments), daemon=True)
    process.start()
    assert process.pid is not None
    proxy.pid, proxy.fatal = process.pid, step
    go.set()
    await asyncio.to_thread(process.join, END_WAIT_S)
    code = process.exitcode
    if code is None:
        process.kill()
    assert code in (0, -signal.SIGKILL), f"the process ended with {code}"
    return code == 0


def _when_told(go: object, target: Target, *arguments: object) -> None:
    go.wait()  # type: ignore[attr-defined]
    target(*arguments)


def preload(module: str) -> None:
    """Have a module ready in every process from now on, which saves most of the time of its start.

    There is one server of such processes, which gets ready what it was told of when it began: all of MODULES.
    """
    assert module in MODULES, f"put {module} there"
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [before])])
    try:
        _PROCESSES.set_forkserver_preload(list(MODULES))
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
